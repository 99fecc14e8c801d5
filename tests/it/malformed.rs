//! Malformed input of every kind gets a clear answer with a stable reason, and the program never panics.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::idp::{Breakage, Faults, Signing};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use vestibule::app::{App, AppError};
use vestibule::clock::{Clock, MonotonicTime, UnixTime};
use vestibule::config::{Config, Sources};

use crate::harness::gateway::key;
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_answered_with_a_code_and_logged_with_a_reason() {
    let folder = TempDir::new().unwrap();
    let log = format!("log.access = '{}/access'", folder.path().display());
    let Scene { idp: _idp, upstream, gateway, .. } = Scene::with(&log).await;
    let cases = malformed_requests(gateway.authority());
    let mut wanted = Vec::new();
    for (request, status, reason) in cases {
        let answer = Raw::once(gateway.address, &request).await;
        let line = request.lines().next().unwrap_or_default().chars().take(80).collect::<String>();
        assert_eq!(answer.status, status, "{line}: {}", answer.text());
        assert!(answer.text().contains("VB-"), "{line} has no code: {}", answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{line}");
        // AT-CL-09
        for detail in [env!("CARGO_PKG_VERSION"), "src/", "hyper", &upstream.address.to_string()] {
            assert!(!answer.head.contains(detail) && !answer.text().contains(detail), "{line}: {detail}");
        }
        wanted.push((u64::from(status), reason));
    }
    assert!(upstream.seen().is_empty());
    gateway.stop().await;
    let text = fs::read_to_string(folder.path().join("access")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["request_id"].as_str().is_some_and(|id| !id.is_empty())), "{text}");
    // Lines of different connections may stand in another order.
    let mut found: Vec<_> = lines.iter().map(|line| (line["status"].as_u64(), line["reason"].as_str())).collect();
    let mut wanted: Vec<_> = wanted.iter().map(|(status, reason)| (Some(*status), Some(*reason))).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_of_a_provider_end_the_sign_in_with_a_code_and_a_reason() {
    let folder = TempDir::new().unwrap();
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with(&format!("log.access = '{}/access'", folder.path().display()))
        .with("[provider.idp]\njwks_min_interval = '0s'\nuserinfo = 'always'")
        .start()
        .await;
    for (ruin, reason) in MALFORMED_ANSWERS {
        idp.heal();
        idp.break_with(ruin);
        let page = gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
        // What may pass by itself is an outage.
        let status = if reason.starts_with("provider_") { 503 } else { 502 };
        assert_eq!(page.status, status, "{reason}: {}", page.text());
        assert!(page.text().contains("VB-") && page.names(reason), "{reason}: {}", page.text());
    }
    idp.heal();
    assert_eq!(gateway.browser().signs_in(&gateway.url("/"), "Ada").await.status, 200);
    gateway.stop().await;
    let text = fs::read_to_string(folder.path().join("access")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = lines.filter(|line| line["path"] == "/_vestibule/callback" && line["status"] != 303);
    let mut found: Vec<String> = failed.map(|line| line["reason"].as_str().unwrap_or("none").to_owned()).collect();
    let mut wanted = MALFORMED_ANSWERS.map(|(_, reason)| reason.to_owned());
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_mutated_requests_cost_no_worker() {
    // AT-CL-15
    let folder = TempDir::new().unwrap();
    let log = format!("log.access = '{}/access'", folder.path().display());
    let limits = "[server]\nworkers = 1\ntrusted_proxies = ['127.0.0.0/8']\n[server.limits]\nheader_time = '1s'\nidle_time = '1s'";
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } =
        Scene::built(|gateway| gateway.with(&log).with(limits)).await;
    let browser = gateway.browser();
    let signed_in = browser.signs_in(&gateway.url("/"), "Ada").await;
    let callback = signed_in.hop("/callback?").url.clone();
    let cookie = browser.cookie(&gateway.url("/"), "vestibule").unwrap();
    let seeds = seeds(gateway.authority(), &cookie, &callback[url::Position::BeforePath..]);
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let requests: Vec<_> = (0..ROUNDS).map(|round| noise.mutated(&seeds[round % seeds.len()])).collect();
    // Many at once, since those that are never complete wait for their limit.
    let asks = stream::iter(requests).map(async |request| {
        let mut connection = gateway.raw().await;
        connection.send(&request).await;
        let answer = timeout(LIMIT, connection.any_answer("GET")).await;
        let answer = answer.unwrap_or_else(|_| panic!("no end:\n{}", String::from_utf8_lossy(&request)));
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 500) {
            panic!("{}\n{}", String::from_utf8_lossy(&request), answer.text());
        }
        usize::from(answer.is_some())
    });
    let answered: usize = asks.buffer_unordered(100).fold(0, async |sum, one| sum + one).await;
    assert!(answered > ROUNDS / 2, "only {answered} answers: the noise does not reach the gateway");
    assert_eq!(browser.asks(&gateway.url("/after")).await.status, 200, "the only worker lives");
    gateway.stop().await;
    let text = fs::read_to_string(folder.path().join("access")).unwrap();
    assert!(!text.contains("panicked"), "{}", text.lines().find(|line| line.contains("panicked")).unwrap_or_default());
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_noise_costs_no_worker() {
    // AT-CL-15
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::with("server.workers = 1").await;
    let mut noise = Noise(0xd1b5_4a32_d192_ed03);
    for _ in 0..ROUNDS / 6 {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for _ in 0..noise.below(6) {
            // A frame whose length is true, and the rest is not.
            let length = noise.below(40);
            bytes.extend([
                0,
                0,
                u8::try_from(length).unwrap(),
                noise.byte() % 12,
                noise.byte(),
                0,
                0,
                0,
                noise.byte() % 8,
            ]);
            bytes.extend((0..length).map(|_| noise.byte()));
        }
        let mut connection = gateway.raw().await;
        connection.send(bytes).await;
        connection.rest().await;
    }
    let http2 = gateway.browser().over_http2();
    assert_eq!(http2.signs_in(&gateway.url("/"), "Ada").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_request_and_neither_its_connection_nor_a_word_of_what_it_said() {
    // AT-CL-15, AT-CL-09
    let folder = TempDir::new().unwrap();
    let text = TRAPPED.replace("KEY", &key(1)).replace("FOLDER", &folder.path().display().to_string());
    let config = Config::load(&Sources { file: Some(("a.toml".to_owned(), text)), ..Sources::default() }).unwrap();
    let trap = Arc::new(Trap::default());
    let app = App::start(config, trap.clone()).await.unwrap();
    let mut connection = Raw::connect(app.traffic_addresses()[0]).await;
    let request = "GET / HTTP/1.1\r\nHost: wiki.example.com\r\n\r\n";
    let mut answers = Vec::new();
    for is_set in [false, true, false] {
        trap.set.store(is_set, Ordering::SeqCst);
        connection.send(request).await;
        answers.push(connection.answer("GET").await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [204, 500, 204]);
    let page = answers[1].text();
    assert!(page.contains("VB-5") && !page.contains("hunter2") && !page.contains("src/"), "{page}");
    app.shutdown().await;
    let log = fs::read_to_string(folder.path().join("access")).unwrap();
    let line = log.lines().find(|line| line.contains("\"panicked\"")).unwrap_or_else(|| panic!("{log}"));
    let line: Value = serde_json::from_str(line).unwrap();
    assert!(page.contains(line["request_id"].as_str().unwrap()), "{line} {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_ours_in_a_reload_leaves_the_old_configuration_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let text = TRAPPED.replace("KEY", &key(1)).replace("FOLDER", &folder.path().display().to_string());
    let config = |text: String| {
        Config::load(&Sources { file: Some(("a.toml".to_owned(), text)), ..Sources::default() }).unwrap()
    };
    let trap = Arc::new(Trap::default());
    let app = App::start(config(text.clone()), trap.clone()).await.unwrap();
    let new = config(text.replace("static:204", "static:205"));
    let mut connection = Raw::connect(app.traffic_addresses()[0]).await;
    for (is_set, refused, status) in [(true, true, 204), (true, true, 204), (false, false, 205)] {
        trap.set.store(is_set, Ordering::SeqCst);
        let taken = app.reload(&new);
        assert_eq!(matches!(taken, Err(AppError::Panicked)), refused, "{taken:?}");
        assert_eq!(taken.is_ok(), !refused, "{taken:?}");
        connection.send("GET / HTTP/1.1\r\nHost: wiki.example.com\r\n\r\n").await;
        assert_eq!(connection.answer("GET").await.status, status);
    }
    app.shutdown().await;
}

/// A clock that panics once when it was set to: a fault in the middle of a request, or of a reload.
#[derive(Debug, Default)]
struct Trap {
    set: AtomicBool,
}

impl Clock for Trap {
    fn now(&self) -> UnixTime {
        assert!(!self.set.swap(false, Ordering::SeqCst), "hunter2");
        UnixTime::from_secs(1_767_225_600)
    }

    fn monotonic(&self) -> MonotonicTime {
        assert!(!self.set.swap(false, Ordering::SeqCst), "hunter2");
        MonotonicTime::default()
    }
}

/// Requests, each wrong in one way, with the status and the reason that they get.
fn malformed_requests(host: &str) -> Vec<(String, u16, &'static str)> {
    let long = "a".repeat(9000);
    vec![
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "host_missing"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), 400, "host_repeated"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400, "host_invalid"),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned(), 400, "host_invalid"),
        (format!("GET ftp://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "target_form"),
        (format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "target_form"),
        (format!("GET /%00 HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "path_control_character"),
        (format!("GET /%zz HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "path_broken_escape"),
        (format!("GET /%c0%ae HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "path_overlong"),
        (format!("GET /%2f{long} HTTP/1.1\r\nHost: {host}\r\n\r\n"), 414, "path_too_long"),
        (format!("TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 405, "method_refused"),
        (format!("GET /_vestibule/callback HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "state_missing"),
        (format!("GET /_vestibule/callback?state=x&code=y HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "state_unknown"),
        (
            format!("GET /_vestibule/callback?code=a&code=b&state=x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            400,
            "callback_malformed",
        ),
        (
            format!("PUT /_vestibule/callback?code=a&state=x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            405,
            "method_not_allowed",
        ),
        (format!("GET /_vestibule/nothing HTTP/1.1\r\nHost: {host}\r\n\r\n"), 404, "not_found"),
        (
            format!(
                "GET /_vestibule/login?provider=x HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n"
            ),
            400,
            "provider_unknown",
        ),
        (
            format!(
                "POST /_vestibule/logout HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
            ),
            400,
            "bad_form",
        ),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule=rubbish\r\n\r\n"), 401, "session_ended"),
    ]
}

/// Honest requests that reach every parser.
fn seeds(host: &str, cookie: &str, callback: &str) -> Vec<Vec<u8>> {
    let seeds = [
        format!("GET /a/b/../c%2Fd;p?x=%41#f HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: a=b; vestibule={cookie}; c=d\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule~1={cookie}; vestibule~2={cookie}; vestibule.rounds=2\r\n\r\n"
        ),
        format!("GET {callback} HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule.login.abcdefgh={cookie}\r\n\r\n"),
        format!("GET {callback}&iss=x&error=y&error_description=%C3%28 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!(
            "GET /_vestibule/login?rd=https%3A%2F%2F{host}%2F%5C&provider=idp HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n"
        ),
        format!(
            "POST /_vestibule/logout HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\nswitch=1&rd"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nForwarded: for=\"[2001:db8::1]:80\";proto=https;host=a, for=_x\r\nX-Forwarded-For: 1.2.3.4, ::1\r\nX-Forwarded-Proto: https\r\n\r\n"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {host}, b\r\nX-Forwarded-Port: 65536\r\nX-Request-Id: abc\r\nVia: 1.1 x, 2 y\r\n\r\n"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, X-A, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTE: trailers;q=0.5\r\nMax-Forwards: 3\r\n\r\n"
        ),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule={cookie}\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\nbaggage: x=y\r\nExpect: 100-continue\r\n\r\n"
        ),
        format!(
            "POST /x HTTP/1.1\r\nHost: {host}\r\nCookie: vestibule={cookie}\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"
        ),
        format!(
            "GET http://{host}/abs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer a.b.c\r\nReferer: http://{host}/\r\n\r\n"
        ),
    ];
    seeds.map(String::into_bytes).to_vec()
}

/// The same noise at each run.
struct Noise(u64);

impl Noise {
    /// xorshift64
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// One to four changes behind the method, most of them where parsers look.
    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = 4 + self.below(bytes.len().saturating_sub(4));
            match self.below(6) {
                0 => bytes[at] = self.byte(),
                1 => bytes[at] ^= 1 << self.below(7),
                2 => drop(bytes.remove(at)),
                3 => {
                    let piece = PIECES[self.below(PIECES.len())];
                    drop(bytes.splice(at..at, piece.iter().copied()));
                }
                4 => {
                    let end = (at + self.below(30)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = 4 + self.below(bytes.len() - 4);
                    drop(bytes.splice(to..to, piece));
                }
                _ => {
                    let end = (at + self.below(20)).min(bytes.len());
                    drop(bytes.drain(at..end));
                }
            }
        }
        bytes
    }
}

type Ruin = fn(&mut Faults);

/// Tokens, token responses and userinfo that no provider should give, and the reasons that they get.
const MALFORMED_ANSWERS: [(Ruin, &str); 15] = [
    (|faults| faults.token.break_with(Breakage::Html), "answer_content_type"),
    (|faults| faults.token.break_with(Breakage::Truncated), "provider_connection_broken"),
    (|faults| faults.token.break_with(Breakage::Padded(2 << 20)), "provider_answer_too_large"),
    (|faults| _ = faults.token.members.remove("access_token"), "answer_access_token"),
    (|faults| _ = faults.token.members.set("token_type", "mac"), "answer_token_type"),
    (|faults| _ = faults.token.members.set("expires_in", "soon"), "answer_expires_in"),
    (|faults| _ = faults.token.members.set("id_token", 7), "answer_id_token"),
    (|faults| faults.id_token.signing = Signing::Text("a.b.c".to_owned()), "jwt_malformed"),
    (|faults| faults.id_token.signing = Signing::Payload("[]".to_owned()), "jwt_claims"),
    (|faults| faults.id_token.signing = Signing::Unsigned, "jwt_alg_unknown"),
    (|faults| faults.id_token.signing = Signing::Flipped, "id_token_signature"),
    (|faults| _ = faults.id_token.claims.set("exp", "later"), "id_token_time"),
    (|faults| _ = faults.id_token.claims.set("aud", 7), "id_token_aud_missing"),
    (|faults| _ = faults.id_token.header.set("crit", "x"), "jwt_crit"),
    (|faults| _ = faults.userinfo.members.set("sub", 7), "userinfo_subject"),
];

const TRAPPED: &str = "
[server]
listen = '127.0.0.1:0'
public_url = 'https://wiki.example.com'
[admin]
listen = []
[log]
access = 'FOLDER/access'
audit = 'off'
[session]
keys = ['KEY']
[provider.idp]
issuer = 'https://login.example.com'
client_id = 'wiki'
client_secret = 'secret'
[route.app]
upstream = 'static:204'
access = 'public'
";

const PIECES: [&[u8]; 24] = [
    b"%",
    b"%00",
    b"%2e%2e",
    b"%2f",
    b"%5c",
    b"//",
    b"/../",
    b"\\",
    b";",
    b"=",
    b"\"",
    b",",
    b"[",
    b"]:",
    b":99999",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"~1",
    b"~99999999999999999999",
    b".login.",
    b"--",
    b"\t",
    b" ",
];
/// No limit of the gateway is longer than a tenth of it.
const LIMIT: Duration = Duration::from_secs(12);
const ROUNDS: usize = 3000;
