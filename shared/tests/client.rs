//! What callers learn when a call fails: above all whether the request may have been
//! carried out.
#![expect(clippy::disallowed_methods, reason = "tests start tasks")]

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse as _;
use axum::routing::{get, post, put};
use futures::StreamExt as _;
use http::StatusCode;
use shared::client::{self, AcceptorClient, CallError, CoordinatorClient, ReplicaClient};
use shared::config::BaseUrl;
use shared::discovery::Acceptors;
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Draw, Generation, Instance, Slot};
use shared::message::{
    Announced, Announcement, ChosenReply, Directory, DirectoryEntry, KnownSuccession, Marks,
    Member, Nack, OfCluster, Prepare, PrepareReply, Roster, Seated, Service, Succession,
    SuccessionRequest, VotesPage, Watermarks,
};
use shared::metrics::Metrics;
use shared::problem::{Outcome, Problem};
use shared::server::{Admission, AllowedHosts, Limits, serve};
use shared::telemetry::Traced;
use shared::wire::{Reply, Wire};
use shared::{discovery, telemetry, versions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const TIMEOUT: Duration = Duration::from_secs(5);

async fn listen() -> (TcpListener, BaseUrl) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

/// Serves until the guard is dropped.
async fn start(router: Router) -> (BaseUrl, DropGuard) {
    let (listener, url) = listen().await;
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(
        listener,
        router,
        Traced { service: Service::Acceptor, names: &[], polls: &[] },
        Admission::new(Limits::default(), AllowedHosts::any()),
        Metrics::new(Service::Acceptor, &"acceptor-1".parse().unwrap()),
        shutdown.clone(),
    ));
    (url, shutdown.drop_guard())
}

/// A server that reads the head of a request, writes these bytes, and closes.
async fn start_raw(answer: &'static [u8]) -> BaseUrl {
    let (listener, url) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4_096];
        let _read = stream.read(&mut head).await.unwrap();
        stream.write_all(answer).await.unwrap();
    });
    url
}

fn watermarks() -> Watermarks {
    let marks = Marks { voted_below: Slot(3), chosen_below: Slot(2), trimmed_below: Slot(1) };
    Watermarks {
        acceptor: AcceptorId(1),
        roster: None,
        draw: Draw(9),
        promised: None,
        marks,
        leader_silent_ms: 5,
    }
}

#[tokio::test]
async fn messages_go_there_and_back() {
    let nack = Nack {
        acceptor: AcceptorId(1),
        promised: Ballot { round: 9, coordinator: CoordinatorId(9) },
    };
    let page = VotesPage {
        acceptor: AcceptorId(1),
        roster: None,
        votes: vec![],
        next: Some(Slot(8)),
        marks: Marks::default(),
    };
    let router = Router::new()
        .route("/v1/watermarks", get(async |reply: Reply| reply.send(&watermarks())))
        .route(
            "/v1/votes",
            get(async move |reply: Reply, uri: http::Uri| {
                assert_eq!(uri.query(), Some("from=7"));
                reply.send(&page)
            }),
        )
        .route(
            "/v1/prepare",
            post(async move |reply: Reply, Wire(prepare): Wire<Prepare>| {
                assert_eq!(prepare.from, Slot(4));
                reply.send(&PrepareReply::Nack(nack))
            }),
        );
    let (url, _guard) = start(router).await;
    let acceptor = AcceptorClient::new(url);
    assert_eq!(acceptor.watermarks(TIMEOUT).await.unwrap(), watermarks());
    assert_eq!(acceptor.votes(Slot(7), TIMEOUT).await.unwrap().next, Some(Slot(8)));
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    let prepare = Prepare {
        roster: Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1)]).unwrap(),
        ballot,
        from: Slot(4),
    };
    assert_eq!(acceptor.prepare(&prepare, TIMEOUT).await.unwrap(), PrepareReply::Nack(nack));
}

#[tokio::test]
async fn the_log_is_asked_for_with_a_wait_and_a_deadline() {
    let answer = async |reply: Reply, uri: http::Uri, headers: http::HeaderMap| {
        assert_eq!(uri.query(), Some("cluster=0000000000000001&from=5&wait_ms=1000"));
        assert_eq!(headers["synod-timeout"], "5000ms");
        assert!(headers["traceparent"].to_str().unwrap().ends_with("-00"), "polls start no traces");
        reply.send(&OfCluster::new(ClusterId(1), ChosenReply::Trimmed { oldest: Slot(6) }))
    };
    let (url, _guard) = start(
        Router::new().route("/v1/chosen", get(answer)).route("/v1/replication/log", get(answer)),
    )
    .await;
    let wait = Duration::from_secs(1);
    let (cluster, from) = (ClusterId(1), Slot(5));
    let trimmed = OfCluster::new(cluster, ChosenReply::Trimmed { oldest: Slot(6) });
    let coordinator = CoordinatorClient::new(url.clone());
    assert_eq!(coordinator.chosen(cluster, from, wait, TIMEOUT).await.unwrap(), trimmed);
    let replica = ReplicaClient::new(url);
    assert_eq!(replica.replication_log(cluster, from, wait, TIMEOUT).await.unwrap(), trimmed);
}

#[tokio::test]
async fn nobody_listening_means_never_sent() {
    let (listener, url) = listen().await;
    drop(listener);
    let error = AcceptorClient::new(url).watermarks(TIMEOUT).await.unwrap_err();
    assert!(matches!(error, CallError::Connect { .. }), "{error}");
    assert!(error.never_sent() && !error.is_unknown());
}

#[tokio::test]
async fn no_answer_in_time_means_unknown() {
    let (url, _guard) =
        start(Router::new().route("/v1/watermarks", get(std::future::pending::<()>))).await;
    let error = AcceptorClient::new(url).watermarks(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    assert!(!error.never_sent() && error.is_unknown());
}

#[tokio::test]
async fn a_connection_that_breaks_means_unknown() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.synod.v1+postcard\r\n\
        content-length: 100\r\n\r\nhalf";
    for half in [&b""[..], half] {
        let error =
            AcceptorClient::new(start_raw(half).await).watermarks(TIMEOUT).await.unwrap_err();
        assert!(matches!(error, CallError::Broken { .. }), "{error}");
        assert!(!error.never_sent() && error.is_unknown());
    }
}

#[tokio::test]
async fn nonsense_and_endless_answers_are_refused() {
    let long = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.synod.v1+postcard\r\n\
        content-length: 99999999999\r\n\r\n";
    let short = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.synod.v1+postcard\r\n\
        content-length: 2\r\n\r\n\xff\xff";
    for nonsense in [&short[..], long] {
        let error =
            AcceptorClient::new(start_raw(nonsense).await).watermarks(TIMEOUT).await.unwrap_err();
        assert!(matches!(error, CallError::Nonsense { .. }), "{error}");
    }
}

/// What is at the address of an acceptor that is to come may be anything.
#[tokio::test]
async fn of_an_answer_about_a_succession_no_more_is_read_than_it_can_have() {
    let long = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.synod.v1+postcard\r\n\
        content-length: 65537\r\n\r\n";
    let acceptor = AcceptorClient::new(start_raw(long).await);
    let asked = acceptor.succession(&SuccessionRequest::Tell, TIMEOUT).await.unwrap_err();
    let told = client::known_succession(start_raw(long).await, TIMEOUT).await.unwrap_err();
    for error in [asked, told] {
        assert!(error.to_string().contains("a body of more than 65536 bytes"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_is_taken_from_whom_was_asked_and_from_nobody_that_it_points_to() {
    let (elsewhere, _guard) = start(
        Router::new().route("/v1/watermarks", get(async |reply: Reply| reply.send(&watermarks()))),
    )
    .await;
    let location = format!("{elsewhere}/v1/watermarks");
    let answer = async move || (StatusCode::TEMPORARY_REDIRECT, [("location", location)]);
    let (url, _guard) = start(Router::new().route("/v1/watermarks", get(answer))).await;
    let error = AcceptorClient::new(url).watermarks(TIMEOUT).await.unwrap_err();
    let CallError::Refused { status, .. } = error else { panic!("{error}") };
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn of_a_refusal_that_goes_on_and_on_nothing_is_kept() {
    let long = async || {
        let pieces = futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b'x'; 1_000]))
        });
        (StatusCode::INTERNAL_SERVER_ERROR, axum::body::Body::from_stream(pieces.take(100)))
    };
    let (url, _guard) = start(Router::new().route("/v1/watermarks", get(long))).await;
    let error = AcceptorClient::new(url).watermarks(TIMEOUT).await.unwrap_err();
    let CallError::Refused { status, detail, problem: None, .. } = error else { panic!("{error}") };
    assert_eq!((status, detail.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, ""));
}

#[tokio::test]
async fn a_problem_is_read_and_its_outcome_believed() {
    let answer = async |Path(kind): Path<String>| match kind.as_str() {
        "overloaded" => Problem::overloaded("the queue is full").into_response(),
        "refused" => Problem::unavailable("no").with_outcome(Outcome::NotApplied).into_response(),
        "late" => Problem::timeout("late").with_outcome(Outcome::Unknown).into_response(),
        other => panic!("{other}"),
    };
    let (url, _guard) = start(Router::new().route("/v1/{kind}", get(answer))).await;
    let peer = client::Peer::new(url);
    for (path, status, unknown) in [
        ("/v1/overloaded", 503, false),
        ("/v1/refused", 503, false),
        ("/v1/late", 504, true),
        ("/nothing", 404, false),
    ] {
        let error = peer.get::<Watermarks>(path, TIMEOUT).await.unwrap_err();
        assert_eq!(error.is_unknown(), unknown, "{error}");
        assert!(!error.never_sent());
        let CallError::Refused { status: found, problem: Some(_), .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, StatusCode::from_u16(status).unwrap());
    }
}

#[tokio::test]
async fn a_call_carries_the_trace_of_the_work_at_hand() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = async |reply: Reply, headers: http::HeaderMap| {
        assert_eq!(headers["traceparent"], PARENT);
        reply.send(&watermarks())
    };
    let (url, _guard) = start(Router::new().route("/v1/watermarks", get(answer))).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", PARENT.parse().unwrap());
    let context = telemetry::extract(&headers);
    telemetry::in_context(context, AcceptorClient::new(url).watermarks(TIMEOUT)).await.unwrap();
}

#[tokio::test]
async fn members_announce_themselves_and_learn_of_the_others_though_an_acceptor_is_down() {
    let member = |name: &str| Member {
        name: name.parse().unwrap(),
        service: Service::Replica,
        url: "http://127.0.0.1:1".into(),
        instance: Instance(1),
    };
    let other = member("replica-2");
    let answer = async move |Path(name): Path<String>,
                             reply: Reply,
                             Wire(announcement): Wire<Announcement>| {
        let Announcement { cluster, member } = announcement;
        assert_eq!((name.as_str(), cluster), (member.name.as_str(), Some(ClusterId(1))));
        let entry = |member| DirectoryEntry { member, age_ms: 0 };
        let acceptor = Member { service: Service::Acceptor, ..member.clone() };
        let directory = Directory { members: vec![entry(member), entry(other.clone())] };
        let (conflicts, is_contested) = (Vec::new(), false);
        reply.send(&Announced { cluster, acceptor, directory, conflicts, is_contested })
    };
    let (url, _guard) = start(Router::new().route("/v1/members/{name}", put(answer))).await;
    let (listener, down) = listen().await;
    drop(listener);
    let acceptors = Acceptors::configured(&[AcceptorClient::new(url), AcceptorClient::new(down)]);
    let shutdown = CancellationToken::new();
    let (_, cluster) = watch::channel(Some(ClusterId(1)));
    let mut members =
        discovery::spawn(member("replica-1"), cluster, acceptors, shutdown.clone()).members;
    let found = members.wait_for(|members| !members.is_empty()).await.unwrap().clone();
    assert_eq!(found, [member("replica-1"), member("replica-2")]);
    shutdown.cancel();
    while members.changed().await.is_ok() {}
}

/// Of the acceptors that it knows nobody is left: whoever else knows says who followed.
#[tokio::test]
async fn one_that_missed_a_change_of_the_acceptors_is_told_by_another_service() {
    let seated = |generation, port: u16| Seated {
        roster: Roster::new(ClusterId(1), Generation(generation), vec![AcceptorId(1)]).unwrap(),
        urls: vec![format!("http://127.0.0.1:{port}")],
    };
    let succession = Succession::new(seated(0, 1), seated(1, 2), Slot(7)).unwrap();
    let latest = Some(succession.clone());
    let tells = async move |reply: Reply| reply.send(&KnownSuccession { latest: latest.clone() });
    let (knows, _guard) = start(Router::new().route("/v1/succession", get(tells))).await;
    let (listener, down) = listen().await;
    drop(listener);
    let found = async |cluster| {
        let acceptors = Acceptors {
            beside: [knows.clone()].into(),
            ..Acceptors::configured(&[AcceptorClient::new(down.clone())])
        };
        let own = Member {
            name: "replica-1".parse().unwrap(),
            service: Service::Replica,
            url: "http://127.0.0.1:1".into(),
            instance: Instance(1),
        };
        let (shutdown, (_, cluster)) = (CancellationToken::new(), watch::channel(Some(cluster)));
        let mut acceptors = discovery::spawn(own, cluster, acceptors, shutdown.clone()).acceptors;
        let followed = acceptors.wait_for(|acceptors| acceptors.succession.is_some());
        let followed = tokio::time::timeout(4 * discovery::INTERVAL, followed).await;
        shutdown.cancel();
        followed.ok().map(|found| found.unwrap().generation())
    };
    assert_eq!(found(ClusterId(1)).await, Some(Generation(1)));
    assert_eq!(found(ClusterId(2)).await, None, "it is of another cluster");
}

#[tokio::test]
async fn a_peer_of_another_version_is_named_and_never_read() {
    let spoken = "application/vnd.synod.v2+postcard, application/json";
    let refuses = async move |status: StatusCode| {
        let problem = Problem::new(status, "urn:synod:problem:other-version", "Other", "no");
        problem.with_header(http::header::ACCEPT, http::HeaderValue::from_static(spoken))
    };
    // Its bytes could be read as ours.
    let answers = async |reply: Reply| {
        let mut response = reply.send(&watermarks());
        let other = http::HeaderValue::from_static("application/vnd.synod.v2+postcard");
        response.headers_mut().insert(http::header::CONTENT_TYPE, other);
        response
    };
    let router = Router::new()
        .route("/v1/watermarks", get(async move || refuses(StatusCode::NOT_ACCEPTABLE).await))
        .route("/v1/prepare", post(async move || refuses(StatusCode::UNSUPPORTED_MEDIA_TYPE).await))
        .route("/v1/votes", get(answers));
    let (url, _guard) = start(router).await;
    let acceptor = AcceptorClient::new(url.clone());
    let shown = || versions::others().into_iter().find(|other| other.peer == url.to_string());
    assert_eq!(shown(), None);

    let error = acceptor.watermarks(TIMEOUT).await.unwrap_err();
    assert!(matches!(error, CallError::OtherVersion { theirs: 2, .. }), "{error}");
    assert!(!error.is_unknown());
    assert_eq!(shown().unwrap().version, 2);
    let prepare = Prepare {
        roster: Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1)]).unwrap(),
        ballot: Ballot { round: 1, coordinator: CoordinatorId(1) },
        from: Slot(4),
    };
    let error = acceptor.prepare(&prepare, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, CallError::OtherVersion { theirs: 2, .. }), "{error}");
    let error = acceptor.votes(Slot(7), TIMEOUT).await.unwrap_err();
    assert!(matches!(error, CallError::Nonsense { .. }) && error.is_unknown(), "{error}");
    let warned = versions::check().unwrap().warning.unwrap();
    assert!(warned.contains(&format!("{url} speaks 2")), "{warned}");
}

#[tokio::test]
async fn an_answer_that_is_not_said_to_be_a_message_is_not_read_as_one() {
    let untyped = async |reply: Reply| {
        let mut response = reply.send(&watermarks());
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        response
    };
    let (url, _guard) = start(Router::new().route("/v1/watermarks", get(untyped))).await;
    let error = AcceptorClient::new(url).watermarks(TIMEOUT).await.unwrap_err();
    assert!(matches!(error, CallError::Nonsense { .. }), "{error}");
}
