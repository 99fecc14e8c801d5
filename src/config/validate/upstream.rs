//! `upstream` of a route: addresses of an application, or `static:CODE`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::uri::Authority;
use url::Url;

use super::super::file::RouteTable;
use super::super::words::HeaderCase;
use super::{Field, Flaw, Found, Problems, Timespan, each, filled, kinds, mapping, opened, positive, tls};
use crate::gateway::settings::TargetSettings;
use crate::proxy::settings::{HostHeader, UpstreamAddress, UpstreamProtocol, UpstreamSettings, UpstreamTransport};
use crate::request::mapping::PathMapping;

/// Where allowed requests go, without `prefix`, the route's `strip_prefix`. `needed` is false where no request is ever allowed.
pub(super) fn target(
    name: &Found<String>,
    table: &RouteTable,
    prefix: &str,
    needed: bool,
    problems: &mut Problems,
) -> Option<TargetSettings> {
    if table.upstream.is_absent() && !needed {
        return Some(TargetSettings::Static(StatusCode::FORBIDDEN));
    }
    table.upstream.required(kinds::UPSTREAM_MISSING, (&name.place, &name.key), "upstream", problems)?;
    let items = filled(&table.upstream, kinds::EMPTY_UPSTREAM, problems)?;
    if let [only] = items
        && let Some(code) = only.value.strip_prefix("static:")
    {
        check_static(table, problems);
        mapping::check_rewrite(table, &[], problems);
        return problems.sound(only, static_code(code));
    }
    let addresses = each(&table.upstream, problems, |item| address(&item.value, prefix));
    if addresses.len() < items.len() {
        return None;
    }
    check_one_kind(&addresses, items, problems);
    mapping::check_rewrite(table, &addresses, problems);
    let https = addresses.iter().all(|address| address.protocol == UpstreamProtocol::Tls);
    let timeouts = opened(table.timeouts.clone(), problems)?.value;
    let host = table.host_header.given().and_then(|found| problems.sound(found, host_header(&found.value)));
    let tls = tls::upstream_tls(&table.tls, https, problems);
    let mut time = |field: &Field<Timespan>, default: u64| positive(field, Duration::from_secs(default), problems);
    let is_mapped = addresses.iter().any(|address| !address.mapping.is_identity());
    Some(TargetSettings::Upstream(Box::new(UpstreamSettings {
        addresses,
        connect_timeout: time(&timeouts.connect, CONNECT_SECS),
        first_byte_timeout: time(&timeouts.first_byte, FIRST_BYTE_SECS),
        idle_timeout: time(&timeouts.idle, IDLE_SECS),
        pool_idle: POOL_IDLE,
        tls,
        host: host.unwrap_or(HostHeader::Preserve),
        keeps_capitals: table.header_case.or(HeaderCase::Lower) == HeaderCase::Preserve,
        rewrites_answers: table.rewrite_answers.or(true) && is_mapped,
        own_prefix: Arc::default(), // Of `[server]`: mod.rs.
        eject_after: EJECT_AFTER,
        eject_for: EJECT_FOR,
    })))
}

/// One address.
fn address(text: &str, prefix: &str) -> Result<UpstreamAddress, Flaw> {
    // The value is not repeated: a URL may hold a password. The excerpt shows it masked.
    let bad = |flaw, help: &str| Flaw::new(kinds::UPSTREAM_BAD, format!("cannot be used: {flaw}")).help(help);
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') || path.starts_with("//") {
            return Err(bad("the path of a socket is absolute", "write \"unix:/run/app.sock\""));
        }
        return Ok(UpstreamAddress {
            transport: UpstreamTransport::Unix(PathBuf::from(path)),
            protocol: UpstreamProtocol::Http1,
            authority: Arc::from("localhost"),
            mapping: PathMapping::new(prefix, ""),
        });
    }
    if text.starts_with("static:") {
        return Err(bad("static:CODE stands alone", "write upstream = \"static:204\""));
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme", WRITE))?;
    let (protocol, default_port) = match scheme {
        "http" => (UpstreamProtocol::Http1, 80),
        "https" => (UpstreamProtocol::Tls, 443),
        "h2c" => (UpstreamProtocol::H2c, 80),
        _ => return Err(bad("its scheme is none of http, https, h2c", WRITE)),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(bad("it has no host", WRITE));
    }
    if authority.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("its host holds a blank or a control character", WRITE));
    }
    // `h2c` is read as http, so that its host gets the same treatment.
    let as_http = format!("{}://{rest}", if scheme == "https" { "https" } else { "http" });
    let url = Url::parse(&as_http).map_err(|_| bad("it is not a URL", WRITE))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host", WRITE))?;
    if !url.username().is_empty() || url.password().is_some() {
        let help = "remove them; send credentials with a header of the application's own";
        return Err(bad("it holds a user name or password", help));
    }
    if url.query().is_some() || url.fragment().is_some() {
        let help = "an upstream is a scheme, a host, a port and at most a path";
        return Err(bad("it holds a query or fragment", help));
    }
    let base = mapping::base_path(path).map_err(|flaw| bad(flaw, WRITE_BASE))?;
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Ok(UpstreamAddress {
        transport: UpstreamTransport::Tcp(Arc::from(host.trim_matches(['[', ']'])), url.port().unwrap_or(default_port)),
        protocol,
        authority: Arc::from(authority),
        mapping: PathMapping::new(prefix, &base),
    })
}

/// Addresses of one application speak one protocol, and are all different.
fn check_one_kind(addresses: &[UpstreamAddress], items: &[Found<String>], problems: &mut Problems) {
    let Some((first, rest)) = addresses.split_first() else { return };
    let odd = rest.iter().zip(items.iter().skip(1)).find(|(address, _)| address.protocol != first.protocol);
    if let (Some((_, item)), Some(first_item)) = (odd, items.first()) {
        problems
            .on(kinds::UPSTREAM_MIXED, item, "mixes protocols")
            .also(&first_item.place, "another protocol than this");
    }
    for (index, (address, item)) in addresses.iter().zip(items).enumerate() {
        let mut earlier = addresses.iter().zip(items).take(index);
        if let Some((_, first)) = earlier.find(|(other, _)| *other == address) {
            problems.on(kinds::UPSTREAM_TWICE, item, "names one address twice").also(&first.place, "here first");
        }
    }
}

/// The status of an answer that needs no application.
fn static_code(code: &str) -> Result<TargetSettings, Flaw> {
    let number = code.parse::<u16>().ok().filter(|code| (200..=599).contains(code));
    let flaw = || Flaw::of(kinds::NO_STATIC_CODE, "cannot answer with", code);
    number.and_then(|code| StatusCode::from_u16(code).ok()).map(TargetSettings::Static).ok_or_else(flaw)
}

/// A static answer has no connection and no application that these keys could speak of.
fn check_static(table: &RouteTable, problems: &mut Problems) {
    for found in [table.tls.mark(), table.timeouts.mark(), table.host_header.mark(), table.strip_prefix.mark()]
        .into_iter()
        .flatten()
    {
        let key = found.key.rsplit('.').next().unwrap_or_default();
        problems.add(kinds::STATIC_WITH_CONNECTION, &found.place, format!("`{key}` is set for a static answer"));
    }
}

/// Which `Host` the application sees.
fn host_header(text: &str) -> Result<HostHeader, Flaw> {
    let is_host = |host: &str| host.parse::<Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
    match text {
        "preserve" => Ok(HostHeader::Preserve),
        "upstream" => Ok(HostHeader::Upstream),
        host if is_host(host) => Ok(HostHeader::Fixed(host.to_owned())),
        other => Err(Flaw::of(kinds::NO_HOST_HEADER, "cannot be", other)),
    }
}

/// The help where a scheme is missing or unknown.
const WRITE: &str = "write \"http://host:port\", \"https://host\", \"h2c://host:port\" or \"unix:/path\"";
/// The help where the path cannot be put before others.
const WRITE_BASE: &str = "write a path of plain segments, such as \"http://app:3000/base\"";
/// `timeouts.connect`.
const CONNECT_SECS: u64 = 5;
/// `timeouts.first_byte`.
const FIRST_BYTE_SECS: u64 = 60;
/// `timeouts.idle`.
const IDLE_SECS: u64 = 300;
/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Failures in a row after which an address is left out.
const EJECT_AFTER: u32 = 3;
/// For how long.
const EJECT_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let it = address("http://127.0.0.1:3000", "").unwrap();
        assert_eq!(
            (it.transport, &*it.authority, it.mapping.base()),
            (UpstreamTransport::Tcp("127.0.0.1".into(), 3000), "127.0.0.1:3000", "")
        );
        let it = address("https://App.Internal/base/", "/wiki").unwrap();
        assert_eq!(
            (it.transport, &*it.authority, it.mapping.base()),
            (UpstreamTransport::Tcp("app.internal".into(), 443), "app.internal", "/base")
        );
        let it = address("h2c://[::1]:50051/x", "").unwrap();
        assert_eq!(
            (it.transport, it.protocol, &*it.authority),
            (UpstreamTransport::Tcp("::1".into(), 50051), UpstreamProtocol::H2c, "[::1]:50051")
        );
        assert_eq!(it.mapping, PathMapping::new("", "/x"));
        assert_eq!(address("unix:/run/a.sock", "").unwrap().transport, UpstreamTransport::Unix("/run/a.sock".into()));
    }

    #[test]
    fn addresses_that_cannot_be_called_are_refused() {
        for bad in [
            "localhost:3000",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://a/?b",
            "unix:a.sock",
            "http://a:99999",
            "static:204",
            "http:///a",
            "http://\\a",
            "http://a\\b",
            "http://a\tb",
            " http://a",
            "http://a ",
            "http://a/base/../x",
            "https://a/base/%2e%2e/x",
            "h2c://a//b",
            "http://a/b c",
        ] {
            assert!(address(bad, "").is_err(), "{bad}");
        }
    }
}
