//! What is known of sessions beyond their cookies: which ended, which were renewed since, which refresh tokens are spent.
//!
//! Cookies can not be taken back, so this is the memory that makes sign-out and rotation hold. It lives as long as the process
//! and outlives a reload. It is bounded: an entry costs an attacker a real sign-in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use moka::Expiry;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::clock::MonotonicTime;
use crate::secret::Secret;
use crate::session::SessionId;
use crate::session::refresh::Flight;
use crate::session::succession::Succession;

/// The memory of sessions.
#[derive(Debug)]
pub struct Registry {
    cells: Mutex<Cells>,
    ended: Cache<SessionId, Lasting<Generations>>,
    spent: Cache<TokenDigest, Lasting<()>>,
    expired: Cache<SessionId, ()>,
    unseen: Cache<SessionId, Lasting<Arc<SessionCell>>>,
}

impl Registry {
    /// An empty memory.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            cells: Mutex::default(),
            ended: Cache::builder().max_capacity(REMEMBERED).expire_after(UntilEnd).build(),
            spent: Cache::builder().max_capacity(REMEMBERED).expire_after(UntilEnd).build(),
            expired: Cache::builder().max_capacity(TOLD).build(),
            unseen: Cache::builder()
                .max_capacity(UNSEEN_BYTES)
                .weigher(|_, kept: &Lasting<Arc<SessionCell>>| {
                    let sealed = kept.what.succession.latest().map_or(0, |latest| latest.sealed.len());
                    u32::try_from(sealed + size_of::<SessionCell>()).unwrap_or(u32::MAX)
                })
                .expire_after(UntilEnd)
                .build(),
        })
    }

    /// The cell of a session, shared by everybody who holds one of its cookies. Only called when a cookie is opened.
    pub fn cell(&self, id: &SessionId) -> Arc<SessionCell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.by_id.get(id).and_then(Weak::upgrade) {
            return cell;
        }
        cells.sweep();
        let ended = self.ended.get(id).map_or(0, |ended| ended.what.0);
        let cell = Arc::new(SessionCell { ended: AtomicU64::new(ended), ..SessionCell::default() });
        cells.by_id.insert(*id, Arc::downgrade(&cell));
        cell
    }

    /// Ends a session: from now on none of its cookies opens anything, however often they are sent again (LO-07, AT-CS-05).
    pub fn end(&self, id: &SessionId, remaining: Duration) {
        self.unseen.invalidate(id);
        self.end_generations(id, Generations(u64::MAX), remaining);
    }

    /// Ends the cookies of a session up to a generation, whose refresh token the provider does not take any more. Where another
    /// instance renewed the session first, what it made of it goes on (RF-07, AT-TP-24).
    pub fn end_up_to(&self, id: &SessionId, generation: u32, remaining: Duration) {
        self.end_generations(id, Generations(u64::from(generation) + 1), remaining);
    }

    /// Keeps the newest cookie of a session that nobody has shown yet, whatever else memory is needed for: the answer that carries
    /// it may be lost.
    pub fn keep_unseen(&self, id: &SessionId, cell: &Arc<SessionCell>, remaining: Duration) {
        self.unseen.insert(*id, Lasting { what: Arc::clone(cell), remaining });
    }

    /// The newest cookie of a session arrived.
    pub fn arrived(&self, id: &SessionId) {
        self.unseen.invalidate(id);
    }

    fn end_generations(&self, id: &SessionId, what: Generations, remaining: Duration) {
        self.ended.entry(*id).and_upsert_with(|before| {
            let what = before.map_or(what, |before| before.into_value().what.max(what));
            Lasting { what, remaining }
        });
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.by_id.get(id).and_then(Weak::upgrade) {
            cell.ended.fetch_max(what.0, Ordering::AcqRel);
            cell.ending.notify_waiters();
        }
    }

    /// Remembers that a refresh token was exchanged for another: it must never be sent again (RFC 9700 section 4.14.2).
    pub fn spend(&self, refresh_token: &Secret<String>, remaining: Duration) {
        self.spent.insert(digest(refresh_token), Lasting { what: (), remaining });
    }

    /// Whether a refresh token was exchanged for another.
    pub fn is_spent(&self, refresh_token: &Secret<String>) -> bool {
        self.spent.contains_key(&digest(refresh_token))
    }

    /// Whether this is the first time that somebody finds the session to be past its end: a forgotten tab comes again and again.
    pub fn expires_now(&self, id: &SessionId) -> bool {
        self.expired.entry(*id).or_insert_with(|| ()).is_fresh()
    }
}

/// The cells of sessions that are in memory, and some of those that were: a dead one keeps its memory until it is swept out.
#[derive(Debug)]
struct Cells {
    by_id: HashMap<SessionId, Weak<SessionCell>>,
    sweep_at: usize,
}

impl Cells {
    /// Sweeps when half as many have come as were alive the last time: each session that comes pays for looking at three, however
    /// many are alive, and the dead are at most a third.
    fn sweep(&mut self) {
        if self.by_id.len() >= self.sweep_at {
            self.by_id.retain(|_, cell| cell.strong_count() > 0);
            self.sweep_at = SWEEP_FROM.max(self.by_id.len() + self.by_id.len() / 2);
        }
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self { by_id: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

/// What the requests of one session share while any of its cookies is in memory.
#[derive(Debug, Default)]
pub struct SessionCell {
    /// Generations below this one are over.
    ended: AtomicU64,
    ending: Notify,
    /// One more than the [`MonotonicTime`] of the last touch; zero before the first.
    touched: AtomicU64,
    /// Its cookies.
    pub succession: Succession,
    pub(super) flight: Mutex<Flight>,
}

impl SessionCell {
    /// Whether the session was ended, as far as cookies of this generation go.
    pub fn is_ended(&self, generation: u32) -> bool {
        u64::from(generation) < self.ended.load(Ordering::Acquire)
    }

    /// Waits until [`is_ended`](Self::is_ended).
    pub async fn ending(&self, generation: u32) {
        loop {
            let notified = self.ending.notified();
            tokio::pin!(notified);
            // Listens before it looks, so that an end in between is not missed.
            notified.as_mut().enable();
            if self.is_ended(generation) {
                return;
            }
            notified.await;
        }
    }

    /// Waits until no renewal is under way.
    pub(super) async fn landed(&self) {
        let flight = match &*self.flight.lock().unwrap_or_else(PoisonError::into_inner) {
            Flight::Flying(landing) => Some(landing.clone()),
            Flight::Grounded | Flight::Waiting { .. } => None,
        };
        if let Some(mut landing) = flight {
            let _ = landing.wait_for(Option::is_some).await;
        }
    }

    pub(super) fn take_touch(&self, now: MonotonicTime, step: Duration) -> bool {
        let last = self.touched.load(Ordering::Relaxed);
        let is_due = last.checked_sub(1).is_none_or(|last| now.since(MonotonicTime::from_millis(last)) >= step);
        let now = now.millis().saturating_add(1);
        is_due && self.touched.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

type TokenDigest = [u8; 32];

fn digest(token: &Secret<String>) -> TokenDigest {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// All generations below this one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Generations(u64);

/// An entry, and how much longer it matters: afterwards the cookie is over by itself.
#[derive(Clone, Copy, Debug)]
struct Lasting<T> {
    what: T,
    remaining: Duration,
}

struct UntilEnd;

impl<K, T> Expiry<K, Lasting<T>> for UntilEnd {
    fn expire_after_create(&self, _: &K, value: &Lasting<T>, _: std::time::Instant) -> Option<Duration> {
        Some(value.remaining)
    }
}

const REMEMBERED: u64 = 1_000_000;
const TOLD: u64 = 10_000;
const UNSEEN_BYTES: u64 = 16 * 1024 * 1024;
const SWEEP_FROM: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::random()
    }

    #[test]
    fn an_ended_session_stays_ended_for_cookies_that_are_opened_later() {
        // AT-CS-05
        let registry = Registry::new();
        let id = id();
        let held = registry.cell(&id);
        registry.end(&id, Duration::from_secs(60));
        assert!(held.is_ended(0));
        drop(held);
        assert!(registry.cell(&id).is_ended(u32::MAX));
    }

    #[test]
    fn what_another_instance_renewed_outlives_a_refused_refresh_token() {
        // AT-TP-24
        let registry = Registry::new();
        let id = id();
        registry.end_up_to(&id, 3, Duration::from_secs(60));
        let cell = registry.cell(&id);
        assert!(cell.is_ended(0) && cell.is_ended(3) && !cell.is_ended(4));
        registry.end(&id, Duration::from_secs(60));
        registry.end_up_to(&id, 5, Duration::from_secs(60));
        assert!(cell.is_ended(6) && registry.cell(&id).is_ended(6));
    }

    #[test]
    fn the_end_of_a_session_is_news_once() {
        let registry = Registry::new();
        let id = id();
        assert!(registry.expires_now(&id));
        assert!(!registry.expires_now(&id));
    }

    #[test]
    fn everybody_with_a_cookie_of_one_session_shares_its_cell() {
        let registry = Registry::new();
        let id = id();
        let cell = registry.cell(&id);
        assert!(Arc::ptr_eq(&cell, &registry.cell(&id)));
        assert!(!Arc::ptr_eq(&cell, &registry.cell(&self::id())));
    }

    #[test]
    fn a_spent_refresh_token_is_remembered() {
        let registry = Registry::new();
        registry.spend(&Secret::from("r1"), Duration::from_secs(60));
        assert!(registry.is_spent(&Secret::from("r1")));
        assert!(!registry.is_spent(&Secret::from("r2")));
    }

    #[test]
    fn one_request_in_a_step_touches_the_session() {
        let cell = SessionCell::default();
        let now = MonotonicTime::default();
        assert!(cell.take_touch(now, Duration::from_secs(60)));
        assert!(!cell.take_touch(now, Duration::from_secs(60)));
        assert!(cell.take_touch(now.plus(Duration::from_secs(60)), Duration::from_secs(60)));
    }
}
