//! Signing out at the provider: RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0) and revocation (RFC 7009).
//! The local session ends first, elsewhere; nothing that fails here brings it back.

use std::borrow::Cow;

use http::StatusCode;
use url::Url;

use crate::provider::Provider;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::refusal::refusal;
use crate::provider::settings::LogoutStyle;
use crate::secret::Secret;

impl Provider {
    /// Where to send the browser to sign out at the provider too; `None` when it has no such place, when that is switched off,
    /// or when its discovery document can not be had: then the sign-out is a local one (LO-04).
    ///
    /// `post_logout_redirect_uri` is the registered one, `state` opaque and bound to the browser (LO-02).
    pub async fn end_session_url(
        &self,
        id_token_hint: Option<&Secret<String>>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<String> {
        if self.settings.logout != LogoutStyle::Auto {
            return None;
        }
        let metadata = self.metadata.get(&self.transport).await.ok()?;
        let endpoint = metadata.end_session_endpoint.as_ref()?;
        let url = |hint: Option<&str>| self.logout_url(endpoint, hint, post_logout_redirect_uri, state);
        // LO-06: a URL that servers would refuse helps nobody; without the hint the provider asks the person.
        let full = url(id_token_hint.map(|hint| hint.expose().as_str()));
        Some(if full.len() > MAX_URL { url(None) } else { full })
    }

    /// The sign-out request as a URL, without a look at the metadata (LO-01).
    pub(super) fn logout_url(
        &self,
        endpoint: &Url,
        id_token_hint: Option<&str>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> String {
        let mut url = endpoint.clone();
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token_hint {
            query.append_pair("id_token_hint", hint);
        }
        query.append_pair("client_id", &self.settings.client_id);
        query.append_pair("post_logout_redirect_uri", post_logout_redirect_uri);
        query.append_pair("state", state);
        drop(query);
        url.into()
    }

    /// Revokes a session's tokens: the refresh token first (TK-05), then the access token. Does nothing where revocation is
    /// switched off or the provider has no endpoint for it.
    ///
    /// # Errors
    /// Of the first token that could not be revoked; it counts as live (TK-06). The other one is tried all the same.
    pub async fn sign_out(
        &self,
        refresh: Option<&Secret<String>>,
        access: Option<&Secret<String>>,
    ) -> Result<(), ProviderError> {
        let first = match refresh {
            Some(token) => self.revoke(token, "refresh_token").await,
            None => Ok(()),
        };
        let second = match access {
            Some(token) => self.revoke(token, "access_token").await,
            None => Ok(()),
        };
        first.and(second)
    }

    /// Revokes one token. `hint` is `refresh_token` or `access_token`. Unknown tokens, and types that the provider does not
    /// revoke, count as success (TK-05, TK-07).
    ///
    /// # Errors
    /// When the provider is away or refuses the client.
    pub async fn revoke(&self, token: &Secret<String>, hint: &'static str) -> Result<(), ProviderError> {
        if self.settings.logout == LogoutStyle::None {
            return Ok(());
        }
        let metadata = self.metadata.get(&self.transport).await?;
        let Some(url) = &metadata.revocation_endpoint else { return Ok(()) };
        let form: Vec<(&'static str, Cow<'_, str>)> =
            vec![("token", token.expose().as_str().into()), ("token_type_hint", hint.into())];
        let reply = self.post_as_client(Endpoint::Revocation, url, &metadata, form).await?;
        if matches!(reply.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            return Ok(());
        }
        match refusal(Endpoint::Revocation, &reply) {
            ProviderError::ErrorResponse { error: "unsupported_token_type", .. } => Ok(()),
            error => Err(error),
        }
    }
}

/// What servers commonly take as a request line.
const MAX_URL: usize = 7500;
