//! `synod restore`: the data directory of a new cluster, made of a snapshot.
//!
//! Every replica begins with the state, and every acceptor with a log that begins where the
//! state ends, so that coordinators propose from there on. None of them belongs to a
//! cluster: it forms when they are started, with an identity of its own.
//!
//! The snapshot is checked before anything is written. All is made in a folder of its own in
//! the data directory, which goes last: while it is there, `up` starts nothing.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;
use replica::snapshot::file::{Contents, check};
use replica::store::{OpenError, restore, restore_again};
use serde::Serialize;
use shared::datadir::DataDir;
use shared::ids::{Name, Slot};
use shared::message::Service;

use crate::output::{self, Format, Output};
use crate::up::{UNFINISHED, describe};
use crate::{console, transfer, up};

/// Stands in the root of a volume of its own.
const LOST_AND_FOUND: &str = "lost+found";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    /// What `synod backup` has made
    file: PathBuf,
    /// The folder for `synod up --data-dir`; made where it is missing, and refused where it
    /// has anything in it
    #[arg(long, env = "SYNOD_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    counts: up::Keepers,
    #[command(flatten)]
    naming: Naming,
}

/// What the services are called that the folders are for.
#[derive(Clone, Debug, clap::Args)]
struct Naming {
    /// What comes before the kind of each service in its name; `synod up` has nothing there, and
    /// the Helm chart the name of the release and a hyphen
    #[arg(long, env = "SYNOD_NAME_PREFIX", value_name = "TEXT", default_value = "", value_parser = prefix)]
    name_prefix: String,
    /// The number in the name of the first of each kind: 0 for pods of a stateful set
    #[arg(long, env = "SYNOD_FIRST_NUMBER", value_name = "N", default_value_t = 1)]
    first_number: u16,
}

impl Naming {
    fn names(&self, service: Service, count: u16) -> impl Iterator<Item = Name> {
        let first = u32::from(self.first_number);
        let name = move |number| format!("{}{}-{number}", self.name_prefix, service.as_str());
        (first..first + u32::from(count))
            .map(move |number| name(number).parse().expect("the prefix was tried"))
    }

    /// Whether `synod up` has these names.
    fn is_of_up(&self) -> bool {
        self.name_prefix.is_empty() && self.first_number == 1
    }
}

fn prefix(text: &str) -> Result<String, String> {
    // The longest name that it may come to.
    let longest = format!("{text}{}-{}", Service::Coordinator.as_str(), u32::MAX);
    longest.parse::<Name>().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// What was made.
#[derive(Debug, Serialize)]
struct Report {
    data_dir: String,
    acceptors: u16,
    replicas: u16,
    snapshot: Contents,
}

/// Restores it.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, data_dir, counts, naming, output } = args;
    if file.as_os_str() == "-" {
        bail!(
            "a restore does not read standard input: all of a snapshot is checked before \
             anything is written, so it has to be in a file"
        );
    }
    let bar = transfer::bar_of_unknown();
    bar.set_message("checking the snapshot");
    let contents = check(&file)?;
    refuse_data(&data_dir)?;
    let existed = data_dir.exists();
    let draft = data_dir.join(UNFINISHED);
    fs::create_dir_all(&data_dir)
        .and_then(|()| fs::create_dir(&draft))
        .with_context(|| format!("cannot make {}", draft.display()))?;
    let mut renamed = Vec::new();
    let made = make(&file, &data_dir, (&counts, &naming), (&bar, &mut renamed)).await;
    bar.finish_and_clear();
    if let Err(error) = made {
        clear(&data_dir, existed, &renamed);
        return Err(error);
    }
    let up::Keepers { acceptors, replicas } = counts;
    let report = Report {
        data_dir: data_dir.display().to_string(),
        acceptors,
        replicas,
        snapshot: contents,
    };
    say(&report, &naming, output.format())?;
    Ok(ExitCode::SUCCESS)
}

fn say(report: &Report, naming: &Naming, format: Format) -> anyhow::Result<()> {
    let Report { data_dir, acceptors, replicas, snapshot } = report;
    match format {
        Format::Json => output::json(report),
        Format::Plain => output::line(format_args!("{data_dir}\t{}", snapshot.revision)),
        Format::Table => {
            let next = if naming.is_of_up() {
                format!("`synod up --data-dir {data_dir}` starts it")
            } else {
                String::from("each folder is for the service of its name, before its first start")
            };
            output::line(format_args!(
                "{data_dir}: the state at revision {}, for {} and {} of a new cluster; {next}",
                snapshot.revision,
                console::counted((*acceptors).into(), "acceptor"),
                console::counted((*replicas).into(), "replica"),
            ))
        }
    }
}

/// Whatever is there is somebody's.
fn refuse_data(data_dir: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", data_dir.display()));
        }
    };
    for entry in entries {
        let name = entry?.file_name();
        if name != LOST_AND_FOUND {
            bail!(
                "{} has {} in it: a restore makes a new cluster, in an empty folder",
                data_dir.display(),
                name.display()
            );
        }
    }
    Ok(())
}

/// Takes away what this restore has made, and nothing else. What stays is refused by `up`, and
/// by the next restore.
fn clear(data_dir: &Path, existed: bool, renamed: &[Name]) {
    for name in renamed {
        let _stays = fs::remove_dir_all(data_dir.join(name.as_str()));
    }
    let _stays = fs::remove_dir_all(data_dir.join(UNFINISHED));
    if !existed {
        let _stays = fs::remove_dir(data_dir);
    }
}

async fn make(
    file: &Path,
    data_dir: &Path,
    (counts, naming): (&up::Keepers, &Naming),
    (bar, renamed): (&ProgressBar, &mut Vec<Name>),
) -> anyhow::Result<()> {
    let draft = data_dir.join(UNFINISHED);
    let replicas: Vec<Name> = naming.names(Service::Replica, counts.replicas).collect();
    let acceptors: Vec<Name> = naming.names(Service::Acceptor, counts.acceptors).collect();
    let below = make_replicas(file, &draft, &replicas, bar).await?;
    for name in &acceptors {
        let dir = DataDir::open(&draft.join(name.as_str()), Service::Acceptor, name)?;
        acceptor::begin_at(&dir.join(acceptor::LOG), below)?;
    }
    for name in acceptors.iter().chain(&replicas) {
        fs::rename(draft.join(name.as_str()), data_dir.join(name.as_str()))?;
        renamed.push(name.clone());
    }
    if naming.is_of_up() {
        describe(data_dir, counts.acceptors)?;
    }
    File::open(data_dir)?.sync_all()?;
    fs::remove_dir(&draft)?;
    File::open(data_dir)?.sync_all()?;
    Ok(())
}

/// Says below which slot the state has executed everything.
async fn make_replicas(
    file: &Path,
    draft: &Path,
    names: &[Name],
    bar: &ProgressBar,
) -> anyhow::Result<Slot> {
    let mut first: Option<(DataDir, Slot)> = None;
    for name in names {
        bar.set_message(format!("writing {name}"));
        let dir = DataDir::open(&draft.join(name.as_str()), Service::Replica, name)?;
        match &first {
            None => {
                let made = restore(file, dir.path(), name).await;
                let meta = made.map_err(|error| of_the_file(file, error))?;
                first = Some((dir, meta.executed_below));
            }
            Some((first, _)) => restore_again(first.path(), dir.path(), name).await?,
        }
    }
    let (_, below) = first.context("no replica is to be made")?;
    Ok(below)
}

/// What is wrong with a replica's state that was just made of a backup is wrong with that.
fn of_the_file(file: &Path, error: OpenError) -> anyhow::Error {
    let OpenError::Damaged { what, .. } = error else { return error.into() };
    anyhow!(
        "{} is damaged, though it has the digest that it names: {what}; restore another backup",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use shared::causes::causes;

    use super::*;

    #[test]
    fn only_an_empty_folder_is_restored_into() {
        let temp = tempfile::tempdir().unwrap();
        refuse_data(&temp.path().join("missing")).unwrap();
        refuse_data(temp.path()).unwrap();
        fs::create_dir(temp.path().join("lost+found")).unwrap();
        refuse_data(temp.path()).unwrap();
        fs::write(temp.path().join("cluster.json"), "").unwrap();
        let error = refuse_data(temp.path()).unwrap_err().to_string();
        assert!(error.contains("has cluster.json in it"), "{error}");
    }

    #[test]
    fn the_names_are_those_of_up_or_of_the_chart() {
        let names = |prefix: &str, first_number| -> Vec<String> {
            let naming = Naming { name_prefix: prefix.to_owned(), first_number };
            naming.names(Service::Acceptor, 2).map(|name| name.to_string()).collect()
        };
        assert_eq!(names("", 1), ["acceptor-1", "acceptor-2"]);
        assert_eq!(names("synod-", 0), ["synod-acceptor-0", "synod-acceptor-1"]);
        assert!(
            prefix("a b").is_err() && prefix("../").is_err() && prefix(&"x".repeat(64)).is_err()
        );
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_said_once_and_with_what_to_do() {
        let temp = tempfile::tempdir().unwrap();
        let missing = temp.path().join("missing");
        let no_file =
            format!("cannot open {}: No such file or directory (os error 2)", missing.display());
        for (file, says) in [
            (missing, no_file.as_str()),
            (
                PathBuf::from("-"),
                "a restore does not read standard input: all of a snapshot is checked before \
                 anything is written, so it has to be in a file",
            ),
        ] {
            let data_dir = temp.path().join("data");
            let counts = up::Keepers { acceptors: 3, replicas: 3 };
            let output = <Output as Default>::default();
            let naming = Naming { name_prefix: String::new(), first_number: 1 };
            let args = Args { output, file, data_dir: data_dir.clone(), counts, naming };
            assert_eq!(causes(&run(args).await.unwrap_err()), says);
            assert!(!data_dir.exists());
        }
    }

    #[tokio::test]
    async fn what_is_no_snapshot_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("text");
        fs::write(&file, "hello").unwrap();
        let data_dir = temp.path().join("data");
        let counts = up::Keepers { acceptors: 3, replicas: 3 };
        let output = <Output as Default>::default();
        let naming = Naming { name_prefix: String::new(), first_number: 1 };
        let args = Args { output, file, data_dir: data_dir.clone(), counts, naming };
        let error = run(args).await.unwrap_err().to_string();
        assert!(error.contains("is no snapshot: it is no SQLite file"), "{error}");
        assert!(!data_dir.exists());
    }
}
