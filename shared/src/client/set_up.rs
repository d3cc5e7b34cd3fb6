//! How this process names itself in the requests that it makes.

use std::sync::OnceLock;

use http::HeaderValue;

use crate::ids::Name;
use crate::status::VERSION;

static USER_AGENT: OnceLock<HeaderValue> = OnceLock::new();

/// Names this process in the requests that it makes from now on (`User-Agent`). To be
/// called before the first one; of two names the first stays.
pub fn introduce(name: &Name) {
    let named = value(&format!("synod/{VERSION} ({name})"));
    let _stays = USER_AGENT.set(named);
}

/// What this process is called in the requests that it makes.
pub fn user_agent() -> HeaderValue {
    USER_AGENT.get_or_init(|| value(&format!("synod/{VERSION}"))).clone()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("names and versions are ASCII")
}
