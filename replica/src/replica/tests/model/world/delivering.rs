//! What reaches a replica, late, twice or not at all.

use super::*;

impl World {
    pub(super) fn deliver_proposal(&mut self, index: usize, which: usize, fate: usize) {
        let proposals = &mut self.nodes[index].proposals;
        if proposals.is_empty() {
            return;
        }
        let (attempt, proposal) = proposals.remove(which % proposals.len());
        let Proposal { epoch, number, value, .. } = proposal.clone();
        let copies = [1, 1, 1, 1, 2, 0, 0, 0][fate % 8];
        for _ in 0..copies {
            self.log.push(value.clone());
        }
        let slot = Slot(self.log.len() as u64 - 1);
        let reply = match fate % 8 {
            0 | 1 | 4 => {
                Ok(ProposalReply::Chosen { slot, ballot: ballot(1), chosen_below: slot.next() })
            }
            2 => Ok(ProposalReply::Unresolved),
            5 => Ok(ProposalReply::NotLeading),
            6 => Err(NoAnswer),
            // Lost: the proposal, or the answer. A copy of the request may come once
            // more.
            3 | 7.. => {
                if fate >= 128 {
                    self.nodes[index].proposals.push((attempt, proposal));
                }
                return;
            }
        };
        self.step(index, Input::ProposalReply { epoch, number, attempt, reply: reply.map(ours) });
    }

    pub(super) fn deliver_fetch(&mut self, index: usize, fate: usize) {
        let Some((fetch, from)) = self.nodes[index].fetches.pop() else { return };
        let reply = match fate % 8 {
            0 => Err(NoAnswer),
            1 => Ok(ChosenReply::Unavailable),
            2 => Ok(ChosenReply::Trimmed { oldest: Slot(0) }),
            3.. => self.page(from, fate / 8),
        };
        self.step(index, Input::Fetched { fetch, reply: reply.map(ours) });
    }

    pub(super) fn page(&self, from: Slot, limit: usize) -> Result<ChosenReply, NoAnswer> {
        let page = self.log.iter().enumerate().skip(from.0 as usize).take(limit);
        let page: Vec<_> = page.map(|(slot, value)| entry(slot as u64, value.clone())).collect();
        let hash = self
            .log
            .iter()
            .zip(0..)
            .take(from.0 as usize)
            .fold(ChainHash::default(), |hash, (value, slot)| hash.next(Slot(slot), value));
        Ok(ChosenReply::Entries {
            entries: page,
            chosen_below: Slot(self.log.len() as u64),
            previous: Some(LogPrefix { below: from, hash }),
        })
    }

    /// Acceptors 1 and 2 have voted for all that is chosen, acceptor 3 is slow: any two
    /// of them know all.
    pub(super) fn deliver_watermarks(&mut self, index: usize, which: usize) {
        let Some(probe) = self.nodes[index].probes.last().copied() else { return };
        let voted_below =
            if which.is_multiple_of(3) { self.log.len() / 2 } else { self.log.len() } as u64;
        let acceptor = if which.is_multiple_of(3) { 3 } else { which as u64 % 3 };
        let reply = if which >= 240 {
            Err(NoAnswer)
        } else {
            Ok(watermarks(acceptor, voted_below, Some(roster())))
        };
        self.step(index, Input::ProbeReply { probe, reply });
    }

    pub(super) fn hear_of_leader(&mut self, index: usize, second: usize) {
        let round = second as u64 % 3 + 1;
        let reply = HeartbeatReply {
            coordinator: CoordinatorId(round),
            phase: Phase::Phase2,
            ballot: Some(ballot(round)),
            chosen_below: Slot(self.log.len() as u64),
        };
        let reply = if second >= 250 { Err(NoAnswer) } else { Ok(ours(reply)) };
        self.step(index, Input::HeartbeatReply { from: coordinator(1).name, reply });
    }
}
