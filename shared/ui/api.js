// Asking the API, of this page's own origin and no other.

import { authorization } from "./token.js";

/** How long a request may take, in milliseconds, where nothing else is said. */
const TIMEOUT_MS = 10_000;

/** How much longer than the service the page waits, so that the service's answer comes first. */
const SLACK_MS = 2_000;

/** How often a mutation is sent where it is not known what became of it. */
const ATTEMPTS = 3;

/** Between two attempts, in milliseconds. */
const PAUSE_MS = 500;

/** A refusal, or that there was no answer. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, outcome = null, body = {}, trace = null }) {
    super(detail);
    Object.assign(this, { title, detail, status, outcome, body, trace });
  }

  /** What anything that was thrown comes to. */
  static of(error) {
    if (error instanceof Problem) return error;
    return new Problem({ title: "The page could not do it", detail: String(error?.message ?? error) });
  }
}

function hex(bytes) {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(drawn, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Polls are in nobody's interest to trace. */
function untraced() {
  return { traceparent: `00-${hex(16)}-${hex(8)}-00` };
}

/**
 * Asks once; gives the response where its status says that all went well.
 *
 * `poll` says that nobody asked for it: it is not traced.
 */
export async function ask(method, path, { headers = {}, body, timeoutMs = TIMEOUT_MS, slackMs = SLACK_MS, poll = false, signal } = {}) {
  const limit = AbortSignal.timeout(timeoutMs + slackMs);
  const options = {
    method,
    body,
    cache: "no-store",
    redirect: "error",
    headers: { "synod-timeout": `${timeoutMs}ms`, ...(poll ? untraced() : {}), ...authorization(), ...headers },
    signal: signal ? AbortSignal.any([limit, signal]) : limit,
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    const why = error.name === "TimeoutError" ? `nothing within ${(timeoutMs + slackMs) / 1000} s` : error.message;
    throw new Problem({ title: "No answer", detail: `${location.host} did not answer: ${why}`, outcome: method === "GET" ? null : "unknown" });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const trace = response.headers.get("trace-id");
  let body = {};
  try {
    body = JSON.parse(await response.text());
  } catch {
    // Something between that speaks no problems.
  }
  return new Problem({
    title: body.title ?? `Status ${response.status}`,
    detail: body.detail ?? `the answer was ${response.status} ${response.statusText}`,
    status: response.status,
    outcome: body.outcome ?? null,
    body,
    trace,
  });
}

/** Reads JSON. */
export async function get(path, options) {
  return (await ask("GET", path, options)).json();
}

/** Sends JSON and reads JSON; nothing is changed by it. */
export async function query(path, document) {
  const headers = { "content-type": "application/json" };
  return (await ask("POST", path, { headers, body: JSON.stringify(document) })).json();
}

/**
 * Changes something, once: where it is not known what became of it, it is sent again with
 * the same `Idempotency-Key`.
 */
export async function change(method, path, { headers = {}, body } = {}) {
  const once = { ...headers, "idempotency-key": hex(16) };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask(method, path, { headers: once, body });
    } catch (error) {
      if (error.outcome !== "unknown" || attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** The same with JSON both ways. */
export async function changeJson(method, path, document) {
  const headers = { "content-type": "application/json" };
  return (await change(method, path, { headers, body: JSON.stringify(document) })).json();
}

/** The parameters of a query, without those that say nothing. */
export function parameters(named) {
  const pairs = Object.entries(named).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const written = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return written.length === 0 ? "" : `?${written.join("&")}`;
}

/** A query in SQL, with its parameters. */
export function sql(text, params = [], more = {}) {
  return query("/v1/sql", { sql: text, params, ...more });
}
