//! What `up` says: the table of services, what to try, and what became of a service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::logs;
use super::plan::Planned;
use super::supervisor::{End, Event};
use crate::console::{Align, Paint, Table};

/// What is known of each service.
pub(crate) struct Board<'a> {
    services: Vec<(&'a Planned, Known)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Of the process that runs now.
    pid: Option<u32>,
    lives: u64,
    /// Whether it was taken out of the cluster.
    is_out: bool,
}

/// One event, in the context of what was known before.
#[derive(Debug)]
pub(crate) enum News {
    FirstStart,
    Restart {
        name: String,
        pid: u32,
    },
    End {
        name: String,
        pid: Option<u32>,
        first_life: bool,
        end: End,
        restart_in: Option<Duration>,
        last_lines: Vec<String>,
    },
}

impl<'a> Board<'a> {
    pub(crate) fn new(plan: &'a [Planned]) -> Self {
        Self { services: plan.iter().map(|planned| (planned, Known::default())).collect() }
    }

    /// Notes an event.
    pub(crate) fn take(&mut self, event: Event) -> News {
        match event {
            Event::Started { service, pid } => {
                let (planned, known) = &mut self.services[service];
                *known = Known { pid: Some(pid), lives: known.lives + 1, is_out: false };
                if known.lives == 1 {
                    News::FirstStart
                } else {
                    News::Restart { name: planned.name.clone(), pid }
                }
            }
            Event::Ended { service, end, restart_in, last_lines } => {
                let (planned, known) = &mut self.services[service];
                known.is_out = end.is_removal();
                let (name, pid, first_life) =
                    (planned.name.clone(), known.pid.take(), known.lives <= 1);
                News::End { name, pid, first_life, end, restart_in, last_lines }
            }
        }
    }

    /// Whether a service was taken out of the cluster for good, and nobody is to wait for it.
    pub(crate) fn is_out(&self, name: &str) -> bool {
        self.services.iter().any(|(planned, known)| planned.name == name && known.is_out)
    }

    /// What is said once writes are served.
    pub(crate) fn announcement(
        &self,
        data_dir: &Path,
        authority: Option<PathBuf>,
        paint: Paint,
    ) -> String {
        let mut table =
            Table::new([("service", Align::Left), ("url", Align::Left), ("pid", Align::Right)]);
        for (planned, known) in &self.services {
            table.row([
                planned.name.clone(),
                planned.url(),
                known.pid.map_or_else(|| String::from("-"), |pid| pid.to_string()),
            ]);
        }
        let url = self.services.first().map(|(planned, _)| planned.url()).unwrap_or_default();
        // What whoever asks believes, and what `synod` is told of it.
        let believing = authority.as_ref().map(|path| format!("--cacert {} ", path.display()));
        let believing = believing.unwrap_or_default();
        let told = authority.map(|path| {
            format!("  export SYNOD_URL={url} SYNOD_CA={}; synod status\n", path.display())
        });
        let told = told.unwrap_or_default();
        format!(
            "{}\n\n{table}\n  logs in {}\n\n{}\n  curl -i {believing}-X PUT -d 'hello' \
             {url}/v1/kv/greeting\n  curl -i {believing}{url}/v1/kv/greeting\n  \
             curl {believing}{url}/v1/cluster\n{told}\nCtrl-C ends all services and keeps the data.",
            paint.green(format_args!("Synod is up: reads and writes are served at {url}")),
            logs::folder(data_dir).display(),
            paint.bold("Try:"),
        )
    }
}

impl News {
    /// Why the whole cluster is not worth waiting for: a service that ran for the first
    /// time says that it cannot run as it is told.
    pub(crate) fn is_fatal_at_start(&self) -> Option<String> {
        match self {
            Self::End { name, first_life: true, end, last_lines, .. }
                if end.is_misconfiguration() =>
            {
                Some(with_lines(format!("{name} {end}"), last_lines))
            }
            Self::FirstStart | Self::Restart { .. } | Self::End { .. } => None,
        }
    }

    /// The news in lines; none of what was to be expected.
    pub(crate) fn lines(self, paint: Paint) -> Option<String> {
        match self {
            Self::FirstStart => None,
            Self::Restart { name, pid } => Some(format!("{name} is started again, pid {pid}")),
            Self::End { name, pid, first_life: _, end, restart_in, last_lines } => {
                let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
                if end.is_removal() {
                    let is_out = format!("{name}{pid} is out for good; the cluster goes on");
                    return Some(with_lines(paint.yellow(is_out), &last_lines));
                }
                let next = match restart_in {
                    Some(pause) => format!("starting it again in {pause:?}"),
                    None if end.is_final() => {
                        String::from("it stays dead: starting it again would not help")
                    }
                    None => String::from("it stays dead (--no-restart)"),
                };
                Some(with_lines(
                    paint.yellow(format_args!("{name}{pid} {end}; {next}")),
                    &last_lines,
                ))
            }
        }
    }
}

fn with_lines(mut text: String, last_lines: &[String]) -> String {
    for line in last_lines {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::super::plan::{Counts, Keepers, plan};
    use shared::config::Scheme;

    use super::*;

    fn small_plan() -> Vec<Planned> {
        plan(
            &Counts {
                coordinators: 1,
                keepers: Keepers { acceptors: 1, replicas: 1 },
                balancers: 1,
            },
            8000,
            Path::new("d"),
            Scheme::Http,
        )
    }

    fn exit(code: i32) -> End {
        End::Ended(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn the_announcement_names_every_url_and_pid_and_three_curl_lines() {
        let plan = small_plan();
        let mut board = Board::new(&plan);
        for service in 0..4 {
            let news =
                board.take(Event::Started { service, pid: 100 + u32::try_from(service).unwrap() });
            assert_eq!(news.lines(Paint::plain()), None);
        }
        let expected = "Synod is up: reads and writes are served at http://127.0.0.1:8000\n\n  \
                        service        url                    pid\n  \
                        balancer-1     http://127.0.0.1:8000  100\n  \
                        coordinator-1  http://127.0.0.1:8101  101\n  \
                        acceptor-1     http://127.0.0.1:8201  102\n  \
                        replica-1      http://127.0.0.1:8301  103\n\n  \
                        logs in d/logs\n\n\
                        Try:\n  \
                        curl -i -X PUT -d 'hello' http://127.0.0.1:8000/v1/kv/greeting\n  \
                        curl -i http://127.0.0.1:8000/v1/kv/greeting\n  \
                        curl http://127.0.0.1:8000/v1/cluster\n\n\
                        Ctrl-C ends all services and keeps the data.";
        assert_eq!(board.announcement(Path::new("d"), None, Paint::plain()), expected);
    }

    #[test]
    fn a_death_is_told_with_its_last_lines_and_so_is_the_next_life() {
        let plan = small_plan();
        let mut board = Board::new(&plan);
        board.take(Event::Started { service: 3, pid: 7 });
        let died = Event::Ended {
            service: 3,
            end: End::Ended(ExitStatus::from_raw(9)),
            restart_in: Some(Duration::from_millis(100)),
            last_lines: vec![String::from("ERROR no room")],
        };
        let expected = "replica-1 (pid 7) was killed by signal 9 (SIGKILL); starting it again in \
            100ms\n    ERROR no room";
        assert_eq!(board.take(died).lines(Paint::plain()).unwrap(), expected);
        let again = board.take(Event::Started { service: 3, pid: 8 });
        assert_eq!(again.lines(Paint::plain()).unwrap(), "replica-1 is started again, pid 8");
    }

    #[test]
    fn only_a_misconfigured_first_life_makes_the_start_fail() {
        let plan = small_plan();
        let mut board = Board::new(&plan);
        let ended = |code| Event::Ended {
            service: 2,
            end: exit(code),
            restart_in: None,
            last_lines: vec![String::from("why")],
        };
        board.take(Event::Started { service: 2, pid: 7 });
        assert_eq!(board.take(ended(1)).is_fatal_at_start(), None);
        assert_eq!(
            board.take(ended(78)).is_fatal_at_start().unwrap(),
            "acceptor-1 ended with exit code 78\n    why"
        );
        board.take(Event::Started { service: 2, pid: 8 });
        assert_eq!(board.take(ended(78)).is_fatal_at_start(), None);
    }

    #[test]
    fn whoever_is_out_for_good_is_told_and_holds_nothing_up() {
        let plan = small_plan();
        let mut board = Board::new(&plan);
        board.take(Event::Started { service: 3, pid: 7 });
        assert!(!board.is_out("replica-1"));
        let news = board.take(Event::Ended {
            service: 3,
            end: exit(79),
            restart_in: None,
            last_lines: vec![String::from("why")],
        });
        assert_eq!(news.is_fatal_at_start(), None, "in its first life either");
        let expected = "replica-1 (pid 7) is out for good; the cluster goes on\n    why";
        assert_eq!(news.lines(Paint::plain()).unwrap(), expected);
        assert!(board.is_out("replica-1") && !board.is_out("acceptor-1"));
    }
}
