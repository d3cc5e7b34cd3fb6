//! `synod top`: the cluster at a glance in a terminal, second by second: who leads, who is
//! primary, how far everybody is, and how much is asked of whom.
//!
//! It asks `GET /v1/cluster`, and `GET /metrics` of the acceptors and balancers that it
//! names, where they can be reached from here.
//!
//! In reading order: `cluster` and `measures` (what services say, read), `seen` (what is
//! known from one look to the next; pure), `screen` (what of it is drawn), `looking` (who
//! is asked).

mod cluster;
mod looking;
mod measures;
mod screen;
mod seen;

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures::{FutureExt, StreamExt};
use ratatui::DefaultTerminal;
use tokio::time::{MissedTickBehavior, interval};

use self::looking::Looking;
use self::screen::Tones;
use self::seen::State;
use crate::console::Paint;
use crate::endpoint::Endpoint;
use crate::signals::Signals;

/// How often the cluster is looked at.
const EVERY: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Shows the cluster until `q`, Ctrl-C or a signal.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !io::stdout().is_terminal() {
        bail!(
            "standard output is no terminal, and `synod top` draws on one: `synod status` prints"
        );
    }
    let mut signals = Signals::new()?;
    let looking = Looking::at(args.endpoint.client());
    let tones = if Paint::for_stdout().is_on() { Tones::Coloured } else { Tones::Plain };
    // It also has a panic put the terminal back first.
    let begun = ratatui::try_init().inspect_err(|_| ratatui::restore());
    let mut terminal = begun.context("cannot draw on the terminal")?;
    let shown = show(&mut terminal, looking, tones, &mut signals).await;
    ratatui::restore();
    shown.map(|()| ExitCode::SUCCESS)
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut looking: Looking,
    tones: Tones,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let (began, mut state) = (Instant::now(), State::default());
    let url = looking.address();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut events = EventStream::new();
    loop {
        let mut look = pin!(looking.look().fuse());
        let mut is_looked = false;
        // Keys, a new size and signals are obeyed while an answer is waited for, too.
        loop {
            let now = began.elapsed();
            terminal.draw(|frame| screen::draw(frame, &state, now, tones, &url))?;
            tokio::select! {
                looked = &mut look => {
                    is_looked = true;
                    match looked {
                        Ok(look) => state.answered(look, began.elapsed()),
                        Err(error) => state.failed(error.to_string()),
                    }
                }
                _ = ticks.tick(), if is_looked => break,
                event = events.next() => if is_the_end(event)? { return Ok(()) },
                _ = signals.next() => return Ok(()),
            }
        }
    }
}

/// Whether what came from the terminal ends it all.
fn is_the_end(event: Option<io::Result<Event>>) -> anyhow::Result<bool> {
    let Some(event) = event else { return Ok(true) };
    let Event::Key(key) = event.context("cannot read keys from the terminal")? else {
        return Ok(false);
    };
    let is_interrupt =
        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    let ends = is_interrupt || [KeyCode::Char('q'), KeyCode::Esc].contains(&key.code);
    Ok(ends && key.kind == KeyEventKind::Press)
}
