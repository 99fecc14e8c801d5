//! The judgement, asked without any body or connection, and the proxied answer: they agree about every request.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::json;
use tokio::task::LocalSet;
use vestibule::body::Body;
use vestibule::budget::Budget;
use vestibule::clock::{Clock as _, ManualClock, SharedClock, UnixTime};
use vestibule::config::{Config, Sources};
use vestibule::control::Control;
use vestibule::gateway::build::GatewayParts;
use vestibule::gateway::{Challenge, Credentials, Gateway, Judgement, Lack, NoRule, RequestFault, Verdict};
use vestibule::provider::Provider;
use vestibule::proxy::Forwarder;
use vestibule::remembered::Party;
use vestibule::request::cookies::OwnCookies;
use vestibule::request::host::Host;
use vestibule::request::{Downstream, Peer, RequestReader};
use vestibule::seal::KeyRing;
use vestibule::session::cookie_store::SessionSealer;
use vestibule::session::registry::Registry;
use vestibule::session::store::Site;
use vestibule::session::{Session, SessionId, Tokens};
use vestibule::telemetry::Telemetry;

use crate::harness::gateway::key;
use crate::harness::{RecordingUpstream, clock};

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
public_url = "https://wiki.example.com"
[admin]
listen = []
[log]
access = "off"
audit = "off"
[session]
keys = ["KEY"]
[provider.corp]
issuer = "https://login.example.com"
authorization_endpoint = "https://login.example.com/authorize"
token_endpoint = "https://login.example.com/token"
jwks_uri = "https://login.example.com/keys"
client_id = "wiki"
client_auth = "none"
[route.wiki]
host = "wiki.example.com"
upstream = "UPSTREAM"
allow.groups = ["staff"]
[route.wiki.paths]
"/api" = { access = "api" }
"/closed" = { access = "deny" }
"/inside" = { access = "public", allow.networks = ["10.0.0.0/8"] }
"/maybe" = { access = "optional", max_age = "5m" }
"/open" = { access = "public" }
"/recent" = { max_age = "5m" }
"#;

const NAVIGATION: &str = "sec-fetch-mode: navigate, sec-fetch-dest: document, sec-fetch-site: none, accept: text/html";
const SCRIPT: &str = "sec-fetch-mode: cors, sec-fetch-dest: empty, sec-fetch-site: same-origin, accept: */*";
const FORM: &str = "sec-fetch-mode: navigate, sec-fetch-dest: document, sec-fetch-site: same-origin, accept: text/html, content-length: 0";
const FOREIGN_SOCKET: &str = "connection: upgrade, upgrade: websocket, sec-websocket-version: 13, \
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==, origin: https://evil.example";
const BROKEN_SOCKET: &str = "connection: upgrade, upgrade: websocket, sec-websocket-version: 12, \
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

/// Method, path, fields, whose session: what is judged, and the status of the answer.
const TABLE: &[(&str, &str, &str, &str, &str, u16)] = &[
    ("GET", "/", NAVIGATION, "", "challenge: no session", 302),
    ("GET", "/", SCRIPT, "", "challenge: no session", 401),
    ("POST", "/", FORM, "", "challenge: no session", 401),
    ("GET", "/api/x", NAVIGATION, "", "challenge: no session", 401),
    ("GET", "/", NAVIGATION, "a planted cookie", "challenge: session over", 302),
    ("GET", "/", SCRIPT, "ended", "challenge: session over", 401),
    ("GET", "/", NAVIGATION, "ada", "allow ada", 200),
    ("POST", "/api/x", SCRIPT, "ada", "allow ada", 200),
    ("GET", "/", NAVIGATION, "bob", "deny group_missing", 403),
    ("GET", "/recent", NAVIGATION, "ada", "allow ada", 200),
    ("GET", "/recent", NAVIGATION, "ada, last hour", "challenge: too old", 302),
    ("POST", "/recent", FORM, "ada, last hour", "challenge: too old", 401),
    ("GET", "/maybe", NAVIGATION, "", "allow nobody", 200),
    ("GET", "/maybe", NAVIGATION, "ada", "allow ada", 200),
    ("GET", "/maybe", NAVIGATION, "ada, last hour", "allow nobody", 200),
    ("GET", "/open", NAVIGATION, "ada", "allow nobody", 200),
    ("GET", "/inside", NAVIGATION, "ada", "deny network_not_allowed", 403),
    ("GET", "/closed", NAVIGATION, "ada", "deny route_closed", 403),
    ("GET", "/%2e%2e;/closed/..%2f", NAVIGATION, "ada", "no rule: AmbiguousPath", 400),
    ("GET", "/", FOREIGN_SOCKET, "ada", "refuse WebSocketOrigin", 403),
    ("GET", "/open", BROKEN_SOCKET, "", "refuse Handshake(Version)", 426),
    ("MOVE", "/open/x", "destination: /open/y", "", "allow nobody", 200),
    ("MOVE", "/open/x", "destination: /closed/x", "", "deny route_closed", 403),
    ("MOVE", "/open/x", "destination: /x", "", "challenge: no session", 401),
    ("MOVE", "/open/x", "destination: /x", "bob", "deny group_missing", 403),
    ("MOVE", "/open/x", "destination: /x", "ada", "allow nobody", 200),
    ("COPY", "/open/x", "destination: /x", "ended", "challenge: session over", 401),
    ("COPY", "/x", "destination: /recent/x", "ada", "allow ada", 200),
    ("COPY", "/x", "destination: /recent/x", "ada, last hour", "challenge: too old", 401),
    ("COPY", "/x", "destination: /inside/x", "ada", "deny network_not_allowed", 403),
    ("MOVE", "/x", "destination: /_vestibule/session", "ada", "refuse DestinationElsewhere", 400),
    ("MOVE", "/x", "destination: https://other.example/x", "ada", "refuse DestinationElsewhere", 400),
    ("GET", "/_vestibule/session", NAVIGATION, "ada", "own session", 200),
    ("GET", "/_vestibule/none", NAVIGATION, "ada", "own none", 404),
];

#[tokio::test]
async fn what_is_judged_without_a_body_is_what_the_proxy_answers() {
    LocalSet::new().run_until(all_agree()).await;
}

async fn all_agree() {
    let upstream = RecordingUpstream::start().await;
    let stage = Stage::new(&upstream);
    for (method, path, fields, whose, judged, status) in TABLE.iter().copied() {
        let row = format!("{method} {path} {fields:?} {whose:?}");
        upstream.forget_seen();
        let (told, identity) = stage.judge(&stage.request(method, path, fields, whose)).await;
        assert_eq!(told, judged, "{row}");
        let answer = stage.answer(stage.request(method, path, fields, whose)).await;
        assert_eq!(answer.as_u16(), status, "{row}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), usize::from(told.starts_with("allow")), "{row}: only what is allowed is forwarded");
        for request in seen {
            let user = request.header("x-forwarded-user").map(str::to_owned);
            assert_eq!(user, identity, "{row}: the application gets the identity that was judged");
        }
    }
}

/// A gateway without listeners.
struct Stage {
    gateway: Arc<Gateway>,
    forwarder: Rc<Forwarder>,
    downstream: Downstream,
    reader: RequestReader,
    names: OwnCookies,
    sealer: SessionSealer,
    provider: Arc<Provider>,
    settings: vestibule::session::settings::SessionSettings,
    registry: Arc<Registry>,
    clock: Arc<ManualClock>,
}

impl Stage {
    fn new(upstream: &RecordingUpstream) -> Self {
        let text = CONFIG.replace("KEY", &key(1)).replace("UPSTREAM", &upstream.url());
        let sources = Sources { file: Some(("judgement.toml".to_owned(), text)), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|report| panic!("{}", report.render(false)));
        let clock = clock();
        let shared: SharedClock = clock.clone();
        let telemetry = Telemetry::new(&config.log, &shared).unwrap();
        let registry = Registry::new(&shared, &telemetry.metrics);
        let names = OwnCookies::new(&config.session.cookie.name, &["corp".into()]);
        let ring = Arc::new(KeyRing::new(config.keys.clone()).unwrap());
        let provider = Provider::new(config.providers[0].clone(), clock.clone()).unwrap();
        let gateway = Gateway::build(GatewayParts {
            settings: config.gateway,
            session: config.session.clone(),
            keys: KeyRing::new(config.keys).unwrap(),
            providers: config.providers.clone(),
            registry: Arc::clone(&registry),
            before: None,
            clock: shared,
            control: Control::current(),
            telemetry,
        });
        let peer = Peer::Ip(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 50_000)));
        Self {
            gateway: gateway.unwrap(),
            forwarder: Forwarder::new(0, Budget::of(100)),
            downstream: Downstream::new(peer, Some(443), None),
            reader: RequestReader::new(Vec::new(), false, true, "wiki.example.com"),
            sealer: SessionSealer::new(&config.session.cookie, &names, ring),
            names,
            provider: Arc::new(provider),
            settings: config.session,
            registry,
            clock,
        }
    }

    fn request(&self, method: &str, path: &str, fields: &str, whose: &str) -> Request<Body> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "wiki.example.com");
        for field in fields.split(", ").filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(": ").unwrap();
            request = request.header(name.trim(), value);
        }
        if let Some(cookie) = self.cookie(whose) {
            request = request.header("cookie", cookie);
        }
        request.body(Body::Empty).unwrap()
    }

    fn cookie(&self, whose: &str) -> Option<String> {
        let now = self.clock.now();
        let hours = |hours: u64| Some(UnixTime::from_secs(now.secs() - hours * 3600));
        let sealed = match whose {
            "" => return None,
            "ada" => self.sealed("ada", "staff", hours(0)),
            "ada, last hour" => self.sealed("ada", "staff", hours(1)),
            "bob" => self.sealed("bob", "guests", hours(0)),
            "ended" => {
                let session = self.session("ada", "staff", None);
                let owner = Party::subject(&session.issuer, "ada");
                self.registry.end(&session.id, owner, self.settings.lifetime);
                self.seal(&session)
            }
            planted => planted.replace(' ', "-"),
        };
        Some(format!("{}={sealed}", self.settings.cookie.name))
    }

    fn sealed(&self, subject: &str, group: &str, auth_time: Option<UnixTime>) -> String {
        self.seal(&self.session(subject, group, auth_time))
    }

    fn seal(&self, session: &Session) -> String {
        let host = Host::parse("wiki.example.com", true).unwrap();
        let site = Site { provider: &self.provider, host: &host };
        let sealed = self.sealer.seal(site, session, session.ends(&self.settings), self.clock.now());
        sealed.as_str().to_owned()
    }

    fn session(&self, subject: &str, group: &str, auth_time: Option<UnixTime>) -> Session {
        let now = self.clock.now();
        Session {
            id: SessionId::random(),
            provider: "corp".into(),
            issuer: "https://login.example.com".into(),
            created: now,
            active: now,
            auth_time,
            tokens: Tokens { access: None, refresh: None, id_token: None },
            access_issued: now,
            access_expires: None,
            generation: 0,
            asked: None,
            claims: json!({ "sub": subject, "groups": [group] }).as_object().unwrap().clone(),
            nonce: None,
            scope: None,
        }
    }

    /// The judgement in words, and the user that an application would get.
    async fn judge(&self, request: &Request<Body>) -> (String, Option<String>) {
        let now = self.clock.now();
        let headers: &HeaderMap = request.headers();
        let cookies = self.names.scan(headers);
        let meta = self.reader.read(request, &self.downstream).unwrap();
        match self.gateway.judge(&meta, &Credentials { headers, cookies: &cookies, now, span: None }).await {
            Ok(judgement) => in_words(&judgement),
            Err(NoRule::Own(endpoint)) => (format!("own {endpoint}"), None),
            Err(NoRule::Refused(fault)) => (format!("no rule: {fault:?}"), None),
        }
    }

    async fn answer(&self, mut request: Request<Body>) -> StatusCode {
        self.gateway.handle(&self.forwarder, &mut request, &self.downstream).await.status()
    }
}

fn in_words(judgement: &Judgement<'_>) -> (String, Option<String>) {
    let words = match &judgement.verdict {
        Verdict::Allow(None) => "allow nobody".to_owned(),
        Verdict::Allow(Some(principal)) => {
            let headers = principal.headers(&judgement.entry.rule);
            let user = headers.iter().find(|(name, _)| name == "x-forwarded-user");
            let user = user.map(|(_, value)| value.to_str().unwrap().to_owned());
            return (format!("allow {}", principal.identity().subject), user);
        }
        Verdict::Challenge(Challenge::SignIn(Lack::Session)) => "challenge: no session".to_owned(),
        Verdict::Challenge(Challenge::SignIn(Lack::Ended)) => "challenge: session over".to_owned(),
        Verdict::Challenge(Challenge::SignIn(Lack::Recent(_))) => "challenge: too old".to_owned(),
        Verdict::Challenge(Challenge::Outage(_)) => "challenge: outage".to_owned(),
        Verdict::Deny(vestibule::gateway::Denial::Closed) => "deny route_closed".to_owned(),
        Verdict::Deny(vestibule::gateway::Denial::Policy(reason)) => format!("deny {}", reason.code()),
        Verdict::Deny(vestibule::gateway::Denial::UserName(fault)) => format!("deny {}", fault.code()),
        Verdict::Refuse(RequestFault::Handshake(fault)) => format!("refuse Handshake({fault:?})"),
        Verdict::Refuse(fault) => format!("refuse {fault:?}"),
    };
    (words, None)
}
