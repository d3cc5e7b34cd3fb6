//! `synod top` on a terminal, before a real cluster.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tests::harness::cluster::{Cluster, Size, eventually};
use tokio::process::{Child, Command};

use crate::synod;

/// As long as a busy machine may take to end it.
const LIMIT: Duration = Duration::from_secs(30);

/// By which a terminal shows again what it did before.
const LEFT: &[u8] = b"\x1b[?1049l";

/// `synod top`, and the terminal that it draws on.
struct Top {
    child: Child,
    terminal: File,
    screen: File,
    /// All that the terminal was sent since it was asked last.
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Top {
    fn start(url: &str) -> Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let screen = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        let (terminal, screen) = (File::from(terminal), File::from(screen));
        resize(&terminal, 120, 40)?;
        let mut command = Command::new(synod());
        command.args(["top", "--url", url]).env("NO_COLOR", "1").env("TERM", "xterm-256color");
        command.stdin(screen.try_clone()?).stdout(screen.try_clone()?).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn()?;
        let (sent, mut reader) = (Arc::new(Mutex::new(Vec::new())), terminal.try_clone()?);
        let into = Arc::clone(&sent);
        // It ends with the terminal's other side.
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                into.lock().expect("nobody panics").extend(&piece[..length]);
            }
        });
        Ok(Self { child, terminal, screen, sent })
    }

    /// Waits until all of these were drawn since the last time.
    async fn shows(&self, words: &[&str]) -> Result<()> {
        eventually("it is drawn", async || {
            let sent = self.sent.lock().expect("nobody panics").clone();
            let text = words_of(&String::from_utf8_lossy(&sent));
            let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
            ensure!(missing.is_empty(), "{missing:?} of {text:?}");
            Ok(())
        })
        .await?;
        self.sent.lock().expect("nobody panics").clear();
        Ok(())
    }

    fn type_in(&mut self, keys: &[u8]) -> Result<()> {
        Ok(self.terminal.write_all(keys)?)
    }

    /// Has it end well, and leave the terminal as it was before.
    async fn ends(mut self, before: LocalModes) -> Result<()> {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await??;
        ensure!(status.success(), "{status}");
        eventually("the screen from before is back", async || {
            let sent = self.sent.lock().expect("nobody panics").clone();
            ensure!(sent.windows(LEFT.len()).any(|it| it == LEFT), "{sent:?}");
            Ok(())
        })
        .await?;
        let after = tcgetattr(&self.screen)?.local_modes;
        ensure!(after == before, "{before:?} became {after:?}");
        Ok(())
    }
}

/// What a terminal is sent, without what it obeys: blanks, too, are sent as moves.
fn words_of(sent: &str) -> String {
    let mut pieces = sent.split("\u{1b}[");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
        text.push(' ');
        text.push_str(end.map_or("", |end| &piece[end + 1..]));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn resize(terminal: &File, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_is_drawn_and_a_service_that_dies_is_marked() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
    let mut top = Top::start(cluster.front())?;
    let modes = tcgetattr(&top.screen)?.local_modes;
    let mut all = cluster.all();
    all.extend([primary, leader].map(|name| format!("{name} (")));
    for word in ["leads", "stands by", "votes", "backup", "forwards", "writes", "reads", "ms"] {
        all.push(word.to_owned());
    }
    top.shows(&all.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    cluster.service("acceptor-3").kill()?;
    top.shows(&["no answer"]).await?;
    resize(&top.terminal, 80, 8)?;
    kill_process(pid(&top)?, Signal::WINCH)?;
    top.shows(&["lines more"]).await?;
    top.type_in(b"q")?;
    top.ends(modes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_by_ctrl_c_and_by_a_signal_also_where_nobody_answers() -> Result<()> {
    for by_signal in [false, true] {
        let mut top = Top::start("http://127.0.0.1:1")?;
        let modes = tcgetattr(&top.screen)?.local_modes;
        top.shows(&["asking"]).await?;
        if by_signal {
            kill_process(pid(&top)?, Signal::TERM)?;
        } else {
            top.type_in(b"\x03")?;
        }
        top.ends(modes).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_it_refuses_and_says_what_prints() -> Result<()> {
    let output = Command::new(synod()).arg("top").stdin(Stdio::null()).output().await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && said.contains("`synod status`"), "{said}");
    ensure!(output.stdout.is_empty(), "{:?}", output.stdout);
    Ok(())
}

fn pid(top: &Top) -> Result<Pid> {
    let pid = top.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    pid.context("it has ended")
}
