//! How many connections the limit on open files leaves room for.

use rustix::process::{Resource, getrlimit};

/// Files that are kept for everything but clients, where there are enough: disks, a
/// database of up to 64 readers, calls to other services.
const RESERVED: usize = 256;

/// What a client's connection may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Itself only.
    One,
    /// One more, to another service that the client's request is passed on to.
    Two,
}

/// As many connections as are wanted, or as the process's limit on open files leaves room
/// for: who opens more of them must not keep a service from its disk.
#[must_use]
pub fn connections_within(wanted: usize, each: Files) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let connections = wanted.min(room(limit, each));
    if connections < wanted {
        tracing::warn!(
            wanted,
            connections,
            open_files = limit,
            "the limit on open files cuts the number of connections: raise it (ulimit -n)"
        );
    }
    connections
}

fn room(limit: usize, each: Files) -> usize {
    let for_clients = limit - RESERVED.min(limit / 2);
    match each {
        Files::One => for_clients.max(1),
        Files::Two => (for_clients / 2).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_reserve_leaves_of_the_open_files() {
        assert_eq!((room(1_024, Files::One), room(1_024, Files::Two)), (768, 384));
        assert_eq!((room(100, Files::One), room(100, Files::Two)), (50, 25));
        assert_eq!((room(1, Files::One), room(1, Files::Two)), (1, 1));
        assert!(room(usize::MAX, Files::Two) > 1_000_000);
    }
}
