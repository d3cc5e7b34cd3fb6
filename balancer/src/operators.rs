//! Whose word is taken at `/v1/balancer`: pure.
//!
//! What is said there holds for all clients, so not every client may say it: whoever is on
//! this machine, and whom `--operators` names. A request that a proxy passes on is whose the
//! proxy says, if that is one of `--trusted-proxies`; of any other proxy nobody knows for
//! whom it asks. Pages of other origins are refused before (`shared::server`).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use shared::problem::Problem;

/// By these a proxy says that it is one.
const PASSED_ON: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for"), header::VIA];

/// Who may say what the balancer is to do.
#[derive(Debug)]
pub(crate) struct Operators {
    /// Where the balancer listens: from there only this machine asks.
    bound: IpAddr,
    networks: Vec<IpNet>,
}

impl Operators {
    pub(crate) fn new(bound: IpAddr, networks: Vec<IpNet>) -> Self {
        Self { bound: bound.to_canonical(), networks }
    }

    /// Of a request that `peer` sends; `asked_for` is for whom, as a trusted proxy says.
    ///
    /// # Errors
    /// 403, which says how one may.
    pub(crate) fn check(
        &self,
        peer: IpAddr,
        asked_for: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let asker = asked_for.unwrap_or(peer).to_canonical();
        if self.networks.iter().any(|network| network.contains(&asker)) {
            return Ok(());
        }
        if !(asker.is_loopback() || asker == self.bound) {
            return Err(Problem::forbidden(format!(
                "this balancer is told what to do from its own machine, and you ask from {asker}: \
                 list that in --operators (SYNOD_OPERATORS), or ask there"
            )));
        }
        let passed_on = PASSED_ON.into_iter().find(|name| headers.contains_key(name));
        match passed_on.filter(|_| asked_for.is_none()) {
            Some(name) => Err(Problem::forbidden(format!(
                "a proxy on this machine passes this on ({name}), and nobody knows for whom: ask \
                 the balancer itself, or list the proxy in --trusted-proxies"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_word_of_this_machine_and_of_those_that_are_listed_is_taken() {
        let operators =
            Operators::new("192.0.2.1".parse().unwrap(), vec!["10.1.0.0/16".parse().unwrap()]);
        let check = |peer: &str, asked_for: Option<&str>, field: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(field) = field {
                headers.insert(field, HeaderValue::from_static("x"));
            }
            let asked_for = asked_for.map(|address| address.parse().unwrap());
            let checked = operators.check(peer.parse().unwrap(), asked_for, &headers);
            checked.map_err(|problem| (problem.status().as_u16(), problem.body().detail.clone()))
        };
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.1", "10.1.2.3"] {
            assert_eq!(check(own, None, None), Ok(()), "{own}");
        }
        for other in ["192.0.2.2", "10.2.0.1", "::ffff:192.0.2.2", "2001:db8::1"] {
            let (status, detail) = check(other, None, None).unwrap_err();
            assert!(status == 403 && detail.contains("--operators"), "{other}: {detail}");
        }
        for field in ["forwarded", "x-forwarded-for", "via"] {
            let (status, detail) = check("127.0.0.1", None, Some(field)).unwrap_err();
            assert!(status == 403 && detail.contains("--trusted-proxies"), "{field}: {detail}");
        }
        let field = Some("x-forwarded-for");
        assert_eq!(check("10.1.2.3", None, field), Ok(()), "it is listed itself");
        assert_eq!(check("127.0.0.1", Some("127.0.0.1"), field), Ok(()));
        assert_eq!(check("127.0.0.1", Some("10.1.2.3"), field), Ok(()));
        assert_eq!(check("127.0.0.1", Some("192.0.2.9"), field).unwrap_err().0, 403);
    }
}
