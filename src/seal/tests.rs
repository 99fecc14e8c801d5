//! What sealing promises: nothing opens but what this ring sealed for this very use, unchanged and in time.

use std::time::Duration;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::seal::SealedHere;
use crate::secret::Secret;

const NOW: UnixTime = UnixTime::from_secs(1_780_000_000);

fn key(byte: u8) -> Secret<[u8; 32]> {
    Secret::new(std::array::from_fn(|i| byte.wrapping_add(i as u8)))
}

fn ring(keys: &[u8]) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(keys.iter().map(|k| key(*k)).collect()).unwrap())
}

fn later() -> UnixTime {
    NOW.plus(Duration::from_secs(60))
}

#[test]
fn what_was_sealed_opens_until_it_expires() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "s");
    let sealed = sealer.seal(b"hello", later(), NOW);
    let opened = sealer.open(&sealed, NOW).unwrap();
    assert_eq!((opened.plaintext.as_slice(), opened.expires), (b"hello".as_slice(), later()));
    assert_eq!(Sealer::peek_expiry(&sealed), Some(later()));
    // AT-CS-21: a second before, at, and after the end.
    assert!(sealer.open(&sealed, later().minus(Duration::from_secs(1))).is_ok());
    assert_eq!(sealer.open(&sealed, later()), Err(OpenError::Expired));
    assert_eq!(sealer.open(&sealed, later().plus(Duration::from_secs(60))), Err(OpenError::Expired));
    assert!(sealer.open_at_any_age(&sealed).is_ok());
}

// CK-13, CK-14: cookie-octets only, and never the same value twice.
#[test]
fn sealed_values_are_base64url_and_differ_each_time() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "s");
    let (a, b) = (sealer.seal(b"x", later(), NOW), sealer.seal(b"x", later(), NOW));
    assert_ne!(a, b);
    assert!(a.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
}

// The format itself: whoever changes it must add a version, not edit this value.
#[test]
fn golden_value_still_opens() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "__Host-vestibule");
    assert_eq!(sealer.seal_golden(b"a plaintext", later(), NOW), GOLDEN);
    assert_eq!(sealer.open(GOLDEN, NOW).unwrap().plaintext, b"a plaintext");
}

// AT-CS-02
#[test]
fn cut_or_extended_values_open_nowhere() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "s");
    let sealed = sealer.seal(b"hello there", later(), NOW);
    for cut in 0..sealed.len() {
        assert!(sealer.open(&sealed[..cut], NOW).is_err(), "cut to {cut}");
        assert!(sealer.open(&sealed[cut + 1..], NOW).is_err(), "without the first {}", cut + 1);
    }
    for tail in ["A", "AA", "AAA", "AAAA", "=", "==", "+", "/", ".", " ", "\0", "é"] {
        assert!(sealer.open(&format!("{sealed}{tail}"), NOW).is_err(), "with {tail:?} behind");
        assert!(sealer.open(&format!("{tail}{sealed}"), NOW).is_err(), "with {tail:?} before");
    }
    assert_eq!(sealer.open(&"A".repeat(SEALED_MAX + 1), NOW), Err(OpenError::Malformed));
}

// CK-14: every bit is authenticated, those of the header too.
#[test]
fn any_changed_character_spoils_the_value() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "s");
    let sealed = sealer.seal(b"hello", later(), NOW);
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(sealer.open(&String::from_utf8(bytes).unwrap(), NOW).is_err(), "changed at {at}");
    }
}

// AT-CS-08
#[test]
fn another_purpose_or_name_opens_nothing() {
    let ring = ring(&[1]);
    let purposes = [Purpose::Session, Purpose::LoginAttempt, Purpose::State, Purpose::Form];
    for sealed_for in purposes {
        let sealed = ring.sealer(sealed_for, "s").seal(b"hello", later(), NOW);
        for opened_for in purposes {
            assert_eq!(ring.sealer(opened_for, "s").open(&sealed, NOW).is_ok(), sealed_for == opened_for);
        }
        assert_eq!(ring.sealer(sealed_for, "t").open(&sealed, NOW), Err(OpenError::Tampered));
    }
}

// AT-CS-09, CK-15
#[test]
fn old_keys_open_until_they_leave_the_ring() {
    let sealed = ring(&[1]).sealer(Purpose::Session, "s").seal(b"hello", later(), NOW);
    let rotated = ring(&[2, 1]);
    assert!(rotated.sealer(Purpose::Session, "s").open(&sealed, NOW).is_ok());
    let sealed_anew = rotated.sealer(Purpose::Session, "s").seal(b"hello", later(), NOW);
    let retired = ring(&[2]).sealer(Purpose::Session, "s");
    assert_eq!(retired.open(&sealed, NOW), Err(OpenError::UnknownKey));
    assert!(retired.open(&sealed_anew, NOW).is_ok());
}

#[test]
fn each_day_has_its_own_cipher_and_forgeries_are_not_cached() {
    let ring = ring(&[1]);
    let sealer = ring.sealer(Purpose::Session, "s");
    let tomorrow = NOW.plus(Duration::from_secs(DAY_SECS));
    let end = NOW.plus(Duration::from_secs(3 * DAY_SECS));
    let (today, next) = (sealer.seal(b"a", end, NOW), sealer.seal(b"a", end, tomorrow));
    assert_eq!(ring.ciphers_kept(), 2);
    assert!(sealer.open(&today, tomorrow).is_ok() && sealer.open(&next, NOW).is_ok());
    let mut forged = URL_SAFE_NO_PAD.decode(&today).unwrap();
    for day in 0..300u16 {
        forged[5..7].copy_from_slice(&day.to_be_bytes());
        assert_eq!(sealer.open(&URL_SAFE_NO_PAD.encode(&forged), NOW), Err(OpenError::Tampered));
    }
    assert_eq!(ring.ciphers_kept(), 2);
    for day in 0..400 {
        sealer.seal(b"a", end, NOW.plus(Duration::from_secs(day * DAY_SECS)));
    }
    assert_eq!(ring.ciphers_kept(), crate::seal::keys::CIPHERS_KEPT);
}

#[test]
fn threads_share_one_cipher_a_day() {
    let ring = ring(&[1]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let sealer = ring.sealer(Purpose::Session, "s");
                for _ in 0..50 {
                    assert!(sealer.open(&sealer.seal(b"hello", later(), NOW), NOW).is_ok());
                }
            });
        }
    });
    assert_eq!(ring.ciphers_kept(), 1);
}

#[test]
fn nothing_secret_is_printed() {
    let sealer = ring(&[1]).sealer(Purpose::Session, "s");
    let opened = sealer.open(&sealer.seal(b"plaintext", later(), NOW), NOW).unwrap();
    let shown = format!("{sealer:?} {opened:?}");
    assert!(!shown.contains("112") && !shown.contains("plaintext"), "{shown}");
}

proptest::proptest! {
    // AT-CL-15: whatever comes in, an error comes out.
    #[test]
    fn garbage_never_opens(text in ".{0,200}", base64 in "[A-Za-z0-9_-]{0,200}") {
        let sealer = ring(&[1]).sealer(Purpose::Session, "s");
        proptest::prop_assert!(sealer.open(&text, NOW).is_err());
        proptest::prop_assert!(sealer.open(&base64, NOW).is_err());
    }
}

const GOLDEN: &str = "Af4e23JQeWoYpTxnb2xkZW4gbm9uY2Wt_9eFYL806CuA__vpdFmUf76vd2pB8hI6W44";

/// Seals and opens as one process: with a clock, and a memory of what it sealed.
fn process(start: UnixTime) -> (Arc<KeyRing>, Arc<ManualClock>) {
    let clock = ManualClock::starting_at(start);
    let here = SealedHere::new(clock.clone());
    (Arc::new(KeyRing::new(vec![key(1)]).unwrap().within(here, LEEWAY)), clock)
}

/// Opens a value that lives for a minute.
fn open(ring: &Arc<KeyRing>, sealed: &str, now: UnixTime) -> Result<(), OpenError> {
    ring.sealer(Purpose::Session, "s").open_dated(sealed, now, |opened| Ok(((), opened.expires.minus(LIFE))))
}

const LEEWAY: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(60);

// AT-CS-21
#[test]
fn what_another_process_sealed_in_the_future_opens_neither_now_nor_then() {
    let (theirs, _) = process(NOW);
    let (ours, clock) = process(NOW);
    for (ahead, expected) in
        [(0, Ok(())), (10, Ok(())), (11, Err(OpenError::Ahead)), (30 * 86_400, Err(OpenError::Ahead))]
    {
        let sealed_at = NOW.plus(Duration::from_secs(ahead));
        let sealed = theirs.sealer(Purpose::Session, "s").seal(b"x", sealed_at.plus(LIFE), sealed_at);
        assert_eq!(open(&ours, &sealed, NOW), expected, "{ahead} s");
        // What we seal meanwhile is of now, and opens nothing of the future.
        ours.sealer(Purpose::Session, "s").seal(b"y", NOW.plus(LIFE), NOW);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(open(&ours, &sealed, NOW), expected, "{ahead} s");
    }
}

#[test]
fn what_we_sealed_before_our_clock_was_set_back_lives_as_long_as_it_would_have() {
    let (ring, clock) = process(NOW);
    let sealed = ring.sealer(Purpose::Session, "s").seal(b"x", later(), NOW);
    clock.advance(Duration::from_secs(20));
    for back in [3600, 86_400, 365 * 86_400] {
        clock.step_to(NOW.minus(Duration::from_secs(back)));
        assert_eq!(open(&ring, &sealed, clock.now()), Ok(()), "{back} s");
        // What is sealed after the step changes nothing.
        ring.sealer(Purpose::Session, "s").seal(b"y", clock.now().plus(LIFE), clock.now());
    }
    clock.advance(Duration::from_secs(39));
    assert_eq!(open(&ring, &sealed, clock.now()), Ok(()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(open(&ring, &sealed, clock.now()), Err(OpenError::Expired));
}
