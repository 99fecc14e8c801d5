//! The one place where an error becomes a response. Variants are named for who is to blame, and the match is exhaustive: a new
//! error does not compile until somebody says what people are told.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::gateway::codes::Code;
use crate::gateway::decide::Denial;
use crate::gateway::error_line::log;
use crate::gateway::notice::{Action, Notice, Person};
use crate::gateway::pages::{Denied, Page, PageContext, in_words};
use crate::gateway::{Gateway, Visit};
use crate::identity::IdentityError;
use crate::provider::{Demand, Endpoint, IdTokenError, Provider, ProviderError, UserinfoTokenError};
use crate::proxy::error::UpstreamError;
use crate::proxy::headers::HeaderRefusal;
use crate::request::handshake::{self, HandshakeFault};
use crate::request::kind::Wants;
use crate::request::return_to::ReturnTo;
use crate::request::{BadRequest, RequestMeta};
use crate::session::jar::{Site, TooLarge};
use crate::session::live::LiveSession;

/// Why a request got an answer of ours.
#[derive(Debug)]
pub enum GatewayError {
    /// The client: a path that the application could read in another way.
    AmbiguousPath,
    /// The client: a `COPY` or `MOVE` to a place with other rules.
    DestinationElsewhere,
    /// The client: a host that no route names.
    UnknownHost,
    /// The client: nothing stands at the path.
    NotFound,
    /// The client: not with this method.
    MethodNotAllowed {
        /// With these.
        allow: String,
    },
    /// The client: one of our own endpoints, with another method than these.
    EndpointMethod(&'static str),
    /// The client: a body over the limit.
    BodyTooLarge,
    /// The client: a form of ours that did not come in time.
    BodyTooSlow,
    /// The client: a form of ours that cannot be read.
    BadForm,
    /// The client: a handshake begun by another site.
    WebSocketOrigin,
    /// The client: a WebSocket handshake that is not well-formed.
    Handshake(HandshakeFault),
    /// The client: a sign-out begun by another site.
    CrossSiteLogout,
    /// The person: has to sign in, and this request cannot be sent there.
    SignInNeeded {
        /// Where to sign in.
        login_url: String,
        /// `access = "api"`: with `WWW-Authenticate` (RFC 6750 section 3).
        api: bool,
        /// Why there is none that will do.
        lack: Lack,
    },
    /// The person: a form was sent without a session, or too long after the sign-in; it is not sent again for them.
    FormNotSubmitted {
        /// Where to sign in.
        login_url: String,
        /// Why.
        lack: Lack,
    },
    /// The person: signed in, and not allowed.
    Denied {
        /// Why.
        denial: Denial,
        /// Who, if a session was looked at.
        live: Option<Arc<LiveSession>>,
    },
    /// The person: the address that they ask for is too long to be kept through a sign-in.
    ReturnTooLong {
        /// Where to sign in for the start page.
        start_page: String,
    },
    /// The sign-in: this went wrong with it; where to begin again, and what to add.
    SignIn {
        /// The name of the provider that it was with.
        provider: Option<Arc<str>>,
        /// What went wrong.
        code: Code,
        /// Where to begin again.
        again: Option<String>,
        /// `error` and `error_description` of the provider's answer.
        provider_said: Option<(String, Option<String>)>,
    },
    /// The sign-in: too many codes from this address were refused, so that this one was not sent.
    TooManyRefused {
        /// When it may be.
        retry_after: Duration,
        /// The same callback.
        again: String,
    },
    /// The provider.
    Provider {
        /// Its name, where it is sure which one.
        name: Option<Arc<str>>,
        /// What it did.
        error: Arc<ProviderError>,
        /// Where to begin again.
        again: Option<String>,
        /// Where to sign in anew, for somebody whose session waits for the provider.
        sign_in: Option<String>,
    },
    /// The provider: its claims name nobody.
    NoIdentity {
        /// Its name.
        provider: Arc<str>,
        /// Why.
        error: IdentityError,
    },
    /// The session does not fit into cookies.
    SessionTooLarge(TooLarge),
    /// The client: headers with which a request is not forwarded.
    Header(HeaderRefusal),
    /// The application.
    Upstream {
        /// The route that leads to it.
        route: Arc<str>,
        /// What it did.
        error: UpstreamError,
    },
    /// We.
    Internal(&'static str),
}

/// What a request lacks that needs a sign-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// No session came.
    Session,
    /// The one that came was over. Why is not told to whoever sent it: no two bad cookies differ from outside.
    Ended,
    /// Somebody is signed in; the sign-in has to be younger than this.
    Recent(Duration),
}

impl GatewayError {
    /// A request that goes no further, with whoever sent it.
    pub(super) fn denied(denial: Denial, live: Option<&Arc<LiveSession>>) -> Self {
        Self::Denied { denial, live: live.cloned() }
    }

    /// A sign-in that can be begun again at `again`.
    pub(super) fn sign_in(code: Code, again: Option<String>) -> Self {
        Self::SignIn { provider: None, code, again, provider_said: None }
    }

    /// The same, where it is known with which provider the sign-in was.
    pub(super) fn sign_in_at(provider: &Arc<str>, code: Code, again: Option<String>) -> Self {
        Self::SignIn { provider: Some(Arc::clone(provider)), code, again, provider_said: None }
    }

    /// What the page says.
    pub fn code(&self) -> Code {
        match self {
            Self::AmbiguousPath => Code::BadPath,
            Self::UnknownHost => Code::UnknownHost,
            Self::NotFound => Code::NotFound,
            Self::MethodNotAllowed { .. } | Self::EndpointMethod(_) => Code::MethodNotAllowed,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::BodyTooSlow => Code::BodyTooSlow,
            Self::BadForm => Code::BadForm,
            Self::WebSocketOrigin => Code::WebSocketOrigin,
            Self::Handshake(_) => Code::UpgradeRefused,
            Self::CrossSiteLogout => Code::CrossSiteLogout,
            Self::SignInNeeded { lack: Lack::Session, .. } => Code::SignInNeeded,
            Self::SignInNeeded { lack: Lack::Ended, .. } => Code::SessionEnded,
            Self::SignInNeeded { lack: Lack::Recent(_), .. } => Code::SignInTooOld,
            Self::FormNotSubmitted { lack: Lack::Recent(_), .. } => Code::FormTooLate,
            Self::FormNotSubmitted { .. } => Code::FormNotSubmitted,
            Self::ReturnTooLong { .. } => Code::ReturnTooLong,
            Self::Denied { denial: Denial::Closed, .. } => Code::RouteClosed,
            Self::Denied { denial: Denial::Policy(reason), .. } if reason.code() == NETWORK => Code::NetworkNotAllowed,
            Self::Denied { .. } => Code::NotAllowed,
            Self::SignIn { code, .. } => *code,
            Self::TooManyRefused { .. } => Code::TooManyRefused,
            Self::Provider { error, .. } => provider_code(error),
            Self::NoIdentity { .. } => Code::IdentityMissing,
            Self::SessionTooLarge(_) => Code::SessionTooLarge,
            Self::DestinationElsewhere | Self::Header(_) => Code::BadHeader,
            Self::Upstream { error, .. } => upstream_code(error),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The stable reason that the page, the logs and the metrics have: finer than the code's where there is more to say.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SignIn { provider_said: Some((error, _)), .. } => Code::reason_of_provider_error(error),
            Self::Denied { denial: Denial::Policy(reason), .. } => reason.code(),
            Self::Provider { error, .. } => error.code(),
            Self::NoIdentity { error, .. } => error.code(),
            Self::DestinationElsewhere => "destination_elsewhere",
            Self::Handshake(fault) => fault.code(),
            Self::Header(refusal) => refusal.code(),
            Self::Upstream { error, .. } => error.code(),
            Self::Internal(reason) => reason,
            _ => self.code().reason(),
        }
    }

    /// The name of the provider that it is about.
    fn provider(&self) -> Option<&str> {
        match self {
            Self::Provider { name, .. } | Self::SignIn { provider: name, .. } => name.as_deref(),
            Self::NoIdentity { provider, .. } => Some(provider),
            _ => None,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Handshake(fault) => fault.status(),
            Self::Header(refusal) => refusal.status(),
            Self::Upstream { error, .. } => error.status(),
            _ => self.code().status(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider { error, .. } => Some(error.retry_after().unwrap_or(RETRY_AFTER)),
            Self::SignIn { .. } | Self::Upstream { .. } => Some(RETRY_AFTER),
            Self::TooManyRefused { retry_after, .. } => return Some(*retry_after),
            _ => None,
        }
        .filter(|_| self.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The headers that the status asks for.
    fn headers(&self, host: &str) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::EndpointMethod(methods) => Some((ALLOW, HeaderValue::from_static(methods))),
            Self::MethodNotAllowed { allow } => Some((ALLOW, HeaderValue::from_str(allow).ok()?)),
            // RFC 6750 section 3 asks for a parameter; without `error`, for no token was sent (section 3.1, BE-02). No host that is
            // served holds a quotation mark.
            Self::SignInNeeded { api: true, .. } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_str(&format!("Bearer realm=\"{host}\"")).ok()?))
            }
            Self::Handshake(HandshakeFault::Version) => Some((SEC_WEBSOCKET_VERSION, handshake::SUPPORTED_VERSION)),
            _ => None,
        }
    }
}

impl Gateway {
    /// Renders an error for whoever asked: page, problem document or a line of text.
    pub(super) fn answer_error(&self, meta: &RequestMeta, error: GatewayError) -> Response<Body> {
        log(meta, &error);
        let login_url = match &error {
            GatewayError::SignInNeeded { login_url, .. }
            | GatewayError::FormNotSubmitted { login_url, .. }
            | GatewayError::Provider { sign_in: Some(login_url), .. } => {
                // Whole, because who reads it may not know any more what it asked.
                Some(format!("{}{login_url}", self.own_origin(meta)))
            }
            _ => None,
        };
        let headers = error.headers(meta.host.authority());
        let page = self.page_of(meta, error);
        let mut response = self.render(meta, &page, login_url.as_deref());
        if let Some((name, value)) = headers {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Renders one of our pages, in the form that the client can read.
    pub(super) fn render(&self, meta: &RequestMeta, page: &Page, login_url: Option<&str>) -> Response<Body> {
        self.render_as(meta, page, login_url, meta.kind.wants())
    }

    /// The same in a given form.
    pub(super) fn render_as(
        &self,
        meta: &RequestMeta,
        page: &Page,
        login_url: Option<&str>,
        wants: Wants,
    ) -> Response<Body> {
        // A host that is not ours is whatever somebody wrote there: it is not repeated (AT-PM-17).
        let host = if self.serves(meta.host.name()) { meta.host.authority() } else { "" };
        let context = PageContext { request_id: meta.id.as_str(), host, now: self.clock.now(), wants, login_url };
        self.pages.render(page, &context)
    }

    fn page_of(&self, meta: &RequestMeta, error: GatewayError) -> Page {
        let mut notice = Notice::new(error.code()).status(error.status()).reason(error.reason());
        notice.retry_after = error.retry_after();
        notice.provider = self.title_for(&error);
        Page::Problem(match error {
            GatewayError::SignInNeeded { login_url, lack: Lack::Recent(most), .. } => notice
                .detail(format!("It takes one of the last {}.", in_words(most.as_secs())))
                .action(Action::link("Sign in again", login_url)),
            GatewayError::SignInNeeded { login_url, .. } => notice.action(Action::link("Sign in", login_url)),
            GatewayError::ReturnTooLong { start_page } => {
                notice.action(Action::link("Sign in to the start page", start_page))
            }
            GatewayError::FormNotSubmitted { login_url, .. } => {
                return Page::FormNotSubmitted { code: notice.code, sign_in_href: login_url };
            }
            GatewayError::Denied { denial, live: None } => notice.details(needs(&denial)),
            GatewayError::Denied { denial, live: Some(live) } => {
                return Page::Denied(Denied {
                    code: notice.code,
                    person: Some(Person::of(&live.identity)),
                    reason: notice.reason,
                    needs: needs(&denial).unwrap_or_default(),
                    provider: None,
                    switch_account: self.switch_form(Some(&live), self.address_of(meta)),
                });
            }
            // To start again would lead back here: the provider knows this account.
            GatewayError::Provider { .. } if notice.code == Code::TenantNotAllowed => {
                let root = ReturnTo::root(meta.host.clone()).to_url(self.settings.public_url.https);
                return Page::Denied(Denied {
                    code: notice.code,
                    person: None,
                    reason: notice.reason,
                    needs: String::new(),
                    provider: notice.provider,
                    switch_account: self.switch_form(None, root),
                });
            }
            GatewayError::SignIn { again, provider_said, .. } => {
                if let Some((error, description)) = provider_said {
                    notice.said = Notice::provider_error(&error, description.as_deref()).said;
                }
                match again {
                    Some(again) => notice.start_again(again),
                    None => notice,
                }
            }
            GatewayError::TooManyRefused { again, .. } => notice.action(Action::link("Try again", again)),
            GatewayError::Provider { name, again, sign_in, error } => {
                notice = notice.details(self.clocks(name.as_deref(), &error));
                notice.instead = sign_in.map(|login_url| Action::link("Sign in again", login_url));
                match again {
                    Some(again) => notice.action(Action::link("Try again", again)),
                    None => notice,
                }
            }
            GatewayError::Handshake(fault) => notice.detail(sentence(&fault.to_string())),
            GatewayError::SessionTooLarge(error) => {
                notice.detail(format!("{} bytes, and {} fit", error.bytes, error.limit))
            }
            _ => notice,
        })
    }

    /// What people call the provider that an error is about: the only one there is, where the error does not know.
    fn title_for(&self, error: &GatewayError) -> Option<String> {
        let named = error.provider().and_then(|name| self.providers.iter().find(|it| &**it.name() == name));
        let provider = named.or_else(|| self.only_provider()).filter(|_| error.code().is_about_a_provider())?;
        Some(provider.title().to_owned())
    }

    /// The provider, where there is only one.
    pub(super) fn only_provider(&self) -> Option<&Arc<Provider>> {
        self.providers.first().filter(|_| self.providers.len() == 1)
    }
}

impl Gateway {
    /// By how much a provider's clock differs from ours, where its fault is about that.
    fn clocks(&self, name: Option<&str>, error: &ProviderError) -> Option<String> {
        let provider = self.providers.get(self.provider_named(name?)?)?;
        Some(format!("The sign-in page's clock is {}.", provider.clock_difference(error)?))
    }
}

impl Visit<'_> {
    /// A provider's sessions at the host that was asked.
    pub(super) fn site(&self, provider: usize) -> Site<'_> {
        Site { provider, host: &self.meta.host }
    }

    /// The host as it stands in URLs.
    pub(super) fn authority(&self) -> &str {
        self.meta.host.authority()
    }
}

/// What is missing, where the code's own words do not say all.
fn needs(denial: &Denial) -> Option<String> {
    match denial {
        Denial::Closed => None,
        Denial::Policy(reason) => Some(sentence(&reason.to_string())),
    }
}

/// A reason as it stands on a page.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(Some('.')).collect()
}

pub(super) fn bad_request_code(error: &BadRequest) -> Code {
    match error.code() {
        code if code.starts_with("host") => Code::BadHost,
        code if code.starts_with("path") || code.starts_with("target") => Code::BadPath,
        "method_refused" => Code::MethodNotAllowed,
        "head_too_large" => Code::BadHeader,
        _ => Code::BadRequest,
    }
}

fn provider_code(error: &ProviderError) -> Code {
    match error {
        ProviderError::Waiting { last, .. } | ProviderError::IdentityRefused(last) => provider_code(last),
        ProviderError::IdToken(IdTokenError::KeyUnknownYet { .. })
        | ProviderError::UserinfoToken(UserinfoTokenError::KeyUnknownYet { .. }) => Code::KeysChanged,
        error if error.is_timeout() => Code::ProviderSlow,
        error if error.is_outage() => Code::ProviderUnreachable,
        ProviderError::InvalidGrant(_) | ProviderError::ErrorResponse { .. } => Code::TokenExchangeRefused,
        ProviderError::InvalidClient(_) | ProviderError::AssertionRefused | ProviderError::AssertionFailed => {
            Code::ClientRefused
        }
        ProviderError::IdToken(
            IdTokenError::IssuedInFuture { .. }
            | IdTokenError::NotYetValid { .. }
            | IdTokenError::Expired { .. }
            | IdTokenError::AuthTimeInFuture { .. },
        ) => Code::ClockSkew,
        ProviderError::IdToken(IdTokenError::TenantNotAllowed { .. }) => Code::TenantNotAllowed,
        ProviderError::IdToken(_) | ProviderError::SubjectChanged => Code::IdTokenRefused,
        ProviderError::UserinfoToken(_) | ProviderError::NoEndpoint(Endpoint::Userinfo) => Code::UserinfoBad,
        ProviderError::IssuerMismatch | ProviderError::IssuerMissing => Code::IssuerMismatch,
        ProviderError::Lost => Code::Internal,
        ProviderError::Discovery { .. } | ProviderError::NoEndpoint(_) | ProviderError::RedirectUri => {
            Code::DiscoveryBad
        }
        ProviderError::Demands(Demand::PushedRequests) => Code::PushedRequests,
        ProviderError::Demands(Demand::SignedRequests) => Code::SignedRequests,
        ProviderError::NoKeys => Code::KeysBad,
        ProviderError::Inactive(_) => Code::IntrospectionBad,
        ProviderError::BadAnswer { endpoint, .. } => match endpoint {
            Endpoint::Userinfo => Code::UserinfoBad,
            Endpoint::Introspection => Code::IntrospectionBad,
            Endpoint::KeySet => Code::KeysBad,
            Endpoint::Discovery => Code::DiscoveryBad,
            _ => Code::TokenResponseBad,
        },
        ProviderError::Unreachable { .. } | ProviderError::ServerError { .. } => Code::ProviderUnreachable,
    }
}

fn upstream_code(error: &UpstreamError) -> Code {
    match error {
        UpstreamError::Connect { .. } | UpstreamError::NameResolution { .. } => Code::UpstreamConnect,
        UpstreamError::ConnectTimeout { .. } | UpstreamError::FirstByteTimeout { .. } => Code::UpstreamTimeout,
        UpstreamError::NoRoom { .. } => Code::UpstreamNoRoom,
        UpstreamError::Tls { .. } => Code::UpstreamTls,
        UpstreamError::Closed { .. } => Code::UpstreamBroke,
        UpstreamError::BadResponse { .. } => Code::UpstreamBadResponse,
        UpstreamError::UpgradeImpossible { .. } => Code::UpgradeRefused,
        UpstreamError::RequestBody { .. } => Code::BadRequest,
        UpstreamError::RequestBodyTimeout { .. } => Code::BodyTooSlow,
        UpstreamError::RequestTooLarge => Code::BodyTooLarge,
    }
}

/// The policy's reason for an address outside `allow.networks`.
const NETWORK: &str = "network_not_allowed";
const RETRY_AFTER: Duration = Duration::from_secs(5);
