//! The budget of code exchanges that a provider refuses, for each client address and provider.
//!
//! A client that sends made-up codes makes us call the provider with our credentials each time (AT-CL-17). So:
//!
//! 1. An exchange that the provider refused takes from the budget, which fills up again by itself. One that it did not refuse takes
//!    nothing, nor does a reload, which sends nothing.
//! 2. An empty budget is 429. The code was not sent, and may be later.
//! 3. Exchanges of one address wait for each other where many are under way, so that their answers are known in time.
//! 4. Strangers do not share a budget: an address that is only that of an untrusted proxy has none. Addresses are
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
pub(super) struct ExchangeBudgets {
    clients: Cache<(IpAddr, usize), Arc<ClientBudget>>,
    clock: SharedClock,
}

/// The right to one code exchange.
#[derive(Debug)]
pub(super) struct ExchangePermit {
    client_budget: Arc<ClientBudget>,
    clock: SharedClock,
    /// Holds the turn.
    _turn: OwnedSemaphorePermit,
}

/// The budget is empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Spent {
    /// When there is some again.
    pub(super) retry_after: Duration,
    /// Why the last exchange was refused.
    pub(super) last: &'static str,
    /// It was not reported before.
    pub(super) is_news: bool,
}

impl ExchangeBudgets {
    /// All of them full.
    pub(super) fn new(clock: SharedClock) -> Self {
        let clients =
            Cache::builder().max_capacity(ADDRESSES).eviction_policy(EvictionPolicy::lru()).time_to_idle(FULL_AGAIN);
        Self { clients: clients.build(), clock }
    }

    /// A permit for the client at this address; none is needed where nobody knows whose exchange it is.
    pub(super) async fn permit(
        &self,
        client: Option<IpAddr>,
        provider: usize,
    ) -> Result<Option<ExchangePermit>, Spent> {
        let (Some(client), clock) = (client, Arc::clone(&self.clock)) else { return Ok(None) };
        let client_budget = self.clients.get_with((network(client), provider), Arc::default);
        client_budget.check(clock.monotonic())?;
        // It is never closed.
        let Ok(turn) = Arc::clone(&client_budget.turns).acquire_owned().await else { return Ok(None) };
        client_budget.check(clock.monotonic())?;
        Ok(Some(ExchangePermit { client_budget, clock, _turn: turn }))
    }
}

impl ExchangePermit {
    /// The exchange ended without tokens.
    pub(super) fn failed(&self, error: &ProviderError, provider: &Provider) {
        let mut spending = self.client_budget.spending.lock().unwrap_or_else(PoisonError::into_inner);
        // Some answer a bad code with a bare 500. It is one where others are served meanwhile, and an outage otherwise.
        let counts = error.is_refused_code()
            || error.is_bare_server_error()
                && spending.first_bare.is_some_and(|first| provider.has_served_since(first));
        if counts {
            spending.take(self.clock.monotonic(), error.code());
        } else if error.is_bare_server_error() {
            spending.first_bare.get_or_insert_with(Moment::now);
        }
    }
}

/// What one address did at one provider.
#[derive(Debug)]
struct ClientBudget {
    turns: Arc<Semaphore>,
    spending: Mutex<Spending>,
}

impl ClientBudget {
    /// Whether there is some left.
    fn check(&self, now: MonotonicTime) -> Result<(), Spent> {
        self.spending.lock().unwrap_or_else(PoisonError::into_inner).check(now)
    }
}

impl Default for ClientBudget {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), spending: Mutex::default() }
    }
}

/// What is taken from a budget.
#[derive(Debug, Default)]
struct Spending {
    /// When it is full again.
    full: MonotonicTime,
    /// Why the last exchange was refused.
    last: &'static str,
    is_reported: bool,
    first_bare: Option<Moment>,
}

impl Spending {
    /// Takes one exchange.
    fn take(&mut self, now: MonotonicTime, reason: &'static str) {
        self.full = self.full.max(now).plus(EACH);
        self.last = reason;
    }

    /// Whether there is some left.
    fn check(&mut self, now: MonotonicTime) -> Result<(), Spent> {
        let retry_after = self.full.since(now).saturating_sub(EACH.saturating_mul(MOST - 1));
        if retry_after.is_zero() {
            // Reported once each time that many codes have spent it.
            self.is_reported &= !self.full.since(now).is_zero();
            return Ok(());
        }
        Err(Spent { retry_after, last: self.last, is_news: !std::mem::replace(&mut self.is_reported, true) })
    }
}

/// The network of a client: a household or a company has many IPv6 addresses, at least a /64
/// ([RFC 6177 section 2](https://www.rfc-editor.org/rfc/rfc6177#section-2)).
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
/// After this time an entry holds nothing that a new one would not.
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

    fn budgets() -> (ExchangeBudgets, Arc<ManualClock>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1000));
        (ExchangeBudgets::new(clock.clone()), clock)
    }

    /// Lets so many exchanges of this client be refused.
    async fn refuse(budgets: &ExchangeBudgets, client: Option<IpAddr>, times: u32) {
        for _ in 0..times {
            let turn = budgets.permit(client, 0).await.unwrap();
            if let Some(turn) = &turn {
                turn.client_budget.spending.lock().unwrap().take(budgets.clock.monotonic(), "invalid_grant");
            }
        }
    }

    #[tokio::test]
    async fn what_one_address_spends_is_no_other_s_and_fills_up_again() {
        // AT-CL-17
        let (budgets, clock) = budgets();
        let ours = at("192.0.2.7");
        refuse(&budgets, ours, MOST).await;
        let spent = budgets.permit(ours, 0).await.unwrap_err();
        assert_eq!(spent, Spent { retry_after: EACH, last: "invalid_grant", is_news: true });
        assert!(!budgets.permit(at("::ffff:192.0.2.7"), 0).await.unwrap_err().is_news, "the same address");
        assert!(budgets.permit(ours, 1).await.is_ok(), "another provider");
        assert!(budgets.permit(at("192.0.2.8"), 0).await.is_ok(), "another address");
        clock.advance(EACH);
        refuse(&budgets, ours, 1).await;
        assert!(budgets.permit(ours, 0).await.is_err());
        clock.advance(FULL_AGAIN);
        refuse(&budgets, ours, MOST).await;
        assert!(budgets.permit(ours, 0).await.unwrap_err().is_news, "reported once each time");
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client_and_a_clock_that_is_set_changes_nothing() {
        let (budgets, clock) = budgets();
        refuse(&budgets, at("2001:db8:1:2:aaaa::1"), MOST).await;
        assert!(budgets.permit(at("2001:db8:1:2:bbbb::9"), 0).await.is_err());
        assert!(budgets.permit(at("2001:db8:1:3::1"), 0).await.is_ok());
        clock.step_to(UnixTime::from_secs(1));
        assert_eq!(budgets.permit(at("2001:db8:1:2::1"), 0).await.unwrap_err().retry_after, EACH);
        clock.advance(EACH);
        assert!(budgets.permit(at("2001:db8:1:2::1"), 0).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_in_particular_has_no_budget_that_others_could_spend() {
        let (budgets, _) = budgets();
        refuse(&budgets, None, 10 * MOST).await;
        assert!(budgets.permit(None, 0).await.is_ok());
    }

    #[tokio::test]
    async fn those_that_wait_for_their_turn_learn_what_became_of_the_others() {
        let (budgets, _) = budgets();
        let (ours, now) = (at("192.0.2.7"), budgets.clock.monotonic());
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(budgets.permit(ours, 0).await.unwrap());
        }
        let (late, ()) = tokio::join!(budgets.permit(ours, 0), async {
            for turn in turns.drain(..) {
                turn.as_ref().unwrap().client_budget.spending.lock().unwrap().take(now, "invalid_grant");
            }
        });
        assert!(late.is_err());
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_the_oldest_make_room() {
        let (budgets, _) = budgets();
        let nth = |n: u64| Some(IpAddr::from(Ipv6Addr::from(u128::from(n) << 64)));
        refuse(&budgets, nth(1), MOST).await;
        for n in 2..ADDRESSES + 2_000 {
            assert!(budgets.permit(nth(n), 0).await.is_ok());
        }
        budgets.clients.run_pending_tasks();
        assert!(budgets.clients.entry_count() <= ADDRESSES);
        refuse(&budgets, nth(ADDRESSES + 5_000), MOST).await;
        assert!(budgets.permit(nth(ADDRESSES + 5_000), 0).await.is_err(), "the newest is remembered");
        budgets.clients.run_pending_tasks();
        assert!(budgets.permit(nth(1), 0).await.is_ok(), "the oldest is not");
    }
}
