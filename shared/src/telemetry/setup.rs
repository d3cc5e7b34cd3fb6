//! Starting and ending telemetry.

use std::env;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::collector::{self, MetricsCollector};
use super::log::{Lines, Look};
use super::ring::{SpanRing, ToRing};
use crate::ids::Name;
use crate::message::Service;
use crate::status::VERSION;

/// What is logged unless `RUST_LOG` says otherwise.
const LOG_FILTER: &str = "info,hyper=warn,hyper_util=warn,reqwest=warn,sqlx=warn,opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn";

/// How long the last spans may take to be sent when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

static EXPORTING: AtomicBool = AtomicBool::new(false);
static RECORDING: AtomicBool = AtomicBool::new(false);
static METRICS: OnceLock<MetricsCollector> = OnceLock::new();
static RING: OnceLock<Arc<SpanRing>> = OnceLock::new();

/// Whether this process exports spans.
pub(super) fn is_exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed)
}

/// Whether spans are made at all: to be exported, or to be kept in memory.
#[must_use]
pub fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

/// What takes metrics, where something does.
pub(crate) fn metrics_collector() -> Option<&'static MetricsCollector> {
    METRICS.get()
}

/// The spans that are kept in memory, where they are.
pub(crate) fn ring() -> Option<&'static SpanRing> {
    RING.get().map(Arc::as_ref)
}

/// Sends the last spans when it is dropped, which must be outside of any async runtime.
#[derive(Debug)]
#[must_use = "dropping it ends the export of spans"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            EXPORTING.store(false, Ordering::Relaxed);
            RECORDING.store(false, Ordering::Relaxed);
            if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
                tracing::warn!(%error, "the last spans were not exported");
            }
        }
    }
}

/// Sets up logs and traces for the whole process. To be called once, outside of any async
/// runtime.
///
/// Logs go to standard error, so that what a command prints stays apart from them. Of the
/// newest spans `ring_bytes` are kept in memory; none where that is 0.
///
/// # Errors
/// When `RUST_LOG` or one of the `OTEL_*` variables is malformed, or telemetry was set up
/// before.
pub fn init(service: Service, name: &Name, ring_bytes: usize) -> anyhow::Result<Guard> {
    let terminal = std::io::stderr().is_terminal();
    let look = if terminal { Look::Text } else { Look::Json };
    let lines = Lines::new(look, service.as_str(), name.to_string());
    let wanted = env::var("RUST_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(LOG_FILTER)).context("RUST_LOG")?;
    // Without this, spans would be made for the sake of log lines that do not show them.
    let logs = fmt::layer().with_ansi(terminal).with_writer(std::io::stderr).event_format(lines);
    let logs = logs.with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    let ring = (ring_bytes > 0).then(|| SpanRing::new(ring_bytes));
    let resource = resource(service, name);
    let (provider, exports) = provider(resource.clone(), ring.clone())?;
    let metrics = collector::of_metrics(resource)?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("synod"));
        let layer = layer
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(LevelFilter::INFO.and(filter_fn(|metadata| is_ours(metadata.target()))))
    });
    tracing_subscriber::registry()
        .with(spans)
        .with(logs)
        .try_init()
        .context("telemetry was set up before")?;
    if let Some(ring) = ring {
        let _set_once = RING.set(ring);
    }
    if let Some(metrics) = metrics {
        let _set_once = METRICS.set(metrics);
    }
    EXPORTING.store(exports == Exports::Yes, Ordering::Relaxed);
    RECORDING.store(provider.is_some(), Ordering::Relaxed);
    Ok(Guard { provider })
}

/// Whether a span or event comes from this workspace, and not from a library.
fn is_ours(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    ["acceptor", "balancer", "cli", "coordinator", "replica", "shared", "tests"].contains(&krate)
        || krate.starts_with("synod")
}

/// Whether spans go to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exports {
    Yes,
    No,
}

/// What takes the spans: none where nobody does.
fn provider(
    resource: Resource,
    ring: Option<Arc<SpanRing>>,
) -> anyhow::Result<(Option<SdkTracerProvider>, Exports)> {
    let endpoint = collector::of_spans();
    let exports = if endpoint.is_some() { Exports::Yes } else { Exports::No };
    if endpoint.is_none() && ring.is_none() {
        return Ok((None, exports));
    }
    let mut provider = SdkTracerProvider::builder().with_resource(resource);
    if let Some(ring) = ring {
        provider = provider.with_span_processor(ToRing(ring));
    }
    if let Some(endpoint) = endpoint {
        // The library would repeat what is wrong with it, and it may have a password in it.
        endpoint.parse::<Uri>().context(
            "cannot export traces to what OTEL_EXPORTER_OTLP_ENDPOINT or \
             OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says",
        )?;
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let exporter = exporter.build().context("cannot export traces")?;
        provider = provider.with_batch_exporter(exporter);
    }
    Ok((Some(provider.build()), exports))
}

/// Who sends spans and metrics. What the `OTEL_*` variables say goes first.
fn resource(service: Service, name: &Name) -> Resource {
    let defaults = [
        KeyValue::new("service.name", format!("synod-{}", service.as_str())),
        KeyValue::new("service.instance.id", name.to_string()),
        KeyValue::new("service.version", VERSION),
    ];
    let builder = Resource::builder_empty().with_attributes(defaults);
    let builder = builder
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.trim().is_empty() => builder.with_service_name(name).build(),
        Ok(_) | Err(_) => builder.build(),
    }
}
