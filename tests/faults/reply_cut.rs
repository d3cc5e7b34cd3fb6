//! An answer that is cut off after the mutation took effect: the client hears that it is
//! not known, never that it didn't happen.

use anyhow::{Result, ensure};
use tests::harness::cluster::{Between, Options};
use tests::harness::mix::Shape;
use tests::harness::network::{CLIENT, Fault, Rule};
use tests::harness::recorder::Ask;
use tests::harness::skip::left_out;
use tests::operations::{Answer, Call, Guard, Outcome};

use crate::scenario::{Scenario, with_tls};

/// Where an answer is cut: within its first byte, its status line, its head, and wherever
/// that leads further on.
const AFTER: [usize; 10] = [0, 1, 9, 15, 40, 90, 180, 280, 380, 480];
/// Statuses of a put that was executed.
const SUCCESS: [u16; 2] = [200, 201];
/// How a client's put begins.
const PUT: &str = "PUT /v1/kv/cut/";
/// How one begins that a backup sends on.
const FORWARDED: &str = "POST /v1/replication/commands";
/// Bytes of an answer that surely do not hold its whole head.
const WITHIN_HEAD: usize = 90;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_cut_after_the_mutation_took_effect_is_unknown() -> Result<()> {
    if with_tls() {
        return left_out("which answer is cut is read in the requests, which TLS hides");
    }
    let options = Options { between: Between::Proxies, ..Options::default() };
    Scenario::run(
        "answers cut",
        &options,
        Shape { clients: 2, ..Shape::default() },
        async |scenario| {
            let mut successes = 0;
            loop {
                for after in AFTER {
                    let (replicas, (_, backups)) =
                        (scenario.cluster.names("replica"), scenario.replicas().await?);
                    // To whichever replica it sends a mutation: the primary may be another
                    // one by then.
                    let balancers = ["balancer-1".to_owned()];
                    for link in [
                        Link { door: &balancers[0], from: CLIENT, to: &balancers, request: PUT },
                        Link {
                            door: &balancers[0],
                            from: &balancers[0],
                            to: &replicas,
                            request: PUT,
                        },
                        Link {
                            door: &backups[0],
                            from: &backups[0],
                            to: &replicas,
                            request: FORWARDED,
                        },
                    ] {
                        successes += cut(scenario, link, after).await?;
                    }
                }
                scenario.mix.check()?;
                if !scenario.goes_on() {
                    break;
                }
            }
            ensure!(
                successes >= AFTER.len(),
                "only {successes} answers were cut that told of success"
            );
            scenario.must_leave_open(successes);
            Ok(())
        },
    )
    .await
}

/// Where answers are cut.
#[derive(Clone, Copy)]
struct Link<'a> {
    /// Whom the client asks.
    door: &'a str,
    /// Who hears the cut answer.
    from: &'a str,
    /// Those whose answers are cut.
    to: &'a [String],
    /// How the request begins whose answer is cut.
    request: &'static str,
}

/// Puts a key while the answers on one link are cut, and looks at what became of it. Says
/// how many answers of success were cut so that nobody heard of them.
async fn cut(scenario: &mut Scenario, link: Link<'_>, after: usize) -> Result<usize> {
    let Link { door, from, to, request } = link;
    let rule = |to: &String| Rule::between(from, to, Fault::AnswerCut { request, after });
    let key = format!("cut/{from}/{after}");
    let ask = Ask::at(scenario.cluster.door(door));
    scenario.cluster.network().set(to.iter().map(rule).collect());
    let outcome = scenario.recorder.put(ask, &key, Guard::Always).await?;
    scenario.cluster.network().heal();
    let statuses = scenario.cluster.network().take_cut_answers();
    let what =
        format!("{after} bytes of an answer {statuses:?} from {} to {from}", to.join(" or "));
    if statuses.is_empty() {
        // It was short enough, or there was no answer at all to be cut, or who was to
        // send it on has become the primary: the machine is busy, and somebody was just
        // being replaced.
        let should_be_cut = after <= WITHIN_HEAD && outcome.is_acknowledged();
        ensure!(!should_be_cut || scenario.replicas().await?.0 == from, "nothing was cut: {what}");
        return Ok(0);
    }
    ensure!(outcome != Outcome::NotApplied, "{what}: not_applied");
    if after <= WITHIN_HEAD {
        ensure!(outcome == Outcome::Unknown, "{what}: {outcome:?}");
    }
    let succeeded = statuses.iter().any(|status| SUCCESS.contains(status));
    let read = scenario.recorder.perform(ask, Call::read(&key)).await?;
    let seen = match read {
        Outcome::Answered { answer: Answer::Read(seen), .. } => seen.is_some(),
        Outcome::Answered { .. } | Outcome::NotApplied | Outcome::Unknown => false,
    };
    // What a primary answers to a backup is 200 also where it refused.
    let may_have_refused = request == FORWARDED || !read.is_answered();
    ensure!(
        seen || may_have_refused || !succeeded,
        "it had been carried out, and there is no {key}: {what}"
    );
    let told_nobody = succeeded && outcome == Outcome::Unknown;
    Ok(usize::from(told_nobody && (seen || request != FORWARDED)))
}
