//! What is remembered of login attempts that are over, across reloads: a code is never sent twice, and a page can say what became
//! of a sign-in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::identity::IdentityError;
use crate::provider::ProviderError;
use crate::session::live::LiveSession;

/// The redemptions under way and just done, by attempt. An attempt stands here for as long as its cookie could open.
#[derive(Debug)]
pub(super) struct Redemptions {
    ended: Cache<String, Kept<Landing>>,
    /// By attempt: the one that it made room for.
    dropped: Cache<String, Kept<String>>,
}

/// Where the end of a redemption is told.
pub(super) type Landing = watch::Receiver<Option<Redeemed>>;

/// How a redemption ended.
#[derive(Clone, Debug)]
pub(super) enum Redeemed {
    /// With a session.
    Begun(Arc<LiveSession>),
    /// The provider, or what it said, was not taken.
    Refused(Arc<ProviderError>),
    /// The provider was not reached, so the code is as good as before: it is sent when the callback comes again.
    Unsent(Arc<ProviderError>),
    /// Its claims name nobody.
    Nobody(IdentityError),
    /// The attempt ended without a redemption.
    Over,
}

impl Redemptions {
    /// None yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            ended: Cache::builder().max_capacity(REMEMBERED).expire_after(Life).build(),
            dropped: Cache::builder().max_capacity(REMEMBERED).expire_after(Life).build(),
        })
    }

    /// The redemption of an attempt, and where to tell its end if nobody began it before. It is remembered for `life`.
    pub(super) fn begin(&self, attempt: &str, life: Duration) -> (Landing, Option<watch::Sender<Option<Redeemed>>>) {
        let (tell, ours) = watch::channel(None);
        // Not `or_insert`, which looks and then inserts: of two reloads in the same moment, both would be the first.
        let entry = self.ended.entry_by_ref(attempt).or_insert_with(|| Kept { what: ours, life });
        let tell = entry.is_fresh().then_some(tell);
        (entry.into_value().what, tell)
    }

    /// Forgets a redemption in which nothing was sent: the next callback begins it anew.
    pub(super) fn forget(&self, attempt: &str) {
        self.ended.invalidate(attempt);
    }

    /// Ends an attempt that was not redeemed: its cookie may still be somewhere.
    pub(super) fn close(&self, attempt: &str, life: Duration) {
        let over = || Kept { what: watch::channel(Some(Redeemed::Over)).1, life };
        self.ended.entry_by_ref(attempt).or_insert_with(over);
    }

    /// Whether a redemption of this attempt was begun, or it was closed.
    pub(super) fn is_known(&self, attempt: &str) -> bool {
        self.ended.contains_key(attempt)
    }

    /// Whether the attempt is over, whatever came of it.
    pub(super) fn is_over(&self, attempt: &str) -> bool {
        self.ended.get(attempt).is_some_and(|kept| kept.what.borrow().is_some())
    }

    /// Whether the attempt ended with a session that is still alive.
    pub(super) fn signed_somebody_in(&self, attempt: &str, now: UnixTime) -> bool {
        let kept = self.ended.get(attempt);
        kept.is_some_and(|kept| matches!(&*kept.what.borrow(), Some(Redeemed::Begun(live)) if !live.is_over(now)))
    }

    /// Remembers that a browser was told to forget an attempt, to make room for `newer`.
    pub(super) fn drop_attempt(&self, attempt: String, newer: &str, life: Duration) {
        self.dropped.insert(attempt, Kept { what: newer.to_owned(), life });
    }

    /// Whether a browser that `holds` other attempts was told to forget this one: it is the same browser if it holds the attempt
    /// that this one made room for, or what that one made room for.
    pub(super) fn was_dropped_by(&self, attempt: &str, holds: impl Fn(&str) -> bool) -> bool {
        let newer = |attempt: &str| self.dropped.get(attempt).map(|kept| kept.what);
        std::iter::successors(newer(attempt), |attempt| newer(attempt))
            .take(DROPPED_IN_A_ROW)
            .any(|newer| holds(&newer))
    }
}

/// An entry, and for how long it matters.
#[derive(Clone, Debug)]
struct Kept<T> {
    what: T,
    life: Duration,
}

struct Life;

impl<T> Expiry<String, Kept<T>> for Life {
    fn expire_after_create(&self, _: &String, kept: &Kept<T>, _: Instant) -> Option<Duration> {
        Some(kept.life)
    }
}

const REMEMBERED: u64 = 100_000;
const DROPPED_IN_A_ROW: usize = 64;
