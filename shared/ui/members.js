// The services as a table, and what can be done with one.

import { changeJson } from "./api.js";
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
    return h("p", { class: "done", role: "status" }, shown(view.primary), ` is primary from epoch ${view.epoch} on.`);
  });
}

/** What can be done with a service. */
function actions(service, state, outcome) {
  if (service.kind !== "replica" || !service.healthy || isPrimary(state, service)) return "";
  return button("Make primary…", () => makePrimary(service, outcome), { class: "quiet", "data-primary": service.id });
}

export function open(root) {
  const place = h("div");
  const outcome = h("div", { "aria-live": "polite" });
  put(root, heading("Members", "All services that GET /v1/cluster tells of."), outcome, place);
  return follow((state) => {
    // What somebody is about to press, or marks, stays where it is.
    if (place.contains(document.activeElement) && ["A", "BUTTON"].includes(document.activeElement.tagName)) return;
    const rows = state.cluster ? KINDS.flatMap(([, kind]) => of(state, kind)) : [];
    const shownRows = rows.map((service) => [...COLUMNS.map(([, cell]) => cell(service, state)), actions(service, state, outcome)]);
    put(place, state.error ? problemBox(state.error) : null, rows.length > 0 ? table("Services", [...COLUMNS.map(([name]) => name), ""], shownRows) : empty("Nothing was heard of any service yet."));
  });
}
