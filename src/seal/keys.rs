//! The key ring: which keys this deployment has, how they are read, and the ciphers derived from them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aes_gcm::{Aes256Gcm, KeyInit as _};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize as _;

use super::here::SealedHere;
use super::random::random;
use crate::clock::SystemClock;
use crate::hex;
use crate::secret::Secret;

/// What a sealed value is for. A value sealed for one purpose never opens for another (AT-CS-08).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Purpose {
    /// A session cookie.
    Session,
    /// The cookie of one login attempt.
    LoginAttempt,
    /// The `state` parameter of an authorization request.
    State,
    /// A token in one of our own forms.
    Form,
    /// The cookie that counts rounds of a sign-in.
    Rounds,
}

impl Purpose {
    /// Part of the format: never give a number to anything else.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Session => 1,
            Self::LoginAttempt => 2,
            Self::State => 3,
            Self::Form => 4,
            Self::Rounds => 5,
        }
    }
}

/// The keys of this deployment: the first seals, all open. Shared by every thread.
pub struct KeyRing {
    sealing_key: RingKey,
    older_keys: Vec<RingKey>,
    /// Sorted by [`CipherSlot`]; read on every cold request, replaced once a day and purpose.
    ciphers: ArcSwap<Vec<(CipherSlot, Arc<Aes256Gcm>)>>,
    here: Arc<SealedHere>,
    leeway: Duration,
}

impl KeyRing {
    /// A ring of `keys`, of which the first seals.
    ///
    /// # Errors
    /// There is no key, or one of them is there twice.
    pub fn new(keys: Vec<Secret<[u8; 32]>>) -> Result<Self, KeyRingError> {
        let mut ring: Vec<RingKey> = Vec::with_capacity(keys.len());
        for (at, secret) in keys.into_iter().enumerate() {
            let key = RingKey::new(secret);
            if let Some(first) = ring.iter().position(|other| other.id == key.id) {
                return Err(KeyRingError::Duplicate { first: first + 1, second: at + 1 });
            }
            ring.push(key);
        }
        let here = SealedHere::new(SystemClock::shared());
        let mut ring = ring.into_iter();
        let sealing_key = ring.next().ok_or(KeyRingError::Empty)?;
        Ok(Self { sealing_key, older_keys: ring.collect(), ciphers: ArcSwap::default(), here, leeway: LEEWAY })
    }

    /// The same for a process that has sealed things `here` before, and whose clock may differ by this `leeway` from others'.
    #[must_use]
    pub fn within(self, here: Arc<SealedHere>, leeway: Duration) -> Self {
        Self { here, leeway, ..self }
    }

    /// What this process sealed.
    pub(super) fn here(&self) -> &SealedHere {
        &self.here
    }

    /// How far ahead the clock of another process may be.
    pub(super) fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The id of the key that seals, and its cipher for this purpose and day.
    pub(super) fn sealing(&self, purpose: Purpose, day: u16) -> ([u8; KEY_ID_LEN], Arc<Aes256Gcm>) {
        let derived = self.derived(0, &self.sealing_key, purpose, day);
        self.keep(&derived);
        (self.sealing_key.id, derived.cipher)
    }

    /// The cipher of the key with this id, if the ring has it. Whoever finds that it was the right one has it [kept](Self::keep).
    pub(super) fn opening(&self, id: [u8; KEY_ID_LEN], purpose: Purpose, day: u16) -> Option<Derived> {
        let keys = std::iter::once(&self.sealing_key).chain(&self.older_keys);
        let (at, key) = keys.enumerate().find(|(_, key)| key.id == id)?;
        Some(self.derived(at, key, purpose, day))
    }

    /// The cipher of a key, kept or made now.
    fn derived(&self, at: usize, key: &RingKey, purpose: Purpose, day: u16) -> Derived {
        let slot = CipherSlot { day, key: at, purpose };
        let ciphers = self.ciphers.load();
        let cached = ciphers.binary_search_by_key(&slot, |(slot, _)| *slot).ok().and_then(|at| ciphers.get(at));
        match cached {
            Some((_, cipher)) => Derived { cipher: Arc::clone(cipher), missing_at: None },
            None => Derived { cipher: Arc::new(key.derive(purpose, day)), missing_at: Some(slot) },
        }
    }

    /// Keeps a cipher for the next time. Two threads may both derive a missing one; they get the same, and one of them stays.
    pub(super) fn keep(&self, derived: &Derived) {
        let Some(slot) = derived.missing_at else { return };
        self.ciphers.rcu(|ciphers| {
            let mut next = Vec::clone(ciphers);
            if let Err(at) = next.binary_search_by_key(&slot, |(slot, _)| *slot) {
                next.insert(at, (slot, Arc::clone(&derived.cipher)));
            }
            if next.len() > CIPHERS_KEPT {
                // Slots are sorted by day first: the oldest goes.
                next.remove(0);
            }
            next
        });
    }

    #[cfg(test)]
    pub(super) fn ciphers_kept(&self) -> usize {
        self.ciphers.load().len()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &(1 + self.older_keys.len())).finish_non_exhaustive()
    }
}

/// A ring cannot be made of these keys.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyRingError {
    /// No key at all.
    #[error("there is no session key; `vestibule keys new` prints one")]
    Empty,
    /// One key twice; they are counted from 1, in the order given.
    #[error("session keys {first} and {second} are the same")]
    Duplicate {
        /// The place of the key.
        first: usize,
        /// Where it stands again.
        second: usize,
    },
}

/// Reads a key as `vestibule keys new` writes it: 32 bytes as base64 (either alphabet, padding optional) or hex, with
/// white space around it.
///
/// # Errors
/// It is not 32 bytes, is neither notation, or is no key at all (one byte repeated).
pub fn parse_key(text: &str) -> Result<Secret<[u8; 32]>, KeyError> {
    let text = text.trim();
    let mut bytes = if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        from_hex(text)
    } else {
        let plain = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
        STANDARD_NO_PAD.decode(plain).map_err(|_| KeyError::Alphabet)?
    };
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length { got: bytes.len() });
    bytes.zeroize();
    let key = key?;
    let [first, rest @ ..] = &key;
    if rest.iter().all(|byte| byte == first) {
        return Err(KeyError::Constant);
    }
    Ok(Secret::new(key))
}

/// A new random key, as text for a key file.
pub fn new_key_text() -> Secret<String> {
    Secret::new(STANDARD.encode(random::<32>()))
}

/// The name of a key: eight hex digits that are derived from it and stand in the clear in each value that it sealed.
pub fn fingerprint(key: &Secret<[u8; 32]>) -> String {
    hex::encode(&key_id(key))
}

/// A text is no key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Neither base64 nor hex.
    #[error("the key is neither base64 nor hex")]
    Alphabet,
    /// Not 32 bytes.
    #[error("the key has {got} bytes; 32 are needed, or other replicas could not read the sessions")]
    Length {
        /// How many bytes it has.
        got: usize,
    },
    /// One byte, repeated: a placeholder (AT-CL-14).
    #[error("the key is one byte repeated, which anybody can guess")]
    Constant,
}

/// A cipher, and where it is missing among those kept.
pub(super) struct Derived {
    pub(super) cipher: Arc<Aes256Gcm>,
    missing_at: Option<CipherSlot>,
}

/// One key, and its public name.
struct RingKey {
    id: [u8; KEY_ID_LEN],
    secret: Secret<[u8; 32]>,
}

impl RingKey {
    /// Names the key by what is derived from it.
    fn new(secret: Secret<[u8; 32]>) -> Self {
        Self { id: key_id(&secret), secret }
    }

    /// The cipher of one purpose and day.
    fn derive(&self, purpose: Purpose, day: u16) -> Aes256Gcm {
        let mut key = [0; 32];
        expand(&self.secret, &[b"vestibule seal", &[VERSION, purpose.number()], &day.to_be_bytes()], &mut key);
        let cipher = Aes256Gcm::new(&key.into());
        key.zeroize();
        cipher
    }
}

fn key_id(secret: &Secret<[u8; 32]>) -> [u8; KEY_ID_LEN] {
    let mut id = [0; KEY_ID_LEN];
    expand(secret, &[b"vestibule key id"], &mut id);
    id
}

/// HKDF-SHA256 ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)). It fails for more than 255 blocks of output only; both callers
/// want at most one.
fn expand(secret: &Secret<[u8; 32]>, context: &[&[u8]], out: &mut [u8]) {
    if Hkdf::<Sha256>::new(None, secret.expose()).expand_multi_info(context, out).is_err() {
        std::process::abort();
    }
}

/// Which derived cipher; the day first, so that the oldest is the first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct CipherSlot {
    day: u16,
    key: usize,
    purpose: Purpose,
}

/// The bytes of hexadecimal digits.
fn from_hex(text: &str) -> Vec<u8> {
    let nibble = |c: &u8| char::from(*c).to_digit(16).and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
    text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, c| (byte << 4) | nibble(c))).collect()
}

/// Names the algorithm and the form of a sealed value: 1 is AES-256-GCM.
pub(super) const VERSION: u8 = 1;
/// Bytes of a key's name.
pub(super) const KEY_ID_LEN: usize = 4;
/// As of the configuration's `clock_leeway`, where nothing is said.
const LEEWAY: Duration = Duration::from_secs(60);
/// Five purposes and two keys over more than three weeks.
pub(super) const CIPHERS_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn key(byte: u8) -> Secret<[u8; 32]> {
        Secret::new(std::array::from_fn(|i| byte.wrapping_add(i as u8)))
    }

    #[test]
    fn keys_are_read_in_every_notation() {
        let expected = key(200);
        let bytes = *expected.expose();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let standard = STANDARD.encode(bytes);
        let url = URL_SAFE_NO_PAD.encode(bytes);
        for text in [&hex, &hex.to_uppercase(), &standard, &url, &format!("  {standard}\r\n"), &format!("{url}=")] {
            assert_eq!(parse_key(text).unwrap(), expected, "{text:?}");
        }
        assert!(parse_key(new_key_text().expose()).is_ok());
    }

    // AT-CL-14
    #[test]
    fn short_odd_and_placeholder_keys_are_refused() {
        assert_eq!(parse_key("").unwrap_err(), KeyError::Length { got: 0 });
        assert_eq!(parse_key(&STANDARD.encode([1; 24])).unwrap_err(), KeyError::Length { got: 24 });
        assert_eq!(parse_key("change me!").unwrap_err(), KeyError::Alphabet);
        assert_eq!(parse_key(&"0".repeat(64)).unwrap_err(), KeyError::Constant);
        assert_eq!(KeyRing::new(vec![]).unwrap_err(), KeyRingError::Empty);
        let twice = KeyRing::new(vec![key(1), key(2), key(1)]).unwrap_err();
        assert_eq!(twice, KeyRingError::Duplicate { first: 1, second: 3 });
    }
}
