//! Compact JWS, read strictly and verified with keys that the caller chose ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515),
//! [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725)).
//!
//! 1. The algorithm must be one that the caller allows; the token only says which of these it used
//!    ([RFC 8725 section 3.1](https://www.rfc-editor.org/rfc/rfc8725#section-3.1)).
//! 2. A key is used for the algorithms of its own type and curve only, so that no public key ever becomes an HMAC secret.
//! 3. Nothing in the header can add a key: `jku`, `x5u`, `jwk` and `x5c` are not even read (ID-22).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::Claims;
use crate::provider::algorithm::{Algorithm, KeyType};
use crate::provider::error::JwtError;
use crate::provider::json;
use crate::provider::words::printable;
use crate::secret::Secret;

/// A parsed token; nothing is verified yet.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Parses a token: three parts of unpadded base64url, a JSON object as header, no critical extensions.
    pub(super) fn parse(token: &'a str) -> Result<Self, JwtError> {
        if token.len() > MAX_TOKEN {
            return Err(JwtError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        if payload.contains('.') {
            return Err(if signed.matches('.').count() == 3 { JwtError::Encrypted } else { JwtError::Malformed });
        }
        let header = json::object(&base64url(header)?).map_err(|_| JwtError::Malformed)?;
        // We understand no extension, so none may be critical (RFC 7515 section 4.1.11); `b64` among them.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(JwtError::Critical);
        }
        // Compressed or encrypted content has no place in a signed token (ID-25).
        if header.contains_key("zip") || header.contains_key("enc") {
            return Err(JwtError::Encrypted);
        }
        let text = |name| match header.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(|s| Some(s.to_owned())).ok_or(JwtError::Malformed),
        };
        let name = text("alg")?.ok_or(JwtError::Malformed)?;
        Ok(Self {
            algorithm: Algorithm::parse(&name).ok_or_else(|| JwtError::AlgorithmUnknown(printable(&name, NAME_CAP)))?,
            kid: text("kid")?,
            typ: text("typ")?,
            signed,
            payload: base64url(payload)?,
            signature: base64url(signature)?,
        })
    }

    /// Whether `key` signed this.
    pub(super) fn is_signed_by(&self, key: &VerificationKey) -> bool {
        key.fits(self.algorithm) && key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// The claims. Only to be asked after [`is_signed_by`](Self::is_signed_by) said yes.
    pub(super) fn claims(&self) -> Result<Claims, JwtError> {
        json::object(&self.payload).map_err(|_| JwtError::Claims)
    }
}

/// A key that signatures are verified with.
#[derive(Clone)]
pub(super) struct VerificationKey {
    pub(super) kid: Option<String>,
    /// The one algorithm that the key set allows for it, if it says so.
    pub(super) only: Option<Algorithm>,
    pub(super) material: Material,
}

/// The key itself, by type.
#[derive(Clone)]
pub(super) enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point, on the curve of this algorithm.
    Ec { with: Algorithm, point: Vec<u8> },
    /// 32 bytes.
    Ed25519(Vec<u8>),
    /// The client's secret; never from a key set.
    Hmac(Secret<Vec<u8>>),
}

impl VerificationKey {
    /// Whether the key may be used with `algorithm` (ID-10, ID-30).
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        let by_type = match (&self.material, algorithm.kind()) {
            (Material::Rsa { .. }, KeyType::Rsa(..))
            | (Material::Ed25519(_), KeyType::Ed25519)
            | (Material::Hmac(_), KeyType::Hmac(..)) => true,
            (Material::Ec { with, .. }, KeyType::Ec(..)) => *with == algorithm,
            _ => false,
        };
        by_type && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether `signed` is the signature of the message.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        match (&self.material, algorithm.kind()) {
            (Material::Rsa { n, e }, KeyType::Rsa(verify, _)) => {
                RsaPublicKeyComponents { n, e }.verify(verify, message, signed).is_ok()
            }
            // Fixed length R||S; zero R or S and points off the curve are refused there (ID-26, ID-27).
            (Material::Ec { point, .. }, KeyType::Ec(_, _, verify)) => {
                UnparsedPublicKey::new(*verify, point).verify(message, signed).is_ok()
            }
            (Material::Ed25519(key), KeyType::Ed25519) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signed).is_ok()
            }
            (Material::Hmac(secret), KeyType::Hmac(with, _)) => {
                hmac::verify(&hmac::Key::new(*with, secret.expose()), message, signed).is_ok()
            }
            _ => false,
        }
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Unpadded base64url and nothing else: no padding, no white space, no other alphabet, no loose trailing bits (ID-23).
pub(super) fn base64url(text: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Malformed)
}

/// The most characters of an algorithm's name in a message.
const NAME_CAP: usize = 32;
/// Larger than any honest token.
const MAX_TOKEN: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    /// [RFC 7515 appendix A.3](https://www.rfc-editor.org/rfc/rfc7515#appendix-A.3).
    const EXAMPLE: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn named(name: &str) -> Algorithm {
        Algorithm::parse(name).unwrap()
    }

    fn example_key() -> VerificationKey {
        let x = base64url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap();
        let y = base64url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap();
        let point = [&[4], x.as_slice(), &y].concat();
        VerificationKey { kid: None, only: None, material: Material::Ec { with: named("ES256"), point } }
    }

    #[test]
    fn the_example_of_the_specification_verifies() {
        let jws = Jws::parse(EXAMPLE).unwrap();
        assert!(jws.is_signed_by(&example_key()));
        assert_eq!(jws.claims().unwrap()["iss"], "joe");
    }

    #[test]
    fn a_key_is_used_for_its_own_algorithm_only() {
        // ID-10, ID-30, AT-TP-02
        let mut key = example_key();
        assert!(!key.fits(named("ES384")) && !key.fits(named("HS256")) && !key.fits(named("RS256")));
        key.only = Some(named("ES384"));
        assert!(!Jws::parse(EXAMPLE).unwrap().is_signed_by(&key));
    }

    #[test]
    fn an_ecdsa_signature_in_der_is_refused() {
        // ID-27, AT-TP-11
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), URL_SAFE_NO_PAD.encode("{}"));
        let der = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let key = VerificationKey { kid: None, only: None, material: Material::Ec { with: named("ES256"), point } };
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(der.as_ref()));
        assert!(!Jws::parse(&token).unwrap().is_signed_by(&key));
    }

    #[test]
    fn loose_base64url_is_refused() {
        // ID-23
        assert!(base64url("YQ").is_ok());
        for text in ["YQ==", "YR", "Y Q", "YQ\n", "+/8", "Y"] {
            assert_eq!(base64url(text), Err(JwtError::Malformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_the_parser(text in ".{0,200}") {
            let _ = Jws::parse(&text).map(|jws| jws.claims().is_ok());
        }

        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0..EXAMPLE.len(), byte in 0x21_u8..0x7f) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            let verified = Jws::parse(&changed).is_ok_and(|jws| jws.is_signed_by(&example_key()));
            prop_assert!(!verified);
        }
    }
}
