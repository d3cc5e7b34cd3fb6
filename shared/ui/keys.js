// Keys, by prefix and page by page, and one of them beside the list.

import { h, put } from "./dom.js";
import { editor } from "./edit.js";
import { keyPanel } from "./key.js";
import * as kv from "./kv.js";
import { button, empty, field, focus, heading, into, meanings, problemBox, table } from "./parts.js";
import { go, link } from "./routes.js";
import { number, shown } from "./text.js";

const COLUMNS = [
  "Key",
  ["Revision", "The revision of the mutation that wrote the key last; it is the key's ETag."],
  ["Version", "How often the key was written since it was created."],
  ["Content type", "What whoever wrote the value said that it is."],
  ["Lease", "The key goes when this lease ends."],
];

/** The prefix that each part of a prefix stands for, split where people split keys. */
function crumbs(prefix) {
  const parts = prefix.split(/(?<=\/)/).filter((part) => part !== "");
  let before = "";
  const links = parts.map((part) => {
    before += part;
    return h("a", { href: link("keys", { prefix: before }) }, shown(part, { limit: 80 }));
  });
  return h("nav", { class: "crumbs", "aria-label": "Prefix" }, h("a", { href: link("keys") }, "all keys"), links);
}

function row(item, prefix, chosen) {
  const isChosen = item.key === chosen;
  const cells = [
    h("a", { href: link("keys", { prefix, key: item.key }), "aria-current": isChosen ? "true" : null, class: "key", "data-key": item.key }, shown(item.key)),
    number(item.revision),
    number(item.version),
    shown(item.content_type ?? "–", { limit: 60 }),
    item.lease === null ? "–" : h("a", { href: link("leases", { lease: item.lease }) }, item.lease),
  ];
  return h("tr", { class: isChosen ? "chosen" : null }, cells.map((cell) => h("td", null, cell)));
}

export function open(root, first) {
  let params = first;
  let items = [];
  const prefix = () => params.get("prefix") ?? "";
  const [list, side] = [h("section", { class: "list", "aria-label": "Keys", "aria-live": "polite" }), h("section", { class: "side", "aria-label": "A key" })];
  const asked = h("input", { name: "prefix", autocomplete: "off", spellcheck: "false", placeholder: "all keys" });
  const search = h("form", { class: "bar", role: "search", onsubmit: (event) => {
    event.preventDefault();
    if (asked.value === prefix()) load();
    else go("keys", { prefix: asked.value });
  } }, field("Prefix", asked), h("button", { type: "submit" }, "List"));
  const more = h("div");
  let page = null;
  let turn = 0;

  const render = () => {
    const rows = items.map((item) => row(item, prefix(), params.get("key")));
    const none = prefix() === "" ? "There are no keys yet." : "No key has this prefix.";
    put(
      list,
      crumbs(prefix()),
      rows.length > 0 ? table("Keys", COLUMNS, rows) : empty(none, h("p", null, h("a", { href: link("keys", { prefix: prefix(), new: "1" }) }, "Put one"))),
      h("p", { class: "note" }, `${number(items.length)} shown, as of revision ${number(page.revision)}.`),
      rows.length > 0 ? meanings(...COLUMNS) : null,
      page.next ? button("Show more", () => into(more, () => load(page.next)), { id: "more" }) : null,
      more,
    );
  };
  const load = async (cursor) => {
    turn += 1;
    const mine = turn;
    try {
      const answer = await kv.list(prefix(), { cursor });
      if (mine !== turn) return null;
      page = answer;
      items = cursor ? [...items, ...page.items] : page.items;
      render();
    } catch (error) {
      if (mine === turn && !cursor) put(list, crumbs(prefix()), problemBox(error));
      else if (mine === turn) throw error;
    }
    return null;
  };
  const renderSide = () => {
    const key = params.get("key");
    const changed = (written) => {
      load();
      if (written !== key) {
        go("keys", { prefix: prefix(), key: written });
        return;
      }
      keyPanel(side, written, prefix(), changed);
      enter();
    };
    side.classList.toggle("open", key !== null || params.has("new"));
    if (params.has("new")) put(side, h("h2", null, "New key"), editor({ key: null, prefix: prefix(), onwritten: changed, oncancel: () => go("keys", { prefix: prefix() }) }));
    else if (key !== null) keyPanel(side, key, prefix(), changed);
    else put(side, empty("Choose a key to see what it has, edit it, and read its history."));
  };
  /** Whoever opened something goes on in it, and whoever closed it where it was opened. */
  const enter = (closed = null) => {
    const name = side.querySelector("input[name=key]");
    const opened = side.querySelector("h2");
    const before = [...list.querySelectorAll("a.key")].find((each) => each.dataset.key === closed);
    if (name !== null) name.focus({ preventScroll: true });
    else if (opened !== null) focus(opened);
    else if (before !== undefined) before.focus();
    else if (document.activeElement === document.body) focus(list);
  };
  const update = (next, isFirst = false) => {
    const [before, wasOpen] = [prefix(), params.get("key")];
    params = next;
    asked.value = prefix();
    links();
    if (isFirst || before !== prefix()) load();
    else if (page) render();
    renderSide();
    if (isFirst) return;
    enter(wasOpen);
    if (side.classList.contains("open")) side.scrollIntoView({ block: "nearest" });
  };
  const actions = h("div", { class: "bar" });
  const links = () => put(actions, h("a", { class: "button primary", href: link("keys", { prefix: prefix(), new: "1" }) }, "New key"), h("a", { class: "button", href: link("watch", { prefix: prefix() }) }, "Watch"), h("a", { class: "button", href: link("rollback", { prefix: prefix() }) }, "Roll back…"));
  put(root, heading("Keys", null, actions), search, h("div", { class: "columns" }, list, side));
  update(first, true);
  return { update };
}
