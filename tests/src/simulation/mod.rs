//! Whole clusters of the real cores, in simulated time, under every fault that a seed can
//! think of.
//!
//! Nothing here models Paxos: the acceptor's, the coordinator's and the replica's cores
//! are the ones that the services run, and the shells around them ([`nodes`]) only do what
//! the real shells do, otherwise: disks that lose what was not synced, and an
//! [`environment`] with a network that loses, repeats, delays and cuts, and clocks that
//! drift and jump.
//!
//! A run ([`run`]) follows a [`plan`] drawn from one seed. It has a safety phase, in
//! which faults happen to the [`world`] and the [`observer`] checks the named invariants
//! after every event, from the acceptors' votes; then a quorum is healed and everything outstanding
//! must end in bounded simulated time. At the end the clients' histories are checked for
//! linearizability.
//!
//! The model is FoundationDB's simulation (Zhou and others, *FoundationDB*, 2021, section
//! 4) and TigerBeetle's VOPR. Time, order, loss and crashes come from the seed and from
//! nowhere else, so one seed is one run, byte for byte.
//!
//! Not simulated: bytes (the formats of disk and wire are tested where they are), HTTP,
//! SQLite, and threads.
//!
//! # Where the shells here differ from the real ones
//!
//! What a core could notice is alike: effects are done in their order, an input that
//! follows at once comes after them, a call that is not answered by its time-out has
//! failed ([`nodes::calls`]), no more polls, prepares, accepts and recoveries are under way than
//! really may be, a timer runs out by the clock as it is then, and both the directory of
//! members and how it is merged are the real code. This is not:
//!
//! * The network gives answers twice, and requests. Connections do not; the cores are to
//!   bear it all the same.
//! * A call fails at once or with its time-out, never midway. The cores are told the same
//!   of each.
//! * A coordinator's driver takes what is ready in one go before it sends accepts. Here
//!   they are sent after every step, so that they merge only while as many as allowed are
//!   in flight; how they merge is the real [`Outbox`](::coordinator::driver::outbox::Outbox).
//! * A coordinator says of every proposal that has waited long enough that it is
//!   unresolved. The real one names the limit where acceptors have no room; its primary
//!   proposes again after either.
//! * Limits on how much waits (for a driver, for a page of votes, bytes of accepts) are
//!   far above what a run does. Past them a request is refused, as here by a process that
//!   is down.
//! * The clock brings a sync at fixed intervals, not some time after the transaction that
//!   it is for. It only decides what a loss of power takes, and that is drawn.
//! * An acceptor finds its disk full when it decides, never when it syncs. Then the real
//!   one refuses the whole group and reads its log again; that is tested with the log.
//! * Whoever is paused finds what came meanwhile in the order in which it came. The real
//!   drivers choose among what is ready; on the way here it was put in every order
//!   already.

pub mod environment;
pub mod nodes;

pub mod plan;
pub mod world;

pub mod observer;

pub mod run;
