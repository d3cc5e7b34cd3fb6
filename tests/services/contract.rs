//! The contract of the client API as `/openapi.json` has it, held against what services
//! answer: the methods of every path, and what comes of bad input, which is made up from
//! what each operation takes. So whatever gets an entry there is tried here, too.

use anyhow::{Context, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

/// One request that is not understood.
struct Bad {
    why: String,
    query: Vec<(String, String)>,
    /// What stands in the query as it is.
    raw: &'static str,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    statuses: &'static [u16],
    /// What the problem must name.
    named: String,
}

/// One method of one path.
struct Operation {
    method: Method,
    /// With examples for its parameters.
    path: String,
    entry: Value,
}

impl Operation {
    fn is_mutation(&self) -> bool {
        self.parameters("header").any(|it| it["name"] == "Idempotency-Key")
    }

    fn parameters<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.entry["parameters"].as_array().into_iter().flatten();
        all.filter(move |it| it["in"] == place)
    }

    /// The example of what it takes, and its type.
    fn body(&self) -> Option<(&str, &Value)> {
        let contents = self.entry["requestBody"]["content"].as_object()?;
        let json = contents.get_key_value("application/json").or_else(|| contents.iter().next())?;
        Some((json.0, &json.1["example"]))
    }

    fn takes_json(&self) -> bool {
        self.body().is_some_and(|(media_type, _)| media_type == "application/json")
    }

    /// Whether it takes a body of another type as well.
    fn takes_else(&self) -> bool {
        self.entry["requestBody"]["content"].as_object().is_some_and(|contents| contents.len() > 1)
    }

    /// What it does not do without.
    fn needed(&self) -> Option<(&str, &str)> {
        match (self.method.as_str(), self.path.as_str()) {
            ("GET", "/v1/diff") => Some(("from", "0")),
            ("DELETE", "/v1/kv") => Some(("prefix", "none/")),
            ("GET", "/v1/spans") => Some(("trace", "4bf92f3577b34da6a3ce929d0e0e4736")),
            ("DELETE", path) if path.starts_with("/v1/locks/") => Some(("lease", "41")),
            _ => None,
        }
    }

    fn bad_inputs(&self) -> Vec<Bad> {
        let mut all = vec![
            self.with_query("an unknown parameter", "bogus", "1", "bogus"),
            self.with_raw_query("a name that is no UTF-8", "bogus%FF=1", "UTF-8"),
            self.with_raw_query("a broken escape", "bogus%F=1", "hexadecimal"),
        ];
        for parameter in self.parameters("query") {
            let name = parameter["name"].as_str().unwrap_or_default();
            let schema = &parameter["schema"];
            let wrong: &[&str] = match schema["type"].as_str() {
                Some("integer") => &["-1", "1.5", "x", "", "99999999999999999999", "0x1"],
                Some("boolean") => &["maybe", "2"],
                _ if schema["enum"].is_array() => &["neither", ""],
                _ => &[],
            };
            for value in wrong {
                all.push(self.with_query(&format!("{name}={value:?}"), name, value, name));
            }
            if schema["type"] != "array" {
                let example = text(&parameter["example"]);
                let mut twice = self.with_query(&format!("{name} twice"), name, &example, name);
                twice.query.push((name.to_owned(), example));
                all.push(twice);
            }
        }
        for parameter in self.parameters("header") {
            let name = parameter["name"].as_str().unwrap_or_default();
            let wrong: &[&str] = match name {
                "Synod-Timeout" => &["soon", "-1s", "0", "1h"],
                "Synod-Min-Revision" => &["-1", "x", "99999999999999999999"],
                "Idempotency-Key" => &["", "a b"],
                "If-Match" | "If-None-Match" => &["42"],
                "Last-Event-ID" => &["x"],
                _ => &[],
            };
            for value in wrong {
                all.push(self.with_header(name, value));
            }
        }
        all.extend(self.bad_bodies());
        all
    }

    fn bad_bodies(&self) -> Vec<Bad> {
        let Some((_, example)) = self.body().filter(|_| self.takes_json()) else {
            return Vec::new();
        };
        let good = example.to_string();
        let mut unknown = example.clone();
        unknown["bogus"] = Value::from(1);
        let first = example.as_object().and_then(|it| it.iter().next()).expect("it has a field");
        let twice = format!("{{\"{}\":{},{}", first.0, first.1, &good[1..]);
        let mut other_type = example.clone();
        other_type[first.0.as_str()] =
            if first.1.is_boolean() { Value::from("x") } else { Value::from(true) };
        let fields: Vec<&Value> = example.as_object().expect("an object").values().collect();
        let array = serde_json::to_string(&fields).expect("JSON");
        // Of one of a few words, JSON's reader says no more than that it is none.
        let type_of_it = if first.0 == "policy" { "" } else { "boolean" };
        let bodies: [(&str, Vec<u8>, &str); 9] = [
            ("an unknown field", unknown.to_string().into(), "bogus"),
            ("a field twice", twice.into(), first.0),
            ("a field of another type", other_type.to_string().into(), type_of_it),
            ("an array of the fields", array.into(), "object"),
            ("half of it", good.as_bytes()[..good.len() / 2].to_vec(), ""),
            ("nothing", Vec::new(), ""),
            ("null", b"null".to_vec(), "null"),
            ("no UTF-8", b"\"\xff\"".to_vec(), ""),
            ("more behind it", format!("{good}1").into(), ""),
        ];
        let mut all: Vec<Bad> = bodies
            .into_iter()
            .map(|(why, body, named)| Bad { body: Some(body), ..self.bad(why, &[400], named) })
            .collect();
        let mut form = self.bad("another type of body", &[415], "application/json");
        form.headers.push(("content-type".to_owned(), "image/png".to_owned()));
        form.body = Some(good.into());
        all.push(form);
        // As JSON it is read whatever curl calls it, and no page of another origin has it read.
        let form = ("content-type", "application/x-www-form-urlencoded");
        let names: &[_] = if self.takes_else() { &[] } else { &[form, ("content-type", "")] };
        for name in names {
            let mut as_json = self.bad("JSON by another name", &[400], "bogus");
            as_json.headers = owned(&[*name]);
            as_json.body = Some(unknown.to_string().into());
            all.push(as_json);
        }
        let mut foreign = self.bad("a form of a foreign page", &[403], "origin");
        foreign.headers = owned(&[form, ("origin", "http://evil.example")]);
        foreign.body = Some(unknown.to_string().into());
        all.push(foreign);
        let large = vec![b' '; (1 << 20) + (64 << 10)];
        all.push(Bad { body: Some(large), ..self.bad("too much of it", &[413], "limit") });
        all
    }

    fn bad(&self, why: &str, statuses: &'static [u16], named: &str) -> Bad {
        let (query, headers) = (Vec::new(), Vec::new());
        let (why, named) = (why.to_owned(), named.to_owned());
        Bad { why, query, raw: "", headers, body: None, statuses, named }
    }

    fn with_raw_query(&self, why: &str, raw: &'static str, named: &str) -> Bad {
        Bad { raw, ..self.bad(why, &[400], named) }
    }

    fn with_query(&self, why: &str, name: &str, value: &str, named: &str) -> Bad {
        let mut bad = self.bad(why, &[400], named);
        bad.query.push((name.to_owned(), value.to_owned()));
        bad
    }

    fn with_header(&self, name: &str, value: &str) -> Bad {
        let mut bad = self.bad(&format!("{name}: {value}"), &[400], name);
        bad.headers.push((name.to_owned(), value.to_owned()));
        bad
    }
}

/// Every answer names its trace, and a revision.
fn says_where_it_stands(headers: &HeaderMap) -> Result<()> {
    let field = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = field("trace-id").context("no Trace-Id")?;
    ensure!(trace.len() == 32 && u128::from_str_radix(trace, 16).is_ok(), "Trace-Id: {trace}");
    let revision = field("synod-revision").context("no Synod-Revision")?;
    ensure!(revision.parse::<u64>().is_ok(), "Synod-Revision: {revision}");
    Ok(())
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn document(cluster: &Cluster, door: &str) -> Result<Value> {
    eventually("the contract is served", async || {
        let url = format!("{}/openapi.json", cluster.url(door));
        Ok(cluster.http().get(url).send().await?.error_for_status()?.json().await?)
    })
    .await
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let of = |(path, entry): (&String, &Value)| {
        let mut all = Vec::new();
        for (method, entry) in entry.as_object().into_iter().flatten() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let operation = Operation { method, path: path.clone(), entry: entry.clone() };
            let mut shown = path.clone();
            for parameter in operation.parameters("path") {
                let name = parameter["name"].as_str().unwrap_or_default();
                shown = shown.replace(&format!("{{{name}}}"), &text(&parameter["example"]));
            }
            all.push(Operation { path: shown, ..operation });
        }
        all
    };
    paths.flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_has_the_methods_that_the_contract_says() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let contract = document(&cluster, "replica-1").await?;
    let of_balancer = document(&cluster, "balancer-1").await?;
    let mut rest = of_balancer.clone();
    for (pointer, own) in [("/paths", "/v1/balancer"), ("/components/schemas", "Balanc")] {
        let all = rest.pointer_mut(pointer).and_then(Value::as_object_mut).context("an object")?;
        let before = all.len();
        all.retain(|name, _| !name.starts_with(own));
        ensure!(all.len() + 3 <= before, "a balancer tells nothing of its own at {pointer}");
    }
    ensure!(rest == contract, "each says another one");
    has_these_methods(&cluster, "replica-1", &operations(&contract)).await?;
    has_these_methods(&cluster, "balancer-1", &operations(&of_balancer)).await
}

async fn has_these_methods(cluster: &Cluster, door: &str, operations: &[Operation]) -> Result<()> {
    ensure!(operations.len() > 15, "{} operations", operations.len());
    for operation in operations {
        let of_path = operations.iter().filter(|it| it.path == operation.path);
        let mut said: Vec<String> = of_path.map(|it| it.method.to_string()).collect();
        let url = format!("{}{}", cluster.url(door), operation.path);
        let response = cluster.http().request(Method::OPTIONS, url).send().await?;
        let path = &operation.path;
        ensure!(response.status() == StatusCode::METHOD_NOT_ALLOWED, "{path}: {response:?}");
        let allow = response.headers().get("allow").context("no Allow")?.to_str()?;
        let mut allowed: Vec<String> = allow.split(',').map(|it| it.trim().to_owned()).collect();
        for methods in [&mut said, &mut allowed] {
            // Whoever answers GET answers HEAD.
            methods.retain(|method| method != "HEAD");
            methods.sort();
        }
        ensure!(said == allowed, "{path}: the contract says {said:?}, the service {allowed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_refused_by_name_and_changes_nothing() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (door, contract) = ("balancer-1", document(&cluster, "balancer-1").await?);
    let revision = async || -> Result<String> {
        eventually("a revision is read", async || {
            let url = format!("{}/v1/kv?limit=1", cluster.url(door));
            let said = cluster.http().get(url).send().await?.error_for_status()?;
            Ok(said.headers()["synod-revision"].to_str()?.to_owned())
        })
        .await
    };
    let (before, mut tried, mut wrong) = (revision().await?, 0, Vec::new());
    for operation in operations(&contract) {
        // Whoever asks whether a service lives is answered whatever else is said.
        if !operation.path.starts_with("/v1/") {
            continue;
        }
        for bad in operation.bad_inputs() {
            tried += 1;
            if let Err(why) = try_one(&cluster, door, &operation, bad).await {
                wrong.push(format!("{} {}: {why:#}", operation.method, operation.path));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(tried > 200, "only {tried} were tried");
    ensure!(revision().await? == before, "something was changed");
    Ok(())
}

async fn try_one(cluster: &Cluster, door: &str, operation: &Operation, bad: Bad) -> Result<()> {
    let Bad { why, query, raw, headers, body, statuses, named } = bad;
    let url = format!("{}{}?{raw}", cluster.url(door), operation.path);
    let mut request = cluster.http().request(operation.method.clone(), url).query(&query);
    let needed = operation.needed();
    if let Some(needed) = needed.filter(|(name, _)| !query.iter().any(|it| it.0 == *name)) {
        request = request.query(&[needed]);
    }
    if let Some((media_type, example)) = operation.body()
        && !headers.iter().any(|(name, _)| name == "content-type")
    {
        let media_type = if media_type == "*/*" { "text/plain" } else { media_type };
        request = request.header("content-type", media_type);
        if body.is_none() {
            let example = if operation.takes_json() { example.to_string() } else { text(example) };
            request = request.body(example);
        }
    }
    // One that is empty stands for none.
    let has = |(name, value): &&(String, String)| name != "content-type" || !value.is_empty();
    for (name, value) in headers.iter().filter(has) {
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    says_where_it_stands(response.headers()).with_context(|| why.clone())?;
    if operation.method == Method::HEAD {
        ensure!(statuses.contains(&status), "{why}: {status}");
        return Ok(());
    }
    // A stream that began does not end.
    ensure!(status >= 400, "{why}: {status}");
    let said = response.text().await?;
    ensure!(statuses.contains(&status), "{why}: {status}: {said}");
    let problem: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    let names = detail.to_lowercase().contains(&named.to_lowercase());
    ensure!(names, "{why}: it does not name {named:?}: {said}");
    let outcome = &problem["outcome"];
    ensure!(!operation.is_mutation() || outcome == "not_applied", "{why}: {said}");
    Ok(())
}

/// A method, a path, a field beside the usual ones, and the status that this is answered with.
type Answered<'a> = (&'a str, &'a str, Option<(&'a str, &'a str)>, u16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_names_its_trace_and_a_revision_whoever_gives_it() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let large = "h".repeat(20_000);
    for door in ["balancer-1", "replica-1"] {
        document(&cluster, door).await?;
        let own = if door == "balancer-1" { "/v1/balancer" } else { "/v1/replication/nothing" };
        let named: [Answered<'_>; 16] = [
            ("GET", "/v1/kv/absent", None, 404),
            ("GET", "/v1/status", None, 200),
            ("GET", "/livez", None, 200),
            ("GET", "/metrics", None, 200),
            ("GET", "/openapi.json", None, 200),
            ("GET", "/nothing", None, 404),
            ("GET", "/v1/nothing", None, 404),
            ("PUT", "/v1/replication/log", None, if door == "balancer-1" { 404 } else { 405 }),
            ("PATCH", "/v1/kv/x", None, 405),
            ("PUT", "/v1/status", None, 405),
            ("GET", "/v1/kv/%ff", None, 400),
            ("GET", "/v1/events?bogus=1", None, 400),
            ("GET", "/v1/kv/x", Some(("x-large", &large)), 431),
            ("GET", "/v1/kv/x", Some(("host", "evil.example")), 421),
            ("PUT", "/v1/kv/x", Some(("origin", "http://evil.example")), 403),
            ("POST", own, None, if door == "balancer-1" { 405 } else { 404 }),
        ];
        for (method, path, field, status) in named {
            let url = format!("{}{path}", cluster.url(door));
            let mut request = cluster.http().request(method.parse()?, url);
            if let Some((name, value)) = field {
                request = request.header(name, value);
            }
            let response = request.send().await?;
            let what = format!("{door}: {method} {path} {:?}", field.map(|(name, _)| name));
            ensure!(response.status().as_u16() == status, "{what}: {response:?}");
            says_where_it_stands(response.headers()).context(what)?;
        }
    }
    Ok(())
}
