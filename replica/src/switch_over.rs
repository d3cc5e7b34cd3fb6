//! Another view on request: an operator wants another primary (`http/cluster/primary.rs`)
//! or one replica out for good (`http/cluster/removal.rs`), or this replica is about to
//! end and lets go first.
//!
//! Only the leading coordinator proposes views, so it is asked. The view ends what this
//! replica does as primary wherever it stands in the log: what is executed behind it is
//! void, so its clients hear that it was not applied, and the balancer sends it to the new
//! primary.
#![expect(clippy::disallowed_methods, reason = "the shell waits in real time")]

use std::time::Duration;

use shared::client::CallError;
use shared::deadline::Deadline;
use shared::ids::{Instance, Name};
use shared::message::{PrimaryRefused, PrimaryReply, PrimaryRequest, View, WantedPrimary};
use tokio::time::{Instant, sleep};

use crate::driver::{Handle, NotReleased};
use crate::leading::{KEPT_BACK, Leading, granted};
use crate::machine::state::RemovedReplica;
use crate::replica::event::Role;
use crate::replica::status::Status;

/// A primary that is told to end waits so long at most for another one to take over: some
/// hundred times as long as that takes.
const HAND_OVER: Duration = Duration::from_secs(2);
/// But no longer than this for a coordinator that leads: more than an election takes after a
/// leader has ended, and where all services are told to end there is none any more.
const LEADER_SEARCH: Duration = Duration::from_millis(500);
/// Before it asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a removal is asked for that another change of the view comes before.
const ATTEMPTS: usize = 3;

/// Why the view is not another one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    /// Nobody leads, as far as this replica knows.
    #[error("no coordinator leads")]
    NoLeader,
    /// The leader knows less of the view than this replica, which is a matter of heartbeats.
    #[error("{0} is in the view, and the leading coordinator has not heard of that yet")]
    NotHeard(Name),
    /// What is chosen by now is not known here.
    #[error("whether it was done before is not known: {0}")]
    NotCurrent(#[from] NotReleased),
    /// The leader says why.
    #[error(transparent)]
    Refused(#[from] PrimaryRefused),
    /// The leader proposes no more for now.
    #[error("the leading coordinator proposes no more: {0}")]
    Overloaded(String),
    /// A view was proposed, and the leader that did so is none any more.
    #[error("whether the view was chosen is not known: look at GET /v1/cluster")]
    Unresolved,
    /// A view was proposed, and nobody has told in time that it serves.
    #[error("the view does not serve yet after {0:?}: look at GET /v1/cluster")]
    Late(Duration),
    /// The leader gave no answer.
    #[error("the leading coordinator {leader} gives no answer: {error}")]
    NoAnswer {
        /// Its name.
        leader: Name,
        /// What came instead.
        error: CallError,
    },
}

impl NotChanged {
    /// Whether to ask again soon may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(PrimaryRefused::ChangeUnderWay | PrimaryRefused::Overtaken)
            | Self::NoLeader
            | Self::NotHeard(_)
            | Self::NotCurrent(_)
            | Self::Overloaded(_)
            | Self::Unresolved
            | Self::Late(_)
            | Self::NoAnswer { .. } => true,
            Self::Refused(
                PrimaryRefused::Unknown { .. }
                | PrimaryRefused::NotInView { .. }
                | PrimaryRefused::Unable { .. }
                | PrimaryRefused::NobodyAble { .. }
                | PrimaryRefused::Last { .. }
                | PrimaryRefused::TooFewCopies { .. }
                | PrimaryRefused::LogTooOld { .. },
            ) => false,
        }
    }

    /// Whether nobody was there to be asked.
    fn is_leaderless(&self) -> bool {
        match self {
            Self::NoLeader | Self::NoAnswer { .. } => true,
            Self::NotHeard(_)
            | Self::NotCurrent(_)
            | Self::Refused(_)
            | Self::Overloaded(_)
            | Self::Unresolved
            | Self::Late(_) => false,
        }
    }
}

/// Has the leading coordinator propose a view with this primary, and waits until it is
/// executed, here too if the time allows it.
pub(crate) async fn make_primary(
    driver: &Handle,
    replica: Name,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    ask_for_primary(driver, WantedPrimary::Replica(replica), deadline).await
}

/// The same by what is wanted of the primary.
async fn ask_for_primary(
    driver: &Handle,
    wanted: WantedPrimary,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    let view = ask_for_view(driver, wanted, deadline).await?;
    // The view is executed all the same.
    let _late = executed_here(driver, &view, deadline).await;
    Ok(view)
}

/// Has the leading coordinator propose a view without a replica, and waits until it is
/// executed here: the state then says that it is out for good. Where it was before, nothing
/// is done: whoever had no answer may ask again.
pub(crate) async fn take_out(
    driver: &Handle,
    removed: &Name,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    for _ in 1..ATTEMPTS {
        match take_out_once(driver, removed, deadline).await {
            // It may have been this very change, asked for by somebody else.
            Err(NotChanged::Refused(PrimaryRefused::Overtaken)) => {}
            ended => return ended,
        }
    }
    take_out_once(driver, removed, deadline).await
}

async fn take_out_once(
    driver: &Handle,
    removed: &Name,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    let status = current(driver, deadline).await?;
    let out_since = removal_in(&status, removed).map(|found| found.epoch);
    let wanted = WantedPrimary::Without { removed: removed.clone(), out_since };
    let view = match ask_for_view(driver, wanted, deadline).await {
        Err(NotChanged::Refused(PrimaryRefused::Unknown { .. }))
            if is_in_view(&status, removed) =>
        {
            return Err(NotChanged::NotHeard(removed.clone()));
        }
        Err(NotChanged::Refused(why @ PrimaryRefused::Unknown { .. })) => {
            return without(&status, removed).ok_or_else(|| why.into());
        }
        asked => asked?,
    };
    let status = executed_here(driver, &view, deadline).await?;
    match removal_in(&status, removed) {
        Some(found) if found.epoch == view.epoch => Ok(view),
        // Another view of that epoch came first.
        Some(_) | None => Err(PrimaryRefused::Overtaken.into()),
    }
}

/// The state once all that is chosen by now is executed here, where somebody leads.
async fn current(driver: &Handle, deadline: Deadline) -> Result<Status, NotChanged> {
    if driver.published().status.leader.is_none() {
        return Err(NotChanged::NoLeader);
    }
    driver.read(deadline).await?;
    // What a read waits for is published right after its answer: before the next one.
    driver.read(deadline).await?;
    Ok(driver.published().status)
}

fn removal_in<'a>(status: &'a Status, replica: &Name) -> Option<&'a RemovedReplica> {
    status.removed.iter().find(|found| found.replica == *replica)
}

fn is_in_view(status: &Status, replica: &Name) -> bool {
    status.view.as_ref().is_some_and(|view| view.contains(replica))
}

/// The present view, if one of that name was taken out and no other one has joined.
fn without(status: &Status, replica: &Name) -> Option<View> {
    removal_in(status, replica)?;
    status.view.clone().filter(|view| !view.contains(replica))
}

async fn executed_here(
    driver: &Handle,
    view: &View,
    deadline: Deadline,
) -> Result<Status, NotChanged> {
    let mut published = driver.watch();
    let executed = published.wait_for(|published| published.status.epoch >= view.epoch);
    match deadline.bound(executed).await {
        Ok(Ok(published)) => Ok(published.status.clone()),
        Ok(Err(_ended)) => Err(NotChanged::Unresolved),
        Err(_late) => Err(NotChanged::Late(deadline.timeout())),
    }
}

/// Has the leading coordinator propose a view, and waits until its primary has executed it. A view
/// that is under way for another reason is over in a moment: this one comes after it.
async fn ask_for_view(
    driver: &Handle,
    wanted: WantedPrimary,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    loop {
        match ask_once(driver, wanted.clone(), deadline).await {
            Err(NotChanged::Refused(PrimaryRefused::ChangeUnderWay))
                if deadline.remaining() > PAUSE + KEPT_BACK =>
            {
                sleep(PAUSE).await;
            }
            settled => return settled,
        }
    }
}

async fn ask_once(
    driver: &Handle,
    wanted: WantedPrimary,
    deadline: Deadline,
) -> Result<View, NotChanged> {
    let leading = Leading::of(driver.published().status).ok_or(NotChanged::NoLeader)?;
    let Leading { cluster, name: leader, client } = leading;
    let request = PrimaryRequest { cluster, wanted };
    let (granted, remaining) = granted(deadline);
    let reply = client.primary(&request, granted, remaining).await;
    let reply = reply.map_err(|error| NotChanged::NoAnswer { leader, error })?;
    match reply.for_cluster(cluster).map_err(|_| NotChanged::NoLeader)? {
        PrimaryReply::Executed(view) => Ok(view),
        PrimaryReply::NotLeading => Err(NotChanged::NoLeader),
        PrimaryReply::Refused(why) => Err(why.into()),
        PrimaryReply::Overloaded { limit } => Err(NotChanged::Overloaded(limit)),
        PrimaryReply::Unresolved if deadline.remaining() <= remaining - granted => {
            Err(NotChanged::Late(deadline.timeout()))
        }
        PrimaryReply::Unresolved => Err(NotChanged::Unresolved),
    }
}

/// Before this process ends: has another replica become primary if this one is, and lets the
/// leader know in any case that it is none to choose.
pub(crate) async fn hand_over(driver: &Handle, (name, instance): (&Name, Instance)) {
    let (began, deadline) = (Instant::now(), Deadline::after(HAND_OVER));
    loop {
        let was_primary = match driver.published().status.role {
            Role::Primary => true,
            Role::Backup | Role::Waiting => false,
        };
        let wanted = WantedPrimary::Another { than: name.clone(), instance };
        let why = match ask_for_primary(driver, wanted, deadline).await {
            Ok(view) if was_primary => {
                tracing::info!(primary = %view.primary, epoch = %view.epoch, "{} takes over", view.primary);
                return;
            }
            Ok(_) => return,
            Err(why) => why,
        };
        let patience = if why.is_leaderless() { LEADER_SEARCH } else { HAND_OVER };
        if !was_primary {
            return;
        }
        if !why.may_pass() || began.elapsed() + PAUSE >= patience {
            tracing::warn!("ends as primary, for nobody takes over: {why}");
            return;
        }
        sleep(PAUSE).await;
    }
}
