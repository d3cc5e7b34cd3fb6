// The state of the cluster, while somebody looks: asked for each second, for the numbers, and
// at once when an event says that something has changed.

import { get } from "./api.js";
import { followEvents } from "./live.js";
import { answered, failed, heard, NOTHING } from "./model.js";

const EVERY_MS = 1000;

/** After an event, in milliseconds: several come together. */
const SOON_MS = 100;

/** With what the page waits on top, less than two seconds: what fails is seen soon. */
const [TIMEOUT_MS, SLACK_MS] = [1200, 500];

/** Events that change what the picture shows. */
const CHANGING = ["leader", "view", "member", "roster", "warning"];

const listeners = new Set();
let state = NOTHING;
let [timer, isAsking, isWanted] = [null, false, false];

function tell(next) {
  state = next;
  for (const listener of [...listeners]) listener(state);
}

async function poll() {
  [timer, isAsking, isWanted] = [null, true, false];
  const began = performance.now();
  let next;
  try {
    const cluster = await get("/v1/cluster", { poll: true, timeoutMs: TIMEOUT_MS, slackMs: SLACK_MS });
    next = answered(state, cluster, performance.now());
  } catch (error) {
    next = failed(state, error);
  }
  isAsking = false;
  tell(next);
  const pause = isWanted ? SOON_MS : Math.max(0, EVERY_MS - (performance.now() - began));
  if (!document.hidden) timer = setTimeout(poll, pause);
}

function happened(events) {
  const changing = events.filter(({ type }) => CHANGING.includes(type));
  if (changing.length === 0) return;
  tell(changing.reduce(heard, state));
  // What keeps coming puts nothing off.
  if (isWanted) return;
  isWanted = true;
  if (timer === null) return;
  clearTimeout(timer);
  timer = setTimeout(poll, SOON_MS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && timer === null && !isAsking) poll();
});

/** Tells of the state now, where there is one, and of each that follows; ends when called. */
export function follow(listener) {
  listeners.add(listener);
  if (state.at !== null || state.error !== null) listener(state);
  return () => listeners.delete(listener);
}

export function latest() {
  return state;
}

export function start() {
  poll();
  followEvents((_, events) => happened(events));
}
