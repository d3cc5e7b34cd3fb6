//! One replica and its shell, with a complete working set for its database.

use super::*;

/// Replica 1 and its shell.
pub(super) struct Rig {
    pub(super) replica: Replica,
    pub(super) database: ReplicatedState,
    pub(super) now: Duration,
}

impl Rig {
    /// Not started yet.
    pub(super) fn new(config: Config) -> Self {
        let identity =
            Identity { name: replica(1).name, instance: Instance(7), url: replica(1).url };
        Self {
            replica: Replica::new(config, identity, Recovered::default()),
            database: ReplicatedState::complete(),
            now: ms(0),
        }
    }

    /// Started, knows two coordinators and two other replicas, and belongs to the
    /// cluster. No coordinator leads.
    pub(super) fn joined(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.step(Input::Started);
        let members = [coordinator(1), coordinator(2), replica(1), replica(2), replica(3)];
        rig.directory(&members);
        rig.watermarks(1, 1, 0);
        rig.watermarks(1, 2, 0);
        rig
    }

    /// Joined; coordinator 1 leads at ballot 1, and the views are executed: epoch 1 with
    /// the first primary, and so on.
    pub(super) fn in_views(config: Config, primaries: &[u64]) -> Self {
        let mut rig = Self::joined(config);
        rig.leads(1, 1, 0);
        for (epoch, primary) in (1..).zip(primaries) {
            rig.chosen(&[view_entry(epoch - 1, epoch, *primary)]);
        }
        rig
    }

    /// Primary in epoch 1, with slot 0 executed.
    pub(super) fn primary() -> Self {
        Self::in_views(config(), &[1])
    }

    /// Backup of replica 2 in epoch 1, with slot 0 executed. Fetch 2, of replica 2, is
    /// under way.
    pub(super) fn backup() -> Self {
        Self::in_views(config(), &[2])
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Effect> {
        self.replica.step(self.now, input)
    }

    pub(super) fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += ms(milliseconds);
        self
    }

    pub(super) fn fire(&mut self, timer: Timer) -> Vec<Effect> {
        self.step(Input::Fired(timer))
    }

    pub(super) fn directory(&mut self, members: &[Member]) -> Vec<Effect> {
        let members = members
            .iter()
            .map(|member| DirectoryEntry { member: member.clone(), age_ms: 0 })
            .collect();
        self.step(Input::Directory(Directory { members }))
    }

    pub(super) fn watermarks(
        &mut self,
        probe: u64,
        acceptor: u64,
        voted_below: u64,
    ) -> Vec<Effect> {
        let reply = Ok(watermarks(acceptor, voted_below, Some(roster())));
        self.step(Input::ProbeReply { probe: ProbeId(probe), reply })
    }

    pub(super) fn leads(&mut self, number: u64, round: u64, chosen_below: u64) -> Vec<Effect> {
        let reply = HeartbeatReply {
            coordinator: CoordinatorId(7),
            phase: Phase::Phase2,
            ballot: Some(ballot(round)),
            chosen_below: Slot(chosen_below),
        };
        let reply = Ok(ours(reply));
        self.step(Input::HeartbeatReply { from: coordinator(number).name, reply })
    }

    /// A source answers. A replica has the same log below the slot asked for.
    pub(super) fn fetched(
        &mut self,
        fetch: u64,
        reply: Result<ChosenReply, NoAnswer>,
    ) -> Vec<Effect> {
        let fetch = FetchId(fetch);
        let is_replica = self
            .replica
            .fetching
            .source(fetch)
            .is_some_and(|source| source.kind == SourceKind::Replica);
        let reply = reply.map(|reply| match reply {
            ChosenReply::Entries { entries, chosen_below, previous: None } if is_replica => {
                let learned_below = self.replica.learner.learned_below();
                let from = entries.first().map_or(learned_below, |entry| entry.slot);
                let previous = self.replica.learner.prefix(from);
                ChosenReply::Entries { entries, chosen_below, previous }
            }
            reply @ (ChosenReply::Entries { .. }
            | ChosenReply::Trimmed { .. }
            | ChosenReply::Unavailable) => reply,
        });
        self.step(Input::Fetched { fetch, reply: reply.map(ours) })
    }

    pub(super) fn log_from(&self, from: u64, max_entries: usize, max_bytes: usize) -> LogPage {
        self.replica
            .log_from(cluster(), Slot(from), PageLimits { items: max_entries, bytes: max_bytes })
            .unwrap()
    }

    pub(super) fn mutation(&mut self, id: u64, key: &str) -> Vec<Effect> {
        self.step(Input::Mutation { id: RequestId(id), command: put(key), since: None, wall_ms: 0 })
    }

    pub(super) fn read(&mut self, id: u64) -> Vec<Effect> {
        self.step(Input::Reads { ids: vec![RequestId(id)] })
    }

    pub(super) fn cancel(&mut self, id: u64) -> Vec<Effect> {
        self.step(Input::Cancel { id: RequestId(id) })
    }

    pub(super) fn reply(
        &mut self,
        attempt: u64,
        epoch: u64,
        number: u64,
        reply: Result<ProposalReply, NoAnswer>,
    ) -> Vec<Effect> {
        let (epoch, number) = (Epoch(epoch), BatchNumber(number));
        let (attempt, reply) = (Attempt(attempt), reply.map(ours));
        self.step(Input::ProposalReply { epoch, number, attempt, reply })
    }

    /// Executes what was handed out and stores it, as the shell does, whether or not it is
    /// told to.
    pub(super) fn run(&mut self, entries: &[ChosenEntry]) -> Vec<Effect> {
        let mut effects = self.execute(entries);
        effects.retain(|effect| *effect != Effect::Store);
        effects.extend(self.store());
        effects
    }

    pub(super) fn execute(&mut self, entries: &[ChosenEntry]) -> Vec<Effect> {
        let report = Run::new(entries.to_vec()).apply(&mut self.database);
        self.step(Input::Executed(report))
    }

    pub(super) fn store(&mut self) -> Vec<Effect> {
        self.step(Input::Stored(Stored::of(self.database.meta())))
    }

    /// These entries come from somewhere, and are executed.
    pub(super) fn chosen(&mut self, chosen: &[ChosenEntry]) -> Vec<Effect> {
        let below = chosen.last().unwrap().slot.0 + 1;
        let effects = self.fetched(0, entries(chosen, below));
        assert!(effects.contains(&execute(chosen)), "{effects:?}");
        self.run(chosen)
    }

    pub(super) fn heartbeats(
        &self,
        view: Option<View>,
        executed_below: u64,
        nudge_below: Option<u64>,
    ) -> Vec<Effect> {
        self.heartbeats_with(Storage::Writable, view, executed_below, nudge_below)
    }

    pub(super) fn heartbeats_with(
        &self,
        storage: Storage,
        view: Option<View>,
        executed_below: u64,
        nudge_below: Option<u64>,
    ) -> Vec<Effect> {
        let message = Heartbeat {
            cluster: cluster(),
            replica: replica(1).name,
            instance: Instance(7),
            url: replica(1).url,
            view,
            executed_below: Slot(executed_below),
            hash: self.replica.meta.hash,
            durable_below: Slot(0),
            highest_format: format::HIGHEST,
            storage,
            nudge_below: nudge_below.map(Slot),
        };
        [1, 2]
            .map(|number| Effect::Heartbeat { to: coordinator(number), message: message.clone() })
            .to_vec()
    }
}
