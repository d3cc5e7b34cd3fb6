// What happens in the cluster: the one stream of events that the page follows, while
// somebody looks.

import { CLOSED, Stream } from "./stream.js";

/** Events that are kept on the page. */
const KEPT = 300;

/** Until a stream that was refused is tried again, in milliseconds. */
const PAUSE_MS = 3000;

const TYPES = ["leader", "view", "member", "roster", "trim", "compact", "access", "warning", "lagged"];

const listeners = new Set();
let known = { state: "begins", seen: 0, events: [] };
let [source, timer, last] = [null, null, null];
/** What came and nobody was told of yet; null where nothing is about to be told. */
let untold = null;

/** What comes at once is told at once: a stream begins with all that is held. */
function tell(change, event = null) {
  known = { ...known, ...change };
  if (untold === null) {
    untold = [];
    queueMicrotask(() => {
      const happened = untold;
      untold = null;
      for (const listener of [...listeners]) listener(known, happened);
    });
  }
  if (event !== null) untold.push(event);
}

function happened({ type, data, lastEventId }) {
  // What comes again after a cut is told by its id.
  if (lastEventId !== "" && lastEventId === last) return;
  last = lastEventId;
  const event = { type, data: JSON.parse(data) };
  // Another process: all that it holds comes now.
  const before = type === "lagged" && event.data.missed === null ? [] : known.events;
  tell({ state: "live", seen: known.seen + 1, events: [event, ...before].slice(0, KEPT) }, event);
}

function begin() {
  end();
  if (document.hidden) return;
  source = new Stream("/v1/events?held=true", last);
  for (const type of TYPES) source.addEventListener(type, happened);
  source.onopen = () => tell({ state: "live" });
  source.onerror = () => {
    if (source.readyState !== CLOSED) {
      tell({ state: "cut off, and is resumed" });
      return;
    }
    last = null;
    tell({ state: "refused, and tried again", seen: 0, events: [] });
    timer = setTimeout(begin, PAUSE_MS);
  };
}

function end() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", begin);

/** Tells of what is known now, newest first, and of the events that follow, oldest first; ends when called. */
export function followEvents(listener) {
  listeners.add(listener);
  listener(known, []);
  return () => listeners.delete(listener);
}

/** Begins, or begins anew with another token. */
export { begin as startEvents };
