//! Whose a request is by their certificate, from the connection that it came on to the log.
//!
//! ```text
//! client ══certificate══▶ balancer ══Synod-Client-Certificate: ID══▶ replica ─▶ the log
//! client ══certificate═════════════════════════════════════════════▶ replica ─▶ the log
//! ```
//!
//! A client's connection ends at the balancer, so that says whose certificate it saw. It is
//! believed because its own certificate names it as a balancer of the cluster; what anybody
//! else says in that field is taken out. A balancer of an older program passes on whatever a
//! client says there, so one that does not adds a word to its own element of `Via`, the last
//! one, behind which every balancer puts whatever came.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::caller::Caller;
use super::identity::{Role, ServiceId};
use crate::message::Service;

/// Who has sent a request, as its certificate says (a SPIFFE ID). Of use only where
/// [`name_client`] has looked at it.
pub const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("synod-client-certificate");

/// What a balancer that names a client says of itself in `Via`: a comment (RFC 9110, section
/// 7.6.3).
pub const NAMES_CLIENT: &str = "(names-client)";

/// Has the header fields of a request name whoever it is of, if a certificate does, and
/// nobody else.
pub fn name_client(parts: &mut Parts) {
    let caller = parts.extensions.get::<Caller>().and_then(Caller::id);
    let client = match caller {
        None => None,
        Some(id) if id.role == Role::Service(Service::Balancer) => {
            let named = client_named(&parts.headers).filter(|client| client.domain == id.domain);
            named.filter(|_| nearest_names_client(&parts.headers))
        }
        Some(id) => Some(id.clone()),
    };
    parts.headers.remove(CLIENT_CERTIFICATE);
    if let Some(client) = client {
        let value = HeaderValue::try_from(client.to_string()).expect("it is visible ASCII");
        parts.headers.insert(CLIENT_CERTIFICATE, value);
    }
}

/// Whether the nearest of those that a request went through says that it is who names the
/// client.
fn nearest_names_client(headers: &HeaderMap) -> bool {
    let last = headers.get_all(header::VIA).iter().next_back();
    let nearest = last.and_then(|via| via.to_str().ok()?.rsplit(',').next());
    nearest.is_some_and(|nearest| nearest.trim_end().ends_with(NAMES_CLIENT))
}

/// Whoever [`name_client`] has named; nobody, where the field says several.
#[must_use]
pub fn client_named(headers: &HeaderMap) -> Option<ServiceId> {
    let mut values = headers.get_all(CLIENT_CERTIFICATE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok()?.parse().ok(),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;

    use super::*;

    const VIA: &str = "1.1 edge, 1.1 balancer-1 (names-client)";
    const ADA: &str = "spiffe://synod.test/synod/operator/ada";

    /// Who is named to whoever reads on, by whom a connection is and what they say.
    fn named(caller: Option<&str>, said: &[&'static str]) -> Option<String> {
        named_via(&[VIA], caller, said)
    }

    fn named_via(via: &[&str], caller: Option<&str>, said: &[&'static str]) -> Option<String> {
        let mut request = Request::get("/");
        for via in via {
            request = request.header(header::VIA, *via);
        }
        for said in said {
            request = request.header(CLIENT_CERTIFICATE, *said);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(caller) = caller {
            let id = caller.parse().ok();
            parts.extensions.insert(Caller::known(id, Arc::default(), None));
        }
        name_client(&mut parts);
        client_named(&parts.headers).map(|id| id.to_string())
    }

    #[test]
    fn a_client_is_named_by_its_own_certificate_or_by_a_balancer_and_never_by_what_it_says() {
        let balancer = Some("spiffe://synod.test/synod/balancer/balancer-1");
        let replica = "spiffe://synod.test/synod/replica/replica-1";
        assert_eq!(named(Some(ADA), &[]).as_deref(), Some(ADA));
        assert_eq!(named(balancer, &[ADA]).as_deref(), Some(ADA));
        // Whoever forges it is named as what they are, or as nobody.
        assert_eq!(named(Some(replica), &[ADA]).as_deref(), Some(replica));
        assert_eq!(named(Some(""), &[ADA]), None);
        assert_eq!(named(None, &[ADA]), None);
        // A balancer names one of its own cluster, or nobody.
        assert_eq!(named(balancer, &[]), None);
        assert_eq!(named(balancer, &[ADA, replica]), None);
        assert_eq!(named(balancer, &["spiffe://other.test/synod/operator/ada"]), None);
        assert_eq!(named(balancer, &["ada"]), None);
    }

    /// One of an older program passes on what a client forges, `Via` too, before its own.
    #[test]
    fn a_balancer_that_does_not_say_that_it_names_clients_names_nobody() {
        let balancer = Some("spiffe://synod.test/synod/balancer/balancer-1");
        let via = |via: &[&str]| named_via(via, balancer, &[ADA]);
        assert_eq!(via(&["1.1 balancer-1 (names-client)"]).as_deref(), Some(ADA));
        assert_eq!(via(&["1.1 edge", VIA]).as_deref(), Some(ADA));
        for old in [
            &["1.1 balancer-1"] as &[&str],
            &["1.1 forged (names-client), 1.1 balancer-1"],
            &["1.1 forged (names-client)", "1.1 balancer-1"],
            &["1.1 forged (, 1.1 balancer-1"],
            &["1.1 (names-client) balancer-1"],
            &[],
        ] {
            assert_eq!(via(old), None, "{old:?}");
        }
    }
}
