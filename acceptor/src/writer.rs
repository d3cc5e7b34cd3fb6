//! The one thread that owns the core and the log.
//!
//! It takes what waits in its queue, decides it in order, writes all records with one
//! sync, makes known what is on disk now, and only then answers. Whatever arrives
//! meanwhile is the next group: nothing ever waits for company.
//!
//! A thread and not a task, since a sync blocks.
#![expect(clippy::disallowed_methods, reason = "the shell reads the clock and starts the writer")]

mod space;
mod waiting;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shared::ids::{ClusterId, Slot};
use shared::message::{
    Accept, AcceptReply, Prepare, PrepareReply, SuccessionReply, SuccessionRequest, VotesPage,
};
use shared::telemetry::Seldom;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Span, error, info};

use crate::acceptor::{AcceptError, Acceptor, Limits, Malformed, Persisted, Record};
use crate::handle::{Answer, Durable, Handle, Job, QUEUE_REQUESTS, Syncs};
use crate::log::disk::{Disk, DiskError};
use crate::log::error::LogError;
use crate::log::{Log, Options};
use crate::metrics::{Answered, Measured};
use crate::writer::space::{NoSpace, Room};
use crate::writer::waiting::Waiting;

/// Bytes of records after which a group is closed: more would only make the first of them
/// wait.
const GROUP_BYTES: usize = 8 << 20;

/// How the writer ended: at its request, or because the log cannot be relied on any more.
pub(crate) type Ended = oneshot::Receiver<Result<(), LogError>>;

/// Opens the log in the folder and starts the writer. Blocks while the log is read.
pub(crate) fn start(
    disk: Disk,
    folder: &Path,
    options: Options,
    limits: Limits,
    measured: Measured,
) -> Result<(Handle, Ended), LogError> {
    let (log, acceptor) = Log::open(disk, folder, options, limits)?;
    let (jobs, queue) = mpsc::channel(QUEUE_REQUESTS);
    let mut durable = Durable::of(&acceptor, Instant::now());
    (durable.log_bytes, durable.log_segments) = (log.bytes(), log.segments());
    let (published, durable) = watch::channel(durable);
    let (ended, end) = oneshot::channel();
    let heard = LastHeard::default();
    let writer = Writer {
        log,
        acceptor,
        limits,
        group: Vec::new(),
        published,
        heard,
        full_since: None,
        space_retry: options.space_retry,
        measured,
        syncs: Syncs::default(),
        said: Seldom::new(),
    };
    let spawned = thread::Builder::new().name("log".to_owned()).spawn(move || {
        let result = writer.run(queue);
        if let Err(cause) = &result {
            error!("the log cannot be relied on any more: {cause}");
        }
        let _nobody_waits = ended.send(result);
    });
    spawned.map_err(DiskError::failed("start the writer of", folder))?;
    Ok((Handle::new(jobs, durable), end))
}

struct Writer {
    log: Log,
    acceptor: Acceptor,
    limits: Limits,
    /// What is decided, staged, and waits for the sync.
    group: Vec<Waiting>,
    published: watch::Sender<Durable>,
    heard: LastHeard,
    /// When the disk was last found full, until it is found not to be.
    full_since: Option<Instant>,
    /// For how long that counts.
    space_retry: Duration,
    measured: Measured,
    syncs: Syncs,
    /// What no correct coordinator sends is logged now and then.
    said: Seldom,
}

/// What was heard while the present group was gathered.
#[derive(Clone, Copy, Default)]
struct LastHeard {
    leader: Option<Instant>,
    stranger: Option<(Instant, ClusterId)>,
}

/// What became of a group.
enum Flushed {
    Synced,
    /// There was no space: all of it was refused, and nothing of it was kept.
    Refused(NoSpace),
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) -> Result<(), LogError> {
        while let Some(first) = self.next(&mut queue)? {
            let mut job = Some(first);
            while let Some(next) = job {
                match next {
                    Job::Prepare(prepare, answer) => self.prepare(&prepare, answer)?,
                    Job::Accept(accept, answer) => self.accept(&accept, answer)?,
                    Job::Succession(request, answer) => self.succession(&request, answer)?,
                    Job::Votes { from, limit, answer } => {
                        self.group.push(Waiting::Votes(self.votes(from, limit), answer))
                    }
                    Job::Close => queue.close(),
                }
                job = if self.is_group_full() { None } else { queue.try_recv().ok() };
            }
            self.flush()?;
            self.log.clean_up()?;
        }
        Ok(self.log.close()?)
    }

    /// What waits, or else, once the log says that nothing in it is unsynced, what comes.
    fn next(&mut self, queue: &mut mpsc::Receiver<Job>) -> Result<Option<Job>, LogError> {
        match queue.try_recv() {
            Ok(job) => Ok(Some(job)),
            Err(TryRecvError::Disconnected) => Ok(None),
            Err(TryRecvError::Empty) => {
                self.log.mark()?;
                Ok(queue.blocking_recv())
            }
        }
    }

    fn is_group_full(&self) -> bool {
        self.group.len() >= QUEUE_REQUESTS || self.log.staged_bytes() >= GROUP_BYTES
    }

    fn prepare(&mut self, prepare: &Prepare, answer: Answer<PrepareReply>) -> Result<(), LogError> {
        let plan = match self.acceptor.plan_prepare(prepare) {
            Ok(plan) => plan,
            Err(refused) => {
                self.measured.prepare(Answered::Broken);
                if let Some(left_out) = self.said.may() {
                    error!(ballot = %prepare.ballot, left_out, "refused a prepare that no \
                        correct candidate sends: {refused}");
                }
                answer.send(Err(AcceptError::from(refused).into()));
                return Ok(());
            }
        };
        match self.make_room(plan.records())? {
            Room::Staged => {
                match &plan.reply {
                    PrepareReply::Promise(_) => self.heard.leader = Some(Instant::now()),
                    PrepareReply::Stranger(_) => {
                        self.heard.stranger = Some((Instant::now(), prepare.roster.cluster()))
                    }
                    PrepareReply::Nack(_) => {}
                }
                self.measured.prepare(Answered::prepare(&plan.reply));
                self.group.push(Waiting::Prepare(self.acceptor.commit(plan), answer));
            }
            Room::None(no_space) => {
                self.measured.prepare(Answered::Full);
                answer.send(Err(no_space.refusal()));
            }
        }
        Ok(())
    }

    fn accept(&mut self, accept: &Accept, answer: Answer<AcceptReply>) -> Result<(), LogError> {
        let plan = match self.acceptor.plan_accept(accept) {
            Ok(plan) => plan,
            Err(refused) => {
                self.measured.accept(Answered::Broken);
                if let Some(left_out) = self.said.may() {
                    error!(ballot = %accept.ballot, left_out, "refused an accept that no \
                        correct leader sends: {refused}");
                }
                answer.send(Err(refused.into()));
                return Ok(());
            }
        };
        match &plan.reply {
            AcceptReply::Accepted(_) | AcceptReply::Full(_) => {
                self.heard.leader = Some(Instant::now())
            }
            AcceptReply::Stranger(_) => {
                self.heard.stranger = Some((Instant::now(), accept.roster.cluster()))
            }
            AcceptReply::Nack(_) => {}
        }
        match self.make_room(plan.records())? {
            Room::Staged => {
                self.measured.accept(Answered::accept(&plan.reply));
                if let AcceptReply::Accepted(accepted) = &plan.reply {
                    self.measured.accepted_slots.inc_by(accepted.slots.len() as u64);
                }
                self.group.push(Waiting::Accept(self.acceptor.commit(plan), answer));
            }
            Room::None(no_space) => {
                self.measured.accept(Answered::Full);
                answer.send(Ok(no_space.full(self.acceptor.id())));
            }
        }
        Ok(())
    }

    fn succession(
        &mut self,
        request: &SuccessionRequest,
        answer: Answer<SuccessionReply>,
    ) -> Result<(), LogError> {
        let can_write = self.can_write()?;
        let plan = match self.acceptor.plan_succession(request) {
            Ok(plan) => plan,
            Err(refused) => {
                if let Some(left_out) = self.said.may() {
                    error!(
                        left_out,
                        "refused a succession that no correct coordinator tells of: \
                        {refused}"
                    );
                }
                answer.send(Err(AcceptError::from(Malformed::from(refused)).into()));
                return Ok(());
            }
        };
        let plan = plan.amended(|reply| reply.can_write = can_write);
        match self.make_room(plan.records())? {
            Room::Staged => {
                plan.records().iter().for_each(say);
                let decision = Box::new(self.acceptor.commit(plan));
                self.group.push(Waiting::Succession(decision, answer));
            }
            Room::None(no_space) => answer.send(Err(no_space.refusal())),
        }
        Ok(())
    }

    fn votes(&self, from: Slot, limit: usize) -> VotesPage {
        let mut page = self.acceptor.votes_page(from);
        if let Some(left_out) = page.votes.get(limit) {
            page.next = Some(left_out.slot);
            page.votes.truncate(limit);
        }
        page
    }

    /// Syncs the group, makes known what is on disk, then answers.
    fn flush(&mut self) -> Result<Flushed, LogError> {
        let (bytes, began) = (self.log.staged_bytes(), Instant::now());
        let syncing = self.sync_spans(bytes);
        let flushed = self.log.flush(&self.acceptor);
        drop(syncing);
        match flushed {
            Ok(()) => {
                if bytes > 0 {
                    self.synced(bytes, began.elapsed());
                }
                self.publish();
                let proof = Persisted::assert_synced();
                self.group.drain(..).for_each(|waiting| waiting.answer(proof));
                Ok(Flushed::Synced)
            }
            Err(DiskError::NoSpace { path }) => {
                let no_space = self.found_full(path);
                let acceptor = self.acceptor.id();
                self.group.drain(..).for_each(|waiting| waiting.refuse(acceptor, &no_space));
                (self.log, self.acceptor) = self.log.reopen(self.limits)?;
                self.publish();
                Ok(Flushed::Refused(no_space))
            }
            Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error.into()),
        }
    }

    /// A span for each recorded request that waits for the sync; they last as long as it.
    fn sync_spans(&self, bytes: usize) -> Vec<Span> {
        if bytes == 0 {
            return Vec::new();
        }
        let requests = self.group.len();
        self.group.iter().filter_map(|waiting| waiting.sync_span(bytes, requests)).collect()
    }

    fn synced(&mut self, bytes: usize, took: Duration) {
        self.syncs.count += 1;
        self.syncs.time += took;
        self.measured.synced(bytes, self.group.len(), took);
    }

    fn publish(&mut self) {
        let LastHeard { leader, stranger } = std::mem::take(&mut self.heard);
        self.published.send_modify(|durable| {
            durable.update(&self.acceptor);
            (durable.log_bytes, durable.log_segments) = (self.log.bytes(), self.log.segments());
            durable.syncs = self.syncs;
            durable.heard = leader.unwrap_or(durable.heard);
            if let Some((at, of)) = stranger {
                (durable.estranged, durable.estranged_in) = (Some(at), Some(of));
            }
            if leader.is_some() {
                durable.estranged = None;
            }
        });
    }
}

/// Says what becomes of the generations, which is seldom.
fn say(record: &Record) {
    match record {
        Record::Sealed(succession) => info!(
            generation = %succession.generation(), begin = %succession.begin(),
            "votes no more: other acceptors follow"
        ),
        Record::Opened(succession) => info!(
            generation = %succession.generation(), begin = %succession.begin(),
            "votes in this generation of the acceptors"
        ),
        Record::Joined(_) | Record::Promised(_) | Record::Voted { .. } | Record::Trimmed { .. } => {
        }
    }
}
