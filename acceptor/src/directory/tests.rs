//! Who is listed, and who is told of as a rival.

use shared::message::Service;

use super::*;

fn member(name: &str, instance: u64) -> Member {
    let url = format!("http://{name}:8301");
    Member {
        name: name.parse().unwrap(),
        service: Service::Replica,
        url,
        instance: Instance(instance),
    }
}

fn announce(members: &mut Members, now_ms: u64, member: Member) -> Result<(), AnnounceError> {
    announce_of(members, now_ms, None, member)
}

fn announce_of(
    members: &mut Members,
    now_ms: u64,
    cluster: Option<ClusterId>,
    member: Member,
) -> Result<(), AnnounceError> {
    let name = member.name.clone();
    members.announce(Duration::from_millis(now_ms), &name, Announcement { cluster, member })
}

fn list(members: &mut Members, now_ms: u64) -> Vec<(Member, u64)> {
    let directory = members.list(Duration::from_millis(now_ms));
    directory.members.into_iter().map(|entry| (entry.member, entry.age_ms)).collect()
}

#[test]
fn members_are_listed_by_name_with_their_age() {
    let mut members = Members::default();
    announce(&mut members, 0, member("b", 1)).unwrap();
    announce(&mut members, 300, member("a", 1)).unwrap();
    assert_eq!(list(&mut members, 500), [(member("a", 1), 200), (member("b", 1), 500)]);
}

#[test]
fn the_latest_life_of_a_member_is_listed() {
    let mut members = Members::default();
    announce(&mut members, 0, member("a", 1)).unwrap();
    announce(&mut members, 100, member("a", 2)).unwrap();
    assert_eq!(list(&mut members, 100), [(member("a", 2), 0)]);
}

fn conflicts(members: &mut Members, now_ms: u64) -> Vec<(u64, u64)> {
    let conflicts = members.conflicts(Duration::from_millis(now_ms));
    let of = |conflict: &NameConflict| (conflict.listed.instance.0, conflict.rival.instance.0);
    conflicts.iter().map(of).collect()
}

#[test]
fn of_two_processes_of_one_name_the_first_is_listed_and_both_are_told() {
    let mut members = Members::default();
    announce(&mut members, 0, member("a", 1)).unwrap();
    announce(&mut members, 100, member("a", 2)).unwrap();
    assert_eq!(conflicts(&mut members, 100), [], "it may be its next life");
    let contested = |members: &Members, now_ms| {
        members.is_contested(Duration::from_millis(now_ms), &"a".parse().unwrap())
    };
    assert!(contested(&members, 1_999) && !contested(&members, 2_000));
    for round in 1..10 {
        let now = 500 * round;
        announce(&mut members, now, member("a", 1)).unwrap();
        announce(&mut members, now + 100, member("a", 2)).unwrap();
        assert_eq!(list(&mut members, now + 100), [(member("a", 1), 100)]);
        assert_eq!(conflicts(&mut members, now + 100), [(1, 2)]);
    }
    assert_eq!(list(&mut members, 12_000), [(member("a", 1), 7_500)]);
}

#[test]
fn a_restarted_process_is_no_rival_of_its_former_life() {
    let mut members = Members::default();
    for life in 1..5 {
        for announcement in 0..3 {
            let now = 1_500 * life + 500 * announcement;
            announce(&mut members, now, member("a", life)).unwrap();
            assert_eq!(list(&mut members, now), [(member("a", life), 0)]);
            assert_eq!(conflicts(&mut members, now), []);
        }
    }
}

#[test]
fn the_next_life_of_a_process_that_said_that_it_ends_is_contested_by_nobody() {
    let mut members = Members::default();
    let name = "a".parse().unwrap();
    let is_contested = |members: &Members| members.is_contested(Duration::from_millis(100), &name);
    announce(&mut members, 0, member("a", 1)).unwrap();
    members.withdraw(&name, Instance(9));
    assert_eq!(list(&mut members, 0), [(member("a", 1), 0)], "it is of another process");
    announce(&mut members, 100, member("a", 2)).unwrap();
    assert!(is_contested(&members));
    members.withdraw(&name, Instance(1));
    assert!(!is_contested(&members), "its former life said so late");
    members.withdraw(&name, Instance(2));
    assert_eq!(list(&mut members, 100), []);
    announce(&mut members, 100, member("a", 3)).unwrap();
    assert!(!is_contested(&members));
}

#[test]
fn where_one_of_two_of_a_name_ends_the_other_is_listed_alone() {
    for (ends, stays) in [(1, 2), (2, 1)] {
        let mut members = Members::default();
        for instance in [1, 2, 1] {
            announce(&mut members, 0, member("a", instance)).unwrap();
        }
        assert_eq!(conflicts(&mut members, 0), [(1, 2)]);
        members.withdraw(&"a".parse().unwrap(), Instance(ends));
        assert_eq!(list(&mut members, 0), [(member("a", stays), 0)]);
        assert_eq!(conflicts(&mut members, 0), []);
    }
}

#[test]
fn a_rival_takes_the_place_of_one_that_falls_silent_and_then_there_is_none() {
    let mut members = Members::default();
    for (now, instance) in [(0, 1), (100, 2), (500, 1), (600, 2), (2_499, 2)] {
        announce(&mut members, now, member("a", instance)).unwrap();
    }
    assert_eq!(conflicts(&mut members, 2_499), [(1, 2)]);
    announce(&mut members, 2_600, member("a", 2)).unwrap();
    assert_eq!(list(&mut members, 2_600), [(member("a", 2), 0)]);
    assert_eq!(conflicts(&mut members, 2_600), []);
}

#[test]
fn a_rival_that_falls_silent_is_forgotten() {
    let mut members = Members::default();
    for (now, instance) in [(0, 1), (100, 2), (500, 1), (10_000, 1)] {
        announce(&mut members, now, member("a", instance)).unwrap();
    }
    assert_eq!(conflicts(&mut members, 10_000), [(1, 2)]);
    assert_eq!(conflicts(&mut members, 10_100), []);
    assert_eq!(list(&mut members, 10_100), [(member("a", 1), 100)]);
}

#[test]
fn a_member_that_falls_silent_is_dropped() {
    let mut members = Members::default();
    announce(&mut members, 0, member("a", 1)).unwrap();
    announce(&mut members, 5_000, member("b", 1)).unwrap();
    assert_eq!(list(&mut members, 9_999).len(), 2);
    assert_eq!(list(&mut members, 10_000), [(member("b", 1), 5_000)]);
}

#[test]
fn a_full_directory_takes_only_members_it_knows_until_one_falls_silent() {
    let mut members = Members::default();
    for index in 0..MAX_MEMBERS {
        announce(&mut members, index as u64, member(&format!("replica-{index}"), 1)).unwrap();
    }
    assert_eq!(announce(&mut members, 300, member("one-more", 1)), Err(AnnounceError::Full));
    assert_eq!(announce(&mut members, 300, member("replica-7", 2)), Ok(()));
    assert_eq!(announce(&mut members, 10_000, member("one-more", 1)), Ok(()));
}

#[test]
fn an_announcement_under_another_name_or_with_an_endless_url_is_refused() {
    let mut members = Members::default();
    let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
    let announcement = Announcement { cluster: None, member: member("a", 1) };
    let refused = members.announce(Duration::ZERO, &b, announcement);
    assert_eq!(refused, Err(AnnounceError::OtherName { body: a, path: b }));
    let endless = Member { url: "x".repeat(MAX_URL_BYTES + 1), ..member("a", 1) };
    assert_eq!(announce(&mut members, 0, endless), Err(AnnounceError::UrlTooLong));
    assert_eq!(list(&mut members, 0), []);
}

#[test]
fn members_of_another_cluster_are_refused_and_dropped_once_there_is_one() {
    let mut members = Members::default();
    let (ours, theirs) = (ClusterId(1), ClusterId(2));
    for (cluster, name) in [(None, "a"), (Some(ours), "b"), (Some(theirs), "c")] {
        announce_of(&mut members, 0, cluster, member(name, 1)).unwrap();
    }
    members.belong_to(ours);
    let left = [(member("a", 1), 0), (member("b", 1), 0)];
    assert_eq!(list(&mut members, 0), left);
    let refused = announce_of(&mut members, 0, Some(theirs), member("c", 1));
    assert_eq!(refused, Err(AnnounceError::OtherCluster(OtherCluster { ours, theirs })));
    assert_eq!(list(&mut members, 0), left);
}
