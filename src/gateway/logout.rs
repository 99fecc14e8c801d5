//! `logout`: signs out here, at once and for every copy of the cookie, then at the provider where it can.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, ORIGIN, SET_COOKIE};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::addresses::redirect;
use crate::gateway::codes::Problem;
use crate::gateway::endpoints::{FormParameters, check_method};
use crate::gateway::error::GatewayError;
use crate::gateway::login::Beginning;
use crate::gateway::pages::page::{Action, Page, person_of};
use crate::gateway::visit::Visit;
use crate::provider::{AccountSwitch, Hints, Provider, ProviderError};
use crate::request::kind::{RequestKind, is_prefetch};
use crate::seal::{self, OpenError, Opened};
use crate::secret::constant_time_eq;
use crate::session::attempt::{Aim, Attempt, Intent, SIGNED_OUT};
use crate::session::live::LiveSession;

impl Gateway {
    /// POST signs out; GET asks first, so that no link or picture of another site signs anybody out (LO-05, AT-LG-01).
    pub(super) async fn logout(self: &Arc<Self>, visit: Visit<'_>, body: Body) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "GET, HEAD, POST")?;
        if visit.meta.method != Method::POST {
            let live = self.live_sessions(visit).await.into_iter().next();
            let person = live.as_ref().map(|live| person_of(&live.identity)).unwrap_or_default();
            let page = Page::confirm_sign_out(self.logout_form(live.as_deref()), person);
            return Ok(self.render(visit.meta, &page, None));
        }
        let form = FormParameters::read(visit.headers, body).await?;
        if !self.is_from_here(visit, &form).await {
            return Err(GatewayError::Client(Problem::CrossSiteLogout));
        }
        self.sign_out(visit, &form).await
    }

    /// Where the provider sends the browser after signing out there, and where a local sign-out ends. Never signs in again by
    /// itself. A state that is missing or unknown changes nothing but the words (LO-03, AT-LG-03).
    pub(super) async fn signed_out(self: &Arc<Self>, visit: Visit<'_>) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "GET, HEAD")?;
        let query = FormParameters::of(visit.meta);
        if visit.meta.kind == RequestKind::Navigation
            && !is_prefetch(visit.headers)
            && let Ok(left) = self.attempts.find(visit.cookies, query.get("state"), visit.now)
            && left.intent.aim == Aim::SignOutFirst
        {
            return self.sign_in_after(visit, left).await;
        }
        let expected = visit.cookies.attempts.iter().find(|attempt| attempt.id.as_str() == SIGNED_OUT);
        let everywhere = query
            .get("state")
            .zip(expected)
            .is_some_and(|(state, expected)| constant_time_eq(state.as_bytes(), expected.value.as_bytes()));
        if !everywhere && !self.live_sessions(visit).await.is_empty() {
            // Nobody who is signed in gets a page that says otherwise.
            return Ok(redirect(StatusCode::SEE_OTHER, &self.own_path("session")));
        }
        let sign_in_href = self.login_url_of_start_page(visit.meta);
        let provider = self.only_provider().map(|provider| provider.title().to_owned());
        let mut response = self.render(visit.meta, &Page::signed_out(sign_in_href, everywhere, provider), None);
        // A page that is opened by a link, or fetched ahead of time, does not delete the cookie that a real sign-out needs.
        if everywhere {
            response.headers_mut().append(SET_COOKIE, self.attempts.finish(SIGNED_OUT));
        }
        Ok(response)
    }

    /// The form that signs out: it may lead to the provider's own sign-out page.
    pub(super) fn logout_form(&self, live: Option<&LiveSession>) -> Action {
        let now = self.clock.now();
        let seal = |live: &LiveSession| self.forms.seal(live.id.bytes(), now.plus(FORM_LIFE), now);
        let fields = live.map(|live| (FORM_TOKEN, seal(live))).into_iter().collect();
        Action { label: "Sign out", href: self.own_path("logout"), form: Some(fields) }
    }

    /// The form that signs out, and in as somebody else at this provider who then comes to `rd`.
    pub(super) fn switch_form(&self, live: Option<&LiveSession>, provider: &str, rd: String) -> Action {
        let Action { href, form, .. } = self.logout_form(live);
        let own = [("switch", "1".to_owned()), ("provider", provider.to_owned()), ("rd", rd)];
        let fields = form.into_iter().flatten().chain(own).collect();
        Action { label: "Switch account", href, form: Some(fields) }
    }

    /// Signs out, and clears the cookies.
    async fn sign_out(
        self: &Arc<Self>,
        visit: Visit<'_>,
        form: &FormParameters<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        let lives = self.live_sessions(visit).await;
        // First here (LO-01), then at the provider: an outage there must not keep anybody signed in (AT-LG-13).
        for live in &lives {
            self.sessions.end(live).await;
            self.record_logout(visit, live);
        }
        // Whatever comes next, the cookies go: also when no new sign-in can be begun.
        let next = self.after_sign_out(visit, form, &lives).await;
        let mut response = next.unwrap_or_else(|error| self.answer_error(visit.meta, error));
        let headers = response.headers_mut();
        for provider in &self.providers {
            for cookie in self.sessions.jar.clear(provider, visit.cookies) {
                headers.append(SET_COOKIE, cookie);
            }
        }
        headers.append(SET_COOKIE, self.rounds.clear());
        Ok(response)
    }

    /// Where the browser goes on after the sign-out here.
    async fn after_sign_out(
        self: &Arc<Self>,
        visit: Visit<'_>,
        form: &FormParameters<'_>,
        lives: &[Arc<LiveSession>],
    ) -> Result<Response<Body>, GatewayError> {
        if form.get("switch").is_some() {
            return self.switch_account(visit, form, lives.first()).await;
        }
        let here = self.own_path("signed-out");
        let Some(live) = lives.first() else { return Ok(sent_to(visit, &here)) };
        self.revoke(lives).await;
        let state = seal::random_token();
        let url = self.end_session_url(visit, &live.provider, Some(live), &state).await;
        let Some(url) = url else { return Ok(sent_to(visit, &here)) };
        let mut response = sent_to(visit, &url);
        response.headers_mut().append(SET_COOKIE, self.attempts.note(SIGNED_OUT, &state, SIGNED_OUT_LIFE));
        Ok(response)
    }

    /// Revokes the tokens of sessions that have ended, while the provider still knows who is signed in there. What takes too long
    /// is cancelled: a revocation that runs beside the next sign-in could revoke its tokens as well (AT-LG-13).
    async fn revoke(&self, lives: &[Arc<LiveSession>]) {
        let revoked = lives.iter().map(Arc::clone).map(|live| {
            let sessions = Arc::clone(&self.sessions);
            self.control.run(tokio::time::timeout(REVOCATION, async move { sessions.revoke(&live).await }))
        });
        for _ in join_all(revoked).await.iter().filter(|revoked| !matches!(revoked, Ok(Ok(())))) {
            tracing::warn!(code = "revocation_slow", "a session's tokens were not revoked: the provider took too long");
        }
    }

    /// Signs in with another account, which the person chooses at the provider.
    async fn switch_account(
        self: &Arc<Self>,
        visit: Visit<'_>,
        form: &FormParameters<'_>,
        live: Option<&Arc<LiveSession>>,
    ) -> Result<Response<Body>, GatewayError> {
        let return_to = self.return_to_or_start(visit.meta, form.get("rd"));
        let named = || form.get("provider").and_then(|name| self.provider_named(name));
        match live.map(|live| &live.provider).or_else(named).or_else(|| self.only_provider()) {
            Some(provider) => self.switch_at(visit, Beginning::at(provider, return_to), live, false).await,
            None => Ok(redirect(StatusCode::SEE_OTHER, &self.login_url(&return_to, None))),
        }
    }

    /// Begins a sign-in in which the account can be chosen; `refused`: the provider does not take `prompt=select_account`.
    pub(super) async fn switch_at(
        self: &Arc<Self>,
        visit: Visit<'_>,
        beginning: Beginning,
        live: Option<&Arc<LiveSession>>,
        refused: bool,
    ) -> Result<Response<Body>, GatewayError> {
        let asked = Arc::clone(&beginning.provider);
        let switch = self.control.run(async move { asked.account_switch(refused).await });
        let beginning = match switch.await.unwrap_or(Err(ProviderError::Lost)) {
            Ok(AccountSwitch::Prompt("login")) => Beginning { prompt: Some("login"), ..beginning },
            Ok(AccountSwitch::Prompt(prompt)) => {
                Beginning { prompt: Some(prompt), aim: Aim::SwitchAccount, ..beginning }
            }
            Ok(AccountSwitch::Configured) => beginning,
            Ok(AccountSwitch::SignOutFirst) => match self.sign_out_first(visit, &beginning, live).await {
                Some(response) => return Ok(response),
                None => Beginning { prompt: Some("login"), ..beginning },
            },
            Err(error) => {
                let again = self.login_url(&beginning.return_to, Some(beginning.provider.name()));
                return Err(self.cannot_begin(visit, &beginning.provider, error, again));
            }
        };
        self.begin(visit, beginning, StatusCode::SEE_OTHER).await
    }

    /// Sends the browser to the end-session endpoint. What the sign-in afterwards needs is kept as an attempt, whose state goes
    /// along.
    async fn sign_out_first(
        &self,
        visit: Visit<'_>,
        beginning: &Beginning,
        live: Option<&Arc<LiveSession>>,
    ) -> Option<Response<Body>> {
        let intent = Intent {
            provider: Arc::clone(beginning.provider.name()),
            return_to: beginning.return_to.clone(),
            redirect_uri: String::new(),
            round: beginning.round,
            aim: Aim::SignOutFirst,
            max_age: beginning.max_age,
            hints: Hints::default(),
            across_sites: false,
        };
        let started = self.attempts.start(intent, visit.now).ok()?;
        self.revoke(live.map_or(&[], std::slice::from_ref)).await;
        let url = self.end_session_url(visit, &beginning.provider, live, started.state.expose()).await?;
        let mut response = redirect(StatusCode::SEE_OTHER, &url);
        self.remember(visit, &started, &mut response);
        Some(response)
    }

    /// Begins the sign-in with another account after the browser came back from the end-session endpoint.
    async fn sign_in_after(self: &Arc<Self>, visit: Visit<'_>, left: Attempt) -> Result<Response<Body>, GatewayError> {
        let Some(provider) = self.provider_named(&left.intent.provider) else {
            let again = Some(self.login_url(&left.intent.return_to, None));
            return Err(GatewayError::sign_in(Problem::ProviderUnknown, again));
        };
        let beginning = Beginning {
            round: left.intent.round,
            max_age: left.intent.max_age,
            ..Beginning::at(provider, left.intent.return_to)
        };
        let mut response = self.begin(visit, beginning, StatusCode::SEE_OTHER).await?;
        response.headers_mut().append(SET_COOKIE, self.attempts.finish(&left.id));
        Ok(response)
    }

    /// The URL that signs out at the provider and comes back here with `state`, if the provider has one.
    async fn end_session_url(
        &self,
        visit: Visit<'_>,
        provider: &Arc<Provider>,
        live: Option<&Arc<LiveSession>>,
        state: &str,
    ) -> Option<String> {
        let provider = Arc::clone(provider);
        let back = format!("{}{}", self.origin(visit.meta), self.own_path("signed-out"));
        let hint = match live {
            Some(live) => self.sessions.whole(live).await.and_then(|session| session.tokens.id_token),
            None => None,
        };
        let state = state.to_owned();
        // The provider may be away: a sign-out waits for it only as long as a person would.
        let asked = async move { provider.end_session_url(hint.as_ref(), &back, &state).await };
        self.control.run(tokio::time::timeout(END_SESSION_URL, asked)).await.ok()?.ok()?
    }

    /// The sessions that this request carries, those among them that would have to be renewed too.
    pub(super) async fn live_sessions(&self, visit: Visit<'_>) -> Vec<Arc<LiveSession>> {
        let mut found = Vec::new();
        for provider in &self.providers {
            found.extend(self.sessions.find(visit.cookies, visit.site(provider), visit.now).await);
        }
        found
    }

    /// Whether a POST was begun by a page of this very origin (CK-22): Fetch Metadata where the browser sends it, else `Origin`,
    /// else the seal in our own form, because a browser sends `null` from pages that send no referrer. A client that sends
    /// none of them is not a current browser, and older ones do not send our `SameSite` cookie with a cross-site POST.
    async fn is_from_here(&self, visit: Visit<'_>, form: &FormParameters<'_>) -> bool {
        if let Some(site) = visit.headers.get(SEC_FETCH_SITE) {
            return site == "same-origin" || (site == "none" && !visit.headers.contains_key(ORIGIN));
        }
        if self.origin_is_ours(visit.headers, visit.meta.host.authority()).unwrap_or(true) {
            return true;
        }
        let read = |opened: &Opened| Ok::<_, OpenError>((opened.plaintext.clone(), opened.expires.minus(FORM_LIFE)));
        let session = form.get(FORM_TOKEN).and_then(|token| self.forms.open_dated(token, visit.now, read).ok());
        let Some(session) = session else { return false };
        self.live_sessions(visit).await.iter().any(|live| constant_time_eq(live.id.bytes(), &session))
    }
}

/// Where a sign-out goes on: a person is sent there; a script, which could not follow to another origin, gets the address.
fn sent_to(visit: Visit<'_>, url: &str) -> Response<Body> {
    if visit.meta.kind != RequestKind::Script {
        return redirect(StatusCode::SEE_OTHER, url);
    }
    let mut response = Response::new(Body::full(serde_json::json!({ "signed_out": true, "go_to": url }).to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The field of our own forms that holds the seal.
const FORM_TOKEN: &str = "form";
/// How long one of our forms may stand.
const FORM_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Which site began the request ([Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header)).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// How long the provider may take to send the browser back.
const SIGNED_OUT_LIFE: Duration = Duration::from_secs(600);
/// How long a sign-out waits for the provider to revoke the tokens.
const REVOCATION: Duration = Duration::from_secs(3);
/// How long it waits for the URL of the end-session endpoint.
const END_SESSION_URL: Duration = Duration::from_secs(2);
