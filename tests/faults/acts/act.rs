//! The acts, as they are asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tests::harness::recorder::{Ask, Recorder};
use tests::operations::{Answer as Heard, Call, Outcome};

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    SwitchOver,
    Remove,
    Join,
    Compact,
    ReplaceAcceptor,
    MoreAcceptors,
    FewerAcceptors,
}

/// The same, of whom and what.
#[derive(Clone, Debug)]
pub(super) enum Asking {
    /// This replica is to be primary.
    Primary(String),
    /// This one is to be out.
    Removal(String),
    /// This one was started, and joins by itself.
    Joined(String),
    /// History before this revision is to be dropped.
    Compaction(u64),
    /// One acceptor in the place of another; who there is then, and the one that comes.
    Replacement { names: BTreeSet<String>, leaves: String, comes: String, subject: String },
    /// All acceptors that there are to be, and one of them.
    Acceptors { names: BTreeSet<String>, urls: Vec<String>, subject: String },
}

/// What is known of an act that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// It was refused for now, or nobody knows yet.
    NotYet,
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(name) | Self::Removal(name) | Self::Joined(name) => write!(f, "{name}"),
            Self::Compaction(revision) => write!(f, "below {revision}"),
            Self::Replacement { leaves, comes, .. } => write!(f, "{comes} for {leaves}"),
            Self::Acceptors { names, .. } => write!(f, "{names:?}"),
        }
    }
}

impl Asking {
    /// Who does most of it: one whose end hurts.
    pub(super) fn subject(&self) -> Option<&str> {
        match self {
            Self::Primary(name) | Self::Removal(name) | Self::Joined(name) => Some(name),
            Self::Compaction(_) => None,
            Self::Replacement { subject, .. } | Self::Acceptors { subject, .. } => Some(subject),
        }
    }

    /// Asks for it once.
    ///
    /// # Errors
    /// An answer that cannot be.
    pub(super) async fn ask(
        &self,
        http: &Client,
        front: &str,
        recorder: &Arc<Recorder>,
    ) -> Result<Answer> {
        let acceptors = format!("{front}/v1/cluster/acceptors");
        let request = match self {
            Self::Primary(name) => {
                http.post(format!("{front}/v1/cluster/primary")).json(&json!({ "replica": name }))
            }
            Self::Removal(name) => http.delete(format!("{front}/v1/cluster/replicas/{name}")),
            Self::Replacement { leaves, comes, .. } => {
                http.post(acceptors).json(&json!({ "replace": leaves, "with": comes }))
            }
            Self::Acceptors { urls, .. } => {
                http.post(acceptors).json(&json!({ "acceptors": urls }))
            }
            Self::Joined(name) => {
                let shown = http.get(format!("{front}/v1/cluster")).send().await;
                return Ok(is_in_view(shown, name).await);
            }
            Self::Compaction(below) => {
                let call = Call::Compact { below: *below };
                let outcome = recorder.perform(Ask::at(front), call).await?;
                let is_done =
                    matches!(outcome, Outcome::Answered { answer: Heard::Compacted { .. }, .. });
                return Ok(if is_done { Answer::Done } else { Answer::NotYet });
            }
        };
        let Ok(response) = request.send().await else { return Ok(Answer::NotYet) };
        let (status, said) = (response.status(), response.text().await.unwrap_or_default());
        match status {
            StatusCode::OK => Ok(Answer::Done),
            // Who has just begun to lead may not have heard of it.
            StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Ok(Answer::NotYet),
            _ => bail!("{self} was answered {status}: {said}"),
        }
    }
}

async fn is_in_view(shown: reqwest::Result<reqwest::Response>, replica: &str) -> Answer {
    let told = async { shown?.json::<Value>().await }.await.unwrap_or_default();
    let backups = told["view"]["backups"].as_array().into_iter().flatten();
    if backups.chain([&told["view"]["primary"]]).any(|name| name == replica) {
        Answer::Done
    } else {
        Answer::NotYet
    }
}
