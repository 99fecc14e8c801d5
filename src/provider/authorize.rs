//! The authorization request: the URL that a browser is sent to, and the check of whose answer came back
//! ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use crate::provider::Provider;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::metadata::Metadata;
use crate::provider::refusal::known;
use crate::provider::settings::{ProviderKind, ResponseMode};
use crate::provider::words::Words;
use crate::secret::Secret;

/// What is new in each sign-in.
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    /// Our callback, absolute and without a fragment; the same must be given to [`Provider::redeem`].
    pub redirect_uri: &'a str,
    /// Unguessable, bound to the browser.
    pub state: &'a str,
    /// Unguessable, bound to the attempt; only sent to OpenID providers.
    pub nonce: &'a str,
    /// The PKCE verifier: 43 to 128 unreserved characters
    /// ([RFC 7636 section 4.1](https://www.rfc-editor.org/rfc/rfc7636#section-4.1)).
    pub verifier: &'a Secret<String>,
    /// A stricter `max_age` than the provider's own, as a route may ask for; to be given to [`Provider::redeem`] again.
    pub max_age: Option<Duration>,
    /// More parameters (`prompt`, `login_hint`, …). They replace configured ones of the same name, never those of the protocol.
    pub extra: &'a [(&'a str, &'a str)],
    /// Leave out what a provider may not know and may refuse: see [`Provider::sends_optional`].
    pub bare: bool,
}

/// The issuer that a callback named, if any, found to be the provider's: only [`Provider::check_iss`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CheckedIssuer(Option<String>);

impl CheckedIssuer {
    /// The callback's `iss` parameter.
    pub(super) fn named(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// How somebody comes to choose another account at a provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccountSwitch {
    /// The authorization request asks for it, with this `prompt`.
    Prompt(&'static str),
    /// An ordinary authorization request: its configured `prompt` wins.
    Configured,
    /// The provider's own session has to be ended first.
    SignOutFirst,
}

impl Provider {
    /// Where to send the browser ([RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1),
    /// [RFC 7636 section 4.3](https://www.rfc-editor.org/rfc/rfc7636#section-4.3),
    /// [OpenID Connect Core section 3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.3.1.2.1)).
    ///
    /// # Errors
    /// When the discovery document is needed and cannot be had.
    pub async fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Result<String, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        self.url_by(&metadata, request)
    }

    /// The same on any thread, where nobody has to be asked for the discovery document; `None` where somebody has.
    pub fn authorization_url_at_hand(
        &self,
        request: &AuthorizationRequest<'_>,
    ) -> Option<Result<String, ProviderError>> {
        Some(self.url_by(&*self.metadata.at_hand()?, request))
    }

    /// The same by this metadata.
    fn url_by(&self, metadata: &Metadata, request: &AuthorizationRequest<'_>) -> Result<String, ProviderError> {
        if request.redirect_uri.contains('#') {
            return Err(ProviderError::RedirectUri);
        }
        if let Some(demand) = metadata.demand {
            // The person would be sent to an error page of the provider's.
            return self.reported(Err(ProviderError::Demands(demand)));
        }
        if self.settings.pkce && metadata.lacks_s256 {
            // PK-05, PK-06: sent all the same; a provider that does not know it ignores it.
            tracing::debug!(provider = %self.settings.name, code = "pkce_not_advertised", "S256 is not among code_challenge_methods_supported");
        }
        Ok(self.build_url(&metadata.authorization_endpoint, request))
    }

    /// The request as a URL, without a look at the metadata.
    pub(super) fn build_url(&self, endpoint: &Url, request: &AuthorizationRequest<'_>) -> String {
        let mut parameters = self.protocol_parameters(request);
        let mut others: Vec<(&str, Cow<'_, str>)> = Vec::new();
        // Later ones replace earlier ones: no parameter may be sent twice (RFC 6749 section 3.1).
        let configured = self.settings.authorization_params.iter().map(|(k, v)| (k.as_str(), Cow::from(v)));
        let acr_values = Some(self.settings.acr_values.join(" ")).filter(|values| !values.is_empty());
        let own =
            [("prompt", self.settings.prompt.as_deref().map(Cow::from)), ("acr_values", acr_values.map(Cow::from))];
        let own = own.into_iter().filter_map(|(k, v)| Some((k, v?)));
        // In place of a `max_age` that is left out: the person is asked, and how long ago that was is checked all the same.
        let ask = request.bare && self.max_age(request.max_age).is_some() && self.configured_prompt().is_none();
        let asking = ask.then(|| ("prompt", "login".into()));
        let extra = request.extra.iter().map(|(k, v)| (*k, Cow::from(*v)));
        for (name, value) in configured.chain(own).chain(asking).chain(extra) {
            // UI-11: settings may add, but not break the protocol
            if RESERVED_PARAMETERS.contains(&name) || (request.bare && OPTIONAL_PARAMETERS.contains(&name)) {
                continue;
            }
            others.retain(|(known, _)| *known != name);
            others.push((name, value));
        }
        parameters.retain(|(name, _)| *name == "resource" || !others.iter().any(|(other, _)| other == name));
        parameters.extend(others);
        let mut url = endpoint.clone();
        // OA-01: parameters that the endpoint's URL already has stay, unless they are ours.
        let kept = endpoint.query_pairs().filter(|(name, _)| !parameters.iter().any(|(ours, _)| ours == name));
        url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(&parameters);
        url.into()
    }

    /// The parameters that the protocol itself needs.
    fn protocol_parameters<'a>(&'a self, request: &AuthorizationRequest<'a>) -> Vec<(&'a str, Cow<'a, str>)> {
        let openid = matches!(self.settings.kind, ProviderKind::Oidc { .. });
        let mut list: Vec<(&str, Cow<'_, str>)> = vec![
            ("response_type", "code".into()),
            ("client_id", self.settings.client_id.as_str().into()),
            ("redirect_uri", request.redirect_uri.into()),
        ];
        let scope = self.requested_scope();
        if !scope.is_empty() {
            list.push(("scope", scope.into()));
        }
        if self.settings.response_mode == ResponseMode::FormPost {
            list.push(("response_mode", "form_post".into()));
        }
        list.push(("state", request.state.into()));
        if openid {
            list.push(("nonce", request.nonce.into()));
        }
        if self.settings.pkce {
            list.push(("code_challenge", challenge(request.verifier).into()));
            list.push(("code_challenge_method", "S256".into()));
        }
        if let Some(max_age) = self.max_age(request.max_age).filter(|_| !request.bare) {
            list.push(("max_age", max_age.as_secs().to_string().into()));
        }
        // IS-05
        list.extend(self.settings.resource.iter().map(|r| ("resource", r.as_str().into())));
        list
    }

    /// The scope that is asked for; with `openid` in it for OpenID Connect (UI-11).
    pub(super) fn requested_scope(&self) -> String {
        let mut scopes: Vec<&str> = self.settings.scopes.iter().map(String::as_str).collect();
        if matches!(self.settings.kind, ProviderKind::Oidc { .. }) && !scopes.contains(&"openid") {
            scopes.insert(0, "openid");
        }
        scopes.join(" ")
    }

    /// Whether it is configured to ask nobody anything (`prompt=none`): an answer that somebody has to be asked is then no
    /// refusal (UI-12).
    pub fn asks_silently(&self) -> bool {
        self.configured_prompt() == Some("none")
    }

    /// Whether an authorization request has parameters that a provider may refuse and that can be left out: hints, and what is
    /// checked here when the answer comes (`max_age`, `acr_values`). A configured `prompt` is neither, and PKCE never is.
    pub fn sends_optional(&self, max_age: Option<Duration>) -> bool {
        let hints = |name: &String| OPTIONAL_PARAMETERS.contains(&name.as_str());
        self.max_age(max_age).is_some()
            || !self.settings.acr_values.is_empty()
            || self.settings.authorization_params.keys().any(hints)
    }

    /// How somebody switches to another account here. `refused`: the provider has just refused `prompt=select_account`.
    ///
    /// # Errors
    /// When the provider is away: the session that is switched from has ended, and the browser would be sent to nowhere.
    pub async fn account_switch(&self, refused: bool) -> Result<AccountSwitch, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        if let Some(error) = self.still_away(&metadata).await {
            return Err(error);
        }
        let lacking = metadata.list("prompt_values_supported").is_some_and(|known| !known.contains(&CHOOSE));
        let prompt = self.configured_prompt();
        if prompt.is_some_and(|prompt| prompt.split(' ').any(|word| word == "login" || word == CHOOSE)) {
            return Ok(AccountSwitch::Configured);
        }
        if prompt.is_none() && !refused && !lacking {
            return Ok(AccountSwitch::Prompt(CHOOSE));
        }
        Ok(match prompt {
            _ if self.end_session_endpoint(&metadata).is_some() => AccountSwitch::SignOutFirst,
            // It would bring the same person back without a word.
            None | Some("none") => AccountSwitch::Prompt("login"),
            Some(_) => AccountSwitch::Configured,
        })
    }

    /// `prompt` as the operator wrote it, in either place.
    pub(super) fn configured_prompt(&self) -> Option<&str> {
        let written = self.settings.authorization_params.get("prompt");
        self.settings.prompt.as_ref().or(written).map(String::as_str)
    }

    /// The stricter of the provider's `max_age` and the request's.
    pub(super) fn max_age(&self, asked: Option<Duration>) -> Option<Duration> {
        self.settings.max_age.into_iter().chain(asked).min()
    }

    /// Reports that a callback came with an error
    /// ([RFC 6749 section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1)).
    pub fn refused_sign_in(&self, error: &str, description: Option<&str>) {
        let words = Words::new(error, description);
        let error = ProviderError::ErrorResponse { endpoint: Endpoint::Authorization, words, error: known(error) };
        self.transport.incidents.failed(&error);
    }

    /// Whether a callback, also one with `error`, is this provider's answer
    /// ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)). `own_redirect` says that no other provider
    /// has the same redirect URI (IS-03). No code can be [redeemed](Provider::redeem) without what this gives.
    ///
    /// # Errors
    /// [`ProviderError::IssuerMismatch`], [`ProviderError::IssuerMissing`], or the discovery document cannot be had.
    pub async fn check_iss(&self, iss: Option<&str>, own_redirect: bool) -> Result<CheckedIssuer, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        self.reported(match iss {
            Some(iss) if accepts_iss(&metadata, iss, own_redirect) => Ok(CheckedIssuer(Some(iss.to_owned()))),
            Some(_) => Err(ProviderError::IssuerMismatch),
            // IS-01, IS-03
            None if metadata.sends_iss || !own_redirect => Err(ProviderError::IssuerMissing),
            None => Ok(CheckedIssuer(None)),
        })
    }
}

/// IS-02: simple string comparison. A plain OAuth 2.0 server's issuer was never configured; where the redirect URI alone does
/// not say whose answer it is, the issuer must at least be of the origin that the browser was sent to.
pub(super) fn accepts_iss(metadata: &Metadata, iss: &str, own_redirect: bool) -> bool {
    if metadata.issuer_is_known {
        return metadata.issuer.covers(iss);
    }
    own_redirect || Url::parse(iss).is_ok_and(|iss| iss.origin() == metadata.authorization_endpoint.origin())
}

/// S256, the only method that is ever sent ([RFC 7636 section 4.2](https://www.rfc-editor.org/rfc/rfc7636#section-4.2)).
fn challenge(verifier: &Secret<String>) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.expose().as_bytes()))
}

/// Parameters that `authorization_params` cannot set: they have settings of their own or belong to the protocol; `request` and
/// its kin would replace all others.
pub const RESERVED_PARAMETERS: [&str; 14] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "request",
    "request_uri",
    "max_age",
];

/// Parameters that a provider may refuse, and that a sign-in can do without
/// ([OpenID Connect Core section 3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.3.1.2.1)).
const OPTIONAL_PARAMETERS: [&str; 6] =
    ["acr_values", "display", "ui_locales", "claims_locales", "login_hint", "id_token_hint"];
/// The `prompt` that lets somebody choose an account.
const CHOOSE: &str = "select_account";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // PK-03: RFC 7636 appendix B
        let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
