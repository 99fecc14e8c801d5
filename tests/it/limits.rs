//! What one client may take from all others: bytes, time, connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::harness::{Raw, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_the_limit_is_431_and_so_is_a_line_over_it() {
    // PX-30, PX-48
    let scene = Scene::with("[server.limits]\nheader_bytes = '16KiB'").await;
    let session = scene.session_of("Ada").await;
    let pad = "x".repeat(17 << 10);
    assert_eq!(scene.sends("GET", "/", &format!("{session}X-Pad: {pad}\r\n")).await.status, 431);
    assert_eq!(scene.sends("GET", "/", &format!("{session}{}", "X-Many: 1\r\n".repeat(2000))).await.status, 431);
    assert_eq!(scene.sends("GET", &format!("/{pad}"), &session).await.status, 431);
    scene.assert_nobody_was_asked("too large");
    assert_eq!(scene.sends("GET", "/", &format!("{session}X-Pad: {}\r\n", "x".repeat(8 << 10))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let scene = Scene::with("[server.limits]\nbody_bytes = 5\n[route.app]\nbody_bytes = 8").await;
    let session = scene.session_of("Ada").await;
    let asks = async |framing: &str, body: &str| {
        let mut raw = scene.raw().await;
        raw.send(scene.request("POST", "/", &format!("{session}{framing}")) + body).await;
        raw.answer("POST").await.status
    };
    assert_eq!(asks("Content-Length: 8\r\n", "12345678").await, 200);
    assert_eq!(asks("Transfer-Encoding: chunked\r\n", "8\r\n12345678\r\n0\r\n\r\n").await, 200);
    scene.upstream.forget_seen();
    assert_eq!(asks("Content-Length: 9\r\n", "").await, 413);
    assert_eq!(asks("Content-Length: 9\r\nExpect: 100-continue\r\n", "").await, 413);
    assert_eq!(asks("Transfer-Encoding: chunked\r\n", "9\r\n123456789\r\n0\r\n\r\n").await, 413);
    scene.assert_nobody_was_asked("no request was whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_silent_connections_are_closed_and_others_served() {
    // AT-SM-22
    let scene = Scene::with("[server.limits]\nheader_time = '150ms'\nidle_time = '150ms'").await;
    let session = scene.session_of("Ada").await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(scene.raw().await);
    }
    let mut drips = scene.raw().await.into_stream();
    drips.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    while drips.write_all(b"X-A: b\r\n").await.is_ok() {
        assert_eq!(scene.sends("GET", "/", &session).await.status, 200, "others are served meanwhile");
        sleep(Duration::from_millis(10)).await; // the attacker's own pace
    }
    for raw in &mut silent {
        assert!(raw.is_closed().await);
    }
    let mut kept = scene.raw().await;
    kept.send(scene.request("GET", "/", &session)).await;
    assert_eq!(kept.answer("GET").await.status, 200);
    assert!(kept.is_closed().await, "idle after an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_408_and_the_application_is_let_go() {
    // AT-SM-22
    let scene = Scene::with("[server.limits]\nidle_time = '150ms'").await;
    let session = scene.session_of("Ada").await;
    let mut raw = scene.raw().await;
    raw.send(scene.request("POST", "/", &format!("{session}Content-Length: 10\r\n")) + "abc").await;
    let answer = raw.answer("POST").await;
    assert_eq!(answer.status, 408, "{}", answer.head);
    assert!(raw.is_closed().await);
    assert!(scene.upstream.seen().is_empty(), "no request was whole");
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_ours_that_drips_is_408_and_one_that_is_whole_is_taken() {
    // AT-SM-22
    let scene = Scene::with("[server.limits]\nheader_time = '300ms'").await;
    let session = scene.session_of("Ada").await;
    let own = format!("Origin: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n", scene.gateway.origin());
    for (framing, drip) in [("Content-Length: 16000", "a"), ("Transfer-Encoding: chunked", "1\r\na\r\n")] {
        let mut raw = scene.raw().await;
        raw.send(scene.request("POST", "/_vestibule/logout", &format!("{session}{own}{framing}\r\n"))).await;
        let (mut reading, mut writing) = tokio::io::split(raw.into_stream());
        let drips = async {
            while writing.write_all(drip.as_bytes()).await.is_ok() {
                sleep(Duration::from_millis(10)).await; // the attacker's own pace
            }
        };
        let mut answer = [0; 12];
        let answered = async { reading.read_exact(&mut answer).await.unwrap() };
        tokio::select! { _ = answered => {}, () = drips => {} }
        assert_eq!(&answer, b"HTTP/1.1 408", "{framing}");
    }
    let whole = format!("{session}{own}Content-Length: 3\r\n");
    let mut raw = scene.raw().await;
    raw.send(scene.request("POST", "/_vestibule/logout", &whole) + "a=b").await;
    assert_eq!(raw.answer("POST").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_loses_the_connection() {
    // AT-SM-23
    let scene = Scene::with("[server.limits]\nidle_time = '150ms'").await;
    let session = scene.session_of("Ada").await;
    let endless = "x".repeat(32 << 20);
    scene.upstream.answers_once(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{endless}", endless.len()));
    let mut stream = scene.raw().await.into_stream();
    stream.write_all(scene.request("GET", "/", &session).as_bytes()).await.unwrap();
    scene.upstream.wait_for(1).await;
    // The reset shows in what we write.
    while stream.write_all(b"\r\n").await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_cap_wait_and_health_is_answered() {
    // AT-SM-25
    let scene = Scene::with("[server]\ntrusted_proxies = ['127.0.0.0/8']\n[server.limits]\nconnections = 2").await;
    let session = scene.session_of("Ada").await;
    let mut open = [scene.raw().await, scene.raw().await];
    for raw in &mut open {
        raw.send(scene.request("GET", "/open", &session)).await;
        assert_eq!(raw.answer("GET").await.status, 200);
    }
    let mut third = scene.raw().await;
    third.send(scene.request("GET", "/third", &session)).await;
    assert!(!scene.gateway.admin_text("/livez").await.is_empty());
    open[0].send(scene.request("GET", "/open", &session)).await;
    assert_eq!(open[0].answer("GET").await.status, 200);
    assert!(scene.upstream.seen().iter().all(|seen| seen.target == "/open"), "the third waits");
    drop(open);
    assert_eq!(third.answer("GET").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_answered_or_dropped_and_nothing_more() {
    let scene = Scene::with("[server.limits]\nheader_time = '150ms'").await;
    for noise in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..],
        b"\0\0\0\0\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ] {
        let mut raw = Raw::connect(scene.gateway.address).await;
        raw.send(noise).await;
        raw.until_closed().await;
    }
    scene.assert_nobody_was_asked("noise");
    assert_eq!(scene.sends("GET", "/", "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_fields_that_are_no_trace_start_anew_or_are_too_large() {
    // AT-CL-18, FW-09
    let scene = Scene::with("[server.limits]\nheader_bytes = '16KiB'\n[route.app]\naccess = 'public'").await;
    let (state, baggage) = ("a=1,".repeat(1000), "k=v,".repeat(100));
    let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    for parent in ["", "00-x", &zeros, &"f".repeat(4000)] {
        scene.forget_seen();
        let fields = format!("traceparent: {parent}\r\ntracestate: {state}\r\nbaggage: {baggage}\r\n");
        assert_eq!(scene.sends("GET", "/", &fields).await.status, 200, "{parent}");
        let seen = scene.upstream.only_request();
        let renewed = seen.header("traceparent").unwrap();
        assert!(renewed.len() == 55 && renewed.starts_with("00-") && renewed != parent, "{renewed}");
        assert_eq!((seen.header("tracestate"), seen.header("baggage")), (None, Some(baggage.as_str())));
    }
    scene.forget_seen();
    let oversized = format!("traceparent: {zeros}\r\ntracestate: {}\r\n", "a=1,".repeat(5000));
    assert_eq!(scene.sends("GET", "/", &oversized).await.status, 431);
    scene.assert_nobody_was_asked("too large");
}
