//! What other proxies say about a request, believed from those who may say it, and what the application is told of it.

use crate::harness::browser::Ask;
use crate::harness::upstream::Recorded;
use crate::harness::{Raw, RecordingUpstream, Scene};

/// Only these addresses may open `/inside`; nobody needs to sign in.
const INSIDE: &str = r#"
[route.app]
access = "public"
[route.app.paths]
"/inside" = { allow.networks = ["203.0.113.0/24", "2001:db8::/32"] }
"#;

async fn scene(trusted: &str) -> Scene {
    Scene::with(&format!("{INSIDE}[server]\ntrusted_proxies = [{trusted}]")).await
}

/// The forwarding fields that the application receives.
fn told(seen: &Recorded) -> [String; 5] {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"]
        .map(|name| seen.all(name).join(" & "))
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_say_nothing_about_where_they_come_from() {
    // FW-04, FW-05, FW-06, AT-HS-13, AT-HS-17
    let scene = scene("").await;
    let spoofs = [
        "X-Forwarded-For: 203.0.113.9\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
        "Forwarded: for=203.0.113.9;proto=https;host=evil.example\r\n",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 203.0.113.9\r\n",
        "X_Forwarded_For: 203.0.113.9\r\nTrue-Client-IP: 203.0.113.9\r\n",
    ];
    let own = scene.gateway.authority().to_owned();
    let port = scene.gateway.address.port();
    for spoof in spoofs {
        assert_eq!(scene.sends("GET", "/inside", spoof).await.status, 403, "{spoof}");
        scene.assert_nobody_was_asked(spoof);
        assert_eq!(scene.sends("GET", "/", spoof).await.status, 200);
        let expected = [
            "127.0.0.1".to_owned(),
            "http".to_owned(),
            own.clone(),
            port.to_string(),
            format!("for=127.0.0.1;host=\"{own}\";proto=http"),
        ];
        assert_eq!(told(&scene.upstream.last_request()), expected, "{spoof}");
        scene.upstream.forget_seen();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_hops_are_walked_from_the_right() {
    // FW-03, FW-04, FW-05, FW-06
    let scene = scene("'127.0.0.0/8', '10.0.0.0/8'").await;
    for (said, status, hops) in [
        ("X-Forwarded-For: 203.0.113.9\r\n", 200, "203.0.113.9, 127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\n", 200, "203.0.113.9, 10.0.0.1, 127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.0.0.1\r\n", 200, "203.0.113.9, 10.0.0.1, 127.0.0.1"),
        // What a stranger wrote stands left of the stranger.
        ("X-Forwarded-For: 203.0.113.9, 6.6.6.6\r\n", 403, "6.6.6.6, 127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9, 6.6.6.6, 10.0.0.1\r\n", 403, "6.6.6.6, 10.0.0.1, 127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9:4711\r\n", 200, "203.0.113.9, 127.0.0.1"),
        ("X-Forwarded-For: 2001:db8::1\r\n", 200, "2001:db8::1, 127.0.0.1"),
        ("Forwarded: for=203.0.113.9\r\n", 200, "203.0.113.9, 127.0.0.1"),
        ("Forwarded: for=\"[2001:db8::1]:4711\"\r\n", 200, "2001:db8::1, 127.0.0.1"),
        ("Forwarded: for=203.0.113.9, for=\"10.0.0.1:80\";by=_secret\r\n", 200, "203.0.113.9, 10.0.0.1, 127.0.0.1"),
        ("Forwarded: for=203.0.113.9, for=6.6.6.6\r\n", 403, "6.6.6.6, 127.0.0.1"),
        ("Forwarded: for=203.0.113.9, for=_hidden\r\n", 403, "127.0.0.1"),
        ("Forwarded: for=203.0.113.9, for=unknown\r\n", 403, "127.0.0.1"),
    ] {
        scene.upstream.forget_seen();
        assert_eq!(scene.sends("GET", "/inside", said).await.status, status, "{said}");
        assert_eq!(scene.upstream.seen().len(), usize::from(status == 200), "{said}");
        assert_eq!(scene.sends("GET", "/", said).await.status, 200, "{said}");
        let seen = scene.upstream.last_request();
        assert_eq!(seen.all("x-forwarded-for"), [hops], "{said}");
        let elements = seen.all("forwarded").concat();
        assert_eq!(elements.matches("for=").count(), hops.split(", ").count(), "both agree: {elements}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_first_hop_that_nobody_vouches_for() {
    // FW-06
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let toml = format!(
        "{INSIDE}[server]\ntrusted_proxies = ['127.0.0.0/8', '10.0.0.0/8']\n[log]\nformat = 'json'\naccess = '{}'",
        log.display()
    );
    let scene = Scene::with(&toml).await;
    let said = "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.1\r\n";
    assert_eq!(scene.sends("GET", "/", said).await.status, 200);
    // Also of a request that is refused unread.
    assert_eq!(scene.sends("GET", "/%zz", said).await.status, 400);
    scene.gateway.stop().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    for line in log.lines() {
        assert!(
            line.contains("\"203.0.113.9\"") && line.contains("\"127.0.0.1\"") && !line.contains("1.1.1.1"),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_what_the_browser_asked_for() {
    // FW-04, FW-05, PX-11
    let scene = scene("'127.0.0.1/32'").await;
    let said = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: Wiki.example:8443\r\nX-Forwarded-Port: 8443\r\n";
    assert_eq!(scene.sends("GET", "/", said).await.status, 200);
    assert_eq!(
        told(&scene.upstream.only_request()),
        [
            "203.0.113.9, 127.0.0.1",
            "https",
            "wiki.example:8443",
            "8443",
            "for=203.0.113.9;host=\"wiki.example:8443\";proto=https, for=127.0.0.1"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_never_believed_and_breaks_nothing() {
    // FW-03, AT-HS-14
    let hundred = format!("Forwarded: {}\r\n", vec!["for=203.0.113.9"; 100].join(", "));
    let long = format!("X-Forwarded-For: {}\r\n", "1.2.3.4, ".repeat(1000));
    // With the status inside, where only one address is let in, and elsewhere, where a proxy is trusted to send it.
    let garbage = [
        ("Forwarded: for=\"[::1]:80\";host=\"evil, for=203.0.113.9\r\n", 400, 400),
        ("Forwarded: for=203.0.113.9;;, for=unknown;;\r\n", 403, 200),
        ("Forwarded: for=\"203.0.113.9\r\n", 400, 400),
        ("Forwarded: for=203.0.113.9;for=203.0.113.8\r\n", 400, 400),
        ("Forwarded: for=2001:db8::1\r\n", 403, 200),
        ("Forwarded: ,,,;;;===\r\n", 400, 400),
        ("Forwarded: for=203.0.113.9, \u{fe}\r\n", 400, 400),
        ("X-Forwarded-For: 203.0.113.9, not-an-address\r\n", 403, 200),
        ("X-Forwarded-For: 203.0.113.9\r\nForwarded: for=6.6.6.6\r\n", 400, 400),
        ("X-Forwarded-For: 203.0.113.999\r\n", 403, 200),
        ("X-Forwarded-For: , , \r\n", 403, 200),
        (
            "X-Forwarded-Host: evil.example/path\r\nX-Forwarded-Proto: javascript\r\nX-Forwarded-Port: 99999\r\n",
            403,
            200,
        ),
        (hundred.as_str(), 200, 200),
        (long.as_str(), 403, 200),
    ];
    for trusted in ["", "'127.0.0.0/8'"] {
        let scene = scene(trusted).await;
        for (said, inside, elsewhere) in garbage {
            let (inside, elsewhere) = if trusted.is_empty() { (403, 200) } else { (inside, elsewhere) };
            assert_eq!(scene.sends("GET", "/inside", said).await.status, inside, "{trusted}: {said}");
            let answer = scene.sends("GET", "/", said).await;
            assert_eq!(answer.status, elsewhere, "{trusted}: {said}");
            assert!(trusted.is_empty() || !answer.text().contains("evil"), "{}", answer.text());
        }
        for seen in scene.upstream.seen() {
            assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
            assert_eq!(seen.header("x-forwarded-host"), Some(scene.gateway.authority()), "{}", seen.head);
            assert!(seen.all("x-forwarded-for").len() == 1 && seen.all("forwarded").len() == 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_uri_and_cookies_are_those_of_the_configuration() {
    // FW-07, AT-HS-17
    let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com")).await;
    let browser = scene.gateway.browser();
    let spoofed = Ask::navigation(&scene.gateway.url("/deep/page"))
        .with("X-Forwarded-Proto", "http")
        .with("X-Forwarded-Host", "evil.example")
        .with("X-Forwarded-Port", "81")
        .with("X-Forwarded-Prefix", "/evil")
        .with("Forwarded", "host=evil.example;proto=http")
        .without_following();
    let page = browser.does(spoofed).await;
    assert_eq!(page.status, 302);
    let redirect_uri = page.location().query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(redirect_uri, "https://wiki.example.com/_vestibule/callback");
    for cookie in page.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().unwrap();
        assert!(
            cookie.starts_with("__Host-vestibule") && cookie.contains("; Secure") && cookie.contains("; Path=/"),
            "{cookie}"
        );
        assert!(!cookie.to_ascii_lowercase().contains("domain"), "{cookie}");
    }
    assert!(!page.headers.iter().any(|(_, value)| value.to_str().unwrap().contains("evil")));
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_or_begins_anew() {
    // FW-09
    let scene = scene("").await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let valid = format!("traceparent: 00-{trace}-{span}-01\r\ntracestate: a=1\r\n");
    scene.sends("GET", "/", &valid).await;
    let seen = scene.upstream.last_request();
    let parent = seen.all("traceparent")[0].to_owned();
    assert!(parent.starts_with(&format!("00-{trace}-")) && !parent.contains(span), "{parent}");
    assert_eq!((seen.all("traceparent").len(), seen.all("tracestate")), (1, vec!["a=1"]));
    for invalid in [
        format!("traceparent: 00-{trace}-0000000000000000-01\r\ntracestate: a=1\r\n"),
        format!("traceparent: 00-{}-{span}-01\r\ntracestate: a=1\r\n", "0".repeat(32)),
        format!("traceparent: ff-{trace}-{span}-01\r\ntracestate: a=1\r\n"),
        format!("traceparent: 00-{}-{span}-01\r\ntracestate: a=1\r\n", trace.to_uppercase()),
        format!("traceparent: 00-{trace}-{span}-01\r\ntraceparent: 00-{trace}-{span}-01\r\ntracestate: a=1\r\n"),
        "traceparent: evil\r\ntracestate: a=1\r\n".to_owned(),
    ] {
        scene.sends("GET", "/", &invalid).await;
        let seen = scene.upstream.last_request();
        assert!(
            seen.all("traceparent").len() <= 1 && !seen.all("traceparent").concat().contains(trace),
            "{}",
            seen.head
        );
        assert_eq!(seen.header("tracestate"), None, "{invalid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_named_by_us_or_by_a_trusted_proxy() {
    // FW-12
    for (trusted, given, kept) in
        [("", "abc-1", false), ("'127.0.0.0/8'", "abc-1", true), ("'127.0.0.0/8'", "a b<script>", false)]
    {
        let scene = scene(trusted).await;
        scene.sends("GET", "/", &format!("X-Request-Id: {given}\r\n")).await;
        let seen = scene.upstream.only_request();
        assert_eq!(seen.all("x-request-id").len(), 1);
        assert_eq!(seen.header("x-request-id") == Some(given), kept, "{trusted} {given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_on_a_unix_socket_is_believed_where_it_is_trusted() {
    // FW-04, FW-06
    let folder = tempfile::tempdir().unwrap();
    for (trusted, status) in [("", 403), ("'unix'", 200)] {
        let path = folder.path().join(format!("{}.sock", trusted.len()));
        let listen =
            format!("[server]\nlisten = ['127.0.0.1:0', 'unix:{}']\ntrusted_proxies = [{trusted}]", path.display());
        let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com").with(INSIDE).with(&listen)).await;
        let mut raw = Raw::over(tokio::net::UnixStream::connect(&path).await.unwrap());
        raw.send(scene.request("GET", "/inside", "X-Forwarded-For: 203.0.113.9\r\n")).await;
        assert_eq!(raw.answer("GET").await.status, status, "{trusted}");
        assert_eq!(RecordingUpstream::seen(&scene.upstream).len(), usize::from(status == 200));
    }
}
