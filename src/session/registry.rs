//! What this process knows of sessions beyond their cookies, by id and generation: which ended, which were renewed since, which
//! refresh tokens are spent.
//!
//! Cookies cannot be taken back, so this is the memory that makes sign-out and rotation hold. It lives as long as the process
//! and outlives a reload. It is bounded: an entry costs an attacker a real sign-in, and pushes out none of another person's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{SharedClock, UnixTime};
use crate::remembered::{Mark, Party, Remembered};
use crate::secret::Secret;
use crate::session::SessionId;
use crate::session::cell::SessionCell;
use crate::session::ended::{EndedByProviders, NamesAtProvider, ProviderEnd};
use crate::session::renewal::Renewal;
use crate::single_flight::SingleFlight;
use crate::telemetry::metrics::Metrics;

/// The memory of sessions.
#[derive(Debug)]
pub struct Registry {
    cells: Mutex<Cells>,
    /// By session: generations below this one are over.
    ended: Remembered<u64>,
    ended_by_providers: EndedByProviders,
    /// Logout tokens that were taken.
    logout_tokens: Remembered<()>,
    spent: Remembered<()>,
    expired: Remembered<()>,
    unseen: Remembered<Arc<SessionCell>>,
    /// The renewals under way. One that ends with `None` was not needed for the cookie that began it.
    pub(super) renewals: SingleFlight<SessionId, Option<Renewal>>,
}

impl Registry {
    /// An empty memory.
    pub fn new(clock: &SharedClock, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            cells: Mutex::default(),
            ended: Remembered::new("sessions_ended", ENDED_BYTES, clock, metrics),
            ended_by_providers: EndedByProviders::new(clock, metrics),
            logout_tokens: Remembered::new("logout_tokens", LOGOUT_TOKENS_BYTES, clock, metrics),
            spent: Remembered::new("refresh_tokens_spent", SPENT_BYTES, clock, metrics),
            expired: Remembered::new("sessions_expired", EXPIRED_BYTES, clock, metrics),
            unseen: Remembered::new("sessions_unseen", UNSEEN_BYTES, clock, metrics),
            renewals: SingleFlight::default(),
        })
    }

    /// The cell of a session, shared by everybody who holds one of its cookies. Only called when a cookie is opened.
    pub fn cell(&self, id: &SessionId) -> Arc<SessionCell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.by_id.get(id).and_then(Weak::upgrade) {
            return cell;
        }
        cells.sweep();
        let ended = self.ended.get(id.into()).unwrap_or(0);
        let cell = Arc::new(SessionCell::ended_below(ended));
        cells.by_id.insert(*id, Arc::downgrade(&cell));
        cell
    }

    /// The same of a session that was opened, with what its provider calls it: one that the provider ended is over.
    pub(super) fn cell_named(&self, id: &SessionId, names: NamesAtProvider) -> Arc<SessionCell> {
        let cell = self.cell(id);
        // First the names and then the look, so that an end in between is not missed.
        cell.set_names(names);
        if self.ended_by_providers.have(&names) {
            cell.end_below(u64::MAX);
        }
        cell
    }

    /// Ends the sessions that a provider means and that were begun before `at`, and says how many of them were in use.
    pub fn end_named(&self, end: &ProviderEnd, at: UnixTime, lifetime: Duration) -> usize {
        self.ended_by_providers.add(end, at, lifetime);
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = cells.by_id.values().filter_map(Weak::upgrade);
        let meant = in_use.filter(|cell| cell.names().is_some_and(|names| names.are_meant_by(end, at)));
        meant.filter(|cell| cell.end_below(u64::MAX)).count()
    }

    /// Whether a logout token comes for the first time; it is remembered on the account of `owner`.
    pub fn takes_logout_token(&self, token: Mark, owner: Party, life: Duration) -> bool {
        let mut is_new = false;
        self.logout_tokens.update(token, owner, life, 0, |before| is_new = before.is_none());
        is_new
    }

    /// Ends a session: from now on none of its cookies opens anything, however often they are sent again (LO-07, AT-CS-05).
    pub fn end(&self, id: &SessionId, owner: Party, remaining: Duration) {
        self.unseen.remove(id.into());
        self.end_below(id, owner, u64::MAX, remaining);
    }

    /// Ends the cookies of a session up to a generation, whose refresh token the provider does not take any more. Where another
    /// instance renewed the session first, what it made of it goes on (RF-07, AT-TP-24).
    pub fn end_up_to(&self, id: &SessionId, owner: Party, generation: u32, remaining: Duration) {
        self.end_below(id, owner, u64::from(generation) + 1, remaining);
    }

    /// Keeps the newest cookie of a session that nobody has shown yet, whatever else memory is needed for: the answer that carries
    /// it may be lost.
    pub fn keep_unseen(&self, id: &SessionId, owner: Party, cell: &Arc<SessionCell>, remaining: Duration) {
        let handle = cell.succession.latest().map_or(0, |latest| latest.handle.as_str().len());
        self.unseen.insert(id.into(), owner, remaining, Arc::clone(cell), size_of::<SessionCell>() + handle);
    }

    /// The newest cookie of a session arrived.
    pub fn arrived(&self, id: &SessionId) {
        self.unseen.remove(id.into());
    }

    /// Ends all generations below this one.
    fn end_below(&self, id: &SessionId, owner: Party, generation: u64, remaining: Duration) {
        self.ended.update(id.into(), owner, remaining, 0, |before| before.map_or(generation, |it| it.max(generation)));
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.by_id.get(id).and_then(Weak::upgrade) {
            cell.end_below(generation);
        }
    }

    /// Remembers that a refresh token was exchanged for another: it must never be sent again
    /// ([RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).
    pub fn spend(&self, refresh_token: &Secret<String>, owner: Party, remaining: Duration) {
        self.spent.insert(Mark::of(refresh_token.expose()), owner, remaining, (), 0);
    }

    /// Whether a refresh token was exchanged for another.
    pub fn is_spent(&self, refresh_token: &Secret<String>) -> bool {
        self.spent.get(Mark::of(refresh_token.expose())).is_some()
    }

    /// Whether this is the first time that somebody finds the session to be past its end: a forgotten tab comes again and again.
    pub fn expires_now(&self, id: &SessionId, owner: Party) -> bool {
        let mut is_news = false;
        self.expired.update(id.into(), owner, LOGGED_ONCE_IN, 0, |before| is_news = before.is_none());
        is_news
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

/// For sessions that ended: each is an entry, or a little more, of [`Remembered`].
const ENDED_BYTES: usize = 64 * 1024 * 1024;
/// For logout tokens, each for some minutes.
const LOGOUT_TOKENS_BYTES: usize = 4 * 1024 * 1024;
/// For refresh tokens that were exchanged.
const SPENT_BYTES: usize = 64 * 1024 * 1024;
/// For sessions whose end was logged.
const EXPIRED_BYTES: usize = 2 * 1024 * 1024;
/// For the newest cookies that nobody has shown yet.
const UNSEEN_BYTES: usize = 16 * 1024 * 1024;
/// A forgotten tab may ask for months.
const LOGGED_ONCE_IN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Cells, before any is swept out.
const SWEEP_FROM: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Party = Party::numbered(1);

    fn registry() -> Arc<Registry> {
        let clock = crate::clock::SystemClock::shared();
        Registry::new(&clock, &Metrics::new(clock.now()))
    }

    fn id() -> SessionId {
        SessionId::random()
    }

    #[test]
    fn an_ended_session_stays_ended_for_cookies_that_are_opened_later() {
        // AT-CS-05
        let registry = registry();
        let id = id();
        let held = registry.cell(&id);
        registry.end(&id, ADA, Duration::from_secs(60));
        assert!(held.is_ended(0));
        drop(held);
        assert!(registry.cell(&id).is_ended(u32::MAX));
    }

    #[test]
    fn what_another_instance_renewed_outlives_a_refused_refresh_token() {
        // AT-TP-24
        let registry = registry();
        let id = id();
        registry.end_up_to(&id, ADA, 3, Duration::from_secs(60));
        let cell = registry.cell(&id);
        assert!(cell.is_ended(0) && cell.is_ended(3) && !cell.is_ended(4));
        registry.end(&id, ADA, Duration::from_secs(60));
        registry.end_up_to(&id, ADA, 5, Duration::from_secs(60));
        assert!(cell.is_ended(6) && registry.cell(&id).is_ended(6));
    }

    #[test]
    fn the_end_of_a_session_is_news_once() {
        let registry = registry();
        let id = id();
        assert!(registry.expires_now(&id, ADA));
        assert!(!registry.expires_now(&id, ADA));
    }

    #[test]
    fn everybody_with_a_cookie_of_one_session_shares_its_cell() {
        let registry = registry();
        let id = id();
        let cell = registry.cell(&id);
        assert!(Arc::ptr_eq(&cell, &registry.cell(&id)));
        assert!(!Arc::ptr_eq(&cell, &registry.cell(&self::id())));
    }

    #[test]
    fn a_spent_refresh_token_is_remembered() {
        let registry = registry();
        registry.spend(&Secret::from("r1"), ADA, Duration::from_secs(60));
        assert!(registry.is_spent(&Secret::from("r1")));
        assert!(!registry.is_spent(&Secret::from("r2")));
    }

    // AT-CS-05, RFC 9700 section 4.14.2
    #[test]
    fn a_full_memory_knows_what_ended_last_whoever_ends_sessions_without_end() {
        let registry = registry();
        let adas = id();
        registry.end(&adas, ADA, Duration::from_secs(60));
        registry.spend(&Secret::from("hers"), ADA, Duration::from_secs(60));
        let entries = ENDED_BYTES / 200 + 1000;
        for number in 0..entries {
            registry.end(&id(), Party::numbered(2), Duration::from_secs(60));
            if number % 100 == 0 {
                registry.spend(&Secret::new(number.to_string()), Party::numbered(2), Duration::from_secs(60));
            }
        }
        let newest: Vec<SessionId> = (0..1000).map(|_| id()).collect();
        for (id, number) in newest.iter().zip(3..) {
            registry.end(id, Party::numbered(number % 40), Duration::from_secs(60));
        }
        assert!(newest.iter().all(|id| registry.cell(id).is_ended(0)));
        assert!(registry.cell(&adas).is_ended(0) && registry.is_spent(&Secret::from("hers")));
    }
}
