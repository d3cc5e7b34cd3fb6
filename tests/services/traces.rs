//! What Jaeger would see: one `PUT` is one trace through balancer and primary, linked
//! with the trace of its batch, which goes through the coordinator and all acceptors to
//! the execution on every replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

/// A span and the service that it is of, by `service.name` and `service.instance.id`.
#[derive(Clone, Debug)]
struct Seen {
    service: String,
    instance: String,
    span: Span,
}

/// Receives OTLP over HTTP.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

async fn collect(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut spans = collector.0.lock().unwrap();
    for resource_spans in request.resource_spans {
        let attribute = |key: &str| {
            let attributes =
                resource_spans.resource.iter().flat_map(|resource| &resource.attributes);
            let found = attributes
                .filter(|attribute| attribute.key == key)
                .find_map(|attribute| attribute.value.clone()?.value);
            match found {
                Some(any_value::Value::StringValue(text)) => text,
                other => panic!("resource attribute {key} is {other:?}"),
            }
        };
        let (service, instance) = (attribute("service.name"), attribute("service.instance.id"));
        for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Seen { service: service.clone(), instance: instance.clone(), span });
        }
    }
    StatusCode::OK
}

impl Collector {
    async fn serve(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/v1/traces", post(collect)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    fn trace(&self, trace_id: &[u8]) -> Vec<Seen> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.span.trace_id == trace_id)
            .cloned()
            .collect()
    }
}

fn named<'a>(trace: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    trace.iter().filter(|seen| seen.span.name == name).collect()
}

fn only<'a>(trace: &'a [Seen], name: &str) -> Result<&'a Seen> {
    let found = named(trace, name);
    ensure!(found.len() == 1, "{} spans are named {name}: {:?}", found.len(), names(trace));
    Ok(found[0])
}

fn names(trace: &[Seen]) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for seen in trace {
        names.entry(seen.span.name.clone()).or_default().insert(seen.instance.clone());
    }
    names
}

/// Whether `ancestor` is reached by going from parent to parent.
fn descends(trace: &[Seen], from: &Span, ancestor: &Span) -> bool {
    let mut at = from;
    for _ in 0..trace.len() {
        if at.parent_span_id == ancestor.span_id {
            return true;
        }
        match trace.iter().find(|seen| seen.span.span_id == at.parent_span_id) {
            Some(parent) => at = &parent.span,
            None => return false,
        }
    }
    false
}

fn hex(text: &str) -> Result<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(text.get(at..at + 2).context("odd")?, 16)?))
        .collect()
}

/// What a caller's `traceparent` says: its trace, and the span within it that calls.
struct Caller {
    trace: String,
    span: String,
}

impl Caller {
    fn new(number: u8) -> Self {
        Self {
            trace: format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}"),
            span: format!("00f067aa0ba902{number:02x}"),
        }
    }

    /// Puts a key at a service and waits until the trace of that is as it must be.
    async fn put(&self, cluster: &Cluster, at: &str, check: impl Fn() -> Result<()>) -> Result<()> {
        let traceparent = format!("00-{}-{}-01", self.trace, self.span);
        let url = format!("{}/v1/kv/traced/{}", cluster.url(at), self.span);
        let response =
            cluster.http().put(url).header("traceparent", traceparent).body("value").send().await?;
        ensure!(response.status() == 201, "{}: {}", response.status(), response.text().await?);
        ensure!(
            response.headers()["trace-id"] == self.trace.as_str(),
            "every response names its trace"
        );
        eventually("the whole trace has arrived", || std::future::ready(check())).await
    }
}

/// Who is what, and since when.
#[derive(PartialEq)]
struct Roles {
    primary: String,
    view: Value,
    leader: String,
    ballot: Value,
}

impl Roles {
    async fn of(cluster: &Cluster) -> Result<Self> {
        let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
        let view = cluster.json(&primary, "/v1/status").await?["view"].clone();
        let ballot = cluster.json(&leader, "/v1/status").await?["ballot"].clone();
        Ok(Self { primary, view, leader, ballot })
    }
}

/// A cluster that sends its spans to a collector.
struct Traced {
    cluster: Cluster,
    collector: Collector,
}

impl Traced {
    async fn start() -> Result<Self> {
        let collector = Collector::default();
        let endpoint = collector.serve().await?;
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ];
        Ok(Self { cluster: Cluster::start(synod(), Size::default(), &env).await?, collector })
    }

    /// Puts a key at a service of these roles, and holds the trace to a check; again if
    /// somebody was replaced meanwhile, which a busy machine may bring about: then the
    /// way was another one.
    async fn put(
        &self,
        at: impl Fn(&Roles) -> Result<String>,
        check: impl Fn(&Caller, &Roles) -> Result<()>,
    ) -> Result<()> {
        for number in 0..=u8::MAX {
            self.cluster.wait_until_whole().await?;
            self.wait_until_level().await?;
            let (caller, roles) = (Caller::new(number), Roles::of(&self.cluster).await?);
            let outcome = caller.put(&self.cluster, &at(&roles)?, || check(&caller, &roles)).await;
            if outcome.is_ok() || Roles::of(&self.cluster).await? == roles {
                return outcome;
            }
        }
        bail!("somebody is replaced all the time")
    }

    /// What an acceptor lacks is sent together, and then in the trace of the first batch
    /// of it.
    async fn wait_until_level(&self) -> Result<()> {
        let Self { cluster, .. } = self;
        eventually("no acceptor is behind", || async {
            let chosen_below =
                cluster.json(&cluster.primary().await?, "/v1/status").await?["chosen_below"]
                    .clone();
            for acceptor in cluster.names("acceptor") {
                let voted_below =
                    cluster.json(&acceptor, "/v1/status").await?["voted_below"].clone();
                ensure!(
                    voted_below == chosen_below,
                    "{acceptor} has voted below {voted_below} of {chosen_below}"
                );
            }
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_put_is_one_trace_linked_with_the_trace_of_its_batch() -> Result<()> {
    let traced = Traced::start().await?;
    let check = |caller: &Caller, roles: &Roles| {
        check_put(&traced.cluster, &traced.collector, caller, roles)
    };
    traced.put(|_| Ok("balancer-1".to_owned()), check).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_at_a_backup_is_one_trace_with_the_primary() -> Result<()> {
    let traced = Traced::start().await?;
    let backup_of = |roles: &Roles| {
        let names = traced.cluster.names("replica");
        names.into_iter().find(|name| *name != roles.primary).context("three replicas")
    };
    let check = |caller: &Caller, roles: &Roles| {
        let trace = traced.collector.trace(&hex(&caller.trace)?);
        let (forwarding, executing) =
            (only(&trace, "replica.put")?, only(&trace, "replica.command")?);
        ensure!(forwarding.instance == backup_of(roles)?, "{forwarding:?}");
        ensure!(executing.instance == roles.primary, "{executing:?}");
        ensure!(
            descends(&trace, &executing.span, &forwarding.span),
            "the primary's replica.command descends from the backup's replica.put"
        );
        ensure!(
            forwarding.span.links.is_empty() && executing.span.links.len() == 1,
            "only the primary's links to a batch"
        );
        Ok(())
    };
    traced.put(backup_of, check).await
}

fn check_put(
    cluster: &Cluster,
    collector: &Collector,
    caller: &Caller,
    roles: &Roles,
) -> Result<()> {
    let Roles { primary, leader, .. } = roles;
    let (caller, caller_span) = (hex(&caller.trace)?, hex(&caller.span)?);
    let request = collector.trace(&caller);
    let forward = only(&request, "balancer.forward")?;
    ensure!(forward.service == "synod-balancer" && forward.instance == "balancer-1", "{forward:?}");
    let put = only(&request, "replica.put")?;
    ensure!(put.service == "synod-replica" && put.instance == *primary, "{put:?}");
    ensure!(
        descends(&request, &put.span, &forward.span),
        "replica.put descends from balancer.forward"
    );
    ensure!(
        forward.span.parent_span_id == caller_span
            || request.iter().any(|seen| seen.span.parent_span_id == caller_span
                && descends(&request, &forward.span, &seen.span)),
        "the trace hangs below the caller's span"
    );

    let link = put.span.links.first().context("replica.put links to its batch")?;
    let batch_trace = collector.trace(&link.trace_id);
    let batch = only(&batch_trace, "replica.batch")?;
    ensure!(batch.span.span_id == link.span_id && batch.instance == *primary, "{batch:?}");
    ensure!(batch.span.parent_span_id.is_empty(), "a batch is a trace of its own");
    ensure!(
        batch
            .span
            .links
            .iter()
            .any(|link| link.trace_id == caller && link.span_id == put.span.span_id),
        "the batch links back to its request"
    );
    let propose = only(&batch_trace, "coordinator.propose")?;
    ensure!(propose.service == "synod-coordinator" && propose.instance == *leader, "{propose:?}");
    ensure!(
        descends(&batch_trace, &propose.span, &batch.span),
        "coordinator.propose descends from replica.batch"
    );

    let accepts = named(&batch_trace, "acceptor.accept");
    let acceptors: BTreeSet<String> = accepts.iter().map(|seen| seen.instance.clone()).collect();
    ensure!(
        acceptors.into_iter().collect::<Vec<_>>() == cluster.names("acceptor"),
        "{:?}",
        names(&batch_trace)
    );
    ensure!(
        accepts.iter().all(|accept| descends(&batch_trace, &accept.span, &propose.span)),
        "acceptor.accept is below propose"
    );
    let executes = named(&batch_trace, "replica.execute");
    let replicas: BTreeSet<String> = executes.iter().map(|seen| seen.instance.clone()).collect();
    ensure!(
        replicas.into_iter().collect::<Vec<_>>() == cluster.names("replica"),
        "{:?}",
        names(&batch_trace)
    );
    ensure!(
        executes.iter().all(|execute| descends(&batch_trace, &execute.span, &batch.span)),
        "replica.execute is below the batch"
    );
    Ok(())
}
