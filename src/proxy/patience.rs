//! One coarse timer for every request that a worker waits for: cheaper than a timer of its own for each of them.
//!
//! A waiting request leaves its waker and the tick at which it gives up; one task, which lives only while anybody waits,
//! counts ticks and wakes those whose time has come. Time-outs are therefore late by up to two ticks, never early. Ticks are
//! counted by the clock, not by the turns of that task: on a worker that is busy the task comes late, and time passes all the same.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The worker's coarse timer.
#[derive(Debug, Default)]
pub(super) struct Patience(RefCell<Waiting>);

/// The time was up.
#[derive(Debug)]
pub(super) struct Elapsed;

impl Patience {
    /// Waits for `future` for `limit`; then `more` may grant another span, or none.
    pub(super) async fn within<T>(
        self: &Rc<Self>,
        limit: Duration,
        mut future: Pin<&mut impl Future<Output = T>>,
        mut more: impl FnMut() -> Option<Duration>,
    ) -> Result<T, Elapsed> {
        let mut seat = Seat { patience: self, key: None };
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match seat.key {
                None => seat.take(limit, cx),
                Some(key) => match self.0.borrow_mut().wait(key, cx) {
                    Wait::Goes => {}
                    Wait::Ends(waiting) => match more() {
                        Some(span) => waiting.extend(key, span, cx),
                        None => return Poll::Ready(Err(Elapsed)),
                    },
                },
            }
            Poll::Pending
        })
        .await
    }

    /// Counts ticks for as long as somebody waits.
    async fn tick(self: Rc<Self>) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(TICK).await;
            let passed = ticks(last.elapsed()).max(1);
            last += TICK.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX));
            let woken = {
                let waiting = &mut *self.0.borrow_mut();
                if waiting.count == 0 {
                    waiting.ticking = false;
                    return;
                }
                waiting.pass(passed)
            };
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    slots: Vec<Slot>,
    free: Vec<usize>,
    count: usize,
    now: u64,
    ticking: bool,
}

#[derive(Debug)]
struct Slot {
    due: u64,
    /// When the wait began, or was prolonged.
    since: u64,
    waker: Option<Waker>,
}

enum Wait<'a> {
    Goes,
    Ends(&'a mut Waiting),
}

impl Waiting {
    /// So many ticks have gone by; the wakers of those whose time has come.
    fn pass(&mut self, ticks: u64) -> Vec<Waker> {
        let before = self.now;
        self.now = before.saturating_add(ticks);
        for slot in &mut self.slots {
            // Who came since the last look may have come at its end: the ticks that it missed are not held against it.
            if slot.since == before {
                slot.due = slot.due.saturating_add(ticks - 1);
            }
        }
        let now = self.now;
        let due = self.slots.iter_mut().filter(|slot| slot.due <= now);
        due.filter_map(|slot| slot.waker.take()).collect()
    }

    fn wait(&mut self, key: usize, cx: &Context<'_>) -> Wait<'_> {
        let now = self.now;
        match self.slots.get_mut(key) {
            Some(slot) if slot.due > now => {
                slot.arm(cx);
                Wait::Goes
            }
            _ => Wait::Ends(self),
        }
    }

    fn extend(&mut self, key: usize, span: Duration, cx: &Context<'_>) {
        let (due, since) = (self.due(span), self.now);
        if let Some(slot) = self.slots.get_mut(key) {
            (slot.due, slot.since) = (due, since);
            slot.arm(cx);
        }
    }

    fn due(&self, span: Duration) -> u64 {
        // One more, because the current tick has already begun, and one for what is less than a tick.
        let begun = u64::from(!span.subsec_nanos().is_multiple_of(TICK.subsec_nanos()));
        self.now.saturating_add(ticks(span)).saturating_add(1 + begun)
    }
}

impl Slot {
    fn arm(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

/// A place among those who wait, given up when the wait ends or is broken off.
struct Seat<'a> {
    patience: &'a Rc<Patience>,
    key: Option<usize>,
}

impl Seat<'_> {
    fn take(&mut self, limit: Duration, cx: &Context<'_>) {
        let waiting = &mut *self.patience.0.borrow_mut();
        let slot = Slot { due: waiting.due(limit), since: waiting.now, waker: Some(cx.waker().clone()) };
        let key = waiting.free.pop().unwrap_or(waiting.slots.len());
        match waiting.slots.get_mut(key) {
            Some(free) => *free = slot,
            None => waiting.slots.push(slot),
        }
        self.key = Some(key);
        waiting.count += 1;
        if !waiting.ticking {
            waiting.ticking = true;
            tokio::task::spawn_local(Rc::clone(self.patience).tick());
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let waiting = &mut *self.patience.0.borrow_mut();
        if let Some(slot) = waiting.slots.get_mut(key) {
            *slot = Slot { due: u64::MAX, since: 0, waker: None };
        }
        waiting.free.push(key);
        waiting.count -= 1;
    }
}

/// Whole ticks in a span.
fn ticks(span: Duration) -> u64 {
    u64::try_from(span.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

const TICK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn who_never_gets_an_answer_gives_up_and_leaves_its_seat() {
        LocalSet::new()
            .run_until(async {
                let patience = Rc::new(Patience::default());
                assert!(patience.within(Duration::from_millis(1), pin!(pending::<()>()), || None).await.is_err());
                assert_eq!(patience.0.borrow().count, 0);
                assert!(
                    patience.within(Duration::from_secs(60), pin!(async { 7 }), || None).await.is_ok_and(|n| n == 7)
                );
                assert_eq!(patience.0.borrow().slots.len(), 1);
            })
            .await;
    }

    #[test]
    fn a_busy_worker_counts_time_and_not_its_own_turns() {
        let cx = &Context::from_waker(Waker::noop());
        let mut waiting = Waiting::default();
        let due = waiting.due(TICK * 40);
        waiting.slots.push(Slot { due, since: 0, waker: Some(cx.waker().clone()) });
        // A second went by in one turn: the wait may have begun at its end.
        assert!(waiting.pass(20).is_empty());
        assert!(matches!(waiting.wait(0, cx), Wait::Goes));
        assert!(waiting.pass(20).is_empty());
        assert_eq!(waiting.pass(20).len(), 1, "after two more of them, two seconds are over for certain");
        assert!(matches!(waiting.wait(0, cx), Wait::Ends(_)));
    }

    #[test]
    fn no_wait_ends_early_however_long_the_turns_are() {
        let cx = &Context::from_waker(Waker::noop());
        for (span, turn) in [(1, 1), (1, 7), (40, 1), (40, 3), (40, 100)] {
            let mut waiting = Waiting::default();
            let due = waiting.due(TICK * span);
            waiting.slots.push(Slot { due, since: 0, waker: Some(cx.waker().clone()) });
            // It began at the very end of the first turn.
            assert!(waiting.pass(turn).is_empty(), "{span}, {turn}");
            let mut waited = 0;
            loop {
                waited += turn;
                if !waiting.pass(turn).is_empty() {
                    break;
                }
            }
            assert!(waited >= u64::from(span), "{span}, {turn}: {waited}");
            assert!(waited <= u64::from(span) + 2 * turn, "{span}, {turn}: {waited}");
        }
    }

    #[tokio::test]
    async fn more_time_may_be_granted_until_it_is_not() {
        LocalSet::new()
            .run_until(async {
                let patience = Rc::new(Patience::default());
                let mut grants = 2;
                let more = || {
                    grants -= 1;
                    (grants > 0).then_some(Duration::from_millis(1))
                };
                assert!(patience.within(Duration::from_millis(1), pin!(pending::<()>()), more).await.is_err());
                assert_eq!(grants, 0);
            })
            .await;
    }
}
