//! What is counted of a provider: its calls, the age of what is known of it, and its clock.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::clock::UnixTime;
use crate::telemetry::metrics::{CallFailure, Metrics, PeerMetrics};

/// The counters of one provider; those of a probe count nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Option<Counters>);

#[derive(Clone, Debug)]
struct Counters {
    metrics: Arc<Metrics>,
    peer: PeerMetrics,
    provider: Arc<str>,
}

impl Tally {
    pub(super) fn on(metrics: &Arc<Metrics>, provider: &Arc<str>) -> Self {
        let peer = metrics.peer("idp", provider);
        Self(Some(Counters { metrics: Arc::clone(metrics), peer, provider: Arc::clone(provider) }))
    }

    /// A call ended, with an answer or without.
    pub(super) fn called(&self, method: &Method, outcome: Result<StatusCode, CallFailure>, took: Duration) {
        if let Some(counters) = &self.0 {
            counters.peer.called(method, outcome, took);
        }
    }

    /// The metadata was read.
    pub(super) fn discovered(&self, now: UnixTime) {
        if let Some(counters) = &self.0 {
            counters.metrics.discovered(&counters.provider, now);
        }
    }

    /// The key set was read.
    pub(super) fn keys_fetched(&self, now: UnixTime) {
        if let Some(counters) = &self.0 {
            counters.metrics.keys_fetched(&counters.provider, now);
        }
    }

    /// A token named a key that was not in the set.
    pub(super) fn key_unknown(&self) {
        if let Some(counters) = &self.0 {
            counters.metrics.key_unknown(&counters.provider);
        }
    }

    /// An answer said what time it is there.
    pub(super) fn clock_shown(&self, theirs: UnixTime, ours: UnixTime) {
        if let Some(counters) = &self.0 {
            let ahead = theirs.since(ours).as_secs_f64() - ours.since(theirs).as_secs_f64();
            counters.metrics.clock_offset(&counters.provider, ahead);
        }
    }
}
