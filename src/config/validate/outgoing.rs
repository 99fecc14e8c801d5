//! `outgoing_proxy` of a provider, and the variables that hold where it is left out.

use std::sync::Arc;

use super::super::file::{OutgoingProxyTable, ProviderTable};
use super::super::units::TextOr;
use super::{DiagnosticKind, Field, Flaw, Found, Place, Problems, Sources, kinds};
use crate::provider::outgoing_proxy::{NoProxy, OutgoingProxies, OutgoingProxy, OutgoingProxyFault};

/// The proxies of a provider: the key replaces all variables.
pub(super) fn proxies(table: &ProviderTable, variables: &OutgoingProxies, problems: &mut Problems) -> OutgoingProxies {
    let found = match &table.outgoing_proxy {
        Field::Absent => return variables.clone(),
        Field::Wrong => return OutgoingProxies::default(),
        Field::Given(found) => found,
    };
    let proxy = match &found.value {
        TextOr::Text(text) if text == NONE => {
            let switched_off = Some(Arc::from(written_at(found)));
            return OutgoingProxies { switched_off, ..OutgoingProxies::default() };
        }
        TextOr::Text(url) => by_url(&found.with(url.clone()), &written_at(found), problems),
        TextOr::Table(keys) => by_table(found, keys, problems),
    };
    proxy.map(OutgoingProxies::all_through).unwrap_or_default()
}

/// A proxy by its URL; `named_by` is what people are told of where it comes from.
fn by_url(found: &Found<String>, named_by: &str, problems: &mut Problems) -> Option<OutgoingProxy> {
    let proxy = problems.sound(found, OutgoingProxy::new(&found.value, named_by).map_err(flaw))?;
    let userinfo = found.value.rsplit_once('@').map_or("", |(userinfo, _)| userinfo);
    let has_password = userinfo.split_once("://").is_some_and(|(_, pair)| pair.contains(':'));
    if let Some((kind, where_it_stands)) = literal(&found.place).filter(|_| has_password) {
        let message = format!("the password in `{}` stands {where_it_stands}", found.key);
        problems.add(kind, &found.place, message).help(WRITE_TABLE);
    }
    Some(proxy)
}

/// A proxy by its table.
fn by_table<T>(found: &Found<T>, keys: &OutgoingProxyTable, problems: &mut Problems) -> Option<OutgoingProxy> {
    let table = (&found.place, found.key.as_str());
    if keys.password.given().is_some() {
        keys.user.required(kinds::PROXY_USER_MISSING, table, "user", problems);
    }
    let url = keys.url.required(kinds::PROXY_URL_MISSING, table, "url", problems)?;
    let proxy = by_url(url, &written_at(found), problems)?;
    let Some(user) = keys.user.given() else { return Some(proxy) };
    if proxy.has_credentials() {
        problems.on(kinds::PROXY_CREDENTIALS_TWICE, user, "is set, but the URL has a user name in it");
        return None;
    }
    let password = keys.password.value().map_or("", |password| password.0.expose().as_str());
    problems.sound(user, proxy.with_credentials(&user.value, password).map_err(flaw))
}

/// The proxies that the environment names, by the names that Go and curl know.
pub(super) fn of_environment(sources: &Sources, problems: &mut Problems) -> OutgoingProxies {
    let exceptions = variable(sources, ["no_proxy", "NO_PROXY"]);
    OutgoingProxies {
        http: by_variable(sources, ["http_proxy", BY_CLIENT], problems),
        https: by_variable(sources, ["https_proxy", "HTTPS_PROXY"], problems),
        exceptions: exceptions.map(|(name, hosts)| (Arc::from(name), NoProxy::new(hosts))),
        switched_off: None,
    }
}

/// The first of these variables that says something.
fn variable<'a>(sources: &'a Sources, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
    let said = |name| Some((name, sources.variable(name).filter(|value| !value.trim().is_empty())?));
    names.into_iter().find_map(said)
}

/// The proxy that a variable names. Its value is not repeated: there may be a password in it.
fn by_variable(sources: &Sources, names: [&'static str; 2], problems: &mut Problems) -> Option<Arc<OutgoingProxy>> {
    let (name, value) = variable(sources, names)?;
    let place = Place::Variable(name.to_owned());
    // A CGI server makes `HTTP_PROXY` of the field `Proxy` of a request (CVE-2016-5385); Go refuses it too.
    if name == BY_CLIENT && sources.variable("REQUEST_METHOD").is_some_and(|method| !method.is_empty()) {
        problems.add(kinds::PROXY_OF_CLIENT, &place, format!("`{name}` is not believed beside `REQUEST_METHOD`"));
        return None;
    }
    match OutgoingProxy::of_variable(value, name) {
        Ok(proxy) => Some(Arc::new(proxy)),
        Err(fault) => {
            let message = format!("`{name}` names no proxy that can be used: {fault}");
            problems.add(kinds::PROXY_VARIABLE_BAD, &place, message);
            None
        }
    }
}

/// What is wrong with the key, without repeating its value.
fn flaw(fault: OutgoingProxyFault) -> Flaw {
    let flaw = Flaw::new(kinds::NO_OUTGOING_PROXY, format!("cannot be used: {fault}"));
    if fault == OutgoingProxyFault::Unsendable { flaw.help(OTHER_CREDENTIALS) } else { flaw }
}

/// Where a literal password stands that should stand elsewhere; a variable is a place for one.
fn literal(place: &Place) -> Option<(DiagnosticKind, &'static str)> {
    match place {
        Place::File { .. } | Place::Whole(_) => Some((kinds::SECRET_IN_FILE, "in the configuration file itself")),
        Place::Flag(_) => Some((kinds::SECRET_IN_FLAG, "on the command line")),
        Place::Variable(_) | Place::Nowhere => None,
    }
}

/// The key and its line, or what else it was written in.
fn written_at<T>(found: &Found<T>) -> String {
    match (&found.place, found.place.line_and_column()) {
        (Place::File { source, .. }, Some((line, _))) => format!("{} at {}:{line}", found.key, source.name),
        (Place::Variable(name), _) => name.clone(),
        (Place::Flag(flag), _) => flag.clone(),
        _ => found.key.clone(),
    }
}

/// Asks the provider directly, whatever variables say.
const NONE: &str = "none";
/// The variable that a client may have written where the program runs as a CGI script.
const BY_CLIENT: &str = "HTTP_PROXY";
/// Of credentials that have no form in HTTP.
const OTHER_CREDENTIALS: &str =
    "Basic has no form for it (RFC 7617 section 2): let whoever runs the proxy give out other credentials";
/// Where a password belongs.
const WRITE_TABLE: &str =
    "write `outgoing_proxy = { url = \"http://proxy.corp:3128\", user = \"…\", password = { file = \"…\" } }`";
