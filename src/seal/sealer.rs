//! One sealed value: its form, and how it is sealed and opened.

use std::fmt;
use std::sync::Arc;

use aes_gcm::AeadInOut as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroize as _;

use super::keys::{KEY_ID_LEN, KeyRing, Purpose, VERSION};
use super::random::random;
use crate::clock::UnixTime;
use crate::hex;

/// Seals and opens the values of one purpose and name. Cheap to make and to clone.
#[derive(Clone, Debug)]
pub struct Sealer {
    ring: Arc<KeyRing>,
    purpose: Purpose,
    name: Arc<str>,
}

impl KeyRing {
    /// Seals and opens values of one purpose and name (a cookie's name, for cookies).
    pub fn sealer(self: &Arc<Self>, purpose: Purpose, name: &str) -> Sealer {
        Sealer { ring: Arc::clone(self), purpose, name: name.into() }
    }

    /// The time by which a value that was sealed at `sealed` is judged: now, unless it comes from the future.
    ///
    /// # Errors
    /// [`OpenError::Ahead`].
    pub fn judged_at(&self, sealed: UnixTime, now: UnixTime) -> Result<UnixTime, OpenError> {
        if sealed <= now.plus(self.leeway()) { Ok(now) } else { self.here().clock_of(sealed).ok_or(OpenError::Ahead) }
    }
}

impl Sealer {
    /// Seals `plaintext` until `expires` (whole seconds, rounded down): base64url without padding, so cookie-octets only
    /// (CK-13).
    pub fn seal(&self, plaintext: &[u8], expires: UnixTime, now: UnixTime) -> String {
        self.seal_drawn(plaintext, expires, now, random())
    }

    /// The same with a nonce that the caller has [drawn](super::random()), together with random bytes for other uses. No nonce may
    /// be used twice, so it has to be drawn for this very value.
    pub fn seal_drawn(&self, plaintext: &[u8], expires: UnixTime, now: UnixTime, nonce: [u8; NONCE_LEN]) -> String {
        self.ring.here().note(now);
        self.seal_with_nonce(plaintext, expires, now, nonce)
    }

    /// Opens what [`seal`](Self::seal) made. `read` gives what it is, and when it was sealed.
    ///
    /// # Errors
    /// It is not a value that this ring sealed for this purpose and name, it is over, or it was sealed in the future. The other
    /// side must not learn which (AT-CS-11). Or an error of `read`.
    pub fn open_dated<T, E: From<OpenError>>(
        &self,
        sealed: &str,
        now: UnixTime,
        read: impl FnOnce(&Opened) -> Result<(T, UnixTime), E>,
    ) -> Result<T, E> {
        let opened = self.open_at_any_age(sealed)?;
        let (value, sealed_at) = read(&opened)?;
        let judged_at = self.ring.judged_at(sealed_at, now)?;
        if opened.expires <= judged_at { Err(OpenError::Expired.into()) } else { Ok(value) }
    }

    /// Opens a genuine value however old it is: only to say politely what became of it.
    ///
    /// # Errors
    /// As [`open_dated`](Self::open_dated), without [`OpenError::Expired`] and [`OpenError::Ahead`].
    pub fn open_at_any_age(&self, sealed: &str) -> Result<Opened, OpenError> {
        if sealed.len() > SEALED_MAX {
            return Err(OpenError::Malformed);
        }
        // Strict: no padding, no other alphabet, no stray trailing bits, so that one value has one spelling (AT-CS-02).
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| OpenError::Malformed)?;
        let header = Header::read(&bytes).ok_or(OpenError::Malformed)?;
        let body = bytes.get_mut(HEADER_LEN..).ok_or(OpenError::Malformed)?;
        let (nonce, body) = body.split_first_chunk_mut::<NONCE_LEN>().ok_or(OpenError::Malformed)?;
        let (text, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(OpenError::Malformed)?;
        let derived = self.ring.opening(header.key, self.purpose, header.day).ok_or(OpenError::UnknownKey)?;
        let aad = self.associated_data(&header);
        derived
            .cipher
            .decrypt_inout_detached(&(*nonce).into(), &aad, text.into(), &(*tag).into())
            .map_err(|_| OpenError::Tampered)?;
        self.ring.keep(&derived);
        let text_len = text.len();
        // Moved to the front where they are, rather than copied to a second place that would have to be wiped too.
        bytes.copy_within(TEXT_AT..TEXT_AT + text_len, 0);
        bytes.truncate(text_len);
        Ok(Opened { plaintext: bytes, expires: UnixTime::from_secs(header.expires.into()) })
    }

    /// When `sealed` says that it expires. Anybody can write such a value: only to choose which login attempt to forget.
    pub fn peek_expiry(sealed: &str) -> Option<UnixTime> {
        Header::peek(sealed).map(|header| UnixTime::from_secs(header.expires.into()))
    }

    /// The [`fingerprint`](super::fingerprint) of the key that `sealed` says it was sealed with. Anybody can write such a value.
    pub fn peek_key(sealed: &str) -> Option<String> {
        Header::peek(sealed).map(|header| hex::encode(&header.key))
    }

    /// Seals with this nonce.
    fn seal_with_nonce(&self, plaintext: &[u8], expires: UnixTime, now: UnixTime, nonce: [u8; NONCE_LEN]) -> String {
        let day = u16::try_from(now.secs() / DAY_SECS).unwrap_or(u16::MAX);
        let expires = u32::try_from(expires.secs()).unwrap_or(u32::MAX);
        let (key, cipher) = self.ring.sealing(self.purpose, day);
        let header = Header { key, day, expires };
        let mut bytes = Vec::with_capacity(TEXT_AT + plaintext.len() + TAG_LEN);
        bytes.extend_from_slice(&header.bytes());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(plaintext);
        let aad = self.associated_data(&header);
        let text = bytes.get_mut(TEXT_AT..).unwrap_or_default();
        // Fails for more than 64 GiB only (NIST SP 800-38D section 5.2.1.1): nothing leaves then, least of all the plaintext.
        let Ok(tag) = cipher.encrypt_inout_detached(&nonce.into(), &aad, text.into()) else { std::process::abort() };
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The header has a fixed length and the purpose one byte, so no two pairs of purpose and name give the same bytes.
    fn associated_data(&self, header: &Header) -> Vec<u8> {
        let mut aad = Vec::with_capacity(HEADER_LEN + 1 + self.name.len());
        aad.extend_from_slice(&header.bytes());
        aad.push(self.purpose.number());
        aad.extend_from_slice(self.name.as_bytes());
        aad
    }

    /// [`open_dated`](Self::open_dated) for values that were sealed just now.
    #[cfg(test)]
    pub(crate) fn open(&self, sealed: &str, now: UnixTime) -> Result<Opened, OpenError> {
        self.open_dated(sealed, now, |opened| Ok((opened.clone(), now)))
    }

    /// [`seal`](Self::seal) with a nonce that is known beforehand, for golden values.
    #[cfg(test)]
    pub(crate) fn seal_golden(&self, plaintext: &[u8], expires: UnixTime, now: UnixTime) -> String {
        self.seal_with_nonce(plaintext, expires, now, *b"golden nonce")
    }
}

/// What was inside, and until when it is good. Wiped when dropped.
#[derive(Clone, Eq, PartialEq)]
pub struct Opened {
    /// What was sealed.
    pub plaintext: Vec<u8>,
    /// Its expiry, in whole seconds.
    pub expires: UnixTime,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// Why a value does not open: for our log and metrics, never for the other side.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// Not base64url, too short, too long, or another version.
    #[error("the value is not in the form of a sealed one")]
    Malformed,
    /// Sealed by a key that is not in the ring: retired, or another deployment's (AT-CS-09).
    #[error("the value was sealed by a key that is not in the ring")]
    UnknownKey,
    /// Genuine, and over.
    #[error("the sealed value has expired")]
    Expired,
    /// Genuine, and sealed in the future by another process.
    #[error("the value was sealed by a process whose clock is ahead of this machine's")]
    Ahead,
    /// The tag does not verify: changed, cut, or sealed for another purpose or name.
    #[error("the value was changed, or was sealed for something else")]
    Tampered,
}

impl OpenError {
    /// A stable reason for logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "sealed_malformed",
            Self::UnknownKey => "sealed_unknown_key",
            Self::Expired => "sealed_expired",
            Self::Ahead => "sealed_ahead",
            Self::Tampered => "sealed_tampered",
        }
    }
}

/// What stands unencrypted before the nonce.
struct Header {
    key: [u8; KEY_ID_LEN],
    /// Days since the epoch when it was sealed; good until 2149.
    day: u16,
    /// Seconds since the epoch; good until 2106.
    expires: u32,
}

impl Header {
    /// Reads the header of a value of this version.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (&key, rest) = rest.split_first_chunk()?;
        let (&day, rest) = rest.split_first_chunk()?;
        let (&expires, _) = rest.split_first_chunk()?;
        // The version names the algorithm: 1 is AES-256-GCM.
        (version == VERSION).then(|| Self { key, day: u16::from_be_bytes(day), expires: u32::from_be_bytes(expires) })
    }

    /// The same of the beginning of a text.
    fn peek(sealed: &str) -> Option<Self> {
        // 16 characters are 12 bytes, one more than the header.
        Self::read(&URL_SAFE_NO_PAD.decode(sealed.get(..16)?).ok()?)
    }

    /// As it stands in a value.
    fn bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [VERSION; HEADER_LEN];
        let fields = self.key.into_iter().chain(self.day.to_be_bytes()).chain(self.expires.to_be_bytes());
        for (byte, field) in bytes.iter_mut().skip(1).zip(fields) {
            *byte = field;
        }
        bytes
    }
}

/// Bytes of the header: version, key, day and expiry.
const HEADER_LEN: usize = 1 + KEY_ID_LEN + 2 + 4;
/// Bytes of the random nonce of a sealed value.
pub const NONCE_LEN: usize = 12;
/// Bytes of the tag of AES-GCM.
const TAG_LEN: usize = 16;
/// Where the text begins.
const TEXT_AT: usize = HEADER_LEN + NONCE_LEN;
/// Seconds of a day.
const DAY_SECS: u64 = 24 * 60 * 60;
/// More than the largest set of chunks; the header limits of the server are the real bound.
const SEALED_MAX: usize = 64 * 1024;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
