//! What can go wrong with a provider, named for what the provider did; each with a stable code for logs and pages.

mod classification;
mod faults;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

pub use self::classification::FailureClass;
pub(super) use self::classification::{Area, Classification, Impact};
pub use self::faults::{
    AnswerFault, DiscoveryFault, EndpointFault, InactiveReason, ProviderSetupError, TransportError,
};
pub use self::token::{IdTokenError, JwtError, LogoutRefusal, LogoutTokenError, UserinfoTokenError};

use crate::backoff::Backoff;
use crate::clock::MonotonicTime;
use crate::provider::demand::Demand;
use crate::provider::words::Words;

/// A call to a provider that did not give what was asked for. Nothing in it is secret, and what the provider chose as text is
/// printable and capped ([`Words`]): it may be logged as it is, and is not for pages, which show the [`code`](Self::code).
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named for what they are; URLs are without their query")]
pub enum ProviderError {
    /// No complete answer came.
    #[error("{endpoint} of the provider at {url}: {cause}")]
    Unreachable { endpoint: Endpoint, url: Box<str>, cause: TransportError },
    /// The provider is there but cannot answer now: 429, 5xx without an OAuth error, `server_error`, `temporarily_unavailable`.
    #[error("{endpoint} of the provider at {url} cannot answer now (status {status}){}", words.as_end())]
    ServerError {
        endpoint: Endpoint,
        url: Box<str>,
        words: Words,
        status: StatusCode,
        /// Whether there was no OAuth error in the body.
        is_bare: bool,
        retry_after: Option<Duration>,
    },
    /// It failed a moment ago and is not asked again yet.
    #[error("{last} (not asked again for {} s)", retry_after.as_millis().div_ceil(1000))]
    Waiting { retry_after: Duration, last: Arc<Self> },
    /// `invalid_grant`: the code or refresh token is used up, expired, revoked, or not ours.
    #[error("the provider refused the code or refresh token: {0}")]
    InvalidGrant(Words),
    /// Status 401, or `invalid_client`: the client's own credentials are wrong (OA-22). A configuration fault; trying again does
    /// not help.
    #[error(
        "the provider refused the client's credentials (check client_id, client_secret and client_auth){}", _0.as_end()
    )]
    InvalidClient(Words),
    /// Another OAuth error, by its registered code; anything else is "unrecognised".
    #[error("{endpoint} of the provider answered with the error {words}")]
    ErrorResponse {
        endpoint: Endpoint,
        words: Words,
        /// The code, from the list that we know.
        error: &'static str,
    },
    /// An answer that is not what [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1) (or the endpoint's
    /// own specification) asks for.
    #[error("{endpoint} of the provider: {fault}{}", words.as_end())]
    BadAnswer { words: Words, endpoint: Endpoint, fault: AnswerFault },
    /// The ID token does not prove who signed in.
    #[error("the ID token: {0}")]
    IdToken(#[from] IdTokenError),
    /// The signed UserInfo answer proves nothing.
    #[error("the signed userinfo answer: {0}")]
    UserinfoToken(#[from] UserinfoTokenError),
    /// The discovery document cannot be used.
    #[error("the discovery document at {url}: {fault}")]
    Discovery { url: Box<str>, fault: DiscoveryFault },
    /// The key set holds no key that can be used.
    #[error("the key set holds no usable signature key")]
    NoKeys,
    /// The callback's `iss` names another issuer ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)): the answer of another
    /// provider, or a mix-up attack.
    #[error("the callback's iss is not this provider's issuer")]
    IssuerMismatch,
    /// The callback has no `iss` where there has to be one
    /// ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)).
    #[error(
        "the callback has no iss parameter, and this provider (or the lack of a redirect URI of its own) requires one"
    )]
    IssuerMissing,
    /// The token is not active ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)), or was made for another client or
    /// audience.
    #[error("introspection: {0}")]
    Inactive(InactiveReason),
    /// A refreshed identity has another subject than the session's (RF-08, AT-TP-17).
    #[error("the provider now names another subject than at sign-in")]
    SubjectChanged,
    /// Userinfo was asked again and refused (UI-05).
    #[error("who this is was asked again and refused: {0}")]
    IdentityRefused(Arc<Self>),
    /// The provider takes none of the algorithms that the client's key can sign with (CA-04).
    #[error("the provider takes no client assertion that client_key can sign")]
    AssertionRefused,
    /// The client assertion could not be signed.
    #[error("the client assertion could not be signed")]
    AssertionFailed,
    /// Its metadata requires something of every sign-in that is not supported here.
    #[error("the provider demands {0}")]
    Demands(Demand),
    /// The provider has no such endpoint.
    #[error("the provider has no {0}")]
    NoEndpoint(Endpoint),
    /// The call was cancelled on our side: a fault of ours, so it counts as an outage.
    #[error("the call to the provider was broken off here")]
    Lost,
    /// Our redirect URI has a fragment ([RFC 6749 section 3.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.1.2)).
    #[error("the redirect URI has a fragment")]
    RedirectUri,
}

impl ProviderError {
    /// What this comes of: why it is waited, or why an identity was refused.
    pub(super) fn cause(&self) -> &Self {
        match self {
            Self::Waiting { last, .. } | Self::IdentityRefused(last) => last.cause(),
            error => error,
        }
    }

    /// Whether this is an outage of the token endpoint by its status alone: the provider may mean this grant alone.
    pub fn is_bare_server_error(&self) -> bool {
        matches!(
            self,
            Self::ServerError { endpoint: Endpoint::Token, status, is_bare: true, .. } if status.is_server_error()
        )
    }

    /// Whether the answer was refused here, not the grant by the provider.
    pub fn is_refused_here(&self) -> bool {
        match self.cause() {
            Self::IdToken(_) | Self::UserinfoToken(_) | Self::SubjectChanged => true,
            Self::Inactive(reason) => *reason != InactiveReason::NotActive,
            Self::BadAnswer { fault, .. } => {
                matches!(fault, AnswerFault::Subject | AnswerFault::SignedClaims | AnswerFault::SignedExpired)
            }
            _ => false,
        }
    }

    /// Whether the token endpoint answered, and did not take the code.
    pub fn is_refused_code(&self) -> bool {
        match self {
            Self::InvalidGrant(_) | Self::InvalidClient(_) => true,
            Self::ErrorResponse { endpoint, .. } | Self::BadAnswer { endpoint, .. } => *endpoint == Endpoint::Token,
            _ => false,
        }
    }

    /// Whether no token request was sent: its code or refresh token is not spent and may be sent later.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Waiting { last, .. } => last.is_unsent(),
            Self::Unreachable { endpoint: Endpoint::Token, cause, .. } => cause.is_unsent(),
            Self::Unreachable { endpoint, .. } | Self::ServerError { endpoint, .. } => *endpoint == Endpoint::Discovery,
            // Whatever an identity was refused for: the tokens were there by then.
            _ => false,
        }
    }

    /// Whether the provider was reached but did not answer in time.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.cause(),
            Self::Unreachable { cause: TransportError::Timeout | TransportError::ConnectTimeout(_), .. }
        )
    }

    /// How long to wait before asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ServerError { retry_after, .. } => *retry_after,
            Self::Waiting { retry_after, .. } => Some(*retry_after),
            error => error.key_unknown_yet(),
        }
    }

    /// When the key set may be read again that does not have the key of a token yet.
    pub fn key_unknown_yet(&self) -> Option<Duration> {
        match self {
            Self::IdToken(IdTokenError::Jwt(error)) | Self::UserinfoToken(UserinfoTokenError::Jwt(error)) => {
                match error {
                    JwtError::KeyUnknownYet { retry_after } => Some(*retry_after),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The failures of a call whose answer is cached; a provider may ask to be left alone for 5 minutes (DI-07).
pub(super) const fn no_failures() -> Backoff<ProviderError> {
    Backoff::new(LONGEST_WAIT, LONGEST_WAIT_ASKED)
}

impl Backoff<ProviderError> {
    /// Whether the time has come; otherwise the error to answer with.
    pub(super) fn may_try(&self, now: MonotonicTime) -> Result<(), ProviderError> {
        match self.waiting(now) {
            Some((retry_after, last)) => Err(ProviderError::Waiting { retry_after, last: Arc::new(last.clone()) }),
            None => Ok(()),
        }
    }
}

impl AnswerFault {
    /// As the error of an answer that says nothing besides.
    pub(super) fn at(self, endpoint: Endpoint) -> ProviderError {
        ProviderError::BadAnswer { endpoint, fault: self, words: Words::default() }
    }
}

/// The endpoints that are called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are those of the specifications")]
pub enum Endpoint {
    Authorization,
    Discovery,
    EndSession,
    KeySet,
    Token,
    Userinfo,
    Introspection,
    Revocation,
}

impl Endpoint {
    /// What a call is named in traces.
    pub(super) fn span(self) -> &'static str {
        match self {
            Self::Authorization => "idp.authorization",
            Self::Discovery => "idp.discovery",
            Self::EndSession => "idp.end_session",
            Self::KeySet => "idp.jwks",
            Self::Token => "idp.token",
            Self::Userinfo => "idp.userinfo",
            Self::Introspection => "idp.introspection",
            Self::Revocation => "idp.revocation",
        }
    }

    /// Whether calls carry a grant or a token that may be refused by itself.
    pub(super) fn takes_a_grant(self) -> bool {
        matches!(self, Self::Token | Self::Userinfo | Self::Introspection | Self::Revocation)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorization => "the authorization endpoint",
            Self::Discovery => "the discovery document",
            Self::EndSession => "the end-session endpoint",
            Self::KeySet => "the key set",
            Self::Token => "the token endpoint",
            Self::Userinfo => "the userinfo endpoint",
            Self::Introspection => "the introspection endpoint",
            Self::Revocation => "the revocation endpoint",
        })
    }
}

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The same where the provider asks for it.
const LONGEST_WAIT_ASKED: Duration = Duration::from_secs(5 * 60);
