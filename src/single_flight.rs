//! One piece of work at a time for a key, however many ask for it meanwhile.
//!
//! 1. Of those who [`join`](SingleFlight::join), the first gets the [`Turn`] and does the work; all others wait for its end.
//! 2. [`Turn::finish`] gives a copy of the outcome to everybody who waits.
//! 3. A turn that is dropped without an outcome (its work panicked, or whoever asked for it went away) ends too: those who wait
//!    get no outcome, and the next one to join begins anew.
//!
//! Where the outcome is kept in a cache anyway, [`run`](SingleFlight::run) does all of this.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The work under way, by key; one key where there is only one thing to do. `T` is the outcome that is shared.
#[derive(Debug)]
pub struct SingleFlight<K: Eq + Hash = (), T = ()> {
    under_way: Arc<Mutex<HashMap<K, Waiting<T>>>>,
}

/// What becomes of somebody who joins.
#[derive(Debug)]
pub enum Joined<K: Eq + Hash, T> {
    /// Nobody does this work: do it.
    First(Turn<K, T>),
    /// Somebody does it already.
    Other(Waiting<T>),
}

/// The right to do the work, and the duty to [finish](Self::finish) it.
#[derive(Debug)]
pub struct Turn<K: Eq + Hash, T> {
    under_way: Arc<Mutex<HashMap<K, Waiting<T>>>>,
    key: K,
    outcome: watch::Sender<Option<T>>,
    is_finished: bool,
}

/// Somebody who waits for the end of another's work.
#[derive(Clone, Debug)]
pub struct Waiting<T>(watch::Receiver<Option<T>>);

impl<K: Clone + Eq + Hash, T: Clone> SingleFlight<K, T> {
    /// Takes the turn for this key, or waits for whoever has it.
    pub fn join(&self, key: K) -> Joined<K, T> {
        let mut under_way = locked(&self.under_way);
        if let Some(waiting) = under_way.get(&key) {
            return Joined::Other(waiting.clone());
        }
        let (outcome, waiting) = watch::channel(None);
        under_way.insert(key.clone(), Waiting(waiting));
        Joined::First(Turn { under_way: Arc::clone(&self.under_way), key, outcome, is_finished: false })
    }

    /// Takes the turn for this key when all others who wanted it before had theirs.
    pub async fn turn(&self, key: K) -> Turn<K, T> {
        loop {
            match self.join(key.clone()) {
                Joined::First(turn) => return turn,
                Joined::Other(waiting) => drop(waiting.outcome().await),
            }
        }
    }

    /// What `kept` has; `work` makes it, unless somebody else did meanwhile.
    pub async fn run<O>(&self, key: K, kept: impl Fn() -> Option<O>, work: impl Future<Output = O>) -> O {
        if let Some(kept) = kept() {
            return kept;
        }
        let _turn = self.turn(key).await;
        match kept() {
            Some(kept) => kept,
            None => work.await,
        }
    }

    /// Whether somebody does this work right now.
    pub fn is_under_way(&self, key: &K) -> bool {
        locked(&self.under_way).contains_key(key)
    }

    /// Waits for whoever does this work, if anybody does.
    pub async fn ended(&self, key: &K) {
        let waiting = locked(&self.under_way).get(key).cloned();
        if let Some(waiting) = waiting {
            waiting.outcome().await;
        }
    }
}

impl<K: Eq + Hash, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<K: Eq + Hash, T> Turn<K, T> {
    /// Somebody who waits for the end of this very work.
    pub fn waiting(&self) -> Waiting<T> {
        Waiting(self.outcome.subscribe())
    }

    /// The work is done.
    pub fn finish(mut self, outcome: T) {
        // In one step: who has the outcome and joins again begins anew.
        let mut under_way = locked(&self.under_way);
        under_way.remove(&self.key);
        self.outcome.send_replace(Some(outcome));
        drop(under_way);
        self.is_finished = true;
    }
}

impl<K: Eq + Hash, T> Drop for Turn<K, T> {
    fn drop(&mut self) {
        if !self.is_finished {
            locked(&self.under_way).remove(&self.key);
        }
    }
}

impl<T: Clone> Waiting<T> {
    /// What came of the work, when it has ended; none where it was broken off.
    pub async fn outcome(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
    }
}

/// The table; a panic elsewhere does not matter to it.
fn locked<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::*;

    fn first<T: Clone>(flight: &SingleFlight<u8, T>, key: u8) -> Turn<u8, T> {
        match flight.join(key) {
            Joined::First(turn) => turn,
            Joined::Other(_) => panic!("somebody does it"),
        }
    }

    fn other(flight: &SingleFlight<u8, u8>, key: u8) -> Waiting<u8> {
        match flight.join(key) {
            Joined::Other(waiting) => waiting,
            Joined::First(_) => panic!("nobody does it"),
        }
    }

    #[tokio::test]
    async fn everybody_who_waits_gets_the_outcome_of_the_first() {
        let flight = SingleFlight::default();
        let turn = first(&flight, 1);
        let waiting = [other(&flight, 1), other(&flight, 1), turn.waiting()];
        drop(first(&flight, 2));
        assert!(flight.is_under_way(&1) && !flight.is_under_way(&2));
        turn.finish(7);
        assert!(!flight.is_under_way(&1));
        for waiting in waiting {
            assert_eq!(waiting.outcome().await, Some(7));
        }
        flight.ended(&1).await;
        drop(first(&flight, 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_has_the_outcome_and_joins_again_begins_anew() {
        let flight = Arc::new(SingleFlight::default());
        for number in 0..1000 {
            let turn = first(&flight, 1);
            let waiting = turn.waiting();
            let finishes = tokio::spawn(async move { turn.finish(number) });
            assert_eq!(waiting.outcome().await, Some(number));
            assert!(!flight.is_under_way(&1));
            finishes.await.unwrap();
        }
    }

    #[tokio::test]
    async fn work_that_is_broken_off_has_no_outcome_and_begins_anew() {
        let flight = SingleFlight::default();
        let turn = first(&flight, 1);
        let waiting = other(&flight, 1);
        drop(turn);
        assert_eq!(waiting.outcome().await, None);
        drop(first(&flight, 1));
    }

    #[tokio::test]
    async fn work_is_done_once_for_all_who_ask_and_again_where_it_was_broken_off() {
        let (flight, kept, runs) = (SingleFlight::<(), ()>::default(), Cell::new(None), Cell::new(0));
        let work = || async {
            runs.set(runs.get() + 1);
            yield_now().await;
            kept.set(Some(runs.get()));
            runs.get()
        };
        {
            let broken_off = flight.run((), || kept.get(), work());
            tokio::pin!(broken_off);
            tokio::select! { biased; _ = &mut broken_off => panic!("it yields"), () = async {} => {} }
            assert!(flight.is_under_way(&()));
        }
        let all = tokio::join!(
            flight.run((), || kept.get(), work()),
            flight.run((), || kept.get(), work()),
            flight.run((), || kept.get(), work()),
        );
        assert_eq!((all, runs.get()), ((2, 2, 2), 2));
    }
}
