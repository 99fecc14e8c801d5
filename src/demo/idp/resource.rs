//! What tokens open: userinfo; and what is asked about tokens: introspection and revocation.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::{Map, Value, json};

use crate::demo::idp::answer::Answer;
use crate::demo::idp::grants::Grant;
use crate::demo::idp::request::IdpRequest;
use crate::demo::idp::{Idp, State};

impl Idp {
    /// OpenID Connect Core 1.0 section 5.3; the token in the `Authorization` header only (RFC 6750 section 2.1).
    pub(super) fn userinfo(&self, asked: &IdpRequest) -> Answer {
        let state = self.state();
        let Some(token) = asked.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) else {
            return challenge("Bearer");
        };
        let Some((grant, _)) = state.grants.access(token, self.now()) else {
            return challenge("Bearer error=\"invalid_token\"");
        };
        let mut claims = about(&state, &grant);
        claims.insert("sub".to_owned(), json!(grant.sub));
        Answer::json(StatusCode::OK, &Value::Object(claims))
    }

    /// RFC 7662: nothing about a token is told to a client that is not proven.
    pub(super) fn introspect(&self, asked: &IdpRequest) -> Answer {
        let mut state = self.state();
        if let Err(not_believed) = self.client(&mut state, asked) {
            return not_believed.answer();
        }
        let token = asked.field("token").unwrap_or_default();
        let access = state.grants.access(&token, self.now());
        let active = access.map(|(grant, expires)| (grant, Some(expires), "Bearer"));
        let refresh = || state.grants.refresh_grant(&token).map(|grant| (grant, None, "refresh_token"));
        let Some((grant, expires, kind)) = active.or_else(refresh) else {
            return Answer::json(StatusCode::OK, &json!({ "active": false }));
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
        Answer::json(StatusCode::OK, &Value::Object(members))
    }

    /// RFC 7009: 200 also for tokens that nobody knows (section 2.2).
    pub(super) fn revoke(&self, asked: &IdpRequest) -> Answer {
        let mut state = self.state();
        let client = match self.client(&mut state, asked) {
            Ok(client) => client,
            Err(not_believed) => return not_believed.answer(),
        };
        let Some(token) = asked.field("token") else {
            return Answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "token is missing or repeated");
        };
        state.grants.revoke(&token, &client.id);
        Answer::new(StatusCode::OK, "text/plain", "")
    }
}

fn about(state: &State, grant: &Grant) -> Map<String, Value> {
    let person = state.settings.people.iter().find(|person| person.sub == grant.sub);
    person.map(|person| person.released(&grant.scope)).unwrap_or_default()
}

fn challenge(value: &str) -> Answer {
    Answer::text(StatusCode::UNAUTHORIZED, "the access token is missing or not good\n").with(WWW_AUTHENTICATE, value)
}
