//! Every message between the services, in both encodings.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::chain::ChainHash;
use shared::ids::{
    AcceptorId, Ballot, BatchNumber, ClusterId, CoordinatorId, Draw, Epoch, Generation, Instance,
    LogFormat, Name, Slot,
};
use shared::message::{
    Accept, AcceptReply, Accepted, AcceptorsRefused, AcceptorsReply, AcceptorsRequest,
    Announcement, ChosenEntry, ChosenReply, Directory, DirectoryEntry, Ending, Full, Heartbeat,
    HeartbeatReply, KnownSuccession, LogPrefix, Marks, Member, Nack, OfCluster, Phase, Prepare,
    PrepareReply, PrimaryRefused, PrimaryReply, PrimaryRequest, Promise, Proposal, ProposalReply,
    Roster, Seated, Service, SlotValue, Storage, Stranger, Succession, SuccessionReply,
    SuccessionRequest, Unable, View, Vote, VoteRoom, VotesPage, WantedAcceptors, WantedPrimary,
    Watermarks,
};
use shared::wire::Encoding;

use super::{choose, chosen, short};

const ENCODINGS: [Encoding; 2] = [Encoding::Postcard, Encoding::Json];

/// One for each type, in the order of [`seeds`].
const TYPES: [fn(Encoding, &[u8]); 21] = [
    same::<Prepare>,
    same::<PrepareReply>,
    same::<Accept>,
    same::<AcceptReply>,
    same::<Watermarks>,
    same::<VotesPage>,
    same::<Announcement>,
    same::<Directory>,
    same::<Proposal>,
    same::<OfCluster<ProposalReply>>,
    same::<Heartbeat>,
    same::<OfCluster<HeartbeatReply>>,
    same::<OfCluster<ChosenReply>>,
    same::<PrimaryRequest>,
    same::<OfCluster<PrimaryReply>>,
    same::<SuccessionRequest>,
    same::<SuccessionReply>,
    same::<AcceptorsRequest>,
    same::<OfCluster<AcceptorsReply>>,
    same::<KnownSuccession>,
    same::<Ending>,
];

/// The first byte chooses the type and its encoding.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    let check = TYPES[choice / ENCODINGS.len() % TYPES.len()];
    check(ENCODINGS[choice % ENCODINGS.len()], rest);
}

fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(encoding: Encoding, bytes: &[u8]) {
    let message: T = match encoding.decode(bytes) {
        Ok(message) => message,
        Err(error) => return short(&error),
    };
    for other in ENCODINGS {
        let again = other.encode(&message);
        let read: T = other.decode(&again).expect("what a service encodes, another one decodes");
        assert_eq!(read, message, "through {other:?}");
        assert_eq!(other.encode(&read), again, "the encoding of equal messages is the same");
    }
    if encoding == Encoding::Postcard {
        let length = encoding.encode(&message).len();
        assert!(
            length <= bytes.len(),
            "{} bytes were read as a message of {length}: {message:?}",
            bytes.len()
        );
    }
}

const BALLOT: Ballot = Ballot { round: 300, coordinator: CoordinatorId(u64::MAX) };
const MARKS: Marks =
    Marks { voted_below: Slot(900), chosen_below: Slot(8), trimmed_below: Slot(7) };

fn roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(3), AcceptorId(1), AcceptorId(2)])
        .expect("three acceptors")
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(super) fn view() -> View {
    let backups = vec![name("replica-2"), name("replica-3")];
    View {
        epoch: Epoch(1),
        primary: name("replica-1"),
        primary_instance: Instance(5),
        backups,
        format: LogFormat::FIRST,
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    of_acceptors(&mut seeds);
    of_others(&mut seeds);
    of_successions(&mut seeds);
    seeds
}

fn of_successions(seeds: &mut Vec<Vec<u8>>) {
    let seated = |generation| Seated {
        roster: Roster::new(ClusterId(1), Generation(generation), roster().acceptors().to_vec())
            .expect("three acceptors"),
        urls: (1..=3).map(|port| format!("http://127.0.0.1:{port}")).collect(),
    };
    let succession = Succession::new(seated(0), seated(1), Slot(9)).expect("one follows the other");
    both(seeds, 15, &SuccessionRequest::Tell);
    both(seeds, 15, &SuccessionRequest::Open(succession.clone()));
    both(seeds, 19, &KnownSuccession { latest: Some(succession.clone()) });
    let reply = SuccessionReply {
        acceptor: AcceptorId(1),
        roster: Some(roster()),
        opened: None,
        sealed: Some(succession),
        is_unused: false,
        can_write: true,
    };
    both(seeds, 16, &reply);
    let wanted = WantedAcceptors::All(seated(1).urls);
    both(seeds, 17, &AcceptorsRequest { cluster: ClusterId(1), base: Some(Generation(3)), wanted });
    both(seeds, 18, &ours(AcceptorsReply::Changed { seated: seated(1), not_heard: Vec::new() }));
    both(seeds, 18, &ours(AcceptorsReply::Refused(AcceptorsRefused::ChangeUnderWay)));
}

fn of_acceptors(seeds: &mut Vec<Vec<u8>>) {
    let value = Bytes::from_static(b"\x00\xff bytes");
    let votes = vec![Vote { slot: Slot(7), ballot: BALLOT, value: value.clone() }];
    let nack = Nack { acceptor: AcceptorId(1), promised: BALLOT };
    let stranger = Stranger { acceptor: AcceptorId(1), roster: Some(roster()) };
    let next = Some(Slot(8));
    let promise = Promise {
        acceptor: AcceptorId(1),
        ballot: BALLOT,
        from: Slot(4),
        votes: votes.clone(),
        next,
        marks: MARKS,
    };
    let proposals = vec![
        SlotValue { slot: Slot(9), value: value.clone() },
        SlotValue { slot: Slot(10), value },
    ];
    let accept = Accept {
        roster: roster(),
        ballot: BALLOT,
        proposals,
        chosen_below: Slot(8),
        trim_below: Slot(7),
    };
    let room = VoteRoom { used_bytes: 5, limit_bytes: 6 };
    let accepted = Accepted {
        acceptor: AcceptorId(1),
        ballot: BALLOT,
        slots: vec![Slot(9)],
        marks: MARKS,
        room,
    };
    let full = Full { acceptor: AcceptorId(1), limit: "disk".into() };
    both(seeds, 0, &Prepare { roster: roster(), ballot: BALLOT, from: Slot(4) });
    both(seeds, 1, &PrepareReply::Promise(promise));
    both(seeds, 1, &PrepareReply::Nack(nack));
    both(seeds, 1, &PrepareReply::Stranger(stranger.clone()));
    both(seeds, 2, &accept);
    both(seeds, 3, &AcceptReply::Accepted(accepted));
    both(seeds, 3, &AcceptReply::Nack(nack));
    both(seeds, 3, &AcceptReply::Stranger(stranger));
    both(seeds, 3, &AcceptReply::Full(full));
    let watermarks = Watermarks {
        acceptor: AcceptorId(1),
        roster: None,
        draw: Draw(9),
        promised: Some(BALLOT),
        marks: MARKS,
        leader_silent_ms: 1,
    };
    both(seeds, 4, &watermarks);
    both(seeds, 5, &VotesPage { acceptor: AcceptorId(1), roster: None, votes, next, marks: MARKS });
    let url = "http://127.0.0.1:8301".to_owned();
    let member =
        Member { name: name("replica-1"), service: Service::Replica, url, instance: Instance(1) };
    for cluster in [None, Some(ClusterId(1))] {
        both(seeds, 6, &Announcement { cluster, member: member.clone() });
    }
    both(seeds, 7, &Directory { members: vec![DirectoryEntry { member, age_ms: 3 }] });
}

fn of_others(seeds: &mut Vec<Vec<u8>>) {
    let value = Bytes::from_static(b"value");
    both(
        seeds,
        8,
        &Proposal {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            number: BatchNumber(0),
            value: value.clone(),
        },
    );
    for reply in [
        ProposalReply::Chosen { slot: Slot(1), ballot: BALLOT, chosen_below: Slot(2) },
        ProposalReply::Overloaded { limit: "slots".into() },
        ProposalReply::NotLeading,
    ] {
        both(seeds, 9, &ours(reply));
    }
    let heartbeat = Heartbeat {
        cluster: ClusterId(1),
        replica: name("replica-1"),
        instance: Instance(1),
        url: "http://127.0.0.1:8301".into(),
        view: Some(view()),
        executed_below: Slot(2),
        hash: ChainHash([7; 32]),
        durable_below: Slot(1),
        highest_format: LogFormat::FIRST,
        storage: Storage::Full,
        nudge_below: Some(Slot(3)),
    };
    both(seeds, 10, &heartbeat);
    let coordinator = CoordinatorId(1);
    both(
        seeds,
        11,
        &ours(HeartbeatReply {
            coordinator,
            phase: Phase::Phase2,
            ballot: Some(BALLOT),
            chosen_below: Slot(1),
        }),
    );
    let entries = vec![ChosenEntry { slot: Slot(0), ballot: BALLOT, value }];
    let previous = Some(LogPrefix { below: Slot(0), hash: ChainHash([7; 32]) });
    both(seeds, 12, &ours(ChosenReply::Entries { entries, chosen_below: Slot(1), previous }));
    both(seeds, 12, &ours(ChosenReply::Trimmed { oldest: Slot(5) }));
    both(seeds, 12, &ours(ChosenReply::Unavailable));
    let than = name("replica-1");
    for wanted in [
        WantedPrimary::Replica(name("replica-2")),
        WantedPrimary::Another { than, instance: Instance(1) },
    ] {
        both(seeds, 13, &PrimaryRequest { cluster: ClusterId(1), wanted });
    }
    let coordinator = name("coordinator-1");
    both(seeds, 20, &Ending { cluster: ClusterId(1), coordinator, instance: Instance(1) });
    let why = Unable::Behind { slots: 300, limit: 200 };
    both(seeds, 14, &ours(PrimaryReply::Executed(view())));
    both(seeds, 14, &ours(PrimaryReply::Overloaded { limit: "slots".into() }));
    let refused = PrimaryRefused::Unable { replica: name("replica-2"), why };
    both(seeds, 14, &ours(PrimaryReply::Refused(refused)));
}

fn ours<T>(content: T) -> OfCluster<T> {
    OfCluster::new(ClusterId(1), content)
}

fn both<T: Serialize>(seeds: &mut Vec<Vec<u8>>, of_type: u8, message: &T) {
    for (index, encoding) in (0..).zip(ENCODINGS) {
        seeds.push(chosen(2 * of_type + index, encoding.encode(message)));
    }
}
