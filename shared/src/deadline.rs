//! How long a request may take: `Synod-Timeout: 500ms`.
#![expect(
    clippy::disallowed_methods,
    reason = "a deadline is counted from the arrival of the request"
)]

use std::future::Future;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use tokio::time::Instant;

use crate::fields::only;
use crate::problem::Problem;
use crate::query::Parameter;

/// The header that bounds a request.
pub const HEADER: &str = "synod-timeout";
/// The same, as the contract has it.
pub const TIMEOUT: Parameter = Parameter::time("Synod-Timeout", "2s");
/// What bounds a request without that header.
pub const DEFAULT: Duration = Duration::from_secs(10);
/// The longest that may be asked for: a waiting request holds one of a limited number of
/// places.
pub const MAX: Duration = Duration::from_secs(60);

/// What a request for a snapshot has beyond its own time, until its answer begins: the file
/// is made before its length and digest are known.
pub const SNAPSHOT_WAIT: Duration = Duration::from_secs(600);

/// The moment past which a request's answer is of no use.
///
/// As an axum extractor it counts from when it is extracted and refuses a malformed
/// header with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    timeout: Duration,
}

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline of {timeout:?} passed")]
pub struct Elapsed {
    /// What was granted.
    pub timeout: Duration,
}

impl Deadline {
    /// The deadline that lies `timeout` ahead.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    /// The deadline of a request that has just arrived with these headers: what its body
    /// takes counts, too.
    ///
    /// # Errors
    /// As [`timeout_of`].
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        timeout_of(headers).map(Self::after)
    }

    /// The deadline that lies so much later.
    #[must_use]
    pub fn extended(self, by: Duration) -> Self {
        Self { at: self.at + by, timeout: self.timeout + by }
    }

    /// When it passes.
    #[must_use]
    pub fn at(self) -> Instant {
        self.at
    }

    /// The whole time that was granted.
    #[must_use]
    pub fn timeout(self) -> Duration {
        self.timeout
    }

    /// What is left of it; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits for the future until the deadline.
    ///
    /// # Errors
    /// When the deadline passes first; the future is dropped then.
    pub async fn bound<F: Future>(self, future: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout_at(self.at, future)
            .await
            .map_err(|_| Elapsed { timeout: self.timeout })
    }
}

/// Reads `Synod-Timeout`.
///
/// # Errors
/// 400 when it is there and is not a whole number of `ms` or `s` from 1 ms to [`MAX`].
pub fn timeout_of(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(value) = only(headers, TIMEOUT.name)? else { return Ok(DEFAULT) };
    value.to_str().ok().and_then(time_of).ok_or_else(|| {
        let given = String::from_utf8_lossy(&value.as_bytes()[..value.len().min(64)]).into_owned();
        Problem::bad_request(format!(
            "Synod-Timeout {given:?} is not a time of 1ms to {}s, such as 500ms or 2s",
            MAX.as_secs()
        ))
    })
}

/// The value of the header for a time, rounded up to a millisecond and kept in the
/// allowed range.
#[must_use]
pub fn header_value(timeout: Duration) -> String {
    let millis = timeout.min(MAX).as_nanos().div_ceil(1_000_000).max(1);
    format!("{millis}ms")
}

/// Reads a time such as `500ms` or `2s`: a whole number of `ms` or `s` from 1 ms to
/// [`MAX`]; none where it is no such time.
#[must_use]
pub fn time_of(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit_ms) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s')?, 1_000),
    };
    let well_formed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = if well_formed { digits.parse().ok()? } else { return None };
    let timeout = Duration::from_millis(count.checked_mul(unit_ms)?);
    (Duration::from_millis(1)..=MAX).contains(&timeout).then_some(timeout)
}

impl<S: Sync> FromRequestParts<S> for Deadline {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Duration, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        timeout_of(&headers)
    }

    #[test]
    fn milliseconds_and_seconds_are_understood_and_ten_seconds_are_the_default() {
        assert_eq!(of("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(of("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(of("60s"), Ok(MAX));
        assert_eq!(timeout_of(&HeaderMap::new()), Ok(Duration::from_secs(10)));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for bad in [
            "",
            "0ms",
            "5",
            "s",
            "ms",
            "-1s",
            "+1s",
            "1.5s",
            "61s",
            "60001ms",
            "1m",
            "99999999999999999999s",
            "18446744073709551s",
        ] {
            let problem = of(bad).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad:?}");
            let detail = &problem.body().detail;
            assert!(detail.contains("Synod-Timeout") && detail.contains("1ms to 60s"), "{problem}");
        }
    }

    #[test]
    fn it_is_called_in_the_contract_as_it_is_read() {
        assert!(TIMEOUT.name.eq_ignore_ascii_case(HEADER));
    }

    #[test]
    fn a_repeated_header_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, "1s".parse().unwrap());
        headers.append(HEADER, "2s".parse().unwrap());
        assert_eq!(timeout_of(&headers).unwrap_err().status(), 400);
    }

    #[tokio::test]
    async fn a_deadline_is_one_moment_however_often_it_is_waited_for() {
        let deadline = Deadline::after(Duration::from_millis(5));
        let elapsed = Elapsed { timeout: Duration::from_millis(5) };
        for _ in 0..2 {
            assert_eq!(deadline.bound(std::future::pending::<()>()).await, Err(elapsed));
            assert_eq!(deadline.remaining(), Duration::ZERO);
        }
        assert_eq!(
            deadline.bound(tokio::task::yield_now()).await,
            Err(elapsed),
            "it has passed, and does not start again"
        );
    }

    #[test]
    fn what_is_sent_on_is_understood_again() {
        for timeout in [
            Duration::ZERO,
            Duration::from_micros(1_500),
            Duration::from_secs(3),
            Duration::from_secs(600),
        ] {
            assert!(of(&header_value(timeout)).is_ok());
        }
        assert_eq!(header_value(Duration::from_micros(1_500)), "2ms");
    }
}
