// The frame of the page: which view is shown, how the cluster is, which colours.

import { h, put, say } from "./dom.js";
import { startEvents } from "./live.js";
import { problemBox } from "./parts.js";
import { follow, start } from "./poll.js";
import { here, link } from "./routes.js";
import * as cluster from "./cluster.js";
import * as events from "./events.js";
import * as way from "./follow.js";
import * as keys from "./keys.js";
import * as leases from "./leases.js";
import * as log from "./log.js";
import * as members from "./members.js";
import * as rollback from "./rollback.js";
import * as sql from "./sql.js";
import * as token from "./token.js";
import * as watch from "./watch.js";

/** By address; those without a name in the menu are reached from others. */
const VIEWS = {
  cluster: ["Cluster", cluster],
  keys: ["Keys", keys],
  watch: ["Watch", watch],
  leases: ["Leases & locks", leases],
  log: ["Log", log],
  follow: ["Follow a write", way],
  events: ["Events", events],
  sql: ["SQL", sql],
  members: ["Members", members],
  rollback: [null, rollback],
};

const main = document.getElementById("main");
let current = null;

function show() {
  const { view, params } = here();
  if (location.hash === "#main") return;
  if (!(view in VIEWS)) {
    history.replaceState(null, "", link("cluster"));
    show();
    return;
  }
  if (current?.view === view && current.update) {
    current.update(params);
    return;
  }
  const isFirst = current === null;
  current?.close?.();
  const root = h("div", { class: `view ${view}` });
  put(main, root);
  const [name, module] = VIEWS[view];
  document.title = `${name ?? "Roll back"} · Synod`;
  for (const anchor of document.querySelectorAll("#nav a")) {
    if (anchor.dataset.view === view) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.querySelector("#nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  try {
    const opened = module.open(root, params);
    current = { view, ...(typeof opened === "function" ? { close: opened } : opened) };
  } catch (error) {
    current = { view };
    put(root, problemBox(error));
  }
  if (!isFirst) root.querySelector("h1")?.focus({ preventScroll: true });
}

const THEMES = ["system", "light", "dark"];

function setUpTheme() {
  const pressed = document.getElementById("theme");
  let theme = document.documentElement.dataset.theme ?? "system";
  const render = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    say(pressed, { system: "◐", light: "☀", dark: "☾" }[theme]);
    pressed.setAttribute("aria-label", `Colours: ${theme}`);
    pressed.title = `Colours: ${theme}`;
  };
  pressed.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("synod-theme", theme);
    } catch {
      // It lasts as long as the page.
    }
    render();
  });
  render();
}

function tellHealth(state) {
  const place = document.getElementById("health");
  const all = [...state.services.values()];
  const up = all.filter((service) => service.healthy).length;
  const lacks = [state.cluster?.leader ? null : "no leader", state.cluster?.view ? null : "no primary"].filter(Boolean);
  const isWell = state.error === null && up === all.length && lacks.length === 0;
  place.className = `health ${state.error ? "bad" : isWell ? "good" : "warn"}`;
  say(place, state.error ? "No answer" : [`${up} of ${all.length} up`, ...lacks].join(", "));
}

put(
  document.getElementById("nav"),
  Object.entries(VIEWS).filter(([, [name]]) => name !== null).map(([view, [name]]) => h("a", { href: link(view), "data-view": view }, name)),
);
setUpTheme();
token.setUp(document.getElementById("token"), document.getElementById("token-form"), () => {
  current?.close?.();
  current = null;
  startEvents();
  show();
});
follow(tellHealth);
addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
start();
startEvents();
