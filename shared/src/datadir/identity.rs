//! `identity.json`: for which service and name a folder was made, read and written whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DataDirError, FORMAT, IDENTITY, LOCK};
use crate::ids::Name;
use crate::message::Service;
use crate::random;

pub(super) const IDENTITY_NEW: &str = "identity.json.new";

/// As much of [`IDENTITY`] as is read: many times what it takes.
const MAX_IDENTITY_BYTES: u64 = 4 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) service: Service,
    pub(super) name: Name,
    pub(super) format: u32,
    pub(super) nonce: String,
}

pub(super) fn read_identity(folder: &Path) -> Result<Option<Identity>, DataDirError> {
    let path = folder.join(IDENTITY);
    let unknown = |reason: String| DataDirError::Unknown { path: folder.to_owned(), reason };
    match read_head(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| unknown(error.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match strangers(folder)? {
            None => Ok(None),
            Some(name) => Err(unknown(format!("there is {name:?}"))),
        },
        Err(source) => Err(DataDirError::Io { action: "read", path, source }),
    }
}

fn read_head(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_IDENTITY_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Something in the folder that [`super::DataDir::open`] does not itself leave behind
/// when it is cut short.
fn strangers(folder: &Path) -> Result<Option<String>, DataDirError> {
    let failed = |source| DataDirError::Io { action: "list", path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // `lost+found` stands in the root of a volume of its own.
        if name != LOCK && name != IDENTITY_NEW && name != "lost+found" {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

pub(super) fn make_identity(
    folder: &Path,
    service: Service,
    name: &Name,
) -> Result<Identity, DataDirError> {
    let identity = Identity {
        service,
        name: name.clone(),
        format: FORMAT,
        nonce: format!("{:016x}", random::nonce()),
    };
    let path = folder.join(IDENTITY);
    let write = || -> io::Result<()> {
        let new = folder.join(IDENTITY_NEW);
        let mut file = File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, &identity)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()?;
        // A folder that was just made is only kept by a sync of the one it stands in.
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().map_err(|source| DataDirError::Io { action: "write", path: path.clone(), source })?;
    Ok(identity)
}
