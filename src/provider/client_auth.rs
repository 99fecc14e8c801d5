//! Client authentication at the token endpoint, introspection and revocation: exactly one method in each request (OA-13).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::provider::Provider;
use crate::provider::error::ProviderError;
use crate::provider::metadata::Metadata;
use crate::provider::settings::ClientAuth;
use crate::provider::transport::Form;
use crate::seal;
use crate::secret::Secret;

impl Provider {
    /// Puts the client's proof into a form, or else gives it as `Authorization`. An assertion is made anew each time (CA-03).
    pub(super) fn prove<'a>(
        &'a self,
        metadata: &Metadata,
        form: &mut Form<'a>,
    ) -> Result<Option<HeaderValue>, ProviderError> {
        let client_id = self.settings.client_id.as_str();
        if let ClientAuth::Basic(secret) = &self.settings.client_auth {
            return Ok(basic(client_id, secret));
        }
        // OA-15
        form.push(("client_id", client_id.into()));
        match &self.settings.client_auth {
            // Only where it is configured, and never in a URL (OA-14).
            ClientAuth::Post(secret) => form.push(("client_secret", secret.expose().as_str().into())),
            ClientAuth::PrivateKeyJwt { key_id, .. } => {
                form.push(("client_assertion_type", JWT_BEARER.into()));
                form.push(("client_assertion", self.assertion(key_id.as_deref(), metadata)?.into()));
            }
            ClientAuth::Basic(_) | ClientAuth::Public => {}
        }
        Ok(None)
    }

    /// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3),
    /// [OpenID Connect Core section 9](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.9) (CA-01).
    fn assertion(&self, key_id: Option<&str>, metadata: &Metadata) -> Result<String, ProviderError> {
        let now = self.clock.now();
        let key = self.client_key.as_ref().ok_or(ProviderError::AssertionFailed)?;
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
            "iss": self.settings.client_id,
            "sub": self.settings.client_id,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(seal::random::<16>()),
            "iat": now.secs(),
            "exp": now.plus(ASSERTION_LIFE).secs(),
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(algorithm, signed.as_bytes()).ok_or(ProviderError::AssertionFailed)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// `client_secret_basic`: each part form-urlencoded, then joined and base64
/// ([RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1), OA-12).
fn basic(client_id: &str, secret: &Secret<String>) -> Option<HeaderValue> {
    let part = |text: &str| Secret::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Secret::new(format!("{}:{}", part(client_id).expose(), part(secret.expose()).expose()));
    let value = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The value of `client_assertion_type`.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// It is used at once.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);
