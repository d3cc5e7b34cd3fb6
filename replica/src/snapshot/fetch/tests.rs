//! What a source may do while a snapshot is fetched from it.
#![expect(clippy::disallowed_methods, reason = "the source is a task")]

use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// With a source that hangs.
const SHORT: Patience = Patience { stall: Duration::from_millis(50), ..PATIENT };
/// With one that does not, however busy the machine is.
const PATIENT: Patience = Patience {
    alive: Duration::from_secs(30),
    stall: Duration::from_secs(30),
    pause: Duration::from_millis(1),
};

/// What the source does once it has sent its answer.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    Hangs,
}

/// A source that answers one request after the other by this script, the last line of it for
/// ever, and notes down what it was asked for.
struct Stub {
    source: Source,
    asked: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
    progress: watch::Sender<FetchProgress>,
}

impl Stub {
    async fn start(script: Vec<(String, Then)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: BaseUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut held = Vec::new();
            for turn in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = head(&mut stream).await;
                noted.lock().unwrap().push(head);
                let (answer, then) = &script[turn.min(script.len() - 1)];
                stream.write_all(answer.as_bytes()).await.unwrap();
                if let Then::Hangs = then {
                    held.push(stream);
                }
            }
        });
        let source = Source { client: ReplicaClient::new(url), cluster: ClusterId(7) };
        let dir = tempfile::tempdir().unwrap();
        Self { source, asked, dir, progress: watch::Sender::default() }
    }

    /// What came, as text.
    async fn download(&self, patience: Patience) -> Result<String, FetchError> {
        let path = store::incoming(self.dir.path());
        let bytes = download(&self.source, &path, patience, &self.progress).await?;
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(bytes, text.len() as u64);
        Ok(text)
    }

    /// The parts that were asked for, in the order of the requests.
    fn ranges(&self) -> Vec<Option<String>> {
        let range = |head: &String| {
            let line = head.lines().find(|line| line.starts_with("range: "))?;
            Some(line.trim_start_matches("range: ").to_owned())
        };
        self.asked.lock().unwrap().iter().map(range).collect()
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap().to_lowercase()
}

fn whole(etag: &str, length: u64, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"{etag}\"\r\ncontent-length: {length}\r\n\
         \r\n{body}"
    )
}

fn rest(from: u64, body: &str) -> String {
    let (length, last) = (body.len(), from + body.len() as u64 - 1);
    format!(
        "HTTP/1.1 206 Partial Content\r\nconnection: close\r\ncontent-length: {length}\r\n\
         content-range: bytes {from}-{last}/{}\r\n\r\n{body}",
        last + 1
    )
}

#[tokio::test]
async fn one_that_was_cut_off_is_gone_on_with_where_it_was() {
    let script = vec![(whole("a.1", 10, "0123"), Then::Closes), (rest(4, "456789"), Then::Closes)];
    let stub = Stub::start(script).await;
    assert_eq!(stub.download(PATIENT).await.unwrap(), "0123456789");
    assert_eq!(stub.ranges(), [None, Some("bytes=4-".to_owned())]);
    let expected = FetchProgress { bytes: 10, total: Some(10), failed: None };
    assert_eq!(*stub.progress.borrow(), expected);
    assert!(stub.asked.lock().unwrap()[1].contains("if-range: \"a.1\""));
}

#[tokio::test]
async fn another_one_in_its_place_is_taken_from_its_beginning() {
    let script =
        vec![(whole("a.1", 10, "0123"), Then::Closes), (whole("b.2", 6, "abcdef"), Then::Closes)];
    let stub = Stub::start(script).await;
    assert_eq!(stub.download(PATIENT).await.unwrap(), "abcdef");
    assert_eq!(stub.progress.borrow().total, Some(6));
}

#[tokio::test]
async fn one_that_hangs_is_given_up_after_three_requests_that_brought_nothing() {
    let empty = "HTTP/1.1 206 Partial Content\r\ncontent-length: 6\r\n\
                 content-range: bytes 4-9/10\r\n\r\n";
    let script = vec![(whole("a.1", 10, "0123"), Then::Hangs), (empty.to_owned(), Then::Hangs)];
    let stub = Stub::start(script).await;
    let failed = stub.download(SHORT).await.unwrap_err();
    assert!(matches!(failed, FetchError::Stalled { bytes: 4 }), "{failed}");
    assert_eq!(stub.ranges().len(), 4, "the first one brought some");
}

#[tokio::test]
async fn one_that_is_cut_off_again_and_again_is_given_up() {
    let stub = Stub::start(vec![(whole("a.1", 10, "0123"), Then::Closes)]).await;
    let failed = stub.download(PATIENT).await.unwrap_err();
    assert!(matches!(failed, FetchError::CutOff { bytes: 4 }), "{failed}");
    assert_eq!(stub.ranges().len(), usize::try_from(REQUESTS).unwrap());
}

#[tokio::test]
async fn one_that_the_disk_has_no_room_for_is_not_begun_and_leaves_nothing() {
    let length = 1 << 60;
    let stub = Stub::start(vec![(whole("a.1", length, "0123"), Then::Hangs)]).await;
    let dir = stub.dir.path();
    std::fs::write(store::incoming(dir), "of a former attempt").unwrap();
    let wanted = Wanted {
        source: stub.source.client.url().clone(),
        cluster: stub.source.cluster,
        joined_at: Slot(0),
        replica: "replica-4".parse().unwrap(),
        dir: dir.to_owned(),
    };
    let failed = fetch(&wanted, &stub.progress).await.unwrap_err();
    let needed = length + DISK_RESERVE_BYTES;
    assert!(
        matches!(failed, FetchError::NoRoom { needed: found, .. } if found == needed),
        "{failed}"
    );
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "nothing of it is left");
}
