// The cluster as a picture. From left to right, or on a narrow screen from the top down, as
// a write goes: balancer, replicas, coordinators, acceptors.

import { s, say } from "./dom.js";
import { edges, path } from "./edges.js";
import { shortFacts } from "./facts.js";
import { messages } from "./messages.js";
import { KINDS, of, standing } from "./model.js";
import { plain } from "./text.js";

const [WIDE, NODE_HEIGHT, GAP, LINE, HEAD] = [860, 114, 22, 17, 40];

/** Narrower than this, what a service is just now stands below its name. */
const ROOMY = 200;

/** Where everything is, for this many pixels. */
function layout(state, width) {
  const groups = KINDS.map(([, kind]) => of(state, kind)).filter((group) => group.length > 0);
  const places = new Map();
  if (width >= WIDE) {
    const nodeWidth = Math.min(216, (width - 70 * (groups.length - 1) - 4) / groups.length);
    const step = groups.length > 1 ? (width - nodeWidth - 4) / (groups.length - 1) : 0;
    const tallest = Math.max(...groups.map((group) => group.length));
    const height = tallest * (NODE_HEIGHT + GAP) - GAP + 4;
    groups.forEach((group, column) => {
      const top = (height - group.length * (NODE_HEIGHT + GAP) + GAP) / 2;
      group.forEach((service, row) => places.set(service.id, { x: 2 + column * step, y: top + row * (NODE_HEIGHT + GAP), width: nodeWidth }));
    });
    return { places, height, isWide: true };
  }
  const [columns, gap] = [width >= 560 ? 3 : 2, 10];
  const nodeWidth = (width - 4 - gap * (columns - 1)) / columns;
  let y = 2;
  for (const group of groups) {
    for (let at = 0; at < group.length; at += columns) {
      const row = group.slice(at, at + columns);
      const left = (width - row.length * (nodeWidth + gap) + gap) / 2;
      row.forEach((service, column) => places.set(service.id, { x: left + column * (nodeWidth + gap), y, width: nodeWidth }));
      y += NODE_HEIGHT + gap;
    }
    y += 26;
  }
  return { places, height: y - 34, isWide: false };
}

/** A node, and how it is brought up to date. */
function node(service, place, onpick) {
  const title = s("title");
  const isRoomy = place.width >= ROOMY;
  const word = s("text", isRoomy ? { class: "word", x: place.width - 10, y: 23, "text-anchor": "end" } : { class: "word", x: 25, y: 38 });
  const [lines, top] = [[], isRoomy ? HEAD + 9 : HEAD + 16];
  const facts = shortFacts(service.kind).slice(0, isRoomy ? 4 : 3);
  const valueOf = (each, now, state) => String((isRoomy ? each.value : (each.short ?? each.value))(now, state));
  const group = s(
    "g",
    { class: "node", transform: `translate(${place.x} ${place.y})`, tabindex: 0, role: "button", "data-id": service.id, onclick: () => onpick(service.id), onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        onpick(service.id);
      }
    } },
    title,
    s("rect", { width: place.width, height: NODE_HEIGHT, rx: 9 }),
    s("circle", { class: "dot", cx: 14, cy: 18.5, r: 4.5 }),
    s("text", { class: "name", x: 25, y: 23 }, plain(service.id, isRoomy ? 24 : 16)),
    word,
    facts.map((each, at) => {
      const value = s("text", { class: "figure", x: place.width - 10, y: top + at * LINE, "text-anchor": "end" });
      lines.push([value, each]);
      return s("g", null, s("title", null, each.sentence), s("text", { class: "label", x: 12, y: top + at * LINE }, each.label), value);
    }),
  );
  const update = (state, now, picked) => {
    const [said, kind] = standing(state, now);
    group.setAttribute("class", `node ${kind}${picked === now.id ? " picked" : ""}`);
    group.setAttribute("aria-pressed", String(picked === now.id));
    say(word, said);
    for (const [value, each] of lines) say(value, now.healthy ? valueOf(each, now, state) : "–");
    const told = facts.map((each) => `${each.label} ${now.healthy ? each.value(now, state) : "unknown"}`).join(", ");
    group.setAttribute("aria-label", `${now.id}, ${said}: ${told}`);
    say(title, `${now.id} (${said}). Press to read what its numbers mean.`);
  };
  return { group, update };
}

/** The picture, and how it is brought up to date; drawn anew only where its parts changed. */
export function picture(onpick) {
  const element = s("svg", { class: "picture", role: "group", "aria-label": "The services of the cluster" });
  const [lines, moving] = [s("g", { "aria-hidden": "true" }), s("g", { "aria-hidden": "true" })];
  const send = messages();
  let [drawn, nodes, at] = ["", new Map(), null];
  const redraw = (state, width, { places, height }) => {
    const focused = document.activeElement?.getAttribute?.("data-id");
    nodes = new Map([...state.services.values()].map((service) => [service.id, node(service, places.get(service.id), onpick)]));
    element.replaceChildren(lines, moving, ...[...places.keys()].map((id) => nodes.get(id).group));
    for (const [name, value] of [["viewBox", `0 0 ${width} ${height}`], ["width", width], ["height", height]]) element.setAttribute(name, value);
    if (focused !== null && element.isConnected) nodes.get(focused)?.group.focus();
  };
  const update = (state, width, picked) => {
    const layed = layout(state, width);
    const { places, isWide } = layed;
    const key = `${width} ${[...places.keys()].join(" ")}`;
    if (key !== drawn) redraw(state, width, layed);
    drawn = key;
    for (const [id, { update: renew }] of nodes) renew(state, state.services.get(id), picked);
    const there = edges(state).filter((edge) => places.has(edge.from) && places.has(edge.to)).map((edge) => {
      const isWithin = state.services.get(edge.from).kind === state.services.get(edge.to).kind;
      return { edge, path: path(places.get(edge.from), places.get(edge.to), { isWide, isWithin, height: NODE_HEIGHT }) };
    });
    lines.replaceChildren(...there.map(({ edge, path: d }) => s("path", { class: `edge ${edge.kind}${edge.isBusy ? "" : " still"}`, d })));
    // What was counted once is shown once.
    if (state.rates.at !== at) send(moving, there.filter(({ edge }) => edge.isBusy));
    at = state.rates.at;
  };
  return { element, update };
}
