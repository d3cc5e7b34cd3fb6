// The services as a table, and what can be done with one.

import { changeJson, get } from "./api.js";
import { h, put } from "./dom.js";
import { factsOf } from "./facts.js";
import { isPrimary, KINDS, of, standing } from "./model.js";
import { badge, button, confirmed, empty, heading, into, problemBox, table } from "./parts.js";
import { follow } from "./poll.js";
import { link } from "./routes.js";
import { shown, span } from "./text.js";

/** What is told of each service. */
const COLUMNS = [
  ["Service", (service) => h("a", { href: link("cluster", { service: service.id }) }, shown(service.id))],
  ["State", (service, state) => badge(...standing(state, service))],
  ["Address", (service) => h("code", null, shown(service.url ?? "–"))],
  ["What it knows", (service, state) => (service.healthy ? factsOf(service.kind).slice(0, 3).map((each) => h("span", { class: "pair", title: each.sentence }, `${each.label} `, h("b", null, each.value(service, state)))) : "–")],
  ["Up for", (service) => (service.healthy ? span(service.uptime_ms) : "–")],
  ["Process", (service) => (service.healthy ? (service.pid ?? "–") : "–")],
  ["Version", (service) => service.version ?? "–"],
];

/** Asks, and has a replica take over from the primary. */
async function makePrimary(service, outcome) {
  const yes = await confirmed("Another primary?", h("p", null, h("strong", null, shown(service.id)), " takes over from the primary. No write is lost; what is under way waits a moment."), "Make primary");
  if (!yes) return;
  into(outcome, async () => {
    const view = await changeJson("POST", "/v1/cluster/primary", { replica: service.id });
    release();
    return h("p", { class: "done", role: "status" }, shown(view.primary), ` is primary from epoch ${view.epoch} on.`);
  });
}

/** Asks, and has the balancer that this page comes from send a replica nothing new, or that ended. */
async function drain(endpoint, isDrained, outcome) {
  const asks = isDrained
    ? ["Put it back?", " gets requests of this balancer again, at first a small share.", "Put back"]
    : ["Drain it?", " gets nothing new of this balancer. What it has it finishes; whoever watches there goes on at another replica.", "Drain"];
  if (!(await confirmed(asks[0], h("p", null, h("strong", null, shown(endpoint.id)), asks[1]), asks[2]))) return;
  into(outcome, async () => {
    const told = await changeJson("PUT", `/v1/balancer/endpoints/${encodeURIComponent(endpoint.id)}`, { drain: !isDrained });
    release();
    return h("p", { class: "done", role: "status" }, shown(told.id), told.drain ? " is drained." : " gets requests.");
  });
}

/** Whom the balancer sends reads to, and why. */
function endpoints(balancer, outcome) {
  const rows = balancer.endpoints.map((endpoint) => [
    shown(endpoint.id),
    badge(endpoint.in ? "in" : "out", endpoint.in ? "good" : "warn"),
    h("span", null, endpoint.why.map((each, at) => [at > 0 ? "; " : null, shown(each)])),
    endpoint.share,
    endpoint.requests.in_flight,
    endpoint.requests.sent,
    endpoint.requests.failures,
    button(endpoint.operator.drain ? "Put back…" : "Drain…", () => drain(endpoint, endpoint.operator.drain, outcome), { class: "quiet", "data-drain": endpoint.id }),
  ]);
  return [h("h2", null, "Reads of ", shown(balancer.id), `, by ${balancer.policy}`), table("Endpoints", ["Replica", "Reads", "Why", "Share", "In flight", "Sent", "Failed", ""], rows)];
}

/** Asks, and has a replica taken out for good. */
async function takeOut(service, outcome) {
  const yes = await confirmed("Take it out for good?", h("p", null, h("strong", null, shown(service.id)), " leaves the cluster, its process ends, and its data is of no use any more: one of its name joins only with an empty data directory. No write is lost."), "Take out");
  if (!yes) return;
  into(outcome, async () => {
    const view = await changeJson("DELETE", `/v1/cluster/replicas/${encodeURIComponent(service.id)}`);
    release();
    return h("p", { class: "done", role: "status" }, shown(service.id), ` is out from epoch ${view.epoch} on; `, shown(view.primary), " is primary.");
  });
}

/** What can be done with a service. */
function actions(service, state, outcome) {
  if (service.kind !== "replica") return "";
  const out = button("Take out…", () => takeOut(service, outcome), { class: "quiet", "data-remove": service.id });
  if (!service.healthy || isPrimary(state, service)) return out;
  return h("div", { class: "bar" }, button("Make primary…", () => makePrimary(service, outcome), { class: "quiet", "data-primary": service.id }), out);
}

/** What somebody is about to press, or marks, stays where it is. */
function isUsed(place) {
  return place.contains(document.activeElement) && ["A", "BUTTON"].includes(document.activeElement.tagName);
}

/** What was pressed shows what came of it. */
function release() {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/** Whether this page comes from a replica, which has no endpoints to show. */
let isOfReplica = false;

async function showEndpoints(place, outcome) {
  if (isOfReplica) return;
  try {
    const balancer = await get("/v1/balancer", { poll: true, timeoutMs: 1000 });
    if (!isUsed(place)) put(place, endpoints(balancer, outcome));
  } catch (error) {
    isOfReplica = error.status === 404;
    if (!isOfReplica) put(place, problemBox(error));
  }
}

export function open(root) {
  const [place, reads] = [h("div"), h("div", { id: "endpoints" })];
  const outcome = h("div", { "aria-live": "polite" });
  put(root, heading("Members", "All services that GET /v1/cluster tells of."), outcome, place, reads);
  return follow((state) => {
    showEndpoints(reads, outcome);
    if (isUsed(place)) return;
    const rows = state.cluster ? KINDS.flatMap(([, kind]) => of(state, kind)) : [];
    const shownRows = rows.map((service) => [...COLUMNS.map(([, cell]) => cell(service, state)), actions(service, state, outcome)]);
    put(place, state.error ? problemBox(state.error) : null, rows.length > 0 ? table("Services", [...COLUMNS.map(([name]) => name), ""], shownRows) : empty("Nothing was heard of any service yet."));
  });
}
