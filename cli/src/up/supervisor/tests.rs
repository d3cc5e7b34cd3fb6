use std::ffi::OsString;
use std::path::PathBuf;

use shared::config::Scheme;

use super::*;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        Self { folder }
    }

    /// A cluster of one service that runs a shell script.
    fn start(&self, script: &str, policy: Policy) -> (Cluster, mpsc::Receiver<Event>) {
        let args: Vec<OsString> = vec!["-c".into(), script.into()];
        let planned = Planned {
            service: Service::Replica,
            name: "replica-1".into(),
            port: 1,
            scheme: Scheme::Http,
            args,
        };
        Cluster::start(&[planned], Path::new("/bin/sh"), self.folder.path(), policy).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn next_pid(events: &mut mpsc::Receiver<Event>) -> u32 {
    match events.recv().await.unwrap() {
        Event::Started { pid, service: 0 } => pid,
        other @ Event::Ended { .. } | other @ Event::Started { .. } => {
            panic!("a start was expected, not {other:?}")
        }
    }
}

async fn next_end(events: &mut mpsc::Receiver<Event>) -> (String, Option<Duration>, Vec<String>) {
    match events.recv().await.unwrap() {
        Event::Ended { end, restart_in, last_lines, service: 0 } => {
            (end.to_string(), restart_in, last_lines)
        }
        other @ Event::Ended { .. } | other @ Event::Started { .. } => {
            panic!("an end was expected, not {other:?}")
        }
    }
}

fn is_running(pid: u32) -> bool {
    rustix::process::test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_ok()
}

#[tokio::test]
async fn a_service_that_dies_is_started_again_after_growing_pauses() {
    let scene = Scene::new();
    let (cluster, mut events) = scene.start("echo dying; exit 3", Policy::Restart);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        next_pid(&mut events).await;
        let (end, restart_in, last_lines) = next_end(&mut events).await;
        assert_eq!(
            (end.as_str(), last_lines),
            ("ended with exit code 3", vec![String::from("dying")])
        );
        pauses.push(restart_in.unwrap());
    }
    assert_eq!(pauses, [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
    drop(events);
    cluster.end().await;
}

#[test]
fn pauses_are_bounded() {
    assert_eq!(pause_after(1), FIRST_PAUSE);
    assert_eq!(pause_after(1_000), LONGEST_PAUSE);
}

#[tokio::test]
async fn without_restart_a_service_stays_dead() {
    let scene = Scene::new();
    let (cluster, mut events) = scene.start("kill -9 $$", Policy::LeaveDead);
    next_pid(&mut events).await;
    let (end, restart_in, _) = next_end(&mut events).await;
    assert_eq!((end.as_str(), restart_in), ("was killed by signal 9 (SIGKILL)", None));
    assert!(events.recv().await.is_none(), "its task has ended");
    cluster.end().await;
}

#[tokio::test]
async fn a_service_may_finish_what_it_does_when_it_is_to_end() {
    let scene = Scene::new();
    let script = format!(
        "trap 'echo finished > {}; exit 0' TERM; echo > {}; while :; do sleep 0.01; done",
        scene.path("finished").display(),
        scene.path("trapped").display()
    );
    let (cluster, mut events) = scene.start(&script, Policy::Restart);
    let pid = next_pid(&mut events).await;
    while !scene.path("trapped").exists() {
        sleep(Duration::from_millis(1)).await;
    }
    drop(events);
    cluster.end().await;
    assert_eq!(std::fs::read_to_string(scene.path("finished")).unwrap(), "finished\n");
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_service_that_will_not_end_is_killed() {
    let scene = Scene::new();
    let script = format!(
        "trap '' TERM; echo > {}; while :; do sleep 0.01; done",
        scene.path("trapped").display()
    );
    let (cluster, mut events) = scene.start(&script, Policy::Restart);
    let pid = next_pid(&mut events).await;
    while !scene.path("trapped").exists() {
        sleep(Duration::from_millis(1)).await;
    }
    let hurry = cluster.hurry();
    let mut ended = std::pin::pin!(cluster.end());
    let waited = timeout(Duration::from_millis(200), &mut ended).await;
    assert!(waited.is_err() && is_running(pid), "it has its patience");
    hurry.kill_all();
    ended.await;
    assert!(!is_running(pid));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_and_tried_again() {
    let scene = Scene::new();
    let planned = Planned {
        service: Service::Replica,
        name: "replica-1".into(),
        port: 1,
        scheme: Scheme::Http,
        args: Vec::new(),
    };
    let program = Path::new("/nowhere/synod");
    let (cluster, mut events) =
        Cluster::start(&[planned], program, scene.folder.path(), Policy::Restart).unwrap();
    let (end, restart_in, _) = next_end(&mut events).await;
    assert!(end.starts_with("could not be started: No such file"), "{end}");
    assert_eq!(restart_in, Some(FIRST_PAUSE));
    drop(events);
    cluster.end().await;
}

#[tokio::test]
async fn a_wrong_command_line_is_told_from_a_crash() {
    for (script, expected) in [
        ("exit 2", true),
        ("exit 78", true),
        ("exit 79", false),
        ("exit 1", false),
        ("kill -9 $$", false),
    ] {
        let scene = Scene::new();
        let (cluster, mut events) = scene.start(script, Policy::LeaveDead);
        next_pid(&mut events).await;
        let Some(Event::Ended { end, .. }) = events.recv().await else {
            panic!("{script} did not end")
        };
        assert_eq!(end.is_misconfiguration(), expected, "{script}");
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_service_that_says_it_cannot_run_so_is_not_started_again() {
    for script in ["exit 78", "exit 79"] {
        let scene = Scene::new();
        let (cluster, mut events) = scene.start(script, Policy::Restart);
        next_pid(&mut events).await;
        assert_eq!(next_end(&mut events).await.1, None, "{script}");
        assert!(events.recv().await.is_none(), "its task has ended");
        cluster.end().await;
    }
}
