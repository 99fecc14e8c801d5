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
    all: Places,
    /// One half, for requests that are not alone.
    shared: Places,
    wanted: Notify,
}

/// Places of which a reload may make more or fewer.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    most: AtomicUsize,
    /// More than `most` while some are to go that are taken.
    existing: Arc<AtomicUsize>,
}

impl Places {
    /// So many.
    pub fn of(most: usize) -> Self {
        let (free, existing) = (Arc::new(Semaphore::new(most)), Arc::new(AtomicUsize::new(most)));
        Self { free, most: AtomicUsize::new(most), existing }
    }

    /// Those that nobody has.
    pub fn free(&self) -> &Arc<Semaphore> {
        &self.free
    }

    /// How many there are to be.
    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// How many are taken; more than [`most`](Self::most) after there were made fewer.
    pub fn taken(&self) -> usize {
        self.existing.load(Relaxed).saturating_sub(self.free.available_permits())
    }

    /// Makes more, or fewer: nobody loses a place for that, and nobody gets one until enough were given back. For fewer, to be
    /// called on a runtime.
    pub fn resize(&self, most: usize) {
        let before = self.most.swap(most, Relaxed);
        if let Some(more) = most.checked_sub(before) {
            self.existing.fetch_add(more, Relaxed);
            self.free.add_permits(more);
            return;
        }
        let fewer = before.saturating_sub(most);
        let forgotten = self.free.forget_permits(fewer);
        self.existing.fetch_sub(forgotten, Relaxed);
        let Ok(left @ 1..) = u32::try_from(fewer - forgotten) else { return };
        let (free, existing) = (Arc::clone(&self.free), Arc::clone(&self.existing));
        // It stands before everybody who comes later to ask for one.
        tokio::spawn(async move {
            if let Ok(permits) = free.acquire_many_owned(left).await {
                existing.fetch_sub(permits.num_permits(), Relaxed);
                permits.forget();
            }
        });
    }
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
        Arc::new(Self { all: Places::of(0), shared: Places::of(0), wanted: Notify::new() })
    }

    /// Room for so many connections.
    pub fn of(most: usize) -> Arc<Self> {
        let budget = Self::empty();
        budget.resize(most);
        budget
    }

    /// Has room for so many connections from now on; at least one.
    pub fn resize(&self, most: usize) {
        let most = most.clamp(1, MOST);
        self.all.resize(most);
        self.shared.resize((most / 2).max(1));
    }

    /// Whether more than half is used up. Then nothing is kept for later.
    pub fn is_tight(&self) -> bool {
        self.all.free.available_permits() < self.all.most() / 2
    }

    /// Room for one more connection, if there is some within `patience`. `alone`: the request is the only one of its client's
    /// connection.
    pub async fn slot(&self, alone: bool, patience: Duration) -> Option<Slot> {
        if let Some(slot) = self.slot_at_once(alone) {
            return Some(slot);
        }
        let waiting = async {
            let shared = if alone { None } else { Arc::clone(&self.shared.free).acquire_owned().await.ok() };
            Some(Slot { _any: Arc::clone(&self.all.free).acquire_owned().await.ok()?, _shared: shared })
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

    /// Room that is there now.
    fn slot_at_once(&self, alone: bool) -> Option<Slot> {
        let shared = if alone { None } else { Some(Arc::clone(&self.shared.free).try_acquire_owned().ok()?) };
        Some(Slot { _any: Arc::clone(&self.all.free).try_acquire_owned().ok()?, _shared: shared })
    }
}

/// More than there can be descriptors.
const MOST: usize = 1 << 30;
/// How often those with idle connections are asked while somebody waits.
const BETWEEN_CALLS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn fewer_places_are_there_once_enough_were_given_back() {
        let places = Places::of(3);
        let take = || Arc::clone(places.free()).try_acquire_owned().ok();
        let (first, second) = (take().unwrap(), take().unwrap());
        places.resize(1);
        tokio::task::yield_now().await;
        assert!(take().is_none());
        assert_eq!((places.taken(), places.most()), (2, 1));
        drop(first);
        tokio::task::yield_now().await;
        assert!(take().is_none(), "one is left, and it is taken");
        drop(second);
        assert_eq!(places.taken(), 0);
        let last = take();
        assert!(last.is_some() && take().is_none());
        places.resize(2);
        assert!(take().is_some());
        assert_eq!((places.taken(), places.most()), (1, 2));
    }

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
        budget.resize(0);
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
