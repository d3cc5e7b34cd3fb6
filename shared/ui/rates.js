// How fast the counters of services grow, from one second to the next: pure.

/** Two answers that are less apart, in milliseconds, say nothing of what a second brings. */
const APART_MS = 900;

/** Before anything was counted. */
export const UNCOUNTED = { at: null, counted: new Map(), perSecond: new Map(), syncMs: new Map() };

/** Everything that only grows, by name. */
function counters(cluster) {
  const slots = cluster.replicas.map((replica) => (replica.executed_slot ?? -1) + 1);
  const found = new Map([["revision", cluster.revision], ["slots", Math.max(0, ...slots)]]);
  for (const service of [...cluster.balancers, ...cluster.replicas, ...cluster.coordinators, ...cluster.acceptors]) {
    const id = service.id ?? service.url;
    for (const name of ["requests", "syncs", "sync_us"]) found.set(`${name} ${id}`, service[name]);
    for (const to of service.endpoints ?? []) found.set(`sent ${id} ${to.id}`, to.requests);
  }
  return new Map([...found].filter(([, value]) => typeof value === "number"));
}

/** How much of it came since; all of it where nobody looked before, or it began anew. */
function growth(before, counted, name) {
  const [last, now] = [before.counted.get(name), counted.get(name)];
  return last === undefined || now < last ? now : now - last;
}

/** What a sync of each acceptor took on average; of one without any since, what was known. */
function syncTimes(before, counted) {
  const found = new Map(before.syncMs);
  for (const name of counted.keys()) {
    if (!name.startsWith("syncs ")) continue;
    const id = name.slice("syncs ".length);
    const count = growth(before, counted, name);
    if (count > 0) found.set(id, growth(before, counted, `sync_us ${id}`) / count / 1000);
  }
  return found;
}

/** What is known after an answer that came at `now`, in milliseconds. */
export function counted(before, cluster, now) {
  if (before.at !== null && now - before.at < APART_MS) return before;
  const [found, perSecond, seconds] = [counters(cluster), new Map(), (now - before.at) / 1000];
  for (const [name, value] of before.at === null ? [] : found) {
    const last = before.counted.get(name);
    if (last !== undefined && value >= last) perSecond.set(name, (value - last) / seconds);
  }
  return { at: now, counted: found, perSecond, syncMs: syncTimes(before, found) };
}
