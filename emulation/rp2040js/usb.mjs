// The RP2040's USB controller as a device (datasheet 4.1), and a host with a serial port.
//
// Stricter than rp2040js's: a packet moves when both sides are ready, data toggles and buffer
// controls are checked as the wire and the controller would, and what is wrong is a complaint.

import { hex, Storage, Unmodelled } from './peripherals.mjs';

const DPRAM_BUFFERS = 0x80;
const EP0_BUFFER = 0x100;
const PACKET = 64;
const USB_IRQ = 5;

const FULL = 1 << 15;
const DATA1 = 1 << 13;
const STALL = 1 << 11;
const AVAILABLE = 1 << 10;
const LENGTH = 0x3ff;

const ADDR_ENDP = 0x00;
const MAIN_CTRL = 0x40;
const SOF_RD = 0x48;
const SIE_CTRL = 0x4c;
const SIE_STATUS = 0x50;
const BUFF_STATUS = 0x58;
const EP_ABORT = 0x60;
const EP_ABORT_DONE = 0x64;
const EP_STALL_ARM = 0x68;
const MUXING = 0x74;
const PWR = 0x78;
const INTR = 0x8c;
const INTE = 0x90;
const INTF = 0x94;
const INTS = 0x98;

const BUS_RESET = 1 << 19;
const SETUP_REC = 1 << 17;
const SUSPENDED = 1 << 4;
const INT_BUFF_STATUS = 1 << 4;
const INT_BUS_RESET = 1 << 12;
const INT_SETUP_REQ = 1 << 16;
const INT_SOF = 1 << 17;

const MS = 1e6; // nanoseconds
const DEBOUNCE = 100 * MS;
const RESET_TIME = 10 * MS;
const RECOVERY = 10 * MS;
const ADDRESS_TIME = 2 * MS;
const ANSWER_TIME = 1000 * MS;
const TURN = 5e3; // tokens, gaps and handshake of a transaction
const BYTE = (8 * 1e9) / 12e6;

class Controller extends Storage {
  constructor(rp, clock, host) {
    super({
      [ADDR_ENDP]: 0, [MAIN_CTRL]: 0, [SIE_CTRL]: 0, [EP_ABORT]: 0, [EP_STALL_ARM]: 0,
      [MUXING]: 0, [PWR]: 0, [INTE]: 0, [INTF]: 0,
    });
    Object.assign(this, { rp, clock, host });
    this.status = 0;
    this.buffers = 0;
    this.aborted = 0;
    this.sof = false;
    this.frame = clock.createAlarm(() => this.frameBegins());
  }

  get attached() {
    const on = (register, bits) => (this.registers.get(register) & bits) === bits;
    return on(MAIN_CTRL, 1) && on(SIE_CTRL, 1 << 16) && on(MUXING, 9) && on(PWR, 0xc);
  }

  get raw() {
    return (
      (this.buffers ? INT_BUFF_STATUS : 0) |
      (this.status & BUS_RESET ? INT_BUS_RESET : 0) |
      (this.status & SETUP_REC ? INT_SETUP_REQ : 0) |
      (this.sof ? INT_SOF : 0)
    );
  }

  update() {
    const pending = (this.raw & this.registers.get(INTE)) | this.registers.get(INTF);
    this.rp.setInterrupt(USB_IRQ, pending !== 0);
  }

  // Frames are counted, but told only to a program that wants the interrupt.
  frameBegins() {
    this.sof = true;
    this.update();
    this.nextFrame();
  }

  nextFrame() {
    this.frame.cancel();
    if (this.registers.get(INTE) & INT_SOF && this.host.bus === this && this.host.running) {
      this.frame.schedule(MS - (this.clock.nanos % MS));
    }
  }

  readUint32(offset) {
    switch (offset) {
      case SIE_STATUS:
        return (this.status | (this.registers.get(PWR) & 4 ? 1 : 0)) >>> 0;
      case BUFF_STATUS:
        return this.buffers;
      case EP_ABORT_DONE:
        return this.aborted;
      case SOF_RD:
        this.sof = false;
        this.update();
        return Math.floor(this.clock.nanos / MS) & 0x7ff;
      case INTR:
        return this.raw;
      case INTS:
        return (this.raw & this.registers.get(INTE)) | this.registers.get(INTF);
      default:
        return super.readUint32(offset);
    }
  }

  writeUint32(offset, value) {
    switch (offset) {
      case SIE_STATUS:
        this.status &= ~this.written;
        break;
      case BUFF_STATUS:
        this.buffers &= ~this.written;
        break;
      case EP_ABORT_DONE:
        this.aborted &= ~this.written;
        break;
      default:
        super.writeUint32(offset, value);
        if (offset === EP_ABORT) {
          this.aborted |= value; // no transaction is ever halfway
        }
    }
    if (offset === INTE) {
      this.nextFrame();
    }
    this.update();
    this.host.changed(this);
  }

  // The program wrote a word of the controller's memory.
  DPRAMUpdated(offset, value) {
    const side = (offset - DPRAM_BUFFERS) >> 2;
    if (side < 0 || side >= 32) {
      return;
    }
    if (value >>> 16) {
      throw new Unmodelled('USB: a second buffer of an endpoint is not modelled');
    }
    const before = this.before.get(side) ?? 0;
    if (value & AVAILABLE && !(before & AVAILABLE) && (before | AVAILABLE) !== value) {
      this.host.complain(`AVAILABLE came with the rest of buffer control ${hex(value)}`);
    }
    this.before.set(side, value);
    this.host.changed(this);
  }

  before = new Map();

  word(offset) {
    return this.rp.usbDPRAMView.getUint32(offset, true);
  }

  enabled(side) {
    return side < 2 || this.word(4 * side) >>> 31 === 1;
  }

  finish(side, control) {
    this.rp.usbDPRAMView.setUint32(DPRAM_BUFFERS + 4 * side, control, true);
    this.before.set(side, control);
    const tells = side < 2 ? this.registers.get(SIE_CTRL) : this.word(4 * side);
    if (tells & (1 << 29)) {
      this.buffers |= 1 << side;
      this.update();
    }
  }

  buffer(side) {
    return side < 2 ? EP0_BUFFER : this.word(4 * side) & 0xffc0;
  }

  // What the host may do: each answers 'none' (nobody there), 'nak', 'stall', or the packet.

  reset() {
    this.status |= BUS_RESET;
    this.update();
  }

  setup(address, packet) {
    if ((this.registers.get(ADDR_ENDP) & 0x7f) !== address) {
      return 'none';
    }
    this.rp.usbDPRAM.set(packet, 0);
    this.registers.set(EP_STALL_ARM, 0);
    this.status |= SETUP_REC;
    this.update();
    return 'ack';
  }

  state(address, side) {
    if ((this.registers.get(ADDR_ENDP) & 0x7f) !== address || !this.enabled(side)) {
      return 'none';
    }
    if (side >= 2 && this.word(4 * side) & (1 << 30)) {
      throw new Unmodelled('USB: double buffers are not modelled');
    }
    const control = this.word(DPRAM_BUFFERS + 4 * side);
    if (control & STALL && (side >= 2 || (this.registers.get(EP_STALL_ARM) >> side) & 1)) {
      return 'stall';
    }
    const full = (control & FULL) !== 0;
    return control & AVAILABLE && full === (side % 2 === 0) ? control : 'nak';
  }

  in(address, endpoint) {
    const side = 2 * endpoint;
    const control = this.state(address, side);
    if (typeof control === 'string') {
      return control;
    }
    const at = this.buffer(side);
    const data = this.rp.usbDPRAM.slice(at, at + (control & LENGTH));
    this.finish(side, control & ~(AVAILABLE | FULL));
    return { data, toggle: (control & DATA1) !== 0 };
  }

  out(address, endpoint, data, toggle) {
    const side = 2 * endpoint + 1;
    const control = this.state(address, side);
    if (typeof control === 'string') {
      return control;
    }
    if (((control & DATA1) !== 0) !== toggle) {
      this.host.complain(`endpoint ${endpoint} awaits the other data toggle`);
      return 'ack'; // as if it were the last packet once more
    }
    if (data.length > (control & LENGTH)) {
      this.host.complain(`endpoint ${endpoint} has no room for a packet of ${data.length}`);
      return 'none';
    }
    this.rp.usbDPRAM.set(data, this.buffer(side));
    this.finish(side, ((control & ~(AVAILABLE | LENGTH)) | FULL | data.length) >>> 0);
    return 'ack';
  }
}

export class UsbHost {
  constructor(bridge, log) {
    Object.assign(this, { bridge, log });
    this.plugged = true;
    this.complaints = [];
    this.enumerations = 0; // that came to their end
    this.bus = null;
    this.forget();
  }

  // Of the device.
  forget() {
    this.stage = 'detached';
    this.address = 0;
    this.script = null;
    this.asked?.forEach(({ answer }) => answer({ status: 'gone' }));
    this.asked = [];
    this.descriptors = {};
    this.data = null; // endpoints and toggles of the serial port
    this.open = false;
    this.out = null; // a packet that the device has not taken
    this.fixed = false; // it sleeps, whatever the device does
    this.until = 0;
  }

  get running() {
    return this.stage === 'configured';
  }

  get state() {
    return {
      stage: this.stage,
      enumerations: this.enumerations,
      open: this.open,
      complaints: this.complaints,
      descriptors: this.descriptors,
    };
  }

  complain(what) {
    this.complaints.push(what);
    this.log(`USB: ${what}`);
  }

  // A new controller, after a reset of the chip.
  attach(rp, clock) {
    this.detach();
    const bus = new Controller(rp, clock, this);
    rp.usbCtrl = bus;
    rp.peripherals[0x50110] = bus;
    this.bus = bus;
    this.clock = clock;
    this.alarm = clock.createAwaited(() => this.pump());
  }

  // The device went away: its port does too, as on a computer.
  detach() {
    if (this.stage !== 'detached') {
      this.bridge.drop();
    }
    this.alarm?.cancel();
    this.forget();
  }

  changed(bus) {
    if (bus !== this.bus) {
      return;
    }
    const there = this.plugged && bus.attached;
    if (there && this.stage === 'detached') {
      this.stage = 'attached';
      this.begin(this.enumerate());
    } else if (!there && this.stage !== 'detached') {
      this.detach();
    } else if (there) {
      this.look();
    }
  }

  // Something may be possible that was not.
  look() {
    const { alarm, clock } = this;
    const soon = clock.nanos + TURN;
    if (this.stage !== 'detached' && !this.fixed && (alarm.due === Infinity || alarm.at > soon)) {
      alarm.schedule(TURN);
    }
  }

  begin(script) {
    this.script = script;
    this.fixed = false;
    this.alarm.schedule(0);
  }

  // One turn of the bus: a step of the script, and a packet each way.
  pump() {
    let spent = 0;
    this.fixed = false;
    if (this.script) {
      const { value, done } = this.script.next();
      if (done) {
        this.script = null;
        spent += TURN;
      } else if (value.sleep !== undefined) {
        this.fixed = true;
        this.alarm.schedule(value.sleep);
        return;
      } else if (value.moved) {
        spent += TURN;
      } else {
        this.until = value.until;
      }
    }
    if (!this.script) {
      this.next();
      if (this.script) {
        spent += TURN;
      }
    }
    spent += this.moveIn() + this.moveOut();
    if (spent) {
      this.alarm.schedule(spent);
    } else if (this.script) {
      // Unless the device wakes us before.
      this.alarm.schedule(Math.max(TURN, this.until - this.clock.nanos));
    }
  }

  // What to do next on endpoint 0.
  next() {
    if (!this.running) {
      return;
    }
    const wanted = this.bridge.connected || this.bridge.waiting || this.out;
    if (this.asked.length) {
      this.script = this.serve(this.asked.shift());
    } else if (wanted && !this.open) {
      this.script = this.openPort();
    } else if (!wanted && this.open) {
      this.script = this.closePort();
    }
  }

  *serve({ setup, data, answer }) {
    const { status, bytes } = yield* this.control(setup, data);
    answer({ status }, bytes && Buffer.from(bytes));
  }

  *openPort() {
    const coding = [0x00, 0xc2, 0x01, 0x00, 0, 0, 8]; // 115200 8N1
    yield* this.control([0x21, 0x20, 0, this.data.control, 7], coding);
    yield* this.control([0x21, 0x22, 3, this.data.control, 0]);
    this.open = true;
  }

  *closePort() {
    yield* this.control([0x21, 0x22, 0, this.data.control, 0]);
    this.open = false;
  }

  moveIn() {
    if (!this.open || !this.bridge.ready) {
      return 0;
    }
    const packet = this.bus.in(this.address, this.data.in);
    if (typeof packet === 'string') {
      return 0;
    }
    if (packet.toggle === this.data.inToggle) {
      this.data.inToggle = !this.data.inToggle;
      this.bridge.giveSome(packet.data);
    } else {
      this.complain(`endpoint ${this.data.in} sent the other data toggle: the packet is lost`);
    }
    return TURN + packet.data.length * BYTE;
  }

  moveOut() {
    if (!this.open) {
      return 0;
    }
    if (!this.out && this.bridge.waiting) {
      this.out = this.bridge.takeSome(PACKET);
    }
    if (!this.out) {
      return 0;
    }
    const { length } = this.out;
    if (this.bus.out(this.address, this.data.out, this.out, this.data.outToggle) !== 'ack') {
      return 0;
    }
    this.data.outToggle = !this.data.outToggle;
    this.out = null;
    return TURN + length * BYTE;
  }

  // Tries until it is no NAK, or too late.
  *transaction(attempt) {
    const until = this.clock.nanos + ANSWER_TIME;
    for (;;) {
      const result = attempt();
      if (result !== 'nak') {
        yield { moved: true };
        return result;
      }
      if (this.clock.nanos >= until) {
        return 'timeout';
      }
      yield { until };
    }
  }

  // A control transfer: [bmRequestType, bRequest, wValue, wIndex, wLength].
  *control([type, request, value, index, length], data = []) {
    const { bus } = this;
    const packet = Buffer.alloc(8);
    packet.writeUInt8(type, 0);
    packet.writeUInt8(request, 1);
    [value, index, length].forEach((word, at) => packet.writeUInt16LE(word, 2 + 2 * at));
    const begun = bus.setup(this.address, packet);
    yield { moved: true };
    if (begun !== 'ack') {
      return { status: begun };
    }
    let toggle = true;
    const bytes = [];
    const fails = (result) => (typeof result === 'string' && result !== 'ack' ? result : null);
    if (type & 0x80 && length) {
      for (;;) {
        const result = yield* this.transaction(() => bus.in(this.address, 0));
        if (fails(result)) {
          return { status: result };
        }
        if (result.toggle !== toggle) {
          this.complain('endpoint 0 sent the other data toggle');
          continue;
        }
        toggle = !toggle;
        bytes.push(...result.data);
        if (result.data.length < PACKET || bytes.length >= length) {
          break;
        }
      }
      const status = yield* this.transaction(() => bus.out(this.address, 0, [], true));
      return { status: fails(status) ?? 'ack', bytes };
    }
    for (let at = 0; at < data.length; at += PACKET) {
      const part = data.slice(at, at + PACKET);
      const result = yield* this.transaction(() => bus.out(this.address, 0, part, toggle));
      if (fails(result)) {
        return { status: result };
      }
      toggle = !toggle;
    }
    const status = yield* this.transaction(() => bus.in(this.address, 0));
    if (fails(status)) {
      return { status };
    }
    if (!status.toggle || status.data.length) {
      this.complain('the status of a control transfer is not an empty DATA1');
    }
    return { status: 'ack', bytes };
  }

  *descriptor(type, index, length, language = 0) {
    const { status, bytes } = yield* this.control([0x80, 6, (type << 8) | index, language, length]);
    if (status !== 'ack') {
      this.complain(`descriptor ${type}, ${index}: ${status}`);
      return [];
    }
    return bytes;
  }

  *enumerate() {
    yield { sleep: DEBOUNCE };
    yield* this.resetBus();
    yield* this.descriptor(1, 0, PACKET);
    yield* this.resetBus();
    const { status } = yield* this.control([0x00, 5, 9, 0, 0]);
    yield { sleep: ADDRESS_TIME };
    if (status !== 'ack') {
      this.complain(`SET_ADDRESS: ${status}`);
      this.stage = 'failed';
      return;
    }
    this.address = 9;
    const device = yield* this.descriptor(1, 0, 18);
    const [, , size0, size1] = yield* this.descriptor(2, 0, 9);
    const configuration = yield* this.descriptor(2, 0, size0 | (size1 << 8));
    const strings = {};
    for (const [name, at] of [['manufacturer', 14], ['product', 15], ['serial', 16]]) {
      if (device[at]) {
        const text = yield* this.descriptor(3, device[at], 255, 0x409);
        strings[name] = Buffer.from(text.slice(2)).toString('utf16le');
      }
    }
    this.descriptors = { device: [...device], configuration: [...configuration], strings };
    this.data = serialPort(configuration);
    if (!this.data) {
      this.complain('no serial port in the configuration');
      this.stage = 'failed';
      return;
    }
    const configured = yield* this.control([0x00, 9, configuration[5], 0, 0]);
    if (configured.status !== 'ack') {
      this.complain(`SET_CONFIGURATION: ${configured.status}`);
      this.stage = 'failed';
      return;
    }
    this.stage = 'configured';
    this.enumerations++;
    this.bus.nextFrame();
  }

  *resetBus() {
    this.bus.reset();
    this.address = 0;
    yield { sleep: RESET_TIME };
    yield { sleep: RECOVERY };
  }

  // Requests of the control channel.
  ask({ action, control, data }, answer) {
    if (action === 'plug' || action === 'unplug') {
      this.plugged = action === 'plug';
      if (!this.plugged) {
        this.detach();
        this.bus.status |= SUSPENDED; // all that a Pico on other power sees of it
      } else {
        this.bus.status &= ~SUSPENDED;
      }
      this.changed(this.bus);
      answer({});
    } else if (control) {
      if (!this.running) {
        answer({ status: 'gone' });
        return;
      }
      this.asked.push({ setup: control, data: data ?? [], answer });
      this.look();
    } else {
      throw new Error('usb: action "plug" or "unplug", or a control transfer');
    }
  }
}

// The control interface and the bulk endpoints of the first CDC serial port.
function serialPort(configuration) {
  let inData = false;
  const found = { inToggle: false, outToggle: false };
  const { length } = configuration;
  for (let at = 0; at + 1 < length && configuration[at] > 1; at += configuration[at]) {
    const [, type, a, b, , class_, subclass] = configuration.slice(at, at + 9);
    if (type === 4) {
      inData = class_ === 0x0a;
      if (class_ === 2 && subclass === 2) {
        found.control ??= a;
      }
    } else if (type === 5 && inData && (b & 3) === 2) {
      if (a & 0x80) {
        found.in ??= a & 15;
      } else {
        found.out ??= a & 15;
      }
    }
  }
  return found.control !== undefined && found.in && found.out ? found : null;
}
