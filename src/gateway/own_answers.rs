//! The counters of answers that no application gave: those of our own endpoints, and of requests that took no route.

use crate::telemetry::metrics::{Metrics, OwnMetrics};

/// Made once for a configuration. A request for an endpoint that does not exist gets no label of its own.
#[derive(Debug)]
pub(super) struct OwnAnswers {
    endpoints: Vec<(&'static str, OwnMetrics)>,
    others: OwnMetrics,
}

impl OwnAnswers {
    /// With our endpoints below this prefix.
    pub(super) fn new(metrics: &Metrics, prefix: &str, https: bool) -> Self {
        let endpoint = |name: &'static str| {
            let own = metrics.own(Some(&format!("{prefix}/{name}")));
            own.expect(https);
            (name, own)
        };
        Self { endpoints: ENDPOINTS.into_iter().map(endpoint).collect(), others: metrics.own(None) }
    }

    /// Those of an endpoint, by what stands behind the prefix; `None` for what is no endpoint.
    pub(super) fn of(&self, endpoint: Option<&str>) -> &OwnMetrics {
        let name = endpoint.map(|endpoint| endpoint.split_once('/').map_or(endpoint, |(name, _)| name));
        let known = self.endpoints.iter().find(|(known, _)| Some(*known) == name);
        known.map_or(&self.others, |(_, metrics)| metrics)
    }
}

/// The endpoints that have counters of their own.
const ENDPOINTS: [&str; 7] =
    ["login", "callback", "logout", "signed-out", "session", "backchannel-logout", "frontchannel-logout"];
