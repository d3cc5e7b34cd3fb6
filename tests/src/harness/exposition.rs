//! What a service answers to `GET /metrics`, read strictly: whatever OpenMetrics 1.0 does not
//! allow, or Prometheus' conventions advise against, is an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// Whole and well-formed.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
    /// By name and labels, as written.
    samples: BTreeMap<String, f64>,
    names: BTreeSet<String>,
    /// Traces that stand as examples on a bucket, by its name and labels.
    exemplars: BTreeMap<String, String>,
    lines: usize,
}

/// What stands above the samples of a name.
#[derive(Clone, Debug, Default)]
struct Family {
    help: String,
    kind: String,
    unit: Option<String>,
}

/// A line with a value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

impl Exposition {
    /// Reads it.
    ///
    /// # Errors
    /// When a line is not as it must be, with that line.
    pub fn read(text: &str) -> Result<Self> {
        let body = text.strip_suffix("# EOF\n").context("the end is not `# EOF`")?;
        let mut read = Self { lines: text.lines().count(), ..Self::default() };
        let mut present = String::new();
        for line in body.lines() {
            read.line(line, &mut present).with_context(|| format!("in the line {line:?}"))?;
        }
        for (name, family) in &read.families {
            ensure!(!family.kind.is_empty(), "{name} has no type");
            ensure!(family.help.ends_with('.') && !family.help.ends_with(".."), "help of {name}");
            if family.kind == "histogram" {
                read.check_histograms(name)?;
            }
        }
        Ok(read)
    }

    fn line(&mut self, line: &str, present: &mut String) -> Result<()> {
        let Some(comment) = line.strip_prefix("# ") else { return self.sample(line, present) };
        let mut words = comment.splitn(3, ' ');
        let mut word = || words.next().context("it ends early");
        let (kind, name, rest) = (word()?, word()?, word()?);
        if kind == "HELP" {
            ensure!(is_name(name) && !name.contains(':'), "no name");
            ensure!(!has_foreign_unit(name), "units are seconds and bytes");
            let family = Family { help: rest.to_owned(), ..Family::default() };
            ensure!(
                self.families.insert(name.to_owned(), family).is_none(),
                "{name} is there twice"
            );
            name.clone_into(present);
            return Ok(());
        }
        ensure!(name == present, "it is not about {present}");
        let family = self.families.get_mut(name).context("it has no help")?;
        match kind {
            "TYPE" => {
                ensure!(family.kind.is_empty(), "it has a type already");
                let kinds = ["counter", "gauge", "histogram", "info"];
                ensure!(kinds.contains(&rest), "no type that a service uses");
                rest.clone_into(&mut family.kind);
            }
            "UNIT" => {
                ensure!(name.ends_with(&format!("_{rest}")), "the name does not end with its unit");
                ensure!(family.unit.replace(rest.to_owned()).is_none(), "it has a unit already");
            }
            other => bail!("{other} is no comment"),
        }
        Ok(())
    }

    fn sample(&mut self, line: &str, present: &str) -> Result<()> {
        let (line, exemplar) = match line.split_once(" # ") {
            Some((line, exemplar)) => (line, Some(exemplar)),
            None => (line, None),
        };
        let Sample { name, labels, value } = Sample::read(line)?;
        let family = self.families.get(present).context("it belongs to nothing")?;
        let suffix = name.strip_prefix(present).context("it is of another name")?;
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            other => bail!("{other} has no samples"),
        };
        ensure!(suffixes.contains(&suffix), "a {} has no {name}", family.kind);
        let is_whole = family.kind == "gauge" || value >= 0.0;
        ensure!(value.is_finite() && is_whole, "{value} is no value");
        let keys: BTreeSet<&str> = labels.iter().map(|(key, _)| *key).collect();
        ensure!(keys.len() == labels.len(), "a label is there twice");
        let series = &line[..line.rfind(' ').context("no value")?];
        ensure!(self.samples.insert(series.to_owned(), value).is_none(), "it is there twice");
        if let Some(exemplar) = exemplar {
            ensure!(suffix == "_bucket", "only buckets have exemplars here");
            let trace = trace_of(exemplar, split_bound(series)?.1)?;
            self.exemplars.insert(series.to_owned(), trace.to_owned());
        }
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// The buckets grow, and the last one has all.
    fn check_histograms(&self, name: &str) -> Result<()> {
        let (mut last, mut bound, mut of) = (0.0, f64::NEG_INFINITY, String::new());
        let mut buckets: Vec<(String, f64, f64)> = Vec::new();
        for (series, value) in self.samples_of(&format!("{name}_bucket")) {
            let (rest, le) = split_bound(series)?;
            buckets.push((rest, le, value));
        }
        ensure!(!buckets.is_empty(), "{name} has no buckets");
        buckets.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let mut wholes = 0;
        for (rest, le, value) in buckets {
            if rest != of {
                (last, bound, of) = (0.0, f64::NEG_INFINITY, rest);
            }
            ensure!(le > bound && value >= last, "{name}{of}: the bucket of {le} has {value}");
            (last, bound) = (value, le);
            if le == f64::INFINITY {
                wholes += 1;
                let count = self.value(&format!("{name}_count{of}"))?;
                ensure!(value == count, "{name}{of}: {value} in buckets and {count} in all");
            }
        }
        ensure!(wholes == self.samples_of(&format!("{name}_count")).count(), "{name} lacks +Inf");
        Ok(())
    }

    fn samples_of(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.samples.iter().map(|(series, value)| (series.as_str(), *value));
        samples.filter(move |(series, _)| series.split('{').next() == Some(name))
    }

    /// The value of a series, by its name and labels as they are written.
    ///
    /// # Errors
    /// When there is no such series.
    pub fn value(&self, series: &str) -> Result<f64> {
        self.samples.get(series).copied().with_context(|| format!("there is no {series}"))
    }

    /// The sum over all series of a name.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.samples_of(name).map(|(_, value)| value).sum()
    }

    /// The names of all samples.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The names of all families, as a counter's and an info's samples are called.
    pub fn families(&self) -> impl Iterator<Item = String> {
        self.families.iter().map(|(name, family)| match family.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        })
    }

    /// The traces that stand as examples on the buckets of a name.
    pub fn exemplars(&self, name: &str) -> impl Iterator<Item = &str> {
        let buckets = format!("{name}_bucket{{");
        let of_name = self.exemplars.iter().filter(move |(series, _)| series.starts_with(&buckets));
        of_name.map(|(_, trace)| trace.as_str())
    }

    /// How many lines it has.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lines
    }
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Result<Self> {
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let value = value.parse().context("the value is no number")?;
        let (name, mut rest) = series.find('{').map_or((series, ""), |at| series.split_at(at));
        ensure!(is_name(name), "no name");
        let mut labels = Vec::new();
        if !rest.is_empty() {
            rest = rest[1..].strip_suffix('}').context("the labels do not end")?;
            while !rest.is_empty() {
                let (key, quoted) = rest.split_once("=\"").context("no label")?;
                ensure!(is_name(key) && !key.contains(':') && !key.starts_with("__"), "no label");
                let end = end_of(quoted).context("the value of a label does not end")?;
                labels.push((key, &quoted[..end]));
                rest = &quoted[end + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => ensure!(rest.is_empty(), "labels are separated by a comma"),
                }
            }
        }
        Ok(Self { name, labels, value })
    }
}

/// Reads an exemplar of a bucket: `{trace_id="…"} VALUE SECONDS`.
fn trace_of(exemplar: &str, bound: f64) -> Result<&str> {
    let (labels, numbers) = exemplar.split_once("} ").context("an exemplar has a value")?;
    let trace = labels.strip_prefix("{trace_id=\"").and_then(|rest| rest.strip_suffix('"'));
    let trace = trace.context("an exemplar names a trace, and nothing else")?;
    ensure!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()), "no trace");
    let (value, when) = numbers.split_once(' ').context("an exemplar says when")?;
    ensure!(value.parse::<f64>()? <= bound, "it is of another bucket");
    ensure!(when.parse::<f64>()? > 1e9, "when is in seconds since 1970");
    Ok(trace)
}

/// Where a quoted text ends.
fn end_of(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.char_indices().find_map(|(at, character)| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// The labels of a bucket without its bound, as they stand on the count, and the bound.
fn split_bound(series: &str) -> Result<(String, f64)> {
    let line = format!("{series} 0");
    let labels = Sample::read(&line)?.labels;
    let (bounds, others): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(key, _)| *key == "le");
    let [(_, bound)] = bounds[..] else { bail!("{series} has not one bound") };
    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
    let others: Vec<String> =
        others.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let others = others.join(",");
    Ok((if others.is_empty() { others } else { format!("{{{others}}}") }, bound))
}

fn is_name(name: &str) -> bool {
    let is_first = |first: char| first.is_ascii_lowercase() || first == '_';
    let is_later = |later: char| is_first(later) || later.is_ascii_digit();
    name.chars().next().is_some_and(is_first) && name.chars().skip(1).all(is_later)
}

/// Units that the conventions have others for.
fn has_foreign_unit(name: &str) -> bool {
    let foreign = ["ms", "milliseconds", "microseconds", "nanoseconds", "minutes", "kib", "mib"];
    name.split('_').any(|word| foreign.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "# HELP a_seconds Time.\n# TYPE a_seconds histogram\n\
        # UNIT a_seconds seconds\n\
        a_seconds_sum{r=\"/{*k}\"} 1.5\na_seconds_count{r=\"/{*k}\"} 3\n\
        a_seconds_bucket{r=\"/{*k}\",le=\"0.1\"} 2 \
        # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.05 1700000000.5\n\
        a_seconds_bucket{r=\"/{*k}\",le=\"+Inf\"} 3\n\
        # HELP b Asked.\n# TYPE b counter\nb_total{x=\"a\\\"b\",y=\"c\"} 7\nb_total{x=\"d\",y=\"c\"} 8\n\
        # EOF\n";

    #[test]
    fn what_is_well_formed_is_read() {
        let read = Exposition::read(WHOLE).unwrap();
        assert_eq!(read.sum("b_total"), 15.0);
        assert_eq!(read.value("a_seconds_count{r=\"/{*k}\"}").unwrap(), 3.0);
        assert_eq!(read.families().collect::<Vec<_>>(), ["a_seconds", "b_total"]);
        let traces: Vec<&str> = read.exemplars("a_seconds").collect();
        assert_eq!(traces, ["4bf92f3577b34da6a3ce929d0e0e4736"]);
        assert_eq!(read.lines(), 12);
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for (right, wrong) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF\n\n"),
            ("# HELP b Asked.\n", ""),
            ("# TYPE b counter\n", ""),
            ("# TYPE b counter", "# TYPE b summary"),
            ("# TYPE b counter\n", "# TYPE b counter\n# TYPE b counter\n"),
            ("# HELP b Asked.", "# HELP b Asked"),
            ("# HELP b", "# HELP b_ms"),
            ("# HELP b", "# HELP a_seconds"),
            ("# UNIT a_seconds seconds", "# UNIT a_seconds bytes"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b{x=\"d\",y=\"c\"} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"a\\\"b\",y=\"c\"} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d\",x=\"c\"} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d\" y=\"c\"} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d,y=c} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{9=\"d\",y=\"c\"} 8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d\",y=\"c\"} -8"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d\",y=\"c\"} NaN"),
            ("b_total{x=\"d\",y=\"c\"} 8", "c_total 8"),
            ("\"} 0.05 17", "\"} 0.2 17"),
            ("\"} 0.05 1700000000.5", "\"} 0.05"),
            ("# {trace_id", "# {key"),
            ("e4736", "xyz36"),
            ("b_total{x=\"d\",y=\"c\"} 8", "b_total{x=\"d\",y=\"c\"} 8 # {trace_id=\"x\"} 1 1"),
            ("le=\"0.1\"} 2", "le=\"0.1\"} 4"),
            ("le=\"+Inf\"} 3", "le=\"+Inf\"} 4"),
            ("le=\"+Inf\"} 3", "le=\"0.2\"} 3"),
        ] {
            let text = WHOLE.replacen(right, wrong, 1);
            assert_ne!(text, WHOLE, "{right} is not there");
            assert!(Exposition::read(&text).is_err(), "{wrong:?} for {right:?}");
        }
    }
}
