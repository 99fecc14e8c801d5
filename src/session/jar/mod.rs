//! Our session cookies: it turns a request's cookies into the handle of a session, and a handle into Set-Cookie lines. What a
//! handle is, only its store knows.
//!
//! ```text
//!   NAME=HANDLE                     where it fits into one line of 4096 bytes, else
//!   NAME~1=TTTTTT3PART, NAME~2=TTTTTT3PART, NAME~3=TTTTTT3PART      T: six characters of the handle, the tag; 3: how many
//! ```
//!
//! 1. A set is taken whole or not at all (CK-08). The tag distinguishes the chunks of two sets, so that a left-over of an older set
//!    spoils nothing; that no mixture opens is not its work but the seal's, which covers the whole value (AT-CS-03).
//! 2. The order of several cookies of one name means nothing (CK-12): every handle that they can be put together to is a candidate,
//!    up to a cap, and the store says which is genuine (AT-CS-12).
//! 3. Every answer that sets a session also deletes what an older, longer one left.

use std::borrow::Cow;

use http::HeaderValue;

use super::set_cookie::{LINE_MAX, SetCookie};
use super::settings::CookieSettings;
use super::store::Handle;
use crate::provider::Provider;
use crate::request::cookies::{CookieScan, OwnCookies, Owner};

/// Reads and writes the session cookies of all providers.
#[derive(Clone, Debug)]
pub struct Jar {
    names: OwnCookies,
    lines: SetCookie,
}

impl Jar {
    /// A jar for cookies of these names.
    pub fn new(settings: &CookieSettings, names: OwnCookies) -> Self {
        Self { names, lines: SetCookie::session(settings) }
    }

    /// Every handle that the request carries for a provider; none at all where it carries more than are looked at: the one that was
    /// not looked at may be the person's own, and the only genuine one that was, planted (AT-CS-12).
    pub fn handles<'s>(&self, scan: &'s CookieScan, provider: &Provider) -> Option<Vec<Cow<'s, str>>> {
        let handles = candidates(scan, |owner| owner.may_be(provider.place()));
        (!scan.crowded && handles.len() <= CANDIDATES_MAX).then_some(handles)
    }

    /// The Set-Cookie lines that put `handle` into the browser, and delete what `scan` found and is stale then; what stands there
    /// under no provider's name stays if it `is_anothers`. They carry no lifetime: the cookie ends with the browser's session, or
    /// with the session itself.
    ///
    /// # Errors
    /// The session takes more than four cookies or 12 KiB, which headers on the way would not carry (CK-07).
    pub fn set_cookies(
        &self,
        provider: &Provider,
        handle: &Handle,
        scan: &CookieScan,
        unnamed_is_anothers: bool,
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let mut found = found(provider, scan);
        if unnamed_is_anothers {
            found.retain(|(owner, _)| *owner != Owner::Unnamed);
        }
        self.set_beside(provider, handle.as_str(), &found)
    }

    /// The same for an answer to a POST from another site, with which the browser sent no session: every cookie that could
    /// stand there is deleted.
    ///
    /// # Errors
    /// As of [`set_cookies`](Self::set_cookies).
    pub fn set_cookies_unseen(
        &self,
        provider: &Provider,
        handle: &Handle,
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let chunks = std::iter::once(None).chain((1..=CHUNKS_MAX).map(Some));
        let found: Vec<FoundCookie> = chunks.map(|chunk| (Owner::Provider(provider.place()), chunk)).collect();
        self.set_beside(provider, handle.as_str(), &found)
    }

    /// The lines that set a handle and delete what was found besides.
    fn set_beside(
        &self,
        provider: &Provider,
        handle: &str,
        found: &[FoundCookie],
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let whole = self.lines.set(&self.names.session_name(provider.name()), handle, None);
        let mut lines = if whole.len() <= LINE_MAX { vec![whole] } else { self.chunks(provider, handle)? };
        let chunks = if lines.len() > 1 { lines.len() } else { 0 };
        lines.extend(self.stale(provider, found, chunks));
        Ok(lines)
    }

    /// The Set-Cookie lines that delete the session of this provider: the cookie, and whatever else `scan` found of it. A cookie
    /// that names no provider is deleted too: only opening it would say whose it is.
    pub fn clear(&self, provider: &Provider, scan: &CookieScan) -> Vec<HeaderValue> {
        let mut lines = vec![self.lines.delete(&self.names.session_name(provider.name()))];
        lines.extend(self.stale(provider, &found(provider, scan), 0));
        lines
    }

    /// One line a chunk, each as full as a browser takes it.
    fn chunks(&self, provider: &Provider, handle: &str) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let name = self.names.chunk_name(provider.name(), CHUNKS_MAX);
        let room = LINE_MAX.saturating_sub(self.lines.set(&name, "", None).len() + PREFIX_LEN).max(1);
        let count = handle.len().div_ceil(room);
        let too_large =
            SessionTooLarge { bytes: handle.len() + count * (name.len() + 1 + PREFIX_LEN), limit: TOTAL_MAX };
        let Some(count) = u8::try_from(count).ok().filter(|n| *n <= CHUNKS_MAX && too_large.bytes <= TOTAL_MAX) else {
            return Err(too_large);
        };
        let tag = handle.get(TAG).ok_or(too_large)?;
        let parts = handle.as_bytes().chunks(room).map(|part| str::from_utf8(part).unwrap_or_default());
        let line = |(number, part)| {
            self.lines.set(&self.names.chunk_name(provider.name(), number), &format!("{tag}{count}{part}"), None)
        };
        Ok((1..).zip(parts).map(line).collect())
    }

    /// Deletes what was found of this provider, except the cookies just written: `chunks` of them, or a whole one if 0.
    fn stale(&self, provider: &Provider, found: &[FoundCookie], chunks: usize) -> Vec<HeaderValue> {
        let is_written = |(owner, chunk): &FoundCookie| {
            let kept = chunk.map_or(chunks == 0, |number| usize::from(number) <= chunks);
            *owner == Owner::Provider(provider.place()) && kept
        };
        let stale = found.iter().filter(|piece| !is_written(piece));
        let name = |(owner, chunk): &FoundCookie| self.names.found_name(provider.name(), *owner, *chunk);
        let mut names: Vec<String> = stale.map(name).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| self.lines.delete(&name)).collect()
    }
}

/// A session does not fit into cookies: fewer claims, or fewer kept tokens (`session.keep`), make it smaller.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the session would take {bytes} bytes of cookies, more than the limit of {limit}")]
pub struct SessionTooLarge {
    /// What it would take.
    pub bytes: usize,
    /// What may be.
    pub limit: usize,
}

/// A cookie that the request carried: by its name, and which chunk it is.
type FoundCookie = (Owner, Option<u8>);

/// What may be of this provider.
fn found(provider: &Provider, scan: &CookieScan) -> Vec<FoundCookie> {
    let pieces = scan.sessions.iter().filter(|piece| piece.owner.may_be(provider.place()));
    pieces.map(|piece| (piece.owner, piece.chunk)).collect()
}

/// Every handle that can be put together from what was sent, each once; one more than [`CANDIDATES_MAX`] at most.
pub(super) fn candidates(scan: &CookieScan, is_meant: impl Fn(Owner) -> bool) -> Vec<Cow<'_, str>> {
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
    let mut handle = String::with_capacity(first.len() * usize::from(count));
    handle.push_str(part);
    for number in 2..=count {
        handle.push_str(numbered(number).find_map(|value| value.strip_prefix(prefix))?);
    }
    (handle.get(TAG) == prefix.get(..TAG.len())).then_some(Cow::Owned(handle))
}

/// Cookies of a set (CK-07).
const CHUNKS_MAX: u8 = 4;
/// Names and values of a set (CK-07).
const TOTAL_MAX: usize = 12 * 1024;
/// The tag and the count.
const PREFIX_LEN: usize = TAG.end - TAG.start + 1;
/// Characters of the handle: of a sealed session those that encode nothing but bytes of its nonce (see `seal`), so that they differ
/// for each set.
const TAG: std::ops::Range<usize> = 16..22;
/// Opening is what a request with several cookies of one name can make us do; that many times.
const CANDIDATES_MAX: usize = 4;

#[cfg(test)]
mod tests;
