//! What an answer means that is not a success ([RFC 6749 section 5.2]): the provider is away, or it refuses.
//!
//! An OAuth error in the body decides, whatever the status and the content type: a server that answers 500 with
//! `invalid_request` has refused the grant, one that answers 400 with `temporarily_unavailable` has not. Without an OAuth error
//! the status decides: 5xx, 429 and a 403 that tells when to come again are an outage.
//!
//! [RFC 6749 section 5.2]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2

use http::{StatusCode, header};
use serde_json::Value;
use url::form_urlencoded;

use crate::clock::UnixTime;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError};
use crate::provider::json;
use crate::provider::reply::Reply;

/// The outage that an answer reports, if it does (RF-04). An error in an answer with status 200 is left to [`named`].
pub(super) fn outage(endpoint: Endpoint, reply: &Reply, now: UnixTime) -> Option<ProviderError> {
    let status = reply.status;
    let code = if status == StatusCode::OK || !endpoint.takes_a_grant() { None } else { error_code(reply) };
    // Error pages of frameworks have a member of that name too: "Internal Server Error".
    let code = code.filter(|code| !status.is_server_error() || is_registered_form(code));
    let is_away = match &code {
        _ if status == StatusCode::TOO_MANY_REQUESTS || is_rate_limit(reply) => true,
        Some(code) => says_away(code, status),
        None => status.is_server_error(),
    };
    is_away.then(|| ProviderError::ServerError {
        endpoint,
        url: reply.place(),
        words: reply.words(),
        status,
        is_bare: code.is_none(),
        retry_after: reply.retry_after(now),
    })
}

/// GitHub and others answer 403 where too much was asked of them: that says nothing of the token.
fn is_rate_limit(reply: &Reply) -> bool {
    let is_used_up = reply.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    reply.status == StatusCode::FORBIDDEN && (is_used_up || reply.headers.contains_key(header::RETRY_AFTER))
}

/// What an answer other than 200 means that is not an [`outage`], at an endpoint with client authentication.
pub(super) fn refusal(endpoint: Endpoint, reply: &Reply) -> ProviderError {
    match (error_code(reply), reply.status) {
        (Some(code), _) if is_invalid_grant(&code) => ProviderError::InvalidGrant(reply.words_with(&code)),
        // The status is about the client's authentication whatever the name says: `unauthorized_client` is common.
        (_, StatusCode::UNAUTHORIZED) => ProviderError::InvalidClient(reply.words()),
        (Some(code), _) => named(endpoint, reply, &code),
        (None, status) => {
            ProviderError::BadAnswer { endpoint, fault: AnswerFault::Status(status.as_u16()), words: reply.words() }
        }
    }
}

/// What an error code means. Only codes that are known here decide anything (OA-21); the provider's text goes along for the log.
pub(super) fn named(endpoint: Endpoint, reply: &Reply, code: &str) -> ProviderError {
    let words = reply.words_with(code);
    match code {
        code if is_invalid_grant(code) => ProviderError::InvalidGrant(words),
        "invalid_client" | "incorrect_client_credentials" | "bad_client_secret" => ProviderError::InvalidClient(words),
        code if says_away(code, reply.status) => ProviderError::ServerError {
            endpoint,
            url: reply.place(),
            words,
            status: reply.status,
            is_bare: false,
            retry_after: None,
        },
        _ => ProviderError::ErrorResponse { endpoint, words, error: known(code) },
    }
}

/// The code from the list that we know.
pub(super) fn known(code: &str) -> &'static str {
    KNOWN_ERRORS.split(' ').find(|known| *known == code).unwrap_or("unrecognised")
}

/// The error code of a body in lower case: a member of a JSON object under any content type, a field of a form, or a known code
/// that is the whole text. `None` where there is none.
pub(super) fn error_code(reply: &Reply) -> Option<String> {
    let body = reply.body.get(..).filter(|body| body.len() <= LONGEST_ERROR)?;
    let code = match json::object(body) {
        Ok(answer) => answer.get("error").and_then(Value::as_str)?.to_owned(),
        Err(_) => text_code(reply, body)?,
    };
    Some(code.trim().to_ascii_lowercase())
}

/// Plain OAuth 2.0 servers exist that answer with a form (GitHub without Accept) or a line of text.
fn text_code(reply: &Reply, body: &[u8]) -> Option<String> {
    let media_type = reply.media_type();
    let is_text =
        media_type.is_none_or(|media| media == "application/x-www-form-urlencoded" || media.starts_with("text/plain"));
    if !is_text {
        return None;
    }
    let whole = std::str::from_utf8(body).unwrap_or_default().trim().to_ascii_lowercase();
    if is_invalid_grant(&whole) || known(&whole) == whole {
        return Some(whole);
    }
    form_urlencoded::parse(body).find(|(name, _)| name == "error").map(|(_, code)| code.into_owned())
}

/// Whether a code says that a code or refresh token is not good.
fn is_invalid_grant(code: &str) -> bool {
    // The others are GitHub's and Slack's names for it.
    matches!(
        code,
        "invalid_grant" | "bad_verification_code" | "bad_refresh_token" | "invalid_code" | "code_already_used"
    )
}

/// Whether a code is about the state of the provider, not about the request.
fn says_away(code: &str, status: StatusCode) -> bool {
    match code {
        "server_error" | "temporarily_unavailable" => true,
        // Google's names for it, and those of common frameworks.
        "internal_failure" | "internal_error" | "internal_server_error" | "service_unavailable" => {
            status.is_server_error()
        }
        _ => false,
    }
}

/// Whether a code has the form of all registered ones: words joined by underscores.
fn is_registered_form(code: &str) -> bool {
    code.contains('_') && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Larger bodies are not looked into.
const LONGEST_ERROR: usize = 64 * 1024;
/// Registered codes, and those that are common.
const KNOWN_ERRORS: &str = "\
    invalid_request unauthorized_client unsupported_grant_type invalid_scope invalid_target unsupported_token_type \
    access_denied redirect_uri_mismatch temporarily_unavailable server_error interaction_required login_required \
    consent_required account_selection_required unmet_authentication_requirements invalid_token insufficient_scope \
    expired_token slow_down invalid_dpop_proof use_dpop_nonce invalid_authorization_details \
    unsupported_response_type unsupported_response_mode request_not_supported request_uri_not_supported \
    registration_not_supported";
