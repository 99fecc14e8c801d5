//! Why a request gets an answer of our own, and what its page, the logs and the metrics call that. Variants are named for who is to
//! blame, and every match is exhaustive: a new error does not compile until it has a code and a page.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::gateway::codes::Problem;
use crate::gateway::principal::Principal;
use crate::gateway::verdict::{Denial, Lack, RequestFault};
use crate::identity::IdentityError;
use crate::provider::{Demand, Endpoint, IdTokenError, ProviderError, TransportError};
use crate::proxy::error::{UpstreamError, UpstreamFault};
use crate::proxy::headers::HeaderRefusal;
use crate::request::BadRequest;
use crate::request::handshake::{self, HandshakeFault};
use crate::session::jar::SessionTooLarge;

/// Why a request got an answer of ours.
#[derive(Debug)]
pub(super) enum GatewayError {
    /// The client: the request itself.
    Refused(RequestFault),
    /// The client: one of our own endpoints, with another method than these.
    EndpointMethod(&'static str),
    /// The client: as the code says.
    Client(Problem),
    /// The person: has to sign in, and this request cannot be sent there.
    SignInNeeded {
        /// Where to sign in.
        login_url: String,
        /// `access = "api"`: with `WWW-Authenticate` ([RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)).
        api: bool,
        /// Why there is none that will do.
        lack: Lack,
        /// Whether it is a form, which is not sent again for them.
        form: bool,
    },
    /// The person: signed in, and not allowed.
    Denied {
        /// Why.
        denial: Denial,
        /// Who, if that was asked.
        sender: Option<Principal>,
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
        problem: Problem,
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
        /// The page that was asked for, for somebody who signs in with another account.
        page: String,
    },
    /// The session does not fit into cookies.
    SessionTooLarge(SessionTooLarge),
    /// The client: headers with which a request is not forwarded.
    Header(HeaderRefusal),
    /// The application.
    Upstream {
        /// The route that leads to it.
        route: Arc<str>,
        /// What it did.
        error: UpstreamError,
        /// Whether this gateway drains: beside an application that ended before it, it asks to come back, and another pod answers.
        stopping: bool,
    },
    /// We.
    Internal(&'static str),
}

impl GatewayError {
    /// Somebody without a session, whom this request cannot be sent to sign in.
    pub(super) fn sign_in_needed(login_url: String) -> Self {
        Self::SignInNeeded { login_url, api: false, lack: Lack::Session, form: false }
    }

    /// A sign-in that can be begun again at `again`.
    pub(super) fn sign_in(problem: Problem, again: Option<String>) -> Self {
        Self::SignIn { provider: None, problem, again, provider_said: None }
    }

    /// The same, where it is known with which provider the sign-in was.
    pub(super) fn sign_in_at(provider: &Arc<str>, problem: Problem, again: Option<String>) -> Self {
        Self::SignIn { provider: Some(Arc::clone(provider)), problem, again, provider_said: None }
    }

    /// What the page says.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Refused(fault) => fault.problem(),
            Self::EndpointMethod(_) => Problem::MethodNotAllowed,
            Self::SignInNeeded { lack: Lack::Recent(_), form: true, .. } => Problem::FormTooLate,
            Self::SignInNeeded { form: true, .. } => Problem::FormNotSubmitted,
            Self::SignInNeeded { lack, .. } => lack.problem(),
            Self::ReturnTooLong { .. } => Problem::ReturnTooLong,
            Self::Denied { denial, .. } => denial.problem(),
            Self::Client(problem) | Self::SignIn { problem, .. } => *problem,
            Self::TooManyRefused { .. } => Problem::TooManyRefused,
            Self::Provider { error, .. } => provider_problem(error),
            Self::NoIdentity { error, .. } if error.is_about_the_user_name() => Problem::UserNameRefused,
            Self::NoIdentity { .. } => Problem::IdentityMissing,
            Self::SessionTooLarge(_) => Problem::SessionTooLarge,
            Self::Header(_) => Problem::BadHeader,
            Self::Upstream { error, .. } => upstream_problem(error),
            Self::Internal(_) => Problem::Internal,
        }
    }

    /// The stable reason that the page, the logs and the metrics have: finer than the code's where there is more to say.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::SignIn { provider_said: Some((error, _)), .. } => Problem::reason_of_provider_error(error),
            Self::Denied { denial, .. } => denial.reason(),
            Self::Refused(fault) => fault.reason(),
            Self::Provider { error, .. } => error.code(),
            Self::NoIdentity { error, .. } => error.code(),
            Self::Header(refusal) => refusal.code(),
            Self::Upstream { error, .. } => error.code(),
            Self::Internal(reason) => reason,
            _ => self.problem().reason(),
        }
    }

    /// The name of the provider that it is about.
    pub(super) fn provider(&self) -> Option<&str> {
        match self {
            Self::Provider { name, .. } | Self::SignIn { provider: name, .. } => name.as_deref(),
            Self::NoIdentity { provider, .. } => Some(provider),
            _ => None,
        }
    }

    /// The status of the answer: the code's own unless there is a reason.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(fault) => fault.status(),
            Self::Header(refusal) => refusal.status(),
            Self::Upstream { error, stopping: true, .. } if error.status() == StatusCode::BAD_GATEWAY => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Upstream { error, .. } => error.status(),
            _ => self.problem().status(),
        }
    }

    /// When it may be better.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider { error, .. } => Some(error.retry_after().unwrap_or(RETRY_AFTER)),
            Self::SignIn { .. } | Self::Upstream { .. } => Some(RETRY_AFTER),
            Self::TooManyRefused { retry_after, .. } => return Some(*retry_after),
            _ => None,
        }
        .filter(|_| self.status() == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The headers that the status asks for.
    pub(super) fn headers(&self, host: &str) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::EndpointMethod(methods) => Some((ALLOW, HeaderValue::from_static(methods))),
            Self::Refused(RequestFault::MethodNotAllowed { allow }) => {
                Some((ALLOW, HeaderValue::from_str(allow).ok()?))
            }
            Self::Refused(RequestFault::Handshake(HandshakeFault::Version)) => {
                Some((SEC_WEBSOCKET_VERSION, handshake::SUPPORTED_VERSION))
            }
            // RFC 6750 section 3 asks for a parameter; without `error`, for no token was sent (section 3.1, BE-02). No host that is
            // served holds a quotation mark.
            Self::SignInNeeded { api: true, .. } => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_str(&format!("Bearer realm=\"{host}\"")).ok()?))
            }
            _ => None,
        }
    }
}

/// What the page says of a request that could not be read.
pub(super) fn bad_request_problem(error: BadRequest) -> Problem {
    match error {
        BadRequest::HostMissing | BadRequest::HostRepeated | BadRequest::HostInvalid | BadRequest::HostDisagrees => {
            Problem::BadHost
        }
        BadRequest::PathInvalid(_) | BadRequest::TargetForm | BadRequest::TargetTooLong => Problem::BadPath,
        BadRequest::MethodRefused => Problem::MethodNotAllowed,
        BadRequest::HeadTooLarge => Problem::BadHeader,
        BadRequest::TransferCoding | BadRequest::HeadMalformed | BadRequest::ForwardedInvalid(_) => Problem::BadRequest,
    }
}

/// What the page says of a provider's fault.
fn provider_problem(error: &ProviderError) -> Problem {
    match error {
        ProviderError::Waiting { last, .. } | ProviderError::IdentityRefused(last) => provider_problem(last),
        error if error.key_unknown_yet().is_some() => Problem::KeysChanged,
        ProviderError::Unreachable { cause: TransportError::ProxyAuthentication(_), .. } => {
            Problem::ProxyAuthentication
        }
        ProviderError::Unreachable { cause: TransportError::ProxyRefused(_), .. } => Problem::ProxyRefused,
        ProviderError::Unreachable { cause: TransportError::ProxyCertificate(_), .. } => Problem::ProxyCertificate,
        ProviderError::Unreachable {
            cause:
                TransportError::ProxyUnreachable(_) | TransportError::ProxyTimeout(_) | TransportError::ProxyAnswer(_),
            ..
        } => Problem::ProxyUnreachable,
        error if error.is_timeout() => Problem::ProviderSlow,
        error if error.is_outage() => Problem::ProviderUnreachable,
        ProviderError::InvalidGrant(_) | ProviderError::ErrorResponse { .. } => Problem::TokenExchangeRefused,
        ProviderError::InvalidClient(_) | ProviderError::AssertionRefused | ProviderError::AssertionFailed => {
            Problem::ClientRefused
        }
        ProviderError::IdToken(
            IdTokenError::IssuedInFuture { .. }
            | IdTokenError::NotYetValid { .. }
            | IdTokenError::Expired { .. }
            | IdTokenError::AuthTimeInFuture { .. },
        ) => Problem::ClockSkew,
        ProviderError::IdToken(IdTokenError::TenantNotAllowed { .. }) => Problem::TenantNotAllowed,
        ProviderError::IdToken(_) | ProviderError::SubjectChanged => Problem::IdTokenRefused,
        ProviderError::UserinfoToken(_) | ProviderError::NoEndpoint(Endpoint::Userinfo) => Problem::UserinfoBad,
        ProviderError::IssuerMismatch | ProviderError::IssuerMissing => Problem::IssuerMismatch,
        ProviderError::Lost => Problem::Internal,
        ProviderError::Discovery { .. } | ProviderError::NoEndpoint(_) | ProviderError::RedirectUri => {
            Problem::DiscoveryBad
        }
        ProviderError::Demands(Demand::PushedRequests) => Problem::PushedRequests,
        ProviderError::Demands(Demand::SignedRequests) => Problem::SignedRequests,
        ProviderError::NoKeys => Problem::KeysBad,
        ProviderError::Inactive(_) => Problem::IntrospectionBad,
        ProviderError::BadAnswer { endpoint, .. } => match endpoint {
            Endpoint::Userinfo => Problem::UserinfoBad,
            Endpoint::Introspection => Problem::IntrospectionBad,
            Endpoint::KeySet => Problem::KeysBad,
            Endpoint::Discovery => Problem::DiscoveryBad,
            _ => Problem::TokenResponseBad,
        },
        ProviderError::Unreachable { .. } | ProviderError::ServerError { .. } => Problem::ProviderUnreachable,
    }
}

/// What the page says of an application's fault.
fn upstream_problem(error: &UpstreamError) -> Problem {
    match error.fault {
        UpstreamFault::Connect | UpstreamFault::NameResolution => Problem::UpstreamConnect,
        UpstreamFault::ConnectTimeout(_) | UpstreamFault::FirstByteTimeout(_) => Problem::UpstreamTimeout,
        UpstreamFault::NoRoom(_) => Problem::UpstreamNoRoom,
        UpstreamFault::Tls => Problem::UpstreamTls,
        UpstreamFault::Closed => Problem::UpstreamBroke,
        UpstreamFault::BadResponse(_) => Problem::UpstreamBadResponse,
        UpstreamFault::Unmapped => Problem::BadPath,
        UpstreamFault::UpgradeImpossible => Problem::UpgradeRefused,
        UpstreamFault::RequestBody => Problem::BadRequest,
        UpstreamFault::RequestBodyTimeout(_) => Problem::BodyTooSlow,
        UpstreamFault::RequestTooLarge => Problem::BodyTooLarge,
    }
}

/// When to come again, where nobody says.
const RETRY_AFTER: Duration = Duration::from_secs(5);
