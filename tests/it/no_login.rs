//! Networks that need no sign-in: who passes from there, as whom, and who only says to come from there.

use std::fs;

use crate::harness::browser::Ask;
use crate::harness::frames::{Fate, get};
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Authority, Frames, Raw, Scene};

/// The loopback addresses that tests come from need no sign-in.
const FROM_HERE: &str = "[route.app]\nno_login_from = ['127.0.0.0/8', '::1']";
/// A proxy on loopback, and an office behind it.
const OFFICE: &str = "[server]\ntrusted_proxies = ['127.0.0.0/8', '172.16.0.0/12']\n[route.app]\nno_login_from = ['10.2.0.0/16', '2001:db8:2::/48']";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Whether a navigation without a session passes, looked at from all sides: it does, without an identity, or it is sent to sign in
/// and the application never hears of it.
async fn passes(scene: &Scene, path: &str, fields: &str) -> bool {
    scene.forget_seen();
    let answer = scene.sends("GET", path, &format!("Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n{fields}")).await;
    match answer.status {
        200 => {
            let seen = scene.upstream.only_request();
            for name in
                ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username"]
            {
                assert!(seen.all(name).is_empty(), "{fields}: {}", seen.head);
            }
            assert_eq!(answer.header("set-cookie"), None, "{fields}");
            assert_eq!(answer.header("cache-control"), Some("private"), "{fields}");
            scene.upstream.forget_seen();
            scene.assert_nobody_was_asked(fields);
            true
        }
        302 => {
            assert!(scene.upstream.seen().is_empty(), "{fields}: {:?}", scene.upstream.seen());
            false
        }
        status => panic!("{path} {fields}: {status}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_from_there_passes_as_nobody_and_with_a_session_as_themselves() {
    let toml = format!(
        "{FROM_HERE}\nallow.groups = ['admins']\npaths = {{ '/admin' = {{ allow.groups = ['owners'] }}, '/login' = {{ access = 'login' }}, \
         '/recent' = {{ max_age = '1m' }}, '/headers' = {{ identity = 'remote-user' }}, '/own' = {{ access = 'api', no_login_from = '127.0.0.1' }} }}"
    );
    let scene = Scene::with(&toml).await;
    for (path, open) in [
        ("/", true),
        ("/x?y=1", true),
        ("/headers", true),
        ("/admin", false),
        ("/admin/x", false),
        ("/login", false),
        ("/recent", false),
    ] {
        assert_eq!(passes(&scene, path, "Remote-User: evil\r\nX-WebAuth-User: evil\r\n").await, open, "{path}");
    }
    assert_eq!(scene.sends("GET", "/own", "").await.status, 200);
    assert_eq!(scene.sends("POST", "/x", "Content-Length: 0\r\n").await.status, 200);
    assert_eq!(scene.sends("GET", "/admin", "").await.status, 401);
    // People may sign in all the same. Ada is herself; Grace, who is no administrator, passes as nobody.
    for (person, user) in [("Ada", vec!["248289761001"]), ("Grace", vec![])] {
        let session = scene.session_of(person).await;
        let answer = scene.sends("GET", "/", &session).await;
        assert_eq!((answer.status, scene.upstream.last_request().all("x-forwarded-user")), (200, user), "{person}");
    }
    let session = scene.session_of("Grace").await;
    assert_eq!(scene.sends("GET", "/admin", &session).await.status, 403);
    assert!(scene.upstream.seen().is_empty());
    // A session that is over, or made up, is none.
    assert_eq!(scene.sends("GET", "/", "Cookie: vestibule=AAAA\r\n").await.status, 200);
    assert_eq!(scene.upstream.only_request().header("cookie"), None);
    scene.upstream.forget_seen();
    scene.assert_nobody_was_asked("nobody signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_provider_is_away_is_none_there() {
    let scene = Scene::signed_in_with(FROM_HERE).await;
    scene.idp.break_with(|faults| faults.token.break_with(crate::harness::idp::Breakage::Reset));
    scene.later(70);
    assert_eq!(scene.asks("/").await.status, 200);
    assert!(scene.upstream.only_request().all("x-forwarded-user").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn allow_networks_goes_on_narrowing() {
    let scene = Scene::with(&format!("{FROM_HERE}\nallow.networks = ['10.0.0.0/8']")).await;
    for fields in ["", "X-Forwarded-For: 10.0.0.1\r\n"] {
        let answer = scene.sends("GET", "/", fields).await;
        assert!([401, 403].contains(&answer.status), "{fields} {}", answer.status);
        scene.assert_nobody_was_asked(fields);
    }
    assert_eq!(scene.sends("GET", "/", "").await.status, 403);
    let scene = Scene::with(&format!("{FROM_HERE}\nallow.networks = ['127.0.0.1']")).await;
    assert!(passes(&scene, "/", "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_a_proxy_that_nobody_named_never_counts() {
    // FW-06, AT-HS-13
    listen();
    let scene = Scene::with(FROM_HERE).await;
    assert!(passes(&scene, "/", "").await);
    for field in [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-For:",
        "x-forwarded-for: 203.0.113.9\r\nX-Forwarded-For: 127.0.0.1",
        "Forwarded: for=127.0.0.1",
        "Forwarded: for=\"[::1]\"",
        "Forwarded: garbage",
        "Via: 1.1 squid",
        "VIA: 2 a, 1.1 b",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: wiki.example.com",
        "X_Forwarded_For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "X-Client-IP: 127.0.0.1",
        "True-Client-IP: 127.0.0.1",
        "CF-Connecting-IP: 127.0.0.1",
        "Fastly-Client-IP: 127.0.0.1",
        "X-Original-Forwarded-For: 127.0.0.1",
        "X-Envoy-External-Address: 127.0.0.1",
        "CDN-Loop: cdn",
    ] {
        assert!(!passes(&scene, "/", &format!("{field}\r\n")).await, "{field}");
    }
    // What ordinary clients send is no proxy's.
    for field in [
        "X-Request-Id: 1",
        "Authorization: Basic eDp5",
        "X-Requested-With: XMLHttpRequest",
        "Traceparent: x",
        "Origin: null",
    ] {
        assert!(passes(&scene, "/", &format!("{field}\r\n")).await, "{field}");
    }
    let host = scene.gateway.authority().to_owned();
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.asks(&get(&host, "/")).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    let with_via: Vec<_> = get(&host, "/").into_iter().chain([("via", "1.1 squid")]).collect();
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.asks(&with_via).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_nobody_named_is_warned_of_once() {
    listen();
    // An address of this test alone, for its lines.
    let scene = Scene::with("[route.app]\nno_login_from = ['127.77.0.0/16']").await;
    let sends = async |fields: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.77.0.9:0".parse().unwrap()).unwrap();
        let mut raw = Raw::over(socket.connect(scene.gateway.address).await.unwrap());
        raw.send(scene.request("GET", "/", fields)).await;
        raw.answer("GET").await.status
    };
    let told = || lines_with(&["proxy_not_named", "127.77.0.9"]);
    assert_eq!((sends("").await, told().len()), (200, 0));
    for _ in 0..3 {
        assert_eq!(sends("Via: 1.1 squid\r\nX-Forwarded-For: 127.77.0.1\r\n").await, 401);
    }
    let told = told();
    assert!(matches!(told.as_slice(), [line] if line.contains("WARN") && line.contains("via")), "{told:?}");
    assert_eq!(scene.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_address_is_the_one_that_it_names() {
    // FW-03, FW-06, AT-HS-13
    let scene = Scene::with(OFFICE).await;
    for (fields, open) in [
        ("", false),
        ("X-Forwarded-For: 10.2.3.4", true),
        ("X-Forwarded-For: 10.2.3.4:4711", true),
        ("X-Forwarded-For: ::ffff:10.2.3.4", true),
        ("X-Forwarded-For: 2001:db8:2::7", true),
        ("X-Forwarded-For: 10.2.3.4, 172.16.0.1", true),
        ("X-Forwarded-For: 10.2.3.4\r\nX-Forwarded-For: 172.16.0.1", true),
        ("X-Forwarded-For: 10.2.3.4\r\nVia: 1.1 nginx\r\nX-Real-IP: 10.2.3.4\r\nX-Forwarded-Proto: https", true),
        ("Forwarded: for=10.2.3.4", true),
        ("Forwarded: for=\"[::ffff:10.2.3.4]:80\"", true),
        ("X-Forwarded-For: 10.2.3.4\r\nForwarded: for=10.2.3.4", true),
        ("X-Forwarded-For: , 10.2.3.4", true),
        ("X-Forwarded-For: 10.3.3.4", false),
        ("X-Forwarded-For: 203.0.113.9", false),
        // What a stranger wrote stands left of the stranger.
        ("X-Forwarded-For: 10.2.3.4, 203.0.113.9", false),
        ("X-Forwarded-For: 10.2.3.4\r\nX-Forwarded-For: 203.0.113.9", false),
        ("X-Forwarded-For: 10.2.3.4, 203.0.113.9, 172.16.0.1", false),
        ("Forwarded: for=10.2.3.4, for=203.0.113.9", false),
        // Somebody at an address of the office names somebody else: a proxy that nobody named.
        ("X-Forwarded-For: 203.0.113.9, 10.2.3.4", false),
        ("X-Forwarded-For: unknown, 10.2.3.4", false),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.2.3.4, 172.16.0.1", false),
        ("Forwarded: for=203.0.113.9, for=10.2.3.4", false),
        // Addresses of trusted proxies, and no address at all.
        ("X-Forwarded-For: 172.16.0.1", false),
        ("X-Forwarded-For: 127.0.0.1", false),
        ("X-Forwarded-For: unknown", false),
        ("X-Forwarded-For: 10.2.3.4, unknown", false),
        ("Forwarded: for=_hidden", false),
        // Fields that are not read.
        ("X-Real-IP: 10.2.3.4", false),
        ("True-Client-IP: 10.2.3.4", false),
        ("X-Client-IP: 10.2.3.4\r\nX-Forwarded-For: 203.0.113.9", false),
        ("X_Forwarded_For: 10.2.3.4", false),
    ] {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        assert_eq!(passes(&scene, "/", &fields).await, open, "{fields}");
    }
    // Two fields that name two clients are refused as they are everywhere.
    let answer = scene.sends("GET", "/", "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=10.2.3.4\r\n").await;
    assert_eq!(answer.status, 400);
    scene.assert_nobody_was_asked("two clients");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_on_a_unix_socket_has_no_address_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for (trusted, networks, fields, status) in [
        ("'192.0.2.1'", "127.0.0.0/8", "", 401),
        ("'192.0.2.1'", "127.0.0.0/8", "X-Forwarded-For: 127.0.0.1\r\n", 401),
        ("'unix'", "127.0.0.0/8", "", 401),
        ("'unix'", "10.2.0.0/16", "X-Forwarded-For: 10.2.0.1\r\n", 200),
        ("'unix'", "10.2.0.0/16", "X-Forwarded-For: 10.2.0.1, 203.0.113.9\r\n", 401),
    ] {
        let path = folder.path().join(format!("{}.sock", trusted.len() + fields.len() + networks.len() * 100));
        let toml = format!(
            "[server]\nlisten = ['127.0.0.1:0', 'unix:{}']\ntrusted_proxies = [{trusted}]\n[route.app]\nno_login_from = '{networks}'",
            path.display()
        );
        let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com").with(&toml)).await;
        let mut raw = Raw::over(tokio::net::UnixStream::connect(&path).await.unwrap());
        raw.send(scene.request("GET", "/", fields)).await;
        assert_eq!(raw.answer("GET").await.status, status, "{trusted} {networks} {fields}");
        assert_eq!(scene.upstream.seen().len(), usize::from(status == 200));
        fs::remove_file(path).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_of_our_own_every_peer_has_its_address() {
    const WIKI: &str = "wiki.example.com";
    let authority = Authority::new();
    let made = authority.certifies("wiki", &[WIKI]);
    let toml = format!("{FROM_HERE}\n[server.tls]\ncert = '{}'\nkey = '{}'", made.cert.display(), made.key.display());
    let scene = Scene::built(|gateway| gateway.at_https(WIKI).with(&toml)).await;
    for (fields, status) in [("", 200), ("Via: 1.1 squid\r\n", 401), ("X-Forwarded-For: 127.0.0.1\r\n", 401)] {
        let mut raw = Raw::over(authority.connect(scene.gateway.address, WIKI, &["http/1.1"]).await.unwrap());
        raw.send(scene.request("GET", "/", fields)).await;
        assert_eq!(raw.answer("GET").await.status, status, "{fields}");
    }
    assert_eq!(scene.upstream.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_open_no_websocket_from_there() {
    // WS-02, AT-WS-01
    let scene = Scene::with(FROM_HERE).await;
    scene.upstream.answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    for (origin, status) in [(scene.gateway.origin(), 101), ("https://evil.example", 403), ("null", 403)] {
        scene.forget_seen();
        let answer = scene.sends("GET", "/", &format!("{HANDSHAKE}Origin: {origin}\r\n")).await;
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(scene.upstream.seen().len(), usize::from(status == 101), "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_from_there_stays_open_until_a_reload_takes_the_network_away() {
    let mut scene = Scene::with(FROM_HERE).await;
    scene.upstream.answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut raw = scene.raw().await;
    raw.send(scene.request("GET", "/", HANDSHAKE)).await;
    assert_eq!(raw.answer("GET").await.status, 101);
    let hi = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    for networks in ["['127.0.0.0/8', '10.2.0.0/16']", "['127.0.0.1']"] {
        raw.send(hi).await;
        assert_eq!(raw.exactly(hi.len()).await.unwrap(), hi);
        scene.gateway.reload_with(&format!("[route.app]\nno_login_from = {networks}"));
    }
    raw.send(hi).await;
    assert_eq!(raw.exactly(hi.len()).await.unwrap(), hi);
    scene.gateway.reload_with("[route.app]\nno_login_from = ['10.2.0.0/16']");
    // Closed: perhaps with a frame that says so, and no echo any more.
    while raw.exactly(1).await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_the_networks_away_again() {
    let mut scene = Scene::with(FROM_HERE).await;
    assert!(passes(&scene, "/", "").await);
    scene.gateway.reload_with("[route.app]\nno_login_from = ['10.2.0.0/16']");
    assert!(!passes(&scene, "/", "").await);
    scene.gateway.reload_without("route.app.no_login_from");
    assert!(!passes(&scene, "/", "").await);
    // A reload to what is refused at the start is refused, too.
    scene.gateway.reload_with(FROM_HERE);
    assert!(passes(&scene, "/", "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_and_the_metrics_say_who_passed_because_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let scene = Scene::with(&format!("{FROM_HERE}\n[log]\nformat = 'json'\naccess = '{}'", log.display())).await;
    assert!(passes(&scene, "/open", "").await);
    assert!(!passes(&scene, "/open", "Via: 1.1 squid\r\n").await);
    let ada = scene.session_of("Ada").await;
    assert_eq!(scene.sends("GET", "/ada", &ada).await.status, 200);
    let metrics = scene.gateway.admin_text("/metrics").await;
    for (decision, reason) in [("bypass", "no_login_from"), ("login", "no_session"), ("allow", "session")] {
        let line =
            format!("vestibule_auth_decisions_total{{route=\"app\",decision=\"{decision}\",reason=\"{reason}\"}} ");
        assert!(metrics.contains(&line) && !metrics.contains(&format!("{line}0")), "{line}");
    }
    scene.gateway.stop().await;
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| lines.iter().filter(|line| line["path"] == path).collect::<Vec<_>>();
    let [passed, sent_away] = of("/open")[..] else { panic!("{log}") };
    assert_eq!((&passed["decision"], &passed["reason"]), (&"bypass".into(), &"no_login_from".into()));
    assert_eq!((&sent_away["decision"], sent_away["reason"] == "no_login_from"), (&"login".into(), false));
    let [ada] = of("/ada")[..] else { panic!("{log}") };
    assert_eq!((&ada["decision"], ada["reason"].as_str()), (&"allow".into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn people_from_there_can_sign_in_and_out() {
    let scene = Scene::with(FROM_HERE).await;
    let page = scene.browser.signs_in(&scene.gateway.own("login?rd=/page"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/page"), "{}", page.text());
    assert_eq!(scene.upstream.last_request().all("x-forwarded-user"), ["248289761001"]);
    // A form of another site changes nothing about cookies' rules: without the session, it comes as nobody.
    let ask = Ask::form(&scene.gateway.url("/save"), &[]).from(&"https://evil.example/".parse().unwrap());
    assert_eq!(scene.browser.does(ask.without_following()).await.status, 200);
    assert!(scene.upstream.last_request().all("x-forwarded-user").is_empty());
    scene.signs_out().await;
    assert_eq!(scene.asks("/").await.status, 200);
    assert!(scene.upstream.last_request().all("x-forwarded-user").is_empty());
}
