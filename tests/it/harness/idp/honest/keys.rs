//! The provider's signing keys, as JWKs and as what signs ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515),
//! [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::grants::unguessable;

/// The algorithm that the provider signs with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SigningAlgorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS#1 v1.5 with 2048 bits: what most providers still use.
    Rs256,
}

/// No key could be made, or it would not sign.
#[derive(Debug, thiserror::Error)]
#[error("the provider's signing key: {0}")]
pub(crate) struct SigningError(String);

/// A key pair with its name.
#[derive(Debug)]
pub(crate) struct SigningKey {
    /// Its name in the key set and in the header of a token.
    pub(crate) kid: String,
    /// The pair.
    pub(crate) pair: Pair,
}

/// A key pair by its algorithm.
#[derive(Debug)]
pub(crate) enum Pair {
    /// For ES256.
    Es256(EcdsaKeyPair),
    /// For RS256.
    Rs256(RsaKeyPair),
}

impl SigningError {
    pub(super) fn none() -> Self {
        Self("there is none".to_owned())
    }
}

impl SigningAlgorithm {
    /// Its name in JOSE.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When the machine can make none.
    pub(crate) fn generate(algorithm: SigningAlgorithm) -> Result<Self, SigningError> {
        let pair = match algorithm {
            SigningAlgorithm::Es256 => {
                Pair::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused)?)
            }
            SigningAlgorithm::Rs256 => Pair::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).map_err(refused)?),
        };
        Ok(Self { kid: unguessable("key-"), pair })
    }

    /// What it signs with.
    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        match self.pair {
            Pair::Es256(_) => SigningAlgorithm::Es256,
            Pair::Rs256(_) => SigningAlgorithm::Rs256,
        }
    }

    /// The public key, as it stands in the key set.
    pub(crate) fn jwk(&self) -> Value {
        let (kid, algorithm) = (&self.kid, self.algorithm().name());
        match &self.pair {
            Pair::Es256(pair) => {
                // The uncompressed point begins with a byte that says so (RFC 7518 section 6.2.1).
                let halves = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = halves.split_at(halves.len() / 2);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({ "kid": kid, "use": "sig", "alg": algorithm, "kty": "EC", "crv": "P-256", "x": x, "y": y })
            }
            Pair::Rs256(pair) => {
                let key = pair.public_key();
                let n = URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero());
                let e = URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero());
                json!({ "kid": kid, "use": "sig", "alg": algorithm, "kty": "RSA", "n": n, "e": e })
            }
        }
    }

    /// The header of the tokens that it signs.
    pub(crate) fn header(&self, kind: &str) -> Map<String, Value> {
        let members = [("typ", json!(kind)), ("alg", json!(self.algorithm().name())), ("kid", json!(self.kid))];
        members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// The signature of a token's first two parts, in base64url.
    ///
    /// # Errors
    /// When the library refuses to sign.
    pub(crate) fn sign(&self, signed: &str) -> Result<String, SigningError> {
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, signed.as_bytes()).map_err(refused)?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).map_err(refused)?;
                signature
            }
        };
        Ok(URL_SAFE_NO_PAD.encode(signature))
    }

    /// A JWT of these claims.
    pub(super) fn token(&self, claims: &Map<String, Value>) -> Result<String, SigningError> {
        let signed = format!("{}.{}", part(&self.header("JWT")), part(claims));
        let signature = self.sign(&signed)?;
        Ok(format!("{signed}.{signature}"))
    }

    /// The claims of a token that it signed, however old.
    pub(super) fn own_claims(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        match &self.pair {
            Pair::Es256(pair) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
                .verify(signed.as_bytes(), &signature),
            Pair::Rs256(pair) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
                .verify(signed.as_bytes(), &signature),
        }
        .ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

fn part(members: &Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(Value::Object(members.clone()).to_string())
}

fn refused(error: impl std::fmt::Display) -> SigningError {
    SigningError(error.to_string())
}
