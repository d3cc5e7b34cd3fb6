//! The HTTP contract, as a user of curl meets it, through the balancer and at every
//! replica.

mod api;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};

use self::api::{Api, assert_problem, header, json};
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_at_the_balancer_and_at_every_replica() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut doors = vec!["balancer-1".to_owned()];
    doors.extend(cluster.names("replica"));
    for door in doors {
        let api = Api { cluster: &cluster, base: cluster.url(&door).to_owned() };
        let prefix = format!("{door}/");
        keys(&api, &prefix).await.with_context(|| format!("keys at {door}"))?;
        exactly_once(&api, &prefix).await.with_context(|| format!("exactly once at {door}"))?;
        compare_and_swap(&api, &prefix)
            .await
            .with_context(|| format!("compare-and-swap at {door}"))?;
        lists(&api, &prefix).await.with_context(|| format!("lists at {door}"))?;
        refusals(&api).await.with_context(|| format!("refusals at {door}"))?;
        log(&api).await.with_context(|| format!("the log at {door}"))?;
    }
    Ok(())
}

async fn keys(api: &Api<'_>, prefix: &str) -> Result<()> {
    let path = format!("/v1/kv/{prefix}a%20key%2Fwith%C3%A9");
    let bytes = [0, 255, 10, 13, 200];
    let created = api.put(&path, &[("content-type", "image/x-odd")], &bytes).await?;
    ensure!(created.status() == StatusCode::CREATED);
    let etag = header(&created, "etag")?;
    let revision: u64 = header(&created, "synod-revision")?.parse()?;
    let said = json(created).await?;
    ensure!(
        said == json!({"key": format!("{prefix}a key/withé"), "revision": revision, "created_revision": revision, "version": 1}),
        "{said}"
    );
    ensure!(etag == format!("\"{revision}\""));

    let same = format!("/v1/kv/{prefix}a%20key/with%c3%A9");
    let read = api.get(&same).await?;
    ensure!(
        read.status() == 200
            && header(&read, "content-type")? == "image/x-odd"
            && header(&read, "etag")? == etag
    );
    ensure!(
        header(&read, "synod-version")? == "1"
            && header(&read, "synod-created-revision")? == revision.to_string()
    );
    ensure!(read.bytes().await?.as_ref() == bytes);
    let head = api.call(Method::HEAD, &path, &[], b"").await?;
    ensure!(
        head.status() == 200
            && header(&head, "etag")? == etag
            && header(&head, "content-length")? == "5"
    );

    let replaced = api.put(&path, &[], b"second").await?;
    ensure!(replaced.status() == 200, "{}", replaced.status());
    let second: u64 = header(&replaced, "synod-revision")?.parse()?;
    let own =
        api.call(Method::GET, &path, &[("synod-min-revision", &second.to_string())], b"").await?;
    ensure!(header(&own, "synod-version")? == "2" && own.bytes().await?.as_ref() == b"second");
    let old = api.get(&format!("{path}?revision={revision}")).await?;
    ensure!(old.status() == 200 && old.bytes().await?.as_ref() == bytes);
    let unchanged =
        api.call(Method::GET, &path, &[("if-none-match", &format!("\"{second}\""))], b"").await?;
    ensure!(unchanged.status() == 304);
    assert_problem(
        api.get(&format!("{path}?revision={}", second + 1_000_000)).await?,
        400,
        "revision",
    )
    .await?;

    let deleted = json(api.call(Method::DELETE, &path, &[], b"").await?).await?;
    ensure!(deleted["deleted"] == 1 && deleted["revision"].as_u64() > Some(second), "{deleted}");
    let again = json(api.call(Method::DELETE, &path, &[], b"").await?).await?;
    ensure!(again["deleted"] == 0, "{again}");
    let gone = api.get(&path).await?;
    ensure!(gone.headers().contains_key("synod-revision"));
    assert_problem(gone, 404, "").await?;
    let local = api.get(&format!("{path}?consistency=local")).await?;
    ensure!(header(&local, "synod-lag")?.parse::<u64>().is_ok());
    Ok(())
}

async fn compare_and_swap(api: &Api<'_>, prefix: &str) -> Result<()> {
    let path = format!("/v1/kv/{prefix}swap");
    let refused =
        assert_problem(api.put(&path, &[("if-match", "*")], b"x").await?, 412, "not_applied")
            .await?;
    ensure!(refused["outcome"] == "not_applied");
    let created = api.put(&path, &[("if-none-match", "*")], b"1").await?;
    ensure!(created.status() == 201);
    let etag = header(&created, "etag")?;
    assert_problem(api.put(&path, &[("if-none-match", "*")], b"2").await?, 412, "not_applied")
        .await?;
    let swapped = api.put(&path, &[("if-match", &etag)], b"2").await?;
    ensure!(swapped.status() == 200);
    assert_problem(api.put(&path, &[("if-match", &etag)], b"3").await?, 412, "not_applied").await?;
    assert_problem(
        api.call(Method::DELETE, &path, &[("if-match", &etag)], b"").await?,
        412,
        "not_applied",
    )
    .await?;
    ensure!(api.get(&path).await?.bytes().await?.as_ref() == b"2");
    Ok(())
}

async fn lists(api: &Api<'_>, prefix: &str) -> Result<()> {
    let below = format!("{prefix}list/");
    for key in ["b", "a", "c", "d/e"] {
        ensure!(
            api.put(&format!("/v1/kv/{below}{key}"), &[], key.as_bytes()).await?.status() == 201
        );
    }
    let keys_of = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item["key"].as_str().unwrap_or("").trim_start_matches(&below).to_owned())
            .collect()
    };
    let first = api.get(&format!("/v1/kv?prefix={below}&limit=3")).await?;
    ensure!(header(&first, "link")?.contains("rel=\"next\""));
    let first = json(first).await?;
    ensure!(keys_of(&first) == ["a", "b", "c"], "{first}");
    ensure!(
        first["items"][0]["value"] == "a" && first["items"][0]["encoding"] == "utf8",
        "{first}"
    );
    // What happens after the first page is not on the second.
    ensure!(api.put(&format!("/v1/kv/{below}z"), &[], b"late").await?.status() == 201);
    let cursor = first["next"].as_str().context("a cursor")?;
    let second =
        json(api.get(&format!("/v1/kv?prefix={below}&limit=3&cursor={cursor}")).await?).await?;
    ensure!(
        keys_of(&second) == ["d/e"]
            && second["revision"] == first["revision"]
            && second["next"].is_null(),
        "{second}"
    );
    let reverse =
        json(api.get(&format!("/v1/kv?prefix={below}&reverse=true&keys_only=true")).await?).await?;
    ensure!(
        keys_of(&reverse) == ["z", "d/e", "c", "b", "a"]
            && reverse["items"][0].get("value").is_none(),
        "{reverse}"
    );
    let ranged = json(api.get(&format!("/v1/kv?start={below}b&end={below}d")).await?).await?;
    ensure!(keys_of(&ranged) == ["b", "c"], "{ranged}");
    let streamed = api
        .call(
            Method::GET,
            &format!("/v1/kv?prefix={below}"),
            &[("accept", "application/x-ndjson")],
            b"",
        )
        .await?;
    ensure!(streamed.text().await?.lines().count() == 5);

    assert_problem(api.call(Method::DELETE, "/v1/kv?prefix=", &[], b"").await?, 400, "all").await?;
    let deleted =
        json(api.call(Method::DELETE, &format!("/v1/kv?prefix={below}"), &[], b"").await?).await?;
    ensure!(deleted["deleted"] == 5, "{deleted}");
    Ok(())
}

async fn exactly_once(api: &Api<'_>, prefix: &str) -> Result<()> {
    let path = format!("/v1/kv/{prefix}once");
    let (name, bare, quoted) = ("idempotency-key", format!("{prefix}k"), format!("\"{prefix}k\""));
    let first = api.put(&path, &[(name, &bare)], b"1").await?;
    let revision = header(&first, "synod-revision")?;
    ensure!(first.status() == 201, "{first:?}");
    ensure!(api.put(&path, &[], b"2").await?.status() == 200);
    let again = api.put(&path, &[(name, &quoted)], b"1").await?;
    ensure!(again.status() == 201 && header(&again, "synod-revision")? == revision, "{again:?}");
    ensure!(header(&again, "idempotency-replayed")? == "true");
    ensure!(api.get(&path).await?.bytes().await? == "2"[..], "it was written again");
    assert_problem(api.put(&path, &[(name, &bare)], b"3").await?, 422, "Idempotency-Key").await?;
    Ok(())
}

async fn refusals(api: &Api<'_>) -> Result<()> {
    assert_problem(api.get("/v1/kv/").await?, 400, "key").await?;
    assert_problem(api.get(&format!("/v1/kv/{}", "k".repeat(1_025))).await?, 400, "1024").await?;
    ensure!(api.get(&format!("/v1/kv/{}", "k".repeat(1_024))).await?.status() == 404);
    assert_problem(api.get("/v1/kv/%ff").await?, 400, "UTF-8").await?;
    assert_problem(api.put("/v1/kv/big", &[], &vec![7; (1 << 20) + 1]).await?, 413, "1048576")
        .await?;
    assert_problem(api.get("/v1/kv?limit=1001").await?, 400, "1000").await?;
    assert_problem(api.get("/v1/kv/x?unknown=1").await?, 400, "unknown").await?;
    assert_problem(api.get("/v1/kv/x?consistency=eventual").await?, 400, "consistency").await?;
    assert_problem(
        api.call(Method::GET, "/v1/kv/x", &[("synod-timeout", "soon")], b"").await?,
        400,
        "Synod-Timeout",
    )
    .await?;
    assert_problem(
        api.put("/v1/kv/x", &[("idempotency-key", "a b")], b"v").await?,
        400,
        "Idempotency-Key",
    )
    .await?;
    assert_problem(api.put("/v1/kv/x?lease=999", &[], b"v").await?, 404, "lease").await?;
    assert_problem(
        api.call(Method::GET, "/v1/kv/x", &[("x-large", &"h".repeat(20_000))], b"").await?,
        431,
        "",
    )
    .await?;
    assert_problem(api.get("/v1/nothing").await?, 404, "").await?;
    assert_problem(api.call(Method::PATCH, "/v1/kv/x", &[], b"").await?, 405, "").await?;
    eventually("a revision that does not come is waited for in vain", || async {
        let headers = [("synod-min-revision", "999999999"), ("synod-timeout", "1s")];
        let response = api.call_once(Method::GET, "/v1/kv/x", &headers, b"").await?;
        // Where a busy machine has not even found out how new the state is, or not said
        // so in time.
        ensure!(response.status() != StatusCode::GATEWAY_TIMEOUT, "{}", response.text().await?);
        assert_problem(response, 503, "revision").await
    })
    .await?;
    Ok(())
}

async fn log(api: &Api<'_>) -> Result<()> {
    let page = api.get("/v1/log?from=0&limit=5").await?;
    ensure!(header(&page, "link")? == "</v1/log?from=5&limit=5>; rel=\"next\"");
    let page = json(page).await?;
    let entries = page.as_array().context("a list of slots")?.clone();
    ensure!(entries.len() == 5, "{page}");
    for pair in entries.windows(2) {
        ensure!(pair[1]["previous_hash"] == pair[0]["hash"], "the hashes are a chain: {pair:?}");
        ensure!(pair[1]["slot"].as_u64() == pair[0]["slot"].as_u64().map(|slot| slot + 1));
    }
    ensure!(
        entries.iter().any(|entry| entry["kind"] == "view"),
        "the first view is in the log: {page}"
    );
    let one = json(api.get("/v1/log/0").await?).await?;
    ensure!(one == entries[0], "{one}");
    assert_problem(api.get("/v1/log/99999999").await?, 404, "").await?;
    assert_problem(api.get("/v1/log/first").await?, 400, "slot").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_describes_itself() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    // Each service announces itself to the acceptors every half a second.
    eventually("every service is known to every other", || async {
        let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
        let seen = cluster.json("balancer-1", "/v1/cluster").await?;
        ensure!(
            seen["view"]["primary"] == primary.as_str()
                && seen["view"]["backups"].as_array().map(Vec::len) == Some(2),
            "{seen}"
        );
        ensure!(
            seen["leader"]["url"] == cluster.url(&leader)
                && seen["leader"]["ballot"]["round"].is_u64(),
            "{seen}"
        );
        for (field, count) in [("coordinators", 2), ("acceptors", 3), ("replicas", 3)] {
            ensure!(seen[field].as_array().map(Vec::len) == Some(count), "{field}: {seen}");
        }
        ensure!(
            seen["ratios"]["votes_per_decision"].is_number()
                && seen["ratios"]["backups_per_primary"] == 2.0,
            "{seen}"
        );
        ensure!(seen["ratios"]["requests_per_node"].is_object(), "{seen}");
        Ok(())
    })
    .await?;
    for kind in ["acceptor", "coordinator", "replica", "balancer"] {
        for name in cluster.names(kind) {
            let status = cluster.json(&name, "/v1/status").await?;
            ensure!(
                status["service"] == kind
                    && status["id"] == name.as_str()
                    && status["pid"].is_u64(),
                "{status}"
            );
            ensure!(
                cluster.http().get(format!("{}/livez", cluster.url(&name))).send().await?.status()
                    == 200,
                "{name} lives"
            );
            eventually("it is ready", || async {
                let response = cluster
                    .http()
                    .get(format!("{}/readyz?verbose", cluster.url(&name)))
                    .send()
                    .await?;
                ensure!(response.status() == 200, "{name}: {}", response.text().await?);
                Ok(())
            })
            .await?;
        }
    }
    Ok(())
}
