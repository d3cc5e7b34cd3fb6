//! Under which names a service may be asked (`Host`, RFC 9112, section 3.2).
//!
//! A web page can have its own name resolve to this machine once it is loaded (DNS
//! rebinding), and is then of one origin with whatever listens here: the browser lets it
//! read and write. The name in `Host` gives it away.

use std::net::IpAddr;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Uri, Version, header};

use crate::config::{BaseUrl, HostName};
use crate::problem::Problem;

/// The names under which a service is asked.
#[derive(Clone, Debug)]
pub struct AllowedHosts {
    /// Those that the operator listed.
    listed: Arc<[HostName]>,
    /// The one that the other services use; none where any name is taken for ours.
    advertised: Option<HostName>,
    /// Whether whoever asks under another name is refused, whatever it asks.
    is_guarded: bool,
}

impl AllowedHosts {
    /// Any name will do.
    #[must_use]
    pub fn any() -> Self {
        Self { listed: Arc::new([]), advertised: None, is_guarded: false }
    }

    /// What a service accepts that listens on this address. On a loopback address only
    /// this machine's own names and those that it is told of; on others the same, once it
    /// is told of some.
    #[must_use]
    pub fn of(bound: IpAddr, advertised: &BaseUrl, listed: &[HostName]) -> Self {
        let is_guarded = bound.is_loopback() || !listed.is_empty();
        let authority = advertised.authority();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
        Self { listed: listed.into(), advertised: Some(HostName::normal(host)), is_guarded }
    }

    /// Whether a browser that asks under this name was led here by somebody who may.
    /// Ports don't matter: what is rebound is a name, and a forwarded port is another.
    fn allows(&self, host: &str) -> bool {
        !self.is_guarded || self.are_ours(host)
    }

    /// Whether a request names this service: by what it advertises, by what the operator
    /// listed, by a name of this machine's own, or by an address, which nobody can have
    /// resolve to another. Also asked where the service answers under any name.
    #[must_use]
    pub fn names_us(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> bool {
        named(version, uri, headers).ok().flatten().is_some_and(|named| {
            let host = named.host();
            address(host).is_some() || self.are_ours(host)
        })
    }

    fn are_ours(&self, host: &str) -> bool {
        let Some(advertised) = &self.advertised else { return true };
        let host = HostName::normal(host);
        host == *advertised || is_loopback(host.as_str()) || self.listed.contains(&host)
    }

    /// Whether the operator listed this name.
    pub(super) fn lists(&self, host: &str) -> bool {
        self.listed.contains(&HostName::normal(host))
    }
}

/// No resolver leads these elsewhere (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    match address(host) {
        Some(address) => address.is_loopback(),
        None => host == "localhost" || host.ends_with(".localhost"),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// What a request says it is for: the authority of its target, or else its `Host`. None
/// only in HTTP/1.0.
///
/// # Errors
/// 400 where `Host` is missing, repeated or malformed, 421 where the name is none of
/// ours.
pub(super) fn check(
    allowed: &AllowedHosts,
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<Authority>, Problem> {
    let named = named(version, uri, headers)?;
    match &named {
        Some(authority) if !allowed.allows(authority.host()) => Err(Problem::misdirected(format!(
            "{} is not a name of this service: where it is one, list it in --allowed-hosts",
            authority.host()
        ))),
        Some(_) | None => Ok(named),
    }
}

fn named(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let given = given(version, headers)?;
    Ok(uri.authority().cloned().or(given))
}

fn given(version: Version, headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let mut values = headers.get_all(header::HOST).iter();
    let value = match (values.next(), values.next()) {
        (None, _) if version == Version::HTTP_10 => return Ok(None),
        (None, _) => return Err(Problem::bad_request("the request has no Host")),
        (Some(value), None) => value,
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("the request has more than one Host"));
        }
    };
    let text = value.to_str().unwrap_or_default();
    // The port may be empty (RFC 3986, section 3.2.3), which the parser does not know.
    let authority = text.strip_suffix(':').unwrap_or(text).parse::<Authority>().ok();
    authority.filter(is_host_and_port).map(Some).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&value.as_bytes()[..value.len().min(256)]).into_owned();
        Problem::bad_request(format!("Host {shown:?} is not a host and a port"))
    })
}

fn is_host_and_port(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    HostName::is_valid(authority.host())
        && rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked(allowed: &AllowedHosts, version: Version, target: &str, hosts: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        match check(allowed, version, &target.parse().unwrap(), &headers) {
            Ok(_) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn a_request_has_one_host_that_is_one() {
        let ask = |version, hosts: &[&str]| asked(&AllowedHosts::any(), version, "/", hosts);
        for host in ["x", "x:1", "x:", "EXAMPLE.com.", "127.0.0.1:8000", "[::1]:8000", "[::1]"] {
            assert_eq!(ask(Version::HTTP_11, &[host]), 200, "{host}");
        }
        for hosts in [
            &[][..],
            &["x", "x"],
            &["x", "y"],
            &[""],
            &[":80"],
            &["x:y"],
            &["x:70000"],
            &["x:1:2"],
            &["a b"],
            &["http://x"],
            &["x/y"],
            &["u@x"],
            &["x,y z"],
            &["\u{e9}"],
        ] {
            assert_eq!(ask(Version::HTTP_11, hosts), 400, "{hosts:?}");
        }
        assert_eq!(ask(Version::HTTP_10, &[]), 200, "HTTP/1.0 may lack it");
        assert_eq!(ask(Version::HTTP_10, &["x", "x"]), 400);
    }

    #[test]
    fn a_service_knows_its_names_also_where_it_answers_to_any() {
        let url = "http://balancer-1:8000".parse().unwrap();
        let listed = ["kv.example.com".parse().unwrap()];
        let everywhere = AllowedHosts::of("0.0.0.0".parse().unwrap(), &url, &[]);
        let told = AllowedHosts::of("0.0.0.0".parse().unwrap(), &url, &listed);
        let named = |allowed: &AllowedHosts, host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            allowed.names_us(Version::HTTP_11, &Uri::from_static("/"), &headers)
        };
        for host in ["balancer-1:8000", "localhost", "192.0.2.7:8000", "[2001:db8::1]:8000"] {
            assert!(named(&everywhere, host) && named(&told, host), "{host}");
        }
        assert!(named(&told, "kv.example.com"));
        for host in ["kv.example.com", "evil.example:8000"] {
            assert!(!named(&everywhere, host), "{host} may have been made to resolve to us");
            let target = Uri::from_static("http://evil.example/v1/balancer/policy");
            assert!(!everywhere.names_us(Version::HTTP_10, &target, &HeaderMap::new()));
            assert_eq!(asked(&everywhere, Version::HTTP_11, "/", &[host]), 200, "{host}");
        }
    }

    #[test]
    fn a_service_on_loopback_answers_to_its_own_names_and_to_those_that_are_listed() {
        let url = "http://replica-1:8301".parse().unwrap();
        let listed = ["kv.example.com".parse().unwrap()];
        let own = [
            "127.0.0.1:8301",
            "127.7.7.7",
            "localhost:9",
            "LOCALHOST.",
            "a.localhost",
            "[::1]:8301",
            "[::ffff:127.0.0.1]",
            "replica-1:8301",
            "Replica-1",
        ];
        let others = [
            "kv.example.com:8301",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.0.2.1",
            "0.0.0.0",
            "[::]",
        ];
        let (here, there) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let ask = |allowed: &AllowedHosts, host| asked(allowed, Version::HTTP_11, "/", &[host]);
        let allowed = AllowedHosts::of(here, &url, &[]);
        for host in own {
            assert_eq!(ask(&allowed, host), 200, "{host}");
        }
        for host in others {
            assert_eq!(ask(&allowed, host), 421, "{host}");
        }
        for bound in [here, there] {
            let allowed = AllowedHosts::of(bound, &url, &listed);
            for host in own.iter().chain(&others[..1]) {
                assert_eq!(ask(&allowed, host), 200, "{host}");
            }
            for host in &others[1..] {
                assert_eq!(ask(&allowed, host), 421, "{host}");
            }
        }
        let open = AllowedHosts::of(there, &url, &[]);
        assert_eq!(
            ask(&open, "evil.example"),
            200,
            "elsewhere nobody has said which names are its own"
        );
        assert_eq!(asked(&allowed, Version::HTTP_11, "http://evil.example/", &["localhost"]), 421);
        assert_eq!(asked(&allowed, Version::HTTP_10, "/", &[]), 200, "no browser speaks so");
    }
}
