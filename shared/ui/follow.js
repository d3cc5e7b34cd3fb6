// A write, followed through the cluster step by step; or any request, by its trace.

import { ask, Problem } from "./api.js";
import { h, put } from "./dom.js";
import { badge, button, empty, field, heading, into, meanings, table } from "./parts.js";
import { go, link } from "./routes.js";
import { decision, steps, trace, without } from "./spans.js";
import { count, number, shown } from "./text.js";

/** How long the last spans of a write that was just answered are waited for, in milliseconds. */
const SETTLING_MS = 1200;

/** Between two looks, in milliseconds. */
const LOOK_EVERY_MS = 120;

const TRACE = /^[0-9a-f]{32}$/i;

/** What each step is, for people who have not read the code. */
const MEANS = {
  "balancer.forward": "the front door sends it to a replica",
  "replica.put": "a replica takes the request",
  "replica.command": "the primary takes it from a backup",
  "replica.batch": "the primary puts it into a batch with what came at the same time",
  "coordinator.propose": "the leader gives the batch a slot of the log",
  "coordinator.accept": "the leader asks an acceptor for its vote",
  "acceptor.accept": "the acceptor decides whether it votes",
  "acceptor.sync": "its vote is on disk before it is told",
  "replica.execute": "the slot is executed here",
};

const STEPS = [
  ["After", "How long after the first step this one began, by the clocks of both hosts."],
  ["Took", "How long it took; a step that is drawn in is part of the one above it."],
  "",
  "Service",
  "Step",
  "",
];
const VOTES = ["Acceptor", ["Its vote was heard after", "How long after the leader gave the value a slot it had this acceptor's vote, on disk there."], ""];

/** What of a span is shown, and by which word. */
const SHOWN = [
  ["http.request.method", ""], ["http.response.status_code", ""], ["outcome", ""], ["answer", ""], ["slot", "slot"], ["ballot", "ballot"],
  ["epoch", "epoch"], ["batch", "batch"], ["commands", "commands"], ["bytes", "bytes"], ["keys_written", "keys written"], ["keys_deleted", "keys deleted"],
];

function ms(value) {
  return `${value.toFixed(2)} ms`;
}

function hex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function said(span) {
  const words = SHOWN.filter(([name]) => span.said[name] !== undefined && span.said[name] !== null && (!name.startsWith("keys") || String(span.said[name]) !== "0"));
  return words.map(([name, word]) => h("span", { class: "pair" }, word === "" ? null : `${word} `, h("b", null, shown(String(span.said[name]), { limit: 80 }))));
}

/** A bar of the time that a span took, in the time of all. */
function bar(span, began, whole) {
  const part = (time) => Math.max(0, Math.min(1, (time - began) / Math.max(whole, 0.001)));
  const meter = h("progress", { class: "away", max: 100, value: Math.round(100 * (part(span.end) - part(span.start))), "aria-label": "Part of the whole time" });
  const [from, to] = [Math.round(part(span.start) * 24), Math.round(part(span.end) * 24)];
  const long = Math.max(1, to - from);
  return [meter, h("code", { class: "wave", "aria-hidden": "true" }, "·".repeat(Math.min(from, 23)) + "━".repeat(Math.min(long, 24 - Math.min(from, 23))))];
}

function waterfall(whole) {
  const began = Math.min(...whole.spans.map((span) => span.start));
  const ended = Math.max(...whole.spans.map((span) => span.end));
  const rows = steps(whole).map(({ span, depth }) => [
    ms(span.start - began),
    ms(span.end - span.start),
    bar(span, began, ended - began),
    shown(span.service, { limit: 64 }),
    h("span", { class: "step", title: MEANS[span.name] ?? null }, "  ".repeat(depth), shown(span.name, { limit: 64 })),
    [MEANS[span.name] ? h("span", { class: "note" }, `${MEANS[span.name]} `) : null, said(span), span.failed ? badge("failed", "bad") : null],
  ]);
  return [table("Steps", STEPS, rows, "cards"), meanings(...STEPS, ...VOTES)];
}

/** Who voted when, and what would have been, had one acceptor been down. */
function verdict(whole) {
  const decided = decision(whole);
  if (decided === null) return empty("What was decided of it is not held: it changed nothing, or was not recorded.");
  const { slot, ballot, leader, votes, acceptors, quorum, chosenAfter } = decided;
  const others = acceptors - votes.length;
  const lost = others > 0 ? "another acceptor would have been asked at once" : "it would not have been chosen before another acceptor is back";
  const rank = votes.map(({ acceptor, answer, after }, at) => [
    shown(acceptor, { limit: 64 }),
    after === null ? badge(`no vote: ${answer ?? "no answer"}`, "warn") : ms(after),
    after !== null && at + 1 === quorum ? badge("made it chosen", "lead") : null,
  ]);
  const instead = without(decided).map(({ acceptor, after }) => {
    const change = after === null ? lost : chosenAfter !== null && after > chosenAfter ? `it would have been chosen after ${ms(after)}, ${ms(after - chosenAfter)} later` : "nothing would have been different";
    return h("li", null, "Without ", shown(acceptor, { limit: 64 }), `: ${change}.`);
  });
  return h(
    "div",
    { class: "card", id: "decision" },
    h("p", null, "Slot ", h("a", { href: link("log", { slot }) }, number(slot)), ` was chosen at ballot ${ballot}, which ${leader} leads: ${quorum} of ${count(acceptors, "acceptor")} are a majority. `, chosenAfter === null ? null : `Its vote was heard after ${ms(chosenAfter)}.`, others > 0 ? ` ${count(others, "acceptor")} was asked a moment later, with what came next.` : null),
    table("Votes", VOTES, rank, "cards"),
    h("h3", null, "Had one been down"),
    h("ul", { class: "plain", id: "instead" }, instead),
  );
}

function lacking({ missing, leftOut }) {
  const lines = missing.map((service) => h("li", null, shown(service.id ?? service.url ?? "somebody", { limit: 100 }), ": ", shown(service.reason, { limit: 200 })));
  return [lines.length > 0 ? [h("p", { class: "note" }, "Did not tell:"), h("ul", { class: "plain note", id: "missing" }, lines)] : null, leftOut > 0 ? h("p", { class: "note" }, `${count(leftOut, "span")} left out.`) : null];
}

function rendered(whole) {
  if (whole.spans.length === 0) return [empty("No service holds a step of it any more, or it was not recorded."), lacking(whole)];
  return [h("p", { class: "note" }, "Trace ", h("code", { id: "trace" }, whole.id)), verdict(whole), h("h2", null, "Its way"), waterfall(whole), lacking(whole)];
}

/** The trace of a write that was just answered, once it is whole or waited for long enough. */
async function settled(id) {
  const until = performance.now() + SETTLING_MS;
  let before = 0;
  for (;;) {
    const whole = await trace(id);
    const has = (name) => whole.spans.some((span) => span.name === name);
    if ((has("replica.batch") && has("replica.execute") && whole.spans.length === before) || performance.now() > until) return whole;
    before = whole.spans.length;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function write(key, value) {
  if (key === "." || key === "..") throw new Problem({ title: "Not from here", detail: "a browser cannot ask for a key of this name by its path" });
  const id = hex(16);
  const headers = { traceparent: `00-${id}-${hex(8)}-01`, "content-type": "text/plain", "idempotency-key": hex(16) };
  await ask("PUT", `/v1/kv/${encodeURIComponent(key)}`, { headers, body: value });
  return settled(id);
}

export function open(root, first) {
  const place = h("section", { id: "way", "aria-label": "The way", "aria-live": "polite" });
  const key = h("input", { name: "key", required: true, autocomplete: "off", spellcheck: "false", value: "followed" });
  const value = h("input", { name: "value", autocomplete: "off", spellcheck: "false", value: "hello" });
  const named = h("input", { name: "trace", autocomplete: "off", spellcheck: "false", placeholder: "32 hexadecimal digits", pattern: "[0-9a-fA-F]{32}", required: true });
  const writes = h("form", { class: "bar", onsubmit: (event) => {
    event.preventDefault();
    into(place, async () => rendered(await write(key.value, value.value)));
  } }, field("Key", key), field("Value", value), h("button", { type: "submit", class: "primary", id: "put" }, "Put and follow"));
  const looks = h("form", { class: "bar", onsubmit: (event) => {
    event.preventDefault();
    go("follow", { trace: named.value.toLowerCase() });
  } }, field("or a trace", named), button("Follow it", () => looks.requestSubmit()));
  const update = (params) => {
    const id = params.get("trace");
    if (id === null) return;
    named.value = id;
    into(place, async () => {
      if (!TRACE.test(id)) throw new Problem({ title: "No trace", detail: "a trace is named by 32 hexadecimal digits" });
      return rendered(await trace(id.toLowerCase()));
    });
  };
  put(root, heading("Follow a write", "What happens to a write between its request and its answer, and who decides it."), writes, looks, place);
  update(first);
  return { update };
}
