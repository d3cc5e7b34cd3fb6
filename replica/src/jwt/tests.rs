//! JWTs, good and bad, by keys that are made here.

mod url;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::keys::Keys;
use super::*;
use crate::machine::access::policy::PolicyName;
use crate::machine::access::subject::Subject;

/// What an Ed25519 key begins with in PKCS #8 (RFC 8410, section 7).
const ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// What a P-256 key begins with in PKCS #8, without its public half (RFC 5915).
const P256: [u8; 36] = [
    0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20, 7,
];
/// What a P-384 key begins with in PKCS #8, without its public half.
const P384: [u8; 32] = [
    0x30, 0x4e, 2, 1, 0, 0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4,
    0, 0x22, 4, 0x37, 0x30, 0x35, 2, 1, 1, 4, 0x30,
];
/// An RSA key of these tests and of nobody else: to draw one takes seconds.
const RSA: &str = include_str!("tests/rsa.pem");
/// What stands before the key itself (PKCS #1) in an RSA key of 2048 bits in PKCS #8.
const BEFORE_RSA: usize = 26;
const NOW_S: u64 = 1_800_000_000;

/// A key of an issuer.
pub(crate) struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn ed25519(kid: &str, seed: u8) -> Self {
        let der = [&ED25519[..], &[seed; 32]].concat();
        let key = EncodingKey::from_ed_der(&der);
        Self { kid: kid.to_owned(), algorithm: Algorithm::EdDSA, key }
    }

    fn p256(kid: &str, seed: u8) -> Self {
        let der = [&P256[..], &[seed; 31]].concat();
        let key = EncodingKey::from_ec_der(&der);
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, key }
    }

    fn p384(kid: &str, seed: u8) -> Self {
        let key = EncodingKey::from_ec_der(&[&P384[..], &[seed; 48]].concat());
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES384, key }
    }

    fn rsa(kid: &str, algorithm: Algorithm) -> Self {
        let text: String = RSA.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let key = EncodingKey::from_rsa_der(&der[BEFORE_RSA..]);
        Self { kid: kid.to_owned(), algorithm, key }
    }

    /// What the issuer publishes of it.
    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).unwrap()
    }
}

pub(crate) fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

fn told() -> Told {
    Told {
        issuer: "https://issuer".to_owned(),
        audience: "synod".to_owned(),
        claim: "synod_policies".to_owned(),
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer", "aud": "synod", "sub": "ci", "exp": NOW_S + 60,
        "synod_policies": ["b", "a", "b"]})
}

/// The same with other claims; without those that are null.
fn with(others: Value) -> Value {
    let mut claims = claims();
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn keys(signers: &[&Signer]) -> Keys {
    Keys::of(jwks(signers).as_bytes()).unwrap()
}

/// Who, with which policies, and until when.
type Is = (Subject, Vec<PolicyName>, u64);

fn vouched(keys: &Keys, text: &str, now_s: u64) -> Result<Arc<Vouched>, BadJwt> {
    let jwt = Jwt::of(text.as_bytes()).expect("it has two dots");
    keys.check(&told(), &jwt, &Forged::default(), now_s)
}

fn checked(keys: &Keys, text: &str, now_s: u64) -> Result<Is, BadJwt> {
    let vouched = vouched(keys, text, now_s)?;
    Ok((vouched.subject.clone(), vouched.policies.clone(), vouched.expires_s))
}

fn names(names: &[&str]) -> Vec<PolicyName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[test]
fn an_issuer_vouches_by_any_of_its_keys_for_a_subject_with_policies() {
    let (ed, ec) = (Signer::ed25519("ed", 1), Signer::p256("ec", 2));
    let (p384, rsa) = (Signer::p384("p384", 3), Signer::rsa("rsa", Algorithm::RS256));
    let keys = keys(&[&ed, &ec, &p384, &rsa]);
    let subject = Subject { issuer: "https://issuer".to_owned(), subject: "ci".to_owned() };
    let (policies, expires_s) = (names(&["a", "b"]), NOW_S + 60);
    let vouched = (subject, policies, expires_s);
    for signer in [&ed, &ec, &p384, &rsa] {
        assert_eq!(checked(&keys, &signer.sign(&claims()), NOW_S), Ok(vouched.clone()));
        // By what is remembered of it.
        assert_eq!(checked(&keys, &signer.sign(&claims()), NOW_S), Ok(vouched.clone()));
    }
    for (others, policies) in [
        (json!({"synod_policies": "b  a"}), &["a", "b"][..]),
        (json!({"synod_policies": null}), &[]),
        (json!({"synod_policies": []}), &[]),
        (json!({"aud": ["others", "synod"], "synod_policies": "a"}), &["a"]),
        (json!({"nbf": NOW_S + 30, "exp": NOW_S as f64 + 0.5, "synod_policies": "a"}), &["a"]),
    ] {
        let (_, found, _) = checked(&keys, &ed.sign(&with(others)), NOW_S).unwrap();
        assert_eq!(found, names(policies));
    }
}

#[test]
fn a_jwt_whose_claims_do_not_hold_is_refused_by_the_one_that_does_not() {
    let signer = Signer::ed25519("ed", 1);
    let keys = keys(&[&signer]);
    let many: Vec<String> = (0..17).map(|number| format!("p{number}")).collect();
    for (others, expected) in [
        (json!({"iss": "https://other"}), BadJwt::Issuer),
        (json!({"iss": ["https://issuer"]}), BadJwt::Claim("iss")),
        (json!({"iss": null}), BadJwt::Claim("iss")),
        (json!({"aud": "others"}), BadJwt::Audience),
        (json!({"aud": []}), BadJwt::Audience),
        (json!({"aud": null}), BadJwt::Claim("aud")),
        (json!({"sub": null}), BadJwt::Claim("sub")),
        (json!({"sub": 7}), BadJwt::Claim("sub")),
        (json!({"sub": ""}), BadJwt::Subject),
        (json!({"sub": "a b"}), BadJwt::Subject),
        (json!({"sub": "s".repeat(257)}), BadJwt::Subject),
        (json!({"exp": null}), BadJwt::Claim("exp")),
        (json!({"exp": "soon"}), BadJwt::Claim("exp")),
        (json!({"exp": NOW_S - 30}), BadJwt::Expired),
        (json!({"exp": -1}), BadJwt::Expired),
        (json!({"nbf": NOW_S + 31}), BadJwt::NotYet),
        (json!({"nbf": "now"}), BadJwt::Claim("nbf")),
        (json!({"synod_policies": many}), BadJwt::TooManyPolicies(17)),
        (json!({"synod_policies": ["a", "root"]}), BadJwt::Root),
        (json!({"synod_policies": "root"}), BadJwt::Root),
        (json!({"synod_policies": {"a": true}}), BadJwt::Policies),
        (json!({"synod_policies": [7]}), BadJwt::Policies),
        (json!({"synod_policies": ["a/b"]}), BadJwt::Policies),
    ] {
        let text = signer.sign(&with(others.clone()));
        assert_eq!(checked(&keys, &text, NOW_S), Err(expected), "{others}");
    }
    assert_eq!(checked(&keys, &signer.sign(&json!(["no", "claims"])), NOW_S), Err(BadJwt::Claims));
}

#[test]
fn a_jwt_that_the_issuer_has_not_signed_as_its_key_does_is_refused() {
    let (ed, ec) = (Signer::ed25519("ed", 1), Signer::p256("ec", 2));
    let keys = keys(&[&ed, &ec]);
    let forged = |header: Value, signature: &str| {
        format!("{}.{}.{signature}", encoded(&header), encoded(&claims()))
    };
    let by = |header: Header, signer: &Signer| encode(&header, &claims(), &signer.key).unwrap();
    // With what everybody knows of a key as if both sides alone knew it.
    let public = ed.jwk()["x"].as_str().unwrap().to_owned();
    let known = |secret: &[u8]| {
        let header = Header { kid: Some("ed".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(), &EncodingKey::from_secret(secret).unwrap()).unwrap()
    };
    let good = ed.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let of_others = encoded(&with(json!({"sub": "root"})));
    let long = ed.sign(&with(json!({"more": "m".repeat(8 << 10)})));
    let other_key = Header { kid: Some("ec".to_owned()), ..ed.header() };
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..ed.header() };
    let other_type = Header { typ: Some("logout+jwt".to_owned()), ..ed.header() };
    for (what, text, expected) in [
        ("none", forged(json!({"alg": "none", "kid": "ed"}), ""), BadJwt::Header),
        ("no algorithm", forged(json!({"kid": "ed"}), signature), BadJwt::Header),
        ("no header", format!("e.{of_others}.{signature}"), BadJwt::Header),
        ("a secret", known(public.as_bytes()), BadJwt::Header),
        ("a secret", known(&URL_SAFE_NO_PAD.decode(&public).unwrap()), BadJwt::Header),
        ("another algorithm", by(other_key, &ed), BadJwt::Algorithm),
        (
            "another algorithm",
            forged(json!({"alg": "RS256", "kid": "ed"}), signature),
            BadJwt::Algorithm,
        ),
        ("critical", by(critical, &ed), BadJwt::Header),
        ("a type", by(other_type, &ed), BadJwt::Header),
        ("another key", Signer::ed25519("ed", 3).sign(&claims()), BadJwt::Signature),
        ("an unknown key", Signer::ed25519("new", 1).sign(&claims()), BadJwt::UnknownKid),
        ("no key", by(Header { kid: None, ..ed.header() }, &ed), BadJwt::NoKid),
        ("other claims", format!("{header}.{of_others}.{signature}"), BadJwt::Signature),
        ("no signature", format!("{signed}."), BadJwt::Signature),
        ("too long", long.clone(), BadJwt::TooLong(long.len())),
    ] {
        assert_eq!(checked(&keys, &text, NOW_S), Err(expected), "{what}");
    }
}

#[test]
fn a_jwt_counts_half_a_minute_longer_than_it_says_and_not_from_memory_after() {
    let signer = Signer::ed25519("ed", 1);
    let keys = keys(&[&signer]);
    let text = signer.sign(&claims());
    let vouched = vouched(&keys, &text, NOW_S).unwrap();
    for (after_s, left_s) in [(0, Some(90)), (60, Some(30)), (89, Some(1)), (90, None)] {
        let now_s = NOW_S + after_s;
        assert_eq!(vouched.left_s(now_s), left_s);
        assert_eq!(checked(&keys, &text, now_s).is_ok(), left_s.is_some(), "after {after_s} s");
    }
    assert_eq!(checked(&keys, &text, NOW_S + 90), Err(BadJwt::Expired));
}

#[test]
fn nobody_is_vouched_for_by_a_key_that_the_issuer_has_no_more() {
    let (stays, goes) = (Signer::ed25519("stays", 1), Signer::ed25519("goes", 2));
    let former = keys(&[&stays, &goes]);
    let by = |keys: &Keys, signer: &Signer| vouched(keys, &signer.sign(&claims()), NOW_S).unwrap();
    let (by_stays, by_goes) = (by(&former, &stays), by(&former, &goes));
    // Another key by the same name is another key.
    let of_its_name = Signer::ed25519("goes", 3);
    let latter = keys(&[&of_its_name, &stays]).succeeding(&former);
    former.withdraw(&latter);
    let is_withdrawn = |vouched: &Vouched| vouched.key_withdrawn.is_cancelled();
    assert!(is_withdrawn(&by_goes) && by_goes.is_over());
    assert!(!is_withdrawn(&by_stays) && !is_withdrawn(&by(&latter, &of_its_name)));
    let last = keys(&[&of_its_name]).succeeding(&latter);
    latter.withdraw(&last);
    assert!(is_withdrawn(&by_stays), "through all that it has been handed on by");
}

#[test]
fn the_only_key_of_an_issuer_needs_no_name() {
    let signer = Signer::ed25519("ed", 1);
    let header = Header { kid: None, ..signer.header() };
    let text = encode(&header, &claims(), &signer.key).unwrap();
    assert!(checked(&keys(&[&signer]), &text, NOW_S).is_ok());
}

#[test]
fn keys_that_cannot_be_used_are_passed_over_and_without_others_refused() {
    let ed = Signer::ed25519("ed", 1).jwk();
    let of = |keys: Vec<Value>| {
        let set = json!({ "keys": keys }).to_string();
        Keys::of(set.as_bytes()).map(|keys| keys.to_string())
    };
    let changed = |name: &str, value: Value| {
        let mut key = ed.clone();
        key[name] = value;
        key
    };
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let unusable = vec![
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("alg", json!("ES256")),
        changed("alg", json!("RSA-OAEP")),
        changed("x", json!("AAAA")),
        changed("x", json!("not base64")),
        changed("crv", json!("X25519")),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "RSA", "n": short, "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "new"}),
        json!("no key"),
    ];
    let with_good = [unusable.clone(), vec![ed.clone()]].concat();
    assert_eq!(of(with_good), Ok("[\"ed\"]".to_owned()));
    for key in unusable {
        let refused = of(vec![key.clone()]).unwrap_err();
        assert!(refused.contains("none of its 1 keys can be used"), "{key}: {refused}");
    }
    assert_eq!(of(vec![ed.clone(); 65]), Err("it has 65 keys, the limit is 64".to_owned()));
    assert!(of(vec![ed.clone(); 64]).is_ok());
    for bad in ["", "[]", "{}", "{\"keys\":{}}"] {
        assert!(Keys::of(bad.as_bytes()).unwrap_err().contains("no set of keys"), "{bad}");
    }
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let rsa = json!({"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "rsa", "alg": "PS256"});
    let keys = Keys::of(json!({ "keys": [rsa] }).to_string().as_bytes()).unwrap();
    let found = keys.find(Some("rsa"), Algorithm::PS256).map(|key| key.allowed.clone());
    assert_eq!(found, Ok(vec![Algorithm::PS256]));
    assert_eq!(keys.find(Some("rsa"), Algorithm::RS256).map(drop), Err(BadJwt::Algorithm));
}

/// An issuer whose keys are in a file.
fn issuer(file: &std::path::Path) -> Issuer {
    let source = Source::of(&file.to_string_lossy(), None).unwrap();
    Issuer::new(told(), source, KeyCounts::default())
}

fn now() -> Value {
    json!({"exp": now_s() + 60})
}

#[tokio::test]
async fn a_new_key_is_looked_for_and_former_ones_stay_where_nothing_good_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwks.json");
    let (old, new) = (Signer::ed25519("old", 1), Signer::ed25519("new", 2));
    std::fs::write(&file, jwks(&[&old])).unwrap();
    let issuer = issuer(&file);
    let check = |signer: &Signer| {
        let text = signer.sign(&with(now()));
        issuer.check(&Jwt::of(text.as_bytes()).unwrap()).map(drop)
    };
    assert_eq!(check(&old), Err(BadJwt::NoKeys));
    let looked = async |looked| issuer.look(&mut *issuer.looking.lock().await, looked).await;
    looked(Looked::IfChanged).await;
    assert_eq!(check(&old), Ok(()));
    for bad in ["", "{\"keys\":[]}", &"x".repeat((1 << 20) + 1)] {
        std::fs::write(&file, bad).unwrap();
        looked(Looked::IfChanged).await;
        assert_eq!(check(&old), Ok(()));
        assert!(issuer.looking.lock().await.refused.is_some());
    }
    std::fs::write(&file, jwks(&[&new])).unwrap();
    issuer.look_again().await;
    assert_eq!((check(&new), check(&old)), (Ok(()), Err(BadJwt::UnknownKid)));
    // Once in ten seconds.
    std::fs::write(&file, jwks(&[&old])).unwrap();
    issuer.look_again().await;
    assert_eq!((check(&new), check(&old)), (Ok(()), Err(BadJwt::UnknownKid)));
}

#[test]
fn what_is_shown_of_a_jwt_is_how_long_it_is() {
    let jwt = Jwt::of(b"e30.e30.c2ln").unwrap();
    assert_eq!(format!("{jwt:?}"), "Jwt(12 bytes)");
    assert_eq!((Jwt::of(b"a.b"), Jwt::of(b"a.b.c.d"), Jwt::of(b"\xff..")), (None, None, None));
}
