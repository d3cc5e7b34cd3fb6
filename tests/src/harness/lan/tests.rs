//! Packets between namespaces, one at a time.

use std::net::{TcpListener, UdpSocket};

use super::*;

/// Longer than most packets take.
const LONG: Duration = Duration::from_millis(300);
/// Longer than any packet takes, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn lan() -> Option<Lan> {
    Lan::of(&["one".to_owned(), "two".to_owned()]).unwrap()
}

fn socket(lan: &Lan, name: &str) -> UdpSocket {
    let at = SocketAddr::from((lan.address(name), 4_000));
    lan.member(name).namespace.within(|| UdpSocket::bind(at)).unwrap().unwrap()
}

/// Whether a packet arrives.
fn arrives(from: &UdpSocket, to: &UdpSocket) -> bool {
    arrives_within(PATIENCE, from, to)
}

/// Whether a packet does not arrive.
fn is_lost(from: &UdpSocket, to: &UdpSocket) -> bool {
    !arrives_within(LONG, from, to)
}

/// Sends a packet, which never fails, and waits for it.
fn arrives_within(patience: Duration, from: &UdpSocket, to: &UdpSocket) -> bool {
    from.send_to(b"?", to.local_addr().unwrap()).unwrap();
    to.set_read_timeout(Some(patience)).unwrap();
    match to.recv_from(&mut [0]) {
        Ok((_, sender)) => sender == from.local_addr().unwrap(),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn packets_are_dropped_in_silence_one_way_until_it_is_healed() {
    let Some(lan) = lan() else { return };
    let (one, two) = (socket(&lan, "one"), socket(&lan, "two"));
    assert!(arrives(&one, &two) && arrives(&two, &one));
    lan.set(vec![OneWay::new("one", "two")]).unwrap();
    let before = lan.losses().unwrap().dropped;
    assert!(is_lost(&one, &two) && arrives(&two, &one));
    assert_eq!(lan.losses().unwrap().dropped, before + 1);
    lan.set(vec![OneWay::new("two", "one")]).unwrap();
    assert!(arrives(&one, &two) && is_lost(&two, &one));
    lan.heal().unwrap();
    assert!(arrives(&one, &two) && arrives(&two, &one));
}

#[test]
fn a_pulled_cable_carries_nothing() {
    let Some(lan) = lan() else { return };
    let (one, two) = (socket(&lan, "one"), socket(&lan, "two"));
    lan.unplug("two").unwrap();
    assert!(is_lost(&one, &two) && is_lost(&two, &one));
    lan.heal().unwrap();
    assert!(arrives(&one, &two) && arrives(&two, &one));
}

#[test]
fn clients_at_the_bridge_reach_a_host_whatever_it_is_cut_off_from() {
    let Some(lan) = lan() else { return };
    lan.set(apart(&["one".to_owned()], &["two".to_owned()])).unwrap();
    let at = SocketAddr::from((lan.address("one"), 4_000));
    let _listener = lan.member("one").namespace.within(|| TcpListener::bind(at)).unwrap().unwrap();
    assert!(lan.hub().within(|| TcpStream::connect_timeout(&at, PATIENCE)).unwrap().is_ok());
    let from_two =
        lan.member("two").namespace.within(|| TcpStream::connect_timeout(&at, LONG)).unwrap();
    assert_eq!(
        from_two.unwrap_err().kind(),
        ErrorKind::TimedOut,
        "a host that is cut off is not told so"
    );
}
