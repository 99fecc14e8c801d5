//! `[server]` and `[admin]`.

use std::path::PathBuf;
use std::thread::available_parallelism;

use ipnet::IpNet;
use url::Url;

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::{AdminTable, DrainTable, LimitsTable, PagesTable, ServerTable};
use super::super::reading::{Field, Found};
use super::super::units::{OneOrMany, Timespan, parse_network};
use super::{Notes, matching, opened, positive, tls};
use crate::gateway::settings::{GatewaySettings, PublicUrl, RouteSettings};
use crate::request::host::is_loopback;
use crate::server::settings::{Drain, Limits, ListenAddress, ServerSettings};

/// What `[server]` says, for the two parts that it speaks to.
pub(super) struct Server {
    pub(super) settings: ServerSettings,
    pub(super) public_url: PublicUrl,
    pub(super) prefix: String,
    trusted_proxies: Vec<IpNet>,
    trust_unix: bool,
}

impl Server {
    /// The pipeline's settings.
    pub(super) fn gateway(&self, routes: Vec<RouteSettings>, pages: PagesTable) -> GatewaySettings {
        let limits = &self.settings.limits;
        GatewaySettings {
            public_url: self.public_url.clone(),
            prefix: self.prefix.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            trust_unix: self.trust_unix,
            routes,
            limits: limits.clone(),
            contact: pages.contact.into_value(),
            title: pages.title.into_value(),
        }
    }
}

pub(super) fn server(table: &Found<ServerTable>, admin: Field<AdminTable>, notes: &mut Notes) -> Option<Server> {
    let keys = &table.value;
    let public_url = public_url(&keys.public_url, &table.place, notes);
    let listen = listen(&keys.listen, "server.listen", TRAFFIC_DEFAULT, notes);
    if keys.listen.value().is_some_and(|list| list.0.is_empty()) {
        let place = keys.listen.given().map_or(&table.place, |found| &found.place);
        notes.error(Code::EmptyList, place, "`server.listen` is an empty list", "write listen = \"127.0.0.1:4180\"");
    }
    let admin = opened(admin, notes);
    let admin_keys = admin.map(|found| found.value).unwrap_or_default();
    let admin_listen = admin_listen(&admin_keys, notes);
    check_apart(&listen, &admin_listen, notes);
    let (trusted_proxies, trust_unix) = trusted_proxies(&keys.trusted_proxies, notes);
    let prefix = prefix(&keys.prefix, notes);
    let tls_settings = tls::server_tls(&keys.tls, notes);
    if let (Some(url), Field::Given(found)) = (&public_url, &keys.tls)
        && !url.https
    {
        let diagnostic = Diagnostic::error(
            Code::Conflict,
            &found.place,
            "`server.tls` serves https, but `server.public_url` is http",
        );
        notes.note(
            diagnostic
                .reason("redirects would lead to http, and cookies would not be Secure")
                .help("write public_url = \"https://…\""),
        );
    }
    let trusts_nobody = trusted_proxies.is_empty() && !trust_unix && !matches!(keys.trusted_proxies, Field::Wrong);
    if trusts_nobody && keys.tls.is_absent() && public_url.as_ref().is_some_and(|url| url.https) {
        warn_of_unknown_proxy(keys, &table.place, notes);
    }
    let settings = ServerSettings {
        listen: listen.into_iter().map(|it| it.value).collect(),
        admin_listen: admin_listen.into_iter().map(|it| it.value).collect(),
        workers: workers(&keys.workers, notes),
        unix_mode: keys.unix_mode.value().map(|mode| mode.0),
        tls: tls_settings,
        limits: limits(&opened(keys.limits.clone(), notes)?.value, notes),
        trusted_proxies: trusted_proxies.clone(),
        drain: drain(&opened(keys.drain.clone(), notes)?.value),
        notes_capitals: false, // The routes tell: mod.rs.
    };
    Some(Server { settings, public_url: public_url?, prefix, trusted_proxies, trust_unix })
}

/// TLS ends in front of us then, and whoever ends it passes on what only it knows.
fn warn_of_unknown_proxy(keys: &ServerTable, table: &Place, notes: &mut Notes) {
    let place = keys.trusted_proxies.place();
    let place = place.or_else(|| keys.public_url.place()).unwrap_or(table);
    let message = "`server.public_url` is https and there is no `server.tls`, but `server.trusted_proxies` is empty";
    let diagnostic = Diagnostic::warning(Code::NoTrustedProxies, place, message)
        .reason("the proxy that serves https is not believed: every client has its address, in logs, limits and `allow.networks`");
    notes.note(diagnostic.help(
        "write the networks of that proxy, such as trusted_proxies = [\"10.0.0.0/8\"] or [\"unix\"], or serve https here with [server.tls]",
    ));
}

fn public_url(field: &Field<String>, table: &Place, notes: &mut Notes) -> Option<PublicUrl> {
    if field.is_absent() {
        let help = "write public_url = \"https://wiki.example.com\": the origin that browsers use";
        notes.missing(table, "server.public_url", help);
    }
    let found = field.given()?;
    let url = Url::parse(&found.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some((url, host)) = url.as_ref().and_then(|url| Some((url, url.host()?))) else {
        let message = "`server.public_url` is not an http or https URL";
        notes.error(Code::PublicUrl, &found.place, message, "write \"https://wiki.example.com\"");
        return None;
    };
    let https = url.scheme() == "https";
    let name = host.to_string().trim_end_matches('.').to_owned();
    let authority = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        let diagnostic = Diagnostic::error(Code::PublicUrl, &found.place, "`server.public_url` is more than an origin")
            .reason("applications are served at the root of their host; what is below it is for routes to say");
        notes.note(diagnostic.help(format!("write \"{}://{authority}\"", url.scheme())));
        return None;
    }
    if !https && !is_loopback(&host) {
        let diagnostic = Diagnostic::warning(Code::Weakened, &found.place, "`server.public_url` is http, not https")
            .reason("session cookies travel in clear text and can be stolen on the way; browsers get no Secure cookie");
        notes.note(diagnostic.help("serve https, here or in a proxy in front, and write \"https://…\""));
    }
    Some(PublicUrl { https, authority })
}

/// Where the admin listener is.
pub(super) fn admin_listen(keys: &AdminTable, notes: &mut Notes) -> Vec<Found<ListenAddress>> {
    listen(&keys.listen, "admin.listen", ADMIN_DEFAULT, notes)
}

fn listen(field: &Field<OneOrMany<String>>, key: &str, default: &str, notes: &mut Notes) -> Vec<Found<ListenAddress>> {
    let Some(found) = field.given() else {
        return vec![Found { value: ListenAddress::Tcp(default.to_owned()), place: Place::Nowhere }];
    };
    let mut addresses = Vec::new();
    for item in &found.value.0 {
        match parse_listen(&item.value) {
            Some(value) => addresses.push(Found { value, place: item.place.clone() }),
            None => notes.error(
                Code::BadAddress,
                &item.place,
                format!("`{key}` cannot be \"{}\"", item.value.escape_default()),
                "write \"0.0.0.0:4180\", \"[::]:4180\", \"unix:/run/vestibule.sock\" or \"systemd:NAME\"",
            ),
        }
    }
    addresses
}

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
fn check_apart(traffic: &[Found<ListenAddress>], admin: &[Found<ListenAddress>], notes: &mut Notes) {
    for address in admin {
        let any_port = matches!(&address.value, ListenAddress::Tcp(text) if text.ends_with(":0"));
        if let Some(same) = traffic.iter().find(|other| other.value == address.value && !any_port) {
            let place = if matches!(address.place, Place::Nowhere) { &same.place } else { &address.place };
            let diagnostic =
                Diagnostic::error(Code::Conflict, place, "`admin.listen` and `server.listen` are the same address")
                    .reason("metrics and health never share a port with traffic");
            notes.note(diagnostic.help("give the admin listener another port, such as \"127.0.0.1:4181\""));
        }
    }
}

fn trusted_proxies(field: &Field<OneOrMany<String>>, notes: &mut Notes) -> (Vec<IpNet>, bool) {
    let (mut networks, mut unix) = (Vec::new(), false);
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        match parse_network(&item.value) {
            _ if item.value == "unix" => unix = true,
            Some(network) => {
                if network.prefix_len() == 0 {
                    let diagnostic =
                        Diagnostic::warning(Code::Weakened, &item.place, "`server.trusted_proxies` trusts everybody")
                            .reason("any client can then say from which address and for which host it comes");
                    notes.note(diagnostic.help("name the networks of the proxies in front of vestibule"));
                }
                networks.push(network);
            }
            None => notes.error(
                Code::BadAddress,
                &item.place,
                format!("`server.trusted_proxies` cannot hold \"{}\"", item.value.escape_default()),
                "write a network such as \"10.0.0.0/8\", a single address, or \"unix\" for peers on unix sockets",
            ),
        }
    }
    (networks, unix)
}

fn prefix(field: &Field<String>, notes: &mut Notes) -> String {
    let Some(found) = field.given() else { return PREFIX_DEFAULT.to_owned() };
    let prefix = found.value.trim_end_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b);
    if !prefix.is_empty() && matching::path_flaw(prefix).is_none() && prefix.bytes().all(plain) {
        return prefix.to_owned();
    }
    let message = "`server.prefix` cannot be the prefix of our own endpoints";
    notes.error(
        Code::BadPath,
        &found.place,
        message,
        "write a path of plain segments, such as \"/_vestibule\" or \"/auth\"",
    );
    PREFIX_DEFAULT.to_owned()
}

fn workers(field: &Field<u32>, notes: &mut Notes) -> usize {
    let cores = || available_parallelism().map_or(1, usize::from);
    match field.given() {
        Some(found) if (1..=1024).contains(&found.value) => usize::try_from(found.value).unwrap_or(1),
        Some(found) => {
            let message = format!("`server.workers` cannot be {}", found.value);
            notes.error(Code::BadValue, &found.place, message, "write 1 to 1024, or leave the key out for one a core");
            1
        }
        None => cores(),
    }
}

fn limits(keys: &LimitsTable, notes: &mut Notes) -> Limits {
    let defaults = Limits::default();
    let header_bytes = keys.header_bytes.given().map_or(defaults.header_bytes, |found| {
        // hyper refuses to read heads into less than 8 KiB.
        if !(MIN_HEADER..=MAX_HEADER).contains(&found.value.0) {
            let message = "`server.limits.header_bytes` is out of range";
            notes.error(Code::BadValue, &found.place, message, "write a size from \"8KiB\" to \"1MiB\"");
        }
        usize::try_from(found.value.0).unwrap_or(defaults.header_bytes)
    });
    let mut count = |field: &Field<u32>, key: &str| {
        let found = field.given()?;
        if found.value == 0 {
            notes.error(Code::BadValue, &found.place, format!("`{key}` cannot be zero"), "write a number from 1 on");
        }
        Some(found.value)
    };
    let connections = count(&keys.connections, "server.limits.connections");
    let h2_streams = count(&keys.h2_streams, "server.limits.h2_streams").unwrap_or(defaults.h2_streams);
    Limits {
        header_bytes,
        header_time: positive(&keys.header_time, "server.limits.header_time", defaults.header_time, notes),
        body_bytes: keys.body_bytes.value().map(|size| size.0),
        idle_time: positive(&keys.idle_time, "server.limits.idle_time", defaults.idle_time, notes),
        body_rate: keys.body_rate.value().map_or(defaults.body_rate, |rate| Some(rate.0).filter(|rate| *rate > 0)),
        connections: connections.and_then(|count| usize::try_from(count).ok()),
        upgrade_life: positive(&keys.upgrade_life, "server.limits.upgrade_life", defaults.upgrade_life, notes),
        upgrade_idle: positive(&keys.upgrade_idle, "server.limits.upgrade_idle", defaults.upgrade_idle, notes),
        h2_streams,
        handshake_time: positive(&keys.handshake_time, "server.limits.handshake_time", defaults.handshake_time, notes),
    }
}

fn drain(keys: &DrainTable) -> Drain {
    let defaults = Drain::default();
    Drain { delay: keys.delay.or(Timespan(defaults.delay)).0, grace: keys.grace.or(Timespan(defaults.grace)).0 }
}

const TRAFFIC_DEFAULT: &str = "127.0.0.1:4180";
const ADMIN_DEFAULT: &str = "127.0.0.1:4181";
const PREFIX_DEFAULT: &str = "/_vestibule";
const MIN_HEADER: u64 = 8 * 1024;
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
