//! What passes as it was sent though HTTP would have it otherwise: odd signs in targets, capitals in the names of fields. And what
//! is no request: it gets an answer that says so, and a line in the log.

use std::fs;

use tempfile::TempDir;

use crate::harness::{Raw, Scene};

const RULES: &str =
    "[route.app.paths]\n'/admin' = { access = 'deny' }\n'/a<b' = { access = 'deny' }\n'/c' = { access = 'public' }";

#[tokio::test(flavor = "multi_thread")]
async fn odd_signs_in_a_target_arrive_byte_for_byte_and_are_judged() {
    let scene = Scene::with(RULES).await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut kept_alive = scene.raw().await;
    for target in [
        "/q?query=up{job=\"a\"}",
        "/q?a=<b>",
        "/a`b",
        "/q?x=\"",
        "/q?`",
        "/<>/{x}|y^z?{|}^<\">",
        "/c/<script>",
        "/plain?a=b",
    ] {
        scene.upstream.forget_seen();
        kept_alive.send(scene.request("GET", target, &session)).await;
        assert_eq!(kept_alive.answer("GET").await.status, 200, "{target}");
        assert_eq!(scene.upstream.only_request().target, target);
    }
    for (target, status) in [("/a<b", 403), ("/a<b/`", 403), ("/a%3Cb", 403), ("/a<b?\"", 403), ("/x/../admin?<", 400)]
    {
        scene.upstream.forget_seen();
        let answer = scene.sends("GET", target, &session).await;
        assert_eq!(answer.status, status, "{target}");
        scene.assert_nobody_was_asked(target);
    }
    // Signed out, the address is kept through the sign-in, as a browser would have written it.
    let page = scene.sends("GET", "/q?a=<b>", "Accept: text/html\r\n").await;
    assert_eq!(page.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_target_of_a_request_is_ever_changed() {
    // A body, or what follows it, that looks like such a line.
    let scene = Scene::with("[route.app]\naccess = 'public'").await;
    let line = "GET /\"<`>\"?\"<>\" HTTP/1.1\r\nX: y\r\n\r\n";
    let mut raw = scene.raw().await;
    let head = scene.request("POST", "/q?<", &format!("X-A: \"<`>\"\r\nContent-Length: {}\r\n", line.len()));
    raw.send(&head).await;
    raw.send(line).await;
    assert_eq!(raw.answer("POST").await.status, 200);
    let seen = scene.upstream.only_request();
    assert_eq!((seen.target.as_str(), seen.text().as_str(), seen.header("x-a")), ("/q?<", line, Some("\"<`>\"")));
    // The next request on the same connection, both ways.
    raw.send(scene.request("GET", "/next?_", "")).await;
    assert_eq!(raw.answer("GET").await.status, 200);
    assert_eq!(scene.upstream.last_request().target, "/next?_");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_an_answer_with_a_body_and_leaves_a_line() {
    let folder = TempDir::new().unwrap();
    let log = format!("log.access = '{}/access'", folder.path().display());
    let Scene { idp, upstream, gateway, .. } = Scene::with(&log).await;
    let host = gateway.authority();
    let fields: String = (0..120).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        (format!("GET /a b HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("GET /a\x01 HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("GET /a\x7f HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("G<T / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("GET / HTTP/3.0\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX y: z\r\n\r\n"), 400, "head_malformed"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n"), 400, "head_malformed"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: a\r\n\r\n"), 400, "head_malformed"),
        (format!("GET http://a/<b> HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "head_malformed"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"), 431, "head_too_large"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "x".repeat(400_000)), 431, "head_too_large"),
    ];
    for (bytes, status, _) in &cases {
        let line = bytes.lines().next().unwrap_or_default();
        for before in ["", "GET /_vestibule/session HTTP/1.1\r\nHost: HOST\r\n\r\n"] {
            let mut raw = Raw::connect(gateway.address).await;
            if !before.is_empty() {
                raw.send(before.replace("HOST", host)).await;
                raw.answer("GET").await;
            }
            raw.send(bytes).await;
            let answer = raw.answer("GET").await;
            assert_eq!(answer.status, *status, "{line}: {}", answer.text());
            assert!(answer.text().contains("VB-400"), "{line}: {}", answer.text());
            assert_eq!(answer.header("connection"), Some("close"), "{line}");
            assert!(raw.is_closed().await, "{line}");
            if *status == 431 {
                assert!(answer.text().contains("100 fields"), "{}", answer.text());
            }
        }
    }
    assert!(upstream.seen().is_empty() && idp.seen().is_empty());
    gateway.stop().await;
    let text = fs::read_to_string(folder.path().join("access")).unwrap();
    for reason in ["head_malformed", "head_too_large"] {
        let wanted = 2 * cases.iter().filter(|(_, _, it)| *it == reason).count();
        assert_eq!(text.matches(&format!("\"{reason}\"")).count(), wanted, "{reason}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capitals_of_names_are_kept_where_the_route_says_so_and_change_no_judgement() {
    // FW-01
    let scene = Scene::with("[route.app]\nheader_case = 'preserve'").await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Organization: Acme\r\nETag: \"1\"\r\nset-COOKIE: a=b\r\nConnection: X-Hop\r\nX-HOP: 1\r\n\r\nok");
    let fields = "SOAPAction: \"x\"\r\nX-Custom-ID: 7\r\nX-FORWARDED-USER: root\r\nX_Forwarded_User: root\r\nx-forwarded-Email: root@example.com\r\nREMOTE-USER: root\r\nvestibule-X: 1\r\n";
    let answer = scene.sends("GET", "/x", &format!("{session}{fields}")).await;
    assert_eq!(answer.status, 200);
    for name in ["Content-Length", "X-Organization", "ETag", "set-COOKIE"] {
        assert!(answer.head.contains(&format!("\r\n{name}: ")), "{name}: {}", answer.head);
    }
    assert!(!answer.head.to_lowercase().contains("x-hop"), "{}", answer.head);
    let seen = scene.upstream.only_request();
    for name in ["Host", "SOAPAction", "X-Custom-ID"] {
        assert!(seen.head.contains(&format!("\r\n{name}: ")), "{name}: {}", seen.head);
    }
    assert!(!seen.head.contains("root") && !seen.head.to_lowercase().contains("remote-user"), "{}", seen.head);
    assert_eq!(seen.all("x-forwarded-user").len(), 1, "{}", seen.head);
    assert_eq!(seen.all("x-forwarded-email").len(), 1, "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_does_not_ask_for_capitals_gets_none_though_another_does() {
    let scene = Scene::with("[route.app]\nheader_case = 'lower'\n[route.other]\npath = '/other'\nupstream = 'http://127.0.0.1:9'\nheader_case = 'preserve'\naccess = 'public'").await;
    let session = scene.session_of("Ada").await;
    let answer = scene.sends("GET", "/x", &format!("{session}SOAPAction: x\r\n")).await;
    assert_eq!(answer.status, 200);
    let seen = scene.upstream.only_request();
    assert!(seen.head.contains("\r\nsoapaction: x"), "{}", seen.head);
}
