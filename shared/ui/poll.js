// Asks for the state of the cluster, again and again while somebody looks.

import { get } from "./api.js";
import { answered, failed, NOTHING } from "./model.js";

const EVERY_MS = 1000;

/** Shorter than two seconds with what the page waits on top: what fails is seen soon. */
const TIMEOUT_MS = 1200;

const listeners = new Set();
let state = NOTHING;
let timer = null;

async function poll() {
  timer = null;
  const began = performance.now();
  try {
    const cluster = await get("/v1/cluster", { poll: true, timeoutMs: TIMEOUT_MS });
    state = answered(state, cluster, performance.now());
  } catch (error) {
    state = failed(state, error);
  }
  for (const listener of [...listeners]) listener(state);
  if (!document.hidden) timer = setTimeout(poll, Math.max(0, EVERY_MS - (performance.now() - began)));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && timer === null) poll();
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
  if (timer === null) poll();
}
