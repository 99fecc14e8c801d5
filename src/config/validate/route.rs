//! `[route.NAME]` and its `paths`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;

use super::super::file::{AllowTable, RouteTable, RuleKeys};
use super::super::units::Filled;
use super::response_headers::CheckedChanges;
use super::{
    Diagnostic, DiagnosticKind, Field, Flaw, Found, Place, Problems, Timespan, allow, distinct, identity, kept_headers,
    kinds, listed, mapping, matching, no_login, response_headers, upstream,
};
use crate::gateway::settings::{HostPattern, PublicUrl, RouteSettings, RuleSettings, TargetSettings};
use crate::nearest::nearest;
use crate::policy::settings::{Access, AllowSettings};
use crate::provider::settings::{ProviderKind, ProviderSettings};
use crate::proxy::settings::{Authorization, IdentityHeaderSettings, IdentityValue, UpstreamTransport};
use crate::server::settings::ListenAddress;
use crate::session::settings::{TokenKinds, domain_reaches};

/// A route, and where it was written.
pub(super) struct CheckedRoute {
    /// What the gateway knows of it.
    pub(super) settings: RouteSettings,
    /// Where its table begins.
    pub(super) place: Place,
    /// `no_login_from` of the route and of its parts, where it is written.
    pub(super) no_login_from: Vec<Vec<Found<IpNet>>>,
    /// Where `upstream` stands.
    upstream: Place,
    /// What is changed on its answers.
    pub(super) changes: CheckedChanges,
}

impl CheckedRoute {
    /// Reports something about the route as a whole.
    fn report<'a>(&self, kind: DiagnosticKind, what: &str, problems: &'a mut Problems) -> &'a mut Diagnostic {
        problems.add(kind, &self.place, format!("route `{}` {what}", self.settings.name))
    }
}

/// `providers` are all of them, unless some could not be read.
pub(super) fn route(
    name: &Found<String>,
    table: &RouteTable,
    providers: Option<&[ProviderSettings]>,
    problems: &mut Problems,
) -> Option<CheckedRoute> {
    let hosts = matching::hosts(&table.host, problems);
    let path = match &table.path {
        Field::Given(found) => matching::path(found, &found.key, problems),
        Field::Absent => Some("/".to_owned()),
        Field::Wrong => None,
    };
    let methods = matching::methods(&table.methods, problems);
    let base = asked(&table.rule(), providers, problems);
    let rule = settled(name, &base, providers, problems);
    no_login::check_access(rule.access, &table.rule(), problems);
    let paths = paths(name, table, path.as_deref(), &base, providers, problems);
    let needed = rule.access != Access::Deny || paths.iter().any(|(_, rule)| rule.access != Access::Deny);
    let prefix = mapping::strip_prefix(table, path.as_deref(), problems);
    let target = upstream::target(name, table, &prefix, needed, problems);
    let websocket_origins = matching::origins(&table.websocket_origins, problems);
    let rules: Vec<_> = std::iter::once(&rule).chain(paths.iter().map(|(_, rule)| rule)).collect();
    let kept_headers = kept_headers::kept_headers(&table.insecure_keep_headers, &rules, problems);
    let changes = response_headers::response_headers(&table.response_headers, problems);
    let settings = RouteSettings {
        name: Arc::from(name.value.as_str()),
        hosts,
        path: path?,
        methods,
        // Without one an error was reported: the rest is still compared with other routes, and nothing serves it.
        target: target.unwrap_or(TargetSettings::Static(StatusCode::BAD_GATEWAY)),
        rule,
        paths,
        websocket_origins,
        kept_headers,
        response_headers: changes.settings(),
        case_sensitive: table.case_sensitive.or(false),
        body_bytes: table.body_bytes.value().map(|size| size.0),
    };
    let upstream = table.upstream.given().map_or(&name.place, |found| &found.place).clone();
    let no_login_from = no_login::written(table);
    Some(CheckedRoute { settings, place: name.place.clone(), no_login_from, upstream, changes })
}

/// What a table says; what it leaves out is for its base, or the default.
#[derive(Clone, Default)]
struct RuleAsWritten {
    /// Who gets in.
    access: Option<Access>,
    /// Who of those may pass.
    allow: AllowSettings,
    /// The headers.
    identity: Option<IdentityHeaderSettings>,
    /// The providers whose sessions count.
    providers: Option<Vec<Arc<str>>>,
    /// How old the sign-in may be.
    max_age: Option<Found<Timespan>>,
    /// Whether its requests have lines in the access log.
    access_log: Option<bool>,
    /// The networks whose people need not sign in.
    no_login_from: Option<Vec<Found<IpNet>>>,
}

/// What a table says, checked.
fn asked(keys: &RuleKeys, providers: Option<&[ProviderSettings]>, problems: &mut Problems) -> RuleAsWritten {
    let allow = keys.allow.value().map(|table| allow::allow(&table.0, problems)).unwrap_or_default();
    let access = keys.access.value().copied();
    if let (Some(found), Some(access)) = (keys.allow.given(), access) {
        check_access(access, &allow, found, problems);
    }
    keys.max_age.noted(&Timespan(Duration::ZERO), kinds::MAX_AGE_ZERO, "cannot be zero", problems);
    RuleAsWritten {
        access,
        allow,
        identity: identity::identity(&keys.identity, problems),
        providers: accepted(keys, providers, problems),
        max_age: keys.max_age.given().cloned(),
        access_log: keys.access_log.value().copied(),
        no_login_from: no_login::networks(&keys.no_login_from, problems),
    }
}

/// Nobody's identity is looked at where no session is.
fn check_access(access: Access, allow: &AllowSettings, found: &Found<Filled<AllowTable>>, problems: &mut Problems) {
    let word = match access {
        Access::Public if allow::asks_identity(allow) => "public",
        Access::Optional if allow::asks_identity(allow) => "optional",
        Access::Deny => "deny",
        _ => return,
    };
    let reason = match access {
        Access::Deny => "nobody passes, whatever `allow` says",
        Access::Public => {
            "no session is looked at, so that nobody can be told from anybody else; only `networks` can be asked"
        }
        _ => "who is not signed in passes as well; only `networks` can be asked",
    };
    problems.on(kinds::ALLOW_AGAINST_ACCESS, found, format!("contradicts access = \"{word}\"")).reason(reason);
}

/// The providers whose sessions count, in the order of the file.
fn accepted(keys: &RuleKeys, known: Option<&[ProviderSettings]>, problems: &mut Problems) -> Option<Vec<Arc<str>>> {
    distinct(&keys.providers, kinds::EMPTY_PROVIDERS, problems, |name| {
        let names = || known.unwrap_or_default().iter().map(|known| &*known.name);
        if known.is_none() || names().any(|known| known == name) {
            return Ok(Arc::from(name));
        }
        let help = match nearest(name, names()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if names().next().is_none() => "add a table [provider.NAME]".to_owned(),
            None => format!("the providers are {}", listed(names())),
        };
        let what = format!("names \"{}\", which is not configured", name.escape_default());
        Err(Flaw::new(kinds::NO_SUCH_PROVIDER, what).help(help))
    })
}

/// The rule that results, with every default; `name` is that of its table.
fn settled(
    name: &Found<String>,
    asked: &RuleAsWritten,
    providers: Option<&[ProviderSettings]>,
    problems: &mut Problems,
) -> RuleSettings {
    let access = asked.access.unwrap_or_default();
    let allow = match access {
        // Inherited lists about people mean nothing where no session counts; networks still do.
        Access::Public | Access::Optional => {
            AllowSettings { networks: asked.allow.networks.clone(), ..AllowSettings::default() }
        }
        _ => asked.allow.clone(),
    };
    let every = || providers.unwrap_or_default().iter().map(|it| Arc::clone(&it.name)).collect();
    let rule = RuleSettings {
        access,
        allow,
        identity: asked.identity.clone().unwrap_or_else(identity::default_identity),
        providers: asked.providers.clone().unwrap_or_else(every),
        max_age: asked.max_age.as_ref().map(|found| found.value.0),
        access_log: asked.access_log.unwrap_or(true),
        no_login_from: asked.no_login_from.iter().flatten().map(|network| network.value).collect(),
    };
    if rule.access.looks_at_session() {
        check_provider(&name.place, providers, problems);
        check_age(&name.key, asked, &rule, providers.unwrap_or_default(), problems);
    }
    rule
}

/// The rules of `paths`, each laid over the route's own.
fn paths(
    name: &Found<String>,
    table: &RouteTable,
    route_path: Option<&str>,
    base: &RuleAsWritten,
    providers: Option<&[ProviderSettings]>,
    problems: &mut Problems,
) -> Vec<(String, RuleSettings)> {
    let mut seen: Vec<(String, Place)> = Vec::new();
    let mut rules = Vec::new();
    for (path, keys) in table.paths.value().into_iter().flat_map(|named| &named.0) {
        let Some(keys) = keys.value() else { continue };
        let own = asked(keys, providers, problems);
        let Some(canonical) = matching::path(path, &format!("{}.paths", name.key), problems) else { continue };
        check_below(&canonical, route_path, path, problems);
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == canonical) {
            problems
                .add(kinds::PATH_TWICE, &path.place, format!("two entries of `paths` cover \"{canonical}\""))
                .label("the same path")
                .also(first, "here first");
        }
        seen.push((canonical.clone(), path.place.clone()));
        let merged = RuleAsWritten {
            access: own.access.or(base.access),
            allow: allow::merged(&base.allow, own.allow),
            identity: own.identity.or_else(|| base.identity.clone()),
            providers: own.providers.or_else(|| base.providers.clone()),
            max_age: own.max_age.or_else(|| base.max_age.clone()),
            access_log: own.access_log.or(base.access_log),
            no_login_from: own
                .no_login_from
                .or_else(|| base.no_login_from.clone().filter(|_| no_login::is_inherited(keys))),
        };
        let rule = settled(path, &merged, providers, problems);
        no_login::check_access(rule.access, keys, problems);
        rules.push((canonical, rule));
    }
    rules
}

/// An entry of `paths` lies below the path of its route.
fn check_below(path: &str, route_path: Option<&str>, found: &Found<String>, problems: &mut Problems) {
    let Some(route_path) = route_path else { return };
    let below =
        path.strip_prefix(route_path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1);
    if path == route_path {
        let message = format!("\"{}\" is the route's own path", path.escape_default());
        problems.add(kinds::PATH_OF_ROUTE, &found.place, message);
    } else if !below {
        let message = format!("\"{}\" does not lie below the route's path \"{route_path}\"", path.escape_default());
        let help = format!("write the whole path, such as \"{}{path}\"", route_path.trim_end_matches('/'));
        problems.add(kinds::PATH_OUTSIDE, &found.place, message).help(help);
    }
}

/// Where a session is looked at, there has to be a provider that can make one.
fn check_provider(place: &Place, providers: Option<&[ProviderSettings]>, problems: &mut Problems) {
    let is_told = problems.has(&[kinds::PROVIDER_MISSING, kinds::ROUTE_NEEDS_PROVIDER]);
    if providers.is_some_and(<[_]>::is_empty) && !is_told {
        problems.missing(kinds::ROUTE_NEEDS_PROVIDER, place, "provider");
    }
}

/// Without an ID token nothing proves when somebody signed in.
fn check_age(
    key: &str,
    asked: &RuleAsWritten,
    rule: &RuleSettings,
    providers: &[ProviderSettings],
    problems: &mut Problems,
) {
    let is_plain = |name: &&Arc<str>| {
        providers.iter().any(|it| it.name == **name && matches!(it.kind, ProviderKind::OAuth2 { .. }))
    };
    let (plain, others): (Vec<_>, Vec<_>) = rule.providers.iter().partition(is_plain);
    if let (Some(found), Some(plain)) = (&asked.max_age, plain.first()) {
        let help = match others.as_slice() {
            [] => "remove the key".to_owned(),
            others => format!("write providers = {others:?} there, or remove the key"),
        };
        let message = format!("`{key}.max_age` cannot be checked for provider `{plain}`, which is plain OAuth 2.0");
        problems.add(kinds::MAX_AGE_OF_PLAIN, &found.place, message).help(help);
    }
}

/// A session cookie has to reach every host that asks for one.
pub(super) fn check_hosts(
    routes: &[CheckedRoute],
    public_url: &PublicUrl,
    domain: Option<&str>,
    problems: &mut Problems,
) {
    let public_host = public_url.host();
    for route in routes.iter().filter(|route| route.settings.rules().any(|rule| rule.access.looks_at_session())) {
        for host in &route.settings.hosts {
            let (HostPattern::Exact(name) | HostPattern::Suffix(name)) = host;
            if let Some(domain) = domain.filter(|domain| !domain_reaches(domain, name)) {
                let what = format!("asks for a sign-in on \"{name}\", which no cookie for \"{domain}\" reaches");
                route.report(kinds::HOST_OUT_OF_REACH, &what, problems);
            }
        }
    }
    let serves = |host: &HostPattern| match host {
        HostPattern::Exact(name) => name == public_host,
        HostPattern::Suffix(suffix) => public_host != suffix && domain_reaches(suffix, public_host),
    };
    let served = routes.iter().any(|route| route.settings.hosts.is_empty() || route.settings.hosts.iter().any(serves));
    if !served && let Some(first) = routes.first() {
        let message = format!("no route serves \"{public_host}\", the host of `server.public_url`");
        problems.add(kinds::PUBLIC_HOST_UNSERVED, &first.place, message);
    }
}

/// A token that no session keeps cannot be sent on.
pub(super) fn check_tokens(routes: &[CheckedRoute], keep: TokenKinds, problems: &mut Problems) {
    for (token, kept, value, authorization) in [
        ("access", keep.access, IdentityValue::AccessToken, Authorization::AccessToken),
        ("id", keep.id_token, IdentityValue::IdToken, Authorization::IdToken),
    ] {
        let sends = |rule: &RuleSettings| {
            rule.identity.authorization == authorization || rule.identity.headers.iter().any(|(_, it)| *it == value)
        };
        for route in routes.iter().filter(|route| !kept && route.settings.rules().any(sends)) {
            let what = format!("sends the {token} token on, but `session.keep` leaves it out");
            route.report(kinds::TOKEN_NOT_KEPT, &what, problems).help(format!("add \"{token}\" to session.keep"));
        }
    }
}

/// Routes below our own prefix, and upstreams that are ourselves.
pub(super) fn check_reach(routes: &[CheckedRoute], prefix: &str, listen: &[ListenAddress], problems: &mut Problems) {
    for route in routes {
        let below = route.settings.path.strip_prefix(prefix);
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let what = "lies below `server.prefix`, where only vestibule answers";
            route.report(kinds::ROUTE_UNREACHABLE, what, problems);
        }
        let TargetSettings::Upstream(upstream) = &route.settings.target else { continue };
        let ourselves = upstream.addresses.iter().any(|address| {
            listen.contains(&match &address.transport {
                UpstreamTransport::Tcp(_, port) => {
                    let (authority, port) = (&address.authority, format!(":{port}"));
                    ListenAddress::Tcp(format!("{}{port}", authority.strip_suffix(&port).unwrap_or(authority)))
                }
                UpstreamTransport::Unix(path) => ListenAddress::Unix(path.clone()),
            })
        });
        if ourselves {
            let message = format!("route `{}` forwards to vestibule's own listener", route.settings.name);
            problems.add(kinds::UPSTREAM_IS_OURSELVES, &route.upstream, message);
        }
    }
}
