// Making a prefix what it was at a revision; first without doing it.

import { changeJson, query } from "./api.js";
import { diffOf } from "./diff.js";
import { h, put } from "./dom.js";
import * as kv from "./kv.js";
import { badge, button, confirmed, empty, field, heading, into, table } from "./parts.js";
import { link } from "./routes.js";
import { count, number, shown } from "./text.js";

/** The most changes that are shown. */
const SHOWN = 500;

export function open(root, params) {
  const prefix = h("input", { name: "prefix", autocomplete: "off", spellcheck: "false", value: params.get("prefix") ?? "", placeholder: "all keys" });
  const revision = h("input", { name: "revision", type: "number", min: 0, required: true, value: params.get("revision") ?? "" });
  const outcome = h("div", { "aria-live": "polite" });
  const wanted = () => ({ prefix: prefix.value, revision: Number(revision.value), ...(prefix.value === "" ? { all: true } : {}) });
  const form = h("form", { class: "bar", onsubmit: (event) => {
    event.preventDefault();
    into(outcome, () => rehearse(wanted(), outcome));
  }, oninput: () => put(outcome) }, field("Prefix", prefix), field("Back to revision", revision), h("button", { type: "submit", class: "primary" }, "Show what would change"));
  put(root, heading("Roll back", "Makes all keys with a prefix what they were at a revision, as one step that can itself be rolled back."), form, outcome);
  return () => {};
}

async function rehearse(wanted, outcome) {
  const plan = await query("/v1/rollback?dry_run=true", wanted);
  if (plan.changes.length === 0) return empty(`Nothing would change: the prefix is what it was at revision ${number(wanted.revision)}.`);
  const place = h("div", { "aria-live": "polite" });
  const compare = (key) => into(place, async () => {
    const [now, then] = await Promise.all([kv.read(key, plan.revision), kv.read(key, wanted.revision)]);
    return [h("h3", null, shown(key)), diffOf(now?.bytes ?? null, then?.bytes ?? null)];
  });
  const rows = plan.changes.slice(0, SHOWN).map(({ key, change }) => [h("a", { href: link("keys", { prefix: wanted.prefix, key }) }, shown(key)), badge(change, change === "deleted" ? "bad" : "good"), button("Difference", () => compare(key), { class: "quiet" })]);
  const said = `${count(plan.restored, "key")} restored, ${number(plan.deleted)} deleted`;
  const act = button(`Roll back ${count(plan.changes.length, "key")}…`, async () => {
    const yes = await confirmed("Roll back?", h("p", null, "Keys that begin with ", h("strong", null, shown(wanted.prefix || "(anything)", { limit: 200 })), ` become what they were at revision ${number(wanted.revision)}: ${said}, and whatever is written to them in the meantime.`), "Roll back");
    if (yes) into(outcome, async () => done(await changeJson("POST", "/v1/rollback", wanted), wanted));
  }, { class: "danger", id: "rollback" });
  return [h("p", null, `As the state is at revision ${number(plan.revision)}, it would be: ${said}.`), table("What would change", ["Key", "Change", ""], rows), plan.changes.length > SHOWN ? h("p", { class: "note" }, `… and ${number(plan.changes.length - SHOWN)} more.`) : null, place, h("div", { class: "bar" }, act)];
}

function done(answer, wanted) {
  return h("div", { class: "done", role: "status" }, h("p", null, `Done at revision ${number(answer.revision)}: ${count(answer.restored, "key")} restored, ${number(answer.deleted)} deleted.`), h("p", null, h("a", { href: link("keys", { prefix: wanted.prefix }) }, "See the keys"), " · ", h("a", { href: link("rollback", { prefix: wanted.prefix, revision: answer.revision - 1 }) }, "Undo it by another roll-back")));
}
