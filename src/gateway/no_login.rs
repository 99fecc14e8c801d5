//! Networks that need no sign-in (`no_login_from`): whether a request counts as one from there, and what becomes of it then.
//!
//! What counts is the address of the client itself. An address of a trusted proxy never does: it is everybody's who comes through
//! that proxy. Neither does any that another proxy may stand at: one that nobody named brings whoever it likes, and shows in what
//! it adds to requests.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use crate::gateway::Gateway;
use crate::gateway::decide::unless_elsewhere;
use crate::gateway::routes::Rule;
use crate::gateway::verdict::{Denial, Verdict};
use crate::gateway::visit::Visit;
use crate::policy::contains;
use crate::proxy::headers::spellings::is_of_proxies;
use crate::request::RequestMeta;

/// The stable reason of a request that passes because of its network.
pub(super) const REASON: &str = "no_login_from";

impl Gateway {
    /// What becomes of a request that its rule does not let pass, where it comes from a network that needs no sign-in: as on
    /// `access = "optional"`, it goes on without an identity, and of `allow` only the networks count. `None` where it does not
    /// come from there.
    pub(super) fn without_login(&self, rule: &Rule, visit: Visit<'_>, refused: &Verdict) -> Option<Verdict> {
        let counts = asks_who(refused) && !rule.no_login_from.is_empty() && self.is_from(rule, visit);
        counts.then(|| unless_elsewhere(rule, visit.meta, None))
    }

    /// Whether a request that passed because of its network would do so again, by the networks and proxies of now.
    pub(super) fn still_needs_no_login(&self, rule: &Rule, meta: &RequestMeta, refused: &Verdict) -> bool {
        asks_who(refused)
            && contains(&rule.no_login_from, meta.client)
            && !self.reader.is_trusted_proxy(meta.client)
            && matches!(unless_elsewhere(rule, meta, None), Verdict::Allow(_))
    }

    /// Whether a request comes from one of the rule's networks, as far as anybody can tell.
    fn is_from(&self, rule: &Rule, visit: Visit<'_>) -> bool {
        let Visit { meta, headers, .. } = visit;
        let is_inside = contains(&rule.no_login_from, meta.client);
        if !meta.peer_trusted
            && let Some(field) = headers.keys().find(|name| is_of_proxies(name.as_str()))
        {
            self.warn_of_proxy(meta.client, field.as_str(), is_inside);
            return false;
        }
        if !is_inside || !meta.client_is_known || self.reader.is_trusted_proxy(meta.client) {
            return false;
        }
        // The same one hop further out: what the client sent to the trusted proxy names somebody before it.
        let goes_on = meta.peer_trusted && self.reader.names_hops_before_client(headers);
        if goes_on {
            self.warn_of_proxy(meta.client, "x-forwarded-for", is_inside);
        }
        !goes_on
    }

    /// Says that requests come through a proxy that nobody named: once of those in the networks and once of those elsewhere, so that a
    /// stranger's fields cannot use up the warning that matters.
    fn warn_of_proxy(&self, proxy: IpAddr, field: &str, is_inside: bool) {
        let (inside, elsewhere) = &self.warned_of_proxies;
        let told = if is_inside { inside } else { elsewhere };
        if !told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                code = "proxy_not_named",
                %proxy,
                field,
                "a request came from an address that is not in server.trusted_proxies, with a field that proxies add: no such request \
                 counts for no_login_from, whatever its address. If a proxy stands there, name it in server.trusted_proxies. This is \
                 said once"
            );
        }
    }
}

/// Whether a verdict is about who sends the request: nothing else is changed by where it comes from.
fn asks_who(refused: &Verdict) -> bool {
    matches!(refused, Verdict::Challenge(_) | Verdict::Deny(Denial::Policy(_)))
}
