//! Histograms whose buckets name a trace, as their exemplars: the last recorded one that fell
//! into each.
#![expect(clippy::disallowed_methods, reason = "an exemplar says when it was")]

use std::fmt;
use std::time::SystemTime;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A histogram with such buckets.
#[derive(Clone, Debug)]
pub struct TracedHistogram(HistogramWithExemplars<[(&'static str, String); 1]>);

impl TracedHistogram {
    pub(crate) fn new<const B: usize>(bounds: [f64; B]) -> Self {
        Self(HistogramWithExemplars::new(bounds.into_iter()))
    }

    /// Takes a value in, and the identity of its trace where that is recorded.
    pub fn observe(&self, value: f64, trace: Option<String>) {
        let when = trace.is_some().then(SystemTime::now);
        self.0.observe(value, trace.map(|trace| [("trace_id", trace)]), when);
    }
}

impl EncodeMetric for TracedHistogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }
}

impl TypedMetric for TracedHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}
