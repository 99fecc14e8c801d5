//! Server-sent events: each one passes at once, for as long as it takes.

use std::time::Duration;

use crate::harness::frames::{DATA, Fate, get};
use crate::harness::{Frames, Gateway, Raw, Stage, TestIdp};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(event: &str) -> String {
    format!("{:x}\r\n{event}\r\n", event.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_before_the_next_one_is_sent() {
    // WS-09
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&stage.url()).with("[route.app]\naccess = 'public'").start().await;
    let mut client = gateway.raw().await;
    client
        .send(format!("GET /events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", gateway.authority()))
        .await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(EVENTS).await;
    let head = client.head().await;
    assert!(
        head.contains("text/event-stream") && head.contains("no-cache") && !head.contains("content-encoding"),
        "{head}"
    );
    for number in 0..100 {
        let event = if number % 10 == 0 {
            ":\n\n".to_owned()
        } else {
            format!("id: {number}\ndata: {}\n\n", "é".repeat(number))
        };
        application.send(chunk(&event)).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    // The application ends it, and the browser learns of it.
    application.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_at_once_over_http2_and_without_framing() {
    // WS-09
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&stage.url()).with("[route.app]\naccess = 'public'").start().await;
    let mut frames = Frames::connect(gateway.address).await;
    frames.asks(&get(gateway.authority(), "/events")).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    for event in ["data: 1\n\n", ":\n\n", "data: 2\n\n"] {
        application.send(event).await;
        let frame = loop {
            let frame = frames.next().await.unwrap();
            if frame.kind == DATA {
                break frame;
            }
        };
        assert_eq!(frame.payload, event.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_leaves_ends_the_applications_stream() {
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&stage.url()).with("[route.app]\naccess = 'public'").start().await;
    let mut client = gateway.raw().await;
    client.send(format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority())).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(EVENTS.to_owned() + &chunk("data: 1\n\n")).await;
    client.head().await;
    drop(client);
    assert!(application.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_is_not_an_idle_connection() {
    // WS-09
    let stage = Stage::start().await;
    let rules = "[route.app]\naccess = 'public'\n[route.app.paths]\n'/closed' = { access = 'deny' }\n[server.limits]\nidle_time = '100ms'";
    let gateway = Gateway::in_front_of_url(&stage.url()).with(rules).start().await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority());
    let mut client = gateway.raw().await;
    client.send(ask("/events")).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(EVENTS).await;
    client.head().await;
    for _ in 0..3 {
        // Connections that are idle come and go meanwhile.
        let mut idle = gateway.raw().await;
        idle.send(ask("/closed")).await;
        assert_eq!(idle.answer("GET").await.status, 403);
        assert!(idle.is_closed().await);
    }
    application.send(chunk("data: 1\n\n")).await;
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_the_access_token_that_it_began_with() {
    // AT-WS-11: by policy: the application received the identity when it began, and each heartbeat passes at once
    let (idp, stage) = (TestIdp::start().await, Stage::start().await);
    let gateway = Gateway::in_front_of_url(&stage.url()).signing_in_at(&idp).start().await;
    let browser = gateway.browser();
    // The person's first page is the sign-in page's return to "/": the application answers it.
    let login = gateway.own("login");
    let (_, mut application) = tokio::join!(browser.signs_in(&login, "Ada"), async {
        let mut application = stage.connection().await;
        application.head().await;
        application.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        application
    });
    assert!(application.is_closed().await);
    let session = browser.cookie(gateway.origin(), "vestibule").unwrap();
    let mut client: Raw = gateway.raw().await;
    client
        .send(format!("GET / HTTP/1.1\r\nHost: {}\r\nCookie: vestibule={session}\r\n\r\n", gateway.authority()))
        .await;
    let mut application = stage.connection().await;
    assert!(application.head().await.contains("x-forwarded-user: 248289761001\r\n"));
    application.send(EVENTS).await;
    client.head().await;
    for _ in 0..3 {
        gateway.clock.advance(Duration::from_secs(61));
        application.send(chunk(":\n\n")).await;
        assert_eq!(client.chunk().await.unwrap(), b":\n\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_ends_properly_when_the_person_signs_out_and_goes_on_for_others() {
    // WS-07, AT-WS-11
    let (idp, stage) = (TestIdp::start().await, Stage::start().await);
    let gateway = Gateway::in_front_of_url(&stage.url()).signing_in_at(&idp).start().await;
    let ada = gateway.browser();
    ada.signs_in(&gateway.own("login?rd=/_vestibule/session"), "Ada").await;
    let grace = gateway.browser();
    grace.signs_in(&gateway.own("login?rd=/_vestibule/session"), "Grace").await;
    let cookie = |browser: &crate::harness::Browser| {
        let cookies = browser.cookies();
        let session = cookies.iter().find(|cookie| cookie.name.ends_with("vestibule")).unwrap().clone();
        format!("{}={}", session.name, session.value)
    };
    let mut streams = Vec::new();
    for (cookie, head) in [
        (cookie(&ada), EVENTS.to_owned()),
        (cookie(&ada), EVENTS.replace("text/event-stream", "Text/Event-Stream ; charset=utf-8")),
        (cookie(&grace), EVENTS.to_owned()),
        // A download is finished.
        (cookie(&ada), EVENTS.replace("text/event-stream", "application/zip")),
    ] {
        let mut client = gateway.raw().await;
        let head_sent = format!("GET /events HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", gateway.authority());
        client.send(head_sent).await;
        let mut application = stage.connection().await;
        application.head().await;
        application.send(head + &chunk("data: 1\n\n")).await;
        client.head().await;
        assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
        streams.push((client, application));
    }
    let mut frames = Frames::connect(gateway.address).await;
    let session = cookie(&ada);
    let fields = get(gateway.authority(), "/events").into_iter().chain([("cookie", session.as_str())]);
    frames.asks(&fields.collect::<Vec<_>>()).await;
    let mut over_http2 = stage.connection().await;
    over_http2.head().await;
    over_http2.send(EVENTS.to_owned() + &chunk("data: 1\n\n")).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    let confirm = ada.opens(&gateway.own("logout")).await;
    ada.submits(&confirm, "logout", &[]).await;
    for (client, application) in &mut streams[..2] {
        assert_eq!(client.chunk().await.unwrap(), b"", "the last chunk");
        assert!(application.is_closed().await);
        assert_eq!(client.until_closed().await, b"\r\n", "the end of the trailers, and of the connection");
        // The browser asks again, and is told.
        let mut again = gateway.raw().await;
        again.send(format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority())).await;
        assert_eq!(again.answer("GET").await.status, 401);
    }
    assert!(over_http2.is_closed().await);
    for (client, application) in &mut streams[2..] {
        application.send(chunk("data: 2\n\n")).await;
        assert_eq!(client.chunk().await.unwrap(), b"data: 2\n\n");
    }
}
