//! The only randomness of this program.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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

/// 32 random bytes as base64url: 43 characters, fit for a PKCE verifier (RFC 7636 section 4.1).
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}
