//! Keys that sign what the scripted provider says.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

type Signer = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key that signs tokens.
pub(super) struct TestKey {
    pub(super) jwk: Value,
    alg: &'static str,
    signer: Signer,
}

impl TestKey {
    pub(super) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES256", "P-256", 32, kid)
    }

    pub(super) fn es384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES384", "P-384", 48, kid)
    }

    pub(super) fn es512(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES512", "P-521", 66, kid)
    }

    fn ec(pair: EcdsaKeyPair, alg: &'static str, crv: &str, size: usize, kid: &str) -> Self {
        let (x, y) = pair.public_key().as_ref()[1..].split_at(size);
        let jwk = json!({ "kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": b64(x), "y": b64(y) });
        Self { jwk, alg, signer: Box::new(move |m| pair.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec()) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref()) });
        Self { jwk, alg: "EdDSA", signer: Box::new(move |m| pair.sign(m).as_ref().to_vec()) }
    }

    /// RSA with one of its six algorithms.
    pub(super) fn rsa(alg: &'static str, kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero().to_vec();
        let e = public.exponent().big_endian_without_leading_zero().to_vec();
        let encoding: &'static dyn signature::RsaEncoding = match alg {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            _ => &signature::RSA_PSS_SHA512,
        };
        let jwk = json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": b64(&n), "e": b64(&e) });
        let signer = move |m: &[u8]| {
            let mut signed = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), m, &mut signed).unwrap();
            signed
        };
        Self { jwk, alg, signer: Box::new(signer) }
    }

    pub(super) fn hmac(secret: &[u8]) -> Self {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        Self {
            jwk: json!({ "kty": "oct" }),
            alg: "HS256",
            signer: Box::new(move |m| aws_lc_rs::hmac::sign(&key, m).as_ref().to_vec()),
        }
    }

    pub(super) fn header(&self) -> Value {
        match self.jwk.get("kid") {
            Some(kid) => json!({ "alg": self.alg, "kid": kid }),
            None => json!({ "alg": self.alg }),
        }
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        let signature = (self.signer)(signed.as_bytes());
        format!("{signed}.{}", b64(&signature))
    }

    /// The same key without its name.
    pub(super) fn nameless(mut self) -> Self {
        self.jwk.as_object_mut().unwrap().remove("kid");
        self
    }
}

pub(super) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
