// A stream of bytes between a TCP client and a port of the chip. Clients may come and go; a new one
// takes the place of the old. Nothing that a client sent is dropped; what the chip sends while
// nobody listens is, unless the port waits for `ready`.

import { createServer } from 'node:net';

const MOST_HELD = 1 << 16;

export class Bridge {
  // `changed()`: bytes came, a client came or went, or there is room again.
  constructor(changed) {
    this.changed = changed;
    this.socket = null;
    this.arrived = []; // Buffers
    this.at = 0; // in the first of them
    this.held = 0; // bytes in all of them
    this.leaving = [];
  }

  listen(port) {
    const server = createServer((socket) => this.accept(socket));
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => resolve(server.address().port));
    });
  }

  accept(socket) {
    this.socket?.destroy();
    this.socket = socket;
    this.leaving = [];
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      this.arrived.push(data);
      this.held += data.length;
      if (this.held > MOST_HELD) {
        socket.pause();
      }
      this.changed();
    });
    socket.on('error', () => {});
    socket.on('drain', () => this.changed());
    socket.on('close', () => {
      if (this.socket === socket) {
        this.socket = null;
        this.changed();
      }
    });
    this.changed();
  }

  get connected() {
    return this.socket !== null;
  }

  // The client takes what is sent.
  get ready() {
    return this.socket !== null && this.socket.writableLength < MOST_HELD;
  }

  get waiting() {
    return this.held > 0;
  }

  // The next byte, or -1.
  take() {
    const bytes = this.takeSome(1);
    return bytes.length ? bytes[0] : -1;
  }

  takeSome(most) {
    if (this.held === 0) {
      return Buffer.alloc(0);
    }
    const [first] = this.arrived;
    const bytes = first.subarray(this.at, this.at + most);
    this.at += bytes.length;
    this.held -= bytes.length;
    if (this.at === first.length) {
      this.arrived.shift();
      this.at = 0;
    }
    if (this.held <= MOST_HELD / 2) {
      this.socket?.resume();
    }
    return bytes;
  }

  // The port is gone, and with it the client and what it sent.
  drop() {
    this.flush();
    this.socket?.end();
    this.socket = null;
    this.arrived = [];
    this.at = this.held = 0;
  }

  give(byte) {
    this.leaving.push(byte);
  }

  giveSome(bytes) {
    for (const byte of bytes) {
      this.leaving.push(byte);
    }
  }

  // Sends what was given; called once in a slice of the chip's time.
  flush() {
    if (this.leaving.length) {
      this.socket?.write(Buffer.from(this.leaving));
      this.leaving = [];
    }
  }
}
