//! Why a token of a provider is refused.

use std::time::Duration;

use super::ProviderError;
use super::faults::faults;

faults! {
    /// Why a JWT is not taken, whatever it is for: it is not well-formed, or nothing proves who signed it.
    pub enum JwtError {
        TooLarge => "jwt_too_large", "it is larger than 64 KiB";
        Malformed => "jwt_malformed", "it is not a compact JWS";
        Encrypted => "jwt_encrypted", "it is encrypted or compressed, which was not agreed";
        Critical => "jwt_crit", "it has a critical header extension";
        AlgorithmUnknown(String) => "jwt_alg_unknown", "its algorithm \"{0}\" is none or unknown";
        Claims => "jwt_claims", "its claims are not a JSON object, or have a member twice";
        Type(String) => "id_token_typ", "it is a token of another type ({0})";
        KeyUnknown { kid: String, known: String } => "id_token_key_unknown",
            "its key \"{kid}\" is not in the provider's key set ({known})";
        KeyUnknownYet { retry_after: Duration } => "id_token_key_unknown_yet",
            "its key is not in the key set, which was read again a moment ago and is not due yet (jwks_min_interval)";
        Signature => "id_token_signature", "its signature is wrong";
    }
}

faults! {
    /// Why an ID token is refused; one variant for each check, so that the log says which. Received values are printable and
    /// capped; the nonce, the subject and the token itself are never repeated.
    pub enum IdTokenError {
        [Jwt(JwtError)]
        Missing => "id_token_missing", "there is none, although the scope openid was asked for";
        AlgorithmRefused { came: &'static str, allowed: String } => "id_token_alg",
            "its signature algorithm is {came}, which is not among the allowed ones ({allowed}): see id_token_algorithms";
        IssuerMissing => "id_token_iss_missing", "iss is missing";
        Issuer { came: String, expected: String } => "id_token_iss",
            "iss is \"{came}\", but the configured issuer is \"{expected}\"";
        TenantMissing => "id_token_tid", "tid is missing or not a string, and the issuer is a template for tenants";
        TenantNotAllowed { came: String } => "id_token_tenant",
            "tid is \"{came}\", which is not in the provider's `allowed_tenants`";
        AudienceMissing => "id_token_aud_missing", "aud is missing or not a list of strings";
        Audience { came: String, client_id: String } => "id_token_aud",
            "aud is \"{came}\", which does not name this client, \"{client_id}\"";
        AudienceStranger(String) => "id_token_aud_stranger",
            "aud names \"{0}\", which is not in the provider's `audiences`";
        Azp { came: String, client_id: String } => "id_token_azp",
            "azp is \"{came}\", not this client, \"{client_id}\"";
        Time(&'static str) => "id_token_time", "{0} is not a non-negative number";
        ExpiryMissing => "id_token_exp_missing", "exp is missing";
        Expired { ago: u64 } => "id_token_expired", "it expired {ago} s ago: compare the clocks";
        IssuedMissing => "id_token_iat_missing", "iat is missing";
        IssuedInFuture { ahead: u64 } => "id_token_iat_future", "iat is {ahead} s in the future: compare the clocks";
        IssuedLongAgo { ago: u64 } => "id_token_iat_old", "iat is {ago} s ago";
        NotYetValid { ahead: u64 } => "id_token_nbf", "nbf is {ahead} s in the future: compare the clocks";
        NonceMissing => "id_token_nonce_missing", "nonce is missing";
        Nonce => "id_token_nonce", "nonce is not that of this sign-in";
        Acr { came: String, wanted: String } => "id_token_acr", "acr is \"{came}\", but acr_values asks for {wanted}";
        AuthTimeMissing => "id_token_auth_time_missing", "auth_time is missing, although max_age was asked for";
        AuthTimeOld { ago: u64, max_age: u64 } => "id_token_auth_time_old",
            "auth_time is {ago} s ago, but max_age is {max_age} s";
        AuthTimeInFuture { ahead: u64 } => "id_token_auth_time_future",
            "auth_time is {ahead} s in the future: compare the clocks";
        SubjectMissing => "id_token_sub_missing", "sub is missing";
        Subject => "id_token_sub", "sub is not a string of 1 to 255 printable ASCII characters";
        SubjectChanged => "id_token_sub_changed", "sub is not that of the sign-in";
        AzpChanged { came: String, before: String } => "id_token_azp_changed",
            "azp is \"{came}\", but was \"{before}\" at the sign-in";
        AtHash => "id_token_at_hash", "at_hash does not fit the access token";
    }
}

faults! {
    /// Why a logout token is refused. The token, its subject and its session are never repeated.
    pub enum LogoutTokenError {
        Malformed(String) => "logout_token_malformed", "it is no signed JWT that can be read: {0}";
        Type(String) => "logout_token_typ", "its typ is {0}, not logout+jwt";
        Algorithm { came: String, allowed: String } => "logout_token_alg",
            "its signature algorithm is {came}, which is not among the allowed ones ({allowed}): see id_token_algorithms";
        KeyUnknown(String) => "logout_token_key_unknown", "{0}";
        Signature => "logout_token_signature", "its signature is wrong";
        Issuer => "logout_token_iss", "its iss is missing, or that of no provider here";
        Audience => "logout_token_aud", "its aud is missing, names another client, or one that is not in `audiences`";
        Time(&'static str) => "logout_token_time", "{0} is not a non-negative number";
        ExpiryMissing => "logout_token_exp_missing",
            "exp is missing: where the provider sends none, write quirks = [\"logout-token-without-exp\"]";
        Expired { ago: u64 } => "logout_token_expired", "it expired {ago} s ago: compare the clocks";
        IssuedMissing => "logout_token_iat_missing", "iat is missing";
        IssuedInFuture { ahead: u64 } => "logout_token_iat_future", "iat is {ahead} s in the future: compare the clocks";
        IssuedLongAgo { ago: u64 } => "logout_token_iat_old", "iat is {ago} s ago, which is more than 5 minutes";
        Event => "logout_token_events", "events does not say that it is a logout token";
        Nonce => "logout_token_nonce", "it has a nonce, as only ID tokens have";
        IdMissing => "logout_token_jti_missing", "jti is missing";
        Text(&'static str) => "logout_token_text", "{0} is not a string of 1 to 512 bytes";
        Nobody => "logout_token_nobody", "it has neither sid nor sub";
        Replayed => "logout_token_replayed", "it came before";
        TooSlow => "logout_token_slow", "the provider's key set did not come in time";
    }
}

/// Why a logout token ends nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogoutRefusal {
    /// The token is not taken.
    #[error("the logout token: {0}")]
    Token(#[from] LogoutTokenError),
    /// What it is verified with could not be read.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl LogoutRefusal {
    /// A stable reason for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::Provider(error) => error.code(),
        }
    }
}

/// Why a signed UserInfo answer is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UserinfoTokenError {
    #[error(
        "it is encrypted, which vestibule does not read: register the client without userinfo_encrypted_response_alg"
    )]
    Encrypted,
    #[error(transparent)]
    Jwt(JwtError),
    #[error(
        "it is signed with {came}, and {expected} is expected: write what is registered as userinfo_signed_response_alg \
         into userinfo_algorithms"
    )]
    Algorithm { came: &'static str, expected: String },
    #[error("the provider has no key set to verify it with")]
    NoKeySet,
    #[error("it is not signed, although userinfo_algorithms asks for it")]
    Unsigned,
}

impl UserinfoTokenError {
    /// A stable reason for logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Encrypted => "userinfo_encrypted",
            Self::Jwt(JwtError::AlgorithmUnknown(_)) => "userinfo_alg_unknown",
            Self::Jwt(JwtError::Type(_)) => "userinfo_typ",
            Self::Jwt(JwtError::KeyUnknown { .. }) => "userinfo_key_unknown",
            Self::Jwt(JwtError::KeyUnknownYet { .. }) => "userinfo_key_unknown_yet",
            Self::Jwt(JwtError::Signature) => "userinfo_signature",
            Self::Jwt(_) => "userinfo_malformed",
            Self::Algorithm { .. } => "userinfo_alg",
            Self::NoKeySet => "userinfo_no_key_set",
            Self::Unsigned => "userinfo_unsigned",
        }
    }
}

impl From<JwtError> for UserinfoTokenError {
    fn from(error: JwtError) -> Self {
        if error == JwtError::Encrypted { Self::Encrypted } else { Self::Jwt(error) }
    }
}
