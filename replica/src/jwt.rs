//! JWTs (RFC 7519): who asks by the word of an outside issuer, and with which policies.
//!
//! ```text
//! --jwt-jwks ─▶ source: a file or a URL, again and again ─▶ keys: the issuer's, as of now
//!                                                             │
//! Authorization: Bearer A.B.C ──▶ check: signature and claims ┴▶ Vouched: who, what, until when
//! ```
//!
//! An issuer says no more than who somebody is and which policies they have; what these allow
//! stands in the replicated state. It is looked at here whether the issuer says so, where the
//! request arrives and by this machine's clock: nothing of it can be looked at where an
//! operation is executed, and so nothing that is executed depends on a clock or on keys.
//!
//! Deliberately absent: keys that a JWT itself names (`jku`, `jwk`, `x5u`), secrets that both
//! sides have (`HS256` and the like), encrypted JWTs, more than one issuer, lists of revoked
//! JWTs (they are to be short-lived; a policy can be taken away at once).

mod args;
mod check;
mod counts;
mod forged;
mod keys;
mod source;

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;
use tokio::time::Instant;

pub(crate) use self::args::JwtArgs;
pub use self::check::{BadJwt, Jwt, Told, Vouched};
pub(crate) use self::counts::KeyCounts;
use self::forged::Forged;
pub use self::keys::Keys;
use self::source::{Looked, Source};

/// Keys are not looked for more often for the sake of those that are not known.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// An issuer, and its keys as of now.
#[derive(Debug)]
pub(crate) struct Issuer {
    told: Told,
    source: Source,
    keys: RwLock<Arc<Keys>>,
    forged: Forged,
    looking: Mutex<Looking>,
    counts: KeyCounts,
}

/// What is known of looking for keys.
#[derive(Debug, Default)]
struct Looking {
    /// When somebody last had it done for the sake of a key.
    asked: Option<Instant>,
    /// What was wrong with what was found last.
    refused: Option<String>,
}

impl Issuer {
    fn new(told: Told, source: Source, counts: KeyCounts) -> Self {
        let (keys, looking) = (RwLock::default(), Mutex::default());
        Self { told, source, keys, forged: Forged::default(), looking, counts }
    }

    /// Whom it vouches for by this JWT, if it does.
    ///
    /// # Errors
    /// Which check failed.
    pub(crate) fn check(&self, jwt: &Jwt) -> Result<Arc<Vouched>, BadJwt> {
        self.keys().check(&self.told, jwt, &self.forged, now_s())
    }

    /// Keeps the keys up to date.
    pub(crate) async fn keep_current(self: Arc<Self>) -> Infallible {
        loop {
            let mut looking = self.looking.lock().await;
            self.look(&mut looking, Looked::IfChanged).await;
            let pause = self.source.pause(looking.refused.is_some());
            drop(looking);
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks for a key that is not known, unless that was done just now.
    #[expect(clippy::disallowed_methods, reason = "the shell reads clocks")]
    pub(crate) async fn look_again(&self) {
        let mut looking = self.looking.lock().await;
        if looking.asked.is_some_and(|asked| asked.elapsed() < LOOK_AGAIN_AFTER) {
            return;
        }
        looking.asked = Some(Instant::now());
        self.look(&mut looking, Looked::Always).await;
    }

    /// What was known stays where anything is wrong with what is found.
    async fn look(&self, looking: &mut Looking, looked: Looked) {
        // What was refused is tried again: it may be that half of it was written.
        let looked = if looking.refused.is_some() { Looked::Always } else { looked };
        let found = self.source.read(looked).await;
        let read = found.and_then(|found| found.map(|bytes| Keys::of(&bytes)).transpose());
        self.counts.looked(&read, now_s());
        let refused = match read {
            Ok(None) => return,
            Ok(Some(keys)) => {
                if looking.refused.is_some() || !self.keys().is_same(&keys) {
                    let source = &self.source;
                    tracing::info!(%source, keys = %keys, "JWTs are held against these keys");
                    self.replace(keys);
                }
                None
            }
            Err(why) => Some(why),
        };
        if let Some(why) = &refused
            && looking.refused != refused
        {
            let source = &self.source;
            if self.keys().is_empty() {
                tracing::warn!(%source, "no JWT is taken until the issuer's keys are read: {why}");
            } else {
                tracing::warn!(%source, "the issuer's former keys stay in use: {why}");
            }
        }
        looking.refused = refused;
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, keys: Keys) {
        let former = self.keys();
        let keys = Arc::new(keys.succeeding(&former));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        former.withdraw(&keys);
    }
}

impl Vouched {
    /// Waits until its time is over, by the wall clock, also where that is set meanwhile; or
    /// until its key is withdrawn.
    pub(crate) async fn over(&self) {
        const LOOK_EVERY: Duration = Duration::from_secs(60);
        let ended = async {
            while let Some(left) = self.left_s(now_s()) {
                tokio::time::sleep(Duration::from_secs(left.max(1)).min(LOOK_EVERY)).await;
            }
        };
        let _either = self.key_withdrawn.run_until_cancelled(ended).await;
    }

    /// Whether its time is over, or its key withdrawn.
    pub(crate) fn is_over(&self) -> bool {
        self.key_withdrawn.is_cancelled() || self.left_s(now_s()).is_none()
    }
}

/// The wall clock, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the shell reads clocks")]
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
pub(crate) mod tests;
