// What happens in the cluster, as it happens.

import { h, put, say } from "./dom.js";
import { followEvents } from "./live.js";
import { badge, empty, heading } from "./parts.js";
import { link } from "./routes.js";
import { count, number, shown } from "./text.js";

function text(value) {
  return shown(String(value ?? "–"), { limit: 300 });
}

/** Which acceptors there are; of others that followed, from which slot on they decide. */
function roster(data) {
  if (data.generation === undefined) return ["the acceptors are cluster ", text(data.cluster_id)];
  const where = (data.acceptors ?? []).map((url, at) => [at > 0 ? ", " : null, text(url)]);
  return [`generation ${number(data.generation)} of the acceptors decides from slot `, h("a", { href: link("log", { slot: data.slot }) }, number(data.slot)), " on: ", where, "; cluster ", text(data.cluster_id)];
}

/** What happened, in a sentence. */
function told(type, data) {
  switch (type) {
    case "leader":
      return data.coordinator === null ? "nobody is known to lead" : [text(data.coordinator), ` leads, at round ${number(data.ballot?.round)}`];
    case "view":
      return [`epoch ${number(data.epoch)}: `, text(data.primary), " is primary, backups: ", text((data.backups ?? []).join(", ") || "none"), data.slot === undefined ? null : [" ", h("a", { href: link("log", { slot: data.slot }) }, `slot ${number(data.slot)}`)]];
    case "member":
      return [text(data.id), ` ${data.state} at `, text(data.url)];
    case "roster":
      return roster(data);
    case "trim":
      return `votes below slot ${number(data.trimmed_below)} are dropped`;
    case "compact":
      return `history before revision ${number(data.compacted_below)} is dropped`;
    case "access":
      return [text(data.id), ` refused ${count(data.count, "request")}: `, text(data.reason)];
    case "warning":
      return [data.state === "ended" ? "no more: " : null, text(data.detail)];
    default:
      return "some of what happened is not held any more";
  }
}

function kindOf(type, data) {
  if (type === "warning") return data.state === "ended" ? "good" : "bad";
  return { leader: "lead", view: "lead", lagged: "warn", access: "warn" }[type] ?? "";
}

/** An event, as a row of a table: when, what, and a sentence. */
export function row({ type, data }) {
  const time = data.time === undefined ? "–" : text(data.time.slice(11, 23));
  return h("tr", null, [time, badge(type, kindOf(type, data)), h("span", null, told(type, data))].map((cell) => h("td", null, cell)));
}

export function open(root) {
  const [status, body, none] = [h("p", { class: "note", id: "events-state", role: "status" }), h("tbody", { id: "happened" }), h("div", null, empty("Nothing has happened yet."))];
  const columns = ["Time", "Event", ""].map((name) => h("th", { scope: "col" }, name));
  put(root, heading("Events", "Who leads, who is primary, who comes and goes, and what people should know, as it happens."), status, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", { class: "happened" }, h("thead", null, h("tr", null, columns)), body)), none);
  return followEvents(({ state, seen, events }) => {
    say(status, `${state}; ${count(seen, "event")} so far.`);
    put(body, events.map(row));
    none.hidden = events.length > 0;
  });
}
