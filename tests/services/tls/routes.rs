//! The routes of running services, as their own routers tell them: a new one is among them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::Cluster;

/// Has services tell their routes.
pub(super) const TELLS_ROUTES: (&str, &str) = ("RUST_LOG", "info,shared::server=trace");

/// A method, and the template of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) method: String,
    pub(super) path: String,
}

impl Route {
    pub(super) fn of(text: &str) -> Self {
        let (method, path) = text.split_once(' ').expect("a method and a path");
        Self { method: method.to_owned(), path: path.to_owned() }
    }

    /// A path of the template.
    pub(super) fn example(&self) -> String {
        let Self { path, .. } = self;
        let id = if path.contains("leases") { "7" } else { "replica-9" };
        path.replace("{*key}", "app/a")
            .replace("{*name}", "app/l")
            .replace("{name}", "absent")
            .replace("{slot}", "0")
            .replace("{accessor}", "00000000000000aa")
            .replace("{id}", id)
    }
}

/// All routes of a service.
pub(super) fn routes_of(cluster: &mut Cluster, name: &str) -> Result<BTreeSet<Route>> {
    let output = cluster.service(name).output()?;
    let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.find(|line| line["message"] == "all routes");
    let told = told.with_context(|| format!("{name} does not tell its routes"))?;
    let router = told["router"].as_str().context("a router is a text")?;
    let routes = parsed(router).with_context(|| format!("{name}: {router}"))?;
    ensure!(routes.len() > 5, "{name} tells too few: {routes:?}");
    Ok(routes)
}

/// What is in the text of a router: methods by the route's number, and paths by it.
fn parsed(router: &str) -> Result<BTreeSet<Route>> {
    let (router, _) = router.split_once("fallback_router").context("no fallbacks")?;
    let (endpoints, paths) = router.split_once("node: Node").context("no paths")?;
    let numbered = |text: &str| -> Vec<(String, String)> {
        let parts = text.split("RouteId(").skip(1);
        let parts = parts.filter_map(|part| part.split_once("): "));
        parts.map(|(number, rest)| (number.to_owned(), rest.to_owned())).collect()
    };
    let paths: BTreeMap<String, String> = numbered(paths)
        .into_iter()
        .filter_map(|(number, rest)| Some((number, rest.split('"').nth(1)?.to_owned())))
        .collect();
    let endpoints = numbered(endpoints);
    ensure!(endpoints.len() == paths.len(), "{} of {}", endpoints.len(), paths.len());
    let mut routes = BTreeSet::new();
    for (number, endpoint) in endpoints {
        let path = paths.get(&number).with_context(|| format!("{number} has no path"))?;
        let allowed = endpoint.rsplit_once("allow_header: ").context("no methods")?.1;
        // Who takes every method names none.
        let methods = if allowed.starts_with("Skip") { "GET" } else { quoted(allowed)? };
        for method in methods.split(',').filter(|method| *method != "HEAD") {
            routes.insert(Route { method: method.to_owned(), path: path.clone() });
        }
    }
    Ok(routes)
}

fn quoted(text: &str) -> Result<&str> {
    text.split('"').nth(1).with_context(|| format!("nothing is quoted in {text}"))
}
