//! `Synod-Cluster`: in what a balancer sends on to a replica it names the cluster of its
//! acceptors, so that a replica of another one, which may have the address by now, does not
//! answer for it.

use http::{HeaderMap, HeaderValue};

use crate::ids::ClusterId;
use crate::message::same_cluster;
use crate::problem::Problem;

/// The header.
pub const HEADER: &str = "synod-cluster";

/// How it names a cluster.
///
/// # Panics
/// Never: the digits of an id are a header's value.
#[must_use]
pub fn header_value(cluster: ClusterId) -> HeaderValue {
    HeaderValue::try_from(cluster.to_string()).expect("hexadecimal digits")
}

/// Refuses a request that names another cluster than ours, or any while ours is not known:
/// whoever sent it is to ask elsewhere.
///
/// # Errors
/// When it is to be refused, or names what is no cluster.
pub fn check(headers: &HeaderMap, ours: Option<ClusterId>) -> Result<(), Problem> {
    let Some(named) = headers.get(HEADER) else { return Ok(()) };
    let theirs = named.to_str().ok().and_then(|text| text.parse().ok());
    let theirs = theirs.ok_or_else(|| {
        Problem::bad_request("Synod-Cluster is the id of a cluster: 16 hexadecimal digits")
    })?;
    let checked = same_cluster(ours, theirs).map(|_same| ());
    checked.map_err(|error| Problem::unavailable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const OURS: ClusterId = ClusterId(1);
    const THEIRS: ClusterId = ClusterId(2);

    fn status(named: Option<HeaderValue>, ours: Option<ClusterId>) -> Result<(), u16> {
        let named = named.map(|named| (HeaderName::from_static(HEADER), named));
        let headers: HeaderMap = named.into_iter().collect();
        check(&headers, ours).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_request_that_names_another_cluster_is_refused() {
        assert_eq!(status(None, None), Ok(()));
        assert_eq!(status(Some(header_value(OURS)), Some(OURS)), Ok(()));
        assert_eq!(status(Some(header_value(THEIRS)), Some(OURS)), Err(503));
        assert_eq!(status(Some(header_value(OURS)), None), Err(503), "it may be another");
        assert_eq!(status(Some(HeaderValue::from_static("a")), Some(OURS)), Err(400));
    }
}
