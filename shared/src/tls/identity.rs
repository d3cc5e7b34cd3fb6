//! Who a certificate is of.
//!
//! A service's certificate names it by a URI, as SPIFFE has it (SPIFFE-ID, section 2; X.509-SVID,
//! section 2): `spiffe://TRUST-DOMAIN/synod/ROLE/NAME`. cert-manager writes it where it is told
//! of it (`uris:`), SPIRE by its registration entries.

use std::fmt;
use std::str::FromStr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::ids::Name;
use crate::message::Service;

/// The longest name of a trust domain, in bytes (SPIFFE-ID, section 2.1).
const MAX_DOMAIN: usize = 255;

/// What somebody may be who has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// One of the services.
    Service(Service),
    /// A person, or a program of theirs, who may read the log as replicas do.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Service(Service::Acceptor),
        Self::Service(Service::Coordinator),
        Self::Service(Service::Replica),
        Self::Service(Service::Balancer),
        Self::Operator,
    ];

    /// Its name in a certificate.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service(service) => service.as_str(),
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no role: {known}")
        })
    }
}

/// Who somebody is, as their certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceId {
    /// The trust domain: one of a cluster, or of a company.
    pub domain: String,
    /// As what.
    pub role: Role,
    /// By which name.
    pub name: Name,
}

/// A URI names no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form spiffe://TRUST-DOMAIN/synod/ROLE/NAME")]
pub struct ServiceIdError(String);

impl ServiceId {
    /// Whose a certificate is, in DER; none where it names no service of ours, or several.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut ids = names.value.general_names.iter().filter_map(|name| {
            let GeneralName::URI(uri) = name else { return None };
            Some(*uri).filter(|uri| uri.starts_with("spiffe://"))
        });
        // Of two it is not known which one counts (X.509-SVID, section 2).
        match (ids.next(), ids.next()) {
            (Some(id), None) => id.parse().ok(),
            (_, _) => None,
        }
    }
}

/// Whether a text names a trust domain.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let is_of_domain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(is_of_domain)
}

impl FromStr for ServiceId {
    type Err = ServiceIdError;

    fn from_str(text: &str) -> Result<Self, ServiceIdError> {
        let refuse = || ServiceIdError(text.chars().take(256).collect());
        let rest = text.strip_prefix("spiffe://").ok_or_else(refuse)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [domain, "synod", role, name] = parts[..] else { return Err(refuse()) };
        if !is_domain(domain) {
            return Err(refuse());
        }
        let role = role.parse().map_err(|_| refuse())?;
        let name = name.parse().map_err(|_| refuse())?;
        Ok(Self { domain: domain.to_owned(), role, name })
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/synod/{}/{}", self.domain, self.role.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_by_domain_role_and_name_and_nothing_else() {
        let text = "spiffe://synod.internal/synod/replica/replica-2";
        let id: ServiceId = text.parse().unwrap();
        assert_eq!((id.domain.as_str(), id.name.as_str()), ("synod.internal", "replica-2"));
        assert_eq!(id.role, Role::Service(Service::Replica));
        assert_eq!(id.to_string(), text);
        for bad in [
            "",
            "https://d/synod/replica/replica-2",
            "spiffe:///synod/replica/replica-2",
            "spiffe://D/synod/replica/replica-2",
            "spiffe://d/synod/replica",
            "spiffe://d/synod/replica/replica-2/x",
            "spiffe://d/synod/king/replica-2",
            "spiffe://d/synod/replica/Replica 2",
            "spiffe://d/ns/synod/sa/replica",
        ] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad:?}");
        }
        assert_eq!(ServiceId::of(b"no certificate"), None);
    }
}
