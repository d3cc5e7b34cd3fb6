//! Who asks, as far as it is known.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;

use super::counts::{Counts, Refusal};
use super::identity::{Role, ServiceId};
use super::matrix::{Who, who_may};
use crate::ids::Name;
use crate::message::Service;
use crate::problem::Problem;

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Caller(Option<Known>);

/// Where services are known by their certificates.
#[derive(Clone, Debug)]
struct Known {
    /// None where it has no certificate, or one that names nobody of this cluster.
    id: Option<Arc<ServiceId>>,
    counts: Arc<Counts>,
    /// Until when its certificate counts, in seconds since 1970. Whoever calls minds ours.
    ends: Option<i64>,
}

impl Caller {
    /// Of a connection on which somebody has proved to be this one, or nobody.
    pub(super) fn known(id: Option<ServiceId>, counts: Arc<Counts>, ends: Option<i64>) -> Self {
        Self(Some(Known { id: id.map(Arc::new), counts, ends }))
    }

    /// Who it has proved to be, where it has.
    #[must_use]
    pub fn id(&self) -> Option<&ServiceId> {
        self.0.as_ref()?.id.as_deref()
    }

    /// Until when the connection may be used, in seconds since 1970; none: as long as it lasts.
    pub(crate) fn ends(&self) -> Option<i64> {
        self.0.as_ref()?.ends
    }

    /// Whether it may ask a service by the method for what stands under the route. Everybody
    /// may where services are not known by their certificates.
    ///
    /// # Errors
    /// 403: nothing was done.
    pub(crate) fn may_ask(
        &self,
        asked: Service,
        method: &Method,
        route: &str,
    ) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        let roles = match who_may(asked, method, route) {
            Some(Who::Anyone) => return Ok(()),
            Some(Who::Roles(roles)) => roles,
            None => &[],
        };
        match &known.id {
            Some(id) if roles.contains(&id.role) => Ok(()),
            Some(id) => Err(known.refuse(
                Refusal::Role,
                format!("{id} may not ask this: it is for {}", in_words(roles)),
            )),
            None => Err(known.refuse(
                Refusal::Certificate,
                format!(
                    "this is for {} of the cluster, who prove by a certificate that they are one",
                    in_words(roles)
                ),
            )),
        }
    }

    /// Whether it is held to what its certificate says.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Whoever speaks for a service must be that one. Everybody is believed where services
    /// are not known by their certificates.
    ///
    /// # Errors
    /// 403: nothing was done.
    pub fn must_be(&self, service: Service, name: &Name) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        match &known.id {
            Some(id) if id.role == Role::Service(service) && id.name == *name => Ok(()),
            Some(_) | None => Err(known.speaks_for_another(service.as_str(), name)),
        }
    }

    /// Whoever speaks for whatever is called so must be called so.
    ///
    /// # Errors
    /// 403: nothing was done.
    pub fn must_be_called(&self, name: &Name) -> Result<(), Problem> {
        let Some(known) = &self.0 else { return Ok(()) };
        match &known.id {
            Some(id) if id.name == *name => Ok(()),
            Some(_) | None => Err(known.speaks_for_another("service", name)),
        }
    }
}

impl Known {
    fn speaks_for_another(&self, what: &str, name: &Name) -> Problem {
        let who = self.id.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        self.refuse(Refusal::Name, format!("{who} may not speak for the {what} {name}"))
    }

    fn refuse(&self, refusal: Refusal, detail: String) -> Problem {
        self.counts.refused(self.id.as_ref().map(|id| id.role), refusal, &detail);
        Problem::forbidden(detail)
    }
}

fn in_words(roles: &[Role]) -> String {
    match roles {
        [] => String::from("nobody"),
        roles => {
            roles.iter().map(|role| format!("{}s", role.as_str())).collect::<Vec<_>>().join(" and ")
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> impl Future<Output = Result<Self, Infallible>> + Send {
        std::future::ready(Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default()))
    }
}
