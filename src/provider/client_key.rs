//! The client's private key, which signs its assertions.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;

use crate::provider::algorithm::{Algorithm, KeyType};
use crate::provider::error::ProviderSetupError;
use crate::provider::metadata::Metadata;

/// The client's private key.
#[derive(Debug)]
pub(super) enum ClientKey {
    Rsa(RsaKeyPair),
    /// With the name of the algorithm of its curve.
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl ClientKey {
    /// PKCS#8, PKCS#1 or SEC1; the type follows from the key.
    pub(super) fn new(key: &PrivateKeyDer<'_>) -> Result<Self, ProviderSetupError> {
        let refused = ProviderSetupError::ClientKey;
        let bytes = key.secret_der();
        if let Ok(key) = RsaKeyPair::from_pkcs8(bytes).or_else(|_| RsaKeyPair::from_der(bytes)) {
            return match key.public_modulus_len() {
                256.. => Ok(Self::Rsa(key)),
                _ => Err(refused("RSA keys under 2048 bits are not secure")),
            };
        }
        let p256 = EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
        let p384 = || EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, bytes);
        p256.map(|key| Self::Ec(key, "ES256"))
            .or_else(|_| p384().map(|key| Self::Ec(key, "ES384")))
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map(Self::Ed25519))
            .map_err(|_| refused("neither RSA, P-256, P-384 nor Ed25519"))
    }

    /// The algorithm to sign with: what the key can, and among that what the provider takes (CA-04).
    pub(super) fn algorithm(&self, metadata: &Metadata) -> Option<Algorithm> {
        let taken = metadata.list("token_endpoint_auth_signing_alg_values_supported");
        let takes = |a: &Algorithm| {
            taken.as_ref().is_none_or(|names| names.iter().any(|name| Algorithm::parse(name) == Some(*a)))
        };
        Algorithm::all().filter(|algorithm| self.is_for(*algorithm)).find(takes)
    }

    /// Whether the key can sign by it.
    fn is_for(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => matches!(algorithm.kind(), KeyType::Rsa(..)),
            Self::Ec(_, name) => algorithm.name() == *name,
            Self::Ed25519(_) => matches!(algorithm.kind(), KeyType::Ed25519),
        }
    }

    /// `None` for an algorithm of another type of key, and where the library refuses.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        // The library's own source: blinding and ECDSA nonces are made inside it.
        let random = SystemRandom::new();
        match (self, algorithm.kind()) {
            (Self::Rsa(key), KeyType::Rsa(_, sign)) => {
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(*sign, &random, message, &mut signed).ok()?;
                Some(signed)
            }
            (Self::Ec(key, _), KeyType::Ec(..)) => key.sign(&random, message).ok().map(|s| s.as_ref().to_vec()),
            (Self::Ed25519(key), KeyType::Ed25519) => Some(key.sign(message).as_ref().to_vec()),
            _ => None,
        }
    }
}
