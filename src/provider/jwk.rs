//! The keys of a set ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)): read leniently key by key, used strictly.

use serde_json::Value;

use crate::identity::Claims;
use crate::provider::algorithm::{Algorithm, KeyType};
use crate::provider::error::JwtError;
use crate::provider::jwt::{Jws, Material, VerificationKey, base64url};
use crate::provider::words::printable;

/// Tries the keys that the token may mean: those of its `kid`; without one, each suitable one, within a cap (ID-29).
pub(super) fn verify(keys: &[VerificationKey], jws: &Jws<'_>) -> Result<(), JwtError> {
    let named = |key: &&VerificationKey| match (&jws.kid, &key.kid) {
        (Some(wanted), Some(kid)) => wanted == kid,
        _ => true,
    };
    let mut candidates = keys.iter().filter(|key| key.fits(jws.algorithm)).filter(named).take(MAX_TRIES);
    if candidates.any(|key| jws.is_signed_by(key)) {
        return Ok(());
    }
    let Some(kid) = jws.kid.as_ref().filter(|_| !keys.iter().any(|key| key.kid == jws.kid)) else {
        return Err(JwtError::Signature);
    };
    let known: Vec<&str> = keys.iter().filter_map(|key| key.kid.as_deref()).take(MAX_NAMED).collect();
    Err(JwtError::KeyUnknown { kid: printable(kid, NAME_CAP), known: printable(&known.join(", "), NAMES_CAP) })
}

/// The keys that can verify signatures; whatever else is in the set is skipped (ID-33).
pub(super) fn usable_keys(set: &Claims) -> Option<Vec<VerificationKey>> {
    Some(set.get("keys")?.as_array()?.iter().filter_map(key).take(MAX_KEYS).collect())
}

/// A key that can verify signatures, read strictly.
pub(super) fn key(jwk: &Value) -> Option<VerificationKey> {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    // ID-30
    if jwk.get("use").is_some_and(|u| u.as_str() != Some("sig")) {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops")
        && !operations.as_array()?.iter().any(|o| o.as_str() == Some("verify"))
    {
        return None;
    }
    // A private key that was published proves nothing any more.
    if jwk.get("d").is_some() {
        tracing::warn!(code = "jwks_private_key", "the provider's key set contains a private key; it is not used");
        return None;
    }
    let bytes = |name| text(name).and_then(|s| base64url(s).ok());
    // `oct` is not here: a shared secret never comes from a key set (AT-TP-08).
    let material = match text("kty")? {
        "RSA" => rsa(&bytes("n")?, &bytes("e")?)?,
        "EC" => ec(Algorithm::of_curve(text("crv")?)?, &bytes("x")?, &bytes("y")?)?,
        "OKP" if text("crv") == Some("Ed25519") => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
        _ => return None,
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.to_owned()),
    };
    let only = match jwk.get("alg") {
        None => None,
        Some(alg) => Some(Algorithm::parse(alg.as_str()?)?),
    };
    let key = VerificationKey { kid, only, material };
    only.is_none_or(|alg| key.fits(alg)).then_some(key)
}

/// An RSA key of at least 2048 bits.
pub(super) fn rsa(n: &[u8], e: &[u8]) -> Option<Material> {
    let trim = |bytes: &[u8]| bytes.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>();
    let (n, e) = (trim(n), trim(e));
    let bits = n.len().saturating_mul(8).saturating_sub(n.first()?.leading_zeros() as usize);
    // ID-26
    (bits >= 2048 && !e.is_empty()).then_some(Material::Rsa { n, e })
}

/// A point on the curve of an algorithm.
pub(super) fn ec(with: Algorithm, x: &[u8], y: &[u8]) -> Option<Material> {
    let KeyType::Ec(_, coordinate, _) = with.kind() else { return None };
    (x.len() == *coordinate && y.len() == *coordinate).then(|| Material::Ec { with, point: [&[4], x, y].concat() })
}

/// How many keys a message names, and how long it gets.
const MAX_NAMED: usize = 10;
/// The most characters of one name.
const NAME_CAP: usize = 100;
/// The most characters of all names.
const NAMES_CAP: usize = 300;
/// As many keys of a set as are read.
pub(super) const MAX_KEYS: usize = 100;
/// As many keys as are tried for one token.
const MAX_TRIES: usize = 16;
