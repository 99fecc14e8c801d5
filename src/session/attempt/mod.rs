//! Login attempts: what one tab must still know when the provider sends it back.
//!
//! Two values leave us. The `state` parameter is the attempt's id and a sealed note of the provider, the return-to and the round, so
//! that a callback whose cookie is gone still leads to its page. The cookie of that id holds the nonce, the PKCE verifier and a hash
//! of the state, so that only the browser that started a sign-in can end it (AT-LF-01, AT-LF-02). Each attempt has
//! a cookie of its own (CK-05): ten tabs end on ten pages.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use super::set_cookie::SetCookie;
use super::settings::SessionSettings;
use crate::clock::UnixTime;
use crate::request::cookies::{AttemptPiece, CookieScan, OwnCookies};
use crate::request::return_to::ReturnTo;
use crate::seal::{self, KeyRing, OpenError, Purpose, Sealer};
use crate::secret::{Secret, constant_time_eq};

/// One sign-in under way, made by [`Attempts::start`] and found again by [`Attempts::find`].
#[derive(Clone)]
pub struct Attempt {
    /// Names its cookie.
    pub id: String,
    /// The `state` parameter of the authorization request.
    pub state: Secret<String>,
    /// The `nonce` of the authorization request.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: Secret<String>,
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The page that was asked for.
    pub return_to: ReturnTo,
    /// When it started.
    pub started: UnixTime,
    /// How many attempts in a row went before it, to break loops.
    pub round: u8,
    /// How old the sign-in at the provider may be, where a route asked for it: to be said again when the code is redeemed.
    pub max_age: Option<Duration>,
    seeds: Seeds,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Attempt");
        shown
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("round", &self.round)
            .finish_non_exhaustive()
    }
}

/// Starts, remembers and finds login attempts.
#[derive(Clone, Debug)]
pub struct Attempts {
    names: OwnCookies,
    lines: SetCookie,
    ring: Arc<KeyRing>,
    life: Duration,
}

impl Attempts {
    /// Attempts in cookies of these names.
    pub fn new(settings: &SessionSettings, names: OwnCookies, ring: Arc<KeyRing>) -> Self {
        Self { names, lines: SetCookie::sign_in(&settings.cookie), ring, life: settings.attempt_life }
    }

    /// A new attempt at this provider, for a person who asked for `return_to`. A return-to too long for any cookie is replaced
    /// by the root of its host.
    pub fn start(&self, provider: Arc<str>, return_to: ReturnTo, round: u8, now: UnixTime) -> Attempt {
        let fits = portable(&return_to, COOKIE_RETURN_TO_MAX).is_some();
        let return_to = if fits { return_to } else { ReturnTo::root(return_to.host().clone()) };
        let id = URL_SAFE_NO_PAD.encode(seal::random::<ID_BYTES>());
        let note = Note { provider: &provider, round, return_to: portable(&return_to, STATE_RETURN_TO_MAX) };
        let note = postcard::to_stdvec(&note).unwrap_or_default();
        // 72 random bits of the id and 96 of the seal's nonce (RFC 6749 section 10.10).
        let state = format!("{id}{}", self.state_sealer(&id).seal(&note, now.plus(self.life), now));
        let seeds = Seeds { nonce: seal::random(), verifier: seal::random() };
        Attempt::assemble(id, state, seeds, provider, return_to, now, round)
    }

    /// The Set-Cookie lines that make the browser remember `attempt`, and forget what is over and the oldest of too many (CK-09).
    pub fn begin(&self, attempt: &Attempt, scan: &CookieScan, now: UnixTime) -> Vec<HeaderValue> {
        let in_state = portable(&attempt.return_to, STATE_RETURN_TO_MAX).is_some();
        let memory = Memory {
            state: fingerprint(attempt.state.expose()),
            seeds: attempt.seeds.clone(),
            started: attempt.started.secs(),
            return_to: (!in_state).then(|| attempt.return_to.clone()),
            max_age: attempt.max_age.map(|age| age.as_secs()),
        };
        let memory = postcard::to_stdvec(&memory).unwrap_or_default();
        let name = self.names.attempt_name(&attempt.id);
        let sealed = self.cookie_sealer(&attempt.id).seal(&memory, attempt.started.plus(self.life), now);
        let mut lines = vec![self.lines.set(&name, &sealed, Some(self.life))];
        lines
            .extend(self.surplus(&scan.attempts, name.len() + sealed.len(), now).into_iter().map(|id| self.finish(id)));
        lines
    }

    /// The attempt that a callback with this `state` ends: sealed by us, still in time, and started by this very browser. To be
    /// asked before the code is looked at.
    ///
    /// # Errors
    /// There is none; the error tells what can still be done for the person.
    pub fn find(&self, scan: &CookieScan, state: Option<&str>, now: UnixTime) -> Result<Attempt, AttemptError> {
        let state = state.filter(|state| !state.is_empty()).ok_or(AttemptError::StateMissing)?;
        let (id, lost, expires) = self.read_state(state).ok_or(AttemptError::StateForged)?;
        if expires <= now {
            return Err(AttemptError::StateExpired(lost));
        }
        let mut cookies = scan.attempts.iter().filter(|cookie| cookie.id.as_str() == id).peekable();
        if cookies.peek().is_none() {
            return Err(AttemptError::CookieMissing(lost));
        }
        // Of several cookies of one name any may be the genuine one (CK-12).
        let Some(memory) = cookies.find_map(|cookie| self.remembered(cookie, state, now).ok()) else {
            return Err(AttemptError::CookieForged(lost));
        };
        let Some(return_to) = lost.return_to.clone().or(memory.return_to) else {
            return Err(AttemptError::CookieForged(lost));
        };
        let started = UnixTime::from_secs(memory.started);
        let max_age = memory.max_age.map(Duration::from_secs);
        let attempt =
            Attempt::assemble(id.into(), state.into(), memory.seeds, lost.provider, return_to, started, lost.round);
        Ok(Attempt { max_age, ..attempt })
    }

    /// The Set-Cookie line that makes the browser forget the attempt: with every answer to its callback (SB-02).
    pub fn finish(&self, id: &str) -> HeaderValue {
        self.lines.delete(&self.names.attempt_name(id))
    }

    /// A cookie of ours beside the attempts, for what needs no seal; without a life it is deleted.
    pub fn note(&self, name: &str, value: &str, life: Option<Duration>) -> HeaderValue {
        match life {
            Some(life) => self.lines.set(name, value, Some(life)),
            None => self.lines.delete(name),
        }
    }

    /// The id, the note and the end of an attempt of ours, whoever started it.
    fn read_state<'s>(&self, state: &'s str) -> Option<(&'s str, Lost, UnixTime)> {
        let (id, sealed) = state.split_at_checked(ID_LEN).filter(|_| state.len() <= STATE_MAX)?;
        let opened = self.state_sealer(id).open_at_any_age(sealed).ok()?;
        let note: Note<'_> = postcard::from_bytes(&opened.plaintext).ok()?;
        let lost =
            Lost { id: id.to_owned(), provider: note.provider.into(), return_to: note.return_to, round: note.round };
        Some((id, lost, opened.expires))
    }

    fn remembered(&self, cookie: &AttemptPiece, state: &str, now: UnixTime) -> Result<Memory, OpenError> {
        let opened = self.cookie_sealer(cookie.id.as_str()).open(cookie.value.as_str(), now)?;
        let memory: Memory = postcard::from_bytes(&opened.plaintext).map_err(|_| OpenError::Malformed)?;
        if constant_time_eq(&memory.state, &fingerprint(state)) { Ok(memory) } else { Err(OpenError::Tampered) }
    }

    /// Which attempts have to go so that the newest ones and a cookie of `new` bytes stay within the caps. What they say of their
    /// age is not proven; a lie costs the liar's own browser an attempt.
    fn surplus<'s>(&self, attempts: &'s [AttemptPiece], new: usize, now: UnixTime) -> Vec<&'s str> {
        let mut by_age: Vec<(Reverse<UnixTime>, &AttemptPiece)> = attempts
            .iter()
            .map(|cookie| (Reverse(Sealer::peek_expiry(cookie.value.as_str()).unwrap_or_default()), cookie))
            .collect();
        by_age.sort_by_key(|(expiry, _)| *expiry);
        let (mut count, mut bytes) = (1, new);
        let mut gone = Vec::new();
        for (Reverse(expiry), cookie) in by_age {
            let id = cookie.id.as_str();
            if expiry > now && expiry <= now.plus(self.life) {
                count += 1;
                bytes += self.names.attempt_name(id).len() + cookie.value.as_bytes().len();
                if count <= ATTEMPTS_MAX && bytes <= BYTES_MAX {
                    continue;
                }
            }
            if !gone.contains(&id) {
                gone.push(id);
            }
        }
        // The oldest first, and no more than fit into the head of an answer: the next attempt takes the rest.
        gone.into_iter().rev().take(DELETIONS_MAX).collect()
    }

    /// The id is the name under which the state is sealed, so that the two can not be parted.
    fn state_sealer(&self, id: &str) -> Sealer {
        self.ring.sealer(Purpose::State, id)
    }

    fn cookie_sealer(&self, id: &str) -> Sealer {
        self.ring.sealer(Purpose::LoginAttempt, &self.names.attempt_name(id))
    }
}

/// What is known of an attempt that can not be ended here: enough to offer a fresh one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lost {
    /// Its name.
    pub id: String,
    /// The configured name of the provider, which may be gone from the configuration.
    pub provider: Arc<str>,
    /// The page that was asked for; none when it was too long for the state.
    pub return_to: Option<ReturnTo>,
    /// The round of the lost attempt.
    pub round: u8,
}

/// Why a callback ends no attempt.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AttemptError {
    /// No state, or an empty one: nothing that we sent anybody to.
    #[error("the callback has no state")]
    StateMissing,
    /// A state that we did not make.
    #[error("the callback's state is not one of ours")]
    StateForged,
    /// Ours, but the attempt is over.
    #[error("the sign-in took too long")]
    StateExpired(Lost),
    /// This browser has no such attempt: it ended already, its cookies are blocked, or it was started elsewhere.
    #[error("the browser sent no cookie of this sign-in")]
    CookieMissing(Lost),
    /// It has a cookie of that name, which is not the one that we gave to whoever started the attempt.
    #[error("the cookie of this sign-in does not belong to its state")]
    CookieForged(Lost),
}

impl AttemptError {
    /// A stable reason for logs, metrics and pages.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::StateMissing => "state_missing",
            Self::StateForged => "state_forged",
            Self::StateExpired(_) => "state_expired",
            Self::CookieMissing(_) => "attempt_cookie_missing",
            Self::CookieForged(_) => "attempt_cookie_forged",
        }
    }

    /// What is known of the attempt, where the state was one of ours.
    pub const fn lost(&self) -> Option<&Lost> {
        match self {
            Self::StateMissing | Self::StateForged => None,
            Self::StateExpired(lost) | Self::CookieMissing(lost) | Self::CookieForged(lost) => Some(lost),
        }
    }
}

impl Attempt {
    fn assemble(
        id: String,
        state: String,
        seeds: Seeds,
        provider: Arc<str>,
        return_to: ReturnTo,
        started: UnixTime,
        round: u8,
    ) -> Self {
        let nonce = URL_SAFE_NO_PAD.encode(seeds.nonce);
        let verifier = Secret::new(URL_SAFE_NO_PAD.encode(seeds.verifier));
        Self {
            id,
            state: Secret::new(state),
            nonce,
            verifier,
            provider,
            return_to,
            started,
            round,
            max_age: None,
            seeds,
        }
    }
}

/// What the state carries. The format is fixed by the seal's version and by the golden values of the tests.
#[derive(Deserialize, Serialize)]
struct Note<'a> {
    provider: &'a str,
    round: u8,
    return_to: Option<ReturnTo>,
}

/// What the cookie carries.
#[derive(Deserialize, Serialize)]
struct Memory {
    state: [u8; 16],
    seeds: Seeds,
    /// Seconds since the epoch.
    started: u64,
    /// Where the state has no room for it.
    return_to: Option<ReturnTo>,
    /// Seconds.
    max_age: Option<u64>,
}

/// The random bytes of which the nonce (128 bits) and the verifier (256 bits, RFC 7636 section 7.1) are the text.
#[derive(Clone, Deserialize, Serialize)]
struct Seeds {
    nonce: [u8; 16],
    verifier: [u8; 32],
}

impl Drop for Seeds {
    fn drop(&mut self) {
        self.nonce.zeroize();
        self.verifier.zeroize();
    }
}

fn portable(return_to: &ReturnTo, max: usize) -> Option<ReturnTo> {
    let len = return_to.host().authority().len() + return_to.path_and_query().len();
    (len <= max).then(|| return_to.clone())
}

fn fingerprint(state: &str) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(Sha256::digest(state)) {
        *to = from;
    }
    half
}

const ID_BYTES: usize = 9;
const ID_LEN: usize = 12;
/// A URL of more than about 2 KB is refused somewhere on the way.
const STATE_RETURN_TO_MAX: usize = 1024;
const COOKIE_RETURN_TO_MAX: usize = 2048;
/// Longer than any state of ours (AT-LF-05).
const STATE_MAX: usize = 2048;
const ATTEMPTS_MAX: usize = 5;
const DELETIONS_MAX: usize = 32;
/// Names and values of all attempts (AT-CS-15): half of what a front proxy usually takes.
const BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
