//! How each error of a provider is classified, in one table: its code, what it says about the grant, what it is about, and whom it
//! affects.

use http::StatusCode;

use super::{Endpoint, IdTokenError, ProviderError};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider) struct Classification {
    /// A stable reason for logs, metrics and pages.
    pub(super) code: &'static str,
    pub(super) class: FailureClass,
    pub(in crate::provider) area: Area,
    pub(in crate::provider) impact: Impact,
}

/// What a failed call says about the grant (code, refresh token, access token) that was presented with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureClass {
    /// Nothing: the provider could not be asked, or could not answer. The same may succeed later.
    Away,
    /// The provider answered, and this was not taken. It may have nothing to do with the grant, so a session goes on until its
    /// access token ends, and is then the same as not signed in.
    Refused,
    /// The grant is gone, or what came of it is about somebody else: the session is over at once.
    Over,
}

/// What an error is about: an endpoint, or sign-ins as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::provider) enum Area {
    Endpoint(Endpoint),
    SignIn,
}

/// Whom an error affects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::provider) enum Impact {
    /// Everybody: there is no answer.
    Outage,
    /// Everybody: the answer is not the right one, or this endpoint has a fault for some.
    Misconfiguration,
    /// Nobody: something is asked of the provider that it need not have.
    Minor,
    /// It may be one person alone.
    OnePerson,
}

impl ProviderError {
    /// A stable reason for logs, metrics and pages.
    pub fn code(&self) -> &'static str {
        self.classification().code
    }

    /// What the failure says about the grant that was presented (RF-03, RF-04).
    pub fn class(&self) -> FailureClass {
        self.classification().class
    }

    /// Whether the provider is merely away: the same may succeed later.
    pub fn is_outage(&self) -> bool {
        self.class() == FailureClass::Away
    }

    /// The row of this error.
    pub(in crate::provider) fn classification(&self) -> Classification {
        use Area::SignIn;
        use FailureClass::{Away, Over, Refused};
        use Impact::{Misconfiguration, OnePerson, Outage};
        let at = Area::Endpoint;
        let token = at(Endpoint::Token);
        let is_key_unknown_yet = self.key_unknown_yet().is_some();
        let (code, class, area, impact) = match self {
            Self::Unreachable { endpoint, cause, .. } if cause.is_outage() => {
                (cause.code(), Away, at(*endpoint), Outage)
            }
            Self::Unreachable { endpoint, cause, .. } => (cause.code(), Refused, at(*endpoint), Misconfiguration),
            // Some servers answer so where one grant's session is over.
            Self::ServerError { endpoint: Endpoint::Token, status: StatusCode::INTERNAL_SERVER_ERROR, .. } => {
                ("provider_server_error", Away, token, Misconfiguration)
            }
            Self::ServerError { endpoint, .. } => ("provider_server_error", Away, at(*endpoint), Outage),
            // What keeps it from being asked is its cause, for whoever comes meanwhile too.
            Self::Waiting { last, .. } => return last.classification(),
            Self::InvalidGrant(_) => ("invalid_grant", Over, token, OnePerson),
            Self::InvalidClient(_) => ("invalid_client", Refused, token, Misconfiguration),
            Self::ErrorResponse { endpoint, error, .. } => {
                ("provider_error_response", Refused, at(*endpoint), impact_of(*endpoint, error))
            }
            Self::BadAnswer { endpoint, fault, .. } => (fault.code(), Refused, at(*endpoint), impact_of(*endpoint, "")),
            // Nothing is proven about such a token: its key may be in the set that is read next.
            Self::IdToken(error) if is_key_unknown_yet => (error.code(), Away, SignIn, OnePerson),
            Self::IdToken(error) => (error.code(), Over, SignIn, error.impact()),
            Self::UserinfoToken(error) if is_key_unknown_yet => (error.code(), Away, at(Endpoint::Userinfo), OnePerson),
            Self::UserinfoToken(error) => (error.code(), Over, at(Endpoint::Userinfo), Misconfiguration),
            Self::Discovery { fault, .. } => (fault.code(), Refused, at(Endpoint::Discovery), Misconfiguration),
            Self::NoKeys => ("jwks_no_usable_key", Refused, at(Endpoint::KeySet), Misconfiguration),
            Self::IssuerMismatch => ("iss_mismatch", Refused, SignIn, OnePerson),
            Self::IssuerMissing => ("iss_missing", Refused, SignIn, OnePerson),
            Self::Inactive(reason) => (reason.code(), Over, at(Endpoint::Introspection), OnePerson),
            Self::SubjectChanged => ("subject_changed", Over, SignIn, OnePerson),
            Self::IdentityRefused(last) => (last.code(), Over, last.classification().area, OnePerson),
            Self::AssertionRefused => ("client_assertion_alg", Refused, token, Misconfiguration),
            Self::AssertionFailed => ("client_assertion_failed", Refused, token, Misconfiguration),
            Self::Demands(demand) => (demand.code(), Refused, at(Endpoint::Authorization), Misconfiguration),
            Self::NoEndpoint(endpoint) => ("provider_endpoint_unknown", Refused, at(*endpoint), Misconfiguration),
            Self::Lost => ("call_lost", Away, SignIn, OnePerson),
            Self::RedirectUri => ("redirect_uri_fragment", Refused, SignIn, Misconfiguration),
        };
        Classification { code, class, area, impact }
    }
}

impl IdTokenError {
    /// Whom such a token affects.
    fn impact(&self) -> Impact {
        match self {
            Self::Nonce
            | Self::Acr { .. }
            | Self::AuthTimeOld { .. }
            | Self::SubjectChanged
            | Self::AzpChanged { .. } => Impact::OnePerson,
            _ => Impact::Misconfiguration,
        }
    }
}

/// Whom it affects that an endpoint answered with this error code, or with something that cannot be used.
fn impact_of(endpoint: Endpoint, error: &str) -> Impact {
    match endpoint {
        // Anybody can make a callback with an error of a sign-in that they began.
        Endpoint::Authorization => Impact::OnePerson,
        Endpoint::Revocation => Impact::Minor,
        _ if OF_ONE_PERSON.contains(&error) => Impact::OnePerson,
        _ => Impact::Misconfiguration,
    }
}

/// Errors of the token endpoint that ask for something of the person.
const OF_ONE_PERSON: [&str; 7] = [
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "unmet_authentication_requirements",
    "access_denied",
    "expired_token",
];
