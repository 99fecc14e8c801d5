//! A whole gateway as a test starts it: a builder that writes TOML, loads it as the program does, and serves on loopback.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::harness::idp::paths;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::{Table, Value};
use vestibule::app::App;
use vestibule::clock::ManualClock;
use vestibule::config::{Config, FollowedFiles, Sources, Watch};
use vestibule::followed::FollowedChange;

use super::idp::{CLIENT_ID, CLIENT_SECRET};
use super::{Browser, Raw, RecordingUpstream, TestIdp};

/// A running gateway; it is stopped when it is dropped.
pub(crate) struct Gateway {
    app: App,
    /// Where it takes traffic.
    pub(crate) address: SocketAddr,
    /// Where its admin endpoints are.
    pub(crate) admin: SocketAddr,
    /// The clock that it shares with the provider.
    pub(crate) clock: Arc<ManualClock>,
    settings: Table,
    /// The files that its configuration names.
    watch: Watch,
    followed: FollowedFiles,
    origin: String,
    other_origins: Vec<String>,
}

/// A gateway that is being described.
#[derive(Clone)]
pub(crate) struct GatewayBuilder {
    settings: Table,
    upstream: String,
    public: Public,
    other_hosts: Vec<String>,
    redirects_at: Vec<(Arc<crate::harness::idp::Misbehaving>, String)>,
    clock: Option<Arc<ManualClock>>,
}

/// What browsers call it.
#[derive(Clone)]
enum Public {
    /// `http://127.0.0.1:PORT`.
    Loopback,
    /// `https://NAME`, with TLS ended in front of it: the listener is plain.
    Https(String),
}

impl Gateway {
    /// A gateway whose route `app` leads to this application, for everything.
    pub(crate) fn in_front_of(upstream: &RecordingUpstream) -> GatewayBuilder {
        Self::in_front_of_url(&upstream.url())
    }

    /// The same with any URL as `upstream`.
    pub(crate) fn in_front_of_url(upstream: &str) -> GatewayBuilder {
        let settings = parsed(&BASE.replace("KEY", &key(1)).replace("UPSTREAM", upstream));
        GatewayBuilder {
            settings,
            upstream: upstream.to_owned(),
            public: Public::Loopback,
            other_hosts: Vec::new(),
            redirects_at: Vec::new(),
            clock: None,
        }
    }

    /// The URL by which a browser knows a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// The URL of one of its own endpoints: `login`, `session`, ….
    pub(crate) fn own(&self, endpoint: &str) -> String {
        self.url(&format!("/_vestibule/{endpoint}"))
    }

    /// What browsers call it, without a path.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// What stands in a `Host` field.
    pub(crate) fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// A new browser that finds it by all its names.
    pub(crate) fn browser(&self) -> Browser {
        let browser = Browser::new(self.clock.clone()).resolving(&self.origin, self.address);
        self.other_origins.iter().fold(browser, |browser, origin| browser.resolving(origin, self.address))
    }

    /// A new raw connection to it.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// The text that its admin listener serves at a path.
    pub(crate) async fn admin_text(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin);
        Raw::once(self.admin, request).await.text()
    }

    /// Reloads with its own configuration and this laid over it; earlier changes stay.
    pub(crate) fn reload_with(&mut self, toml: &str) {
        lay_over(&mut self.settings, parsed(toml));
        self.reloads();
    }

    /// Reloads with its own configuration as it is.
    pub(crate) fn reloads(&mut self) {
        let (config, watch) = loaded(&self.settings, &self.followed);
        self.app.reload(&config).unwrap_or_else(|error| panic!("the reload is refused: {error}"));
        self.watch = watch;
    }

    /// Looks at the files that somebody else keeps until it knows them, as the program does every other second, and gives what has
    /// changed.
    pub(crate) fn looks_at_followed(&self) -> Vec<FollowedChange> {
        let first = self.watch.look_at_followed();
        let changes = [first, self.watch.look_at_followed()].concat();
        self.app.take_followed(&changes);
        changes
    }

    /// The same, which may be refused, and why; then its configuration is the old one here, too.
    pub(crate) fn tries_reload(&mut self, toml: &str) -> Result<(), String> {
        let mut settings = self.settings.clone();
        lay_over(&mut settings, parsed(toml));
        let (config, watch) = loaded(&settings, &self.followed);
        self.app.reload(&config).map_err(|error| error.to_string())?;
        self.watch = watch;
        self.settings = settings;
        Ok(())
    }

    /// Where it takes traffic now.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.app.traffic_addresses()
    }

    /// Where its admin endpoints are now.
    pub(crate) fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.app.admin_addresses()
    }

    /// Reloads without a key or table of its configuration, by its dotted path.
    pub(crate) fn reload_without(&mut self, path: &str) {
        take_away(&mut self.settings, path);
        self.reloads();
    }

    /// Asks for the stop, and does not wait for it.
    pub(crate) fn asks_to_stop(&self) {
        self.app.stop();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(&self) {
        self.app.stopped().await;
    }

    /// Stops and waits for the end.
    pub(crate) async fn stop(self) {
        self.app.shutdown().await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.app.stop();
    }
}

impl GatewayBuilder {
    /// Signs in at this provider, as the client that it knows; the gateway calls it `idp`, and shares its clock.
    pub(crate) fn signing_in_at(self, idp: &TestIdp) -> Self {
        self.and_at("idp", idp)
    }

    /// Signs in at this provider too, under a name of its own.
    pub(crate) fn and_at(mut self, name: &str, idp: &TestIdp) -> Self {
        let mut table = Table::new();
        let mut set = |key: &str, value: &str| table.insert(key.to_owned(), Value::from(value));
        set("client_id", CLIENT_ID);
        set("client_secret", CLIENT_SECRET);
        if idp.plain {
            set("authorization_endpoint", &idp.url(paths::AUTHORIZE));
            set("token_endpoint", &idp.url(paths::TOKEN));
            set("userinfo_endpoint", &idp.url(paths::USERINFO));
        } else {
            set("issuer", idp.issuer());
        }
        let provider = Table::from_iter([(name.to_owned(), Value::Table(table))]);
        lay_over(&mut self.settings, Table::from_iter([("provider".to_owned(), Value::Table(provider))]));
        self.clock.get_or_insert_with(|| idp.clock.clone());
        self.redirects_at.push((idp.shared(), name.to_owned()));
        self
    }

    /// Lays TOML over what there is so far: tables are joined, everything else is replaced. `UPSTREAM` is the URL of the
    /// application.
    pub(crate) fn with(mut self, toml: &str) -> Self {
        lay_over(&mut self.settings, parsed(&toml.replace("UPSTREAM", &self.upstream)));
        self
    }

    /// Takes a key away, by its dotted path.
    pub(crate) fn without(mut self, path: &str) -> Self {
        take_away(&mut self.settings, path);
        self
    }

    /// Is `https://NAME` to browsers, while the listener is plain.
    pub(crate) fn at_https(mut self, name: &str) -> Self {
        self.public = Public::Https(name.to_owned());
        self
    }

    /// Is known by another host too; sign-ins may come back to it.
    pub(crate) fn known_as(mut self, host: &str) -> Self {
        self.other_hosts.push(host.to_owned());
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Gateway {
        let clock = self.clock.clone().unwrap_or_else(super::clock);
        // A port that was free a moment ago may be taken by now: then another one is tried.
        for _ in 0..PORT_ATTEMPTS {
            let (settings, origin, scheme) = self.named();
            let followed = FollowedFiles::default();
            let (config, watch) = loaded(&settings, &followed);
            let Ok(app) = App::start(config, clock.clone()).await else { continue };
            let other_origins: Vec<String> = self.other_hosts.iter().map(|host| format!("{scheme}://{host}")).collect();
            for origin in other_origins.iter().chain([&origin]) {
                self.register(origin);
            }
            let (address, admin) = (app.traffic_addresses()[0], app.admin_addresses()[0]);
            return Gateway { app, address, admin, clock, settings, watch, followed, origin, other_origins };
        }
        // Once more, to say why.
        let (settings, ..) = self.named();
        let (config, _) = loaded(&settings, &FollowedFiles::default());
        let refused = App::start(config, clock).await.map(|_| ());
        panic!("the gateway does not start: {refused:?}\n{settings}");
    }

    /// The configuration with listener and public URL, which are known only now.
    fn named(&self) -> (Table, String, &'static str) {
        let (listen, origin, scheme) = match &self.public {
            Public::Loopback => {
                let listen = free_address();
                (listen.to_string(), format!("http://{listen}"), "http")
            }
            Public::Https(name) => ("127.0.0.1:0".to_owned(), format!("https://{name}"), "https"),
        };
        let mut settings = parsed(&format!("[server]\nlisten = \"{listen}\"\npublic_url = \"{origin}\"\n"));
        lay_over(&mut settings, self.settings.clone());
        (settings, origin, scheme)
    }

    /// Tells the providers where sign-ins and sign-outs come back to.
    fn register(&self, origin: &str) {
        for (idp, name) in &self.redirects_at {
            let own = |endpoint: &str| format!("{origin}/_vestibule/{endpoint}");
            for callback in ["callback".to_owned(), format!("callback/{name}")] {
                idp.allow_return_to(CLIENT_ID, &own(&callback), &own("signed-out"));
            }
        }
    }
}

/// A session key, as `keys` holds it: the same for the same number, so that two gateways can share one.
pub(crate) fn key(number: u8) -> String {
    let mut bytes = [number; 32];
    for (byte, place) in bytes.iter_mut().zip(0..) {
        *byte = byte.wrapping_mul(31).wrapping_add(place * 7);
    }
    STANDARD.encode(bytes)
}

fn take_away(settings: &mut Table, path: &str) {
    let (tables, last) = path.rsplit_once('.').map_or((None, path), |(tables, last)| (Some(tables), last));
    let mut table = settings;
    for name in tables.into_iter().flat_map(|tables| tables.split('.')) {
        table =
            table.get_mut(name).and_then(Value::as_table_mut).unwrap_or_else(|| panic!("no table {name} in {path}"));
    }
    assert!(table.remove(last).is_some(), "no {path} to take away");
}

fn loaded(settings: &Table, followed: &FollowedFiles) -> (Config, Watch) {
    let file = Some(("test.toml".to_owned(), settings.to_string()));
    let sources = Sources { file, followed: followed.clone(), ..Sources::default() };
    let config = Config::load(&sources).unwrap_or_else(|report| panic!("{}", report.render(false)));
    let watch = Watch::of(sources, &config, None);
    (config, watch)
}

fn parsed(toml: &str) -> Table {
    toml.parse().unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

fn lay_over(below: &mut Table, above: Table) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Table(old)), Value::Table(new)) => lay_over(old, new),
            (_, value) => {
                below.insert(name, value);
            }
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

const PORT_ATTEMPTS: usize = 4;

/// What every test's gateway has in common; nothing is logged unless a test says where.
const BASE: &str = r#"
[server.drain]
delay = "0s"

[admin]
listen = "127.0.0.1:0"

[session]
keys = ["KEY"]

[log]
audit = "off"

[route.app]
upstream = "UPSTREAM"
"#;
