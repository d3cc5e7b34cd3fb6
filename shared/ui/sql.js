// Queries.

import { sql } from "./api.js";
import { h, put } from "./dom.js";
import { button, empty, field, heading, into, table } from "./parts.js";
import { link } from "./routes.js";
import { count, number, shown } from "./text.js";

/** Rows that are shown. */
const SHOWN_ROWS = 500;

const EXAMPLES = [
  ["Keys that are written most", "SELECT key, version, revision FROM kv ORDER BY version DESC LIMIT 20"],
  ["The last changes", "SELECT revision, change, key, length(bytes) AS bytes FROM history ORDER BY revision DESC LIMIT 50"],
  ["Keys by their first part", "SELECT substr(key, 1, instr(key || '/', '/')) AS part, count(*) AS keys, sum(length(bytes)) AS bytes FROM kv GROUP BY part ORDER BY keys DESC"],
  ["Who holds which lock", "SELECT l.name, l.lease, l.fence, l.waiters, e.remaining_ms FROM locks l JOIN leases e ON e.id = l.lease"],
  ["The log's last slots", "SELECT slot, round, coordinator, revision, hash FROM log ORDER BY slot DESC LIMIT 20"],
];

function cell(value) {
  if (value === null) return h("span", { class: "null" }, "null");
  if (typeof value === "object") return h("span", null, h("span", { class: "badge" }, "base64"), " ", shown(value.base64 ?? JSON.stringify(value), { limit: 200 }));
  return typeof value === "string" ? shown(value, { limit: 500 }) : String(value);
}

async function run(text) {
  const began = performance.now();
  const answer = await sql(text);
  const took = Math.round(performance.now() - began);
  const said = h("p", { class: "note" }, `${count(answer.rows.length, "row")} at revision ${number(answer.revision)}, in ${took} ms.${answer.rows.length > SHOWN_ROWS ? ` The first ${SHOWN_ROWS} are shown.` : ""}`);
  if (answer.rows.length === 0) return [said, empty("No rows.")];
  return [said, table("Result", answer.columns.map((name) => shown(name, { limit: 100 })), answer.rows.slice(0, SHOWN_ROWS).map((row) => row.map(cell)))];
}

export function open(root, params) {
  const outcome = h("div", { "aria-live": "polite", id: "result" });
  const text = h("textarea", { name: "query", rows: 5, spellcheck: "false", value: params.get("q") ?? EXAMPLES[0][1], onkeydown: (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  } });
  const submit = (event) => {
    event.preventDefault();
    // So that it can be linked; whoever follows the link decides whether it runs.
    history.replaceState(null, "", link("sql", { q: text.value }));
    into(outcome, () => run(text.value));
  };
  const examples = EXAMPLES.map(([name, query]) => button(name, () => {
    text.value = query;
    text.focus();
  }, { class: "quiet" }));
  put(root, heading("SQL", "Reads the views kv, history, leases, locks and log, in SQLite's dialect; nothing can be written."), h("form", { onsubmit: submit }, field("Query", text), h("div", { class: "bar" }, h("button", { type: "submit", class: "primary", id: "run" }, "Run"), h("span", { class: "note" }, "or Ctrl and Enter"), h("span", { class: "gap" }), examples)), outcome);
  return () => {};
}
