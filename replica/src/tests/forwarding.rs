//! A backup answers a mutation in the same bytes as the primary.
#![expect(clippy::disallowed_methods, reason = "a test of a deadline reads the clock")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use shared::client::ReplicaClient;
use shared::ids::{ClusterId, Revision};

use super::network::{Behaviour, CLUSTER, LIMIT, Network, eventually};
use super::send;
use crate::driver::command;
use crate::http::forward::{ForwardReply, ForwardedCommand};
use crate::http::mutation::{Mutated, MutationRefused, Performed};
use crate::machine::command::{Condition, Op};
use crate::machine::execute::Delivery;
use crate::replica::event::{NotApplied, Stall};

/// An answer, but for what no two answers have in common.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

struct Request {
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

fn request(
    method: Method,
    path: &'static str,
    headers: &[(&'static str, &'static str)],
) -> Request {
    Request { method, path, headers: headers.to_vec(), body: b"v".to_vec() }
}

impl Network {
    async fn answer(&self, node: usize, request: &Request) -> Answer {
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let sent = self.request(node, request.method.clone(), request.path);
        let mut seen = send(sent.headers(headers.collect()).body(request.body.clone())).await;
        for name in ["date", "trace-id"] {
            assert!(seen.headers.remove(name).is_some(), "{name}: {seen:?}");
        }
        let body = seen.text().to_owned();
        Answer { status: seen.status, headers: seen.headers, body }
    }

    /// Two replicas, whose states are at this revision.
    async fn at_revision(revision: u64) -> Self {
        let network = Self::start(2).await;
        let shown = async |node: usize| {
            network.status(&network.nodes[node]).await["revision"].as_u64().unwrap()
        };
        while network.get(0, "/v1/kv/warm-up").await.header("synod-revision")
            != revision.to_string()
        {
            network.put(0, "/v1/kv/warm-up", "").await;
        }
        eventually("both have the revision", async || {
            shown(0).await == revision && shown(1).await == revision
        })
        .await;
        network
    }

    async fn command(
        &self,
        node: usize,
        message: &ForwardedCommand,
        granted: Duration,
    ) -> ForwardReply {
        let client = ReplicaClient::new(self.nodes[node].url.parse().unwrap());
        client.command(message, None, granted, Duration::from_secs(20)).await.unwrap()
    }
}

/// Every kind of mutation, and every way in which it is refused while all is well. The
/// state is at revision 10 before.
fn mutations() -> Vec<Request> {
    let (put, delete) = (Method::PUT, Method::DELETE);
    let of = |method: &Method, path, headers: &[_]| request(method.clone(), path, headers);
    let mut all = vec![
        of(&put, "/v1/kv/a", &[]),
        of(&put, "/v1/kv/a", &[("content-type", "text/odd")]),
        of(&put, "/v1/kv/a", &[("if-match", "\"11\"")]),
        of(&put, "/v1/kv/a", &[("if-match", "\"11\", \"12\"")]),
        of(&put, "/v1/kv/a", &[("if-none-match", "*")]),
        of(&put, "/v1/kv/p/1", &[("if-match", "*")]),
        of(&put, "/v1/kv/p/1", &[("if-none-match", "*")]),
        of(&put, "/v1/kv/p%2f2", &[("synod-min-revision", "14")]),
        of(&put, "/v1/kv/a", &[("synod-min-revision", "9999"), ("synod-timeout", "1s")]),
        of(&put, "/v1/kv/a", &[("synod-min-revision", "soon")]),
        of(&put, "/v1/kv/a", &[("content-range", "bytes 0-1/2")]),
        of(&put, "/v1/kv/", &[]),
        of(&delete, "/v1/kv/a", &[("if-match", "\"11\"")]),
        of(&delete, "/v1/kv/a", &[]),
        of(&delete, "/v1/kv/a", &[]),
        of(&delete, "/v1/kv?prefix=p/", &[]),
        of(&delete, "/v1/kv?prefix=p/", &[]),
        of(&delete, "/v1/kv?prefix=", &[]),
        of(&delete, "/v1/kv?all=true", &[]),
    ];
    all.push(Request { body: vec![7; (1 << 20) + 1], ..request(put, "/v1/kv/large", &[]) });
    all
}

#[tokio::test]
async fn a_backup_answers_every_mutation_in_the_bytes_of_the_primary() {
    let (one, other) = tokio::join!(Network::at_revision(10), Network::at_revision(10));
    let mut statuses = std::collections::BTreeSet::new();
    for request in mutations() {
        let (own, forwarded) = tokio::join!(one.answer(0, &request), other.answer(1, &request));
        assert_eq!(own, forwarded, "{} {} {:?}", request.method, request.path, request.headers);
        statuses.insert(own.status);
        // What speaks of no state in particular names the newest that the replica has.
        let revision = own.headers["synod-revision"].to_str().unwrap().parse::<u64>().unwrap();
        eventually("the backup has executed it", async || {
            other.status(&other.nodes[1]).await["revision"].as_u64() >= Some(revision)
        })
        .await;
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 201, 400, 412, 413, 503]);
}

/// The first is proposed, if anything is, and the second waits behind it. Only where the
/// reason does not change while it lasts.
async fn two_puts(behaviour: Behaviour, node: usize) -> Vec<Answer> {
    let put = request(Method::PUT, "/v1/kv/a", &[("synod-timeout", "2s")]);
    for _ in 0..5 {
        let network = Network::at_revision(10).await;
        network.fake.behave(behaviour);
        eventually("what is wrong is known", async || {
            let status = network.status(&network.nodes[0]).await;
            match behaviour {
                Behaviour::NoLeader => status["leader"].is_null(),
                Behaviour::Silent => status["quorum_answers"] == false,
                Behaviour::Works
                | Behaviour::SwallowsProposals
                | Behaviour::ChoosesLate
                | Behaviour::Overloaded
                | Behaviour::OtherCluster => true,
            }
        })
        .await;
        let answers = vec![network.answer(node, &put).await, network.answer(node, &put).await];
        // On a busy machine the answer may come later than the time kept back for it.
        if !answers.iter().any(|answer| answer.body.contains("did not answer within")) {
            return answers;
        }
    }
    panic!("the primary's answer comes too late five times");
}

#[tokio::test]
async fn a_backup_refuses_in_the_bytes_of_the_primary() {
    for (behaviour, word) in [
        (Behaviour::NoLeader, "no coordinator leads"),
        (Behaviour::Silent, "no quorum"),
        (Behaviour::Overloaded, LIMIT),
    ] {
        let (own, forwarded) = tokio::join!(two_puts(behaviour, 0), two_puts(behaviour, 1));
        assert_eq!(own, forwarded, "{behaviour:?}");
        assert!(own.iter().all(|answer| answer.body.contains(word)), "{behaviour:?}: {own:?}");
        assert!(own[1].body.contains("not_applied"), "{behaviour:?}: {own:?}");
    }
}

fn put(cluster: ClusterId, min_revision: Option<Revision>) -> ForwardedCommand {
    let op = Op::Put {
        key: "k".into(),
        value: Bytes::from_static(b"v"),
        content_type: None,
        condition: Condition::Always,
    };
    ForwardedCommand { cluster, min_revision, command: command(op, None, None) }
}

#[tokio::test]
async fn a_forwarded_command_goes_one_hop_within_its_cluster_and_its_time() {
    let network = Network::at_revision(10).await;
    let (long, short) = (Duration::from_secs(10), Duration::from_millis(300));
    let done = network.command(0, &put(CLUSTER, Some(Revision(10))), long).await;
    let mutated = Mutated::Created { revision: Revision(11) };
    let delivery = Delivery::First;
    assert_eq!(done, ForwardReply::Done(Performed { mutated, delivery }));

    let astray = network.command(1, &put(CLUSTER, None), long).await;
    let primary = Some("replica-1".parse().unwrap());
    let refused = MutationRefused::NotApplied(NotApplied::NotPrimary { primary });
    assert_eq!(astray, ForwardReply::Refused(refused));

    let foreign = network.command(0, &put(ClusterId(8), None), long).await;
    let refused = MutationRefused::OtherCluster { own: Some(CLUSTER) };
    assert_eq!(foreign, ForwardReply::Refused(refused));

    network.fake.behave(Behaviour::SwallowsProposals);
    let began = Instant::now();
    let late = network.command(0, &put(CLUSTER, None), short).await;
    assert_eq!(late, ForwardReply::Refused(MutationRefused::Unknown(Stall::Slow)));
    assert!(began.elapsed() < long, "{:?} for what was granted {short:?}", began.elapsed());
}
