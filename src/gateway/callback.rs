//! `callback`: how a sign-in ends. State first, then the code, then the session; each code is redeemed once.
//!
//! 1. The attempt is found by its state, in this browser's cookies. Without it nothing is said to the provider (OA-03).
//! 2. If this very attempt is over and there is a session, the browser is redirected to its page. Any other session proves
//!    nothing: it may have been planted while the person was at the provider.
//! 3. An answer from another issuer than the one that was asked, or at another redirect URI, ends here
//!    ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4), SB-03).
//! 4. The code is redeemed on the control runtime, once for an attempt: whoever reloads the callback meanwhile waits for the
//!    same end (OA-10).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{REFRESH, SET_COOKIE};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::clock::UnixTime;
use crate::gateway::Gateway;
use crate::gateway::addresses::redirect;
use crate::gateway::codes::Problem;
use crate::gateway::endpoints::{FormParameters, check_answer_method, posted};
use crate::gateway::error::GatewayError;
use crate::gateway::exchange_budget::{ExchangePermit, Spent};
use crate::gateway::pages::page::Page;
use crate::gateway::redemptions::{Arrival, Redeemed};
use crate::gateway::request_log::RequestLog;
use crate::gateway::visit::Visit;
use crate::provider::{CheckedIssuer, CodeExchange, Provider, ProviderError};
use crate::remembered::Party;
use crate::request::RequestMeta;
use crate::request::host::Host;
use crate::request::kind::{Wants, is_prefetch};
use crate::request::return_to::ReturnTo;
use crate::secret::Secret;
use crate::session::attempt::{Aim, Attempt, AttemptError};
use crate::session::live::LiveSession;
use crate::session::settings::SameSite;
use crate::session::store::Site;

/// Why a callback signs nobody in.
enum CallbackFailure {
    /// The attempt is over.
    Over(GatewayError),
    /// The provider is away, or not known well enough to be asked. The attempt stays: a reload of the callback sends the code, or
    /// begins anew where it went out.
    Away(GatewayError),
}

impl Gateway {
    /// A redirect URI, of now or of before a reload.
    pub(super) async fn callback(
        self: &Arc<Self>,
        visit: Visit<'_>,
        body: Body,
        log: &mut RequestLog<'_>,
    ) -> Result<Response<Body>, GatewayError> {
        // A prefetch must not redeem the code.
        if is_prefetch(visit.headers) {
            return Err(GatewayError::sign_in_needed(self.login_url_of_start_page(visit.meta)));
        }
        let query = self.authorization_response(visit, body).await?;
        if ["code", "state", "error", "iss"].iter().any(|name| query.is_doubtful(name)) {
            return self.without_attempt(visit, None, None, Problem::CallbackMalformed).await;
        }
        let attempt = match self.attempts.find(visit.cookies, query.get("state"), visit.now) {
            Ok(attempt) => attempt,
            Err(error) => return self.lost_attempt(visit, &error, query.get("error")).await,
        };
        let provider = match self.provider_named(&attempt.intent.provider) {
            _ if attempt.intent.aim == Aim::SignOutFirst => Err(Problem::StateUnknown),
            _ if !came_back_to(visit.meta, &attempt.intent.redirect_uri) => Err(Problem::IssuerMismatch),
            provider => provider.ok_or(Problem::ProviderUnknown),
        };
        let provider = match provider {
            Ok(provider) => provider,
            Err(problem) => return self.without_attempt(visit, Some(attempt.intent.return_to), None, problem).await,
        };
        check_answer_method(visit, std::slice::from_ref(provider))?;
        if self.redemptions.is_over(&attempt.id)
            && let Ok(live) = self.sessions.find(visit.cookies, visit.site(provider), visit.now).await
            // A session that does not have the age that was asked for would only be sent back here.
            && attempt.intent.max_age.is_none_or(|most| live.is_signed_in_within(most, visit.now))
        {
            return Ok(self.sent_on(visit, &attempt.intent.return_to, Some(&attempt.id)));
        }
        let ended = match self.finish(visit, provider, &attempt, &query).await {
            Ok(live) if self.stands_already(visit, &attempt, &live).await => {
                Ok(self.onward(visit, &attempt.intent.return_to))
            }
            Ok(live) => self.signed_in(visit, &attempt, &live).await,
            Err(CallbackFailure::Over(error)) => self.second_round(visit, provider, &attempt, error, log).await,
            Err(CallbackFailure::Away(error)) => {
                self.record_login_failed(visit, &attempt.intent.provider, error.reason());
                return Err(error);
            }
        };
        let mut response = ended.unwrap_or_else(|error| {
            self.record_login_failed(visit, &attempt.intent.provider, error.reason());
            log.failed(&error);
            self.answer_error(visit.meta, error)
        });
        // Whatever came of it, the attempt is over (OA-06).
        self.redemptions.close(&attempt.id, Party::address(visit.meta.client), self.attempts.remembered_for());
        response.headers_mut().append(SET_COOKIE, self.attempts.finish(&attempt.id));
        self.warn_of_large_cookies(&response);
        Ok(response)
    }

    /// Says once that front proxies may not take this answer: they have a buffer for its head, of 4 KiB by default in nginx.
    fn warn_of_large_cookies(&self, response: &Response<Body>) {
        let bytes: usize = response.headers().get_all(SET_COOKIE).iter().map(HeaderValue::len).sum();
        if bytes > SET_COOKIE_USUAL && !self.warned_of_large_cookies.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                code = "large_set_cookie",
                bytes,
                "a sign-in set more than 4 KiB of cookies, which a front proxy may answer with 502: in nginx set \
                 proxy_buffer_size 16k, proxy_buffers 4 16k and large_client_header_buffers 4 16k (others: see the README), \
                 or keep less: fewer tokens ([session] keep), fewer groups at the provider"
            );
        }
    }

    /// The session that the callback ends with.
    async fn finish(
        self: &Arc<Self>,
        visit: Visit<'_>,
        provider: &Arc<Provider>,
        attempt: &Attempt,
        query: &FormParameters<'_>,
    ) -> Result<Arc<LiveSession>, CallbackFailure> {
        let again = || Some(self.login_url(&attempt.intent.return_to, Some(&attempt.intent.provider)));
        let over =
            |problem| CallbackFailure::Over(GatewayError::sign_in_at(&attempt.intent.provider, problem, again()));
        let name = || Some(Arc::clone(&attempt.intent.provider));
        let of_provider = |error, again| GatewayError::Provider { name: name(), error, again, sign_in: None };
        let failed = |error| CallbackFailure::Over(of_provider(error, again()));
        // Where trying again helps, it is asking for the same address again.
        let away = |error: Arc<ProviderError>| {
            let again = again().filter(|_| !error.is_outage());
            CallbackFailure::Away(of_provider(error, again))
        };
        // An answer at the redirect URI that was sent is nobody else's, unless a reload gave that to another provider (IS-03).
        let owner = self.provider_at(visit.meta.path.as_str());
        let own_redirect = owner.is_none_or(|owner| Arc::ptr_eq(owner, provider));
        let (asked, iss) = (Arc::clone(provider), query.get("iss").map(str::to_owned));
        let checked = self.control.run(async move { asked.check_iss(iss.as_deref(), own_redirect).await }).await;
        let issuer = match checked.unwrap_or(Err(ProviderError::Lost)).map_err(Arc::new) {
            Ok(issuer) => issuer,
            Err(error) if matches!(*error, ProviderError::IssuerMismatch | ProviderError::IssuerMissing) => {
                return Err(failed(error));
            }
            // Nothing is known of the provider yet, so nothing was sent.
            Err(error) => return Err(away(error)),
        };
        // An error wins over a code that came with it (AT-LF-13).
        if let Some(error) = query.get("error") {
            let description = query.get("error_description");
            provider.refused_sign_in(error, description);
            let said = (error.to_owned(), description.map(str::to_owned));
            return Err(CallbackFailure::Over(GatewayError::SignIn {
                provider: name(),
                problem: Problem::of_provider_error(error),
                again: again(),
                provider_said: Some(said),
            }));
        }
        let code = query.get("code").filter(|code| !code.is_empty()).ok_or_else(|| over(Problem::CallbackMalformed))?;
        let redeemed = self.redeem(visit, provider, attempt, Secret::from(code), issuer).await;
        match redeemed.map_err(|spent| self.too_many_refused(visit, provider, &spent))? {
            // A reload may have come in between: the session is taken over as a cookie of before would be.
            Some((Redeemed::Begun(live), _)) => {
                let site = Site { provider, host: &live.host };
                let live = self.sessions.by_handle(live.handle.as_str(), site, visit.now).await.ok();
                live.filter(|live| !live.is_over(visit.now)).ok_or_else(|| over(Problem::AttemptUsed))
            }
            Some((Redeemed::Over, _)) => Err(over(Problem::AttemptUsed)),
            Some((Redeemed::Unsent(error), _)) => Err(away(error)),
            Some((Redeemed::Refused(error), false)) if error.is_outage() => Err(away(error)),
            Some((Redeemed::Refused(error), _)) => Err(failed(error)),
            Some((Redeemed::Nobody(error), _)) => Err(CallbackFailure::Over(GatewayError::NoIdentity {
                provider: Arc::clone(&attempt.intent.provider),
                error,
                page: attempt.intent.return_to.to_url(self.settings.public_url.https),
            })),
            None => Err(CallbackFailure::Over(GatewayError::Internal("redemption_lost"))),
        }
    }

    /// Redeems a code, or joins whoever is redeeming it. Also says whether it had ended before this callback came.
    async fn redeem(
        self: &Arc<Self>,
        visit: Visit<'_>,
        provider: &Arc<Provider>,
        attempt: &Attempt,
        code: Secret<String>,
        issuer: CheckedIssuer,
    ) -> Result<Option<(Redeemed, bool)>, Spent> {
        // A reload sends nothing, so it needs no permit.
        let client = Some(visit.meta.client).filter(|_| visit.meta.client_is_known);
        let is_new = !self.redemptions.is_known(&attempt.id);
        let permit = if is_new { self.exchange_budgets.permit(client, provider.place()).await? } else { None };
        let owner = Party::address(visit.meta.client);
        let waiting = match self.redemptions.begin(&attempt.id, owner, self.attempts.remembered_for()) {
            Arrival::Ended(redeemed) => return Ok(Some((redeemed, true))),
            Arrival::UnderWay(waiting) => waiting,
            Arrival::First(redemption, waiting) => {
                let (gateway, provider, attempt) = (Arc::clone(self), Arc::clone(provider), attempt.clone());
                let host = visit.meta.host.clone();
                self.control.detach(async move {
                    let site = Site { provider: &provider, host: &host };
                    redemption.finish(gateway.exchange(site, &attempt, &code, &issuer, permit).await);
                });
                waiting
            }
        };
        Ok(waiting.outcome().await.map(|redeemed| (redeemed, false)))
    }

    /// The code was not sent, so it can still be redeemed.
    fn too_many_refused(&self, visit: Visit<'_>, provider: &Provider, spent: &Spent) -> CallbackFailure {
        if spent.is_news {
            tracing::warn!(
                code = Problem::TooManyRefused.reason(),
                client = %visit.meta.client,
                provider = &**provider.name(),
                last = spent.last,
                "the provider refuses the codes that come from this address: no more than one in two seconds is sent to it"
            );
        }
        let again = self.address_of(visit.meta);
        // In whole seconds, none of which is too early.
        let seconds = u64::try_from(spent.retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        CallbackFailure::Away(GatewayError::TooManyRefused { retry_after: Duration::from_secs(seconds), again })
    }

    /// Exchanges a code, and begins the session.
    async fn exchange(
        &self,
        site: Site<'_>,
        attempt: &Attempt,
        code: &Secret<String>,
        issuer: &CheckedIssuer,
        permit: Option<ExchangePermit>,
    ) -> Redeemed {
        let acr_values = attempt.intent.hints.acr_values();
        let exchange = CodeExchange {
            code,
            issuer,
            redirect_uri: &attempt.intent.redirect_uri,
            verifier: &attempt.verifier,
            nonce: &attempt.nonce,
            max_age: attempt.intent.max_age,
            acr_values: &acr_values,
        };
        let redeemed = site.provider.redeem(&exchange).await;
        if let (Err(error), Some(permit)) = (&redeemed, &permit) {
            permit.failed(error, site.provider);
        }
        drop(permit);
        match redeemed {
            Err(error) if error.is_unsent() => Redeemed::Unsent(Arc::new(error)),
            Err(error) => Redeemed::Refused(Arc::new(error)),
            Ok(sign_in) => match self.sessions.begin(site, sign_in, Some(attempt.nonce.clone())).await {
                Ok(live) => Redeemed::Begun((&*live).into()),
                Err(error) => Redeemed::Nobody(error),
            },
        }
    }

    /// Whether another tab of this browser was faster: it got a session of the same person since the attempt began. That session
    /// stays, so that its requests go on, and the new one is ended.
    async fn stands_already(&self, visit: Visit<'_>, attempt: &Attempt, new: &LiveSession) -> bool {
        let Ok(standing) = self.sessions.find(visit.cookies, new.site(), visit.now).await else {
            return false;
        };
        let stands = standing.created >= attempt.started
            // The renewal of an expired one may be refused, while the new one is sure to work.
            && !standing.access_expired(visit.now)
            && standing.identity.is_same_person(&new.identity)
            && attempt.intent.max_age.is_none_or(|most| standing.is_signed_in_within(most, visit.now));
        if stands && standing.id != new.id {
            self.sessions.end(new).await;
        }
        stands
    }

    /// The answer of a successful sign-in: the session's cookies, and a redirect by GET to the page that was asked for (SB-10).
    async fn signed_in(
        &self,
        visit: Visit<'_>,
        attempt: &Attempt,
        live: &LiveSession,
    ) -> Result<Response<Body>, GatewayError> {
        // What the browser holds of an older session did not come along with another site's POST.
        let scan = (!posted(visit)).then_some(visit.cookies);
        let cookies = self.sessions.set_cookies(live, scan).await.map_err(GatewayError::SessionTooLarge)?;
        self.sessions.replace_carried(live, visit.cookies).await;
        self.record_login_succeeded(visit, live, visit.now.since(attempt.started));
        let mut response = self.onward(visit, &attempt.intent.return_to);
        let headers = response.headers_mut();
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie);
        }
        // Counts how often this browser came back from a sign-in within half a minute: see `Gateway::begin`.
        let host = visit.meta.host.name();
        let count = self.rounds.count(visit.cookies, host, visit.now).saturating_add(1);
        headers.append(SET_COOKIE, self.rounds.remember(count, host, visit.now, posted(visit)));
        Ok(response)
    }

    /// The state does not lead to an attempt of this browser. `said`: the callback's `error`.
    async fn lost_attempt(
        self: &Arc<Self>,
        visit: Visit<'_>,
        error: &AttemptError,
        said: Option<&str>,
    ) -> Result<Response<Body>, GatewayError> {
        let holds = |id: &str| visit.cookies.attempts.iter().any(|held| held.id.as_str() == id);
        let problem = match error {
            AttemptError::StateMissing => Problem::StateMissing,
            AttemptError::StateForged => Problem::StateUnknown,
            AttemptError::StateExpired(_) => Problem::StateExpired,
            AttemptError::CookieMissing(outline) if self.redemptions.is_known(&outline.id) => Problem::AttemptUsed,
            AttemptError::CookieMissing(outline) if self.redemptions.was_dropped_by(&outline.id, holds) => {
                Problem::AttemptDropped
            }
            AttemptError::CookieMissing(_) => Problem::OtherBrowser,
            AttemptError::CookieForged(_) => Problem::StateUnknown,
        };
        // `found` is finer than the reason: what the state and this browser's cookies were.
        let (request_id, number, reason, found) =
            (visit.meta.id.as_str(), problem.number(), problem.reason(), error.code());
        tracing::debug!(request_id, code = number, reason, found, "a callback without its login attempt");
        let outline = error.outline();
        let return_to = self.reachable(visit, outline.and_then(|outline| outline.return_to.clone()));
        if let AttemptError::StateExpired(outline) = error
            && !self.is_signed_in(visit).await
            && let Some(beginning) = self.after_too_long(visit, outline, said, &return_to)
        {
            let mut response = self.begin(visit, beginning, StatusCode::SEE_OTHER).await?;
            response.headers_mut().append(SET_COOKIE, self.attempts.finish(&outline.id));
            return Ok(response);
        }
        // A cross-site POST does not bring the session cookie along; the page that it leads to will get it.
        if let Some(outline) =
            outline.filter(|outline| posted(visit) && self.signed_somebody_in(&outline.id, visit.now))
        {
            return Ok(self.sent_on(visit, &return_to, Some(&outline.id)));
        }
        self.without_attempt(visit, Some(return_to), outline.map(|outline| outline.id.as_str()), problem).await
    }

    /// Whether an attempt ended with a session that is still alive.
    fn signed_somebody_in(&self, attempt: &str, now: UnixTime) -> bool {
        self.redemptions.session_of(attempt, now).is_some_and(|session| !self.sessions.has_ended(&session))
    }

    /// A callback that cannot be used: whoever is signed in is redirected to the page, and everybody else gets an error page with
    /// a way to begin again. Nothing is begun by itself, so there is no loop, and no sign-in that somebody else started (AT-LF-01).
    async fn without_attempt(
        &self,
        visit: Visit<'_>,
        return_to: Option<ReturnTo>,
        lost: Option<&str>,
        problem: Problem,
    ) -> Result<Response<Body>, GatewayError> {
        let return_to = self.reachable(visit, return_to);
        if self.is_signed_in(visit).await {
            // The browser may hold more attempts than are read: this one's cookie goes too (AT-LF-19).
            return Ok(self.sent_on(visit, &return_to, lost));
        }
        self.record_callback_failed(visit, problem);
        Err(GatewayError::sign_in(problem, Some(self.login_url(&return_to, None))))
    }

    /// A return-to that a request on this host may lead to; the start page in place of any other.
    fn reachable(&self, visit: Visit<'_>, return_to: Option<ReturnTo>) -> ReturnTo {
        let https = self.settings.public_url.https;
        let return_to = return_to.filter(|to| self.return_to(visit.meta, &to.to_url(https)).is_some());
        return_to.unwrap_or_else(|| ReturnTo::root(visit.meta.host.clone()))
    }

    /// Whether the request carries a session.
    async fn is_signed_in(&self, visit: Visit<'_>) -> bool {
        !self.live_sessions(visit).await.is_empty()
    }

    /// The same, and the browser forgets this attempt.
    fn sent_on(&self, visit: Visit<'_>, return_to: &ReturnTo, attempt: Option<&str>) -> Response<Body> {
        let mut response = self.onward(visit, return_to);
        if let Some(attempt) = attempt {
            response.headers_mut().append(SET_COOKIE, self.attempts.finish(attempt));
        }
        response
    }

    /// Leads to a page of ours. A redirect still belongs to the navigation that the provider began, so that browsers would not send
    /// `Strict` cookies and the sign-in would start over; a page that refreshes itself begins a same-site navigation.
    fn onward(&self, visit: Visit<'_>, return_to: &ReturnTo) -> Response<Body> {
        let href = return_to.to_url(self.settings.public_url.https);
        if self.sessions.settings.cookie.same_site != SameSite::Strict {
            return redirect(StatusCode::SEE_OTHER, &href);
        }
        let refresh = HeaderValue::try_from(format!("0; url={href}"));
        let mut response = self.render_as(visit.meta, &Page::signed_in(href), None, Wants::Html);
        if let Ok(refresh) = refresh {
            response.headers_mut().insert(REFRESH, refresh);
        }
        response
    }
}

/// nginx: `proxy_buffer_size`, one page of memory.
const SET_COOKIE_USUAL: usize = 4096;

/// Whether a request came to this redirect URI, whatever its port: a front proxy does not always pass its own on.
fn came_back_to(meta: &RequestMeta, redirect_uri: &str) -> bool {
    let authority_and_path = redirect_uri.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = authority_and_path.split_at(authority_and_path.find('/').unwrap_or_default());
    let host = Host::parse(authority, redirect_uri.starts_with("https:"));
    path == meta.path.as_str() && host.is_some_and(|host| host.name() == meta.host.name())
}
