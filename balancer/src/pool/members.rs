//! Who there is, what checks say of them, and what the operator does.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::Name;
use shared::message::{Member, Service as Kind};

use super::outliers::{self, JUDGE_EVERY, Record, most_ejected, outliers};
use super::{Counts, Endpoint, EndpointId, Health, Intent, Order, Pool, Report, Service};

impl Pool {
    /// Takes in what discovery found, other services included.
    ///
    /// An endpoint that is missing from `members` goes only once it isn't healthy either:
    /// acceptors that just restarted list nobody for a moment, and that is no reason to
    /// stop serving. A replica that restarted or moved is a new endpoint, of which the
    /// operator's word still holds.
    pub fn set_replicas<'a>(
        &mut self,
        members: impl IntoIterator<Item = &'a Member>,
        now: Duration,
    ) {
        let found: BTreeMap<&Name, &Member> = members
            .into_iter()
            .filter(|member| member.service == Kind::Replica)
            .map(|member| (&member.name, member))
            .take(Self::MAX_ENDPOINTS)
            .collect();
        let mut former = BTreeMap::new();
        self.endpoints.retain(|_, endpoint| {
            let stays = match found.get(&endpoint.member.name) {
                Some(member) => **member == *endpoint.member,
                None => endpoint.health == Health::Healthy,
            };
            if !stays {
                former
                    .insert(endpoint.member.name.clone(), (endpoint.counts, endpoint.knows_names));
            }
            stays
        });
        for member in found.into_values() {
            if self.endpoints.len() < Self::MAX_ENDPOINTS && self.find(&member.name).is_none() {
                let id = EndpointId(self.next_id);
                self.next_id += 1;
                let order = self.orders.get(&member.name).copied().unwrap_or_default();
                // What is still in flight to the former life ends there.
                let former = former.get(&member.name).copied();
                let counts = former.map(|(counts, _)| Counts { in_flight: 0, ..counts });
                let mut endpoint =
                    Endpoint::new(id, member.clone(), counts.unwrap_or_default(), order);
                // A program that knows names does so after a restart.
                endpoint.knows_names = former.is_some_and(|(_, knows_names)| knows_names);
                endpoint.back_since = counts.map(|_| now);
                self.endpoints.insert(id, endpoint);
            }
        }
        self.check_invariants();
    }

    /// An active check has ended, with what it learned or without an answer. Returns the
    /// new health where it changed.
    pub fn checked(
        &mut self,
        id: EndpointId,
        result: Option<Report>,
        now: Duration,
    ) -> Option<Health> {
        let thresholds = self.thresholds;
        let endpoint = self.endpoints.get_mut(&id)?;
        let changed = match result {
            Some(report) => {
                endpoint.counts.checks += 1;
                endpoint.knows_names = report.requests_from.is_some();
                let had_quorum = endpoint.report.as_ref().is_some_and(|it| it.quorum_answers);
                endpoint.quorum_lost = match endpoint.quorum_lost {
                    _ if report.quorum_answers => None,
                    None if had_quorum => Some(now),
                    lost => lost,
                };
                endpoint.report = Some(report);
                let before = endpoint.health;
                let changed = endpoint.succeeded(thresholds);
                let comes_back = before == Health::Unhealthy || endpoint.back_since.is_some();
                if changed == Some(Health::Healthy) && comes_back {
                    endpoint.back_since = Some(now);
                }
                changed
            }
            None => {
                endpoint.counts.check_failures += 1;
                endpoint.failed(thresholds)
            }
        };
        if now.saturating_sub(self.judged_at) >= JUDGE_EVERY {
            self.judge(now);
        }
        self.check_invariants();
        changed
    }

    /// Judges endpoints by their latency, see [`outliers`].
    fn judge(&mut self, now: Duration) {
        self.judged_at = now;
        self.slow_after = self.latencies.quantile(25).map(outliers::slow_after);
        self.hedge_after = self.latencies.quantile(95);
        self.latencies.forget_half();
        let slow_start = self.thresholds.slow_start;
        for endpoint in self.endpoints.values_mut() {
            if endpoint.record.comes_back(now) {
                endpoint.back_since = Some(now);
            }
            let has_share = endpoint.health == Health::Healthy
                && endpoint.back_since.is_some_and(|back| now.saturating_sub(back) >= slow_start);
            if has_share {
                endpoint.back_since = None;
            }
        }
        let judged = |endpoint: &&Endpoint| self.fitness(endpoint, Intent::Read).is_some();
        let (picked, records): (Vec<EndpointId>, Vec<Record>) = self
            .endpoints
            .values()
            .filter(judged)
            .map(|endpoint| (endpoint.id, endpoint.record))
            .unzip();
        let ejected =
            self.endpoints.values().filter(|one| one.record.ejected_until.is_some()).count();
        let room = most_ejected(picked.len()).saturating_sub(ejected);
        for at in outliers(&records, room) {
            let endpoint = self.endpoints.get_mut(&picked[at]).expect("it was just seen");
            endpoint.record.eject(now);
            endpoint.counts.ejections += 1;
        }
        for endpoint in self.endpoints.values_mut() {
            endpoint.record.slow /= 2;
            endpoint.record.reads /= 2;
        }
    }

    /// What the operator says of a name holds for whatever endpoint has it. None where no
    /// endpoint has it or had it when something was said of it before.
    pub fn order(
        &mut self,
        name: &Name,
        change: impl FnOnce(Order) -> Order,
        now: Duration,
    ) -> Option<Order> {
        let known = self.find(name).map(|endpoint| (endpoint.id, endpoint.order));
        let before = known.map(|(_, order)| order).or_else(|| self.orders.get(name).copied())?;
        let order = change(before);
        self.orders.insert(name.clone(), order);
        // What says nothing needs no room; nor does, where there is none left, what is said
        // of those who are gone.
        self.orders.retain(|_, order| *order != Order::default());
        if self.orders.len() > Self::MAX_ENDPOINTS {
            let names: Vec<Name> =
                self.endpoints().map(|endpoint| endpoint.member.name.clone()).collect();
            self.orders.retain(|name, _| names.contains(name));
        }
        if let Some((id, before)) = known {
            let endpoint = self.endpoints.get_mut(&id).expect("it was just found");
            endpoint.order = order;
            if before.service == Service::Drained && order.service == Service::Serving {
                endpoint.back_since = Some(now);
            }
        }
        self.check_invariants();
        Some(order)
    }

    /// What the operator said, also of names that no endpoint has.
    pub fn orders(&self) -> impl Iterator<Item = (&Name, &Order)> {
        self.orders.iter()
    }
}
