//! For whom a proxy asks: pure.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most addresses of a forwarded request that are looked at, from the last one on.
const MOST_HOPS: usize = 16;

/// Whom trusted proxies say that they ask for: the last address that is none of theirs.
/// None where it is not a proxy that asks, or one says nothing that is an address.
pub(super) fn forwarded_for(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| {
        let address = address.to_canonical();
        trusted.iter().any(|network| network.contains(&address))
    };
    if !is_trusted(peer) {
        return None;
    }
    let fields = headers.get_all(FORWARDED_FOR).iter().rev();
    let texts = fields.flat_map(|field| field.to_str().unwrap_or("?").rsplit(','));
    let mut last = None;
    for text in texts.take(MOST_HOPS) {
        // Whatever is before something that is no address, nobody trusted has written.
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        last = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_forwarded_for_is_believed_of_trusted_proxies_alone() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, fields, expected) in [
            ("192.0.2.1", &["198.51.100.1"][..], None),
            ("10.0.0.1", &[], None),
            ("10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("::ffff:10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], Some("198.51.100.1")),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2"], Some("198.51.100.1")),
            ("10.0.0.1", &["198.51.100.1", "10.0.0.2"], Some("198.51.100.1")),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            ("10.0.0.1", &["unknown"], None),
            ("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.2"], Some("10.0.0.2")),
            ("fd00::1", &[" 2001:db8::1 "], Some("2001:db8::1")),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(FORWARDED_FOR, field.parse().unwrap());
            }
            let found = forwarded_for(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(
                found,
                expected.map(|text: &str| text.parse().unwrap()),
                "{peer} {fields:?}"
            );
        }
    }
}
