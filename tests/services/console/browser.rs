//! A browser without a screen, driven by WebDriver.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tests::harness::cluster::eventually;
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use url::Url;

/// Where distributions put the one that drives Chromium.
const DRIVERS: [&str; 2] = ["/usr/bin/chromedriver", "/usr/lib/chromium/chromedriver"];

/// Keys, as WebDriver has them.
pub(super) const TAB: &str = "\u{e004}";
pub(super) const ENTER: &str = "\u{e007}";
pub(super) const ESCAPE: &str = "\u{e00c}";

/// The pages of a browser.
pub(super) struct Browser {
    page: Client,
}

/// Asks for what the browser has logged since it was asked last.
#[derive(Debug)]
struct Logged(&'static str);

impl WebDriverCompatibleCommand for Logged {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}

/// Asks what only the developer tools of Chromium can do.
#[derive(Debug)]
struct Devtools(Value);

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

/// The driver, where there is one.
pub(super) fn driver() -> Option<&'static Path> {
    DRIVERS.into_iter().map(Path::new).find(|path| path.exists())
}

/// Starts a browser, has it used, and ends it however that went.
pub(super) async fn with_browser(
    driver: &Path,
    scenario: impl AsyncFnOnce(&Browser) -> Result<()>,
) -> Result<()> {
    let (folder, mut ports) = (tempfile::tempdir()?, Ports::reserve()?);
    let url = format!("http://127.0.0.1:{}", ports.take()?);
    let port = url.rsplit(':').next().unwrap_or_default();
    let mut process =
        Process::new("chromedriver", driver, vec![format!("--port={port}")], folder.path());
    process.start()?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    eventually("the driver is ready", || async {
        let status: Value = http.get(format!("{url}/status")).send().await?.json().await?;
        ensure!(status["value"]["ready"] == true, "{status}");
        Ok(())
    })
    .await?;
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let capabilities = json!({
        "goog:chromeOptions": {"args": [
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
            "--no-first-run", "--no-proxy-server", "--window-size=1280,900", profile,
        ]},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    });
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(serde_json::from_value(capabilities)?);
    let page = builder.connect(&url).await.context("a browser")?;
    let browser = Browser { page };
    let outcome = scenario(&browser).await;
    browser.page.close().await?;
    process.kill()?;
    outcome
}

impl Browser {
    pub(super) async fn go(&self, url: &str) -> Result<()> {
        Ok(self.page.goto(url).await?)
    }

    /// What a script gives, in the page.
    pub(super) async fn run(&self, script: &str, args: Vec<Value>) -> Result<Value> {
        self.page.execute(script, args).await.with_context(|| script.to_owned())
    }

    /// The text of all elements that a selector names, as people see it.
    pub(super) async fn text(&self, selector: &str) -> Result<String> {
        let script = "return [...document.querySelectorAll(arguments[0])]
            .map((element) => element.innerText ?? element.textContent).join('\\n')";
        let text = self.run(script, vec![json!(selector)]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page says all of these.
    pub(super) async fn says(&self, selector: &str, texts: &[&str]) -> Result<()> {
        let what = format!("{selector} says {texts:?}");
        let outcome = eventually(&what, || async {
            let said = self.text(selector).await?;
            let lacking = texts.iter().find(|text| !said.contains(**text));
            ensure!(lacking.is_none(), "no {lacking:?} in {said}");
            Ok(())
        });
        outcome.await
    }

    /// Presses what a selector names, once it is there. A page that renders itself anew each
    /// second may have another such element in its place by then: that one is pressed.
    pub(super) async fn press(&self, selector: &str) -> Result<()> {
        loop {
            let element = self.page.wait().for_element(Locator::Css(selector)).await;
            let element = element.with_context(|| format!("{selector} is to be pressed"))?;
            match element.click().await {
                Err(error) if error.is_stale_element_reference() => {}
                pressed => return pressed.with_context(|| format!("pressing {selector}")),
            }
        }
    }

    /// Types into what a selector names, in the place of what it has.
    pub(super) async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.page.wait().for_element(Locator::Css(selector)).await;
        let element = element.with_context(|| format!("{selector} is to be filled"))?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Presses keys while an element has the focus.
    pub(super) async fn keys(&self, selector: &str, keys: &str) -> Result<()> {
        let script = "document.querySelector(arguments[0]).focus()";
        self.run(script, vec![json!(selector)]).await?;
        Ok(self.page.active_element().await?.send_keys(keys).await?)
    }

    /// Presses keys where the focus is.
    pub(super) async fn type_keys(&self, keys: &str) -> Result<()> {
        Ok(self.page.active_element().await?.send_keys(keys).await?)
    }

    /// Has the browser be another one: smaller, darker, calmer.
    pub(super) async fn devtools(&self, command: &str, params: Value) -> Result<()> {
        self.page.issue_cmd(Devtools(json!({"cmd": command, "params": params}))).await?;
        Ok(())
    }

    /// What the console of the browser says since it was asked last: errors of scripts and
    /// what the policy refused, but not the refusals of requests, which a page may expect.
    pub(super) async fn complaints(&self) -> Result<Vec<String>> {
        let logged = self.page.issue_cmd(Logged("browser")).await?;
        let entries = logged.as_array().context("no log")?.iter();
        let of_page = entries.filter(|entry| entry["source"] != "network");
        Ok(of_page.map(Value::to_string).collect())
    }

    /// The addresses that were asked for since this was asked last.
    pub(super) async fn requests(&self) -> Result<Vec<String>> {
        let logged = self.page.issue_cmd(Logged("performance")).await?;
        let mut urls = Vec::new();
        for entry in logged.as_array().context("no log")? {
            let text = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(text)?;
            let message = &event["message"];
            if message["method"] == "Network.requestWillBeSent" {
                urls.extend(message["params"]["request"]["url"].as_str().map(str::to_owned));
            }
        }
        Ok(urls)
    }
}
