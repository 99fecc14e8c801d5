//! Logout tokens: what a provider sends, from server to server, to end sessions
//! ([OpenID Connect Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html) sections 2.4 and
//! 2.6).
//!
//! A forged token must cost nothing but time: everything that can be told without a key is checked before the key set is asked
//! for.

use std::time::Duration;

use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::algorithm::Algorithm;
use crate::provider::error::{IdTokenError, JwtError, LogoutRefusal, LogoutTokenError, ProviderError};
use crate::provider::id_token::{audiences, time};
use crate::provider::jwt::Jws;
use crate::provider::settings::{LogoutTokenType, Quirk};
use crate::provider::words::printable;

/// For whom a logout token says that it is. Nothing of it is proven.
#[derive(Debug)]
pub struct LogoutAddress {
    issuer: String,
    audiences: Vec<String>,
}

impl LogoutAddress {
    /// Reads it off a token.
    ///
    /// # Errors
    /// The token is no JWT, or lacks `iss` or `aud`.
    pub fn read(token: &str) -> Result<Self, LogoutTokenError> {
        let claims = Jws::parse(token)?.claims()?;
        let issuer = claims.get("iss").and_then(Value::as_str).ok_or(LogoutTokenError::Issuer)?;
        let audiences = audiences(&claims).ok_or(LogoutTokenError::Audience)?;
        Ok(Self { issuer: issuer.to_owned(), audiences: audiences.into_iter().map(str::to_owned).collect() })
    }

    /// Whether it names this provider.
    pub fn comes_from(&self, provider: &Provider) -> bool {
        provider.is_named_by(&self.issuer)
    }

    /// Whether it names this provider, and the client that we are there.
    pub fn names(&self, provider: &Provider) -> bool {
        self.comes_from(provider) && self.audiences.contains(&provider.settings().client_id)
    }
}

/// A logout token that verified: which sessions of this client are over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogoutToken {
    /// The issuer, as sessions name it.
    pub issuer: String,
    /// The one session that ends; the subject's all where there is none.
    pub sid: Option<String>,
    /// The subject whose sessions end.
    pub subject: Option<String>,
    /// Names this token.
    pub jti: String,
}

impl Provider {
    /// Checks a logout token; whether it came before is for the caller to know.
    ///
    /// # Errors
    /// The token is refused, or the key set cannot be read.
    pub async fn check_logout_token(&self, token: &str) -> Result<LogoutToken, LogoutRefusal> {
        let jws = Jws::parse(token).map_err(LogoutTokenError::from)?;
        self.check_type(&jws)?;
        let claims = jws.claims().map_err(LogoutTokenError::from)?;
        let expected = self.metadata.issuer().of_token(&claims).map_err(|_| LogoutTokenError::Issuer)?;
        let checked = Rules { leeway: self.settings.clock_leeway, now: self.clock.now(), provider: self };
        let told = checked.check(&claims, &expected)?;
        let metadata = self.metadata.get(&self.transport).await?;
        let allowed = self.allowed_algorithms(&metadata);
        if !allowed.contains(&jws.algorithm) {
            let allowed = allowed.into_iter().map(Algorithm::name).collect::<Vec<_>>().join(", ");
            return Err(LogoutTokenError::Algorithm { came: jws.algorithm.name().to_owned(), allowed }.into());
        }
        self.check_signature(&metadata, &jws).await.map_err(|error| match error {
            ProviderError::IdToken(IdTokenError::Jwt(fault)) => LogoutRefusal::Token(fault.into()),
            other => LogoutRefusal::Provider(other),
        })?;
        Ok(told)
    }

    /// `typ`: absent, `JWT` or `logout+jwt`, in any case, also with `application/`; the last alone where that is required
    /// ([RFC 8725 section 3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11), BC-08).
    fn check_type(&self, jws: &Jws<'_>) -> Result<(), LogoutTokenError> {
        let typ = jws.typ.as_deref().map(str::to_ascii_lowercase);
        let short = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        match (short, self.settings.logout_token_typ) {
            (Some("logout+jwt"), _) | (None | Some("jwt"), LogoutTokenType::Any) => Ok(()),
            (typ, _) => Err(LogoutTokenError::Type(printable(typ.unwrap_or("none"), LONGEST_SHOWN))),
        }
    }
}

/// What the claims of a logout token have to keep to.
struct Rules<'a> {
    leeway: Duration,
    now: UnixTime,
    provider: &'a Provider,
}

impl Rules<'_> {
    /// Checks the claims; the signature is not looked at.
    fn check(&self, claims: &Claims, issuer: &str) -> Result<LogoutToken, LogoutTokenError> {
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(LogoutTokenError::Issuer);
        }
        self.check_audience(claims)?;
        self.check_times(claims)?;
        // BC-04: other members do not matter, and neither does what is in the object.
        let event = claims.get("events").and_then(|events| events.get(EVENT));
        event.filter(|event| event.is_object()).ok_or(LogoutTokenError::Event)?;
        // BC-05: an ID token is none.
        if claims.contains_key("nonce") {
            return Err(LogoutTokenError::Nonce);
        }
        let jti = text(claims, "jti")?.ok_or(LogoutTokenError::IdMissing)?;
        let (sid, subject) = (text(claims, "sid")?, text(claims, "sub")?);
        // BC-06
        if sid.is_none() && subject.is_none() {
            return Err(LogoutTokenError::Nobody);
        }
        Ok(LogoutToken { issuer: issuer.to_owned(), sid, subject, jti })
    }

    /// As of an ID token, but without `azp` (BC-02, BC-14).
    fn check_audience(&self, claims: &Claims) -> Result<(), LogoutTokenError> {
        let settings = &self.provider.settings;
        let audiences = audiences(claims).ok_or(LogoutTokenError::Audience)?;
        let known = |audience: &&str| settings.audiences.iter().any(|known| known == audience);
        let all_known = audiences.iter().all(|audience| *audience == settings.client_id || known(audience));
        let names_us = audiences.contains(&settings.client_id.as_str());
        if names_us && all_known { Ok(()) } else { Err(LogoutTokenError::Audience) }
    }

    /// BC-03: a token is for now.
    fn check_times(&self, claims: &Claims) -> Result<(), LogoutTokenError> {
        let read = |name| time(claims, name).map_err(|_| LogoutTokenError::Time(name));
        let may_lack_exp = self.provider.settings.quirks.contains(&Quirk::LogoutTokenWithoutExp);
        match read("exp")? {
            Some(expires) if expires.plus(self.leeway) <= self.now => {
                return Err(LogoutTokenError::Expired { ago: self.now.since(expires).as_secs() });
            }
            None if !may_lack_exp => return Err(LogoutTokenError::ExpiryMissing),
            _ => {}
        }
        let issued = read("iat")?.ok_or(LogoutTokenError::IssuedMissing)?;
        if issued > self.now.plus(self.leeway) {
            return Err(LogoutTokenError::IssuedInFuture { ahead: issued.since(self.now).as_secs() });
        }
        let ago = self.now.since(issued);
        if ago > MAX_AGE.saturating_add(self.leeway) {
            return Err(LogoutTokenError::IssuedLongAgo { ago: ago.as_secs() });
        }
        Ok(())
    }
}

/// A claim that is a text where it is there, and not an empty one.
fn text(claims: &Claims, name: &'static str) -> Result<Option<String>, LogoutTokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=LONGEST_ID).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err(LogoutTokenError::Text(name)),
    }
}

impl From<JwtError> for LogoutTokenError {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Signature => Self::Signature,
            JwtError::KeyUnknown { .. } | JwtError::KeyUnknownYet { .. } => Self::KeyUnknown(error.to_string()),
            other => Self::Malformed(other.to_string()),
        }
    }
}

/// How long a token is remembered after it was taken: whatever comes later is too old to be taken (BC-07).
pub fn remembered_for(leeway: Duration) -> Duration {
    MAX_AGE.saturating_add(leeway.saturating_mul(2))
}

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A token is sent when it is made.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// Bytes of a `sid`, a `sub` or a `jti`.
const LONGEST_ID: usize = 512;
/// The most characters of a claim in a message.
const LONGEST_SHOWN: usize = 64;
