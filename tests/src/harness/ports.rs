//! Ports for services that must come back on the port they had.
//!
//! A port that the OS hands out for `:0` lies in the range of outgoing connections, one
//! of which can take it while its service is down. So ports come in blocks from below
//! that range. Whoever listens on the last port of a block has it, as long as it does:
//! that holds among all processes of a machine, whoever's they are.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::net::TcpSocket;

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

    /// Waits until nobody listens on any port of the block, for so long at most. Blocks.
    pub fn wait_until_free(&self, limit: Duration) {
        let began = Instant::now();
        let is_free = || (self.base..self.base + BLOCK - 1).all(|port| listen(port).is_ok());
        while !is_free() && began.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Has an address of this machine at which nobody listens: connections to it are refused.
/// While it is held nobody is given its port, but who asks for it can listen there.
///
/// # Errors
/// When there is none.
pub fn nobody() -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket)
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

    #[test]
    fn a_block_is_free_once_nobody_listens() {
        let ports = Ports::reserve().unwrap();
        let began = Instant::now();
        ports.wait_until_free(Duration::MAX);
        let listening = listen(ports.base() + 1).unwrap();
        ports.wait_until_free(Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50), "it waits");
        let ending = std::thread::spawn(move || drop(listening));
        ports.wait_until_free(Duration::MAX);
        ending.join().unwrap();
    }

    #[tokio::test]
    async fn where_nobody_is_connections_are_refused_until_somebody_listens() {
        let nobody = nobody().unwrap();
        let address = nobody.local_addr().unwrap();
        for _ in 0..2 {
            let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            let listening = TcpListener::bind(address).unwrap();
            tokio::net::TcpStream::connect(address).await.unwrap();
            drop(listening);
        }
    }
}
