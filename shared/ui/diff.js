// How two values differ, line by line.

import { textOf } from "./bytes.js";
import { h } from "./dom.js";
import { shown, size } from "./text.js";

/** The most lines between what begins and ends alike that are compared. */
const COMPARED_LINES = 1500;

/** The most lines that are shown. */
const SHOWN_LINES = 1000;

/** Lines that were taken out (-), came (+), or stayed; null where there are too many. */
function lineDiff(before, after) {
  let [start, a, b] = [0, before.length, after.length];
  while (start < a && start < b && before[start] === after[start]) start += 1;
  while (a > start && b > start && before[a - 1] === after[b - 1]) [a, b] = [a - 1, b - 1];
  const [rows, columns] = [a - start, b - start];
  if (Math.max(rows, columns) > COMPARED_LINES) return null;
  // The longest common subsequence from each place on.
  const best = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      best[i][j] = before[start + i] === after[start + j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const lines = before.slice(0, start).map((line) => [" ", line]);
  for (let [i, j] = [0, 0]; i < rows || j < columns; ) {
    if (i < rows && j < columns && before[start + i] === after[start + j]) {
      lines.push([" ", before[start + i]]);
      [i, j] = [i + 1, j + 1];
    } else if (j === columns || (i < rows && best[i + 1][j] >= best[i][j + 1])) {
      lines.push(["-", before[start + i]]);
      i += 1;
    } else {
      lines.push(["+", after[start + j]]);
      j += 1;
    }
  }
  return [...lines, ...before.slice(a).map((line) => [" ", line])];
}

function split(text) {
  return text === "" ? [] : text.split("\n");
}

/** The difference, to look at; null stands for a key that did not exist. */
export function diffOf(before, after) {
  const [old, young] = [before, after].map((bytes) => (bytes === null ? "" : textOf(bytes)));
  if (old === null || young === null) {
    const named = (bytes) => (bytes === null ? "nothing" : size(bytes.length));
    return h("p", { class: "note" }, `Not both are text: ${named(before)} before, ${named(after)} after.`);
  }
  const lines = lineDiff(split(old), split(young));
  if (lines === null) return h("p", { class: "note" }, "Too many lines differ to compare them here.");
  if (old === young) return h("p", { class: "note" }, "The values are equal.");
  const kinds = { "+": "came", "-": "went", " ": "same" };
  const body = lines.slice(0, SHOWN_LINES).map(([kind, line]) => h("div", { class: kinds[kind] }, h("span", { class: "sign" }, kind), shown(line, { limit: 2000 })));
  return h("div", { class: "diff", tabindex: 0, role: "region", "aria-label": "Difference" }, body, lines.length > SHOWN_LINES ? h("p", { class: "note" }, `… and ${lines.length - SHOWN_LINES} more lines.`) : null);
}
