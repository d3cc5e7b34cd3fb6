//! Tokens that replicas have vouched for: who sends one counts by it and not by its address,
//! so that those behind one address are told apart, and one that asks from many has one
//! limit.
//!
//! A balancer cannot tell a token that is valid from one that somebody has made up. It
//! believes the replicas: they name the token's accessor on what they answer to it
//! ([`ACCESSOR`]), and say 401 to one that is not or no longer valid. Until a replica has
//! vouched for it, and [`FOR`] after one has last, a request counts by its address. What is
//! remembered of a token is a number drawn of it with a key that this process drew.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Response, StatusCode, header};

/// The most tokens that are remembered at once; those who come then count by address.
const MOST: usize = 16_384;
/// How long a token is believed in after a replica has answered to it.
const FOR: Duration = Duration::from_secs(60);

/// On what a replica answers to a valid token: its accessor.
pub(crate) const ACCESSOR: HeaderName = HeaderName::from_static("synod-accessor");

/// The longest accessor that is listened to.
const ACCESSOR_BYTES: usize = 64;
/// Before a token.
const SCHEME: &[u8] = b"Bearer";

/// What a token is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fingerprint(u64);

/// Whose a token is, as replicas say: a number drawn of its accessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder(u64);

/// What is believed of a token.
#[derive(Clone, Copy, Debug)]
struct Belief {
    holder: Holder,
    until: Duration,
}

/// The tokens that are believed in.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    key: RandomState,
    beliefs: Mutex<BTreeMap<Fingerprint, Belief>>,
}

impl Vouched {
    /// The token of a request, valid or not: what follows `Bearer`, however that is written
    /// and however many blanks are around it. None where there is another scheme, or more
    /// than one.
    pub(super) fn fingerprint(&self, headers: &HeaderMap) -> Option<Fingerprint> {
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(sent), None) = (sent.next(), sent.next()) else { return None };
        let (scheme, secret) = sent.as_bytes().split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || secret.first() != Some(&b' ') {
            return None;
        }
        Some(Fingerprint(self.key.hash_one(secret.trim_ascii())))
    }

    /// Whose it is, where a replica has vouched for it lately.
    pub(super) fn holder(&self, token: Fingerprint, now: Duration) -> Option<Holder> {
        let beliefs = self.beliefs.lock().unwrap_or_else(PoisonError::into_inner);
        beliefs.get(&token).filter(|belief| now < belief.until).map(|belief| belief.holder)
    }

    /// Learns from what a replica answered to a request with it.
    pub(super) fn learn<B>(&self, token: Fingerprint, answer: &Response<B>, now: Duration) {
        let mut beliefs = self.beliefs.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.status() == StatusCode::UNAUTHORIZED {
            beliefs.remove(&token);
            return;
        }
        let Some(accessor) = answer.headers().get(ACCESSOR) else { return };
        if accessor.len() > ACCESSOR_BYTES {
            return;
        }
        if beliefs.len() >= MOST && !beliefs.contains_key(&token) {
            beliefs.retain(|_, belief| now < belief.until);
        }
        if beliefs.len() < MOST || beliefs.contains_key(&token) {
            let holder = Holder(self.key.hash_one(accessor.as_bytes()));
            beliefs.insert(token, Belief { holder, until: now + FOR });
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sent(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    fn vouching() -> Response<()> {
        Response::builder().header(ACCESSOR, "00ab").body(()).unwrap()
    }

    #[test]
    fn one_token_is_one_however_it_is_written_and_its_holder_is_whom_replicas_name() {
        let (vouched, now) = (Vouched::default(), Duration::ZERO);
        let of = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            vouched.fingerprint(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        let token = of("Bearer a").unwrap();
        for same in ["bearer a", "BEARER   a", "Bearer a  "] {
            assert_eq!(of(same), Some(token), "{same}");
        }
        for none in ["Basic a", "Bearera", "Bearer", "a"] {
            assert_eq!(of(none), None, "{none}");
        }
        let mut twice = sent("a");
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(vouched.fingerprint(&twice), None);
        let other = of("Bearer b").unwrap();
        vouched.learn(token, &vouching(), now);
        vouched.learn(other, &vouching(), now);
        assert!(vouched.holder(token, now).is_some());
        assert_eq!(vouched.holder(token, now), vouched.holder(other, now), "one accessor");
        let long = "a".repeat(ACCESSOR_BYTES + 1);
        let third = of("Bearer c").unwrap();
        vouched.learn(third, &Response::builder().header(ACCESSOR, long).body(()).unwrap(), now);
        assert_eq!(vouched.holder(third, now), None);
    }

    fn refusing() -> Response<()> {
        Response::builder().status(StatusCode::UNAUTHORIZED).body(()).unwrap()
    }

    #[test]
    fn a_token_is_believed_in_for_a_while_once_a_replica_has_vouched_for_it() {
        let (vouched, at) = (Vouched::default(), Duration::from_secs);
        assert_eq!(vouched.fingerprint(&HeaderMap::new()), None);
        let token = vouched.fingerprint(&sent("a")).unwrap();
        assert_ne!(vouched.fingerprint(&sent("b")), Some(token));
        assert!(vouched.holder(token, at(0)).is_none(), "nobody has said so");
        vouched.learn(token, &Response::new(()), at(0));
        assert!(
            vouched.holder(token, at(0)).is_none(),
            "an answer that names nobody vouches for nobody"
        );
        vouched.learn(token, &vouching(), at(0));
        assert!(vouched.holder(token, at(59)).is_some() && vouched.holder(token, at(60)).is_none());
        vouched.learn(token, &vouching(), at(60));
        assert!(vouched.holder(token, at(119)).is_some());
        vouched.learn(token, &refusing(), at(61));
        assert!(vouched.holder(token, at(61)).is_none(), "it was revoked");
    }

    #[test]
    fn no_more_tokens_are_remembered_than_that() {
        let (vouched, at) = (Vouched::default(), Duration::from_secs);
        for number in 0..MOST as u64 {
            vouched.learn(Fingerprint(number), &vouching(), at(0));
        }
        let another = Fingerprint(MOST as u64);
        vouched.learn(another, &vouching(), at(1));
        assert!(vouched.holder(another, at(1)).is_none(), "there is no room");
        vouched.learn(Fingerprint(0), &vouching(), at(1));
        assert!(vouched.holder(Fingerprint(0), at(60)).is_some(), "one that has a place keeps it");
        vouched.learn(another, &vouching(), at(60));
        assert!(vouched.holder(another, at(60)).is_some(), "those of long ago have made room");
    }
}
