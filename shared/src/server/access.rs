//! The access log: a line for each request, where it is asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

use crate::telemetry::RequestTrace;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Has a line written for each request from here on.
pub(crate) fn turn_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Writes the line of a request, once the head of its answer is known. `bytes` are those
/// of the answer's body, where it says how many they are. The route is a template, so
/// that no key is logged; what is no known route is `other`.
pub(super) fn say(
    (method, route): (&Method, &str),
    status: StatusCode,
    took: Duration,
    bytes: Option<u64>,
    trace: &RequestTrace,
) {
    if !IS_ON.load(Ordering::Relaxed) {
        return;
    }
    let _of_request = trace.context().clone().attach();
    tracing::info!(
        target: "access",
        method = method.as_str(),
        route,
        status = status.as_u16(),
        duration_ms = took.as_secs_f64() * 1e3,
        bytes,
        "answered"
    );
}
