//! A table in Markdown whose columns stand below each other.

use std::fmt;

pub(crate) struct Table {
    /// So many columns hold words, on the left; the others hold numbers.
    words: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: Vec<String>, words: usize) -> Self {
        Self { words, rows: vec![head] }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.rows[0].len(), "a cell for each column");
        self.rows.push(row);
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column < self.words {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let (rule, mark) =
                        (&"-".repeat(width - 1), if column < self.words { '-' } else { ':' });
                    write!(f, "| {rule}{mark} ")?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_on_the_left_and_numbers_on_the_right() {
        let mut table = Table::new(vec!["what".to_owned(), "µs".to_owned()], 1);
        table.push(vec!["a".to_owned(), "12,345".to_owned()]);
        let expected = "| what |     µs |\n| ---- | -----: |\n| a    | 12,345 |\n";
        assert_eq!(table.to_string(), expected);
    }
}
