//! A request, before it is sent anywhere.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::attempts::Effect;
use crate::error::Error;
use crate::key::encode_key;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request: what of it is the same at every attempt.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) effect: Effect,
    /// How long the server is asked to wait before it answers, beyond what a request takes.
    pub(crate) waits: Duration,
    /// How long an answer that is streamed may take to begin, beyond what a request takes.
    pub(crate) begins_within: Duration,
    /// Why it cannot be sent at all.
    fault: Option<String>,
}

impl Call {
    fn new(method: Method, path: String, effect: Effect) -> Self {
        let (query, headers, body) = (Vec::new(), HeaderMap::new(), Bytes::new());
        let (waits, begins_within, fault) = (Duration::ZERO, Duration::ZERO, None);
        Self { method, path, query, headers, body, effect, waits, begins_within, fault }
    }

    /// A request that changes nothing.
    pub(crate) fn read(method: Method, path: impl Into<String>) -> Self {
        Self::new(method, path.into(), Effect::Read)
    }

    /// A request that is executed once, by a key that is drawn here.
    pub(crate) fn mutation(method: Method, path: impl Into<String>) -> Self {
        let mut call = Self::new(method, path.into(), Effect::Read);
        call.name(&format!("{:032x}", rand::random::<u128>()));
        call
    }

    /// A request whose answer could not be given again.
    pub(crate) fn once(method: Method, path: impl Into<String>) -> Self {
        Self::new(method, path.into(), Effect::Once)
    }

    /// The path of a key.
    pub(crate) fn at_key(mut self, key: &str) -> Self {
        match encode_key(key) {
            Ok(encoded) => self.path.push_str(&encoded),
            Err(unsayable) => self.fault = Some(unsayable.to_string()),
        }
        self
    }

    /// Names a mutation.
    pub(crate) fn name(&mut self, key: &str) {
        self.header(IDEMPOTENCY_KEY, &format!("\"{key}\""));
        self.effect = Effect::Mutation { idempotency_key: Some(key.to_owned()) };
    }

    /// Takes the name of a mutation that may be executed often.
    pub(crate) fn unname(&mut self) {
        self.headers.remove(IDEMPOTENCY_KEY);
        self.effect = Effect::Mutation { idempotency_key: None };
    }

    pub(crate) fn param(&mut self, name: &'static str, value: impl ToString) {
        self.query.push((name, value.to_string()));
    }

    pub(crate) fn header(&mut self, name: HeaderName, value: &str) {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(self.headers.insert(name, value)),
            Err(_) => self.fault = Some(format!("{name} cannot be {value:?}")),
        }
    }

    pub(crate) fn json(&mut self, body: &impl serde::Serialize) {
        self.header(http::header::CONTENT_TYPE, "application/json");
        self.body = serde_json::to_vec(body).expect("what is sent is plain JSON").into();
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.fault.clone().map_or(Ok(()), |fault| Err(Error::Invalid(fault)))
    }
}

/// Has a request sent by awaiting it.
macro_rules! awaited {
    ($name:ident => $answer:ty) => {
        impl IntoFuture for $name {
            type Output = Result<$answer, $crate::Error>;
            type IntoFuture = futures::future::BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.send())
            }
        }
    };
}

/// What every mutation may be sent with.
macro_rules! mutation {
    ($name:ident => $answer:ty) => {
        $crate::call::awaited!($name => $answer);

        impl $name {
            /// Names the mutation: sent again with the same key, it gets its first answer. One is
            /// drawn where none is given. 1 to 128 visible ASCII characters.
            #[must_use]
            pub fn idempotency_key(mut self, key: &str) -> Self {
                self.call.name(key);
                self
            }

            /// Has the mutation recorded as part of a trace (W3C Trace Context): what becomes
            /// of it can be followed by [`Client::trace`](crate::Client::trace).
            #[must_use]
            pub fn traceparent(mut self, traceparent: &str) -> Self {
                let name = http::HeaderName::from_static("traceparent");
                self.call.header(name, traceparent);
                self
            }

            /// Only while a lock is held: [`Error::ConditionFailed`](crate::Error) once it is not.
            #[must_use]
            pub fn fence(mut self, fence: &$crate::Fence) -> Self {
                let name = http::HeaderName::from_static("synod-fence");
                self.call.header(name, &fence.to_string());
                self
            }
        }
    };
}

/// Compare-and-swap of one key.
macro_rules! conditional {
    ($name:ident) => {
        impl $name {
            /// Only if the key was last written at this revision: [`Error::ConditionFailed`]
            /// otherwise.
            #[must_use]
            pub fn if_revision(mut self, revision: u64) -> Self {
                self.call.header(http::header::IF_MATCH, &format!("\"{revision}\""));
                self
            }

            /// Only if the key exists.
            #[must_use]
            pub fn if_exists(mut self) -> Self {
                self.call.header(http::header::IF_MATCH, "*");
                self
            }

            /// Only if the key does not exist.
            #[must_use]
            pub fn if_absent(mut self) -> Self {
                self.call.header(http::header::IF_NONE_MATCH, "*");
                self
            }
        }
    };
}

/// What may do no harm when it is executed twice.
macro_rules! repeatable {
    ($name:ident) => {
        impl $name {
            /// Sends no idempotency key, of which a cluster keeps a limited number: for a
            /// mutation of which it does no harm that a repeat is executed too, such as the
            /// same bytes put once more. Nearly never right with a condition.
            #[must_use]
            pub fn without_idempotency_key(mut self) -> Self {
                self.call.unname();
                self
            }
        }
    };
}

/// What a change of tokens or policies may be sent with.
macro_rules! forcible {
    ($name:ident) => {
        impl $name {
            /// Also where nobody may operate the cluster any more, or whoever asks may not.
            #[must_use]
            pub fn force(mut self) -> Self {
                self.call.param("force", true);
                self
            }
        }
    };
}

pub(crate) use {awaited, conditional, forcible, mutation, repeatable};
