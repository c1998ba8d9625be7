// What is in the 2 MiB of flash. Errors' messages go on after the file's name.

import { FLASH_SIZE } from './memory.mjs';
import { isElf } from './elf.mjs';
import { hex } from './peripherals.mjs';

export const XIP = 0x10000000;
const VECTORS = 0x100; // behind the second stage
const SRAM = 0x20000000;
const SRAM_END = 0x20042000;

const UF2_BLOCK = 512;
const UF2_MAGIC = [[0, 0x0a324655], [4, 0x9e5d5157], [508, 0x0ab16f30]];
const UF2_MOST = 476; // bytes in a block
const UF2_NOT_FLASH = 1;
const UF2_HAS_FAMILY = 0x2000;
const UF2_RP2040 = 0xe48bff56;

function filled(parts) {
  const flash = new Uint8Array(FLASH_SIZE).fill(0xff);
  for (const { address, bytes } of parts) {
    const offset = address - XIP;
    if (offset < 0 || offset + bytes.length > flash.length) {
      const size = bytes.length;
      throw new Error(`has ${size} bytes for ${hex(address)}: the flash is 2 MiB at ${hex(XIP)}`);
    }
    flash.set(bytes, offset);
  }
  return flash;
}

// Of a file's bytes, raw or UF2.
export function flashOfFile(bytes) {
  if (isElf(bytes)) {
    throw new Error('is an ELF file: give it as --elf, or its .bin or .uf2 here');
  }
  const uf2 = bytes.length >= UF2_BLOCK && bytes.readUInt32LE(0) === UF2_MAGIC[0][1];
  return filled(uf2 ? blocks(bytes) : [{ address: XIP, bytes }]);
}

function* blocks(bytes) {
  for (let start = 0; start < bytes.length; start += UF2_BLOCK) {
    const block = bytes.subarray(start, start + UF2_BLOCK);
    const whole = block.length === UF2_BLOCK;
    if (!whole || UF2_MAGIC.some(([at, magic]) => block.readUInt32LE(at) !== magic)) {
      throw new Error(`is a damaged UF2 file: no block at byte ${start}; make it again`);
    }
    const [flags, address, size] = [8, 12, 16].map((at) => block.readUInt32LE(at));
    const family = block.readUInt32LE(28);
    if (flags & UF2_HAS_FAMILY && family !== UF2_RP2040) {
      throw new Error(`is a UF2 file for another chip (family ${hex(family)})`);
    }
    if (size > UF2_MOST) {
      throw new Error(`is a damaged UF2 file: ${size} bytes in the block at byte ${start}`);
    }
    if (!(flags & UF2_NOT_FLASH)) {
      yield { address, bytes: block.subarray(32, 32 + size) };
    }
  }
}

const inFlash = ({ address, bytes }) =>
  bytes.length > 0 && address >= XIP && address < XIP + FLASH_SIZE;

export function flashOfElf(elf) {
  const parts = elf.segments.filter(inFlash);
  if (parts.length === 0) {
    throw new Error("has nothing for the RP2040's flash: is it of another board?");
  }
  return filled(parts);
}

// Refuses what cannot be a program: a stack in SRAM and a start in flash are its first vectors.
export function checkProgram(flash) {
  const view = new DataView(flash.buffer);
  const stack = view.getUint32(VECTORS, true);
  const start = view.getUint32(VECTORS + 4, true);
  const stacked = stack % 4 === 0 && stack > SRAM && stack <= SRAM_END;
  const started = start % 2 === 1 && start >= XIP + VECTORS && start < XIP + FLASH_SIZE;
  if (!stacked || !started) {
    const found = `stack ${hex(stack)}, start ${hex(start)} at ${hex(XIP + VECTORS)}`;
    const fix = 'give what `make firmware` built, or --any-flash with it';
    throw new Error(`is no program for the RP2040 (${found}): ${fix}`);
  }
}

// Refuses a flash that is not of the ELF file's build; beside its segments anything may be.
export function checkSame(flash, elf, name) {
  for (const { address, bytes } of elf.segments.filter(inFlash)) {
    const differs = bytes.findIndex((byte, index) => flash[address - XIP + index] !== byte);
    if (differs >= 0) {
      const place = hex(address + differs);
      throw new Error(`is of another build than --elf ${name} (at ${place}): leave one out`);
    }
  }
}
