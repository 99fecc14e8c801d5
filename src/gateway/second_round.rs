//! The one silent second round of a sign-in: where trying again, a little differently, cures how the first round ended (OA-07).
//!
//! The round is sealed into the state. A second round has no successor, so no answer of a provider can make a loop. What a
//! provider refused is not remembered beyond the sign-in: whoever signs in could otherwise decide what others are sent with.

use std::sync::Arc;

use http::{Response, StatusCode};

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::codes::Problem;
use crate::gateway::error::GatewayError;
use crate::gateway::login::Beginning;
use crate::gateway::request_log::RequestLog;
use crate::gateway::visit::Visit;
use crate::provider::{IdTokenError, Provider, ProviderError};
use crate::request::return_to::ReturnTo;
use crate::session::attempt::{Aim, Attempt, AttemptOutline, Round};

/// What the second round does differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cure {
    /// Nothing: the attempt, the form at the provider, or the code was too old.
    Afresh,
    /// The person is asked, by this `prompt` (UI-12).
    Ask(&'static str),
    /// Parameters that the provider may not know are left out.
    Bare,
    /// The account is switched without `prompt=select_account`.
    SwitchOtherwise,
}

impl Cure {
    /// What cures the end of a first round; `None`: the person gets its page.
    pub(super) fn of(error: &GatewayError, attempt: &Attempt, provider: &Provider) -> Option<Self> {
        if attempt.intent.round != Round::First {
            return None;
        }
        match error {
            // The code is too old, or the provider has forgotten it; or, on a reload, it went out and no answer came.
            GatewayError::Provider { error, .. } => match **error {
                ProviderError::InvalidGrant(_) => Some(Self::Afresh),
                // The provider let somebody in without asking, whatever `max_age` said.
                ProviderError::IdToken(IdTokenError::AuthTimeOld { .. }) => Some(Self::Ask("login")),
                _ => error.is_outage().then_some(Self::Afresh),
            },
            GatewayError::SignIn { problem, provider_said: Some((error, description)), .. } => match *problem {
                Problem::ProviderBusy if description.as_deref().is_some_and(is_form_expired) => Some(Self::Afresh),
                Problem::AccessDenied | Problem::ProviderBusy | Problem::ProviderFault => None,
                Problem::LoginRequired | Problem::InteractionRequired if provider.asks_silently() => {
                    Some(Self::Ask("login"))
                }
                Problem::ConsentRequired if provider.asks_silently() => Some(Self::Ask("consent")),
                _ if attempt.intent.aim == Aim::SwitchAccount && !is_about_the_client(error) => {
                    Some(Self::SwitchOtherwise)
                }
                _ if error == "invalid_request"
                    && (attempt.intent.aim == Aim::Hinted || provider.sends_optional(attempt.intent.max_age)) =>
                {
                    Some(Self::Bare)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl Gateway {
    /// Begins the second round, if there is a cure for how the first one ended; or gives the error back.
    pub(super) async fn second_round(
        self: &Arc<Self>,
        visit: Visit<'_>,
        provider: &Arc<Provider>,
        attempt: &Attempt,
        error: GatewayError,
        log: &mut RequestLog<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        let cure = Cure::of(&error, attempt, provider).filter(|_| visit.is_navigation());
        let Some(cure) = cure else { return Err(error) };
        let (request_id, name, reason) = (visit.meta.id.as_str(), &*attempt.intent.provider, error.reason());
        match cure {
            Cure::Bare | Cure::SwitchOtherwise => tracing::warn!(
                request_id,
                provider = name,
                reason,
                ?cure,
                "the provider refused a parameter that it may not know: the sign-in goes on without it"
            ),
            _ => tracing::info!(request_id, provider = name, reason, ?cure, "a sign-in goes into its second round"),
        }
        let same = Beginning {
            max_age: attempt.intent.max_age,
            hints: attempt.intent.hints.clone(),
            aim: attempt.intent.aim,
            round: Round::Second,
            ..Beginning::at(provider, attempt.intent.return_to.clone())
        };
        let beginning = match cure {
            Cure::Afresh if attempt.intent.aim == Aim::SwitchAccount => {
                Beginning { prompt: Some("select_account"), ..same }
            }
            Cure::Afresh => same,
            Cure::Ask(prompt) => Beginning { prompt: Some(prompt), ..same },
            Cure::Bare => Beginning { bare: true, hints: attempt.intent.hints.to_be_checked(), ..same },
            Cure::SwitchOtherwise => Beginning { aim: Aim::SignIn, ..same },
        };
        let begun = match cure {
            Cure::SwitchOtherwise => self.switch_at(visit, beginning, None, true).await,
            _ => self.begin(visit, beginning, StatusCode::SEE_OTHER).await,
        };
        // A second round that could not begin has been recorded already.
        Ok(begun.unwrap_or_else(|error| {
            log.failed(&error);
            self.answer_error(visit.meta, error)
        }))
    }

    /// The second round of an attempt of ours that took too long. Its cookie is gone, so nothing ties it to this browser: what is
    /// begun is a sign-in as a link to `login` begins one, and ends in this browser only.
    pub(super) fn after_too_long(
        &self,
        visit: Visit<'_>,
        outline: &AttemptOutline,
        said: Option<&str>,
        return_to: &ReturnTo,
    ) -> Option<Beginning> {
        let may = outline.round == Round::First && outline.return_to.is_some() && visit.is_navigation();
        // A person who declined is not asked again.
        let provider = self
            .provider_named(&outline.provider)
            .filter(|_| may && said.is_none_or(|error| Problem::of_provider_error(error) == Problem::ProviderBusy))?;
        let (aim, prompt) = match outline.aim {
            Aim::SignIn | Aim::Hinted => (Aim::SignIn, None),
            Aim::SwitchAccount => (Aim::SwitchAccount, Some("select_account")),
            Aim::SignOutFirst => return None,
        };
        Some(Beginning { aim, prompt, round: Round::Second, ..Beginning::at(provider, return_to.clone()) })
    }
}

/// Errors that no other `prompt` would change
/// ([RFC 6749 section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1),
/// [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
fn is_about_the_client(error: &str) -> bool {
    matches!(error, "unauthorized_client" | "unsupported_response_type" | "invalid_scope" | "invalid_target")
}

/// How providers say, with `temporarily_unavailable`, that their form stood for too long: Keycloak `authentication_expired`.
fn is_form_expired(description: &str) -> bool {
    description.to_ascii_lowercase().contains("expired")
}
