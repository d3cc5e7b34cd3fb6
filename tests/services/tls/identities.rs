//! Everybody who may ask a service: with certificates sound and unsound, with none, and without
//! TLS; and what a service makes of them.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType, date_time_ymd};
use shared::client::{Pool, PoolLimits};
use shared::tls::{Calls, Trust};
use tests::harness::pki::{DOMAIN, Pki};

use super::routes::Route;
use crate::synod;

/// All that a certificate may say somebody is.
pub(super) const ROLES: [&str; 5] = ["acceptor", "coordinator", "replica", "balancer", "operator"];

/// What somebody is to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// One who speaks without TLS.
    Plain,
    /// One whose certificate is not believed.
    Refused,
    /// One without a certificate of this cluster.
    Nobody,
    /// One of these.
    Role(&'static str),
}

/// Somebody who asks.
pub(super) struct Identity {
    /// For people.
    pub(super) what: String,
    pub(super) is: Is,
    pool: Pool,
}

/// What somebody hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Whatever the route says to them.
    Admitted(u16),
    /// That they are to speak TLS.
    NotTls,
    /// Nothing: the handshake fails.
    NoHandshake,
    /// That they are to have a certificate of this cluster.
    Certificate,
    /// That it is not for such as they are.
    Role,
    /// That it is another one's, who goes by another name.
    Name,
    /// That services ask for this elsewhere.
    Elsewhere,
}

impl Identity {
    fn new(what: &str, is: Is, pki: &Pki, own: Option<(&Path, &Path)>) -> Result<Self> {
        let calls = Calls::AsSaid(Trust::of_files(&pki.authority(), own)?);
        let pool = Pool::new(PoolLimits::default()).calling(calls);
        Ok(Self { what: what.to_owned(), is, pool })
    }

    /// Who has no certificate.
    pub(super) fn nobody(pki: &Pki) -> Result<Self> {
        Self::new("nobody", Is::Nobody, pki, None)
    }

    /// Everybody.
    pub(super) fn all(pki: &Pki, folder: &Path) -> Result<Vec<Self>> {
        let mut all = vec![
            Self::nobody(pki)?,
            Self { what: "without TLS".into(), is: Is::Plain, ..Self::nobody(pki)? },
        ];
        let other = Pki::create(synod(), &folder.join("other"))?;
        for role in ROLES {
            // As no service of the cluster is called, so that none is taken for another.
            let name = format!("{role}-9");
            pki.issue(role, &name, [127, 0, 0, 1].into())?;
            other.issue(role, &name, [127, 0, 0, 1].into())?;
            let elsewhere = format!("spiffe://other.test/synod/{role}/{name}");
            let expired = format!("spiffe://{DOMAIN}/synod/{role}/{name}");
            let files = |pki: &Pki, name: &str| (pki.certificate(name), pki.key(name));
            let (foreign, ended) = (format!("foreign-{role}"), format!("ended-{role}"));
            certify(pki, &foreign, &elsewhere, 4096)?;
            certify(pki, &ended, &expired, 2020)?;
            for (what, is, (certificate, key)) in [
                ("of this cluster", Is::Role(role), files(pki, &name)),
                ("of another authority", Is::Refused, files(&other, &name)),
                ("whose time is over", Is::Refused, files(pki, &ended)),
                ("of another trust domain", Is::Nobody, files(pki, &foreign)),
            ] {
                let what = format!("{role} {what}");
                all.push(Self::new(&what, is, pki, Some((&certificate, &key)))?);
            }
        }
        Ok(all)
    }

    /// Asks at an address, with these fields in the request's head.
    pub(super) async fn ask(
        &self,
        at: SocketAddr,
        route: &Route,
        fields: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Verdict> {
        let scheme = if self.is == Is::Plain { "http" } else { "https" };
        let mut request = Request::builder().method(route.method.as_str()).uri(route.example());
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = Bytes::copy_from_slice(body.unwrap_or_default().as_bytes());
        let connections = self.pool.to(&format!("{scheme}://{at}"))?;
        let Ok(answer) = connections.send(request.body(Full::new(body))?).await else {
            return Ok(Verdict::NoHandshake);
        };
        let status = answer.status().as_u16();
        if ![400, 403, 404].contains(&status) {
            return Ok(Verdict::Admitted(status));
        }
        let body =
            axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 64 << 10).await?;
        let said = String::from_utf8_lossy(&body);
        let is_forbidden = said.contains("urn:synod:problem:forbidden");
        Ok(match status {
            400 if said.contains("begins with https://") => Verdict::NotTls,
            403 if is_forbidden && said.contains("prove by a certificate") => Verdict::Certificate,
            403 if is_forbidden && said.contains("may not ask this") => Verdict::Role,
            404 if said.contains("--listen-internal") => Verdict::Elsewhere,
            403 if is_forbidden && said.contains("may not speak for") => Verdict::Name,
            status => Verdict::Admitted(status),
        })
    }
}

/// Issues what `synod pki` does not: until the end of a year, and of whatever trust domain.
fn certify(pki: &Pki, name: &str, uri: &str, year: i32) -> Result<()> {
    let key = KeyPair::from_pem(&std::fs::read_to_string(pki.authority_key())?)?;
    let issuer = Issuer::from_ca_cert_pem(&std::fs::read_to_string(pki.authority())?, key)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let own = KeyPair::generate()?;
    std::fs::write(pki.certificate(name), params.signed_by(&own, &issuer)?.pem())?;
    std::fs::write(pki.key(name), own.serialize_pem())?;
    Ok(())
}
