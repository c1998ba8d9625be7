// Runs one piece of code in rp2040js and counts its cycles and instructions: README.md beside this.
//
//     node count.mjs FOLDER < job.json > result.json
//
// FOLDER holds the node_modules with rp2040js.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [folder] = process.argv.slice(2);
const { RP2040 } = createRequire(resolve(folder, 'package.json'))('rp2040js');
const job = JSON.parse(readFileSync(0, 'utf8'));

const PC = 15;
const chip = new RP2040();
const refuse = (component, message) => {
  throw new Error(`rp2040js: ${component}: ${message}`);
};
// It goes on behind an unknown instruction or a bad address with a warning; here that is the end.
chip.logger = { debug() {}, info() {}, warn: refuse, error: refuse };
chip.onBreak = (code) => refuse('core', `breakpoint ${code}`);

for (const { address, data } of job.memories) {
  const bytes = Buffer.from(data, 'base64');
  for (let offset = 0; offset < bytes.length; offset += 4) {
    chip.writeUint32(address + offset, bytes.readUInt32LE(offset));
  }
}
const { core } = chip;
core.registers.set(job.registers);
core.APSR = job.apsr;

const kinds = { pushes_with_lr: 0, pops_with_pc: 0 };
let cycles = 0;
let instructions = 0;
let counting = false;
for (let steps = 0; core.PC !== job.until; steps++) {
  if (steps === job.limit) {
    throw new Error(`pc ${core.PC.toString(16)} after ${steps} instructions, not yet at the end`);
  }
  if (core.PC === job.begin) {
    counting = true;
  } else if (core.PC === job.end) {
    counting = false;
  }
  const opcode = chip.readUint16(core.registers[PC]);
  const delta = core.executeInstruction();
  if (counting) {
    cycles += delta;
    instructions += 1;
    kinds.pushes_with_lr += opcode >> 8 === 0xb5;
    kinds.pops_with_pc += opcode >> 8 === 0xbd;
  }
}

const memories = job.memories.map(({ address, data }) => {
  const bytes = Buffer.alloc(Buffer.byteLength(data, 'base64'));
  for (let offset = 0; offset < bytes.length; offset += 4) {
    bytes.writeUInt32LE(chip.readUint32(address + offset) >>> 0, offset);
  }
  return { address, data: bytes.toString('base64') };
});
process.stdout.write(JSON.stringify({ cycles, instructions, ...kinds, memories }));
