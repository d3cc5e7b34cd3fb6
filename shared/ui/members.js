// The services as a table, and what can be done with one.

import { changeJson, get } from "./api.js";
import { h, put } from "./dom.js";
import { factsOf } from "./facts.js";
import { howToJoin } from "./join.js";
import { isPrimary, KINDS, of, standing } from "./model.js";
import { badge, button, confirmed, empty, focus, heading, into, meanings, problemBox, table } from "./parts.js";
import { follow } from "./poll.js";
import { link } from "./routes.js";
import { shown, span } from "./text.js";

/** What is told of each service. */
const CELLS = [
  (service) => h("a", { href: link("cluster", { service: service.id }) }, shown(service.id)),
  (service, state) => badge(...standing(state, service)),
  (service) => h("code", null, shown(service.url ?? "–")),
  (service, state) => (service.healthy ? factsOf(service.kind).slice(0, 3).map((each) => h("span", { class: "pair", title: each.sentence }, `${each.label} `, h("b", null, each.value(service, state)))) : "–"),
  (service) => (service.healthy ? span(service.uptime_ms) : "–"),
  (service) => (service.healthy ? (service.pid ?? "–") : "–"),
  (service) => service.version ?? "–",
];
const COLUMNS = [
  ["Service", "Its name; choose it to read what each of its numbers means."],
  ["State", "What it does just now, as it says itself and the view has it."],
  ["Address", "Where the others reach it."],
  ["What it knows", "The three numbers of it that matter most."],
  ["Up for", "How long ago its process started."],
  ["Process", "The id of its process on its machine."],
  ["Version", "The version of its program."],
  "",
];
const ENDPOINTS = [
  ["Replica", "A replica that this balancer knows."],
  ["Reads", "Whether it gets reads just now."],
  ["Why", "What is for or against that."],
  ["Share", "Its weight beside the others, 1 where nothing is set; one that comes back begins with a part of it."],
  ["In flight", "Requests that it was sent and has not answered yet."],
  ["Sent", "Requests that it was sent since the balancer started."],
  ["Failed", "How many of those it did not answer as it should."],
  "",
];

/** Asks, and has a replica take over from the primary. */
async function makePrimary(service, outcome) {
  const yes = await confirmed("Another primary?", h("p", null, h("strong", null, shown(service.id)), " takes over from the primary. No write is lost; what is under way waits a moment."), "Make primary");
  if (!yes) return;
  showing(outcome, async () => {
    const view = await changeJson("POST", "/v1/cluster/primary", { replica: service.id });
    return h("p", { class: "done", role: "status" }, shown(view.primary), ` is primary from epoch ${view.epoch} on.`);
  });
}

/** Asks, and has the balancer of this page send a replica nothing new, or that ended. */
async function drain(endpoint, isDrained, outcome) {
  const asks = isDrained
    ? ["Put it back?", " gets requests of this balancer again, at first a small share.", "Put back"]
    : ["Drain it?", " gets nothing new of this balancer. What it has it finishes; whoever watches there goes on at another replica.", "Drain"];
  if (!(await confirmed(asks[0], h("p", null, h("strong", null, shown(endpoint.id)), asks[1]), asks[2]))) return;
  showing(outcome, async () => {
    const told = await changeJson("PUT", `/v1/balancer/endpoints/${encodeURIComponent(endpoint.id)}`, { drain: !isDrained });
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
  return [h("h2", null, "Reads of ", shown(balancer.id), `, by ${balancer.policy}`), table("Endpoints", ENDPOINTS, rows, "cards")];
}

/** Asks, and has a replica taken out for good. */
async function takeOut(service, outcome) {
  const yes = await confirmed("Take it out for good?", h("p", null, h("strong", null, shown(service.id)), " leaves the cluster, its process ends, and its data is of no use any more: one of its name joins only with an empty data directory. No write is lost."), "Take out");
  if (!yes) return;
  showing(outcome, async () => {
    const view = await changeJson("DELETE", `/v1/cluster/replicas/${encodeURIComponent(service.id)}`);
    return h("p", { class: "done", role: "status" }, shown(service.id), ` is out from epoch ${view.epoch} on; `, shown(view.primary), " is primary.");
  });
}

/** What can be done with a service. */
function actions(service, state, outcome) {
  if (service.kind !== "replica") return "";
  const out = button("Take out…", () => takeOut(service, outcome), { class: "quiet", "data-remove": service.id });
  if (!service.healthy || isPrimary(state, service)) return out;
  return h("div", { class: "bar tight" }, button("Make primary…", () => makePrimary(service, outcome), { class: "quiet", "data-primary": service.id }), out);
}

/** What somebody is about to press, or is asked about, stays where it is. */
function isUsed(place) {
  if (document.querySelector("dialog[open]") !== null) return true;
  return place.contains(document.activeElement) && ["A", "BUTTON"].includes(document.activeElement.tagName);
}

/** Shows what comes of what was pressed, to whoever uses the keyboard as well. */
async function showing(outcome, work) {
  await into(outcome, work);
  focus(outcome);
  outcome.scrollIntoView({ block: "nearest" });
}

/** Whether this page comes from a replica, which has no endpoints to show. */
let isOfReplica = false;
/** Whether it is being asked for them. */
let isAsking = false;

async function showEndpoints(place, outcome) {
  if (isOfReplica || isAsking) return;
  isAsking = true;
  try {
    const balancer = await get("/v1/balancer", { poll: true, timeoutMs: 1000 });
    if (!isUsed(place)) put(place, endpoints(balancer, outcome));
  } catch (error) {
    isOfReplica = error.status === 404;
    if (!isOfReplica) put(place, problemBox(error));
  } finally {
    isAsking = false;
  }
}

export function open(root) {
  const [place, reads, join] = [h("div"), h("div", { id: "endpoints" }), h("section", { class: "panel", id: "join", "aria-label": "How a replica joins" })];
  const outcome = h("div", { "aria-live": "polite" });
  put(root, heading("Members", "All services that GET /v1/cluster tells of."), outcome, place, reads, meanings(...COLUMNS, ...ENDPOINTS), join);
  return follow((state) => {
    showEndpoints(reads, outcome);
    howToJoin(join, state);
    if (isUsed(place)) return;
    const rows = state.cluster ? KINDS.flatMap(([, kind]) => of(state, kind)) : [];
    const shownRows = rows.map((service) => [...CELLS.map((cell) => cell(service, state)), actions(service, state, outcome)]);
    put(place, state.error ? problemBox(state.error) : null, rows.length > 0 ? table("Services", COLUMNS, shownRows, "cards") : empty("Nothing was heard of any service yet."));
  });
}
