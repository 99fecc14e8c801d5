//! The sessions that this thread used last, before the cache that all threads share: no hash of the whole cookie, no lock.
//!
//! It holds nothing alive and decides nothing. What the shared cache let go is gone from here too, every so many uses are
//! left to that cache, so that it knows which sessions are in use, and whether a session is over is asked of the session
//! itself, as it always is.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::session::live::LiveSession;

/// The session that was opened from `sealed` by `owner`, if this thread has seen it lately.
pub(super) fn find(owner: u64, sealed: &[u8], provider: usize) -> Option<Arc<LiveSession>> {
    PLACES.with_borrow_mut(|places| {
        let place = places.get_mut(place_of(sealed))?.as_mut()?;
        place.uses = place.uses.wrapping_add(1);
        if place.owner != owner || place.uses.is_multiple_of(LEFT_TO_THE_SHARED) {
            return None;
        }
        let live = place.live.upgrade()?;
        (live.provider == provider && is_same(live.sealed.as_bytes(), sealed)).then_some(live)
    })
}

/// Remembers a session, in place of another.
pub(super) fn keep(owner: u64, live: &Arc<LiveSession>) {
    PLACES.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(COUNT, || None);
        }
        if let Some(place) = places.get_mut(place_of(live.sealed.as_bytes())) {
            *place = Some(Place { owner, live: Arc::downgrade(live), uses: 0 });
        }
    });
}

struct Place {
    owner: u64,
    live: Weak<LiveSession>,
    uses: u8,
}

thread_local! {
    static PLACES: RefCell<Vec<Option<Place>>> = const { RefCell::new(Vec::new()) };
}

/// By the end of the value: its authentication tag. Who makes up tags meets other sessions' places, and the comparison there.
fn place_of(sealed: &[u8]) -> usize {
    let tail = sealed.last_chunk().copied().unwrap_or_default();
    usize::try_from(u64::from_le_bytes(tail).wrapping_mul(SPREAD) >> SHIFT).unwrap_or_default()
}

/// Looks at every byte whatever it finds, so that its time tells nobody how much of a cookie they have guessed.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

const COUNT: usize = 1 << COUNT_BITS;
const COUNT_BITS: u32 = 10;
const SHIFT: u32 = u64::BITS - COUNT_BITS;
/// 2^64 over the golden ratio: the upper bits of the product depend on all bytes.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const LEFT_TO_THE_SHARED: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_value_is_the_same() {
        let sealed = "abcdefgh".repeat(20);
        assert!(is_same(sealed.as_bytes(), sealed.clone().as_bytes()));
        for at in [0, 80, 159] {
            let mut other = sealed.clone();
            other.replace_range(at..=at, "X");
            assert!(!is_same(sealed.as_bytes(), other.as_bytes()));
        }
        assert!(!is_same(sealed.as_bytes(), &sealed.as_bytes()[1..]));
    }

    #[test]
    fn every_value_has_a_place() {
        for sealed in ["", "short", "exactly8", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", &"x".repeat(5000)] {
            assert!(place_of(sealed.as_bytes()) < COUNT);
        }
    }
}
