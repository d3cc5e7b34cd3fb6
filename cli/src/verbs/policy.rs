//! `synod policy`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use client::{NamedPolicy, Policy as Rules, Rule};
use futures::TryStreamExt;

use super::token::{Force, print_changed};
use super::{Common, Once, named, read_input};
use crate::output::{self, Format};

#[derive(clap::Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Put a policy: from a file (JSON, as `synod policy get` prints it), or from rules
    Put {
        #[command(flatten)]
        common: Common,
        /// What it is called by
        name: String,
        #[command(flatten)]
        said: Said,
        #[command(flatten)]
        force: Force,
        #[command(flatten)]
        once: Once,
    },
    /// Print a policy
    Get {
        #[command(flatten)]
        common: Common,
        /// What it is called by
        name: String,
    },
    /// List policies
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Delete a policy: tokens that have it lose what it gives
    Delete {
        #[command(flatten)]
        common: Common,
        /// What it is called by
        name: String,
        #[command(flatten)]
        force: Force,
        #[command(flatten)]
        once: Once,
    },
}

/// What a policy is to be.
#[derive(clap::Args)]
struct Said {
    /// File with it; standard input where neither a file nor a rule is given
    file: Option<PathBuf>,
    /// A rule: a prefix of keys, '=', and rights set apart by commas (read, write, list, watch,
    /// lock, history), such as 'app/=read,list'; none after '=' denies. May be repeated
    #[arg(
        long,
        env = "SYNOD_POLICY_RULE",
        value_name = "PREFIX=RIGHTS",
        value_parser = rule,
        conflicts_with = "file",
    )]
    rule: Vec<Rule>,
    /// Rights in the cluster: read, operate
    #[arg(
        long,
        env = "SYNOD_POLICY_CLUSTER",
        value_name = "RIGHTS",
        value_delimiter = ',',
        conflicts_with = "file"
    )]
    cluster: Vec<String>,
}

impl Said {
    fn policy(self) -> anyhow::Result<Rules> {
        let Self { file, rule: rules, cluster } = self;
        if !rules.is_empty() || !cluster.is_empty() {
            return Ok(Rules { rules, cluster });
        }
        let read = read_input(file.as_deref())?;
        serde_json::from_slice(&read).context("this is no policy")
    }
}

/// Reads `PREFIX=RIGHT,RIGHT`. Keys may have `=`, rights have none.
fn rule(text: &str) -> Result<Rule, String> {
    let (prefix, rights) = text
        .rsplit_once('=')
        .ok_or_else(|| String::from("it has no '=', as in 'app/=read,list'"))?;
    let rights = rights.split(',').filter(|right| !right.is_empty()).map(str::to_owned);
    Ok(Rule { prefix: prefix.to_owned(), rights: rights.collect() })
}

/// Does it.
pub(crate) async fn policy(args: Policy) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Put { common, name, said, force, once } => {
            let mut put = common.endpoint.client().put_policy(&name, &said.policy()?);
            if force.is_given {
                put = put.force();
            }
            let changed = named!(put, once).await?;
            print_changed(&common.output, &changed, &format!("policy {name} is put"))?;
        }
        Action::Get { common, name } => {
            let NamedPolicy { name, policy } = common.endpoint.client().policy(&name).await?;
            match common.output.format() {
                Format::Json | Format::Plain => output::json(&policy)?,
                Format::Table => {
                    output::line(&name)?;
                    indented(&policy)?;
                }
            }
        }
        Action::List { common } => {
            let mut policies = common.endpoint.client().policies().stream();
            while let Some(named) = policies.try_next().await? {
                match common.output.format() {
                    Format::Json => output::json(&named)?,
                    Format::Plain => output::line(&named.name)?,
                    Format::Table => {
                        output::line(&named.name)?;
                        indented(&named.policy)?;
                    }
                }
            }
        }
        Action::Delete { common, name, force, once } => {
            let mut delete = common.endpoint.client().delete_policy(&name);
            if force.is_given {
                delete = delete.force();
            }
            let changed = named!(delete, once).await?;
            print_changed(&common.output, &changed, &format!("policy {name} is deleted"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn indented(policy: &Rules) -> anyhow::Result<()> {
    lines(policy).iter().try_for_each(|line| output::line(format_args!("  {line}")))
}

/// A policy for people, a line for each rule.
pub(super) fn lines(policy: &Rules) -> Vec<String> {
    let allowed = |rights: &[String]| match rights {
        [] => String::from("nothing"),
        rights => rights.join(", "),
    };
    let rule = |rule: &Rule| {
        let keys = match rule.prefix.as_str() {
            "" => String::from("all keys"),
            prefix => output::printable(prefix),
        };
        format!("{keys}: {}", allowed(&rule.rights))
    };
    let rules = policy.rules.iter().map(rule);
    let cluster =
        (!policy.cluster.is_empty()).then(|| format!("the cluster: {}", allowed(&policy.cluster)));
    rules.chain(cluster).collect()
}

/// What was done, and when.
pub(super) fn text_of(said: &str, revision: u64) -> String {
    format!("{said}, at revision {revision}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_prefix_and_rights() {
        let of = |prefix: &str, rights: &[&str]| Rule {
            prefix: prefix.to_owned(),
            rights: rights.iter().map(|&right| right.to_owned()).collect(),
        };
        assert_eq!(rule("app/=read,list"), Ok(of("app/", &["read", "list"])));
        assert_eq!(rule("=read"), Ok(of("", &["read"])));
        assert_eq!(rule("app/hidden/="), Ok(of("app/hidden/", &[])));
        assert_eq!(rule("a=b/=read"), Ok(of("a=b/", &["read"])));
        assert!(rule("app/").is_err());
    }

    #[test]
    fn people_are_told_what_a_policy_allows() {
        let policy = Rules {
            rules: vec![rule("=read").unwrap(), rule("a/=").unwrap()],
            cluster: vec![String::from("operate")],
        };
        assert_eq!(lines(&policy), ["all keys: read", "a/: nothing", "the cluster: operate"]);
    }
}
