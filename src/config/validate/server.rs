//! `[server]` and `[admin]`.

use std::path::PathBuf;
use std::thread::available_parallelism;

use ipnet::IpNet;
use url::Url;

use super::super::file::{AdminTable, DrainTable, LimitsTable, ServerTable};
use super::super::units::parse_network;
use super::{
    Field, Flaw, Found, OneOrMany, Place, Problems, Timespan, each, filled, hsts, kinds, matching, opened, positive,
    tls,
};
use crate::gateway::settings::{GatewaySettings, PagesSettings, PublicUrl};
use crate::request::host::is_loopback;
use crate::server::settings::{Drain, Limits, ListenAddress, ServerSettings};

/// Checks `[server]` and `[admin]`: what the server itself needs of it, and the gateway, whose routes and pages are not known here.
pub(super) fn server(
    table: &Found<ServerTable>,
    admin: Field<AdminTable>,
    problems: &mut Problems,
) -> Option<(ServerSettings, GatewaySettings)> {
    let keys = &table.value;
    let public_url = public_url(&keys.public_url, &table.place, problems);
    let listen = listen(&keys.listen, TRAFFIC_DEFAULT, problems);
    filled(&keys.listen, kinds::LISTEN_EMPTY, problems);
    let admin_listen = admin_listen(&admin.into_value().unwrap_or_default(), problems);
    check_apart(&listen, &admin_listen, problems);
    let (trusted_proxies, trust_unix) = trusted_proxies(&keys.trusted_proxies, problems);
    let prefix = prefix(&keys.prefix, problems);
    let tls_settings = tls::server_tls(&keys.tls, problems);
    let https = public_url.as_ref().map(|url| url.https);
    if let (Some(false), Field::Given(found)) = (https, &keys.tls) {
        problems.on(kinds::TLS_WITH_HTTP_URL, found, "serves https, but `server.public_url` is http");
    }
    let hsts = hsts::hsts(&keys.hsts, https, problems);
    let trusts_nobody = trusted_proxies.is_empty() && !trust_unix && !matches!(keys.trusted_proxies, Field::Wrong);
    if trusts_nobody && keys.tls.is_absent() && https == Some(true) {
        // TLS ends at a proxy in front then, and only that proxy knows the addresses of clients.
        let place = keys
            .trusted_proxies
            .mark()
            .or_else(|| keys.public_url.mark())
            .map_or_else(|| table.place.clone(), |it| it.place);
        problems.add(kinds::NO_TRUSTED_PROXIES, &place, UNKNOWN_PROXY);
    }
    let limits = limits(&opened(keys.limits.clone(), problems)?.value, problems);
    let settings = ServerSettings {
        listen: listen.into_iter().map(|it| it.value).collect(),
        admin_listen: admin_listen.into_iter().map(|it| it.value).collect(),
        workers: workers(&keys.workers, problems),
        unix_mode: keys.unix_mode.value().map(|mode| mode.0),
        tls: tls_settings,
        limits: limits.clone(),
        trusted_proxies: trusted_proxies.clone(),
        drain: drain(&opened(keys.drain.clone(), problems)?.value),
        notes_capitals: false, // The routes tell: mod.rs.
    };
    let (public_url, routes, pages) = (public_url?, Vec::new(), PagesSettings::default());
    Some((settings, GatewaySettings { public_url, hsts, prefix, trusted_proxies, trust_unix, routes, limits, pages }))
}

/// The origin that browsers use.
fn public_url(field: &Field<String>, table: &Place, problems: &mut Problems) -> Option<PublicUrl> {
    let found = field.required(kinds::PUBLIC_URL_MISSING, (table, "server"), "public_url", problems)?;
    let url = Url::parse(&found.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) else {
        problems.on(kinds::PUBLIC_URL_BAD, found, "is not an http or https URL");
        return None;
    };
    let https = url.scheme() == "https";
    let name = host.to_string().trim_end_matches('.').to_owned();
    let authority = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        problems
            .on(kinds::PUBLIC_URL_MORE, found, "is more than an origin")
            .help(format!("write \"{}://{authority}\"", url.scheme()));
        return None;
    }
    if !https && !is_loopback(&host) {
        problems.on(kinds::PUBLIC_URL_HTTP, found, "is http, not https");
    }
    Some(PublicUrl { https, authority })
}

/// Where the admin listener is.
pub(super) fn admin_listen(keys: &AdminTable, problems: &mut Problems) -> Vec<Found<ListenAddress>> {
    listen(&keys.listen, ADMIN_DEFAULT, problems)
}

/// The addresses of a listener.
fn listen(field: &Field<OneOrMany<String>>, default: &str, problems: &mut Problems) -> Vec<Found<ListenAddress>> {
    if field.given().is_none() {
        let value = ListenAddress::Tcp(default.to_owned());
        return vec![Found { value, place: Place::Nowhere, key: String::new() }];
    }
    each(field, problems, |item| {
        let flaw = || Flaw::of(kinds::NO_LISTEN_ADDRESS, "cannot be", &item.value);
        parse_listen(&item.value).map(|address| item.with(address)).ok_or_else(flaw)
    })
}

/// `host:port`, `unix:/path` or `systemd:NAME`.
fn parse_listen(text: &str) -> Option<ListenAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| ListenAddress::Unix(PathBuf::from(path)));
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        return (!name.is_empty()).then(|| ListenAddress::Systemd(name.to_owned()));
    }
    let (host, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let fits = !host.is_empty() && (bracketed || !host.contains([':', '/', '[', ']', ' ']));
    fits.then(|| ListenAddress::Tcp(text.to_owned()))
}

/// The admin listener never shares an address with traffic: what it shows is not for everybody.
fn check_apart(traffic: &[Found<ListenAddress>], admin: &[Found<ListenAddress>], problems: &mut Problems) {
    for address in admin {
        let any_port = matches!(&address.value, ListenAddress::Tcp(text) if text.ends_with(":0"));
        if let Some(same) = traffic.iter().find(|other| other.value == address.value && !any_port) {
            let place = if matches!(address.place, Place::Nowhere) { &same.place } else { &address.place };
            problems.add(kinds::ADMIN_ON_TRAFFIC, place, "`admin.listen` and `server.listen` are the same address");
        }
    }
}

/// Networks of proxies, and whether peers on unix sockets are believed.
fn trusted_proxies(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> (Vec<IpNet>, bool) {
    let is_unix = |item: &Found<String>| item.value == "unix";
    let trust_unix = field.value().is_some_and(|list| list.0.iter().any(is_unix));
    let networks = each(field, problems, |item| {
        let flaw = || Flaw::of(kinds::NO_TRUSTED_PROXY, "cannot hold", &item.value);
        let network = parse_network(&item.value).map(|network| item.with(network));
        if is_unix(item) { Ok(None) } else { network.map(Some).ok_or_else(flaw) }
    });
    let networks: Vec<Found<IpNet>> = networks.into_iter().flatten().collect();
    for everybody in networks.iter().filter(|network| network.value.prefix_len() == 0) {
        problems.on(kinds::EVERYBODY_TRUSTED, everybody, "trusts everybody");
    }
    (networks.into_iter().map(|network| network.value).collect(), trust_unix)
}

/// The path of our own endpoints, without a slash at its end.
fn prefix(field: &Field<String>, problems: &mut Problems) -> String {
    let Some(found) = field.given() else { return PREFIX_DEFAULT.to_owned() };
    let prefix = found.value.trim_end_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    if !prefix.is_empty() && matching::path_flaw(prefix).is_none() && prefix.bytes().all(plain) {
        return prefix.to_owned();
    }
    problems.on(kinds::NO_PREFIX, found, "cannot be the prefix of our own endpoints");
    PREFIX_DEFAULT.to_owned()
}

/// How many threads forward requests.
fn workers(field: &Field<u32>, problems: &mut Problems) -> usize {
    let Some(found) = field.given() else { return available_parallelism().map_or(1, usize::from) };
    if !(1..=1024).contains(&found.value) {
        problems.on(kinds::WORKERS_OUT_OF_RANGE, found, format!("cannot be {}", found.value));
    }
    usize::try_from(found.value).unwrap_or(1)
}

/// What a client may take.
fn limits(keys: &LimitsTable, problems: &mut Problems) -> Limits {
    let defaults = Limits::default();
    let header_bytes = keys.header_bytes.given().map_or(defaults.header_bytes, |found| {
        // hyper refuses to read heads into less than 8 KiB.
        if !(MIN_HEADER..=MAX_HEADER).contains(&found.value.0) {
            problems.on(kinds::HEADER_BYTES_OUT_OF_RANGE, found, "is out of range");
        }
        usize::try_from(found.value.0).unwrap_or(defaults.header_bytes)
    });
    for count in [&keys.connections, &keys.h2_streams] {
        count.noted(&0, kinds::ZERO_COUNT, "cannot be zero", problems);
    }
    Limits {
        header_bytes,
        header_time: positive(&keys.header_time, defaults.header_time, problems),
        body_bytes: keys.body_bytes.value().map(|size| size.0),
        idle_time: positive(&keys.idle_time, defaults.idle_time, problems),
        body_rate: keys.body_rate.value().map_or(defaults.body_rate, |rate| Some(rate.0).filter(|rate| *rate > 0)),
        connections: keys.connections.value().and_then(|count| usize::try_from(*count).ok()),
        upgrade_life: positive(&keys.upgrade_life, defaults.upgrade_life, problems),
        upgrade_idle: positive(&keys.upgrade_idle, defaults.upgrade_idle, problems),
        h2_streams: keys.h2_streams.or(defaults.h2_streams),
        handshake_time: positive(&keys.handshake_time, defaults.handshake_time, problems),
    }
}

/// How serving ends.
fn drain(keys: &DrainTable) -> Drain {
    let defaults = Drain::default();
    Drain { delay: keys.delay.or(Timespan(defaults.delay)).0, grace: keys.grace.or(Timespan(defaults.grace)).0 }
}

/// The message about a proxy that is not named.
const UNKNOWN_PROXY: &str =
    "`server.public_url` is https and there is no `server.tls`, but `server.trusted_proxies` is empty";
/// `server.listen`.
const TRAFFIC_DEFAULT: &str = "127.0.0.1:4180";
/// `admin.listen`.
const ADMIN_DEFAULT: &str = "127.0.0.1:4181";
/// `server.prefix`.
const PREFIX_DEFAULT: &str = "/_vestibule";
/// The smallest limit of a request head.
const MIN_HEADER: u64 = 8 * 1024;
/// The largest.
const MAX_HEADER: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_need_a_host_and_a_port() {
        for good in ["0.0.0.0:4180", "[::]:80", "localhost:0", "unix:/run/a.sock", "systemd:web"] {
            assert!(parse_listen(good).is_some(), "{good}");
        }
        for bad in [":4180", "4180", "::1:80", "http://a:80", "a:99999", "unix:relative", "systemd:", "a"] {
            assert!(parse_listen(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_only_this_machine() {
        for (host, yes) in [
            ("127.0.0.1", true),
            ("[::1]", true),
            ("localhost", true),
            ("a.localhost", true),
            ("localhost.evil.example", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url::Host::parse(host).unwrap()), yes, "{host}");
        }
    }
}
