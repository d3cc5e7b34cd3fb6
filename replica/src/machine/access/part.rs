//! The part of the replicated state that has the tokens and policies: what executing changes
//! of it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ids::Revision;

use super::policy::{Policy, PolicyName};
use super::token::{Accessor, Token};
use super::{Access, Requirement};

/// What executing changed of tokens and policies: what has to be written. None: it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRows {
    /// Of the tokens.
    pub tokens: BTreeMap<Accessor, Option<Token>>,
    /// Of the policies.
    pub policies: BTreeMap<PolicyName, Option<Policy>>,
}

/// The tokens and policies, and what of them changed. Whoever was handed them keeps them as
/// they were.
#[derive(Clone, Debug, Default)]
pub(in crate::machine) struct AccessPart {
    now: Arc<Access>,
    rows: AccessRows,
}

impl AccessPart {
    /// What a store has kept.
    pub(in crate::machine) fn of(access: Access) -> Self {
        Self { now: Arc::new(access), rows: AccessRows::default() }
    }

    /// All of it as it is.
    pub(in crate::machine) fn now(&self) -> &Arc<Access> {
        &self.now
    }

    /// The same, to try a change on.
    pub(in crate::machine) fn tried(&self) -> Self {
        Self { now: Arc::clone(&self.now), rows: AccessRows::default() }
    }

    /// Makes a change that was tried.
    pub(in crate::machine) fn adopt(&mut self, tried: Self) {
        let AccessRows { tokens, policies } = tried.rows;
        self.now = tried.now;
        self.rows.tokens.extend(tokens);
        self.rows.policies.extend(policies);
    }

    /// Has tokens required from a revision on.
    pub(in crate::machine) fn require(&mut self, since: Revision) {
        Arc::make_mut(&mut self.now).requirement = Requirement::Tokens { since };
    }

    pub(in crate::machine) fn put_token(&mut self, token: Token) {
        self.rows.tokens.insert(token.accessor(), Some(token.clone()));
        Arc::make_mut(&mut self.now).put_token(token);
    }

    /// Ends a token, where there is one.
    pub(in crate::machine) fn end_token(&mut self, accessor: Accessor) {
        if Arc::make_mut(&mut self.now).remove_token(accessor).is_some() {
            self.rows.tokens.insert(accessor, None);
        }
    }

    /// Ends tokens whose time was over before, the oldest first.
    pub(in crate::machine) fn expire(&mut self, before_ms: u64, at_most: usize) {
        for _ in 0..at_most {
            let Some(accessor) = self.now.first_before(before_ms) else { return };
            self.end_token(accessor);
        }
    }

    pub(in crate::machine) fn put_policy(&mut self, name: PolicyName, policy: Policy) {
        self.rows.policies.insert(name.clone(), Some(policy.clone()));
        Arc::make_mut(&mut self.now).put_policy(name, policy);
    }

    pub(in crate::machine) fn remove_policy(&mut self, name: &PolicyName) {
        self.rows.policies.insert(name.clone(), None);
        Arc::make_mut(&mut self.now).remove_policy(name);
    }

    pub(in crate::machine) fn take_rows(&mut self) -> AccessRows {
        std::mem::take(&mut self.rows)
    }

    /// Adds all of it to a digest.
    pub(in crate::machine) fn digest(&self, field: &mut impl FnMut(&[u8])) {
        let encode = "encoding into memory does not fail";
        for policy in self.now.policies() {
            field(&postcard::to_allocvec(&policy).expect(encode));
        }
        for token in self.now.tokens() {
            field(&postcard::to_allocvec(&token).expect(encode));
        }
    }
}
