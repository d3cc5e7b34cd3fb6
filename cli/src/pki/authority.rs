//! The authority: what the certificates say that it issues.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use shared::ids::Name;
use shared::tls::{Role, ServiceId};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::X509Certificate;

use super::folder::{Readers, read, write};

/// The trust domain where nothing else is said.
pub(crate) const DOMAIN: &str = "synod.internal";
/// How long a certificate counts, in days, where nothing else is said …
pub(super) const DAYS: u32 = 90;
/// … and at most.
pub(super) const MAX_DAYS: i64 = 3_650;
/// How long an authority counts, in days.
const AUTHORITY_DAYS: u32 = 3_650;
/// A certificate counts from so long before it was issued: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3_600);
/// A certificate of `synod up` is renewed when so much of its time is left.
const RENEWED_BEFORE: Duration = Duration::from_secs(30 * DAY);

const DAY: u64 = 24 * 3_600;

/// By what somebody is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) dns: Vec<String>,
    pub(crate) ip: Vec<IpAddr>,
}

impl Names {
    /// Of a service of this machine.
    pub(crate) fn of_loopback() -> Self {
        let ip = ["127.0.0.1", "::1"].map(|ip| ip.parse().expect("an address"));
        Self { dns: vec![String::from("localhost")], ip: ip.to_vec() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ip.is_empty()
    }
}

/// An authority in its folder.
pub(crate) struct Authority {
    folder: PathBuf,
    domain: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one; the folder is made where it is missing.
    pub(crate) fn create(folder: &Path, domain: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        if certificate.exists() || key.exists() {
            bail!("there is an authority in {} already", folder.display());
        }
        let mut params = params(&format!("Synod authority of {domain}"), AUTHORITY_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // As SPIFFE has it of authorities (X.509-SVID, section 3).
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{domain}").try_into()?)];
        let own = KeyPair::generate()?;
        let text = params.self_signed(&own)?.pem();
        write(&key, &own.serialize_pem(), Readers::Owner)?;
        write(&certificate, &text, Readers::All)?;
        Self::open(folder)
    }

    /// The one in the folder.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("ca.pem");
        let text = read(&path).context("`synod pki init` makes an authority")?;
        let (uris, _) = parsed(&path, &text, |certificate| Ok(said(certificate)))?;
        let domain = uris.iter().find_map(|uri| uri.strip_prefix("spiffe://"));
        let domain = domain.with_context(|| format!("{} names no trust domain", path.display()))?;
        let key = KeyPair::from_pem(&read(&folder.join("ca.key"))?)
            .with_context(|| format!("{}/ca.key is no private key", folder.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&text, key)?;
        Ok(Self { folder: folder.to_owned(), domain: domain.to_owned(), issuer })
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// Where its own certificate is.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub(crate) fn certificate_of(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    pub(crate) fn key_of(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    pub(crate) fn has(&self, name: &Name) -> bool {
        self.certificate_of(name).exists()
    }

    /// All that have a certificate in the folder.
    pub(crate) fn names(&self) -> anyhow::Result<Vec<Name>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            let file = file?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".pem"));
            names.extend(name.filter(|name| *name != "ca").and_then(|name| name.parse().ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Issues a certificate, with a new key, in place of the former one.
    pub(crate) fn issue(&self, id: &ServiceId, names: &Names, days: u32) -> anyhow::Result<()> {
        if id.name.as_str() == "ca" {
            bail!("ca.pem is the authority's own: take another name");
        }
        let mut params = params(id.name.as_str(), days)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let mut said = vec![SanType::URI(id.to_string().try_into()?)];
        for dns in &names.dns {
            let host = dns.as_str().try_into().with_context(|| format!("{dns:?} is no host"))?;
            said.push(SanType::DnsName(host));
        }
        said.extend(names.ip.iter().copied().map(SanType::IpAddress));
        params.subject_alt_names = said;
        let key = KeyPair::generate()?;
        let text = params.signed_by(&key, &self.issuer)?.pem();
        // A service that reads between the two finds that they don't match, keeps what it
        // has, and looks again.
        write(&self.key_of(&id.name), &key.serialize_pem(), Readers::Owner)?;
        write(&self.certificate_of(&id.name), &text, Readers::All)
    }

    /// Issues a certificate anew, for the names that it has.
    pub(crate) fn renew(&self, name: &Name, days: u32) -> anyhow::Result<()> {
        let path = self.certificate_of(name);
        let (uris, names) = parsed(&path, &read(&path)?, |certificate| Ok(said(certificate)))?;
        let id = uris.iter().find_map(|uri| uri.parse::<ServiceId>().ok());
        let id = id.with_context(|| format!("{} names no service", path.display()))?;
        self.issue(&id, &names, days)
    }

    /// Sees to it that a service of this machine has a certificate, which counts for long
    /// enough. Whether one was issued.
    pub(crate) fn ensure(&self, role: Role, name: &Name) -> anyhow::Result<bool> {
        let path = self.certificate_of(name);
        let is_due = !self.has(name) || {
            let ends = parsed(&path, &read(&path)?, |certificate| {
                Ok(certificate.validity().not_after.timestamp())
            })?;
            ends < i64::try_from((now() + RENEWED_BEFORE).as_secs())?
        };
        if is_due {
            self.issue(&self.id(role, name.clone()), &Names::of_loopback(), DAYS)?;
        }
        Ok(is_due)
    }
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn params(name: &str, days: u32) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    let start = date_time_ymd(1970, 1, 1);
    params.not_before = start + now().saturating_sub(BACKDATED);
    params.not_after = start + (now() + Duration::from_secs(u64::from(days) * DAY));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// Reads a certificate.
fn parsed<T>(
    path: &Path,
    text: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let malformed = || format!("{} is no certificate", path.display());
    let (_, pem) = parse_x509_pem(text.as_bytes()).with_context(malformed)?;
    let certificate = pem.parse_x509().with_context(malformed)?;
    read(&certificate)
}

/// The names in a certificate: its URIs, and by what its owner is reached.
fn said(certificate: &X509Certificate<'_>) -> (Vec<String>, Names) {
    let (mut uris, mut names) = (Vec::new(), Names::default());
    let found = certificate.subject_alternative_name().ok().flatten();
    for name in found.into_iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(host) => names.dns.push((*host).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                names.ip.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => {}
        }
    }
    (uris, names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use shared::message::Service;
    use shared::tls::{Files, Tls};
    use tempfile::TempDir;

    use super::*;

    fn files(authority: &Authority, name: &Name) -> Files {
        Files {
            certificate: authority.certificate_of(name),
            key: authority.key_of(name),
            authorities: Some(authority.certificate()),
        }
    }

    #[test]
    fn what_is_issued_is_what_a_service_takes_and_so_is_what_is_renewed() {
        let folder = TempDir::new().unwrap();
        let authority = Authority::create(folder.path(), "kv.test").unwrap();
        let name: Name = "replica-1".parse().unwrap();
        let role = Role::Service(Service::Replica);
        let names = Names {
            dns: vec![String::from("a.example"), String::from("b.example")],
            ip: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        };
        authority.issue(&authority.id(role, name.clone()), &names, 1).unwrap();
        Tls::load(files(&authority, &name), Service::Replica, &name).unwrap();
        let before = read(&authority.certificate_of(&name)).unwrap();
        let again = Authority::open(folder.path()).unwrap();
        assert_eq!(again.domain(), "kv.test");
        again.renew(&name, 1).unwrap();
        let text = read(&authority.certificate_of(&name)).unwrap();
        assert_ne!(text, before);
        let found = parsed(folder.path(), &text, |certificate| Ok(said(certificate))).unwrap();
        assert_eq!(found.1, names);
        assert_eq!(found.0, ["spiffe://kv.test/synod/replica/replica-1"]);
        Tls::load(files(&authority, &name), Service::Replica, &name).unwrap();
        assert_eq!(authority.names().unwrap(), [name]);
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_an_authority_is_never_replaced() {
        let folder = TempDir::new().unwrap();
        let authority = Authority::create(folder.path(), DOMAIN).unwrap();
        let name: Name = "balancer-1".parse().unwrap();
        assert!(authority.ensure(Role::Service(Service::Balancer), &name).unwrap());
        assert!(!authority.ensure(Role::Service(Service::Balancer), &name).unwrap());
        for key in [folder.path().join("ca.key"), authority.key_of(&name)] {
            assert_eq!(fs::metadata(key).unwrap().mode() & 0o777, 0o600);
        }
        assert!(Authority::create(folder.path(), DOMAIN).is_err());
        let ca = authority.id(Role::Operator, "ca".parse().unwrap());
        assert!(authority.issue(&ca, &Names::default(), 1).is_err());
    }

    #[test]
    fn one_that_ends_soon_is_renewed() {
        let folder = TempDir::new().unwrap();
        let authority = Authority::create(folder.path(), DOMAIN).unwrap();
        let (role, name) = (Role::Service(Service::Replica), "replica-1".parse().unwrap());
        authority.issue(&authority.id(role, name), &Names::of_loopback(), 29).unwrap();
        let name = "replica-1".parse().unwrap();
        assert!(authority.ensure(role, &name).unwrap());
        assert!(!authority.ensure(role, &name).unwrap());
    }
}
