//! Folders that were put back from older copies: two histories are noticed, and nothing is
//! answered from the wrong one.

use super::*;

/// The first slots of every history here: replica 2 is primary.
fn log() -> Vec<ChosenEntry> {
    vec![view_entry(0, 1, 2), noop(1), entry(2, batch(1, 0, &["ours"]))]
}

/// Replica 1 starts again with that log, and knows the others. The acceptors have voted
/// below there.
fn restarted(config: Config, voted_below: u64) -> (Rig, Vec<Effect>) {
    let mut database = ReplicatedState::complete();
    let meta = Run::new(log()).apply(&mut database).meta;
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta,
        next_expiry_ms: None,
        durable_below: Slot(3),
    };
    let identity = Identity { name: replica(1).name, instance: Instance(8), url: replica(1).url };
    let mut rig = Rig { replica: Replica::new(config, identity, recovered), database, now: ms(0) };
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), replica(1), replica(2), replica(3), replica(4)]);
    rig.watermarks(1, 1, voted_below);
    let effects = rig.watermarks(1, 2, voted_below);
    (rig, effects)
}

fn page(previous: Option<LogPrefix>, entries: &[ChosenEntry]) -> Result<ChosenReply, NoAnswer> {
    let (entries, chosen_below) = (entries.to_vec(), Slot(4));
    Ok(ChosenReply::Entries { entries, chosen_below, previous })
}

fn another() -> LogPrefix {
    let mut other = log();
    other[2] = entry(2, batch(1, 0, &["theirs"]));
    prefix(&other)
}

fn fork(replica_number: u64) -> Effect {
    let (LogPrefix { below, hash: own }, theirs) = (prefix(&log()), another().hash);
    let replica = replica(replica_number).name;
    Effect::WrongHistory(WrongHistory::Fork { below, own, theirs, replica })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "one of many effects is looked for")]
fn asks(effects: &[Effect]) -> Option<(Member, u64)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Fetch { source, wait_ms, .. } => Some((source.clone(), *wait_ms)),
        _ => None,
    })
}

#[test]
fn acceptors_that_have_voted_for_less_than_was_executed_have_lost_votes() {
    let (_, effects) = restarted(config(), 2);
    let lost = WrongHistory::VotesLost { executed_below: Slot(3), voted_below: Slot(2) };
    assert_eq!(effects, [Effect::WrongHistory(lost), arm(Timer::Probe, 50, 50)]);
}

#[test]
fn votes_for_what_was_executed_after_the_acceptors_were_asked_are_not_lost() {
    let mut rig = Rig::backup();
    rig.after(1_000).fire(Timer::Probe);
    rig.fetched(2, entries(&[noop(1)], 2));
    rig.run(&[noop(1)]);
    rig.watermarks(2, 1, 1);
    assert_eq!(rig.watermarks(2, 2, 1), [arm(Timer::Probe, 1_000, 0)]);
    rig.after(1_000).fire(Timer::Probe);
    rig.watermarks(3, 1, 1);
    let lost = WrongHistory::VotesLost { executed_below: Slot(2), voted_below: Slot(1) };
    assert_eq!(rig.watermarks(3, 2, 1)[0], Effect::WrongHistory(lost));
}

#[test]
fn an_answer_beyond_the_first_quorum_shows_lost_votes_too() {
    let mut rig = Rig::backup();
    rig.read(1);
    rig.watermarks(2, 1, 0);
    rig.watermarks(2, 2, 5);
    let lost = WrongHistory::VotesLost { executed_below: Slot(1), voted_below: Slot(0) };
    assert_eq!(rig.watermarks(2, 3, 0)[0], Effect::WrongHistory(lost));
}

#[test]
fn a_replica_that_starts_with_a_log_compares_it_before_it_reads_or_learns() {
    let (mut rig, effects) = restarted(config(), 3);
    assert_eq!(asks(&effects), Some((replica(2), 0)), "at once");
    rig.read(1);
    rig.watermarks(2, 1, 3);
    let released = |effects: &[Effect]| effects.contains(&release(&[1], 3, 1));
    assert!(!released(&rig.watermarks(2, 2, 3)), "its log has all that was voted for");
    // What a coordinator gives may be of another history.
    let effects = rig.fetched(0, page(None, &[noop(3)]));
    assert!(!effects.contains(&learned(4)), "{effects:?}");
    let effects = rig.fetched(1, page(Some(prefix(&log())), &[noop(3)]));
    assert!(released(&effects) && effects.contains(&execute(&[noop(3)])), "{effects:?}");
}

#[test]
fn another_history_at_a_replica_of_the_view_ends_this_one_and_nothing_of_it_is_learned() {
    let (mut rig, _) = restarted(config(), 4);
    let effects = rig.fetched(1, page(Some(another()), &[noop(3)]));
    assert_eq!(effects[0], fork(2));
    assert_eq!(rig.replica.learner.learned_below(), Slot(3));
}

#[test]
fn a_replica_in_the_middle_of_its_life_compares_each_page() {
    let mut rig = Rig::backup();
    rig.chosen(&log()[1..]);
    rig.after(200).fire(Timer::Heartbeat);
    let effects = rig.fetched(2, page(Some(another()), &[noop(3)]));
    assert_eq!(effects[0], fork(2));
}

#[test]
fn a_replica_outside_the_view_proves_nothing_and_nothing_is_learned_from_it() {
    let (mut rig, _) = restarted(config(), 4);
    let asked = asks(&rig.fetched(1, Err(NoAnswer)));
    assert_eq!(asked, Some((replica(3), 0)));
    let behind = Input::Fetched { fetch: FetchId(2), reply: page(None, &[]).map(ours) };
    let asked = asks(&rig.step(behind));
    assert_eq!(asked, Some((replica(4), 0)), "one that is behind can't say");
    let effects = rig.fetched(3, page(Some(another()), &[noop(3)]));
    assert_eq!(effects, [arm(Timer::Fetch, 100, 100)], "no coordinator is asked meanwhile");
}

#[test]
fn a_replica_goes_on_alone_where_nobody_is_left_to_compare_with() {
    let (mut rig, _) = restarted(config(), 3);
    rig.read(1);
    rig.watermarks(2, 1, 3);
    rig.watermarks(2, 2, 3);
    let released = |effects: &[Effect]| effects.contains(&release(&[1], 3, 1));
    assert!(!released(&rig.after(1_999).fire(Timer::Heartbeat)));
    assert!(released(&rig.after(1).fire(Timer::Heartbeat)));

    let patient = Config { history_patience: Duration::MAX, ..config() };
    let (mut rig, _) = restarted(patient, 3);
    assert_eq!(rig.replica.history, History::Unconfirmed);
    rig.after(60_000).fire(Timer::Heartbeat);
    assert_eq!(rig.replica.history, History::Unconfirmed);
}

#[test]
fn the_only_replica_of_a_view_has_nobody_to_wait_for() {
    let alone = View { backups: Vec::new(), ..view(1, 1) };
    let mut database = ReplicatedState::complete();
    let entries = vec![entry(0, Value::View(alone).encode())];
    let meta = Run::new(entries).apply(&mut database).meta;
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta,
        next_expiry_ms: None,
        durable_below: Slot(1),
    };
    let identity = Identity { name: replica(1).name, instance: Instance(8), url: replica(1).url };
    let mut rig =
        Rig { replica: Replica::new(config(), identity, recovered), database, now: ms(0) };
    rig.step(Input::Started);
    rig.watermarks(1, 1, 1);
    rig.watermarks(1, 2, 1);
    assert_eq!(rig.replica.history, History::Confirmed);
}

#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "one of many effects is looked for")]
fn a_log_that_was_not_compared_is_given_to_nobody_and_counts_as_no_copy() {
    let (mut rig, effects) = restarted(config(), 3);
    let claims = |effects: &[Effect]| -> Vec<Slot> {
        let durable = |effect: &Effect| match effect {
            Effect::Heartbeat { message, .. } => Some(message.durable_below),
            _ => None,
        };
        effects.iter().filter_map(durable).collect()
    };
    assert_eq!(claims(&effects), [Slot(0)]);
    let page_of = |rig: &Rig, from| rig.log_from(from, 9, 1 << 20);
    let only_the_hash = ChosenReply::only_hash(Some(prefix(&log())));
    assert_eq!(page_of(&rig, 3), LogPage::Nothing(only_the_hash));
    assert_eq!(page_of(&rig, 0), LogPage::OnlyHash);
    rig.fetched(1, page(Some(prefix(&log())), &[]));
    assert!(matches!(page_of(&rig, 0), LogPage::Stored { .. }));
    assert_eq!(claims(&rig.fire(Timer::Heartbeat)), [Slot(3)]);
}

/// A batch that says to continue this log.
fn linked(slot: u64, executed: LogPrefix) -> ChosenEntry {
    let Value::Batch(unlinked) = Value::decode(&batch(1, 1, &["next"])).unwrap() else {
        panic!("it is a batch")
    };
    let commands = Commands::decode(&unlinked.commands).unwrap();
    let commands = Commands { executed: Some(executed), ..commands };
    let (format, commands) = (commands.format(), commands.encode());
    entry(slot, Value::Batch(Batch { commands, ..unlinked }).encode_in(format))
}

fn disputed(slot: u64) -> Effect {
    let (claimed, own) = (another(), prefix(&log()).hash);
    Effect::HistoryDisputed(Dispute { slot: Slot(slot), claimed, own })
}

/// One fetch after another is answered, by those of a kind alone.
fn ask_around(
    rig: &mut Rig,
    (fetches, answers): (std::ops::Range<u64>, SourceKind),
    page: &Result<ChosenReply, NoAnswer>,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    for fetch in fetches {
        let kind = rig.replica.fetching.source(FetchId(fetch)).map(|source| source.kind);
        let reply = if kind == Some(answers) { page.clone() } else { Err(NoAnswer) };
        effects.extend(rig.fetched(fetch, reply));
        effects.extend(rig.fire(Timer::Fetch));
    }
    effects
}

/// Nobody answered the replica in time; then comes a batch that continues another log.
fn disputing() -> Rig {
    let (mut rig, _) = restarted(config(), 5);
    rig.leads(1, 1, 5);
    ask_around(&mut rig, (1..4, SourceKind::Coordinator), &Err(NoAnswer));
    rig.after(2_000).fire(Timer::Heartbeat);
    assert_eq!(rig.replica.history, History::Confirmed);
    rig.leads(1, 1, 5);
    let next = page(None, &[linked(3, another())]);
    let effects = ask_around(&mut rig, (4..12, SourceKind::Coordinator), &next);
    assert!(effects.contains(&disputed(3)), "{effects:?}");
    rig
}

#[test]
fn a_batch_that_continues_another_log_is_not_executed_and_nothing_is_read_until_it_is_settled() {
    let mut rig = disputing();
    assert_eq!(rig.replica.learner.learned_below(), Slot(3));
    rig.read(1);
    let mut effects = rig.watermarks(2, 1, 3);
    effects.extend(rig.watermarks(2, 2, 3));
    for _ in 0..100 {
        effects.extend(rig.after(1_000).fire(Timer::Heartbeat));
    }
    let told = |effect: &Effect| matches!(effect, Effect::Execute { .. } | Effect::Release { .. });
    assert!(!effects.iter().any(told), "no patience is enough: {effects:?}");
}

#[test]
fn a_replica_of_the_view_settles_what_a_batch_disputes() {
    for (theirs, is_same) in [(prefix(&log()), true), (another(), false)] {
        let mut rig = disputing();
        let answer = page(Some(theirs), &[]);
        let effects = ask_around(&mut rig, (4..20, SourceKind::Replica), &answer);
        assert_eq!(effects.contains(&execute(&[linked(3, another())])), is_same, "{effects:?}");
        assert_eq!(effects.contains(&fork(2)), !is_same, "{effects:?}");
    }
}

#[test]
fn a_batch_that_continues_this_log_is_executed_and_what_is_not_known_any_more_disputes_nothing() {
    let forgotten = LogPrefix { below: Slot(1), hash: another().hash };
    for executed in [prefix(&log()), forgotten] {
        let (mut rig, _) = restarted(config(), 5);
        let next = linked(3, executed);
        let effects = rig.fetched(1, page(Some(prefix(&log())), std::slice::from_ref(&next)));
        assert!(effects.contains(&execute(&[next])), "{effects:?}");
    }
}

#[test]
fn batches_say_what_their_primary_had_executed_once_the_log_has_room_for_it() {
    let said = |format| {
        let mut rig = Rig::joined(config());
        rig.leads(1, 1, 0);
        let own = entry(0, Value::View(View { format, ..view(1, 1) }).encode());
        rig.chosen(std::slice::from_ref(&own));
        let effects = rig.mutation(1, "k");
        let value = effects.iter().find_map(|effect| {
            if let Effect::Propose { proposal, .. } = effect { Some(&proposal.value) } else { None }
        });
        (Commands::executed_of(value.unwrap()), prefix(&[own]))
    };
    let (executed, expected) = said(format::LINKED);
    assert_eq!(executed, Some(expected));
    assert_eq!(said(format::CERTIFIED).0, None);
}
