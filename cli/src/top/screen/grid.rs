//! Rows under a heading, each column as wide as its widest cell.

use ratatui::text::{Line, Span};

use super::{Tone, Tones};

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A text in a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// One that is set off.
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Grid {
    sides: Vec<Side>,
    /// The first are the headings.
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// One without rows.
    pub(super) fn new<const N: usize>(columns: [(&str, Side); N]) -> Self {
        let sides = columns.iter().map(|(_, side)| *side).collect();
        let headings = columns.iter().map(|(heading, _)| Cell::toned(*heading, Tone::Heading));
        Self { sides, rows: vec![headings.collect()] }
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.sides.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    /// All of it.
    pub(super) fn lines(&self, tones: Tones) -> Vec<Line<'static>> {
        let column = |at: usize| self.rows.iter().map(move |row| row[at].width());
        let widths: Vec<usize> =
            (0..self.sides.len()).map(|at| column(at).max().unwrap_or(0)).collect();
        let line = |row: &Vec<Cell>| {
            let mut spans = Vec::new();
            for ((cell, side), width) in row.iter().zip(&self.sides).zip(&widths) {
                let pad = " ".repeat(width - cell.width());
                let text = Span::styled(cell.text.clone(), tones.of(cell.tone));
                match side {
                    Side::Left => spans.extend([text, Span::raw(pad)]),
                    Side::Right => spans.extend([Span::raw(pad), text]),
                }
                spans.push(Span::raw("  "));
            }
            Line::from(spans)
        };
        self.rows.iter().map(line).collect()
    }
}
