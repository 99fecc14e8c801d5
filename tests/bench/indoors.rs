//! A gateway without sockets towards its clients: one hyper connection over memory, on this thread, and somebody who is signed in.
//! For counting what one request takes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, spawn_local};

use vestibule::body::Body;
use vestibule::budget::Budget;
use vestibule::clock::{ManualClock, SharedClock, UnixTime};
use vestibule::config::{Config, Sources};
use vestibule::control::Control;
use vestibule::gateway::Gateway;
use vestibule::gateway::build::GatewayParts;
use vestibule::provider::Provider;
use vestibule::proxy::Forwarder;
use vestibule::request::cookies::OwnCookies;
use vestibule::request::host::Host;
use vestibule::request::{Downstream, Peer};
use vestibule::seal::KeyRing;
use vestibule::secret::Secret;
use vestibule::session::cookie_store::SessionSealer;
use vestibule::session::registry::Registry;
use vestibule::session::store::Site;
use vestibule::session::{Session, SessionId, Tokens};
use vestibule::telemetry::Telemetry;

/// One connection to a gateway, and what its client sends.
pub(crate) struct Indoors {
    runtime: Runtime,
    tasks: LocalSet,
    client: DuplexStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Indoors {
    /// A gateway with this upstream (`static:204`, `http://127.0.0.1:PORT`) for people who are signed in.
    pub(crate) fn gateway(upstream: &str) -> Self {
        let config = configuration(upstream);
        let clock: SharedClock = ManualClock::starting_at(NOW);
        let request = request(&cookie(&config, &session(1)));
        Self::over(request, || {
            let gateway = build(config, &clock);
            let forwarder = Forwarder::new(0, Budget::of(1000));
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
            let downstream = Rc::new(Downstream::new(Peer::Ip(peer), Some(80), None));
            move |request: Request<Incoming>| {
                let (gateway, forwarder, downstream) =
                    (Arc::clone(&gateway), Rc::clone(&forwarder), Rc::clone(&downstream));
                let mut request = request.map(Body::Incoming);
                async move { gateway.handle(&forwarder, &mut request, &downstream).await }
            }
        })
    }

    /// The same with another person's cookie at each exchange, none of which comes again before so many others.
    pub(crate) fn crowd(people: usize) -> (Self, Vec<Vec<u8>>) {
        let config = configuration("static:204");
        let requests = (0..people).map(|_| request(&cookie(&config, &session(10)))).collect();
        (Self::gateway("static:204"), requests)
    }

    /// Sends this from now on.
    pub(crate) fn send(&mut self, request: &[u8]) {
        self.request.clear();
        self.request.extend_from_slice(request);
    }

    /// hyper alone, for the same request: what the gateway's own part is the difference to.
    pub(crate) fn hyper() -> Self {
        let request = request(&cookie(&configuration("static:204"), &session(1)));
        Self::over(request, || {
            |_: Request<Incoming>| async {
                let mut answer = Response::new(Body::Empty);
                *answer.status_mut() = http::StatusCode::NO_CONTENT;
                answer
            }
        })
    }

    fn over<S, F>(request: Vec<u8>, service: impl FnOnce() -> S) -> Self
    where
        S: Fn(Request<Incoming>) -> F + 'static,
        F: Future<Output = Response<Body>> + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = LocalSet::new();
        let (client, server) = duplex(64 * 1024);
        let _inside = runtime.enter();
        let service = service();
        tasks.spawn_local(async move {
            let service = service_fn(move |request| {
                let answer = service(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            http1::Builder::new().serve_connection(TokioIo::new(server), service).await
        });
        Self { runtime, tasks, client, request, answer: vec![0; 16 * 1024] }
    }

    /// One request and its answer; gives the answer's head.
    pub(crate) fn exchange(&mut self) -> &[u8] {
        let Self { runtime, tasks, client, request, answer } = self;
        let length = tasks.block_on(runtime, async {
            client.write_all(request).await.unwrap();
            client.read(answer).await.unwrap()
        });
        &self.answer[..length]
    }

    /// Checks that requests are answered as they should be, and warms up.
    pub(crate) fn warm(mut self, status: &str) -> Self {
        for _ in 0..100 {
            let head = String::from_utf8_lossy(self.exchange()).into_owned();
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        }
        self
    }
}

#[cfg_attr(not(test), expect(dead_code, reason = "only the count of allocations forwards anything"))]
/// An application on a thread of its own, with one answer for everything.
pub(crate) fn application() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((mut stream, _)) = listener.accept().await {
                spawn_local(async move {
                    let mut bytes = [0; 16 * 1024];
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                        let answer =
                            b"HTTP/1.1 204 No Content\r\nServer: application\r\nContent-Type: text/plain\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
    });
    format!("http://{address}")
}

/// The configuration of all measurements.
pub(crate) fn configuration(upstream: &str) -> Config {
    let text = CONFIG.replace("UPSTREAM", upstream);
    let sources = Sources { file: Some(("bench.toml".to_owned(), text)), ..Sources::default() };
    Config::load(&sources).unwrap_or_else(|report| panic!("{}", report.render(false)))
}

fn build(config: Config, clock: &SharedClock) -> Arc<Gateway> {
    let telemetry = Telemetry::new(&config.log, clock).unwrap();
    Gateway::build(GatewayParts {
        settings: config.gateway,
        session: config.session,
        keys: KeyRing::new(config.keys).unwrap(),
        providers: config.providers,
        registry: Registry::new(clock, &telemetry.metrics),
        before: None,
        clock: Arc::clone(clock),
        control: Control::current(),
        telemetry,
    })
    .unwrap()
}

/// Seals and opens the sessions of a configuration.
pub(crate) fn sealer(config: &Config) -> SessionSealer {
    let ring = Arc::new(KeyRing::new(config.keys.clone()).unwrap());
    let names = OwnCookies::new(&config.session.cookie.name, &["corp".into()]);
    SessionSealer::new(&config.session.cookie, &names, ring)
}

/// The one provider at the one host.
pub(crate) fn site() -> Site<'static> {
    static HOST: LazyLock<Host> = LazyLock::new(|| Host::parse("wiki.example.com", true).unwrap());
    static PROVIDER: LazyLock<Arc<Provider>> = LazyLock::new(|| {
        let settings = configuration("static:204").providers.remove(0);
        Arc::new(Provider::new(settings, ManualClock::starting_at(NOW)).unwrap())
    });
    Site { provider: &PROVIDER, host: &HOST }
}

/// `NAME=VALUE` of a session, among the cookies of an application.
pub(crate) fn cookie(config: &Config, session: &Session) -> String {
    let sealed = sealer(config).seal(site(), session, session.ends(&config.session), NOW);
    let (name, sealed) = (&config.session.cookie.name, sealed.as_str());
    format!("theme=dark; {name}={sealed}; csrftoken=0123456789abcdef0123456789abcdef")
}

/// A session with an access token (1.2 KB), a refresh token (100 bytes), and an ID token (1.2 KB) in which `groups` groups stand.
pub(crate) fn session(groups: usize) -> Session {
    let names: Vec<_> = (0..groups).map(|n| format!("group-{n}")).collect();
    let claims = json!({
        "iss": "https://login.example.com/realms/corp", "sub": "8f1c2b8e-1d0b-4d2c-9a51-2f6f0b6a9d11", "aud": "wiki",
        "exp": NOW.secs() + 3600, "iat": NOW.secs(), "nonce": "q1w2e3r4t5y6u7i8o9p0", "name": "Ada Lovelace",
        "preferred_username": "ada", "email": "ada@example.com", "email_verified": true, "groups": names,
    });
    let Value::Object(map) = claims.clone() else { unreachable!() };
    Session {
        id: SessionId::random(),
        provider: "corp".into(),
        issuer: "https://login.example.com/realms/corp".into(),
        created: NOW,
        active: NOW,
        auth_time: None,
        tokens: Tokens {
            access: Some(Secret::new(token(&claims, "at+jwt"))),
            refresh: Some(Secret::new("r".repeat(100))),
            id_token: Some(Secret::new(token(&claims, "JWT"))),
        },
        access_issued: NOW,
        access_expires: Some(NOW.plus(std::time::Duration::from_secs(3600))),
        generation: 0,
        asked: None,
        claims: map,
        nonce: None,
        scope: Some("openid profile email".to_owned()),
    }
}

/// In the form of a JWT; the signature is only bytes.
fn token(claims: &Value, kind: &str) -> String {
    let header = json!({ "alg": "RS256", "typ": kind, "kid": "0123456789abcdef" });
    let signature: Vec<u8> = (0..256_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let parts = [header.to_string().into_bytes(), claims.to_string().into_bytes(), signature];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn request(cookie: &str) -> Vec<u8> {
    format!(
        "GET /wiki/page?x=1 HTTP/1.1\r\nHost: wiki.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate\r\nCookie: {cookie}\r\n\r\n"
    )
    .into_bytes()
}

/// The moment at which everything happens.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://wiki.example.com"

[admin]
listen = []

[log]
audit = "off"

[session]
cache_bytes = "64MiB"
keys = ["a8Jx0W1uQ2m7r5TqP4vYb3nLh6ZsXc9EdF2gKi0oNjM="]

[provider.corp]
issuer = "https://login.example.com/realms/corp"
client_id = "wiki"
client_auth = "none"

[route.wiki]
upstream = "UPSTREAM"
allow.groups = ["group-0"]
"#;
