//! The only randomness of this program.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroize as _;

/// Random bytes from the operating system.
#[expect(clippy::disallowed_methods, reason = "the one place that reads random bytes")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // A state, nonce or key that could be guessed is worse than no gateway.
        std::process::abort();
    }
    bytes
}

/// `N` random bytes for several uses, read from the operating system in one call.
pub struct Draw<const N: usize> {
    bytes: [u8; N],
    taken: usize,
}

impl<const N: usize> Draw<N> {
    /// Reads them.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        Self { bytes: random(), taken: 0 }
    }

    /// The next `M` of them, which are given out once; others where so many are not left.
    pub fn take<const M: usize>(&mut self) -> [u8; M] {
        match self.bytes.get(self.taken..).and_then(<[u8]>::first_chunk) {
            Some(part) => {
                self.taken += M;
                *part
            }
            None => random(),
        }
    }
}

impl<const N: usize> Drop for Draw<N> {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// 32 random bytes as base64url: 43 characters, fit for a PKCE verifier
/// ([RFC 7636 section 4.1](https://www.rfc-editor.org/rfc/rfc7636#section-4.1)).
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_draw_is_given_out_twice() {
        let mut draw = Draw::<40>::new();
        let bytes = draw.bytes;
        assert_eq!(draw.take::<16>(), bytes[..16]);
        assert_eq!(draw.take::<24>(), bytes[16..]);
        assert_ne!(draw.take::<16>(), [0; 16], "drawn too little: drawn anew");
    }
}
