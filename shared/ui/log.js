// What Paxos decided, slot by slot.

import { get, parameters } from "./api.js";
import { h, put } from "./dom.js";
import { badge, button, empty, field, heading, into, table } from "./parts.js";
import { latest } from "./poll.js";
import { go, link } from "./routes.js";
import { count, number, shown, size } from "./text.js";

/** Slots on a page. */
const PAGE = 20;

/** Commands of a slot that are shown. */
const SHOWN_COMMANDS = 200;

/** What of a command is said elsewhere in its row. */
const APART = ["op", "key", "prefix", "name", "trace_id", "request"];

function command(said, key) {
  const subject = said.key ?? said.prefix ?? said.name;
  const rest = Object.entries(said).filter(([name, value]) => !APART.includes(name) && value !== null);
  const words = rest.map(([name, value]) => h("span", { class: "pair" }, `${name.replaceAll("_", " ")} `, h("b", null, name === "value_bytes" ? size(value) : shown(typeof value === "object" ? JSON.stringify(value) : String(value), { limit: 200 }))));
  const at = said.key === undefined ? shown(subject ?? "–") : h("a", { href: link("keys", { key: said.key }) }, shown(said.key));
  const cells = [badge(said.op.replaceAll("_", " ")), at, h("div", null, words), said.trace_id ? traced(said.trace_id) : "–"];
  return h("tr", { class: key !== null && said.key === key ? "chosen" : null }, cells.map((cell) => h("td", null, cell)));
}

function traced(id) {
  return h("a", { href: link("follow", { trace: id }), class: "trace" }, h("code", { class: "small" }, id));
}

function line(name, value, sentence) {
  return [h("dt", null, name), h("dd", null, h("span", { class: "figure" }, value), h("span", { class: "note" }, sentence))];
}

function slot(entry, { before, isOpen, key }) {
  const isLinked = before && before.slot + 1 === entry.slot ? before.hash === entry.previous_hash : null;
  const chain = isLinked === null ? null : isLinked ? badge("follows", "good") : badge("does not follow", "bad");
  const commands = entry.commands.slice(0, SHOWN_COMMANDS).map((each) => command(each, key));
  const what = entry.kind === "view" ? h("span", null, "primary ", shown(entry.view.primary)) : count(entry.commands.length, "command");
  return h(
    "details",
    { class: "slot", open: isOpen, id: `slot-${entry.slot}` },
    h("summary", null, h("span", { class: "number" }, number(entry.slot)), badge(entry.kind, entry.kind === "batch" ? "good" : entry.kind === "view" ? "lead" : ""), what, h("span", { class: "gap" }), chain, h("code", { class: "small" }, entry.hash.slice(0, 12))),
    h(
      "dl",
      { class: "facts" },
      line("epoch", entry.epoch === null ? "–" : number(entry.epoch), "The number of the view that it belongs to."),
      line("ballot", `${entry.ballot.round} of ${entry.ballot.coordinator}`, "The ballot at which it was chosen, and whose that is."),
      line("revision", number(entry.revision), "The revision of the state after it was executed."),
      entry.wall_ms ? line("made at", new Date(entry.wall_ms).toISOString(), "The primary's clock when it made the batch; nothing depends on it.") : null,
      entry.view ? line("view", h("span", null, shown(entry.view.primary), " is primary, backups: ", shown(entry.view.backups.join(", ") || "none")), "Who is primary from here on.") : null,
      line("trace", entry.trace_id ? traced(entry.trace_id) : "none", "The trace of the batch, where it was recorded."),
      line("hash", h("code", null, entry.hash), "Of this slot and everything before it."),
      line("previous hash", h("code", null, entry.previous_hash), "The hash of the slot before: so the slots are a chain."),
      entry.error ? line("error", shown(entry.error), "Why it is void.") : null,
    ),
    commands.length > 0 ? table(`Commands of slot ${entry.slot}`, ["Command", "Of", "", "Trace of the request"], commands) : null,
    entry.commands.length > SHOWN_COMMANDS ? h("p", { class: "note" }, `Only the first ${SHOWN_COMMANDS} are shown.`) : null,
  );
}

/** The newest slot that any replica is known to have executed. */
async function newest() {
  const cluster = latest().cluster ?? (await get("/v1/cluster", { poll: true }));
  return Math.max(0, ...cluster.replicas.map((replica) => replica.executed_slot ?? 0));
}

async function page(params) {
  const wanted = params.get("slot");
  const last = await newest();
  const from = wanted !== null ? Math.max(0, Number(wanted) - 2) : params.has("from") ? Number(params.get("from")) : Math.max(0, last - PAGE + 1);
  const entries = await get(`/v1/log${parameters({ from, limit: PAGE })}`);
  const rows = entries.map((entry, at) => slot(entry, { before: entries[at - 1], isOpen: String(entry.slot) === wanted, key: params.get("key") })).reverse();
  const [lowest, highest] = [entries[0]?.slot ?? from, entries.at(-1)?.slot ?? from];
  const bar = h("div", { class: "bar" }, h("a", { class: "button", href: link("log", { from: highest + 1 }) }, "Newer"), lowest > 0 ? h("a", { class: "button", href: link("log", { from: Math.max(0, lowest - PAGE) }) }, "Older") : null, h("span", { class: "note" }, `Slots ${number(lowest)} to ${number(highest)}, newest first.`));
  return rows.length > 0 ? [bar, rows] : [bar, empty("No slot from there on is chosen yet.")];
}

export function open(root, first) {
  const place = h("div", { "aria-live": "polite" });
  const asked = h("input", { name: "slot", type: "number", min: 0, required: true });
  const load = (params) => into(place, () => page(params)).then(() => {
    if (params.has("slot")) document.getElementById(`slot-${params.get("slot")}`)?.scrollIntoView({ block: "center" });
  });
  const jump = h("form", { class: "bar", onsubmit: (event) => {
    event.preventDefault();
    go("log", { slot: asked.value });
  } }, field("Slot", asked), h("button", { type: "submit" }, "Go there"), button("Newest", () => (location.hash === "#/log" ? load(first) : go("log"))));
  put(root, heading("Log", "The numbered sequence of values that Paxos decides; each names the hash of the one before it."), jump, place);
  load(first);
  return { update: load };
}
