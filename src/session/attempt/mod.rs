//! Login attempts: what one tab must still know when the provider sends it back.
//!
//! Two values leave us. The `state` parameter is the attempt's id and a sealed text of the provider, the return-to, the round and the
//! aim, so that a callback whose cookie is gone still leads to its page. The cookie of that id holds the nonce, the PKCE verifier,
//! the redirect URI and a hash of the state, so that only the browser that started a sign-in can end it (AT-LF-01, AT-LF-02). Each
//! attempt has a cookie of its own (CK-05): ten tabs end on ten pages. Neither value depends on what the configuration calls our
//! cookies or our callback: both may change before the browser comes back.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::content::{CookieContent, PackedReturnTo, Seeds};
use super::set_cookie::{LINE_MAX, SetCookie};
use super::settings::SessionSettings;
use crate::clock::UnixTime;
use crate::provider::Hints;
use crate::request::cookies::{AttemptPiece, CookieScan, OwnCookies};
use crate::request::return_to::ReturnTo;
use crate::seal::{self, KeyRing, NONCE_LEN, OpenError, Purpose, Sealer};
use crate::secret::{Secret, constant_time_eq};

mod content;

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
    /// When it started.
    pub started: UnixTime,
    /// What it was started for.
    pub intent: Intent,
    /// Of what the nonce and the verifier are the text.
    seeds: Seeds,
}

/// What an attempt is started for.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The configured name of the provider.
    pub provider: Arc<str>,
    /// The page that was asked for.
    pub return_to: ReturnTo,
    /// The redirect URI of the authorization request: the exchange of the code repeats it byte for byte
    /// ([RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)).
    pub redirect_uri: String,
    /// Which round of its sign-in it is.
    pub round: Round,
    /// What it is for.
    pub aim: Aim,
    /// How old the sign-in at the provider may be, where a route asked for it: to be said again when the code is redeemed.
    pub max_age: Option<Duration>,
    /// What the link that began it handed on, for the second round and for the check of what was asked.
    pub hints: Hints,
    /// Whether its cookie has to come along with a POST from another site. Not remembered: it says how the cookie is set.
    pub across_sites: bool,
}

/// The rounds of one sign-in (OA-07). There is no third, so nothing that a provider answers can make a loop.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Round {
    /// The one that a person began.
    First,
    /// The silent second one, which may cure how the first one ended.
    Second,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Aim {
    /// To sign in.
    SignIn,
    /// To sign in with another account: the provider was asked to let the person choose (`prompt=select_account`).
    SwitchAccount,
    /// To sign out at the provider and to sign in afterwards. Its state goes to the end-session endpoint and ends no sign-in.
    SignOutFirst,
    /// To sign in as whom a third party named (`login_hint`), which the provider may refuse.
    Hinted,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address of the page may hold what others should not read.
        let Intent { provider, round, aim, .. } = &self.intent;
        let mut shown = f.debug_struct("Attempt");
        shown.field("id", &self.id).field("provider", provider).field("round", round).field("aim", aim);
        shown.finish_non_exhaustive()
    }
}

/// What the browser gets when an attempt begins.
#[derive(Debug)]
pub struct BegunAttempt {
    /// Set-Cookie lines.
    pub lines: Vec<HeaderValue>,
    /// The attempts among those forgotten that could still have ended: there were too many.
    pub dropped: Vec<String>,
}

/// The page that was asked for has an address too long to be kept in any cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the address of the page is too long to be kept through a sign-in")]
pub struct ReturnToTooLong;

/// Starts, remembers and finds login attempts.
#[derive(Clone, Debug)]
pub struct Attempts {
    names: OwnCookies,
    lines: SetCookie,
    ring: Arc<KeyRing>,
    life: Duration,
    leeway: Duration,
}

impl Attempts {
    /// Attempts in cookies of these names.
    pub fn new(settings: &SessionSettings, names: OwnCookies, ring: Arc<KeyRing>) -> Self {
        let (life, leeway) = (settings.attempt_life, settings.clock_leeway);
        Self { names, lines: SetCookie::sign_in(&settings.cookie), ring, life, leeway }
    }

    /// A new attempt.
    ///
    /// # Errors
    /// [`ReturnToTooLong`].
    pub fn start(&self, intent: Intent, now: UnixTime) -> Result<Attempt, ReturnToTooLong> {
        let mut drawn = seal::Draw::<{ ID_BYTES + NONCE_LEN + 16 + 32 }>::new();
        let id = URL_SAFE_NO_PAD.encode(drawn.take::<ID_BYTES>());
        let in_state = in_state(&intent.return_to);
        let (provider, return_to) = (Arc::clone(&intent.provider), in_state.then(|| intent.return_to.clone()));
        let outline = AttemptOutline { id, provider, round: intent.round, aim: intent.aim, return_to };
        let content = postcard::to_stdvec(&outline).unwrap_or_default();
        // 72 random bits of the id and 96 of the seal's nonce
        // ([RFC 6749 section 10.10](https://www.rfc-editor.org/rfc/rfc6749#section-10.10)).
        let id = outline.id;
        let sealed = self.state_sealer(&id).seal_drawn(&content, now.plus(self.life), now, drawn.take());
        let seeds = Seeds { nonce: drawn.take(), verifier: drawn.take() };
        let state = format!("{id}{sealed}");
        let mut attempt = Attempt::new(id, state, seeds, intent, now);
        let fits = |attempt: &Attempt| self.line(attempt, now).len() <= LINE_MAX;
        if !attempt.intent.hints.is_empty() && !fits(&attempt) {
            // A second round does without the others.
            attempt.intent.hints = attempt.intent.hints.to_be_checked();
        }
        let is_short = in_state && attempt.intent.hints.is_empty();
        if is_short || fits(&attempt) { Ok(attempt) } else { Err(ReturnToTooLong) }
    }

    /// Whether an attempt for this page can be kept, whatever else it is for.
    pub fn is_portable(&self, return_to: &ReturnTo, redirect_uri: &str, now: UnixTime) -> bool {
        let (return_to, redirect_uri) = (return_to.clone(), redirect_uri.to_owned());
        let (provider, round, aim) = ("".into(), Round::First, Aim::SignIn);
        let max_age = Some(Duration::MAX);
        let (hints, across_sites) = (Hints::default(), true);
        self.start(Intent { provider, return_to, redirect_uri, round, aim, max_age, hints, across_sites }, now).is_ok()
    }

    /// For how long an attempt can end.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// For how long it has to be remembered that one is over: a clock that is set back a little is not noticed.
    pub fn remembered_for(&self) -> Duration {
        self.life.saturating_add(self.leeway)
    }

    /// Makes the browser remember `attempt`, and forget what is over and the oldest of too many (CK-09).
    pub fn begin(&self, attempt: &Attempt, scan: &CookieScan, now: UnixTime) -> BegunAttempt {
        let line = self.line(attempt, now);
        let surplus = self.surplus(&scan.attempts, pair_len(&line), now);
        let lines = std::iter::once(line).chain(surplus.iter().map(|(id, _)| self.finish(id))).collect();
        let dropped = surplus.iter().filter(|(_, alive)| *alive).map(|(id, _)| (*id).to_owned()).collect();
        BegunAttempt { lines, dropped }
    }

    /// The Set-Cookie line of an attempt.
    fn line(&self, attempt: &Attempt, now: UnixTime) -> HeaderValue {
        let intent = &attempt.intent;
        let content = CookieContent {
            state: fingerprint(attempt.state.expose()),
            seeds: attempt.seeds.clone(),
            started: attempt.started.millis(),
            redirect_uri: intent.redirect_uri.clone(),
            return_to: (!in_state(&intent.return_to)).then(|| PackedReturnTo::new(&intent.return_to)),
            max_age: intent.max_age.map(|age| age.as_secs()),
            hints: intent.hints.clone(),
        };
        let content = content.to_bytes();
        let sealed = self.cookie_sealer(&attempt.id).seal(&content, attempt.started.plus(self.life), now);
        let name = self.names.attempt_name(&attempt.id);
        self.lines.set_for_sign_in(&name, &sealed, self.life, intent.across_sites)
    }

    /// The attempt that a callback with this `state` ends: sealed by us, still in time, and started by this very browser. To be
    /// asked before the code is looked at.
    ///
    /// # Errors
    /// There is none; the error says what can still be done for the person.
    pub fn find(&self, scan: &CookieScan, state: Option<&str>, now: UnixTime) -> Result<Attempt, AttemptError> {
        let state = state.filter(|state| !state.is_empty()).ok_or(AttemptError::StateMissing)?;
        let (outline, expires) = self.read_state(state).ok_or(AttemptError::StateForged)?;
        // By the clock that it was sealed by, where ours was set back since; whether that was ours, the cookie says.
        if expires <= self.ring.judged_at(expires.minus(self.life), now).unwrap_or(now) {
            return Err(AttemptError::StateExpired(outline));
        }
        let mut cookies = scan.attempts.iter().filter(|cookie| cookie.id.as_str() == outline.id).peekable();
        if cookies.peek().is_none() {
            return Err(AttemptError::CookieMissing(outline));
        }
        // Of several cookies of one name any may be the genuine one (CK-12).
        let Some(content) = cookies.find_map(|cookie| self.remembered(cookie, state, now).ok()) else {
            return Err(AttemptError::CookieForged(outline));
        };
        let kept = || content.return_to.as_ref().and_then(PackedReturnTo::unpack);
        let Some(return_to) = outline.return_to.clone().or_else(kept) else {
            return Err(AttemptError::CookieForged(outline));
        };
        let intent = Intent {
            provider: outline.provider,
            return_to,
            redirect_uri: content.redirect_uri,
            round: outline.round,
            aim: outline.aim,
            max_age: content.max_age.map(Duration::from_secs),
            hints: content.hints,
            across_sites: false,
        };
        Ok(Attempt::new(outline.id, state.into(), content.seeds, intent, UnixTime::from_millis(content.started)))
    }

    /// The Set-Cookie line that makes the browser forget the attempt: with every answer to its callback (SB-02).
    pub fn finish(&self, id: &str) -> HeaderValue {
        self.lines.delete(&self.names.attempt_name(id))
    }

    /// A cookie beside the attempts, under one of the names that no attempt has ([`SIGNED_OUT`]), for what needs no seal. Attempts
    /// that begin meanwhile leave it alone.
    pub fn note(&self, id: &str, value: &str, life: Duration) -> HeaderValue {
        self.lines.set(&self.names.attempt_name(id), value, Some(life))
    }

    /// The outline and the end of an attempt of ours, whichever browser started it.
    fn read_state(&self, state: &str) -> Option<(AttemptOutline, UnixTime)> {
        let (id, sealed) = state.split_at_checked(ID_LEN).filter(|_| state.len() <= STATE_MAX)?;
        let opened = self.state_sealer(id).open_at_any_age(sealed).ok()?;
        let outline: AttemptOutline = postcard::from_bytes(&opened.plaintext).ok()?;
        Some((AttemptOutline { id: id.to_owned(), ..outline }, opened.expires))
    }

    /// What a cookie holds that belongs to this state.
    fn remembered(&self, cookie: &AttemptPiece, state: &str, now: UnixTime) -> Result<CookieContent, OpenError> {
        let content = self.opened(cookie, now)?;
        if constant_time_eq(&content.state, &fingerprint(state)) { Ok(content) } else { Err(OpenError::Tampered) }
    }

    /// What a cookie of an attempt holds.
    fn opened(&self, cookie: &AttemptPiece, now: UnixTime) -> Result<CookieContent, OpenError> {
        self.cookie_sealer(cookie.id.as_str()).open_dated(cookie.value.as_str(), now, |opened| {
            let content = CookieContent::from_bytes(&opened.plaintext).ok_or(OpenError::Malformed)?;
            let sealed_at = UnixTime::from_millis(content.started);
            Ok((content, sealed_at))
        })
    }

    /// Which attempts have to go so that the newest ones and a cookie of `new` bytes stay within the caps, the oldest first; and
    /// whether they could still have ended.
    fn surplus<'s>(&self, attempts: &'s [AttemptPiece], new: usize, now: UnixTime) -> Vec<(&'s str, bool)> {
        let mut by_age: Vec<(Option<UnixTime>, &AttemptPiece)> =
            attempts.iter().map(|cookie| (self.age(cookie, now), cookie)).collect();
        // Browsers send the oldest first (RFC 6265 section 5.4), which decides between attempts of one moment.
        by_age.reverse();
        by_age.sort_by_key(|(started, _)| Reverse(*started));
        let (mut count, mut bytes) = (1, new);
        let (mut kept, mut gone): (Vec<&str>, Vec<(&str, bool)>) = Default::default();
        for (started, cookie) in by_age {
            let id = cookie.id.as_str();
            // A note of another flow is over when that flow says so. What is longer than any note was planted.
            if NOTES.contains(&id) && cookie.value.as_bytes().len() <= NOTE_MAX {
                continue;
            }
            if started.is_some() {
                count += 1;
                bytes += self.names.attempt_name(id).len() + 1 + cookie.value.as_bytes().len();
                if count <= ATTEMPTS_MAX && bytes <= BYTES_MAX {
                    kept.push(id);
                    continue;
                }
            }
            if !gone.iter().any(|(known, _)| *known == id) {
                gone.push((id, started.is_some()));
            }
        }
        // A cookie that was planted under the name of one that stays would take it along.
        gone.retain(|(id, _)| !kept.contains(id));
        // No more than fit into the head of an answer: the next attempt takes the rest.
        gone.into_iter().rev().take(DELETIONS_MAX).collect()
    }

    /// When an attempt began that can still end. One of another instance's key is believed what it says of its expiry: nothing
    /// else can be known of it here, and a lie costs the liar's own browser an attempt.
    fn age(&self, cookie: &AttemptPiece, now: UnixTime) -> Option<UnixTime> {
        match self.opened(cookie, now) {
            Ok(content) => Some(UnixTime::from_millis(content.started)),
            Err(OpenError::UnknownKey) => Sealer::peek_expiry(cookie.value.as_str())
                .filter(|expiry| *expiry > now && *expiry <= now.plus(self.life))
                .map(|expiry| expiry.minus(self.life)),
            Err(_) => None,
        }
    }

    /// The id is the name under which the state is sealed, so that the two cannot be parted.
    fn state_sealer(&self, id: &str) -> Sealer {
        self.ring.sealer(Purpose::State, id)
    }

    /// Seals the cookie of this attempt.
    fn cookie_sealer(&self, id: &str) -> Sealer {
        self.ring.sealer(Purpose::LoginAttempt, id)
    }
}

/// What the state carries of an attempt: enough to offer a fresh one where it cannot be ended. The format is fixed by the seal's
/// version and by the golden values of the tests.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AttemptOutline {
    /// Its name, which stands before what is sealed.
    #[serde(skip)]
    pub id: String,
    /// The configured name of the provider, which may be gone from the configuration.
    pub provider: Arc<str>,
    /// Its round.
    pub round: Round,
    /// What it was for.
    pub aim: Aim,
    /// The page that was asked for; none when it was too long for the state.
    pub return_to: Option<ReturnTo>,
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
    StateExpired(AttemptOutline),
    /// This browser has no such attempt: it ended already, its cookies are blocked, or it was started elsewhere.
    #[error("the browser sent no cookie of this sign-in")]
    CookieMissing(AttemptOutline),
    /// It has a cookie of that name, which is not the one that we gave to whoever started the attempt.
    #[error("the cookie of this sign-in does not belong to its state")]
    CookieForged(AttemptOutline),
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
    pub const fn outline(&self) -> Option<&AttemptOutline> {
        match self {
            Self::StateMissing | Self::StateForged => None,
            Self::StateExpired(outline) | Self::CookieMissing(outline) | Self::CookieForged(outline) => Some(outline),
        }
    }
}

impl Attempt {
    /// Puts the parts together.
    fn new(id: String, state: String, seeds: Seeds, intent: Intent, started: UnixTime) -> Self {
        let nonce = URL_SAFE_NO_PAD.encode(seeds.nonce);
        let verifier = Secret::new(URL_SAFE_NO_PAD.encode(seeds.verifier));
        Self { id, state: Secret::new(state), nonce, verifier, started, intent, seeds }
    }
}

/// Whether the state has room for it.
fn in_state(return_to: &ReturnTo) -> bool {
    return_to.host().authority().len() + return_to.target().len() <= STATE_RETURN_TO_MAX
}

/// The bytes of a Set-Cookie line that come back in a Cookie field.
fn pair_len(line: &HeaderValue) -> usize {
    line.as_bytes().iter().position(|byte| *byte == b';').unwrap_or(line.len())
}

/// Half of the hash of a state.
fn fingerprint(state: &str) -> [u8; 16] {
    Sha256::digest(state).first_chunk().copied().unwrap_or_default()
}

/// The place of a sign-out's state among the attempt cookies, until the provider sends the browser back.
pub const SIGNED_OUT: &str = "signed-out";
/// The names that no attempt has.
const NOTES: [&str; 1] = [SIGNED_OUT];
/// No value under one of those names is longer.
const NOTE_MAX: usize = 64;
/// Random bytes of an id.
const ID_BYTES: usize = 9;
/// Characters of an id.
const ID_LEN: usize = 12;
/// A URL of more than about 2 KB is refused somewhere on the way.
const STATE_RETURN_TO_MAX: usize = 1024;
/// Longer than any state of ours (AT-LF-05).
const STATE_MAX: usize = 2048;
/// Attempts under way in one browser (CK-09).
const ATTEMPTS_MAX: usize = 8;
/// Cookies that one answer deletes.
const DELETIONS_MAX: usize = 32;
/// Names and values of all attempts (AT-CS-15): what a front proxy usually takes.
const BYTES_MAX: usize = 8192;

#[cfg(test)]
mod tests;
