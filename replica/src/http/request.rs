//! What a client's request says: pure, strict reading of its path, query and header
//! fields, and of bodies in JSON, which come from anybody.
//!
//! Whatever is not understood is refused with a problem that names it, and never guessed
//! at. What a request may be as long as is limited before it comes here
//! ([`shared::server::Limits::header_bytes`]), so nothing here takes more memory than a
//! few times that.

pub mod access;
pub mod compact;
pub mod conditions;
mod cursor;
pub mod diff;
pub mod headers;
pub(crate) mod json;
pub mod listing;
pub mod parameter;
pub mod path;
pub mod range;
pub mod rollback;
pub mod tenure;
pub mod txn;
pub(crate) mod watching;
