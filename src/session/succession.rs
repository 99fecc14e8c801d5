//! How the cookies of one session follow one another, and for how long an old one still gets the newest.
//!
//! 1. An answer may be lost on its way to the client, which then has only the old cookie, and its refresh token is spent. So an
//!    old cookie is good until a client has shown a later one: that is the proof that an answer arrived.
//! 2. From that moment requests that were under way have the grace
//!    ([`SessionSettings::grace`](super::settings::SessionSettings::grace)), and then the old cookie is over.
//! 3. What is remembered is bounded: one newest cookie, and the moments within the grace.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::clock::MonotonicTime;
use crate::session::store::Handle;

/// The cookies of one session that this process made, by generation.
#[derive(Debug, Default)]
pub struct Succession {
    /// Twice the newest generation, and one more until a client has shown it: a request with a settled cookie compares once.
    newest: AtomicU64,
    latest: ArcSwapOption<Latest>,
    seen: Mutex<FirstSeen>,
}

/// The newest cookie of a session, for those that still come with an older one.
#[derive(Debug)]
pub struct Latest {
    /// Its handle.
    pub handle: Handle,
    /// When it was made.
    pub since: MonotonicTime,
    /// Somebody needed it long after it was made.
    found_late: AtomicBool,
}

impl Latest {
    /// Whether this is the first time that somebody needs it this long after it was made: the answer that carried it was lost.
    pub(super) fn is_first_found_late(&self, now: MonotonicTime, grace: Duration) -> bool {
        now.since(self.since) > grace && !self.found_late.swap(true, Ordering::Relaxed)
    }
}

impl Succession {
    /// How often the session was renewed, as far as this process knows.
    pub fn generation(&self) -> u32 {
        u32::try_from(self.newest.load(Ordering::Acquire) / 2).unwrap_or(u32::MAX)
    }

    /// Whether a cookie of this generation is the newest, and that is known to have arrived.
    pub fn is_settled(&self, generation: u32) -> bool {
        self.newest.load(Ordering::Acquire) <= 2 * u64::from(generation)
    }

    /// The newest cookie, if this process made one.
    pub fn latest(&self) -> Option<Arc<Latest>> {
        self.latest.load_full()
    }

    /// There is a newer cookie.
    pub(super) fn publish(&self, generation: u32, handle: Handle, now: MonotonicTime) {
        self.latest.store(Some(Arc::new(Latest { handle, since: now, found_late: AtomicBool::new(false) })));
        self.newest.store(2 * u64::from(generation) + 1, Ordering::Release);
    }

    /// A client showed a cookie of this generation. Gives whether the newest has just arrived.
    pub(super) fn saw(&self, generation: u32, now: MonotonicTime, grace: Duration) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(generation, now, grace);
        let settled = 2 * u64::from(generation);
        self.newest.compare_exchange(settled + 1, settled, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether a cookie of this generation may still get the newest.
    pub(super) fn may_follow(&self, generation: u32, now: MonotonicTime, grace: Duration) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.later_than(generation).is_none_or(|at| now.since(at) <= grace)
    }
}

/// The generations that clients showed, each with the first time, in order. Of those before the grace only the last is kept.
#[derive(Debug, Default)]
struct FirstSeen(Vec<(u32, MonotonicTime)>);

impl FirstSeen {
    /// A client showed this generation.
    fn add(&mut self, generation: u32, now: MonotonicTime, grace: Duration) {
        if self.0.last().is_some_and(|(last, _)| *last >= generation) {
            return;
        }
        let long_ago = self.0.iter().filter(|(_, at)| now.since(*at) > grace).count();
        self.0.drain(..long_ago.saturating_sub(1));
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((generation, now));
    }

    /// When a generation after this one was first seen.
    fn later_than(&self, generation: u32) -> Option<MonotonicTime> {
        self.0.iter().find(|(seen, _)| *seen > generation).map(|(_, at)| *at)
    }
}

/// A session that is renewed more often than this within the grace lets its oldest cookies live a little longer.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::from_millis(1000 * (1_000_000 + seconds))
    }

    fn renewed(cookies: &Succession, generation: u32, now: u64) {
        cookies.publish(generation, "sealed".into(), at(now));
    }

    #[test]
    fn an_old_cookie_is_good_until_the_grace_after_its_successor_arrived() {
        let cookies = Succession::default();
        assert!(cookies.is_settled(0));
        renewed(&cookies, 1, 0);
        assert!(!cookies.is_settled(0) && !cookies.is_settled(1));
        assert!(cookies.may_follow(0, at(100_000), GRACE), "nobody has seen the new one");
        assert!(cookies.saw(1, at(100_000), GRACE));
        assert!(cookies.is_settled(1) && !cookies.is_settled(0));
        assert!(!cookies.saw(1, at(100_020), GRACE), "the first time counts");
        assert!(cookies.may_follow(0, at(100_030), GRACE) && !cookies.may_follow(0, at(100_031), GRACE));
    }

    #[test]
    fn a_later_renewal_revives_no_cookie_that_was_over() {
        let cookies = Succession::default();
        renewed(&cookies, 1, 0);
        cookies.saw(1, at(1), GRACE);
        renewed(&cookies, 2, 60);
        assert!(!cookies.may_follow(0, at(61), GRACE), "its successor arrived a minute ago");
        assert!(cookies.may_follow(1, at(100_000), GRACE));
        cookies.saw(2, at(100_000), GRACE);
        assert!(cookies.may_follow(1, at(100_030), GRACE) && !cookies.may_follow(1, at(100_031), GRACE));
        assert!(!cookies.may_follow(0, at(100_000), GRACE));
    }

    #[test]
    fn a_late_old_cookie_is_no_proof_that_the_new_one_arrived() {
        let cookies = Succession::default();
        renewed(&cookies, 1, 0);
        renewed(&cookies, 2, 60);
        assert!(!cookies.saw(0, at(61), GRACE) && !cookies.saw(1, at(62), GRACE));
        assert!(!cookies.is_settled(2));
        assert!(cookies.may_follow(1, at(100_000), GRACE));
        assert!(!cookies.may_follow(0, at(93), GRACE), "the one after it was seen");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = FirstSeen::default();
        for generation in 0..1000 {
            seen.add(generation, at(0), GRACE);
        }
        assert_eq!(seen.0.len(), MOST);
        for generation in 1000..2000 {
            seen.add(generation, at(100 * u64::from(generation)), GRACE);
        }
        assert_eq!(seen.0.len(), 2);
    }

    #[test]
    fn a_lost_answer_is_counted_once() {
        let cookies = Succession::default();
        renewed(&cookies, 1, 0);
        let latest = cookies.latest().unwrap();
        assert!(!latest.is_first_found_late(at(30), GRACE));
        assert!(latest.is_first_found_late(at(31), GRACE) && !latest.is_first_found_late(at(32), GRACE));
    }
}
