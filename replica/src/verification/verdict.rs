//! What is made of all replicas' digests at one slot: pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use shared::chain::ChainHash;
use shared::ids::{Name, Slot};

use crate::store::StateDigest;

/// A replica, and what it said.
#[derive(Clone, Debug)]
pub(crate) struct AskedReplica {
    pub(crate) replica: Name,
    /// Whether the view names it: only those make a majority.
    pub(crate) in_view: bool,
    /// Its digest, or why there is none.
    pub(crate) said: Result<StateDigest, String>,
}

/// What came of comparing the replicas' states at one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "StateCheck")]
pub(crate) struct Check {
    /// Every slot below was executed in the states that were compared, and no other.
    pub(crate) executed_below: Slot,
    pub(crate) verdict: Overall,
    pub(crate) replicas: Vec<CheckedReplica>,
}

/// Whether the states are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overall {
    /// All of them.
    Agree,
    /// Not all of them.
    Diverged,
    /// Those that could be compared, but not all could.
    Incomplete,
}

/// A replica, and whether its state is what the others have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CheckedReplica {
    pub(crate) replica: Name,
    /// Whether the view names it: only those make a majority.
    pub(crate) in_view: bool,
    pub(crate) verdict: Verdict,
    /// The hash of the log up to that slot, in 64 hexadecimal digits.
    pub(crate) hash: Option<String>,
    /// The digest of the state there, in 64 hexadecimal digits.
    pub(crate) digest: Option<String>,
    /// In which parts it differs, or why it could not be compared.
    pub(crate) detail: Option<String>,
}

/// What is to be thought of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is what all others have, or more than half of the view.
    Agrees,
    /// More than half of the view agree on another one.
    Odd,
    /// Another one has another one, and there is no majority for either.
    Differs,
    /// There was nothing to compare.
    NotCompared,
}

impl Check {
    /// One for the contract.
    pub(crate) fn example() -> Self {
        let one = |number: u8, keys: u8, in_view| AskedReplica {
            replica: format!("replica-{number}").parse().expect("a name"),
            in_view,
            said: Ok(StateDigest::example(keys)),
        };
        judge(Slot(42), 3, &[one(1, 1, true), one(2, 2, true), one(3, 1, true)])
    }

    /// The odd ones.
    pub(crate) fn odd(&self) -> impl Iterator<Item = &CheckedReplica> {
        self.replicas.iter().filter(|replica| replica.verdict == Verdict::Odd)
    }

    /// In a sentence, where not all agree.
    pub(crate) fn sentence(&self) -> String {
        let told = self.replicas.iter().filter(|replica| replica.verdict != Verdict::Agrees);
        let told = told.map(|replica| {
            let detail = replica.detail.as_deref().unwrap_or_default();
            format!("{}: {detail}", replica.replica)
        });
        let told = told.collect::<Vec<_>>().join("; ");
        format!("the states below slot {}: {told}", self.executed_below)
    }
}

/// A copy that is alone in its view proves nothing against those that come back to it.
const LEAST_MAJORITY: usize = 2;

/// Compares what replicas said of their states below a slot, in a view of so many.
pub(crate) fn judge(executed_below: Slot, view: usize, asked: &[AskedReplica]) -> Check {
    let mut groups: BTreeMap<ChainHash, Vec<&AskedReplica>> = BTreeMap::new();
    for replica in asked {
        if let Ok(digest) = &replica.said {
            groups.entry(digest.whole()).or_default().push(replica);
        }
    }
    let of_view = |group: &[&AskedReplica]| group.iter().filter(|replica| replica.in_view).count();
    let is_majority =
        |group: &&Vec<&AskedReplica>| of_view(group) >= LEAST_MAJORITY && of_view(group) * 2 > view;
    let majority = groups.values().find(is_majority);
    // Of the most, where there is no majority: what the others are shown to differ from.
    let largest = groups.values().max_by_key(|group| (of_view(group), group.len()));
    let common = majority.or(largest).and_then(|group| Some((group, group.first()?)));
    let verdict = match groups.len() {
        0 => Overall::Incomplete,
        1 if asked.iter().all(|replica| replica.said.is_ok()) => Overall::Agree,
        1 => Overall::Incomplete,
        _ => Overall::Diverged,
    };
    let checked = |replica: &AskedReplica| {
        let (verdict, detail) = match (&replica.said, common) {
            (Err(why), _) => (Verdict::NotCompared, Some(why.clone())),
            (Ok(_), None) => (Verdict::NotCompared, None),
            (Ok(own), Some((group, AskedReplica { said: Ok(theirs), .. }))) => {
                let is_common = own.whole() == theirs.whole();
                let names: Vec<&str> = group.iter().map(|one| one.replica.as_str()).collect();
                let differs = || {
                    let parts = own.differs_in(theirs).join(", ");
                    Some(format!("differs from {} in {parts}", names.join(" and ")))
                };
                match (is_common, majority.is_some() || groups.len() == 1) {
                    (true, true) => (Verdict::Agrees, None),
                    (true, false) => (Verdict::Differs, Some("no majority has it".to_owned())),
                    (false, true) => (Verdict::Odd, differs()),
                    (false, false) => (Verdict::Differs, differs()),
                }
            }
            (Ok(_), Some((_, AskedReplica { said: Err(_), .. }))) => {
                unreachable!("those of a group have said something")
            }
        };
        let digest = replica.said.as_ref().ok();
        CheckedReplica {
            replica: replica.replica.clone(),
            in_view: replica.in_view,
            verdict,
            hash: digest.map(|digest| digest.log.to_string()),
            digest: digest.map(|digest| digest.whole().to_string()),
            detail,
        }
    };
    Check { executed_below, verdict, replicas: asked.iter().map(checked).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DIGEST_FORMAT;

    fn digest(log: u8, keys: u8) -> StateDigest {
        let mut digest = StateDigest {
            format: DIGEST_FORMAT,
            executed_below: Slot(9),
            log: ChainHash([log; 32]),
            parts: Default::default(),
        };
        digest.parts.keys = ChainHash([keys; 32]);
        digest
    }

    fn asked(said: &[Option<u8>]) -> Vec<AskedReplica> {
        let of = |(number, said): (usize, &Option<u8>)| AskedReplica {
            replica: format!("replica-{}", number + 1).parse().unwrap(),
            in_view: true,
            said: said.map(|keys| digest(1, keys)).ok_or_else(|| "it is away".to_owned()),
        };
        said.iter().enumerate().map(of).collect()
    }

    fn judged(view: usize, said: &[Option<u8>]) -> (Overall, Vec<Verdict>) {
        let check = judge(Slot(9), view, &asked(said));
        (check.verdict, check.replicas.iter().map(|replica| replica.verdict).collect())
    }

    #[test]
    fn replicas_with_one_state_agree() {
        use Verdict::Agrees;
        assert_eq!(
            judged(3, &[Some(1), Some(1), Some(1)]),
            (Overall::Agree, vec![Agrees, Agrees, Agrees])
        );
        assert_eq!(judged(1, &[Some(1)]), (Overall::Agree, vec![Agrees]));
    }

    #[test]
    fn who_differs_from_a_majority_of_the_view_is_odd() {
        use Verdict::{Agrees, NotCompared, Odd};
        assert_eq!(
            judged(3, &[Some(1), Some(2), Some(1)]),
            (Overall::Diverged, vec![Agrees, Odd, Agrees])
        );
        assert_eq!(
            judged(5, &[Some(2), Some(1), Some(1), Some(1), None]),
            (Overall::Diverged, vec![Odd, Agrees, Agrees, Agrees, NotCompared])
        );
    }

    #[test]
    fn without_a_majority_of_the_view_nobody_is_odd() {
        use Verdict::{Differs, NotCompared};
        let diverged = Overall::Diverged;
        assert_eq!(judged(2, &[Some(1), Some(2)]), (diverged, vec![Differs, Differs]));
        assert_eq!(
            judged(3, &[Some(1), Some(2), None]),
            (diverged, vec![Differs, Differs, NotCompared])
        );
        assert_eq!(judged(4, &[Some(1), Some(2), Some(1), Some(2)]).1, vec![Differs; 4]);
        // Two of five agree, and are no majority of the view, though they are of those asked.
        assert_eq!(judged(5, &[Some(1), Some(1), Some(2), None, None]).1[2], Differs);
    }

    #[test]
    fn a_copy_alone_in_its_view_says_of_nobody_that_it_is_odd() {
        let mut replicas = asked(&[Some(1), Some(2), Some(2)]);
        for replica in &mut replicas[1..] {
            replica.in_view = false;
        }
        let check = judge(Slot(9), 1, &replicas);
        assert_eq!((check.verdict, check.odd().count()), (Overall::Diverged, 0));
    }

    #[test]
    fn those_outside_the_view_make_no_majority() {
        let mut replicas = asked(&[Some(1), Some(2), Some(2)]);
        for replica in &mut replicas[1..] {
            replica.in_view = false;
        }
        let check = judge(Slot(9), 2, &replicas);
        assert_eq!((check.verdict, check.odd().count()), (Overall::Diverged, 0));
    }

    #[test]
    fn who_could_not_be_compared_makes_a_check_incomplete() {
        use Verdict::{Agrees, NotCompared};
        assert_eq!(
            judged(3, &[Some(1), Some(1), None]),
            (Overall::Incomplete, vec![Agrees, Agrees, NotCompared])
        );
        assert_eq!(judged(3, &[None, None, None]).0, Overall::Incomplete);
    }

    #[test]
    fn what_differs_is_named() {
        let mut replicas = asked(&[Some(1), Some(1), Some(2)]);
        replicas[2].said = Ok(digest(7, 2));
        let check = judge(Slot(9), 3, &replicas);
        let said = "the states below slot 9: replica-3: differs from replica-1 and replica-2 in \
                    log, keys";
        assert_eq!(check.sentence(), said);
    }
}
