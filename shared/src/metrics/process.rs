//! What the process takes of the machine, by the names that Prometheus' own libraries give
//! it, read from `/proc` when somebody asks. What cannot be read is left out.
#![expect(clippy::disallowed_methods, reason = "when a process started is read from the clock")]

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::Scrape;
use crate::disk::Space;

/// Where the kernel tells of the process …
const STAT: &str = "/proc/self/stat";
/// … and of its open files.
const OPEN_FILES: &str = "/proc/self/fd";

/// Reads all that there is to tell of this process, which starts now.
pub(super) fn collector() -> impl Fn(&mut Scrape<'_>) -> fmt::Result + Send + Sync + 'static {
    let started = Instant::now();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    move |scrape| {
        scrape.gauge(
            "synod_uptime_seconds",
            "How long the process has been running",
            started.elapsed().as_secs_f64(),
        )?;
        scrape.gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            since_epoch.as_secs_f64(),
        )?;
        if let Some(taken) = fs::read_to_string(STAT).ok().as_deref().and_then(Taken::read) {
            taken.write(scrape)?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            scrape.gauge("process_max_fds", "How many files may be open at once", limit)?;
        }
        match fs::read_dir(OPEN_FILES) {
            // The folder itself is open while it is read.
            Ok(files) => scrape.gauge(
                "process_open_fds",
                "How many files are open",
                files.count().saturating_sub(1),
            ),
            Err(_) => Ok(()),
        }
    }
}

/// What a process has taken.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    cpu_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Taken {
    /// Reads a line of `/proc/<pid>/stat` (proc(5)). The name in it may hold anything, and
    /// ends with the last parenthesis.
    fn read(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        // The third field of the line is the first of these.
        let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let ticks = field(14)? + field(15)?;
        let cpu_seconds = ticks as f64 / clock_ticks_per_second() as f64;
        let resident_bytes = field(24)? * page_size() as u64;
        Some(Self { cpu_seconds, virtual_bytes: field(23)?, resident_bytes })
    }

    fn write(self, scrape: &mut Scrape<'_>) -> fmt::Result {
        scrape.counter(
            "process_cpu_seconds_total",
            "Time that the process has computed, for itself and in the kernel",
            self.cpu_seconds,
        )?;
        scrape.gauge(
            "process_virtual_memory_bytes",
            "Addresses that the process has reserved",
            self.virtual_bytes,
        )?;
        scrape.gauge(
            "process_resident_memory_bytes",
            "Memory that the process has",
            self.resident_bytes,
        )
    }
}

/// Reads how full the file system below a folder is.
pub(super) fn disk(scrape: &mut Scrape<'_>, folder: &Path) -> fmt::Result {
    let Ok(Space { size_bytes, free_bytes }) = Space::of(folder) else { return Ok(()) };
    scrape.gauge(
        "synod_disk_size_bytes",
        "Size of the file system with the data directory",
        size_bytes,
    )?;
    scrape.gauge("synod_disk_free_bytes", "What of it is left for this process", free_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_that_looks_like_fields() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 300 100 0 0 20 0 3 0 77 8192 2 18446744073709551615";
        let ticks = clock_ticks_per_second() as f64;
        let taken = Taken {
            cpu_seconds: 400.0 / ticks,
            virtual_bytes: 8_192,
            resident_bytes: 2 * page_size() as u64,
        };
        assert_eq!(Taken::read(&format!("42 (a) S 9 (b)) {fields}")), Some(taken));
        assert_eq!(Taken::read("42 (synod) S 1"), None);
        assert_eq!(Taken::read("nonsense"), None);
    }

    #[test]
    fn this_process_is_read() {
        let taken = Taken::read(&fs::read_to_string(STAT).unwrap()).unwrap();
        assert!(taken.resident_bytes > 1 << 20 && taken.virtual_bytes > taken.resident_bytes);
    }
}
