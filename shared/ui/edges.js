// Who says what to whom just now, and where the lines of that run.

import { isLeader, isPrimary, of } from "./model.js";

/** How a write goes, step by step: to the primary, the leader, the acceptors, and the backups. */
const [ASK, PROPOSE, ACCEPT, COPY] = [0, 1, 2, 3];

/** Each with what it is, which step of a write it takes, and whether anything goes there. */
export function edges(state) {
  const [found, replicas, coordinators] = [[], of(state, "replica"), of(state, "coordinator")];
  const decides = state.rates.perSecond.get("slots") > 0;
  for (const flow of state.flows) {
    if (flow.healthy) found.push({ from: flow.from, to: flow.to, kind: flow.isPrimary ? "writes" : "reads", step: ASK, isBusy: flow.rate > 0 });
  }
  const primary = replicas.find((service) => service.healthy && isPrimary(state, service));
  const leader = coordinators.find((service) => isLeader(state, service));
  const add = (from, to, kind, step) => found.push({ from: from.id, to: to.id, kind, step, isBusy: decides });
  if (primary && leader) add(primary, leader, "writes", PROPOSE);
  for (const acceptor of leader ? of(state, "acceptor") : []) {
    if (acceptor.healthy) add(leader, acceptor, "writes", ACCEPT);
  }
  for (const backup of primary ? replicas : []) {
    if (backup !== primary && backup.healthy) add(primary, backup, "log", COPY);
  }
  return found;
}

/** The line from one place to another; `isWithin` says that both are of one kind. */
export function path(a, b, { isWide, isWithin, height }) {
  if (isWide && isWithin) {
    const [x, from, to] = [a.x + a.width, a.y + height / 2 + 14, b.y + height / 2 + 14];
    return `M${x} ${from} C${x + 42} ${from} ${x + 42} ${to} ${x} ${to}`;
  }
  if (isWide) {
    const [x, y, tox, toy] = [a.x + a.width, a.y + height / 2, b.x, b.y + height / 2];
    const bend = (tox - x) / 2;
    return `M${x} ${y} C${x + bend} ${y} ${tox - bend} ${toy} ${tox} ${toy}`;
  }
  const [x, tox] = [a.x + a.width / 2, b.x + b.width / 2];
  if (isWithin) {
    const y = a.y + height;
    return a.y === b.y ? `M${x} ${y} C${x} ${y + 20} ${tox} ${y + 20} ${tox} ${y}` : `M${x} ${y} L${tox} ${b.y}`;
  }
  const [y, toy] = [a.y + height, b.y];
  return `M${x} ${y} C${x} ${y + 26} ${tox} ${toy - 26} ${tox} ${toy}`;
}
