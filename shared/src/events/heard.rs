//! States compared with what was told last: pure.
//!
//! Replicas and balancers hear of most changes as of states: who leads as they know, how
//! far all is trimmed. What is older than what was told is no news, whoever says it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kind::{Happening, Presence, Standing, cut};
use super::refusals::RefusalsHeard;
use crate::bounds::{self, SLOTS_AHEAD};
use crate::ids::{Ballot, ClusterId, Epoch, Revision, Slot};
use crate::message::Member;

/// Trims and compactions follow each other closely under load: each is told no more often.
const MARKS_EVERY: Duration = Duration::from_secs(10);
/// So many backups of a view are named: what others say is not to fill the memory.
const SHOWN_BACKUPS: usize = 64;

/// What a service says of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Which cluster it is.
    pub cluster: Option<ClusterId>,
    /// Who leads.
    pub leader: Option<LeaderSeen>,
    /// The view executed last; none where it is told otherwise.
    pub view: Option<ViewSeen>,
    /// How far it has executed the log.
    pub executed_below: Slot,
    /// Below that a quorum has trimmed all votes.
    pub trimmed_below: Slot,
    /// The oldest revision whose state can be read.
    pub compacted_below: Revision,
    /// What people should know, by a word for each, in sentences.
    pub warnings: BTreeMap<String, String>,
    /// What it has refused for want of a token or a right, by reason; empty where that is not
    /// known, or told otherwise.
    pub refusals: BTreeMap<String, u64>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSeen {
    /// Its name.
    pub coordinator: String,
    /// Where it is.
    pub url: String,
    /// The ballot that it leads at.
    pub ballot: Ballot,
}

/// Who is primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSeen {
    /// The number of the view.
    pub epoch: Epoch,
    /// Who takes mutations.
    pub primary: String,
    /// The others.
    pub backups: Vec<String>,
}

/// How many say what is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// One, whose word counts also where it knows of nothing any more.
    One,
    /// Several, of which one may not know what another does.
    Many,
}

/// What was told last.
#[derive(Debug)]
pub struct Observer {
    sources: Sources,
    cluster: Option<ClusterId>,
    ballot: Option<Ballot>,
    is_led: bool,
    epoch: Epoch,
    executed_below: Slot,
    trimmed: Mark,
    compacted: Mark,
    /// By who says it.
    warnings: BTreeMap<String, BTreeMap<String, String>>,
    refusals: RefusalsHeard,
}

/// How far something is, and when that was told.
#[derive(Debug, Default)]
struct Mark {
    below: u64,
    told_at: Option<Duration>,
}

impl Mark {
    fn is_news(&mut self, now: Duration, below: u64) -> bool {
        let is_due = self.told_at.is_none_or(|at| now.saturating_sub(at) >= MARKS_EVERY);
        let is_news = below > self.below && is_due;
        if is_news {
            *self = Self { below, told_at: Some(now) };
        }
        is_news
    }
}

impl Observer {
    /// Nothing yet.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            cluster: None,
            ballot: None,
            is_led: false,
            epoch: Epoch(0),
            executed_below: Slot(0),
            trimmed: Mark::default(),
            compacted: Mark::default(),
            warnings: BTreeMap::new(),
            refusals: RefusalsHeard::default(),
        }
    }

    /// Takes in what somebody says, and says what of it is new.
    pub fn take(&mut self, now: Duration, source: &str, seen: &Seen) -> Vec<Happening> {
        let mut news = Vec::new();
        if let Some(cluster_id) = seen.cluster.filter(|_| self.cluster != seen.cluster) {
            if self.cluster.is_some() {
                // What was told of another cluster says nothing of this one.
                let warnings = std::mem::take(&mut self.warnings);
                let refusals = std::mem::take(&mut self.refusals);
                *self = Self { warnings, refusals, ..Self::new(self.sources) };
            }
            self.cluster = Some(cluster_id);
            news.push(Happening::cluster(cluster_id));
        }
        if seen.cluster.is_some() {
            self.executed(seen.executed_below);
        }
        news.extend(self.leader(seen.leader.as_ref()));
        if let Some(ViewSeen { epoch, primary, backups }) =
            seen.view.as_ref().filter(|view| view.epoch > self.epoch)
        {
            self.epoch = *epoch;
            let backups = backups.iter().take(SHOWN_BACKUPS).map(|backup| cut(backup)).collect();
            news.push(Happening::View {
                epoch: *epoch,
                slot: None,
                primary: cut(primary),
                backups,
            });
        }
        if self.trimmed.is_news(now, seen.trimmed_below.0) {
            news.push(Happening::Trim { trimmed_below: seen.trimmed_below });
        }
        if self.compacted.is_news(now, seen.compacted_below.0) {
            news.push(Happening::Compact { compacted_below: seen.compacted_below });
        }
        let before = self.warnings.entry(source.to_owned()).or_default();
        if *before != seen.warnings {
            news.extend(of_warnings(before, &seen.warnings));
            before.clone_from(&seen.warnings);
        }
        news.extend(self.refusals.take(now, source, &seen.refusals));
        news
    }

    /// How far anybody of this cluster has executed its log.
    #[must_use]
    pub fn executed_below(&self) -> Slot {
        self.executed_below
    }

    /// What cannot be is not believed: whatever follows would be told with it.
    fn executed(&mut self, Slot(below): Slot) {
        let known = self.executed_below.0;
        if bounds::within("executed slot", below, known, SLOTS_AHEAD).is_ok() {
            self.executed_below = Slot(known.max(below));
        }
    }

    /// What a source warned of last.
    #[must_use]
    pub fn warned_of(&self, source: &str) -> BTreeMap<String, String> {
        self.warnings.get(source).cloned().unwrap_or_default()
    }

    /// Forgets what those warned of who are not there any more.
    pub fn keep(&mut self, is_there: impl Fn(&str) -> bool) -> Vec<Happening> {
        self.refusals.keep(&is_there);
        let gone = self.warnings.extract_if(.., |source, _| !is_there(source));
        gone.flat_map(|(_, warnings)| of_warnings(&warnings, &BTreeMap::new())).collect()
    }

    fn leader(&mut self, seen: Option<&LeaderSeen>) -> Option<Happening> {
        let Some(LeaderSeen { coordinator, url, ballot }) = seen else {
            let last = self.ballot.filter(|_| self.is_led && self.sources == Sources::One)?;
            self.is_led = false;
            return Some(Happening::Leader { coordinator: None, url: None, ballot: last });
        };
        let is_news = match self.ballot {
            Some(known) => *ballot > known || (*ballot == known && !self.is_led),
            None => true,
        };
        if !is_news {
            return None;
        }
        (self.ballot, self.is_led) = (Some(*ballot), true);
        let (coordinator, url) = (Some(cut(coordinator)), Some(cut(url)));
        Some(Happening::Leader { coordinator, url, ballot: *ballot })
    }
}

fn of_warnings(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<Happening> {
    let began = now.iter().filter(|(what, _)| !before.contains_key(*what));
    let began = began.map(|(what, detail)| Happening::warning(what, Standing::Began, detail));
    let ended = before.iter().filter(|(what, _)| !now.contains_key(*what));
    let ended = ended.map(|(what, detail)| Happening::warning(what, Standing::Ended, detail));
    began.chain(ended).collect()
}

/// Who has come, gone, or come again.
pub(super) fn of_members(before: &[Member], now: &[Member]) -> Vec<Happening> {
    let find = |members: &[Member], name| members.iter().position(|member| member.name == name);
    let tell = |member: &Member, state| Happening::Member {
        id: member.name.clone(),
        service: member.service,
        url: cut(&member.url),
        state,
    };
    let here = now.iter().filter_map(|member| {
        match find(before, member.name.clone()).map(|at| &before[at]) {
            None => Some(tell(member, Presence::Joined)),
            Some(last) if last.instance != member.instance => {
                Some(tell(member, Presence::Restarted))
            }
            Some(_) => None,
        }
    });
    let gone = before.iter().filter(|member| find(now, member.name.clone()).is_none());
    here.chain(gone.map(|member| tell(member, Presence::Left))).collect()
}

/// Which of them are taken for each other.
pub(super) fn of_mixups(before: &[String], now: &[String]) -> Vec<Happening> {
    let tell = |text: &String, state| Happening::warning("names", state, text);
    let began = now.iter().filter(|text| !before.contains(text));
    let ended = before.iter().filter(|text| !now.contains(text));
    let began = began.map(|text| tell(text, Standing::Began));
    began.chain(ended.map(|text| tell(text, Standing::Ended))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CoordinatorId, Instance};
    use crate::message::Service;

    const NOW: Duration = Duration::from_secs(100);

    fn led(round: u64) -> Seen {
        let ballot = Ballot { round, coordinator: CoordinatorId(7) };
        let (coordinator, url) = ("coordinator-1".into(), "http://a:1".into());
        Seen { leader: Some(LeaderSeen { coordinator, url, ballot }), ..Seen::default() }
    }

    fn of_epoch(epoch: u64) -> Seen {
        let (primary, backups) = (format!("replica-{epoch}"), vec!["replica-9".to_owned()]);
        let view = Some(ViewSeen { epoch: Epoch(epoch), primary, backups });
        Seen { view, ..Seen::default() }
    }

    fn names(news: &[Happening]) -> Vec<&'static str> {
        news.iter().map(Happening::name).collect()
    }

    #[test]
    fn what_is_older_than_what_was_told_is_no_news_whoever_says_it() {
        let mut heard = Observer::new(Sources::Many);
        assert_eq!(names(&heard.take(NOW, "a", &of_epoch(3))), ["view"]);
        assert!(heard.take(NOW, "b", &of_epoch(2)).is_empty());
        assert!(heard.take(NOW, "b", &of_epoch(3)).is_empty());
        assert_eq!(names(&heard.take(NOW, "b", &of_epoch(4))), ["view"]);
        assert_eq!(names(&heard.take(NOW, "b", &led(5))), ["leader"]);
        assert!(heard.take(NOW, "a", &led(4)).is_empty());
        assert!(heard.take(NOW, "a", &led(5)).is_empty());
    }

    #[test]
    fn what_was_told_of_another_cluster_silences_nothing_of_this_one() {
        let mut heard = Observer::new(Sources::Many);
        let of = |cluster, epoch| Seen { cluster: Some(ClusterId(cluster)), ..of_epoch(epoch) };
        assert_eq!(names(&heard.take(NOW, "a", &of(1, 9))), ["roster", "view"]);
        assert_eq!(names(&heard.take(NOW, "a", &of(2, 1))), ["roster", "view"]);
        assert!(heard.take(NOW, "b", &of(2, 1)).is_empty());
    }

    #[test]
    fn how_far_all_is_executed_is_believed_of_this_cluster_and_within_bounds() {
        let mut heard = Observer::new(Sources::Many);
        let mut after = |cluster: Option<u64>, below| {
            let (cluster, executed_below) = (cluster.map(ClusterId), Slot(below));
            heard.take(NOW, "a", &Seen { cluster, executed_below, ..Seen::default() });
            heard.executed_below().0
        };
        assert_eq!(after(None, 9), 0, "of which cluster it is nobody says");
        assert_eq!(after(Some(1), 43), 43);
        assert_eq!(after(Some(1), 41), 43, "this one is behind");
        for too_far in [u64::MAX, 43 + SLOTS_AHEAD + 1] {
            assert_eq!(after(Some(1), too_far), 43);
        }
        assert_eq!(after(Some(1), 44), 44);
        assert_eq!(after(None, 45), 44);
        assert_eq!(after(Some(2), 5), 5, "another log");
    }

    #[test]
    fn a_leader_that_is_lost_is_told_and_so_is_its_return() {
        let mut heard = Observer::new(Sources::One);
        assert!(heard.take(NOW, "a", &Seen::default()).is_empty(), "none was known");
        heard.take(NOW, "a", &led(5));
        let lost = heard.take(NOW, "a", &Seen::default());
        assert!(matches!(lost[..], [Happening::Leader { coordinator: None, .. }]), "{lost:?}");
        assert!(heard.take(NOW, "a", &Seen::default()).is_empty(), "once");
        assert_eq!(names(&heard.take(NOW, "a", &led(5))), ["leader"]);
    }

    #[test]
    fn marks_that_move_all_the_time_are_told_now_and_then_and_never_back() {
        let mut heard = Observer::new(Sources::One);
        let at = |below| Seen {
            trimmed_below: Slot(below),
            compacted_below: Revision(below),
            ..Seen::default()
        };
        assert_eq!(names(&heard.take(NOW, "a", &at(5))), ["trim", "compact"]);
        let mut told = 0;
        for step in 1..100 {
            let now = NOW + Duration::from_millis(step * 200);
            told += heard.take(now, "a", &at(5 + step)).len();
            assert!(heard.take(now, "b", &at(1)).is_empty());
        }
        assert_eq!(told, 2, "of each one more in 20 s");
    }

    #[test]
    fn a_warning_is_told_when_it_begins_and_when_it_ends() {
        let mut heard = Observer::new(Sources::One);
        let warned = |text: &str| Seen {
            warnings: BTreeMap::from([("storage".to_owned(), text.to_owned())]),
            ..Seen::default()
        };
        let long = "x".repeat(10_000);
        let began = heard.take(NOW, "a", &warned(&long));
        let [Happening::Warning { state: Standing::Began, detail, .. }] = &began[..] else {
            panic!("{began:?}")
        };
        assert_eq!(detail.len(), 300);
        assert!(heard.take(NOW, "a", &warned("in other words")).is_empty());
        assert!(heard.take(NOW, "b", &Seen::default()).is_empty(), "another's silence");
        let gone = heard.keep(|source| source != "a");
        assert!(
            matches!(gone[..], [Happening::Warning { state: Standing::Ended, .. }]),
            "{gone:?}"
        );
    }

    #[test]
    fn members_come_go_and_come_again() {
        let member = |name: &str, instance| Member {
            name: name.parse().unwrap(),
            service: Service::Replica,
            url: "http://a:1".into(),
            instance: Instance(instance),
        };
        let before = [member("a", 1), member("b", 1), member("c", 1)];
        let now = [member("b", 1), member("c", 2), member("d", 1)];
        let news: Vec<(String, Presence)> = of_members(&before, &now)
            .into_iter()
            .map(|news| {
                let Happening::Member { id, state, .. } = news else { panic!("{news:?}") };
                (id.to_string(), state)
            })
            .collect();
        let expected = [("c", Presence::Restarted), ("d", Presence::Joined), ("a", Presence::Left)];
        assert_eq!(news, expected.map(|(name, state)| (name.to_owned(), state)));
    }
}
