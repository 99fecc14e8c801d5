//! Which route a request takes: the most specific host, then the most specific path. Compiled when the configuration is loaded.
//!
//! 1. Hosts: exact ones, then `*.suffix` by length, then routes for any host. A level that has no path for the request leaves it
//!    to the next.
//! 2. Paths: the longest prefix by whole segments. `[route.NAME.paths]` entries stand among the routes' own prefixes.
//! 3. Methods: chosen among what stands at that prefix; if nothing there takes the method, the answer is 405. A shorter prefix is
//!    never asked, so that leaving a method out of a strict rule cannot open a laxer one. Neither can small letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderName, Method};
use ipnet::IpNet;

use crate::body::BodyLimits;
use crate::gateway::settings::HostPattern;
use crate::policy::Policy;
use crate::policy::settings::Access;
use crate::provider::Provider;
use crate::proxy::balance::Upstream;
use crate::proxy::headers::response_headers::ResponseHeaders;
use crate::proxy::identity_headers::HeaderSet;
use crate::proxy::settings::Authorization;
use crate::request::RequestMeta;
use crate::request::host::is_below;
use crate::request::mapping::PathMapping;
use crate::request::path::{folded, has_case};
use crate::telemetry::metrics::{PeerMetrics, RouteMetrics};

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    exact: BTreeMap<String, HostRules>,
    suffixes: Vec<(String, HostRules)>,
    any: HostRules,
    /// Some prefix has letters that have another case.
    has_case: bool,
}

/// A route, ready to be used.
#[derive(Debug)]
pub struct Route {
    /// Unique in a configuration.
    pub number: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Where allowed requests go.
    pub target: RouteTarget,
    /// How the paths of requests are mapped, each way of its addresses once; empty where they stay as they are.
    pub mappings: Vec<PathMapping>,
    /// Origins whose WebSocket handshakes are taken besides our own.
    pub websocket_origins: Vec<String>,
    /// Fields that the application takes from its clients, though only gateways should send them.
    pub kept_headers: Vec<HeaderName>,
    /// What is changed on the application's answers.
    pub response_headers: ResponseHeaders,
    /// The limits of a request body.
    pub body_limits: BodyLimits,
    /// Its counters.
    pub metrics: RouteMetrics,
    /// The counters of its application.
    pub upstream_metrics: PeerMetrics,
}

/// Where allowed requests go.
#[derive(Debug)]
pub enum RouteTarget {
    /// To an application.
    Upstream(Arc<Upstream>),
    /// An empty answer.
    Static(http::StatusCode),
}

/// What is asked of the requests below one prefix of a route.
#[derive(Debug)]
pub struct Rule {
    /// Unique in a configuration: the key of kept decisions.
    pub id: usize,
    /// The prefix.
    pub path: String,
    /// Whether and how one has to be signed in.
    pub access: Access,
    /// Who may pass.
    pub policy: Policy,
    /// Which identity headers the application gets.
    pub header_set: HeaderSet,
    /// Whether the application gets the client's own `Authorization`, or something of the session in its place.
    pub authorization: Authorization,
    /// Providers whose sessions count, in the order of the chooser.
    pub providers: Vec<Arc<Provider>>,
    /// How old the sign-in may be.
    pub max_age: Option<std::time::Duration>,
    /// Whether its requests have lines in the access log.
    pub access_log: bool,
    /// Networks whose people pass without signing in.
    pub no_login_from: Box<[IpNet]>,
}

/// A rule at its place.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// The route.
    pub route: Arc<Route>,
    /// The rule.
    pub rule: Arc<Rule>,
    /// Whether the application tells `/ADMIN` from `/admin`.
    pub case_sensitive: bool,
    /// Whether the method decides which of the rules at this host and path is asked, or whether any is.
    pub methods_matter: bool,
    /// Which methods it takes; none for any.
    methods: Option<Arc<[Method]>>,
}

/// Why a request takes no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoRoute {
    /// No route names the host.
    Host,
    /// No route of the host has the path.
    Path,
    /// What stands at the path does not take the method.
    Method,
}

impl Routes {
    /// Adds a rule at a prefix, for each of the hosts (none: any).
    pub fn add(
        &mut self,
        hosts: &[HostPattern],
        methods: Option<&[Method]>,
        case_sensitive: bool,
        route: &Arc<Route>,
        rule: &Arc<Rule>,
    ) {
        self.has_case |= has_case(&rule.path);
        let entry = RouteEntry {
            route: Arc::clone(route),
            rule: Arc::clone(rule),
            case_sensitive,
            methods_matter: methods.is_some(),
            methods: methods.map(Into::into),
        };
        if hosts.is_empty() {
            self.any.add(&entry);
            return;
        }
        for host in hosts {
            self.level(host).add(&entry);
        }
    }

    /// The rule for a request. `path` is canonical: decoded, starting with a slash.
    ///
    /// # Errors
    /// [`NoRoute`].
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<&RouteEntry, NoRoute> {
        let mut covered = false;
        for level in self.levels(host) {
            covered = true;
            if let Some(entries) = longest(&level.prefixes, level.depth, path) {
                return taking(entries, method).ok_or(NoRoute::Method);
            }
        }
        Err(if covered { NoRoute::Path } else { NoRoute::Host })
    }

    /// Whether a case-insensitive reader comes to this entry as well; `folded` is the path in lower case. Of two
    /// prefixes that differ in case only, each stands for itself.
    pub fn folds_to(&self, host: &str, folded: &str, entry: &RouteEntry) -> bool {
        let entries =
            self.levels(host).find_map(|level| longest(&level.folded, level.depth, folded)).unwrap_or_default();
        entries.iter().any(|other| other.rule.id == entry.rule.id)
    }

    /// The methods that are taken at a path, as they stand in `Allow`
    /// ([RFC 9110 section 15.5.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6)).
    pub fn methods(&self, host: &str, path: &str) -> String {
        let entries =
            self.levels(host).find_map(|level| longest(&level.prefixes, level.depth, path)).unwrap_or_default();
        let mut names: Vec<&str> = Vec::new();
        for method in entries.iter().filter_map(|entry| entry.methods.as_deref()).flatten() {
            let also_head = (*method == Method::GET).then_some("HEAD");
            for name in std::iter::once(method.as_str()).chain(also_head) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.join(", ")
    }

    /// Whether a route names this host: exactly, or by a suffix; not merely by taking any.
    pub fn names(&self, host: &str) -> bool {
        self.exact.contains_key(host) || self.suffixes.iter().any(|(suffix, _)| is_below(host, suffix))
    }

    /// Whether any route covers this host, those for any host among them.
    pub fn covers(&self, host: &str) -> bool {
        self.levels(host).next().is_some()
    }

    /// Whether capitals could make a difference to this path: some there or in a prefix, and more than one rule of the host.
    pub fn minds_case(&self, host: &str, path: &str) -> bool {
        (self.has_case || has_case(path)) && self.levels(host).map(|level| level.prefixes.len()).sum::<usize>() > 1
    }

    /// The rules of a host, the most specific ones first.
    fn levels<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a HostRules> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        let suffixes = self.suffixes.iter().filter(move |(suffix, _)| is_below(host, suffix)).map(|(_, level)| level);
        let any = Some(&self.any).filter(|level| !level.prefixes.is_empty());
        exact.into_iter().chain(suffixes).chain(any)
    }

    /// The rules of this very pattern.
    fn level(&mut self, host: &HostPattern) -> &mut HostRules {
        match host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Suffix(suffix) => {
                let at = self.suffixes.iter().position(|(known, _)| known == suffix).unwrap_or_else(|| {
                    let at = self.suffixes.partition_point(|(known, _)| known.len() > suffix.len());
                    self.suffixes.insert(at, (suffix.clone(), HostRules::default()));
                    at
                });
                #[expect(clippy::indexing_slicing, reason = "the position was found or made just above")]
                &mut self.suffixes[at].1
            }
        }
    }
}

impl Route {
    /// What is taken off the beginning of its paths, as it stands in a URL; empty for most.
    pub fn stripped_prefix(&self) -> &str {
        self.mappings.first().map_or("", PathMapping::prefix)
    }

    /// What the application gets in place of a request's target, where that is another; unknown where its addresses get several.
    pub fn path_sent(&self, meta: &RequestMeta) -> Option<PathAndQuery> {
        let [only] = self.mappings.as_slice() else { return None };
        only.target_to_application(meta.path.path_and_query())
    }

    /// Whether two routes lead to one application, by the same paths.
    pub fn shares_application(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (RouteTarget::Upstream(one), RouteTarget::Upstream(two)) => {
                one.settings().addresses == two.settings().addresses
            }
            _ => self.number == other.number,
        }
    }
}

/// The first of the entries that takes the method. Methods have one spelling
/// ([RFC 9110 section 9.1](https://www.rfc-editor.org/rfc/rfc9110#section-9.1)), but many frameworks read `delete` as
/// `DELETE`: what is another rule's method to them is nobody's (AT-HS-16).
fn taking<'a>(entries: &'a [RouteEntry], method: &Method) -> Option<&'a RouteEntry> {
    let has = |methods: &[Method], method: &Method| {
        methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
    };
    let first = |method: &Method| {
        entries.iter().find(|entry| entry.methods.as_deref().is_none_or(|methods| has(methods, method)))
    };
    let entry = first(method)?;
    if !entry.methods_matter || !method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Some(entry);
    }
    let in_capitals = Method::from_bytes(method.as_str().to_ascii_uppercase().as_bytes()).ok()?;
    first(&in_capitals).filter(|other| other.rule.id == entry.rule.id)
}

/// The rules of one host.
#[derive(Debug, Default)]
struct HostRules {
    prefixes: BTreeMap<String, Vec<RouteEntry>>,
    /// The same by prefixes in lower case.
    folded: BTreeMap<String, Vec<RouteEntry>>,
    /// Segments of the deepest prefix.
    depth: usize,
}

impl HostRules {
    /// Adds a rule at its prefix.
    fn add(&mut self, entry: &RouteEntry) {
        let prefix = entry.rule.path.trim_end_matches('/').to_owned();
        let folded = folded(&prefix).into_owned();
        self.depth = self.depth.max(prefix.matches('/').count());
        for (map, key) in [(&mut self.prefixes, prefix), (&mut self.folded, folded)] {
            let entries = map.entry(key).or_default();
            // Entries that name methods are asked before one that takes all.
            let at = if entry.methods.is_some() { 0 } else { entries.len() };
            entries.insert(at, entry.clone());
            let matter = entries.iter().any(|entry| entry.methods.is_some());
            entries.iter_mut().for_each(|entry| entry.methods_matter = matter);
        }
    }
}

/// The entries at the longest prefix of `path` that has any; prefixes end where a segment ends. The root's prefix is empty.
fn longest<'a>(prefixes: &'a BTreeMap<String, Vec<RouteEntry>>, depth: usize, path: &str) -> Option<&'a [RouteEntry]> {
    let path = path.trim_end_matches('/');
    // No prefix is deeper than `depth` segments, so a path of many segments costs no more than a short one.
    let mut end = memchr::memchr_iter(b'/', path.as_bytes()).nth(depth).unwrap_or(path.len());
    loop {
        let prefix = path.get(..end)?;
        if let Some(entries) = prefixes.get(prefix) {
            return Some(entries);
        }
        end = prefix.rfind('/')?;
    }
}
