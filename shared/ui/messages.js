// Messages that are seen to go along the lines of the picture: a write's, one step after the
// other, as long as slots are decided; reads at once. Whoever wants no motion sees none.

import { s } from "./dom.js";

/** How long one step takes in the picture, in seconds; really it is a thousand times less. */
const STEP_S = 0.45;

/** How long all steps of a write take, and a moment between two, in milliseconds. */
const WAVE_MS = 1900;

const still = matchMedia("(prefers-reduced-motion: reduce)");

function send(layer, { kind, step }, path) {
  const timing = { dur: `${STEP_S}s`, begin: "indefinite" };
  const motion = s("animateMotion", { path, ...timing });
  const seen = s("set", { attributeName: "opacity", to: 1, ...timing });
  const message = s("circle", { class: `message ${kind}`, r: 4.5, opacity: 0 }, motion, seen);
  motion.addEventListener("endEvent", () => message.remove());
  layer.append(message);
  for (const each of [motion, seen]) each.beginElementAt(step * STEP_S);
}

/** What sends them; told of each line that something goes along, no faster than it is seen. */
export function messages() {
  let until = 0;
  return (layer, lines) => {
    const now = performance.now();
    if (now < until || still.matches || lines.length === 0) return;
    until = now + WAVE_MS;
    layer.replaceChildren();
    for (const { edge, path } of lines) send(layer, edge, path);
  };
}
