//! The key set of a provider that cannot be asked for it, in a file: a JWK Set, or PEM with public keys and certificates.
//!
//! Keys that are of no use here are left out, as in a set that was fetched. What should never have come into such a file is refused
//! as a whole: a private key proves nothing to those who can read it, and a shared secret is no key of a set.

use std::fmt;

use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::Value;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::followed::Content;
use crate::provider::algorithm::Algorithm;
use crate::provider::error::JwtError;
use crate::provider::json;
use crate::provider::jwk;
use crate::provider::jwt::{Jws, Material, VerificationKey};

/// The usable keys of a file, at least one.
pub struct KeyFile(Vec<VerificationKey>);

impl KeyFile {
    /// Reads a JWK Set or PEM.
    ///
    /// # Errors
    /// In words for the operator: what the file holds that it should not, or that it holds no usable key.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let is_pem = bytes.windows(PEM.len()).any(|window| window == PEM);
        let keys = if is_pem { pem(bytes)? } else { set(bytes)? };
        match keys.len() {
            0 => Err("it holds no key that signatures can be verified with".to_owned()),
            count if count > jwk::MAX_KEYS => Err(format!("it holds more than {} keys", jwk::MAX_KEYS)),
            _ => Ok(Self(keys)),
        }
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether one of the keys signed a token.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), JwtError> {
        jwk::verify(&self.0, jws)
    }
}

impl Content for KeyFile {
    fn summary(&self) -> String {
        match self.count() {
            1 => "1 key".to_owned(),
            count => format!("{count} keys"),
        }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyFile").field(&self.count()).finish()
    }
}

/// The keys of a JWK Set.
fn set(bytes: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let set = json::object(bytes).map_err(|_| "it is neither a JSON object nor PEM".to_owned())?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("it is no JWK Set: there is no list `keys`")?;
    for (index, key) in keys.iter().enumerate() {
        if key.get("d").is_some() {
            return Err(format!("keys[{index}] is a private key: the file should hold public ones"));
        }
        if key.get("kty").and_then(Value::as_str) == Some("oct") {
            return Err(format!("keys[{index}] is a shared secret, which is no key of a set: HS* takes client_secret"));
        }
    }
    Ok(keys.iter().filter_map(jwk::key).collect())
}

/// The keys of PEM: every block has to hold one.
fn pem(bytes: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let mut keys = Vec::new();
    for (block, number) in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).zip(1..) {
        let (kind, der) = block.map_err(|error| format!("block {number} is no PEM: {error}"))?;
        let key = match kind {
            SectionKind::PublicKey => public_key(&der),
            SectionKind::Certificate => certificate_key(&der),
            SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
                return Err(format!("block {number} is a private key: the file should hold public ones"));
            }
            _ => return Err(format!("block {number} is neither a public key nor a certificate")),
        };
        let unusable = || {
            format!(
                "block {number} holds no key that can be used: RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519"
            )
        };
        keys.push(VerificationKey { kid: None, only: None, material: key.ok_or_else(unusable)? });
    }
    Ok(keys)
}

/// The key of a SubjectPublicKeyInfo, all of it.
fn public_key(der: &[u8]) -> Option<Material> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    rest.is_empty().then_some(())?;
    material(&info)
}

/// The key of a certificate. Its dates and its issuer do not count: whoever keeps the file vouches for the key.
fn certificate_key(der: &[u8]) -> Option<Material> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    material(certificate.public_key())
}

/// The key itself ([RFC 5480](https://www.rfc-editor.org/rfc/rfc5480), [RFC 8410](https://www.rfc-editor.org/rfc/rfc8410)).
fn material(info: &SubjectPublicKeyInfo<'_>) -> Option<Material> {
    if info.algorithm.algorithm.to_id_string() == ED25519 {
        let point = info.subject_public_key.data.to_vec();
        return (point.len() == 32).then_some(Material::Ed25519(point));
    }
    match info.parsed().ok()? {
        PublicKey::RSA(key) => jwk::rsa(key.modulus, key.exponent),
        PublicKey::EC(point) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
            let (_, name) = CURVES.iter().find(|(oid, _)| *oid == curve)?;
            let coordinates = point.data().strip_prefix(&[4])?;
            let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
            jwk::ec(Algorithm::of_curve(name)?, x, y)
        }
        _ => None,
    }
}

/// Object identifier of Ed25519 keys.
const ED25519: &str = "1.3.101.112";
/// Object identifiers of curves, with their names in a JWK.
const CURVES: [(&str, &str); 3] =
    [("1.2.840.10045.3.1.7", "P-256"), ("1.3.132.0.34", "P-384"), ("1.3.132.0.35", "P-521")];
/// How a block of PEM begins.
const PEM: &[u8] = b"-----BEGIN ";
