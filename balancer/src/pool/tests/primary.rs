//! Which endpoint is taken for the primary, and where mutations go.

use super::*;

#[test]
fn of_two_primaries_the_one_of_the_higher_epoch_is_asked() {
    let mut pool = pool_of(3);
    let second = id_of(&pool, 2);
    checked(&mut pool, second, report(Role::Primary, 2));
    assert_eq!(pool.primary(), Some(second));
}

#[test]
fn a_primary_is_not_asked_once_a_backup_knows_of_a_later_epoch() {
    let mut pool = pool_of(3);
    let third = id_of(&pool, 3);
    checked(&mut pool, third, report(Role::Backup, 2));
    assert_eq!(pool.primary(), None);
    let mut asked: Vec<u64> = (0..3).map(|_| pick(&mut pool, Intent::Mutation).unwrap()).collect();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [1, 2, 3],
        "while no primary is known, mutations take turns over all that may forward them"
    );
}

#[test]
fn an_unhealthy_primary_is_no_primary_and_its_epoch_counts_for_nothing() {
    let mut pool = pool_of(2);
    let first = id_of(&pool, 1);
    let second = id_of(&pool, 2);
    checked(&mut pool, first, report(Role::Primary, 9));
    checked(&mut pool, second, report(Role::Primary, 2));
    assert_eq!(pool.primary(), Some(first));
    fail(&mut pool, 1);
    fail(&mut pool, 1);
    assert_eq!(pool.primary(), Some(second));
}

#[test]
fn while_no_primary_is_known_mutations_go_to_who_reaches_the_acceptors() {
    let mut pool = pool_of(3);
    for (number, reads) in [(1, Reads::Local), (2, Reads::Current), (3, Reads::Local)] {
        say(&mut pool, number, reads);
    }
    assert_eq!((pool.primary(), pick(&mut pool, Intent::Mutation)), (None, Some(2)));
}

#[test]
fn mutations_go_to_the_primary_and_take_no_turn_from_reads() {
    let mut pool = pool_of(3);
    let first = pick(&mut pool, Intent::Read).unwrap();
    for _ in 0..5 {
        assert_eq!(pick(&mut pool, Intent::Mutation), Some(1));
    }
    assert_eq!(pick(&mut pool, Intent::Read), Some(first % 3 + 1));
}
