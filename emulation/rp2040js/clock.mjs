// Time as the core sees it: a count of cycles of clk_sys, and alarms of rp2040js's peripherals.
//
// The peripherals ask for nanoseconds. At 125 and 200 MHz a cycle is a whole number of them, and a
// double holds their sum exactly for 104 days. A change of clk_sys starts a new count from a whole
// nanosecond.

class Alarm {
  constructor(clock, callback, awaited) {
    this.clock = clock;
    this.callback = callback;
    this.awaited = awaited;
    this.at = Infinity; // nanoseconds
    this.due = Infinity; // cycles
  }

  schedule(nanos) {
    this.at = this.clock.nanos + nanos;
    this.clock.add(this);
  }

  cancel() {
    this.clock.remove(this);
  }
}

export class Clock {
  constructor() {
    this.cycles = 0;
    this.next = Infinity; // cycles, of the first alarm
    this.frequency = 0;
    this.nanosPerCycle = 0;
    this.fromCycles = 0;
    this.fromNanos = 0;
    this.alarms = []; // latest first
  }

  // What rp2040js asks of its clock.

  get nanos() {
    return this.fromNanos + (this.cycles - this.fromCycles) * this.nanosPerCycle;
  }

  get micros() {
    return this.nanos / 1000;
  }

  createAlarm(callback) {
    return new Alarm(this, callback, false);
  }

  // More.

  // An alarm of the world outside, for whose sake a program that has nothing to do may lose time.
  createAwaited(callback) {
    return new Alarm(this, callback, true);
  }

  setFrequency(hertz) {
    this.fromNanos = Math.round(this.nanos);
    this.fromCycles = this.cycles;
    this.frequency = hertz;
    this.nanosPerCycle = 1e9 / hertz;
    for (const alarm of this.alarms) {
      alarm.due = this.dueAt(alarm.at);
    }
    this.update();
  }

  get awaiting() {
    return this.alarms.some((alarm) => alarm.awaited);
  }

  // Runs what is due.
  fire() {
    while (this.alarms.length && this.alarms.at(-1).due <= this.cycles) {
      const alarm = this.alarms.pop();
      alarm.due = Infinity;
      this.update();
      alarm.callback();
    }
  }

  dueAt(nanos) {
    // Rounding must not make a whole number of cycles one more.
    return this.fromCycles + Math.ceil((nanos - this.fromNanos) / this.nanosPerCycle - 1e-6);
  }

  add(alarm) {
    this.remove(alarm);
    alarm.due = this.dueAt(alarm.at);
    const { alarms } = this;
    let at = alarms.length;
    while (at > 0 && alarms[at - 1].at <= alarm.at) {
      at--;
    }
    alarms.splice(at, 0, alarm);
    this.update();
  }

  remove(alarm) {
    if (alarm.due === Infinity) {
      return;
    }
    alarm.due = Infinity;
    this.alarms.splice(this.alarms.indexOf(alarm), 1);
    this.update();
  }

  update() {
    this.next = this.alarms.length ? this.alarms.at(-1).due : Infinity;
  }
}
