//! One coarse timer for every request of a worker that waits for the head of an answer: a timer of tokio's for each of them takes
//! 330 instructions more (0.6 % of a signed-in request).
//!
//! A waiting request leaves its waker and its limit. One task, which lives only while anything waits, looks at all of them every
//! [`TICK`]: the first look after the wait began sets its deadline, a later one wakes what is past it. So no wait has to read
//! the clock, and none ends early, however late the task comes on a busy worker; each ends up to two looks late.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The worker's coarse timer.
#[derive(Debug, Default)]
pub(super) struct CoarseTimer(RefCell<Waits>);

/// The time was up.
#[derive(Debug)]
pub(super) struct Elapsed;

impl CoarseTimer {
    /// Waits for `future` for `limit`; then `more` may grant another span, or none.
    pub(super) async fn within<T>(
        self: &Rc<Self>,
        limit: Duration,
        mut future: Pin<&mut impl Future<Output = T>>,
        mut more: impl FnMut() -> Option<Duration>,
    ) -> Result<T, Elapsed> {
        let mut ticket = Ticket { timer: self, key: None };
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let span = match ticket.key {
                None => Some(limit),
                Some(key) if self.0.borrow_mut().is_over(key, cx) => more(),
                Some(_) => return Poll::Pending,
            };
            match span {
                Some(span) => {
                    ticket.wait(span, cx);
                    Poll::Pending
                }
                None => Poll::Ready(Err(Elapsed)),
            }
        })
        .await
    }

    /// Looks again and again for as long as anything waits.
    async fn tick(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            let woken = {
                let waits = &mut *self.0.borrow_mut();
                if waits.free.len() == waits.slots.len() {
                    waits.ticking = false;
                    return;
                }
                waits.look(Instant::now())
            };
            woken.into_iter().for_each(Waker::wake);
        }
    }
}

#[derive(Debug, Default)]
struct Waits {
    slots: Vec<Wait>,
    free: Vec<usize>,
    ticking: bool,
}

#[derive(Debug)]
struct Wait {
    limit: Duration,
    /// Known from the first look on.
    deadline: Option<Instant>,
    /// None for a wait that is over.
    waker: Option<Waker>,
}

impl Waits {
    /// The wakers of those whose time is up.
    fn look(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        for wait in &mut self.slots {
            match wait.deadline {
                Some(deadline) if deadline <= now => woken.extend(wait.waker.take()),
                Some(_) => {}
                None => wait.deadline = now.checked_add(wait.limit),
            }
        }
        woken
    }

    /// Whether a wait is over; if not, this is whom to wake.
    fn is_over(&mut self, key: usize, cx: &Context<'_>) -> bool {
        match self.slots.get_mut(key).and_then(|wait| wait.waker.as_mut()) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                false
            }
            None => true,
        }
    }
}

/// A place among the waits, given up when the wait ends or is broken off.
struct Ticket<'a> {
    timer: &'a Rc<CoarseTimer>,
    key: Option<usize>,
}

impl Ticket<'_> {
    fn wait(&mut self, limit: Duration, cx: &Context<'_>) {
        let waits = &mut *self.timer.0.borrow_mut();
        let wait = Wait { limit, deadline: None, waker: Some(cx.waker().clone()) };
        let key = self.key.or_else(|| waits.free.pop()).unwrap_or(waits.slots.len());
        match waits.slots.get_mut(key) {
            Some(slot) => *slot = wait,
            None => waits.slots.push(wait),
        }
        self.key = Some(key);
        if !waits.ticking {
            waits.ticking = true;
            tokio::task::spawn_local(Rc::clone(self.timer).tick());
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let waits = &mut *self.timer.0.borrow_mut();
        if let Some(wait) = waits.slots.get_mut(key) {
            wait.waker = None;
        }
        waits.free.push(key);
    }
}

const TICK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use tokio::task::LocalSet;

    use super::*;

    fn waits(limit: Duration) -> Waits {
        let wait = Wait { limit, deadline: None, waker: Some(Waker::noop().clone()) };
        Waits { slots: vec![wait], ..Waits::default() }
    }

    #[tokio::test]
    async fn who_never_gets_an_answer_gives_up_and_leaves_its_seat() {
        LocalSet::new()
            .run_until(async {
                let timer = Rc::new(CoarseTimer::default());
                assert!(timer.within(Duration::from_millis(1), pin!(pending::<()>()), || None).await.is_err());
                assert_eq!(timer.0.borrow().free.len(), 1);
                assert!(timer.within(Duration::from_secs(60), pin!(async { 7 }), || None).await.is_ok_and(|n| n == 7));
                assert_eq!(timer.0.borrow().slots.len(), 1);
            })
            .await;
    }

    #[test]
    fn a_busy_worker_counts_time_and_not_its_own_turns() {
        let cx = &Context::from_waker(Waker::noop());
        let (mut waits, begin) = (waits(TICK * 40), Instant::now());
        // A second went by in one turn: the wait may have begun at its end.
        assert!(waits.look(begin + TICK * 20).is_empty());
        assert!(!waits.is_over(0, cx));
        assert!(waits.look(begin + TICK * 40).is_empty());
        assert_eq!(waits.look(begin + TICK * 60).len(), 1, "after two more of them, two seconds are over for certain");
        assert!(waits.is_over(0, cx));
    }

    #[test]
    fn no_wait_ends_early_however_long_the_turns_are() {
        for (span, turn) in [(1, 1), (1, 7), (40, 1), (40, 3), (40, 100)] {
            let (mut waits, begin) = (waits(TICK * span), Instant::now());
            // It began at the very end of the first turn.
            assert!(waits.look(begin).is_empty(), "{span}, {turn}");
            let mut waited = 0;
            loop {
                waited += turn;
                if !waits.look(begin + TICK * waited).is_empty() {
                    break;
                }
            }
            assert!(waited >= span, "{span}, {turn}: {waited}");
            assert!(waited <= span + 2 * turn, "{span}, {turn}: {waited}");
        }
    }

    #[tokio::test]
    async fn more_time_may_be_granted_until_it_is_not() {
        LocalSet::new()
            .run_until(async {
                let timer = Rc::new(CoarseTimer::default());
                let mut grants = 2;
                let more = || {
                    grants -= 1;
                    (grants > 0).then_some(Duration::from_millis(1))
                };
                assert!(timer.within(Duration::from_millis(1), pin!(pending::<()>()), more).await.is_err());
                assert_eq!(grants, 0);
            })
            .await;
    }
}
