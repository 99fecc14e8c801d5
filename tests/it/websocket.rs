//! WebSockets: who may begin one, what passes, and when it ends.

use std::time::Duration;

use crate::harness::{Gateway, Raw, Scene, Stage};

pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
pub(crate) const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A masked text frame that says "hi".
pub(crate) const HI: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

/// A gateway before an application that switches to an echo.
async fn scene(toml: &str) -> (Scene, String) {
    let scene = Scene::with(toml).await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(SWITCH);
    (scene, session)
}

/// A tunnel that is open.
pub(crate) async fn opened(scene: &Scene, session: &str) -> Raw {
    let mut raw = scene.raw().await;
    raw.send(scene.request("GET", "/socket", &format!("{HANDSHAKE}{session}"))).await;
    assert_eq!(raw.answer("GET").await.status, 101);
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_passes_and_then_every_byte() {
    // WS-01, WS-03, AT-WS-07
    let (scene, session) = scene("").await;
    let mut raw = scene.raw().await;
    let fields = concat!(
        "Origin: ORIGIN\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n",
        "X-Forwarded-User: evil\r\nX_Forwarded_User: evil\r\nConnection: X-Forwarded-User, X-Forwarded-For\r\n",
    )
    .replace("ORIGIN", scene.gateway.origin());
    raw.send(scene.request("GET", "/socket?a=b", &format!("{HANDSHAKE}{fields}{session}Cookie: own=1\r\n"))).await;
    let answer = raw.answer("GET").await;
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat"));
    let seen = scene.upstream.only_request();
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-forwarded-user", "248289761001"),
        ("cookie", "own=1"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(seen.all(name), [value], "{}", seen.head);
    }
    let bytes: Vec<u8> = (0..=255u8).cycle().take(200_000).collect();
    for piece in [&HI[..], &bytes] {
        raw.send(piece).await;
        assert_eq!(raw.exactly(piece.len()).await.unwrap(), piece);
    }
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_may_not_begin_one() {
    // WS-02, AT-WS-01
    let (scene, session) =
        scene("[route.app]\nwebsocket_origins = ['https://friend.example', 'http://127.0.0.1:1']").await;
    let own = scene.gateway.origin().to_owned();
    let port = scene.gateway.address.port();
    let asks = async |origins: &str, handshake: &str| {
        scene.sends("GET", "/", &format!("{handshake}{session}{origins}")).await.status
    };
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        String::new(),
        own.replace("http:", "https:"),
        format!("{own}.evil.example"),
        format!("http://127.0.0.1:{}", port ^ 1),
        format!("http://localhost:{port}"),
        "https://friend.example.evil.example".to_owned(),
        "http://friend.example".to_owned(),
        "https://friend.example:444".to_owned(),
        format!("{own}/"),
        format!("{own}, https://evil.example"),
        format!("{own}@evil.example"),
        format!("http://evil.example/{own}"),
        "https://xfriend.example".to_owned(),
        "file://".to_owned(),
    ] {
        assert_eq!(asks(&format!("Origin: {origin}\r\n"), HANDSHAKE).await, 403, "{origin}");
        scene.assert_nobody_was_asked(&origin);
    }
    let twice = format!("Origin: {own}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(asks(&twice, HANDSHAKE).await, 403);
    // Handshakes that are not quite, but that an application may take for one, are asked the same.
    for other in [
        HANDSHAKE.replace("13", "8"),
        HANDSHAKE.replace("Sec-WebSocket-Version: 13\r\n", ""),
        HANDSHAKE.replace("dGhl", "x"),
    ] {
        assert_eq!(asks("Origin: https://evil.example\r\n", &other).await, 403, "{other}");
    }
    scene.assert_nobody_was_asked("a foreign origin");
    for origin in [&*own, "https://friend.example", "http://127.0.0.1:1"] {
        assert_eq!(asks(&format!("Origin: {origin}\r\n"), HANDSHAKE).await, 101, "{origin}");
    }
    // No browser, no cookies that it could not help sending.
    assert_eq!(asks("", HANDSHAKE).await, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_there_is_neither_a_tunnel_nor_a_redirect() {
    // WS-01, AT-WS-02
    let (scene, session) = scene("[route.app.paths]\n'/admin' = { allow.groups = ['owners'] }").await;
    let asks = async |target: &str, fields: &str| {
        scene.sends("GET", target, &format!("{HANDSHAKE}Accept: text/html\r\n{fields}")).await
    };
    let broken = session.replace("vestibule=", "vestibule=x");
    for fields in ["", "Cookie: vestibule=\r\n", &broken] {
        let answer = asks("/", fields).await;
        assert_eq!((answer.status, answer.header("location"), answer.header("set-cookie")), (401, None, None));
    }
    assert_eq!(asks("/admin", &session).await.status, 403);
    scene.gateway.clock.advance(Duration::from_secs(13 * 3600));
    assert_eq!(asks("/", &session).await.status, 401);
    scene.assert_nobody_was_asked("no session");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_ever_upgraded_to() {
    // WS-04, WS-10, AT-WS-04
    let (scene, session) = scene("").await;
    scene.upstream.answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for fields in [
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Connection: Upgrade\r\nUpgrade: foo\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: websockets\r\n",
    ] {
        scene.upstream.forget_seen();
        let answer = scene.sends("GET", "/", &format!("{fields}{session}")).await;
        assert_eq!((answer.status, answer.header("upgrade")), (200, None), "{fields}");
        let seen = scene.upstream.only_request();
        assert!(
            ["upgrade", "http2-settings", "connection"].iter().all(|name| seen.header(name).is_none()),
            "{}",
            seen.head
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_by_the_book_is_refused_and_the_application_hears_nothing_of_it() {
    // RFC 6455 sections 4.2.1 and 4.4, WS-04, WS-10, AT-WS-04
    let (scene, session) = scene("[route.app.paths]\n'/open' = { access = 'public' }").await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let rest = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let forms = [
        ("GET", format!("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{version}{key}"), "", 400),
        ("GET", format!("{rest}Upgrade: h2c\r\n{version}{key}"), "", 400),
        ("GET", format!("Connection: Upgrade\r\nUpgrade: websocket/13\r\n{version}{key}"), "", 400),
        ("GET", format!("Upgrade: websocket\r\n{version}{key}"), "", 400),
        ("GET", format!("Connection: keep-alive\r\nUpgrade: websocket\r\n{version}{key}"), "", 400),
        ("GET", format!("Connection: \"Upgrade\"\r\nUpgrade: websocket\r\n{version}{key}"), "", 400),
        ("GET", format!("{rest}{key}"), "", 426),
        ("GET", format!("{rest}Sec-WebSocket-Version: 8\r\n{key}"), "", 426),
        ("GET", format!("{rest}{version}{version}{key}"), "", 426),
        ("GET", format!("{rest}{version}"), "", 400),
        ("GET", format!("{rest}{version}Sec-WebSocket-Key: redacted==\r\n"), "", 400),
        ("GET", format!("{rest}{version}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"), "", 400),
        ("GET", format!("{rest}{version}{key}{key}"), "", 400),
        ("POST", HANDSHAKE.to_owned(), "", 400),
        ("GET", format!("{HANDSHAKE}Content-Length: 2\r\n"), "hi", 400),
        ("POST", format!("{HANDSHAKE}Transfer-Encoding: chunked\r\n"), "0\r\n\r\n", 400),
    ];
    for (method, fields, body, status) in forms {
        for path in ["/", "/open"] {
            let mut raw = scene.raw().await;
            raw.send(format!("{}{body}", scene.request(method, path, &format!("{fields}{session}")))).await;
            let answer = raw.answer(method).await;
            assert_eq!(answer.status, status, "{method} {fields}");
            assert!(answer.text().contains("VB-4025"), "{fields}: {}", answer.text());
            assert_eq!(answer.header("sec-websocket-version"), (status == 426).then_some("13"), "{fields}");
            assert_eq!(answer.header("upgrade"), None, "{fields}");
        }
    }
    scene.assert_nobody_was_asked("a handshake that is not by the book");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_101_is_an_answer() {
    // WS-03, WS-05
    let (scene, session) = scene("").await;
    for answer in [
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        scene.upstream.answers(answer);
        let mut raw = scene.raw().await;
        raw.send(scene.request("GET", "/", &format!("{HANDSHAKE}{session}"))).await;
        let got = raw.answer("GET").await;
        assert_eq!(got.head.split(' ').nth(1), answer.split(' ').nth(1));
        assert_eq!(got.header("sec-websocket-version"), answer.contains("426").then_some("13"));
        // And the connection goes on as one of requests.
        raw.send(scene.request("GET", "/next", "")).await;
        assert_eq!(raw.answer("GET").await.status, 401);
    }
    for switch in ["HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 101 X\r\n\r\n"] {
        scene.upstream.answers(switch);
        assert_eq!(scene.sends("GET", "/", &format!("{HANDSHAKE}{session}")).await.status, 502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_the_handshake_wait_for_the_101() {
    // WS-05, AT-WS-05
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&stage.url()).with("[route.app]\naccess = 'public'").start().await;
    let handshake = format!("GET / HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n", gateway.authority());
    let mut client = gateway.raw().await;
    client.send([handshake.as_bytes(), &HI].concat()).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(SWITCH).await;
    assert_eq!(application.exactly(HI.len()).await.unwrap(), HI);
    assert_eq!(client.answer("GET").await.status, 101);
    application.send("back").await;
    assert_eq!(client.exactly(4).await.unwrap(), b"back");

    // Refused by the application: it never sees them.
    let mut client = gateway.raw().await;
    client.send([handshake.as_bytes(), &HI].concat()).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send("HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 403);
    assert!(application.until_closed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_ends_with_either_side() {
    // WS-06
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&stage.url()).with("[route.app]\naccess = 'public'").start().await;
    for client_leaves in [true, false] {
        let mut client = gateway.raw().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n", gateway.authority())).await;
        let mut application = stage.connection().await;
        application.head().await;
        application.send(SWITCH).await;
        assert_eq!(client.answer("GET").await.status, 101);
        let (first, mut second) = if client_leaves { (client, application) } else { (application, client) };
        drop(first);
        assert!(second.is_closed().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_lives_no_longer_than_it_may() {
    // WS-06
    let (scene, session) = scene("[server.limits]\nupgrade_life = '200ms'").await;
    let mut raw = opened(&scene, &session).await;
    raw.send(HI).await;
    assert_eq!(raw.exactly(HI.len()).await.unwrap(), HI);
    assert!(raw.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_silent_for_too_long_ends_and_one_that_is_not_goes_on() {
    // WS-06
    let (scene, session) = scene("[server.limits]\nupgrade_idle = '300ms'").await;
    let (mut silent, mut talks) = (opened(&scene, &session).await, opened(&scene, &session).await);
    let talking = async {
        loop {
            talks.send(HI).await;
            assert_eq!(talks.exactly(HI.len()).await.unwrap(), HI);
            tokio::time::sleep(Duration::from_millis(20)).await; // the pace of the conversation
        }
    };
    tokio::select! { closed = silent.is_closed() => assert!(closed), () = talking => {} }
    talks.send(HI).await;
    assert_eq!(talks.exactly(HI.len()).await.unwrap(), HI);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tunnel_is_not_an_idle_connection() {
    // WS-06
    let (scene, session) = scene("[server.limits]\nidle_time = '100ms'").await;
    let mut tunnel = opened(&scene, &session).await;
    for _ in 0..3 {
        // Connections that are idle come and go meanwhile.
        let mut idle = scene.raw().await;
        idle.send(scene.request("GET", "/", "")).await;
        assert_eq!(idle.answer("GET").await.status, 401);
        assert!(idle.is_closed().await);
    }
    tunnel.send(HI).await;
    assert_eq!(tunnel.exactly(HI.len()).await.unwrap(), HI);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_ends_when_the_person_signs_out() {
    // WS-07
    let scene = Scene::with("").await;
    let browser = scene.gateway.browser();
    browser.signs_in(&scene.gateway.url("/"), "Ada").await;
    let session = browser.cookie(scene.gateway.origin(), "vestibule").unwrap();
    scene.upstream.answers(SWITCH);
    let mut raw = opened(&scene, &format!("Cookie: vestibule={session}\r\n")).await;
    raw.send(HI).await;
    assert_eq!(raw.exactly(HI.len()).await.unwrap(), HI);
    let confirm = browser.opens(&scene.gateway.own("logout")).await;
    browser.submits(&confirm, "logout", &[]).await;
    assert_eq!(raw.until_closed().await, [0x88, 2, 0x03, 0xf0], "a close frame with the status 1008");
    let again = scene.sends("GET", "/", &format!("{HANDSHAKE}Cookie: vestibule={session}\r\n")).await;
    assert_eq!(again.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_subprotocol_passes_and_is_not_logged() {
    // AT-WS-08
    let folder = tempfile::tempdir().unwrap();
    let (access, audit) = (folder.path().join("access.log"), folder.path().join("audit.log"));
    let logs = format!("[log]\naccess = '{}'\naudit = '{}'\nformat = 'json'", access.display(), audit.display());
    let (scene, session) = scene(&logs).await;
    let mut raw = scene.raw().await;
    raw.send(scene.request(
        "GET",
        "/socket",
        &format!("{HANDSHAKE}{session}Sec-WebSocket-Protocol: bearer, sEcReT.token\r\n"),
    ))
    .await;
    assert_eq!(raw.answer("GET").await.status, 101);
    assert_eq!(scene.upstream.only_request().header("sec-websocket-protocol"), Some("bearer, sEcReT.token"));
    drop(raw);
    scene.gateway.stop().await;
    let logged = [access, audit].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    assert!(
        logged.contains("/socket") && !logged.contains("sEcReT") && !logged.contains(session.trim_end()),
        "{logged}"
    );
}
