//! What the client asks for itself: tokens for a code or a refresh token, userinfo, revocation.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use crate::body::Body;
use crate::demo::answer::answer;
use crate::demo::idp::grants::{Grant, Grants, IssuedKind};
use crate::demo::idp::{ID_TOKEN_LIFE, INVALID_CLIENT, Idp, Params, Refusal, json_answer};
use crate::secret::constant_time_eq;

/// A refusal of a code or refresh token.
fn invalid_grant(description: &'static str) -> Refusal {
    Refusal { error: "invalid_grant", description }
}

impl Idp {
    /// The token endpoint.
    pub(super) fn token(&self, headers: &HeaderMap, form: &Params) -> Result<Response<Body>, Refusal> {
        self.check_client(headers, form)?;
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let (kind, value) = match field("grant_type") {
            "authorization_code" => (IssuedKind::Code, field("code")),
            "refresh_token" => (IssuedKind::RefreshToken, field("refresh_token")),
            _ => {
                return Err(Refusal {
                    error: "unsupported_grant_type",
                    description: "only authorization_code and refresh_token are served",
                });
            }
        };
        let mut grants = self.grants();
        let (name, grant) = grants.find(kind, value, self.clock.now()).map_err(invalid_grant)?;
        if kind == IssuedKind::Code {
            // What a code was bound to: the redirect URI, byte for byte, and the PKCE challenge.
            if field("redirect_uri") != self.client.redirect_uri {
                return Err(invalid_grant("redirect_uri is not the one of the authorization request"));
            }
            let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
            if !constant_time_eq(computed.as_bytes(), grant.challenge.as_bytes()) {
                return Err(invalid_grant("code_verifier does not fit the code_challenge"));
            }
        }
        grants.spend(value);
        self.token_set(&mut grants, &name, &grant, kind)
    }

    /// Userinfo ([OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.3));
    /// the token in the `Authorization` header only ([RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)).
    pub(super) fn userinfo(&self, headers: &HeaderMap) -> Response<Body> {
        let token = authorization(headers, "Bearer ").unwrap_or_default();
        match self.grants().find(IssuedKind::AccessToken, token, self.clock.now()) {
            Ok((_, grant)) => json_answer(StatusCode::OK, &Value::Object(grant.session.person.claims(&grant.scope))),
            Err(reason) => {
                let mut answer =
                    answer(StatusCode::UNAUTHORIZED, "text/plain", format!("the access token: {reason}\n"));
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                answer
            }
        }
    }

    /// Revocation ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)): 200 also for tokens that nobody knows (section 2.2).
    pub(super) fn revoke(&self, headers: &HeaderMap, form: &Params) -> Result<Response<Body>, Refusal> {
        self.check_client(headers, form)?;
        self.grants()
            .revoke(form.get("token").ok_or(Refusal { error: "invalid_request", description: "token is missing" })?);
        Ok(answer(StatusCode::OK, "text/plain", ""))
    }

    /// `client_secret_basic` and nothing else, each half form-urlencoded before they were joined
    /// ([RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1), OA-12, OA-13).
    fn check_client(&self, headers: &HeaderMap, form: &Params) -> Result<(), Refusal> {
        let encoded = |half: &str| form_urlencoded::byte_serialize(half.as_bytes()).collect::<String>();
        let known = format!("{}:{}", encoded(&self.client.id), encoded(&self.client.secret));
        let sent = authorization(headers, "Basic ").and_then(|sent| STANDARD.decode(sent).ok()).unwrap_or_default();
        if form.contains_key("client_secret") || !constant_time_eq(&sent, known.as_bytes()) {
            return Err(Refusal {
                error: INVALID_CLIENT,
                description: "these are not the client's credentials by client_secret_basic",
            });
        }
        Ok(())
    }

    /// The token response ([RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
    fn token_set(
        &self,
        grants: &mut Grants,
        name: &str,
        grant: &Grant,
        by: IssuedKind,
    ) -> Result<Response<Body>, Refusal> {
        let expires = self.clock.now().plus(self.access_life);
        let access = grants.issue(IssuedKind::AccessToken, name, Some(expires));
        let id_token = self.id_token(grant, &access, by);
        let set = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.access_life.as_secs(),
            "scope": grant.scope,
            "refresh_token": grants.issue(IssuedKind::RefreshToken, name, None),
            "id_token": id_token.ok_or(Refusal { error: "server_error", description: "the ID token could not be signed" })?,
        });
        Ok(json_answer(StatusCode::OK, &set))
    }

    /// OpenID Connect Core 1.0 sections [2](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.2) and
    /// [12.2](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.12.2).
    fn id_token(&self, grant: &Grant, access: &str, by: IssuedKind) -> Option<String> {
        let now = self.clock.now();
        let digest = Sha256::digest(access);
        let (left_half, _) = digest.split_at(digest.len() / 2);
        let mut claims = grant.session.person.claims(&grant.scope);
        let said = [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.client.id)),
            ("iat", json!(now.secs())),
            ("exp", json!(now.plus(ID_TOKEN_LIFE).secs())),
            ("auth_time", json!(grant.session.auth_time.secs())),
            ("sid", json!(grant.session.sid)),
            ("at_hash", json!(URL_SAFE_NO_PAD.encode(left_half))),
        ];
        let nonce = grant.nonce.as_ref().filter(|_| by == IssuedKind::Code).map(|nonce| ("nonce", json!(nonce)));
        claims.extend(said.into_iter().chain(nonce).map(|(name, value)| (name.to_owned(), value)));
        self.key.token(claims).ok()
    }
}

/// The credentials of this scheme.
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(scheme)
}
