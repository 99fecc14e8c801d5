//! A session in memory, with everything that a request on the warm path needs ready to be taken.
//!
//! It holds no token: a session is used at each request, its tokens once in minutes. Whoever renews, revokes or hands them on loads
//! the session again, so that a cookie that comes for the first time costs no putting together of tokens, and few secrets are in
//! memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::identity::Identity;
use crate::provider::Provider;
use crate::proxy::identity_headers::IdentityHeaders;
use crate::remembered::Party;
use crate::request::host::Host;
use crate::session::cell::SessionCell;
use crate::session::settings::SessionSettings;
use crate::session::store::{Handle, Site};
use crate::session::{Session, SessionId};

/// A session as requests use it: immutable but for what its `SessionCell` says. Requests share it by reference count.
#[derive(Debug)]
pub struct LiveSession {
    /// Names the sign-in.
    pub id: SessionId,
    /// How often the tokens were refreshed.
    pub generation: u32,
    /// Who that is.
    pub identity: Identity,
    /// Their headers, rendered when the session was loaded.
    pub headers: IdentityHeaders,
    /// The session's name in logs: a hash, so that nothing can be opened with it.
    pub name: Box<str>,
    /// What the browser holds of it.
    pub handle: Handle,
    /// Where the person signed in.
    pub provider: Arc<Provider>,
    /// The host that it is used at; one of those below the cookie domain, where there is one.
    pub host: Host,
    /// What is known of the session beyond this cookie: later generations, sign-out.
    pub cell: Arc<SessionCell>,
    /// When the person signed in.
    pub created: UnixTime,
    /// When the session was last renewed or touched.
    pub active: UnixTime,
    /// When the person last proved who they are to the provider, if it said.
    pub auth_time: Option<UnixTime>,
    /// When the access token expires; none when it never does.
    pub access_expires: Option<UnixTime>,
    /// Whether there is a refresh token.
    pub is_renewable: bool,
    /// The scope that was granted.
    pub scope: Option<String>,
    /// From when on the cookie opens nothing any more ([`Session::ends`]).
    pub ends: UnixTime,
    /// The end that no activity moves.
    pub absolute_end: UnixTime,
    /// What rules decided about it before.
    pub decisions: Decisions,
    /// The routes that it got into before.
    granted: Decisions,
    /// Its refresh token was found to be spent: it stays so, and a program that goes on with an old cookie should not have it
    /// opened each time.
    pub(super) is_spent: AtomicBool,
    /// Before this the session comes from the future: [`KeyRing::judged_at`](crate::seal::KeyRing::judged_at).
    starts: UnixTime,
    refresh_due: UnixTime,
    touch_due: UnixTime,
}

impl LiveSession {
    /// Makes a session of this person ready. It has no claims any more: they are the identity's.
    pub fn new(
        session: Session,
        identity: Identity,
        headers: IdentityHeaders,
        handle: Handle,
        site: Site<'_>,
        cell: Arc<SessionCell>,
        settings: &SessionSettings,
    ) -> Self {
        let live = Self {
            ends: session.ends(settings),
            absolute_end: session.absolute_end(settings),
            starts: session.active.minus(settings.clock_leeway),
            refresh_due: refresh_due(&session, settings, site.provider.settings().userinfo_every),
            touch_due: session.active.plus(touch_step(settings)),
            id: session.id,
            generation: session.generation,
            identity,
            headers,
            name: session.id.short().into(),
            handle,
            provider: Arc::clone(site.provider),
            host: site.host.clone(),
            cell,
            created: session.created,
            active: session.active,
            auth_time: session.auth_time,
            access_expires: session.access_expires,
            is_renewable: session.tokens.refresh.is_some(),
            scope: session.scope,
            decisions: Decisions::default(),
            granted: Decisions::default(),
            is_spent: AtomicBool::new(false),
        };
        live.warn_of_overflow();
        live
    }

    /// What it belongs to.
    pub fn site(&self) -> Site<'_> {
        Site { provider: &self.provider, host: &self.host }
    }

    /// On whose account something is remembered of it.
    pub fn owner(&self) -> Party {
        Party::subject(&self.identity.issuer, &self.identity.subject)
    }

    /// Whether the session is over: by its times ([`Session::ends`]), or because somebody ended it.
    pub fn is_over(&self, now: UnixTime) -> bool {
        now >= self.ends || self.is_ended()
    }

    /// Whether somebody ended it: the person, the provider, or a new sign-in in its place.
    pub fn is_ended(&self) -> bool {
        self.cell.is_ended(self.generation)
    }

    /// Whether the person proved who they are within this time. A sign-in whose age the provider does not say is not known to be
    /// so young: a new session may stand on a sign-in of last week, for most providers send `auth_time` only when `max_age` was
    /// asked for (ID-16).
    pub fn is_signed_in_within(&self, most: Duration, now: UnixTime) -> bool {
        !self.is_ahead(now) && self.auth_time.is_some_and(|at| now.since(at) <= most)
    }

    /// Whether the access token is past its expiry.
    pub fn access_expired(&self, now: UnixTime) -> bool {
        self.access_expires.is_some_and(|expires| now >= expires)
    }

    /// Whether the session was sealed in the future: by a clock that is ahead of ours, or by ours before it was set back.
    pub fn is_ahead(&self, now: UnixTime) -> bool {
        now < self.starts
    }

    /// Whether the session should be renewed now: also where its age is not known.
    pub fn refresh_due(&self, now: UnixTime) -> bool {
        now >= self.refresh_due || (self.is_ahead(now) && self.refresh_due != NEVER)
    }

    /// Whether the provider has to say again who it is (`userinfo_every`), where no refresh token renews the session.
    pub(super) fn has_to_ask(&self, now: UnixTime) -> bool {
        !self.is_renewable && self.refresh_due(now)
    }

    /// How often it has to.
    pub(super) fn asked_every(&self) -> Option<Duration> {
        self.provider.settings().userinfo_every.filter(|_| !self.is_renewable)
    }

    /// Whether the session should be sealed anew, to keep it from falling idle: by one request in each step, however many come at
    /// once (`SessionCell::take_touch`).
    pub fn touch_due(&self, now: UnixTime) -> bool {
        now >= self.touch_due || self.is_ahead(now)
    }

    /// Whether this is the first time that the session, in whichever of its generations, gets into a route of this number and name.
    pub fn is_first_grant(&self, number: usize, route: &str) -> bool {
        if self.granted.get(number).is_some() {
            return false;
        }
        self.granted.set(number, true);
        self.cell.is_first_grant(route)
    }

    /// Groups that no application gets are worth a line: one for a session, not for each renewal and set.
    fn warn_of_overflow(&self) {
        if let Some(count) = self.headers.overflow().filter(|_| self.cell.is_first_overflow()) {
            tracing::warn!(
                code = "groups_overflow",
                session = &*self.name,
                provider = &*self.identity.provider,
                left_out = count.to_str().unwrap_or_default(),
                "somebody's groups do not fit into a header of 8 KiB, so that applications are told of none of them: name those \
                 that matter in groups_only of [route.NAME.identity]"
            );
        }
    }
}

/// When a renewal is due.
fn refresh_due(session: &Session, settings: &SessionSettings, userinfo_every: Option<Duration>) -> UnixTime {
    if session.tokens.refresh.is_none() {
        return userinfo_every.and_then(|every| question_due(session, every)).unwrap_or(NEVER);
    }
    let Some(expires) = session.access_expires else { return NEVER };
    let due = expires.minus(refresh_before(expires.since(session.access_issued), settings.refresh_before));
    // What was asked for may be due earlier (`userinfo_every`): a refresh asks again.
    session.asked.as_ref().and_then(|asked| asked.due).map_or(due, |asked| due.min(asked))
}

/// When who somebody is has to be asked again; `None` where it never was asked. A moment that lies further ahead than the interval
/// was written under a longer one, and a session of when there was none was asked about at its sign-in.
fn question_due(session: &Session, every: Duration) -> Option<UnixTime> {
    let due = session.asked.as_ref()?.due.unwrap_or_else(|| session.access_issued.plus(every));
    Some(if due.since(session.active) > every { session.active } else { due })
}

/// How long ahead of its expiry a token is renewed: as configured, else a tenth of its life, from 5 s to 5 minutes. At most half
/// of its life, or a token that lives shorter than that would be renewed at every request.
fn refresh_before(life: Duration, configured: Option<Duration>) -> Duration {
    configured.unwrap_or_else(|| (life / 10).clamp(REFRESH_BEFORE_MIN, REFRESH_BEFORE_MAX)).min(life / 2)
}

/// How often a session that is used is sealed anew.
pub(super) fn touch_step(settings: &SessionSettings) -> Duration {
    settings.idle_timeout / 10
}

/// Decisions by rule, or by route: two bits each (known, allowed), for the first rules of a configuration; the rest are made each time.
#[derive(Debug, Default)]
pub struct Decisions([AtomicU64; 4]);

impl Decisions {
    /// Whether the rule let the person pass, if it was asked before.
    pub fn get(&self, rule: usize) -> Option<bool> {
        let bits = self.0.get(rule / RULES_A_WORD)?.load(Ordering::Relaxed) >> (2 * (rule % RULES_A_WORD));
        (bits & 1 == 1).then_some(bits & 2 == 2)
    }

    /// Keeps a decision that depends on nothing but the identity.
    pub fn set(&self, rule: usize, allowed: bool) {
        if let Some(word) = self.0.get(rule / RULES_A_WORD) {
            let bits = 1 | (u64::from(allowed) << 1);
            word.fetch_or(bits << (2 * (rule % RULES_A_WORD)), Ordering::Relaxed);
        }
    }
}

/// How many rules one word holds.
const RULES_A_WORD: usize = 32;
/// Due at no time.
const NEVER: UnixTime = UnixTime::from_millis(u64::MAX);
/// A token is renewed at least this long ahead of its expiry, where nothing is configured.
const REFRESH_BEFORE_MIN: Duration = Duration::from_secs(5);
/// The same at most.
const REFRESH_BEFORE_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_a_tenth_of_its_life_early_unless_configured_otherwise() {
        let seconds = |life, configured: Option<u64>| {
            refresh_before(Duration::from_secs(life), configured.map(Duration::from_secs)).as_secs()
        };
        for (life, before) in [(10, 5), (49, 5), (60, 6), (1800, 180), (3000, 300), (86_400, 300)] {
            assert_eq!(seconds(life, None), before, "a life of {life} s");
        }
        assert_eq!(seconds(60, Some(0)), 0);
        assert_eq!(seconds(60, Some(30)), 30);
        for life in [0, 1, 2, 4, 8, 60, 300, 3600] {
            for configured in [None, Some(life), Some(life + 1), Some(u64::MAX)] {
                assert!(seconds(life, configured) <= life / 2, "at most half of {life} s, with {configured:?}");
            }
        }
    }

    #[test]
    fn decisions_are_kept_by_rule_and_unknown_beyond_the_table() {
        let decisions = Decisions::default();
        decisions.set(0, true);
        decisions.set(33, false);
        decisions.set(5000, true);
        assert_eq!(decisions.get(0), Some(true));
        assert_eq!(decisions.get(33), Some(false));
        assert_eq!(decisions.get(1), None);
        assert_eq!(decisions.get(5000), None);
    }
}
