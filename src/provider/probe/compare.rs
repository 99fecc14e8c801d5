//! What the metadata says, compared with what the configuration assumes. Lists that need not be complete are no reason to warn.

use super::{Credentials, Findings, ProbeRequest};
use crate::provider::Provider;
use crate::provider::demand::Demand;
use crate::provider::metadata::Metadata;
use crate::provider::settings::{ClientAuth, LogoutStyle, ResponseMode};

impl Provider {
    /// `credentials` is what the token endpoint said of them: it knows better than the metadata.
    pub(super) fn compare(
        &self,
        metadata: &Metadata,
        request: &ProbeRequest,
        credentials: Credentials,
        found: &mut Findings,
    ) {
        self.compare_client_auth(metadata, credentials, found);
        self.compare_pkce(metadata, found);
        self.compare_freshness(metadata, request, found);
        // DI-10
        let listed = |mode: &str| metadata.response_modes.iter().flatten().any(|known| known == mode);
        if self.settings.response_mode == ResponseMode::FormPost && !listed("form_post") {
            found.warning("response_mode", "form_post is not in response_modes_supported".to_owned());
        }
        if let Some(demand) = metadata.demand {
            let code = if demand == Demand::PushedRequests { "par" } else { "jar" };
            found.failed(code, format!("the provider demands {demand}"));
        }
        if let Some(known) = &metadata.scopes {
            for scope in self.settings.scopes.iter().filter(|s| !known.contains(s)) {
                found.good("scope", format!("scope {scope} is not in scopes_supported, which need not be complete"));
            }
        }
        if self.settings.logout == LogoutStyle::Auto && metadata.end_session_endpoint.is_none() {
            found.good("logout", "no end_session_endpoint: sign-out ends only our own session".to_owned());
        }
        if self.algorithms.is_empty() && metadata.id_token_algorithms.is_empty() {
            found.failed(
                "id_token_alg",
                "the provider lists no ID token algorithm that is implemented and safe".to_owned(),
            );
        }
    }

    fn compare_client_auth(&self, metadata: &Metadata, credentials: Credentials, found: &mut Findings) {
        // DI-09
        let default = ["client_secret_basic".to_owned()];
        let methods = metadata.token_auth_methods.as_deref().unwrap_or(&default);
        let own = self.proof.method_name();
        // `none` is often not listed: it is no method of authentication.
        let listed = methods.iter().any(|m| m == own) || matches!(self.settings.client_auth, ClientAuth::Public);
        match credentials {
            Credentials::Unknown if listed => {
                found.good("client_auth", format!("client authentication {own} is supported"));
            }
            Credentials::Unknown => found.warning(
                "client_auth",
                format!("client_auth is {own}, but the provider lists only {}", methods.join(", ")),
            ),
            // Told with the token endpoint.
            Credentials::Taken | Credentials::Refused => {}
        }
    }

    fn compare_pkce(&self, metadata: &Metadata, found: &mut Findings) {
        match &metadata.challenge_methods {
            Some(methods) if methods.iter().any(|m| m == "S256") && !self.settings.pkce => {
                found.warning("pkce", "the provider supports PKCE S256, but pkce is switched off".to_owned());
            }
            Some(methods) if methods.iter().any(|m| m == "S256") => found.good("pkce", "PKCE S256: used".to_owned()),
            // PK-06
            Some(_) if self.settings.pkce => {
                found.warning(
                    "pkce",
                    "the provider lists PKCE methods without S256; S256 is sent all the same".to_owned(),
                );
            }
            _ => {}
        }
    }

    /// Where these claims never come, every sign-in ends with a refusal (ID-15, ID-16).
    fn compare_freshness(&self, metadata: &Metadata, request: &ProbeRequest, found: &mut Findings) {
        let names = |claim: &str| metadata.claims.iter().flatten().any(|known| known == claim);
        let own = self.settings.max_age.map(|_| format!("provider.{}", self.settings.name));
        let asking: Vec<String> = own.into_iter().chain(request.max_age_asked_by.iter().cloned()).collect();
        if !asking.is_empty() && !names("auth_time") {
            found.warning(
                "auth_time",
                format!(
                    "max_age of {}: the provider's metadata does not name the claim auth_time (claims_supported); without it in the ID token, these sign-ins are refused",
                    asking.join(", ")
                ),
            );
        }
        let wanted = &self.settings.acr_values;
        if wanted.is_empty() {
            return;
        }
        match &metadata.acr_values {
            Some(known) if wanted.iter().any(|value| known.contains(value)) => {}
            Some(known) => found.warning(
                "acr",
                format!("acr_values: the provider lists only {} (acr_values_supported)", known.join(", ")),
            ),
            None if names("acr") => {}
            None => found.warning(
                "acr",
                "acr_values: the provider's metadata names neither acr_values_supported nor the claim acr; without acr in the ID token, sign-ins are refused".to_owned(),
            ),
        }
    }
}
