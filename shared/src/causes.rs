//! Why something failed, in one line for people.

/// An error and its causes, each said once: many name what caused them in their own words, too.
#[must_use]
pub fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::anyhow;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open {path}: {source}")]
    struct Told {
        path: &'static str,
        source: io::Error,
    }

    #[test]
    fn a_cause_that_an_error_names_itself_is_said_once() {
        let missing = || io::Error::from_raw_os_error(2);
        let told = || Told { path: "state", source: missing() };
        for (error, text) in [
            (anyhow!("no"), "no"),
            (told().into(), "cannot open state: No such file or directory (os error 2)"),
            (
                anyhow::Error::from(told()).context("restoring"),
                "restoring: cannot open state: No such file or directory (os error 2)",
            ),
            (
                anyhow::Error::from(missing()).context("cannot read state"),
                "cannot read state: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(causes(&error), text);
        }
    }
}
