//! The flags.

use std::path::PathBuf;

use super::{Files, TlsError};
use crate::message::Service;

/// What a service is told of TLS. Flatten it into what all services are told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsArgs {
    /// Certificate of this service, followed by those between it and its authority (PEM): the
    /// service listens with TLS. Read again when it changes, as the others are
    #[arg(long, env = "SYNOD_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, env = "SYNOD_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Certificates of the authorities of this cluster's services (PEM): they call each other
    /// with TLS alone, prove who they are, and are held to what each of them may ask
    #[arg(long, env = "SYNOD_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// The files of such a service; none where none was given.
    ///
    /// # Errors
    /// [`TlsError::Incomplete`] where one of them lacks another, [`TlsError::OnlyListens`]
    /// where none of those who call the service could do so.
    pub fn files(&self, service: Service) -> Result<Option<Files>, TlsError> {
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (None, None, None) => Ok(None),
            (Some(_), Some(_), None) if service != Service::Balancer => {
                Err(TlsError::OnlyListens(service))
            }
            (Some(certificate), Some(key), authorities) => Ok(Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                authorities: authorities.clone(),
            })),
            (_, None, _) => Err(TlsError::Incomplete("--tls-key (SYNOD_TLS_KEY)")),
            (None, Some(_), _) => Err(TlsError::Incomplete("--tls-cert (SYNOD_TLS_CERT)")),
        }
    }
}
