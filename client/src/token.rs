//! Tokens: who may do what is said by their policies.

use std::fmt;
use std::time::Duration;

use futures::stream::BoxStream;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::{Call, awaited, forcible, mutation};
use crate::client::Client;
use crate::error::Error;
use crate::lease::millis;
use crate::pages;
use crate::policy::Policy;

const TOKENS: &str = "/v1/tokens";

impl Client {
    /// Makes the first token, which may do everything, and has tokens required from then on.
    /// [`Error::Conflict`] where that was done before. It is asked for at a replica itself,
    /// from its own machine, or with the secret of its `--bootstrap-file`.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn bootstrap(&self) -> Bootstrap {
        let call = Call::once(Method::POST, format!("{TOKENS}/bootstrap"));
        Bootstrap { client: self.clone(), call }
    }

    /// Makes a token that has these policies. It is not asked for again once it may have been
    /// made: where the answer is lost, there may be one whose secret nobody knows.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn create_token(&self, policies: &[impl AsRef<str>]) -> CreateToken {
        let policies = policies.iter().map(|name| name.as_ref().to_owned()).collect();
        CreateToken { client: self.clone(), policies, ttl: None, description: String::new() }
    }

    /// Lists tokens. Awaiting it gives a page, [`Tokens::stream`] all of them.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn tokens(&self) -> Tokens {
        Tokens { client: self.clone(), call: Call::read(Method::GET, TOKENS) }
    }

    /// Reads a token.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn token(&self, accessor: &str) -> ReadToken {
        let call = Call::read(Method::GET, format!("{TOKENS}/{accessor}"));
        ReadToken { client: self.clone(), call }
    }

    /// Says whose token this client has, and what it may do.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn own_token(&self) -> ReadOwnToken {
        let call = Call::read(Method::GET, format!("{TOKENS}/self"));
        ReadOwnToken { client: self.clone(), call }
    }

    /// Ends a token: what is asked with it after the answer is refused.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn delete_token(&self, accessor: &str) -> DeleteToken {
        let call = Call::mutation(Method::DELETE, format!("{TOKENS}/{accessor}"));
        DeleteToken { client: self.clone(), call }
    }
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it is called by, which is no secret.
    pub accessor: String,
    /// The policies whose rights it has together.
    pub policies: Vec<String>,
    /// What it is for.
    pub description: String,
    /// The revision that made it.
    pub created_revision: u64,
    /// The token that made it; none made the first.
    pub created_by: Option<String>,
    /// How long it lasts, in milliseconds; none: it has no end.
    pub remaining_ms: Option<u64>,
}

/// Who this client is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnToken {
    /// Who.
    #[serde(flatten)]
    pub holder: TokenHolder,
    /// The rules of all its policies together.
    pub rights: Policy,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TokenHolder {
    /// Who has a token.
    Token(Token),
    /// Who has a JWT.
    Vouched(Vouched),
}

/// Somebody whom an outside issuer vouches for, by a JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// What it is called by in the log, and as the owner of leases.
    pub accessor: String,
    /// Who vouches.
    pub issuer: String,
    /// For whom.
    pub subject: String,
    /// The policies that the issuer gives.
    pub policies: Vec<String>,
    /// Until when, in seconds since 1970.
    pub expires: u64,
}

/// A token that was made. The secret is told this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeToken {
    /// What it is called by.
    pub accessor: String,
    /// What it is used by; none where the request came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Its policies.
    pub policies: Vec<String>,
    /// When it ends at the earliest, in seconds since 1970; none: it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// The revision that made it.
    pub revision: u64,
}

impl fmt::Debug for MadeToken {
    /// Without its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("accessor", &self.accessor).finish_non_exhaustive()
    }
}

/// A token or a policy was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessChanged {
    /// The revision that did.
    pub revision: u64,
}

/// A page of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenPage {
    /// By accessor.
    pub items: Vec<Token>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Makes the first token: [`Client::bootstrap`].
#[derive(Clone, Debug)]
pub struct Bootstrap {
    client: Client,
    call: Call,
}

awaited!(Bootstrap => MadeToken);

impl Bootstrap {
    async fn send(self) -> Result<MadeToken, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Makes a token: [`Client::create_token`].
#[derive(Clone, Debug)]
pub struct CreateToken {
    client: Client,
    policies: Vec<String>,
    ttl: Option<Duration>,
    description: String,
}

awaited!(CreateToken => MadeToken);

impl CreateToken {
    /// It ends after so long; never where that is not said.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// What it is for.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    async fn send(self) -> Result<MadeToken, Error> {
        let mut body = json!({"policies": self.policies, "description": self.description});
        if let Some(ttl) = self.ttl {
            body["ttl_ms"] = millis(ttl).into();
        }
        let mut call = Call::once(Method::POST, TOKENS);
        call.json(&body);
        self.client.send(call).await?.json()
    }
}

/// Lists tokens: [`Client::tokens`].
#[derive(Clone, Debug)]
pub struct Tokens {
    client: Client,
    call: Call,
}

awaited!(Tokens => TokenPage);

impl Tokens {
    async fn send(self) -> Result<TokenPage, Error> {
        self.client.send(self.call).await?.json()
    }

    /// All of them. It ends with the first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Token, Error>> {
        pages::by_cursor(
            self,
            |request| &mut request.call,
            |TokenPage { items, next }| (items, next),
        )
    }
}

/// Reads a token: [`Client::token`].
#[derive(Clone, Debug)]
pub struct ReadToken {
    client: Client,
    call: Call,
}

awaited!(ReadToken => Token);

impl ReadToken {
    async fn send(self) -> Result<Token, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Reads the client's own token: [`Client::own_token`].
#[derive(Clone, Debug)]
pub struct ReadOwnToken {
    client: Client,
    call: Call,
}

awaited!(ReadOwnToken => OwnToken);

impl ReadOwnToken {
    async fn send(self) -> Result<OwnToken, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// Ends a token: [`Client::delete_token`].
#[derive(Clone, Debug)]
pub struct DeleteToken {
    client: Client,
    call: Call,
}

mutation!(DeleteToken => AccessChanged);
forcible!(DeleteToken);

impl DeleteToken {
    async fn send(self) -> Result<AccessChanged, Error> {
        self.client.send(self.call).await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Secret;
    use crate::stub::{Said, Stub};

    #[tokio::test]
    async fn the_secret_is_sent_with_each_request_and_shown_nowhere() {
        let own = json!({"accessor": "00000000000000aa", "policies": ["app"], "description": "",
            "created_revision": 7, "created_by": null, "remaining_ms": null,
            "rights": {"rules": [], "cluster": []}, "revision": 9});
        let stub = Stub::start(move |_, _| Said::Answer(200, own.to_string())).await;
        let client = stub.client().with_token("synod_hidden").unwrap();
        let own = client.own_token().await.unwrap();
        let TokenHolder::Token(token) = own.holder else { panic!("it has a token") };
        assert_eq!((token.accessor.as_str(), token.remaining_ms), ("00000000000000aa", None));
        let asked = stub.asked();
        assert_eq!(asked[0].line, "GET /v1/tokens/self HTTP/1.1");
        assert_eq!(asked[0].header("authorization"), Some("Bearer synod_hidden"));
        assert!(!format!("{client:?} {:?}", client.own_token()).contains("hidden"));
    }

    #[tokio::test]
    async fn who_may_have_made_the_first_token_learns_its_secret_and_nobody_else_does() {
        let told = json!({"title": "Timeout", "status": 504, "outcome": "unknown",
            "secret": "synod_hidden"});
        let stub = Stub::start(move |_, _| Said::Answer(504, told.to_string())).await;
        let error = stub.client().bootstrap().await.unwrap_err();
        assert_eq!(error.secret().map(Secret::reveal), Some("synod_hidden"));
        assert!(!format!("{error} {error:?}").contains("hidden"));
        assert_eq!(stub.asked().len(), 1);
    }

    #[tokio::test]
    async fn whoever_has_a_jwt_is_whom_its_issuer_says() {
        let own = json!({"accessor": "00000000000000aa", "issuer": "https://issuer",
            "subject": "ci", "policies": ["app"], "expires": 1_800_000_000,
            "rights": {"rules": [], "cluster": []}, "revision": 9});
        let stub = Stub::start(move |_, _| Said::Answer(200, own.to_string())).await;
        let own = stub.client().own_token().await.unwrap();
        let vouched = Vouched {
            accessor: String::from("00000000000000aa"),
            issuer: String::from("https://issuer"),
            subject: String::from("ci"),
            policies: vec![String::from("app")],
            expires: 1_800_000_000,
        };
        assert_eq!(own.holder, TokenHolder::Vouched(vouched));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        let client = Client::new("http://127.0.0.1:1").unwrap();
        for bad in ["", "two words", "line\nfeed", "ä"] {
            let refused = client.clone().with_token(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !refused.contains(bad), "{refused}");
        }
    }

    #[test]
    fn a_token_that_was_made_is_shown_without_its_secret() {
        let made = MadeToken {
            accessor: String::from("00000000000000aa"),
            secret: Some(String::from("synod_hidden")),
            policies: Vec::new(),
            expires: None,
            revision: 7,
        };
        assert_eq!(format!("{made:?}"), "MadeToken { accessor: \"00000000000000aa\", .. }");
    }
}
