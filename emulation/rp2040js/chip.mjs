// The RP2040 of rp2040js, from reset, with what README.md lists corrected or added.

import { Cores } from './cores.mjs';
import { equip, Fault, PC, SRAM, SRAM_SIZE } from './memory.mjs';
import {
  hex, IoQspi, Resets, Ssi, Storage, SysTick, Uart, Unmodelled, Vreg, XipControl,
} from './peripherals.mjs';

const UART0_IRQ = 20;
const LED_PIN = 25;
const HIGH = 1; // of rp2040js's GPIOPinState
const GPIO_HI_IN = 8;
const QSPI_PINS = 0x3f;
const QSPI_SS = 2;

const HARD_FAULT = 3;
const BRANCH_TO_ITSELF = 0xe7fe;

// The ROM has taken the flash's pins out.
const RESETS_AT_RESET = 0x1ffffff & ~((1 << 6) | (1 << 9));
const PSM_ALL_BUT_OSCILLATORS = 0x1fffc;
const PSM_PROC1 = 0x10000;

class Restart {}

const BITTEN = 1; // of WATCHDOG_REASON: nobody asked for it

const MPU = new Map([[0xd90, 0x800], [0xd94, 0], [0xd98, 0], [0xd9c, 0], [0xda0, 0]]);

export class Chip {
  // `flash`: Uint8Array of FLASH_SIZE, changed in place; `wire` and `overrun` as for Uart;
  // `attachUsb(rp, clock)` gets every new USB controller, `log(line)` what deserves a line.
  // `newClock()` makes the clock of the next life, which `onReset(kind)` is told of.
  constructor(given) {
    const { RP2040, rom, flash, unique, wire, overrun, corrected, contention } = given;
    const { newClock, log, onReset, attachUsb } = given;
    Object.assign(this, { RP2040, rom, flash, unique, wire, overrun, corrected, contention });
    Object.assign(this, { newClock, log, onReset, attachUsb });
    this.sram = new Uint8Array(SRAM_SIZE);
    this.scratch = new Uint32Array(8);
    this.instructions = 0;
    this.pastCycles = 0;
    this.marks = new Uint8Array(0x10000);
    this.marked = new Map();
    this.quiet = 0; // passes through idle without an interrupt between, but for the timer's
    this.button = false; // BOOTSEL is held
    this.counts = null;
    this.reset('power');
  }

  get cycles() {
    return this.pastCycles + this.clock.cycles;
  }

  get pc() {
    return this.core.registers[PC] & ~1;
  }

  // kind: 'power' (SRAM is lost too), 'run' (the RUN pin), 'watchdog' (scratch registers stay).
  reset(kind, reason = 0) {
    if (kind === 'power') {
      this.sram.fill(0xa5); // nobody knows
    }
    if (kind !== 'watchdog') {
      this.scratch.fill(0);
      reason = 0;
    }
    this.pastCycles += this.clock?.cycles ?? 0;
    const clock = (this.clock = this.newClock());
    const rp = (this.rp = new this.RP2040(clock));
    const core = (this.core = rp.core);
    equip(core.constructor);

    this.ssi = new Ssi(this.unique);
    this.resets = new Resets(RESETS_AT_RESET);
    const refuse = (component, message) => this.refuse(component, message);
    rp.logger = { debug() {}, info() {}, warn: refuse, error: refuse };
    rp.onBreak = () => core.fault('breakpoint or undefined instruction');
    rp.bootrom.set(this.rom);
    rp.sram = this.sram;
    rp.sramView = new DataView(this.sram.buffer);
    rp.flash = this.flash;
    rp.flash16 = new Uint16Array(this.flash.buffer);
    rp.flashView = new DataView(this.flash.buffer);
    this.cores = new Cores(rp, clock, (one) => this.furnish(one), this.contention);
    // The chip starts on its ring oscillator.
    rp.clkSys = rp.clkPeri = rp.roscFreq;
    clock.setFrequency(rp.clkSys);
    rp.addClockListener((hertz) => clock.setFrequency(hertz));

    const interrupt = (on) => rp.setInterrupt(UART0_IRQ, on);
    this.uart = new Uart(clock, () => rp.clkPeri, interrupt, this.wire, this.overrun);
    Object.assign(rp.peripherals, {
      0x18000: this.ssi,
      0x14000: new XipControl(),
      0x4000c: this.resets,
      0x40018: new IoQspi(this.ssi),
      0x40034: this.uart,
      0x40064: new Vreg(),
    });
    this.coreRegisters();
    this.powerOfCores();
    const { sio } = rp;
    const readSio = sio.readUint32.bind(sio);
    sio.readUint32 = (offset) => (offset === GPIO_HI_IN ? this.qspiPins() : readSio(offset));
    this.attachUsb?.(rp, clock);

    const watchdog = (this.watchdog = rp.peripherals[0x40058]);
    watchdog.scratchData = this.scratch;
    watchdog.reason = reason;
    watchdog.onWatchdogTrigger = () => this.bite(rp.peripherals[0x40010].wdsel, watchdog.reason);

    this.fatal = null; // why nothing runs any more, until a reset
    this.locked = null; // why the core does nothing until a reset
    this.quiet = 0;
    core.VTOR = 0;
    core.registers.fill(0);
    core.registers[14] = 0xffffffff;
    core.SP = core.readUint32(0);
    core.PC = core.readUint32(4) & ~1;
    this.cores.power(true);
    this.onReset?.(kind);
  }

  // Its memory, as far as it is fast, and what it keeps for this file.
  furnish(core) {
    const { rp } = this;
    Object.assign(core, { ssi: this.ssi, resets: this.resets });
    core.sram8 = this.sram;
    core.sram16 = new Uint16Array(this.sram.buffer);
    core.sram32 = new Uint32Array(this.sram.buffer);
    core.flash8 = this.flash;
    core.flash16 = rp.flash16;
    core.flash32 = new Uint32Array(this.flash.buffer);
    core.late = 0;
    core.news = false;
    core.faultAt = -1;
    core.noThumb = false;
    // BLX too must go to Thumb code; lr is overwritten already.
    core.blTaken = (_, blx) => {
      if (blx) {
        const register = (core.readUint16((core.registers[14] & ~1) - 2) >>> 3) & 15;
        if (register !== 14 && !(core.registers[register] & 1)) {
          core.faultAt = core.registers[PC];
          core.noThumb = true;
          core.fault(`call of ${hex(core.faultAt)}: not Thumb`);
        }
      }
    };
  }

  // SysTick and the MPU's registers, in place of rp2040js's; the MPU protects nothing.
  coreRegisters() {
    const { rp, core } = this;
    const systick = (this.systick = new SysTick(this.clock, () => {
      core.pendingSystick = true;
      core.interruptsUpdated = true;
    }));
    const mpu = new Map(MPU);
    const { ppb } = rp;
    ppb.systickTimer.enable = false;
    const read = ppb.readUint32.bind(ppb);
    const write = ppb.writeUint32.bind(ppb);
    ppb.readUint32 = (offset) => {
      if (offset >= 0x10 && offset <= 0x1c) {
        return systick.read(offset);
      }
      return mpu.get(offset) ?? read(offset);
    };
    ppb.writeUint32 = (offset, value) => {
      if (offset >= 0x10 && offset <= 0x1c) {
        systick.write(offset, value);
      } else if (mpu.has(offset)) {
        mpu.set(offset, value);
      } else if (offset === 0xd0c) {
        this.requestReset(value);
      } else {
        write(offset, value);
      }
    };
  }

  // Core 1 can be forced off, and then starts anew.
  powerOfCores() {
    const psm = this.rp.peripherals[0x40010];
    const write = psm.writeUint32.bind(psm);
    psm.writeUint32 = (offset, value) => {
      const before = psm.frceOff & PSM_PROC1;
      write(offset, value);
      if ((psm.frceOff & PSM_PROC1) !== before) {
        this.cores.power(before !== 0);
      }
    };
  }

  // All are pulled up or driven high; BOOTSEL wins over the pull-up alone.
  qspiPins() {
    return this.button && this.ssi.released ? QSPI_PINS & ~QSPI_SS : QSPI_PINS;
  }

  get led() {
    return this.rp.gpio[LED_PIN].value === HIGH;
  }

  // AIRCR.SYSRESETREQ resets one core on the chip: with the rest as it was.
  requestReset(value) {
    if (value >>> 16 === 0x5fa && value & 4) {
      throw new Unmodelled('a reset of the core alone (AIRCR) is not modelled');
    }
  }

  bite(wdsel, reason) {
    if (wdsel === 0) {
      this.watchdog.alarm.enable = false; // it has come to 0 and stays there
      return;
    }
    if ((wdsel & PSM_ALL_BUT_OSCILLATORS) !== PSM_ALL_BUT_OSCILLATORS) {
      throw new Unmodelled(`a watchdog reset of ${hex(wdsel)} (PSM WDSEL) alone is not modelled`);
    }
    throw Object.assign(new Restart(), { reason });
  }

  refuse(component, message) {
    if (component === 'CortexM0Core') {
      this.core.fault(message);
    }
    throw new Unmodelled(`${component}: ${message}`);
  }

  // The program is idle once more -> how often in a row without an interrupt between.
  passIdle() {
    this.quiet = this.core.news ? 1 : this.quiet + 1;
    this.core.news = false;
    return this.quiet;
  }

  mark(address, kind) {
    this.marks[(address >>> 1) & 0xffff] = 1;
    this.marked.set(address, kind);
  }

  unmark(address) {
    this.marked.delete(address);
    this.marks.fill(0);
    for (const one of this.marked.keys()) {
      this.marks[(one >>> 1) & 0xffff] = 1;
    }
  }

  // Runs until `limit` cycles (of this.clock) or a mark that `at(kind, pc)` calls an end. Returns
  // 'limit', 'mark', 'reset', 'locked' or 'fatal'. `first`: not asked about the next instruction.
  run(limit, at, first = false) {
    if (this.fatal) {
      return 'fatal';
    }
    const { clock } = this;
    const start = clock.cycles;
    for (;;) {
      try {
        if (clock.cycles >= clock.next) {
          clock.fire();
        }
        if (clock.cycles >= limit) {
          return 'limit';
        }
        if (this.locked) {
          // Time passes; the watchdog may bite.
          clock.cycles = Math.min(limit, clock.next);
          if (clock.cycles === limit) {
            return 'locked';
          }
          continue;
        }
        // What came before WFI ends it too, also where PRIMASK keeps it from being taken.
        if (this.core.waiting && this.core.pendingInterrupts & this.core.enabledInterrupts) {
          this.core.waiting = false;
        }
        const due = Math.min(limit, clock.next);
        if (this.core.waiting && !this.cores.awake) {
          clock.cycles = due;
          continue;
        }
        if (this.counts ? this.spanCounting(due, at, first) : this.span(due, at, first)) {
          return 'mark';
        }
        first = clock.cycles === start && first;
      } catch (thrown) {
        if (thrown instanceof Restart) {
          this.bittenAt = thrown.reason === BITTEN ? this.pc : 0;
          this.reset('watchdog', thrown.reason);
          return 'reset';
        }
        if (thrown instanceof Fault) {
          this.raise(this.core, thrown.what);
        } else if (thrown instanceof Unmodelled) {
          this.fatal = `${thrown.message}, pc ${hex(this.pc)}`;
          this.log(this.fatal);
          return 'fatal';
        } else {
          throw thrown;
        }
        first = false;
      }
    }
  }

  // The inner loop: instructions until cycle `due`. clock.next may come nearer meanwhile.
  span(due, at, first) {
    const { clock, core, marks } = this;
    if (this.cores.awake) {
      return this.spanOfBoth(due, at, first);
    }
    const { registers, sram16, flash16 } = core;
    const corrected = this.corrected ? 0xf700 : -1;
    let count = 0;
    try {
      while (clock.cycles < due && clock.cycles < clock.next) {
        if (core.interruptsUpdated) {
          this.interrupts();
        }
        const pc = registers[PC];
        if (marks[(pc >>> 1) & 0xffff] !== 0 && !first && this.ends(pc, at)) {
          return true;
        }
        first = false;
        const offset = pc - SRAM;
        const opcode =
          offset >= 0 && offset < SRAM_SIZE ? sram16[offset >>> 1] : flash16[(pc & 0x1fffff) >>> 1];
        this.at = pc;
        if (opcode === BRANCH_TO_ITSELF) {
          // Only an alarm can end this, so time may jump there.
          const times = Math.ceil((Math.min(due, clock.next) - clock.cycles) / 2);
          clock.cycles += 2 * times;
          count += times;
          continue;
        }
        count++;
        const cycles = core.executeInstruction();
        // rp2040js leaves LR out of PUSH, and PC out of POP.
        clock.cycles += (opcode & corrected) === 0xb500 ? cycles + 1 : cycles;
        if (core.waiting) {
          return false;
        }
      }
    } finally {
      this.instructions += count;
    }
    return false;
  }

  // The same with core 1, which goes first where it is behind.
  spanOfBoth(due, at, first) {
    const { clock, core, cores } = this;
    while (cores.awake && clock.cycles < due && clock.cycles < clock.next) {
      if (core.waiting && cores.time >= Math.min(due, clock.next)) {
        clock.cycles = Math.min(due, clock.next);
        break;
      }
      if (core.waiting || cores.secondIsNext()) {
        this.stepSecond();
        continue;
      }
      if (core.interruptsUpdated) {
        this.interrupts();
      }
      const pc = core.registers[PC];
      if (this.marks[(pc >>> 1) & 0xffff] !== 0 && !first && this.ends(pc, at)) {
        return true;
      }
      first = false;
      this.at = pc;
      this.instructions++;
      const start = clock.cycles;
      const spent = this.execute(core, 0, pc, start);
      clock.cycles = Math.max(clock.cycles, start + spent);
    }
    return false;
  }

  stepSecond() {
    const { cores } = this;
    const core = cores.second;
    const pc = core.registers[PC];
    const start = cores.time;
    this.atSecond = pc;
    try {
      const spent = this.execute(core, 1, pc, start);
      cores.time = Math.max(cores.time, start + spent);
      cores.awake = !core.waiting;
    } catch (thrown) {
      if (!(thrown instanceof Fault)) {
        throw thrown;
      }
      this.raise(core, thrown.what);
    }
  }

  // One instruction -> its cycles, and those that it waits for the other core.
  execute(core, number, pc, start) {
    const { cores } = this;
    const opcode = core.readUint16(pc);
    cores.look(number, opcode);
    const cycles = core.executeInstruction();
    const spent = this.corrected && (opcode & 0xf700) === 0xb500 ? cycles + 1 : cycles;
    return spent + cores.charge(number, opcode, pc, start, spent);
  }

  // The same with a count of each instruction, by half a word of ROM, flash and SRAM.
  spanCounting(due, at, first) {
    const { clock } = this;
    while (clock.cycles < due && clock.cycles < clock.next) {
      const before = clock.cycles;
      const executed = this.instructions;
      const next = this.core.registers[PC] & ~1;
      if (this.core.interruptsUpdated || this.marks[(next >>> 1) & 0xffff] !== 0) {
        if (this.span(Math.min(due, before + 1), at, first)) {
          return true;
        }
      } else {
        this.span(before + 1, at, first);
      }
      if (this.instructions === executed) {
        return false; // core 1 alone
      }
      first = false;
      const pc = this.at;
      let held = this.counts.get(pc);
      if (held === undefined) {
        this.counts.set(pc, (held = { executions: 0, cycles: 0, least: Infinity }));
      }
      const spent = clock.cycles - before;
      held.executions++;
      held.cycles += spent;
      held.least = Math.min(held.least, spent);
      if (this.core.waiting) {
        return false;
      }
    }
    return false;
  }

  interrupts() {
    const { core } = this;
    core.checkForInterrupts();
    this.clock.cycles += core.late;
    core.late = 0;
  }

  ends(pc, at) {
    const kind = this.marked.get(pc & ~1);
    return kind !== undefined && at(kind, pc & ~1);
  }

  // The HardFault exception at the instruction that cannot be done; in a fault handler, lockup.
  raise(core, what) {
    const at = core === this.core ? this.at : this.atSecond;
    const pc = (core.faultAt >= 0 ? core.faultAt : at) & ~1;
    core.faultAt = -1;
    this.pass(core, 1);
    if (core.IPSR === HARD_FAULT || core.IPSR === 2) {
      core.registers[PC] = pc;
      this.lockUp(core, `${what}, pc ${hex(pc)}`);
      return;
    }
    core.registers[PC] = pc;
    try {
      core.exceptionEntry(HARD_FAULT);
      this.pass(core, core.late);
      core.late = 0;
    } catch (thrown) {
      if (!(thrown instanceof Fault)) {
        throw thrown;
      }
      this.lockUp(core, `${what}, pc ${hex(pc)}, and then ${thrown.what}`);
    }
  }

  pass(core, cycles) {
    if (core === this.core) {
      this.clock.cycles += cycles;
    } else {
      this.cores.time += cycles;
    }
  }

  // Core 1 may: the program goes on without it.
  lockUp(core, what) {
    if (core === this.core) {
      this.locked = what;
      this.log(`lockup: ${what}`);
    } else {
      this.cores.awake = false;
      this.log(`lockup of core 1: ${what}`);
    }
  }
}
