//! Where a server is asked: by everybody at one address, or by clients at one and by the other
//! services at another.
//!
//! Whoever reaches only the first then cannot even try what services ask each other: it is not
//! there. The second answers everything, since a service such as the balancer asks for both.

use tokio::net::TcpListener;

/// The addresses that a server listens on.
#[derive(Debug)]
pub struct Doors {
    pub(super) clients: TcpListener,
    pub(super) services: Option<TcpListener>,
}

impl Doors {
    /// With a second one, the first is for clients alone.
    #[must_use]
    pub fn new(clients: TcpListener, services: Option<TcpListener>) -> Self {
        Self { clients, services }
    }
}

impl From<TcpListener> for Doors {
    /// One for everybody.
    fn from(listener: TcpListener) -> Self {
        Self::new(listener, None)
    }
}

/// A request came by the door that is for clients alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForClients;
