//! What is wrong with the files.

use std::path::PathBuf;

use crate::message::Service;

/// A service cannot listen or call with TLS as it is told; starting it again does not help.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A flag lacks another.
    #[error("TLS lacks {0}: a service takes --tls-cert and --tls-key, and maybe --tls-client-ca")]
    Incomplete(&'static str),
    /// A service that others call would take TLS alone, and they speak without.
    #[error(
        "TLS lacks --tls-client-ca (SYNOD_TLS_CLIENT_CA): other services call a {}, and do so \
         with TLS only where all have it; a balancer alone may do without", .0.as_str()
    )]
    OnlyListens(Service),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key.
    #[error("{} holds no private key (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// A certificate among those of authorities may not sign for others.
    #[error(
        "the certificate of {subject:?} in {} is no authority's: it may not sign for others \
         (basicConstraints CA:TRUE)",
        path.display()
    )]
    NoAuthority {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
    },
    /// What a file holds does not read.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A key is not the one of the certificate.
    #[error(
        "the key in {} does not match the certificate in {}", key.display(), certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        certificate: PathBuf,
    },
    /// A certificate does not count any more, or not yet.
    #[error("the certificate in {} {when}", path.display())]
    OutOfTime {
        /// Which.
        path: PathBuf,
        /// Since when, or from when on.
        when: String,
    },
    /// A certificate is not of an authority that the service believes.
    #[error(
        "the certificate in {} is of no authority in {}, so no other service would believe it: \
         {reason}", path.display(), authorities.display()
    )]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// Where the authorities are.
        authorities: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate is not of this service.
    #[error("the certificate in {} is not of this service: {reason}", path.display())]
    NotOwn {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        reason: String,
    },
    /// New files are of another trust domain.
    #[error(
        "the trust domain changes from {domain:?} to {other:?}: that takes a new start of all \
         services"
    )]
    OtherDomain {
        /// That of the cluster.
        domain: Option<String>,
        /// That of the new files.
        other: Option<String>,
    },
}
