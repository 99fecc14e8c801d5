//! The budget of code exchanges that a provider refuses, for each client address and provider.
//!
//! Whoever comes with codes that nobody gave out makes us ask the provider with our credentials each time (AT-CL-17). So:
//!
//! 1. An exchange that the provider refused takes from the budget, which fills up again by itself. One that it did not refuse takes
//!    nothing, nor does a reload, which sends nothing.
//! 2. An empty budget is 429. The code was not sent, and may be later.
//! 3. Exchanges of one address wait for each other where many are under way, so that their answers are known in time.
//! 4. No budget is shared by strangers: where the address is that of a proxy that nobody trusts, there is none. Addresses are
//!    remembered as long as their budget is not full, and the oldest make room.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{MonotonicTime, SharedClock};
use crate::provider::{Moment, Provider, ProviderError};

/// The budgets of all addresses.
#[derive(Debug)]
pub(super) struct Refusals {
    accounts: Cache<(IpAddr, usize), Arc<Account>>,
    clock: SharedClock,
}

/// The right to one code exchange.
#[derive(Debug)]
pub(super) struct Turn {
    /// None where nobody knows whose exchange it is.
    account: Option<(Arc<Account>, OwnedSemaphorePermit)>,
    clock: SharedClock,
}

/// The budget is empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Spent {
    /// When there is some again.
    pub(super) retry_after: Duration,
    /// Why the last exchange was refused.
    pub(super) last: &'static str,
    /// Nobody was told so before.
    pub(super) is_news: bool,
}

impl Refusals {
    pub(super) fn new(clock: SharedClock) -> Self {
        let accounts =
            Cache::builder().max_capacity(ADDRESSES).eviction_policy(EvictionPolicy::lru()).time_to_idle(FULL_AGAIN);
        Self { accounts: accounts.build(), clock }
    }

    /// A turn for the client at this address, where that is known.
    pub(super) async fn turn(&self, client: Option<IpAddr>, provider: usize) -> Result<Turn, Spent> {
        let clock = Arc::clone(&self.clock);
        let Some(client) = client else { return Ok(Turn { account: None, clock }) };
        let account = self.accounts.get_with((network(client), provider), Arc::default);
        account.check(clock.monotonic())?;
        // It is never closed.
        let Ok(permit) = Arc::clone(&account.turns).acquire_owned().await else {
            return Ok(Turn { account: None, clock });
        };
        account.check(clock.monotonic())?;
        Ok(Turn { account: Some((account, permit)), clock })
    }
}

impl Turn {
    /// The exchange ended without tokens.
    pub(super) fn failed(&self, error: &ProviderError, provider: &Provider) {
        let Some((account, _)) = &self.account else { return };
        let mut budget = account.budget.lock().unwrap_or_else(PoisonError::into_inner);
        // Some answer a bad code with a bare 500. It is one where others are served meanwhile, and an outage otherwise.
        let counts = error.is_refused_code()
            || error.is_bare_server_error() && budget.first_bare.is_some_and(|first| provider.has_served_since(first));
        if counts {
            budget.take(self.clock.monotonic(), error.code());
        } else if error.is_bare_server_error() {
            budget.first_bare.get_or_insert_with(Moment::now);
        }
    }
}

/// What one address did at one provider.
#[derive(Debug)]
struct Account {
    turns: Arc<Semaphore>,
    budget: Mutex<Budget>,
}

impl Account {
    fn check(&self, now: MonotonicTime) -> Result<(), Spent> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).check(now)
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), budget: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Budget {
    /// When it is full again.
    full: MonotonicTime,
    last: &'static str,
    is_told: bool,
    first_bare: Option<Moment>,
}

impl Budget {
    fn take(&mut self, now: MonotonicTime, reason: &'static str) {
        self.full = self.full.max(now).plus(EACH);
        self.last = reason;
    }

    fn check(&mut self, now: MonotonicTime) -> Result<(), Spent> {
        let retry_after = self.full.since(now).saturating_sub(EACH.saturating_mul(MOST - 1));
        if retry_after.is_zero() {
            // Told once for each time that it is spent by many.
            self.is_told &= !self.full.since(now).is_zero();
            return Ok(());
        }
        Err(Spent { retry_after, last: self.last, is_news: !std::mem::replace(&mut self.is_told, true) })
    }
}

/// Whom an address stands for: a household or a company has many addresses of IPv6, and a /64 at least (RFC 6177 section 2).
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Refused exchanges of one address at one provider that are let through one after the other.
const MOST: u32 = 30;
/// The time in which one more is let through.
const EACH: Duration = Duration::from_secs(2);
/// After it, what is remembered of an address is what is known of any.
const FULL_AGAIN: Duration = Duration::from_secs(2 * 60);
/// Exchanges of one address at one provider that are under way at once: a company may be behind it.
const AT_ONCE: usize = 100;
/// Addresses, times providers, that are remembered: some 400 bytes each.
const ADDRESSES: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixTime};

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn refusals() -> (Refusals, Arc<ManualClock>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1000));
        (Refusals::new(clock.clone()), clock)
    }

    /// Lets so many exchanges of this client be refused.
    async fn refuse(refusals: &Refusals, client: Option<IpAddr>, times: u32) {
        for _ in 0..times {
            let turn = refusals.turn(client, 0).await.unwrap();
            if let Some((account, _)) = &turn.account {
                account.budget.lock().unwrap().take(refusals.clock.monotonic(), "invalid_grant");
            }
        }
    }

    #[tokio::test]
    async fn what_one_address_spends_is_no_other_s_and_fills_up_again() {
        // AT-CL-17
        let (refusals, clock) = refusals();
        let ours = at("192.0.2.7");
        refuse(&refusals, ours, MOST).await;
        let spent = refusals.turn(ours, 0).await.unwrap_err();
        assert_eq!(spent, Spent { retry_after: EACH, last: "invalid_grant", is_news: true });
        assert!(!refusals.turn(at("::ffff:192.0.2.7"), 0).await.unwrap_err().is_news, "the same address");
        assert!(refusals.turn(ours, 1).await.is_ok(), "another provider");
        assert!(refusals.turn(at("192.0.2.8"), 0).await.is_ok(), "another address");
        clock.advance(EACH);
        refuse(&refusals, ours, 1).await;
        assert!(refusals.turn(ours, 0).await.is_err());
        clock.advance(FULL_AGAIN);
        refuse(&refusals, ours, MOST).await;
        assert!(refusals.turn(ours, 0).await.unwrap_err().is_news, "told once for each time");
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client_and_a_clock_that_is_set_changes_nothing() {
        let (refusals, clock) = refusals();
        refuse(&refusals, at("2001:db8:1:2:aaaa::1"), MOST).await;
        assert!(refusals.turn(at("2001:db8:1:2:bbbb::9"), 0).await.is_err());
        assert!(refusals.turn(at("2001:db8:1:3::1"), 0).await.is_ok());
        clock.step_to(UnixTime::from_secs(1));
        assert_eq!(refusals.turn(at("2001:db8:1:2::1"), 0).await.unwrap_err().retry_after, EACH);
        clock.advance(EACH);
        assert!(refusals.turn(at("2001:db8:1:2::1"), 0).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_in_particular_has_no_budget_that_others_could_spend() {
        let (refusals, _) = refusals();
        refuse(&refusals, None, 10 * MOST).await;
        assert!(refusals.turn(None, 0).await.is_ok());
    }

    #[tokio::test]
    async fn those_that_wait_for_their_turn_learn_what_became_of_the_others() {
        let (refusals, _) = refusals();
        let (ours, now) = (at("192.0.2.7"), refusals.clock.monotonic());
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(refusals.turn(ours, 0).await.unwrap());
        }
        let (late, ()) = tokio::join!(refusals.turn(ours, 0), async {
            for turn in turns.drain(..) {
                turn.account.as_ref().unwrap().0.budget.lock().unwrap().take(now, "invalid_grant");
            }
        });
        assert!(late.is_err());
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_the_oldest_make_room() {
        let (refusals, _) = refusals();
        let nth = |n: u64| Some(IpAddr::from(Ipv6Addr::from(u128::from(n) << 64)));
        refuse(&refusals, nth(1), MOST).await;
        for n in 2..ADDRESSES + 2_000 {
            assert!(refusals.turn(nth(n), 0).await.is_ok());
        }
        refusals.accounts.run_pending_tasks();
        assert!(refusals.accounts.entry_count() <= ADDRESSES);
        refuse(&refusals, nth(ADDRESSES + 5_000), MOST).await;
        assert!(refusals.turn(nth(ADDRESSES + 5_000), 0).await.is_err(), "the newest is remembered");
        refusals.accounts.run_pending_tasks();
        assert!(refusals.turn(nth(1), 0).await.is_ok(), "the oldest is not");
    }
}
