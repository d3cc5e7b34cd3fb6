// Values are bytes: what they are shown as, and how they are typed in.

import { h, put } from "./dom.js";
import { SHOWN_CHARS, shown, size } from "./text.js";

/** The most bytes that are shown in hexadecimal. */
const HEX_BYTES = 4096;

/** The most bytes that are shown in base64. */
const BASE64_BYTES = 48 * 1024;

/** The text that these bytes are in UTF-8; null where they are none. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

export function toBase64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(binary);
}

/** The bytes; throws where it is no base64. */
export function fromBase64(text) {
  const binary = atob(text.replace(/\s+/g, ""));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** The bytes of an item of a list. */
export function bytesOfItem(item) {
  return item.encoding === "base64" ? fromBase64(item.value) : new TextEncoder().encode(item.value);
}

/**
 * Whether a text area gives back what it was given: it makes one kind of line end of all,
 * and half a surrogate pair is no text.
 */
export function isTypable(text) {
  return !text.includes("\r");
}

function hexDump(bytes) {
  const rows = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·"));
    rows.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters.join("")}`);
  }
  return rows.join("\n");
}

const FORMS = {
  text: (bytes, text) => ({
    body: h("pre", { class: "value", tabindex: 0, "aria-label": "Value" }, shown(text, { lines: true })),
    cut: text.length > SHOWN_CHARS ? `the first ${SHOWN_CHARS / 1024} Ki characters` : null,
  }),
  hexadecimal: (bytes) => ({
    body: h("pre", { class: "value hex", tabindex: 0, "aria-label": "Value in hexadecimal" }, hexDump(bytes.subarray(0, HEX_BYTES))),
    cut: bytes.length > HEX_BYTES ? `the first ${HEX_BYTES} bytes` : null,
  }),
  base64: (bytes) => ({
    body: h("pre", { class: "value hex", tabindex: 0, "aria-label": "Value in base64" }, toBase64(bytes.subarray(0, BASE64_BYTES)).replace(/.{76}/g, "$&\n")),
    cut: bytes.length > BASE64_BYTES ? `the first ${BASE64_BYTES} bytes` : null,
  }),
};

/** A value to look at: as text where it is some, else in hexadecimal, with notes. */
export function viewer(bytes, name = "value") {
  if (bytes.length === 0) return h("p", { class: "empty small" }, "An empty value: 0 bytes.");
  const text = textOf(bytes);
  const [place, notes] = [h("div"), h("p", { class: "note" })];
  const show = (form) => {
    const { body, cut } = FORMS[form](bytes, text);
    put(place, body);
    const said = [size(bytes.length)];
    if (text === null) said.push(`not UTF-8, so shown in ${form}`);
    if (cut !== null) said.push(`only ${cut} are shown: download it to see all`);
    put(notes, `${said.join("; ")}.`);
  };
  const forms = Object.keys(FORMS).filter((form) => form !== "text" || text !== null);
  const choice = h("select", { "aria-label": "Show the value as", onchange: () => show(choice.value) }, forms.map((form) => h("option", { value: form }, form)));
  const download = h("button", { type: "button", class: "quiet", onclick: () => save(bytes, name) }, "Download");
  show(forms[0]);
  return h("div", { class: "viewer" }, h("div", { class: "viewer-bar" }, notes, h("span", { class: "gap" }), choice, download), place);
}

/** Saves bytes as a file: as bytes, so that nothing opens them. */
function save(bytes, name) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  h("a", { href: url, download: name.replace(/[^\w.-]+/g, "_").slice(-80) || "value" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
