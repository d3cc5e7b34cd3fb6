//! Keys on their way: into a URL, out of a path, into a file's name.

use std::path::{Component, Path};

use cli::tree::{Layout, relative_path};
use client::key::encode_key;
use replica::http::request::path::{key_of_path, slot_of_path};

use super::{choose, chosen, short};

const KEY: &str = "/v1/kv/";
/// The default of the flag.
const MAX_KEY_BYTES: usize = 1_024;

/// A path of a key, a path of a slot, or a key as a client has it; by the first byte.
/// HTTP lets only visible ASCII into a path.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match choice % 3 {
        0 => match key_of_path(&format!("{KEY}{text}"), MAX_KEY_BYTES) {
            Ok(key) => {
                assert!((1..=MAX_KEY_BYTES).contains(&key.len()), "a key of {} bytes", key.len());
                let key = std::str::from_utf8(&key).expect("a key is UTF-8");
                on_its_way(key);
            }
            Err(problem) => {
                assert_eq!(problem.status(), 400);
                short(&problem);
            }
        },
        1 => match slot_of_path(&format!("/v1/log/{text}")) {
            Ok(slot) => {
                assert_eq!(text.trim_start_matches('0'), slot.to_string().trim_start_matches('0'))
            }
            Err(problem) => assert_eq!(problem.status(), 400),
        },
        _ => on_its_way(text),
    }
}

/// A replica reads the key that the command line sent, also through a library that tidies
/// URLs; and no file leaves the folder.
fn on_its_way(key: &str) {
    if let Ok(encoded) = encode_key(key) {
        let url: reqwest::Url =
            format!("http://127.0.0.1:8000{KEY}{encoded}").parse().expect("a URL");
        match key_of_path(url.path(), MAX_KEY_BYTES) {
            Ok(read) => assert_eq!(read, key, "sent as {url}"),
            Err(problem) => assert!(
                key.is_empty() || key.len() > MAX_KEY_BYTES,
                "{key:?} sent as {url}: {problem}"
            ),
        }
    }
    let Ok(path) = relative_path("", key) else { return };
    assert!(
        path.components().all(|part| matches!(part, Component::Normal(_))),
        "{path:?} leaves the folder"
    );
    assert_eq!(path, Path::new(key), "the file is named as the key");
    let mut layout = Layout::default();
    assert_eq!(layout.place("", key).ok(), Some(path));
    assert!(layout.place("", &format!("{key}/below")).is_err(), "a file is no folder");
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let keys = [
        "a",
        "a/b",
        "inc/sys/a b%2F?#é.h",
        "/lead//double/",
        "a/../b",
        "./a",
        "..",
        "...",
        "a\\b",
        "\u{0}",
        "%",
    ];
    let paths = ["a%2Fb", "a%252Fb", "%C3%A4%00", "%FF", "%g0", "%", "a+b", "%2e%2e/a"];
    let slots = ["17", "0017", "9223372036854775807", "9223372036854775808", "-1", "1/2"];
    let of =
        |choice, texts: &[&str]| texts.iter().map(|text| chosen(choice, text)).collect::<Vec<_>>();
    [of(0, &paths), of(1, &slots), of(2, &keys)].concat()
}
