//! Who made a browser ask: what a web page of somebody else may not.
//!
//! A page may send simple requests (a form, plain text) to any address, and its user's
//! browser stands inside the firewall. Browsers say so: in `Origin` whenever a request
//! may change something, and in `Sec-Fetch-Site` (Fetch Metadata). Other clients send
//! neither, and are not looked at here.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Uri, header};

use super::hosts::AllowedHosts;
use crate::problem::Problem;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Refuses what a foreign page has its user's browser ask.
///
/// Foreign is every origin but the service's own: neither another port of this machine
/// nor a sibling domain (`same-site`) is to be trusted with writes. Reads are refused as
/// well, but for a person who follows a link to the service: that page shows itself to
/// the person and to nobody else.
///
/// # Errors
/// 403.
pub(super) fn check(
    allowed: &AllowedHosts,
    method: &Method,
    named: Option<&Authority>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let foreign =
        origins.find(|origin| !origin.to_str().is_ok_and(|origin| is_own(origin, allowed, named)));
    if let Some(origin) = foreign {
        return Err(refuse("Origin", origin.as_bytes()));
    }
    let mut sites = headers.get_all(SITE).iter();
    let foreign = sites.find(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    match foreign {
        Some(site) if !(method.is_safe() && is_followed_link(headers)) => {
            Err(refuse("Sec-Fetch-Site", site.as_bytes()))
        }
        Some(_) | None => Ok(()),
    }
}

fn refuse(field: &str, value: &[u8]) -> Problem {
    let shown = String::from_utf8_lossy(&value[..value.len().min(256)]).into_owned();
    Problem::foreign_origin(format!(
        "{field} {shown:?}: pages of other origins may ask nothing here"
    ))
}

/// The origin that the request was sent to, or a name that the operator listed: behind a
/// proxy that ends TLS, `Host` may be another.
fn is_own(origin: &str, allowed: &AllowedHosts, named: Option<&Authority>) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else {
        return false;
    };
    let default = if scheme == "https" { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    let is_asked = named.is_some_and(|named| {
        named.host().eq_ignore_ascii_case(authority.host()) && port(named) == port(authority)
    });
    is_asked || allowed.lists(authority.host())
}

fn is_followed_link(headers: &HeaderMap) -> bool {
    let says = |name, value: &[u8]| headers.get(name).is_some_and(|said| said.as_bytes() == value);
    says(MODE, b"navigate") && says(DESTINATION, b"document")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_pages_and_people_may_make_a_browser_ask() {
        let url = "http://127.0.0.1:8000".parse().unwrap();
        let listed = ["kv.example.com".parse().unwrap()];
        let allowed = AllowedHosts::of("127.0.0.1".parse().unwrap(), &url, &listed);
        let own = ("origin", "http://127.0.0.1:8000");
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        for (method, fields, expected) in [
            ("PUT", &[][..], Ok(())),
            ("PUT", &[own][..], Ok(())),
            ("PUT", &[own, ("sec-fetch-site", "same-origin")], Ok(())),
            ("GET", &[("sec-fetch-site", "none")], Ok(())),
            ("PUT", &[("origin", "https://kv.example.com")], Ok(())),
            ("PUT", &[("origin", "https://evil.example")], Err("Origin")),
            ("GET", &[("origin", "https://evil.example")], Err("Origin")),
            ("PUT", &[("origin", "http://127.0.0.1:3000")], Err("Origin")),
            ("PUT", &[("origin", "https://127.0.0.1")], Err("Origin")),
            ("PUT", &[("origin", "null")], Err("Origin")),
            ("PUT", &[("origin", "")], Err("Origin")),
            ("PUT", &[("origin", "127.0.0.1:8000")], Err("Origin")),
            ("PUT", &[own, ("origin", "https://evil.example")], Err("Origin")),
            ("PUT", &[own, ("sec-fetch-site", "cross-site")], Err("Sec-Fetch-Site")),
            ("POST", &[("sec-fetch-site", "same-site")], Err("Sec-Fetch-Site")),
            ("GET", &[("sec-fetch-site", "same-site")], Err("Sec-Fetch-Site")),
            ("GET", &[link[0], ("sec-fetch-mode", "no-cors")], Err("Sec-Fetch-Site")),
            ("GET", &[link[0], link[1], ("sec-fetch-dest", "document")], Ok(())),
            ("GET", &[link[0], link[1], ("sec-fetch-dest", "iframe")], Err("Sec-Fetch-Site")),
            ("POST", &[link[0], link[1], ("sec-fetch-dest", "document")], Err("Sec-Fetch-Site")),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            let method = method.parse().unwrap();
            let named = Authority::from_static("127.0.0.1:8000");
            let checked = check(&allowed, &method, Some(&named), &headers);
            match (checked, expected) {
                (Ok(()), Ok(())) => {}
                (Err(problem), Err(field)) => {
                    assert_eq!(problem.status(), 403);
                    assert!(problem.body().detail.starts_with(field), "{fields:?}: {problem}");
                }
                (checked, _) => panic!("{method} {fields:?}: {checked:?}"),
            }
        }
    }
}
