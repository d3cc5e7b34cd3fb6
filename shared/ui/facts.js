// What each number of a service is, in one sentence.

import { number, size, span } from "./text.js";

/** A ballot for people: its round, and whose it is. */
export function ballot(said, state) {
  if (!said) return "none";
  const owner = [...state.services.values()].find((service) => service.coordinator === said.coordinator);
  return `${said.round} of ${owner ? owner.id : String(said.coordinator).slice(0, 8)}`;
}

export function perSecond(rate) {
  return rate === null || rate === undefined ? "–" : `${rate < 10 ? rate.toFixed(1) : number(Math.round(rate))}/s`;
}

/** What balancers send to a replica, all together. */
function sentTo(id, state) {
  const known = state.flows.filter((flow) => flow.to === id && flow.rate !== undefined);
  return known.length === 0 ? null : known.reduce((sum, flow) => sum + flow.rate, 0);
}

function syncTime(ms) {
  return ms === undefined ? "–" : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
}

function plain(name, label, sentence, form = number) {
  return { label, sentence, value: (service) => form(service[name]) };
}

const REQUESTS = { label: "requests", sentence: "Requests that it took on in the last second, those of other services too; health checks are not counted.", value: ({ id }, state) => perSecond(state.rates.perSecond.get(`requests ${id}`)) };

const ALL = [
  REQUESTS,
  plain("requests", "requests in all", "Requests that it took on since it started."),
  plain("uptime_ms", "up for", "How long ago its process started.", span),
  plain("pid", "process", "The id of its process on its machine.", (pid) => pid ?? "–"),
  plain("version", "version", "The version of its program.", (version) => version ?? "–"),
];

const OWN = {
  balancer: [
    { label: "replicas", sentence: "How many of the replicas it knows get requests.", value: (service) => (service.endpoints ? `${service.endpoints.filter((it) => it.healthy).length} of ${service.endpoints.length}` : "–") },
    { label: "writes to", sentence: "The replica that it sends mutations to: the primary as far as it knows.", value: (service) => service.primary ?? "nobody" },
    plain("waiting", "waiting", "Requests that wait in it until a primary, or any replica, can answer them."),
    plain("retries", "retries", "Times that it sent a request to another replica or again, since it started."),
    plain("refusals", "refusals", "Requests that it answered with a problem of its own, since it started."),
  ],
  replica: [
    plain("executed_slot", "executed slot", "The last slot of the log that it has executed into its database."),
    plain("lag_slots", "lag", "How many slots it has executed less than the replica that is furthest."),
    { label: "gets", sentence: "Requests that balancers sent to it in the last second; the primary gets all mutations.", value: ({ id }, state) => perSecond(sentTo(id, state)) },
    plain("revision", "revision", "How many mutations the state that it has executed comes from."),
    { label: "knew itself current", sentence: "How long ago it last knew that it had executed everything that was acknowledged.", value: (service) => (typeof service.lag_ms === "number" ? `${span(service.lag_ms)} ago` : "–") },
    plain("epoch", "epoch", "The number of the view it follows: a new one begins whenever the primary or the backups change."),
    plain("durable_below", "durable below", "All slots below are safe on its own disk, so that acceptors may forget them."),
    plain("storage", "storage", "Whether it can write to its database.", (storage) => storage ?? "–"),
    { label: "fetches", sentence: "Whose state it fetches to go on from, as one that joins does, and how much of that has come.", value: (service) => (service.snapshot_from ? `${size(service.snapshot_bytes)} of ${size(service.snapshot_total_bytes)}, from ${service.snapshot_from}` : "nothing") },
    plain("waiting_reads", "waiting reads", "Linearizable reads that wait until it has executed far enough."),
    plain("watches", "watches", "Clients that follow changes at this replica."),
    plain("hash", "hash", "The hash of the last slot, and through it of the whole history: equal slots have equal hashes.", (hash) => (hash ? hash.slice(0, 16) : "–")),
  ],
  coordinator: [
    { label: "ballot", sentence: "The ballot it leads or stands for election with: the highest that acceptors promised wins.", value: (service, state) => ballot(service.ballot, state), short: (service) => service.ballot?.round ?? "none" },
    plain("next_slot", "next slot", "The slot that the next value gets; only the leader gives slots away."),
    plain("chosen_below", "chosen below", "All slots below are chosen, as far as it knows: a majority accepted a value for each."),
    plain("in_flight_slots", "in flight", "Slots it has proposed a value for that are not chosen yet."),
    plain("waiting_for", "waits for", "What it waits for before it can be of use.", (what) => what ?? "nothing"),
  ],
  acceptor: [
    { label: "promised", sentence: "It accepts nothing of a lower ballot than this any more.", value: (service, state) => ballot(service.promised, state), short: (service) => service.promised?.round ?? "none" },
    plain("voted_below", "voted below", "One above the highest slot that it has voted in."),
    { label: "disk", sentence: "How long it took on average to write votes to its disk and to have them safe there (fsync), of those of the last second, or else of the last that were.", value: ({ id }, state) => syncTime(state.rates.syncMs.get(id)) },
    plain("chosen_below", "chosen below", "All slots below are chosen, as far as the leader has told it."),
    plain("trimmed_below", "trimmed below", "It has forgotten its votes below: replicas hold what was chosen there."),
    plain("votes", "votes kept", "Votes on its disk that are not trimmed."),
    plain("syncs", "syncs", "Times that it had votes or promises safe on its disk since it started; one does for all that came together."),
    plain("log_bytes", "log", "How much room its log takes on its disk.", size),
    plain("leader_silent_ms", "heard the leader", "How long ago a leader last spoke to it: past half a second another may stand for election.", (ms) => (typeof ms === "number" ? `${span(ms)} ago` : "–")),
  ],
};

/** All that is told of a service of this kind. */
export function factsOf(kind) {
  return [...OWN[kind], ...ALL];
}

/** What of it fits into the picture. */
export function shortFacts(kind) {
  return [...OWN[kind].slice(0, 3), REQUESTS];
}
