// One key: what it has, and what can be done with it.

import { sql } from "./api.js";
import { viewer } from "./bytes.js";
import { h, put } from "./dom.js";
import { editor } from "./edit.js";
import { historyOf } from "./history.js";
import * as kv from "./kv.js";
import { button, confirmed, empty, fact, into, problemBox } from "./parts.js";
import { go, link } from "./routes.js";
import { number, shown } from "./text.js";

/** The slot that a revision was executed at: the one after the last that had not come to it. */
export async function slotOf(revision) {
  const answer = await sql("SELECT slot FROM log WHERE revision < ? ORDER BY slot DESC LIMIT 1", [revision]);
  const before = answer.rows[0]?.[0];
  if (before === undefined) throw new Error(`the slot of revision ${revision} is not kept any more: old slots are trimmed`);
  return before + 1;
}

function described(item) {
  return h(
    "div",
    { class: "facts-row" },
    fact("revision", number(item.revision), "The revision of the mutation that wrote this key last; it is the key's ETag."),
    fact("version", number(item.version), "How often the key was written since it was created."),
    fact("created at", number(item.created), "The revision of the mutation that created the key."),
    fact("content type", shown(item.contentType ?? "–", { limit: 80 }), "What whoever wrote the value said that it is."),
    fact("lease", item.lease === null ? "none" : number(item.lease), "The key goes when this lease ends."),
  );
}

/** Shows a key in a place; `changed` is told of the key that was written or deleted. */
export function keyPanel(place, key, prefix, changed) {
  const [body, below] = [h("div"), h("div")];
  const close = h("a", { class: "button quiet", href: link("keys", { prefix }), "aria-label": "Close" }, "×");
  put(place, h("div", { class: "side-head" }, h("h2", null, shown(key)), close), body, below);
  const edited = (item) => {
    put(below, editor({ key, item, prefix, onwritten: changed, oncancel: () => put(below) }));
    below.querySelector("textarea").focus();
  };
  const renew = () => {
    put(below);
    into(body, async () => {
      const item = await kv.read(key);
      const past = button("History", () => into(below, () => historyOf(key)), { id: "history" });
      if (item === null) {
        const create = button("Put it", () => edited(null), { class: "primary" });
        return [empty("There is no such key now."), h("div", { class: "bar" }, create, past)];
      }
      const edit = button("Edit", () => edited(item), { class: "primary", id: "edit" });
      const slot = button("Slot that wrote it", () => into(below, async () => go("log", { slot: await slotOf(item.revision), key })), { id: "slot" });
      const remove = button("Delete", () => askToDelete(below, item, changed), { class: "danger", id: "delete" });
      const watch = h("a", { class: "button", href: link("watch", { key }) }, "Watch");
      return [described(item), viewer(item.bytes, key), h("div", { class: "bar" }, edit, past, slot, watch, remove)];
    });
  };
  renew();
}

async function askToDelete(place, item, changed) {
  const question = h("p", null, "The key ", h("strong", null, shown(item.key, { limit: 200 })), ` is deleted if it still is at revision ${item.revision}. Its history stays.`);
  if (!(await confirmed("Delete this key?", question, "Delete"))) return;
  try {
    await kv.remove(item.key, item.revision);
    changed(item.key);
  } catch (error) {
    if (error.status !== 412) {
      put(place, problemBox(error));
      return;
    }
    put(place, problemBox(error), h("p", null, "Somebody has written it meanwhile."), button("Show it as it is now", () => changed(item.key)));
  }
}
