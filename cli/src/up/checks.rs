//! What is looked at before anything is started, so that a refusal leaves all as it was.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::plan::Planned;
use super::{acceptors as present, logs};

/// Says what the folder holds.
const DESCRIPTION: &str = "cluster.json";
/// While it is there, a restore into the folder has not come to its end.
pub(crate) const UNFINISHED: &str = "restoring";
/// The version of the folder's layout.
const FORMAT: u32 = 1;

/// Services of an `up` that was killed a moment ago may still be about to end.
const PORTS_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two looks at the ports.
const PORTS_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    /// How many there were at the last start. Another number is the cluster's to say: a
    /// quorum of others would not share an acceptor with one of these.
    acceptors: u16,
}

/// Looks at all of it, and takes the data directory for as long as the file given back is
/// held.
pub(crate) async fn pass(
    data_dir: &Path,
    acceptors: u16,
    plan: &[Planned],
) -> anyhow::Result<File> {
    let lock = claim(data_dir, acceptors, plan)?;
    let deadline = Instant::now() + PORTS_PATIENCE;
    while let Err(error) = ports_are_free(plan) {
        if Instant::now() >= deadline {
            return Err(error);
        }
        sleep(PORTS_PAUSE).await;
    }
    // Only now, so that a start that was refused fixes nothing.
    describe(data_dir, acceptors)
        .with_context(|| format!("cannot write {} in {}", DESCRIPTION, data_dir.display()))?;
    Ok(lock)
}

/// Locks the data directory, which is made where it is missing, and checks that it may
/// hold such a cluster.
fn claim(data_dir: &Path, acceptors: u16, plan: &[Planned]) -> anyhow::Result<File> {
    if data_dir.join(UNFINISHED).exists() {
        bail!(
            "a restore into {} was cut short: remove what is in it, and restore again",
            data_dir.display()
        );
    }
    let logs = logs::folder(data_dir);
    fs::create_dir_all(&logs)
        .with_context(|| format!("cannot make {} and the folder logs in it", data_dir.display()))?;
    let lock = shared::datadir::lock(data_dir)
        .map_err(|error| anyhow!("{error}; is another `synod up` running?"))?;
    let path = data_dir.join(DESCRIPTION);
    match fs::read(&path) {
        Ok(bytes) => {
            let found: Description = serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is not what `synod up` writes", path.display()))?;
            if found.format != FORMAT {
                bail!(
                    "{} has format {}, this version reads {FORMAT}",
                    data_dir.display(),
                    found.format
                );
            }
            if found.acceptors != acceptors {
                present::check(data_dir, plan).with_context(|| {
                    format!(
                        "{} was started with --acceptors {} last, and can be with {acceptors} only \
                         once the cluster was given these (`synod acceptors set`), or name another \
                         --data-dir",
                        data_dir.display(),
                        found.acceptors
                    )
                })?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    Ok(lock)
}

/// Says what the folder holds.
pub(crate) fn describe(data_dir: &Path, acceptors: u16) -> io::Result<()> {
    let draft = data_dir.join(format!("{DESCRIPTION}.new"));
    let mut file = File::create(&draft)?;
    serde_json::to_writer(&mut file, &Description { format: FORMAT, acceptors })?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, data_dir.join(DESCRIPTION))?;
    File::open(data_dir)?.sync_all()
}

/// Nobody listens where a service is going to.
/// Refuses where somebody listens on a port of the plan.
pub(crate) fn ports_are_free(plan: &[Planned]) -> anyhow::Result<()> {
    let taken = plan.iter().filter_map(|planned| match TcpListener::bind(planned.address()) {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Some(format!("{} for {}: in use", planned.address(), planned.name))
        }
        Err(error) => Some(format!("{} for {}: {error}", planned.address(), planned.name)),
    });
    let taken: Vec<String> = taken.collect();
    if !taken.is_empty() {
        bail!("cannot listen on\n    {}\n--base-port moves all ports", taken.join("\n    "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Counts, Keepers, plan};
    use super::*;

    #[test]
    fn a_folder_is_taken_by_one_process_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        let lock = claim(&folder, 3, &[]).unwrap();
        let error = format!("{:#}", claim(&folder, 3, &[]).unwrap_err());
        assert!(error.contains("in use") && error.contains("a/b"), "{error}");
        drop(lock);
        claim(&folder, 3, &[]).expect("it is free again");
    }

    #[tokio::test]
    async fn a_folder_has_as_many_acceptors_as_at_its_last_start_unless_the_cluster_has_others() {
        let temp = tempfile::tempdir().unwrap();
        drop(claim(temp.path(), 5, &[]).unwrap());
        drop(pass(temp.path(), 3, &[]).await.expect("nothing was started with the other number"));
        let counts = Counts {
            coordinators: 1,
            keepers: Keepers { acceptors: 5, replicas: 1 },
            balancers: 1,
        };
        let plan = plan(&counts, 8000, temp.path(), shared::config::Scheme::Http);
        let error = format!("{:#}", claim(temp.path(), 5, &plan).unwrap_err());
        assert!(
            error.contains("--acceptors 3") && error.contains("acceptor-1 has no data"),
            "{error}"
        );
        assert_eq!(
            fs::read_to_string(temp.path().join(DESCRIPTION)).unwrap(),
            "{\"format\":1,\"acceptors\":3}\n"
        );
    }

    #[test]
    fn a_folder_that_is_being_restored_into_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join(UNFINISHED)).unwrap();
        let error = claim(temp.path(), 3, &[]).unwrap_err().to_string();
        assert!(error.contains("was cut short"), "{error}");
        fs::remove_dir(temp.path().join(UNFINISHED)).unwrap();
        drop(claim(temp.path(), 3, &[]).expect("it is whole"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", claim(&file.join("below"), 3, &[]).unwrap_err());
        assert!(error.contains("file/below"), "{error}");
    }

    #[test]
    fn a_port_in_use_is_named_with_its_service() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let keepers = Keepers { acceptors: 1, replicas: 1 };
        let counts = Counts { coordinators: 1, keepers, balancers: 1 };
        let mut plan = plan(&counts, 8000, Path::new("d"), shared::config::Scheme::Http);
        plan.retain(|planned| planned.name == "acceptor-1");
        plan[0].port = taken.local_addr().unwrap().port();
        let error = ports_are_free(&plan).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{} for acceptor-1", taken.local_addr().unwrap())),
            "{error}"
        );
        drop(taken);
        ports_are_free(&plan).expect("it is free now");
    }
}
