//! Whether a request is let in: by what its client has in flight, by its share of what is
//! left, and by its rate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use governor::clock::Clock;
use shared::problem::Problem;
use shared::telemetry::Seldom;

use super::{Client, Clients, Held, Limits, NOBODY, Reason, Refused, millis};

/// Of the places for requests the last fourth is for clients that hold less than their
/// share. …
pub(super) const KEPT: usize = 4;

/// … While one is alone, it is only one part of so many, for whoever comes to be heard.
const KEPT_ALONE: usize = 64;

/// Who has asked within this time is there.
pub(super) const LATELY: Duration = Duration::from_secs(10);

impl<C: Clock + Clone> Clients<C> {
    /// Lets a request in.
    ///
    /// # Errors
    /// When its client has taken what it may.
    pub(crate) fn admit(&self, client: &Arc<Client<C>>) -> Result<Held<'_, C>, Refused> {
        let now = self.now();
        self.meet(client, now);
        client.use_at(now);
        if client.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.active.fetch_add(1, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let held = Held { clients: self, client: Arc::clone(client) };
        match self.judge(client, now) {
            Ok(()) => Ok(held),
            Err((reason, detail, retry_after)) => {
                drop(held);
                self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
                static SAID: Seldom = Seldom::new();
                if let Some(left_out) = SAID.may() {
                    tracing::warn!(left_out, "a client is refused (429): {detail}");
                }
                let pause = client.pause(now);
                let problem = Problem::too_many_requests(detail).with_retry_after(retry_after);
                Err(Refused { reason, problem, pause })
            }
        }
    }

    /// Notes whether somebody else has asked lately.
    fn meet(&self, client: &Client<C>, now: Duration) {
        let now = millis(now);
        let before = self.latest.swap(client.number, Ordering::Relaxed);
        let asked_at = self.latest_at.swap(now, Ordering::Relaxed);
        if ![NOBODY, client.number].contains(&before)
            && now.saturating_sub(asked_at) < millis(LATELY)
        {
            self.two_until.store(now + millis(LATELY), Ordering::Relaxed);
        }
    }

    /// Whether nobody but one client has asked lately: it takes nothing from anybody.
    fn is_alone(&self, now: Duration) -> bool {
        self.two_until.load(Ordering::Relaxed) <= millis(now)
    }

    /// Of a request that is counted already.
    fn judge(&self, client: &Client<C>, now: Duration) -> Result<(), (Reason, String, Duration)> {
        const SOON: Duration = Duration::from_secs(1);
        let Limits { requests, places, .. } = self.limits;
        let own = client.in_flight.load(Ordering::Relaxed);
        if let Some(most) = requests.filter(|most| own > *most) {
            let detail = format!("{most} requests at once for each client (--client-requests)");
            return Err((Reason::Requests, detail, SOON));
        }
        let share = (places / (self.active.load(Ordering::Relaxed) + 1)).max(1);
        let kept = if self.is_alone(now) { (places / KEPT_ALONE).max(1) } else { places / KEPT };
        let is_tight = self.in_flight.load(Ordering::Relaxed) > places - kept;
        if is_tight && places >= KEPT && own > share {
            let detail = format!(
                "this client has its share of the {places} places for requests \
                 (--max-requests), of which the last {kept} are for others"
            );
            return Err((Reason::Share, detail, SOON));
        }
        match (&client.bucket, self.limits.rate) {
            (Some(bucket), Some(rate)) => bucket.check().map_err(|not_until| {
                let wait = not_until.wait_time_from(self.clock.now());
                let detail = format!("{rate} requests a second for each client (--client-rate)");
                (Reason::Rate, detail, wait)
            }),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl<C: Clock> Drop for Held<'_, C> {
    fn drop(&mut self) {
        self.clients.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.client.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.clients.active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
