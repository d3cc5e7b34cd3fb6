//! What a balancer says of its endpoints, and what it is told of them.
//!
//! All of this is one balancer's own memory: of several addresses, the client asks whichever
//! answers, so what is meant for all balancers is said to a client of each.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// What `GET /v1/balancer` tells; the rest of it is to be had by [`Client::json`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Balancer {
    /// Its name.
    pub id: String,
    /// Where it runs, if it is told.
    pub zone: Option<String>,
    /// How it shares out reads.
    pub policy: String,
    /// The replica that gets mutations.
    pub primary: Option<String>,
    /// How often it sent a request once more after a failure …
    pub retries: Extra,
    /// … and a read to a second replica because it took long.
    pub hedges: Extra,
    /// The replicas.
    pub endpoints: Vec<BalancerEndpoint>,
}

/// What is sent beyond clients' requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Extra {
    /// How often it was.
    pub sent: u64,
    /// How often it was not, because the budget was spent.
    pub refused: u64,
    /// What is left of the budget.
    pub left: u64,
}

/// A replica, as a balancer sees it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BalancerEndpoint {
    /// Its name.
    pub id: String,
    /// Where it runs, as it says.
    pub zone: Option<String>,
    /// Whether it gets linearizable reads in turn …
    #[serde(rename = "in")]
    pub is_in: bool,
    /// … and why, each a sentence.
    pub why: Vec<String>,
    /// Its share beside the others', as it is now.
    pub share: f64,
    /// What requests show of it.
    pub requests: EndpointRequests,
    /// What the operator says of it.
    pub operator: EndpointOrder,
}

/// What requests show of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EndpointRequests {
    /// Whether it answers.
    pub health: String,
    /// Requests that it has not answered yet.
    pub in_flight: u64,
    /// Requests that it got.
    pub sent: u64,
    /// Of these, those that failed because of it.
    pub failures: u64,
    /// How often it was left alone for being slow.
    pub ejections: u64,
}

/// What an operator says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointOrder {
    /// Whether it gets nothing new.
    pub drain: bool,
    /// Its weight beside the others', from 1 to 100.
    pub weight: u32,
}

/// What a balancer was told of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedEndpoint {
    /// Its name.
    pub id: String,
    /// What holds of it now.
    #[serde(flatten)]
    pub order: EndpointOrder,
}

/// How a balancer shares out reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancerPolicy {
    /// The policy's name.
    pub policy: String,
}

impl Client {
    /// `GET /v1/balancer`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotFound`] where it is no balancer that answers.
    pub async fn balancer(&self) -> Result<Balancer, Error> {
        self.send(Call::read(Method::GET, "/v1/balancer")).await?.json()
    }

    /// Has the balancer send nothing new to an endpoint, or has that ended.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotFound`] where it has no such endpoint, [`Error::Denied`]
    /// where it does not take this client's word.
    pub async fn drain_endpoint(&self, id: &str, drain: bool) -> Result<OrderedEndpoint, Error> {
        self.order_endpoint(id, &serde_json::json!({ "drain": drain })).await
    }

    /// Gives an endpoint a weight beside the others', from 1 to 100.
    ///
    /// # Errors
    /// As [`Client::drain_endpoint`].
    pub async fn weigh_endpoint(&self, id: &str, weight: u32) -> Result<OrderedEndpoint, Error> {
        self.order_endpoint(id, &serde_json::json!({ "weight": weight })).await
    }

    /// Has the balancer share out reads by that policy.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Denied`] where it does not take this client's word.
    pub async fn set_balancer_policy(&self, policy: &str) -> Result<BalancerPolicy, Error> {
        let mut call = Call::mutation(Method::PUT, "/v1/balancer/policy");
        call.unname();
        call.json(&serde_json::json!({ "policy": policy }));
        self.send(call).await?.json()
    }

    async fn order_endpoint(
        &self,
        id: &str,
        said: &serde_json::Value,
    ) -> Result<OrderedEndpoint, Error> {
        let mut call = Call::mutation(Method::PUT, "/v1/balancer/endpoints/").at_key(id);
        call.unname();
        call.json(said);
        self.send(call).await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Said, Stub};

    #[tokio::test]
    async fn an_endpoint_is_drained_and_weighed_by_its_name() {
        let stub = Stub::start(|_, _| {
            let answer = "{\"id\":\"replica-2\",\"drain\":true,\"weight\":3}";
            Said::Answer(200, answer.to_owned())
        })
        .await;
        let told = stub.client().drain_endpoint("replica-2", true).await.unwrap();
        assert_eq!(told.order, EndpointOrder { drain: true, weight: 3 });
        stub.client().weigh_endpoint("a b", 3).await.unwrap();
        let asked = stub.asked();
        assert!(asked[0].line.contains("PUT /v1/balancer/endpoints/replica-2 "), "{asked:?}");
        assert_eq!(asked[0].header("content-type"), Some("application/json"));
        assert_eq!(asked[0].header("idempotency-key"), None, "said twice it is the same");
        assert!(asked[1].line.contains("/endpoints/a%20b"), "{asked:?}");
    }
}
