//! Authorities and certificates of tests, sound and unsound.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use shared::message::Service;
use shared::tls::{Files, Tls, TlsError};
use tempfile::TempDir;

/// An authority, with a folder for what it issues.
pub(crate) struct Pki {
    pub(crate) folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) uris: Vec<&'a str>,
    /// From now, in seconds; for as long as anybody remembers where it says nothing.
    pub(crate) begins_in: Option<i64>,
    /// From now, in seconds.
    pub(crate) ends_in: i64,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(uri: &'a str) -> Self {
        Self { uris: vec![uri], begins_in: None, ends_in: 365 * 24 * 3_600 }
    }
}

impl Pki {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn issue(&self, name: &str, wanted: &Wanted<'_>) -> Files {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        for uri in &wanted.uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let at = |seconds: i64| {
            let since = i64::try_from(now.as_secs()).unwrap() + seconds;
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(since).unwrap())
        };
        params.not_after = at(wanted.ends_in);
        if let Some(begins_in) = wanted.begins_in {
            params.not_before = at(begins_in);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        self.files(name)
    }

    /// Those of a service that was issued one, which knows the others.
    pub(crate) fn files(&self, name: &str) -> Files {
        Files {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            authorities: Some(self.path("ca.pem")),
        }
    }

    /// A sound one of a service of the cluster.
    pub(crate) fn of_service(&self, service: Service, name: &str) -> Files {
        let uri = format!("spiffe://synod.test/synod/{}/{name}", service.as_str());
        self.issue(name, &Wanted::of(&uri))
    }
}

pub(crate) fn load(
    files: Files,
    service: Service,
    name: &str,
) -> Result<std::sync::Arc<Tls>, TlsError> {
    Tls::load(files, service, &name.parse().unwrap())
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
