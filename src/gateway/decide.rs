//! The decision: a pure function of the rule, the request and the session.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::gateway::routes::Rule;
use crate::policy::settings::Access;
use crate::policy::{Decision, DenyReason};
use crate::request::RequestMeta;
use crate::session::live::LiveSession;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes to the application.
    Allow,
    /// Somebody has to sign in first.
    Challenge(Challenge),
    /// It goes no further.
    Deny(Denial),
}

/// Why somebody has to sign in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Challenge {
    /// There is no session.
    NoSession,
    /// The sign-in is older than the rule takes.
    TooOld(Duration),
}

/// Why a request goes no further.
#[derive(Clone, Debug)]
pub enum Denial {
    /// The rule lets nobody pass.
    Closed,
    /// The person, or the address, does not meet the rule.
    Policy(DenyReason),
}

/// Decides. The part that depends on nothing but the person is kept with the session, so that a warm request looks it up.
pub fn decide(rule: &Rule, meta: &RequestMeta, session: Option<&LiveSession>, now: UnixTime) -> Verdict {
    match rule.access {
        Access::Deny => Verdict::Deny(Denial::Closed),
        Access::Public => match rule.policy.networks_only(meta.client) {
            Decision::Allow => Verdict::Allow,
            Decision::Deny(reason) => Verdict::Deny(Denial::Policy(reason)),
        },
        Access::Optional => match rule.policy.networks_only(meta.client) {
            Decision::Allow => Verdict::Allow,
            Decision::Deny(reason) => Verdict::Deny(Denial::Policy(reason)),
        },
        Access::Login | Access::Api => match session {
            None => Verdict::Challenge(Challenge::NoSession),
            Some(live) => decide_person(rule, meta, live, now),
        },
    }
}

/// Whether a person meets a rule.
pub fn meets(rule: &Rule, meta: &RequestMeta, live: &LiveSession) -> Decision {
    if rule.policy.is_open() {
        return Decision::Allow;
    }
    if live.decision(rule.id) == Some(true) {
        // The person met the rule before; the address is another matter each time.
        return rule.policy.networks_only(meta.client);
    }
    let decision = rule.policy.decide(&live.identity, meta.client);
    live.keep_decision(rule.id, matches!(decision, Decision::Allow));
    decision
}

/// Whether a sign-in is young enough for a rule.
pub fn is_fresh(rule: &Rule, live: &LiveSession, now: UnixTime) -> bool {
    rule.max_age.is_none_or(|max_age| live.is_signed_in_within(max_age, now))
}

fn decide_person(rule: &Rule, meta: &RequestMeta, live: &LiveSession, now: UnixTime) -> Verdict {
    if let Some(max_age) = rule.max_age
        && !is_fresh(rule, live, now)
    {
        return Verdict::Challenge(Challenge::TooOld(max_age));
    }
    match meets(rule, meta, live) {
        Decision::Allow => Verdict::Allow,
        Decision::Deny(reason) => Verdict::Deny(Denial::Policy(reason)),
    }
}
