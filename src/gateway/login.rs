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
use crate::provider::{AuthorizationRequest, Hints, Provider, ProviderError};
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
    /// What the link that began it hands on.
    pub hints: Hints,
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
            hints: Hints::default(),
            by_foreign_post: false,
        }
    }
}

impl Gateway {
    /// `login`: starts a sign-in, or asks at which provider. `rd`: where to go afterwards; `provider`: where to sign in; `iss` and
    /// `target_link_uri`: a sign-in that a third party began, by GET or by POST
    /// ([OpenID Connect Core section 4](https://openid.net/specs/openid-connect-core-1_0.html#ThirdPartyInitiatedLogin),
    /// UI-13); and what the provider's `login_params` lets through, `login_hint` by default. Everything else is ignored, so that
    /// nobody can slip parameters into the authorization request (AT-LF-22).
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
        if self.says_twice(&query) || query.is_too_long("iss") {
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
        // The start page is no page that somebody named: the link may be about the sign-in alone.
        let rule = target.and_then(|_| self.rule_of(&return_to));
        let choices = rule.map_or(self.providers.as_slice(), |rule| &rule.providers);
        let unknown = || GatewayError::sign_in(Problem::ProviderUnknown, Some(self.login_url(&return_to, None)));
        let Some(provider) = chosen(&query, choices).ok_or_else(unknown)? else {
            return Ok(self.chooser(visit.meta, &return_to, choices, &query));
        };
        let hints = provider.hints(|name| query.get(name));
        // The stricter of the two; the provider's own is stricter than both where it is.
        let max_age = rule.and_then(|rule| rule.max_age).into_iter().chain(hints.max_age()).min();
        let aim = if hints.is_empty() { Aim::SignIn } else { Aim::Hinted };
        let beginning = Beginning::at(provider, return_to);
        let beginning = Beginning { max_age, aim, hints, by_foreign_post: by_post, ..beginning };
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
        let Beginning { return_to, max_age, prompt, bare, round, aim, hints, by_foreign_post, .. } = beginning;
        let intent = Intent {
            provider: Arc::clone(provider.name()),
            return_to,
            redirect_uri: self.redirect_uri(visit.meta, &provider),
            round,
            aim,
            max_age,
            hints: hints.clone(),
            // A POST to `login` finds none of the attempts that went before it, unless they are as this one.
            across_sites: by_foreign_post || provider.settings().response_mode == ResponseMode::FormPost,
        };
        let started = self.attempts.start(intent, visit.now).map_err(|_| self.return_too_long(visit.meta))?;
        let extra = extra_parameters(prompt, &hints);
        let at_hand = provider.authorization_url_at_hand(&authorization_request(&started, &extra, bare));
        let url = match at_hand {
            Some(url) => url,
            None => {
                let (asked, attempt) = (Arc::clone(&provider), started.clone());
                let url = self.control.run(async move {
                    let extra = extra_parameters(prompt, &hints);
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

    /// Whether a link says something twice that may be said once, what some provider takes as a hint too.
    fn says_twice(&self, query: &FormParameters<'_>) -> bool {
        let hints = self.providers.iter().flat_map(|provider| &provider.settings().login_params);
        ONCE.iter().copied().chain(hints.map(String::as_str)).any(|name| query.is_repeated(name))
    }

    /// The page on which a provider is chosen among some. What the link hands on to each stays with the choice.
    fn chooser(
        &self,
        meta: &RequestMeta,
        return_to: &ReturnTo,
        among: &[Arc<Provider>],
        query: &FormParameters<'_>,
    ) -> Response<Body> {
        let mut choices: Vec<&Arc<Provider>> = among.iter().collect();
        if let Some(of) = query.get("of") {
            // In the order of the route's `providers`.
            let wanted: Vec<&str> = of.split(',').collect();
            let place = |provider: &Arc<Provider>| wanted.iter().position(|name| *name == &**provider.name());
            choices.retain(|provider| place(provider).is_some());
            choices.sort_by_key(|provider| place(provider));
        }
        self.render(meta, &Page::chooser(self.choices(choices, return_to, |name| query.get(name))), None)
    }

    /// Links that each begin a sign-in at one of these providers, handing on what is `given`.
    pub(super) fn choices<'a, 'q>(
        &self,
        providers: impl IntoIterator<Item = &'a Arc<Provider>>,
        return_to: &ReturnTo,
        given: impl Fn(&str) -> Option<&'q str>,
    ) -> Vec<Choice> {
        let choice = |provider: &Arc<Provider>| Choice {
            title: provider.title().to_owned(),
            href: self.login_url_with(return_to, provider.name(), &provider.hints(&given)),
        };
        providers.into_iter().map(choice).collect()
    }
}

/// The provider that a link names, or the only choice; `Some(None)` where the person has to choose, `None` where what the link names
/// is no choice.
fn chosen<'a>(query: &FormParameters<'_>, choices: &'a [Arc<Provider>]) -> Option<Option<&'a Arc<Provider>>> {
    let (name, iss) = (query.get("provider"), query.get("iss"));
    if (name, iss) == (None, None) {
        return Some(if let [only] = choices { Some(only) } else { None });
    }
    let is_named = |provider: &&Arc<Provider>| {
        name.is_none_or(|name| &**provider.name() == name) && iss.is_none_or(|iss| provider.is_named_by(iss))
    };
    choices.iter().find(is_named).map(Some)
}

/// What is asked of the provider besides its configured parameters. Our own `prompt` comes last, and so wins over a link's.
fn extra_parameters<'a>(prompt: Option<&'a str>, hints: &'a Hints) -> Vec<(&'a str, &'a str)> {
    hints.pairs().chain(prompt.map(|prompt| ("prompt", prompt))).collect()
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

/// Sign-ins in a row without a session that came back.
const MOST_ROUNDS: u8 = 3;
/// What may be said once. A link that says it twice means two things.
const ONCE: [&str; 6] = ["rd", "provider", "of", "iss", "login_hint", "target_link_uri"];
