//! The services' logs: a file each, written by the service itself, so that a `synod up`
//! that hangs stalls nobody.
//!
//! Each start of the cluster begins new files and keeps those of the start before as
//! `NAME.log.1`. A file that grows too large is moved the same way while it is written:
//! copied and then emptied, which may lose the few lines written in between, and keeps
//! the disk bounded.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::plan::Planned;
use crate::console;

/// The largest log, in bytes; with the one before it a service keeps at most twice as
/// much, and what it logs between two looks.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How many of the last lines are shown of a service that died.
const SHOWN_LINES: usize = 5;
/// How far back these lines are looked for.
const MAX_TAIL_BYTES: u64 = 16 * 1024;
/// The longest line shown, in characters.
const MAX_LINE_CHARS: usize = 500;

/// Where the logs are.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("logs")
}

/// The log of a service.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn of(planned: &Planned, data_dir: &Path) -> Self {
        Self { path: folder(data_dir).join(format!("{}.log", planned.name)) }
    }

    fn previous(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }

    /// Puts the log of the start before aside.
    pub(crate) fn begin(&self) -> io::Result<()> {
        match fs::rename(&self.path, self.previous()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Opens it at its end, and says where that is.
    pub(crate) fn open(&self) -> io::Result<(File, u64)> {
        // Appending, so that a file that was emptied under a writer does not get a hole
        // at its start.
        let file = File::options().create(true).append(true).open(&self.path)?;
        let end = file.metadata()?.len();
        Ok((file, end))
    }

    fn bound(&self, max_bytes: u64) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > max_bytes => {
                fs::copy(&self.path, self.previous())?;
                File::options().write(true).open(&self.path)?.set_len(0)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The last lines written since `start`, made readable; only the warnings and errors,
    /// if there are any.
    pub(crate) fn last_lines(&self, start: u64) -> Vec<String> {
        self.tail(start).unwrap_or_default()
    }

    fn tail(&self, start: u64) -> io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        let end = file.metadata()?.len();
        // Emptied meanwhile: all that is there is newer.
        let start = if start > end { 0 } else { start };
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(MAX_TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> =
            text.lines().filter(|line| !line.trim().is_empty()).map(readable).collect();
        let (complaints, others): (Vec<String>, Vec<String>) =
            lines.into_iter().partition(|line| is_complaint(line));
        let mut shown = if complaints.is_empty() { others } else { complaints };
        Ok(shown.split_off(shown.len().saturating_sub(SHOWN_LINES)))
    }
}

/// Keeps every service's log within its bound.
pub(crate) fn bound_all(plan: &[Planned], data_dir: &Path) {
    for planned in plan {
        if let Err(error) = Log::of(planned, data_dir).bound(MAX_LOG_BYTES) {
            console::warn(format_args!("synod: cannot bound the log of {}: {error}", planned.name));
        }
    }
}

/// A log line as people read it: of a JSON object the level, the message and what else is
/// not the same in every line.
fn readable(line: &str) -> String {
    let text = match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(fields) => in_words(&fields),
        Err(_) => line.to_owned(),
    };
    text.chars().take(MAX_LINE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether a readable line says what went wrong: of our own lines the level tells, and
/// any other line was printed by a panic or by clap.
fn is_complaint(line: &str) -> bool {
    !["INFO ", "DEBUG ", "TRACE "].iter().any(|level| line.starts_with(level))
}

fn in_words(fields: &Map<String, Value>) -> String {
    const SAME_IN_EACH: [&str; 8] =
        ["timestamp", "target", "service", "id", "trace_id", "span_id", "level", "message"];
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let word = |name| fields.get(name).map(plain);
    let mut words: Vec<String> = [word("level"), word("message")].into_iter().flatten().collect();
    let rest = fields.iter().filter(|(name, _)| !SAME_IN_EACH.contains(&name.as_str()));
    words.extend(rest.map(|(name, value)| format!("{name}={}", plain(value))));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn log(folder: &Path) -> Log {
        Log { path: folder.join("replica-1.log") }
    }

    #[test]
    fn a_new_start_keeps_the_log_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        log.begin().expect("there is none to put aside");
        log.open().unwrap().0.write_all(b"first\n").unwrap();
        log.begin().unwrap();
        let (mut file, start) = log.open().unwrap();
        file.write_all(b"second\n").unwrap();
        assert_eq!(start, 0);
        assert_eq!(fs::read_to_string(log.previous()).unwrap(), "first\n");
        assert_eq!(log.last_lines(0), ["second"]);
    }

    #[test]
    fn the_last_lines_are_those_of_this_life() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        log.open().unwrap().0.write_all(b"an old life\n").unwrap();
        let (mut file, start) = log.open().unwrap();
        assert!(log.last_lines(start).is_empty());
        for number in 0..20 {
            writeln!(file, "line {number}\n").unwrap();
        }
        assert_eq!(log.last_lines(start), ["line 15", "line 16", "line 17", "line 18", "line 19"]);
    }

    #[test]
    fn of_a_service_that_complained_only_the_complaints_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let line = |level, message| format!(r#"{{"level":"{level}","message":"{message}"}}"#);
        let (mut file, start) = log.open().unwrap();
        writeln!(file, "{}", line("INFO", "starts")).unwrap();
        assert_eq!(log.last_lines(start), ["INFO starts"]);
        writeln!(file, "{}\n{}", line("ERROR", "no room"), line("INFO", "ends")).unwrap();
        assert_eq!(log.last_lines(start), ["ERROR no room"]);
    }

    #[test]
    fn a_log_that_grew_too_large_is_moved_and_its_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let (mut file, start) = log.open().unwrap();
        file.write_all(b"more than ten bytes\n").unwrap();
        log.bound(20).unwrap();
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "more than ten bytes\n");
        log.bound(10).unwrap();
        file.write_all(b"on\n").unwrap();
        assert_eq!(fs::read_to_string(&log.path).unwrap(), "on\n");
        assert_eq!(fs::read_to_string(log.previous()).unwrap(), "more than ten bytes\n");
        assert_eq!(log.last_lines(start + 20), ["on"]);
    }

    #[test]
    fn a_line_of_json_is_told_in_words() {
        let line = r#"{"timestamp":"2026-01-01","level":"ERROR","target":"acceptor::log","service":"synod-acceptor",
                       "id":"acceptor-1","message":"record 7 is damaged","offset":4096}"#;
        assert_eq!(readable(line), "ERROR record 7 is damaged offset=4096");
        assert_eq!(readable("thread 'main' panicked\tat x"), "thread 'main' panicked at x");
    }
}
