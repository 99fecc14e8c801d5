//! What the provider says about itself: the metadata and the key set.

use http::StatusCode;
use serde_json::{Value, json};

use super::response::IdpResponse;
use super::{Idp, IdpState, paths};

impl Idp {
    /// [OpenID Connect Discovery 1.0 section 3](https://openid.net/specs/openid-connect-discovery-1_0.html#rfc.section.3).
    pub(super) fn discovery(&self) -> IdpResponse {
        let state = self.state();
        let metadata = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.url(paths::AUTHORIZE),
            "token_endpoint": self.url(paths::TOKEN),
            "userinfo_endpoint": self.url(paths::USERINFO),
            "jwks_uri": self.url(paths::KEY_SET),
            "introspection_endpoint": self.url(paths::INTROSPECT),
            "revocation_endpoint": self.url(paths::REVOKE),
            "end_session_endpoint": self.url(paths::END_SESSION),
            "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms(&state),
            "token_endpoint_auth_methods_supported":
                ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "ES384", "RS256", "PS256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": state.settings.iss_in_callback,
            "claims_supported": ["sub", "iss", "name", "preferred_username", "email", "email_verified", "groups"],
        });
        IdpResponse::json(StatusCode::OK, &metadata)
    }

    pub(super) fn key_set(&self) -> IdpResponse {
        let keys: Vec<Value> = self.state().keys.iter().map(|key| key.jwk()).collect();
        IdpResponse::json(StatusCode::OK, &json!({ "keys": keys }))
    }
}

fn algorithms(state: &IdpState) -> Vec<&'static str> {
    let mut names: Vec<_> = state.keys.iter().map(|key| key.algorithm().name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
