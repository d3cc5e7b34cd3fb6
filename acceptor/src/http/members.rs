//! `/v1/members`: the directory, and those who announce themselves to it.

use std::future::{Ready, ready};
use std::sync::{Arc, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::Uri;
use serde::Deserialize;
use shared::ids::{ClusterId, Instance, Name, NameError};
use shared::message::{Announced, Announcement, Directory};
use shared::problem::Problem;
use shared::tls::Caller;
use shared::wire::{Reply, Wire};

use super::Service;
use crate::directory::{AnnounceError, Members};

pub(super) fn announce(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reply: Reply,
    Path(name): Path<String>,
    Wire(announcement): Wire<Announcement>,
) -> Ready<Result<Response, Problem>> {
    let named = name.parse().map_err(|error: NameError| Problem::bad_request(error.to_string()));
    let announced = named.and_then(|name: Name| {
        caller.must_be(announcement.member.service, &name)?;
        service.announce(&name, announcement).map_err(not_listed)?;
        Ok(reply.send(&service.announced(&name)))
    });
    ready(announced)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawQuery {
    instance: Instance,
}

pub(super) fn withdraw(
    State(service): State<Arc<Service>>,
    caller: Caller,
    reply: Reply,
    Path(name): Path<String>,
    uri: Uri,
) -> Ready<Result<Response, Problem>> {
    let named = name.parse().map_err(|error: NameError| Problem::bad_request(error.to_string()));
    let withdrawn = named.and_then(|name: Name| {
        caller.must_be_called(&name)?;
        let query =
            Query::try_from_uri(&uri).map_err(|error| Problem::bad_request(error.body_text()))?;
        let Query(WithdrawQuery { instance }) = query;
        service.withdraw(&name, instance);
        Ok(reply.send(&service.directory()))
    });
    ready(withdrawn)
}

pub(super) fn members(State(service): State<Arc<Service>>, reply: Reply) -> Ready<Response> {
    ready(reply.send(&service.directory()))
}

fn not_listed(error: AnnounceError) -> Problem {
    match error {
        AnnounceError::OtherName { .. } | AnnounceError::UrlTooLong => {
            Problem::bad_request(error.to_string())
        }
        AnnounceError::OtherCluster(other) => Problem::of_cluster(other.into()),
        AnnounceError::Full => Problem::overloaded(error),
    }
}

impl Service {
    fn announce(&self, name: &Name, announcement: Announcement) -> Result<(), AnnounceError> {
        let now = self.started.elapsed();
        self.members_of(self.cluster()).announce(now, name, announcement)
    }

    fn withdraw(&self, name: &Name, instance: Instance) {
        self.members_of(self.cluster()).withdraw(name, instance);
    }

    fn members_of(&self, cluster: Option<ClusterId>) -> MutexGuard<'_, Members> {
        // A panic ends the process, so nobody ever meets a poisoned lock.
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = cluster {
            members.belong_to(cluster);
        }
        members
    }

    /// The directory, with this acceptor in it.
    fn directory(&self) -> Directory {
        self.announced(&self.own.name).directory
    }

    /// What is told to the one who announces itself by this name.
    fn announced(&self, name: &Name) -> Announced {
        let (now, cluster) = (self.started.elapsed(), self.cluster());
        let mut members = self.members_of(cluster);
        let own = Announcement { cluster, member: self.own.clone() };
        // Full of others, the directory still serves them.
        let _full = members.announce(now, &self.own.name, own);
        let (directory, conflicts) = (members.list(now), members.conflicts(now));
        let is_contested = members.is_contested(now, name);
        Announced { cluster, acceptor: self.own.clone(), directory, conflicts, is_contested }
    }
}
