//! The metrics of a provider: its calls, the age of its metadata and keys, and its clock.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::clock::UnixTime;
use crate::telemetry::metrics::{CallFailure, Metrics, PeerMetrics};

/// The metrics of one provider; a probe has none.
#[derive(Clone, Debug, Default)]
pub(super) struct CallMetrics(Option<Counters>);

/// Where to count, and under which name.
#[derive(Clone, Debug)]
struct Counters {
    metrics: Arc<Metrics>,
    peer: PeerMetrics,
    provider: Arc<str>,
}

impl CallMetrics {
    /// Those of the provider with this name.
    pub(super) fn on(metrics: &Arc<Metrics>, provider: &Arc<str>) -> Self {
        let peer = metrics.provider(provider);
        Self(Some(Counters { metrics: Arc::clone(metrics), peer, provider: Arc::clone(provider) }))
    }

    /// Counts, where there is something to count with.
    fn count(&self, count: impl FnOnce(&Counters)) {
        if let Some(counters) = &self.0 {
            count(counters);
        }
    }

    /// A call ended, with an answer or without.
    pub(super) fn called(&self, method: &Method, outcome: Result<StatusCode, CallFailure>, took: Duration) {
        self.count(|counters| counters.peer.called(method, outcome, took));
    }

    /// The metadata was read.
    pub(super) fn discovered(&self, now: UnixTime) {
        self.count(|counters| counters.metrics.discovered(&counters.provider, now));
    }

    /// The key set was read.
    pub(super) fn keys_fetched(&self, now: UnixTime) {
        self.count(|counters| counters.metrics.keys_fetched(&counters.provider, now));
    }

    /// A token named a key that was not in the set.
    pub(super) fn key_unknown(&self) {
        self.count(|counters| counters.metrics.key_unknown(&counters.provider));
    }

    /// An answer had a `Date`.
    pub(super) fn clock_shown(&self, theirs: UnixTime, ours: UnixTime) {
        let ahead = theirs.since(ours).as_secs_f64() - ours.since(theirs).as_secs_f64();
        self.count(|counters| counters.metrics.clock_offset(&counters.provider, ahead));
    }
}
