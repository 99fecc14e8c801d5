//! How slow a body may be: one rule for what a client sends and for what it reads.
//!
//! Whoever is waited for falls behind by as long as the wait, and makes up for it by what comes: `body_rate` bytes a second. A
//! body ends when it is `idle_time` behind. So a body without a byte ends after that time, one of a byte a second soon after, and
//! what came early buys no more than that time.

use std::time::Duration;

/// How far behind a body is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second that keep a body even.
    rate: Rate,
    /// A body that is as far behind as this has ended.
    limit: Duration,
    behind: Duration,
}

/// How a body keeps even.
#[derive(Clone, Copy, Debug)]
enum Rate {
    /// So many bytes a second.
    Bytes(u64),
    /// Any byte will do.
    Any,
    /// No byte helps: all of it has to be there in time.
    Whole,
}

impl Pace {
    /// At least so many bytes a second, or any at all if none is said.
    pub(super) fn of(rate: Option<u64>, limit: Duration) -> Self {
        Self { rate: rate.map_or(Rate::Any, |rate| Rate::Bytes(rate.max(1))), limit, behind: Duration::ZERO }
    }

    /// All of it within a time.
    pub(super) fn whole(within: Duration) -> Self {
        Self { rate: Rate::Whole, limit: within, behind: Duration::ZERO }
    }

    /// So much longer can be waited.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.behind)
    }

    /// It was waited for so long.
    pub(super) fn waited(&mut self, time: Duration) {
        self.behind = self.behind.saturating_add(time);
    }

    /// So many bytes came; `leisurely` bodies need only not stand still.
    pub(super) fn moved(&mut self, bytes: u64, leisurely: bool) {
        match self.rate {
            _ if bytes == 0 => {}
            Rate::Whole => {}
            Rate::Any => self.behind = Duration::ZERO,
            Rate::Bytes(_) if leisurely => self.behind = Duration::ZERO,
            Rate::Bytes(rate) if !self.behind.is_zero() => {
                let nanos = u128::from(bytes).saturating_mul(NANOS) / u128::from(rate);
                let made_up = u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos);
                self.behind = self.behind.saturating_sub(made_up);
            }
            Rate::Bytes(_) => {}
        }
    }

    /// How far behind a body may be.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }
}

/// In a second.
const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// How many seconds a body lives of which so many bytes come each second, after `first` bytes that were not waited for.
    fn life(mut pace: Pace, first: u64, each_second: u64, leisurely: bool) -> Option<u64> {
        pace.moved(first, leisurely);
        (1..=1000).find(|_| {
            pace.waited(SECOND);
            let over = pace.left().is_zero();
            pace.moved(each_second, leisurely);
            over
        })
    }

    #[test]
    fn a_body_ends_when_it_is_too_far_behind_its_rate() {
        // AT-SM-22, AT-SM-23
        let of = |rate| Pace::of(rate, MINUTE);
        for (pace, first, each_second, leisurely, lives) in [
            (of(Some(256)), 0, 0, false, Some(60)),
            (of(Some(256)), 0, 1, false, Some(61)),
            // What came early buys nothing.
            (of(Some(256)), 1 << 30, 1, false, Some(61)),
            (of(Some(256)), 0, 128, false, Some(119)),
            (of(Some(256)), 0, 256, false, None),
            (of(Some(256)), 0, 1, true, None),
            (of(Some(256)), 0, 0, true, Some(60)),
            (of(None), 0, 1, false, None),
            (of(None), 0, 0, false, Some(60)),
            (Pace::whole(MINUTE), 1 << 30, 1 << 20, false, Some(60)),
        ] {
            assert_eq!(life(pace, first, each_second, leisurely), lives, "{pace:?} {first} {each_second} {leisurely}");
        }
    }

    #[test]
    fn a_pause_is_made_up_for_by_what_follows() {
        let mut pace = Pace::of(Some(1000), MINUTE);
        for _ in 0..100 {
            pace.waited(SECOND * 50);
            assert_eq!(pace.left(), SECOND * 10);
            pace.moved(50_000, false);
            assert_eq!(pace.left(), MINUTE);
        }
    }
}
