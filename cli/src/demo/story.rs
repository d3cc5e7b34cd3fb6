//! Who is killed, in which order, and why nothing is lost: pure.

use crate::bench::processes::Status;

/// What a service is at the moment when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Leader,
    Primary,
    Acceptor,
    Backup,
    Balancer,
    Standby,
}

/// Again and again in this order.
const ORDER: [Role; 6] =
    [Role::Leader, Role::Primary, Role::Acceptor, Role::Backup, Role::Balancer, Role::Standby];

impl Role {
    /// The role of the one that is killed as the so-manyth, from nothing on.
    pub(super) fn of_turn(turn: usize) -> Self {
        ORDER[turn % ORDER.len()]
    }

    /// Whether a service has this role.
    pub(super) fn is_of(self, status: &Status) -> bool {
        match self {
            Self::Leader => status.leads(),
            Self::Standby => status.service == "coordinator" && !status.leads(),
            Self::Primary => status.is_primary(),
            Self::Backup => status.service == "replica" && !status.is_primary(),
            Self::Acceptor => status.service == "acceptor",
            Self::Balancer => status.service == "balancer",
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Primary => "primary",
            Self::Acceptor => "acceptor",
            Self::Backup => "backup",
            Self::Balancer => "balancer",
            Self::Standby => "standby",
        }
    }

    /// What it did, and why nothing is lost with it.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Leader => {
                "the coordinator that leads: it gives every write its slot of the log. Its \
                 connections break, so the other one stands for election at once, asks a majority \
                 of the acceptors for their votes, and proposes again what was under way. It kept \
                 nothing that they have not."
            }
            Self::Primary => {
                "the replica that is primary: it executes the writes and answers. What it \
                 acknowledged stands in the logs of a majority of the acceptors. Another replica \
                 executes all of that and becomes primary by the next view; the balancer has the \
                 clients' requests wait, and sends each again by its name, so that none is \
                 executed twice."
            }
            Self::Acceptor => {
                "an acceptor: it votes, and keeps its votes on disk. Two of three are a majority, \
                 so nothing waits for it. It reads its log when it starts again, and has every \
                 vote that it gave."
            }
            Self::Backup => {
                "a replica that is a backup: it executes the same log. Nobody waits for it, and \
                 the balancer asks the others. Started again it fetches what it missed."
            }
            Self::Balancer => {
                "the balancer, the front door: it keeps nothing. The clients know the replicas as \
                 well, ask one of them, and send again with the same Idempotency-Key what they had \
                 no answer to; a backup forwards to the primary."
            }
            Self::Standby => {
                "the coordinator that stands by: it keeps nothing and decides nothing. For as long \
                 as it is gone, there is nobody to take over from the leader, and that is all."
            }
        }
    }
}

/// When services are killed, in seconds from the beginning.
pub(super) fn times(seconds: u64, every: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |turn| turn * every).take_while(move |at| *at < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_its_turn_and_then_the_first_again() {
        let names: Vec<&str> = (0..7).map(|turn| Role::of_turn(turn).name()).collect();
        let expected = ["leader", "primary", "acceptor", "backup", "balancer", "standby", "leader"];
        assert_eq!(names, expected);
        assert_eq!(times(65, 10).collect::<Vec<_>>(), [10, 20, 30, 40, 50, 60]);
        assert_eq!(times(20, 10).collect::<Vec<_>>(), [10]);
    }
}
