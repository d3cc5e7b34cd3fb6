//! `identity.json` of a data directory: it opens for the one it names, or for nobody.

use std::fs;

use shared::datadir::{DataDir, DataDirError};
use shared::ids::Name;
use shared::message::Service;

use super::folder::in_memory;
use super::short;

pub(super) fn decode(bytes: &[u8]) {
    let folder = in_memory();
    let path = folder.path().join("identity.json");
    fs::write(&path, bytes).expect("a file in memory");
    let name: Name = "replica-1".parse().expect("a name");
    let opened = [Service::Replica, Service::Acceptor].map(|service| {
        let opened = DataDir::open(folder.path(), service, &name);
        assert_eq!(
            fs::read(&path).expect("it is there"),
            bytes,
            "whoever opens a folder, its identity stays"
        );
        opened.map(|folder| (folder.nonce(), folder.is_new())).inspect_err(short)
    });
    match &opened {
        [Ok(_), Ok(_)] => panic!("the folder is opened for two services"),
        [Ok((nonce, is_new)), Err(error)] | [Err(error), Ok((nonce, is_new))] => {
            assert!(matches!(error, DataDirError::Foreign { .. }), "{error}");
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            assert!(
                !is_new && text.contains(&format!("{nonce:016x}")),
                "the nonce {nonce:016x} is not from {text}"
            );
        }
        [Err(_), Err(_)] => {}
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |service: &str, name: &str, format: u8, nonce: &str| {
        format!(
            "{{\n  \"service\": \"{service}\",\n  \"name\": \"{name}\",\n  \"format\": {format},\n  \"nonce\": \"{nonce}\"\n}}\n"
        )
    };
    let nonce = "00ab45cd12ef0099";
    let texts = [
        of("replica", "replica-1", 1, nonce),
        of("acceptor", "replica-1", 1, nonce),
        of("replica", "replica-2", 1, nonce),
        of("replica", "replica-1", 2, nonce),
        of("replica", "replica-1", 1, "none"),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
