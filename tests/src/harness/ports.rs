//! Ports for services that must come back on the port they had.
//!
//! A port that the OS hands out for `:0` lies in the range of outgoing connections, one
//! of which can take it while its service is down. So ports come in blocks from below
//! that range. Whoever listens on the last port of a block has it, as long as it does:
//! that holds among all processes of a machine, whoever's they are.

use std::net::TcpListener;

use anyhow::{Result, bail};

const FIRST: u16 = 10_000;
/// Wide enough for `synod up --base-port`, which spreads its services over 400 ports.
pub const BLOCK: u16 = 512;
const BLOCKS: u16 = 40;

/// A block of [`BLOCK`] ports that no other test uses.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    next: u16,
    _last: TcpListener,
}

impl Ports {
    /// Reserves a block.
    ///
    /// # Errors
    /// When every block is in use.
    pub fn reserve() -> Result<Self> {
        for block in 0..BLOCKS {
            let base = FIRST + block * BLOCK;
            if let Ok(last) = listen(base + BLOCK - 1) {
                return Ok(Self { base, next: base, _last: last });
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
        while self.next < self.base + BLOCK - 1 {
            let port = self.next;
            self.next += 1;
            if listen(port).is_ok() {
                return Ok(port);
            }
        }
        bail!("no free port in {}..{}", self.base, self.base + BLOCK)
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_reserved_while_it_is_held() {
        let held = Ports::reserve().unwrap();
        let another = Ports::reserve().unwrap();
        assert_ne!(held.base(), another.base());
        let last = held.base() + BLOCK - 1;
        assert!(listen(last).is_err(), "nobody holds port {last}");
    }
}
