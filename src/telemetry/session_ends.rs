//! Metrics of how sessions end before their time.

use crate::telemetry::metrics::{Metrics, Outcome, one, outcome_labels};
use crate::telemetry::outcomes::SessionEnd;

impl Metrics {
    /// So many sessions that were in use here ended.
    pub fn sessions_ended(&self, end: SessionEnd, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.sessions.ended.get_or_create(&one("reason", end.reason())).inc_by(count);
    }

    /// A provider sent a logout token; `reason` is `backchannel` where it was taken, else a stable code.
    pub fn logout_token(&self, provider: &str, outcome: Outcome, reason: &'static str) {
        self.sessions.logout_tokens.get_or_create(&outcome_labels(provider, outcome, reason)).inc();
    }
}
