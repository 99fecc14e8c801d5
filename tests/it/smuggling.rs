//! Requests and answers whose ends are unclear: exact bytes in, and then what the client was answered, what the application
//! saw, and whether anybody's next request was poisoned.

use crate::harness::{Raw, Scene};

/// A gateway that soon gives up on who says nothing more, so that an attack that waits is over quickly.
async fn scene() -> Scene {
    let routes =
        "[route.static]\npath = '/static'\nupstream = 'static:200'\n[route.closed]\npath = '/closed'\naccess = 'deny'";
    let limits =
        "[server.limits]\nheader_time = '300ms'\nidle_time = '300ms'\n[route.app.timeouts]\nfirst_byte = '500ms'";
    Scene::with(&format!("{limits}\n{routes}")).await
}

/// What came of some bytes: the statuses of all answers until the connection ended.
async fn statuses(scene: &Scene, bytes: &str) -> Vec<u16> {
    let mut raw = scene.raw().await;
    raw.send(bytes).await;
    let mut statuses = Vec::new();
    while let Some(answer) = raw.any_answer("POST").await {
        statuses.push(answer.status);
    }
    statuses
}

/// Somebody else's request, on a connection of its own, gets its own answer.
async fn assert_others_are_unharmed(scene: &Scene, session: &str) {
    for turn in 0..4 {
        let target = format!("/other/{turn}");
        let answer = scene.sends("GET", &target, session).await;
        assert!(
            answer.status == 200 && answer.text().contains(&format!("\"target\":\"{target}\"")),
            "{}",
            answer.text()
        );
    }
}

const REFUSED: &[u16] = &[400, 501, 505];

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_one_clear_end_are_refused() {
    // PX-20 to PX-30, AT-SM-01, AT-SM-02, AT-SM-04, AT-SM-07, AT-SM-08, AT-SM-10, AT-SM-11
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let framings = [
        // AT-SM-04, PX-26
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "Content-Length: 5, 6\r\n\r\nabcdef",
        "Content-Length: 5, 5\r\n\r\nabcde",
        "Content-Length: +5\r\n\r\nabcde",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x5\r\n\r\nabcde",
        "Content-Length: 1 2\r\n\r\nabcde",
        "Content-Length: 5 \u{b}\r\n\r\nabcde",
        "Content-Length: 18446744073709551621\r\n\r\nabcde",
        "Content-Length:\r\n\r\n",
        "Content-Length: five\r\n\r\nabcde",
        // PX-24
        "Transfer-Encoding: identity\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
        // PX-21, PX-22, AT-SM-11
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Content-Length : 5\r\n\r\nabcde",
        "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "X-Forwarded-User: a\r\n b\r\n\r\n",
        "X-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // PX-20, PX-28, AT-SM-07
        "X-A: a\rb\r\n\r\n",
        "X-A: a\rX-Forwarded-User: evil\r\n\r\n",
        "X-A: a\0b\r\n\r\n",
        "X-A\0: b\r\n\r\n",
        "X A: b\r\n\r\n",
        "X(A): b\r\n\r\n",
        ": b\r\n\r\n",
        "no colon\r\n\r\n",
    ];
    let at = scene.gateway.authority().to_owned();
    let mut attacks: Vec<String> =
        framings.iter().map(|rest| format!("POST /a HTTP/1.1\r\nHost: {at}\r\n{session}{rest}")).collect();
    // PX-25, PX-29, PX-30, AT-SM-10
    attacks.extend([
        format!("POST /a HTTP/1.0\r\nHost: {at}\r\n{session}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n X: y\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a http/1.1\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a HTTP/2.0\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a HTTP/1.2\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a HTTP/3\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a\r\nHost: {at}\r\n{session}\r\n"),
        format!("GET /a HTTP/1.1 \r\nHost: {at}\r\n{session}\r\n"),
        format!("GET\t/a\tHTTP/1.1\r\nHost: {at}\r\n{session}\r\n"),
    ]);
    let next = scene.request("GET", "/smuggled", &session);
    let all: Vec<String> = attacks.iter().map(|attack| format!("{attack}{next}")).collect();
    let outcomes = futures_util::future::join_all(all.iter().map(|bytes| statuses(&scene, bytes))).await;
    for (attack, outcome) in attacks.iter().zip(outcomes) {
        assert!(matches!(outcome.as_slice(), [only] if REFUSED.contains(only)), "{attack:?}: {outcome:?}");
    }
    scene.assert_nobody_was_asked("all of it is refused");
    assert_others_are_unharmed(&scene, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_never_make_two_requests() {
    // PX-23, AT-SM-01, AT-SM-02
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    for (framing, body) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "1\r\na\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "1\r\na\r\n0\r\n\r\n"),
        ("Transfer-Encoding: CHUNKED\r\nContent-Length: 100\r\n", "0\r\n\r\n"),
    ] {
        scene.upstream.forget_seen();
        let attack = scene.request("POST", "/a", &format!("{session}{framing}"))
            + body
            + &scene.request("GET", "/smuggled", &session);
        let outcome = statuses(&scene, &attack).await;
        assert!(outcome == [400] || outcome == [200], "{framing}: {outcome:?}");
        let seen = scene.upstream.seen();
        assert!(seen.len() <= 1 && seen.iter().all(|seen| seen.target == "/a"), "{framing}: {seen:#?}");
        for seen in seen {
            assert!(
                seen.header("content-length").is_none() || seen.header("transfer-encoding").is_none(),
                "{}",
                seen.head
            );
            assert!(seen.text() == "a" || seen.text().is_empty());
        }
        assert_others_are_unharmed(&scene, &session).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_connection() {
    // PX-27, AT-SM-07, AT-SM-08
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let head = scene.request("POST", "/a", &format!("{session}Transfer-Encoding: chunked\r\n"));
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let many = "1;x\r\na\r\n".repeat(100_000);
    let bodies = [
        "0x1\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "11111111111111111\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1\r\naX0\r\n\r\n",
        "1\r\naa\r\n0\r\n\r\n",
        "1;a=\nb\r\na\r\n0\r\n\r\n",
        "1;a\rb\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "\r\n1\r\na\r\n0\r\n\r\n",
        "g\r\na\r\n0\r\n\r\n",
        "1 2\r\na\r\n0\r\n\r\n",
        &long,
        &many,
    ];
    let next = scene.request("GET", "/smuggled", &session);
    let all: Vec<String> = bodies.iter().map(|body| format!("{head}{body}{next}")).collect();
    let outcomes = futures_util::future::join_all(all.iter().map(|bytes| statuses(&scene, bytes))).await;
    for (body, outcome) in bodies.iter().zip(outcomes) {
        assert!(
            outcome.len() <= 1 && outcome.iter().all(|status| REFUSED.contains(status)),
            "{:?}: {outcome:?}",
            &body[..20]
        );
    }
    assert_eq!(scene.upstream.seen().len(), 0, "no body was whole");
    assert_others_are_unharmed(&scene, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tolerated_is_put_right_before_it_goes_on() {
    // PX-20, PX-28, PX-29, AT-SM-07: lines that end in LF only
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let (at, cookie) = (scene.gateway.authority(), session.trim_end());
    for request in [
        format!("GET /a HTTP/1.1\nHost: {at}\n{cookie}\nX-A: b\n\n"),
        format!("\r\n\r\nGET /a HTTP/1.1\r\nHost: {at}\r\n{cookie}\r\nX-A: \t b \t \r\n\r\n"),
    ] {
        scene.upstream.forget_seen();
        let outcome = statuses(&scene, &request).await;
        assert!(outcome == [200] || outcome == [400], "{request:?}: {outcome:?}");
        for seen in scene.upstream.seen() {
            assert!(!seen.head.replace("\r\n", "").contains(['\r', '\n']), "{:?}", seen.head);
            assert_eq!(seen.header("x-a"), Some("b"));
            assert!(seen.head.contains("x-a: b\r\n"), "{:?}", seen.head);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_not_the_next_request() {
    // AT-SM-05
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let smuggled = scene.request("GET", "/smuggled", &session);
    let length = format!("Content-Length: {}\r\n", smuggled.len());
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    let asked = [
        ("GET", "/static", &*session),
        ("HEAD", "/static", &session),
        ("GET", "/closed", &session),
        ("GET", "/", ""),
        ("POST", "/", ""),
        ("GET", "/_vestibule/session", &session),
        ("GET", "/_vestibule/nothing", &session),
        ("GET", "/_vestibule/callback", ""),
        ("TRACE", "/", &session),
        ("GET", "/%00", &session),
        ("OPTIONS", "/static", &session),
        ("GET", "/_vestibule/login", ""),
    ];
    let bodies = [(&*length, &smuggled), ("Transfer-Encoding: chunked\r\n", &chunked)];
    let cases = asked.iter().flat_map(|asked| bodies.iter().map(move |body| (asked, body)));
    let outcomes = cases.map(async |((method, target, cookie), (framing, body))| {
        let mut raw = scene.raw().await;
        raw.send(scene.request(method, target, &format!("{cookie}{framing}")) + body).await;
        raw.send(scene.request("GET", "/static", &session)).await;
        let mut statuses = vec![raw.any_answer(method).await.unwrap().status];
        while let Some(answer) = raw.any_answer("GET").await {
            statuses.push(answer.status);
        }
        (method, target, statuses)
    });
    for (method, target, statuses) in futures_util::future::join_all(outcomes).await {
        assert!(statuses.len() == 1 || statuses[1..] == [200], "{method} {target}: {statuses:?}");
    }
    assert!(scene.upstream.seen().is_empty(), "{:#?}", scene.upstream.seen());
    assert_others_are_unharmed(&scene, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_method_that_has_none_is_a_body_for_the_application_too() {
    // AT-SM-05: forwarded with its framing, whatever the method is
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let inner = scene.request("GET", "/smuggled", &session);
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        for (framing, body) in [
            (format!("Content-Length: {}\r\n", inner.len()), inner.clone()),
            ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())),
        ] {
            scene.upstream.forget_seen();
            let mut raw = scene.raw().await;
            raw.send(scene.request(method, "/a", &format!("{session}{framing}")) + &body).await;
            assert_eq!(raw.answer(method).await.status, 200);
            let seen = scene.upstream.only_request();
            assert_eq!((seen.method.as_str(), seen.text()), (method, inner.clone()));
        }
    }
    assert_others_are_unharmed(&scene, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_connection_is_judged_by_itself() {
    // AT-SM-13
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let mut raw = scene.raw().await;
    for (fields, status) in [(&*session, 200), ("", 401), (&session, 200), ("Cookie: vestibule=x\r\n", 401)] {
        raw.send(scene.request("GET", "/", fields)).await;
        assert_eq!(raw.answer("GET").await.status, status);
    }
    assert_eq!(scene.upstream.seen().len(), 2);
    // In one go, too.
    raw.send([scene.request("GET", "/1", &session), scene.request("GET", "/2", "")].concat()).await;
    assert_eq!((raw.answer("GET").await.status, raw.answer("GET").await.status), (200, 401));
    assert_eq!(scene.upstream.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_are_502_and_poison_nobody() {
    // PX-14, PX-15, PX-31, PX-32, AT-SM-19
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let big = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(10 << 20));
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(100_000);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", "X: y\r\n".repeat(5_000));
    for answer in [
        "HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 X\r\n\r\n",
        "HTTP/1.1 2000 X\r\n\r\n",
        "no status line\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLocation: /a\rSet-Cookie: evil=1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        &big,
        &flood,
        &many,
    ] {
        scene.upstream.answers_once(answer);
        let got = scene.sends("GET", "/a", &session).await;
        assert_eq!(got.status, 502, "{:?}: {}", &answer[..answer.len().min(80)], got.head);
        assert!(!got.head.contains("evil"));
        assert_others_are_unharmed(&scene, &session).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_an_answer_are_nobodys() {
    // PX-32, AT-SM-19
    let scene = scene().await;
    let session = scene.session_of("Ada").await;
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: evil=1\r\n\r\nstale";
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{second}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{second}"),
        format!("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nstale{second}"),
        format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nstale{second}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n\r\n".to_owned(),
    ] {
        scene.upstream.answers_once(&answer);
        let mut raw = scene.raw().await;
        raw.send(scene.request("GET", "/a", &session)).await;
        let got = raw.answer("GET").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", got.status)), "{answer}: {}", got.head);
        assert!(!got.text().contains("stale"), "{answer}");
        assert_others_are_unharmed(&scene, &session).await;
    }
    // HEAD: a body that must not be there.
    scene.upstream.answers_once(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale{second}"));
    let mut raw = scene.raw().await;
    raw.send(scene.request("HEAD", "/a", &session)).await;
    assert_eq!(raw.answer("HEAD").await.status, 200);
    assert_others_are_unharmed(&scene, &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_breaks_never_become_lines_of_ours() {
    // AT-SM-20
    let scene = scene().await;
    for target in [
        "/_vestibule/login?rd=/%0d%0aSet-Cookie:%20evil=1",
        "/_vestibule/login?rd=%0d%0a%0d%0a<script>",
        "/_vestibule/logout?rd=/%0aX:%20evil=1",
        "/_vestibule/callback?state=%0d%0aevil=1&code=x",
        "/_vestibule/login?provider=%0d%0aevil=1",
        "/x?%0d%0aSet-Cookie:%20evil=1",
    ] {
        let answer = Raw::once(scene.gateway.address, scene.request("GET", target, "Accept: text/html\r\n")).await;
        let evil = answer
            .headers
            .iter()
            .any(|(name, value)| name.contains("evil") || name == "X" || value.starts_with("evil"));
        assert!(!evil && answer.headers.iter().all(|(name, _)| !name.is_empty()), "{}", answer.head);
        assert!(scene.upstream.seen().is_empty());
    }
}
