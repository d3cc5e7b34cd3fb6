// What happens in the cluster, as it happens.

import { h, put, say } from "./dom.js";
import { badge, empty, heading } from "./parts.js";
import { link } from "./routes.js";
import { CLOSED, Stream } from "./stream.js";
import { count, number, shown } from "./text.js";

/** Events that are kept on the page. */
const KEPT = 300;

/** Until a stream that was refused is tried again, in milliseconds. */
const PAUSE_MS = 3000;

const TYPES = ["leader", "view", "member", "roster", "trim", "compact", "access", "warning", "lagged"];

function text(value) {
  return shown(String(value ?? "–"), { limit: 300 });
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
      return ["the acceptors are cluster ", text(data.cluster_id)];
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

export function open(root) {
  const [status, body, none] = [h("p", { class: "note", id: "events-state", role: "status" }), h("tbody", { id: "happened" }), h("div", null, empty("Nothing has happened yet."))];
  let [source, timer, seen, ended] = [null, null, 0, false];
  // What comes again after a cut is told by its id.
  let last = null;
  const happened = (event) => {
    if (event.lastEventId !== "" && event.lastEventId === last) return;
    last = event.lastEventId;
    const data = JSON.parse(event.data);
    seen += 1;
    none.hidden = true;
    const time = data.time === undefined ? "–" : text(data.time.slice(11, 23));
    body.prepend(h("tr", null, [time, badge(event.type, kindOf(event.type, data)), h("span", null, told(event.type, data))].map((cell) => h("td", null, cell))));
    if (body.rows.length > KEPT) body.lastElementChild.remove();
    say(status, `live; ${count(seen, "event")} so far.`);
  };
  const begin = () => {
    if (ended) return;
    source = new Stream("/v1/events?held=true");
    for (const type of TYPES) source.addEventListener(type, happened);
    source.onopen = () => say(status, `live; ${count(seen, "event")} so far.`);
    source.onerror = () => {
      say(status, "cut off, and is resumed");
      if (source.readyState !== CLOSED) return;
      put(body);
      [seen, last] = [0, null];
      timer = setTimeout(begin, PAUSE_MS);
    };
  };
  const columns = ["Time", "Event", ""].map((name) => h("th", { scope: "col" }, name));
  put(root, heading("Events", "Who leads, who is primary, who comes and goes, and what people should know, as it happens."), status, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", null, h("thead", null, h("tr", null, columns)), body)), none);
  begin();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}
