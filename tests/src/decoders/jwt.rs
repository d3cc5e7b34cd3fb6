//! What an issuer publishes and signs: sets of keys (JWKS), and JWTs with headers and claims of
//! anybody's making.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use replica::jwt::{BadJwt, Jwt, Keys, Told, Vouched};
use serde_json::{Value, json};

use super::{choose, chosen, short};

/// What an Ed25519 key begins with in PKCS #8 (RFC 8410, section 7).
const ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// The most keys of an issuer.
const MOST_KEYS: i64 = 64;
/// When it is. Seconds since 1970.
const NOW_S: u64 = 1_800_000_000;

const HEADER: &str = r#"{"alg":"EdDSA","kid":"a","typ":"JWT"}"#;
const CLAIMS: &str = r#"{"iss":"https://issuer","aud":["synod"],"sub":"ci","exp":1800000060,"synod_policies":["app","b"]}"#;

/// The first byte chooses what it is.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    match choice % 4 {
        0 => keys(rest),
        1 => text(rest),
        2 => header(rest),
        _ => claims(rest),
    }
}

fn keys(text: &[u8]) {
    match Keys::of(text) {
        Ok(keys) => {
            assert!((1..=MOST_KEYS).contains(&keys.count()), "{} keys", keys.count());
            let again = Keys::of(text).map(|again| again.count());
            assert_eq!(again, Ok(keys.count()));
        }
        Err(why) => short(&why),
    }
}

/// Whatever comes as a JWT, nobody has signed it but with the key at hand.
fn text(text: &[u8]) {
    let Some(jwt) = Jwt::of(text) else { return };
    match checked(&jwt) {
        Ok(vouched) => {
            let signed = signed(&part(text, 0), &part(text, 1));
            assert_eq!(signed.as_bytes(), text, "{vouched:?} is of nobody's signature");
        }
        Err(why) => short(&why),
    }
}

/// A signed header with good claims.
fn header(header: &[u8]) {
    match checked(&jwt(header, CLAIMS.as_bytes())) {
        Ok(_) => {
            let header: Value = serde_json::from_slice(header).expect("it was read");
            assert_eq!(header["alg"], "EdDSA");
            assert!(header.get("kid").is_none_or(|kid| kid.is_null() || kid == "a"), "{header}");
        }
        Err(why) => short(&why),
    }
}

/// A good header with signed claims.
fn claims(claims: &[u8]) {
    match checked(&jwt(HEADER.as_bytes(), claims)) {
        Ok(Vouched { subject, policies, expires_s, .. }) => {
            assert_eq!((subject.check(), subject.issuer.as_str()), (Ok(()), "https://issuer"));
            assert!(policies.is_sorted_by(|one, next| one < next), "{policies:?}");
            assert!(!policies.iter().any(|policy| policy.is_root()), "{policies:?}");
            assert!(expires_s > NOW_S - 60, "it ended at {expires_s}");
        }
        Err(why) => short(&why),
    }
}

fn checked(jwt: &Jwt) -> Result<Vouched, BadJwt> {
    let told = Told {
        issuer: "https://issuer".to_owned(),
        audience: "synod".to_owned(),
        claim: "synod_policies".to_owned(),
    };
    told.check(&Keys::of(&published()).expect("keys that were written"), jwt, NOW_S)
}

fn jwt(header: &[u8], claims: &[u8]) -> Jwt {
    Jwt::of(signed(header, claims).as_bytes()).expect("text with two dots")
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let said = format!("{header}.{claims}");
    let signature = crypto::sign(said.as_bytes(), &key(), Algorithm::EdDSA).expect("a key");
    format!("{said}.{signature}")
}

fn part(text: &[u8], which: usize) -> Vec<u8> {
    let part = text.split(|byte| *byte == b'.').nth(which).expect("two dots");
    URL_SAFE_NO_PAD.decode(part).expect("it was read")
}

fn key() -> EncodingKey {
    EncodingKey::from_ed_der(&[&ED25519[..], &[7; 32]].concat())
}

/// What the issuer publishes.
fn published() -> Vec<u8> {
    let mut jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).expect("a key");
    jwk.common.key_id = Some("a".to_owned());
    serde_json::to_vec(&json!({"keys": [jwk]})).expect("JSON can be written")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let other = r#"{"iss":"https://issuer","aud":"synod","sub":"ci","exp":1800000060.5,"nbf":1799999990,"synod_policies":"app root"}"#;
    let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let curve = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{point}","y":"{point}","alg":"ES256"}},{{"kty":"oct","k":"AA"}}]}}"#
    );
    let rsa = format!(
        r#"{{"keys":[{{"kty":"RSA","use":"sig","key_ops":["verify"],"kid":"r","e":"AQAB","n":"{}"}}]}}"#,
        "u".repeat(342)
    );
    vec![
        chosen(0, published()),
        chosen(0, curve),
        chosen(0, rsa),
        chosen(0, r#"{"keys":[]}"#),
        chosen(1, signed(HEADER.as_bytes(), CLAIMS.as_bytes())),
        chosen(1, "e30.e30."),
        chosen(2, HEADER),
        chosen(2, r#"{"alg":"EdDSA"}"#),
        chosen(2, r#"{"alg":"none","typ":"JWT"}"#),
        chosen(2, r#"{"alg":"HS256","kid":"a","crit":["exp"],"jku":"https://other"}"#),
        chosen(3, CLAIMS),
        chosen(3, other),
        chosen(3, r#"{"iss":"https://issuer","aud":"synod","sub":"a b","exp":"soon"}"#),
    ]
}
