//! What is counted of an issuer's keys.

use shared::metrics::{Counter, Gauge, Metrics, set};

use super::keys::Keys;

/// The metrics; all zero where no JWTs are taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyCounts {
    read: Counter,
    failed: Counter,
    keys: Gauge,
    current_at: Gauge,
}

impl KeyCounts {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let [read, failed] = metrics.counters(
            "synod_replica_jwks_reads_total",
            "How often the keys of the issuer of JWTs were read, or could not be",
            "result",
            ["read", "failed"],
        );
        let keys = metrics
            .gauge("synod_replica_jwks_keys", "Keys of the issuer that JWTs are held against");
        let current_at = metrics.gauge(
            "synod_replica_jwks_current_at_seconds",
            "When the issuer's keys were last known to be these, in seconds since 1970",
        );
        Self { read, failed, keys, current_at }
    }

    /// It was looked for keys, and they were read, are as they were, or could not be had.
    pub(super) fn looked(&self, found: &Result<Option<Keys>, String>, now_s: u64) {
        match found {
            Ok(Some(keys)) => {
                self.read.inc();
                self.keys.set(keys.count());
            }
            Ok(None) => {}
            Err(_why) => {
                self.failed.inc();
                return;
            }
        }
        set(&self.current_at, now_s);
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> (u64, u64, i64) {
        (self.read.get(), self.failed.get(), self.keys.get())
    }
}
