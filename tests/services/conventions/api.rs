//! Calls, and what every response and every problem must have.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tests::harness::cluster::{Cluster, PATIENCE};

pub(super) struct Api<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) base: String,
}

impl Api<'_> {
    /// Asks, and asks again where the answer is to come back later: on a busy machine a
    /// primary is replaced that was not heard from for a moment.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let started = Instant::now();
        loop {
            let response = self.call_once(method.clone(), path, headers, body).await?;
            let is_for_now = response.status() == StatusCode::SERVICE_UNAVAILABLE
                && response.headers().contains_key("retry-after");
            if !is_for_now || started.elapsed() > PATIENCE {
                return Ok(response);
            }
            println!("{path}: {}", response.text().await?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn call_once(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut request =
            self.cluster.http().request(method, format!("{}{path}", self.base)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        ensure!(
            response.headers().contains_key("trace-id"),
            "{path}: every response carries Trace-Id"
        );
        Ok(response)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Response> {
        self.call(Method::GET, path, &[], b"").await
    }

    pub(super) async fn put(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        self.call(Method::PUT, path, headers, body).await
    }
}

pub(super) fn header(response: &Response, name: &str) -> Result<String> {
    Ok(response
        .headers()
        .get(name)
        .with_context(|| format!("no {name} in {response:?}"))?
        .to_str()?
        .to_owned())
}

pub(super) async fn json(response: Response) -> Result<Value> {
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

pub(super) async fn assert_problem(response: Response, status: u16, word: &str) -> Result<Value> {
    ensure!(
        response.status() == status,
        "{} instead of {status}: {}",
        response.status(),
        response.text().await?
    );
    ensure!(header(&response, "content-type")?.starts_with("application/problem+json"));
    let problem = json(response).await?;
    ensure!(
        problem["status"] == status && problem["type"].is_string() && problem["title"].is_string(),
        "{problem}"
    );
    ensure!(problem.to_string().contains(word), "the problem does not name {word:?}: {problem}");
    Ok(problem)
}
