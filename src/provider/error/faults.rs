//! What can be wrong with a call, an answer, a discovery document, an endpoint, an introspected token, or the settings.

use crate::provider::words::Words;
use crate::telemetry::metrics::CallFailure;

/// Why no complete answer came.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TransportError {
    #[error("no connection: {0}")]
    Connect(String),
    #[error("no connection within the timeout: {0}")]
    ConnectTimeout(String),
    #[error("no connection: {0}")]
    Refused(String),
    #[error("no connection: {0}")]
    NameResolution(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("no complete answer within the timeout")]
    Timeout,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the URL cannot be requested")]
    Url,
}

impl TransportError {
    /// A stable reason for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::Refused(_) => "provider_connect_failed",
            Self::NameResolution(_) => "provider_name_resolution",
            Self::Tls(_) => "provider_tls_failed",
            Self::ConnectTimeout(_) | Self::Timeout => "provider_timeout",
            Self::Broken(_) => "provider_connection_broken",
            Self::TooLarge => "provider_answer_too_large",
            Self::Url => "provider_url",
        }
    }

    /// Whether this may pass by itself.
    pub(in crate::provider) fn is_outage(&self) -> bool {
        !matches!(self, Self::TooLarge | Self::Url)
    }

    /// Whether the request never left us.
    pub(in crate::provider) fn is_unsent(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Refused(_)
            | Self::NameResolution(_)
            | Self::Tls(_)
            | Self::Url => true,
            Self::Timeout | Self::Broken(_) | Self::TooLarge => false,
        }
    }

    /// What failed, for metrics.
    pub(in crate::provider) fn failure(&self) -> CallFailure {
        match self {
            Self::Connect(_) => CallFailure::Connect,
            Self::Refused(_) => CallFailure::ConnectionRefused,
            Self::NameResolution(_) => CallFailure::NameResolution,
            Self::Tls(_) => CallFailure::Tls,
            Self::ConnectTimeout(_) | Self::Timeout => CallFailure::Timeout,
            Self::Broken(_) => CallFailure::ConnectionClosed,
            Self::TooLarge => CallFailure::BadResponse,
            Self::Url => CallFailure::Request,
        }
    }
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AnswerFault {
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("the answer is not JSON by its Content-Type")]
    ContentType,
    #[error("the answer is not a JSON object, or has a member twice")]
    Json,
    #[error("the answer has no access_token, or one that is not printable ASCII")]
    AccessToken,
    #[error("the answer has no token_type, or one other than Bearer")]
    TokenType,
    #[error("expires_in is not a non-negative number")]
    ExpiresIn,
    #[error("refresh_token is not a string")]
    RefreshToken,
    #[error("id_token is not a string")]
    IdToken,
    #[error("sub is missing, or not that of the ID token")]
    Subject,
    #[error("it refused the access token")]
    Unauthorized,
    #[error("the signed answer has a wrong issuer, audience or exp, or is an ID token")]
    SignedClaims,
    #[error("the signed answer has expired: compare the clocks")]
    SignedExpired,
}

impl AnswerFault {
    /// A stable reason for logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Status(_) => "answer_status",
            Self::ContentType => "answer_content_type",
            Self::Json => "answer_json",
            Self::AccessToken => "answer_access_token",
            Self::TokenType => "answer_token_type",
            Self::ExpiresIn => "answer_expires_in",
            Self::RefreshToken => "answer_refresh_token",
            Self::IdToken => "answer_id_token",
            Self::Subject => "userinfo_subject",
            Self::Unauthorized => "userinfo_unauthorized",
            Self::SignedClaims | Self::SignedExpired => "userinfo_signed_claims",
        }
    }
}

/// Why a discovery document cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DiscoveryFault {
    #[error("the issuer is not a URL that a document can be looked up under")]
    IssuerUrl,
    #[error("it answered with status {status}{}", words.as_end())]
    Status { status: u16, words: Words },
    #[error("it is not JSON")]
    NotJson,
    #[error(
        "it names the issuer \"{named}\", but \"{configured}\" is configured: they must be the same, byte for byte"
    )]
    IssuerMismatch { configured: String, named: String },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{member}: {fault}")]
    EndpointRefused { member: &'static str, fault: EndpointFault },
}

impl DiscoveryFault {
    /// A stable reason for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::IssuerUrl => "discovery_issuer_url",
            Self::Status { .. } => "discovery_status",
            Self::NotJson => "discovery_not_json",
            Self::IssuerMismatch { .. } => "discovery_issuer_mismatch",
            Self::Missing(_) => "discovery_member_missing",
            Self::EndpointRefused { .. } => "discovery_endpoint_refused",
        }
    }
}

/// Why an endpoint's URL is refused (AT-TP-20).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EndpointFault {
    #[error("it is not a URL")]
    NotAUrl,
    #[error("it is not https (http is taken for loopback addresses, or with insecure_http = true)")]
    NotHttps,
    #[error("it has a user name or password in it")]
    Credentials,
    #[error("it has a fragment")]
    Fragment,
    #[error("it points to a loopback or link-local address, which the issuer itself does not")]
    PointsInside,
}

/// Why an introspected token is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InactiveReason {
    #[error("the token is not active")]
    NotActive,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("a time in the answer is not a number")]
    Time,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is another client's")]
    Client,
    #[error("the token is another issuer's")]
    Issuer,
}

impl InactiveReason {
    /// A stable reason for logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotActive => "token_inactive",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet_valid",
            Self::Time => "token_time_invalid",
            Self::Audience => "token_audience",
            Self::Client => "token_client",
            Self::Issuer => "token_issuer",
        }
    }
}

/// Why a provider cannot be set up from its settings.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProviderSetupError {
    #[error("ca: not a PEM file of certificates: {0}")]
    Ca(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("client_key: {0}")]
    ClientKey(&'static str),
    #[error("client_id or client_secret cannot be sent in a header")]
    ClientSecret,
    #[error("{0}: \"{1}\" is not a signature algorithm that is implemented")]
    Algorithm(&'static str, String),
    #[error("{0} needs a client_secret of at least {1} bytes (OpenID Connect Core 16.19)")]
    HmacSecret(&'static str, usize),
    #[error("issuer \"{0}\": {1}")]
    Issuer(String, EndpointFault),
    #[error("{0}: {1}")]
    Endpoint(&'static str, EndpointFault),
    #[error("{0} is missing")]
    EndpointMissing(&'static str),
}
