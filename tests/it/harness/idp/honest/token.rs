//! The token endpoint: a code or a refresh token in, a token set out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use sha2::{Digest as _, Sha256};

use super::grants::{IssuedCode, Refusal, UNKNOWN};
use super::request::IdpRequest;
use super::response::IdpResponse;
use super::settings::Client;
use super::tokens::Occasion;
use super::{Idp, IdpState};
use vestibule::secret::constant_time_eq;

impl Idp {
    pub(super) fn token(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        let client = match self.client(&mut state, asked) {
            Ok(client) => client,
            Err(refused) => return refused,
        };
        match asked.field("grant_type").as_deref() {
            Some("authorization_code") => self.exchange(&mut state, &client, asked),
            Some("refresh_token") => self.refresh(&mut state, &client, asked),
            Some(_) => bad_request("unsupported_grant_type", "only authorization_code and refresh_token are served"),
            None => bad_request("invalid_request", "grant_type is missing or repeated"),
        }
    }

    fn exchange(&self, state: &mut IdpState, client: &Client, asked: &IdpRequest) -> IdpResponse {
        let Some(code) = asked.field("code") else {
            return bad_request("invalid_request", "code is missing or repeated");
        };
        let known = match state.grants.code(&code, &client.id, self.now()) {
            Ok(known) => known,
            Err(refusal) => return invalid_grant("the code", refusal),
        };
        if let Some(reason) = mismatch(known, asked) {
            return bad_request("invalid_grant", reason);
        }
        let grant = known.grant.clone();
        match state.grants.spend_code(&code) {
            Some(family) => self.token_set(state, family, &grant, Occasion::SignIn),
            None => invalid_grant("the code", UNKNOWN),
        }
    }

    fn refresh(&self, state: &mut IdpState, client: &Client, asked: &IdpRequest) -> IdpResponse {
        let Some(token) = asked.field("refresh_token") else {
            return bad_request("invalid_request", "refresh_token is missing or repeated");
        };
        let (family, mut grant) = match state.grants.refreshable(&token, &client.id) {
            Ok(found) => found,
            Err(refusal) => return invalid_grant("the refresh token", refusal),
        };
        if let Some(wanted) = asked.field("scope") {
            let granted: Vec<&str> = grant.scope.split(' ').collect();
            // RF-01: never wider than what was granted.
            if !wanted.split(' ').all(|scope| granted.contains(&scope)) {
                return bad_request("invalid_scope", "the scope is wider than what was granted");
            }
            grant.scope = wanted;
        }
        let rotate = state.settings.rotation;
        if rotate {
            state.grants.spend_refresh(&token);
        }
        self.token_set(state, family, &grant, Occasion::Refresh { rotate })
    }
}

/// What a code was bound to and the request does not repeat: the redirect URI, byte for byte, and the PKCE verifier.
fn mismatch(code: &IssuedCode, asked: &IdpRequest) -> Option<&'static str> {
    if asked.field("redirect_uri").as_deref() != Some(&code.redirect_uri) {
        return Some("redirect_uri is not the one of the authorization request");
    }
    match (&code.challenge, asked.field("code_verifier")) {
        (None, None) => None,
        (Some(_), None) => Some("code_verifier is missing"),
        // RFC 9700 section 2.1.1: a verifier without a challenge is a downgrade.
        (None, Some(_)) => Some("code_verifier without a code_challenge"),
        (Some(challenge), Some(verifier)) => {
            let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
            let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(is_unreserved);
            let same = constant_time_eq(computed.as_bytes(), challenge.as_bytes());
            (!well_formed || !same).then_some("code_verifier does not fit the code_challenge")
        }
    }
}

/// [RFC 7636 section 4.1](https://www.rfc-editor.org/rfc/rfc7636#section-4.1).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn invalid_grant(what: &str, refusal: Refusal) -> IdpResponse {
    bad_request("invalid_grant", &format!("{what} is refused: {}", refusal.0))
}

fn bad_request(error: &str, description: &str) -> IdpResponse {
    IdpResponse::oauth_error(StatusCode::BAD_REQUEST, error, description)
}
