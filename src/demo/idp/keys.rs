//! The provider's signing keys and its key set.

use std::collections::VecDeque;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Map, Value, json};

use crate::demo::idp::faults::{KeyForm, Signing, TokenFaults};
use crate::demo::idp::unguessable;

/// With what the provider signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS#1 v1.5 with 2048 bits: what most providers still use.
    Rs256,
}

/// No key could be made.
#[derive(Debug, thiserror::Error)]
#[error("the provider's signing key could not be made: {0}")]
pub struct KeyError(String);

/// The keys, the one that signs first.
pub(super) struct Keys(VecDeque<SigningKey>);

struct SigningKey {
    kid: String,
    algorithm: SigningAlgorithm,
    private: EncodingKey,
    public: Value,
    public_der: Vec<u8>,
}

impl SigningAlgorithm {
    /// Its name in JOSE.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    fn jose(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

impl Keys {
    pub(super) fn new(algorithm: SigningAlgorithm) -> Result<Self, KeyError> {
        Ok(Self(VecDeque::from([SigningKey::generate(algorithm)?])))
    }

    pub(super) fn rotate(&mut self, algorithm: SigningAlgorithm) -> Result<(), KeyError> {
        self.0.push_front(SigningKey::generate(algorithm)?);
        Ok(())
    }

    pub(super) fn withdraw_old(&mut self) {
        self.0.truncate(1);
    }

    pub(super) fn key_set(&self) -> Value {
        json!({ "keys": self.0.iter().map(|key| key.public.clone()).collect::<Vec<_>>() })
    }

    /// The algorithms of all keys, for the metadata.
    pub(super) fn algorithms(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.iter().map(|key| key.algorithm.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Signs claims as a JWT of this type, with what is wrong on purpose.
    pub(super) fn sign(
        &self,
        kind: &str,
        mut claims: Map<String, Value>,
        faults: &TokenFaults,
    ) -> Result<String, KeyError> {
        let key = self.0.front().ok_or_else(|| KeyError("none left".to_owned()))?;
        faults.claims.apply(&mut claims);
        key.sign(kind, &claims, faults)
    }

    /// The claims of a token that we signed, however old; `None` for any other.
    pub(super) fn own_claims(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        let ours = self.0.iter().any(|key| key.verifies(signed, signature));
        ours.then(|| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()).flatten()
    }
}

impl SigningKey {
    fn generate(algorithm: SigningAlgorithm) -> Result<Self, KeyError> {
        let (private, public_der) = match algorithm {
            SigningAlgorithm::Es256 => elliptic_key()?,
            SigningAlgorithm::Rs256 => rsa_key()?,
        };
        let kid = unguessable("key-");
        let jwk = Jwk::from_encoding_key(&private, algorithm.jose()).map_err(refused)?;
        let mut public = serde_json::to_value(&jwk).map_err(refused)?;
        if let Some(members) = public.as_object_mut() {
            members.insert("kid".to_owned(), kid.clone().into());
            members.insert("use".to_owned(), "sig".into());
            members.insert("alg".to_owned(), algorithm.name().into());
        }
        Ok(Self { kid, algorithm, private, public, public_der })
    }

    fn sign(&self, kind: &str, claims: &Map<String, Value>, faults: &TokenFaults) -> Result<String, KeyError> {
        let stranger = match faults.signing {
            Signing::ForeignKey | Signing::EmbeddedKey => Some(Self::generate(self.algorithm)?),
            _ => None,
        };
        let header = self.header(kind, stranger.as_ref(), faults);
        let payload = match &faults.signing {
            Signing::Payload(text) => URL_SAFE_NO_PAD.encode(text),
            _ => part(claims)?,
        };
        let signed = format!("{}.{payload}", part(&header)?);
        let signature = match &faults.signing {
            Signing::Text(text) => return Ok(text.clone()),
            Signing::Missing | Signing::Unsigned => String::new(),
            Signing::HmacOfPublicKey(form) => hmac(&signed, &self.written(*form))?,
            Signing::HmacOf(secret) => hmac(&signed, secret.as_bytes())?,
            Signing::Bytes(bytes) => URL_SAFE_NO_PAD.encode(bytes),
            Signing::Flipped => flipped(&self.signature(&signed)?),
            Signing::Honest | Signing::Payload(_) => self.signature(&signed)?,
            Signing::ForeignKey | Signing::EmbeddedKey => stranger.as_ref().unwrap_or(self).signature(&signed)?,
        };
        Ok(format!("{signed}.{signature}"))
    }

    fn header(&self, kind: &str, stranger: Option<&Self>, faults: &TokenFaults) -> Map<String, Value> {
        let algorithm = match faults.signing {
            Signing::Unsigned => "none",
            Signing::HmacOfPublicKey(_) | Signing::HmacOf(_) => "HS256",
            _ => self.algorithm.name(),
        };
        let named = [("typ", json!(kind)), ("alg", json!(algorithm)), ("kid", json!(self.kid))];
        let mut header: Map<_, _> = named.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        if let (Signing::EmbeddedKey, Some(stranger)) = (&faults.signing, stranger) {
            header.insert("jwk".to_owned(), stranger.public.clone());
        }
        faults.header.apply(&mut header);
        header
    }

    fn signature(&self, signed: &str) -> Result<String, KeyError> {
        jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, self.algorithm.jose()).map_err(refused)
    }

    fn written(&self, form: KeyForm) -> Vec<u8> {
        match form {
            KeyForm::Pem => pem("PUBLIC KEY", &self.public_der).into_bytes(),
            KeyForm::Der => self.public_der.clone(),
            KeyForm::Jwk => self.public.to_string().into_bytes(),
        }
    }

    fn verifies(&self, signed: &str, signature: &str) -> bool {
        let Ok(jwk) = serde_json::from_value::<Jwk>(self.public.clone()) else { return false };
        let Ok(key) = DecodingKey::from_jwk(&jwk) else { return false };
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, self.algorithm.jose()).unwrap_or(false)
    }
}

fn elliptic_key() -> Result<(EncodingKey, Vec<u8>), KeyError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused)?;
    let private = pair.to_pkcs8v1().map_err(refused)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(refused)?;
    Ok((EncodingKey::from_ec_der(private.as_ref()), public.as_ref().to_vec()))
}

fn rsa_key() -> Result<(EncodingKey, Vec<u8>), KeyError> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(refused)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(refused)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(refused)?;
    // By way of PEM, because only that reader takes the key out of its PKCS#8 wrapping.
    let key = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).map_err(refused)?;
    Ok((key, public.as_ref().to_vec()))
}

fn hmac(signed: &str, secret: &[u8]) -> Result<String, KeyError> {
    jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).map_err(refused)
}

/// Turns one bit in the middle of a signature.
fn flipped(signature: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn part(members: &Map<String, Value>) -> Result<String, KeyError> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(members).map_err(refused)?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::new();
    for line in text.as_bytes().chunks(PEM_LINE) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

fn refused(error: impl std::fmt::Display) -> KeyError {
    KeyError(error.to_string())
}

const PEM_LINE: usize = 64;
