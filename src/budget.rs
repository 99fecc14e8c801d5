//! How many connections to applications there may be, over all workers.
//!
//! Every connection is a file descriptor, and one HTTP/2 client may have many requests under way, each of which needs a connection
//! of its own to an application that speaks HTTP/1.1. So there are only as many as leave the descriptors alone that clients, the
//! admin listener and providers need; and requests that are not the only one of their client's connection share one half of them,
//! so that a few clients with many requests do not keep out all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// The budget of a process; empty until its size is known.
#[derive(Debug)]
pub struct Budget {
    most: AtomicUsize,
    all: Arc<Semaphore>,
    /// One half, for requests that are not alone.
    shared: Arc<Semaphore>,
    wanted: Notify,
}

/// One connection within the budget, for as long as it is open.
#[derive(Debug)]
pub struct Slot {
    _any: OwnedSemaphorePermit,
    _shared: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Room for nothing as yet.
    pub fn empty() -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(0),
            all: Arc::new(Semaphore::new(0)),
            shared: Arc::new(Semaphore::new(0)),
            wanted: Notify::new(),
        })
    }

    /// Room for so many connections.
    pub fn of(most: usize) -> Arc<Self> {
        let budget = Self::empty();
        budget.grow(most);
        budget
    }

    /// Gives room for so many connections more; at least one.
    pub fn grow(&self, by: usize) {
        let by = by.clamp(1, MOST);
        self.most.fetch_add(by, Relaxed);
        self.all.add_permits(by);
        self.shared.add_permits((by / 2).max(1));
    }

    /// Whether more than half is used up. Then nothing is kept for later.
    pub fn is_tight(&self) -> bool {
        self.all.available_permits() < self.most.load(Relaxed) / 2
    }

    /// Room for one more connection, if there is some within `patience`. `alone`: the request is the only one of its client's
    /// connection.
    pub async fn slot(&self, alone: bool, patience: Duration) -> Option<Slot> {
        if let Some(slot) = self.slot_at_once(alone) {
            return Some(slot);
        }
        let waiting = async {
            let shared = if alone { None } else { Arc::clone(&self.shared).acquire_owned().await.ok() };
            Some(Slot { _any: Arc::clone(&self.all).acquire_owned().await.ok()?, _shared: shared })
        };
        let calling = async {
            loop {
                self.wanted.notify_waiters();
                sleep(BETWEEN_CALLS).await;
            }
        };
        tokio::select! {
            slot = timeout(patience, waiting) => slot.ok().flatten(),
            () = calling => None,
        }
    }

    /// Ends when somebody waits for room: whoever holds a connection that nobody uses may let it go.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    fn slot_at_once(&self, alone: bool) -> Option<Slot> {
        let shared = if alone { None } else { Some(Arc::clone(&self.shared).try_acquire_owned().ok()?) };
        Some(Slot { _any: Arc::clone(&self.all).try_acquire_owned().ok()?, _shared: shared })
    }
}

/// More than there can be descriptors.
const MOST: usize = 1 << 30;
const BETWEEN_CALLS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn many_requests_of_one_connection_share_one_half() {
        // AT-SM-25
        let budget = Budget::of(4);
        let shared = [budget.slot(false, AT_ONCE).await.unwrap(), budget.slot(false, AT_ONCE).await.unwrap()];
        assert!(budget.slot(false, AT_ONCE).await.is_none());
        assert!(!budget.is_tight());
        let alone = budget.slot(true, AT_ONCE).await.unwrap();
        assert!(budget.is_tight());
        let _last = budget.slot(true, AT_ONCE).await.unwrap();
        assert!(budget.slot(true, AT_ONCE).await.is_none());
        drop(shared);
        assert!(budget.slot(true, AT_ONCE).await.is_some());
        drop(alone);
        assert!(!budget.is_tight());
    }

    #[tokio::test]
    async fn who_waits_calls_and_gets_what_is_let_go() {
        let budget = Budget::empty();
        budget.grow(0);
        let held = budget.slot(true, AT_ONCE).await.unwrap();
        let waits = budget.slot(true, Duration::from_secs(60));
        let lets_go = async {
            budget.wanted().await;
            drop(held);
        };
        let (slot, ()) = tokio::join!(waits, lets_go);
        assert!(slot.is_some());
    }
}
