//! Client authentication at the token endpoint, introspection and revocation: exactly one method in each request (OA-13).

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use url::form_urlencoded;

use crate::clock::UnixTime;
use crate::provider::algorithm::{Algorithm, Kind};
use crate::provider::error::{ProviderError, ProviderSetupError};
use crate::provider::metadata::Metadata;
use crate::provider::settings::ClientAuth;
use crate::seal;
use crate::secret::Secret;

/// A client's credentials, ready to be used.
#[derive(Debug)]
pub(super) struct ClientProof {
    client_id: String,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Basic(HeaderValue),
    Post(Secret<String>),
    Assertion { key: Box<ClientKey>, key_id: Option<String> },
    Public,
}

/// What authenticates one request.
#[derive(Debug, Default)]
pub(super) struct Proof<'a> {
    /// `Authorization`.
    pub(super) header: Option<&'a HeaderValue>,
    /// Members of the form.
    pub(super) form: Vec<(&'static str, Cow<'a, str>)>,
}

impl ClientProof {
    pub(super) fn new(client_id: &str, auth: &ClientAuth) -> Result<Self, ProviderSetupError> {
        let method = match auth {
            ClientAuth::Basic(secret) => Method::Basic(basic(client_id, secret)?),
            ClientAuth::Post(secret) => Method::Post(secret.clone()),
            ClientAuth::PrivateKeyJwt { key, key_id } => {
                Method::Assertion { key: Box::new(ClientKey::new(key.expose())?), key_id: key_id.clone() }
            }
            ClientAuth::Public => Method::Public,
        };
        Ok(Self { client_id: client_id.to_owned(), method })
    }

    /// The name of the method, as registered.
    pub(super) fn method_name(&self) -> &'static str {
        match self.method {
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::Assertion { .. } => "private_key_jwt",
            Method::Public => "none",
        }
    }

    /// The proof for one request: an assertion is made anew each time (CA-03).
    pub(super) fn prove(&self, metadata: &Metadata, now: UnixTime) -> Result<Proof<'_>, ProviderError> {
        let client_id = ("client_id", Cow::Borrowed(self.client_id.as_str()));
        Ok(match &self.method {
            Method::Basic(value) => Proof { header: Some(value), form: Vec::new() },
            // Only where it is configured, and never in a URL (OA-14).
            Method::Post(secret) => Proof {
                header: None,
                form: vec![client_id, ("client_secret", Cow::Borrowed(secret.expose().as_str()))],
            },
            Method::Assertion { key, key_id } => {
                let assertion = self.assertion(key, key_id.as_deref(), metadata, now)?;
                let kind = ("client_assertion_type", Cow::Borrowed(JWT_BEARER));
                Proof { header: None, form: vec![client_id, kind, ("client_assertion", Cow::Owned(assertion))] }
            }
            // OA-15
            Method::Public => Proof { header: None, form: vec![client_id] },
        })
    }

    /// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3),
    /// [OpenID Connect Core section 9](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.9) (CA-01).
    fn assertion(
        &self,
        key: &ClientKey,
        key_id: Option<&str>,
        metadata: &Metadata,
        now: UnixTime,
    ) -> Result<String, ProviderError> {
        let algorithm = key.algorithm(metadata).ok_or(ProviderError::AssertionRefused)?;
        let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
        if let (Some(key_id), Some(members)) = (key_id, header.as_object_mut()) {
            members.insert("kid".to_owned(), key_id.into());
        }
        // The issuer as one string (CA-05); a plain OAuth 2.0 server has none that we know, and a template is none, so that the
        // endpoint stands for it.
        let named = metadata.issuer_is_known && !metadata.issuer.is_template();
        let audience = if named { &**metadata.issuer.text() } else { metadata.token_endpoint.as_str() };
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(seal::random::<16>()),
            "iat": now.secs(),
            "exp": now.plus(ASSERTION_LIFE).secs(),
        });
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(algorithm, signed.as_bytes()).ok_or(ProviderError::AssertionFailed)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Each part form-urlencoded, then joined and base64
/// ([RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1), OA-12).
fn basic(client_id: &str, secret: &Secret<String>) -> Result<HeaderValue, ProviderSetupError> {
    let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::new(format!("{}:{}", part(client_id), part(secret.expose())));
    let value = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| ProviderSetupError::ClientSecret)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The client's private key.
#[derive(Debug)]
enum ClientKey {
    Rsa(RsaKeyPair),
    /// With the name of the algorithm of its curve.
    Ec(EcdsaKeyPair, &'static str),
    Ed25519(Ed25519KeyPair),
}

impl ClientKey {
    /// PKCS#8, PKCS#1 or SEC1; the type follows from the key.
    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, ProviderSetupError> {
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
    fn algorithm(&self, metadata: &Metadata) -> Option<Algorithm> {
        let taken = metadata.list("token_endpoint_auth_signing_alg_values_supported");
        let takes = |a: &Algorithm| {
            taken.as_ref().is_none_or(|names| names.iter().any(|name| Algorithm::parse(name) == Some(*a)))
        };
        Algorithm::all().filter(|algorithm| self.is_for(*algorithm)).find(takes)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa(_) => matches!(algorithm.kind(), Kind::Rsa(..)),
            Self::Ec(_, name) => algorithm.name() == *name,
            Self::Ed25519(_) => matches!(algorithm.kind(), Kind::Ed25519),
        }
    }

    /// `None` for an algorithm of another type of key, and where the library refuses.
    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        // The library's own source: blinding and ECDSA nonces are made inside it.
        let random = SystemRandom::new();
        match (self, algorithm.kind()) {
            (Self::Rsa(key), Kind::Rsa(_, sign)) => {
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(*sign, &random, message, &mut signed).ok()?;
                Some(signed)
            }
            (Self::Ec(key, _), Kind::Ec(..)) => key.sign(&random, message).ok().map(|s| s.as_ref().to_vec()),
            (Self::Ed25519(key), Kind::Ed25519) => Some(key.sign(message).as_ref().to_vec()),
            _ => None,
        }
    }
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_LIFE: Duration = Duration::from_secs(60);
