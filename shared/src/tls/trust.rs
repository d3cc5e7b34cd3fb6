//! What a process calls others with: whom it believes to be whom, and by what they know it.

use std::path::Path;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Error, RootCertStore};

use super::error::TlsError;
use super::identity::{Role, ServiceId};
use super::load::{Authorities, certificates, ends_of, private_key};
use crate::base_url::{BaseUrl, Scheme};
use crate::message::Service;

/// The one protocol that is spoken in TLS here (ALPN).
pub(super) const HTTP_1_1: &[u8] = b"http/1.1";

/// The authorities that are believed, and one's own certificate. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Trust {
    present: Arc<RwLock<Arc<CallsWith>>>,
    /// Whoever is called must be a service of this trust domain; whoever has the name that was
    /// called, where there is none.
    domain: Option<Arc<str>>,
}

/// What calls are made with.
#[derive(Debug)]
pub(crate) struct CallsWith {
    pub(crate) config: Arc<ClientConfig>,
    /// Until when one's own certificate counts, in seconds since 1970; none where none is shown.
    pub(crate) ends: Option<i64>,
}

impl Trust {
    fn new(present: Arc<CallsWith>) -> Self {
        Self { present: Arc::new(RwLock::new(present)), domain: None }
    }

    /// That of a service, which believes services of its own trust domain alone.
    pub(super) fn of_service(present: Arc<CallsWith>, domain: &str) -> Self {
        Self { domain: Some(domain.into()), ..Self::new(present) }
    }

    /// Whoever has a certificate of an authority in the file (PEM) is believed; nothing is
    /// shown to them, or the certificate and key in these two files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn of_files(authorities: &Path, own: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let roots = Authorities::read(authorities)?.roots;
        let shown = own.map(|(chain, key)| Ok((certificates(chain)?, private_key(key)?)));
        let present = calls_with(roots, shown.transpose()?).map_err(|error| match own {
            Some((certificate, key)) if matches!(error, Error::InconsistentKeys(_)) => {
                TlsError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() }
            }
            _ => TlsError::Malformed {
                path: own.map_or(authorities, |(certificate, _)| certificate).to_owned(),
                reason: error.to_string(),
            },
        })?;
        Ok(Self::new(present))
    }

    /// Connections that are made from now on are made so.
    pub(super) fn replace(&self, present: Arc<CallsWith>) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = present;
    }

    pub(crate) fn present(&self) -> Arc<CallsWith> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Trust {
    /// Whether whoever proved to have this certificate is who was called: a service of this
    /// role, or of any.
    ///
    /// # Errors
    /// Who it is instead, in words.
    pub(crate) fn check(
        &self,
        shown: Option<&CertificateDer<'_>>,
        called: Option<Service>,
    ) -> Result<(), String> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let id = shown.and_then(|certificate| ServiceId::of(certificate));
        let is_called = |id: &ServiceId| match (id.role, called) {
            (Role::Service(role), Some(called)) => role == called,
            (Role::Service(_), None) => true,
            (Role::Operator, _) => false,
        };
        match id {
            Some(id) if id.domain == **domain && is_called(&id) => Ok(()),
            id => {
                let who = id.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
                let what = called.map_or("a service", in_words);
                Err(format!("its certificate is of {who}, not of {what} of {domain}"))
            }
        }
    }
}

fn in_words(service: Service) -> &'static str {
    match service {
        Service::Acceptor => "an acceptor",
        Service::Coordinator => "a coordinator",
        Service::Replica => "a replica",
        Service::Balancer => "a balancer",
    }
}

/// How a process calls others.
#[derive(Clone, Debug, Default)]
pub enum Calls {
    /// Without TLS.
    #[default]
    Plain,
    /// As the URL says.
    AsSaid(Trust),
    /// With TLS alone.
    OnlyTls(Trust),
}

static OF_PROCESS: OnceLock<Calls> = OnceLock::new();

impl Calls {
    /// Has all services that this process calls from now on called so. To be called before
    /// the first call; of two the first stays.
    pub fn set_of_process(self) {
        let _stays = OF_PROCESS.set(self);
    }

    /// How this process calls others: without TLS, where nothing else was said.
    #[must_use]
    pub fn of_process() -> Self {
        OF_PROCESS.get().cloned().unwrap_or_default()
    }

    /// What to call a URL with: nothing, where without TLS.
    ///
    /// # Errors
    /// Where it cannot be called; why, in words.
    pub fn to(&self, url: &BaseUrl) -> Result<Option<&Trust>, String> {
        match (url.scheme(), self) {
            (Scheme::Http, Self::Plain | Self::AsSaid(_)) => Ok(None),
            (Scheme::Https, Self::AsSaid(trust) | Self::OnlyTls(trust)) => Ok(Some(trust)),
            (Scheme::Https, Self::Plain) => Err(format!(
                "{url} takes TLS, and nobody said whose certificates to believe \
                 (--tls-client-ca of a service, --ca of a client)"
            )),
            (Scheme::Http, Self::OnlyTls(_)) => Err(format!(
                "{url} is without TLS, and this service calls others with TLS alone \
                 (--tls-client-ca): it must be https://"
            )),
        }
    }
}

/// The cryptography that is used.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static RING: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&RING)
}

/// A certificate, with those between it and its authority, and its key.
pub(super) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

pub(super) fn calls_with(
    roots: Arc<RootCertStore>,
    own: Option<OwnCertificate>,
) -> Result<Arc<CallsWith>, Error> {
    let ends = own.as_ref().and_then(|(chain, _key)| ends_of(chain.first()?));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(CallsWith { config: Arc::new(config), ends }))
}
