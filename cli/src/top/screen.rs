//! What is drawn: lines and tables, as many as there is room for.

mod grid;

use std::time::Duration;

use ratatui::Frame;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use self::grid::{Cell, Grid, Side};
use super::cluster::{Ballot, Service};
use super::measures::Times;
use super::seen::{Kind, Known, State, Traffic};
use crate::console::grouped;

/// The longest text of somebody else's that is shown.
const MOST_CHARS: usize = 64;

/// How things are set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tones {
    Coloured,
    Plain,
}

/// What a text is to say beside what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Heading,
    /// Who leads, and who is primary.
    Lead,
    Warn,
    Bad,
    Dim,
}

impl Tones {
    fn of(self, tone: Tone) -> Style {
        let plain = Style::new();
        match (self, tone) {
            (_, Tone::Plain) | (Self::Plain, Tone::Dim) => plain,
            (_, Tone::Heading) => plain.add_modifier(Modifier::BOLD),
            (Self::Coloured, Tone::Lead) => plain.fg(Color::Green).add_modifier(Modifier::BOLD),
            (Self::Coloured, Tone::Warn) => plain.fg(Color::Yellow),
            (Self::Coloured, Tone::Bad) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Self::Coloured, Tone::Dim) => plain.add_modifier(Modifier::DIM),
            (Self::Plain, Tone::Lead | Tone::Warn) => plain.add_modifier(Modifier::BOLD),
            (Self::Plain, Tone::Bad) => plain.add_modifier(Modifier::REVERSED),
        }
    }
}

/// Draws all of it, or as much as there is room for and how much is left out.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, now: Duration, tones: Tones, url: &str) {
    let area = frame.area();
    let mut lines = lines(state, now, tones, url);
    let (room, needed) = (usize::from(area.height), lines.len());
    if needed > room {
        lines.truncate(room.saturating_sub(1));
        let more = format!("… {} lines more: the terminal is too low", needed - lines.len());
        lines.push(Line::styled(more, tones.of(Tone::Warn)));
    }
    for (line, row) in lines.iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn lines(state: &State, now: Duration, tones: Tones, url: &str) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if state.at.is_some() {
        lines.extend(heading(state, tones));
    }
    if let Some(error) = &state.error {
        let age = state.at.map(|at| now.saturating_sub(at).as_secs());
        let age = age.map_or_else(String::new, |age| format!(" (what stands here is {age} s old)"));
        let said = format!("no answer of {}: {}{age}", shown(url), shown(error));
        lines.push(Line::styled(said, tones.of(Tone::Bad)));
    } else if state.at.is_none() {
        lines.push(Line::raw(format!("asking {} …", shown(url))));
    }
    if state.at.is_some() {
        for grid in [coordinators(state), acceptors(state), replicas(state), balancers(state)] {
            lines.push(Line::default());
            lines.extend(grid.lines(tones));
        }
        lines.push(Line::default());
    }
    for change in &state.changes {
        let ago = now.saturating_sub(change.at).as_secs();
        lines.push(Line::raw(format!("{ago:>5} s ago  {}", shown(&change.what))));
    }
    lines.push(Line::styled("q ends", tones.of(Tone::Dim)));
    lines
}

fn heading(state: &State, tones: Tones) -> Vec<Line<'static>> {
    let cluster = &state.cluster;
    let name = cluster.cluster_id.as_deref().map_or_else(|| "not formed".to_owned(), shown);
    let none = || Span::styled("none known", tones.of(Tone::Bad));
    let lead = |text: String| Span::styled(text, tones.of(Tone::Lead));
    let leader = cluster.leader.as_ref().map_or_else(none, |leader| {
        lead(format!("{} (ballot {})", shown(&leader.coordinator), leader.ballot.round))
    });
    let primary = cluster
        .view
        .as_ref()
        .map_or_else(none, |view| lead(format!("{} (epoch {})", shown(&view.primary), view.epoch)));
    let bold = |text: &'static str| Span::styled(text, tones.of(Tone::Heading));
    let counts = format!(", {} fail-overs, {} elections", state.fail_overs, state.elections);
    let mut lines = vec![
        Line::from(vec![
            bold("cluster "),
            Span::raw(format!("{name}, revision {}{counts}", grouped(cluster.revision))),
        ]),
        Line::from(vec![bold("leader  "), leader, bold("  primary "), primary]),
        Line::from(vec![
            bold("writes  "),
            Span::raw(traffic(state.writes.as_ref())),
            bold("  reads "),
            Span::raw(traffic(state.reads.as_ref())),
        ]),
    ];
    let mixups = cluster.mixups.iter();
    lines.extend(mixups.map(|mixup| Line::styled(shown(mixup), tones.of(Tone::Bad))));
    lines
}

fn traffic(traffic: Option<&Traffic>) -> String {
    let Some(Traffic { per_second, times }) = traffic else { return "-".to_owned() };
    format!("{} (p50 {}, p99 {})", per_s(Some(*per_second)), time(times, 0.5), time(times, 0.99))
}

fn coordinators(state: &State) -> Grid {
    let mut grid = Grid::new([
        ("coordinator", Side::Left),
        ("is", Side::Left),
        ("ballot", Side::Left),
        ("next slot", Side::Right),
        ("in flight", Side::Right),
        ("requests", Side::Right),
    ]);
    for (name, known) in state.of(Kind::Coordinator) {
        let it = &known.service;
        let leads = state.cluster.leader.as_ref().is_some_and(|leader| leader.coordinator == name);
        let is = standing(known).unwrap_or_else(|| match it.phase.as_deref() {
            Some("phase2") if leads => Cell::toned("leads", Tone::Lead),
            Some("inactive") => Cell::from("stands by"),
            Some(phase) => Cell::toned(shown(phase), Tone::Warn),
            None => Cell::from("-"),
        });
        grid.row([
            Cell::from(shown(name)),
            is,
            Cell::from(ballot(state, it.ballot.as_ref())),
            number(it.next_slot),
            number(it.in_flight_slots),
            Cell::from(per_s(known.rate)),
        ]);
    }
    grid
}

fn acceptors(state: &State) -> Grid {
    let mut grid = Grid::new([
        ("acceptor", Side::Left),
        ("is", Side::Left),
        ("promised", Side::Left),
        ("voted below", Side::Right),
        ("votes", Side::Right),
        ("sync p50", Side::Right),
        ("p99", Side::Right),
    ]);
    for (name, known) in state.of(Kind::Acceptor) {
        let it = &known.service;
        let syncs = known.measured.as_ref().map(|measured| &measured.syncs);
        let sync = |share| syncs.map_or_else(|| "-".to_owned(), |syncs| time(syncs, share));
        grid.row([
            Cell::from(shown(name)),
            standing(known).unwrap_or_else(|| Cell::from("votes")),
            Cell::from(ballot(state, it.promised.as_ref())),
            number(it.voted_below),
            number(it.votes),
            Cell::from(sync(0.5)),
            Cell::from(sync(0.99)),
        ]);
    }
    grid
}

fn replicas(state: &State) -> Grid {
    let mut grid = Grid::new([
        ("replica", Side::Left),
        ("is", Side::Left),
        ("slot", Side::Right),
        ("lag", Side::Right),
        ("revision", Side::Right),
        ("queued", Side::Right),
        ("requests", Side::Right),
    ]);
    for (name, known) in state.of(Kind::Replica) {
        let it = &known.service;
        let is = standing(known).unwrap_or_else(|| replica(it));
        let lag = match it.lag_slots {
            Some(lag) if lag > 0 => Cell::toned(grouped(lag), Tone::Warn),
            lag => number(lag),
        };
        grid.row([
            Cell::from(shown(name)),
            is,
            number(it.executed_slot),
            lag,
            number(it.revision),
            number(it.queued_mutations),
            Cell::from(per_s(known.rate)),
        ]);
    }
    grid
}

fn replica(service: &Service) -> Cell {
    let storage = service.storage.as_deref().filter(|storage| *storage != "writable");
    match (service.role.as_deref(), storage) {
        (_, Some(storage)) => Cell::toned(format!("disk {}", shown(storage)), Tone::Bad),
        (Some("primary"), None) => Cell::toned("primary", Tone::Lead),
        (Some(role), None) => Cell::from(shown(role)),
        (None, None) => Cell::from("-"),
    }
}

fn balancers(state: &State) -> Grid {
    let mut grid = Grid::new([
        ("balancer", Side::Left),
        ("is", Side::Left),
        ("waiting", Side::Right),
        ("requests a second to", Side::Left),
    ]);
    for (name, known) in state.of(Kind::Balancer) {
        let it = &known.service;
        let flow = |(to, rate): &(String, Option<f64>)| {
            let mark = if it.primary.as_ref() == Some(to) { "*" } else { "" };
            format!("{}{mark} {}", shown(to), per_s(*rate).trim_end_matches("/s"))
        };
        let flows: Vec<String> = known.flows.iter().map(flow).collect();
        grid.row([
            Cell::from(shown(name)),
            standing(known).unwrap_or_else(|| Cell::from("forwards")),
            number(it.waiting),
            Cell::from(flows.join("  ")),
        ]);
    }
    grid
}

/// What is to be said first: that a service does not answer.
fn standing(known: &Known) -> Option<Cell> {
    match (known.service.healthy, known.is_listed) {
        (true, _) => None,
        (false, true) => Some(Cell::toned("no answer", Tone::Bad)),
        (false, false) => Some(Cell::toned("gone", Tone::Bad)),
    }
}

fn ballot(state: &State, ballot: Option<&Ballot>) -> String {
    let Some(Ballot { round, coordinator }) = ballot else { return "-".to_owned() };
    format!("{round} {}", shown(state.coordinator(coordinator)))
}

fn number(number: Option<u64>) -> Cell {
    Cell::from(number.map_or_else(|| "-".to_owned(), grouped))
}

fn per_s(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}/s"),
        Some(rate) => format!("{}/s", grouped(rate.round() as u64)),
    }
}

fn time(times: &Times, share: f64) -> String {
    times
        .quantile(share)
        .map_or_else(|| "-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1_000.0))
}

/// A text of somebody else's: what a terminal obeys, or does not show as one character, is
/// written as in Rust, and what is long is cut.
fn shown(text: &str) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
    let written = |c: char| {
        if is_plain(c) { String::from(c) } else { c.escape_default().collect() }
    };
    let mut written: String = text.chars().take(MOST_CHARS + 1).map(written).collect();
    if written.chars().count() > MOST_CHARS {
        written.truncate(MOST_CHARS - 1);
        written.push('…');
    }
    written
}

#[cfg(test)]
mod tests;
