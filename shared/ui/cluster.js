// The view of the whole cluster.

import { h, put, say } from "./dom.js";
import { row } from "./events.js";
import { factsOf, perSecond } from "./facts.js";
import { followEvents } from "./live.js";
import { standing } from "./model.js";
import { badge, empty, fact, heading, problemBox, table } from "./parts.js";
import { picture } from "./picture.js";
import { follow, latest } from "./poll.js";
import { link } from "./routes.js";
import { number, shown } from "./text.js";

/** Events that are shown below the picture, of those that do not come of every write. */
const SHOWN_EVENTS = 5;
const ROUTINE = ["trim", "compact"];

const TILES = [
  ["leader", "Leader", "The coordinator that proposes values for slots; where there is none, writes wait.", (state) => state.cluster.leader?.coordinator ?? "none"],
  ["primary", "Primary", "The replica that takes mutations, as the view that was executed last says.", (state) => state.cluster.view?.primary ?? "none"],
  ["epoch", "Epoch", "The number of the present view: it grows whenever the primary or the backups change.", (state) => number(state.cluster.view?.epoch)],
  ["revision", "Revision", "How many mutations were executed since the cluster was made.", (state) => number(state.cluster.revision)],
  ["rate", "Mutations", "How many mutations were executed in the last second; a slot that is decided holds many, where many come at once.", (state) => perSecond(state.rates.perSecond.get("revision"))],
  ["votes", "Votes per decision", "Votes of all acceptors for each slot that is decided: with three acceptors that keep up it is 3.", (state) => state.cluster.ratios.votes_per_decision.toFixed(2)],
  ["up", "Services", "How many of the services that are known answered just now.", (state) => `${[...state.services.values()].filter((service) => service.healthy).length} of ${state.services.size}`],
];

/** Who gets what of a balancer. */
function sent(state, service) {
  const rows = state.flows.filter((flow) => flow.from === service.id).map((flow) => [shown(flow.to), flow.isPrimary ? "mutations and reads" : "reads", perSecond(flow.rate), number(flow.inFlight)]);
  if (rows.length === 0) return null;
  return [h("h3", null, "Who gets what"), table("Who gets what", ["Replica", "Gets", "In the last second", "Under way"], rows), h("p", { class: "note" }, "Requests that this balancer sent to each replica, and those of them that are not answered yet.")];
}

function details(state, id) {
  const service = state.services.get(id);
  if (!service) return empty("It is not known any more.");
  const [said, kind] = standing(state, service);
  const rows = factsOf(service.kind).map((each) => [h("dt", null, each.label), h("dd", null, h("span", { class: "figure" }, service.healthy ? each.value(service, state) : "–"), h("span", { class: "note" }, each.sentence))]);
  return [h("h2", null, shown(id), " ", badge(said, kind)), h("p", { class: "note" }, h("code", null, shown(service.url ?? ""))), h("dl", { class: "facts" }, rows), sent(state, service)];
}

/** What happened last, as it happens. */
function happenings() {
  const body = h("tbody", { id: "last" });
  const none = empty("Nothing has happened yet.");
  const element = h("section", { class: "panel", "aria-label": "What happened last" }, h("h2", null, "What happened last"), h("table", { class: "happened" }, body), none, h("p", { class: "note" }, h("a", { href: link("events") }, "All events")));
  const end = followEvents(({ events }) => {
    const told = events.filter(({ type }) => !ROUTINE.includes(type)).slice(0, SHOWN_EVENTS);
    put(body, told.map(row));
    none.hidden = told.length > 0;
  });
  return { element, end };
}

export function open(root, params) {
  let picked = params.get("service");
  const figures = new Map();
  const tiles = TILES.map(([id, label, sentence]) => {
    const value = h("span", { id: `tile-${id}` }, "–");
    figures.set(id, value);
    return fact(label, value, sentence, "tile");
  });
  const [trouble, frame, panel] = [h("div", { "aria-live": "polite" }), h("div", { class: "frame" }), h("section", { class: "panel", "aria-label": "Details of a service" })];
  const drawing = picture((id) => {
    picked = id;
    render(latest());
    panel.scrollIntoView({ block: "nearest" });
  });
  put(frame, drawing.element);
  const renderPanel = (state) => {
    // What somebody marks in it stays.
    const selection = getSelection();
    if (!selection.isCollapsed && panel.contains(selection.anchorNode)) return;
    put(panel, picked ? details(state, picked) : empty("Choose a service in the picture to read what each of its numbers means."));
  };
  const render = (state) => {
    const said = state.cluster?.mixups ?? [];
    put(trouble, state.error ? problemBox(state.error) : null, said.map((mixup) => h("p", { class: "problem" }, shown(mixup))));
    frame.classList.toggle("stale", state.error !== null);
    if (!state.cluster) return;
    for (const [id, , , value] of TILES) say(figures.get(id), value(state));
    drawing.update(state, Math.max(300, Math.floor(frame.clientWidth)), picked);
    renderPanel(state);
  };
  const legend = h("ul", { class: "legend" }, h("li", { class: "writes" }, "the way of a write"), h("li", { class: "reads" }, "reads, those of this page too"), h("li", { class: "log" }, "the chosen log, to the backups"));
  const last = happenings();
  put(root, heading("Cluster", "Every service, as one of the replicas hears of it each second, and at once when something happens."), trouble, h("div", { class: "tiles" }, tiles), h("section", { class: "card" }, frame, legend), panel, last.element);
  const resized = new ResizeObserver(() => render(latest()));
  resized.observe(frame);
  const end = follow(render);
  return () => {
    resized.disconnect();
    last.end();
    end();
  };
}
