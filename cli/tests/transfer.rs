//! `synod import` and `synod export` against a store that loses answers and refuses
//! requests for a while.

mod fake_store;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;

use crate::fake_store::{MAX_VALUE, Shared, serve};

struct Scene {
    store: Shared,
    url: String,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Scene {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store = Shared::default();
        let url = format!("http://{}", runtime.block_on(serve(Arc::clone(&store))));
        Self { store, url, folder: tempfile::tempdir().unwrap(), _runtime: runtime }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn synod(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(args)
            .env("SYNOD_URL", &self.url)
            .output()
            .unwrap()
    }

    fn hold(&self, key: &str, value: &'static str) {
        self.store.lock().unwrap().values.insert(key.to_owned(), Bytes::from(value));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

#[test]
fn a_tree_goes_in_and_comes_out_byte_for_byte_however_often_answers_are_lost() {
    let scene = Scene::new();
    let source = scene.folder.path().join("source");
    for index in 0..100_u8 {
        let file = source.join(format!("folder {}/é%2F{index}?#&+.bin", index % 7));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, vec![index; usize::from(index) * 17]).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", source.join("link")).unwrap();

    let import = scene.synod(&["import", &scene.path("source"), "--prefix", "tree/"]);
    assert!(import.status.success(), "{}", text(&import.stderr));
    let said = text(&import.stdout);
    assert!(said.starts_with("imported 100 files, 84,150 bytes in "), "{said}");
    assert!(said.ends_with("; 1 symbolic link skipped\n"), "{said}");

    scene.hold("trees", "another key that is not below the prefix");
    let export = scene.synod(&["export", "tree/", &scene.path("target")]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    assert!(
        text(&export.stdout).starts_with("exported 100 files, 84,150 bytes in "),
        "{}",
        text(&export.stdout)
    );
    fs::remove_file(source.join("link")).unwrap();
    assert_eq!(files_below(&source), files_below(&scene.folder.path().join("target")));
}

#[test]
fn a_file_that_is_refused_is_named_and_the_others_are_stored() {
    let scene = Scene::new();
    fs::create_dir(scene.path("source")).unwrap();
    fs::write(scene.path("source/fits"), vec![0; MAX_VALUE]).unwrap();
    fs::write(scene.path("source/large"), vec![0; MAX_VALUE + 1]).unwrap();
    fs::write(scene.path("source/larger"), vec![0; 20_000]).unwrap();
    let import = scene.synod(&["import", &scene.path("source"), "--max-value-bytes", "10000"]);
    assert_eq!(import.status.code(), Some(1));
    let complaints = text(&import.stderr);
    assert!(complaints.contains("source/large: 413 Payload Too Large"), "{complaints}");
    assert!(
        complaints.contains("source/larger: it is larger than the limit on a value, 10000 bytes"),
        "{complaints}"
    );
    let said = text(&import.stdout);
    assert!(
        said.starts_with("imported 1 file, 4,096 bytes") && said.ends_with("; 2 failed\n"),
        "{said}"
    );
    assert_eq!(scene.store.lock().unwrap().values.keys().collect::<Vec<_>>(), ["fits"]);
}

#[test]
fn no_key_is_written_outside_the_folder_or_over_another_file() {
    let scene = Scene::new();
    for key in [
        "p/../escaped",
        "p//etc/absolute",
        "p/a/../../escaped",
        "p/",
        "p/fine",
        "p/fine/below",
        "p/there",
    ] {
        scene.hold(key, "value");
    }
    fs::create_dir(scene.path("target")).unwrap();
    fs::write(scene.path("target/there"), "something else").unwrap();
    let export = scene.synod(&["export", "p/", &scene.path("target")]);
    assert_eq!(export.status.code(), Some(1));
    assert!(text(&export.stdout).ends_with("; 6 failed\n"), "{}", text(&export.stdout));
    assert!(text(&export.stderr).contains("--force"), "{}", text(&export.stderr));
    let expected = BTreeMap::from([
        ("fine".to_owned(), b"value".to_vec()),
        ("there".to_owned(), b"something else".to_vec()),
    ]);
    assert_eq!(files_below(&scene.folder.path().join("target")), expected);
    assert_eq!(files_below(scene.folder.path()).len(), 2);

    let forced = scene.synod(&["export", "p/the", &scene.path("target"), "--force"]);
    assert!(forced.status.success(), "{}", text(&forced.stderr));
    assert_eq!(fs::read_to_string(scene.path("target/re")).unwrap(), "value");
}

#[test]
fn a_cluster_that_does_not_answer_ends_the_import_after_its_patience() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "").unwrap();
    // As long as it is held nobody is given its port, and nobody listens.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = nobody.local_addr().unwrap();
    let import = Command::new(env!("CARGO_BIN_EXE_synod"))
        .args([
            "import",
            folder.path().to_str().unwrap(),
            "--retry-seconds",
            "1",
            "--url",
            &format!("http://{unused}"),
        ])
        .output()
        .unwrap();
    assert_eq!(import.status.code(), Some(1));
    let complaints = text(&import.stderr);
    assert!(
        complaints.contains("gave up") && complaints.contains("Connection refused"),
        "{complaints}"
    );
}
