//! When something that failed may be tried again: later each time, and not before the other side asked.

use std::time::Duration;

use crate::clock::MonotonicTime;

/// The failures of one kind of call since it last succeeded: it waits 1 s, 2 s, 4 s, … up to the longest.
#[derive(Clone, Debug)]
pub struct Backoff<E> {
    longest: Duration,
    longest_asked: Duration,
    failures: u32,
    not_before: MonotonicTime,
    last: Option<E>,
}

impl<E> Backoff<E> {
    /// No failure yet. A wait is never longer than `longest`; where the other side asks for more, than `longest_asked`.
    pub const fn new(longest: Duration, longest_asked: Duration) -> Self {
        Self { longest, longest_asked, failures: 0, not_before: MonotonicTime::from_millis(0), last: None }
    }

    /// How long it has to wait yet, and for what failure; none when it may be tried.
    pub fn waiting(&self, now: MonotonicTime) -> Option<(Duration, &E)> {
        self.last.as_ref().filter(|_| now < self.not_before).map(|last| (self.not_before.since(now), last))
    }

    /// The newest failure since the last success.
    pub const fn last(&self) -> Option<&E> {
        self.last.as_ref()
    }

    /// It failed; `asked`: how long the other side wants to be left alone.
    pub fn failed(&mut self, now: MonotonicTime, error: E, asked: Option<Duration>) {
        let own = FIRST.saturating_mul(1 << self.failures.min(MOST_DOUBLINGS)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.plus(own.max(asked.unwrap_or_default().min(self.longest_asked)));
        self.last = Some(error);
    }

    /// It succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::new(self.longest, self.longest_asked);
    }
}

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);
/// So that the doubling cannot overflow.
const MOST_DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_as_long_as_the_other_side_asks() {
        // DI-07, RF-04
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(30), seconds(300));
        let start = MonotonicTime::from_millis(1_000_000);
        assert_eq!(backoff.waiting(start), None);
        let mut waits = Vec::new();
        for number in 0..7 {
            backoff.failed(start, number, None);
            let (wait, last) = backoff.waiting(start).unwrap();
            assert_eq!((*last, backoff.last()), (number, Some(&number)));
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.waiting(start.plus(seconds(30))), None);
        assert_eq!(backoff.last(), Some(&6), "it may be tried, and has not succeeded");
        for (asked, waits) in [(100, 100), (10, 30), (u64::MAX, 300)] {
            backoff.failed(start, 7, Some(seconds(asked)));
            assert_eq!(backoff.waiting(start), Some((seconds(waits), &7)));
        }
        backoff.succeeded();
        assert_eq!((backoff.waiting(start), backoff.last()), (None, None));
    }
}
