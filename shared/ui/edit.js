// Writing a key, only while it is what was seen: compare-and-swap.

import { fromBase64, isTypable, textOf, toBase64, viewer } from "./bytes.js";
import { diffOf } from "./diff.js";
import { h, put } from "./dom.js";
import * as kv from "./kv.js";
import { button, field, into, problemBox } from "./parts.js";
import { number } from "./text.js";

function bytesIn(form) {
  if (form.elements.encoding.value === "base64") {
    try {
      return fromBase64(form.elements.value.value);
    } catch {
      throw new Error("the value is not base64");
    }
  }
  return new TextEncoder().encode(form.elements.value.value);
}

/**
 * A form for a key: of `item`, or (`key` null) of one whose name is typed in. What is
 * written is written only if the key still is as `item` says; where there is none, only if
 * there is no such key.
 */
export function editor({ key, item = null, prefix, onwritten, oncancel }) {
  const text = item === null ? "" : textOf(item.bytes);
  const isText = text !== null && isTypable(text);
  const name = h("input", { name: "key", required: true, autocomplete: "off", spellcheck: "false", value: key ?? prefix });
  const value = h("textarea", { name: "value", rows: 8, spellcheck: "false", value: isText ? text : toBase64(item.bytes) });
  const encoding = h("select", { name: "encoding" }, h("option", { value: "text" }, "text"), h("option", { value: "base64" }, "base64"));
  encoding.value = isText ? "text" : "base64";
  const type = h("input", { name: "type", autocomplete: "off", value: item === null ? "text/plain" : (item.contentType ?? "") });
  const lease = h("input", { name: "lease", inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off", value: item?.lease ?? "" });
  const outcome = h("div", { "aria-live": "polite" });
  const form = h(
    "form",
    { class: "editor", onsubmit: (event) => {
      event.preventDefault();
      save(item === null ? 0 : item.revision);
    } },
    key === null ? field("Key", name) : null,
    field("Value", value, isText ? null : "These bytes are no text that could be typed: they are edited in base64."),
    h("div", { class: "bar" }, field("Typed as", encoding), field("Content type", type), field("Goes with lease", lease)),
    h("div", { class: "bar" }, h("button", { type: "submit", class: "primary", id: "save" }, item === null ? "Put" : "Save"), button("Cancel", oncancel)),
    h("p", { class: "note" }, item === null ? "Written only if there is no such key yet." : `Written only if the key still is at revision ${number(item.revision)}.`),
  );
  const save = (ifRevision) =>
    into(outcome, async () => {
      const [wanted, bytes] = [key ?? name.value, bytesIn(form)];
      try {
        await kv.write(wanted, { bytes, contentType: type.value, lease: lease.value, ifRevision });
      } catch (error) {
        if (error.status !== 412) throw error;
        return conflict(error, await kv.read(wanted), bytes);
      }
      onwritten(wanted);
      return null;
    });
  // Both values, and what can be done about it.
  const conflict = (error, now, bytes) => [
    problemBox(error),
    h(
      "div",
      { class: "conflict", id: "conflict" },
      h("div", null, h("h3", null, "Yours"), viewer(bytes, "mine")),
      h("div", null, h("h3", null, now === null ? "There now: nothing" : `There now, at revision ${number(now.revision)}`), now === null ? null : viewer(now.bytes, "theirs")),
    ),
    now === null ? null : h("details", null, h("summary", null, "Difference"), diffOf(now.bytes, bytes)),
    h("div", { class: "bar" }, button(now === null ? "Put mine" : "Write mine over it", () => save(now === null ? 0 : now.revision), { class: "danger" }), button("Keep what is there", () => onwritten(key ?? name.value))),
  ];
  return put(h("div", { class: "card" }), form, outcome);
}
