//! TLS over real sockets: who is believed, what is refused, and files that change.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read clocks")]

mod files;
mod matrix;
mod pki;
mod rights;
mod sockets;
