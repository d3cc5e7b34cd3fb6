//! What of `GET /metrics` is shown: histograms, of which only what came since the last
//! look counts.

/// A histogram of times: how many took at most so many seconds, by the bound of each
/// bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Times(Vec<(f64, f64)>);

/// What a service measures that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measures {
    /// An acceptor's syncs.
    pub(super) syncs: Times,
    /// A balancer's reads, local ones included …
    pub(super) reads: Times,
    /// … and mutations.
    pub(super) writes: Times,
}

impl Measures {
    /// Reads the text, of which what is not understood is left out.
    pub(super) fn of(text: &str) -> Self {
        let mut measures = Self::default();
        for line in text.lines() {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let Some((labels, value)) = rest.split_once("} ") else { continue };
            // What comes behind it is an exemplar.
            let value = value.split(' ').next().and_then(|value| value.parse().ok());
            let (Some(bound), Some(value)) = (bound_of(labels), value) else { continue };
            let is_write = label(labels, "intent") == Some("mutation");
            match name {
                "synod_acceptor_sync_duration_seconds_bucket" => measures.syncs.add(bound, value),
                "synod_balancer_forward_duration_seconds_bucket" if is_write => {
                    measures.writes.add(bound, value);
                }
                "synod_balancer_forward_duration_seconds_bucket" => {
                    measures.reads.add(bound, value);
                }
                _other => {}
            }
        }
        measures
    }

    /// What came since an earlier look.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            syncs: self.syncs.since(&before.syncs),
            reads: self.reads.since(&before.reads),
            writes: self.writes.since(&before.writes),
        }
    }
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let named = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix('='));
    named.map(|value| value.trim_matches('"'))
}

fn bound_of(labels: &str) -> Option<f64> {
    match label(labels, "le")? {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

impl Times {
    /// Adds to a bucket, for instance what another service has in it.
    fn add(&mut self, bound: f64, count: f64) {
        match self.0.binary_search_by(|(own, _)| own.total_cmp(&bound)) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (bound, count)),
        }
    }

    /// Adds all of another one, which has the same buckets.
    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(bound, count)| self.add(*bound, *count));
    }

    /// What came since; all of it where the process is another one.
    fn since(&self, before: &Self) -> Self {
        if self.count() < before.count() || self.0.len() != before.0.len() {
            return self.clone();
        }
        let pairs = self.0.iter().zip(&before.0);
        Self(pairs.map(|((bound, now), (_, then))| (*bound, (now - then).max(0.0))).collect())
    }

    /// How many.
    pub(super) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The time in seconds that this share of them took at most, as far as buckets tell.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count();
        let at = self.0.iter().position(|(_, count)| *count >= rank && *count > 0.0)?;
        let (from, below) = if at == 0 { (0.0, 0.0) } else { self.0[at - 1] };
        let (to, count) = self.0[at];
        if !to.is_finite() {
            return Some(from);
        }
        Some(from + (to - from) * (rank - below) / (count - below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE synod_balancer_forward_duration_seconds histogram\n\
        synod_balancer_forward_duration_seconds_sum{intent=\"read\"} 1.0\n\
        synod_balancer_forward_duration_seconds_bucket{intent=\"read\",le=\"0.001\"} 2\n\
        synod_balancer_forward_duration_seconds_bucket{intent=\"read\",le=\"0.01\"} 4 # {x=\"y\"} 1\n\
        synod_balancer_forward_duration_seconds_bucket{intent=\"read\",le=\"+Inf\"} 4\n\
        synod_balancer_forward_duration_seconds_bucket{le=\"0.001\",intent=\"local_read\"} 1\n\
        synod_balancer_forward_duration_seconds_bucket{le=\"+Inf\",intent=\"mutation\"} 7\n\
        synod_acceptor_sync_duration_seconds_bucket{le=\"0.5\"} nonsense\n{} {\n";

    #[test]
    fn what_is_shown_is_read_and_the_rest_is_left_out() {
        let measures = Measures::of(TEXT);
        assert_eq!(measures.reads, Times(vec![(0.001, 3.0), (0.01, 4.0), (f64::INFINITY, 4.0)]));
        assert_eq!(measures.writes, Times(vec![(f64::INFINITY, 7.0)]));
        assert_eq!(measures.syncs, Times::default());
    }

    #[test]
    fn only_what_came_since_counts_and_all_of_it_after_a_restart() {
        let times = |counts: [f64; 3]| {
            Times([0.001, 0.01, f64::INFINITY].into_iter().zip(counts).collect())
        };
        let since = times([30.0, 40.0, 40.0]).since(&times([20.0, 20.0, 20.0]));
        assert_eq!(since, times([10.0, 20.0, 20.0]));
        assert_eq!((since.count(), since.quantile(0.5)), (20.0, Some(0.001)));
        assert!((since.quantile(0.75).unwrap() - 0.0055).abs() < 1e-9);
        assert_eq!(times([1.0, 2.0, 2.0]).since(&times([9.0, 9.0, 9.0])), times([1.0, 2.0, 2.0]));
        assert_eq!(Times::default().quantile(0.99), None);
        assert_eq!(times([0.0, 0.0, 3.0]).quantile(0.99), Some(0.01));
    }
}
