//! The token endpoint: one form out, one token set or one error in ([RFC 6749](https://www.rfc-editor.org/rfc/rfc6749) sections
//! 3.2, 5.1, 5.2).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Area, Endpoint, ProviderError};
use crate::provider::metadata::Metadata;
use crate::provider::refusal::{error_code, named, refusal};
use crate::provider::reply::Reply;
use crate::provider::settings::{ProviderSettings, Quirk};
use crate::provider::transport::Form;
use crate::secret::Secret;

/// The tokens of one answer. All are opaque, of any length (OA-23).
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// Always `Some` in an answer; an `Option` because a session may keep none.
    pub access_token: Option<Secret<String>>,
    /// After a refresh: the new one, or the old one where none came (RF-02).
    pub refresh_token: Option<Secret<String>>,
    /// After a refresh: the new one, or `None`: keep the old one (RF-11).
    pub id_token: Option<Secret<String>>,
    /// How long the access token is good for; the configured default where the provider did not say.
    pub expires_in: Duration,
    /// What was granted: as the answer says, or else as asked for (OA-20).
    pub scope: Option<String>,
}

/// A point in the order of events in this process, independent of any clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment(u64);

impl Moment {
    /// Later than all before it.
    pub fn now() -> Self {
        Self(MOMENTS.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }
}

/// How many moments there were.
static MOMENTS: AtomicU64 = AtomicU64::new(0);

impl Provider {
    /// One token request. Never sent twice: a code is used once (OA-10), and a rotated refresh token too.
    pub(super) async fn request_tokens(
        &self,
        metadata: &Metadata,
        form: Form<'_>,
        scope_if_silent: Option<&str>,
    ) -> Result<TokenSet, ProviderError> {
        let reply = self.post_as_client(Endpoint::Token, &metadata.token_endpoint, metadata, form).await?;
        let mut tokens = parse(&reply, &self.settings)?;
        tokens.scope = tokens.scope.or_else(|| scope_if_silent.map(str::to_owned));
        self.transport.incidents.works(Area::Endpoint(Endpoint::Token));
        self.last_served.fetch_max(Moment::now().0, Ordering::Relaxed);
        Ok(tokens)
    }

    /// Whether a token request of any grant succeeded after this moment.
    pub fn has_served_since(&self, moment: Moment) -> bool {
        self.last_served.load(Ordering::Relaxed) > moment.0
    }

    /// A POST with client authentication: to the token endpoint, introspection and revocation.
    pub(super) async fn post_as_client<'a>(
        &'a self,
        endpoint: Endpoint,
        url: &url::Url,
        metadata: &Metadata,
        mut form: Form<'a>,
    ) -> Result<Reply, ProviderError> {
        let authorization = self.prove(metadata, &mut form)?;
        let mut reply = self.transport.post_form(endpoint, url, &form, authorization).await?;
        let secrets =
            form.iter().filter(|(name, _)| SECRET_FIELDS.contains(name)).map(|(_, value)| Secret::from(&**value));
        reply.sent = secrets.chain(self.settings.client_auth.secret().cloned()).collect();
        Ok(reply)
    }
}

/// Reads a successful answer; anything else becomes an error.
fn parse(reply: &Reply, settings: &ProviderSettings) -> Result<TokenSet, ProviderError> {
    if reply.status != StatusCode::OK {
        return Err(refusal(Endpoint::Token, reply));
    }
    let bad = |fault| AnswerFault::at(fault, Endpoint::Token);
    let forgiven = settings.quirks.contains(&Quirk::TokenContentType);
    let answer = match if forgiven { reply.json_of_any_type() } else { reply.json() } {
        Ok(answer) => answer,
        Err(fault) => {
            return Err(error_code(reply).map_or_else(|| bad(fault), |code| named(Endpoint::Token, reply, &code)));
        }
    };
    // Some report errors with status 200.
    if answer.get("error").is_some_and(|error| !error.is_null()) {
        return Err(named(Endpoint::Token, reply, &error_code(reply).unwrap_or_default()));
    }
    token_set(&answer, settings).map_err(bad)
}

/// OA-16 to OA-20.
fn token_set(answer: &Claims, settings: &ProviderSettings) -> Result<TokenSet, AnswerFault> {
    let text = |name| answer.get(name).and_then(Value::as_str);
    let access = text("access_token").filter(|t| is_token(t)).ok_or(AnswerFault::AccessToken)?;
    // Forgiven or not, another type is not one that we could use (OA-17).
    let is_silent = answer.get("token_type").is_none_or(Value::is_null);
    let is_bearer = text("token_type").is_some_and(|t| t.eq_ignore_ascii_case("bearer"));
    let is_forgiven = is_silent && settings.quirks.contains(&Quirk::MissingTokenType);
    if !(is_bearer || is_forgiven) {
        return Err(AnswerFault::TokenType);
    }
    let optional = |name, fault| match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_token(text) => Ok(Some(Secret::new(text.clone()))),
        Some(_) => Err(fault),
    };
    Ok(TokenSet {
        access_token: Some(Secret::from(access)),
        refresh_token: optional("refresh_token", AnswerFault::RefreshToken)?,
        id_token: optional("id_token", AnswerFault::IdToken)?,
        expires_in: expires_in(answer.get("expires_in"))?.unwrap_or(settings.default_expires_in),
        scope: text("scope").map(str::to_owned),
    })
}

/// A non-negative number; also as a decimal string, which plain OAuth 2.0 servers send. Huge values saturate (OA-18).
fn expires_in(value: Option<&Value>) -> Result<Option<Duration>, AnswerFault> {
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(whole) => whole,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, and it is not negative"
            )]
            None => number.as_f64().filter(|n| *n >= 0.0).ok_or(AnswerFault::ExpiresIn)? as u64,
        },
        Some(Value::String(text)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().unwrap_or(u64::MAX)
        }
        Some(_) => return Err(AnswerFault::ExpiresIn),
    };
    Ok(Some(Duration::from_secs(seconds)))
}

/// Printable ASCII ([RFC 6749 appendix A.12](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.12)), so that it can go into a
/// header; nothing else is assumed about it.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// The fields of a form that are redacted from what the answer says.
const SECRET_FIELDS: [&str; 6] =
    ["code", "code_verifier", "refresh_token", "token", "client_secret", "client_assertion"];
