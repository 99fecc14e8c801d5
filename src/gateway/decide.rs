//! The decision: a pure function of the rule, the request and whoever sends it.

use crate::clock::UnixTime;
use crate::gateway::principal::Principal;
use crate::gateway::routes::Rule;
use crate::gateway::verdict::{Challenge, Denial, Lack, Verdict};
use crate::policy::Decision;
use crate::policy::settings::Access;
use crate::request::RequestMeta;
use crate::session::sessions::NoSession;

/// Decides. `sender` is what was found of whoever sends the request; nobody where the rule looks at none.
pub(super) fn decide(
    rule: &Rule,
    meta: &RequestMeta,
    sender: &Result<Option<Principal>, NoSession>,
    now: UnixTime,
) -> Verdict {
    match by_access(rule, meta, sender, now) {
        // A name that the application would read as another: neither that one passes nor nobody in its place.
        Verdict::Allow(Some(principal)) => match principal.user_name_fault(rule) {
            None => Verdict::Allow(Some(principal)),
            Some(fault) => Verdict::Deny(Denial::UserName(fault)),
        },
        verdict => verdict,
    }
}

/// What the rule says, whatever the application can be told.
fn by_access(rule: &Rule, meta: &RequestMeta, sender: &Result<Option<Principal>, NoSession>, now: UnixTime) -> Verdict {
    match rule.access {
        Access::Deny => Verdict::Deny(Denial::Closed),
        Access::Public => unless_elsewhere(rule, meta, None),
        Access::Optional => {
            // Somebody who does not meet `allow` or `max_age` counts as not signed in.
            let known = sender.as_ref().ok().and_then(Option::as_ref);
            let fit = known.filter(|it| is_fresh(rule, it, now) && meets(rule, meta, it) == Decision::Allow);
            unless_elsewhere(rule, meta, fit)
        }
        Access::Login | Access::Api => match sender {
            Ok(Some(principal)) => decide_person(rule, meta, principal, now),
            Ok(None) | Err(NoSession::Absent) => Verdict::Challenge(Challenge::SignIn(Lack::Session)),
            Err(NoSession::Over(_)) => Verdict::Challenge(Challenge::SignIn(Lack::Ended)),
            Err(NoSession::Outage(error)) => Verdict::Challenge(Challenge::Outage(error.clone())),
        },
    }
}

/// Where nobody has to be known, only the networks of `allow` count.
pub(super) fn unless_elsewhere(rule: &Rule, meta: &RequestMeta, principal: Option<&Principal>) -> Verdict {
    match rule.policy.networks_only(meta.client) {
        Decision::Allow => Verdict::Allow(principal.cloned()),
        Decision::Deny(reason) => Verdict::Deny(Denial::Policy(reason)),
    }
}

/// Where somebody has to be known.
fn decide_person(rule: &Rule, meta: &RequestMeta, principal: &Principal, now: UnixTime) -> Verdict {
    if let Some(max_age) = rule.max_age
        && !is_fresh(rule, principal, now)
    {
        return Verdict::Challenge(Challenge::SignIn(Lack::Recent(max_age)));
    }
    match meets(rule, meta, principal) {
        Decision::Allow => Verdict::Allow(Some(principal.clone())),
        Decision::Deny(reason) => Verdict::Deny(Denial::Policy(reason)),
    }
}

/// Whether the sign-in is young enough for a rule.
fn is_fresh(rule: &Rule, principal: &Principal, now: UnixTime) -> bool {
    rule.max_age.is_none_or(|max_age| principal.is_signed_in_within(max_age, now))
}

/// Whether a person meets a rule. What depends on nothing but the person is kept with the session: a warm request looks it up. Where
/// a list may change meanwhile, the policy is asked each time.
fn meets(rule: &Rule, meta: &RequestMeta, principal: &Principal) -> Decision {
    if rule.policy.is_open() {
        return Decision::Allow;
    }
    let session = principal.session();
    if session.decisions.get(rule.id) == Some(true) {
        // The person met the rule before; the address is another matter each time.
        return rule.policy.networks_only(meta.client);
    }
    let decision = rule.policy.decide(principal.identity(), meta.client);
    if !rule.policy.is_followed() {
        session.decisions.set(rule.id, decision == Decision::Allow);
    }
    decision
}
