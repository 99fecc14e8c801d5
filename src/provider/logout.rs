//! Signing out at the provider:
//! [RP-initiated logout](https://openid.net/specs/openid-connect-rpinitiated-1_0.html) and revocation
//! ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)). The local session ends first, elsewhere; nothing that fails here
//! brings it back.

use http::StatusCode;
use url::Url;

use crate::provider::Provider;
use crate::provider::error::{Area, Endpoint, ProviderError};
use crate::provider::metadata::Metadata;
use crate::provider::refusal::refusal;
use crate::provider::settings::LogoutStyle;
use crate::secret::Secret;

impl Provider {
    /// Where to send the browser to sign out at the provider too; `None` when it has no such place, when that is switched off,
    /// when its discovery document cannot be had, or when it is away: then the sign-out is a local one (LO-04).
    ///
    /// `post_logout_redirect_uri` is the registered one, `state` opaque and bound to the browser (LO-02).
    pub async fn end_session_url(
        &self,
        id_token_hint: Option<&Secret<String>>,
        post_logout_redirect_uri: &str,
        state: &str,
    ) -> Option<String> {
        let metadata = self.metadata.get(&self.transport).await.ok()?;
        let endpoint = self.end_session_endpoint(&metadata)?;
        let url = |hint: Option<&str>| self.logout_url(endpoint, hint, post_logout_redirect_uri, state);
        // A provider refuses a hint whose key it has withdrawn; without the hint it asks the person.
        let hint = match id_token_hint {
            Some(hint) if self.still_verifies(&metadata, hint.expose()).await => Some(hint.expose().as_str()),
            _ => None,
        };
        if self.still_away(&metadata).await.is_some() {
            return None; // the browser could only show an error
        }
        // LO-06: a URL that servers would refuse helps nobody.
        let full = url(hint);
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
        let always = [
            ("client_id", self.settings.client_id.as_str()),
            ("post_logout_redirect_uri", post_logout_redirect_uri),
            ("state", state),
        ];
        with_parameters(endpoint, id_token_hint.map(|hint| ("id_token_hint", hint)).into_iter().chain(always))
    }

    /// How the last call found the provider away, and a new one does too where there is something to ask for.
    pub(super) async fn still_away(&self, metadata: &Metadata) -> Option<ProviderError> {
        self.transport.away()?;
        if let Some(url) = &metadata.endpoints.jwks_uri {
            // It may have been one endpoint, or one moment: that an answer comes matters, not what it says.
            let _ = self.keys.fetch_now(&self.transport, url).await;
        }
        self.transport.away()
    }

    /// The end-session endpoint, where it is to be used.
    pub(super) fn end_session_endpoint<'a>(&self, metadata: &'a Metadata) -> Option<&'a Url> {
        metadata.endpoints.end_session_endpoint.as_ref().filter(|_| self.settings.logout == LogoutStyle::Auto)
    }

    /// Revokes a session's refresh token, which takes the access tokens of its grant along
    /// ([RFC 7009 section 2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.1), TK-05); the access token only where there
    /// is no refresh token. Does nothing where revocation is switched off or the provider has no endpoint for it.
    ///
    /// # Errors
    /// When the token could not be revoked; it counts as live (TK-06).
    pub async fn sign_out(
        &self,
        refresh: Option<&Secret<String>>,
        access: Option<&Secret<String>>,
    ) -> Result<(), ProviderError> {
        let refresh = refresh.map(|token| (token, "refresh_token"));
        match refresh.or_else(|| access.map(|token| (token, "access_token"))) {
            Some((token, hint)) if self.settings.logout != LogoutStyle::None => {
                self.reported(self.revoke(token, hint).await)
            }
            _ => Ok(()),
        }
    }

    /// Revokes one token. `hint` is `refresh_token` or `access_token`. Unknown tokens, and types that the provider does not
    /// revoke, count as success (TK-05, TK-07).
    async fn revoke(&self, token: &Secret<String>, hint: &'static str) -> Result<(), ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        let Some(url) = &metadata.endpoints.revocation_endpoint else { return Ok(()) };
        let form = vec![("token", token.expose().as_str().into()), ("token_type_hint", hint.into())];
        let reply = self.post_as_client(Endpoint::Revocation, url, &metadata, form).await?;
        if matches!(reply.status, StatusCode::OK | StatusCode::NO_CONTENT) {
            self.transport.incidents.works(Area::Endpoint(Endpoint::Revocation));
            return Ok(());
        }
        match refusal(Endpoint::Revocation, &reply) {
            ProviderError::ErrorResponse { error: "unsupported_token_type", .. } => Ok(()),
            error => Err(error),
        }
    }
}

/// An end-session endpoint with our parameters. Those that its URL has already stay, and ours that say the same are left out:
/// whoever wrote them knows what the provider wants (Cognito: `client_id` and `logout_uri`).
fn with_parameters<'a>(endpoint: &Url, ours: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let theirs: Vec<String> = endpoint.query_pairs().map(|(name, _)| meaning(&name)).collect();
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    query.extend_pairs(ours.filter(|(name, _)| !theirs.contains(&meaning(name))));
    drop(query);
    url.into()
}

/// What a parameter means, whatever the case and the signs between its words, and whatever a provider calls it.
fn meaning(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // Cognito, Auth0 before its end-session endpoint, Keycloak before 18.
    let is_return = matches!(letters.as_str(), "logouturi" | "returnto" | "redirecturi");
    if is_return { "postlogoutredirecturi".to_owned() } else { letters }
}

/// What servers commonly take as a request line.
const MAX_URL: usize = 7500;
