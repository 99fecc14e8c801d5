//! Which sessions a provider ended: by its own session id (`sid`), by subject, or by both.
//!
//! Cookies cannot be asked which of them a provider means, so what it said is remembered for as long as they may live, and each
//! session is looked up when it is opened. It ends those that were begun before it was said: whoever signs in again lives.

use std::time::Duration;

use serde_json::Value;

use crate::clock::{SharedClock, UnixTime};
use crate::identity::Claims;
use crate::provider::{LogoutToken, Provider};
use crate::remembered::{Mark, Party, Remembered};
use crate::telemetry::metrics::Metrics;

/// What a provider ended, of the sessions of one client at one issuer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProviderEnd {
    mark: Mark,
    owner: Party,
}

impl ProviderEnd {
    /// What a logout token of this provider says.
    pub fn of_token(provider: &Provider, token: &LogoutToken) -> Self {
        let (sid, subject) = (token.sid.as_deref(), token.subject.as_deref());
        let owner = Party::subject(&token.issuer, subject.or(sid).unwrap_or_default());
        Self { mark: mark(&token.issuer, client_id(provider), sid, subject), owner }
    }

    /// The one session with this `sid`; remembered on the account of `owner`.
    pub fn of_sid(provider: &Provider, issuer: &str, sid: &str, owner: Party) -> Self {
        Self { mark: mark(issuer, client_id(provider), Some(sid), None), owner }
    }
}

/// By what a provider may name a session, and when that was begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NamesAtProvider {
    marks: [Option<Mark>; 3],
    begun: UnixTime,
}

impl NamesAtProvider {
    /// Those of a session of this provider. Its raw `sub` counts, not what the subject is mapped to.
    pub(super) fn of(provider: &Provider, issuer: &str, claims: &Claims, begun: UnixTime) -> Self {
        let text = |name| claims.get(name).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
        let (sid, subject) = (text("sid"), text("sub"));
        let named = |sid, subject| mark(issuer, client_id(provider), sid, subject);
        let marks = [
            sid.map(|sid| named(Some(sid), None)),
            subject.map(|subject| named(None, Some(subject))),
            sid.zip(subject).map(|(sid, subject)| named(Some(sid), Some(subject))),
        ];
        Self { marks, begun }
    }

    /// Whether what ended `at` this moment means the session.
    pub(super) fn are_meant_by(&self, end: &ProviderEnd, at: UnixTime) -> bool {
        self.begun < at && self.marks.contains(&Some(end.mark))
    }
}

/// What providers ended, in bounded memory.
#[derive(Debug)]
pub(super) struct EndedByProviders(Remembered<UnixTime>);

impl EndedByProviders {
    /// An empty memory.
    pub(super) fn new(clock: &SharedClock, metrics: &Metrics) -> Self {
        Self(Remembered::new("sessions_ended_by_providers", BYTES, clock, metrics))
    }

    /// Remembers for as long as a session may live that it was begun before `at`.
    pub(super) fn add(&self, end: &ProviderEnd, at: UnixTime, lifetime: Duration) {
        self.0.update(end.mark, end.owner, lifetime, 0, |before| before.map_or(at, |before| before.max(at)));
    }

    /// Whether a session with these names is over.
    pub(super) fn have(&self, names: &NamesAtProvider) -> bool {
        names.marks.iter().flatten().any(|mark| self.0.get(*mark).is_some_and(|at| names.begun < at))
    }
}

/// Of what is named: each part with its length, so that no two of them read alike.
fn mark(issuer: &str, client_id: &str, sid: Option<&str>, subject: Option<&str>) -> Mark {
    let part = |part: Option<&str>| part.map_or_else(|| "-".to_owned(), |part| format!("{}:{part}", part.len()));
    Mark::of(&[Some(issuer), Some(client_id), sid, subject].map(part).concat())
}

/// The client that we are at a provider: a token for another one changes nothing (BC-14).
fn client_id(provider: &Provider) -> &str {
    &provider.settings().client_id
}

/// Room for some 150 000 of them.
const BYTES: usize = 32 * 1024 * 1024;
