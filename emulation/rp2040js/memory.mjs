// What rp2040js's core gets for the chip: its memory, fast where it is memory, and faults where it is
// none.

import { hex, RESET_BIT, Unmodelled } from './peripherals.mjs';

const ROM_SIZE = 0x4000;
export const SRAM = 0x20000000;
export const SRAM_SIZE = 0x42000;
const XIP = 0x10000000;
const XIP_SIZE = 0x4000000; // four views of the flash
export const FLASH_SIZE = 0x200000;
const SP = 13;
export const PC = 15;
const TIMER_IRQS = 4; // the first ones of all
const EXCEPTION_CYCLES = 15;
const RETURN_CYCLES = 12; // with the 3 of the shortest instruction that returns

// The core cannot do what the instruction asks: an exception of the guest, not of this program.
export class Fault {
  constructor(what) {
    this.what = what;
  }
}

// Gives rp2040js's core the memory of the chip: fast where it is memory, a fault where it is none.
export function equip(Core) {
  const proto = Core.prototype;
  if (proto.equipped) {
    return;
  }
  proto.equipped = true;

  proto.fault = function (what) {
    throw new Fault(what);
  };

  proto.reachable = function (address, what) {
    if (address >>> 28 === 0xd) {
      return;
    }
    const block = (address >>> 14) << 2;
    const page = address >>> 12;
    if (page === 0xe000e || page === 0x50100 || block in this.rp2040.peripherals) {
      const bit = RESET_BIT.get(block);
      if (bit !== undefined && (this.resets.held >>> bit) & 1) {
        throw new Unmodelled(`${what} ${hex(address)}: the block there is in reset`);
      }
      return;
    }
    this.fault(`${what} ${hex(address)}: no memory there`);
  };

  proto.flashOffset = function (address, what) {
    if ((!this.ssi.mapped || this.ssi.released) && this.registers[PC] >= ROM_SIZE) {
      this.fault(`${what} ${hex(address)}: the flash is not mapped`);
    }
    return address & (FLASH_SIZE - 1);
  };

  proto.readUint32 = function (address) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE && (offset & 3) === 0) {
      return this.sram32[offset >>> 2];
    }
    address >>>= 0;
    if (address & 3) {
      this.fault(`word read at ${hex(address)}: not aligned`);
    }
    if (address < ROM_SIZE) {
      return this.rp2040.bootrom[address >>> 2];
    }
    if (address - XIP >>> 0 < XIP_SIZE) {
      return this.flash32[this.flashOffset(address, 'read at') >>> 2];
    }
    this.reachable(address, 'read at');
    return (this.own.read(address) ?? this.rp2040.readUint32(address)) >>> 0;
  };

  proto.readUint16 = function (address) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE && (offset & 1) === 0) {
      return this.sram16[offset >>> 1];
    }
    address >>>= 0;
    if (address & 1) {
      this.fault(`halfword read at ${hex(address)}: not aligned`);
    }
    if (address - XIP >>> 0 < XIP_SIZE) {
      return this.flash16[this.flashOffset(address, 'read at') >>> 1];
    }
    if (address >= ROM_SIZE) {
      this.reachable(address, 'read at');
    }
    return this.rp2040.readUint16(address);
  };

  proto.readUint8 = function (address) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE) {
      return this.sram8[offset];
    }
    address >>>= 0;
    if (address - XIP >>> 0 < XIP_SIZE) {
      return this.flash8[this.flashOffset(address, 'read at')];
    }
    if (address >= ROM_SIZE) {
      this.reachable(address, 'read at');
    }
    return this.rp2040.readUint8(address);
  };

  // Only the ROM's functions write flash: by plain stores, where the real ones send commands.
  proto.writeElsewhere = function (address, value, size) {
    address >>>= 0;
    if (address & (size - 1)) {
      this.fault(`write of ${size} bytes at ${hex(address)}: not aligned`);
    }
    if (address - XIP >>> 0 < XIP_SIZE && this.registers[PC] < ROM_SIZE) {
      const offset = address & (FLASH_SIZE - 1);
      if (size === 4) {
        this.flash32[offset >>> 2] = value;
      } else if (size === 2) {
        this.flash16[offset >>> 1] = value;
      } else {
        this.flash8[offset] = value;
      }
      return;
    }
    this.reachable(address, 'write at');
    if (size === 4) {
      if (!this.own.write(address, value)) {
        this.rp2040.writeUint32(address, value >>> 0);
      }
    } else if (size === 2) {
      this.rp2040.writeUint16(address, value & 0xffff);
    } else {
      this.rp2040.writeUint8(address, value & 0xff);
    }
  };

  proto.writeUint32 = function (address, value) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE && (offset & 3) === 0) {
      this.sram32[offset >>> 2] = value;
    } else {
      this.writeElsewhere(address, value, 4);
    }
  };

  proto.writeUint16 = function (address, value) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE && (offset & 1) === 0) {
      this.sram16[offset >>> 1] = value;
    } else {
      this.writeElsewhere(address, value, 2);
    }
  };

  proto.writeUint8 = function (address, value) {
    const offset = (address - SRAM) >>> 0;
    if (offset < SRAM_SIZE) {
      this.sram8[offset] = value;
    } else {
      this.writeElsewhere(address, value, 1);
    }
  };

  // A target without the Thumb bit is a fault at the target.
  const branch = proto.BXWritePC;
  proto.BXWritePC = function (address) {
    if (!(address & 1)) {
      this.registers[PC] = address;
      this.faultAt = address >>> 0;
      this.noThumb = true;
      this.fault(`branch to ${hex(address)}: not Thumb`);
    }
    branch.call(this, address);
  };

  const enter = proto.exceptionEntry;
  proto.exceptionEntry = function (number) {
    enter.call(this, number);
    if (this.noThumb) { // rp2040js stacks xPSR.T as if it were always set
      const xpsr = this.registers[SP] + 0x1c;
      this.writeUint32(xpsr, (this.readUint32(xpsr) & ~(1 << 24)) >>> 0);
      this.noThumb = false;
    }
    this.registers[PC] &= ~1;
    this.late += EXCEPTION_CYCLES;
    // A program that looks around by a timer has no news by that.
    const irq = number - 16;
    this.news ||= irq < 0 || irq >= TIMER_IRQS;
  };

  const leave = proto.exceptionReturn;
  proto.exceptionReturn = function (value) {
    leave.call(this, value);
    this.late += RETURN_CYCLES;
  };
}
