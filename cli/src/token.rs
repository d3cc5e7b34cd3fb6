//! With which token a command asks. It never stands on the command line, which everybody on
//! the machine can read.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context;
use client::Client;

use crate::console;

/// The variable with the secret itself.
const VARIABLE: &str = "SYNOD_TOKEN";

/// Flags of all commands that ask a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TokenArgs {
    /// File with the secret of the token to ask with; else SYNOD_TOKEN is that secret
    #[arg(long, env = "SYNOD_TOKEN_FILE", value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

static ARGS: OnceLock<TokenArgs> = OnceLock::new();
static SECRET: OnceLock<Option<String>> = OnceLock::new();

impl TokenArgs {
    /// Notes where the token is, for whoever needs one.
    pub(crate) fn remember(&self) {
        drop(ARGS.set(self.clone()));
    }
}

/// Reads the token, where there is one.
pub(crate) fn read() -> anyhow::Result<()> {
    let file = ARGS.get().and_then(|args| args.token_file.as_ref());
    let secret = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read --token-file {}", file.display()))?;
            Some(text.trim().to_owned())
        }
        None => std::env::var(VARIABLE).ok().filter(|secret| !secret.is_empty()),
    };
    if let Some(secret) = &secret {
        // Said now, by what is wrong with it.
        Client::new("http://127.0.0.1")?.with_token(secret)?;
    }
    drop(SECRET.set(secret));
    Ok(())
}

/// The secret that was read.
pub(crate) fn given() -> Option<&'static str> {
    SECRET.get()?.as_deref()
}

/// The same client, which has the token that was read.
pub(crate) fn with_token(client: Client) -> Client {
    match given() {
        Some(secret) => client.with_token(secret).expect("the token was taken before"),
        None => client,
    }
}

/// Says on a terminal what to do with a secret.
pub(crate) fn say_where_to_keep_it() {
    console::say(
        "keep it: it is told this once. SYNOD_TOKEN or --token-file has commands ask with it",
    );
}
