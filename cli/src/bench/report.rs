//! What a measurement says, as tables and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::processes::Discovered;
use super::tally::Measured;
use crate::console::{Align, Table, grouped};

/// All of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) value_bytes: u32,
    /// How long each measurement took.
    pub(crate) seconds: u32,
    pub(crate) load: Vec<LoadRow>,
    pub(crate) memory: Vec<MemoryRow>,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub(crate) struct LoadRow {
    work: &'static str,
    clients: u16,
    operations: u64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    errors: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_per_second: Option<f64>,
}

impl LoadRow {
    pub(crate) fn new(work: &'static str, clients: u16, measured: &Measured) -> Self {
        let Measured { latency, elapsed, errors, writes_per_second } = measured;
        let operations = latency.len();
        Self {
            work,
            clients,
            operations,
            per_second: operations as f64 / elapsed.as_secs_f64(),
            p50_ms: millis(latency.value_at_quantile(0.5)),
            p99_ms: millis(latency.value_at_quantile(0.99)),
            max_ms: millis(latency.max()),
            errors: errors.clone(),
            writes_per_second: *writes_per_second,
        }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// The memory of one service's process; none where it is not on this machine.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryRow {
    service: String,
    pid: i32,
    resident_bytes_at_rest: Option<u64>,
    resident_bytes_after: Option<u64>,
}

impl MemoryRow {
    pub(crate) fn new(service: &Discovered, at_rest: Option<u64>, after: Option<u64>) -> Self {
        let (service, pid) = (service.status.id.clone(), service.status.pid);
        Self { service, pid, resident_bytes_at_rest: at_rest, resident_bytes_after: after }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut load = Table::new([
            ("work", Align::Left),
            ("clients", Align::Right),
            ("per second", Align::Right),
            ("p50 ms", Align::Right),
            ("p99 ms", Align::Right),
            ("max ms", Align::Right),
            ("errors", Align::Right),
        ]);
        for row in &self.load {
            load.row([
                row.work.to_owned(),
                row.clients.to_string(),
                grouped(row.per_second.round() as u64),
                format!("{:.2}", row.p50_ms),
                format!("{:.2}", row.p99_ms),
                format!("{:.2}", row.max_ms),
                grouped(row.errors.values().sum()),
            ]);
        }
        let mut memory = Table::new([
            ("service", Align::Left),
            ("pid", Align::Right),
            ("MiB at rest", Align::Right),
            ("MiB after", Align::Right),
        ]);
        let mib = |bytes: Option<u64>| {
            bytes.map_or_else(
                || String::from("-"),
                |bytes| format!("{:.1}", bytes as f64 / 1_048_576.0),
            )
        };
        for row in &self.memory {
            let (at_rest, after) = (mib(row.resident_bytes_at_rest), mib(row.resident_bytes_after));
            memory.row([row.service.clone(), row.pid.to_string(), at_rest, after]);
        }
        writeln!(
            f,
            "{} byte values, {} s each\n\n{load}\n{memory}",
            self.value_bytes, self.seconds
        )?;
        for row in &self.load {
            if let Some(writes) = row.writes_per_second {
                let writes = grouped(writes.round() as u64);
                writeln!(f, "  {} with {} clients: {writes} writes/s", row.work, row.clients)?;
            }
            for (error, count) in &row.errors {
                writeln!(f, "  {} with {} clients: {count} times {error}", row.work, row.clients)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;

    #[test]
    fn a_row_tells_rate_and_percentiles() {
        let mut latency = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).unwrap();
        (1..=100).for_each(|millis| latency.saturating_record(millis * 1_000));
        let errors = BTreeMap::from([(String::from("503 Service Unavailable"), 2)]);
        let row = LoadRow::new(
            "write",
            16,
            &Measured {
                latency,
                elapsed: Duration::from_secs(5),
                errors,
                writes_per_second: Some(999.6),
            },
        );
        assert_eq!((row.operations, row.per_second), (100, 20.0));
        assert!(
            (row.p50_ms - 50.0).abs() < 0.1
                && (row.p99_ms - 99.0).abs() < 0.1
                && (row.max_ms - 100.0).abs() < 0.2,
            "{row:?}"
        );

        let memory = vec![MemoryRow {
            service: "acceptor-1".into(),
            pid: 7,
            resident_bytes_at_rest: Some(10 << 20),
            resident_bytes_after: None,
        }];
        let text = Report { value_bytes: 256, seconds: 5, load: vec![row], memory }.to_string();
        assert!(text.contains("  write       16          20   50."), "{text}");
        assert!(text.contains("  acceptor-1    7         10.0          -"), "{text}");
        assert!(text.contains("write with 16 clients: 2 times 503 Service Unavailable"), "{text}");
        assert!(text.contains("write with 16 clients: 1,000 writes/s\n"), "{text}");
    }
}
