//! A stand-in for an acceptor: it promises, votes and remembers in memory, and says what
//! it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use shared::config::BaseUrl;
use shared::ids::{AcceptorId, Ballot, Draw, Instance, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, Announced, Announcement, Directory, Full, Marks, Member, Nack,
    Prepare, PrepareReply, Promise, Roster, Service, Vote, VoteRoom, VotesPage, Watermarks,
};
use shared::wire::{Reply, Wire};
use tokio::net::TcpListener;

pub(crate) struct Memory {
    id: AcceptorId,
    roster: Option<Roster>,
    promised: Option<Ballot>,
    heard_at: Instant,
    votes: BTreeMap<Slot, Vote>,
    marks: Marks,
    pub(crate) trim: bool,
    pub(crate) is_full: bool,
    pub(crate) delay: Duration,
    /// The path of the requests that fail, and how many did.
    fails: Option<&'static str>,
    failed: usize,
    /// The `traceparent`s that came with proposals.
    pub(crate) traces: Vec<String>,
    /// How many slots each Accept with any asked for.
    pub(crate) batches: Vec<usize>,
}

#[derive(Clone)]
pub(crate) struct FakeAcceptor {
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) url: BaseUrl,
}

impl FakeAcceptor {
    pub(crate) async fn start(id: u64) -> Self {
        let memory = Memory {
            id: AcceptorId(id),
            roster: None,
            promised: None,
            heard_at: Instant::now(),
            votes: BTreeMap::new(),
            marks: Marks::default(),
            trim: false,
            is_full: false,
            delay: Duration::ZERO,
            fails: None,
            failed: 0,
            traces: Vec::new(),
            batches: Vec::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let memory = Arc::new(Mutex::new(memory));
        let router = Router::new()
            .route("/v1/prepare", post(prepare))
            .route("/v1/accept", post(accept))
            .route("/v1/votes", get(votes))
            .route("/v1/watermarks", get(watermarks))
            .route("/v1/members/{name}", put(announce))
            .layer(from_fn_with_state(Arc::clone(&memory), fail))
            .with_state(Arc::clone(&memory));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { memory, url }
    }

    /// Fails all requests to this path from now on.
    pub(crate) fn fail(&self, path: Option<&'static str>) {
        let mut memory = self.memory.lock().unwrap();
        (memory.fails, memory.failed) = (path, 0);
    }

    /// How many requests have failed since it was told to fail them.
    pub(crate) fn failed(&self) -> usize {
        self.memory.lock().unwrap().failed
    }

    pub(crate) fn knows_chosen(&self, below: u64) -> bool {
        self.memory.lock().unwrap().marks.chosen_below >= Slot(below)
    }
}

type Shared = State<Arc<Mutex<Memory>>>;

impl Memory {
    fn hear(&mut self, roster: Roster, ballot: Ballot) -> Result<(), Nack> {
        if let Some(promised) = self.promised.filter(|promised| *promised > ballot) {
            return Err(Nack { acceptor: self.id, promised });
        }
        self.roster.get_or_insert(roster);
        self.promised = Some(ballot);
        self.heard_at = Instant::now();
        Ok(())
    }

    fn prepare(&mut self, message: Prepare) -> PrepareReply {
        let Prepare { roster, ballot, from } = message;
        if let Err(nack) = self.hear(roster, ballot) {
            return PrepareReply::Nack(nack);
        }
        let votes = self.votes.range(from..).map(|(_, vote)| vote.clone()).collect();
        PrepareReply::Promise(Promise {
            acceptor: self.id,
            ballot,
            from,
            votes,
            next: None,
            marks: self.marks,
        })
    }

    fn accept(&mut self, message: Accept) -> AcceptReply {
        let Accept { roster, ballot, proposals, chosen_below, trim_below: _ } = message;
        if let Err(nack) = self.hear(roster, ballot) {
            return AcceptReply::Nack(nack);
        }
        if self.is_full && !proposals.is_empty() {
            return AcceptReply::Full(Full { acceptor: self.id, limit: "told so".to_owned() });
        }
        if !proposals.is_empty() {
            self.batches.push(proposals.len());
        }
        self.marks.chosen_below = self.marks.chosen_below.max(chosen_below);
        if self.trim {
            self.marks.trimmed_below = self.marks.chosen_below;
            self.votes = self.votes.split_off(&self.marks.trimmed_below);
        }
        let mut slots = Vec::new();
        for proposal in proposals {
            slots.push(proposal.slot);
            self.marks.voted_below = self.marks.voted_below.max(proposal.slot.next());
            self.votes
                .insert(proposal.slot, Vote { slot: proposal.slot, ballot, value: proposal.value });
        }
        AcceptReply::Accepted(Accepted {
            acceptor: self.id,
            ballot,
            slots,
            marks: self.marks,
            room: VoteRoom::default(),
        })
    }
}

async fn fail(State(memory): Shared, request: Request, next: Next) -> Response {
    {
        let mut memory = memory.lock().unwrap();
        if memory.fails == Some(request.uri().path()) {
            memory.failed += 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    next.run(request).await
}

async fn prepare(State(memory): Shared, reply: Reply, Wire(message): Wire<Prepare>) -> Response {
    let answer = memory.lock().unwrap().prepare(message);
    std::future::ready(reply.send(&answer)).await
}

async fn accept(
    State(memory): Shared,
    headers: HeaderMap,
    reply: Reply,
    Wire(message): Wire<Accept>,
) -> Response {
    let delay = memory.lock().unwrap().delay;
    tokio::time::sleep(delay).await;
    let mut memory = memory.lock().unwrap();
    if let Some(trace) = headers.get("traceparent").filter(|_| !message.proposals.is_empty()) {
        memory.traces.push(trace.to_str().unwrap().to_owned());
    }
    reply.send(&memory.accept(message))
}

#[derive(serde::Deserialize)]
struct From {
    from: Slot,
}

async fn votes(State(memory): Shared, Query(From { from }): Query<From>, reply: Reply) -> Response {
    let memory = memory.lock().unwrap();
    let votes = memory.votes.range(from..).map(|(_, vote)| vote.clone()).collect();
    let page = VotesPage {
        acceptor: memory.id,
        roster: memory.roster.clone(),
        votes,
        next: None,
        marks: memory.marks,
    };
    reply.send(&page)
}

async fn watermarks(State(memory): Shared, reply: Reply) -> Response {
    let memory = memory.lock().unwrap();
    let leader_silent_ms = u64::try_from(memory.heard_at.elapsed().as_millis()).unwrap();
    let (acceptor, roster, promised, marks) =
        (memory.id, memory.roster.clone(), memory.promised, memory.marks);
    let draw = Draw(acceptor.0);
    reply.send(&Watermarks { acceptor, roster, draw, promised, marks, leader_silent_ms })
}

async fn announce(State(memory): Shared, reply: Reply, Wire(_): Wire<Announcement>) -> Response {
    let id = memory.lock().unwrap().id;
    let acceptor = Member {
        name: format!("acceptor-{}", id.0).parse().unwrap(),
        service: Service::Acceptor,
        url: "http://127.0.0.1:1".to_owned(),
        instance: Instance(id.0),
    };
    reply.send(&Announced {
        cluster: None,
        acceptor,
        directory: Directory::default(),
        conflicts: Vec::new(),
        is_contested: false,
    })
}
