//! What Synod's services have in common: vocabulary, messages, typed HTTP clients, and
//! the set-up of servers and telemetry.
//!
//! In reading order: [`ids`] and [`message`] (the vocabulary and what is said, in lists
//! that are [`bounded`], cut into [`page`]s), [`wire`], [`query`], [`fields`],
//! [`accept`], [`framing`], [`openapi`] and [`problem`] (how it is said over HTTP),
//! [`versions`] (who says it in another version), [`deadline`], [`client`], [`cluster_header`]
//! and [`discovery`] (who says it to whom), [`config`], [`datadir`], [`disk`] and [`service`] (a process
//! from its flags to its end), [`server`] (bounded HTTP), [`mux`] (many
//! requests on one connection), [`tls`] with [`byte_budget`],
//! [`places`], [`health`], [`status`], [`metrics`], [`spans`], [`events`] and [`console`]
//! (what people look at), [`telemetry`], [`causes`] (of what failed), [`random`].

pub mod bounded;
pub mod bounds;
pub mod chain;
pub mod ids;
pub mod message;
pub mod page;

pub mod accept;
pub mod fields;
pub mod framing;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod versions;
pub mod wire;

pub mod client;
pub mod cluster_header;
pub mod deadline;
pub mod discovery;

mod base_url;
pub mod byte_budget;
pub mod config;
pub mod datadir;
pub mod disk;
pub mod mux;
pub mod places;
pub mod server;
pub mod service;
pub mod tls;

pub mod console;
pub mod events;
pub mod health;
pub mod metrics;
pub mod spans;
pub mod status;
pub mod telemetry;

pub mod causes;
pub mod random;
pub mod repeat;
