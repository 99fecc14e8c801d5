//! Values that must never be seen: redacted when printed, wiped when dropped, compared in constant time.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret value. `Debug` and `Display` print `[redacted]`; memory is zeroed on drop; equality takes the same time wherever
/// two values of one length differ. The value is reached by [`Secret::expose`] only, so that every use can be searched for.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a secret.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself, for the one place that must send or compute with it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

/// A private key as it was read from its PEM.
pub type PrivateKey = Arc<Secret<PrivateKeyDer<'static>>>;

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_ref(), other.0.as_ref())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

/// Compares two byte strings without telling by its time where they differ (their lengths may show).
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_display_show_nothing() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "[redacted] [redacted]");
    }

    #[test]
    fn equality_is_by_value_and_a_prefix_is_no_match() {
        // AT-CS-24: the comparison is that of `subtle`, which looks at every byte
        assert_eq!(Secret::from("a"), Secret::from("a"));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("ab"));
        for guess in ["", "s3cret", "s3cret-valuf", "t3cret-value", "s3cret-value-and-more"] {
            assert!(!constant_time_eq(guess.as_bytes(), b"s3cret-value"), "{guess}");
        }
        assert!(constant_time_eq(b"s3cret-value", b"s3cret-value"));
    }
}
