//! The ID token: who signed in, proven (OpenID Connect Core 1.0 sections
//! [3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation) and
//! [12.2](https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokenResponse)).
//!
//! The signature is always verified, also when the token came straight from the token endpoint (ID-06). Checks of the claims are
//! plain functions over values, so that each can be shown by itself.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::algorithm::Algorithm;
use crate::provider::error::{Endpoint, IdTokenError, JwtError, ProviderError};
use crate::provider::issuer::Issuer;
use crate::provider::jwt::Jws;
use crate::provider::metadata::Metadata;
use crate::provider::words::printable;
use crate::secret::constant_time_eq;

impl Provider {
    /// The claims of an ID token whose signature is verified, by an allowed algorithm; nothing else is checked.
    pub(super) async fn signed_claims(&self, metadata: &Metadata, token: &str) -> Result<Signed, ProviderError> {
        let jws = Jws::parse(token).map_err(IdTokenError::Jwt)?;
        let allowed = self.allowed_algorithms(metadata);
        if !allowed.contains(&jws.algorithm) {
            let allowed = allowed.into_iter().map(Algorithm::name).collect::<Vec<_>>().join(", ");
            return Err(IdTokenError::AlgorithmRefused { came: jws.algorithm.name(), allowed }.into());
        }
        self.verified(metadata, &jws).await
    }

    /// The claims of a token once its signature is verified. The caller has checked its algorithm.
    pub(super) async fn verified(&self, metadata: &Metadata, jws: &Jws<'_>) -> Result<Signed, ProviderError> {
        // The types of other profiles' tokens (ID-28, AT-TP-30); others than these do occur in ID tokens.
        let foreign = |typ: &&str| FOREIGN_TYPES.iter().any(|f| typ.to_ascii_lowercase().ends_with(f));
        if let Some(typ) = jws.typ.as_deref().filter(foreign) {
            return Err(IdTokenError::from(JwtError::Type(printable(typ, CAME_CAP))).into());
        }
        self.check_signature(metadata, jws).await?;
        Ok(Signed { claims: jws.claims().map_err(IdTokenError::Jwt)?, algorithm: jws.algorithm })
    }

    /// Whether a key of this provider signed a token.
    pub(super) async fn check_signature(&self, metadata: &Metadata, jws: &Jws<'_>) -> Result<(), ProviderError> {
        match (jws.algorithm.secret_length(), &self.hmac_key) {
            (Some(_), Some(key)) if jws.is_signed_by(key) => Ok(()),
            (Some(_), _) => Err(IdTokenError::from(JwtError::Signature).into()),
            (None, _) if let Some(file) = &self.settings.jwks => {
                let verified = file.current().verify(jws);
                verified.inspect_err(|_| self.transport.metrics.key_unknown()).map_err(|e| IdTokenError::from(e).into())
            }
            (None, _) => {
                let url = metadata.endpoints.jwks_uri.as_ref().ok_or(ProviderError::NoEndpoint(Endpoint::KeySet))?;
                self.keys.verify(&self.transport, url, jws).await
            }
        }
    }

    /// Whether the key that signed a token is still published.
    pub(super) async fn still_verifies(&self, metadata: &Metadata, token: &str) -> bool {
        let Ok(jws) = Jws::parse(token) else { return false };
        match (jws.algorithm.secret_length(), &metadata.endpoints.jwks_uri) {
            (Some(_), _) => self.hmac_key.as_ref().is_some_and(|key| jws.is_signed_by(key)),
            (None, None) => self.settings.jwks.as_ref().is_some_and(|file| file.current().verify(&jws).is_ok()),
            (None, Some(url)) => self.keys.still_verifies(&self.transport, url, &jws).await,
        }
    }

    /// Configured algorithms, or else those that discovery lists; HS* only when configured (ID-07, ID-08).
    pub(super) fn allowed_algorithms(&self, metadata: &Metadata) -> Vec<Algorithm> {
        if self.algorithms.is_empty() { metadata.id_token_algorithms.clone() } else { self.algorithms.clone() }
    }
}

/// Claims whose signature was verified.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) claims: Claims,
    pub(super) algorithm: Algorithm,
}

/// What every ID token must match.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) client_id: &'a str,
    pub(super) audiences: &'a [String],
    pub(super) acr_values: &'a [String],
    pub(super) access_token: &'a str,
    pub(super) now: UnixTime,
    pub(super) leeway: Duration,
}

/// The values of the session that the ID token of a refresh must match.
#[derive(Debug)]
pub(super) struct Before<'a> {
    pub(super) issuer: &'a str,
    pub(super) claims: &'a Claims,
    pub(super) nonce: Option<&'a str>,
    pub(super) auth_time: Option<UnixTime>,
}

/// The `auth_time` of a sign-in after a refresh.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AuthTime {
    /// The older of that of the sign-in and that of the refresh.
    pub(super) at: Option<UnixTime>,
    /// Whether they differ.
    pub(super) moved: bool,
}

impl Expected<'_> {
    /// Checks the token of a sign-in, which sent this nonce and asked for this `max_age`, and gives its `auth_time`.
    pub(super) fn check_sign_in(
        &self,
        token: &Signed,
        sent: &str,
        max_age: Option<Duration>,
    ) -> Result<Option<UnixTime>, IdTokenError> {
        self.check(token)?;
        let claims = &token.claims;
        // ID-14: a code that was injected carries the nonce of another attempt.
        let nonce = claims.get("nonce").ok_or(IdTokenError::NonceMissing)?.as_str().unwrap_or_default();
        if !constant_time_eq(nonce.as_bytes(), sent.as_bytes()) {
            return Err(IdTokenError::Nonce);
        }
        check_acr(claims, self.acr_values)?;
        // ID-16
        let auth_time = self.past_auth_time(claims)?;
        if let Some(max_age) = max_age {
            let Some(at) = auth_time else {
                let future = time(claims, "auth_time")?.ok_or(IdTokenError::AuthTimeMissing)?;
                return Err(IdTokenError::AuthTimeInFuture { ahead: future.since(self.now).as_secs() });
            };
            if self.now.since(at) > max_age.saturating_add(self.leeway) {
                return Err(IdTokenError::AuthTimeOld {
                    ago: self.now.since(at).as_secs(),
                    max_age: max_age.as_secs(),
                });
            }
        }
        Ok(auth_time)
    }

    /// `auth_time`; one in the future says nothing about how long ago a sign-in was.
    fn past_auth_time(&self, claims: &Claims) -> Result<Option<UnixTime>, IdTokenError> {
        let at = time(claims, "auth_time")?;
        Ok(at.filter(|at| *at <= self.now.plus(self.leeway)))
    }

    /// Checks the token of a refresh against the session's (section 12.2).
    pub(super) fn check_refreshed(&self, token: &Signed, before: &Before<'_>) -> Result<AuthTime, IdTokenError> {
        self.check(token)?;
        let claims = &token.claims;
        // RF-08, AT-TP-17: also the tenant stays the same.
        if claims.get("iss").and_then(Value::as_str) != Some(before.issuer) {
            return Err(IdTokenError::Issuer { came: came(claims, "iss"), expected: before.issuer.to_owned() });
        }
        if claims.get("sub") != before.claims.get("sub") {
            return Err(IdTokenError::SubjectChanged);
        }
        if claims.get("azp") != before.claims.get("azp") {
            return Err(IdTokenError::AzpChanged { came: came(claims, "azp"), before: came(before.claims, "azp") });
        }
        // RF-10
        if let Some(nonce) = claims.get("nonce") {
            let same =
                nonce.as_str().zip(before.nonce).is_some_and(|(a, b)| constant_time_eq(a.as_bytes(), b.as_bytes()));
            if !same {
                return Err(IdTokenError::Nonce);
            }
        }
        // ID-15: a token that does not repeat it leaves it as it was.
        if claims.get("acr").is_some_and(|acr| !acr.is_null()) {
            check_acr(claims, self.acr_values)?;
        }
        // RF-09
        let new = self.past_auth_time(claims)?;
        let at = match (new, before.auth_time) {
            (Some(new), Some(old)) => Some(new.min(old)),
            (new, old) => old.or(new),
        };
        let moved = time(claims, "auth_time")?.zip(before.auth_time).is_some_and(|(new, old)| new.secs() != old.secs());
        Ok(AuthTime { at, moved })
    }

    /// What holds for every ID token.
    fn check(&self, token: &Signed) -> Result<(), IdTokenError> {
        let claims = &token.claims;
        // ID-02: byte for byte.
        let issuer = claims.get("iss").ok_or(IdTokenError::IssuerMissing)?.as_str();
        let expected = self.issuer.of_token(claims)?;
        if issuer != Some(&*expected) {
            return Err(IdTokenError::Issuer { came: came(claims, "iss"), expected: expected.to_string() });
        }
        self.check_audience(claims)?;
        self.check_times(claims)?;
        // A logout token is not an ID token (AT-TP-30).
        if claims.get("events").is_some_and(|e| e.get("http://schemas.openid.net/event/backchannel-logout").is_some()) {
            return Err(JwtError::Type("a logout token".to_owned()).into());
        }
        // ID-18
        let subject = claims.get("sub").ok_or(IdTokenError::SubjectMissing)?.as_str().ok_or(IdTokenError::Subject)?;
        if subject.is_empty() || subject.len() > 255 || !subject.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(IdTokenError::Subject);
        }
        // ID-17, RF-12
        if let Some(hash) = claims.get("at_hash") {
            let wanted = at_hash(token.algorithm, self.access_token);
            if !hash.as_str().is_some_and(|h| constant_time_eq(h.as_bytes(), wanted.as_bytes())) {
                return Err(IdTokenError::AtHash);
            }
        }
        Ok(())
    }

    /// ID-03, ID-04, ID-05.
    fn check_audience(&self, claims: &Claims) -> Result<(), IdTokenError> {
        let client_id = || self.client_id.to_owned();
        let audiences = audiences(claims).ok_or(IdTokenError::AudienceMissing)?;
        if !audiences.contains(&self.client_id) {
            return Err(IdTokenError::Audience { came: came(claims, "aud"), client_id: client_id() });
        }
        if let Some(stranger) =
            audiences.iter().find(|a| **a != self.client_id && !self.audiences.iter().any(|known| known == *a))
        {
            return Err(IdTokenError::AudienceStranger(printable(stranger, CAME_CAP)));
        }
        match claims.get("azp") {
            Some(azp) if azp.as_str() == Some(self.client_id) => Ok(()),
            None if audiences.len() == 1 => Ok(()),
            _ => Err(IdTokenError::Azp { came: came(claims, "azp"), client_id: client_id() }),
        }
    }

    /// ID-11, ID-12, ID-13.
    fn check_times(&self, claims: &Claims) -> Result<(), IdTokenError> {
        let latest = self.now.plus(self.leeway);
        let ahead = |time: UnixTime| time.since(self.now).as_secs();
        let expires = time(claims, "exp")?.ok_or(IdTokenError::ExpiryMissing)?;
        if expires.plus(self.leeway) <= self.now {
            return Err(IdTokenError::Expired { ago: self.now.since(expires).as_secs() });
        }
        let issued = time(claims, "iat")?.ok_or(IdTokenError::IssuedMissing)?;
        if issued > latest {
            return Err(IdTokenError::IssuedInFuture { ahead: ahead(issued) });
        }
        if self.now.since(issued) > MAX_AGE.saturating_add(self.leeway) {
            return Err(IdTokenError::IssuedLongAgo { ago: self.now.since(issued).as_secs() });
        }
        match time(claims, "nbf")? {
            Some(nbf) if nbf > latest => Err(IdTokenError::NotYetValid { ahead: ahead(nbf) }),
            _ => Ok(()),
        }
    }
}

/// Whether `acr` is one of those that are asked for, if any are (ID-15).
pub(super) fn check_acr<S: AsRef<str>>(claims: &Claims, asked: &[S]) -> Result<(), IdTokenError> {
    let acr = claims.get("acr").and_then(Value::as_str);
    if asked.is_empty() || acr.is_some_and(|acr| asked.iter().any(|wanted| wanted.as_ref() == acr)) {
        return Ok(());
    }
    let wanted: Vec<&str> = asked.iter().map(AsRef::as_ref).collect();
    Err(IdTokenError::Acr { came: came(claims, "acr"), wanted: wanted.join(", ") })
}

/// A claim for messages.
fn came(claims: &Claims, name: &str) -> String {
    match claims.get(name) {
        None => "missing".to_owned(),
        Some(Value::String(text)) => printable(text, CAME_CAP),
        Some(Value::Array(list)) => {
            let items: Vec<String> =
                list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
            printable(&items.join(", "), CAME_CAP)
        }
        Some(other) => printable(&other.to_string(), CAME_CAP),
    }
}

/// The audiences: a string, or an array of strings with at least one; `None` for anything else.
pub(super) fn audiences(claims: &Claims) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A NumericDate: a whole or fractional, finite, non-negative number (ID-19); absent is `None`.
pub(super) fn time(claims: &Claims, name: &'static str) -> Result<Option<UnixTime>, IdTokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(whole) = value.as_u64() {
        return Ok(Some(UnixTime::from_secs(whole)));
    }
    match value.as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and it is not negative"
        )]
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            Ok(Some(UnixTime::from_millis((seconds * 1000.0) as u64)))
        }
        _ => Err(IdTokenError::Time(name)),
    }
}

/// The left half of the hash of the access token (section 3.1.3.6).
fn at_hash(algorithm: Algorithm, access_token: &str) -> String {
    let hash = digest::digest(algorithm.hash(), access_token.as_bytes());
    let bytes = hash.as_ref();
    URL_SAFE_NO_PAD.encode(bytes.get(..bytes.len() / 2).unwrap_or_default())
}

/// An ID token is made when it is handed out, so it is never older than this when we get it.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// How the types of other tokens end.
const FOREIGN_TYPES: [&str; 4] = ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt"];
/// The most characters of a claim in a message.
const CAME_CAP: usize = 200;
