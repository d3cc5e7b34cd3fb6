//! A new cluster learns nothing of the one that was there before.

use tests::simulation::nodes::process::NodeId;
use tests::simulation::run::foreign::{self, Coordinators};

const SEEDS: u64 = 90;

#[test]
fn a_new_cluster_executes_nothing_of_an_old_one_whose_services_end() {
    let (mut replicas, mut coordinators) = (0, 0);
    for seed in 1..=SEEDS {
        let Some(run) = foreign::run(seed) else { continue };
        assert!(run.failure.is_none(), "seed {seed}, {:?}: {:?}", run.coordinators, run.failure);
        let ended =
            |is_one: fn(&NodeId) -> bool| run.ended.iter().filter(|node| is_one(node)).count();
        replicas += ended(|node| matches!(node, NodeId::Replica(_)));
        let of_role = ended(|node| matches!(node, NodeId::Coordinator(_)));
        assert!(of_role == 0 || run.coordinators == Coordinators::LiveOn, "seed {seed}");
        coordinators += of_role;
    }
    assert!(
        replicas > 0 && coordinators > 0,
        "{replicas} replicas, {coordinators} coordinators ended"
    );
}
