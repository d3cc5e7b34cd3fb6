// What all views are made of.

import { h, put } from "./dom.js";
import { Problem } from "./api.js";
import { link } from "./routes.js";
import { shown } from "./text.js";

const OUTCOMES = {
  not_applied: "Nothing was changed.",
  unknown: "It is not known whether it was done: look before doing it again.",
  applied: "It was done.",
};

/** A problem, in the words of whoever refused. */
export function problemBox(error) {
  const problem = Problem.of(error);
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("strong", null, shown(problem.title)),
    problem.status ? h("span", { class: "badge" }, problem.status) : null,
    h("p", null, shown(problem.detail, { lines: true, limit: 4000 })),
    OUTCOMES[problem.outcome] ? h("p", { class: "note" }, OUTCOMES[problem.outcome]) : null,
    problem.trace ? h("p", { class: "note" }, "Trace ", h("a", { href: link("follow", { trace: problem.trace }) }, h("code", null, problem.trace))) : null,
  );
}

/** The head of a view. */
export function heading(title, sentence, ...actions) {
  return h("div", { class: "heading" }, h("div", null, h("h1", { tabindex: -1 }, title), sentence ? h("p", null, sentence) : null), h("div", { class: "actions" }, actions));
}

export function empty(text, ...more) {
  return h("div", { class: "empty" }, h("p", null, text), more);
}

export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}` }, text);
}

export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", ...attributes, onclick }, text);
}

/**
 * A table that scrolls by itself where it is too wide; with the look `cards` its rows are cards
 * on a phone. Of a column `[name, sentence]` it says what it is.
 */
export function table(caption, columns, rows, look = "") {
  const [names, sentences] = [columns.map((column) => (Array.isArray(column) ? column[0] : column)), columns.map((column) => (Array.isArray(column) ? column[1] : null))];
  const head = h("tr", { role: "row" }, names.map((name, at) => h("th", { scope: "col", role: "columnheader", title: sentences[at] }, name)));
  const cells = (row) => row.map((cell, at) => h("td", { role: "cell", "data-label": typeof names[at] === "string" ? names[at] : null }, Array.isArray(cell) ? h("div", null, cell) : cell));
  const body = rows.map((row) => (row instanceof Node ? row : h("tr", { role: "row" }, cells(row))));
  return h("div", { class: `scroll ${look}`, tabindex: 0, role: "region", "aria-label": caption }, h("table", { role: "table" }, h("caption", { class: "away" }, caption), h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, body)));
}

/** What the columns of tables are, for those who do not hover; apart from what is shown anew. */
export function meanings(...columns) {
  const explained = columns.filter(Array.isArray);
  return h("details", { class: "meanings" }, h("summary", null, "What the columns say"), h("dl", { class: "terms" }, explained.map(([name, sentence]) => [h("dt", null, name), h("dd", null, sentence)])));
}

/** A number, and one sentence that says what it is: on hover and on focus. */
export function fact(label, value, sentence, look = "") {
  return h("div", { class: `fact ${look}`, tabindex: 0 }, h("span", { class: "label" }, label), h("span", { class: "figure" }, value), h("span", { class: "tip", role: "tooltip" }, sentence));
}

export function field(label, input, note) {
  return h("label", { class: "field" }, h("span", null, label), input, note ? h("small", null, note) : null);
}

/** Goes on from a place that is no control. */
export function focus(place) {
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}

/** Runs something, and shows in `place` what it gives, or the problem. */
export async function into(place, work) {
  // Whoever pressed what is not there any more goes on from what came of it.
  const show = (shownNow) => {
    const hadFocus = place.contains(document.activeElement);
    put(place, shownNow);
    if (hadFocus && !place.contains(document.activeElement)) focus(place);
  };
  place.setAttribute("aria-busy", "true");
  try {
    show(await work());
  } catch (error) {
    show(problemBox(error));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/** Asks whether to go on; a promise of yes or no. */
export function confirmed(title, body, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-label": title });
    const end = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(false);
    });
    put(dialog, h("h2", null, title), h("div", null, body), h("div", { class: "bar" }, button("Cancel", () => end(false)), button(action, () => end(true), { class: "danger", id: "confirm" })));
    document.body.append(dialog);
    dialog.showModal();
  });
}
