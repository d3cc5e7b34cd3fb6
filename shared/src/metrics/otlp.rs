//! The same numbers as OTLP has them (`opentelemetry/proto/metrics/v1`), made of the text: so
//! that what is exported is what `GET /metrics` answers, by the same names. Pure.
//!
//! Counters and histograms are cumulative since the process began. Units are UCUM's, as
//! OpenTelemetry wants them.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum, exemplar, metric, number_data_point,
};

use super::lines::Line;

/// Since when it is counted, and the time of the numbers, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) began: u64,
    pub(super) now: u64,
}

/// All that has a number.
pub(super) fn metrics(open: &str, times: Times) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    let mut help = "";
    for line in open.lines() {
        match Line::of(line) {
            Line::Help(_, said) => help = said,
            Line::Type(name, kind) => metrics.push(empty(name, kind, help)),
            Line::Unit(_, unit) => {
                if let Some(metric) = metrics.last_mut() {
                    metric.unit = if unit == "bytes" { "By".to_owned() } else { "s".to_owned() };
                }
            }
            Line::Sample(sample, exemplar) => {
                if let (Some(metric), Some(sample)) = (metrics.last_mut(), Sample::of(sample)) {
                    let exemplar = exemplar.and_then(example);
                    add(metric, &sample, exemplar, times);
                }
            }
            Line::Other => {}
        }
    }
    metrics.retain(has_points);
    metrics
}

/// A family of which no number is read yet, by the name that its samples have.
fn empty(name: &str, kind: &str, help: &str) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let (suffix, data) = match kind {
        "counter" => {
            let sum = Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic: true };
            ("_total", metric::Data::Sum(sum))
        }
        "histogram" => {
            let histogram = Histogram { data_points: Vec::new(), aggregation_temporality };
            ("", metric::Data::Histogram(histogram))
        }
        "info" => ("_info", metric::Data::Gauge(Gauge::default())),
        _ => ("", metric::Data::Gauge(Gauge::default())),
    };
    Metric {
        name: format!("{name}{suffix}"),
        description: help.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn has_points(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
        Some(metric::Data::Sum(sum)) => !sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
        _ => false,
    }
}

/// A line with a number.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or_default();
        Some(Self { name, labels, value: value.parse().ok()? })
    }
}

/// Takes a line into the family that it is of.
fn add(metric: &mut Metric, sample: &Sample<'_>, exemplar: Option<Exemplar>, times: Times) {
    let number = |start_time_unix_nano| NumberDataPoint {
        attributes: attributes(sample.labels),
        start_time_unix_nano,
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    match &mut metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.push(number(0)),
        Some(metric::Data::Sum(sum)) => sum.data_points.push(number(times.began)),
        Some(metric::Data::Histogram(histogram)) => {
            // The encoder writes the sum first, then the count and the buckets, each of which
            // has those below it, too.
            let suffix = sample.name.strip_prefix(metric.name.as_str());
            let points = &mut histogram.data_points;
            match (suffix, points.last_mut()) {
                (Some("_sum"), _) => points.push(HistogramDataPoint {
                    attributes: attributes(sample.labels),
                    start_time_unix_nano: times.began,
                    time_unix_nano: times.now,
                    sum: Some(sample.value),
                    ..HistogramDataPoint::default()
                }),
                (Some("_count"), Some(point)) => point.count = sample.value as u64,
                (Some("_bucket"), Some(point)) => {
                    let below: u64 = point.bucket_counts.iter().sum();
                    point.bucket_counts.push((sample.value as u64).saturating_sub(below));
                    let bound = bound(sample.labels);
                    point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
                    point.exemplars.extend(exemplar);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Names and values of labels. No value has a quote in it: all are names.
fn pairs(labels: &str) -> impl Iterator<Item = (&str, &str)> {
    labels.split_terminator("\",").filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name, value.strip_suffix('"').unwrap_or(value)))
    })
}

fn bound(labels: &str) -> Option<f64> {
    let (_, bound) = pairs(labels).find(|(name, _)| *name == "le")?;
    bound.parse().ok()
}

fn attributes(labels: &str) -> Vec<KeyValue> {
    pairs(labels).map(|(name, value)| attribute(name, value)).collect()
}

/// One of OTLP's.
pub(super) fn attribute(name: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

/// Reads `{trace_id="…"} VALUE SECONDS`.
fn example(exemplar: &str) -> Option<Exemplar> {
    let (labels, numbers) = exemplar.strip_prefix('{')?.split_once("} ")?;
    let (_, trace) = pairs(labels).find(|(name, _)| *name == "trace_id")?;
    let (value, when) = numbers.split_once(' ')?;
    let when: f64 = when.parse().ok()?;
    Some(Exemplar {
        time_unix_nano: (when * 1e9) as u64,
        trace_id: u128::from_str_radix(trace, 16).ok()?.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(value.parse().ok()?)),
        ..Exemplar::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { began: 3, now: 7 };

    #[test]
    fn numbers_are_those_of_the_text() {
        let open = "# HELP synod_written_bytes Bytes written.\n\
            # TYPE synod_written_bytes counter\n\
            # UNIT synod_written_bytes bytes\n\
            synod_written_bytes_total{of=\"a\",to=\"/{*b}\"} 7\n\
            # HELP synod_build Which service this is.\n\
            # TYPE synod_build info\n\
            synod_build_info{service=\"acceptor\"} 1\n\
            # HELP synod_nothing None.\n\
            # TYPE synod_nothing gauge\n\
            # EOF\n";
        let number = |attributes, start_time_unix_nano, value| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano: 7,
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let written = Sum {
            data_points: vec![number(vec![attribute("of", "a"), attribute("to", "/{*b}")], 3, 7.0)],
            aggregation_temporality: 2,
            is_monotonic: true,
        };
        let build =
            Gauge { data_points: vec![number(vec![attribute("service", "acceptor")], 0, 1.0)] };
        let expected = [
            Metric {
                name: "synod_written_bytes_total".to_owned(),
                description: "Bytes written.".to_owned(),
                unit: "By".to_owned(),
                data: Some(metric::Data::Sum(written)),
                ..Metric::default()
            },
            Metric {
                name: "synod_build_info".to_owned(),
                description: "Which service this is.".to_owned(),
                data: Some(metric::Data::Gauge(build)),
                ..Metric::default()
            },
        ];
        assert_eq!(metrics(open, TIMES), expected);
    }

    #[test]
    fn each_bucket_has_what_is_in_it_alone_and_its_exemplar() {
        let open = "# HELP synod_sync_seconds Syncs.\n\
            # TYPE synod_sync_seconds histogram\n\
            # UNIT synod_sync_seconds seconds\n\
            synod_sync_seconds_sum{r=\"a\"} 2.75\n\
            synod_sync_seconds_count{r=\"a\"} 4\n\
            synod_sync_seconds_bucket{le=\"0.5\",r=\"a\"} 1 # {trace_id=\"00000000000000000000000000004bf9\"} 0.25 1760000000.5\n\
            synod_sync_seconds_bucket{le=\"1.0\",r=\"a\"} 3\n\
            synod_sync_seconds_bucket{le=\"+Inf\",r=\"a\"} 4\n\
            # EOF\n";
        let exemplar = Exemplar {
            time_unix_nano: 1_760_000_000_500_000_000,
            trace_id: 0x4bf9_u128.to_be_bytes().to_vec(),
            value: Some(exemplar::Value::AsDouble(0.25)),
            ..Exemplar::default()
        };
        let point = HistogramDataPoint {
            attributes: vec![attribute("r", "a")],
            start_time_unix_nano: 3,
            time_unix_nano: 7,
            count: 4,
            sum: Some(2.75),
            bucket_counts: vec![1, 2, 1],
            explicit_bounds: vec![0.5, 1.0],
            exemplars: vec![exemplar],
            ..HistogramDataPoint::default()
        };
        let [metric] = metrics(open, TIMES).try_into().unwrap();
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("synod_sync_seconds", "s"));
        let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
        assert_eq!(metric.data, Some(metric::Data::Histogram(histogram)));
    }
}
