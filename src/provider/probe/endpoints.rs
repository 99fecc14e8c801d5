//! The token endpoint with a made-up code, and the end-session endpoint with our post-logout redirect URI.

use url::Url;

use super::Findings;
use super::authorization::mentions;
use super::visit::{Ended, LEADS_NOWHERE, visit};
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError};
use crate::provider::metadata::Metadata;
use crate::provider::transport::Form;
use crate::seal;

impl Provider {
    /// A code exchange as after a sign-in: `invalid_grant` means that only the code was wrong
    /// ([RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2)). Gives also whether the
    /// client's credentials were judged.
    pub(super) async fn probe_token(&self, metadata: &Metadata, redirect_uri: &str) -> (Findings, bool) {
        let mut found = Findings::default();
        let mut form: Form<'_> = vec![
            ("grant_type", "authorization_code".into()),
            ("code", seal::random_token().into()),
            ("redirect_uri", redirect_uri.into()),
        ];
        if self.settings.pkce {
            form.push(("code_verifier", seal::random_token().into()));
        }
        let url = &metadata.token_endpoint;
        let method = self.settings.client_auth.method_name();
        let are_judged = match self.request_tokens(metadata, form, None).await {
            Ok(_) => {
                found.failed(CODE, format!("token endpoint {url} gives tokens for a made-up code"));
                false
            }
            Err(ProviderError::InvalidGrant(_)) => {
                found.good(CODE, format!("token endpoint takes the client's credentials ({method})"));
                true
            }
            Err(error @ ProviderError::InvalidClient(_)) => {
                found.failed(CODE, format!("token endpoint {url}: {error}{}", self.listed_methods(metadata)));
                true
            }
            Err(error) => {
                self.judge_token_error(&error, url, &mut found);
                false
            }
        };
        (found, are_judged)
    }

    /// Any other error of the token endpoint.
    fn judge_token_error(&self, error: &ProviderError, url: &Url, found: &mut Findings) {
        match error {
            // Some servers call a wrong code so.
            ProviderError::ErrorResponse { error: "invalid_request", words, .. } if !mentions(words, &["dpop"]) => {
                found.good(CODE, "token endpoint answers invalid_request to a made-up code");
            }
            ProviderError::ErrorResponse { error: "unauthorized_client" | "unsupported_grant_type", .. } => {
                let hint = "The authorization code flow is not switched on for this client";
                found.failed(CODE, format!("token endpoint {url}: {error}. {hint}"));
            }
            // Errors of a shape of its own say no more than that it is there.
            ProviderError::BadAnswer { fault: AnswerFault::Status(400), .. } => {
                found.good(CODE, "token endpoint answers 400 to a made-up code");
            }
            error => found.failed(CODE, format!("token endpoint {url}: {error}")),
        }
    }

    /// Where the metadata does not list the configured method, that is the first thing to look at.
    fn listed_methods(&self, metadata: &Metadata) -> String {
        let own = self.settings.client_auth.method_name();
        match metadata.list("token_endpoint_auth_methods_supported") {
            Some(listed) if !listed.contains(&own) => {
                format!(". client_auth is {own}, but the provider lists {}", listed.join(", "))
            }
            _ => format!(" (client_auth is {own})"),
        }
    }

    /// A sign-out without an ID token. Without cookies it ends no session.
    pub(super) async fn probe_end_session(&self, metadata: &Metadata, uri: &str, ours: Url) -> Findings {
        let mut found = Findings::default();
        let Some(endpoint) = self.end_session_endpoint(metadata) else { return found };
        let url = self.logout_url(endpoint, None, uri, &seal::random_token());
        let refused = |found: &mut Findings, how: &str| {
            let client = &self.settings.client_id;
            found.failed(SIGN_OUT, format!("end-session endpoint {endpoint} {how}: the post-logout redirect URI {uri} is not registered for the client {client}"));
        };
        match visit(&self.transport, Endpoint::EndSession, url, &ours).await {
            Ok(Ended::Refused(said)) => refused(&mut found, &format!("refuses with {}", said.words())),
            Ok(Ended::Page(reply)) if !reply.status.is_success() => {
                let words = reply.words();
                if words.to_string().contains("id_token_hint") {
                    // Only a sign-in gives one. There is no error code for it, so the words are all that there is to go by.
                    found.good(SIGN_OUT, "end-session endpoint asks for an ID token: not tried further");
                } else {
                    refused(&mut found, &format!("answers {} ({words})", reply.status.as_u16()));
                }
            }
            Ok(Ended::Nowhere) => {
                found.warning(SIGN_OUT, format!("end-session endpoint {endpoint}: {LEADS_NOWHERE}"));
            }
            Ok(_) => found.good(SIGN_OUT, format!("end-session endpoint takes {uri}")),
            Err(error) => found.failed(error.code(), format!("{endpoint}: {error}")),
        }
        found
    }
}

/// The code of findings about the token endpoint.
const CODE: &str = "token_endpoint";
/// The code of findings about the end-session endpoint.
const SIGN_OUT: &str = "end_session_endpoint";
