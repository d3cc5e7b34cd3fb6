// What is known of the cluster, from one answer of `GET /v1/cluster` to the next: pure.

/** How long a service that is not listed any more is shown as gone, in milliseconds. */
const REMEMBER_MS = 60_000;

export const KINDS = [
  ["balancers", "balancer"],
  ["replicas", "replica"],
  ["coordinators", "coordinator"],
  ["acceptors", "acceptor"],
];

/** The state before anything was heard. */
export const NOTHING = { at: null, cluster: null, services: new Map(), error: null };

/** The state after an answer. `now` is in milliseconds and never goes back. */
export function answered(before, cluster, now) {
  const isSame = before.cluster?.cluster_id === cluster.cluster_id;
  const [known, seconds] = [isSame ? before.services : new Map(), (now - before.at) / 1000];
  const services = new Map();
  for (const [list, kind] of KINDS) {
    for (const said of cluster[list]) {
      const id = said.id ?? said.url;
      const last = known.get(id);
      services.set(id, { ...said, id, kind, isListed: true, seenAt: said.healthy ? now : (last?.seenAt ?? null), rate: rate(last?.requests, said.requests, seconds) });
    }
  }
  for (const [id, last] of known) {
    const isRemembered = last.seenAt !== null && now - last.seenAt < REMEMBER_MS;
    if (!services.has(id) && isRemembered) services.set(id, { ...last, healthy: false, isListed: false, rate: null });
  }
  return { at: now, error: null, services, cluster: isSame ? newest(before.cluster, cluster) : cluster, flows: flows(known, services, seconds) };
}

/** The state after no answer. */
export function failed(before, error) {
  return { ...before, error };
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

/** How many a second; unknown after a restart. */
function rate(before, now, seconds) {
  if (typeof before !== "number" || typeof now !== "number" || !(seconds > 0) || now < before) return null;
  return (now - before) / seconds;
}

/** Requests a second from each balancer to each replica. */
function flows(known, services, seconds) {
  const found = [];
  for (const balancer of services.values()) {
    for (const to of (balancer.healthy && balancer.endpoints) || []) {
      const last = known.get(balancer.id)?.endpoints?.find((endpoint) => endpoint.id === to.id);
      found.push({ from: balancer.id, to: to.id, healthy: to.healthy, isPrimary: balancer.primary === to.id, rate: rate(last?.requests, to.requests, seconds) });
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
  if (service.kind === "replica") return [service.role ?? "replica", service.storage === "writable" ? "good" : "warn"];
  if (service.kind === "coordinator") return [{ inactive: "stands by", phase1: "phase 1", phase2: "phase 2" }[service.phase] ?? service.phase, service.phase === "inactive" ? "good" : "warn"];
  return [service.kind === "acceptor" ? "votes" : "forwards", "good"];
}
