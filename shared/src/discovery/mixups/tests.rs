//! What is mixed up, and who is told that it is.

use super::*;
use crate::message::{Directory, Member, Service};

fn member(name: &str, instance: u64) -> Member {
    let name: Name = name.parse().unwrap();
    Member {
        name,
        service: Service::Replica,
        url: "http://127.0.0.1:1".into(),
        instance: Instance(instance),
    }
}

fn answer(url: &str, acceptor: Member, conflicts: &[NameConflict]) -> (String, Announced) {
    let (directory, conflicts) = (Directory::default(), conflicts.to_vec());
    let (cluster, is_contested) = (None, false);
    (url.to_owned(), Announced { cluster, acceptor, directory, conflicts, is_contested })
}

fn mixups(own: u64, mixups: Vec<Mixup>) -> Mixups {
    let found = Found { mixups, is_contested: false };
    Mixups { own: Instance(own), found: watch::channel(found).1 }
}

#[test]
fn an_acceptor_that_is_listed_twice_is_named_with_both_its_addresses() {
    let answers = [
        answer("http://a:1", member("acceptor-1", 1), &[]),
        answer("http://b:1", member("acceptor-2", 2), &[]),
        answer("http://c:1", member("acceptor-1", 1), &[]),
    ];
    let urls = ["http://a:1".to_owned(), "http://c:1".to_owned()];
    let name = "acceptor-1".parse().unwrap();
    let found = mixups_of(&answers);
    assert_eq!(found, [Mixup::SameAcceptor { name, urls }]);
    assert!(found[0].to_string().starts_with("http://a:1 and http://c:1 are the same"));
    assert_eq!(mixups(1, found).check().result, Ok(()), "a warning");
}

#[test]
fn two_of_one_name_are_told_once_and_the_later_one_is_not_ready() {
    let conflict = NameConflict { listed: member("replica-1", 7), rival: member("replica-1", 8) };
    let told = std::slice::from_ref(&conflict);
    let NameConflict { listed, rival } = conflict.clone();
    let restarted = [NameConflict { listed: rival, rival: listed }];
    let answers = [
        answer("http://d:1", member("acceptor-4", 4), &restarted),
        answer("http://a:1", member("acceptor-1", 1), told),
        answer("http://b:1", member("acceptor-2", 2), told),
        answer("http://c:1", member("acceptor-2", 3), &[]),
    ];
    let acceptors =
        NameConflict { listed: member("acceptor-2", 2), rival: member("acceptor-2", 3) };
    let expected = [acceptors, conflict].map(Mixup::SameName);
    let found = mixups_of(&answers);
    assert_eq!(found, expected);
    let known = mixups(7, found.clone());
    assert!(known.check().result.is_ok() && known.check().warning.is_some());
    assert!(mixups(8, found.clone()).check().result.unwrap_err().contains("by the name replica-1"));
    assert!(known.is_name_own() && !mixups(8, found).is_name_own());
    let contested = Found { mixups: Vec::new(), is_contested: true };
    let contested = Mixups { own: Instance(7), found: watch::channel(contested).1 };
    assert!(!contested.is_name_own(), "who had it a moment ago may live");
    assert_eq!(contested.check(), Check::new("names", None));
}
