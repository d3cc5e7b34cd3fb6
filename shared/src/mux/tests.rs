use http::header;

use super::*;

fn request() -> Request<Bytes> {
    let builder = Request::put("/v1/kv/a%23b?x=1").header(header::HOST, "h:1");
    let builder = builder.header("x-twice", "one").header("x-twice", "two");
    builder.body(Bytes::from_static(b"value")).unwrap()
}

fn answer() -> Response<Bytes> {
    let builder = Response::builder().status(412).header(header::ETAG, "\"7\"");
    builder.body(Bytes::from_static(b"{}")).unwrap()
}

/// All kinds of frames.
fn conversation() -> BytesMut {
    let mut bytes = BytesMut::new();
    push_request(&mut bytes, 7, &request()).unwrap();
    push_answer(&mut bytes, 7, &answer()).unwrap();
    push_cancel(&mut bytes, 8);
    push_not_taken(&mut bytes, 9);
    push_going_away(&mut bytes);
    bytes
}

fn check(frames: &[Frame]) {
    let [
        Frame::Request(7, asked),
        Frame::Answer(7, answered),
        Frame::Cancel(8),
        Frame::NotTaken(9),
        Frame::GoingAway,
    ] = frames
    else {
        panic!("{frames:?}")
    };
    let expected = request();
    assert_eq!((asked.method(), asked.uri()), (expected.method(), expected.uri()));
    assert_eq!((asked.headers(), asked.body()), (expected.headers(), expected.body()));
    let expected = answer();
    assert_eq!(answered.status(), expected.status());
    assert_eq!((answered.headers(), answered.body()), (expected.headers(), expected.body()));
}

#[test]
fn what_is_said_is_heard_however_the_bytes_come() {
    let said = conversation();
    for piece in [1, 2, 7, said.len()] {
        let (mut input, mut frames) = (BytesMut::new(), Vec::new());
        for bytes in said.chunks(piece) {
            input.extend_from_slice(bytes);
            while let Some(frame) = take(&mut input).unwrap() {
                frames.push(frame);
            }
        }
        assert!(input.is_empty());
        check(&frames);
    }
}

#[test]
fn what_is_cut_short_inside_is_no_frame_and_nothing_else() {
    let mut whole = BytesMut::new();
    push_request(&mut whole, 7, &request()).unwrap();
    let head = whole.len() - request().body().len();
    for length in 0..head - 4 {
        let mut cut = BytesMut::from(&whole[..4 + length]);
        cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        let taken = take(&mut cut);
        // Without its kind and number nothing is known of it.
        assert_eq!(taken.is_err(), length < 5, "{length}: {taken:?}");
        assert!(!matches!(taken, Ok(Some(Frame::Request(..)))), "{length}: {taken:?}");
    }
}

#[test]
fn what_would_mean_something_else_as_http_is_no_frame() {
    for target in ["issue#12", "/v1/kv/issue#12", "http://h/v1", "*", ""] {
        let mut bytes = BytesMut::new();
        push(&mut bytes, (REQUEST, REQUEST_FRAME_BYTES), 1, |out| {
            out.put_u8(3);
            out.put_slice(b"GET");
            put_text(out, target.as_bytes())?;
            put_fields(out, &HeaderMap::new())
        })
        .unwrap();
        push_cancel(&mut bytes, 2);
        let taken = take(&mut bytes).unwrap();
        assert!(matches!(taken, Some(Frame::Unreadable(1, _))), "{target}: {taken:?}");
        let next = take(&mut bytes).unwrap();
        assert!(matches!(next, Some(Frame::Cancel(2))), "the next one is where it was");
    }
}

#[test]
fn nothing_is_made_room_for_that_is_not_there() {
    let mut bytes = BytesMut::from(&u32::MAX.to_be_bytes()[..]);
    assert_eq!(take(&mut bytes).unwrap_err(), TOO_LONG);
    // So many fields as cannot be there, and more than may be.
    for (fields, expected) in [(100, SHORT), (u16::MAX, TOO_MANY_FIELDS)] {
        let mut bytes = BytesMut::new();
        push(&mut bytes, (ANSWER, FRAME_BYTES), 1, |out| {
            out.put_u16(200);
            out.put_u16(fields);
            Ok(())
        })
        .unwrap();
        assert_eq!(take(&mut bytes).unwrap_err(), expected);
    }
}

#[test]
fn what_is_too_long_for_a_frame_is_not_begun() {
    let mut bytes = BytesMut::from(&b"before"[..]);
    let long = |bytes| Request::put("/v1/kv/k").body(Bytes::from(vec![0; bytes])).unwrap();
    assert_eq!(push_request(&mut bytes, 1, &long(REQUEST_BYTES + 1)), Err(TooLong));
    assert_eq!(&bytes[..], b"before");
    push_request(&mut bytes, 1, &long(REQUEST_BYTES)).unwrap();
    bytes.advance(6);
    let Some(Frame::Request(1, taken)) = take(&mut bytes).unwrap() else { panic!("no request") };
    assert_eq!(taken.body().len(), REQUEST_BYTES);
    let long_head = Request::put("/v1/kv/k").header("x-a", "a".repeat(40 << 10));
    let long_head = long_head.header("x-b", "b".repeat(30 << 10));
    let longest = long_head.body(vec![0; REQUEST_BYTES]).unwrap();
    assert_eq!(push_request(&mut bytes, 1, &longest), Err(TooLong));
    let long = Response::new(Bytes::from(vec![0; ANSWER_BYTES + 1]));
    assert_eq!(push_answer(&mut bytes, 1, &long), Err(TooLong));
    assert!(bytes.is_empty());
}
