// The way of a request, made of the spans that the services hold of it: pure, but for `trace`.

import { get, parameters } from "./api.js";

/** A request links to the batch that it went in, and to few others. */
const MOST_LINKED = 4;

/** The deepest that a step is indented: spans that lie could go in circles. */
const DEEPEST = 12;

/** An attribute as OTLP writes it; numbers of 64 bits are texts there. */
function value(said) {
  if (said?.stringValue !== undefined) return String(said.stringValue);
  if (said?.intValue !== undefined) return Number(said.intValue);
  return said?.boolValue ?? said?.doubleValue ?? null;
}

function values(attributes) {
  return Object.fromEntries((attributes ?? []).map(({ key, value: said }) => [key, value(said)]));
}

/** The spans of an answer of `GET /v1/spans`; times in milliseconds, with fractions. */
export function spansOf(answer) {
  const found = [];
  for (const { resource, scopeSpans } of answer.resourceSpans ?? []) {
    const service = String(values(resource?.attributes)["service.instance.id"] ?? "?");
    for (const span of (scopeSpans ?? []).flatMap((scope) => scope.spans ?? [])) {
      const [start, end] = [span.startTimeUnixNano, span.endTimeUnixNano].map((nanos) => Number(BigInt(nanos) / 1000n) / 1000);
      found.push({ id: span.spanId, trace: span.traceId, parent: span.parentSpanId || null, name: span.name, service, start, end, said: values(span.attributes), links: (span.links ?? []).map((link) => ({ trace: link.traceId, id: link.spanId })), failed: span.status?.code === 2 });
    }
  }
  return found;
}

async function held(id) {
  const answer = await get(`/v1/spans${parameters({ trace: id, of: "cluster" })}`, { poll: true });
  return { spans: spansOf(answer), missing: answer.missing ?? [], leftOut: answer.left_out ?? 0 };
}

/** What all services hold of a trace, and of the batch that it links to. */
export async function trace(id) {
  const own = await held(id);
  const isBatch = own.spans.some((span) => span.trace === id && span.name === "replica.batch");
  const linked = isBatch ? [] : own.spans.filter((span) => span.trace === id).flatMap((span) => span.links.map((link) => link.trace));
  const others = await Promise.all([...new Set(linked)].filter((other) => other !== id).slice(0, MOST_LINKED).map(held));
  const [spans, missing] = [new Map(), new Map()];
  for (const part of [own, ...others]) {
    for (const span of part.spans) if (!spans.has(span.id)) spans.set(span.id, span);
    for (const service of part.missing) missing.set(service.id ?? service.url, service);
  }
  const inOrder = [...spans.values()].sort((one, other) => one.start - other.start || one.end - other.end);
  return { id, spans: inOrder, missing: [...missing.values()], leftOut: own.leftOut };
}

/** What a span is part of: the span above it; of another trace than this one, what it links to. */
function parentOf({ id, spans }, span) {
  const find = (wanted) => spans.find((other) => other.id === wanted && other !== span) ?? null;
  const parent = span.parent === null ? null : find(span.parent);
  if (parent !== null || span.trace === id) return parent;
  return span.links.map((link) => find(link.id)).find((to) => to !== null) ?? null;
}

/** All spans, each below what it is part of, in the order in which they began. */
export function steps(whole) {
  const [placed, found] = [new Set(), []];
  const parents = new Map(whole.spans.map((span) => [span, parentOf(whole, span)]));
  const place = (span, depth) => {
    if (depth > DEEPEST || placed.has(span)) return;
    placed.add(span);
    found.push({ span, depth });
    for (const child of whole.spans) if (parents.get(child) === span) place(child, depth + 1);
  };
  for (const span of whole.spans) if (parents.get(span) === null) place(span, 0);
  for (const span of whole.spans) place(span, 0);
  return found;
}

/** What was decided: the slot, the ballot, and each acceptor with when its vote was heard. */
export function decision({ spans }) {
  const proposed = spans.find((span) => span.name === "coordinator.propose" && typeof span.said.slot === "number");
  if (proposed === undefined) return null;
  const asked = spans.filter((span) => span.name === "coordinator.accept" && span.parent === proposed.id);
  const votes = asked.map((accept) => {
    const at = spans.find((span) => span.parent === accept.id);
    const after = accept.said.answer === "accepted" ? accept.end - proposed.start : null;
    return { acceptor: at?.service ?? String(accept.said.url), answer: accept.said.answer, after };
  });
  votes.sort((one, other) => (one.after ?? Infinity) - (other.after ?? Infinity));
  // Some are asked together with what other requests wrote, in a trace of those.
  const acceptors = Math.max(Number(proposed.said.acceptors ?? 0), votes.length);
  const quorum = Math.floor(acceptors / 2) + 1;
  return { slot: proposed.said.slot, ballot: String(proposed.said.ballot), leader: proposed.service, votes, acceptors, quorum, chosenAfter: chosenAfter(votes, quorum) };
}

/** When the vote that makes a majority was heard; null where there is none. */
export function chosenAfter(votes, quorum) {
  const heard = votes.map((vote) => vote.after).filter((after) => after !== null).sort((one, other) => one - other);
  return heard[quorum - 1] ?? null;
}

/** For each acceptor: when the value would have been chosen, had it been down. */
export function without({ votes, quorum }) {
  return votes.map(({ acceptor }) => ({ acceptor, after: chosenAfter(votes.filter((vote) => vote.acceptor !== acceptor), quorum) }));
}
