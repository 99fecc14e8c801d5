//! One coarse timer for every request that a worker waits for: cheaper than a timer of its own for each of them.
//!
//! A waiting request leaves its waker and the tick at which it gives up; one task, which lives only while anybody waits,
//! counts ticks and wakes those whose time has come. Time-outs are therefore late by up to two ticks, never early.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

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
        loop {
            tokio::time::sleep(TICK).await;
            let woken = {
                let waiting = &mut *self.0.borrow_mut();
                if waiting.count == 0 {
                    waiting.ticking = false;
                    return;
                }
                waiting.now += 1;
                let now = waiting.now;
                let due = waiting.slots.iter_mut().filter(|slot| slot.due <= now);
                due.filter_map(|slot| slot.waker.take()).collect::<Vec<_>>()
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
    waker: Option<Waker>,
}

enum Wait<'a> {
    Goes,
    Ends(&'a mut Waiting),
}

impl Waiting {
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
        let due = self.due(span);
        if let Some(slot) = self.slots.get_mut(key) {
            slot.due = due;
            slot.arm(cx);
        }
    }

    fn due(&self, span: Duration) -> u64 {
        let ticks = span.as_millis().div_ceil(TICK.as_millis());
        // One more, because the current tick has already begun.
        self.now.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX)).saturating_add(1)
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
        let slot = Slot { due: waiting.due(limit), waker: Some(cx.waker().clone()) };
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
            *slot = Slot { due: u64::MAX, waker: None };
        }
        waiting.free.push(key);
        waiting.count -= 1;
    }
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
