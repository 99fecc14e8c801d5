//! Routes that say the same: between two equally specific ones there is no winner.

use http::Method;

use super::route::CheckedRoute;
use super::{Problems, kinds};
use crate::gateway::settings::{HostPattern, RouteSettings};

/// Reports each pair of routes that are equally specific.
pub(super) fn check_same(routes: &[CheckedRoute], problems: &mut Problems) {
    for (index, route) in routes.iter().enumerate() {
        for earlier in routes.iter().take(index) {
            if let Some(what) = overlap(&earlier.settings, &route.settings) {
                let message =
                    format!("routes `{}` and `{}` say the same: {what}", earlier.settings.name, route.settings.name);
                problems
                    .add(kinds::ROUTES_SAME, &route.place, message)
                    .label("the same as the other")
                    .also(&earlier.place, "here first");
            }
        }
    }
}

/// What two routes both cover, with equal right.
fn overlap(a: &RouteSettings, b: &RouteSettings) -> Option<String> {
    if a.path != b.path || !methods_clash(a.methods.as_deref(), b.methods.as_deref()) {
        return None;
    }
    let host = match (a.hosts.as_slice(), b.hosts.as_slice()) {
        ([], []) => "any host".to_owned(),
        (a, b) => match a.iter().find(|host| b.contains(host))? {
            HostPattern::Exact(name) => name.clone(),
            HostPattern::Suffix(suffix) => format!("*.{suffix}"),
        },
    };
    let methods = a
        .methods
        .as_ref()
        .map_or_else(|| "any method".to_owned(), |list| list.iter().map(Method::as_str).collect::<Vec<_>>().join(", "));
    Some(format!("{host}, path \"{}\", {methods}", a.path))
}

/// A route that names the method is more specific than one that takes any.
fn methods_clash(a: Option<&[Method]>, b: Option<&[Method]>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        _ => false,
    }
}
