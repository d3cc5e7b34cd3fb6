//! Words of the vocabulary as text: what is read is written back, and what is refused is
//! quoted in part.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use replica::machine::chain::ChainHash;
use shared::config::BaseUrl;
use shared::ids::{AcceptorId, Name};

use super::{choose, chosen, short};

/// The first byte chooses the word.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match choice % 4 {
        0 => same::<Name>(text, |written| assert_eq!(written, text)),
        1 => same::<AcceptorId>(text, |written| assert_eq!(written, text.to_lowercase())),
        2 => same::<ChainHash>(text, |written| assert_eq!(written, text.to_lowercase())),
        _ => same::<BaseUrl>(text, |written| {
            assert!(written.starts_with("http://") && !written.ends_with('/'), "{written}")
        }),
    }
}

fn same<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str, check: impl Fn(&str)) {
    match text.parse::<T>() {
        Ok(word) => {
            let written = word.to_string();
            assert_eq!(
                written.parse::<T>().ok().as_ref(),
                Some(&word),
                "{text:?} was written as {written:?}"
            );
            check(&written);
        }
        Err(error) => short(&error),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![
        chosen(0, "replica-1"),
        chosen(0, "x".repeat(65)),
        chosen(1, "00ab45cd12ef0099"),
        chosen(1, "+0ab45cd12ef0099"),
        chosen(2, "0123456789abcdef".repeat(4)),
        chosen(3, "http://127.0.0.1:8301"),
        chosen(3, "http://[::1]:8201/"),
        chosen(3, "http://acceptor-1"),
        chosen(3, "http://xn--bcher-kva.example:80"),
        chosen(3, "http://user:word@host:1/path?query#fragment"),
    ]
}
