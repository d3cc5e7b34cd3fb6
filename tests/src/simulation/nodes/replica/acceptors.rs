//! Which acceptors it asks: those of its flags, until it hears which ones have followed.

use replica::replica::event::Input;
use shared::message::SuccessionReply;

use super::ReplicaNode;
use crate::simulation::nodes::acceptor::acceptor_at;

impl ReplicaNode {
    /// Those that have followed, as far as it has kept that, or else those of its flags.
    pub(super) fn remember_acceptors(&mut self) {
        self.generation = 0;
        self.acceptors.clone_from(&self.flags);
        let own = self.database.cluster();
        let followed = self.followed.as_ref();
        if let Some(followed) = followed.filter(|followed| own == Some(followed.cluster())) {
            self.generation = followed.generation().0;
            self.acceptors = followed.next().urls.iter().map(|url| acceptor_at(url)).collect();
        }
    }

    /// An acceptor has told which ones have followed.
    pub(super) fn on_succeeded(&mut self, reply: &SuccessionReply) -> Option<Input> {
        let own = self.joined.or(self.discovery.cluster());
        let latest = reply.latest()?;
        if own != Some(latest.cluster()) || latest.generation().0 <= self.generation {
            return None;
        }
        self.generation = latest.generation().0;
        self.acceptors = latest.next().urls.iter().map(|url| acceptor_at(url)).collect();
        self.followed = Some(latest.clone());
        self.discovery.ask(self.acceptors.len());
        let (count, generation) = (self.acceptors.len(), latest.generation());
        Some(Input::Acceptors { count, generation })
    }
}
