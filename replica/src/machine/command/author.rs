//! Who does what is asked: a token, or somebody whom an issuer or a certificate vouches for.

use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::Accessor;

use super::Op;
use crate::machine::access::subject::{Author, Subject};

/// Who did something, as the log and what was written say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attribution {
    /// What who did it is called: a token, or whom an issuer or a certificate vouches for.
    pub by: Accessor,
    /// Who that is by the word of an issuer or a certificate, where one vouches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
}

impl Op {
    /// What it is without who does it.
    #[must_use]
    pub fn unattributed(&self) -> &Self {
        if let Self::Attributed { op, .. } | Self::Issued { op, .. } | Self::Certified { op, .. } =
            self
        {
            op
        } else {
            self
        }
    }

    /// What who does it is called, where somebody does: a token, or whom an issuer or a
    /// certificate vouches for.
    #[must_use]
    pub fn by(&self) -> Option<Accessor> {
        if let Self::Attributed { by, op: _ } = self {
            return Some(*by);
        }
        self.subject().map(Subject::accessor)
    }

    /// Who does it, where somebody does.
    #[must_use]
    pub fn attribution(&self) -> Option<Attribution> {
        self.by().map(|by| Attribution { by, subject: self.subject().cloned() })
    }

    /// Who does it by the word of an issuer or a certificate, where somebody does.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        if let Self::Issued { subject, .. } | Self::Certified { subject, .. } = self {
            Some(subject)
        } else {
            None
        }
    }

    /// Whose an `Idempotency-Key` is that comes with it; none: everybody's, as it is where
    /// nobody is named.
    #[must_use]
    pub fn key_owner(&self) -> Option<Accessor> {
        if let Self::Certified { .. } = self { None } else { self.by() }
    }

    /// The same, done by somebody, where somebody does it.
    ///
    /// # Panics
    /// When somebody does it already.
    #[must_use]
    pub fn done_by(self, author: Option<Author>) -> Self {
        match author {
            Some(Author::Issued(subject, policies)) => {
                assert_eq!(self.by(), None, "somebody does it already");
                Self::Issued { subject, policies, op: Box::new(self) }
            }
            Some(Author::Certified(subject)) => {
                assert_eq!(self.by(), None, "somebody does it already");
                Self::Certified { subject, op: Box::new(self) }
            }
            Some(Author::Token(by)) => self.attributed(Some(by)),
            None => self,
        }
    }

    /// The same, done by a token, where one does it.
    ///
    /// # Panics
    /// When one does it already.
    #[must_use]
    pub fn attributed(self, by: Option<Accessor>) -> Self {
        assert_eq!(self.by(), None, "a token does it already");
        match by {
            Some(by) => Self::Attributed { by, op: Box::new(self) },
            None => self,
        }
    }
}
