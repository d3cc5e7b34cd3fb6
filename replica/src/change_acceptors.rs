//! An operator wants other acceptors (`http/cluster/acceptors.rs`): only the leading coordinator
//! changes them, so it is asked.

use shared::client::CallError;
use shared::deadline::Deadline;
use shared::ids::{Generation, Name};
use shared::message::{
    AcceptorsRefused, AcceptorsReply, AcceptorsRequest, Seated, WantedAcceptors,
};

use crate::driver::Handle;
use crate::leading::{Leading, granted};

/// Why the acceptors are not others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    /// Nobody leads, as far as this replica knows.
    #[error("no coordinator leads")]
    NoLeader,
    /// The leader says why.
    #[error(transparent)]
    Refused(#[from] AcceptorsRefused),
    /// The change was begun, and the leader that did so is none any more, or the time is over.
    #[error("whether the acceptors are others is not known yet: look at GET /v1/cluster")]
    Unresolved,
    /// The leader gave no answer.
    #[error("the leading coordinator {leader} gives no answer: {error}")]
    NoAnswer {
        /// Its name.
        leader: Name,
        /// What came instead.
        error: CallError,
    },
}

/// What the acceptors are by now.
#[derive(Debug)]
pub(crate) struct ChangedAcceptors {
    /// Who they are.
    pub(crate) seated: Seated,
    /// The services that have not shown in time that they know.
    pub(crate) not_heard: Vec<Name>,
}

/// Has the leading coordinator change the acceptors, and waits until one leads with the new
/// ones and the services know them.
pub(crate) async fn ask_for_acceptors(
    driver: &Handle,
    base: Option<Generation>,
    wanted: WantedAcceptors,
    deadline: Deadline,
) -> Result<ChangedAcceptors, NotChanged> {
    let leading = Leading::of(driver.published().status).ok_or(NotChanged::NoLeader)?;
    let Leading { cluster, name: leader, client } = leading;
    let request = AcceptorsRequest { cluster, base, wanted };
    let (granted, remaining) = granted(deadline);
    let reply = client.acceptors(&request, granted, remaining).await;
    let reply = reply.map_err(|error| NotChanged::NoAnswer { leader, error })?;
    match reply.for_cluster(cluster).map_err(|_| NotChanged::NoLeader)? {
        AcceptorsReply::Changed { seated, not_heard } => Ok(ChangedAcceptors { seated, not_heard }),
        AcceptorsReply::NotLeading => Err(NotChanged::NoLeader),
        AcceptorsReply::Refused(why) => Err(why.into()),
        AcceptorsReply::Unresolved => Err(NotChanged::Unresolved),
    }
}
