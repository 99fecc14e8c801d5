//! Connections that wait give back all but their socket.
//!
//! hyper keeps buffers of 8 KiB and more for as long as its HTTP/1 connection lives, which ten thousand browsers that read a page
//! would hold for nothing. So a connection that has rested for a moment is asked to park: hyper's part of it is
//! dropped, and made again when the next byte comes (connection.rs). The moment is short, because an allocator seldom gives
//! pages back once they were used: a burst of connections must never hold all its buffers at the same time.
//!
//! Only connections that were served since are looked at, so parked ones cost nothing; and one that is served again and
//! again is never parked.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::server::activity::Activity;

/// The connections of one worker that were seen without a request, and are not parked yet.
#[derive(Debug, Default)]
pub(super) struct Resting {
    list: RefCell<Vec<Candidate>>,
    first: Notify,
}

/// A connection that may be parked.
#[derive(Debug)]
struct Candidate {
    activity: Arc<Activity>,
    /// How many requests there had been at the last look.
    seen: Option<u32>,
}

impl Resting {
    /// To be called whenever a connection has done what there was to do.
    pub(super) fn note(&self, activity: &Arc<Activity>) {
        if activity.listed.load(Relaxed) || !activity.rests() {
            return;
        }
        activity.listed.store(true, Relaxed);
        let mut list = self.list.borrow_mut();
        if list.is_empty() {
            self.first.notify_one();
        }
        list.push(Candidate { activity: Arc::clone(activity), seen: None });
    }

    /// Asks those to park that did nothing since the last look.
    pub(super) fn look(&self) {
        self.list.borrow_mut().retain_mut(|candidate| {
            let activity = &candidate.activity;
            let requests = Some(activity.requests());
            if activity.rests() && candidate.seen != requests {
                candidate.seen = requests;
                return true;
            }
            // A busy one is noted again when it rests.
            activity.listed.store(false, Relaxed);
            if activity.rests() {
                activity.ask_to_park();
            }
            false
        });
    }

    /// Looks again and again while there is somebody to look at; never ends.
    pub(super) async fn park_all(&self) {
        loop {
            self.first.notified().await;
            while !self.list.borrow().is_empty() {
                sleep(MOMENT).await;
                self.look();
            }
        }
    }
}

/// A connection is parked after it rested for one to two of these.
const MOMENT: Duration = Duration::from_millis(50);
