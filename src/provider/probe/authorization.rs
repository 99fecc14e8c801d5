//! The authorization endpoint with `prompt=none`: whether it takes this client, this redirect URI and these parameters.

use http::StatusCode;
use url::Url;

use super::visit::{Ended, LEADS_NOWHERE, visit};
use super::{Findings, ResponseParameters};
use crate::provider::Provider;
use crate::provider::authorize::{AuthorizationRequest, accepts_iss};
use crate::provider::error::Endpoint;
use crate::provider::metadata::Metadata;
use crate::provider::reply::{Reply, place};
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
        let url = self.build_url(&metadata.authorization_endpoint, &request);
        let asked = Probed { url: &metadata.authorization_endpoint, redirect_uri };
        match visit(&self.transport, Endpoint::Authorization, url, &ours).await {
            Ok(Ended::Returned(said)) => self.judge_answer(metadata, &said, &state, &asked, &mut found),
            Ok(Ended::Refused(said)) => self.judge_error(&said, &asked, &mut found),
            Ok(Ended::SentTo(to)) => {
                asked.taken(&mut found, &format!("sends people on to {}", to.origin().ascii_serialization()));
            }
            Ok(Ended::Page(reply)) => self.judge_page(&reply, &asked, &mut found),
            Ok(Ended::Nowhere) => found.warning(CODE, format!("{}: {LEADS_NOWHERE}", asked.name())),
            Err(error) => found.failed(error.code(), format!("{}: {error}", asked.url)),
        }
        found
    }

    /// The browser was sent back to us: nearly always with an error, since nobody is signed in.
    fn judge_answer(
        &self,
        metadata: &Metadata,
        said: &ResponseParameters,
        state: &str,
        asked: &Probed<'_>,
        found: &mut Findings,
    ) {
        let error = said.error();
        if !error.is_empty() && !NEEDS_A_PERSON.contains(&error) {
            return self.judge_error(said, asked, found);
        }
        if said.get("state") != Some(state) {
            let message = format!("{} does not send the state back: no sign-in can be matched", asked.name());
            return found.failed(CODE, message);
        }
        match said.get("iss") {
            Some(iss) if !accepts_iss(metadata, iss, true) => {
                let (name, theirs, ours) = (asked.name(), Words::new(iss, None), metadata.issuer.text());
                found.failed(CODE, format!("{name} names the issuer {theirs} in its answers, not {ours}"));
            }
            None if metadata.sends_iss => {
                found.failed(CODE, format!("{} sends no iss, although its metadata says so (RFC 9207)", asked.name()));
            }
            _ => asked.taken(found, if error.is_empty() { "gives a code at once" } else { error }),
        }
    }

    /// An error, at our address or on the way.
    fn judge_error(&self, said: &ResponseParameters, asked: &Probed<'_>, found: &mut Findings) {
        let error = said.error();
        if NEEDS_A_PERSON.contains(&error) {
            return asked.taken(found, error);
        }
        let words = said.words();
        if error == "invalid_request" && mentions(&words, &["prompt"]) {
            // OpenID Connect Core section 3.1.2.1 asks for it, but some servers lack it; a sign-in does not need it.
            let message = format!("{} does not take prompt=none ({words}): sign-ins could not be tried", asked.name());
            return found.warning(CODE, message);
        }
        let hint = self.hint(error, &words);
        found.failed(CODE, format!("{} refuses sign-ins: {words}{hint}", asked.name()));
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

    /// A page of the provider's.
    fn judge_page(&self, reply: &Reply, asked: &Probed<'_>, found: &mut Findings) {
        let (words, status) = (reply.words(), reply.status.as_u16());
        if reply.status.is_success() && words.error().is_empty() {
            return asked.taken(found, "shows a page");
        }
        let (name, suspects) = (asked.name(), self.suspects(asked));
        let said = if words.is_empty() { String::new() } else { format!(": it says {words}") };
        if words.error().is_empty() || reply.status == StatusCode::NOT_FOUND {
            return found.failed(CODE, format!("{name} answers {status}{suspects}{said}"));
        }
        let hint = self.hint(words.error(), &words);
        found.failed(CODE, format!("{name} answers {status}{said}{suspects}{hint}"));
    }

    /// What is probably wrong where no code says it.
    fn suspects(&self, asked: &Probed<'_>) -> String {
        format!(
            ": the client {} is unknown or disabled there, or the redirect URI {} is not registered for it",
            self.settings.client_id, asked.redirect_uri
        )
    }
}

/// What is being asked about.
struct Probed<'a> {
    url: &'a Url,
    redirect_uri: &'a str,
}

impl Probed<'_> {
    /// What messages begin with.
    fn name(&self) -> String {
        format!("authorization endpoint {}", place(self.url))
    }

    /// That it works.
    fn taken(&self, found: &mut Findings, how: &str) {
        found.good(CODE, format!("authorization endpoint takes the client and {} ({how})", self.redirect_uri));
    }
}

/// Whether an answer mentions any of these. Where error codes are as coarse as `invalid_request`, only the words say what was
/// wrong; they decide about hints and warnings of a probe, never about a sign-in.
pub(super) fn mentions(words: &Words, any: &[&str]) -> bool {
    let text = format!("{} {} ", words.error(), words.description()).to_ascii_lowercase();
    any.iter().any(|word| text.contains(word))
}

/// The code of these findings.
const CODE: &str = "authorization_endpoint";
/// Right answers to `prompt=none`
/// ([OpenID Connect Core section 3.1.2.6](https://openid.net/specs/openid-connect-core-1_0.html#rfc.section.3.1.2.6)).
const NEEDS_A_PERSON: [&str; 4] =
    ["login_required", "interaction_required", "consent_required", "account_selection_required"];
