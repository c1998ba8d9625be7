// As much of an ELF file as an emulator needs: what it loads where, and its symbols.

const ARM = 40; // e_machine
const PT_LOAD = 1;
const SHT_SYMTAB = 2;
const STT_FUNC = 2;

export const isElf = (bytes) => bytes.length >= 4 && bytes.readUInt32BE(0) === 0x7f454c46;

export class Elf {
  // `bytes`: a Buffer. Throws an Error whose message goes on after the file's name.
  constructor(bytes) {
    if (!isElf(bytes) || bytes[4] !== 1 || bytes[5] !== 1 || bytes.readUInt16LE(18) !== ARM) {
      throw new Error('is no ELF file of a 32-bit Arm: give the .elf of the build');
    }
    this.segments = []; // { address, bytes }: physical, with what the file holds
    this.symbols = new Map(); // name -> address, without the Thumb bit
    try {
      this.readSegments(bytes);
      this.readSymbols(bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) {
        throw error;
      }
      throw new Error('is a damaged ELF file, which points behind its end: build it again');
    }
  }

  readSegments(bytes) {
    for (const at of table(bytes, 28, 42, 44)) {
      if (bytes.readUInt32LE(at) === PT_LOAD) {
        const address = bytes.readUInt32LE(at + 12);
        this.segments.push({ address, bytes: part(bytes, at + 4, at + 16) });
      }
    }
  }

  readSymbols(bytes) {
    const sections = table(bytes, 32, 46, 48);
    const symtab = sections.find((at) => bytes.readUInt32LE(at + 4) === SHT_SYMTAB);
    if (symtab === undefined) {
      return;
    }
    const names = part(bytes, sections[bytes.readUInt32LE(symtab + 24)] + 16);
    const symbols = part(bytes, symtab + 16);
    for (let at = 0; at < symbols.length; at += 16) {
      const start = symbols.readUInt32LE(at);
      const value = symbols.readUInt32LE(at + 4);
      const code = (symbols[at + 12] & 15) === STT_FUNC;
      const name = names.toString('latin1', start, names.indexOf(0, start));
      this.symbols.set(name, code ? value - (value & 1) : value);
    }
  }

  symbol(name) {
    if (!this.symbols.has(name)) {
      throw new Error(`has no symbol ${name}: give the .elf of the build, with its symbols`);
    }
    return this.symbols.get(name);
  }
}

// Where the entries of a table begin; the arguments are where the header says so.
function table(bytes, offset, entrySize, entries) {
  const first = bytes.readUInt32LE(offset);
  const size = bytes.readUInt16LE(entrySize);
  return Array.from({ length: bytes.readUInt16LE(entries) }, (_, index) => first + index * size);
}

// The part of the file whose offset and size stand at these places.
function part(bytes, offset, size = offset + 4) {
  const start = bytes.readUInt32LE(offset);
  const end = start + bytes.readUInt32LE(size);
  if (end > bytes.length) {
    throw new RangeError();
  }
  return bytes.subarray(start, end);
}
