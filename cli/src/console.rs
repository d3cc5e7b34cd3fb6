//! What people see: lines, a little colour and tables.
//!
//! A terminal or pipe that is gone must not end `synod up` and its services, so a line
//! that cannot be written is dropped. Colour only where standard output is a terminal,
//! and never with `NO_COLOR` (<https://no-color.org>).

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

/// Writes a line to standard output.
pub(crate) fn say(line: impl Display) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}

/// Writes a line to standard error.
pub(crate) fn warn(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Asks for a word on a terminal: whether it is yes; none where nobody is there to be asked.
pub(crate) fn confirmed(question: impl Display) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    drop(write!(io::stderr().lock(), "{question} [y/N] "));
    let mut answer = String::new();
    let is_read = io::stdin().read_line(&mut answer).is_ok();
    Some(is_read && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// How to set off a piece of text on standard output.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    enabled: bool,
}

impl Paint {
    /// As the terminal and the environment want it.
    pub(crate) fn for_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { enabled: io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// Whether there is any.
    pub(crate) fn is_on(self) -> bool {
        self.enabled
    }

    /// Without any colour.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { enabled: false }
    }

    pub(crate) fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn yellow(self, text: impl Display) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn green(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn red(self, text: impl Display) -> String {
        self.wrap("31", text)
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        let columns = columns.into_iter().map(|(heading, align)| (heading.into(), align));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Leaves out the columns in which no row says anything.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        for column in (0..self.columns.len()).rev() {
            if self.rows.iter().all(|row| row[column].is_empty()) {
                self.columns.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        self
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has not as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let heading = self.columns[column].0.chars().count();
        self.rows.iter().map(|row| row[column].chars().count()).fold(heading, usize::max)
    }

    fn write_row<'a>(
        &'a self,
        f: &mut fmt::Formatter<'_>,
        cells: impl Iterator<Item = &'a str>,
    ) -> fmt::Result {
        let mut line = String::from("  ");
        for (column, cell) in cells.enumerate() {
            let pad = " ".repeat(self.width(column) - cell.chars().count());
            match self.columns[column].1 {
                Align::Left => line.extend([cell, &pad, "  "]),
                Align::Right => line.extend([&pad, cell, "  "]),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_row(f, self.columns.iter().map(|(heading, _)| heading.as_str()))?;
        for row in &self.rows {
            self.write_row(f, row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, for instance `1 file` or `2 files`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells_and_ends_no_line_in_blanks() {
        let mut table =
            Table::new([("service", Align::Left), ("pid", Align::Right), ("note", Align::Left)]);
        table.row(["acceptor-1".into(), "7".into(), String::new()]);
        table.row(["balancer".into(), "12345".into(), "é".into()]);
        assert_eq!(
            table.to_string(),
            "  service       pid  note\n  acceptor-1      7\n  balancer    12345  é\n"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            ["0", "999", "1,000", "12,345,678"],
            [0, 999, 1_000, 12_345_678].map(grouped).each_ref().map(String::as_str)
        );
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(1_200, "byte"), "1,200 bytes");
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Paint::plain().bold("up"), "up");
    }
}
