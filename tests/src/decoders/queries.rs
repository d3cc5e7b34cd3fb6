//! Query strings and cursors: what a listing asks for.

use bytes::Bytes;
use replica::http::request::listing::{Cursor, ListRequest, Listing, PARAMETERS};
use shared::ids::Revision;
use shared::query::Query;

use super::short;

pub(super) fn query(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let query = match Query::parse(Some(raw), &PARAMETERS) {
        Ok(query) => query,
        Err(problem) => {
            assert_eq!(problem.status(), 400);
            return short(&problem);
        }
    };
    let length: usize = PARAMETERS.iter().filter_map(|it| query.text(it.name)).map(str::len).sum();
    assert!(length <= raw.len(), "{} bytes were read as {length}", raw.len());
    for name in PARAMETERS.map(|it| it.name) {
        assert_eq!(query.has(name), query.text(name).is_some());
        if let Ok(Some(number)) = query.number::<u64>(name) {
            assert_eq!(query.text(name).and_then(|text| text.parse().ok()), Some(number));
        }
        if let Err(problem) = query.one_of(name, &[("linearizable", 1), ("local", 2)]) {
            short(&problem);
        }
    }
    match ListRequest::of(&query) {
        Err(problem) => {
            assert_eq!(problem.status(), 400);
            short(&problem);
        }
        // What it asks for, asked for by a cursor, is the same.
        Ok(ListRequest { listing, revision, after }) => {
            let (revision, after) = (revision.unwrap_or(Revision(7)), after.unwrap_or_default());
            let text = Cursor { listing: listing.clone(), revision, after: after.clone() }.encode();
            let query = Query::parse(Some(&format!("cursor={text}")), &PARAMETERS)
                .expect("a cursor is safe in a URL");
            let asked = ListRequest::of(&query).expect("a cursor of this API");
            assert_eq!(
                (asked.listing, asked.revision, asked.after),
                (listing, Some(revision), Some(after))
            );
        }
    }
}

pub(super) fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Cursor::decode(text) {
        Ok(cursor) => {
            let again = cursor.encode();
            assert_eq!(Cursor::decode(&again).as_ref(), Ok(&cursor), "a cursor is read back");
            assert!(
                again.len() <= text.len(),
                "{} bytes were read as a cursor of {}",
                text.len(),
                again.len()
            );
        }
        Err(problem) => {
            assert_eq!(problem.status(), 400);
            short(&problem);
        }
    }
}

fn cursors() -> Vec<String> {
    let listing = |prefix: &str, end: Option<&str>, reverse| Listing {
        prefix: prefix.to_owned(),
        start: prefix.to_owned(),
        end: end.map(str::to_owned),
        reverse,
        keys_only: reverse,
    };
    let of = |listing, revision| {
        Cursor { listing, revision: Revision(revision), after: Bytes::from_static(b"a/m") }.encode()
    };
    vec![of(listing("", None, false), 0), of(listing("ä/", Some("ä/9"), true), u64::MAX)]
}

pub(super) fn cursor_seeds() -> Vec<Vec<u8>> {
    cursors().into_iter().map(String::into_bytes).collect()
}

pub(super) fn query_seeds() -> Vec<Vec<u8>> {
    let plain = [
        "prefix=a%2Fb+c%2b&limit=7&&keys_only",
        "start=b&end=d&reverse=true&revision=300&consistency=local",
        "limits=7",
        "limit=7&limit=8",
        "limit=18446744073709551616",
        "prefix=%FF",
    ];
    let beside = cursors().into_iter().map(|cursor| format!("limit=3&cursor={cursor}"));
    plain.into_iter().map(str::to_owned).chain(beside).map(String::into_bytes).collect()
}
