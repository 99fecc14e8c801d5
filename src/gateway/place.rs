//! Where a request belongs: an endpoint of ours or a rule of a route; refused where two readers could disagree about it.

use http::{HeaderValue, Method, Uri};

use crate::gateway::Gateway;
use crate::gateway::routes::{NoRoute, RouteEntry};
use crate::gateway::verdict::RequestFault;
use crate::gateway::visit::Visit;
use crate::request::RequestMeta;
use crate::request::host::Host;
use crate::request::path::{CanonicalPath, folded};

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
        let folds_elsewhere =
            |reading: &str| self.routes.minds_case(host, reading) && self.folds_elsewhere(meta, reading, &place);
        let ours = identity(&place);
        let leads_here =
            |reading: &str| identity(&self.place_of(host, reading, &meta.method)) == ours && !folds_elsewhere(reading);
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
            !folds_elsewhere(path)
        };
        // No application reads the queries of our own endpoints. What a query holds is not for logs.
        let is_certain =
            is_certain && (matches!(place, Ok(Placement::Own(_))) || meta.path.holds_past_the_query(leads_here));
        if !is_certain {
            return Err(RequestFault::AmbiguousPath);
        }
        // Rules end at the root, but above it there may be another application where the upstream has a base path.
        if matches!(&place, Ok(Placement::Route(entry)) if entry.route.is_below_a_base()) && meta.path.leads_upwards() {
            return Err(RequestFault::AmbiguousPath);
        }
        place.map_err(|reason| match reason {
            NoRoute::Host => RequestFault::UnknownHost,
            NoRoute::Path => RequestFault::NotFound,
            NoRoute::Method => RequestFault::MethodNotAllowed { allow: self.routes.methods(host, path) },
        })
    }

    /// `COPY` and `MOVE` write to the address in `Destination`
    /// ([RFC 4918 section 10.3](https://www.rfc-editor.org/rfc/rfc4918#section-10.3)), which no rule has judged: it must have
    /// the place of the request itself, also for an application that ignores the host in it.
    pub(super) fn check_destination(&self, entry: &RouteEntry, visit: Visit<'_>) -> Result<(), RequestFault> {
        if !matches!(visit.meta.method.as_str(), "COPY" | "MOVE") {
            return Ok(());
        }
        let leads_here = |meta: &RequestMeta| matches!(self.place(meta), Ok(Placement::Route(other)) if other.rule.id == entry.rule.id);
        let is_here = |field: &HeaderValue| {
            let Some((host, path)) = destination(field, visit.meta.https) else { return false };
            let here = RequestMeta { path, ..visit.meta.clone() };
            leads_here(&here) && host.is_none_or(|host| leads_here(&RequestMeta { host, ..here }))
        };
        let all_here = visit.headers.get_all("destination").iter().all(is_here);
        if all_here { Ok(()) } else { Err(RequestFault::DestinationElsewhere) }
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
        let Ok(Placement::Route(entry)) = place else { return false };
        !entry.case_sensitive && !self.routes.folds_to(meta.host.name(), &folded(path), entry)
    }
}

/// The host, where one is named, and the path of a `Destination`: a path or a URL, without a fragment.
fn destination(field: &HeaderValue, https: bool) -> Option<(Option<Host>, CanonicalPath)> {
    let uri = Uri::try_from(field.as_bytes()).ok().filter(|_| !field.as_bytes().contains(&b'#'))?;
    let host = match uri.authority() {
        Some(authority) => Some(Host::parse(authority.as_str(), https)?),
        None => None,
    };
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/'))?;
    Some((host, CanonicalPath::new(path).ok()?))
}

/// What two equal places have in common.
fn identity<'a>(place: &Result<Placement<'a>, NoRoute>) -> Result<Result<usize, &'a str>, NoRoute> {
    match place {
        Ok(Placement::Route(entry)) => Ok(Ok(entry.rule.id)),
        Ok(Placement::Own(endpoint)) => Ok(Err(endpoint)),
        Err(reason) => Err(*reason),
    }
}
