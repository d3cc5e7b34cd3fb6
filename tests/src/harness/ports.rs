//! Ports for services that must come back on the port they had.
//!
//! A port that the OS hands out for `:0` lies in the range of outgoing connections, one
//! of which can take it while its service is down. So ports come in blocks from below
//! that range, each block reserved by a lock on a file for as long as it is used.

use std::fs::{self, File};
use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

const FIRST: u16 = 10_000;
/// Wide enough for `synod up --base-port`, which spreads its services over 400 ports.
pub const BLOCK: u16 = 512;
const BLOCKS: u16 = 40;

/// A block of [`BLOCK`] ports that no other test uses.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    next: u16,
    _lock: File,
}

impl Ports {
    /// Reserves a block.
    ///
    /// # Errors
    /// When every block is in use.
    pub fn reserve() -> Result<Self> {
        let dir = std::env::temp_dir().join("synod-test-ports");
        fs::create_dir_all(&dir)?;
        for block in 0..BLOCKS {
            let lock = File::create(dir.join(block.to_string()))
                .context("opening the lock of a port block")?;
            let base = FIRST + block * BLOCK;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Self { base, next: base, _lock: lock });
            }
        }
        bail!("all {BLOCKS} port blocks are in use")
    }

    /// The first port of the block.
    #[must_use]
    pub fn base(&self) -> u16 {
        self.base
    }

    /// The next port of the block on which nobody listens.
    ///
    /// # Errors
    /// When the block is used up.
    pub fn take(&mut self) -> Result<u16> {
        while self.next < self.base + BLOCK {
            let port = self.next;
            self.next += 1;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return Ok(port);
            }
        }
        bail!("no free port in {}..{}", self.base, self.base + BLOCK)
    }
}
