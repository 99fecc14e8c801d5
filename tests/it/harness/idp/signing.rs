//! Tokens that are signed again by the tests: with other claims, another header, or a signature that is none.

use super::{Pair, SigningKey};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value};

use super::faults::TokenFaults;

/// How a token is signed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Signing {
    /// With our key.
    #[default]
    Honest,
    /// With our key, and then one bit is turned.
    Flipped,
    /// The signature is empty, the header as if it were there.
    Missing,
    /// `alg` is `none`, the signature is empty.
    Unsigned,
    /// `alg` is `HS256`, keyed with our public key, written in this way.
    HmacOfPublicKey(KeyForm),
    /// `alg` is `HS256`, keyed with this text: the client's secret, say.
    HmacOf(String),
    /// These bytes as the signature, whatever they sign.
    Bytes(Vec<u8>),
    /// With our key, over this text as the payload in place of the claims.
    Payload(String),
    /// With a key that nobody knows, under our `kid`.
    ForeignKey,
    /// With a key that nobody knows, which the header brings along as `jwk`.
    EmbeddedKey,
    /// Not a token at all: this text in its place.
    Text(String),
}

/// How a public key is written where it is mistaken for a shared secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyForm {
    /// As PEM, with the last line's end.
    Pem,
    /// As DER.
    Der,
    /// As the text of its JWK in the key set.
    Jwk,
}

/// A token of these claims, with what is wrong on purpose.
pub(super) fn token(key: &SigningKey, mut claims: Map<String, Value>, faults: &TokenFaults) -> String {
    faults.claims.apply(&mut claims);
    let stranger = match faults.signing {
        Signing::ForeignKey | Signing::EmbeddedKey => Some(SigningKey::generate(key.algorithm()).unwrap()),
        _ => None,
    };
    let payload = match &faults.signing {
        Signing::Payload(text) => URL_SAFE_NO_PAD.encode(text),
        _ => part(claims),
    };
    let signed = format!("{}.{payload}", part(header(key, stranger.as_ref(), faults)));
    let signature = match &faults.signing {
        Signing::Text(text) => return text.clone(),
        Signing::Missing | Signing::Unsigned => String::new(),
        Signing::HmacOfPublicKey(form) => hmac(&signed, &written(key, *form)),
        Signing::HmacOf(secret) => hmac(&signed, secret.as_bytes()),
        Signing::Bytes(bytes) => URL_SAFE_NO_PAD.encode(bytes),
        Signing::Flipped => flipped(&key.sign(&signed).unwrap()),
        Signing::Honest | Signing::Payload(_) => key.sign(&signed).unwrap(),
        Signing::ForeignKey | Signing::EmbeddedKey => stranger.unwrap().sign(&signed).unwrap(),
    };
    format!("{signed}.{signature}")
}

/// The claims of a token, whoever signed it.
pub(super) fn claims(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn header(key: &SigningKey, stranger: Option<&SigningKey>, faults: &TokenFaults) -> Map<String, Value> {
    let mut header = key.header("JWT");
    match faults.signing {
        Signing::Unsigned => header.insert("alg".to_owned(), "none".into()),
        Signing::HmacOfPublicKey(_) | Signing::HmacOf(_) => header.insert("alg".to_owned(), "HS256".into()),
        Signing::EmbeddedKey => stranger.and_then(|stranger| header.insert("jwk".to_owned(), stranger.jwk())),
        _ => None,
    };
    faults.header.apply(&mut header);
    header
}

fn written(key: &SigningKey, form: KeyForm) -> Vec<u8> {
    let der = |der: PublicKeyX509Der<'_>| der.as_ref().to_vec();
    let der = match &key.pair {
        Pair::Es256(pair) => der(pair.public_key().as_der().unwrap()),
        Pair::Rs256(pair) => der(pair.public_key().as_der().unwrap()),
    };
    match form {
        KeyForm::Pem => pem("PUBLIC KEY", &der).into_bytes(),
        KeyForm::Der => der,
        KeyForm::Jwk => key.jwk().to_string().into_bytes(),
    }
}

fn hmac(signed: &str, secret: &[u8]) -> String {
    jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap()
}

/// Turns one bit in the middle of a signature.
fn flipped(signature: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    URL_SAFE_NO_PAD.encode(bytes)
}

fn part(members: Map<String, Value>) -> String {
    URL_SAFE_NO_PAD.encode(Value::Object(members).to_string())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(PEM_LINE).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

const PEM_LINE: usize = 64;
