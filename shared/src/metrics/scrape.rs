//! What is read only when somebody asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use super::Named;

/// A function that is asked whenever somebody scrapes.
pub(super) struct AtScrape<F>(pub(super) F);

impl<F> fmt::Debug for AtScrape<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtScrape")
    }
}

impl<F> Collector for AtScrape<F>
where
    F: Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Scrape(encoder))
    }
}

/// Takes what is read. Names are written as Prometheus shows them.
#[derive(Debug)]
pub struct Scrape<'a>(DescriptorEncoder<'a>);

impl Scrape<'_> {
    /// What may rise and fall.
    ///
    /// # Errors
    /// None that comes of this.
    pub fn gauge<V: EncodeGaugeValue>(&mut self, name: &str, help: &str, value: V) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut encoder| encoder.encode_gauge(&value))
    }

    /// Gauges that differ in one label, whose values are names of members or known at the
    /// start.
    ///
    /// # Errors
    /// None that comes of this.
    pub fn gauges<L: AsRef<str>, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut encoder| {
            values.into_iter().try_for_each(|(of, value)| {
                encoder.encode_family(&[(label, of.as_ref())])?.encode_gauge(&value)
            })
        })
    }

    /// Which of several states it is in: 1 for that one and 0 for the others.
    ///
    /// # Errors
    /// None that comes of this.
    pub fn state(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        states: &[&'static str],
        present: &str,
    ) -> fmt::Result {
        let each = states.iter().map(|state| (state, u32::from(*state == present)));
        self.gauges(name, help, label, each)
    }

    /// What only grows; its name ends with `_total`.
    ///
    /// # Errors
    /// None that comes of this.
    pub fn counter<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        value: V,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut encoder| {
            encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// Counters that differ in one label, whose values are names of members.
    ///
    /// # Errors
    /// None that comes of this.
    pub fn counters<L: AsRef<str>, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut encoder| {
            values.into_iter().try_for_each(|(of, value)| {
                let labels = [(label, of.as_ref())];
                encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
            })
        })
    }

    /// Writes the head of a family, and then its samples.
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let Named { stem, unit } = Named::of(name, kind);
        samples(self.0.encode_descriptor(stem, &format!("{help}."), unit.as_ref(), kind)?)
    }
}
