//! TLS: how a service proves who it is, and whom it believes.
//!
//! A certificate says by its names (DNS, IP) where a service is reached, which those who call
//! it check, and by a URI (a SPIFFE ID) which service it is, which those whom it calls check:
//! who may ask what stands in one table, [`matrix`].
//!
//! ```text
//! flags ─▶ load: files read and checked ─▶ Tls: what is used now ◀── watch: files that change
//!                                           │ handshake: who calls here
//!                                           └ trust: what this process calls with
//! ```
//!
//! In reading order: `args` (the flags), [`identity`] (who a certificate is of), `load` (files,
//! and what is wrong with them), [`trust`] (calls), `transport` (bytes, plain or not),
//! `handshake` and `caller` (those who call here), `client_name` (as whom they stand in the
//! log), [`matrix`] (what they may), `watch` (files that change), `counts`.
//!
//! Deliberately absent: HTTP/2, sessions that are resumed (each connection proves itself anew,
//! and lives long), revocation lists (certificates are to be short-lived).

mod args;
mod caller;
mod client_name;
mod counts;
mod error;
mod handshake;
pub mod identity;
mod load;
pub mod matrix;
mod transport;
pub mod trust;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use tokio::sync::Semaphore;

pub use args::TlsArgs;
pub use caller::Caller;
pub use client_name::{CLIENT_CERTIFICATE, NAMES_CLIENT, client_named, name_client};
pub(crate) use counts::Counts;
pub use error::TlsError;
pub(crate) use handshake::{Begun, HANDSHAKE};
pub use identity::{Role, ServiceId};
pub use load::Files;
use load::Loaded;
pub(crate) use load::{ends_of, is_over, over};
pub(crate) use matrix::{Who, who_may};
pub(crate) use transport::Transport;
pub use trust::{Calls, Trust};
pub use watch::keep_current;

use crate::base_url::Scheme;
use crate::ids::Name;
use crate::message::Service;

/// Handshakes at once: each takes some ten KiB until it is done.
pub const HANDSHAKES: usize = 1_024;

/// What a service listens and calls with, as of now.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    own: (Service, Name),
    present: RwLock<Arc<Loaded>>,
    trust: Option<Trust>,
    handshakes: Semaphore,
    counts: Arc<Counts>,
}

impl Tls {
    /// Reads the files of the service of this name.
    ///
    /// # Errors
    /// See [`TlsError`]: starting again does not help.
    pub fn load(files: Files, service: Service, name: &Name) -> Result<Arc<Self>, TlsError> {
        let own = (service, name.clone());
        let loaded = Loaded::read(&files, &own)?;
        let trust = loaded.client.clone().zip(loaded.domain());
        let trust = trust.map(|(present, domain)| Trust::of_service(present, domain));
        let (handshakes, counts) = (Semaphore::new(HANDSHAKES), Arc::default());
        let present = RwLock::new(Arc::new(loaded));
        Ok(Arc::new(Self { files, own, present, trust, handshakes, counts }))
    }

    /// How this service calls others: those of its cluster with TLS alone, where it has their
    /// authority's certificate.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.trust.clone().map_or(Calls::Plain, Calls::OnlyTls)
    }

    /// Whether services are known by their certificates, and are held to what they may ask.
    #[must_use]
    pub fn knows_services(&self) -> bool {
        self.trust.is_some()
    }

    /// Reads the files again. What is in use stays where anything is wrong with them, and
    /// connections that are open stay as they are.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = Loaded::read(&self.files, &self.own).and_then(|loaded| {
            let (domain, other) = (self.domain(), loaded.domain().map(str::to_owned));
            if domain == other { Ok(loaded) } else { Err(TlsError::OtherDomain { domain, other }) }
        });
        let loaded = match read {
            Ok(loaded) => loaded,
            Err(error) => {
                self.counts.reload_failed.inc();
                return Err(error);
            }
        };
        if let (Some(trust), Some(client)) = (&self.trust, &loaded.client) {
            trust.replace(Arc::clone(client));
        }
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        self.counts.reloaded.inc();
        Ok(())
    }

    /// The trust domain of the cluster, where services are known by their certificates.
    fn domain(&self) -> Option<String> {
        self.present().domain().map(str::to_owned)
    }

    fn present(&self) -> Arc<Loaded> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.present().server)
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// When what is in use ends, by what it is, in seconds since 1970.
    pub(crate) fn ends(&self) -> Vec<(&'static str, i64)> {
        let present = self.present();
        let authority = present.authority_ends.map(|ends| ("authority", ends));
        [("certificate", present.ends)].into_iter().chain(authority).collect()
    }
}

static LISTENS: AtomicBool = AtomicBool::new(false);

/// The process's service listens with TLS from here on.
pub(crate) fn listens() {
    LISTENS.store(true, Ordering::Relaxed);
}

/// How the process's service is spoken to, as spans say it.
pub(crate) fn own_scheme() -> Scheme {
    if LISTENS.load(Ordering::Relaxed) { Scheme::Https } else { Scheme::Http }
}

/// How a service is spoken to that has, or has not, what TLS takes.
#[must_use]
pub fn scheme(tls: Option<&Arc<Tls>>) -> Scheme {
    if tls.is_some() { Scheme::Https } else { Scheme::Http }
}
