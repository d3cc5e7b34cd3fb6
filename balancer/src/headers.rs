//! What a proxy does to header fields (RFC 9110, section 7.6): drop those that speak of
//! one connection, add those that tell of the way.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use shared::ids::Name;
use shared::telemetry::{self, Context};
use shared::tls::{CLIENT_CERTIFICATE, NAMES_CLIENT};
use shared::{cluster_header, repeat};

/// Fields that concern one connection only, beyond those that `Connection` names (RFC
/// 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// Fields by which a server judges whether a browser may ask it.
const JUDGED: [HeaderName; 6] = [
    header::HOST,
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-user"),
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The other end of the client's connection.
    pub client: IpAddr,
    /// The version that the client spoke.
    pub version: Version,
    /// The balancer's own name, for `Via`.
    pub balancer: &'a Name,
}

/// A `Connection` field that names one which the answer depends on, as if it concerned
/// this connection only: dropping it would turn a compare-and-swap into a plain write.
#[must_use]
pub fn end_to_end_option(headers: &HeaderMap) -> Option<HeaderName> {
    let is_end_to_end = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("if-")
            || name.starts_with("synod-")
            || name.starts_with("content-")
            || name == "idempotency-key"
            || name == "authorization"
    };
    connection_options(headers).into_iter().find(is_end_to_end)
}

fn connection_options(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Turns a client's header fields into those of the forwarded request. Whoever
/// `Synod-Client-Certificate` names there was named by this balancer.
pub fn forward_request(headers: &mut HeaderMap, origin: Origin<'_>, trace: &Context) {
    strip_hop_by_hop(headers);
    // They speak of this balancer, which has judged them; the replica has a name of its
    // own.
    for name in JUDGED {
        headers.remove(name);
    }
    // What the balancer names, it alone may send again; and it knows whose cluster it serves.
    headers.remove(repeat::HEADER);
    headers.remove(cluster_header::HEADER);
    // The body is here in one piece: whoever waited for the word to go on has had it, and
    // the length is set anew.
    headers.remove(header::EXPECT);
    headers.remove(header::CONTENT_LENGTH);
    let version = if origin.version == Version::HTTP_10 { "1.0" } else { "1.1" };
    let mut via = format!("{version} {}", origin.balancer);
    if headers.contains_key(CLIENT_CERTIFICATE) {
        via = format!("{via} {NAMES_CLIENT}");
    }
    append(headers, header::VIA, &via);
    append(headers, FORWARDED_FOR, &origin.client.to_canonical().to_string());
    // A malformed one was not taken up and is not passed on either.
    headers.remove("traceparent");
    headers.remove("tracestate");
    telemetry::inject(trace, headers);
}

/// Removes the fields that concern one connection only; of use for responses too.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in connection_options(headers) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Adds an element to the end of a list field.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let earlier: Vec<&str> =
        headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
    let list = if earlier.is_empty() {
        element.to_owned()
    } else {
        format!("{}, {element}", earlier.join(", "))
    };
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn forwarded(fields: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let name = "balancer-1".parse().unwrap();
        let origin = Origin {
            client: Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into(),
            version: Version::HTTP_10,
            balancer: &name,
        };
        forward_request(&mut headers, origin, &Context::new());
        let mut fields: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        fields.sort();
        fields
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_speaks_of_one_connection_is_dropped_and_the_way_is_told() {
        let sent = forwarded(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", "x-secret"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("expect", "100-continue"),
            ("host", "kv.example.com"),
            ("origin", "https://kv.example.com"),
            ("sec-fetch-site", "same-origin"),
            ("if-match", "\"3\""),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("traceparent", "malformed"),
            ("tracestate", "vendor=x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-private", "1"),
            ("x-secret", "2"),
        ]);
        let expected = [
            ("content-type", "text/plain"),
            ("if-match", "\"3\""),
            ("via", "1.0 balancer-1"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(sent, pairs(&expected));
    }

    #[test]
    fn whose_token_it_is_goes_on_as_it_came() {
        let sent = forwarded(&[("authorization", "Bearer synod_A-b_c")]);
        let expected = [
            ("authorization", "Bearer synod_A-b_c"),
            ("via", "1.0 balancer-1"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(sent, pairs(&expected));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("authorization"));
        assert!(end_to_end_option(&headers).is_some(), "it would be asked by somebody else");
    }

    #[test]
    fn a_balancer_that_names_a_client_says_so() {
        let id = "spiffe://synod.test/synod/operator/ada";
        let sent =
            forwarded(&[("synod-client-certificate", id), ("via", "1.1 forged (names-client)")]);
        let expected = [
            ("synod-client-certificate", id),
            ("via", "1.1 forged (names-client), 1.0 balancer-1 (names-client)"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        assert_eq!(sent, pairs(&expected));
    }

    #[test]
    fn no_connection_option_can_drop_a_condition() {
        let option = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::CONNECTION, HeaderValue::from_static(value))]);
            end_to_end_option(&headers).map(|name| name.to_string())
        };
        assert_eq!(option("close, If-None-Match"), Some("if-none-match".to_owned()));
        assert_eq!(option("synod-timeout"), Some("synod-timeout".to_owned()));
        assert_eq!(option("keep-alive, x-hop"), None);
    }

    #[test]
    fn those_on_the_way_before_stay_first() {
        let sent = forwarded(&[
            ("via", "1.1 edge"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.1"),
        ]);
        let expected = [
            ("via", "1.1 edge, 1.0 balancer-1"),
            ("x-forwarded-for", "203.0.113.9, 198.51.100.1, 192.0.2.7"),
        ];
        assert_eq!(sent, pairs(&expected));
    }
}
