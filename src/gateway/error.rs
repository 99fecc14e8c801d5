//! Why a request gets an answer of our own, and what its page, the logs and the metrics call that. Variants are named for who is to
//! blame, and every match is exhaustive: a new error does not compile until it has a code and a page.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, SEC_WEBSOCKET_VERSION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::gateway::codes::Code;
use crate::gateway::principal::Principal;
use crate::gateway::verdict::{Denial, Lack, RequestFault};
use crate::identity::IdentityError;
use crate::provider::{Demand, Endpoint, IdTokenError, ProviderError};
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
    Client(Code),
    /// The person: has to sign in, and this request cannot be sent there.
    SignInNeeded {
        /// Where to sign in.
        login_url: String,
        /// `access = "api"`: with `WWW-Authenticate` ([RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3)).
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
    /// A sign-in that can be begun again at `again`.
    pub(super) fn sign_in(code: Code, again: Option<String>) -> Self {
        Self::SignIn { provider: None, code, again, provider_said: None }
    }

    /// The same, where it is known with which provider the sign-in was.
    pub(super) fn sign_in_at(provider: &Arc<str>, code: Code, again: Option<String>) -> Self {
        Self::SignIn { provider: Some(Arc::clone(provider)), code, again, provider_said: None }
    }

    /// What the page says.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused(fault) => fault.code(),
            Self::EndpointMethod(_) => Code::MethodNotAllowed,
            Self::SignInNeeded { lack: Lack::Session, .. } => Code::SignInNeeded,
            Self::SignInNeeded { lack: Lack::Ended, .. } => Code::SessionEnded,
            Self::SignInNeeded { lack: Lack::Recent(_), .. } => Code::SignInTooOld,
            Self::FormNotSubmitted { lack: Lack::Recent(_), .. } => Code::FormTooLate,
            Self::FormNotSubmitted { .. } => Code::FormNotSubmitted,
            Self::ReturnTooLong { .. } => Code::ReturnTooLong,
            Self::Denied { denial, .. } => denial.code(),
            Self::Client(code) | Self::SignIn { code, .. } => *code,
            Self::TooManyRefused { .. } => Code::TooManyRefused,
            Self::Provider { error, .. } => provider_code(error),
            Self::NoIdentity { .. } => Code::IdentityMissing,
            Self::SessionTooLarge(_) => Code::SessionTooLarge,
            Self::Header(_) => Code::BadHeader,
            Self::Upstream { error, .. } => upstream_code(error),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The stable reason that the page, the logs and the metrics have: finer than the code's where there is more to say.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::SignIn { provider_said: Some((error, _)), .. } => Code::reason_of_provider_error(error),
            Self::Denied { denial, .. } => denial.reason(),
            Self::Refused(fault) => fault.reason(),
            Self::Provider { error, .. } => error.code(),
            Self::NoIdentity { error, .. } => error.code(),
            Self::Header(refusal) => refusal.code(),
            Self::Upstream { error, .. } => error.code(),
            Self::Internal(reason) => reason,
            _ => self.code().reason(),
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
            _ => self.code().status(),
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
pub(super) fn bad_request_code(error: BadRequest) -> Code {
    match error {
        BadRequest::HostMissing | BadRequest::HostRepeated | BadRequest::HostInvalid | BadRequest::HostDisagrees => {
            Code::BadHost
        }
        BadRequest::PathInvalid(_) | BadRequest::TargetForm | BadRequest::TargetTooLong => Code::BadPath,
        BadRequest::MethodRefused => Code::MethodNotAllowed,
        BadRequest::HeadTooLarge => Code::BadHeader,
        BadRequest::TransferCoding | BadRequest::HeadMalformed | BadRequest::ForwardedInvalid(_) => Code::BadRequest,
    }
}

fn provider_code(error: &ProviderError) -> Code {
    match error {
        ProviderError::Waiting { last, .. } | ProviderError::IdentityRefused(last) => provider_code(last),
        error if error.key_unknown_yet().is_some() => Code::KeysChanged,
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
    match error.fault {
        UpstreamFault::Connect | UpstreamFault::NameResolution => Code::UpstreamConnect,
        UpstreamFault::ConnectTimeout(_) | UpstreamFault::FirstByteTimeout(_) => Code::UpstreamTimeout,
        UpstreamFault::NoRoom(_) => Code::UpstreamNoRoom,
        UpstreamFault::Tls => Code::UpstreamTls,
        UpstreamFault::Closed => Code::UpstreamBroke,
        UpstreamFault::BadResponse(_) => Code::UpstreamBadResponse,
        UpstreamFault::UpgradeImpossible => Code::UpgradeRefused,
        UpstreamFault::RequestBody => Code::BadRequest,
        UpstreamFault::RequestBodyTimeout(_) => Code::BodyTooSlow,
        UpstreamFault::RequestTooLarge => Code::BodyTooLarge,
    }
}

const RETRY_AFTER: Duration = Duration::from_secs(5);
