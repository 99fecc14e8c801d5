//! What all requests of one session share, whichever of its cookies they bring: that it ended, how its cookies follow one another,
//! when it was touched, and how its renewals failed.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::MonotonicTime;
use crate::session::ended::NamesAtProvider;
use crate::session::renewal::Failures;
use crate::session::succession::Succession;

/// What the requests of one session share while any of its cookies is in memory.
#[derive(Debug, Default)]
pub struct SessionCell {
    /// The log says already that its groups do not fit into a header.
    overflow_logged: AtomicBool,
    /// Generations below this one are over.
    ended: AtomicU64,
    ending: Notify,
    /// By what its provider names it, once it was opened.
    names: OnceLock<NamesAtProvider>,
    /// One more than the [`MonotonicTime`] of the last touch; zero before the first.
    touched: AtomicU64,
    /// Its cookies.
    pub succession: Succession,
    /// Hashes of the names of routes that the session got into.
    granted: Mutex<HashSet<u64>>,
    /// The renewals that failed since the last that succeeded.
    pub(super) failures: Mutex<Option<Box<Failures>>>,
}

impl SessionCell {
    /// Of a session whose generations below this one are over.
    pub(super) fn ended_below(generation: u64) -> Self {
        Self { ended: AtomicU64::new(generation), ..Self::default() }
    }

    /// Ends all generations below this one. Whether that ends any that lived.
    pub(super) fn end_below(&self, generation: u64) -> bool {
        let before = self.ended.fetch_max(generation, Ordering::AcqRel);
        self.ending.notify_waiters();
        before < generation
    }

    /// Says by what its provider names it; the first time counts.
    pub(super) fn set_names(&self, names: NamesAtProvider) {
        _ = self.names.set(names);
    }

    /// By what its provider names it.
    pub(super) fn names(&self) -> Option<&NamesAtProvider> {
        self.names.get()
    }

    /// Whether the session was ended, as far as cookies of this generation go.
    pub fn is_ended(&self, generation: u32) -> bool {
        u64::from(generation) < self.ended.load(Ordering::Acquire)
    }

    /// Whether this is the first time that the groups of the session are found to fit into no header.
    pub(super) fn is_first_overflow(&self) -> bool {
        !self.overflow_logged.swap(true, Ordering::Relaxed)
    }

    /// Whether this is the first time that the session gets into a route. A reload may number routes anew: they are known by name.
    pub(super) fn is_first_grant(&self, route: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        route.hash(&mut hasher);
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(hasher.finish())
    }

    /// Waits until [`is_ended`](Self::is_ended).
    pub async fn ending(&self, generation: u32) {
        loop {
            let notified = self.ending.notified();
            tokio::pin!(notified);
            // Listens before it looks, so that an end in between is not missed.
            notified.as_mut().enable();
            if self.is_ended(generation) {
                return;
            }
            notified.await;
        }
    }

    /// Whether this request is the one that touches the session: one in each step.
    pub(super) fn take_touch(&self, now: MonotonicTime, step: Duration) -> bool {
        let last = self.touched.load(Ordering::Relaxed);
        let is_due = last.checked_sub(1).is_none_or(|last| now.since(MonotonicTime::from_millis(last)) >= step);
        let now = now.millis().saturating_add(1);
        is_due && self.touched.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_a_step_touches_the_session() {
        let cell = SessionCell::default();
        let now = MonotonicTime::default();
        assert!(cell.take_touch(now, Duration::from_secs(60)));
        assert!(!cell.take_touch(now, Duration::from_secs(60)));
        assert!(cell.take_touch(now.plus(Duration::from_secs(60)), Duration::from_secs(60)));
    }
}
