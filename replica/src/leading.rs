//! The leading coordinator, asked for what only it changes (`switch_over`, `change_acceptors`).

use std::time::Duration;

use shared::client::CoordinatorClient;
use shared::config::BaseUrl;
use shared::deadline::Deadline;
use shared::ids::{ClusterId, Name};

use crate::replica::status::Status;

/// What the coordinator is granted is so much less than what is waited for its answer, or
/// half of that, so that it can say what it did not come to.
pub(crate) const KEPT_BACK: Duration = Duration::from_millis(200);

/// Whoever leads, as far as this replica knows.
pub(crate) struct Leading {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// The coordinator's name.
    pub(crate) name: Name,
    /// The way to it.
    pub(crate) client: CoordinatorClient,
}

impl Leading {
    /// None where nobody does.
    pub(crate) fn of(status: Status) -> Option<Self> {
        let (cluster, leader) = (status.cluster?, status.leader?.member);
        let url: BaseUrl = leader.url.parse().ok()?;
        Some(Self { cluster, name: leader.name, client: CoordinatorClient::new(url) })
    }
}

/// How long it is granted, and how long its answer is waited for.
pub(crate) fn granted(deadline: Deadline) -> (Duration, Duration) {
    let remaining = deadline.remaining();
    (remaining - KEPT_BACK.min(remaining / 2), remaining)
}
