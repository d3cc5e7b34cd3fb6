//! Every route of every service stands in the one table of who may ask what.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use shared::message::Service;
use shared::tls::matrix::who_may;

/// The text of a service's sources that name its routes, without its tests.
fn sources(service: Service) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = top.join(service.as_str()).join("src/http.rs");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{path:?}"));
    text.split("#[cfg(test)]").next().unwrap().to_owned()
}

/// Whatever is spelt like a route: in calls of `route`, in tables of routes and of spans.
fn routes(service: Service) -> BTreeSet<String> {
    let text = sources(service);
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let literals = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_route = |text: &&str| text.starts_with('/') && text.len() > 1 && !text.contains(' ');
    // Parts of paths that are taken apart end with a slash, but for the ones that say that
    // a key, or a name, is lacking.
    let is_whole = |text: &&str| !text.ends_with('/') || ["/v1/kv/", "/v1/locks/"].contains(text);
    literals.filter(is_route).filter(is_whole).map(str::to_owned).collect()
}

/// Those that look there: a balancer is there for everybody.
const SERVICES: [Service; 3] = [Service::Acceptor, Service::Coordinator, Service::Replica];

#[test]
fn every_route_stands_in_the_table_of_who_may_ask() {
    let mut found = 0;
    for service in SERVICES {
        for route in routes(service) {
            let who = who_may(service, &Method::GET, &route);
            assert!(who.is_some(), "nobody may ask a {} for {route}", service.as_str());
            found += 1;
        }
    }
    assert!(found > 40, "{found} routes were found in the sources");
}
