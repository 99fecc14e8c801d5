//! The signature algorithms that are implemented, each with what it verifies and signs by ([RFC 7518 section 3.1], [RFC 8037]).
//!
//! [RFC 7518 section 3.1]: https://www.rfc-editor.org/rfc/rfc7518#section-3.1
//! [RFC 8037]: https://www.rfc-editor.org/rfc/rfc8037#section-3.1

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, RsaEncoding, RsaParameters};
use aws_lc_rs::{digest, hmac};

/// One of [`ALL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Algorithm(&'static Described);

/// Its registered name, its hash, and what the library needs for its type of key.
#[derive(Debug)]
struct Described(&'static str, &'static digest::Algorithm, KeyType);

/// The type of its key.
#[derive(Debug)]
pub(super) enum KeyType {
    /// To verify with, and to sign with.
    Rsa(&'static RsaParameters, &'static dyn RsaEncoding),
    /// The curve, which goes with exactly one algorithm
    /// ([RFC 7518 section 3.4](https://www.rfc-editor.org/rfc/rfc7518#section-3.4)), and the bytes of one of its coordinates.
    Ec(&'static str, usize, &'static EcdsaVerificationAlgorithm),
    Ed25519,
    /// The bytes that the secret must have at least
    /// ([RFC 7518 section 3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
    Hmac(hmac::Algorithm, usize),
}

impl Algorithm {
    /// What ID tokens are signed with where nothing is said about it.
    pub(super) const RS256: Self = Self(&RS256);

    /// By its registered name, exactly as registered.
    pub(super) fn parse(name: &str) -> Option<Self> {
        // RFC 9864 gives Ed25519 a name of its own; the signature is the same.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::all().find(|algorithm| algorithm.name() == name)
    }

    /// The one that goes with an elliptic curve, by the name that the curve has in a JWK.
    pub(super) fn of_curve(name: &str) -> Option<Self> {
        Self::all().find(|algorithm| matches!(algorithm.kind(), KeyType::Ec(curve, ..) if *curve == name))
    }

    /// All of them; of one key, those first that more servers know.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied().map(Self)
    }

    /// Its registered name.
    pub(super) fn name(self) -> &'static str {
        self.0.0
    }

    /// The hash that `at_hash` is made with
    /// ([OpenID Connect Core section 3.1.3.6](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.3.1.3.6)).
    pub(super) fn hash(self) -> &'static digest::Algorithm {
        self.0.1
    }

    /// The type of its key.
    pub(super) fn kind(self) -> &'static KeyType {
        &self.0.2
    }

    /// For a symmetric algorithm, how many bytes its secret must have at least.
    pub(super) fn secret_length(self) -> Option<usize> {
        match self.kind() {
            KeyType::Hmac(_, length) => Some(*length),
            _ => None,
        }
    }
}

impl PartialEq for Algorithm {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Algorithm {}

/// `none` is not among them, so it cannot be allowed by mistake (ID-09).
#[rustfmt::skip]
static ALL: [&Described; 13] = [
    &RS256,
    &Described("PS256", &digest::SHA256, KeyType::Rsa(&signature::RSA_PSS_2048_8192_SHA256, &signature::RSA_PSS_SHA256)),
    &Described("RS384", &digest::SHA384, KeyType::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384, &signature::RSA_PKCS1_SHA384)),
    &Described("PS384", &digest::SHA384, KeyType::Rsa(&signature::RSA_PSS_2048_8192_SHA384, &signature::RSA_PSS_SHA384)),
    &Described("RS512", &digest::SHA512, KeyType::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512, &signature::RSA_PKCS1_SHA512)),
    &Described("PS512", &digest::SHA512, KeyType::Rsa(&signature::RSA_PSS_2048_8192_SHA512, &signature::RSA_PSS_SHA512)),
    &Described("ES256", &digest::SHA256, KeyType::Ec("P-256", 32, &signature::ECDSA_P256_SHA256_FIXED)),
    &Described("ES384", &digest::SHA384, KeyType::Ec("P-384", 48, &signature::ECDSA_P384_SHA384_FIXED)),
    &Described("ES512", &digest::SHA512, KeyType::Ec("P-521", 66, &signature::ECDSA_P521_SHA512_FIXED)),
    &Described("EdDSA", &digest::SHA512, KeyType::Ed25519),
    &Described("HS256", &digest::SHA256, KeyType::Hmac(hmac::HMAC_SHA256, 32)),
    &Described("HS384", &digest::SHA384, KeyType::Hmac(hmac::HMAC_SHA384, 48)),
    &Described("HS512", &digest::SHA512, KeyType::Hmac(hmac::HMAC_SHA512, 64)),
];

/// Apart, because [`Algorithm::RS256`] is it.
static RS256: Described = Described(
    "RS256",
    &digest::SHA256,
    KeyType::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256, &signature::RSA_PKCS1_SHA256),
);
