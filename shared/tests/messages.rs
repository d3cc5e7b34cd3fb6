//! Every message goes through both encodings unchanged: people and scripts can say all
//! that services say. And what the bytes of a version are never changes: a change of a
//! message is a new version.

use std::cell::RefCell;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::chain::ChainHash;
use shared::ids::{
    AcceptorId, Ballot, BatchNumber, ClusterId, CoordinatorId, Draw, Epoch, Generation, Instance,
    LogFormat, Name, Slot,
};
use shared::message::{
    Accept, AcceptReply, Accepted, AcceptorsRefused, AcceptorsReply, AcceptorsRequest, Announced,
    Announcement, Batch, ChosenEntry, ChosenReply, Directory, DirectoryEntry, Ending, Full,
    Heartbeat, HeartbeatReply, KnownSuccession, LogPrefix, Marks, Member, Nack, NameConflict,
    Phase, Prepare, PrepareReply, PrimaryRefused, PrimaryReply, PrimaryRequest, Promise, Proposal,
    ProposalReply, Removal, Roster, Seated, Service, SlotValue, Storage, Stranger, Succession,
    SuccessionReply, SuccessionRequest, Unable, UnableReplica, Value, View, Vote, VoteRoom,
    VotesPage, WantedAcceptors, WantedPrimary, Watermarks,
};
use shared::wire::{Encoding, VERSION};

#[track_caller]
fn both<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    messages: impl IntoIterator<Item = T>,
) {
    let mut digest = blake3::Hasher::new();
    for message in messages {
        digest.update(&Encoding::Postcard.encode(&message));
        for encoding in [Encoding::Json, Encoding::Postcard] {
            let bytes = encoding.encode(&message);
            assert_eq!(encoding.decode::<T>(&bytes).unwrap(), message, "{encoding:?}");
        }
    }
    let name = std::any::type_name::<T>().rsplit("::").next().unwrap();
    let line = format!("{name} {}\n", &digest.finalize().to_hex()[..16]);
    DIGESTS.with_borrow_mut(|digests| digests.push_str(&line));
}

thread_local! {
    /// Of the examples of each message that this thread has looked at.
    static DIGESTS: RefCell<String> = const { RefCell::new(String::new()) };
}

#[test]
fn a_change_of_a_message_is_a_new_version() {
    the_messages_of_acceptors();
    the_messages_of_coordinators_and_replicas();
    the_messages_of_a_succession();
    let golden = include_str!("messages.golden");
    let (version, digests) = golden.split_once('\n').unwrap();
    let now = DIGESTS.take();
    assert!(
        version == format!("version {VERSION}") && digests == now,
        "the messages, or their examples here, are not those of version {VERSION}: a change of \
         one is a new shared::wire::VERSION (ARCHITECTURE.md, \"Messages have a version\"); \
         shared/tests/messages.golden then is\n\nversion {VERSION}\n{now}"
    );
}

const BALLOT: Ballot = Ballot { round: 3, coordinator: CoordinatorId(u64::MAX) };
const MARKS: Marks = Marks { voted_below: Slot(9), chosen_below: Slot(8), trimmed_below: Slot(7) };

fn roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(3), AcceptorId(1), AcceptorId(2)])
        .unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn view() -> View {
    View {
        epoch: Epoch(1),
        primary: name("a"),
        primary_instance: Instance(5),
        backups: vec![name("b"), name("c")],
        format: LogFormat::FIRST,
    }
}

#[test]
fn the_messages_of_a_succession() {
    let seated = |generation, ids: &[u64]| Seated {
        roster: Roster::new(
            ClusterId(1),
            Generation(generation),
            ids.iter().copied().map(AcceptorId).collect(),
        )
        .unwrap(),
        urls: ids.iter().map(|id| format!("http://acceptor-{id}:8201")).collect(),
    };
    let next = seated(1, &[1, 2, 4]);
    let succession = Succession::new(seated(0, &[1, 2, 3]), next.clone(), Slot(7)).unwrap();
    both([
        SuccessionRequest::Tell,
        SuccessionRequest::Seal(succession.clone()),
        SuccessionRequest::Open(succession.clone()),
    ]);
    both([KnownSuccession { latest: None }, KnownSuccession { latest: Some(succession.clone()) }]);
    both([SuccessionReply {
        acceptor: AcceptorId(2),
        roster: Some(roster()),
        opened: None,
        sealed: Some(succession),
        is_unused: false,
        can_write: true,
    }]);
    let url = || "http://acceptor-4:8201".to_owned();
    let (cluster, base) = (ClusterId(1), Some(Generation(0)));
    let replace = WantedAcceptors::Replace { leaves: url(), comes: url() };
    both([
        AcceptorsRequest { cluster, base, wanted: replace },
        AcceptorsRequest { cluster, base: None, wanted: WantedAcceptors::All(vec![url()]) },
    ]);
    let refused = [
        AcceptorsRefused::ChangeUnderWay,
        AcceptorsRefused::OtherGeneration { present: Generation(2) },
        AcceptorsRefused::NoRoster("even".into()),
        AcceptorsRefused::Unfit { url: url(), why: "used".into() },
        AcceptorsRefused::Overtaken,
        AcceptorsRefused::CannotSeal { missing: url(), needed: 2 },
        AcceptorsRefused::NoQuorum { living: 1, acceptors: 3, needed: 2 },
        AcceptorsRefused::NotDurable("replica-1".into()),
        AcceptorsRefused::OldService("replica-1".into()),
        AcceptorsRefused::SilentService("coordinator-2".into()),
    ];
    both(refused.map(AcceptorsReply::Refused).into_iter().chain([
        AcceptorsReply::Changed { seated: next, not_heard: vec![name("replica-2")] },
        AcceptorsReply::NotLeading,
        AcceptorsReply::Unresolved,
    ]));
}

#[test]
fn the_messages_of_acceptors() {
    let value = Bytes::from_static(b"\x00\xff bytes");
    let vote = Vote { slot: Slot(7), ballot: BALLOT, value: value.clone() };
    let nack = Nack { acceptor: AcceptorId(1), promised: BALLOT };
    let stranger = Stranger { acceptor: AcceptorId(1), roster: Some(roster()) };
    both([Prepare { roster: roster(), ballot: BALLOT, from: Slot(4) }]);
    let (votes, next) = (vec![vote], Some(Slot(8)));
    let promise = Promise {
        acceptor: AcceptorId(1),
        ballot: BALLOT,
        from: Slot(4),
        votes: votes.clone(),
        next,
        marks: MARKS,
    };
    both([
        PrepareReply::Promise(promise),
        PrepareReply::Nack(nack),
        PrepareReply::Stranger(stranger.clone()),
    ]);
    let proposals = vec![SlotValue { slot: Slot(9), value }];
    both([Accept {
        roster: roster(),
        ballot: BALLOT,
        proposals,
        chosen_below: Slot(8),
        trim_below: Slot(7),
    }]);
    let room = VoteRoom { used_bytes: 5, limit_bytes: 6 };
    let accepted = Accepted {
        acceptor: AcceptorId(1),
        ballot: BALLOT,
        slots: vec![Slot(9)],
        marks: MARKS,
        room,
    };
    let full = Full { acceptor: AcceptorId(1), limit: "disk".into() };
    both([
        AcceptReply::Accepted(accepted),
        AcceptReply::Nack(nack),
        AcceptReply::Stranger(stranger),
        AcceptReply::Full(full),
    ]);
    both([VotesPage { acceptor: AcceptorId(1), roster: None, votes, next, marks: MARKS }]);
    both([Watermarks {
        acceptor: AcceptorId(1),
        roster: None,
        draw: Draw(9),
        promised: Some(BALLOT),
        marks: MARKS,
        leader_silent_ms: 1,
    }]);
    let url = "http://a:1".to_owned();
    let member =
        Member { name: name("a"), service: Service::Coordinator, url, instance: Instance(1) };
    let conflicts = vec![NameConflict { listed: member.clone(), rival: member.clone() }];
    let acceptor = member.clone();
    let directory = Directory { members: vec![DirectoryEntry { member, age_ms: 3 }] };
    both([directory.clone()]);
    for cluster in [None, Some(ClusterId(7))] {
        both([Announcement { cluster, member: acceptor.clone() }]);
    }
    let cluster = Some(ClusterId(7));
    both([Announced { cluster, acceptor, directory, conflicts, is_contested: true }]);
}

#[test]
fn the_messages_of_coordinators_and_replicas() {
    let value = Value::View(view()).encode();
    both([Proposal {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        number: BatchNumber(0),
        value: value.clone(),
    }]);
    both([
        ProposalReply::Chosen { slot: Slot(1), ballot: BALLOT, chosen_below: Slot(2) },
        ProposalReply::NotLeading,
        ProposalReply::Overloaded { limit: "slots".into() },
        ProposalReply::Unresolved,
    ]);
    both([Heartbeat {
        cluster: ClusterId(1),
        replica: name("a"),
        instance: Instance(1),
        url: "http://a:1".into(),
        view: Some(view()),
        executed_below: Slot(2),
        hash: ChainHash([7; 32]),
        durable_below: Slot(1),
        highest_format: LogFormat(2),
        storage: Storage::Full,
        nudge_below: Some(Slot(3)),
    }]);
    let phases = [Phase::Inactive, Phase::Phase1, Phase::Phase2];
    both(phases.map(|phase| HeartbeatReply {
        coordinator: CoordinatorId(1),
        phase,
        ballot: Some(BALLOT),
        chosen_below: Slot(1),
    }));
    let entries = vec![ChosenEntry { slot: Slot(0), ballot: BALLOT, value }];
    both([
        ChosenReply::Entries {
            entries,
            chosen_below: Slot(1),
            previous: Some(LogPrefix { below: Slot(0), hash: ChainHash([7; 32]) }),
        },
        ChosenReply::Trimmed { oldest: Slot(5) },
        ChosenReply::Unavailable,
    ]);
    let coordinator = name("coordinator-1");
    both([Ending { cluster: ClusterId(1), coordinator, instance: Instance(1) }]);
    let another = WantedPrimary::Another { than: name("a"), instance: Instance(1) };
    both(
        [WantedPrimary::Replica(name("b")), another]
            .map(|wanted| PrimaryRequest { cluster: ClusterId(1), wanted }),
    );
    let unable = [
        Unable::Silent,
        Unable::Ending,
        Unable::CannotExecute,
        Unable::OldFormat,
        Unable::Behind { slots: 9, limit: 8 },
    ];
    let unable = unable.map(|why| PrimaryRefused::Unable { replica: name("b"), why });
    let refused = [
        PrimaryRefused::Unknown { replica: name("b") },
        PrimaryRefused::NotInView { replica: name("b") },
        PrimaryRefused::NobodyAble {
            others: vec![UnableReplica { replica: name("b"), why: Unable::Silent }],
        },
        PrimaryRefused::ChangeUnderWay,
        PrimaryRefused::Overtaken,
    ];
    let replies = [
        PrimaryReply::Executed(view()),
        PrimaryReply::NotLeading,
        PrimaryReply::Overloaded { limit: "slots".into() },
        PrimaryReply::Unresolved,
    ];
    both(replies.into_iter().chain(unable.into_iter().chain(refused).map(PrimaryReply::Refused)));
    both([None, Some(Epoch(7))].map(|out_since| {
        let wanted = WantedPrimary::Without { removed: name("b"), out_since };
        PrimaryRequest { cluster: ClusterId(1), wanted }
    }));
    let (replica, behind) = (name("b"), vec![name("c")]);
    let refused = [
        PrimaryRefused::Last { replica: replica.clone() },
        PrimaryRefused::TooFewCopies { replica, trimmed_below: Slot(7), behind },
        PrimaryRefused::LogTooOld { found: LogFormat(4) },
    ];
    both(refused.map(PrimaryReply::Refused));
}

#[test]
fn a_value_is_read_back_and_nothing_after_it() {
    let batch = Batch {
        epoch: Epoch(1),
        number: BatchNumber(2),
        commands: Bytes::from_static(b"commands"),
    };
    let removal = Value::Removal(Removal { view: view(), replica: name("d") });
    for value in [Value::Noop, Value::View(view()), Value::Batch(batch), removal] {
        let bytes = value.encode();
        assert_eq!(Value::decode(&bytes).unwrap(), value);
        assert!(Value::decode(&[&bytes[..], b"x"].concat()).is_err());
        assert!(Value::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn a_removal_is_a_value_only_in_its_format_and_where_its_view_is_without_the_replica() {
    let removal = |replica| Value::Removal(Removal { view: view(), replica: name(replica) });
    assert!(Value::decode(&removal("d").encode()).is_ok());
    assert!(Value::decode(&removal("d").encode_in(LogFormat(4))).is_err());
    for member in ["a", "b"] {
        assert!(Value::decode(&removal(member).encode()).is_err(), "{member} is in the view");
    }
}

#[test]
fn a_malformed_message_is_refused() {
    let roster = |acceptors: [u64; 3]| {
        let acceptors = acceptors.map(|id| format!("\"{id:016x}\"")).join(",");
        format!("{{\"cluster\":\"0000000000000001\",\"generation\":0,\"acceptors\":[{acceptors}]}}")
    };
    let ours = roster([1, 2, 3]);
    let ballot = "{\"round\":1,\"coordinator\":\"0000000000000001\"}";
    let prepare = |roster: &str, rest: &str| {
        let json = format!("{{\"roster\":{roster},\"ballot\":{ballot},\"from\":0{rest}}}");
        Encoding::Json.decode::<Prepare>(json.as_bytes())
    };
    assert!(prepare(&ours, "").is_ok());
    assert!(
        prepare(&ours, ",\"form\":0").unwrap_err().to_string().contains("unknown field `form`")
    );
    assert!(prepare("[]", "").is_err());
    assert!(prepare(&roster([1, 1, 3]), "").is_err());
}

#[test]
fn a_cluster_is_who_its_acceptors_drew_it_to_be_whoever_asks_them_in_which_order() {
    let form = |drawn: [(u64, u64); 3]| {
        let drawn = drawn.map(|(acceptor, draw)| (AcceptorId(acceptor), Draw(draw)));
        Roster::form(drawn.to_vec()).unwrap()
    };
    let formed = form([(1, 11), (2, 12), (3, 13)]);
    assert_eq!(form([(3, 13), (1, 11), (2, 12)]), formed);
    assert_eq!(formed.generation(), Generation(0));
    assert_eq!(formed.acceptors(), [1, 2, 3].map(AcceptorId));
    let other = form([(1, 11), (2, 12), (3, 99)]);
    assert_ne!(other.cluster(), formed.cluster(), "a disk that was put back has drawn another");
    let replaced = form([(1, 11), (2, 12), (4, 13)]);
    assert_eq!(replaced.cluster(), formed.cluster(), "it is no digest of who has a vote");
}

#[test]
fn two_majorities_share_an_acceptor_and_a_minority_may_be_gone() {
    for acceptors in 1..=9 {
        let majority = shared::message::quorum(acceptors);
        assert!(2 * majority > acceptors, "two times {majority} of {acceptors} need not meet");
        assert!(
            majority + (acceptors - 1) / 2 <= acceptors,
            "{majority} of {acceptors} are not there when a minority is gone"
        );
    }
}
