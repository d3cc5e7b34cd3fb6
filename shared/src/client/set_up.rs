//! How all of Synod's HTTP clients are set up. The balancer's way to the replicas alone is
//! a client of its own kind, hyper's, for its speed; it has these times and limits, too.

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use crate::ids::Name;
use crate::status::VERSION;

/// How long a connection may take to open: on one's own network it takes less, or nobody
/// is there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an idle connection is kept: less than a server keeps it, so that it is not
/// closed just as a request is sent on it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept to each service.
pub const MAX_IDLE: usize = 256;

static NAME: OnceLock<Name> = OnceLock::new();

/// Names this process in the requests that it makes from now on (`User-Agent`). To be
/// called before the first one; of two names the first stays.
pub fn introduce(name: &Name) {
    let _stays = NAME.set(name.clone());
}

fn user_agent() -> String {
    match NAME.get() {
        None => format!("synod/{VERSION}"),
        Some(name) => format!("synod/{VERSION} ({name})"),
    }
}

/// What is common to all: no proxy of the environment and no redirect comes between, and
/// small messages go at once.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .user_agent(user_agent())
}

/// The process's pool of connections to services.
#[must_use]
pub fn http_client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        http_client_builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .expect("plain HTTP needs nothing from the system")
    });
    CLIENT.clone()
}
