//! The pipeline that every request takes, and our own endpoints.
//!
//! [`Gateway::handle`] lists the stages; each stage is a file of its own:
//!
//! 1. The request is read, once ([`RequestMeta`]).
//! 2. It is judged ([`Gateway::judge`]): the rule, the session, its renewal, the decision. There is no second implementation of
//!    that.
//! 3. The [`Verdict`] is rendered: the application's answer (`forward.rs`), a sign-in that begins (`challenge.rs`), or an error
//!    (`answers.rs`). Requests to our own prefix go to `endpoints.rs` instead.
//! 4. A renewed session is handed to the browser, and the log lines are written (`request_log.rs`).

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Request, Response, Version};

use crate::body::Body;
use crate::provider::{Provider, ProviderError};
use crate::proxy::Forwarder;
use crate::request::cookies::CookieScan;
use crate::request::kind::RequestKind;
use crate::request::{BadRequest, Downstream, RequestMeta};
use crate::trace::scope;

use self::codes::Problem;
use self::error::{GatewayError, bad_request_problem};
use self::forward::Passage;
use self::pages::page::{Page, PageContext};
use self::request_log::{Outline, RequestLog};
use self::unwind::{Panicked, caught, caught_now};
use self::visit::Visit;

mod addresses;
mod answers;
pub mod build;
mod callback;
mod challenge;
pub mod codes;
mod decide;
mod endpoints;
mod error;
mod event_stream;
mod exchange_budget;
mod forward;
mod in_force;
mod judgement;
mod login;
mod logout;
mod mapped;
mod moved;
mod no_login;
mod own_answers;
mod pages;
mod place;
mod principal;
mod provider_logout;
mod redemptions;
pub mod redirects;
mod request_log;
pub mod routes;
mod second_round;
mod session_page;
pub mod settings;
mod standing;
mod traced;
mod unwind;
mod verdict;
mod visit;

pub use self::build::Gateway;
pub use self::judgement::{Judgement, NoRule};
pub use self::principal::Principal;
pub use self::verdict::{Challenge, Denial, Lack, RequestFault, Verdict};
pub use self::visit::Credentials;

impl Gateway {
    /// Answers one request. Never fails: whatever goes wrong becomes a page, a problem document or a line of text.
    ///
    /// The request is borrowed, and moved only where it is sent: every future on the way would have room for it otherwise.
    pub async fn handle(
        self: &Arc<Self>,
        forwarder: &Rc<Forwarder>,
        request: &mut Request<Body>,
        downstream: &Downstream,
    ) -> Response<Body> {
        let outline = Outline::of(request, downstream, &self.telemetry, &self.clock);
        let meta = match caught_now(|| self.reader.read(request, downstream)) {
            Ok(Ok(meta)) => meta,
            Ok(Err(error)) => {
                let details = if error == BadRequest::HeadTooLarge { vec![error.to_string()] } else { Vec::new() };
                let page = Page::problem(bad_request_problem(error));
                let page = Page { status: error.status(), reason: error.code(), details, ..page };
                return self.refuse_unread(request, downstream, &outline, &page);
            }
            Err(Panicked) => {
                let page = Page { reason: PANICKED, ..Page::problem(Problem::Internal) };
                return self.refuse_unread(request, downstream, &outline, &page);
            }
        };
        let scan = self.own_cookies.scan(request.headers());
        let mut log = RequestLog::of(&outline);
        let answer = caught(self.stages(forwarder, request, &meta, &scan, &mut log)).await;
        let mut answer = answer.unwrap_or(Err(GatewayError::Internal(PANICKED))).unwrap_or_else(|error| {
            log.failed(&error);
            self.answer_error(&meta, error)
        });
        // Whatever became of the request: a renewed session that the browser is not handed would be lost (AT-CS-23).
        if let Some(renewed) = log.judgement.as_mut().and_then(|judgement| judgement.renewed.take()) {
            Box::pin(self.hand_over(&renewed, &scan, &mut answer)).await;
        }
        self.set_hsts(answer.headers_mut());
        self.record(&outline, &meta, &scan, &log, &answer);
        answer
    }

    /// Warns of redirect URIs that sign-ins are begun with since a reload, and that may not be registered at their providers.
    pub fn warn_of_moved_redirects(&self, before: &Self) {
        for (provider, uris) in self.redirects.moved_since(&before.redirects) {
            let uris = uris.join(", ");
            tracing::warn!(
                code = "redirect_uri_changed",
                provider,
                redirect_uris = uris,
                "since this reload, sign-ins at this provider come back to other redirect URIs: register them there, or write redirect_path to keep the old path"
            );
        }
    }

    /// The providers that people sign in at.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Reads the metadata of the providers in the background, each until it has answered: their first visitor need not wait, and
    /// what is wrong is in the log before. Nothing depends on it.
    pub fn prefetch_providers(&self) {
        for provider in &self.providers {
            // Stops when a reload has replaced the provider.
            let provider = Arc::downgrade(provider);
            self.control.background(async move {
                while let Some(provider) = provider.upgrade() {
                    let Err(error) = provider.prefetch().await else { return };
                    drop(provider);
                    // During its back-off the provider only says how long that takes.
                    let wait = match error {
                        ProviderError::Waiting { retry_after, .. } => retry_after,
                        _ => Duration::ZERO,
                    };
                    tokio::time::sleep(wait.max(ASK_AGAIN)).await;
                }
            });
        }
    }

    /// Answers a request that could not be read.
    fn refuse_unread(
        &self,
        request: &Request<Body>,
        downstream: &Downstream,
        outline: &Outline,
        page: &Page,
    ) -> Response<Body> {
        let (code, reason) = (page.word, page.reason);
        let id = self.reader.request_id(request.headers(), downstream);
        let client = self.reader.client(request.headers(), downstream);
        if page.problem == Some(Problem::Internal) {
            tracing::error!(request_id = id.as_str(), code, reason, "a fault of ours");
        } else {
            tracing::info!(request_id = id.as_str(), %client, code, reason, "refused unread");
        }
        let wants = RequestKind::of(request.method(), request.version(), request.headers()).wants();
        // The host is unknown or not trusted: it is not repeated on the page (AT-PM-17).
        let context = PageContext { request_id: id.as_str(), host: "", now: self.clock.now(), wants, login_url: None };
        let mut answer = self.pages.render(page, &context);
        self.set_hsts(answer.headers_mut());
        if request.version() < Version::HTTP_2 {
            // The framing may be ambiguous: close the connection (RFC 9112 section 9.6).
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let https = downstream.tls.is_some() || self.settings.public_url.https;
        self.own_metrics.of(None).served(request.method(), answer.status(), https, outline.took());
        self.record_unread(outline, request, id.as_str(), client, reason, &answer);
        answer
    }

    /// Sets `Strict-Transport-Security` where it is configured, in place of the application's (TL-06). Whether the request came by
    /// https is not asked: only the proxy in front may know, and browsers ignore the field on http
    /// ([RFC 6797 section 8.1](https://www.rfc-editor.org/rfc/rfc6797#section-8.1)).
    fn set_hsts(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.settings.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }

    /// The stages of a request that could be read.
    async fn stages<'a>(
        self: &'a Arc<Self>,
        forwarder: &Rc<Forwarder>,
        request: &mut Request<Body>,
        meta: &'a RequestMeta,
        cookies: &CookieScan,
        log: &mut RequestLog<'a>,
    ) -> Result<Response<Body>, GatewayError> {
        let now = self.clock.now();
        log.now = Some(now);
        // Rare branches are boxed to keep the future of every request small.
        let deciding = traced::deciding(log.span);
        let span = deciding.as_ref().map(|deciding| deciding.handle());
        let credentials = Credentials { headers: request.headers(), cookies, now, span };
        let judgement = match self.judge(meta, &credentials).await {
            Ok(judgement) => {
                if let Some(deciding) = deciding {
                    traced::decided(*deciding, &judgement);
                }
                log.judgement.insert(judgement)
            }
            Err(NoRule::Own(endpoint)) => {
                log.enter_own(self.own_metrics.of(Some(endpoint)));
                let body = self.own_body(request);
                let visit = Visit { meta, headers: request.headers(), cookies, now, span: log.span };
                return Box::pin(scope(log.span.cloned(), self.endpoint(endpoint, visit, body, log))).await;
            }
            Err(NoRule::Refused(fault)) => return Err(GatewayError::Refused(fault)),
        };
        judgement.count();
        match &judgement.verdict {
            Verdict::Allow(principal) => {
                let (entry, principal, span) = (judgement.entry, principal.as_ref(), log.span);
                let passage =
                    Passage { entry, meta, cookies, principal, needs_no_login: judgement.needs_no_login, span };
                self.forward(forwarder, request, passage, &mut log.upstream).await
            }
            Verdict::Challenge(challenge) => {
                let visit = Visit { meta, headers: request.headers(), cookies, now, span: log.span };
                Box::pin(scope(log.span.cloned(), self.challenge(visit, judgement, challenge))).await
            }
            Verdict::Deny(denial) => {
                Err(GatewayError::Denied { denial: denial.clone(), sender: judgement.sender.clone() })
            }
            Verdict::Refuse(fault) => Err(GatewayError::Refused(fault.clone())),
        }
    }

    /// The provider of this name.
    fn provider_named(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| &**provider.name() == name)
    }

    /// The provider whose redirect URI has this path.
    fn provider_at(&self, path: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.settings().redirect_path == path)
    }

    /// The provider, where there is only one.
    fn only_provider(&self) -> Option<&Arc<Provider>> {
        self.providers.first().filter(|_| self.providers.len() == 1)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("public_url", &self.settings.public_url).finish_non_exhaustive()
    }
}

/// The shortest time until a provider that has not answered is asked again in the background.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The reason of an answer in the place of one that a panic kept from being made.
const PANICKED: &str = "panicked";
