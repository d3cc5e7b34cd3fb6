// Showing text that anybody may have written: keys, values, names. What would not be seen,
// or would change how its neighbours are seen, is shown by its number.

import { h } from "./dom.js";

// Controls, spaces of no width, marks and overrides of direction, line separators,
// noncharacters and tags.
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** The most characters of a text that are shown at once. */
export const SHOWN_CHARS = 64 * 1024;

/** Hidden characters that are shown one by one, before the rest is said to be so many. */
const SHOWN_HIDDEN = 4096;

/** Those that have a name which everybody knows. */
const NAMES = { 0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r" };

function nameOf(character) {
  const code = character.codePointAt(0);
  return NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

function described(character) {
  return `a character that is not seen: U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A text with nothing hidden in it, set apart from the direction of what is around it. */
export function shown(text, { lines = false, limit = SHOWN_CHARS } = {}) {
  const cut = text.length > limit ? text.slice(0, limit) : text;
  const element = h("bdi", { class: lines ? "shown lines" : "shown" });
  let from = 0;
  let count = 0;
  for (const match of cut.matchAll(HIDDEN)) {
    const character = match[0];
    if (lines && (character === "\n" || character === "\t")) continue;
    count += 1;
    if (count > SHOWN_HIDDEN) break;
    element.append(cut.slice(from, match.index));
    element.append(h("span", { class: "hidden-char", title: described(character) }, nameOf(character)));
    from = match.index + character.length;
  }
  if (count > SHOWN_HIDDEN) {
    element.append(h("span", { class: "hidden-char" }, `… and ${cut.length - from} more characters`));
  } else {
    element.append(cut.slice(from));
  }
  if (cut.length < text.length) element.append(h("span", { class: "cut" }, "…"));
  return element;
}

/** The same as plain text, for attributes and titles. */
export function plain(text, limit = 200) {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(HIDDEN, nameOf);
}

/** A number with its thousands set apart, so that it can be read. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  return Number(value).toLocaleString("en").replaceAll(",", "\u2009");
}

/** So many, in words. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${Number(value) === 1 ? one : many}`;
}

/** A time span, roughly. */
export function span(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** A size in bytes. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1024) return count(bytes, "byte");
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
