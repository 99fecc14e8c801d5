//! Where a request belongs: an endpoint of ours or a rule of a route; refused where two readers could disagree about it.

use http::Method;

use crate::gateway::Gateway;
use crate::gateway::routes::{NoRoute, RouteEntry, Rule};
use crate::gateway::verdict::RequestFault;
use crate::request::RequestMeta;
use crate::request::path::{CanonicalPath, folded};
use crate::request::return_to::ReturnTo;

/// Where a request belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Placement<'a> {
    /// What stands behind our prefix, without it: `login`, `callback/corp`, empty for the prefix itself.
    Own(&'a str),
    /// A rule of a route.
    Route(&'a RouteEntry),
}

impl Gateway {
    /// Finds the place of a request.
    ///
    /// A target that an application could read in another way than we do (as a URL with an authority, decoded again, cut at a
    /// decoded question mark, without regard to case, and in any of these ways after another) passes only when every reading has
    /// the same place: otherwise a lax rule here could open what a strict one protects there (PX-41, AT-PM-02 to AT-PM-09).
    pub(super) fn place<'a>(&'a self, meta: &'a RequestMeta) -> Result<Placement<'a>, RequestFault> {
        let host = meta.host.name();
        if !self.serves(host) {
            return Err(RequestFault::UnknownHost);
        }
        let path = meta.path.as_str();
        let place = self.place_of(host, path, &meta.method);
        let leads_here = |reading: &str| self.leads_to(meta, reading, &place);
        let leads_here_or_says_so = |reading: &str| {
            let same = leads_here(reading);
            if !same {
                tracing::debug!(request_id = meta.id.as_str(), reading, "some programs read another rule's path here");
            }
            same
        };
        let is_certain = if meta.path.is_ambiguous() {
            meta.path.holds_for_every_reading(leads_here_or_says_so)
        } else {
            !self.folds_elsewhere(meta, path, &place)
        };
        // No application reads the queries of our own endpoints. What a query holds is not for logs.
        let is_certain =
            is_certain && (matches!(place, Ok(Placement::Own(_))) || meta.path.holds_past_the_query(leads_here));
        if !is_certain {
            return Err(RequestFault::AmbiguousPath);
        }
        place.map_err(|reason| match reason {
            NoRoute::Host => RequestFault::UnknownHost,
            NoRoute::Path => RequestFault::NotFound,
            NoRoute::Method => RequestFault::MethodNotAllowed { allow: self.routes.methods(host, path) },
        })
    }

    /// The rule of a page that somebody wants to come back to, where one looks at sessions. Nothing is decided by it: what is
    /// asked of the page itself is judged when it comes.
    pub(super) fn rule_of(&self, page: &ReturnTo) -> Option<&Rule> {
        let target = page.target().split('#').next()?.parse().ok()?;
        let path = CanonicalPath::new(&target).ok()?;
        let own = path.as_str().strip_prefix(self.settings.prefix.as_str());
        if own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let entry = self.routes.find(page.host().name(), path.as_str(), &Method::GET).ok()?;
        Some(&*entry.rule).filter(|rule| rule.access.looks_at_session() && !rule.providers.is_empty())
    }

    /// Whether a path that some program reads in a request has this place.
    pub(super) fn leads_to(&self, meta: &RequestMeta, reading: &str, place: &Result<Placement<'_>, NoRoute>) -> bool {
        identity(&self.place_of(meta.host.name(), reading, &meta.method)) == identity(place)
            && !self.folds_elsewhere(meta, reading, place)
    }

    /// What stands at a path, read in one way.
    fn place_of<'a>(&'a self, host: &str, path: &'a str, method: &Method) -> Result<Placement<'a>, NoRoute> {
        match path.strip_prefix(self.settings.prefix.as_str()) {
            Some("") => Ok(Placement::Own("")),
            Some(rest) if rest.starts_with('/') => Ok(Placement::Own(rest.trim_start_matches('/'))),
            _ if self.redirects.takes(path, || self.clock.monotonic()) => Ok(Placement::Own("callback")),
            _ => self.routes.find(host, path, method).map(Placement::Route),
        }
    }

    /// Whether a case-insensitive reader of this path would come to another rule (AT-PM-06).
    fn folds_elsewhere(&self, meta: &RequestMeta, path: &str, place: &Result<Placement<'_>, NoRoute>) -> bool {
        if !self.routes.minds_case(meta.host.name(), path) {
            return false;
        }
        let Ok(Placement::Route(entry)) = place else { return false };
        !entry.case_sensitive && !self.routes.folds_to(meta.host.name(), &folded(path), entry)
    }
}

/// What two equal places have in common.
fn identity<'a>(place: &Result<Placement<'a>, NoRoute>) -> Result<Result<usize, &'a str>, NoRoute> {
    match place {
        Ok(Placement::Route(entry)) => Ok(Ok(entry.rule.id)),
        Ok(Placement::Own(endpoint)) => Ok(Err(endpoint)),
        Err(reason) => Err(*reason),
    }
}
