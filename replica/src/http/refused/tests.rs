use super::*;

/// Status, outcome, and whether a wait is named.
pub(in crate::http) fn said(refused: Refused) -> (u16, Option<Outcome>, bool) {
    let problem = Problem::from(refused);
    let response = problem.to_http();
    (
        response.status().as_u16(),
        problem.body().outcome,
        response.headers().contains_key("retry-after"),
    )
}

#[test]
fn what_may_have_happened_is_told_from_what_did_not() {
    let unknown = Some(Outcome::Unknown);
    let primary = || "replica-2".to_owned();
    let reason = String::new;
    for (refused, expected) in [
        (
            Refused::PrimarySilent { primary: primary(), waited: Duration::from_secs(1) },
            (504, unknown, false),
        ),
        (Refused::PrimaryBroke { primary: primary(), reason: reason() }, (502, unknown, false)),
        (Refused::PrimaryUnreachable { primary: primary(), reason: reason() }, (503, None, true)),
        (Refused::PrimaryTurnedAway { primary: primary(), reason: reason() }, (503, None, true)),
        (Refused::PrimaryOverloaded { primary: primary(), reason: reason() }, (503, None, true)),
        (Refused::Astray { asked: primary() }, (503, None, true)),
        (
            Refused::NotReleased(NotReleased::Refused(Refusal::GivenUp(Stall::NoQuorum))),
            (503, None, true),
        ),
        (
            Refused::NotReleased(NotReleased::Refused(Refusal::GivenUp(Stall::Slow))),
            (504, None, false),
        ),
        (Refused::NoPrimary, (503, None, true)),
    ] {
        let shown = format!("{refused:?}");
        assert_eq!(said(refused), expected, "{shown}");
    }
}
