// The options of pico.mjs, and what they name. All of it is checked before anything runs; an Error
// names the option, its value and what to do.

import { constants, openSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { format, join, parse, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { Elf, isElf } from './elf.mjs';
import { checkProgram, checkSame, flashOfElf, flashOfFile } from './flash.mjs';

const ROM_SIZE = 16384;
const ROM_MAGIC = 'Mu\x01'; // at 0x10
const LAST_PORT = 65535;

// Name, value, purpose.
const OPTIONS = [
  ['package', 'FOLDER', 'has node_modules/rp2040js in it'],
  ['rom', 'FILE', 'rom.bin, for address 0; rom.elf must lie beside it'],
  ['elf', 'FILE', 'picotrain.elf: what is in flash, and where the program is idle'],
  ['flash', 'FILE', 'what is in flash, raw or UF2; the rest of 2 MiB is erased'],
  ['any-flash', '', 'take a flash that holds no program, or not that of --elf'],
  ['uart', 'PORT', 'TCP server on 127.0.0.1 for the UART; 0: any free port'],
  ['usb', 'PORT', 'the same for USB; without it nothing is plugged in'],
  ['control', 'FD|PATH', 'control channel, inherited or a Unix socket; the chip waits for it'],
  ['uart-overrun', '', 'the UART loses what its FIFO has no room for, as on the wire'],
  ['uncorrected', '', 'PUSH with LR and POP with PC as rp2040js counts them'],
  ['no-contention', '', "cores do not wait for each other's banks of memory"],
  ['count', '', 'count executions and cycles by instruction'],
  ['unique', 'HEX', "the flash's unique number, 16 digits"],
  ['save-flash', 'FILE', 'write the 2 MiB there at the end'],
  ['help', '', 'print this'],
];
const UNIQUE = 'e660000000000001';

export function help() {
  const lines = OPTIONS.map(([name, value, purpose]) => {
    return `  --${`${name} ${value}`.padEnd(17)} ${purpose}\n`;
  });
  return (
    'Runs a Raspberry Pi Pico in rp2040js, from reset. It needs --package, --rom, --elf or\n' +
    `--flash, and a port.\n\n${lines.join('')}\n` +
    'emulation/rp2040js/README.md says more.\n'
  );
}

// Throws what `get` throws, with `subject` before it.
function about(subject, get) {
  try {
    return get();
  } catch (error) {
    throw new Error(`${subject} ${error.message}`);
  }
}

// "ENOENT: no such file or directory, open 'x'" without its ends.
export const reason = (error) => /: (.*?)(,|$)/.exec(error.message)?.[1] ?? error.message;

function contents(path, fix) {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`cannot be read (${reason(error)}): ${fix}`);
  }
}

function port(name, text) {
  if (text === undefined) {
    return undefined;
  }
  if (!/^\d{1,5}$/.test(text) || Number(text) > LAST_PORT) {
    throw new Error(`--${name} ${text} is no port: give 1 to ${LAST_PORT}, or 0 for a free one`);
  }
  return Number(text);
}

function emulator(folder) {
  const pinned = JSON.parse(readFileSync(new URL('package.json', import.meta.url)));
  const wanted = pinned.dependencies.rp2040js;
  const fix = 'run `python -m picotrain.device.targets.node_package`, which installs it into build/rp2040js';
  let held;
  try {
    const manifest = join(folder, 'node_modules', 'rp2040js', 'package.json');
    held = JSON.parse(readFileSync(manifest)).version;
  } catch {
    throw new Error(`has no node_modules/rp2040js in it: ${fix}`);
  }
  if (held !== wanted) {
    throw new Error(`holds rp2040js ${held}, not ${wanted}: ${fix}`);
  }
  return createRequire(resolve(folder, 'package.json'))('rp2040js').RP2040;
}

function readRom(path) {
  const bytes = contents(path, '`make -C emulation/rom` builds build/rp2040/rom.bin');
  if (isElf(bytes)) {
    throw new Error('is an ELF file: give the rom.bin beside it');
  }
  const magic = bytes.toString('latin1', 16, 16 + ROM_MAGIC.length);
  if (bytes.length > ROM_SIZE || magic !== ROM_MAGIC) {
    throw new Error('is no boot ROM: `make -C emulation/rom` builds build/rp2040/rom.bin');
  }
  const rom = new Uint32Array(ROM_SIZE / 4);
  new Uint8Array(rom.buffer).set(bytes);
  return rom;
}

// Where the ROM is a USB drive, from its symbols.
function bootselBeside(rom) {
  const { dir, name } = parse(rom);
  const path = format({ dir, name, ext: '.elf' });
  return about(`${path} (beside --rom)`, () => {
    const bytes = contents(path, '`make -C emulation/rom` builds both');
    return new Elf(bytes).symbol('rom_bootsel');
  });
}

// What is in flash, and where it is idle if that is known.
function program(given) {
  const build = '`make firmware` builds build/rp2040/picotrain';
  const elf =
    given.elf && about(`--elf ${given.elf}`, () => new Elf(contents(given.elf, `${build}.elf`)));
  const idle = elf && about(`--elf ${given.elf}`, () => elf.symbol('pt_board_idle'));
  const source = given.flash ? `--flash ${given.flash}` : `--elf ${given.elf}`;
  const flash = about(source, () => {
    const held = given.flash
      ? flashOfFile(contents(given.flash, `${build}.bin`))
      : flashOfElf(elf);
    if (!given['any-flash']) {
      checkProgram(held);
      if (elf) {
        checkSame(held, elf, given.elf);
      }
    }
    return held;
  });
  return { flash, idle };
}

function openToSave(path) {
  try {
    // What is there stays until there is something to write.
    return openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o666);
  } catch (error) {
    throw new Error(`cannot be written (${reason(error)}): give a file in a folder that exists`);
  }
}

function parsed(argv) {
  const options = Object.fromEntries(
    OPTIONS.map(([name, value]) => [name, { type: value ? 'string' : 'boolean' }]),
  );
  try {
    return parseArgs({ args: argv, options }).values;
  } catch (error) {
    const [mistake] = error.message.split(/\.\s|\.$/m);
    throw new Error(`${mistake}; --help lists the options`);
  }
}

// All that the user gave, or null where it asks for help.
export function readOptions(argv) {
  const given = parsed(argv);
  if (given.help) {
    return null;
  }
  const missing = (what) => new Error(`${what}; --help lists the options`);
  for (const name of ['package', 'rom']) {
    if (!given[name]) {
      throw missing(`--${name} is missing`);
    }
  }
  if (!given.elf && !given.flash) {
    throw missing('--elf is missing, or --flash');
  }
  const ports = { uart: port('uart', given.uart), usb: port('usb', given.usb) };
  if (ports.uart === undefined && ports.usb === undefined && given.control === undefined) {
    throw missing('nobody could reach the chip: give --uart PORT, --usb PORT or both');
  }
  const unique = given.unique ?? UNIQUE;
  if (!/^[0-9a-f]{16}$/i.test(unique)) {
    throw new Error(`--unique ${unique} is no number of 8 bytes: give 16 hexadecimal digits`);
  }

  const RP2040 = about(`--package ${given.package}`, () => emulator(given.package));
  const rom = about(`--rom ${given.rom}`, () => readRom(given.rom));
  const bootsel = bootselBeside(given.rom);
  const { flash, idle } = program(given);
  const saved = given['save-flash'];
  return {
    RP2040,
    rom,
    flash,
    idle,
    bootsel,
    ports,
    control: given.control,
    overrun: given['uart-overrun'] ?? false,
    corrected: !given.uncorrected,
    contention: !given['no-contention'],
    count: given.count ?? false,
    unique: [...Buffer.from(unique, 'hex')],
    save: saved && { path: saved, file: about(`--save-flash ${saved}`, () => openToSave(saved)) },
  };
}
