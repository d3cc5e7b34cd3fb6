//! What is made up: every kind by its weight.

use super::*;
use crate::operations::{Answer, Reference};

fn names() -> Names {
    let keys = |keys: &[&str]| keys.iter().map(|key| Key::from(*key)).collect();
    Names {
        keys: keys(&["a", "ab", "b"]),
        listed: keys(&["", "a"]),
        deleted: keys(&["a"]),
        page: Some(2),
    }
}

#[test]
fn every_kind_is_made_up_and_comparisons_hold_about_as_often_as_not() {
    let mut random = Random::new(1, 0);
    let (mut generator, mut reference) = (Generator::default(), Reference::default());
    let weights = Weights::new(&Kind::ALL.map(|kind| (kind, 1)));
    let (mut held, mut failed, mut kinds) = (0, 0, std::collections::BTreeSet::new());
    for number in 1..=2_200 {
        let call = generator.generate(&mut random, &weights, &names(), Value::new(number, 0));
        let executed = reference.execute(&call);
        generator.learn(&call, executed.revision, &executed.answer);
        if call.guard() != Guard::Always {
            let counter =
                if executed.answer == Answer::GuardFailed { &mut failed } else { &mut held };
            *counter += 1;
        }
        let name = format!("{call:?}");
        kinds.insert((
            name.split(' ').next().map(str::to_owned),
            call.reads()
                .map(|(at, consistency)| (at.is_some(), consistency == Consistency::Linearizable)),
            call.guard() == Guard::Always,
        ));
    }
    assert!(held > 150 && failed > 50, "{held} held, {failed} failed");
    assert_eq!(kinds.len(), 26, "{kinds:?}");
}

#[test]
fn a_kind_without_a_weight_is_not_made_up() {
    let mut random = Random::new(1, 0);
    let weights = Weights::new(&[(Kind::Put, 1)]);
    let mut draw =
        || Generator::default().generate(&mut random, &weights, &names(), Value::new(1, 0));
    assert!((0..100).all(|_| matches!(draw(), Call::Put { guard: Guard::Always, .. })));
}
