//! No secret is ever seen where it does not belong: the real program at the highest log level, every flow, then a search.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::idp::{Breakage, Faults, Signing};
use crate::harness::idp::{IdpSettings, paths};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use vestibule::clock::ManualClock;

use crate::harness::browser::{Ask, Page};
use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::program::{HOST, clock_of_today};
use crate::harness::{Browser, Program, RecordingUpstream, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_log_metric_or_page() {
    // AT-CL-08
    let (mut stage, mut seen) = (Stage::set().await, Seen::default());
    stage.visits(&mut seen).await;
    stage.failed_sign_ins(&mut seen).await;
    stage.failed_renewals(&mut seen).await;
    stage.refused_configurations().await;
    let metrics = stage.program.admin_text("/metrics").await;
    stage.program.signals("TERM");
    assert_eq!(stage.program.exit().await, 0);

    seen.provider(&stage.idp);
    let process = stage.program.errors().join("\n");
    assert!(process.contains("TRACE") && process.contains("h2::"), "the log is at its highest level");
    let read = |name: &str| fs::read_to_string(stage.program.path(name)).unwrap();
    let (access, audit, pages) = (read("access"), read("audit"), seen.pages.join("\n"));
    assert!(access.lines().count() > 30 && audit.lines().count() > 10, "{access}{audit}");
    let secrets = seen.secrets();
    for (place, text) in [
        ("process log", &process),
        ("access log", &access),
        ("audit log", &audit),
        ("metrics", &metrics),
        ("pages", &pages),
    ] {
        for (what, secret) in &secrets {
            let Some(at) = text.find(secret.as_str()) else { continue };
            let before: Vec<char> = text[..at].chars().rev().take(200).collect();
            panic!("a {what} is in the {place}, behind: {}", before.iter().rev().collect::<String>());
        }
    }
}

/// The real program between a provider and an application.
struct Stage {
    program: Program,
    config: String,
    idp: TestIdp,
    clock: Arc<ManualClock>,
    origin: String,
    address: SocketAddr,
    _upstream: RecordingUpstream,
}

impl Stage {
    async fn set() -> Self {
        let clock = clock_of_today();
        // Tokens that say expires_in = 0: each request renews them.
        let access_life = Some(Duration::from_millis(500));
        let idp = TestIdp::sharing(IdpSettings { access_life, ..IdpSettings::default() }, clock.clone()).await;
        let upstream = RecordingUpstream::start().await;
        let config = CONFIG
            .replace("KEY", &key(1))
            .replace("ISSUER", idp.issuer())
            .replace("CLIENT", CLIENT_ID)
            .replace("SECRET", CLIENT_SECRET)
            .replace("UPSTREAM", &upstream.url());
        let program = Program::running(&config).await;
        let (origin, address) = (format!("https://{HOST}"), program.address().await);
        let own = |endpoint: &str| format!("{origin}/_vestibule/{endpoint}");
        idp.allow_return_to(CLIENT_ID, &own("callback"), &own("signed-out"));
        Self { program, config, idp, clock, origin, address, _upstream: upstream }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.clock.clone()).resolving(&self.origin, self.address)
    }

    fn own(&self, endpoint: &str) -> String {
        format!("{}/_vestibule/{endpoint}", self.origin)
    }

    /// A sign-in, two renewals, what a client may bring along, who am I, and a sign-out; over both versions of HTTP.
    async fn visits(&self, seen: &mut Seen) {
        for browser in [self.browser(), self.browser().over_http2()] {
            let browser = browser
                .sending("x-api-key", "k3y-of-the-client")
                .sending("proxy-authorization", "Basic cHJveHk6cHJveHk=");
            seen.page(&browser.signs_in(&format!("{}/wiki", self.origin), "Ada").await);
            for _ in 0..2 {
                let ask = Ask::navigation(&format!("{}/again", self.origin));
                let ask = ask.with("authorization", "Bearer t0ken-of-the-client");
                seen.page(&browser.does(ask.with("cookie", "app=c00kie-of-the-application")).await);
            }
            seen.page(&browser.opens(&self.own("session")).await);
            let ask = Ask::navigation(&self.own("session"));
            seen.page(&browser.does(ask.with("accept", "application/json")).await);
            self.signs_out(&browser, seen).await;
        }
    }

    async fn signs_out(&self, browser: &Browser, seen: &mut Seen) {
        let confirm = browser.opens(&self.own("logout")).await;
        seen.page(&confirm);
        seen.page(&browser.submits(&confirm, "logout", &[]).await);
        seen.cookies(browser);
    }

    async fn failed_sign_ins(&self, seen: &mut Seen) {
        let (page, callback) = (format!("{}/fails", self.origin), self.own("callback"));
        let mut statuses = Vec::new();
        for ruin in SIGN_INS {
            self.idp.heal();
            self.idp.break_with(ruin);
            let browser = self.browser();
            let ended = browser.signs_in(&page, "Grace").await;
            statuses.push(ended.status);
            assert!(ended.status != 200 || ended.url.as_str() == page, "{}", ended.text());
            seen.page(&ended);
            // And the same callback again, and in another browser.
            let urls = ended.hops.iter().map(|hop| hop.url.as_str()).chain([ended.url.as_str()]);
            for again in urls.filter(|url| url.starts_with(&callback)) {
                seen.page(&browser.opens(again).await);
                seen.page(&self.browser().opens(again).await);
            }
            seen.cookies(&browser);
        }
        let wanted = [502, 502, 503, 503, 502, 502, 502, 502, 502, 502, 502, 502, 503, 400, 502, 200];
        assert_eq!(statuses, wanted);
        let forged = format!("{callback}?code=c0de-of-nobody&state=st4te-of-nobody&session_state=x");
        let forger = self.browser().sending("cookie", "__Host-vestibule=c00kie-of-nobody-at-all");
        seen.page(&forger.opens(&forged).await);
    }

    async fn failed_renewals(&self, seen: &mut Seen) {
        for ruin in RENEWALS {
            self.idp.heal();
            let (browser, page) = (self.browser(), format!("{}/later", self.origin));
            seen.page(&browser.signs_in(&page, "Ada").await);
            self.idp.break_with(ruin);
            seen.page(&browser.asks(&page).await);
            self.signs_out(&browser, seen).await;
        }
    }

    /// A configuration that is refused is shown, with the secrets in it masked.
    async fn refused_configurations(&self) {
        self.program.configure(&self.config.replace("[route.app]", "[route.app]\nnonsense = 1"));
        self.program.signals("HUP");
        self.program.wrote("the new configuration is not taken").await;
        let (plain, listed) = (format!("'{CLIENT_SECRET}'"), format!("['{CLIENT_SECRET}']"));
        self.program.configure(&self.config.replace(&plain, &listed));
        self.program.signals("HUP");
        self.program.wrote("VB-0003").await;
    }
}

/// Everything secret that went over some wire, and every page of the gateway's own.
#[derive(Default)]
struct Seen {
    secrets: BTreeSet<(&'static str, String)>,
    pages: Vec<String>,
}

impl Seen {
    fn page(&mut self, page: &Page) {
        let answers = page.hops.iter().map(|hop| (&hop.url, &hop.headers)).chain([(&page.url, &page.headers)]);
        // The provider's own cookie never comes near the gateway; its value is the `sid` that audit logs are for.
        for (_, headers) in answers.filter(|(url, _)| url.host_str() == Some(HOST)) {
            for cookie in headers.get_all("set-cookie") {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap_or_default();
                self.add("cookie", pair.split_once('=').map_or("", |(_, value)| value));
            }
        }
        for url in page.hops.iter().map(|hop| &hop.url).chain([&page.url]) {
            for (name, value) in url.query_pairs() {
                if matches!(&*name, "code" | "state" | "nonce" | "id_token_hint") {
                    self.add("parameter", &value);
                }
            }
        }
        // The application shows what it was sent; that is between it and the client.
        if page.header("content-type") != Some("application/json") || page.url.path().starts_with("/_vestibule") {
            self.pages.push(page.text());
        }
    }

    fn cookies(&mut self, browser: &Browser) {
        for cookie in browser.cookies().into_iter().filter(|cookie| cookie.domain == HOST) {
            self.add("cookie", &cookie.value);
        }
    }

    /// What the provider was sent; it gave nothing that did not come back to it at some time.
    fn provider(&mut self, idp: &TestIdp) {
        for request in idp.seen() {
            for (name, value) in request.form().into_iter().chain(request.query_pairs()) {
                match name.as_str() {
                    "code" => self.add("code", &value),
                    "code_verifier" => self.add("verifier", &value),
                    "refresh_token" => self.add("refresh token", &value),
                    "token" => self.add("revoked token", &value),
                    "state" => self.add("state", &value),
                    "id_token_hint" => self.add("ID token", &value),
                    _ => {}
                }
            }
            if let Some(credentials) = request.header("authorization").and_then(|value| value.split_once(' ')) {
                self.add(if request.path == paths::USERINFO { "access token" } else { "client proof" }, credentials.1);
            }
        }
    }

    fn add(&mut self, what: &'static str, secret: &str) {
        // Shorter ones (a counter, a deletion) are no secrets.
        if secret.len() >= 10 {
            self.secrets.insert((what, secret.to_owned()));
        }
    }

    fn secrets(&self) -> BTreeSet<(&'static str, String)> {
        let mut all = self.secrets.clone();
        for what in ["cookie", "code", "verifier", "refresh token", "access token", "ID token", "state", "client proof"]
        {
            assert!(all.iter().any(|(known, _)| *known == what), "no {what} was seen at all");
        }
        let bytes = STANDARD.decode(key(1)).unwrap();
        let encoded: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
        let client = ["k3y-of-the-client", "cHJveHk6cHJveHk=", "t0ken-of-the-client", "c00kie-of-the-application"];
        let made = [
            CLIENT_SECRET.to_owned(),
            encoded,
            key(1),
            URL_SAFE_NO_PAD.encode(&bytes),
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ];
        all.extend(made.into_iter().map(|secret| ("configured secret", secret)));
        all.extend(client.map(|secret| ("secret of the client", secret.to_owned())));
        all.extend(["c0de-of-nobody", "st4te-of-nobody", "c00kie-of-nobody"].map(|it| ("guess", it.to_owned())));
        all
    }
}

/// What can go wrong with a sign-in.
const SIGN_INS: [fn(&mut Faults); 16] = [
    |faults| faults.token.break_with(Breakage::oauth_error("invalid_grant")),
    |faults| faults.token.break_with(Breakage::oauth_error("invalid_client")),
    |faults| faults.token.break_with(Breakage::AnswerLost),
    |faults| faults.token.break_with(Breakage::Truncated),
    |faults| faults.token.break_with(Breakage::Html),
    |faults| {
        faults.token.members.remove("token_type");
    },
    |faults| faults.id_token.signing = Signing::Flipped,
    |faults| faults.id_token.signing = Signing::Unsigned,
    |faults| faults.id_token.signing = Signing::Text("not.a.token".to_owned()),
    |faults| {
        faults.id_token.claims.set("nonce", "another");
    },
    |faults| {
        faults.id_token.claims.shift("exp", -7200);
    },
    |faults| faults.userinfo.break_with(Breakage::Status(401)),
    |faults| faults.userinfo.break_with(Breakage::Reset),
    |faults| {
        faults.callback.params.set("iss", "https://evil.example");
    },
    |faults| faults.callback.error = Some(("server_error".to_owned(), Some("it broke".to_owned()))),
    |faults| faults.key_set.break_with(Breakage::Status(500)),
];

/// What can go wrong afterwards.
const RENEWALS: [fn(&mut Faults); 3] = [
    |faults| faults.refresh.break_with(Breakage::Status(503)),
    |faults| faults.refresh.break_with(Breakage::oauth_error("invalid_grant")),
    |faults| faults.revocation.break_with(Breakage::Status(500)),
];

const CONFIG: &str = "
[server]
listen = '127.0.0.1:0'
public_url = 'https://wiki.example.com'

[admin]
listen = '127.0.0.1:0'

[log]
level = 'trace'
format = 'json'
access = './access'
audit = './audit'

[session]
keys = ['KEY']

[provider.idp]
issuer = 'ISSUER'
client_id = 'CLIENT'
client_secret = 'SECRET'
userinfo = 'always'
jwks_min_interval = '0s'

[route.app]
upstream = 'UPSTREAM'
";
