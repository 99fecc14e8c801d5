//! The counters of requests, in and out, which are found once for a configuration and then only bumped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::families::{LabelList, Labels};
use crate::telemetry::outcomes::{CallFailure, Label, Outcomes};
use crate::telemetry::shards::{ShardedCounter, ShardedGauge, ShardedHistogram};

/// What was decided about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecisionLabel {
    /// Forwarded for a known person.
    Allow,
    /// Forwarded for anybody.
    Bypass,
    /// Refused for a known person.
    Deny,
    /// Sent to sign in, or asked to (401).
    Login,
}

impl DecisionLabel {
    /// The word for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Bypass => "bypass",
            Self::Deny => "deny",
            Self::Login => "login",
        }
    }
}

/// The counters of one route; cheap to clone, and to bump.
#[derive(Clone)]
pub struct RouteMetrics(pub(super) Arc<RouteCounters>);

impl RouteMetrics {
    /// A request is being answered until what this returns is dropped.
    pub fn enter(&self) -> ActiveRequest<'_> {
        self.0.served.enter()
    }

    /// A request was answered.
    pub fn served(&self, method: &Method, status: StatusCode, https: bool, took: Duration) {
        self.0.served.observe(method, status, https, took);
    }

    /// [`DecisionLabel::Allow`] for a session: the warm path, without a look-up.
    pub fn allowed(&self) {
        self.0.allowed.add(1);
    }

    /// [`DecisionLabel::Bypass`] of a public route, without a look-up.
    pub fn bypassed(&self) {
        self.0.bypassed.add(1);
    }

    /// A client sent a field by which gateways name people, which was taken away.
    pub fn spoofed(&self) {
        self.0.spoofs.inc();
    }

    /// Has requests counted from zero on, as they are expected.
    pub fn expect(&self, https: bool) {
        self.0.served.expect(https);
    }

    /// Any other decision; `reason` is a stable code.
    pub fn decided(&self, decision: DecisionLabel, reason: &'static str) {
        self.0.decisions.get_or_create(&route_labels(&self.0.name, decision.as_str(), reason)).add(1);
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.0.name).finish()
    }
}

/// The counters of what belongs to no route.
#[derive(Debug)]
pub struct OwnMetrics(pub(super) Served);

impl OwnMetrics {
    /// A request is being answered until what this returns is dropped.
    pub fn enter(&self) -> ActiveRequest<'_> {
        self.0.enter()
    }

    /// Has requests counted from zero on, as they are expected.
    pub fn expect(&self, https: bool) {
        self.0.expect(https);
    }

    /// A request was answered.
    pub fn served(&self, method: &Method, status: StatusCode, https: bool, took: Duration) {
        self.0.observe(method, status, https, took);
    }
}

/// The requests of one route, or of one endpoint.
pub(super) struct Served {
    pub(super) http_route: Option<String>,
    pub(super) plain: Outcomes,
    pub(super) https: Outcomes,
    pub(super) durations: Family<LabelList, ShardedHistogram>,
    pub(super) active: ShardedGauge,
}

impl Served {
    fn enter(&self) -> ActiveRequest<'_> {
        self.active.add(1);
        ActiveRequest(&self.active)
    }

    fn observe(&self, method: &Method, status: StatusCode, https: bool, took: Duration) {
        let (outcomes, scheme) = if https { (&self.https, "https") } else { (&self.plain, "http") };
        outcomes.observe(method, Ok(status), took, |method, status| self.histogram(scheme, method, status));
    }

    fn expect(&self, https: bool) {
        let (outcomes, scheme) = if https { (&self.https, "https") } else { (&self.plain, "http") };
        outcomes.exist(&Method::GET, StatusCode::OK, |method, status| self.histogram(scheme, method, status));
    }

    fn histogram(&self, scheme: &str, method: &str, status: Label) -> ShardedHistogram {
        let mut labels = vec![("http_request_method", method.to_owned()), status];
        labels.extend(self.http_route.clone().map(|route| ("http_route", route)));
        labels.push(("url_scheme", scheme.to_owned()));
        self.durations.get_or_create_owned(&labels)
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("http_route", &self.http_route).finish_non_exhaustive()
    }
}

/// A request that counts as active.
#[derive(Debug)]
pub struct ActiveRequest<'a>(&'a ShardedGauge);

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// The counters of one upstream or provider; cheap to clone, and to bump.
#[derive(Clone)]
pub struct PeerMetrics(pub(super) Arc<Called>);

impl PeerMetrics {
    /// A call ended, with an answer or without.
    pub fn called(&self, method: &Method, outcome: Result<StatusCode, CallFailure>, took: Duration) {
        self.0.outcomes.observe(method, outcome, took, |method, outcome| self.0.histogram(method, outcome));
        if let Some(up) = &self.0.up
            && let Some(is_up) = outcome.map_or_else(CallFailure::is_up, |_| Some(true))
            // Workers share this line: it is written only when something changed.
            && up.get() != i64::from(is_up)
        {
            up.set(i64::from(is_up));
        }
    }
}

impl fmt::Debug for PeerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerMetrics").field(&self.0.address).finish()
    }
}

pub(super) struct RouteCounters {
    pub(super) name: String,
    pub(super) served: Served,
    pub(super) allowed: ShardedCounter,
    pub(super) bypassed: ShardedCounter,
    pub(super) spoofs: Counter,
    pub(super) decisions: Family<Labels<3>, ShardedCounter>,
}

pub(super) struct Called {
    pub(super) peer: &'static str,
    pub(super) address: String,
    pub(super) outcomes: Outcomes,
    /// Of an application, whether it could be reached.
    pub(super) up: Option<Gauge>,
    pub(super) called: Family<LabelList, ShardedHistogram>,
}

impl Called {
    pub(super) fn histogram(&self, method: &str, outcome: Label) -> ShardedHistogram {
        let labels = vec![
            ("vestibule_peer", self.peer.to_owned()),
            ("server_address", self.address.clone()),
            ("http_request_method", method.to_owned()),
            outcome,
        ];
        self.called.get_or_create_owned(&labels)
    }
}

pub(super) fn route_labels(route: &str, decision: &str, reason: &str) -> Labels<3> {
    [("route", route.to_owned()), ("decision", decision.to_owned()), ("reason", reason.to_owned())]
}
