//! Time as an argument: nothing outside this file asks the system what time it is.
//!
//! 1. Wall-clock time ([`UnixTime`]) decides about what others date or read: the expiry of tokens, sessions and login attempts. It
//!    may be set forward or back at any moment.
//! 2. What happens once in a while (waits after a failure, the age of what was fetched, how long something is remembered) counts
//!    [`MonotonicTime`], which nobody sets. The types do not mix.
//!
//! Both are handed in as a [`SharedClock`], so that a test can move them. Timeouts of single I/O operations use tokio's timer
//! instead.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time now.
    fn now(&self) -> UnixTime;

    /// The moment now, for intervals.
    fn monotonic(&self) -> MonotonicTime;
}

/// A clock that every part of the program can hold.
pub type SharedClock = Arc<dyn Clock>;

/// Milliseconds since 1970-01-01T00:00:00Z. Arithmetic saturates: a hostile `expires_in` cannot wrap it around.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The time `secs` seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// The second as [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6) writes it, in UTC: `2026-11-30T12:00:00Z`;
    /// the last one that has four digits for its year where this is later.
    pub fn rfc3339(self) -> String {
        let second = i64::try_from(self.secs()).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
        let text = second.and_then(|second| second.format(&Rfc3339).ok());
        text.unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
    }

    /// This time and `span` more, or the end of time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This time less `span`, or the epoch.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since some moment in the life of this process. Only good for intervals, and means nothing to any other process.
/// Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct MonotonicTime(u64);

impl MonotonicTime {
    /// The moment `millis` milliseconds after the first.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the first moment: to be kept in an atomic.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This moment and `span` more, or the end of time.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock, to be handed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system time")]
    fn now(&self) -> UnixTime {
        UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
    }

    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime(millis(FIRST.elapsed()))
    }
}

/// The first moment.
static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: UnixTime) -> Arc<Self> {
        Arc::new(Self { wall: AtomicU64::new(start.0), monotonic: AtomicU64::new(0) })
    }

    /// Lets time pass.
    pub fn advance(&self, span: Duration) {
        self.wall.fetch_add(millis(span), Ordering::SeqCst);
        self.monotonic.fetch_add(millis(span), Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back, without time having passed.
    pub fn step_to(&self, time: UnixTime) {
        self.wall.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> MonotonicTime {
        MonotonicTime(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Whole milliseconds; the most there can be for a longer span.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(UnixTime::from_secs(u64::MAX).plus(Duration::MAX).millis(), u64::MAX);
        assert_eq!(UnixTime::from_secs(1).minus(Duration::from_secs(2)).millis(), 0);
        assert_eq!(UnixTime::from_secs(1).since(UnixTime::from_secs(2)), Duration::ZERO);
        assert_eq!(MonotonicTime::from_millis(u64::MAX).plus(Duration::MAX).millis(), u64::MAX);
        assert_eq!(MonotonicTime::from_millis(1).since(MonotonicTime::from_millis(2)), Duration::ZERO);
    }

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::starting_at(UnixTime::from_secs(100));
        assert_eq!(clock.now().secs(), 100);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().millis(), 101_500);
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_no_interval() {
        let clock = ManualClock::starting_at(UnixTime::from_secs(100));
        let begun = clock.monotonic();
        clock.step_to(UnixTime::from_secs(7));
        assert_eq!((clock.now().secs(), clock.monotonic().since(begun)), (7, Duration::ZERO));
        clock.advance(Duration::from_secs(3));
        assert_eq!((clock.now().secs(), clock.monotonic().since(begun).as_secs()), (10, 3));
    }
}
