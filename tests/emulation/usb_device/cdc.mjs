// A program for SRAM in rp2040js as it is, with its own host for serial ports: sends it bytes and
// prints those that come back, as long as these are not all there.
//
//     node cdc.mjs FOLDER IMAGE < bytes > bytes

import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [folder, image] = process.argv.slice(2);
const { RP2040, USBCDC } = createRequire(resolve(folder, 'package.json'))('rp2040js');
const SRAM = 0x20000000;
const NANOS_PER_CYCLE = 8;
const LIMIT_NANOS = 20e9;

const chip = new RP2040();
const log = (component, message) => process.stderr.write(`${component}: ${message}\n`);
chip.logger = { debug() {}, info() {}, warn: log, error: log };

const bytes = readFileSync(0);
const echo = [];
let sent = 0;
let connected = false;
const cdc = new USBCDC(chip.usbCtrl);
cdc.onDeviceConnected = () => {
  connected = true;
};
cdc.onSerialData = (packet) => echo.push(...packet);

chip.sram.set(readFileSync(image));
chip.core.VTOR = SRAM;
chip.core.SP = chip.readUint32(SRAM);
chip.core.PC = chip.readUint32(SRAM + 4) & ~1;

while (echo.length < bytes.length && chip.clock.nanos < LIMIT_NANOS) {
  while (connected && sent < bytes.length && !cdc.txFIFO.full) cdc.sendSerialByte(bytes[sent++]);
  for (let i = 0; i < 1000; i++) chip.clock.tick(chip.core.executeInstruction() * NANOS_PER_CYCLE);
}
writeSync(1, Uint8Array.from(echo));
