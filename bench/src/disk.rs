//! What folders take on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::table::Table;

/// The unit of `st_blocks` (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// Space taken, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// What the file system has given.
    pub(crate) allocated: u64,
    /// What the files say that they are long; with holes it can be more.
    pub(crate) apparent: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.allocated += other.allocated;
        self.apparent += other.apparent;
    }
}

/// Of all files below the folder, without the folders that do not count.
pub(crate) fn usage(folder: &Path, counts: &impl Fn(&Path) -> bool) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(file) if file.is_dir() => {
                if counts(&entry.path()) {
                    usage += self::usage(&entry.path(), counts)?;
                }
            }
            Ok(file) => {
                usage += Usage { allocated: file.blocks() * BLOCK_BYTES, apparent: file.len() };
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}

pub(crate) fn table(usages: &BTreeMap<String, Usage>) -> String {
    let mut table =
        Table::new(["system", "MiB on disk", "MiB of files"].map(str::to_owned).into(), 1);
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    for (system, usage) in usages {
        table.push(vec![system.clone(), mebibytes(usage.allocated), mebibytes(usage.apparent)]);
    }
    table.to_string()
}
