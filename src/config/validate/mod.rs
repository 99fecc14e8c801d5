//! From the fields as written to the settings as proven: one function for each table. Problems are collected, and nothing stops at the first.

use std::sync::Arc;
use std::time::Duration;

use super::diagnostics::{Diagnostic, Place};
use super::environment::{laid_over, underlay_telemetry};
use super::file::{AdminTable, File, ProviderTable, RouteTable};
use super::kinds::{self, DiagnosticKind};
use super::places::Places;
use super::problems::{Flaw, Problems, first_flaw};
use super::reading::{Field, Found, Reading, listed};
use super::tree::{Node, NodeValue};
use super::units::{Named, OneOrMany, Timespan};
use super::{Config, Fingerprint, ReadFile, Sources, input};
use crate::gateway::settings::{GatewaySettings, TargetSettings};
use crate::provider::outgoing_proxy::OutgoingProxies;
use crate::provider::settings::ProviderSettings;
use crate::request::cookies::OwnCookies;
use crate::server::settings::{ListenAddress, ServerSettings};
use crate::session::settings::SessionSettings;

mod allow;
mod asking;
mod authorization;
mod claims;
mod claims_needed;
mod client;
mod cookie;
mod hsts;
mod identity;
mod identity_value;
mod issuer;
mod kept_headers;
mod log;
mod login_params;
mod mapping;
mod matching;
mod no_login;
mod outgoing;
mod pages;
mod provider;
mod redirect;
mod response_headers;
mod route;
mod same;
mod server;
mod session;
mod telemetry;
mod tls;
mod upstream;

/// Reads everything, and gives a configuration only when nothing is wrong.
pub(super) fn load(sources: &Sources) -> Result<Config, Vec<Diagnostic>> {
    let mut overlaid = Problems::default();
    let (mut root, whole) = laid_over(sources, &mut overlaid)?;
    let mut reading = Reading::new(sources, whole);
    reading.problems.list = overlaid.list;
    let mut fingerprint = Fingerprint::of(&root);
    // Behind the fingerprint: what a machine says of itself differs from replica to replica.
    underlay_telemetry(&mut root, &sources.env);
    let (file, Reading { mut problems, places, files, contents, .. }) = input::read::<File>(root, reading);
    contents.iter().for_each(|(key, digest)| fingerprint.read(key, *digest));
    let config = assemble(file, sources, (places, files), &mut problems);
    match config {
        Some(config) if problems.are_only_warnings() => Ok(Config { warnings: problems.list, fingerprint, ..config }),
        _ => Err(problems.list),
    }
}

/// The addresses of `admin.listen` alone. What else is wrong is passed over, even syntax: `vestibule health` must not call a
/// gateway dead because somebody is editing its file.
pub(super) fn admin_addresses(sources: &Sources) -> Vec<ListenAddress> {
    let over = |sources: &Sources| laid_over(sources, &mut Problems::default());
    let root = over(sources).or_else(|_| over(&Sources { file: None, ..sources.clone() }));
    let root = root.map_or_else(|_| Node::empty(Place::Nowhere), |(root, _)| root);
    let admin = match root.value {
        NodeValue::Table(mut table) => table.take("admin"),
        _ => None,
    };
    let (table, _) = input::read::<AdminTable>(
        admin.unwrap_or_else(|| Node::empty(Place::Nowhere)),
        Reading::new(sources, Place::Nowhere),
    );
    server::admin_listen(&table, &mut Problems::default()).into_iter().map(|found| found.value).collect()
}

/// A table's contents and place, or an empty one; `None` when it was no table at all.
pub(super) fn opened<T: Default>(field: Field<T>, problems: &Problems) -> Option<Found<T>> {
    let empty = || Found { value: T::default(), place: problems.whole.clone(), key: String::new() };
    if field.is_absent() { Some(empty()) } else { field.into_found() }
}

/// A duration that has to be longer than nothing.
pub(super) fn positive(field: &Field<Timespan>, default: Duration, problems: &mut Problems) -> Duration {
    field.noted(&Timespan(Duration::ZERO), kinds::ZERO_DURATION, "cannot be zero", problems);
    field.or(Timespan(default)).0
}

/// The items of a list that may not be empty.
pub(super) fn filled<'a, T>(
    field: &'a Field<OneOrMany<T>>,
    kind: DiagnosticKind,
    problems: &mut Problems,
) -> Option<&'a [Found<T>]> {
    let found = field.given()?;
    if found.value.0.is_empty() {
        problems.on(kind, found, "is an empty list");
        return None;
    }
    Some(&found.value.0)
}

/// What is made of each item of a list that may not be empty; the others are reported.
pub(super) fn parsed<T, U>(
    field: &Field<OneOrMany<T>>,
    empty: DiagnosticKind,
    problems: &mut Problems,
    parse: impl Fn(&Found<T>) -> Result<U, Flaw>,
) -> Option<Vec<U>> {
    filled(field, empty, problems).map(|_| each(field, problems, parse))
}

/// The same of a list that may be empty, which says as much as none.
pub(super) fn each<T, U>(
    field: &Field<OneOrMany<T>>,
    problems: &mut Problems,
    parse: impl Fn(&Found<T>) -> Result<U, Flaw>,
) -> Vec<U> {
    let items = field.value().into_iter().flat_map(|list| &list.0);
    items.filter_map(|item| problems.sound(item, parse(item))).collect()
}

/// The same of a list that names each thing once.
pub(super) fn distinct<U: PartialEq>(
    field: &Field<OneOrMany<String>>,
    empty: DiagnosticKind,
    problems: &mut Problems,
    parse: impl Fn(&str) -> Result<U, Flaw>,
) -> Option<Vec<U>> {
    let mut known = Vec::new();
    for item in filled(field, empty, problems)? {
        let parsed = parse(&item.value);
        let new = parsed.and_then(|it| if known.contains(&it) { Err(given_twice(&item.value)) } else { Ok(it) });
        known.extend(problems.sound(item, new));
    }
    Some(known)
}

/// That a list names something a second time.
pub(super) fn given_twice(text: &str) -> Flaw {
    Flaw::new(kinds::GIVEN_TWICE, format!("names \"{}\" twice", text.escape_default()))
}

/// Whether a text is the domain of e-mail addresses, without stars: labels between dots, none of them empty. Domains beyond ASCII are
/// compared as they are written, so that both spellings of them are taken.
pub(super) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    text.len() <= MAX_DOMAIN && text.split('.').all(is_label)
}

/// Bytes of a domain ([RFC 1035 section 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
const MAX_DOMAIN: usize = 253;
/// Bytes of one of its labels.
const MAX_LABEL: usize = 63;

/// Whether a table's name may stand in cookies, logs and metrics.
pub(super) fn checked_name(name: &Found<String>, what: &str, problems: &mut Problems) -> bool {
    let text = &name.value;
    let fits =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !fits {
        let message = format!("\"{}\" cannot be the name of a {what}", text.escape_default());
        problems.add(kinds::TABLE_NAME, &name.place, message);
    }
    fits
}

/// What holds between routes and the other tables.
fn check_together(
    routes: &[route::CheckedRoute],
    (server, gateway): (&ServerSettings, &GatewaySettings),
    session: &SessionSettings,
    problems: &mut Problems,
) {
    route::check_hosts(routes, &gateway.public_url, session.cookie.domain.as_deref(), problems);
    route::check_tokens(routes, session.keep, problems);
    route::check_reach(routes, &gateway.prefix, &server.listen, problems);
    no_login::check_way(routes.iter().flat_map(|route| &route.no_login_from), server, gateway, problems);
}

/// Checks table after table, then what holds between them.
fn assemble(
    file: File,
    sources: &Sources,
    (places, files): (Places, Vec<ReadFile>),
    problems: &mut Problems,
) -> Option<Config> {
    let pages = opened(file.pages, problems).map(|found| pages::pages(found.value, problems));
    let admin = file.admin;
    let hsts = file.server.value().and_then(|table| table.hsts.mark()).map(|found| found.place);
    let server = opened(file.server, problems).and_then(|table| server::server(&table, admin, problems));
    let public_url = server.as_ref().map(|(_, gateway)| &gateway.public_url);
    let session = opened(file.session, problems);
    let keys = session.as_ref().and_then(|table| session::keys(table, problems));
    let session = session.and_then(|table| session::session(&table, public_url, problems));
    let log = opened(file.log, problems).map(|table| log::log(&table.value, &file.route, problems));
    let telemetry = opened(file.telemetry, problems).map(|table| telemetry::telemetry(&table.value, problems));
    let mut providers = providers(&file.provider, sources, public_url.map(|url| url.https), problems);
    if let (Some((_, gateway)), Some(providers)) = (&server, &mut providers) {
        redirect::settle(providers, &file.provider, &gateway.prefix, problems);
    }
    if let (Some(session), Some(providers)) = (&session, &providers) {
        asking::check(&file.provider, providers, session, problems);
    }
    let routes = routes(file.route, providers.as_deref(), problems);
    if let (Some((server, gateway)), Some(session), Some(routes)) = (&server, &session, &routes) {
        check_together(routes, (server, gateway), session, problems);
    }
    if let (Some(session), Some(providers), Some(routes)) = (&session, &providers, &routes) {
        let names: Vec<_> = providers.iter().map(|provider| Arc::clone(&provider.name)).collect();
        let own = OwnCookies::new(&session.cookie.name, &names);
        routes.iter().for_each(|route| route.changes.check(&route.settings, &own, hsts.as_ref(), problems));
    }
    let ((mut server, gateway), mut session, pages) = (server?, session?, pages?);
    let mut routes: Vec<_> = routes?.into_iter().map(|route| route.settings).collect();
    for route in &mut routes {
        if let TargetSettings::Upstream(upstream) = &mut route.target {
            upstream.own_prefix = Arc::from(gateway.prefix.as_str());
        }
    }
    let providers = claims_needed::with_needed_claims(providers?, &routes);
    session.clock_leeway = providers.iter().map(|provider| provider.clock_leeway).max().unwrap_or_default();
    server.notes_capitals = routes
        .iter()
        .any(|route| matches!(&route.target, TargetSettings::Upstream(upstream) if upstream.keeps_capitals));
    let (keys, key_sources) = keys?;
    Some(Config {
        server,
        gateway: GatewaySettings { routes, pages, ..gateway },
        session,
        keys,
        key_sources,
        providers,
        log: log?,
        telemetry: telemetry?,
        warnings: Vec::new(),
        places,
        files,
        fingerprint: Fingerprint::default(),
    })
}

/// `None` when it cannot be known which providers there are.
fn providers(
    field: &Field<Named<ProviderTable, true>>,
    sources: &Sources,
    https: Option<bool>,
    problems: &mut Problems,
) -> Option<Vec<ProviderSettings>> {
    let mut whole = !matches!(field, Field::Wrong);
    let mut tables = field.value().into_iter().flat_map(Named::given);
    let needs_variables = tables.any(|(_, table)| table.value.outgoing_proxy.is_absent());
    let variables =
        if needs_variables { outgoing::of_environment(sources, problems) } else { OutgoingProxies::default() };
    let mut providers = Vec::new();
    for (name, table) in field.value().into_iter().flat_map(|named| &named.0) {
        let named = checked_name(name, "provider", problems);
        match table.value().and_then(|table| provider::provider(name, table, (https, &variables), problems)) {
            Some(settings) if named => providers.push(settings),
            _ => whole = false,
        }
    }
    whole.then_some(providers)
}

/// The routes, and what is missing where there are none.
fn routes(
    field: Field<Named<RouteTable, true>>,
    providers: Option<&[ProviderSettings]>,
    problems: &mut Problems,
) -> Option<Vec<route::CheckedRoute>> {
    let tables = opened(field, problems)?.value.0;
    if tables.is_empty() {
        let place = problems.whole.clone();
        problems.missing(kinds::ROUTE_MISSING, &place, "route");
        if providers.is_some_and(<[_]>::is_empty) {
            problems.missing(kinds::PROVIDER_MISSING, &place, "provider");
        }
    }
    let checked = tables.into_iter().filter_map(|(name, table)| {
        let is_named = checked_name(&name, "route", problems);
        route::route(&name, table.value()?, providers, problems).filter(|_| is_named)
    });
    let routes: Vec<_> = checked.collect();
    same::check_same(&routes, problems);
    Some(routes)
}
