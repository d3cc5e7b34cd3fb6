//! `synod up` on data of a cluster that had fewer acceptors or replicas.

use reqwest::Method;
use serde_json::json;

use super::*;

impl Up {
    /// Ends all services, and starts them again, of one kind so many.
    fn again_with(&mut self, dir: &Path, flag: &str, count: u16) -> Result<()> {
        ensure!(self.process.terminate(LIMIT)?.success(), "{}", self.process.output()?);
        let args = args(self.base, dir, &[flag, &count.to_string()]);
        self.process = Process::new(&format!("up{flag}-{count}"), synod(), args, dir);
        self.process.start()
    }

    /// Has the first of its acceptors be those of the cluster.
    async fn set_acceptors(&self, count: u16) -> Result<()> {
        let urls: Vec<String> = (1..=count).map(|number| self.url(200 + number)).collect();
        let body = json!({"acceptors": urls}).to_string();
        eventually("the acceptors are changed", || async {
            let request = self.request(Method::POST, 0, "/v1/cluster/acceptors").timeout(LIMIT);
            let request = request.header("content-type", "application/json").body(body.clone());
            let answer = request.send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            ensure!(status == 200, "{status} {text}");
            Ok(())
        })
        .await
    }
}

/// As the documentation of changes of the acceptors says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn up_goes_on_with_as_many_acceptors_as_the_cluster_was_given() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path();
    let mut up = Up::started(dir).await?;
    up.put("before", "1").await?;
    let mut come = Vec::new();
    for number in [4, 5] {
        let name = format!("acceptor-{number}");
        let listen = format!("127.0.0.1:{}", up.base + 200 + number);
        let folder = dir.join("data").join(&name).to_string_lossy().into_owned();
        let args = ["acceptor", "--id", &name, "--listen", &listen, "--data-dir", &folder];
        come.push(Process::new(&name, synod(), args.map(str::to_owned).to_vec(), dir));
    }
    come.iter_mut().try_for_each(Process::start)?;
    eventually("those that come have started", || async {
        up.status(204).await?;
        up.status(205).await
    })
    .await?;

    // That they run does not make them the cluster's.
    come.iter_mut().try_for_each(|process| process.terminate(LIMIT).map(drop))?;
    up.again_with(dir, "--acceptors", 5)?;
    ensure!(!up.process.wait(LIMIT)?.success(), "{}", up.process.output()?);
    let said = up.process.output()?;
    ensure!(said.contains("the cluster has 3 acceptors, and these are not all of them"), "{said}");

    up.process = Process::new("up-3", synod(), args(up.base, dir, &[]), dir);
    up.process.start()?;
    up.wait_until_announced().await?;
    come.iter_mut().try_for_each(Process::start)?;
    up.set_acceptors(5).await?;
    up.put("grown", "2").await?;
    come.iter_mut().try_for_each(|process| process.terminate(LIMIT).map(drop))?;
    up.again_with(dir, "--acceptors", 5)?;
    up.wait_until_announced().await?;
    ensure!(up.get("before").await? == "1" && up.get("grown").await? == "2");
    for number in 1..=5 {
        let status = up.status(200 + number).await?;
        ensure!(status["roster"]["generation"] == 1, "acceptor-{number}: {status}");
    }

    // And back.
    up.set_acceptors(3).await?;
    up.again_with(dir, "--acceptors", 3)?;
    up.wait_until_announced().await?;
    ensure!(up.get("grown").await? == "2");
    up.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_goes_on_with_more_replicas_and_all_of_them_are_read() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path();
    let mut up = Up::started(dir).await?;
    up.put("before", "1").await?;
    up.again_with(dir, "--replicas", 5)?;
    up.wait_until_announced().await?;
    eventually("all are in the view", || async {
        let view = up.status(301).await?["view"].clone();
        ensure!(view["backups"].as_array().is_some_and(|backups| backups.len() == 4), "{view}");
        Ok(())
    })
    .await?;
    up.put("after", "2").await?;
    for port in [304, 305] {
        for (key, value) in [("before", "1"), ("after", "2")] {
            let read = up.request(Method::GET, port, &format!("/v1/kv/{key}")).send().await?;
            let (status, text) = (read.status(), read.text().await?);
            ensure!(status == 200 && text == value, "{port}: {status} {text}");
        }
    }
    up.end()
}
