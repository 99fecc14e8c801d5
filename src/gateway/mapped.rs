//! Another path towards the application (`strip_prefix`, and the path of an upstream URL): no program may read another rule's path in
//! what it gets, or one outside its base.
//!
//! `/wiki/..%2fadmin` is public as `/wiki/...` and as `/admin`; without the prefix it arrives as `/..%2fadmin`, which a program that
//! decodes first reads as `/admin`: the closed `/wiki/admin`. So what arrives is read in every way, too, each reading is mapped back
//! to the path by which a browser asks for it, and that path must be judged by the same rule.

use http::uri::PathAndQuery;

use crate::gateway::Gateway;
use crate::gateway::place::Placement;
use crate::gateway::routes::RouteEntry;
use crate::gateway::verdict::RequestFault;
use crate::request::RequestMeta;
use crate::request::mapping::PathMapping;
use crate::request::path::CanonicalPath;

impl Gateway {
    /// Checks what the addresses of the route get in place of a target. Costs nothing where they get the target itself.
    pub(super) fn check_mapped(&self, entry: &RouteEntry, meta: &RequestMeta) -> Result<(), RequestFault> {
        let fits = |mapping: &PathMapping| self.fits_mapped(entry, meta, mapping).unwrap_or(false);
        if entry.route.mappings.iter().all(fits) { Ok(()) } else { Err(RequestFault::AmbiguousPath) }
    }

    /// Whether every program that gets the target mapped so reads a path of the same rule, below the base. `None` where it has no
    /// counterpart.
    fn fits_mapped(&self, entry: &RouteEntry, meta: &RequestMeta, mapping: &PathMapping) -> Option<bool> {
        let target = meta.path.path_and_query();
        let place = Ok(Placement::Route(entry));
        let leads_here = |path: Option<String>| path.is_some_and(|path| self.leads_to(meta, &path, &place));
        let read = |target: Option<PathAndQuery>| CanonicalPath::new(&target?).ok();
        // A proxy in between, or a framework, may take the base off again.
        let behind = read(mapping.target_behind_base(target))?;
        if !is_certain(&behind, |reading| leads_here(Some(mapping.behind_prefix(reading)))) {
            return Some(false);
        }
        if mapping.base().is_empty() {
            return Some(true);
        }
        let sent = read(mapping.target_to_application(target))?;
        // Rules end at the root, but above it there may be another application.
        Some(!sent.leads_upwards() && is_certain(&sent, |reading| leads_here(mapping.judged_path(reading))))
    }
}

/// Whether something holds for every path that a program could find in this target.
fn is_certain(path: &CanonicalPath, holds: impl Fn(&str) -> bool) -> bool {
    (!path.is_ambiguous() || path.holds_for_every_reading(&holds)) && path.holds_past_the_query(&holds)
}
