// Keys, whatever they are called.
//
// A browser takes `.` and `..` out of a path, spelt `%2e` as well, so the keys of these two
// names cannot be asked for by path: they are read by a list of one and written by a
// transaction.

import { ask, change, changeJson, get, parameters, Problem } from "./api.js";
import { bytesOfItem, toBase64 } from "./bytes.js";

function isUnspeakable(key) {
  return key === "." || key === "..";
}

/** The path of a key. Throws where the key has half a surrogate pair. */
function path(key) {
  return `/v1/kv/${encodeURIComponent(key)}`;
}

/** A page of the keys with a prefix, without their values. */
export function list(prefix, { cursor, limit = 100, revision } = {}) {
  return get(`/v1/kv${parameters({ prefix, limit, cursor, revision, keys_only: "true" })}`);
}

/** What a key has, now or as of a revision; null where there is no such key. */
export async function read(key, revision) {
  if (isUnspeakable(key)) {
    const page = await get(`/v1/kv${parameters({ start: key, end: `${key}\u0000`, limit: 1, revision })}`);
    const item = page.items[0];
    return item === undefined ? null : { ...item, contentType: item.content_type, created: item.created_revision, bytes: bytesOfItem(item) };
  }
  let response;
  try {
    response = await ask("GET", path(key) + parameters({ revision }));
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
  const header = (name) => response.headers.get(name);
  const lease = header("synod-lease");
  return {
    key,
    bytes: new Uint8Array(await response.arrayBuffer()),
    contentType: header("content-type"),
    revision: Number(header("etag").replaceAll('"', "")),
    created: Number(header("synod-created-revision")),
    version: Number(header("synod-version")),
    lease: lease === null ? null : Number(lease),
  };
}

/** The condition of a write: the key is at a revision, or (0) does not exist; null: none. */
function condition(revision) {
  if (revision === null) return {};
  return revision === 0 ? { "if-none-match": "*" } : { "if-match": `"${revision}"` };
}

/** Writes a key where the condition holds; the revision of the write. */
export async function write(key, { bytes, contentType, lease, ifRevision = null }) {
  if (isUnspeakable(key)) {
    const put = { key, value: toBase64(bytes), encoding: "base64" };
    if (contentType) put.content_type = contentType;
    if (lease) put.lease = Number(lease);
    return transact(key, { put }, ifRevision);
  }
  const headers = { ...condition(ifRevision), "content-type": contentType || "application/octet-stream" };
  const response = await change("PUT", path(key) + parameters({ lease }), { headers, body: bytes });
  return (await response.json()).revision;
}

/** Deletes a key where the condition holds; the revision. */
export async function remove(key, ifRevision = null) {
  if (isUnspeakable(key)) return transact(key, { delete: { key } }, ifRevision);
  return (await (await change("DELETE", path(key), { headers: condition(ifRevision) })).json()).revision;
}

async function transact(key, operation, ifRevision) {
  const guards = ifRevision === null ? [] : [{ key, revision: { eq: ifRevision } }];
  const answer = await changeJson("POST", "/v1/txn", { if: guards, then: [operation] });
  if (answer.succeeded) return answer.revision;
  throw new Problem({ title: "Precondition failed", detail: "nothing was written: the key is at another revision", status: 412, outcome: "not_applied" });
}
