//! How a sign-in begins: a challenge on the way to a page, or the `login` endpoint.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, LOCATION, REFERER, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::gateway::codes::Code;
use crate::gateway::decide::Challenge;
use crate::gateway::endpoints::{Form, Query};
use crate::gateway::error::{GatewayError, Lack};
use crate::gateway::forward::RuleSession;
use crate::gateway::pages::{Choice, Chooser, Page};
use crate::gateway::routes::Rule;
use crate::gateway::{Gateway, Visit};
use crate::policy::settings::Access;
use crate::provider::settings::ResponseMode;
use crate::provider::{AuthorizationRequest, Provider, ProviderError};
use crate::request::RequestMeta;
use crate::request::kind::{RequestKind, is_prefetch};
use crate::request::return_to::ReturnTo;
use crate::session::attempt::{Aim, Asked, Attempt, Round};
use crate::session::remembered::Owner;
use crate::session::sessions::NoSession;
use crate::session::settings::domain_reaches;

/// What a sign-in is begun with.
#[derive(Debug)]
pub(super) struct Beginning {
    /// At which provider, by its place in the configuration.
    pub provider: usize,
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
    /// Who is probably signing in, as a third party says (OpenID Connect Core section 3.1.2.1).
    pub login_hint: Option<String>,
    /// Whether another site's POST began it: our `Lax` cookies stayed behind.
    pub by_foreign_post: bool,
}

impl Beginning {
    /// The first round of an ordinary sign-in.
    pub(super) fn at(provider: usize, return_to: ReturnTo) -> Self {
        Self {
            provider,
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
    /// Somebody has to sign in. Only a navigation is sent there; nothing else starts a sign-in or gets a cookie (CK-25), nor does a
    /// navigation that a browser makes ahead.
    pub(super) async fn challenge(
        self: &Arc<Self>,
        rule: &Rule,
        visit: Visit<'_>,
        challenge: Challenge,
        session: RuleSession,
    ) -> Result<Response<Body>, GatewayError> {
        if let RuleSession::Missing(NoSession::Outage(error)) = session {
            // The provider may be well again for everybody but this session.
            let page = match visit.meta.kind {
                RequestKind::FormNavigation => self.form_page(visit),
                _ => ReturnTo::here(visit.meta),
            };
            let sign_in = self.login_url(&page, self.provider_names(rule).as_deref());
            let again = Some(self.address_of(visit.meta));
            return Err(GatewayError::Provider { name: None, error, again, sign_in: Some(sign_in) });
        }
        let lack = match (&session, challenge) {
            (RuleSession::Missing(NoSession::Over(_)), _) => Lack::Ended,
            (RuleSession::Found(_), Challenge::TooOld(most)) => Lack::Recent(most),
            _ => Lack::Session,
        };
        let api = rule.access == Access::Api;
        match visit.meta.kind {
            RequestKind::Navigation if !api && is_prefetch(visit.headers) => {
                let login_url = self.login_url(&ReturnTo::here(visit.meta), self.provider_names(rule).as_deref());
                return Err(GatewayError::SignInNeeded { login_url, api, lack });
            }
            RequestKind::Navigation if !api && !self.signs_in_at(visit.meta) => {
                return Ok(self.to_public_url(visit.meta));
            }
            RequestKind::Navigation if !api => {}
            RequestKind::FormNavigation if !api => {
                let login_url = self.login_url(&self.form_page(visit), self.provider_names(rule).as_deref());
                return Err(GatewayError::FormNotSubmitted { login_url, lack });
            }
            _ => {
                let login_url = self.login_url(&ReturnTo::here(visit.meta), self.provider_names(rule).as_deref());
                return Err(GatewayError::SignInNeeded { login_url, api, lack });
            }
        }
        let return_to = ReturnTo::here(visit.meta);
        let provider = match (rule.providers.as_slice(), challenge, session.current()) {
            ([only], ..) => *only,
            // They chose already, and the choice would lose the age that is asked for.
            (_, Challenge::TooOld(_), Some(live)) => live.provider,
            _ => {
                self.check_portable(visit, &return_to)?;
                let login_url = self.login_url(&return_to, self.provider_names(rule).as_deref());
                return Ok(redirect(StatusCode::FOUND, &login_url));
            }
        };
        // Also for the first sign-in: one that the provider grants without asking anybody would be as old as it likes.
        let beginning = Beginning { max_age: rule.max_age, ..Beginning::at(provider, return_to) };
        self.begin(visit, beginning, StatusCode::FOUND).await
    }

    /// `login`: starts a sign-in, or asks at which provider. `rd`: where to go afterwards; `provider`: where to sign in; `iss`,
    /// `login_hint` and `target_link_uri`: a sign-in that a third party began, by GET or by POST (OpenID Connect Core section 4,
    /// UI-13). Everything else is ignored, so that nobody can slip parameters into the authorization request (AT-LF-22).
    ///
    /// Another site may post here without any proof that the person wants it: all that it can do is send them to their own
    /// provider, and from there to a page of ours.
    pub(super) async fn login(self: &Arc<Self>, visit: Visit<'_>, body: Body) -> Result<Response<Body>, GatewayError> {
        let navigates = matches!(visit.meta.kind, RequestKind::Navigation | RequestKind::FormNavigation);
        let by_post = visit.meta.method == Method::POST;
        if !by_post && visit.meta.method != Method::GET && visit.meta.method != Method::HEAD {
            return Err(GatewayError::EndpointMethod("GET, HEAD, POST"));
        }
        if navigates && !self.signs_in_at(visit.meta) {
            return Ok(self.to_public_url(visit.meta));
        }
        let query = if by_post { Form::read(visit.headers, body).await?.into() } else { Query::of(visit.meta) };
        if ONCE.iter().any(|name| query.is_repeated(name)) || query.is_too_long("iss") {
            let root = ReturnTo::root(visit.meta.host.clone());
            return Err(GatewayError::sign_in(Code::BadRequest, Some(self.login_url(&root, None))));
        }
        let target = match query.get("rd").or_else(|| query.get("target_link_uri")) {
            // Longer than any address that could be returned to.
            None if query.is_too_long("rd") || query.is_too_long("target_link_uri") => {
                return Err(self.return_too_long(visit.meta));
            }
            target => target,
        };
        let return_to = target
            .and_then(|target| self.return_to(visit.meta, target))
            .unwrap_or_else(|| ReturnTo::root(visit.meta.host.clone()));
        if !navigates || is_prefetch(visit.headers) {
            let login_url = self.login_url(&return_to, None);
            return Err(GatewayError::SignInNeeded { login_url, api: false, lack: Lack::Session });
        }
        self.check_portable(visit, &return_to)?;
        let provider = match (query.get("provider"), query.get("iss")) {
            (None, None) if self.providers.len() == 1 => Some(0),
            (None, None) => return Ok(self.chooser(visit.meta, &return_to, query.get("of"))),
            (name, iss) => self.providers.iter().position(|provider| {
                name.is_none_or(|name| &**provider.name() == name) && iss.is_none_or(|iss| provider.is_named_by(iss))
            }),
        };
        let Some(provider) = provider else {
            return Err(GatewayError::sign_in(Code::ProviderUnknown, Some(self.login_url(&return_to, None))));
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
        let Some(provider) = self.providers.get(beginning.provider).map(Arc::clone) else {
            return Err(GatewayError::Internal("provider_index"));
        };
        let again = self.login_url(&beginning.return_to, Some(provider.name()));
        if self.rounds.count(visit.scan, visit.meta.host.name(), visit.now) >= MOST_ROUNDS {
            // The session cookie of the last sign-ins never came back: another round would be the same (AT-LF-20).
            self.record_login_not_begun(visit, provider.name(), Code::CookiesBlocked.reason());
            let error = GatewayError::sign_in_at(provider.name(), Code::CookiesBlocked, Some(again));
            let mut response = self.answer_error(visit.meta, error);
            // Said once: whoever allows cookies now need not wait, and a count that somebody planted is gone.
            response.headers_mut().append(SET_COOKIE, self.rounds.clear());
            return Ok(response);
        }
        let Beginning { return_to, max_age, prompt, bare, round, aim, login_hint, .. } = beginning;
        let asked = Asked {
            provider: Arc::clone(provider.name()),
            return_to,
            redirect_uri: self.redirect_uri(visit.meta, beginning.provider),
            round,
            aim,
            max_age,
        };
        let mut started = self.attempts.start(asked, visit.now).map_err(|_| self.return_too_long(visit.meta))?;
        // A POST to `login` finds none of the attempts that went before it, unless they are as this one.
        started.across_sites = beginning.by_foreign_post || provider.settings().response_mode == ResponseMode::FormPost;
        let extra = extra_parameters(&provider, prompt, login_hint.as_deref());
        let url = match provider.authorization_url_at_hand(&authorization_request(&started, &extra, bare)) {
            Some(url) => url,
            None => {
                let (asked, attempt) = (Arc::clone(&provider), started.clone());
                let extra: Vec<_> = extra.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
                let url = self.control.run(async move {
                    let extra: Vec<_> = extra.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    asked.authorization_url(&authorization_request(&attempt, &extra, bare)).await
                });
                url.await.unwrap_or(Err(ProviderError::Lost))
            }
        };
        let url = url.map_err(|error| self.cannot_begin(visit, &provider, error, again))?;
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
        let begun = self.attempts.begin(started, visit.scan, visit.now);
        for cookie in begun.lines {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        for attempt in begun.dropped {
            let (owner, life) = (Owner::address(visit.meta.client), self.attempts.remembered_for());
            self.redemptions.drop_attempt(&attempt, &started.id, owner, life);
        }
    }

    /// Whether a sign-in at any provider would come back to this page.
    fn check_portable(&self, visit: Visit<'_>, return_to: &ReturnTo) -> Result<(), GatewayError> {
        let longest = (0..self.providers.len()).map(|it| self.redirect_uri(visit.meta, it)).max_by_key(String::len);
        let portable = self.attempts.is_portable(return_to, &longest.unwrap_or_default(), visit.now);
        if portable { Ok(()) } else { Err(self.return_too_long(visit.meta)) }
    }

    /// The page that was asked for could not be returned to after a sign-in: that is said before it, and the start page offered.
    fn return_too_long(&self, meta: &RequestMeta) -> GatewayError {
        GatewayError::ReturnTooLong { start_page: self.login_url(&ReturnTo::root(meta.host.clone()), None) }
    }

    fn chooser(&self, meta: &RequestMeta, return_to: &ReturnTo, of: Option<&str>) -> Response<Body> {
        let mut choices: Vec<&Arc<Provider>> = self.providers.iter().collect();
        if let Some(of) = of {
            // In the order of the route's `providers`.
            let wanted: Vec<&str> = of.split(',').collect();
            let place = |provider: &Arc<Provider>| wanted.iter().position(|name| *name == &**provider.name());
            choices.retain(|provider| place(provider).is_some());
            choices.sort_by_key(|provider| place(provider));
        }
        let providers = choices
            .into_iter()
            .map(|provider| Choice {
                title: provider.title().to_owned(),
                href: format!("{}&provider={}", self.login_url(return_to, None), provider.name()),
            })
            .collect();
        self.render(meta, &Page::Chooser(Chooser { providers }), None)
    }

    /// The `login` endpoint with a target, as a path on the same host. A single name in `of` is a provider to go to at once.
    pub(super) fn login_url(&self, return_to: &ReturnTo, of: Option<&str>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", &return_to.to_url(self.settings.public_url.https));
        match of {
            Some(names) if names.contains(',') => query.append_pair("of", names),
            Some(name) => query.append_pair("provider", name),
            None => &mut query,
        };
        format!("{}?{}", self.own_path("login"), query.finish())
    }

    /// A target that somebody asked for, if it lies on a host of ours within the cookie's reach (SB-01, AT-OR-01 to 11).
    pub(super) fn return_to(&self, meta: &RequestMeta, target: &str) -> Option<ReturnTo> {
        ReturnTo::parse(target, &meta.host, self.settings.public_url.https, &|host| {
            host == meta.host.name() || (self.within_reach(host) && self.serves(host))
        })
    }

    /// The redirect URI of a sign-in. Each provider has one of its own, so that an answer cannot be taken for another's (IS-03,
    /// RFC 9700 section 4.4.2).
    fn redirect_uri(&self, meta: &RequestMeta, provider: usize) -> String {
        format!("{}{}", self.origin(meta), self.redirects.path(provider))
    }

    /// Whether people sign in at the host of a request: it is the public URL's, or a route names it, or the cookie's domain covers
    /// it. A route for any host lets any name in that somebody writes; no sign-in is begun there (FW-07, AT-OR-10).
    fn signs_in_at(&self, meta: &RequestMeta) -> bool {
        let host = meta.host.name();
        meta.host.authority() == self.settings.public_url.authority
            || self.routes.names(host)
            || self.within_reach(host)
    }

    /// The same page under the name that the operator gave us; a form is sent there again.
    fn to_public_url(&self, meta: &RequestMeta) -> Response<Body> {
        let is_form = meta.method == Method::POST;
        let status = if is_form { StatusCode::TEMPORARY_REDIRECT } else { StatusCode::FOUND };
        let public = &self.settings.public_url;
        redirect(status, &format!("{}{}", public.origin(), meta.path.path_and_query()))
    }

    /// The origin that a sign-in comes back to: the request's own host, or the public URL when cookies reach the whole domain.
    /// The scheme is configured, not taken from the request (FW-07).
    pub(super) fn origin(&self, meta: &RequestMeta) -> String {
        if self.cookie_domain.is_none() {
            return self.own_origin(meta);
        }
        self.settings.public_url.origin()
    }

    /// The origin that was asked, as browsers write it.
    pub(super) fn own_origin(&self, meta: &RequestMeta) -> String {
        self.settings.public_url.origin_of(meta.host.authority())
    }

    /// Whether a cookie of ours reaches this host besides the one that it was set by.
    fn within_reach(&self, host: &str) -> bool {
        self.cookie_domain.as_ref().is_some_and(|domain| domain_reaches(domain, host))
    }

    /// The address that was asked for, to be asked for again.
    pub(super) fn address_of(&self, meta: &RequestMeta) -> String {
        ReturnTo::here(meta).to_url(self.settings.public_url.https)
    }

    pub(super) fn provider_named(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|provider| &**provider.name() == name)
    }

    /// The providers that a rule takes, where there is a choice among several.
    fn provider_names(&self, rule: &Rule) -> Option<String> {
        if self.providers.len() == 1 {
            return None;
        }
        let names: Vec<&str> =
            rule.providers.iter().filter_map(|at| self.providers.get(*at)).map(|p| &**p.name()).collect();
        Some(names.join(","))
    }

    /// Where the form stood that was sent without a session: the page that sent it, if that is ours.
    fn form_page(&self, visit: Visit<'_>) -> ReturnTo {
        let referer = visit.headers.get(REFERER).and_then(|value| value.to_str().ok());
        referer.and_then(|referer| self.return_to(visit.meta, referer)).unwrap_or_else(|| ReturnTo::here(visit.meta))
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

fn authorization_request<'a>(
    attempt: &'a Attempt,
    extra: &'a [(&'a str, &'a str)],
    bare: bool,
) -> AuthorizationRequest<'a> {
    AuthorizationRequest {
        redirect_uri: &attempt.redirect_uri,
        state: attempt.state.expose(),
        nonce: &attempt.nonce,
        verifier: &attempt.verifier,
        max_age: attempt.max_age,
        extra,
        bare,
    }
}

/// Whether a login hint may go on: an address, a name or a number of somebody, whatever providers take.
fn is_hint(hint: &str) -> bool {
    !hint.is_empty() && hint.len() <= LONGEST_HINT && !hint.chars().any(char::is_control)
}

/// A redirect that nothing keeps and that tells the next site nothing of this one (CH-01, SB-09).
pub(super) fn redirect(status: StatusCode, to: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(to) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

const MOST_ROUNDS: u8 = 3;
/// What may be said once. A link that says it twice means two things.
const ONCE: [&str; 6] = ["rd", "provider", "of", "iss", "login_hint", "target_link_uri"];
const LONGEST_HINT: usize = 1024;
