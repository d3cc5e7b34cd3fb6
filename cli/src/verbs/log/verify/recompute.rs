//! The hashes that a replica's values come to.

use std::time::Duration;

use client::LogEntry;
use serde::Serialize;
use shared::chain::ChainHash;
use shared::client::ReplicaClient;
use shared::config::BaseUrl;
use shared::ids::{ClusterId, Slot};
use shared::message::{ChosenEntry, ChosenReply, LogPrefix};

/// How long a replica that is behind, or not heard of yet, is waited for.
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was found of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    url: String,
    /// The first slot whose hash was recomputed, and the last one.
    from: Option<u64>,
    to: Option<u64>,
    #[serde(flatten)]
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
enum Found {
    /// Every hash is that of the log.
    Equal,
    /// It could not be asked further.
    Ended {
        /// Why.
        reason: String,
    },
    /// A value, or what is before it, has another hash than in the log.
    Differs {
        /// Where first.
        slot: u64,
        /// What its values come to.
        theirs: ChainHash,
        /// What the log says.
        log: ChainHash,
    },
}

impl Standing {
    pub(super) fn differs(&self) -> bool {
        matches!(self.found, Found::Differs { .. })
    }

    /// Whether all of that was recomputed, and is equal.
    pub(super) fn is_whole(&self, from: u64, to: u64) -> bool {
        self.found == Found::Equal && self.from == Some(from) && self.to == Some(to)
    }

    /// As a row of a table.
    pub(super) fn cells(&self) -> [String; 3] {
        let range = self.from.zip(self.to).map(|(from, to)| format!("{from} to {to}"));
        let found = match &self.found {
            Found::Equal => String::from("equal"),
            Found::Ended { reason } => reason.clone(),
            Found::Differs { slot, theirs, log } => {
                format!("differs at slot {slot}: {theirs}, and {log} in the log")
            }
        };
        [self.url.clone(), range.unwrap_or_else(|| String::from("nothing")), found]
    }
}

/// Recomputes at one replica.
pub(super) struct Recompute {
    cluster: ClusterId,
    client: Option<ReplicaClient>,
    standing: Standing,
}

impl Recompute {
    pub(super) fn new(cluster: ClusterId, url: String) -> Self {
        let parsed: Result<BaseUrl, _> = url.parse();
        let found = match &parsed {
            Ok(_) => Found::Equal,
            Err(error) => Found::Ended { reason: error.to_string() },
        };
        let client = parsed.ok().map(ReplicaClient::new);
        Self { cluster, client, standing: Standing { url, from: None, to: None, found } }
    }

    /// A replica of the view of which the one that was asked does not know where it is.
    pub(super) fn unheard(cluster: ClusterId, name: String) -> Self {
        let reason = "the replica that was asked has not heard of it yet, or not lately";
        let found = Found::Ended { reason: String::from(reason) };
        Self {
            cluster,
            client: None,
            standing: Standing { url: name, from: None, to: None, found },
        }
    }

    pub(super) fn standing(self) -> Standing {
        self.standing
    }

    /// Holds the replica's values against a page of the log, unless it has ended before.
    pub(super) async fn take(&mut self, page: &[LogEntry]) {
        let Some(client) = self.client.clone() else { return };
        let mut rest = page;
        while let Some(first) = rest.first().filter(|_| self.standing.found == Found::Equal) {
            let from = Slot(first.slot);
            let reply = client.replication_log(self.cluster, from, WAIT, TIMEOUT).await;
            let reply = reply.map_err(|error| error.to_string()).and_then(|reply| {
                reply.for_cluster(self.cluster).map_err(|error| error.to_string())
            });
            match reply {
                Ok(reply) => rest = self.hold(rest, reply),
                Err(reason) => self.standing.found = Found::Ended { reason },
            }
        }
    }

    /// Holds an answer against the log; what of the page is still to be asked for.
    pub(super) fn hold<'a>(&mut self, page: &'a [LogEntry], reply: ChosenReply) -> &'a [LogEntry] {
        match reply {
            ChosenReply::Entries { entries, previous: Some(previous), .. }
                if !entries.is_empty() =>
            {
                let taken = self.compare(page, previous, &entries);
                &page[taken..]
            }
            ChosenReply::Trimmed { oldest }
                if page.first().is_some_and(|it| it.slot < oldest.0) =>
            {
                let kept = page.partition_point(|entry| entry.slot < oldest.0);
                &page[kept..]
            }
            ChosenReply::Entries { .. }
            | ChosenReply::Trimmed { .. }
            | ChosenReply::Unavailable => {
                let slot = page.first().map(|entry| entry.slot).unwrap_or_default();
                self.standing.found =
                    Found::Ended { reason: format!("it does not give slot {slot} yet") };
                page
            }
        }
    }

    /// Compares slot by slot; how many.
    fn compare(&mut self, page: &[LogEntry], previous: LogPrefix, values: &[ChosenEntry]) -> usize {
        let mut hash = previous.hash;
        let mut taken = 0;
        for (entry, value) in page.iter().zip(values) {
            if hash != entry.previous_hash {
                self.differs(entry.slot, hash, entry.previous_hash);
                break;
            }
            hash = hash.next(value.slot, &value.value);
            if hash != entry.hash {
                self.differs(entry.slot, hash, entry.hash);
                break;
            }
            self.standing.from.get_or_insert(entry.slot);
            self.standing.to = Some(entry.slot);
            taken += 1;
        }
        taken
    }

    fn differs(&mut self, slot: u64, theirs: ChainHash, log: ChainHash) {
        self.standing.found = Found::Differs { slot, theirs, log };
    }
}
