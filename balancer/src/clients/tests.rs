use std::net::Ipv4Addr;

use governor::clock::FakeRelativeClock;

use super::admission::{KEPT, LATELY};
use super::*;

const PLACES: usize = 16;

fn limits(rate: Option<u32>, burst: u32, requests: Option<usize>) -> Limits {
    let number = |number| NonZeroU32::new(number).unwrap();
    Limits { rate: rate.map(number), burst: number(burst), requests, places: PLACES }
}

fn clients(limits: Limits) -> (Clients<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Clients::with_clock(limits, Vec::new(), clock.clone()), clock)
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

/// So many requests at once.
fn take<'a>(
    clients: &'a Clients<FakeRelativeClock>,
    client: &Arc<Client<FakeRelativeClock>>,
    requests: usize,
) -> (Vec<Held<'a, FakeRelativeClock>>, Vec<Refused>) {
    let (mut held, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..requests {
        match clients.admit(client) {
            Ok(taken) => held.push(taken),
            Err(why) => refused.push(why),
        }
    }
    (held, refused)
}

#[test]
fn a_client_has_its_rate_and_its_burst_and_hears_when_to_come_again() {
    let (clients, clock) = clients(limits(Some(10), 3, None));
    let client = clients.at(address(1));
    let (held, refused) = take(&clients, &client, 5);
    assert_eq!((held.len(), refused.len(), refused[0].reason), (3, 2, Reason::Rate));
    let answer = refused[0].problem.to_http();
    assert_eq!(
        (answer.status(), &answer.headers()["retry-after"]),
        (429.try_into().unwrap(), &"1".parse().unwrap())
    );
    assert!(refused[0].problem.to_string().contains("--client-rate"));
    drop(held);
    assert!(clients.admit(&client).is_err(), "what was asked is asked, answered or not");
    clock.advance(Duration::from_millis(100));
    assert_eq!(take(&clients, &client, 2).0.len(), 1);
    let another = clients.at(address(2));
    assert_eq!(take(&clients, &another, 5).0.len(), 3, "each has a bucket of its own");
    assert_eq!(clients.refused(), [6, 0, 0]);
}

#[test]
fn a_client_has_so_many_requests_at_once() {
    let (clients, _clock) = clients(limits(None, 1, Some(2)));
    let client = clients.at(address(1));
    let (mut held, refused) = take(&clients, &client, 3);
    assert_eq!((held.len(), refused[0].reason), (2, Reason::Requests));
    held.pop();
    assert_eq!(take(&clients, &client, 2).0.len(), 1);
}

#[test]
fn where_all_is_taken_everybody_has_a_fair_share() {
    let (clients, _clock) = clients(limits(None, 1, None));
    let (first, second) = (clients.at(address(1)), clients.at(address(2)));
    let (present, _) = take(&clients, &second, 1);
    let (flood, refused) = take(&clients, &first, 100);
    assert_eq!(flood.len(), PLACES - PLACES / KEPT - 1, "the last places are not for it");
    assert!(refused.iter().all(|refused| refused.reason == Reason::Share));
    let (calm, refused) = take(&clients, &second, PLACES / KEPT);
    assert_eq!((calm.len(), refused.len()), (PLACES / KEPT, 0));
    drop((present, flood, calm));
    assert_eq!(clients.in_flight.load(Ordering::Relaxed), 0);
    assert_eq!(clients.active.load(Ordering::Relaxed), 0);
}

#[test]
fn who_is_alone_has_all_but_the_last_places_until_somebody_else_comes() {
    let (clients, clock) = clients(limits(None, 1, None));
    let (first, second) = (clients.at(address(1)), clients.at(address(2)));
    let (mut alone, refused) = take(&clients, &first, PLACES);
    assert_eq!((alone.len(), refused.len()), (PLACES - 1, 1));
    let (other, _) = take(&clients, &second, 1);
    assert_eq!(other.len(), 1, "whoever comes gets the last place");
    drop(other);
    alone.pop();
    let (more, refused) = take(&clients, &first, 1);
    assert_eq!((more.len(), refused[0].reason), (0, Reason::Share), "it is not alone any more");
    clock.advance(LATELY);
    assert_eq!(take(&clients, &first, 1).0.len(), 1, "it is alone again");
}

#[test]
fn who_is_refused_often_is_refused_slowly() {
    let (clients, clock) = clients(limits(Some(1), 1, None));
    let client = clients.at(address(1));
    let (_held, refused) = take(&clients, &client, 30);
    let at_once = refused.iter().filter(|refused| refused.pause.is_zero()).count();
    assert_eq!((at_once, refused.len()), (REFUSED_AT_ONCE as usize, 29));
    clock.advance(Duration::from_secs(1));
    let (_held, refused) = take(&clients, &client, 2);
    assert!(refused[0].pause.is_zero(), "a second later it may come again");
}

#[test]
fn a_million_addresses_take_bounded_memory_and_have_a_limit_all_the_same() {
    let (clients, clock) = clients(limits(Some(10), 10, None));
    let connected = clients.at(address(0));
    take(&clients, &connected, 10);
    let mut let_in = 0;
    for number in 1..=1_000_000 {
        let client = clients.at(address(number));
        let_in += take(&clients, &client, 1).0.len();
        assert!(clients.remembered() <= MAX_CLIENTS);
    }
    assert_eq!(let_in, MAX_CLIENTS - 1 + 10, "those who find no room share one bucket");
    clock.advance(Duration::from_millis(500));
    assert!(clients.admit(&clients.at(address(0))).is_ok(), "it was not forgotten");
    clock.advance(Duration::from_secs(1));
    clients.at(address(2_000_000));
    assert_eq!(clients.remembered(), 2, "the others are as new");
    assert!(Arc::ptr_eq(&connected, &clients.at(address(0))));
}
