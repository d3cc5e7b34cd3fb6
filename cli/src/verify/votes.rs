//! The acceptors of a folder against its replicas: what was executed was chosen, so a majority
//! has voted for it; and where anything was, nobody has nothing.

use shared::ids::{AcceptorId, Slot};
use shared::message::Roster;

use super::Report;

/// What there is to hold against each other.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// Of each acceptor with a log: the roster that it is of, who it is, and below which slot it
    /// has voted.
    pub(super) found: Vec<(Option<Roster>, AcceptorId, Slot)>,
    /// The folders of acceptors that have kept nothing …
    pub(super) empty: Vec<String>,
    /// … and of replicas.
    pub(super) stateless: Vec<String>,
    /// Below which slot a replica has executed.
    pub(super) executed: Vec<(String, Slot)>,
}

impl Votes {
    /// Adds what does not fit to what was found of each.
    pub(super) fn compare(&self, reports: &mut [Report]) {
        let voted = self.found.iter().any(|(_, _, voted_below)| *voted_below > Slot(0));
        let executed = self.executed.iter().any(|(_, executed_below)| *executed_below > Slot(0));
        for report in reports {
            let mut nothing = self.empty.iter().chain(&self.stateless);
            if (voted || executed) && nothing.any(|path| *path == report.path) {
                let fault = "what it had is gone: others in this folder have voted or executed";
                report.faults.push(fault.to_owned());
            }
            let of_it = self.executed.iter().find(|(path, _)| *path == report.path);
            report.faults.extend(of_it.and_then(|(_, below)| self.lacking(*below)));
        }
    }

    /// Why no majority can have voted for all that is executed.
    fn lacking(&self, executed_below: Slot) -> Option<String> {
        let rosters = self.found.iter().filter_map(|(roster, _, _)| roster.as_ref());
        let latest = rosters.max_by_key(|roster| roster.generation())?;
        let of_it = |id: &AcceptorId| self.found.iter().find(|(_, found, _)| found == id);
        let (known, unknown): (Vec<_>, Vec<_>) =
            latest.acceptors().iter().map(of_it).partition(Option::is_some);
        let voted = known.into_iter().flatten().filter(|(_, _, below)| *below >= executed_below);
        // What those have that are not here, nobody knows; the empty ones have nothing.
        let enough = voted.count() + unknown.len().saturating_sub(self.empty.len());
        (enough < latest.quorum()).then(|| {
            format!(
                "it has executed below {executed_below}, and no majority of the acceptors here has \
                 voted for that much"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Draw;

    use super::*;

    fn report(path: &str) -> Report {
        Report { path: path.to_owned(), kind: "x", holds: String::new(), faults: Vec::new() }
    }

    /// The folders with a fault, where three acceptors have voted below these slots (or have kept
    /// nothing, or are not here), and a replica has executed below ten.
    fn faulty(acceptors: [Option<Option<u64>>; 3]) -> Vec<String> {
        let ids = [1, 2, 3].map(AcceptorId);
        let roster = Roster::form(ids.map(|id| (id, Draw(id.0))).to_vec()).unwrap();
        let mut votes =
            Votes { executed: vec![("replica".to_owned(), Slot(10))], ..Votes::default() };
        let mut reports = vec![report("replica")];
        for (id, voted) in ids.into_iter().zip(acceptors) {
            let Some(voted) = voted else { continue };
            let path = format!("acceptor-{}", id.0);
            reports.push(report(&path));
            match voted {
                Some(below) => votes.found.push((Some(roster.clone()), id, Slot(below))),
                None => votes.empty.push(path),
            }
        }
        votes.compare(&mut reports);
        reports.into_iter().filter(|it| !it.faults.is_empty()).map(|it| it.path).collect()
    }

    #[test]
    fn a_majority_has_voted_for_what_was_executed() {
        let (all, few, nothing, elsewhere) = (Some(Some(10)), Some(Some(9)), Some(None), None);
        assert_eq!(faulty([all, all, few]), [] as [&str; 0]);
        assert_eq!(faulty([all, elsewhere, elsewhere]), [] as [&str; 0]);
        assert_eq!(faulty([all, few, few]), ["replica"]);
        assert_eq!(faulty([all, few, elsewhere]), [] as [&str; 0]);
        assert_eq!(faulty([all, all, nothing]), ["acceptor-3"]);
        assert_eq!(faulty([all, nothing, nothing]), ["replica", "acceptor-2", "acceptor-3"]);
        assert_eq!(faulty([nothing, nothing, nothing]), ["acceptor-1", "acceptor-2", "acceptor-3"]);
    }
}
