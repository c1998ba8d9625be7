// Runs a Raspberry Pi Pico in rp2040js, from reset: README.md beside this, or --help.

import { ftruncateSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';

import { Bridge } from './bridge.mjs';
import { Chip } from './chip.mjs';
import { Clock } from './clock.mjs';
import { Control } from './control.mjs';
import { XIP } from './flash.mjs';
import { help, readOptions, reason } from './options.mjs';
import { UsbHost } from './usb.mjs';

const SRAM = 0x20000000;
const SLICE = 400000; // cycles between two looks at the world outside, some 10 ms
const PARENT_MS = 500;
const BROKEN = 3; // exit statuses
const MISUSED = 2;

const log = (line) => process.stderr.write(`pico: ${line}\n`);

// The user's mistake: one line, and the end.
function misused(message) {
  log(message.split('\n')[0]);
  process.exit(MISUSED);
}

function given() {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    return misused(error.message);
  }
}

const options = given();
if (options === null) {
  process.stdout.write(help());
  process.exit(0);
}
const { rom, ports } = options;

let planned = false;
let free = options.control === undefined; // runs without being asked to
let request = null; // what the control channel waits for
let why = ''; // the last run ended at a mark
let limit = 0; // of the slice, in cycles
let leaving = true; // the next instruction is where the chip was stopped
const listening = {};

const uart = new Bridge(() => {
  chip.uart.ring();
  kick();
});
const usbBridge = new Bridge(() => {
  usb.look();
  kick();
});
const usb = new UsbHost(usbBridge, log);
const chip = new Chip({
  RP2040: options.RP2040,
  rom,
  flash: options.flash,
  unique: options.unique,
  wire: uart,
  overrun: options.overrun,
  corrected: options.corrected,
  contention: options.contention,
  newClock: () => new Clock(),
  log,
  onReset: () => {
    uart.flush();
    queueMicrotask(() => chip.uart.ring());
  },
  attachUsb: ports.usb === undefined ? () => {} : (rp, clock) => usb.attach(rp, clock),
});
if (options.count) {
  chip.counts = new Map();
}
if (options.idle !== undefined) {
  chip.mark(options.idle, 'idle');
}
chip.mark(options.bootsel, 'bootsel');

// Whether the chip stops at a marked pc.
function at(kind, pc) {
  if (request?.stops.has(pc)) {
    why = 'stop';
    return true;
  }
  if (kind === 'bootsel') {
    usb.detach();
    why = 'bootsel';
    return true;
  }
  if (kind !== 'idle') {
    return false;
  }
  if (request && request.zero !== undefined && word(request.zero) === 0) {
    why = 'zero';
    return true;
  }
  if (chip.passIdle() < 2) {
    return false; // what an interrupt left is seen first
  }
  const { clock } = chip;
  if (clock.awaiting) {
    // Nothing changes until the next alarm, so time may jump there.
    chip.quiet = 0;
    clock.cycles = Math.max(clock.cycles, Math.min(clock.next, limit));
    return false;
  }
  if (request) {
    return false;
  }
  why = 'idle';
  return true;
}

function slice() {
  planned = false;
  if (!free && !request) {
    return;
  }
  why = '';
  limit = chip.clock.cycles + SLICE;
  if (request) {
    limit = Math.min(limit, chip.clock.cycles + Math.max(0, request.until - chip.cycles));
  }
  const outcome = chip.run(limit, at, leaving);
  leaving = outcome === 'mark';
  uart.flush();
  usbBridge.flush();
  let sleeps = false;
  if (outcome === 'fatal') {
    if (free && options.control === undefined) {
      finish(BROKEN);
    }
    free = false;
    settle('error', { message: chip.fatal });
  } else if (outcome === 'mark') {
    sleeps = why === 'idle' || why === 'bootsel';
    if (why === 'bootsel') {
      chip.quiet = 0;
    }
    settle(why);
  } else if (outcome === 'reset') {
    if (!request?.resets) {
      settle('reset', { bitten: chip.bittenAt });
    }
  } else if (outcome === 'locked' && !request?.resets) {
    settle('locked', { message: chip.locked });
  } else if (request && chip.cycles >= request.until) {
    settle('cycles');
  }
  if (!sleeps) {
    kick();
  }
}

function settle(reason, more = {}) {
  if (request) {
    const { answer } = request;
    request = null;
    answer({ why: reason, ...more, ...state() });
  }
}

const state = () => ({ pc: chip.pc, cycles: chip.cycles, instructions: chip.instructions });

function kick() {
  if (!planned && (free || request)) {
    planned = true;
    setImmediate(slice);
  }
}

// The control channel

function memory(address, size) {
  const at = address >>> 0;
  const memories = [[SRAM, chip.sram], [XIP, chip.flash], [0, new Uint8Array(rom.buffer)]];
  for (const [start, bytes] of memories) {
    if (at >= start && at + size <= start + bytes.length) {
      return bytes.subarray(at - start, at - start + size);
    }
  }
  throw new Error(`no memory for ${size} bytes at 0x${at.toString(16)}`);
}

function word(address) {
  const bytes = memory(address, 4);
  return bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24);
}

const requests = {
  read({ address, size }, _, answer) {
    answer({}, Buffer.from(memory(address, size)));
  },
  write({ address }, bytes, answer) {
    memory(address, bytes.length).set(bytes);
    chip.quiet = 0;
    answer({});
    kick();
  },
  state(_, __, answer) {
    const { core } = chip;
    answer({
      ...state(),
      registers: [...core.registers],
      xpsr: core.xPSR >>> 0,
      clock: chip.clock.frequency,
      locked: chip.locked,
      fatal: chip.fatal,
      led: chip.led,
      stalls: chip.cores.stalls,
      usb: usb.state,
    });
  },
  run({ zero, stops = [], cycles = Infinity, resets = false }, _, answer) {
    if (request) {
      throw new Error('it runs already');
    }
    for (const pc of stops) {
      if (!chip.marked.has(pc)) {
        chip.mark(pc, 'stop');
      }
    }
    leaving = true;
    request = { zero, stops: new Set(stops), until: chip.cycles + cycles, resets, answer };
    kick();
  },
  interrupt(_, __, answer) {
    settle('interrupted');
    answer({});
  },
  go(_, __, answer) {
    free = true;
    answer({});
    kick();
  },
  halt(_, __, answer) {
    free = false;
    answer(state());
  },
  reset({ kind = 'run' }, _, answer) {
    if (!['run', 'power'].includes(kind)) {
      throw new Error(`no reset of kind ${kind}`);
    }
    chip.reset(kind);
    answer({});
    kick();
  },
  button({ held }, _, answer) {
    chip.button = held === true;
    answer({});
  },
  counts(_, __, answer) {
    const held = [...(chip.counts ?? new Map())];
    const raw = new Float64Array(held.length * 4);
    held.forEach(([pc, { executions, cycles, least }], row) => {
      raw.set([pc, executions, cycles, least], 4 * row);
    });
    answer({}, Buffer.from(raw.buffer));
  },
  usb(what, _, answer) {
    usb.ask(what, answer);
    kick();
  },
};

function serve(asked, bytes, answer) {
  const handler = Object.hasOwn(requests, asked.do) ? requests[asked.do] : null;
  if (!handler) {
    throw new Error(`no request ${asked.do}`);
  }
  handler(asked, bytes, answer);
}

function finish(status, because = '') {
  if (options.save) {
    const { path, file } = options.save;
    try {
      writeFileSync(file, chip.flash);
      ftruncateSync(file, chip.flash.length);
    } catch (error) {
      log(`--save-flash ${path} cannot be written (${reason(error)}): the flash is lost`);
      status = BROKEN;
    }
  }
  if (listening.control) {
    rmSync(listening.control, { force: true });
  }
  if (because) {
    log(`ends: ${because}`);
  }
  process.exit(status);
}

process.on('SIGTERM', () => finish(0));
process.on('SIGINT', () => finish(0));
process.on('SIGHUP', () => finish(0, 'its terminal is gone'));
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) {
    finish(0, `the process that started it (${parent}) has ended`);
  }
}, PARENT_MS);

for (const [name, bridge] of Object.entries({ uart, usb: usbBridge })) {
  if (ports[name] !== undefined) {
    try {
      listening[name] = await bridge.listen(ports[name]);
    } catch (error) {
      const value = ports[name];
      misused(`--${name} ${value} is no port to listen on (${error.code}): 0 takes a free one`);
    }
  }
}
if (options.control !== undefined) {
  try {
    await control(options.control);
  } catch (error) {
    const why = reason(error);
    misused(`--control ${options.control} is no channel (${why}): give a socket or a new path`);
  }
}
process.stdout.write(`${JSON.stringify(listening)}\n`);
kick();

async function control(channel) {
  if (/^\d+$/.test(channel)) {
    new Control(new Socket({ fd: Number(channel) }), serve, () => finish(0));
    return;
  }
  const gone = () => {
    request = null;
  };
  const server = createServer((socket) => new Control(socket, serve, gone));
  await new Promise((done, failed) => server.once('error', failed).listen(channel, done));
  listening.control = channel;
}
