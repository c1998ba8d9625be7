// Peripherals that rp2040js lacks, or models too kindly to find a mistake: section numbers are of
// the RP2040 datasheet.

const MASK24 = 0xffffff;

// The program asked for what the chip does and this emulator does not: nothing after it would be
// true.
export class Unmodelled extends Error {}

// Registers without a function, with their values at reset.
export class Storage {
  constructor(registers, mask = 0xffffffff) {
    this.registers = new Map(Object.entries(registers).map(([at, value]) => [Number(at), value]));
    this.mask = mask;
  }

  readUint32(offset) {
    if (!this.registers.has(offset)) {
      throw new Unmodelled(`register ${hex(offset)} of ${this.constructor.name} is not modelled`);
    }
    return this.registers.get(offset);
  }

  writeUint32(offset, value) {
    this.readUint32(offset);
    this.registers.set(offset, value >>> 0);
  }

  writeUint32Atomic(offset, value, alias) {
    const old = alias ? this.readUint32(offset) : 0;
    const masked = [value, old ^ value, old | value, old & ~value][alias];
    this.written = value;
    this.writeUint32(offset, masked >>> 0);
  }
}

// 2.19.6.2: the flash's pins. SS low, then high, is one command to the flash. Let go, it is the
// button's.
export class IoQspi extends Storage {
  constructor(ssi) {
    const registers = {};
    for (let pin = 0; pin < 6; pin++) {
      registers[8 * pin] = 0; // status
      registers[8 * pin + 4] = 31; // control
    }
    super(registers);
    this.ssi = ssi;
  }

  writeUint32(offset, value) {
    super.writeUint32(offset, value);
    if (offset === 0x0c) {
      this.ssi.select(((value >>> 8) & 3) === 2);
      this.ssi.released = ((value >>> 12) & 3) === 2;
    }
  }
}

// 2.10.6
export class Vreg extends Storage {
  constructor() {
    super({ 0: 0xb1, 4: 0x9, 8: 0x100 });
  }

  readUint32(offset) {
    return (super.readUint32(offset) | (offset === 0 ? 1 << 12 : 0)) >>> 0; // ROK: regulated
  }
}

// 2.6.3.6: there is no cache, so it is always flushed.
export class XipControl extends Storage {
  constructor() {
    super({ 0: 3, 4: 0, 8: 2, 0xc: 0, 0x10: 0 });
  }

  readUint32(offset) {
    return offset === 4 || offset === 8 ? 2 >> (offset === 4) : super.readUint32(offset);
  }
}

// 2.14.3: blocks start in reset, and an access to one in reset is a mistake.
export class Resets extends Storage {
  constructor(held) {
    super({ 0: held, 4: 0, 8: 0 });
  }

  get held() {
    return this.registers.get(0);
  }

  readUint32(offset) {
    return offset === 8 ? ~this.held & 0x1ffffff : super.readUint32(offset);
  }

  writeUint32(offset, value) {
    super.writeUint32(offset, value & 0x1ffffff);
  }
}

export const RESET_BIT = new Map(
  Object.entries({
    0x4004c: 0, 0x50000: 2, 0x40044: 3, 0x40048: 4, 0x40014: 5, 0x40018: 6, 0x4001c: 8,
    0x40020: 9, 0x50200: 10, 0x50300: 11, 0x40028: 12, 0x4002c: 13, 0x40050: 14, 0x4005c: 15,
    0x4003c: 16, 0x40040: 17, 0x40004: 18, 0x40000: 19, 0x4006c: 20, 0x40054: 21, 0x40034: 22,
    0x40038: 23, 0x50100: 24, 0x50110: 24,
  }).map(([block, bit]) => [Number(block), bit]),
);

// 4.10: the SSI, and behind it a flash of 2 MiB with status, write enable and a unique number.
// Reads of memory through it (XIP) and the ROM's erase and program go to the bytes directly.
export class Ssi extends Storage {
  constructor(unique) {
    super({
      0x00: 0, 0x04: 0, 0x08: 0, 0x0c: 0, 0x10: 0, 0x14: 0, 0x18: 0, 0x1c: 0, 0x2c: 0, 0x4c: 0,
      0xf0: 0, 0xf4: 0, 0xf8: 0,
    });
    this.unique = unique;
    this.status = [0, 0];
    this.writable = false;
    this.held = false;
    this.released = false; // SS is not driven
    this.command = [];
    this.received = [];
    this.mapped = false; // the flash is memory
  }

  // By hand SS stays low over more than the SSI's FIFO holds; else it ends when the FIFO is empty.
  select(low) {
    this.held = low;
    this.end();
  }

  end() {
    const [code, ...bytes] = this.command;
    this.command = [];
    if (code === 0x06) {
      this.writable = true;
    } else if (code === 0x01 && this.writable) {
      bytes.slice(0, 2).forEach((byte, at) => (this.status[at] = byte));
      this.writable = false;
    }
  }

  answer(at) {
    const [code] = this.command;
    if (code === 0x05) {
      return this.status[0] | (this.writable ? 2 : 0);
    }
    if (code === 0x35) {
      return this.status[1];
    }
    return code === 0x4b && at >= 5 ? this.unique[at - 5] ?? 0 : 0;
  }

  readUint32(offset) {
    if (offset === 0x28) {
      if (!this.held) {
        this.end(); // whoever asks has sent all
      }
      return 2 | 4 | (this.received.length ? 8 : 0);
    }
    if (offset === 0x60) {
      return this.received.shift() ?? 0;
    }
    if (offset === 0x20 || offset === 0x24) {
      return offset === 0x20 ? 0 : this.received.length;
    }
    return super.readUint32(offset);
  }

  writeUint32(offset, value) {
    if (offset === 0x60) {
      this.command.push(value & 0xff);
      if (this.received.length < 16) {
        this.received.push(this.answer(this.command.length - 1));
      }
      return;
    }
    super.writeUint32(offset, value);
    if (offset === 8) {
      this.end();
      this.received = [];
    }
    // Enabled, and set up to send an address and then read.
    this.mapped =
      (this.registers.get(8) & 1) !== 0 && ((this.registers.get(0) >>> 8) & 3) === 3;
  }
}

// Of the core (Armv6-M B3.3): 24 bits down to 0, then `reload`. Counts cycles of clk_sys.
export class SysTick {
  constructor(clock, pend) {
    this.clock = clock;
    this.pend = pend;
    this.alarm = clock.createAlarm(() => this.reached());
    this.control = 0;
    this.reload = 0;
    this.value = 0; // at cycle `since`
    this.since = 0;
    this.passed = 0; // times it got to 0 since then that the flag has told
    this.flag = false;
  }

  get elapsed() {
    return this.control & 1 ? this.clock.cycles - this.since : 0;
  }

  get counter() {
    const { elapsed, value, reload } = this;
    return elapsed <= value ? value - elapsed : reload - ((elapsed - value - 1) % (reload + 1));
  }

  get zeros() {
    const { elapsed, value, reload } = this;
    const first = value > 0 ? value : reload + 1;
    return elapsed < first || reload + value === 0
      ? 0
      : 1 + (reload ? Math.floor((elapsed - first) / (reload + 1)) : 0);
  }

  restart(value) {
    this.flag ||= this.zeros > this.passed;
    this.value = value;
    this.since = this.clock.cycles;
    this.passed = 0;
    this.plan();
  }

  plan() {
    this.alarm.cancel();
    const first = this.counter > 0 ? this.counter : this.reload + 1;
    if ((this.control & 3) === 3 && first > 0) {
      this.alarm.at = this.clock.nanos + first * this.clock.nanosPerCycle;
      this.clock.add(this.alarm);
    }
  }

  reached() {
    this.pend();
    this.plan();
  }

  read(offset) {
    if (offset === 0x10) {
      const flag = this.flag || this.zeros > this.passed;
      this.passed = this.zeros;
      this.flag = false;
      return this.control | (flag ? 1 << 16 : 0);
    }
    if (offset === 0x14) {
      return this.reload;
    }
    return offset === 0x18 ? this.counter : 0xc0000000; // no calibration
  }

  write(offset, value) {
    if (offset === 0x10) {
      if (value & 1 && !(value & 4)) {
        throw new Unmodelled('SysTick on its reference clock is not modelled');
      }
      this.restart(this.counter);
      this.control = value & 7;
      this.plan();
    } else if (offset === 0x14) {
      this.restart(this.counter);
      this.reload = value & MASK24;
      this.plan();
    } else if (offset === 0x18) {
      this.restart(0);
      this.flag = false;
    }
  }
}

// 4.2: a PL011. A byte takes ten bits on the wire, in both directions; both FIFOs hold 32.
// `wire.take()` gives the next byte from outside or -1, `wire.give(byte)` takes one.
export class Uart {
  constructor(clock, clkPeri, interrupt, wire, overrun) {
    this.clock = clock;
    this.clkPeri = clkPeri;
    this.interrupt = interrupt;
    this.wire = wire;
    this.overrun = overrun;
    this.registers = { 0x24: 0, 0x28: 0, 0x2c: 0, 0x30: 0x300, 0x34: 0x12, 0x38: 0, 0x48: 0 };
    this.raw = 0;
    this.rx = [];
    this.tx = [];
    this.lost = false; // before the next byte that is received
    this.arrival = clock.createAwaited(() => this.arrived());
    this.departure = clock.createAwaited(() => this.departed());
    this.silence = clock.createAwaited(() => this.raise(0x40));
  }

  // Bytes have come to where `wire.take` finds them.
  ring() {
    if (this.receiving && this.arrival.due === Infinity && this.arrivable) {
      this.arrival.schedule(this.byteNanos);
    }
  }

  get receiving() {
    return (this.registers[0x30] & 0x201) === 0x201 && this.divisor > 0;
  }

  get arrivable() {
    return this.wire.waiting && (this.overrun || this.rx.length < this.depth);
  }

  get divisor() {
    return this.registers[0x24] + this.registers[0x28] / 64;
  }

  get depth() {
    return this.registers[0x2c] & 0x10 ? 32 : 1;
  }

  get byteNanos() {
    const { divisor } = this;
    const bits = 2 + ((this.registers[0x2c] >> 5) & 3) + 5;
    return (bits * 16e9 * divisor) / this.clkPeri();
  }

  arrived() {
    const byte = this.wire.take();
    if (byte >= 0) {
      if (this.rx.length < this.depth) {
        this.rx.push(byte | (this.lost ? 0x800 : 0));
        this.lost = false;
      } else {
        this.lost = true;
        this.raise(0x400);
      }
      this.silence.schedule((this.byteNanos / 10) * 32);
      this.levels();
    }
    this.ring();
  }

  departed() {
    this.wire.give(this.tx.shift());
    this.depart();
    this.levels();
  }

  depart() {
    if (this.tx.length && this.departure.due === Infinity && this.divisor > 0) {
      this.departure.schedule(this.byteNanos);
    }
  }

  // The interrupts of the FIFOs follow their levels: 1/8, 1/4, 1/2, 3/4, 7/8 of 32.
  levels() {
    const level = (code) => (this.depth === 1 ? 1 : [4, 8, 16, 24, 28][code] ?? 28);
    const ifls = this.registers[0x34];
    if (this.rx.length >= level((ifls >> 3) & 7)) {
      this.raw |= 0x10;
    }
    if (this.tx.length <= level(ifls & 7)) {
      this.raw |= 0x20;
    }
    this.update();
  }

  raise(bits) {
    if (bits !== 0x40 || this.rx.length) {
      this.raw |= bits;
    }
    this.update();
  }

  update() {
    this.interrupt((this.raw & this.registers[0x38]) !== 0);
  }

  readUint32(offset) {
    if (offset === 0x00) {
      const value = this.rx.shift() ?? 0;
      if (this.rx.length === 0) {
        this.raw &= ~0x50;
      } else if (this.rx.length < [4, 8, 16, 24, 28][(this.registers[0x34] >> 3) & 7]) {
        this.raw &= ~0x10;
      }
      this.update();
      this.ring();
      return value;
    }
    if (offset === 0x18) {
      const { depth } = this;
      return (
        (this.tx.length ? 0x08 : 0x80) |
        (this.rx.length ? 0 : 0x10) |
        (this.tx.length >= depth ? 0x20 : 0) |
        (this.rx.length >= depth ? 0x40 : 0)
      );
    }
    if (offset === 0x3c || offset === 0x40) {
      return this.raw & (offset === 0x40 ? this.registers[0x38] : 0x7ff);
    }
    if (!(offset in this.registers)) {
      throw new Unmodelled(`UART0: register ${hex(offset)} is not modelled`);
    }
    return this.registers[offset];
  }

  writeUint32(offset, value) {
    if (offset === 0x00) {
      if (this.tx.length < this.depth && (this.registers[0x30] & 0x101) === 0x101) {
        this.tx.push(value & 0xff);
        this.depart();
      }
      if (this.tx.length > 16) {
        this.raw &= ~0x20;
      }
      this.update();
      return;
    }
    if (offset === 0x44) {
      this.raw &= ~this.written;
      this.update();
      return;
    }
    if (!(offset in this.registers)) {
      throw new Unmodelled(`UART0: register ${hex(offset)} is not modelled`);
    }
    this.registers[offset] = value >>> 0;
    this.levels();
    this.ring();
  }

  writeUint32Atomic(offset, value, alias) {
    this.written = value;
    const old = alias ? this.readUint32(offset) : 0;
    this.writeUint32(offset, [value, old ^ value, old | value, old & ~value][alias] >>> 0);
  }
}

export function hex(value) {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}
