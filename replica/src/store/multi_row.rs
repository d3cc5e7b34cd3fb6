//! Statements over many rows. A statement through sqlx costs about 5 µs whatever it does,
//! so rows go in by dozens; and each statement has one of a few sizes, so that it is
//! prepared once and then found in the connection's cache.

/// The sizes, in rows, largest first: any number of rows is written with few statements. None of
/// two: what is less than four goes in one call as it is.
const SIZES: [usize; 7] = [256, 64, 32, 16, 8, 4, 1];

/// One statement in all sizes.
#[derive(Debug)]
pub(super) struct MultiRow([String; SIZES.len()]);

impl MultiRow {
    /// `head`, then `row` as often as there are rows, with commas between, then `tail`.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        Self(SIZES.map(|size| format!("{head}{}{tail}", vec![row; size].join(","))))
    }

    /// Cuts the rows into pieces, each with the statement of its size.
    pub(super) fn pieces<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let (size, sql) = SIZES.iter().zip(&self.0).find(|(size, _)| **size <= rows.len())?;
            let (piece, rest) = rows.split_at(*size);
            rows = rest;
            Some((sql.as_str(), piece))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static PAIRS: LazyLock<MultiRow> =
        LazyLock::new(|| MultiRow::new("INSERT INTO t VALUES ", "(?,?)", " RETURNING 1"));

    #[test]
    fn any_number_of_rows_goes_in_with_few_statements() {
        let sizes = |rows: usize| -> Vec<usize> {
            PAIRS.pieces(&vec![0; rows]).map(|(_, piece)| piece.len()).collect()
        };
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(3), [1, 1, 1]);
        assert_eq!(sizes(150), [64, 64, 16, 4, 1, 1]);
        assert_eq!(sizes(300), [256, 32, 8, 4]);
    }

    #[test]
    fn each_statement_has_as_many_rows_as_its_piece() {
        let statements: Vec<&str> = PAIRS.pieces(&[0; 5]).map(|(sql, _)| sql).collect();
        assert_eq!(
            statements,
            [
                "INSERT INTO t VALUES (?,?),(?,?),(?,?),(?,?) RETURNING 1",
                "INSERT INTO t VALUES (?,?) RETURNING 1"
            ]
        );
    }
}
