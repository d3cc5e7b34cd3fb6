// All that was ever written under a key.

import { sql } from "./api.js";
import { viewer } from "./bytes.js";
import { diffOf } from "./diff.js";
import { h } from "./dom.js";
import * as kv from "./kv.js";
import { badge, button, empty, into, meanings, table } from "./parts.js";
import { link } from "./routes.js";
import { number, size } from "./text.js";

/** Changes on a page. */
const PAGE = 50;

const COLUMNS = [
  ["Revision", "The revision of the mutation; the state at any of them can be read, as long as history is kept."],
  "Change",
  ["Version", "How often the key had been written since it was created, this write counted."],
  ["Size", "The length of the value."],
  ["Lease", "The lease that the key went with from then on."],
  ["By", "Who wrote it: a token's accessor, or the name in a certificate."],
  "",
];

const query = (by) => `SELECT revision, change, version, lease, length(bytes), ${by} FROM history
  WHERE key = ? AND revision < ? ORDER BY revision DESC LIMIT ${PAGE + 1}`;

/** What changed a key; while replicas are upgraded, one of the program before does not say by whom. */
async function changesOf(...params) {
  try {
    return await sql(query("coalesce(subject, by)"), params);
  } catch (error) {
    if (error.status !== 400) throw error;
    return sql(query("NULL"), params);
  }
}

/** The history of a key, newest first. */
export async function historyOf(key, below = Number.MAX_SAFE_INTEGER) {
  const { rows } = await changesOf(key, below);
  if (rows.length === 0) return empty("Nothing is kept of this key.");
  const [place, more] = [h("div", { "aria-live": "polite" }), h("div")];
  const bytesAt = async (revision) => (revision < 1 ? null : ((await kv.read(key, revision))?.bytes ?? null));
  const look = (revision) => into(place, async () => {
    const bytes = await bytesAt(revision);
    return [h("h3", null, `At revision ${number(revision)}`), bytes === null ? empty("It did not exist.") : viewer(bytes, key)];
  });
  const compare = (revision) => into(place, async () => {
    const [before, after] = await Promise.all([bytesAt(revision - 1), bytesAt(revision)]);
    return [h("h3", null, `What revision ${number(revision)} changed`), diffOf(before, after)];
  });
  const shownRows = rows.slice(0, PAGE).map(([revision, change, version, lease, bytes, by]) => [
    number(revision),
    badge(change, change === "delete" ? "bad" : "good"),
    number(version),
    bytes === null ? "–" : size(bytes),
    lease ?? "–",
    by ?? "–",
    h("div", { class: "bar tight" }, button("Value", () => look(revision), { class: "quiet" }), button("Difference", () => compare(revision), { class: "quiet" })),
  ]);
  const next = rows.length > PAGE ? button("Older", () => into(more, () => historyOf(key, rows[PAGE - 1][0]))) : null;
  return [
    h("h3", null, "History"),
    table("History", COLUMNS, shownRows, "cards"),
    meanings(...COLUMNS),
    h("p", { class: "note" }, h("a", { href: link("rollback", { prefix: key, revision: rows[0][0] - 1 }) }, "Roll back"), " takes all keys that begin so back to a revision."),
    place,
    next,
    more,
  ];
}
