//! From the fields as written to the settings as proven: one function for each table, problems noted and never thrown.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;
use super::Sources;
use super::diagnostics::{Code, Diagnostic, Place, Severity};
use super::environment::{overlay_environment, overlay_flags};
use super::file::{AdminTable, File, RouteTable};
use super::input;
use super::places::Places;
use super::reading::{Field, Found, Reading};
use super::tree::{self, Node, Value};
use super::units::{Named, OneOrMany, Timespan};
use crate::gateway::settings::Target;
use crate::server::settings::ListenAddress;

mod allow;
mod claims;
mod claims_needed;
mod client;
mod cookie;
mod identity;
mod issuer;
mod kept_headers;
mod log;
mod matching;
mod provider;
mod redirect;
mod route;
mod same;
mod server;
mod session;
mod tls;
mod upstream;

/// Reads everything, and gives a configuration only when nothing is wrong.
pub(super) fn load(sources: &Sources) -> Result<Config, Vec<Diagnostic>> {
    let (mut root, whole) = match &sources.file {
        Some((name, text)) => tree::parse(name, text).map(|(root, source)| (root, Place::Whole(source)))?,
        None => (Node::empty(Place::Nowhere), Place::Nowhere),
    };
    let mut reading = Reading::new(sources, whole.clone());
    overlay_environment(&mut root, &sources.env, &mut reading.problems);
    overlay_flags(&mut root, &sources.flags);
    let (file, Reading { problems, places, files, .. }) = input::read::<File>(root, reading);
    let mut notes = Notes { problems, whole };
    let config = assemble(file, (places, files), &mut notes);
    match config {
        Some(config) if notes.errors() == 0 => Ok(Config { warnings: notes.problems, ..config }),
        _ => Err(notes.problems),
    }
}

/// The addresses of `admin.listen` alone. What else is wrong is passed over, even syntax: `vestibule health` must not call a
/// gateway dead because somebody is editing its file.
pub(super) fn admin_addresses(sources: &Sources) -> Vec<ListenAddress> {
    let read = sources.file.as_ref().and_then(|(name, text)| tree::parse(name, text).ok());
    let mut root = read.map_or_else(|| Node::empty(Place::Nowhere), |(root, _)| root);
    let mut reading = Reading::new(sources, Place::Nowhere);
    overlay_environment(&mut root, &sources.env, &mut reading.problems);
    overlay_flags(&mut root, &sources.flags);
    let admin = match root.value {
        Value::Table(mut table) => table.take("admin"),
        _ => None,
    };
    let (table, _) = input::read::<AdminTable>(admin.unwrap_or_else(|| Node::empty(Place::Nowhere)), reading);
    let mut notes = Notes { problems: Vec::new(), whole: Place::Nowhere };
    server::admin_listen(&table, &mut notes).into_iter().map(|found| found.value).collect()
}

/// What was noted so far.
pub(super) struct Notes {
    problems: Vec<Diagnostic>,
    /// The place for what is missing altogether.
    whole: Place,
}

impl Notes {
    /// Notes a problem.
    pub(super) fn note(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// Notes an error that needs no reason beyond its message.
    pub(super) fn error(&mut self, code: Code, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.note(Diagnostic::error(code, place, message).help(help));
    }

    /// Notes that a key has to be there.
    pub(super) fn missing(&mut self, place: &Place, key: &str, help: impl Into<String>) {
        self.error(Code::MissingKey, place, format!("`{key}` is missing"), help);
    }

    fn errors(&self) -> usize {
        self.problems.iter().filter(|it| it.severity == Severity::Error).count()
    }
}

/// A table's contents and place, or an empty one; `None` when it was no table at all.
pub(super) fn opened<T: Default>(field: Field<T>, notes: &Notes) -> Option<Found<T>> {
    match field {
        Field::Given(found) => Some(found),
        Field::Absent => Some(Found { value: T::default(), place: notes.whole.clone() }),
        Field::Wrong => None,
    }
}

/// A duration that has to be longer than nothing.
pub(super) fn positive(field: &Field<Timespan>, key: &str, default: Duration, notes: &mut Notes) -> Duration {
    match field.given() {
        Some(found) if found.value.0.is_zero() => {
            notes.error(
                Code::BadValue,
                &found.place,
                format!("`{key}` cannot be zero"),
                "write a duration such as \"30s\"",
            );
            default
        }
        Some(found) => found.value.0,
        None => default,
    }
}

/// The items of a list that may not be empty.
pub(super) fn filled<'a, T>(
    field: &'a Field<OneOrMany<T>>,
    key: &str,
    help: &str,
    notes: &mut Notes,
) -> Option<&'a [Found<T>]> {
    let found = field.given()?;
    if found.value.0.is_empty() {
        let diagnostic = Diagnostic::error(Code::EmptyList, &found.place, format!("`{key}` is an empty list"));
        notes.note(diagnostic.reason("it could mean nobody or everybody").help(help));
        return None;
    }
    Some(&found.value.0)
}

/// Whether a table's name may stand in cookies, logs and metrics.
pub(super) fn checked_name(name: &Found<String>, what: &str, notes: &mut Notes) -> bool {
    let text = &name.value;
    let fits =
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !fits {
        let message = format!("\"{}\" cannot be the name of a {what}", text.escape_default());
        notes.error(Code::BadName, &name.place, message, "use letters, digits, `-` and `_`, at most 64 of them");
    }
    fits
}

fn assemble(file: File, (places, files): (Places, Vec<PathBuf>), notes: &mut Notes) -> Option<Config> {
    let pages = opened(file.pages, notes).map(|found| found.value);
    let admin = file.admin;
    let server = opened(file.server, notes).and_then(|table| server::server(&table, admin, notes));
    let public_url = server.as_ref().map(|server| &server.public_url);
    let session = opened(file.session, notes);
    let keys = session.as_ref().and_then(|table| session::keys(table, notes));
    let session = session.and_then(|table| session::session(&table, public_url, notes));
    let log = opened(file.log, notes).and_then(|table| log::log(&table.value, notes));
    let redirects = redirect::written(&file.provider);
    let mut providers = providers(file.provider, public_url.map(|url| url.https), notes);
    if let (Some(server), Some(providers)) = (&server, &mut providers) {
        redirect::settle(providers, &redirects, &server.prefix, notes);
    }
    let names = providers.iter().flatten().map(|it| it.name.clone()).collect::<Vec<_>>();
    let routes = routes(file.route, &names, providers.is_some(), notes);
    if let (Some(server), Some(session), Some(routes)) = (&server, &session, &routes) {
        route::check_hosts(routes, &server.public_url, session.cookie.domain.as_deref(), notes);
        route::check_tokens(routes, session.keep, notes);
        route::check_reach(routes, server, notes);
    }
    if let (Some(routes), Some(providers)) = (&routes, &providers) {
        route::check_ages(routes, providers, notes);
    }
    let (server, mut session, pages) = (server?, session?, pages?);
    let routes: Vec<_> = routes?.into_iter().map(|route| route.settings).collect();
    let providers = claims_needed::with_needed_claims(providers?, &routes);
    session.clock_leeway = providers.iter().map(|provider| provider.clock_leeway).max().unwrap_or_default();
    let keeps_capitals =
        routes.iter().any(|route| matches!(&route.target, Target::Upstream(upstream) if upstream.keeps_capitals));
    let gateway = server.gateway(routes, pages);
    let (mut server, warnings) = (server.settings, Vec::new());
    server.notes_capitals = keeps_capitals;
    Some(Config { server, gateway, session, keys: keys?, providers, log: log?, warnings, places, files })
}

/// `None` when the providers that there are cannot be told from the file.
fn providers(
    field: Field<Named<super::file::ProviderTable, true>>,
    https: Option<bool>,
    notes: &mut Notes,
) -> Option<Vec<crate::provider::settings::ProviderSettings>> {
    let tables = named(field)?;
    let mut whole = true;
    let mut providers = Vec::new();
    for (name, table) in tables {
        let named = checked_name(&name, "provider", notes);
        match table.into_value().and_then(|table| provider::provider(&name, table, https, notes)) {
            Some(settings) if named => providers.push(settings),
            _ => whole = false,
        }
    }
    whole.then_some(providers)
}

fn routes(
    field: Field<Named<RouteTable, true>>,
    providers: &[std::sync::Arc<str>],
    providers_known: bool,
    notes: &mut Notes,
) -> Option<Vec<route::Route>> {
    let tables = named(field)?;
    if tables.is_empty() {
        let place = notes.whole.clone();
        notes.missing(&place, "route", "add a table [route.NAME] with upstream = \"http://127.0.0.1:3000\"");
        if providers_known && providers.is_empty() {
            notes.missing(&place, "provider", "add a table [provider.NAME] with issuer, client_id and client_secret");
        }
    }
    let known = providers_known.then_some(providers);
    let routes: Vec<route::Route> = tables
        .into_iter()
        .filter_map(|(name, table)| {
            let named = checked_name(&name, "route", notes);
            route::route(&name, table.value()?, known, notes).filter(|_| named)
        })
        .collect();
    same::check_same(&routes, notes);
    Some(routes)
}

/// The tables of a table of names, or none where it is not there; `None` when it was no table at all.
fn named<T>(field: Field<Named<T, true>>) -> Option<Vec<(Found<String>, Field<T>)>> {
    match field {
        Field::Given(found) => Some(found.value.0),
        Field::Absent => Some(Vec::new()),
        Field::Wrong => None,
    }
}
