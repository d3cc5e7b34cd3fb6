//! Typed clients of the services' own endpoints, over one pool of connections for the
//! whole process.
//!
//! Every call has a time-out, which the other side is told as `Synod-Timeout`; bodies are
//! postcard, bounded both ways. Each call carries the caller's trace context; without one
//! it says "not sampled", so that polls and signs of life leave no traces. Nothing is
//! retried here: whether a repeat is safe is for the caller to know, see
//! [`CallError::never_sent`].

mod pool;

mod answer;
mod connection;
mod lane;
mod lanes;
mod sender;
mod stream;

mod error;
mod peer;
mod set_up;

use std::time::Duration;

use http::{HeaderMap, Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base_url::BaseUrl;
use crate::ids::{ClusterId, Instance, Name, Slot};
use crate::message::{
    Accept, AcceptReply, AcceptorsReply, AcceptorsRequest, Announced, Announcement, ChosenReply,
    Directory, Ending, Heartbeat, HeartbeatReply, KnownSuccession, MAX_SUCCESSION_BYTES, OfCluster,
    Prepare, PrepareReply, PrimaryReply, PrimaryRequest, Proposal, ProposalReply, Service,
    SuccessionReply, SuccessionRequest, VotesPage, Watermarks,
};

pub use answer::AnswerBody;
pub(crate) use connection::connect;
pub use error::CallError;
pub use peer::Peer;
pub use pool::{CONNECT_TIMEOUT, Connections, IDLE_TIMEOUT, MAX_IDLE, Pool, PoolLimits, SendError};
pub use set_up::{introduce, user_agent};

/// The longest answer of a replica about its state: some hashes, or a sentence. Bytes.
const MAX_DIGEST_BYTES: usize = 64 << 10;

macro_rules! client {
    ($(#[$doc:meta])* $name:ident is $service:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Peer);

        impl $name {
            /// The service at the URL. No connection is made yet.
            #[must_use]
            pub fn new(url: BaseUrl) -> Self {
                Self(Peer::of(Service::$service, url))
            }

            /// Where it is.
            #[must_use]
            pub fn url(&self) -> &BaseUrl {
                self.0.url()
            }

            /// `GET /v1/status`, as JSON.
            ///
            /// # Errors
            /// See [`CallError`].
            pub async fn status(&self, timeout: Duration) -> Result<serde_json::Value, CallError> {
                self.0.status(timeout).await
            }
        }
    };
}

client! {
    /// An acceptor.
    AcceptorClient is Acceptor
}
client! {
    /// A coordinator.
    CoordinatorClient is Coordinator
}
client! {
    /// A replica.
    ReplicaClient is Replica
}

impl AcceptorClient {
    /// `POST /v1/prepare`.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the protocol is no error.
    pub async fn prepare(
        &self,
        message: &Prepare,
        timeout: Duration,
    ) -> Result<PrepareReply, CallError> {
        self.0.send(Method::POST, "/v1/prepare", message, timeout).await
    }

    /// `POST /v1/accept`.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the protocol is no error.
    pub async fn accept(
        &self,
        message: &Accept,
        timeout: Duration,
    ) -> Result<AcceptReply, CallError> {
        self.0.send(Method::POST, "/v1/accept", message, timeout).await
    }

    /// `GET /v1/watermarks`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn watermarks(&self, timeout: Duration) -> Result<Watermarks, CallError> {
        self.0.get("/v1/watermarks", timeout).await
    }

    /// `GET /v1/votes?from=`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn votes(&self, from: Slot, timeout: Duration) -> Result<VotesPage, CallError> {
        self.0.get(&format!("/v1/votes?from={from}"), timeout).await
    }

    /// `POST /v1/succession`.
    ///
    /// # Errors
    /// See [`CallError`]; an acceptor that changes nothing says so.
    pub async fn succession(
        &self,
        message: &SuccessionRequest,
        timeout: Duration,
    ) -> Result<SuccessionReply, CallError> {
        self.0.ask("/v1/succession", Some(message), timeout, MAX_SUCCESSION_BYTES).await
    }

    /// `PUT /v1/members/{name}`: announces a service, and learns of the others.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn announce(
        &self,
        announcement: &Announcement,
        timeout: Duration,
    ) -> Result<Announced, CallError> {
        let path = format!("/v1/members/{}", announcement.member.name);
        self.0.send(Method::PUT, &path, announcement, timeout).await
    }

    /// `DELETE /v1/members/{name}?instance=`: a service that announced itself ends.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn withdraw(
        &self,
        name: &Name,
        instance: Instance,
        timeout: Duration,
    ) -> Result<Directory, CallError> {
        self.0.delete(&format!("/v1/members/{name}?instance={instance}"), timeout).await
    }
}

/// `GET /v1/succession` of an acceptor, a coordinator or a replica: which change of the
/// acceptors is the latest that it knows.
///
/// # Errors
/// See [`CallError`].
pub async fn known_succession(
    url: BaseUrl,
    timeout: Duration,
) -> Result<KnownSuccession, CallError> {
    Peer::new(url).ask::<(), _>("/v1/succession", None, timeout, MAX_SUCCESSION_BYTES).await
}

impl CoordinatorClient {
    /// `POST /v1/proposals`.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the protocol is no error.
    pub async fn propose(
        &self,
        message: &Proposal,
        timeout: Duration,
    ) -> Result<OfCluster<ProposalReply>, CallError> {
        self.0.send(Method::POST, "/v1/proposals", message, timeout).await
    }

    /// `POST /v1/heartbeats`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heartbeat(
        &self,
        message: &Heartbeat,
        timeout: Duration,
    ) -> Result<OfCluster<HeartbeatReply>, CallError> {
        self.0.send(Method::POST, "/v1/heartbeats", message, timeout).await
    }

    /// `POST /v1/endings`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ending(
        &self,
        message: &Ending,
        timeout: Duration,
    ) -> Result<OfCluster<HeartbeatReply>, CallError> {
        self.0.send(Method::POST, "/v1/endings", message, timeout).await
    }

    /// `POST /v1/primary`: the answer comes once a replica has executed the view, or the
    /// time that is `granted` for that is over; the `timeout` should be longer.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the protocol is no error.
    pub async fn primary(
        &self,
        message: &PrimaryRequest,
        granted: Duration,
        timeout: Duration,
    ) -> Result<OfCluster<PrimaryReply>, CallError> {
        self.0.send_granting(Method::POST, "/v1/primary", message, granted, timeout).await
    }

    /// `POST /v1/acceptors`: the answer comes once the change is over, or the time that is
    /// `granted` for that is; the `timeout` should be longer.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the protocol is no error.
    pub async fn acceptors(
        &self,
        message: &AcceptorsRequest,
        granted: Duration,
        timeout: Duration,
    ) -> Result<OfCluster<AcceptorsReply>, CallError> {
        self.0.send_granting(Method::POST, "/v1/acceptors", message, granted, timeout).await
    }

    /// `GET /v1/chosen?cluster=&from=&wait_ms=`: waits up to `wait` for something to be there;
    /// `timeout` should be longer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn chosen(
        &self,
        cluster: ClusterId,
        from: Slot,
        wait: Duration,
        timeout: Duration,
    ) -> Result<OfCluster<ChosenReply>, CallError> {
        self.0.get(&page("/v1/chosen", cluster, from, wait), timeout).await
    }
}

impl ReplicaClient {
    /// `GET /v1/replication/log?cluster=&from=&wait_ms=`: waits up to `wait` for something
    /// to be there; `timeout` should be longer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn replication_log(
        &self,
        cluster: ClusterId,
        from: Slot,
        wait: Duration,
        timeout: Duration,
    ) -> Result<OfCluster<ChosenReply>, CallError> {
        self.0.get(&page("/v1/replication/log", cluster, from, wait), timeout).await
    }

    /// `GET /v1/replication/snapshot?cluster=`: the whole state, or the part that the fields
    /// ask for (`Range`, `If-Range`). Its header is waited for until the `timeout`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn snapshot(
        &self,
        cluster: ClusterId,
        fields: HeaderMap,
        timeout: Duration,
    ) -> Result<Response<AnswerBody>, CallError> {
        let path = format!("/v1/replication/snapshot?cluster={cluster}");
        self.0.open(&path, fields, timeout).await
    }

    /// `GET /v1/replication/digest?cluster=&at=`: of the state below a slot. The message is one
    /// of replicas among each other.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the other replica is no error.
    pub async fn digest<R: DeserializeOwned>(
        &self,
        cluster: ClusterId,
        at: Slot,
        timeout: Duration,
    ) -> Result<OfCluster<R>, CallError> {
        let path = format!("/v1/replication/digest?cluster={cluster}&at={at}");
        self.0.ask::<(), _>(&path, None, timeout, MAX_DIGEST_BYTES).await
    }

    /// `POST /v1/replication/suspicions`: has the other replica compare its state with the
    /// others'. The messages are those of replicas among each other.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn suspect<Q: Serialize, R: DeserializeOwned>(
        &self,
        message: &Q,
        timeout: Duration,
    ) -> Result<OfCluster<R>, CallError> {
        let path = "/v1/replication/suspicions";
        self.0.ask(path, Some(message), timeout, MAX_DIGEST_BYTES).await
    }

    /// `POST /v1/replication/commands`: has the primary execute a mutation within what is
    /// `granted`, and waits for its answer until the `timeout`, which should be longer.
    /// The messages are those of replicas among each other. The mutation may have been sent
    /// before where every slot below `since` was executed by then.
    ///
    /// # Errors
    /// See [`CallError`]; a refusal by the primary is no error.
    pub async fn command<Q: Serialize, R: DeserializeOwned>(
        &self,
        message: &Q,
        since: Option<Slot>,
        granted: Duration,
        timeout: Duration,
    ) -> Result<R, CallError> {
        let since = since.map(|since| format!("?since={since}")).unwrap_or_default();
        let path = format!("/v1/replication/commands{since}");
        self.0.send_granting(Method::POST, &path, message, granted, timeout).await
    }
}

/// Where a page of the chosen log is to be had.
fn page(path: &str, cluster: ClusterId, from: Slot, wait: Duration) -> String {
    format!("{path}?cluster={cluster}&from={from}&wait_ms={}", wait.as_millis())
}
