//! First answers of requests with an `Idempotency-Key`, and whose they are.

use super::*;

#[test]
fn a_first_answer_is_its_token_s_own_and_no_longer_than_the_token_may() {
    let mut state = bootstrapped(vec![create("one", &["root"], None)]);
    assert_eq!(keyed(&mut state, "1", by("one", put("k", "v"))), (created(3), Delivery::First));
    assert_eq!(keyed(&mut state, "1", by("one", put("k", "v"))), (created(3), Delivery::Replayed));
    let reused = CommandOutcome::KeyReused { revision: Revision(3) };
    assert_eq!(keyed(&mut state, "1", by("root", put("k", "v"))), (reused, Delivery::First));
    let gone = denied(3, Denied::NoToken);
    assert_eq!(keyed(&mut state, "1", put("k", "v")), (gone, Delivery::First));
    outcome_of(&mut state, by("root", delete("one", Force::Unforced)));
    let gone = denied(4, Denied::UnknownToken);
    assert_eq!(keyed(&mut state, "1", by("one", put("k", "v"))), (gone, Delivery::First));
}

#[test]
fn that_something_is_denied_is_no_first_answer() {
    let mut state = bootstrapped(vec![create("one", &["later"], None)]);
    let lacks = Denied::Key { right: Right::Write, key: "k".to_owned() };
    let op = || by("one", put("k", "v"));
    assert_eq!(keyed(&mut state, "1", op()), (denied(2, lacks), Delivery::First));
    outcome_of(&mut state, by("root", put_policy("later", writes(""), Force::Unforced)));
    assert_eq!(keyed(&mut state, "1", op()), (created(4), Delivery::First));
}
