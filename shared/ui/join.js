// How a replica joins: said with the addresses that this cluster has.

import { h, put } from "./dom.js";
import { of } from "./model.js";
import { shown } from "./text.js";

/** An address that a shell takes as it is. */
const PLAIN = /^https?:\/\/[\w.:[\]-]+$/;

/** The command that starts one more replica; what only people know is in capitals. */
function command(state) {
  const acceptors = of(state, "acceptor").map(({ url }) => url ?? "");
  const numbers = of(state, "replica").map(({ id }) => Number(/^replica-(\d{1,9})$/.exec(id)?.[1] ?? 0));
  const name = `replica-${Math.max(0, ...numbers) + 1}`;
  const known = acceptors.length > 0 && acceptors.every((url) => PLAIN.test(url)) ? acceptors.join(",") : "URL,URL,URL";
  const scheme = known.startsWith("https:") ? "https" : "http";
  return `synod replica --id ${name} --acceptors ${known} \\\n  --listen 0.0.0.0:PORT --advertise-url ${scheme}://HOST:PORT --data-dir ${name}`;
}

/** Says it in a place; a text that is there already stays, also for who marks it. */
export function howToJoin(place, state) {
  const said = state.cluster === null ? null : command(state);
  if (said === null || place.dataset.said === said) return;
  place.dataset.said = said;
  put(
    place,
    h("h2", null, "How a replica joins"),
    h("p", null, "By starting, with the acceptors' addresses and an empty folder; nobody has to be told. Where the others reach it is its own to say. With TLS or tokens it takes the same flags as they."),
    h("pre", { class: "value", tabindex: 0, "aria-label": "The command that starts a replica" }, shown(said, { lines: true })),
    h("p", { class: "note" }, "It executes the log, or begins with the state of another replica where that is long: its line above says what it has fetched. Then the leader takes it into the view, which is an event, it is a backup, and balancers send it reads. Coordinators and balancers join in the same way, with no folder."),
  );
}
