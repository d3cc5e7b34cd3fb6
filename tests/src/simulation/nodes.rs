//! The processes: shells around the cores that do what the real shells do, otherwise, and
//! the clients that call them.

pub mod process;

pub mod calls;
pub mod discovery;

pub mod database;
pub mod disk;

pub mod acceptor;
pub mod coordinator;
pub mod replica;

pub mod client;
