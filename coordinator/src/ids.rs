//! Names that shell and core give to what they do.

use std::fmt;

/// The position of an acceptor's URL in the configured list: where a message goes, never
/// who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcceptorIndex(pub usize);

impl fmt::Display for AcceptorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a proposal, or a request for another primary, between the shell and the core. The
/// shell never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a poll, so that its answers are known to be younger than it. Ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PollNumber(pub u64);
