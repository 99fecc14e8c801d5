//! Our session cookies: one where it fits, else a set of numbered chunks that opens as a whole or not at all.
//!
//! The value of chunk `NAME~I` is six characters of the sealed value's nonce (the tag), one digit (of how many), and its part.
//!
//! 1. The tag tells the chunks of two sets apart, so that a left-over of an older set spoils nothing (CK-08); that no mixture
//!    opens is not its work but the seal's, which covers the whole value (AT-CS-03).
//! 2. The order of several cookies of one name means nothing (CK-12): what does not open by our key is passed over, and where
//!    several open, they must be one person's, or none of them is believed (AT-CS-12).
//! 3. Every answer that sets a session also deletes what an older, longer one left.
//! 4. A value is sealed for its provider and the client identifier there, and for one host or cookie domain: whoever carries it
//!    elsewhere, or keeps it until the identifier is another, opens nothing. The cookie's own name, which depends on how many
//!    providers there are, is not part of it.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use zeroize::Zeroize as _;

use super::Session;
use super::codec::{self, DecodeError};
use super::set_cookie::{LINE_MAX, SetCookie};
use super::settings::CookieSettings;
use super::shown::{Shown, ShownTokens};
use crate::clock::UnixTime;
use crate::identity::ClaimMapping;
use crate::request::cookies::{CookieScan, OwnCookies, Owner};
use crate::request::host::Host;
use crate::seal::{KeyRing, OpenError, Purpose, Sealer};

/// Reads and writes the session cookies of all providers, counted as in [`OwnCookies`].
#[derive(Clone, Debug)]
pub struct Jar {
    names: OwnCookies,
    settings: CookieSettings,
    lines: SetCookie,
    client_ids: Arc<[String]>,
    ring: Arc<KeyRing>,
}

/// What a session belongs to besides its person.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The provider, counted as in [`OwnCookies`].
    pub provider: usize,
    /// The host that was asked.
    pub host: &'a Host,
}

impl Jar {
    /// A jar for cookies of these names; `client_ids` are those of the providers in their order.
    pub fn new(
        settings: &CookieSettings,
        names: OwnCookies,
        client_ids: impl IntoIterator<Item = String>,
        ring: Arc<KeyRing>,
    ) -> Self {
        let lines = SetCookie::session(settings);
        Self { names, settings: settings.clone(), lines, client_ids: client_ids.into_iter().collect(), ring }
    }

    /// The sealed session that the request carries for this provider: what [`open`](Self::open) takes, and the key of the live
    /// session. No cryptography unless the request carries several; then those that `is_ended` knows do not count, and `mapping`
    /// says whether they are one person's.
    pub fn assemble<'s>(
        &self,
        scan: &'s CookieScan,
        site: Site<'_>,
        mapping: &ClaimMapping,
        is_ended: impl Fn(&Session) -> bool,
    ) -> Option<Cow<'s, str>> {
        if let Some(sealed) = scan.lone_session(site.provider) {
            return Some(Cow::Borrowed(sealed.as_str()));
        }
        let mut candidates = candidates(scan, |owner| owner.may_be(site.provider));
        if scan.crowded || candidates.len() > CANDIDATES_MAX {
            // The one that was not looked at may be the person's own, and the only genuine one that was, planted (AT-CS-12).
            return None;
        }
        if candidates.len() > 1 { self.choose(site, mapping, candidates, is_ended) } else { candidates.pop() }
    }

    /// Opens a sealed session.
    ///
    /// # Errors
    /// It is none of ours, belongs elsewhere, or is over.
    pub fn open(&self, site: Site<'_>, sealed: &str, now: UnixTime) -> Result<Session, SessionCookieError> {
        self.sealer(site).open_dated(sealed, now, |opened| dated(codec::decode(&opened.plaintext)?))
    }

    /// The same without the tokens that applications are not `shown`.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_shown(
        &self,
        site: Site<'_>,
        sealed: &str,
        now: UnixTime,
        shown: ShownTokens,
    ) -> Result<Session<Shown>, SessionCookieError> {
        self.sealer(site).open_dated(sealed, now, |opened| dated(codec::decode_shown(&opened.plaintext, shown)?))
    }

    /// Opens a genuine sealed session even after its end: only to say whose it was.
    pub fn open_at_any_age(&self, site: Site<'_>, sealed: &str) -> Option<Session> {
        let opened = self.sealer(site).open_at_any_age(sealed).ok()?;
        codec::decode(&opened.plaintext).ok()
    }

    /// The time by which a session that was sealed at `sealed` is judged.
    ///
    /// # Errors
    /// It comes from the future, and this process did not seal it.
    pub fn judged_at(&self, sealed: UnixTime, now: UnixTime) -> Result<UnixTime, OpenError> {
        self.ring.judged_at(sealed, now)
    }

    /// The genuine sessions that the request carries for this provider, of as many as are looked at.
    pub fn carried(&self, scan: &CookieScan, site: Site<'_>) -> Vec<Session> {
        let candidates = candidates(scan, |owner| owner.may_be(site.provider));
        candidates.iter().filter_map(|sealed| self.open_at_any_age(site, sealed)).collect()
    }

    /// Seals a session until `expires`, which [`Session::ends`] tells.
    pub fn seal(&self, site: Site<'_>, session: &Session, expires: UnixTime, now: UnixTime) -> String {
        let mut bytes = codec::encode(session);
        let sealed = self.sealer(site).seal(&bytes, expires, now);
        bytes.zeroize();
        sealed
    }

    /// The Set-Cookie lines that put `sealed` into the browser, and delete what `scan` found and is stale then. They carry no
    /// lifetime: the cookie ends with the browser's session, or by what is sealed in it.
    ///
    /// # Errors
    /// The session takes more than four cookies or 12 KiB, which headers on the way would not carry (CK-07).
    pub fn set_cookies(&self, site: Site<'_>, sealed: &str, scan: &CookieScan) -> Result<Vec<HeaderValue>, TooLarge> {
        let mut found = found(site.provider, scan);
        if self.unnamed_is_anothers(scan, site) {
            found.retain(|(owner, _)| *owner != Owner::Unnamed);
        }
        self.set_beside(site.provider, sealed, &found)
    }

    /// The same for an answer to a POST from another site, with which the browser sent no session: every cookie that could
    /// stand there is deleted.
    ///
    /// # Errors
    /// As of [`set_cookies`](Self::set_cookies).
    pub fn set_cookies_unseen(&self, provider: usize, sealed: &str) -> Result<Vec<HeaderValue>, TooLarge> {
        let chunks = std::iter::once(None).chain((1..=CHUNKS_MAX).map(Some));
        let found: Vec<Found> = chunks.map(|chunk| (Owner::Provider(provider), chunk)).collect();
        self.set_beside(provider, sealed, &found)
    }

    fn set_beside(&self, provider: usize, sealed: &str, found: &[Found]) -> Result<Vec<HeaderValue>, TooLarge> {
        let whole = self.lines.set(self.names.session_name(provider), sealed, None);
        let mut lines = if whole.len() <= LINE_MAX { vec![whole] } else { self.chunks(provider, sealed)? };
        let chunks = if lines.len() > 1 { lines.len() } else { 0 };
        lines.extend(self.stale(provider, found, chunks));
        Ok(lines)
    }

    /// The Set-Cookie lines that delete the session of this provider: the cookie, and whatever else `scan` found of it. A cookie
    /// of which only opening tells whose it is goes along: whoever clears one, clears all.
    pub fn clear(&self, provider: usize, scan: &CookieScan) -> Vec<HeaderValue> {
        let mut lines = vec![self.lines.delete(self.names.session_name(provider))];
        lines.extend(self.stale(provider, &found(provider, scan), 0));
        lines
    }

    /// Names and hosts hold no NUL, so no two sites give the same text but by their client identifiers, which one provider has
    /// one of.
    fn sealer(&self, site: Site<'_>) -> Sealer {
        let client_id = self.client_ids.get(site.provider).map_or("", String::as_str);
        let (base, provider) = (self.names.base(), self.names.provider_name(site.provider));
        let realm = self.settings.realm(site.host.name());
        self.ring.sealer(Purpose::Session, &format!("{base}\0{provider}\0{realm}\0{client_id}"))
    }

    /// Whether a session under the name of a lone provider is that of another one than this.
    fn unnamed_is_anothers(&self, scan: &CookieScan, site: Site<'_>) -> bool {
        let unnamed = candidates(scan, |owner| owner == Owner::Unnamed);
        let mut others = (0..self.names.providers()).filter(|other| *other != site.provider);
        let opens =
            |provider| unnamed.iter().any(|sealed| self.open_at_any_age(Site { provider, ..site }, sealed).is_some());
        !unnamed.is_empty() && others.any(opens)
    }

    /// One line a chunk, each as full as a browser takes it.
    fn chunks(&self, provider: usize, sealed: &str) -> Result<Vec<HeaderValue>, TooLarge> {
        let name = self.names.chunk_name(provider, CHUNKS_MAX);
        let room = LINE_MAX.saturating_sub(self.lines.set(&name, "", None).len() + PREFIX_LEN).max(1);
        let count = sealed.len().div_ceil(room);
        let too_large = TooLarge { bytes: sealed.len() + count * (name.len() + 1 + PREFIX_LEN), limit: TOTAL_MAX };
        let Some(count) = u8::try_from(count).ok().filter(|n| *n <= CHUNKS_MAX && too_large.bytes <= TOTAL_MAX) else {
            return Err(too_large);
        };
        let tag = sealed.get(TAG).ok_or(too_large)?;
        let parts = sealed.as_bytes().chunks(room).map(|part| str::from_utf8(part).unwrap_or_default());
        let line = |(number, part)| {
            self.lines.set(&self.names.chunk_name(provider, number), &format!("{tag}{count}{part}"), None)
        };
        Ok((1..).zip(parts).map(line).collect())
    }

    /// Deletes what was found of this provider, except the cookies just written: `chunks` of them, or a whole one if 0.
    fn stale(&self, provider: usize, found: &[Found], chunks: usize) -> Vec<HeaderValue> {
        let is_written = |(owner, chunk): &Found| {
            let kept = chunk.map_or(chunks == 0, |number| usize::from(number) <= chunks);
            *owner == Owner::Provider(provider) && kept
        };
        let stale = found.iter().filter(|piece| !is_written(piece));
        let mut names: Vec<String> = stale.map(|(owner, chunk)| self.names.found_name(*owner, *chunk)).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| self.lines.delete(&name)).collect()
    }

    /// The one of several that is genuine; the newest, where all genuine ones are of one person. Where they are of several,
    /// somebody planted one of them, and which is not for us to guess.
    fn choose<'s>(
        &self,
        site: Site<'_>,
        mapping: &ClaimMapping,
        candidates: Vec<Cow<'s, str>>,
        is_ended: impl Fn(&Session) -> bool,
    ) -> Option<Cow<'s, str>> {
        let mut best: Option<(Session, Cow<'s, str>)> = None;
        let mut passed_over = None;
        for candidate in candidates {
            let session = self.open_at_any_age(site, &candidate).filter(|session| !is_ended(session));
            match (session, &best) {
                (None, _) => passed_over = Some(candidate),
                (Some(session), Some((other, _))) if !session.same_person(other, mapping) => return None,
                (Some(session), Some((other, _))) if session.age_order() <= other.age_order() => {}
                (Some(session), _) => best = Some((session, candidate)),
            }
        }
        // None of them opens, or all have ended: the caller finds out why by opening one.
        best.map(|(_, candidate)| candidate).or(passed_over)
    }
}

/// A session does not fit into cookies: fewer claims, or fewer kept tokens (`session.keep`), make it smaller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the session would take {bytes} bytes of cookies, more than the limit of {limit}")]
pub struct TooLarge {
    /// What it would take.
    pub bytes: usize,
    /// What may be.
    pub limit: usize,
}

/// Why a cookie is no session.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionCookieError {
    /// It does not open.
    #[error("the session cookie does not open")]
    Seal(#[from] OpenError),
    /// It opens, and holds what this version cannot read.
    #[error("the session cookie holds no session that this version reads")]
    Decode(#[from] DecodeError),
}

impl SessionCookieError {
    /// A stable reason for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Seal(error) => error.code(),
            Self::Decode(error) => error.code(),
        }
    }
}

/// A session, and when it was sealed: whenever it was renewed, by a request or at the provider.
fn dated<T>(session: Session<T>) -> Result<(Session<T>, UnixTime), SessionCookieError> {
    let sealed_at = session.active;
    Ok((session, sealed_at))
}

/// A cookie that the request carried: by its name, and which chunk it is.
type Found = (Owner, Option<u8>);

/// What may be of this provider.
fn found(provider: usize, scan: &CookieScan) -> Vec<Found> {
    let pieces = scan.sessions.iter().filter(|piece| piece.owner.may_be(provider));
    pieces.map(|piece| (piece.owner, piece.chunk)).collect()
}

/// Every sealed value that can be put together from what was sent, each once; one more than [`CANDIDATES_MAX`] at most.
fn candidates(scan: &CookieScan, is_meant: impl Fn(Owner) -> bool) -> Vec<Cow<'_, str>> {
    let mut found: Vec<Cow<'_, str>> = Vec::new();
    let pieces = || scan.sessions.iter().filter(|piece| is_meant(piece.owner));
    for piece in pieces() {
        let candidate = match piece.chunk {
            None => Some(Cow::Borrowed(piece.value.as_str())),
            Some(1) => joined(piece.value.as_str(), |number| {
                pieces().filter(move |piece| piece.chunk == Some(number)).map(|piece| piece.value.as_str())
            }),
            Some(_) => None,
        };
        if let Some(candidate) = candidate
            && found.len() <= CANDIDATES_MAX
            && !found.contains(&candidate)
        {
            found.push(candidate);
        }
    }
    found
}

/// The set that begins with `first`; none if any chunk of its tag and count is missing (CK-08).
fn joined<'s, I: Iterator<Item = &'s str>>(first: &str, numbered: impl Fn(u8) -> I) -> Option<Cow<'s, str>> {
    let (prefix, part) = first.split_at_checked(PREFIX_LEN)?;
    let count = prefix.bytes().last()?.checked_sub(b'0').filter(|count| (2..=CHUNKS_MAX).contains(count))?;
    let mut sealed = String::with_capacity(first.len() * usize::from(count));
    sealed.push_str(part);
    for number in 2..=count {
        sealed.push_str(numbered(number).find_map(|value| value.strip_prefix(prefix))?);
    }
    (sealed.get(TAG) == prefix.get(..TAG.len())).then_some(Cow::Owned(sealed))
}

const CHUNKS_MAX: u8 = 4;
/// Names and values of a set (CK-07).
const TOTAL_MAX: usize = 12 * 1024;
/// The tag and the count.
const PREFIX_LEN: usize = TAG.end - TAG.start + 1;
/// Characters of the sealed value that encode nothing but bytes of its nonce (see seal.rs), so that they differ for each set.
const TAG: std::ops::Range<usize> = 16..22;
/// Opening is what a request with several cookies of one name can make us do; that many times.
const CANDIDATES_MAX: usize = 4;

#[cfg(test)]
mod tests;
