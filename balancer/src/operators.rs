//! Whose word is taken at `/v1/balancer`: pure.
//!
//! What is said there holds for all clients, so not every client may say it: whoever is on
//! this machine, and whom `--operators` names. A request that a proxy passes on is whose the
//! proxy says, if that is one of `--trusted-proxies`; of any other proxy nobody knows for
//! whom it asks. Pages of other origins are refused before (`shared::server`), and here those
//! that have their own name resolve to this machine (DNS rebinding).

use std::net::IpAddr;

use http::{HeaderName, Request, header};
use ipnet::IpNet;
use shared::problem::Problem;
use shared::server::AllowedHosts;

/// By these a proxy says that it is one.
const PASSED_ON: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for"), header::VIA];

/// Who may say what the balancer is to do.
#[derive(Debug)]
pub(crate) struct Operators {
    /// Where the balancer listens: from there only this machine asks.
    bound: IpAddr,
    networks: Vec<IpNet>,
    /// The balancer's names.
    names: AllowedHosts,
}

impl Operators {
    pub(crate) fn new(bound: IpAddr, networks: Vec<IpNet>, names: AllowedHosts) -> Self {
        Self { bound: bound.to_canonical(), networks, names }
    }

    /// Of a request that `peer` sends; `asked_for` is for whom, as a trusted proxy says.
    ///
    /// # Errors
    /// 403, which says how one may; 421 under a name that is not known to be the balancer's.
    pub(crate) fn check<B>(
        &self,
        (peer, asked_for): (IpAddr, Option<IpAddr>),
        request: &Request<B>,
    ) -> Result<(), Problem> {
        let headers = request.headers();
        if !self.names.names_us(request.version(), request.uri(), headers) {
            return Err(Problem::misdirected(
                "this balancer is told what to do by its address, or by a name that it \
                 advertises or that --allowed-hosts lists: any other one may be a web page's",
            ));
        }
        let passed_on = PASSED_ON.into_iter().find(|name| headers.contains_key(name));
        if let Some(name) = passed_on.filter(|_| asked_for.is_none()) {
            return Err(Problem::forbidden(format!(
                "a proxy passes this on ({name}), and nobody knows for whom: ask the balancer \
                 itself, or list the proxy in --trusted-proxies"
            )));
        }
        let peer = peer.to_canonical();
        let asker = asked_for.map_or(peer, |address| address.to_canonical());
        let is_listed = self.networks.iter().any(|network| network.contains(&asker));
        // A proxy's own machine is another one's `127.0.0.1`.
        if is_listed || (self.is_here(asker) && self.is_here(peer)) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this balancer is told what to do from its own machine, by its loopback address, and \
             you ask from {asker}: list that in --operators (SYNOD_OPERATORS), or ask there"
        )))
    }

    fn is_here(&self, address: IpAddr) -> bool {
        address.is_loopback() || address == self.bound
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked_at(host: &'static str) -> Request<()> {
        let mut request = Request::new(());
        request.headers_mut().insert(header::HOST, HeaderValue::from_static(host));
        request
    }

    #[test]
    fn the_word_of_this_machine_and_of_those_that_are_listed_is_taken() {
        let networks = vec!["10.1.0.0/16".parse().unwrap()];
        let operators = Operators::new("192.0.2.1".parse().unwrap(), networks, AllowedHosts::any());
        let check = |peer: &str, asked_for: Option<&str>, field: Option<&'static str>| {
            let mut request = asked_at("127.0.0.1:8000");
            if let Some(field) = field {
                request.headers_mut().insert(field, HeaderValue::from_static("x"));
            }
            let asked_for = asked_for.map(|address| address.parse().unwrap());
            let by = (peer.parse().unwrap(), asked_for);
            let checked = operators.check(by, &request);
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
            for proxy in ["127.0.0.1", "10.1.2.3"] {
                let (status, detail) = check(proxy, None, Some(field)).unwrap_err();
                assert!(status == 403 && detail.contains("--trusted-proxies"), "{field}: {detail}");
            }
        }
        let field = Some("x-forwarded-for");
        assert_eq!(check("192.0.2.8", Some("127.0.0.1"), field).unwrap_err().0, 403);
        assert_eq!(check("127.0.0.1", Some("127.0.0.1"), field), Ok(()));
        assert_eq!(check("127.0.0.1", Some("10.1.2.3"), field), Ok(()));
        assert_eq!(check("127.0.0.1", Some("192.0.2.9"), field).unwrap_err().0, 403);
    }

    #[test]
    fn a_page_that_has_its_name_resolve_to_this_machine_is_refused() {
        let here = "127.0.0.1".parse().unwrap();
        let url = "http://balancer-1:8000".parse().unwrap();
        let names = AllowedHosts::of("0.0.0.0".parse().unwrap(), &url, &[]);
        let operators = Operators::new("0.0.0.0".parse().unwrap(), Vec::new(), names);
        let ask = |host: &'static str| {
            let checked = operators.check((here, None), &asked_at(host));
            checked.map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(ask("evil.example:8000"), Err(421));
        assert_eq!((ask("127.0.0.1:8000"), ask("balancer-1:8000")), (Ok(()), Ok(())));
    }
}
