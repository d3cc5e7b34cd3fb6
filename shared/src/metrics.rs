//! `GET /metrics`: what every service counts and measures, as text for Prometheus.
//!
//! A [`Metrics`] is the registry of one service. It is made where the service is bound
//! ([`crate::service::Running`]), filled by the service before it serves, and served by
//! [`crate::server::serve`], so that no service can forget it. A name is written in the code
//! as Prometheus shows it, unit and `_total` included, in one place.
//!
//! What is counted where requests pass is a handle that was made at the start: an atomic, or
//! a lock of a few instructions for a histogram. What is known anyhow is read when somebody
//! asks ([`Metrics::at_scrape`]). Labels have values that are known at the start, or names
//! of members; never what a client sends.

mod export;
mod exposition;
mod lines;
mod otlp;
mod plain;
mod process;
mod scrape;
mod series;
mod traced;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::exposition::routes;
pub use self::exposition::{OPEN_METRICS, PLAIN};
use self::scrape::AtScrape;
pub use self::scrape::Scrape;
pub(crate) use self::series::{Labels, Series};
pub use self::traced::TracedHistogram;
use crate::ids::Name;
use crate::message::Service;
use crate::status::VERSION;
use crate::versions;

/// Bounds of what takes from a sync (0.1 ms) to a time-out (10 s), in seconds.
pub const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Bounds of how many are taken at once.
pub const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// Bounds of the sizes of messages, from 256 bytes to 16 MiB.
pub const BYTES: [f64; 9] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// Sets a gauge to a number that is never negative.
pub fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// The registry of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    names: BTreeSet<&'static str>,
}

impl Metrics {
    /// What all services tell: which one it is, and what its process takes.
    #[must_use]
    pub fn new(service: Service, name: &Name) -> Self {
        let mut metrics = Self { registry: Registry::default(), names: BTreeSet::new() };
        let labels = vec![
            ("service", service.as_str().to_owned()),
            ("name", name.to_string()),
            ("version", VERSION.to_owned()),
        ];
        metrics.registry.register("synod_build", "Which service this is", Info::new(labels));
        metrics.at_scrape(process::collector());
        metrics.at_scrape(|scrape| {
            scrape.gauge(
                "synod_other_versions",
                "Services met lately that speak another version of the messages",
                versions::others().len(),
            )
        });
        metrics
    }

    /// A counter; its name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(name, help, counter.clone());
        counter
    }

    /// Counters that differ in one label, in the order of its values.
    pub fn counters<const N: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [Counter; N] {
        let counters = values.map(|_| Counter::default());
        self.register(name, help, Series::by(label, &values, &counters));
        counters
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(name, help, gauge.clone());
        gauge
    }

    /// Gauges that differ in one label, in the order of its values.
    pub fn gauges<const N: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [Gauge; N] {
        let gauges = values.map(|_| Gauge::default());
        self.register(name, help, Series::by(label, &values, &gauges));
        gauges
    }

    /// A histogram with buckets of these bounds.
    pub fn histogram<const B: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        bounds: [f64; B],
    ) -> Histogram {
        let histogram = Histogram::new(bounds);
        self.register(name, help, histogram.clone());
        histogram
    }

    /// Histograms that differ in one label, in the order of its values.
    pub fn histograms<const N: usize, const B: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        (label, values): (&'static str, [&'static str; N]),
        bounds: [f64; B],
    ) -> [Histogram; N] {
        let histograms = values.map(|_| Histogram::new(bounds));
        self.register(name, help, Series::by(label, &values, &histograms));
        histograms
    }

    /// A histogram with buckets of these bounds that name traces.
    pub fn traced_histogram<const B: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        bounds: [f64; B],
    ) -> TracedHistogram {
        let histogram = TracedHistogram::new(bounds);
        self.register(name, help, histogram.clone());
        histogram
    }

    /// Such histograms that differ in one label, in the order of its values.
    pub fn traced_histograms<const N: usize, const B: usize>(
        &mut self,
        name: &'static str,
        help: &str,
        (label, values): (&'static str, [&'static str; N]),
        bounds: [f64; B],
    ) -> [TracedHistogram; N] {
        let histograms = values.map(|_| TracedHistogram::new(bounds));
        self.register(name, help, Series::by(label, &values, &histograms));
        histograms
    }

    /// Has this read and written whenever somebody asks. It must not wait.
    pub fn at_scrape<F>(&mut self, read: F)
    where
        F: Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static,
    {
        self.registry.register_collector(Box::new(AtScrape(read)));
    }

    /// Tells how full the file system below a folder is.
    pub fn disk(&mut self, folder: PathBuf) {
        self.at_scrape(move |scrape| process::disk(scrape, &folder));
    }

    pub(crate) fn register(
        &mut self,
        name: &'static str,
        help: &str,
        metric: impl EncodeMetric + fmt::Debug + Send + Sync + 'static,
    ) {
        assert!(self.names.insert(name), "{name} is there twice");
        let Named { stem, unit } = Named::of(name, metric.metric_type());
        match unit {
            Some(unit) => self.registry.register_with_unit(stem, help, unit, metric),
            None => self.registry.register(stem, help, metric),
        }
    }

    /// All of it, in the text format of OpenMetrics 1.0.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// A name as it is written in the code, taken apart as the encoder puts it together.
struct Named<'a> {
    stem: &'a str,
    unit: Option<Unit>,
}

impl<'a> Named<'a> {
    fn of(name: &'a str, kind: MetricType) -> Self {
        let stem = match (kind, name.strip_suffix("_total")) {
            (MetricType::Counter, Some(stem)) => stem,
            (MetricType::Counter, None) | (_, Some(_)) => {
                panic!("{name} is a {}: only counters end with _total", kind.as_str())
            }
            (_, None) => name,
        };
        let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
        let found =
            units.into_iter().find_map(|(suffix, unit)| Some((stem.strip_suffix(suffix)?, unit)));
        match found {
            Some((stem, unit)) => Self { stem, unit: Some(unit) },
            None => Self { stem, unit: None },
        }
    }
}

#[cfg(test)]
mod tests;
