// The control channel: README.md has the requests. One line of JSON each way, and behind it as many
// raw bytes as its `bytes` says.

const NEWLINE = 10;

export class Control {
  // `serve(request, bytes, answer)` calls answer(object, bytes) once, now or later.
  constructor(stream, serve, ended) {
    this.stream = stream;
    this.serve = serve;
    this.held = Buffer.alloc(0);
    stream.on('data', (data) => this.take(data));
    stream.on('error', ended);
    stream.on('close', ended);
    stream.on('end', ended);
  }

  take(data) {
    this.held = this.held.length ? Buffer.concat([this.held, data]) : data;
    for (;;) {
      const end = this.held.indexOf(NEWLINE);
      if (end < 0) {
        return;
      }
      let request;
      try {
        request = Object(JSON.parse(this.held.subarray(0, end).toString()));
      } catch (error) {
        this.answer({ ok: false, error: `no request: ${error.message}` });
        this.held = this.held.subarray(end + 1);
        continue;
      }
      const after = end + 1 + (request.bytes ?? 0);
      if (this.held.length < after) {
        return;
      }
      const bytes = this.held.subarray(end + 1, after);
      this.held = this.held.subarray(after);
      let answered = false;
      const answer = (object, raw) => {
        if (!answered) {
          answered = true;
          this.answer(object, raw);
        }
      };
      try {
        this.serve(request, bytes, answer);
      } catch (error) {
        answer({ ok: false, error: error.message });
      }
    }
  }

  answer(object, raw) {
    const head = raw ? { ok: true, ...object, bytes: raw.length } : { ok: true, ...object };
    this.stream.write(`${JSON.stringify(head)}\n`);
    if (raw?.length) {
      this.stream.write(raw);
    }
  }
}
