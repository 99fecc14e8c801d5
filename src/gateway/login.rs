//! How a sign-in begins: the `login` endpoint, and what every beginning has in common.

use std::sync::Arc;
use std::time::Duration;

use http::header::SET_COOKIE;
use http::{Method, Response, StatusCode};

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::addresses::redirect;
use crate::gateway::codes::Problem;
use crate::gateway::endpoints::{FormParameters, check_method};
use crate::gateway::error::GatewayError;
use crate::gateway::pages::page::{Choice, Page};
use crate::gateway::visit::Visit;
use crate::provider::settings::ResponseMode;
use crate::provider::{AuthorizationRequest, Provider, ProviderError};
use crate::remembered::Party;
use crate::request::RequestMeta;
use crate::request::kind::is_prefetch;
use crate::request::return_to::ReturnTo;
use crate::session::attempt::{Aim, Attempt, Intent, Round};

/// What a sign-in is begun with.
#[derive(Debug)]
pub(super) struct Beginning {
    /// At which provider.
    pub provider: Arc<Provider>,
    /// Where to go afterwards.
    pub return_to: ReturnTo,
    /// How old the sign-in at the provider may be.
    pub max_age: Option<Duration>,
    /// `prompt` in place of the configured one: to choose another account, or to be asked at all.
    pub prompt: Option<&'static str>,
    /// Without the parameters that a provider may refuse.
    pub bare: bool,
    /// Which round of the sign-in it is.
    pub round: Round,
    /// What it is for.
    pub aim: Aim,
    /// Who is probably signing in, as a third party says
    /// ([OpenID Connect Core section 3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest)).
    pub login_hint: Option<String>,
    /// Whether another site's POST began it: the browser did not send our `Lax` cookies then.
    pub by_foreign_post: bool,
}

impl Beginning {
    /// The first round of an ordinary sign-in.
    pub(super) fn at(provider: &Arc<Provider>, return_to: ReturnTo) -> Self {
        Self {
            provider: Arc::clone(provider),
            return_to,
            max_age: None,
            prompt: None,
            bare: false,
            round: Round::First,
            aim: Aim::SignIn,
            login_hint: None,
            by_foreign_post: false,
        }
    }
}

impl Gateway {
    /// `login`: starts a sign-in, or asks at which provider. `rd`: where to go afterwards; `provider`: where to sign in; `iss`,
    /// `login_hint` and `target_link_uri`: a sign-in that a third party began, by GET or by POST
    /// ([OpenID Connect Core section 4](https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin),
    /// UI-13). Everything else is ignored, so that nobody can slip parameters into the authorization request (AT-LF-22).
    ///
    /// Another site may post here without any proof that the person wants it: all that it can do is send them to their own
    /// provider, and from there to a page of ours.
    pub(super) async fn login(self: &Arc<Self>, visit: Visit<'_>, body: Body) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "GET, HEAD, POST")?;
        let by_post = visit.meta.method == Method::POST;
        if visit.is_navigation() && !self.signs_in_at(visit.meta) {
            // A form is sent there again.
            let status = if by_post { StatusCode::TEMPORARY_REDIRECT } else { StatusCode::FOUND };
            return Ok(redirect(status, &self.public_address_of(visit.meta)));
        }
        let query =
            if by_post { FormParameters::read(visit.headers, body).await? } else { FormParameters::of(visit.meta) };
        if ONCE.iter().any(|name| query.is_repeated(name)) || query.is_too_long("iss") {
            let again = self.login_url_of_start_page(visit.meta);
            return Err(GatewayError::sign_in(Problem::BadRequest, Some(again)));
        }
        let target = match query.get("rd").or_else(|| query.get("target_link_uri")) {
            // Longer than any address that could be returned to.
            None if query.is_too_long("rd") || query.is_too_long("target_link_uri") => {
                return Err(self.return_too_long(visit.meta));
            }
            target => target,
        };
        let return_to = self.return_to_or_start(visit.meta, target);
        if !visit.is_navigation() || is_prefetch(visit.headers) {
            return Err(GatewayError::sign_in_needed(self.login_url(&return_to, None)));
        }
        self.check_portable(visit, &return_to)?;
        let named = (query.get("provider"), query.get("iss"));
        let provider = match self.only_provider() {
            Some(only) if named == (None, None) => only,
            None if named == (None, None) => return Ok(self.chooser(visit.meta, &return_to, query.get("of"))),
            _ => {
                let is_named = |it: &&Arc<Provider>| {
                    named.0.is_none_or(|name| &**it.name() == name) && named.1.is_none_or(|iss| it.is_named_by(iss))
                };
                let again = || Some(self.login_url(&return_to, None));
                let unknown = || GatewayError::sign_in(Problem::ProviderUnknown, again());
                self.providers.iter().find(is_named).ok_or_else(unknown)?
            }
        };
        // Whose hint it is has to be said: a link to `login` is no request of a third party.
        let login_hint = query.get("login_hint").filter(|hint| query.get("iss").is_some() && is_hint(hint));
        let login_hint = login_hint.map(str::to_owned);
        let aim = if login_hint.is_some() { Aim::Hinted } else { Aim::SignIn };
        let beginning = Beginning { aim, login_hint, by_foreign_post: by_post, ..Beginning::at(provider, return_to) };
        self.begin(visit, beginning, if by_post { StatusCode::SEE_OTHER } else { StatusCode::FOUND }).await
    }

    /// Begins one attempt: its cookie, and the redirect to the provider.
    pub(super) async fn begin(
        self: &Arc<Self>,
        visit: Visit<'_>,
        beginning: Beginning,
        status: StatusCode,
    ) -> Result<Response<Body>, GatewayError> {
        let provider = Arc::clone(&beginning.provider);
        let again = |return_to: &ReturnTo| self.login_url(return_to, Some(provider.name()));
        if self.rounds.count(visit.cookies, visit.meta.host.name(), visit.now) >= MOST_ROUNDS {
            // The session cookie of the last sign-ins never came back: another round would be the same (AT-LF-20).
            self.record_login_not_begun(visit, provider.name(), Problem::CookiesBlocked.reason());
            let error =
                GatewayError::sign_in_at(provider.name(), Problem::CookiesBlocked, Some(again(&beginning.return_to)));
            let mut response = self.answer_error(visit.meta, error);
            // Said once: whoever allows cookies now need not wait, and a count that somebody planted is gone.
            response.headers_mut().append(SET_COOKIE, self.rounds.clear());
            return Ok(response);
        }
        let Beginning { return_to, max_age, prompt, bare, round, aim, login_hint, by_foreign_post, .. } = beginning;
        let intent = Intent {
            provider: Arc::clone(provider.name()),
            return_to,
            redirect_uri: self.redirect_uri(visit.meta, &provider),
            round,
            aim,
            max_age,
            // A POST to `login` finds none of the attempts that went before it, unless they are as this one.
            across_sites: by_foreign_post || provider.settings().response_mode == ResponseMode::FormPost,
        };
        let started = self.attempts.start(intent, visit.now).map_err(|_| self.return_too_long(visit.meta))?;
        let extra = extra_parameters(&provider, prompt, login_hint.as_deref());
        let at_hand = provider.authorization_url_at_hand(&authorization_request(&started, &extra, bare));
        let url = match at_hand {
            Some(url) => url,
            None => {
                let (asked, attempt) = (Arc::clone(&provider), started.clone());
                let url = self.control.run(async move {
                    let extra = extra_parameters(&asked, prompt, login_hint.as_deref());
                    asked.authorization_url(&authorization_request(&attempt, &extra, bare)).await
                });
                url.await.unwrap_or(Err(ProviderError::Lost))
            }
        };
        let url = url.map_err(|error| self.cannot_begin(visit, &provider, error, again(&started.intent.return_to)))?;
        self.record_login_started(visit, provider.name());
        let mut response = redirect(status, &url);
        self.remember(visit, &started, &mut response);
        Ok(response)
    }

    /// A provider's fault keeps a sign-in from beginning: each visitor counts, and with the cause, also while it is waited out.
    pub(super) fn cannot_begin(
        &self,
        visit: Visit<'_>,
        provider: &Provider,
        error: ProviderError,
        again: String,
    ) -> GatewayError {
        self.record_login_not_begun(visit, provider.name(), error.code());
        let name = Some(Arc::clone(provider.name()));
        GatewayError::Provider { name, error: Arc::new(error), again: Some(again), sign_in: None }
    }

    /// Makes the browser remember an attempt.
    pub(super) fn remember(&self, visit: Visit<'_>, started: &Attempt, response: &mut Response<Body>) {
        let begun = self.attempts.begin(started, visit.cookies, visit.now);
        for cookie in begun.lines {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        for attempt in begun.dropped {
            let (owner, life) = (Party::address(visit.meta.client), self.attempts.remembered_for());
            self.redemptions.drop_attempt(&attempt, &started.id, owner, life);
        }
    }

    /// Whether a sign-in at any provider would come back to this page.
    pub(super) fn check_portable(&self, visit: Visit<'_>, return_to: &ReturnTo) -> Result<(), GatewayError> {
        let uris = self.providers.iter().map(|provider| self.redirect_uri(visit.meta, provider));
        let longest = uris.max_by_key(String::len).unwrap_or_default();
        let portable = self.attempts.is_portable(return_to, &longest, visit.now);
        if portable { Ok(()) } else { Err(self.return_too_long(visit.meta)) }
    }

    /// The page that was asked for could not be returned to after a sign-in: that is said before it, and the start page offered.
    fn return_too_long(&self, meta: &RequestMeta) -> GatewayError {
        GatewayError::ReturnTooLong { start_page: self.login_url_of_start_page(meta) }
    }

    /// The page on which a provider is chosen; `of`: among these.
    fn chooser(&self, meta: &RequestMeta, return_to: &ReturnTo, of: Option<&str>) -> Response<Body> {
        let mut choices: Vec<&Arc<Provider>> = self.providers.iter().collect();
        if let Some(of) = of {
            // In the order of the route's `providers`.
            let wanted: Vec<&str> = of.split(',').collect();
            let place = |provider: &Arc<Provider>| wanted.iter().position(|name| *name == &**provider.name());
            choices.retain(|provider| place(provider).is_some());
            choices.sort_by_key(|provider| place(provider));
        }
        let choice = |provider: &Arc<Provider>| Choice {
            title: provider.title().to_owned(),
            href: format!("{}&provider={}", self.login_url(return_to, None), provider.name()),
        };
        self.render(meta, &Page::chooser(choices.into_iter().map(choice).collect()), None)
    }
}

/// What is asked of the provider besides its configured parameters. A configured hint wins over a third party's.
fn extra_parameters<'a>(
    provider: &Provider,
    prompt: Option<&'a str>,
    login_hint: Option<&'a str>,
) -> Vec<(&'static str, &'a str)> {
    let configured = provider.settings().authorization_params.contains_key("login_hint");
    let hint = login_hint.filter(|_| !configured).map(|hint| ("login_hint", hint));
    prompt.map(|prompt| ("prompt", prompt)).into_iter().chain(hint).collect()
}

/// What is asked of the provider for an attempt.
fn authorization_request<'a>(
    attempt: &'a Attempt,
    extra: &'a [(&'a str, &'a str)],
    bare: bool,
) -> AuthorizationRequest<'a> {
    AuthorizationRequest {
        redirect_uri: &attempt.intent.redirect_uri,
        state: attempt.state.expose(),
        nonce: &attempt.nonce,
        verifier: &attempt.verifier,
        max_age: attempt.intent.max_age,
        extra,
        bare,
    }
}

/// Whether a login hint may go on: an address, a name or a number of somebody, whatever providers take.
fn is_hint(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= LONGEST_HINT && !hint.chars().any(char::is_control)
}

/// Sign-ins in a row without a session that came back.
const MOST_ROUNDS: u8 = 3;
/// What may be said once. A link that says it twice means two things.
const ONCE: [&str; 6] = ["rd", "provider", "of", "iss", "login_hint", "target_link_uri"];
/// Bytes of a login hint.
const LONGEST_HINT: usize = 1024;
