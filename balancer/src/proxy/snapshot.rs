//! Requests for a snapshot: a replica makes a file before it answers, which takes as long as
//! the state is large. So the answer is waited for beyond the request's own time, and no
//! other replica is asked meanwhile: it would make one more. The file itself is a stream as
//! any other. So it is where the replicas' states are compared: each reads all of its own.

use std::time::Duration;

use http::uri::PathAndQuery;
use shared::deadline::SNAPSHOT_WAIT;

/// Whether a snapshot is asked for.
pub(super) fn is_snapshot(path: &PathAndQuery) -> bool {
    path.path() == "/v1/snapshot"
}

/// Whether the replicas' states are to be compared.
fn is_verification(path: &PathAndQuery) -> bool {
    path.path() == "/v1/cluster/verify"
}

/// How long such an answer may take to begin, on top of the time that a request has.
pub(super) fn wait(path: &PathAndQuery) -> Duration {
    if is_snapshot(path) || is_verification(path) { SNAPSHOT_WAIT } else { Duration::ZERO }
}
