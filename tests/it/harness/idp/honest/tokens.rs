//! Making the token set: access token, refresh token, ID token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::grants::{Grant, unguessable};
use super::keys::SigningError;
use super::response::IdpResponse;
use super::settings::Mode;
use super::{ID_TOKEN_LIFE, Idp, IdpState};

/// What tokens are made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Occasion {
    /// A code was exchanged.
    SignIn,
    /// A refresh token was used, and is spent if tokens rotate.
    Refresh { rotate: bool },
}

impl Idp {
    /// The token response ([RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)) for a grant, whose
    /// tokens belong to `family`.
    pub(super) fn token_set(
        &self,
        state: &mut IdpState,
        family: u64,
        grant: &Grant,
        occasion: Occasion,
    ) -> IdpResponse {
        match self.make(state, family, grant, occasion) {
            Ok(members) => IdpResponse::json(StatusCode::OK, &Value::Object(members)),
            Err(error) => IdpResponse::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn make(
        &self,
        state: &mut IdpState,
        family: u64,
        grant: &Grant,
        occasion: Occasion,
    ) -> Result<Map<String, Value>, SigningError> {
        let now = self.now();
        let life = state.settings.access_life;
        let expires = now.plus(life.unwrap_or(UNSAID_LIFE));
        let access = unguessable("at_");
        state.grants.keep_access(access.clone(), family, grant.scope.clone(), expires);
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("access_token", json!(access));
        add("token_type", json!("Bearer"));
        add("scope", json!(grant.scope));
        if let Some(life) = life {
            add("expires_in", json!(life.as_secs()));
        }
        if occasion != (Occasion::Refresh { rotate: false }) {
            add("refresh_token", json!(state.grants.give_refresh(family)));
        }
        let with_id_token = occasion == Occasion::SignIn || state.settings.id_token_at_refresh;
        if state.settings.mode == Mode::OpenId && with_id_token {
            add("id_token", json!(self.id_token(state, grant, &access, occasion)?));
        }
        Ok(members)
    }

    /// OpenID Connect Core 1.0 sections 2 and 12.2.
    fn id_token(
        &self,
        state: &IdpState,
        grant: &Grant,
        access: &str,
        occasion: Occasion,
    ) -> Result<String, SigningError> {
        let now = self.now();
        let person = state.settings.people.iter().find(|person| person.sub == grant.sub);
        let mut claims = match person {
            Some(person) if !state.settings.thin_id_tokens => person.released(&grant.scope),
            _ => Map::new(),
        };
        let digest = Sha256::digest(access.as_bytes());
        let (left_half, _) = digest.split_at(digest.len() / 2);
        let said = [
            ("iss", json!(self.issuer())),
            ("sub", json!(grant.sub)),
            ("aud", json!(grant.client_id)),
            ("iat", json!(now.secs())),
            ("exp", json!(now.plus(ID_TOKEN_LIFE).secs())),
            ("auth_time", json!(grant.auth_time.secs())),
            ("sid", json!(grant.sid)),
            ("at_hash", json!(URL_SAFE_NO_PAD.encode(left_half))),
        ];
        claims.extend(said.map(|(name, value)| (name.to_owned(), value)));
        if let (Some(nonce), Occasion::SignIn) = (&grant.nonce, occasion) {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        state.keys.first().ok_or_else(SigningError::none)?.token(&claims)
    }
}

/// How long an access token lives when nothing is said about it.
const UNSAID_LIFE: Duration = Duration::from_secs(3600);
