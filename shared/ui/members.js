// The services as a table.

import { h, put } from "./dom.js";
import { factsOf } from "./facts.js";
import { KINDS, of, standing } from "./model.js";
import { badge, empty, heading, problemBox, table } from "./parts.js";
import { follow } from "./poll.js";
import { link } from "./routes.js";
import { shown, span } from "./text.js";

/** What is told of each service; an operation on one would be another entry. */
const COLUMNS = [
  ["Service", (service) => h("a", { href: link("cluster", { service: service.id }) }, shown(service.id))],
  ["State", (service, state) => badge(...standing(state, service))],
  ["Address", (service) => h("code", null, shown(service.url ?? "–"))],
  ["What it knows", (service, state) => (service.healthy ? factsOf(service.kind).slice(0, 3).map((each) => h("span", { class: "pair", title: each.sentence }, `${each.label} `, h("b", null, each.value(service, state)))) : "–")],
  ["Up for", (service) => (service.healthy ? span(service.uptime_ms) : "–")],
  ["Process", (service) => (service.healthy ? (service.pid ?? "–") : "–")],
  ["Version", (service) => service.version ?? "–"],
];

export function open(root) {
  const place = h("div");
  put(root, heading("Members", "All services that GET /v1/cluster tells of."), place);
  return follow((state) => {
    // What somebody is about to press, or marks, stays where it is.
    if (place.contains(document.activeElement) && document.activeElement.tagName === "A") return;
    const rows = state.cluster ? KINDS.flatMap(([, kind]) => of(state, kind)) : [];
    const shownRows = rows.map((service) => COLUMNS.map(([, cell]) => cell(service, state)));
    put(place, state.error ? problemBox(state.error) : null, rows.length > 0 ? table("Services", COLUMNS.map(([name]) => name), shownRows) : empty("Nothing was heard of any service yet."));
  });
}
