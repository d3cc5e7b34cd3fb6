//! Who asks, and by which rights they read on.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use shared::ids::Accessor;
use tokio::sync::watch;

use crate::driver::Handle;
use crate::jwt::Vouched;
use crate::machine::access::Access;
use crate::machine::access::authorize::Denied;
use crate::machine::access::granted::Granted;
use crate::machine::access::subject::Author;

/// On what is answered to a token: its accessor.
const SYNOD_ACCESSOR: HeaderName = HeaderName::from_static("synod-accessor");

/// Who asks.
#[derive(Clone, Debug)]
pub(in crate::http) enum Caller {
    /// Anybody: no token is required.
    Anyone,
    /// Who has a token.
    Token(TokenHolder),
}

/// Who has a token or a JWT, and what that allows.
#[derive(Clone, Debug)]
pub(in crate::http) struct TokenHolder {
    pub(in crate::http) by: Accessor,
    pub(in crate::http) granted: Arc<Granted>,
    /// Whom an issuer says that it is; none: it has a token.
    pub(in crate::http) vouched: Option<Arc<Vouched>>,
}

impl TokenHolder {
    /// Who has a token.
    pub(super) fn of_token(by: Accessor, access: &Access) -> Result<Self, Denied> {
        let granted = access.granted(&by).ok_or(Denied::UnknownToken)?;
        Ok(Self { by, granted: Arc::clone(granted), vouched: None })
    }

    /// Whom an issuer vouches for, until that is over.
    pub(super) fn of_jwt(vouched: Arc<Vouched>, access: &Access) -> Result<Self, Denied> {
        if vouched.is_over() {
            return Err(Denied::UnknownToken);
        }
        let granted = Arc::new(access.granted_to(&vouched.policies));
        Ok(Self { by: vouched.subject.accessor(), granted, vouched: Some(vouched) })
    }

    pub(super) fn author(self) -> Author {
        match self.vouched {
            Some(vouched) => vouched.author(),
            None => Author::Token(self.by),
        }
    }
}

impl Caller {
    /// What a list or a stream is filtered by; none: it is not.
    pub(in crate::http) fn granted(&self) -> Option<&Granted> {
        match self {
            Self::Anyone => None,
            Self::Token(holder) => Some(&holder.granted),
        }
    }

    /// The same one, by another state.
    ///
    /// # Errors
    /// Where it may nothing any more.
    pub(in crate::http) fn again(&self, access: &Access) -> Result<Self, Denied> {
        match self {
            Self::Anyone if access.is_required() => Err(Denied::NoToken),
            Self::Anyone => Ok(Self::Anyone),
            Self::Token(TokenHolder { vouched: Some(vouched), .. }) => {
                TokenHolder::of_jwt(Arc::clone(vouched), access).map(Self::Token)
            }
            Self::Token(TokenHolder { by, vouched: None, .. }) => {
                TokenHolder::of_token(*by, access).map(Self::Token)
            }
        }
    }

    /// Names the token on what it is answered: balancers hold its holder to limits of its own.
    pub(super) fn name_on(&self, response: &mut Response) {
        match self {
            Self::Token(TokenHolder { by, .. })
                if response.status() != StatusCode::UNAUTHORIZED =>
            {
                let name = HeaderValue::try_from(by.to_string()).expect("it is hexadecimal");
                response.headers_mut().insert(SYNOD_ACCESSOR, name);
            }
            Self::Token(_) | Self::Anyone => {}
        }
    }

    pub(super) fn check(
        &self,
        need: &impl Fn(&TokenHolder) -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        match self {
            Self::Anyone => Ok(()),
            Self::Token(holder) => need(holder),
        }
    }
}

/// Whoever reads on, as long as they may.
#[derive(Clone, Debug)]
pub(in crate::http) struct Reading {
    caller: Caller,
    driver: Handle,
}

impl Reading {
    pub(in crate::http) fn new(caller: Caller, driver: &Handle) -> Self {
        Self { caller, driver: driver.clone() }
    }

    /// Who reads, by a state that is no older than what was read so far.
    ///
    /// # Errors
    /// Where they may nothing any more.
    pub(in crate::http) fn caller(&mut self) -> Result<&Caller, Denied> {
        self.caller = self.caller.again(&self.driver.access())?;
        Ok(&self.caller)
    }

    /// Errs where whoever reads has not all that is needed any more.
    ///
    /// # Errors
    /// What is lacking.
    pub(in crate::http) fn still(
        &mut self,
        need: &impl Fn(&TokenHolder) -> Result<(), Denied>,
    ) -> Result<(), Denied> {
        self.caller()?.check(need)
    }

    /// Waits until whoever reads has not all that is needed any more.
    pub(in crate::http) async fn lost(mut self, need: impl Fn(&TokenHolder) -> Result<(), Denied>) {
        let mut changes = self.driver.watch_access();
        loop {
            changes.mark_unchanged();
            if self.still(&need).is_err() {
                return;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.over() => return,
            }
        }
    }

    /// Waits until an issuer vouches for whoever reads no more, by their JWT; forever where
    /// they have none.
    pub(in crate::http) async fn over(&self) {
        match self.vouched() {
            Some(vouched) => vouched.over().await,
            None => std::future::pending().await,
        }
    }

    /// Whether an issuer vouches for them no more.
    pub(in crate::http) fn is_over(&self) -> bool {
        self.vouched().is_some_and(|vouched| vouched.is_over())
    }

    fn vouched(&self) -> Option<&Arc<Vouched>> {
        match &self.caller {
            Caller::Anyone => None,
            Caller::Token(holder) => holder.vouched.as_ref(),
        }
    }

    /// Whenever somebody may do something else.
    pub(in crate::http) fn changes(&self) -> watch::Receiver<Arc<Access>> {
        self.driver.watch_access()
    }
}
