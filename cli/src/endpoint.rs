//! Where the cluster is, and how long it is asked.

use std::time::Duration;

use client::{Client, parse_urls};
use url::Url;

use crate::{seconds, token};

/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Endpoint {
    /// The balancers, or any replicas, set apart by commas or blanks: while one does not
    /// answer, the next one is asked
    #[arg(
        long,
        env = "SYNOD_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000",
        value_parser = addresses,
    )]
    url: Addresses,
    #[command(flatten)]
    patience: Patience,
}

/// How long it is asked.
#[derive(Clone, Debug, clap::Args)]
struct Patience {
    /// How long a request is tried: through changes of primary, and other addresses
    #[arg(
        long,
        env = "SYNOD_TIMEOUT_SECONDS",
        value_name = "N",
        default_value_t = 30,
        value_parser = seconds::whole(1_u32, 86_400),
    )]
    timeout_seconds: u32,
}

/// The same, of a command that may need none: it is read once it is needed, so that what is set
/// for others does not matter.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LateEndpoint {
    /// The balancers, or any replicas, set apart by commas or blanks: while one does not
    /// answer, the next one is asked
    #[arg(long, env = "SYNOD_URL", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    #[command(flatten)]
    patience: Patience,
}

impl LateEndpoint {
    /// Reads it.
    ///
    /// # Errors
    /// When no address is given, or the token cannot be read.
    pub(crate) fn read(self) -> anyhow::Result<Endpoint> {
        let Self { url, patience } = self;
        token::read()?;
        let url = addresses(&url).map_err(|error| anyhow::anyhow!("--url {url:?}: {error}"))?;
        Ok(Endpoint { url, patience })
    }
}

/// One address at least.
#[derive(Clone, Debug)]
struct Addresses(Vec<Url>);

fn addresses(text: &str) -> Result<Addresses, String> {
    parse_urls(text).map(Addresses)
}

impl Endpoint {
    /// A client of all addresses.
    pub(crate) fn client(&self) -> Client {
        let client = Client::of_urls(&self.url.0).expect("an address was given");
        token::with_token(client)
            .with_timeout(Duration::from_secs(self.patience.timeout_seconds.into()))
    }

    /// A client of each address: for what is said to each.
    pub(crate) fn each(&self) -> Vec<Client> {
        let timeout = Duration::from_secs(self.patience.timeout_seconds.into());
        let client = |url| {
            let client = Client::of_urls(std::slice::from_ref(url)).expect("an address was given");
            token::with_token(client).with_timeout(timeout)
        };
        self.url.0.iter().map(client).collect()
    }

    /// The first address: for a measurement, which is of one.
    pub(crate) fn first(&self) -> &Url {
        self.url.0.first().expect("an address was given")
    }
}
