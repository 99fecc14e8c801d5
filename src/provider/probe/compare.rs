//! What the metadata says, compared with what the configuration assumes. Lists that need not be complete are no reason to warn.

use super::{Findings, ProbeRequest};
use crate::provider::Provider;
use crate::provider::demand::Demand;
use crate::provider::metadata::Metadata;
use crate::provider::settings::{ClientAuth, LogoutStyle, ResponseMode};

impl Provider {
    /// `are_judged`: the token endpoint has judged the client's credentials, and knows better than the metadata.
    pub(super) fn compare(&self, metadata: &Metadata, request: &ProbeRequest, are_judged: bool, found: &mut Findings) {
        if !are_judged {
            self.compare_client_auth(metadata, found);
        }
        self.compare_pkce(metadata, found);
        self.compare_freshness(metadata, request, found);
        // DI-10
        let modes = metadata.list("response_modes_supported").unwrap_or_default();
        if self.settings.response_mode == ResponseMode::FormPost && !modes.contains(&"form_post") {
            found.warning("response_mode", "form_post is not in response_modes_supported");
        }
        if let Some(demand) = metadata.demand {
            let code = if demand == Demand::PushedRequests { "par" } else { "jar" };
            found.failed(code, format!("the provider demands {demand}"));
        }
        if let Some(known) = metadata.list("scopes_supported") {
            for scope in self.settings.scopes.iter().filter(|scope| !known.contains(&scope.as_str())) {
                found.good("scope", format!("scope {scope} is not in scopes_supported, which need not be complete"));
            }
        }
        if self.settings.logout == LogoutStyle::Auto && metadata.endpoints.end_session_endpoint.is_none() {
            found.good("logout", "no end_session_endpoint: sign-out ends only our own session");
        }
        if self.algorithms.is_empty() && metadata.id_token_algorithms.is_empty() {
            found.failed("id_token_alg", "the provider lists no ID token algorithm that is implemented and safe");
        }
    }

    /// DI-09
    fn compare_client_auth(&self, metadata: &Metadata, found: &mut Findings) {
        let methods =
            metadata.list("token_endpoint_auth_methods_supported").unwrap_or_else(|| vec!["client_secret_basic"]);
        let own = self.settings.client_auth.method_name();
        // `none` is often not listed: it is no method of authentication.
        if methods.contains(&own) || matches!(self.settings.client_auth, ClientAuth::Public) {
            found.good("client_auth", format!("client authentication {own} is supported"));
        } else {
            let listed = methods.join(", ");
            found.warning("client_auth", format!("client_auth is {own}, but the provider lists only {listed}"));
        }
    }

    /// Whether PKCE is used as far as it can be.
    fn compare_pkce(&self, metadata: &Metadata, found: &mut Findings) {
        let Some(methods) = metadata.list("code_challenge_methods_supported") else { return };
        match (methods.contains(&"S256"), self.settings.pkce) {
            (true, true) => found.good("pkce", "PKCE S256: used"),
            (true, false) => found.warning("pkce", "the provider supports PKCE S256, but pkce is switched off"),
            // PK-06
            (false, true) => {
                found.warning("pkce", "the provider lists PKCE methods without S256; S256 is sent all the same");
            }
            (false, false) => {}
        }
    }

    /// Where these claims never come, every sign-in ends with a refusal (ID-15, ID-16).
    fn compare_freshness(&self, metadata: &Metadata, request: &ProbeRequest, found: &mut Findings) {
        let claims = metadata.list("claims_supported").unwrap_or_default();
        let own = self.settings.max_age.map(|_| format!("provider.{}", self.settings.name));
        let asking: Vec<String> = own.into_iter().chain(request.max_age_asked_by.iter().cloned()).collect();
        if !asking.is_empty() && !claims.contains(&"auth_time") {
            let why = "the provider's metadata does not name the claim auth_time (claims_supported); without it in the ID token, these sign-ins are refused";
            found.warning("auth_time", format!("max_age of {}: {why}", asking.join(", ")));
        }
        let wanted = &self.settings.acr_values;
        if wanted.is_empty() {
            return;
        }
        match metadata.list("acr_values_supported") {
            Some(known) if wanted.iter().any(|value| known.contains(&value.as_str())) => {}
            Some(known) => {
                let known = known.join(", ");
                found.warning("acr", format!("acr_values: the provider lists only {known} (acr_values_supported)"));
            }
            None if claims.contains(&"acr") => {}
            None => found.warning(
                "acr",
                "acr_values: the provider's metadata names neither acr_values_supported nor the claim acr; without acr in the ID token, sign-ins are refused",
            ),
        }
    }
}
