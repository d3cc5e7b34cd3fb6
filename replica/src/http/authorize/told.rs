//! What somebody is told who is not answered.

use std::fmt;

use http::{HeaderValue, header};
use shared::problem::{Problem, Retryable};

use super::{BadJwt, NoBootstrap, NotAllowed};
use crate::machine::access::authorize::Denied;

impl From<NotAllowed> for Problem {
    fn from(why: NotAllowed) -> Self {
        match why {
            NotAllowed::NotBootstrapped => Self::unauthorized(
                "this replica requires tokens, and the cluster has none yet: make the first one \
                 with `synod token bootstrap`, from the replica's own machine or with the secret \
                 of its --bootstrap-file",
            ),
            NotAllowed::Bootstrap(why) => why.into(),
            NotAllowed::Bad(why) => Self::unauthorized(why.to_string()),
            NotAllowed::BadJwt(why @ BadJwt::TooManyForged) => {
                Self::too_many_requests(format!("the JWT is not looked at: {why}"))
            }
            NotAllowed::BadJwt(why) => {
                let invalid = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                Self::unauthorized(format!("the JWT is refused: {why}"))
                    .with_header(header::WWW_AUTHENTICATE, invalid)
            }
            NotAllowed::Denied(why) => why.into(),
        }
    }
}

impl fmt::Display for NoBootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeedsSecret => {
                "the first token is made with the secret of this replica's --bootstrap-file"
            }
            Self::Elsewhere => {
                "the first token is made from the replica's own machine (not through a \
                 balancer), or with the secret of its --bootstrap-file"
            }
            Self::OtherName => {
                "the first token is asked for by the replica's address, or by a name that it \
                 advertises or that --allowed-hosts lists: any other one may be a web page's"
            }
        })
    }
}

impl From<NoBootstrap> for Problem {
    fn from(why: NoBootstrap) -> Self {
        match why {
            NoBootstrap::NeedsSecret | NoBootstrap::Elsewhere => Self::forbidden(why.to_string()),
            NoBootstrap::OtherName => Self::misdirected(why.to_string()),
        }
    }
}

impl From<Denied> for Problem {
    fn from(why: Denied) -> Self {
        let rule = |prefix: &str, rights: &dyn fmt::Display| {
            let prefix = serde_json::Value::from(prefix);
            format!(
                "{why}: it needs a policy with a rule such as \
                 {{\"prefix\":{prefix},\"rights\":[\"{rights}\"]}}, and none below it that takes \
                 that away"
            )
        };
        let detail = match &why {
            Denied::NoToken => {
                return Self::unauthorized(format!("{why}: send Authorization: Bearer SECRET"));
            }
            Denied::UnknownToken => {
                return Self::unauthorized(format!("{why}: have another one made"));
            }
            Denied::Key { right, key } => rule(key, right),
            Denied::WholePrefix { right, prefix } => rule(prefix, right),
            Denied::NowhereUnder { rights, prefix } => {
                rule(prefix, &rights.to_string().replace(", ", "\",\""))
            }
            Denied::Cluster { right } => {
                format!("{why}: it needs a policy with \"cluster\":[\"{right}\"]")
            }
            Denied::Lease { .. } => why.to_string(),
        };
        Self::forbidden(detail).with_retryable(Retryable::No)
    }
}
