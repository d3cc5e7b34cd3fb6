//! Who the acceptors are, as far as a service knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::base_url::BaseUrl;
use crate::client::AcceptorClient;
use crate::ids::{Generation, Name};
use crate::message::{Announced, Succession};

/// The acceptors as they are known here: those of the flags, until one of them tells of
/// others that have followed. Nothing that must hold rests on it.
#[derive(Clone, Debug)]
pub struct Acceptors {
    /// What made them the acceptors, once one of them has told of a change.
    pub succession: Option<Succession>,
    /// A client for each.
    pub clients: Arc<[AcceptorClient]>,
    /// The name by which each answered last, by its address: who is long gone keeps it.
    pub names: BTreeMap<String, Name>,
    /// Where else somebody may know who the acceptors are by now.
    pub beside: Arc<[BaseUrl]>,
}

impl Acceptors {
    /// Those of the flags.
    #[must_use]
    pub fn configured(clients: &[AcceptorClient]) -> Self {
        let (names, beside) = Default::default();
        Self { succession: None, clients: clients.into(), names, beside }
    }

    /// Of which generation they are, as far as is known.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.succession.as_ref().map_or(Generation(0), Succession::generation)
    }

    /// Those that follow in a succession, if they are later ones.
    #[must_use]
    pub fn succeeded_by(&self, succession: &Succession) -> Option<Self> {
        let is_later = succession.generation() > self.generation();
        let urls = succession.next().urls.iter().map(|url| url.parse::<BaseUrl>());
        let urls: Vec<BaseUrl> = urls.collect::<Result<_, _>>().ok().filter(|_| is_later)?;
        let clients = urls.into_iter().map(AcceptorClient::new).collect();
        let beside = Arc::clone(&self.beside);
        let next = Self { succession: Some(succession.clone()), clients, beside, ..self.clone() };
        Some(next.named(BTreeMap::new()))
    }

    /// With these names, by address, beside those that are known: only the present ones'.
    #[must_use]
    pub fn named(mut self, names: BTreeMap<String, Name>) -> Self {
        self.names.extend(names);
        let clients = &self.clients;
        self.names.retain(|url, _| clients.iter().any(|client| client.url().as_str() == *url));
        self
    }
}

/// Takes note by which name each of the acceptors answers.
pub(super) fn learn_names(present: &watch::Sender<Acceptors>, answers: &[(String, Announced)]) {
    let name = |(url, answer): &(String, Announced)| (url.clone(), answer.acceptor.name.clone());
    let told = answers.iter().map(name).collect();
    present.send_if_modified(|known| {
        let named = known.clone().named(told);
        let is_news = named.names != known.names;
        known.names = named.names;
        is_news
    });
}
