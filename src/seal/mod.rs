//! Sealing: authenticated encryption of everything we hand to a browser and want back unread and unchanged.
//!
//! One sealed value is, before base64url: version (1), key id (4), day (2), expiry (4), nonce (12), ciphertext, tag (16).
//! 1. The first key of the ring seals; every key of it opens; a key that left it opens nothing (CK-15).
//! 2. The cipher's key is derived per purpose, format version and day, so that random nonces stay far below 2^32 for one
//!    key ([NIST SP 800-38D section 8.3](https://doi.org/10.6028/NIST.SP.800-38D)) without an operator who rotates, and so that no
//!    purpose can open another's values.
//! 3. Purpose, name, version, key id, day and expiry are associated data: what is sealed as one thing opens as nothing else.
//! 4. A value opens only until it expires, and not before it was sealed, so that a clock that was ahead once gives nobody a value
//!    that is good for months: whoever opens one has to say when it was sealed.
//! 5. Nothing read from a value is believed before its tag verified, and no cipher is kept for a value that did not verify.

mod here;
mod keys;
mod random;
mod sealer;

pub use self::here::SealedHere;
pub use self::keys::{KeyError, KeyRing, KeyRingError, Purpose, fingerprint, new_key_text, parse_key};
pub use self::random::{Draw, random, random_token};
pub use self::sealer::{NONCE_LEN, OpenError, Opened, Sealer};
