//! Files read and checked: what a service listens and calls with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{Error, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer as _, Validity, X509Certificate};

use super::error::TlsError;
use super::identity::{Role, ServiceId};
use super::trust::{self, CallsWith};
use crate::ids::Name;
use crate::message::Service;

/// Where they are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The service's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of the authorities of the cluster's services.
    pub authorities: Option<PathBuf>,
}

impl Files {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.authorities).map(PathBuf::as_path)
    }
}

/// What they hold.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    /// What services of the cluster are called with.
    pub(super) client: Option<Arc<CallsWith>>,
    /// Who this service is to them.
    pub(super) id: Option<ServiceId>,
    /// Until when the certificate counts, in seconds since 1970 …
    pub(super) ends: i64,
    /// … and the first of the authorities'.
    pub(super) authority_ends: Option<i64>,
}

impl Loaded {
    pub(super) fn read(files: &Files, own: &(Service, Name)) -> Result<Self, TlsError> {
        let path = &files.certificate;
        let chain = certificates(path)?;
        let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate(path.clone()))?;
        let ends = check_time(path, leaf)?;
        let key = private_key(&files.key)?;
        let authorities = files.authorities.as_deref().map(Authorities::of_services).transpose()?;
        let id = authorities.as_ref().map(|_| own_id(path, leaf, own)).transpose()?;
        let client = match &authorities {
            Some(authorities) => {
                let own = Some((chain.clone(), key.clone_key()));
                let client = trust::calls_with(Arc::clone(&authorities.roots), own);
                Some(client.map_err(|error| refused(files, &error))?)
            }
            None => None,
        };
        if let Some(authorities) = &authorities {
            authorities.check_own(files, &chain)?;
        }
        let server = server_config(authorities.as_ref(), chain, key);
        let server = server.map_err(|error| refused(files, &error))?;
        let authority_ends = authorities.map(|authorities| authorities.ends);
        Ok(Self { server: Arc::new(server), client, id, ends, authority_ends })
    }

    /// The trust domain.
    pub(super) fn domain(&self) -> Option<&str> {
        self.id.as_ref().map(|id| id.domain.as_str())
    }
}

/// Those whose word is taken for who somebody is.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    /// Until when the first of them counts, in seconds since 1970.
    ends: i64,
}

impl Authorities {
    /// Reads those by whom services believe each other: what is to sign for others must say that
    /// it may, so that a service's own certificate, put there by mistake, is none of them.
    pub(super) fn of_services(path: &Path) -> Result<Self, TlsError> {
        let authorities = Self::read(path)?;
        for certificate in certificates(path)? {
            let parsed = X509Certificate::from_der(&certificate);
            let (_, parsed) = parsed.map_err(|error| malformed(path, error))?;
            if !parsed.is_ca() {
                let subject = parsed.subject().to_string();
                return Err(TlsError::NoAuthority { path: path.to_owned(), subject });
            }
        }
        Ok(authorities)
    }

    /// Reads all of a file. Those whose time is over don't count; one at least must.
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let (mut roots, mut ends, mut too_old) = (RootCertStore::empty(), None, None);
        for certificate in certificates(path)? {
            match check_time(path, &certificate) {
                Ok(own_end) => ends = Some(ends.map_or(own_end, |first: i64| first.min(own_end))),
                Err(error @ TlsError::OutOfTime { .. }) => {
                    too_old = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            roots.add(certificate).map_err(|error| malformed(path, error))?;
        }
        match (ends, too_old) {
            (Some(ends), _) => Ok(Self { roots: Arc::new(roots), ends }),
            (None, Some(error)) => Err(error),
            (None, None) => Err(TlsError::NoCertificate(path.to_owned())),
        }
    }
}

impl Authorities {
    /// The service's own certificate must be of one of those that it believes others by, to
    /// be called with and to call with: the others believe by the same.
    fn check_own(&self, files: &Files, chain: &[CertificateDer<'static>]) -> Result<(), TlsError> {
        let untrusted = |error: Error| TlsError::Untrusted {
            path: files.certificate.clone(),
            authorities: files.authorities.clone().unwrap_or_default(),
            reason: error.to_string(),
        };
        let (leaf, between) = chain
            .split_first()
            .ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let at = UnixTime::now();
        let verifier = self.verifier().map_err(untrusted)?;
        verifier.verify_client_cert(leaf, between, at).map_err(untrusted)?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(untrusted)?;
        let algorithms = trust::provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, between, at, algorithms)
            .map_err(untrusted)
    }

    /// Clients of the API need no certificate; what services alone may ask is looked at with
    /// the request.
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), trust::provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::General(error.to_string()))
    }
}

fn server_config(
    authorities: Option<&Authorities>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()?;
    let builder = match authorities {
        Some(authorities) => builder.with_client_cert_verifier(authorities.verifier()?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![trust::HTTP_1_1.to_vec()];
    // A certificate is looked at on each connection: none is known from an earlier one, on
    // which it may have counted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What a configuration is refused for, in words.
fn refused(files: &Files, error: &Error) -> TlsError {
    if let Error::InconsistentKeys(_) = error {
        return TlsError::Mismatch {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        };
    }
    let is_certificates = matches!(error, Error::InvalidCertificate(_));
    malformed(if is_certificates { &files.certificate } else { &files.key }, error)
}

/// The certificate must be of this service, by its role and name.
fn own_id(
    path: &Path,
    leaf: &CertificateDer<'_>,
    (service, name): &(Service, Name),
) -> Result<ServiceId, TlsError> {
    let not_own = |reason: String| TlsError::NotOwn { path: path.to_owned(), reason };
    let expected = format!("spiffe://TRUST-DOMAIN/synod/{}/{name}", service.as_str());
    let id = ServiceId::of(leaf).ok_or_else(|| {
        not_own(format!("with --tls-client-ca it must name {expected}, and no other spiffe:// URI"))
    })?;
    if id.role == Role::Service(*service) && id.name == *name {
        Ok(id)
    } else {
        Err(not_own(format!("it is of {id}, and must be of {expected}")))
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| malformed(path, error))?;
    if found.is_empty() { Err(TlsError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            TlsError::NoKey(path.to_owned())
        } else {
            malformed(path, error)
        }
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })
}

fn malformed(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError::Malformed { path: path.to_owned(), reason: reason.to_string() }
}

/// Whether a certificate counts now; until when, in seconds since 1970.
fn check_time(path: &Path, certificate: &CertificateDer<'_>) -> Result<i64, TlsError> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, certificate) = parsed.map_err(|error| malformed(path, error))?;
    let Validity { not_before, not_after } = certificate.validity();
    let now = now();
    let out_of_time = |when| Err(TlsError::OutOfTime { path: path.to_owned(), when });
    if now > not_after.timestamp() {
        out_of_time(format!("has expired: it counted until {not_after}"))
    } else if now < not_before.timestamp() {
        out_of_time(format!("does not count before {not_before}"))
    } else {
        Ok(not_after.timestamp())
    }
}

/// Until when a certificate counts, in seconds since 1970; none where that cannot be read.
pub(crate) fn ends_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Whether such a time is over; never, where there is no end.
pub(crate) fn is_over(ends: Option<i64>) -> bool {
    ends.is_some_and(|ends| now() > ends)
}

/// Waits until such a time is over, by the wall clock: also where that is set meanwhile.
/// Forever, where there is no end.
pub(crate) async fn over(ends: Option<i64>) {
    const LOOK_EVERY: Duration = Duration::from_secs(60);
    let Some(ends) = ends else { return std::future::pending().await };
    while let Ok(left) = u64::try_from(ends - now()) {
        tokio::time::sleep(Duration::from_secs(left.max(1)).min(LOOK_EVERY)).await;
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "certificates count by the wall clock")]
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
