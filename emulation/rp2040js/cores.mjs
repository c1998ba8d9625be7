// The second core of the RP2040, and what both share: FIFOs, events, and the banks of memory.
// README.md and docs/cycle-model.md say what of it is modelled.

import { hex, Unmodelled } from './peripherals.mjs';

const PC = 15;
const SP = 13;
const SIO = 0xd;
const CPUID = 0x00;
const FIFO_ST = 0x50;
const FIFO_WR = 0x54;
const FIFO_RD = 0x58;
const SIO_OF_EACH_CORE = 0x60; // the divider and the interpolators, up to the spinlocks
const SPINLOCKS = 0x100;
const FIFO_WORDS = 8;
const VTOR = 0xe000ed08;

const VALID = 1;
const READY = 2;
const OVERFLOWN = 4;
const EMPTIED = 8;

const WFE = 0xbf20;
const SEV = 'SEV'; // what rp2040js logs of it, which is all that it does

const AHEAD = 64; // cycles: more than an instruction takes
const NO_BANK = -1;

// The registers of one core in the SIO, where the other core's differ.
class Own {
  constructor(number) {
    this.number = number;
    this.incoming = [];
    this.status = 0;
  }

  // undefined: not a register of its own.
  read(address) {
    if (address >>> 28 !== SIO) {
      return this.readCore(address);
    }
    const offset = address & 0xfff;
    if (offset === CPUID) {
      return this.number;
    }
    if (offset === FIFO_ST) {
      const room = this.peer.incoming.length < FIFO_WORDS ? READY : 0;
      return this.status | room | (this.incoming.length ? VALID : 0);
    }
    if (offset === FIFO_RD) {
      if (!this.incoming.length) {
        this.status |= EMPTIED;
        return 0;
      }
      return this.incoming.shift();
    }
    this.expectShared(offset, address);
    return undefined;
  }

  // Whether it was one.
  write(address, value) {
    if (address >>> 28 !== SIO) {
      return this.writeCore(address, value);
    }
    const offset = address & 0xfff;
    if (offset === FIFO_ST) {
      this.status = 0;
      return true;
    }
    if (offset === FIFO_WR) {
      if (this.peer.incoming.length < FIFO_WORDS) {
        this.peer.incoming.push(value >>> 0);
      } else {
        this.status |= OVERFLOWN;
      }
      return true;
    }
    this.expectShared(offset, address);
    return false;
  }

  expectShared(offset, address) {
    if (this.number !== 0 && offset >= SIO_OF_EACH_CORE && offset < SPINLOCKS) {
      throw new Unmodelled(`core 1's divider and interpolators (${hex(address)}) are not modelled`);
    }
  }

  readCore(address) {
    return this.core && address >>> 12 === 0xe000e ? this.ppb(address).VTOR : undefined;
  }

  writeCore(address, value) {
    if (this.core && address >>> 12 === 0xe000e) {
      this.ppb(address).VTOR = value;
      return true;
    }
    return false;
  }

  ppb(address) {
    if (address >>> 0 !== VTOR) {
      throw new Unmodelled(`register ${hex(address)} of core 1 is not modelled`);
    }
    return this.core;
  }
}

// Where the data of a load or store lies: `at` and `words` of it one behind the other.
const data = { at: 0, words: 0 };

function ones(bits) {
  let count = 0;
  for (; bits; bits &= bits - 1) {
    count++;
  }
  return count;
}

export function findData(opcode, registers) {
  const low = registers[(opcode >>> 3) & 7];
  const imm = (opcode >>> 6) & 0x1f;
  data.words = 1;
  switch (opcode >>> 12) {
    case 4: // literals
      data.at = ((registers[PC] + 4) & ~3) + 4 * (opcode & 0xff);
      data.words = opcode >>> 11 === 9 ? 1 : 0;
      break;
    case 5:
      data.at = low + registers[imm & 7];
      break;
    case 6:
      data.at = low + 4 * imm;
      break;
    case 7:
      data.at = low + imm;
      break;
    case 8:
      data.at = low + 2 * imm;
      break;
    case 9:
      data.at = registers[SP] + 4 * (opcode & 0xff);
      break;
    case 11:
      data.words = (opcode & 0x600) === 0x400 ? ones(opcode & 0x1ff) : 0;
      data.at = registers[SP] - (opcode & 0x800 ? 0 : 4 * data.words);
      break;
    case 12:
      data.at = registers[(opcode >>> 8) & 7];
      data.words = ones(opcode & 0xff);
      break;
    default:
      data.words = 0;
  }
}

// What serves one access in a cycle: four banks that take words in turn, two small ones, ROM,
// flash, and the bridge to peripherals. The SIO has a port for each core.
export function bankOf(address) {
  const region = address >>> 28;
  if (region === 2) {
    const offset = address & 0xffffff;
    return offset < 0x40000 ? (offset >>> 2) & 3 : offset < 0x41000 ? 4 : 5;
  }
  return region === SIO || region === 0xe ? NO_BANK : 6 + region;
}

// When a core has what bank: a cycle for each word that it fetches and each that it loads or stores.
export class Traffic {
  constructor() {
    this.cycle = new Float64Array(AHEAD).fill(-1);
    this.bank = new Int8Array(AHEAD);
    this.word = -1; // fetched last
    this.stalls = 0;
  }

  // Cycles that an instruction, which takes `spent` from `start` on, waits for the other core.
  charge(opcode, pc, start, spent, other) {
    let delay = 0;
    if (pc >>> 2 !== this.word) {
      this.word = pc >>> 2;
      delay = this.take(bankOf(pc), start, other);
    }
    const { at, words } = data;
    for (let i = 0; i < words; i++) {
      const cycle = start + spent - words + i + delay;
      delay += this.take(bankOf((at + 4 * i) >>> 0), cycle, other);
    }
    this.stalls += delay;
    return delay;
  }

  take(bank, cycle, other) {
    if (bank === NO_BANK) {
      return 0;
    }
    let waited = 0;
    while (other.cycle[(cycle + waited) % AHEAD] === cycle + waited &&
           other.bank[(cycle + waited) % AHEAD] === bank) {
      waited++;
    }
    this.cycle[(cycle + waited) % AHEAD] = cycle + waited;
    this.bank[(cycle + waited) % AHEAD] = bank;
    return waited;
  }
}

// Both cores of a chip's life. Core 0 is rp2040js's own, its time the chip's clock.
export class Cores {
  // `equip(core)` gives a core the chip's memory; `contention`: they wait for each other's banks.
  constructor(rp, clock, equip, contention) {
    this.clock = clock;
    this.contention = contention;
    this.first = rp.core;
    this.second = new rp.core.constructor(rp);
    this.first.own = new Own(0);
    this.second.own = new Own(1);
    this.first.own.peer = this.second.own;
    this.second.own.peer = this.first.own;
    this.second.own.core = this.second;
    this.traffic = [new Traffic(), new Traffic()];
    this.time = 0; // of core 1, in cycles of the clock
    this.awake = false;
    this.tie = false;
    this.seen = clock.createAlarm(() => {});
    equip(this.first);
    equip(this.second);
    rp.logger.info = (_, message) => message === SEV && this.signal();
  }

  // Core 1 is off, or starts in the ROM.
  power(on) {
    const { second } = this;
    this.awake = on;
    if (on) {
      this.second.own.incoming.length = 0;
      this.first.own.incoming.length = 0;
      second.registers.fill(0);
      second.registers[14] = 0xffffffff;
      second.VTOR = 0;
      second.PM = false;
      second.IPSR = 0;
      second.waiting = false;
      second.eventRegistered = false;
      second.SP = second.readUint32(0);
      second.PC = second.readUint32(4) & ~1;
      this.time = this.clock.cycles;
      this.seen.schedule(0);
    }
  }

  // SEV, by either core.
  signal() {
    this.wake(this.first);
    this.wake(this.second);
  }

  wake(core) {
    if (!core.waiting || core.readUint16(core.registers[PC] - 2) !== WFE) {
      core.eventRegistered = true;
      return;
    }
    core.waiting = false;
    if (core === this.second) {
      this.time = Math.max(this.time, this.clock.cycles);
      this.awake = true;
      this.seen.schedule(0); // whoever runs core 0 alone looks up
    } else {
      this.clock.cycles = Math.max(this.clock.cycles, this.time);
    }
  }

  // Whether core 1 is next. Of two that are as far, one then the other.
  secondIsNext() {
    if (this.time !== this.clock.cycles) {
      return this.time < this.clock.cycles;
    }
    this.tie = !this.tie;
    return this.tie;
  }

  // Before core `number` executes; charge() behind it.
  look(number, opcode) {
    if (this.contention) {
      findData(opcode, (number ? this.second : this.first).registers);
    }
  }

  charge(number, opcode, pc, start, spent) {
    return this.contention
      ? this.traffic[number].charge(opcode, pc, start, spent, this.traffic[1 - number])
      : 0;
  }

  get stalls() {
    return this.traffic.map((one) => one.stalls);
  }
}
