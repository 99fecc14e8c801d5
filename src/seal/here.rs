//! What of the future opens: a value that was sealed by a clock ahead of ours is good for longer than it says, so only one that
//! this process sealed itself is taken, before its own clock was set back, and judged by what that clock would show now.
//!
//! What is kept for this is the latest moment at which this process sealed anything, whatever it seals and however long it runs.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::{MonotonicTime, SharedClock, UnixTime};

/// When this process sealed last, by the wall clock that was ahead of all others that it has had. One in a process.
#[derive(Debug)]
pub struct SealedHere {
    clock: SharedClock,
    latest: Mutex<(UnixTime, MonotonicTime)>,
}

impl SealedHere {
    /// Nothing was sealed yet.
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, latest: Mutex::default() })
    }

    /// Something is sealed now.
    pub(super) fn note(&self, now: UnixTime) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if now > latest.0 {
            *latest = (now, self.clock.monotonic());
        }
    }

    /// What the clock that showed `sealed` when this process sealed something would show now; none if it never did.
    pub(super) fn clock_of(&self, sealed: UnixTime) -> Option<UnixTime> {
        let (latest, at) = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        (sealed <= latest).then(|| latest.plus(self.clock.monotonic().since(at)))
    }
}
