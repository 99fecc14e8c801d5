//! The authorization endpoint with `prompt=none`: whether it takes this client, this redirect URI and these parameters.

use http::StatusCode;
use url::Url;

use super::Findings;
use super::visit::{Ended, visit};
use crate::provider::Provider;
use crate::provider::authorize::{AuthorizationRequest, accepts_iss};
use crate::provider::error::Endpoint;
use crate::provider::metadata::Metadata;
use crate::provider::reply::Reply;
use crate::provider::words::Words;
use crate::seal;
use crate::secret::Secret;

impl Provider {
    /// Makes the authorization request of a sign-in, except that nobody is to be asked anything.
    pub(super) async fn probe_authorization(&self, metadata: &Metadata, redirect_uri: &str, ours: Url) -> Findings {
        let mut found = Findings::default();
        let (state, nonce) = (seal::random_token(), seal::random_token());
        let verifier = Secret::new(seal::random_token());
        let request = AuthorizationRequest {
            redirect_uri,
            state: &state,
            nonce: &nonce,
            verifier: &verifier,
            max_age: None,
            extra: &[("prompt", "none")],
            bare: false,
        };
        let url = match Url::parse(&self.build_url(&metadata.authorization_endpoint, &request)) {
            Ok(url) => url,
            Err(error) => {
                found.failed(CODE, format!("authorization endpoint: {error}"));
                return found;
            }
        };
        let place = Place { url: &metadata.authorization_endpoint, redirect_uri };
        match visit(&self.transport, Endpoint::Authorization, url, &ours).await {
            Ok(Ended::Returned(said)) => self.judge_answer(metadata, &said, &state, &place, &mut found),
            Ok(Ended::Refused(said)) => self.judge_error(&said, &place, &mut found),
            Ok(Ended::SentTo(to)) => {
                place.taken(&mut found, &format!("sends people on to {}", to.origin().ascii_serialization()));
            }
            Ok(Ended::Page(reply)) => self.judge_page(&reply, &place, &mut found),
            Ok(Ended::Lost) => {
                found.warning(CODE, format!("{}: too many redirects, or one that leads nowhere", place.name()));
            }
            Err(error) => found.failed(error.code(), format!("{}: {error}", place.url)),
        }
        found
    }

    /// The browser was sent back to us: nearly always with an error, since nobody is signed in.
    fn judge_answer(
        &self,
        metadata: &Metadata,
        said: &[(String, String)],
        state: &str,
        place: &Place<'_>,
        found: &mut Findings,
    ) {
        let get = |name: &str| said.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let error = get("error").unwrap_or_default();
        if !error.is_empty() && !NEEDS_A_PERSON.contains(&error) {
            return self.judge_error(said, place, found);
        }
        if get("state") != Some(state) {
            return found
                .failed(CODE, format!("{} does not send the state back: no sign-in can be matched", place.name()));
        }
        match get("iss") {
            Some(iss) if !accepts_iss(metadata, iss, true) => found.failed(
                CODE,
                format!(
                    "{} names the issuer {} in its answers, not {}",
                    place.name(),
                    Words::new(iss, None),
                    metadata.issuer.text()
                ),
            ),
            None if metadata.sends_iss => {
                found.failed(CODE, format!("{} sends no iss, although its metadata says so (RFC 9207)", place.name()));
            }
            _ => place.taken(found, if error.is_empty() { "gives a code at once" } else { error }),
        }
    }

    fn judge_error(&self, said: &[(String, String)], place: &Place<'_>, found: &mut Findings) {
        let get = |name: &str| said.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let error = get("error").unwrap_or_default();
        if NEEDS_A_PERSON.contains(&error) {
            return place.taken(found, error);
        }
        let words = Words::new(error, get("error_description"));
        if error == "invalid_request" && mentions(&words, &["prompt"]) {
            // OpenID Connect Core section 3.1.2.1 asks for it, but some servers lack it; a sign-in does not need it.
            return found.warning(
                CODE,
                format!("{} does not take prompt=none ({words}): sign-ins could not be tried", place.name()),
            );
        }
        let hint = self.hint(error, &words);
        found.failed(CODE, format!("{} refuses sign-ins: {words}{hint}", place.name()));
    }

    /// What has to be changed, as far as the error shows it.
    fn hint(&self, error: &str, words: &Words) -> &'static str {
        if mentions(words, &["pushed", "par ", "request_uri"]) {
            return ". It wants pushed authorization requests (PAR), which are not supported here: switch them off for this client";
        }
        if mentions(words, &["pkce", "code_challenge", "code challenge", "code_verifier"]) {
            return if self.settings.pkce {
                ". PKCE: this client must take the method S256; for a provider that knows no PKCE, set pkce = false"
            } else {
                ". PKCE: this client requires it: remove pkce = false"
            };
        }
        if mentions(words, &["dpop"]) {
            return ". It wants DPoP, which is not supported here: switch it off for this client";
        }
        if mentions(words, &["request object", "jar", "signed request"]) {
            return ". It wants signed request objects, which are not supported here: switch them off for this client";
        }
        match error {
            "invalid_scope" => ". Compare `scopes` with what this client may ask for",
            "unauthorized_client" | "unsupported_response_type" => {
                ". The authorization code flow (standard flow) is not switched on for this client, or the client is disabled"
            }
            "unsupported_response_mode" => ". Compare `response_mode` with what this client may ask for",
            "invalid_target" => ". Compare `resource` with what the provider knows",
            "access_denied" => ". Does a policy at the provider keep this client out?",
            "temporarily_unavailable" | "server_error" => ". That is a fault there; try again later",
            "redirect_uri_mismatch" | "invalid_redirect_uri" => ". This redirect URI is not registered for the client",
            "invalid_client" => ". The client is unknown or disabled there",
            _ => "",
        }
    }

    fn judge_page(&self, reply: &Reply, place: &Place<'_>, found: &mut Findings) {
        let words = reply.words();
        let status = reply.status.as_u16();
        let said = if words.is_empty() { String::new() } else { format!(": it says {words}") };
        if reply.status.is_success() && words.error().is_empty() {
            return place.taken(found, "shows a page");
        }
        if !words.error().is_empty() && reply.status != StatusCode::NOT_FOUND {
            let hint = self.hint(words.error(), &words);
            return found
                .failed(CODE, format!("{} answers {status}{said}{}{hint}", place.name(), self.suspects(place)));
        }
        found.failed(CODE, format!("{} answers {status}{}{said}", place.name(), self.suspects(place)));
    }

    fn suspects(&self, place: &Place<'_>) -> String {
        format!(
            ": the client {} is unknown or disabled there, or the redirect URI {} is not registered for it",
            self.settings.client_id, place.redirect_uri
        )
    }
}

/// What is being asked about.
struct Place<'a> {
    url: &'a Url,
    redirect_uri: &'a str,
}

impl Place<'_> {
    fn name(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        format!("authorization endpoint {url}")
    }

    fn taken(&self, found: &mut Findings, how: &str) {
        found.good(CODE, format!("authorization endpoint takes the client and {} ({how})", self.redirect_uri));
    }
}

pub(super) fn mentions(words: &Words, any: &[&str]) -> bool {
    let text = format!("{} {} ", words.error(), words.description()).to_ascii_lowercase();
    any.iter().any(|word| text.contains(word))
}

const CODE: &str = "authorization_endpoint";
/// Right answers to `prompt=none` (OpenID Connect Core section 3.1.2.6).
const NEEDS_A_PERSON: [&str; 4] =
    ["login_required", "interaction_required", "consent_required", "account_selection_required"];
