// What changes, as it changes.

import { ask, parameters, Problem } from "./api.js";
import { h, put, say } from "./dom.js";
import { badge, button, empty, field, heading } from "./parts.js";
import { link } from "./routes.js";
import { CLOSED, Stream } from "./stream.js";
import { count, number, shown } from "./text.js";

/** Events that are kept on the page. */
const KEPT = 500;

/** Until a watch that was refused is tried again, in milliseconds. */
const PAUSE_MS = 2000;

/**
 * Follows changes, and goes on after each cut from where it was. The stream comes again by
 * itself after a cut, with the last id; after a refusal it does not, and this does.
 */
function follow(what, { onevent, onstate }) {
  let [source, last, timer, ended] = [null, null, null, false];
  let cuts = 0;
  // What came of the revision that is not whole yet: all of it comes again after a cut.
  let partial = new Set();
  const path = () => `/v1/watch${parameters(last === null ? what : { key: what.key, prefix: what.prefix, from: last + 1 })}`;
  const told = (event) => {
    const data = JSON.parse(event.data);
    const id = event.lastEventId === "" ? null : Number(event.lastEventId);
    if (event.type === "put" || event.type === "delete") {
      const name = `${data.revision} ${data.key}`;
      if (!partial.has(name)) onevent(event.type, data);
      partial.add(name);
    }
    if (event.type === "denied") onstate(data.detail, cuts);
    if (event.type === "lagged") onstate("read too slowly, and is resumed", cuts);
    if (id !== null && (last === null || id > last)) {
      last = id;
      partial = new Set();
    }
  };
  const refused = async () => {
    // The stream does not say why; asked once more, the service does.
    let why = "no answer";
    try {
      const stop = new AbortController();
      await ask("GET", path(), { signal: stop.signal, headers: { accept: "text/event-stream" } });
      stop.abort();
    } catch (error) {
      why = Problem.of(error).detail;
    }
    if (ended) return;
    onstate(`not followed: ${why}; tried again in ${PAUSE_MS / 1000} s`, cuts);
    timer = setTimeout(begin, PAUSE_MS);
  };
  function begin() {
    if (ended) return;
    source = new Stream(path());
    for (const type of ["put", "delete", "synced", "lagged", "denied"]) source.addEventListener(type, told);
    source.onopen = () => onstate("live", cuts);
    source.onerror = () => {
      cuts += 1;
      if (source.readyState === CLOSED) refused();
      else onstate("cut off, and is resumed", cuts);
    };
  }
  begin();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}

function rendered(type, data) {
  const value = type === "delete" ? (data.reason === "lease_expired" ? "its lease expired" : "") : data.encoding === "base64" ? "bytes that are no UTF-8" : shown(data.value, { limit: 120 });
  return h("tr", null, [badge(type, type === "delete" ? "bad" : "good"), number(data.revision), h("a", { href: link("keys", { key: data.key }) }, shown(data.key)), value].map((cell) => h("td", null, cell)));
}

export function open(root, params) {
  const input = (name, attributes) => h("input", { name, autocomplete: "off", spellcheck: "false", value: params.get(name) ?? "", ...attributes });
  const [prefix, key] = [input("prefix", { placeholder: "all keys" }), input("key", { placeholder: "any" })];
  const from = h("select", { name: "from" }, h("option", { value: "now" }, "from now on"), h("option", { value: "snapshot" }, "with what there is"), h("option", { value: "revision" }, "from a revision"));
  const revision = input("revision", { type: "number", min: 1 });
  const [status, body, none] = [h("p", { class: "note", id: "watch-state", role: "status" }), h("tbody", { id: "events" }), h("div", null, empty("Nothing has changed since."))];
  const pressed = button("Start", () => (end ? stop() : begin()), { class: "primary", id: "watch-button" });
  let [end, seen, state, cuts] = [null, 0, "", 0];
  const tell = () => {
    const resumed = cuts > 0 ? `; resumed ${count(cuts, "time")}` : "";
    const kept = seen > KEPT ? `, the last ${KEPT} shown` : "";
    say(status, `${state}${resumed}; ${count(seen, "event")} so far${kept}.`);
  };
  const stop = () => {
    end?.();
    end = null;
    say(pressed, "Start");
    say(status, "Stopped.");
  };
  const begin = () => {
    put(body);
    [seen, cuts, none.hidden] = [0, 0, false];
    say(status, "Begins …");
    const what = { prefix: key.value ? null : prefix.value, key: key.value };
    if (from.value === "snapshot") what.snapshot = "true";
    if (from.value === "revision") what.from = revision.value;
    say(pressed, "Stop");
    end = follow(what, {
      onevent: (type, data) => {
        seen += 1;
        none.hidden = true;
        body.prepend(rendered(type, data));
        if (body.rows.length > KEPT) body.lastElementChild.remove();
        tell();
      },
      onstate: (now, cutsSoFar) => {
        [state, cuts] = [now, cutsSoFar];
        tell();
      },
    });
  };
  const columns = ["Event", "Revision", "Key", "Value"].map((name) => h("th", { scope: "col" }, name));
  put(
    root,
    heading("Watch", "Every change of some keys, as it is executed, without gaps: after a cut it goes on where it was."),
    h("div", { class: "bar" }, field("Prefix", prefix), field("or one key", key), field("Begins", from), field("Revision", revision), pressed),
    status,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", null, h("thead", null, h("tr", null, columns)), body)),
    none,
  );
  begin();
  return () => end?.();
}
