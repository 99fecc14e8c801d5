//! Sessions that the provider ends: by a token that it posts here
//! ([Back-Channel Logout](https://openid.net/specs/openid-connect-backchannel-1_0.html)), or by a page of its own that loads ours
//! in a frame ([Front-Channel Logout](https://openid.net/specs/openid-connect-frontchannel-1_0.html)).
//!
//! Neither needs a cookie, and each ends the sessions of all hosts. What is open on a session that ends is closed as well: it
//! waits for that end.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, PRAGMA, REFERRER_POLICY, SET_COOKIE};
use http::header::{HeaderMap, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use url::Url;

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::endpoints::{FormParameters, check_method};
use crate::gateway::error::GatewayError;
use crate::gateway::visit::Visit;
use crate::provider::settings::ProviderKind;
use crate::provider::{LogoutAddress, LogoutRefusal, LogoutToken, LogoutTokenError, Provider, ProviderError};
use crate::remembered::Party;
use crate::session::ended::ProviderEnd;
use crate::telemetry::audit::AuditEvent;
use crate::telemetry::metrics::{Outcome, SessionEnd};

impl Gateway {
    /// Takes a logout token. Once a form was read the answer is 200 or 400, and never kept by a cache (BC-10, BC-11).
    pub(super) async fn backchannel_logout(
        &self,
        visit: Visit<'_>,
        body: Body,
    ) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "POST")?;
        let form = FormParameters::read(visit.headers, body).await?;
        let token = form.get("logout_token").filter(|_| !form.is_repeated("logout_token"));
        let Some(token) = token else {
            let reason = "logout_token_form";
            self.record_logout_token(visit, None, Err(reason));
            return Ok(refused("exactly one logout_token is expected"));
        };
        match self.take_logout_token(token).await {
            Ok((provider, token)) => {
                let in_use = self.sessions.end_named(&ProviderEnd::of_token(provider, &token));
                self.telemetry.metrics.sessions_ended(SessionEnd::Backchannel, in_use);
                self.record_logout_token(visit, Some(provider), Ok(&token));
                Ok(answered(StatusCode::OK, Body::Empty))
            }
            Err((provider, refusal)) => {
                self.record_logout_token(visit, provider, Err(refusal.code()));
                let (request_id, provider) = (visit.meta.id.as_str(), provider.map(|provider| &**provider.name()));
                tracing::info!(request_id, code = refusal.code(), provider, error = %refusal, "a logout token was refused");
                // The rest is for our own log: the provider's, or whoever pretends to be it, learns what it sent.
                Ok(refused(match &refusal {
                    LogoutRefusal::Token(error) => error.to_string(),
                    LogoutRefusal::Provider(_) => "the token cannot be verified now".to_owned(),
                }))
            }
        }
    }

    /// The provider that a logout token comes from, and what the token says, verified and taken for the first time.
    async fn take_logout_token(
        &self,
        token: &str,
    ) -> Result<(&Arc<Provider>, LogoutToken), (Option<&Arc<Provider>>, LogoutRefusal)> {
        let address = LogoutAddress::read(token).map_err(|error| (None, error.into()))?;
        let Some(provider) = self.openid_providers().find(|provider| address.names(provider)) else {
            let is_known = self.openid_providers().any(|provider| address.comes_from(provider));
            let error = if is_known { LogoutTokenError::Audience } else { LogoutTokenError::Issuer };
            return Err((None, error.into()));
        };
        let (asked, sent) = (Arc::clone(provider), token.to_owned());
        let checked = self.control.run(async move {
            let checked = asked.check_logout_token(&sent);
            tokio::time::timeout(CHECK, checked).await.unwrap_or_else(|_| Err(LogoutTokenError::TooSlow.into()))
        });
        let checked = checked.await.unwrap_or(Err(LogoutRefusal::Provider(ProviderError::Lost)));
        let token = checked.map_err(|refusal| (Some(provider), refusal))?;
        if self.sessions.takes_logout_token(provider, &token) {
            Ok((provider, token))
        } else {
            Err((Some(provider), LogoutTokenError::Replayed.into()))
        }
    }

    /// Ends the session that the provider names. Whoever knows the `sid` may do that: it proves nothing more (section 4 of the
    /// specification asks for no proof), so nothing else is done, and what else is in the request does not matter.
    pub(super) async fn frontchannel_logout(&self, visit: Visit<'_>) -> Result<Response<Body>, GatewayError> {
        check_method(visit, "GET")?;
        let query = FormParameters::of(visit.meta);
        let given = |name| query.get(name).filter(|value| !value.is_empty() && !query.is_repeated(name));
        let iss = given("iss");
        let provider = iss.and_then(|iss| self.openid_providers().find(|provider| provider.is_named_by(iss)));
        let mut response = framed_page(provider.zip(iss).and_then(|(_, iss)| Url::parse(iss).ok()));
        // FC-02, FC-03: one without the other names nobody.
        let (Some(iss), Some(sid)) = (iss, given("sid")) else { return Ok(response) };
        for provider in self.openid_providers().filter(|provider| provider.is_named_by(iss)) {
            let live = self.sessions.find(visit.cookies, visit.site(provider), visit.now).await.ok();
            let is_meant = |claims: &crate::identity::Claims| claims.get("sid").and_then(|it| it.as_str()) == Some(sid);
            let own = live.filter(|live| *live.identity.issuer == *iss && is_meant(&live.identity.claims));
            let end = ProviderEnd::of_sid(provider, iss, sid, Party::address(visit.meta.client));
            let in_use = self.sessions.end_named(&end);
            if in_use > 0 {
                self.telemetry.metrics.sessions_ended(SessionEnd::Frontchannel, in_use);
                self.record_provider_logout(
                    visit,
                    AuditEvent::LogoutFrontchannel,
                    provider,
                    [Some(iss), Some(sid), None],
                );
            }
            // Another person's cookie stays as it is.
            if own.is_some() {
                for cookie in self.sessions.jar.clear(provider, visit.cookies) {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
            }
        }
        Ok(response)
    }

    /// Counts a logout token, and writes the audit event of one that was taken.
    fn record_logout_token(
        &self,
        visit: Visit<'_>,
        provider: Option<&Arc<Provider>>,
        outcome: Result<&LogoutToken, &'static str>,
    ) {
        let name = provider.map_or("unknown", |provider| &**provider.name());
        let metrics = &self.telemetry.metrics;
        match (outcome, provider) {
            (Ok(token), Some(provider)) => {
                metrics.logout_token(name, Outcome::Success, "backchannel");
                let named = [Some(&*token.issuer), token.sid.as_deref(), token.subject.as_deref()];
                self.record_provider_logout(visit, AuditEvent::LogoutBackchannel, provider, named);
            }
            (Ok(_), None) => {}
            (Err(reason), _) => metrics.logout_token(name, Outcome::Failure, reason),
        }
    }

    /// The providers that have issuers and sign tokens.
    fn openid_providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.iter().filter(|provider| matches!(provider.settings().kind, ProviderKind::Oidc { .. }))
    }
}

/// The answer to a logout token that is not taken (section 2.8).
fn refused(why: impl Into<String>) -> Response<Body> {
    let error = serde_json::json!({ "error": "invalid_request", "error_description": why.into() });
    let mut response = answered(StatusCode::BAD_REQUEST, Body::full(error.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer that no cache keeps.
fn answered(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    not_kept(response.headers_mut());
    response
}

/// Keeps an answer out of all caches, those of HTTP/1.0 too, as both specifications ask for.
fn not_kept(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

/// An empty page that the pages of an issuer alone may frame (FC-04). It says the same whatever it ended.
fn framed_page(issuer: Option<Url>) -> Response<Body> {
    let mut response = answered(StatusCode::OK, Body::full("<!doctype html><title>Signed out</title>"));
    let framed_by = issuer.map_or_else(|| "'none'".to_owned(), |issuer| issuer.origin().ascii_serialization());
    let policy = format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {framed_by}");
    let fixed: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// How long the check of a token may take: a provider gives up soon.
const CHECK: Duration = Duration::from_millis(1500);
