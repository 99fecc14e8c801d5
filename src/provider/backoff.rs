//! When something that failed may be tried again: later each time, and not before the provider said.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::MonotonicTime;
use crate::provider::error::ProviderError;

/// The failures of one kind of call since it last succeeded.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: MonotonicTime,
    last: Option<ProviderError>,
}

impl Backoff {
    /// Whether the time has come; otherwise the error to answer with.
    pub(super) fn may_try(&self, now: MonotonicTime) -> Result<(), ProviderError> {
        match &self.last {
            Some(last) if now < self.not_before => {
                let retry_after = self.not_before.since(now);
                Err(ProviderError::Waiting { retry_after, last: Arc::new(last.clone()) })
            }
            _ => Ok(()),
        }
    }

    /// The failure that is still the newest word.
    pub(super) fn last(&self) -> Option<ProviderError> {
        self.last.clone()
    }

    /// Notes a failure: 1 s, 2 s, 4 s, … up to 30 s, or what the provider asks for, up to 5 minutes.
    pub(super) fn failed(&mut self, now: MonotonicTime, error: &ProviderError) {
        let own = FIRST.saturating_mul(1 << self.failures.min(5)).min(LONGEST);
        let asked = error.retry_after().unwrap_or_default().min(LONGEST_ASKED);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(own.max(asked));
        self.last = Some(error.clone());
    }

    /// Notes a success.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_as_long_as_the_provider_asks() {
        // DI-07
        let mut backoff = Backoff::default();
        let start = MonotonicTime::from_millis(1_000_000);
        assert!(backoff.may_try(start).is_ok());
        let mut waits = Vec::new();
        for _ in 0..7 {
            backoff.failed(start, &ProviderError::NoKeys);
            waits.push(backoff.may_try(start).unwrap_err().retry_after().unwrap().as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(backoff.may_try(start.plus(LONGEST)).is_ok());
        let asked = ProviderError::ServerError {
            endpoint: crate::provider::error::Endpoint::KeySet,
            url: "https://op.example/keys".into(),
            words: crate::provider::words::Words::default(),
            status: http::StatusCode::SERVICE_UNAVAILABLE,
            is_bare: true,
            retry_after: Some(Duration::from_secs(100)),
        };
        backoff.failed(start, &asked);
        assert!(backoff.may_try(start.plus(Duration::from_secs(99))).is_err());
        backoff.clear();
        assert!(backoff.may_try(start).is_ok());
    }
}
