//! The pipeline that every request takes, and our own endpoints.
//!
//! [`Gateway::handle`] lists the stages; each stage is a file of its own. There is one decision ([`decide`]), and never a second
//! implementation of it.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Request, Response, Version};

use crate::body::Body;
use crate::clock::{SharedClock, UnixTime};
use crate::control::Control;
use crate::gateway::codes::Code;
use crate::gateway::decide::Verdict;
use crate::gateway::error::GatewayError;
use crate::gateway::forward::check_handshake;
use crate::gateway::notice::Notice;
use crate::gateway::own_answers::OwnAnswers;
use crate::gateway::pages::{Page, PageContext, Pages};
use crate::gateway::place::Place;
use crate::gateway::redemptions::Redemptions;
use crate::gateway::redirects::Redirects;
use crate::gateway::refusals::Refusals;
use crate::gateway::routes::Routes;
use crate::gateway::settings::GatewaySettings;
use crate::gateway::unwind::{Panicked, caught, caught_now};
use crate::provider::{Provider, ProviderError};
use crate::proxy::Forwarder;
use crate::proxy::headers::HeaderRules;
use crate::proxy::settings::Authorization;
use crate::request::cookies::{CookieScan, OwnCookies};
use crate::request::kind::RequestKind;
use crate::request::{BadRequest, Downstream, RequestMeta, RequestReader};
use crate::seal::Sealer;
use crate::session::attempt::Attempts;
use crate::session::rounds::Rounds;
use crate::session::sessions::Sessions;
use crate::telemetry::Telemetry;

pub mod build;
mod callback;
pub mod codes;
pub mod decide;
mod endpoints;
pub mod error;
mod error_line;
mod event_stream;
mod forward;
mod login;
mod logout;
pub mod notice;
mod own_answers;
pub mod pages;
mod place;
mod plain;
mod record;
mod redemptions;
pub mod redirects;
mod refusals;
mod response_mode;
pub mod routes;
mod second_round;
mod session_page;
pub mod settings;
mod unwind;

/// Everything that answers requests under one configuration. Shared by all workers; replaced as a whole by a reload.
pub struct Gateway {
    settings: GatewaySettings,
    reader: RequestReader,
    own_cookies: OwnCookies,
    routes: Routes,
    sessions: Arc<Sessions>,
    attempts: Attempts,
    forms: Sealer,
    rounds: Rounds,
    redemptions: Arc<Redemptions>,
    refusals: Refusals,
    redirects: Redirects,
    providers: Vec<Arc<Provider>>,
    header_rules: HeaderRules,
    authorization_rules: Vec<Authorization>,
    cookie_domain: Option<String>,
    strict_cookies: bool,
    warned_of_large_cookies: AtomicBool,
    pages: Pages,
    clock: SharedClock,
    control: Control,
    telemetry: Arc<Telemetry>,
    own_metrics: OwnAnswers,
}

/// One request on its way through the stages: what every one of them may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit<'a> {
    meta: &'a RequestMeta,
    headers: &'a HeaderMap,
    scan: &'a CookieScan,
    now: UnixTime,
}

impl Gateway {
    /// Answers one request. Never fails: whatever goes wrong becomes a page, a problem document or a line of text.
    ///
    /// The request is lent, and taken where it is sent: every future on the way would have room for it otherwise.
    pub async fn handle(
        self: &Arc<Self>,
        forwarder: &Rc<Forwarder>,
        request: &mut Request<Body>,
        downstream: &Downstream,
    ) -> Response<Body> {
        let outline = record::Outline::of(request, downstream);
        let meta = match caught_now(|| self.reader.read(request, downstream)) {
            Ok(Ok(meta)) => meta,
            Ok(Err(error)) => {
                let code = error::bad_request_code(&error);
                let mut notice = Notice::new(code).status(error.status()).reason(error.code());
                if error == BadRequest::HeadTooLarge {
                    notice = notice.detail(error.to_string());
                }
                return self.refuse_unread(request, downstream, &outline, notice);
            }
            Err(Panicked) => {
                let notice = Notice::new(Code::Internal).reason(PANICKED);
                return self.refuse_unread(request, downstream, &outline, notice);
            }
        };
        let scan = self.own_cookies.scan(request.headers());
        let mut notes = record::Notes::default();
        let answer = caught(self.stages(forwarder, request, &meta, &scan, &mut notes)).await;
        let mut answer = answer.unwrap_or(Err(GatewayError::Internal(PANICKED))).unwrap_or_else(|error| {
            notes.failed(&error);
            self.answer_error(&meta, error)
        });
        // Whatever became of the request: a renewed session that the browser is not told of would be lost (AT-CS-23).
        if let Some(renewed) = notes.renewed.take() {
            self.hand_over(&renewed, &scan, &mut answer);
        }
        self.record(&outline, &meta, &notes, &answer);
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

    /// Gets to know the providers in the background, each until it has answered: their first visitor need not wait, and what is
    /// wrong is in the log before anybody meets it. For a gateway that has a program's whole life: nothing depends on it.
    pub fn get_to_know_providers(&self) {
        for provider in &self.providers {
            // A reload makes new ones; nobody asks for the old ones then.
            let provider = Arc::downgrade(provider);
            self.control.background(async move {
                while let Some(provider) = provider.upgrade() {
                    let Err(error) = provider.get_known().await else { return };
                    drop(provider);
                    // Asked again too early, it only says how long it is waited.
                    let wait = match error {
                        ProviderError::Waiting { retry_after, .. } => retry_after,
                        _ => Duration::ZERO,
                    };
                    tokio::time::sleep(wait.max(ASK_AGAIN)).await;
                }
            });
        }
    }

    /// Answers a request that is not one that we could judge.
    fn refuse_unread(
        &self,
        request: &Request<Body>,
        downstream: &Downstream,
        outline: &record::Outline,
        notice: Notice,
    ) -> Response<Body> {
        let (code, reason) = (notice.code.number(), notice.reason);
        let id = self.reader.request_id(request.headers(), downstream);
        if reason == PANICKED {
            tracing::error!(request_id = id.as_str(), code, reason, "a fault of ours");
        } else {
            let client = downstream.peer.address();
            tracing::info!(request_id = id.as_str(), %client, code, reason, "refused unread");
        }
        let wants = RequestKind::of(request.method(), request.version(), request.headers()).wants();
        // The host is not known, or not to be believed: it is not repeated (AT-PM-17).
        let context = PageContext { request_id: id.as_str(), host: "", now: self.clock.now(), wants, login_url: None };
        let mut answer = self.pages.render(&Page::Problem(notice), &context);
        if request.version() < Version::HTTP_2 {
            // Who sends such a thing may mean something else by what follows it (RFC 9112 section 9.6).
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let https = downstream.tls.is_some() || self.settings.public_url.https;
        self.own_metrics.of(None).served(request.method(), answer.status(), https, outline.took());
        self.record_unread(outline, request, id.as_str(), reason, &answer);
        answer
    }

    async fn stages<'a>(
        self: &'a Arc<Self>,
        forwarder: &Rc<Forwarder>,
        request: &mut Request<Body>,
        meta: &'a RequestMeta,
        scan: &CookieScan,
        notes: &mut record::Notes<'a>,
    ) -> Result<Response<Body>, GatewayError> {
        let now = self.clock.now();
        notes.came = Some(now);
        // What is rare is boxed: the future of every request is moved about, and has room for all that it may become.
        // 1. Routes and 2. our own endpoints: by the canonical path, refused where another reader could see another path.
        let entry = match self.place(meta)? {
            Place::Own(endpoint) => {
                notes.enter_own(self.own_metrics.of(Some(endpoint)));
                let body = self.own_body(request);
                let visit = Visit { meta, headers: request.headers(), scan, now };
                return Box::pin(self.endpoint(endpoint, visit, body, notes)).await;
            }
            Place::Route(entry) => entry,
        };
        notes.enter(entry);
        let visit = Visit { meta, headers: request.headers(), scan, now };
        self.check_websocket_origin(&entry.route, visit)?;
        check_handshake(meta, request.body())?;
        self.check_destination(entry, visit)?;
        // 3. The session and 4. its renewal: only where the rule looks at one.
        let session = self.session(&entry.rule, visit).await;
        notes.looked_for(&session);
        // 5. The decision.
        let verdict = decide::decide(&entry.rule, meta, session.current().map(|live| &**live), visit.now);
        notes.decided(entry, &verdict, session.current());
        match verdict {
            Verdict::Challenge(reason) => return Box::pin(self.challenge(&entry.rule, visit, reason, session)).await,
            Verdict::Deny(denial) => return Err(GatewayError::denied(denial, session.current())),
            Verdict::Allow => {}
        }
        // 6. Headers, 7. the application, 8. its answer.
        self.forward(forwarder, entry, request, meta, scan, session.current(), notes).await
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("public_url", &self.settings.public_url).finish_non_exhaustive()
    }
}

/// The shortest time until a provider that has not answered is asked again in the background.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The reason of an answer that a panic took the place of.
const PANICKED: &str = "panicked";
