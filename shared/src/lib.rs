//! What Synod's services have in common: vocabulary, messages, typed HTTP clients, and the set-up of servers and telemetry.
//!
//! In reading order: [`ids`] and [`message`] (the vocabulary and what is said).

pub mod ids;
pub mod message;
