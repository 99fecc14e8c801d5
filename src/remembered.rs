//! What has to be remembered for security's sake, in bounded memory that forgets the oldest first.
//!
//! A cache is no such memory: one that keeps what is used often takes nothing new when it is full, and what was just ended would
//! be forgotten first. Here:
//!
//! 1. The oldest goes first, whatever is asked for meanwhile.
//! 2. Nobody has more than a sixteenth of it: whoever fills it, person or address, pushes out what is their own.
//! 3. Something is over when its time has passed by both clocks: what it protects against goes by the wall clock, which may be set
//!    back.
//! 4. It says so at warn when it is nearly full, or when somebody has filled their part.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::clock::{MonotonicTime, SharedClock, UnixTime};
use crate::telemetry::metrics::{MemoryUse, Metrics};

/// A bounded memory of things with a name.
#[derive(Debug)]
pub struct Remembered<T> {
    name: &'static str,
    most: usize,
    clock: SharedClock,
    used: MemoryUse,
    logged_full: AtomicBool,
    logged_part: AtomicBool,
    kept: Mutex<Kept<T>>,
}

/// By what something is found again: 128 bits of it or of its hash.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mark([u8; 16]);

impl Mark {
    /// The mark of a text.
    pub fn of(text: &str) -> Self {
        Self(prefix(&Sha256::digest(text)))
    }
}

impl From<[u8; 16]> for Mark {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Somebody on whose account something is remembered: a person, or an address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Party(u64);

impl Party {
    /// Somebody for tests.
    #[cfg(test)]
    pub(crate) const fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// Somebody who signed in.
    pub fn subject(issuer: &str, subject: &str) -> Self {
        Self(u64::from_be_bytes(prefix(&Sha256::digest([issuer, "\0", subject].concat()))))
    }

    /// Whoever asks from an address; of IPv6, from its network of 64 bits, all of which one customer has.
    pub fn address(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
        })
    }
}

impl<T: Clone> Remembered<T> {
    /// Remembers as much as goes into so many bytes. `name` is that of the metric and the log.
    pub fn new(name: &'static str, most: usize, clock: &SharedClock, metrics: &Metrics) -> Self {
        Self {
            name,
            most,
            clock: Arc::clone(clock),
            used: metrics.memory(name),
            logged_full: AtomicBool::new(false),
            logged_part: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }

    /// What is remembered of it.
    pub fn get(&self, mark: Mark) -> Option<T> {
        let now = (self.clock.monotonic(), self.clock.now());
        self.lock().entries.get(&mark).filter(|entry| !entry.is_over(now)).map(|entry| entry.what.clone())
    }

    /// Remembers something for this long, in place of what is known of it; `extra`: its bytes beyond its own size.
    pub fn insert(&self, mark: Mark, owner: Party, life: Duration, what: T, extra: usize) {
        self.update(mark, owner, life, extra, |_| what);
    }

    /// The same with what is made of what is known of it.
    pub fn update(&self, mark: Mark, owner: Party, life: Duration, extra: usize, make: impl FnOnce(Option<T>) -> T) {
        let now = (self.clock.monotonic(), self.clock.now());
        let until = (now.0.plus(life), now.1.plus(life));
        let mut kept = self.lock();
        kept.sweep(now);
        let what = make(kept.remove(mark));
        kept.add(mark, Item { what, owner, until, number: 0, bytes: ENTRY + size_of::<T>() + extra });
        let mut over_part = false;
        while kept.bytes_of(owner) > self.most / PARTS
            && kept.oldest_of(owner).and_then(|oldest| kept.remove(oldest)).is_some()
        {
            over_part = true;
        }
        while kept.bytes > self.most && kept.oldest().and_then(|oldest| kept.remove(oldest)).is_some() {}
        let bytes = kept.bytes;
        drop(kept);
        self.report(bytes, over_part);
    }

    /// Forgets something, and gives what was known of it.
    pub fn remove(&self, mark: Mark) -> Option<T> {
        self.lock().remove(mark)
    }

    /// Says how full it is: as a metric, and at warn.
    fn report(&self, bytes: usize, over_part: bool) {
        self.used.set(bytes, self.most);
        let (is_full, has_room) = (bytes >= self.most / 10 * 9, bytes < self.most / 10 * 8);
        if is_full && !self.logged_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                code = "memory_nearly_full",
                memory = self.name,
                bytes,
                "a memory of what is over is nearly full: it forgets the oldest before its time. Look in the access log for \
                 whoever signs in or calls back so often"
            );
        } else if has_room {
            self.logged_full.store(false, Ordering::Relaxed);
        }
        if over_part && !self.logged_part.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                code = "memory_part_full",
                memory = self.name,
                "one person or address has filled its part of a memory of what is over: its own oldest are forgotten before their \
                 time. Look in the access log for whoever signs in or calls back so often"
            );
        } else if !over_part && has_room && bytes < self.most / PARTS {
            self.logged_part.store(false, Ordering::Relaxed);
        }
    }

    /// The entries.
    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment by both clocks.
type Now = (MonotonicTime, UnixTime);

/// An entry.
#[derive(Debug)]
struct Item<T> {
    what: T,
    owner: Party,
    until: Now,
    number: u64,
    bytes: usize,
}

impl<T> Item<T> {
    /// Whether its time has passed.
    fn is_over(&self, now: Now) -> bool {
        now.0 >= self.until.0 && now.1 >= self.until.1
    }
}

/// Trees, which grow in small steps: a table that doubles would hold up whoever comes then.
#[derive(Debug)]
struct Kept<T> {
    entries: BTreeMap<Mark, Item<T>>,
    by_age: BTreeMap<u64, Mark>,
    by_owner: BTreeMap<(Party, u64), Mark>,
    owners: BTreeMap<Party, usize>,
    bytes: usize,
    next: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            owners: BTreeMap::new(),
            bytes: 0,
            next: 0,
        }
    }
}

impl<T> Kept<T> {
    /// Adds an entry, the newest of all.
    fn add(&mut self, mark: Mark, entry: Item<T>) {
        let number = self.next;
        self.next += 1;
        self.by_age.insert(number, mark);
        self.by_owner.insert((entry.owner, number), mark);
        *self.owners.entry(entry.owner).or_default() += entry.bytes;
        self.bytes += entry.bytes;
        self.entries.insert(mark, Item { number, ..entry });
    }

    /// Removes an entry.
    fn remove(&mut self, mark: Mark) -> Option<T> {
        let entry = self.entries.remove(&mark)?;
        self.by_age.remove(&entry.number);
        self.by_owner.remove(&(entry.owner, entry.number));
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        let left = self.bytes_of(entry.owner).saturating_sub(entry.bytes);
        if left == 0 {
            self.owners.remove(&entry.owner);
        } else {
            self.owners.insert(entry.owner, left);
        }
        Some(entry.what)
    }

    /// What is remembered on this account, in bytes.
    fn bytes_of(&self, owner: Party) -> usize {
        self.owners.get(&owner).copied().unwrap_or_default()
    }

    /// The oldest entry.
    fn oldest(&self) -> Option<Mark> {
        self.by_age.first_key_value().map(|(_, mark)| *mark)
    }

    /// The oldest entry on this account.
    fn oldest_of(&self, owner: Party) -> Option<Mark> {
        self.by_owner.range((owner, 0)..=(owner, u64::MAX)).next().map(|(_, mark)| *mark)
    }

    /// Forgets a few of the entries whose time has passed, the oldest first.
    fn sweep(&mut self, now: Now) {
        for _ in 0..SWEPT {
            let is_over = |mark: &Mark| self.entries.get(mark).is_some_and(|entry| entry.is_over(now));
            let Some(mark) = self.oldest().filter(is_over) else { return };
            self.remove(mark);
        }
    }
}

/// The first bytes of a hash.
fn prefix<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

/// About what the trees take for an entry besides what is remembered, with the room that their nodes leave.
const ENTRY: usize = 200;
/// Into how many parts it goes, one of which an owner may have.
const PARTS: usize = 16;
/// How many entries whose time has passed one insertion forgets.
const SWEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const LIFE: Duration = Duration::from_secs(60);
    /// Room for so many.
    const ROOM: usize = 1600;

    fn memory() -> (Remembered<usize>, Arc<ManualClock>, Arc<Metrics>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1_780_000_000));
        let metrics = Metrics::new(UnixTime::default());
        let shared: SharedClock = clock.clone();
        (Remembered::new("sample", ROOM * (ENTRY + size_of::<usize>()), &shared, &metrics), clock, metrics)
    }

    fn mark(number: usize) -> Mark {
        Mark::of(&number.to_string())
    }

    fn owner(number: usize) -> Party {
        Party::subject("https://op.example", &number.to_string())
    }

    #[test]
    fn a_full_memory_knows_the_newest_and_forgets_the_oldest() {
        let (memory, _, metrics) = memory();
        for number in 0..3 * ROOM {
            memory.insert(mark(number), owner(number), LIFE, number, 0);
            // What is asked for again and again is no younger for it.
            memory.get(mark(0));
        }
        let known: Vec<usize> = (0..3 * ROOM).filter(|number| memory.get(mark(*number)).is_some()).collect();
        assert_eq!(known, (2 * ROOM..3 * ROOM).collect::<Vec<_>>());
        assert!(metrics.render().contains("vestibule_memory_used_ratio{memory=\"sample\"} 1.0"));
    }

    #[test]
    fn nobody_pushes_out_what_is_anothers() {
        let (memory, ..) = memory();
        memory.insert(mark(0), owner(0), LIFE, 0, 0);
        for number in 1..10 * ROOM {
            memory.insert(mark(number), owner(1), LIFE, number, 0);
        }
        assert_eq!(memory.get(mark(0)), Some(0));
        let theirs = (1..10 * ROOM).filter(|number| memory.get(mark(*number)).is_some());
        assert_eq!(theirs.collect::<Vec<_>>(), (10 * ROOM - ROOM / PARTS..10 * ROOM).collect::<Vec<_>>());
    }

    #[test]
    fn what_weighs_more_pushes_out_more() {
        let (memory, ..) = memory();
        for number in 0..ROOM {
            memory.insert(mark(number), owner(number), LIFE, number, 0);
        }
        memory.insert(mark(ROOM), owner(ROOM), LIFE, ROOM, 9 * (ENTRY + size_of::<usize>()));
        let known = (0..=ROOM).filter(|number| memory.get(mark(*number)).is_some());
        assert_eq!(known.collect::<Vec<_>>(), (10..=ROOM).collect::<Vec<_>>());
        assert_eq!(memory.remove(mark(ROOM)), Some(ROOM));
        assert_eq!(memory.remove(mark(ROOM)), None);
        assert_eq!(memory.lock().owners.len(), ROOM - 10);
    }

    // A record that is over by the wall clock alone would be good again when that is set back.
    #[test]
    fn something_is_over_when_both_clocks_say_so() {
        let (memory, clock, _) = memory();
        let start = UnixTime::from_secs(1_780_000_000);
        memory.insert(mark(1), owner(1), LIFE, 1, 0);
        clock.step_to(start.plus(Duration::from_secs(3600)));
        assert!(memory.get(mark(1)).is_some(), "no time has passed");
        clock.step_to(start.minus(Duration::from_secs(3600)));
        clock.advance(LIFE);
        assert!(memory.get(mark(1)).is_some(), "the wall clock has an hour to go");
        clock.advance(Duration::from_secs(3600));
        assert!(memory.get(mark(1)).is_none());
        memory.insert(mark(2), owner(2), LIFE, 2, 0);
        assert_eq!(memory.lock().entries.len(), 1);
    }

    #[test]
    fn one_network_of_ipv6_is_one_owner() {
        let of = |text: &str| Party::address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
