//! A history that was put back from an older copy is never answered from.

use replica::replica::WrongHistory;
use tests::simulation::run::put_back;

const SEEDS: u64 = 60;

#[test]
fn a_replica_with_another_history_finds_out_before_anybody_hears_of_it() {
    let (mut forks, mut lost) = (0, 0);
    for seed in 1..=SEEDS {
        let Some(run) = put_back::run(seed) else { continue };
        assert!(run.failure.is_none(), "seed {seed}, {}: {:?}", run.odd, run.failure);
        let by_odd = run.noticed.iter().filter(|(node, _)| *node == run.odd);
        for (_, wrong) in by_odd {
            match wrong {
                WrongHistory::Fork { .. } => forks += 1,
                WrongHistory::VotesLost { .. } => lost += 1,
            }
        }
    }
    assert!(forks > 0 && lost > 0, "{forks} forks and {lost} losses of votes were noticed");
}
