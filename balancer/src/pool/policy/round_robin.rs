//! Smooth weighted round-robin, as nginx has it (`ngx_http_upstream_get_peer` in
//! `src/http/ngx_http_upstream_round_robin.c`): every pick owes each candidate its weight,
//! the one that is owed most is picked, and pays for all. Over as many picks as there is
//! weight, each gets exactly its share, and never much of it in a row.

use super::{Candidate, whole};

/// Picks a candidate, and notes in all of them what is owed now.
pub fn round_robin(candidates: &mut [Candidate]) -> Option<usize> {
    let whole = i64::try_from(whole(candidates)).unwrap_or(i64::MAX);
    for candidate in candidates.iter_mut() {
        candidate.owed = candidate.owed.saturating_add(i64::from(candidate.weight));
    }
    // Of those that are owed alike, the first.
    let picked = (0..candidates.len()).rev().max_by_key(|at| candidates[*at].owed)?;
    candidates[picked].owed = candidates[picked].owed.saturating_sub(whole);
    Some(picked)
}
