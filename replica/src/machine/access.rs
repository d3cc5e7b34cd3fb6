//! Access control: the tokens and policies of the replicated state, and whether a token is
//! required.
//!
//! None is at first, and there is neither a token nor a policy. The first token is made
//! together with the requirement ([`AccessOp::Bootstrap`]), and nothing takes that back. From
//! then on whatever changes the state is done by a token ([`Op::Attributed`]), and executing
//! looks whether that may, in the state that is executed on: what a token may no longer do it
//! does in no slot after. All of it is in memory, since it has limits.
//!
//! In reading order: [`rights`] (what there is to be allowed), [`policy`] (rules with a
//! name), [`token`] (who has which policies, and what is done to both), [`subject`] (those whom
//! others vouch for), [`granted`] (the rules of one token's policies together), [`authorize`]
//! (what an operation needs of them), [`outcome`] (what comes of what is done).
//!
//! [`Op::Attributed`]: super::command::Op::Attributed

pub mod rights;

pub mod policy;

pub mod token;

pub mod subject;

pub mod granted;

pub mod authorize;

pub mod outcome;

mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::ids::Revision;

use granted::Granted;
pub(in crate::machine) use part::AccessPart;
pub use part::AccessRows;
use policy::{ClusterRight, Policy, PolicyName};
pub use token::{AccessOp, Accessor, Force, SecretHash, Token};

/// What of access control stands in the meta data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessMeta {
    /// Whether whoever asks has to have a token.
    pub requirement: Requirement,
    /// How many tokens there are.
    pub tokens: u64,
    /// How many policies are stored.
    pub policies: u64,
}

/// Whether whoever asks has to have a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Requirement {
    /// Nobody has to.
    #[default]
    Open,
    /// Everybody has to, since the revision that made the first one.
    Tokens {
        /// The revision.
        since: Revision,
    },
}

/// The tokens and policies of one state.
#[derive(Clone, Debug, Default)]
pub struct Access {
    requirement: Requirement,
    // Each is copied when it changes and somebody else has it, and only then.
    tokens: Arc<BTreeMap<Accessor, Arc<Token>>>,
    policies: Arc<BTreeMap<PolicyName, Arc<Policy>>>,
    by_expiry: Arc<BTreeSet<(u64, Accessor)>>,
    grants: Arc<BTreeMap<Arc<[PolicyName]>, Grant>>,
    /// How many tokens may operate the cluster and do not end by themselves.
    operators: usize,
    bytes: usize,
}

/// What policies come to together, and how many tokens have these.
#[derive(Clone, Debug)]
struct Grant {
    granted: Arc<Granted>,
    tokens: usize,
    /// Those of them that do not end by themselves.
    unending: usize,
}

impl Grant {
    /// How many of them may operate the cluster and do not end by themselves.
    fn operators(&self) -> usize {
        if operates(&self.granted) { self.unending } else { 0 }
    }
}

impl Access {
    /// What a store has kept.
    #[must_use]
    pub fn of(
        requirement: Requirement,
        tokens: impl IntoIterator<Item = Token>,
        policies: impl IntoIterator<Item = (PolicyName, Policy)>,
    ) -> Self {
        let mut access = Self { requirement, ..Self::default() };
        for (name, policy) in policies {
            access.put_policy(name, policy);
        }
        tokens.into_iter().for_each(|token| access.put_token(token));
        access
    }

    /// What of it stands in the meta data.
    #[must_use]
    pub fn meta(&self) -> AccessMeta {
        let (tokens, policies) = (self.tokens.len() as u64, self.policies.len() as u64);
        AccessMeta { requirement: self.requirement, tokens, policies }
    }

    /// Whether whoever asks has to have a token.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        self.requirement
    }

    /// Whether tokens are required.
    #[must_use]
    pub fn is_required(&self) -> bool {
        match self.requirement {
            Requirement::Open => false,
            Requirement::Tokens { .. } => true,
        }
    }

    /// The token of a secret, where there is one.
    #[must_use]
    pub fn by_secret(&self, secret: &SecretHash) -> Option<(Accessor, &Token)> {
        let accessor = secret.accessor();
        let token = self.get(accessor).filter(|token| token.secret == *secret)?;
        Some((accessor, token))
    }

    /// A token.
    #[must_use]
    pub fn get(&self, accessor: Accessor) -> Option<&Token> {
        self.tokens.get(&accessor).map(Arc::as_ref)
    }

    /// All that a token may do; none: there is no such token.
    #[must_use]
    pub fn granted(&self, accessor: &Accessor) -> Option<&Arc<Granted>> {
        let token = self.tokens.get(accessor)?;
        Some(&self.grants[token.policies.as_slice()].granted)
    }

    /// All that somebody may do who has these policies by the word of an issuer. `root` is in
    /// no issuer's gift, and gives nothing, as what does not exist.
    #[must_use]
    pub fn granted_to(&self, policies: &[PolicyName]) -> Granted {
        Granted::of(policies.iter().filter_map(|name| self.policy(name)))
    }

    /// All tokens, by accessor.
    pub fn tokens(&self) -> impl Iterator<Item = (Accessor, &Token)> {
        self.tokens.iter().map(|(accessor, token)| (*accessor, token.as_ref()))
    }

    /// A policy that is stored: `root` is not.
    #[must_use]
    pub fn policy(&self, name: &PolicyName) -> Option<&Policy> {
        self.policies.get(name).map(Arc::as_ref)
    }

    /// All policies that are stored, by name.
    pub fn policies(&self) -> impl Iterator<Item = (&PolicyName, &Policy)> {
        self.policies.iter().map(|(name, policy)| (name, policy.as_ref()))
    }

    /// About how many bytes tokens and policies take, and what the policies come to for
    /// each set of them that some token has. It follows from tokens and policies alone, in
    /// whatever order they came.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many it would be with another token.
    pub(super) fn bytes_with_token(&self, token: &Token) -> usize {
        let is_joined = self.grants.contains_key(token.policies.as_slice());
        let joined = if is_joined { 0 } else { self.grant_size(&token.policies) };
        self.bytes + token.size() + joined
    }

    /// How many it would be with a policy instead of the one of that name, if there is one.
    pub(super) fn bytes_with_policy(&self, name: &PolicyName, policy: &Policy) -> usize {
        let joins = self.joins_of(name).count();
        let size = |policy: &Policy| policy_size(name, policy) + joins * policy.joined_size();
        self.bytes - self.policy(name).map_or(0, size) + size(policy)
    }

    /// About how many bytes a set of policies takes with what they come to. Rules count as
    /// often as policies have them: so often each is looked at to join them.
    fn grant_size(&self, names: &[PolicyName]) -> usize {
        const FIXED: usize = 128;
        let policies: usize = if names.iter().any(PolicyName::is_root) {
            0
        } else {
            names.iter().filter_map(|name| Some(self.policy(name)?.joined_size())).sum()
        };
        FIXED + token::names_size(names) + policies
    }

    /// The sets of policies to which one counts.
    fn joins_of(&self, name: &PolicyName) -> impl Iterator<Item = &Arc<[PolicyName]>> {
        let counts = |names: &&Arc<[PolicyName]>| {
            names.contains(name) && !names.iter().any(PolicyName::is_root)
        };
        self.grants.keys().filter(counts)
    }

    /// When the next token ends. Milliseconds of replicated time.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.by_expiry.first().map(|(expires_ms, _)| *expires_ms)
    }

    /// The first token that ends before a time.
    fn first_before(&self, time_ms: u64) -> Option<Accessor> {
        let first = self.by_expiry.first().filter(|(expires_ms, _)| *expires_ms < time_ms);
        first.map(|(_, accessor)| *accessor)
    }

    /// Whether a token may operate the cluster.
    #[must_use]
    pub fn operates(&self, accessor: &Accessor) -> bool {
        self.granted(accessor).is_some_and(|granted| operates(granted))
    }

    /// Whether a token that does not end by itself may operate the cluster.
    #[must_use]
    pub fn has_operator(&self) -> bool {
        self.operators > 0
    }

    fn put_token(&mut self, token: Token) {
        let accessor = token.accessor();
        self.remove_token(accessor);
        self.bytes = self.bytes_with_token(&token);
        if let Some(expires_ms) = token.expires_ms {
            Arc::make_mut(&mut self.by_expiry).insert((expires_ms, accessor));
        }
        let unending = usize::from(token.expires_ms.is_none());
        let joined = Arc::make_mut(&mut self.grants).remove(token.policies.as_slice());
        let mut grant = joined.unwrap_or_else(|| {
            let granted = Arc::new(self.join(&token.policies));
            Grant { granted, tokens: 0, unending: 0 }
        });
        self.operators -= grant.operators();
        grant.tokens += 1;
        grant.unending += unending;
        self.operators += grant.operators();
        Arc::make_mut(&mut self.grants).insert(token.policies.clone().into(), grant);
        Arc::make_mut(&mut self.tokens).insert(accessor, Arc::new(token));
    }

    fn remove_token(&mut self, accessor: Accessor) -> Option<Arc<Token>> {
        if !self.tokens.contains_key(&accessor) {
            return None;
        }
        let token = Arc::make_mut(&mut self.tokens).remove(&accessor)?;
        self.bytes -= token.size();
        if let Some(expires_ms) = token.expires_ms {
            Arc::make_mut(&mut self.by_expiry).remove(&(expires_ms, accessor));
        }
        let names = token.policies.as_slice();
        let grants = Arc::make_mut(&mut self.grants);
        let grant = grants.get_mut(names).expect("a token's policies are joined");
        self.operators -= grant.operators();
        grant.tokens -= 1;
        grant.unending -= usize::from(token.expires_ms.is_none());
        self.operators += grant.operators();
        if grant.tokens == 0 {
            grants.remove(names);
            self.bytes -= self.grant_size(names);
        }
        Some(token)
    }

    fn put_policy(&mut self, name: PolicyName, policy: Policy) {
        self.bytes = self.bytes_with_policy(&name, &policy);
        Arc::make_mut(&mut self.policies).insert(name.clone(), Arc::new(policy));
        self.join_again(&name);
    }

    fn remove_policy(&mut self, name: &PolicyName) {
        if let Some(before) = Arc::make_mut(&mut self.policies).remove(name) {
            let joins = self.joins_of(name).count();
            self.bytes -= policy_size(name, &before) + joins * before.joined_size();
            self.join_again(name);
        }
    }

    /// What a set of policies comes to. Those that do not exist give nothing.
    fn join(&self, names: &[PolicyName]) -> Granted {
        if names.iter().any(PolicyName::is_root) {
            return Granted::root();
        }
        Granted::of(names.iter().filter_map(|name| self.policy(name)))
    }

    /// A policy is another one: so is what it comes to with others.
    fn join_again(&mut self, name: &PolicyName) {
        let changed: Vec<_> = self.joins_of(name).cloned().collect();
        for names in changed {
            let granted = Arc::new(self.join(&names));
            let grants = Arc::make_mut(&mut self.grants);
            let grant = grants.get_mut(&names).expect("it has just been found");
            self.operators -= grant.operators();
            grant.granted = granted;
            self.operators += grant.operators();
        }
    }
}

/// Whether whoever was granted this may operate the cluster.
fn operates(granted: &Granted) -> bool {
    granted.cluster().has(ClusterRight::Operate)
}

fn policy_size(name: &PolicyName, policy: &Policy) -> usize {
    name.as_str().len() + policy.size()
}

#[cfg(test)]
mod tests;
