//! `COPY` and `MOVE`, which write to the address in `Destination`
//! ([RFC 4918 section 10.3](https://www.rfc-editor.org/rfc/rfc4918#section-10.3)): it is mapped and judged like the target, for the
//! same person. It must belong to the same application, also for one that ignores the host in it.

use std::sync::Arc;

use crate::gateway::Gateway;
use crate::gateway::decide::decide;
use crate::gateway::place::Placement;
use crate::gateway::principal::Principal;
use crate::gateway::routes::RouteEntry;
use crate::gateway::verdict::{RequestFault, Verdict};
use crate::gateway::visit::Visit;
use crate::request::RequestMeta;
use crate::request::destination::Destination;
use crate::request::host::Host;
use crate::request::mapping::PathMapping;
use crate::session::live::LiveSession;
use crate::session::sessions::NoSession;

/// Where something is moved to.
#[derive(Debug)]
pub(super) struct MovedTo<'a> {
    /// The rule there.
    entry: &'a RouteEntry,
    /// The request as if it had been sent there.
    meta: RequestMeta,
}

impl Gateway {
    /// The place of the `Destination`, where the request has one.
    pub(super) fn moved_to<'a>(
        &'a self,
        entry: &RouteEntry,
        visit: Visit<'_>,
    ) -> Result<Option<Box<MovedTo<'a>>>, RequestFault> {
        if !Destination::counts_for(&visit.meta.method) {
            return Ok(None);
        }
        let Some(destination) = Destination::of(visit.headers).map_err(|_| RequestFault::DestinationElsewhere)? else {
            return Ok(None);
        };
        self.place_of_destination(entry, visit, &destination).map(Some).ok_or(RequestFault::DestinationElsewhere)
    }

    /// The same of a field that could be read; `None` where it leads elsewhere, or could be read to.
    fn place_of_destination<'a>(
        &'a self,
        entry: &RouteEntry,
        visit: Visit<'_>,
        destination: &Destination,
    ) -> Option<Box<MovedTo<'a>>> {
        let meta = RequestMeta { path: destination.path()?, ..visit.meta.clone() };
        let there = self.entry_at(&meta)?;
        if let Some(host) = destination.host() {
            let host = host.filter(|host| self.is_known_as(host, &meta.host))?;
            let named = self.entry_at(&RequestMeta { host, ..meta.clone() })?;
            if named.rule.id != there.rule.id {
                return None;
            }
        }
        if there.rule.id != entry.rule.id && !there.route.shares_application(&entry.route) {
            return None;
        }
        self.check_mapped(there, &meta).ok()?;
        // It is mapped as the target is.
        let has_place = |mapping: &PathMapping| destination.mapped(mapping, None).is_some();
        entry.route.mappings.iter().all(has_place).then(|| Box::new(MovedTo { entry: there, meta }))
    }

    /// Whether people may know the gateway by this host, which a `Destination` names: it is the one that they asked, the public
    /// URL's, or one that a route names. A route for any host takes every name in, also those of other servers: an application
    /// whose `Host` the gateway sets would take such a `Destination` for its own.
    fn is_known_as(&self, named: &Host, asked: &Host) -> bool {
        let public = &self.settings.public_url;
        let public = Host::parse(&public.authority, public.https);
        let also = public.as_ref().unwrap_or(asked);
        let knows_name = [asked.name(), also.name()].contains(&named.name()) || self.routes.names(named.name());
        // A proxy in front may leave the port out of what it passes on.
        knows_name && [asked.port(), also.port()].contains(&named.port())
    }

    /// The rule of a request, where it takes one.
    fn entry_at<'a>(&'a self, meta: &RequestMeta) -> Option<&'a RouteEntry> {
        // Looked up again, because a place borrows from its request.
        matches!(self.place(meta), Ok(Placement::Route(_)))
            .then(|| self.routes.find(meta.host.name(), meta.path.as_str(), &meta.method).ok())
            .flatten()
    }

    /// What becomes of a request, with this verdict about its target: the same, unless its destination is refused. `found` is who
    /// sends it.
    pub(super) async fn judge_destination(
        &self,
        to: &MovedTo<'_>,
        verdict: Verdict,
        found: &Result<Option<Principal>, NoSession>,
        visit: Visit<'_>,
        renewed: &mut Option<Arc<LiveSession>>,
    ) -> Verdict {
        let rule = &to.entry.rule;
        if !matches!(verdict, Verdict::Allow(_)) {
            return verdict;
        }
        let counts =
            |it: &&Principal| rule.providers.iter().any(|provider| **provider.name() == *it.identity().provider);
        let known = found.as_ref().ok().and_then(Option::as_ref).filter(counts).cloned();
        let sender = match known {
            None => self.sender(rule, visit, renewed).await,
            known => Ok(known),
        };
        let there = decide(rule, &to.meta, &sender, visit.now);
        if matches!(there, Verdict::Allow(_)) {
            return verdict;
        }
        match self.without_login(rule, Visit { meta: &to.meta, ..visit }, &there) {
            None => there,
            Some(Verdict::Allow(_)) => verdict,
            Some(refused) => refused,
        }
    }
}
