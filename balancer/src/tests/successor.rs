//! A replica that becomes primary when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::problem::{Outcome, Problem};

use super::fake::{Fake, Reply, Seen};

/// How long nobody can answer.
pub(super) const GAP: Duration = Duration::from_millis(300);

pub(super) fn no_primary() -> Reply {
    Reply::problem(&Problem::unavailable("no primary is known").with_outcome(Outcome::NotApplied))
}

/// A backup that knows no primary until it becomes one.
pub(super) struct Successor {
    pub(super) fake: Fake,
    takes: Arc<AtomicBool>,
}

impl Successor {
    pub(super) async fn start(number: u64) -> Self {
        let takes = Arc::new(AtomicBool::new(false));
        let is_primary = Arc::clone(&takes);
        let script = move |_: &Seen| {
            if is_primary.load(Ordering::SeqCst) { Reply::ok("done") } else { no_primary() }
        };
        Self { fake: Fake::start(number, script).await, takes }
    }

    /// As a program does that keeps what became of requests.
    pub(super) fn know_names(self) -> Self {
        Self { fake: self.fake.know_names(), ..self }
    }

    pub(super) fn take_over(&self) {
        self.takes.store(true, Ordering::SeqCst);
        self.fake.set_role("primary", 2);
    }
}
