// The RP2040 of rp2040js with a USB controller that is as strict as the datasheet, driven from
// outside: one request of JSON a line, one answer a line.
//
//     node controller.mjs FOLDER IMAGE
//
// FOLDER holds the node_modules with rp2040js, IMAGE is a program for SRAM with its vectors first.
//
// rp2040js takes a packet for the host the moment that it is offered, and knows neither NAK, STALL,
// data toggles nor frames. Here the host asks packet by packet, as on the bus: each token lets the
// program run for a while, then finds what the buffer controls say.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [folder, image] = process.argv.slice(2);
const { RP2040 } = createRequire(resolve(folder, 'package.json'))('rp2040js');

const SRAM = 0x20000000;
const NANOS_PER_CYCLE = 8; // 125 MHz
const OFFER_CYCLES = 5; // a cycle of 48 MHz at 200 MHz: a buffer control, then AVAILABLE
const FRAME_NANOS = 1e6;

const [SOF_RD, EP_ABORT] = [0x48, 0x60];
const [BUS_RESET, SETUP_REC, DATA_SEQ_ERROR] = [1 << 19, 1 << 17, 1 << 31];
const DEV_SOF = 1 << 17;
const [FULL, DATA1, STALL, AVAILABLE, LENGTH] = [0x8000, 0x2000, 0x800, 0x400, 0x3ff];
const ENABLE = 1 << 31;

const chip = new RP2040();
const { core, clock, usbCtrl: usb, usbDPRAM: dpram, usbDPRAMView: view } = chip;
const refuse = (component, message) => {
  throw new Error(`${component}: ${message}`);
};
const quiet = (component, message) => {
  // It knows no USB_MUXING; everything else that it does not know is a mistake of the program.
  if (!/Unimplemented peripheral write to 0x74/.test(message)) refuse(component, message);
};
chip.logger = { debug() {}, info() {}, warn: quiet, error: refuse };
chip.onBreak = (code) => refuse('core', `breakpoint ${code}`);

// What the program does to the controller

let revision = 2; // of the chip: B2
let meanwhile; // a token that comes just before the next abort
let cycles = 0;
let frames = false;
let frameBegan = 0;
const written = {}; // the last value of each register
const offers = []; // [side, microseconds since the frame began]
const controls = new Map(); // offset -> [value, cycle] of the last write
const faults = [];

usb.DPRAMUpdated = (offset, value) => {
  if (offset < 0x80 || offset >= 0x100) return;
  const side = (offset - 0x80) / 4;
  const [before, when] = controls.get(offset) ?? [0, 0];
  controls.set(offset, [value, cycles]);
  if (before & AVAILABLE && revision >= 2 && !(usb.epAbort & (1 << side))) {
    faults.push(`side ${side}: changed while the controller has it`);
  }
  if (!(value & AVAILABLE)) return;
  if (before !== (value & ~AVAILABLE)) faults.push(`side ${side}: AVAILABLE before the rest`);
  if (cycles - when < OFFER_CYCLES) faults.push(`side ${side}: AVAILABLE after ${cycles - when}`);
  offers.push([side, (clock.nanos - frameBegan) / 1000]);
};

const write = usb.writeUint32.bind(usb);
usb.writeUint32 = (offset, value) => {
  written[offset] = value >>> 0;
  if (offset === EP_ABORT && value && meanwhile) {
    const token = meanwhile;
    meanwhile = undefined;
    requests[token.do](token);
  }
  write(offset, value);
};
const read = usb.readUint32.bind(usb);
usb.readUint32 = (offset) => {
  if (offset === SOF_RD) {
    usb.intRaw &= ~DEV_SOF;
    usb.checkInterrupts();
  }
  return read(offset);
};

chip.peripherals[0x40000].readUint32 = () => ((revision << 28) | 0x2927) >>> 0;

function run(micros) {
  const end = clock.nanos + micros * 1000;
  while (clock.nanos < end) {
    if (frames && clock.nanos >= frameBegan + FRAME_NANOS) {
      frameBegan += FRAME_NANOS;
      usb.intRaw |= DEV_SOF;
      usb.checkInterrupts();
    }
    const spent = core.executeInstruction();
    cycles += spent;
    clock.tick(spent * NANOS_PER_CYCLE);
  }
}

// What the host does

const controlOf = (side) => view.getUint32(0x80 + 4 * side, true);
const setControl = (side, value) => {
  view.setUint32(0x80 + 4 * side, value, true);
  controls.set(0x80 + 4 * side, [value, cycles]);
};

function respond(side, ready) {
  const value = controlOf(side);
  const enabled = side < 2 || view.getUint32(4 * side, true) & ENABLE;
  if (!enabled) return 'timeout';
  if (usb.epAbort & (1 << side)) return 'nak';
  const armed = side >= 2 || usb.epStallArm & (1 << side);
  if (value & STALL && armed) return 'stall';
  return (value & (AVAILABLE | FULL)) === ready ? 'ack' : 'nak';
}

function bufferOf(side) {
  return side < 2 ? 0x100 : view.getUint32(4 * side, true) & 0xffc0;
}

const requests = {
  run: ({ micros }) => run(micros),
  reset() {
    usb.sieStatus |= BUS_RESET;
    usb.sieStatusUpdated();
  },
  setup({ bytes, address }) {
    if (address !== (usb.addrEndp & 0x7f)) return { answer: 'timeout' };
    dpram.set(bytes);
    usb.epStallArm = 0;
    usb.sieStatus |= SETUP_REC;
    usb.sieStatusUpdated();
    return { answer: 'ack' };
  },
  in({ endpoint, address }) {
    const side = 2 * endpoint;
    if (address !== (usb.addrEndp & 0x7f)) return { answer: 'timeout' };
    const answer = respond(side, AVAILABLE | FULL);
    if (answer !== 'ack') return { answer };
    const value = controlOf(side);
    const from = bufferOf(side);
    const data = [...dpram.subarray(from, from + (value & LENGTH))];
    setControl(side, value & ~(AVAILABLE | FULL));
    usb.indicateBufferReady(endpoint, false);
    return { answer, data, toggle: value & DATA1 ? 1 : 0 };
  },
  out({ endpoint, address, data, toggle }) {
    const side = 2 * endpoint + 1;
    if (address !== (usb.addrEndp & 0x7f)) return { answer: 'timeout' };
    const answer = respond(side, AVAILABLE);
    if (answer !== 'ack') return { answer };
    const value = controlOf(side);
    if ((value & DATA1 ? 1 : 0) !== toggle) {
      usb.sieStatus |= DATA_SEQ_ERROR; // a repeated packet: acknowledged, and thrown away
      return { answer };
    }
    if (data.length > (value & LENGTH)) faults.push(`side ${side}: ${data.length} bytes overflow`);
    dpram.set(data, bufferOf(side));
    setControl(side, (value & ~(AVAILABLE | LENGTH)) | FULL | data.length);
    usb.indicateBufferReady(endpoint, true);
    return { answer };
  },
  meanwhile({ token }) {
    meanwhile = token;
  },
  frames({ on }) {
    frames = on;
    frameBegan = clock.nanos;
  },
  revision(request) {
    revision = request.revision;
  },
  peek: ({ address, size }) => ({
    data: [...chip.sram.subarray(address - SRAM, address - SRAM + size)],
  }),
  poke: ({ address, data }) => void chip.sram.set(data, address - SRAM),
  state: () => ({
    written,
    offers: offers.splice(0),
    faults,
    aborts: usb.epAbort | usb.epAbortDone,
    meanwhile,
  }),
};

chip.sram.set(readFileSync(image));
core.VTOR = SRAM;
core.SP = chip.readUint32(SRAM);
core.PC = chip.readUint32(SRAM + 4) & ~1;

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(requests[request.do](request) ?? {})}\n`);
}
