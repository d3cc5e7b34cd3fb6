//! What says who asks and what they may do: policies and tokens as JSON, `Authorization`, the
//! paths of both, and the names in certificates.

use http::{HeaderMap, HeaderValue, header};
use replica::http::authorize::bearer::{PREFIX, Presented, is_secret};
use replica::http::request::access::{
    Cursor, accessor_of_path, policy_of, policy_of_path, token_of,
};
use replica::http::request::parameter::Parameter;
use replica::jwt::Jwt;
use replica::machine::access::SecretHash;
use replica::machine::access::granted::Granted;
use replica::machine::access::policy::Rights;
use shared::query::Query;
use shared::tls::ServiceId;

use super::{choose, chosen, short};

/// The first byte chooses what it is.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    match choice % 6 {
        0 => policy(rest),
        1 => token(rest),
        2 => bearer(rest),
        3 => paths(rest),
        4 => cursor(rest),
        _ => service(rest),
    }
}

fn policy(body: &[u8]) {
    match policy_of(body) {
        Ok(policy) => {
            assert_eq!(policy.check(), Ok(()));
            let written = serde_json::to_vec(&policy).expect("JSON can be written");
            assert_eq!(policy_of(&written), Ok(policy.clone()));
            let granted = Granted::of([&policy]);
            for rule in &policy.rules {
                let has_all = granted.at(rule.prefix.as_bytes()).has_all(rule.rights);
                assert!(has_all, "{rule:?} does not hold at its own prefix");
            }
            // What is above all keys with a prefix is no key.
            let ranges = granted.ranges(Rights::all());
            for start in ranges.iter().map(|range| &range.start).filter(|it| !it.contains(&0xff)) {
                assert!(granted.at(start).has_all(Rights::all()), "{start:?}");
            }
        }
        Err(problem) => short(&problem),
    }
}

fn token(body: &[u8]) {
    match token_of(body) {
        Ok(asked) => assert!(asked.policies.windows(2).all(|pair| pair[0] < pair[1])),
        Err(problem) => short(&problem),
    }
}

fn bearer(value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.clone());
    match Presented::of(&headers) {
        Ok(presented) => {
            let (_, text) = value.as_bytes().split_at("Bearer".len());
            let text = text.trim_ascii();
            match presented {
                Presented::Nothing => unreachable!("something was presented"),
                Presented::Secret(secret) => {
                    assert!(is_secret(text));
                    assert_eq!(secret, SecretHash::of(text));
                }
                Presented::Jwt(jwt) => {
                    assert!(!text.starts_with(PREFIX.as_bytes()));
                    assert_eq!(Jwt::of(text), Some(jwt));
                }
            }
        }
        Err(why) => short(&why),
    }
    headers.append(header::AUTHORIZATION, value);
    assert!(Presented::of(&headers).is_err(), "two of them");
}

fn paths(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match accessor_of_path(&format!("/v1/tokens/{text}")) {
        Ok(accessor) => assert_eq!(accessor.to_string(), text),
        Err(problem) => short(&problem),
    }
    match policy_of_path(&format!("/v1/policies/{text}")) {
        Ok(name) => assert!(name.as_str().len() <= text.len()),
        Err(problem) => short(&problem),
    }
}

fn cursor(bytes: &[u8]) {
    const CURSOR: Parameter = Parameter::text("cursor", "BQAB");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(query) = Query::parse(Some(&format!("cursor={text}")), &[CURSOR]) else { return };
    match Cursor::of(&query) {
        Ok(Some(cursor)) => {
            let again = format!("cursor={}", cursor.encode());
            let again = Query::parse(Some(&again), &[CURSOR]).expect("it is safe in URLs");
            assert_eq!(Cursor::of(&again).expect("it was written"), Some(cursor));
        }
        Ok(None) => {}
        Err(problem) => short(&problem),
    }
}

/// Who a service is: in DER as it comes, and the name in it.
fn service(bytes: &[u8]) {
    if let Some(id) = ServiceId::of(bytes) {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<ServiceId>() {
        Ok(id) => assert_eq!(id.to_string(), text),
        Err(why) => short(&why),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let all = r#"{"rules":[{"prefix":"","rights":["read","write","list","watch","lock","history"]}],"cluster":["read","operate"]}"#;
    vec![
        chosen(0, "{}"),
        chosen(0, all),
        chosen(0, r#"{"rules":[{"prefix":"a/","rights":[]},{"prefix":"a","rights":["read"]}]}"#),
        chosen(1, r#"{"policies":["app","app","a.b-c_d"],"ttl_ms":60000,"description":"ci"}"#),
        chosen(1, r#"{"policies":[],"ttl_ms":0}"#),
        chosen(2, "Bearer synod_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        chosen(2, "bearer  a "),
        chosen(2, "Basic dXNlcjp3b3Jk"),
        chosen(3, "00000000000000aa"),
        chosen(3, "team%2Da"),
        chosen(3, ".."),
        chosen(4, Cursor::Tokens(shared::ids::Accessor(0xaa)).encode()),
        chosen(4, Cursor::Policies("app".parse().expect("a name")).encode()),
        chosen(5, "spiffe://synod.internal/synod/replica/replica-2"),
        chosen(5, "spiffe://synod.internal/synod/operator/ada/"),
    ]
}
