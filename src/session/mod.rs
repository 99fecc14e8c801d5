//! Sessions: what is known of somebody who signed in.
//!
//! A session is its [id](SessionId) and generation: the id stays from the sign-in on, the generation counts the renewals of its
//! tokens. What a browser holds of it is a handle: for sessions in cookies the sealed session itself.
//!
//! ```text
//!   sign-in ──► begun ──► live ──────────────────────────────► over: signed out, idle, past its lifetime, or ended by the provider
//!                         │  ▲
//!                   touch │  │ once in a tenth of the idle timeout: the same generation, sealed anew
//!                         ├──┤
//!                 renewal │  │ the access token is nearly over, or it is time to ask who it is: the next generation (see refresh.rs)
//!                         └──┘
//! ```
//!
//! [`sessions::Sessions`] is where requests ask; [`live::LiveSession`] is what they share; [`registry::Registry`] is what this
//! process knows beyond the cookies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;
use crate::hex;
use crate::identity::{ClaimMapping, Claims};
use crate::provider::AskedClaims;
use crate::remembered::{Mark, Party};
use crate::seal;
use crate::secret::Secret;

use self::settings::{SessionSettings, TokenKinds};

mod ask_again;
pub mod attempt;
mod carried;
mod cell;
mod claims_log;
mod codec;
pub mod cookie_store;
pub mod ended;
mod find;
pub mod jar;
pub mod live;
mod record;
mod refresh;
pub mod registry;
mod renewal;
pub mod rounds;
pub mod sessions;
mod set_cookie;
pub mod settings;
pub mod store;
mod succession;
mod trimmed;
mod upkeep;
pub mod weight;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
#[path = "tests/sizes.rs"]
mod sizes;

/// One sign-in at one provider, whole, as a store keeps it. Requests use a [`LiveSession`](live::LiveSession) instead, which holds
/// no token: few secrets are in memory, and a session without its tokens cannot be stored in place of one that has them.
#[derive(Clone, PartialEq)]
pub struct Session {
    /// New at each sign-in (CK-16), the same through all refreshes.
    pub id: SessionId,
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The issuer, as in [`Identity::issuer`](crate::identity::Identity::issuer).
    pub issuer: Arc<str>,
    /// When the person signed in: the absolute lifetime counts from here.
    pub created: UnixTime,
    /// When the session was last renewed: the idle timeout counts from here.
    pub active: UnixTime,
    /// When the person last proved who they are to the provider (`auth_time`), if it said.
    pub auth_time: Option<UnixTime>,
    /// The tokens, as far as the settings keep them.
    pub tokens: Tokens,
    /// When we received the access token.
    pub access_issued: UnixTime,
    /// When the access token expires; none when it never does.
    pub access_expires: Option<UnixTime>,
    /// How often the tokens were refreshed.
    pub generation: u32,
    /// The claims of the ID token and of userinfo, merged.
    pub claims: Claims,
    /// Which of the claims came from userinfo or introspection.
    pub asked: Option<AskedClaims>,
    /// The nonce of the sign-in, which a refreshed ID token may repeat.
    pub nonce: Option<String>,
    /// The scope that was granted.
    pub scope: Option<String>,
}

impl Session {
    /// When this session is over unless it is renewed: the first of its absolute end, its idle end, and the end of an access
    /// token that nothing can renew. This goes into the sealed value, so that no cookie date and no constant activity can
    /// stretch it (CK-11, AT-CS-21).
    pub fn ends(&self, settings: &SessionSettings) -> UnixTime {
        self.absolute_end(settings).min(self.active.plus(settings.idle_timeout))
    }

    /// The end that no activity moves.
    pub fn absolute_end(&self, settings: &SessionSettings) -> UnixTime {
        let ends = self.created.plus(settings.lifetime);
        match (self.access_expires, self.tokens.refresh.is_some()) {
            // Nothing vouches for the person any longer.
            (Some(expires), false) => ends.min(expires),
            _ => ends,
        }
    }

    /// The same, used now. What lies in the future then was written by a clock that was set back since: counted from now on it is
    /// no longer than it was, and a sign-in in the future says nothing about its age.
    fn brought_to(mut self, now: UnixTime, leeway: Duration) -> Self {
        self.active = now;
        self.created = self.created.min(now);
        self.auth_time = self.auth_time.filter(|at| *at <= now.plus(leeway));
        if self.access_issued > now {
            self.access_expires = self.access_expires.map(|at| now.plus(at.since(self.access_issued)));
            self.access_issued = now;
        }
        self
    }

    /// Which of two sessions of one person is the newer: compare.
    fn age_order(&self) -> (UnixTime, UnixTime, u32) {
        (self.created, self.active, self.generation)
    }

    /// On whose account something is remembered of it, a session of the provider with this mapping.
    fn owner(&self, mapping: &ClaimMapping) -> Party {
        Party::subject(&self.issuer, mapping.subject_of(&self.claims).as_deref().unwrap_or_default())
    }

    /// Whether both belong to one person: issuer and subject are equal, and there is a subject. Both are sessions of the provider
    /// whose `mapping` says which claim that is.
    pub fn same_person(&self, other: &Self, mapping: &ClaimMapping) -> bool {
        let subject = mapping.subject_of(&self.claims);
        subject.is_some() && subject == mapping.subject_of(&other.claims) && self.issuer == other.issuer
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The tokens of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// The access token.
    pub access: Option<Secret<String>>,
    /// The refresh token.
    pub refresh: Option<Secret<String>>,
    /// The ID token, byte for byte as the provider sent it.
    pub id_token: Option<Secret<String>>,
}

impl Tokens {
    /// These tokens without those that are not meant.
    pub fn only(self, kept: TokenKinds) -> Self {
        Self {
            access: self.access.filter(|_| kept.access),
            refresh: self.refresh.filter(|_| kept.refresh),
            id_token: self.id_token.filter(|_| kept.id_token),
        }
    }
}

/// Names one sign-in. Prints as its hash, so that a log line cannot be turned back into it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A new one.
    pub fn random() -> Self {
        Self(seal::random())
    }

    /// The one with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// 16 hex digits of its hash: the session's name in logs and pages.
    pub fn short(&self) -> String {
        let hash = Sha256::digest(self.0);
        hex::encode(hash.get(..8).unwrap_or(&hash))
    }
}

impl From<&SessionId> for Mark {
    fn from(id: &SessionId) -> Self {
        id.0.into()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ClaimPath;

    // CK-16: what a log shows of a session cannot be used as one.
    #[test]
    fn nothing_secret_is_printed() {
        let sample = samples::padded();
        let session = sample.session();
        let shown = format!("{session:?} {:?} {:?}", session.tokens, session.id);
        assert!(shown.contains(&session.id.short()));
        let raw: String = session.id.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [&raw, &sample.access, &sample.refresh, &sample.id_token, session.nonce.as_ref().unwrap()] {
            assert!(!shown.contains(secret.as_str()), "{shown}");
        }
        assert_ne!(SessionId::random(), SessionId::random());
    }

    #[test]
    fn only_the_tokens_that_are_meant_are_kept() {
        let tokens = samples::padded().session().tokens;
        let kept = tokens.clone().only(TokenKinds { access: false, refresh: true, id_token: false });
        assert_eq!(kept, Tokens { refresh: tokens.refresh, ..Tokens::default() });
    }

    // AT-TP-18: a subject means nothing without its issuer, and nobody is the same as nobody.
    #[test]
    fn a_person_is_issuer_and_subject() {
        let by_sub = ClaimMapping::default();
        let session = samples::padded().session();
        let mut other = session.clone();
        assert!(session.same_person(&other, &by_sub));
        other.issuer = "https://elsewhere.example".into();
        assert!(!session.same_person(&other, &by_sub));
        let mut nobody = session.clone();
        nobody.claims.remove("sub");
        assert!(!nobody.same_person(&nobody.clone(), &by_sub) && !nobody.same_person(&session, &by_sub));
    }

    #[test]
    fn a_person_is_known_by_the_claim_that_is_mapped() {
        let by_id = ClaimMapping { subject: ClaimPath::parse("/user/id").unwrap(), ..ClaimMapping::default() };
        let sample = samples::padded();
        let with = |sub: &str, id: serde_json::Value| {
            let mut session = sample.session();
            session.claims.insert("sub".into(), sub.into());
            session.claims.insert("user".into(), serde_json::json!({ "id": id }));
            session
        };
        let ann = with("a", 4711.into());
        assert!(ann.same_person(&with("b", 4711.into()), &by_id));
        assert!(ann.same_person(&with("a", "4711".into()), &by_id));
        assert!(!ann.same_person(&with("a", 4712.into()), &by_id));
        assert!(!with("a", "".into()).same_person(&with("a", "".into()), &by_id));
    }
}
