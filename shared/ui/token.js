// The token that this page asks with, where the cluster requires one: for as long as the tab
// lives, and in no address.

import { h, put, say } from "./dom.js";

const PLACE = "synod-token";

/** Where the browser keeps nothing, it lasts as long as the page. */
let kept = null;

function read() {
  try {
    return sessionStorage.getItem(PLACE) ?? kept;
  } catch {
    return kept;
  }
}

function write(secret) {
  kept = secret;
  try {
    if (secret === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, secret);
  } catch {
    // See above.
  }
}

/** The header that says who asks. */
export function authorization() {
  const secret = read();
  return secret === null ? {} : { authorization: `Bearer ${secret}` };
}

/** The button of the page's head that asks for a token, and what it shows. */
export function setUp(pressed, place, changed) {
  const secret = h("input", { type: "password", name: "token", autocomplete: "off", spellcheck: "false", required: true, "aria-label": "Secret of a token" });
  const render = () => {
    say(pressed, read() === null ? "Token" : "Token ✓");
    pressed.title = read() === null ? "Ask with a token" : "A token is sent with each request of this tab";
    pressed.setAttribute("aria-expanded", String(!place.hidden));
  };
  const keep = (value) => {
    write(value);
    secret.value = "";
    place.hidden = true;
    render();
    changed();
  };
  const form = h("form", { class: "bar", onsubmit: (event) => {
    event.preventDefault();
    keep(secret.value.trim());
  } }, h("label", { class: "field" }, h("span", { class: "label" }, "Secret of a token, kept by this tab alone"), secret), h("button", { type: "submit", class: "primary", id: "token-keep" }, "Use it"), h("button", { type: "button", id: "token-forget", onclick: () => keep(null) }, "Forget it"));
  put(place, form);
  pressed.addEventListener("click", () => {
    place.hidden = !place.hidden;
    render();
    if (!place.hidden) secret.focus();
  });
  render();
}
