// A stream of events, as `EventSource` reads one, by fetch: an `EventSource` sends no token.

import { authorization } from "./token.js";

/** Until a stream that was cut off is asked for again, in milliseconds, where it says nothing. */
const RETRY_MS = 1_000;

/** What comes of a refusal: it is not asked for again by itself. */
export const CLOSED = 2;

/** Takes the lines of a stream, and tells of each event. */
function reader(stream, tell) {
  let [type, data] = ["message", []];
  return (line) => {
    if (line === "") {
      if (data.length > 0) tell({ type, data: data.join("\n"), lastEventId: stream.last ?? "" });
      [type, data] = ["message", []];
      return;
    }
    const at = line.indexOf(":");
    if (at === 0) return;
    const [field, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (field === "event") type = value;
    else if (field === "data") data.push(value);
    else if (field === "id") stream.last = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) stream.retry = Number(value);
  };
}

export class Stream {
  /** `last` is the id after which it goes on; null where it begins. */
  constructor(path, last = null) {
    this.path = path;
    this.readyState = 0;
    this.last = last;
    this.retry = RETRY_MS;
    this.listeners = new Map();
    this.stop = new AbortController();
    // Whoever makes it says first what it listens to.
    queueMicrotask(() => this.run());
  }

  addEventListener(type, listener) {
    this.listeners.set(type, listener);
  }

  close() {
    this.readyState = CLOSED;
    this.stop.abort();
  }

  async run() {
    while (this.readyState !== CLOSED) {
      try {
        if (!(await this.follow())) this.readyState = CLOSED;
      } catch {
        // It is cut off.
      }
      if (this.stop.signal.aborted) return;
      if (this.readyState !== CLOSED) this.readyState = 0;
      this.onerror?.();
      if (this.readyState !== CLOSED) await new Promise((resolve) => setTimeout(resolve, this.retry));
    }
  }

  /** Reads it to its end; false where it is refused. */
  async follow() {
    const again = this.last === null ? {} : { "last-event-id": this.last };
    const headers = { accept: "text/event-stream", ...again, ...authorization() };
    const response = await fetch(this.path, { cache: "no-store", redirect: "error", headers, signal: this.stop.signal });
    if (!response.ok) return false;
    this.readyState = 1;
    this.onopen?.();
    const line = reader(this, (event) => this.listeners.get(event.type)?.(event));
    const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await pieces.read();
      if (done) return true;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const each of lines) line(each.replace(/\r$/, ""));
    }
  }
}
