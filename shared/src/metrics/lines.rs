//! The lines of OpenMetrics 1.0 as our own encoder writes them. Pure.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Of which family, and what it is.
    Help(&'a str, &'a str),
    /// Of which family, and which type.
    Type(&'a str, &'a str),
    /// Of which family, and in what it is counted.
    Unit(&'a str, &'a str),
    /// A number, and its exemplar where it has one.
    Sample(&'a str, Option<&'a str>),
    /// The end.
    Other,
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let Some(comment) = line.strip_prefix("# ") else {
            // No label has a value with this in it: all are names.
            return match line.split_once(" # ") {
                Some((sample, exemplar)) => Self::Sample(sample, Some(exemplar)),
                None => Self::Sample(line, None),
            };
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), Some(said)) => Self::Help(name, said),
            (Some("TYPE"), Some(name), Some(kind)) => Self::Type(name, kind),
            (Some("UNIT"), Some(name), Some(unit)) => Self::Unit(name, unit),
            _ => Self::Other,
        }
    }
}
