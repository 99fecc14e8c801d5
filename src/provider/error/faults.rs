//! What can be wrong with a call, an answer, a discovery document, an endpoint, an introspected token, or the settings.

use crate::telemetry::metrics::CallFailure;

/// An enum of faults, each a row: the variant, its stable code for logs, its message. A first row `[VARIANT(TYPE)]` takes in
/// the faults of another such enum.
macro_rules! faults {
    ($(#[$doc:meta])* pub enum $name:ident {
        $([$outer:ident($inner:ty)])?
        $($variant:ident $(($($field:ty),*))? $({ $($member:ident: $type:ty),* })? => $code:literal, $message:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
        #[expect(missing_docs, reason = "the messages say it")]
        pub enum $name {
            $(#[error(transparent)] $outer(#[from] $inner),)?
            $(#[error($message)] $variant $(($($field),*))? $({ $($member: $type),* })?,)*
        }

        impl $name {
            /// A stable reason for logs.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$outer(inner) => inner.code(),)?
                    $(Self::$variant { .. } => $code,)*
                }
            }
        }
    };
}
pub(super) use faults;

faults! {
    /// Why no complete answer came.
    pub enum TransportError {
        Connect(String) => "provider_connect_failed", "no connection: {0}";
        ConnectTimeout(String) => "provider_timeout", "no connection within the timeout: {0}";
        Refused(String) => "provider_connect_failed", "no connection: {0}";
        NameResolution(String) => "provider_name_resolution", "no connection: {0}";
        Tls(String) => "provider_tls_failed", "TLS failed: {0}";
        ProxyUnreachable(String) => "proxy_unreachable", "no connection to the proxy {0}";
        ProxyTimeout(String) => "proxy_timeout", "no answer to CONNECT within the timeout from the proxy {0}";
        ProxyAnswer(String) => "proxy_answer", "no answer to CONNECT that can be used from the proxy {0}";
        ProxyAuthentication(String) => "proxy_authentication", "the proxy {0}";
        ProxyRefused(String) => "proxy_refused", "the proxy {0}";
        ProxyCertificate(String) => "proxy_certificate", "TLS failed through the proxy {0}";
        Timeout => "provider_timeout", "no complete answer within the timeout";
        Broken(String) => "provider_connection_broken", "the connection broke: {0}";
        TooLarge => "provider_answer_too_large", "the answer is larger than 1 MiB";
        Url => "provider_url", "the URL cannot be requested";
    }
}

impl TransportError {
    /// Whether this may pass by itself.
    pub(in crate::provider) fn is_outage(&self) -> bool {
        !matches!(self, Self::TooLarge | Self::Url)
    }

    /// Whether the request never left us.
    pub(in crate::provider) fn is_unsent(&self) -> bool {
        !matches!(self, Self::Timeout | Self::Broken(_) | Self::TooLarge)
    }

    /// What failed, for metrics.
    pub(in crate::provider) fn failure(&self) -> CallFailure {
        match self {
            Self::Connect(_) => CallFailure::Connect,
            Self::Refused(_) => CallFailure::ConnectionRefused,
            Self::NameResolution(_) => CallFailure::NameResolution,
            Self::Tls(_) => CallFailure::Tls,
            Self::ProxyUnreachable(_) | Self::ProxyTimeout(_) | Self::ProxyAnswer(_) => CallFailure::ProxyUnreachable,
            Self::ProxyAuthentication(_) => CallFailure::ProxyAuthentication,
            Self::ProxyRefused(_) => CallFailure::ProxyRefused,
            Self::ProxyCertificate(_) => CallFailure::ProxyCertificate,
            Self::ConnectTimeout(_) | Self::Timeout => CallFailure::Timeout,
            Self::Broken(_) => CallFailure::ConnectionClosed,
            Self::TooLarge => CallFailure::BadResponse,
            Self::Url => CallFailure::Request,
        }
    }
}

faults! {
    /// Why an answer cannot be used.
    pub enum AnswerFault {
        Status(u16) => "answer_status", "it answered with status {0}";
        ContentType => "answer_content_type", "the answer is not JSON by its Content-Type";
        Json => "answer_json", "the answer is not a JSON object, or has a member twice";
        AccessToken => "answer_access_token", "the answer has no access_token, or one that is not printable ASCII";
        TokenType => "answer_token_type", "the answer has no token_type, or one other than Bearer";
        ExpiresIn => "answer_expires_in", "expires_in is not a non-negative number";
        RefreshToken => "answer_refresh_token", "refresh_token is not a string";
        IdToken => "answer_id_token", "id_token is not a string";
        Subject => "userinfo_subject", "sub is missing, or not that of the ID token";
        Unauthorized => "userinfo_unauthorized", "it refused the access token";
        SignedClaims => "userinfo_signed_claims",
            "the signed answer has a wrong issuer, audience or exp, or is an ID token";
        SignedExpired => "userinfo_signed_claims", "the signed answer has expired: compare the clocks";
    }
}

faults! {
    /// Why a discovery document cannot be used.
    pub enum DiscoveryFault {
        IssuerUrl => "discovery_issuer_url", "the issuer is not a URL that a document can be looked up under";
        Status(u16, String) => "discovery_status", "it answered with status {0}{1}";
        NotJson => "discovery_not_json", "it is not JSON";
        IssuerMismatch { configured: String, named: String } => "discovery_issuer_mismatch",
            "it names the issuer \"{named}\", but \"{configured}\" is configured: they must be the same, byte for byte";
        Missing(&'static str) => "discovery_member_missing", "{0} is missing";
        EndpointRefused { member: &'static str, fault: EndpointFault } => "discovery_endpoint_refused", "{member}: {fault}";
    }
}

faults! {
    /// Why an introspected token is not taken.
    pub enum InactiveReason {
        NotActive => "token_inactive", "the token is not active";
        Expired => "token_expired", "the token has expired";
        NotYet => "token_not_yet_valid", "the token is not valid yet";
        Time => "token_time_invalid", "a time in the answer is not a number";
        Audience => "token_audience", "the token is for another audience";
        Client => "token_client", "the token is another client's";
        Issuer => "token_issuer", "the token is another issuer's";
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
