//! Who a data directory belongs to, and what it is taken for.

use super::identity::IDENTITY_NEW;
use super::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn a_folder_keeps_its_nonce_for_its_owner() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let first = DataDir::open(&path, Service::Acceptor, &name("acceptor-1")).unwrap();
    let (nonce, was_new) = (first.nonce(), first.is_new());
    drop(first);
    let again = DataDir::open(&path, Service::Acceptor, &name("acceptor-1")).unwrap();
    assert_eq!((again.nonce(), again.is_new(), was_new), (nonce, false, true));
    let other = temp.path().join("c");
    assert_ne!(
        DataDir::open(&other, Service::Acceptor, &name("acceptor-1")).unwrap().nonce(),
        nonce
    );
}

#[test]
fn a_folder_of_another_service_or_name_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDir::open(temp.path(), Service::Acceptor, &name("acceptor-1")).unwrap());
    for (service, other) in [(Service::Replica, "acceptor-1"), (Service::Acceptor, "acceptor-2")] {
        let error = DataDir::open(temp.path(), service, &name(other)).unwrap_err();
        assert!(matches!(error, DataDirError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("belongs to acceptor acceptor-1, not to"), "{error}");
    }
}

#[test]
fn a_folder_in_use_is_refused_and_free_again_afterwards() {
    let temp = tempfile::tempdir().unwrap();
    let held = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    drop(held);
    assert!(DataDir::open(temp.path(), Service::Replica, &name("replica-1")).is_ok());
}

#[test]
fn a_folder_with_strange_files_or_a_broken_identity_is_refused_untouched() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("holiday.jpg"), b"x").unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    assert!(!temp.path().join(IDENTITY).exists());

    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(IDENTITY), b"{").unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(matches!(error, DataDirError::Unknown { .. }), "{error}");
    assert_eq!(fs::read(temp.path().join(IDENTITY)).unwrap(), b"{");
}

#[test]
fn a_folder_whose_making_was_cut_short_is_made_anew_also_in_the_root_of_a_volume() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("lost+found")).unwrap();
    fs::write(temp.path().join(LOCK), b"").unwrap();
    fs::write(temp.path().join(IDENTITY_NEW), b"{\"serv").unwrap();
    assert!(DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap().is_new());
}

#[test]
fn a_nonce_that_lost_a_digit_is_no_other_nonce() {
    let temp = tempfile::tempdir().unwrap();
    let folder = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap();
    let (path, nonce) = (temp.path().join(IDENTITY), format!("{:016x}", folder.nonce()));
    drop(folder);
    let text = fs::read_to_string(&path).unwrap().replace(&nonce, &nonce[1..]);
    fs::write(&path, text).unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(error.to_string().contains("16 hexadecimal digits"), "{error}");
}

#[test]
fn a_folder_of_another_format_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    drop(DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap());
    let path = temp.path().join(IDENTITY);
    let text = fs::read_to_string(&path).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&path, text).unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(error.to_string().contains("has format 2, this version reads 1"), "{error}");
}

#[test]
fn of_an_endless_identity_only_the_beginning_is_read() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(IDENTITY), format!("{{\"{}", "x".repeat(1 << 20))).unwrap();
    let error = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap_err();
    assert!(error.to_string().contains("at line 1 column 4096"), "{error}");
}

#[test]
fn a_file_in_the_way_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, b"x").unwrap();
    let error = DataDir::open(&path, Service::Replica, &name("replica-1")).unwrap_err();
    assert!(
        error.to_string().contains("cannot make") && error.to_string().contains("file"),
        "{error}"
    );
}

/// A folder in use, and a way to harm it.
type Harm = fn(&Path);

#[tokio::test]
async fn a_folder_that_is_removed_moved_or_replaced_is_gone() {
    let harms: [(&str, Harm); 6] = [
        ("removed", |path| fs::remove_dir_all(path).unwrap()),
        ("moved", |path| fs::rename(path, path.with_extension("moved")).unwrap()),
        ("replaced", |path| {
            fs::rename(path, path.with_extension("moved")).unwrap();
            drop(DataDir::open(path, Service::Replica, &name("replica-1")).unwrap());
        }),
        ("emptied", |path| {
            for entry in fs::read_dir(path).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }),
        ("without its identity", |path| fs::remove_file(path.join(IDENTITY)).unwrap()),
        ("without a file in use", |path| fs::remove_file(path.join("state")).unwrap()),
    ];
    let noticed = harms.map(async |(what, harm)| {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let dir = DataDir::open(&path, Service::Replica, &name("replica-1")).unwrap();
        let _state = File::create(dir.join("state")).unwrap();
        let mut gone = std::pin::pin!(dir.gone(&["state"]));
        assert!(futures::poll!(&mut gone).is_pending(), "{what}: all is there yet");
        harm(&path);
        let error = tokio::time::timeout(3 * CHECK_INTERVAL, gone).await.expect(what);
        assert!(matches!(error, DataDirError::Gone { .. }), "{what}: {error}");
    });
    futures::future::join_all(noticed).await;
}

#[test]
fn a_file_held_open_keeps_its_number_from_another_in_its_place() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path(), Service::Replica, &name("replica-1")).unwrap();
    dir.check().unwrap();
    fs::remove_file(dir.join(LOCK)).unwrap();
    fs::write(dir.join(LOCK), b"").unwrap();
    assert!(dir.check().is_err());
}
