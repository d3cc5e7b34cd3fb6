//! The spans of all services: each is asked at once, and within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use opentelemetry::trace::TraceId;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{Missing, PATH, Told, own};
use crate::base_url::BaseUrl;
use crate::client::Peer;
use crate::discovery::Acceptors;
use crate::ids::Name;
use crate::message::Member;
use crate::places::{ClientNetwork, Places};
use crate::problem::Problem;

/// How long another service may take to tell its own: one that hangs is named as missing.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most services that are asked.
const MOST_SERVICES: usize = 64;

/// So many are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// The most that is read of an answer, in bytes: somewhat more than a service tells.
const ANSWER_BYTES: usize = 256 << 10;

/// The most that is told of all together, in bytes.
const ALL_BYTES: usize = 2 << 20;

/// Gathered for so many requests at once; one more is refused.
const GATHERED_AT_ONCE: usize = 4;

/// Those of one client.
const GATHERED_FOR_A_CLIENT: usize = 2;

/// Asks everybody for their spans.
#[derive(Clone, Debug)]
pub struct Gather {
    name: Name,
    acceptors: watch::Receiver<Acceptors>,
    members: watch::Receiver<Vec<Member>>,
    places: Arc<Places>,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    id: Option<Name>,
    url: String,
}

/// What of another's answer is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    resource_spans: Vec<Value>,
    #[serde(default)]
    missing: Vec<Value>,
    #[serde(default, rename = "left_out")]
    left_out: u64,
}

impl Gather {
    /// The service of this name asks the acceptors, which it is told of, and all members
    /// that were found.
    #[must_use]
    pub fn new(
        name: Name,
        acceptors: watch::Receiver<Acceptors>,
        members: watch::Receiver<Vec<Member>>,
    ) -> Self {
        let places =
            Places::new("traces are being gathered", GATHERED_AT_ONCE, GATHERED_FOR_A_CLIENT);
        Self { name, acceptors, members, places }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// The spans of all.
    pub(super) async fn all(
        &self,
        trace: TraceId,
        client: Option<ClientNetwork>,
    ) -> Result<Told, Problem> {
        let _place = self.places.take(client)?;
        let mut told = own(&self.name, trace);
        let clients = Arc::clone(&self.acceptors.borrow().clients);
        let acceptors: Vec<BaseUrl> = clients.iter().map(|to| to.url().clone()).collect();
        let (asked, not_asked) = targets(&self.members.borrow(), &self.name, &acceptors);
        let answers = asked.into_iter().map(|target| async move {
            let answer = ask(&target.url, trace).await;
            (target, answer)
        });
        let mut answers = stream::iter(answers).buffer_unordered(ASKED_AT_ONCE);
        let mut bytes = 0;
        while let Some((Target { id, url }, answer)) = answers.next().await {
            let answer = answer.and_then(|(answer, length)| {
                let fits = bytes + length <= ALL_BYTES;
                bytes += if fits { length } else { 0 };
                let too_long = || format!("the answer would be longer than {ALL_BYTES} bytes");
                fits.then_some(answer).ok_or_else(too_long)
            });
            match answer {
                Ok(answer) => {
                    told.resource_spans.extend(answer.resource_spans);
                    told.left_out = told.left_out.saturating_add(answer.left_out);
                    if !answer.missing.is_empty() {
                        let reason = "it keeps no spans".to_owned();
                        told.missing.push(Missing { id, url: Some(url), reason });
                    }
                }
                Err(reason) => told.missing.push(Missing { id, url: Some(url), reason }),
            }
        }
        told.missing.extend(not_asked.into_iter().map(|Target { id, url }| {
            let reason = format!("only {MOST_SERVICES} services are asked");
            Missing { id, url: Some(url), reason }
        }));
        told.missing.sort_by(|one, other| (&one.id, &one.url).cmp(&(&other.id, &other.url)));
        Ok(told)
    }
}

/// Who is asked, and who is one too many.
fn targets(members: &[Member], own: &Name, acceptors: &[BaseUrl]) -> (Vec<Target>, Vec<Target>) {
    let others = members.iter().filter(|member| member.name != *own);
    let mut targets: Vec<Target> = others
        .map(|member| Target { id: Some(member.name.clone()), url: member.url.clone() })
        .collect();
    let listed: BTreeSet<String> = targets.iter().map(|target| target.url.clone()).collect();
    // An acceptor that hangs is forgotten by the others after a while.
    let unlisted = acceptors.iter().map(ToString::to_string).filter(|url| !listed.contains(url));
    targets.extend(unlisted.map(|url| Target { id: None, url }));
    let not_asked = targets.split_off(targets.len().min(MOST_SERVICES));
    (targets, not_asked)
}

async fn ask(url: &str, trace: TraceId) -> Result<(Answer, usize), String> {
    let url: BaseUrl = url.parse().map_err(|_| "it announces a URL that is none".to_owned())?;
    let path = format!("{PATH}?trace={trace}&of=service");
    let told = Peer::new(url).json(&path, PATIENCE, ANSWER_BYTES).await;
    let told = told.map_err(|error| error.to_string())?;
    let answer = serde_json::from_slice(&told).map_err(|error| format!("no spans: {error}"))?;
    Ok((answer, told.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Instance;
    use crate::message::Service;

    fn member(name: String) -> Member {
        let url = format!("http://{name}:1");
        let (name, service) = (name.parse().unwrap(), Service::Replica);
        Member { name, service, url, instance: Instance(1) }
    }

    #[test]
    fn everybody_else_is_asked_once_and_no_more_than_so_many() {
        let own: Name = "replica-1".parse().unwrap();
        let members: Vec<Member> =
            (1..=100).map(|number| member(format!("replica-{number}"))).collect();
        let known: BaseUrl = "http://replica-2:1".parse().unwrap();
        let silent: BaseUrl = "http://silent:1".parse().unwrap();
        let (asked, not_asked) = targets(&members, &own, &[known.clone(), silent.clone()]);
        assert_eq!((asked.len(), not_asked.len()), (MOST_SERVICES, 36));
        assert!(!asked.iter().any(|target| target.id.as_ref() == Some(&own)));
        let (asked, _) = targets(&members[..2], &own, &[known, silent]);
        let urls: Vec<&str> = asked.iter().map(|target| target.url.as_str()).collect();
        assert_eq!(urls, ["http://replica-2:1", "http://silent:1"]);
    }
}
