//! What all reads have in common: how new the state must be, and what the answer says of
//! it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::problem::REVISION;
use shared::query::Query;

use super::App;
use super::authorize::{Caller, Seen, TokenHolder, permit};
use super::refused::Refused;
use crate::http::request::headers::min_revision;
use crate::http::request::parameter::CONSISTENCY;
use crate::machine::access::authorize::Denied;

const LAG: HeaderName = HeaderName::from_static("synod-lag");

/// How new the state must be that a read is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consistency {
    Linearizable,
    Local,
}

/// The state may be read now.
#[derive(Debug)]
pub(super) struct Released {
    lag: Option<Duration>,
    seen: Seen,
    deadline: Deadline,
}

/// Waits until the state is as new as the request asks for.
pub(super) async fn released(
    app: &App,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Released, Refused> {
    released_from(app, headers, query, None).await
}

/// Waits until the state is as new as the request asks for, and not older than a revision
/// that some replica has shown already.
pub(super) async fn released_from(
    app: &App,
    headers: &HeaderMap,
    query: &Query,
    shown: Option<Revision>,
) -> Result<Released, Refused> {
    let deadline = Deadline::of(headers)?;
    let words = [("linearizable", Consistency::Linearizable), ("local", Consistency::Local)];
    let consistency = query.one_of(CONSISTENCY.name, &words)?;
    let published = || app.driver.published();
    let min_revision = min_revision(headers)?.max(shown);
    match consistency {
        Consistency::Linearizable => app.driver.read(deadline).await?,
        // Its age could not be told, and it may be empty for want of everything.
        Consistency::Local if published().lag().is_none() => {
            return Err(Refused::NeverCurrent { missing: published().status.missing });
        }
        Consistency::Local => {}
    }
    at_least(app, min_revision, deadline).await?;
    Ok(match consistency {
        Consistency::Linearizable => Released { lag: None, seen: Seen::Newest, deadline },
        Consistency::Local => Released { lag: published().lag(), seen: Seen::AsItIs, deadline },
    })
}

/// Waits until the state is at the revision.
pub(super) async fn at_least(
    app: &App,
    wanted: Option<Revision>,
    deadline: Deadline,
) -> Result<(), Refused> {
    let Some(wanted) = wanted else { return Ok(()) };
    app.driver.at_least(wanted, deadline).await.map_err(|reason| Refused::Behind { wanted, reason })
}

impl Released {
    /// Says who asks, where they have the rights that this needs, in the state that they may
    /// read now.
    pub(super) async fn permit(
        &self,
        app: &App,
        headers: &HeaderMap,
        need: impl Fn(&TokenHolder) -> Result<(), Denied>,
    ) -> Result<Caller, Refused> {
        permit(app, headers, self.seen, self.deadline, need).await
    }

    /// Says on the answer which revision it speaks of, and how old that may be.
    pub(super) fn describe(&self, headers: &mut HeaderMap, revision: Revision) {
        headers.insert(REVISION, HeaderValue::from(revision.0));
        self.describe_lag(headers);
    }

    /// Says on the answer how old the state may be.
    pub(super) fn describe_lag(&self, headers: &mut HeaderMap) {
        if let Some(lag) = self.lag {
            headers
                .insert(LAG, HeaderValue::from(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)));
        }
    }
}
