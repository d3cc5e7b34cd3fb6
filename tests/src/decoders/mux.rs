//! Many requests on one connection: frames of requests and answers.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use shared::mux::{self, Frame};

use super::short;

pub(super) fn decode(bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    loop {
        let before = input.len();
        match mux::take(&mut input) {
            Ok(Some(frame)) => again(frame, before - input.len()),
            Ok(None) => return assert_eq!(input.len(), before, "what is not whole stays"),
            Err(why) => return short(&why),
        }
    }
}

/// A frame says the same once more, in no more bytes.
fn again(frame: Frame, length: usize) {
    let mut encoded = BytesMut::new();
    match &frame {
        Frame::Request(id, request) => mux::push_request(&mut encoded, *id, request).unwrap(),
        Frame::Unreadable(..) => return,
        Frame::Answer(id, answer) => mux::push_answer(&mut encoded, *id, answer).unwrap(),
        Frame::Cancel(id) => mux::push_cancel(&mut encoded, *id),
        Frame::NotTaken(id) => mux::push_not_taken(&mut encoded, *id),
        Frame::GoingAway => mux::push_going_away(&mut encoded),
    }
    assert!(encoded.len() <= length, "{} bytes of {length}", encoded.len());
    let decoded = mux::take(&mut encoded).unwrap().unwrap();
    match (frame, decoded) {
        (Frame::Request(id, one), Frame::Request(other_id, other)) => {
            assert_eq!((id, one.method(), one.uri()), (other_id, other.method(), other.uri()));
            assert_eq!(one.body(), other.body());
            same_fields(one.headers(), other.headers());
        }
        (Frame::Answer(id, one), Frame::Answer(other_id, other)) => {
            assert_eq!((id, one.status(), one.body()), (other_id, other.status(), other.body()));
            same_fields(one.headers(), other.headers());
        }
        (Frame::Cancel(id), Frame::Cancel(other))
        | (Frame::NotTaken(id), Frame::NotTaken(other)) => assert_eq!(id, other),
        (Frame::GoingAway, Frame::GoingAway) => {}
        (one, other) => panic!("{one:?} became {other:?}"),
    }
}

fn same_fields(one: &HeaderMap, other: &HeaderMap) {
    assert_eq!(one, other);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let put = Request::put("/v1/kv/a%2Fb?x=1").header("host", "h:1").header("if-match", "\"7\"");
    let put = put.header("x", "one").header("x", "two").body("value").unwrap();
    let got = Response::builder().status(200).header("etag", "\"7\"");
    let got = got.body(Bytes::from_static(b"value")).unwrap();
    let pushes: [&dyn Fn(&mut BytesMut); 6] = [
        &|out| mux::push_request(out, 1, &Request::get("/v1/kv/k").body("").unwrap()).unwrap(),
        &|out| mux::push_request(out, u32::MAX, &put).unwrap(),
        &|out| mux::push_answer(out, 1, &got).unwrap(),
        &|out| mux::push_cancel(out, 1),
        &|out| mux::push_not_taken(out, 1),
        &mux::push_going_away,
    ];
    let mut all = BytesMut::new();
    let mut seeds = Vec::new();
    for push in pushes {
        let mut one = BytesMut::new();
        push(&mut one);
        all.extend_from_slice(&one);
        seeds.push(one.to_vec());
    }
    seeds.push(all.to_vec());
    seeds
}
