// Leases and locks, as they are now.

import { get, parameters } from "./api.js";
import { h, put } from "./dom.js";
import { badge, button, empty, heading, into, meanings, problemBox, table } from "./parts.js";
import { link } from "./routes.js";
import { number, shown, span } from "./text.js";

const EVERY_MS = 2000;

/** Of each that are shown. */
const PAGE = 200;

const LOCKS = [
  "Lock",
  ["Held by lease", "The lease whose holder has the lock; the lock goes when it ends."],
  ["Fence", "The revision at which it was taken: a mutation that names it is executed only as long as that holds."],
  ["Waiting", "How many others have asked for it, and get it in that order."],
];
const LEASES = [
  ["Lease", "Its number; choose it to see the keys that go with it."],
  ["Granted for", "How long it lasts if it is not renewed."],
  ["Left", "What is left of it in replicated time, which only grows by what is in the log."],
  ["Holds", "The locks that go when it ends."],
];

function remaining({ remaining_ms: left, ttl_ms: all }) {
  return h("div", { class: "left" }, h("meter", { min: 0, max: all, value: left, low: all / 4, "aria-label": "Remaining time" }), ` ${span(left)}`);
}

async function details(id) {
  const lease = await get(`/v1/leases/${id}${parameters({ limit: PAGE })}`, { poll: true });
  const keys = lease.keys.map((key) => h("li", null, h("a", { href: link("keys", { key }) }, shown(key))));
  return [h("h2", null, `Lease ${id}`), h("p", null, `${span(lease.remaining_ms)} of ${span(lease.ttl_ms)} left. ${keys.length > 0 ? `These keys go when it ends${lease.next ? `, the first ${PAGE}` : ""}:` : "No key is bound to it."}`), h("ul", { class: "plain" }, keys)];
}

export function open(root, params) {
  const [locks, leases, one] = [h("div"), h("div"), h("section", { class: "panel", "aria-label": "A lease" })];
  let [timer, ended, picked] = [null, false, params.get("lease")];
  const pick = (id) => {
    picked = String(id);
    into(one, () => details(picked));
  };
  const renew = async () => {
    try {
      const poll = { poll: true, timeoutMs: EVERY_MS };
      const [held, granted] = await Promise.all([get(`/v1/locks?limit=${PAGE}`, poll), get(`/v1/leases?limit=${PAGE}`, poll)]);
      if (ended) return;
      const focused = document.activeElement?.getAttribute?.("data-lease");
      const opener = (id) => button(`${id}`, () => pick(id), { class: "quiet", "data-lease": id });
      const lockRows = held.items.map((lock) => [shown(lock.name), opener(lock.lease), number(lock.fence), lock.waiters > 0 ? badge(`${lock.waiters} waiting`, "warn") : "nobody"]);
      const leaseRows = granted.items.map((lease) => [opener(lease.id), span(lease.ttl_ms), remaining(lease), held.items.filter((lock) => lock.lease === lease.id).map((lock) => h("span", { class: "pair" }, shown(lock.name)))]);
      const more = (answer) => (answer.next ? h("p", { class: "note" }, `Only the first ${PAGE} are shown.`) : null);
      put(locks, held.items.length > 0 ? table("Locks", LOCKS, lockRows, "cards") : empty("Nobody holds a lock."), more(held));
      put(leases, granted.items.length > 0 ? table("Leases", LEASES, leaseRows, "cards") : empty("There are no leases."), more(granted));
      if (focused) root.querySelector(`[data-lease="${focused}"]`)?.focus();
    } catch (error) {
      if (!ended) put(locks, problemBox(error));
    }
    if (!ended) timer = setTimeout(renew, EVERY_MS);
  };
  put(root, heading("Leases and locks", "A lock is held by one lease at a time; keys and locks go when their lease ends."), h("h2", null, "Locks"), locks, h("h2", null, "Leases"), leases, meanings(...LOCKS, ...LEASES), one);
  if (picked) pick(picked);
  renew();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
