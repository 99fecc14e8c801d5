//! Userinfo, which an access token opens, and introspection and revocation of tokens.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value, json};

use super::grants::Grant;
use super::request::IdpRequest;
use super::response::IdpResponse;
use super::{Idp, IdpState};

impl Idp {
    /// [OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.5.3); the token
    /// in the `Authorization` header only ([RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)).
    pub(super) fn userinfo(&self, asked: &IdpRequest) -> IdpResponse {
        let state = self.state();
        let Some(token) = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) else {
            return challenge("Bearer");
        };
        let Some((grant, _)) = state.grants.access(token, self.now()) else {
            return challenge("Bearer error=\"invalid_token\"");
        };
        let mut claims = about(&state, &grant);
        claims.insert("sub".to_owned(), json!(grant.sub));
        IdpResponse::json(StatusCode::OK, &Value::Object(claims))
    }

    /// [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662): a client that is not authenticated learns nothing about a token.
    pub(super) fn introspect(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        if let Err(refused) = self.client(&mut state, asked) {
            return refused;
        }
        let token = asked.field("token").unwrap_or_default();
        let access = state.grants.access(&token, self.now());
        let active = access.map(|(grant, expires)| (grant, Some(expires), "Bearer"));
        let refresh = || state.grants.refresh_grant(&token).map(|grant| (grant, None, "refresh_token"));
        let Some((grant, expires, kind)) = active.or_else(refresh) else {
            return IdpResponse::json(StatusCode::OK, &json!({ "active": false }));
        };
        let mut members = about(&state, &grant);
        let username = members.get("preferred_username").cloned();
        let said = [
            ("active", Some(json!(true))),
            ("sub", Some(json!(grant.sub))),
            ("client_id", Some(json!(grant.client_id))),
            ("iss", Some(json!(self.issuer()))),
            ("scope", Some(json!(grant.scope))),
            ("token_type", Some(json!(kind))),
            ("exp", expires.map(|at| json!(at.secs()))),
            ("username", username),
        ];
        members.extend(said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        IdpResponse::json(StatusCode::OK, &Value::Object(members))
    }

    /// [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009): 200 also for tokens that nobody knows (section 2.2).
    pub(super) fn revoke(&self, asked: &IdpRequest) -> IdpResponse {
        let mut state = self.state();
        let client = match self.client(&mut state, asked) {
            Ok(client) => client,
            Err(refused) => return refused,
        };
        let Some(token) = asked.field("token") else {
            return IdpResponse::oauth_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "token is missing or repeated",
            );
        };
        state.grants.revoke(&token, &client.id);
        IdpResponse::new(StatusCode::OK, "text/plain", "")
    }
}

fn about(state: &IdpState, grant: &Grant) -> Map<String, Value> {
    let person = state.settings.people.iter().find(|person| person.sub == grant.sub);
    person.map(|person| person.released(&grant.scope)).unwrap_or_default()
}

fn challenge(value: &str) -> IdpResponse {
    IdpResponse::text(StatusCode::UNAUTHORIZED, "the access token is missing or not good\n")
        .with(WWW_AUTHENTICATE, value)
}
