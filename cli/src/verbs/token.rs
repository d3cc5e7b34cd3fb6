//! `synod token`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use clap::builder::BoolishValueParser;
use client::{AccessChanged, MadeToken, OwnToken, Token as Described, TokenHolder, Vouched};
use futures::TryStreamExt;

use super::policy::{lines, text_of};
use super::{Common, Once, named};
use crate::output::{self, Format, Output};
use crate::{seconds, token};

#[derive(clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token that has some policies, and print its secret, which is told this once
    Create {
        #[command(flatten)]
        common: Common,
        /// Whose rights it has together
        #[arg(required = true, value_name = "POLICY")]
        policies: Vec<String>,
        /// Ends after so many seconds; without it, never by itself
        #[arg(
            long,
            env = "SYNOD_TTL_SECONDS",
            value_name = "N",
            value_parser = seconds::whole(1, u32::MAX),
        )]
        ttl_seconds: Option<u32>,
        /// What it is for
        #[arg(long, env = "SYNOD_DESCRIPTION", value_name = "TEXT")]
        description: Option<String>,
    },
    /// List tokens, without their secrets
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show a token by its accessor
    Show {
        #[command(flatten)]
        common: Common,
        /// What it is called by
        accessor: String,
    },
    /// Show the token that this command asks with, and what it may do
    #[command(name = "self")]
    Own {
        #[command(flatten)]
        common: Common,
    },
    /// End a token
    Delete {
        #[command(flatten)]
        common: Common,
        /// What it is called by
        accessor: String,
        #[command(flatten)]
        force: Force,
        #[command(flatten)]
        once: Once,
    },
    /// Make the first token, which may do everything, and have tokens required from then on: at
    /// a replica, from its own machine or with the secret of its --bootstrap-file
    Bootstrap {
        #[command(flatten)]
        common: Common,
    },
}

/// Whether a change is made that locks somebody out.
#[derive(clap::Args)]
pub(super) struct Force {
    /// Also where no token without an end would be left that may operate the cluster, or not
    /// the one that asks
    #[arg(long = "force", env = "SYNOD_FORCE", value_parser = BoolishValueParser::new())]
    pub(super) is_given: bool,
}

/// Does it.
pub(crate) async fn token(args: Token) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Create { common, policies, ttl_seconds, description } => {
            let mut create = common.endpoint.client().create_token(&policies);
            if let Some(seconds) = ttl_seconds {
                create = create.ttl(Duration::from_secs(seconds.into()));
            }
            if let Some(description) = description {
                create = create.description(&description);
            }
            print_made(&common, &create.await?)?;
        }
        Action::List { common } => {
            let mut tokens = common.endpoint.client().tokens().stream();
            while let Some(token) = tokens.try_next().await? {
                print(&common, &token)?;
            }
        }
        Action::Show { common, accessor } => {
            print(&common, &common.endpoint.client().token(&accessor).await?)?;
        }
        Action::Own { common } => {
            let own = common.endpoint.client().own_token().await?;
            match common.output.format() {
                Format::Json => output::json(&own)?,
                Format::Table | Format::Plain => print_own(&common, &own)?,
            }
        }
        Action::Delete { common, accessor, force, once } => {
            let mut delete = common.endpoint.client().delete_token(&accessor);
            if force.is_given {
                delete = delete.force();
            }
            let changed = named!(delete, once).await?;
            print_changed(&common.output, &changed, &format!("token {accessor} is ended"))?;
        }
        Action::Bootstrap { common } => {
            let made = common.endpoint.client().bootstrap().await;
            if let Err(error) = &made
                && let Some(secret) = error.secret()
            {
                print_perhaps_made(&common, secret.reveal())?;
            }
            print_made(&common, &made?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// On a pipe nothing but the secret, where it was told.
fn print_made(common: &Common, made: &MadeToken) -> anyhow::Result<()> {
    let secret = made.secret.as_deref();
    match common.output.format() {
        Format::Json => output::json(made)?,
        Format::Plain => output::line(secret.unwrap_or(&made.accessor))?,
        Format::Table => {
            output::line(format_args!("accessor  {}", made.accessor))?;
            if let Some(secret) = secret {
                output::line(format_args!("secret    {secret}"))?;
                token::say_where_to_keep_it();
            }
        }
    }
    Ok(())
}

/// The secret alone: nobody is told it again, and it is the first token's if that was made.
fn print_perhaps_made(common: &Common, secret: &str) -> anyhow::Result<()> {
    match common.output.format() {
        Format::Json => output::json(&serde_json::json!({ "secret": secret })),
        Format::Plain => output::line(secret),
        Format::Table => output::line(format_args!("secret    {secret} (if it was made)")),
    }
}

fn print(common: &Common, token: &Described) -> anyhow::Result<()> {
    match common.output.format() {
        Format::Json => output::json(token),
        Format::Plain => output::line(fields(token).join("\t")),
        Format::Table => output::line(fields(token).join("  ")),
    }
}

/// Accessor, policies, what is left of it and what it is for.
fn fields(token: &Described) -> Vec<String> {
    let left = token.remaining_ms.map_or_else(
        || String::from("without an end"),
        |ms| format!("{} s left", ms.div_ceil(1_000)),
    );
    vec![
        token.accessor.clone(),
        token.policies.join(","),
        left,
        output::printable(&token.description),
    ]
}

fn print_own(common: &Common, own: &OwnToken) -> anyhow::Result<()> {
    match &own.holder {
        TokenHolder::Token(token) => print(common, token)?,
        TokenHolder::Vouched(vouched) => {
            let Vouched { accessor, issuer, subject, policies, expires } = vouched;
            let until = format!("until {expires} s since 1970");
            let whose = output::printable(&format!("{subject} by {issuer}"));
            let fields = [accessor.clone(), policies.join(","), until, whose];
            let between = if common.output.format() == Format::Plain { "\t" } else { "  " };
            output::line(fields.join(between))?;
        }
    }
    lines(&own.rights).iter().try_for_each(|line| output::line(format_args!("  {line}")))
}

/// What became of a token or a policy.
pub(super) fn print_changed(
    output: &Output,
    changed: &AccessChanged,
    said: &str,
) -> anyhow::Result<()> {
    match output.format() {
        Format::Json => output::json(changed),
        Format::Plain => output::line(changed.revision),
        Format::Table => output::line(text_of(said, changed.revision)),
    }
}
