//! A run of slots: load what it looks at, execute it, and write what changed in one
//! transaction. Nobody else writes, so what was loaded before that is what is there.

use std::sync::LazyLock;

use shared::message::ChosenEntry;
use sqlx::sqlite::SqliteConnection;

use super::answers;
use super::deletions::Deletions;
use super::error::StoreError;
use super::keys;
use super::left_out::{self, Kept};
use super::log;
use super::meta::{self, MetaRow};
use super::multi_row::MultiRow;
use super::rollback;
use super::statements::Statements;
use super::tenure;
use super::writer::Held;
use crate::machine::execute::{Executed, ExecutionReport, Progress, Run};
use crate::machine::format;
use crate::machine::keys::VersionRow;
use crate::machine::put_values::PutValue;
use crate::machine::state::{Loaded, Needs, ReplicatedState, Rows};

static INSERT_LOG: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT INTO log(slot, ballot_round, ballot_coordinator, value, left_out, \
        hash, revision, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

/// Executes the run on the state at `row` with what is `held` of it, and commits it; gives
/// back what is held then. After an error nothing is known of the connection, which
/// must be closed; of the file it is known that the run is in it as a whole or not at
/// all.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    row: &MetaRow,
    held: Held,
    mut run: Run,
) -> Result<(ExecutionReport, Held), StoreError> {
    let puts = run.put_values(left_out::SHORT_BYTES);
    let Held { mut deletions, whole } = held;
    let mut state = ReplicatedState::partial(row.meta.clone(), whole);
    let (mut hidden, mut has_begun) = (Vec::new(), false);
    let report = loop {
        match run.advance(&mut state) {
            Progress::Done(report) => break report,
            Progress::Lacks(needs) => {
                let is_rollback = needs.keys.rollback.is_some();
                if is_rollback || state.keys().has_restored() {
                    // What is loaded then is to be as it is by now.
                    let mut statements = transaction(connection, &mut has_begun);
                    let rows = state.take_rows();
                    write(&mut statements, rows, &mut hidden, &mut deletions).await?;
                    let connection = statements.run().await?;
                    if is_rollback {
                        // A primary takes none while there is anything to sweep.
                        deletions.sweep_all(connection).await?;
                    }
                }
                let found = load(connection, &needs, &deletions, &mut hidden).await?;
                state.load(needs, found);
            }
        }
    };
    format::check(&report.meta, format::HIGHEST)?;
    let mut statements = transaction(connection, &mut has_begun);
    write_log(&mut statements, run.entries(), &puts, &report.slots).await?;
    write(&mut statements, state.take_rows(), &mut hidden, &mut deletions).await?;
    meta::write(&mut statements, &row.at(report.meta.clone()));
    statements.add("COMMIT", |_| {});
    statements.run().await?;
    Ok((report, Held { deletions, whole: state.into_whole() }))
}

/// Statements of the one transaction, which the first of them begin.
fn transaction<'c>(connection: &'c mut SqliteConnection, has_begun: &mut bool) -> Statements<'c> {
    let mut statements = Statements::new(connection);
    if !std::mem::replace(has_begun, true) {
        statements.add("BEGIN IMMEDIATE", |_| {});
    }
    statements
}

/// One round: what was asked for, a query for each part. The tombstones of keys that
/// are hidden go to `hidden`: they are to be written before anything newer.
async fn load(
    connection: &mut SqliteConnection,
    needs: &Needs,
    deletions: &Deletions,
    hidden: &mut Vec<VersionRow>,
) -> Result<Loaded, StoreError> {
    let keys = keys::load(connection, &needs.keys, deletions, hidden).await?;
    let answers = answers::load(connection, &needs.answers).await?;
    Ok(Loaded { keys, answers })
}

/// Writes what executing changed, after the tombstones of keys that are hidden.
async fn write(
    statements: &mut Statements<'_>,
    rows: Rows,
    hidden: &mut Vec<VersionRow>,
    deletions: &mut Deletions,
) -> Result<(), StoreError> {
    let Rows { mut keys, answers, leases, locks } = rows;
    rollback::restore(statements, &keys.restored).await?;
    hidden.append(&mut keys.versions);
    keys::write(statements, &std::mem::take(hidden)).await?;
    deletions.add(statements, &keys).await?;
    answers::write(statements, answers).await?;
    tenure::write(statements, leases, locks).await
}

async fn write_log(
    statements: &mut Statements<'_>,
    entries: &[ChosenEntry],
    puts: &[Vec<PutValue>],
    slots: &[Executed],
) -> Result<(), StoreError> {
    let rows: Vec<((&ChosenEntry, &Vec<PutValue>), &Executed)> =
        entries.iter().zip(puts).zip(slots).collect();
    statements
        .add_rows(&INSERT_LOG, &rows, |bound, ((entry, puts), executed)| {
            let kept = Kept::of(&entry.value, puts, &executed.outcome);
            let left_out = kept.column();
            let sum = log::sum_of(entry.slot, entry.ballot, executed.revision, &executed.hash.0);
            bound
                .bind(entry.slot.0.cast_signed())
                .bind(entry.ballot.round.cast_signed())
                .bind(entry.ballot.coordinator.0.cast_signed())
                .bind(kept.bytes)
                .bind(left_out)
                .bind(executed.hash.0.to_vec())
                .bind(executed.revision.0.cast_signed())
                .bind(sum.to_vec());
        })
        .await
}
