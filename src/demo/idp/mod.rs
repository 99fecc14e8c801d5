//! The demo's OpenID provider, small and honest: it checks all that a provider must check of its one client, the gateway.
//!
//! 1. Authorization code with PKCE (S256), verified; a code works once, and its reuse revokes what it gave
//!    ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)).
//! 2. Client authentication by `client_secret_basic`.
//! 3. Refresh tokens rotate; a spent one that comes again revokes its whole grant
//!    ([RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).
//! 4. Userinfo, revocation, RP-initiated logout, `iss` in the callback ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
//!
//! It has no passwords: whoever reaches it chooses to be one of the people it knows. It is served over loopback alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::body::Body;
use crate::clock::SharedClock;
use crate::demo::answer::answer;

mod authorize;
mod grants;
mod key;
mod logout;
mod pages;
mod people;
mod token;

use grants::Grants;
use key::SigningKey;

/// The provider's one client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its identifier.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Where sign-ins come back to; compared byte for byte.
    pub redirect_uri: String,
    /// Where sign-outs may come back to; compared byte for byte.
    pub post_logout_redirect_uri: String,
}

/// A provider.
pub(super) struct Idp {
    /// Its issuer identifier: also the origin below which everything is.
    issuer: String,
    client: Client,
    /// How long access tokens live.
    access_life: Duration,
    clock: SharedClock,
    key: SigningKey,
    grants: Mutex<Grants>,
}

/// The parameters of a query or a form.
type Params = HashMap<String, String>;

impl Idp {
    /// A provider that calls itself `issuer`, with a new key.
    pub(super) fn new(
        issuer: String,
        client: Client,
        access_life: Duration,
        clock: SharedClock,
    ) -> Result<Self, Unspecified> {
        Ok(Self { issuer, client, access_life, clock, key: SigningKey::generate()?, grants: Mutex::default() })
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Request<Bytes>) -> Response<Body> {
        let text = request.uri().query().unwrap_or_default();
        let (Some(query), Some(form)) = (params(text.as_bytes()), params(request.body())) else {
            return pages::refused("A parameter is repeated.");
        };
        let headers = request.headers();
        match (request.method(), request.uri().path()) {
            (&Method::GET, DISCOVERY) => self.discovery(),
            (&Method::GET, KEY_SET) => json_answer(StatusCode::OK, &json!({ "keys": [self.key.jwk()] })),
            (&Method::GET, AUTHORIZE) => self.authorize(headers, text),
            (&Method::POST, CHOOSE) => self.choose(&form),
            (&Method::POST, TOKEN) => self.token(headers, &form).unwrap_or_else(Refusal::into_response),
            (&Method::POST, REVOKE) => self.revoke(headers, &form).unwrap_or_else(Refusal::into_response),
            (&Method::GET | &Method::POST, USERINFO) => self.userinfo(headers),
            (&Method::GET, END_SESSION) => self.end_session(headers, &query, Some(text)),
            (&Method::POST, END_SESSION) => self.end_session(headers, &query.into_iter().chain(form).collect(), None),
            (&Method::GET, "/") => pages::front(&self.issuer),
            _ => answer(StatusCode::NOT_FOUND, "text/plain", "The provider has nothing here.\n"),
        }
    }

    /// The metadata
    /// ([OpenID Connect Discovery 1.0 section 3](https://openid.net/specs/openid-connect-discovery-1_0.html#rfc.section.3)).
    fn discovery(&self) -> Response<Body> {
        let url = |path: &str| format!("{}{path}", self.issuer);
        let metadata = json!({
            "issuer": self.issuer,
            "authorization_endpoint": url(AUTHORIZE),
            "token_endpoint": url(TOKEN),
            "userinfo_endpoint": url(USERINFO),
            "jwks_uri": url(KEY_SET),
            "revocation_endpoint": url(REVOKE),
            "end_session_endpoint": url(END_SESSION),
            "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "claims_supported": ["sub", "iss", "name", "preferred_username", "email", "email_verified", "groups"],
        });
        json_answer(StatusCode::OK, &metadata)
    }

    /// What was given out.
    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads parameters; `None` where one is repeated, which
/// [RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1) forbids.
fn params(encoded: &[u8]) -> Option<Params> {
    let mut params = Params::new();
    let mut pairs = form_urlencoded::parse(encoded).into_owned();
    pairs.all(|(name, value)| params.insert(name, value).is_none()).then_some(params)
}

/// An answer in JSON.
fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", value.to_string())
}

/// An error of the token endpoint ([RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)).
#[derive(Debug)]
struct Refusal {
    error: &'static str,
    description: &'static str,
}

impl Refusal {
    /// With status 400; 401 and the scheme where the client is not believed.
    fn into_response(self) -> Response<Body> {
        let is_of_client = self.error == INVALID_CLIENT;
        let status = if is_of_client { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let mut answer = json_answer(status, &json!({ "error": self.error, "error_description": self.description }));
        if is_of_client {
            let scheme = HeaderValue::from_static("Basic realm=\"demo provider\"");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

/// Where OpenID Connect Discovery puts the metadata.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The path of the key set.
const KEY_SET: &str = "/jwks";
/// The path of the authorization endpoint.
const AUTHORIZE: &str = "/sso/authorize";
/// Where the page of the authorization endpoint sends the choice of a person.
const CHOOSE: &str = "/sso/choose";
/// The path of the end-session endpoint.
const END_SESSION: &str = "/sso/end-session";
/// The path of the token endpoint.
const TOKEN: &str = "/token";
/// The path of userinfo.
const USERINFO: &str = "/userinfo";
/// The path of revocation.
const REVOKE: &str = "/revoke";
/// The error code of a client that is not believed.
const INVALID_CLIENT: &str = "invalid_client";
/// How long a code is good for.
const CODE_LIFE: Duration = Duration::from_secs(60);
/// How long an ID token is good for.
const ID_TOKEN_LIFE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
