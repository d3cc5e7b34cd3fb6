//! One name, and a metric for each of the label sets that there are: all of them are made
//! at the start, and written in that order.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Names and values of labels.
pub(crate) type Labels = Vec<(&'static str, &'static str)>;

#[derive(Debug)]
pub(crate) struct Series<M>(Vec<(Labels, M)>);

impl<M: Clone> Series<M> {
    pub(crate) fn new(metrics: impl IntoIterator<Item = (Labels, M)>) -> Self {
        Self(metrics.into_iter().collect())
    }

    /// A metric for each value of one label.
    pub(crate) fn by(label: &'static str, values: &[&'static str], metrics: &[M]) -> Self {
        let labelled = values.iter().zip(metrics);
        Self::new(labelled.map(|(value, metric)| (vec![(label, *value)], metric.clone())))
    }
}

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Series<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
