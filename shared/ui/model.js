// What is known of the cluster, from one answer of `GET /v1/cluster` and one event to the
// next: pure.

import { counted, UNCOUNTED } from "./rates.js";

/** How long a service that is not listed any more is shown as gone, in milliseconds. */
const REMEMBER_MS = 60_000;

/**
 * How long a service is shown as one that has just started, in milliseconds: what died may be
 * back before it is missed.
 */
const JUST_MS = 5000;

export const KINDS = [
  ["balancers", "balancer"],
  ["replicas", "replica"],
  ["coordinators", "coordinator"],
  ["acceptors", "acceptor"],
];

/** The state before anything was heard. */
export const NOTHING = { at: null, cluster: null, services: new Map(), rates: UNCOUNTED, flows: [], error: null };

/** The state after an answer. `now` is in milliseconds and never goes back. */
export function answered(before, cluster, now) {
  const isSame = before.cluster?.cluster_id === cluster.cluster_id;
  const [known, services] = [isSame ? before.services : new Map(), new Map()];
  for (const [list, kind] of KINDS) {
    for (const said of cluster[list]) {
      const id = said.id ?? said.url;
      services.set(id, { ...said, id, kind, isListed: true, seenAt: said.healthy ? now : (known.get(id)?.seenAt ?? null) });
    }
  }
  for (const [id, last] of known) {
    const isRemembered = last.seenAt !== null && now - last.seenAt < REMEMBER_MS;
    if (!services.has(id) && isRemembered) services.set(id, { ...last, healthy: false, isListed: false });
  }
  const rates = counted(isSame ? before.rates : UNCOUNTED, cluster, now);
  return { at: now, error: null, services, rates, flows: flows(services, rates), cluster: isSame ? newest(before.cluster, cluster) : cluster };
}

/** The state after no answer. */
export function failed(before, error) {
  return { ...before, error };
}

/** The state after an event: who leads and who is primary is known before anybody is asked. */
export function heard(before, { type, data }) {
  if (before.cluster === null) return before;
  const told = { ...before.cluster };
  if (type === "leader" && data.coordinator !== null) told.leader = { coordinator: data.coordinator, url: data.url, ballot: data.ballot };
  if (type === "view") told.view = { epoch: data.epoch, primary: data.primary, backups: data.backups };
  return { ...before, cluster: newest(before.cluster, told) };
}

/** Each answer is another replica's, which may not have heard yet what the last one knew. */
function newest(before, cluster) {
  const isOlderView = (cluster.view?.epoch ?? -1) < (before.view?.epoch ?? -1);
  const isOlderLeader = (cluster.leader?.ballot.round ?? -1) < (before.leader?.ballot.round ?? -1);
  return {
    ...cluster,
    view: isOlderView ? before.view : cluster.view,
    leader: isOlderLeader ? before.leader : cluster.leader,
    revision: Math.max(before.revision, cluster.revision),
  };
}

/** What each balancer sends to each replica, with requests a second. */
function flows(services, rates) {
  const found = [];
  for (const balancer of services.values()) {
    for (const to of (balancer.healthy && balancer.endpoints) || []) {
      found.push({ from: balancer.id, to: to.id, healthy: to.healthy, isPrimary: balancer.primary === to.id, inFlight: to.in_flight, rate: rates.perSecond.get(`sent ${balancer.id} ${to.id}`) });
    }
  }
  return found;
}

export function of(state, kind) {
  return [...state.services.values()].filter((service) => service.kind === kind).sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
}

/** Whether this replica is the primary, as the view that was executed last says. */
export function isPrimary(state, service) {
  return service.kind === "replica" && state.cluster.view?.primary === service.id;
}

export function isLeader(state, service) {
  return service.kind === "coordinator" && service.healthy && service.phase === "phase2" && state.cluster.leader?.coordinator === service.id;
}

/** What a service is just now, in a word, and how that is to be shown. */
export function standing(state, service) {
  if (!service.healthy) return service.isListed ? ["no answer", "bad"] : ["gone", "bad"];
  if (isLeader(state, service)) return ["leader", "lead"];
  if (isPrimary(state, service)) return service.role === "primary" ? ["primary", "lead"] : ["becoming primary", "warn"];
  if (service.uptime_ms < JUST_MS) return ["started", "warn"];
  if (service.kind === "replica") return [service.role ?? "replica", service.storage === "writable" ? "good" : "warn"];
  if (service.kind === "coordinator") return [{ inactive: "stands by", phase1: "phase 1", phase2: "phase 2" }[service.phase] ?? service.phase, service.phase === "inactive" ? "good" : "warn"];
  return [service.kind === "acceptor" ? "votes" : "forwards", "good"];
}
