//! To the application and back: what arrives, byte for byte; what streams; and whose fault it is when nothing comes.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::harness::browser::Ask;
use crate::harness::frames::{self, Fate};
use crate::harness::{Authority, Frames, Gateway, Raw, RecordingUpstream, Scene, Stage};

const PUBLIC: &str = "[route.app]\naccess = 'public'";

/// A gateway that lets everybody through to an application whose part the test plays; one worker, so that all clients
/// share its connections.
async fn open_to(stage: &Stage) -> Gateway {
    Gateway::in_front_of_url(&stage.url()).with(PUBLIC).with("[server]\nworkers = 1").start().await
}

fn get(gateway: &Gateway, target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", gateway.authority())
}

#[tokio::test(flavor = "multi_thread")]
async fn path_and_query_arrive_byte_for_byte() {
    // PX-41, AT-PM-05
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let mut raw = scene.raw().await;
    let targets = [
        "/",
        "/?",
        "/a?b=c&b=d;e",
        "/%7Ejo/%C3%A9?q=%zz[]|",
        "/a//b/",
        "/a%2Fb",
        "/%252e%252e/x",
        "/a;v=1/b?/../c",
        "/é",
        "/a/../b?x",
        "/%41?%41",
        "/*",
        "/a@b:80",
        "/?http://other.example/",
        "/b%20c+d?e+f%20g",
    ];
    for target in targets {
        raw.send(scene.request("GET", target, &session)).await;
        assert_eq!(raw.answer("GET").await.status, 200, "{target}");
        assert_eq!(scene.upstream.last_request().head.split(' ').nth(1), Some(target));
    }
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_streams_and_so_does_the_answer() {
    // WS-09: each piece arrives before the next one is sent
    let stage = Stage::start().await;
    let gateway = open_to(&stage).await;
    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "Transfer-Encoding: chunked\r\n").replace("GET", "POST")).await;
    let mut application = stage.connection().await;
    application.head().await;
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        assert_eq!(application.chunk().await.unwrap(), piece.as_bytes());
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(application.chunk().await.unwrap(), b"");
    application.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await;
    for piece in ["un", "deux", "trois"] {
        application.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        assert_eq!(client.chunk().await.unwrap(), piece.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_may_begin_before_the_upload_ends() {
    let stage = Stage::start().await;
    let gateway = open_to(&stage).await;
    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "Content-Length: 6\r\n").replace("GET", "POST")).await;
    client.send("abc").await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"early");
    client.send("def").await;
    assert_eq!(application.exactly(6).await.unwrap(), b"abcdef");
    application.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_slows_the_other_side_down() {
    // AT-SM-23: back-pressure both ways; what the kernel and we hold on the way stays far below what there is to send
    let stage = Stage::start().await;
    let gateway = open_to(&stage).await;
    let head = get(&gateway, "/", &format!("Content-Length: {PLENTY}\r\n")).replace("GET", "POST");
    let mut client = gateway.raw().await;
    client.send(head).await;
    let mut application = stage.connection().await;
    application.head().await;
    let mut uploading = client.into_stream();
    assert!(sent_before_it_stalls(&mut uploading).await < PLENTY / 2, "an upload is buffered");
    drop(uploading);

    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "")).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {PLENTY}\r\n\r\n")).await;
    client.head().await;
    assert!(sent_before_it_stalls(&mut application.into_stream()).await < PLENTY / 2, "an answer is buffered");
}

const PLENTY: usize = 64 << 20;

/// How many bytes are taken until none are for a while.
async fn sent_before_it_stalls(stream: &mut (impl tokio::io::AsyncWrite + Unpin)) -> usize {
    let piece = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while sent < PLENTY {
        match timeout(Duration::from_millis(300), stream.write(&piece)).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => return sent,
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    // PX-16
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    let mut raw = gateway.raw().await;
    for (method, answer, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n", 200, Some("5")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, None),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", 404, None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
    ] {
        upstream.answers_once(answer);
        raw.send(get(&gateway, "/", "").replace("GET", method)).await;
        let got = raw.answer(method).await;
        assert_eq!((got.status, got.header("content-length")), (status, length), "{answer}: {}", got.head);
    }
    assert!(raw.rest().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn informational_answers_are_followed_by_the_final_one() {
    // PX-14, PX-15, AT-SM-28. hyper's server has no way to send a 103 on: it is dropped, for every client.
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3);
    upstream.answers(format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let mut raw = gateway.raw().await;
    raw.send(get(&gateway, "/", "")).await;
    assert_eq!(raw.answer("GET").await.text(), "ok");
    // A client of 1.0 sees the final answer and nothing else.
    let old = Raw::once(gateway.address, format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", gateway.authority())).await;
    assert_eq!((old.status, old.text().as_str()), (200, "ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asked_for_a_101() {
    // PX-14, AT-SM-19
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    upstream.answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut raw = gateway.raw().await;
    raw.send(get(&gateway, "/", "")).await;
    assert_eq!(raw.answer("GET").await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways_when_they_are_wanted() {
    // PX-17, PX-18
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    upstream.answers(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n",
    );
    let mut raw = gateway.raw().await;
    let fields = "TE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check, Host\r\n";
    raw.send(get(&gateway, "/", fields).replace("GET", "POST")).await;
    raw.send("1\r\nb\r\n0\r\nX-Check: 2\r\nHost: evil.example\r\nX-Other: 3\r\n\r\n").await;
    let answer = raw.answer("POST").await;
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "1".to_owned())]);
    let seen = upstream.only_request();
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!((seen.text().as_str(), seen.trailers.len()), ("b", 1), "{seen:?}");
    assert_eq!(seen.trailers[0].1, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_and_conditional_requests_pass_unchanged() {
    // PX-34, PX-35, PX-37
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    let asked = [
        ("Range", "bytes=0-1, 4-"),
        ("If-Range", "\"a\""),
        ("If-None-Match", "W/\"a\", \"b\""),
        ("If-Match", "*"),
        ("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("Accept-Encoding", "br, gzip;q=0.5"),
    ];
    let fields: String = asked.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let said = "ETag: W/\"a\"\r\nContent-Encoding: br\r\nCache-Control: no-transform\r\nContent-Range: bytes 0-1/9\r\nRetry-After: 7\r\n";
    for status in [206, 412, 416, 429, 503] {
        upstream.answers(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n{said}\r\n\x1f\u{7f}"));
        let mut raw = gateway.raw().await;
        raw.send(get(&gateway, "/", &fields)).await;
        let answer = raw.answer("GET").await;
        assert_eq!((answer.status, answer.body.as_slice()), (status, b"\x1f\x7f".as_slice()));
        for line in said.trim_end().split("\r\n") {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(answer.header(name), Some(value));
        }
        let seen = upstream.last_request();
        assert!(asked.iter().all(|(name, value)| seen.all(name) == [*value]), "{}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_one_hop_end_there_and_others_keep_their_order() {
    // PX-01, PX-03, PX-04, PX-19, PX-36, PX-38, AT-SM-29
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(concat!(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive, Set-Cookie\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Hop: 1\r\n",
        "Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nVia: 1.1 inner\r\nSet-Cookie: b=1; Path=/, c\r\n",
        "Set-Cookie: a=2\r\nSet-Cookie: vestibule=stolen; Path=/\r\nSet-Cookie: b=3\r\nX-End: 1\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok",
    ));
    let fields = concat!(
        "Connection: close, X-Own, Cookie, Cache-Control\r\nX-Own: 1\r\nKeep-Alive: 1\r\nProxy-Connection: keep-alive\r\n",
        "TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nProxy-Authorization: Basic eDp5\r\nCache-Control: no-store\r\n",
        "Via: 1.0 outer\r\nX-Two: a\r\nX-Two: b, c\r\nCookie: x=1; y=\"2\"\r\n",
    );
    let answer = scene.sends("GET", "/", &format!("{fields}{session}")).await;
    let all = |name: &str| -> Vec<String> {
        answer
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .collect()
    };
    for gone in ["keep-alive", "upgrade", "x-hop", "proxy-authenticate", "proxy-authentication-info"] {
        assert_eq!(answer.header(gone), None, "{}", answer.head);
    }
    assert_eq!(all("set-cookie"), ["b=1; Path=/, c", "a=2", "b=3"]);
    assert_eq!(all("x-end"), ["1", "2"]);
    assert!(all("via")[0] == "1.1 inner" && all("via")[1].starts_with("1.1 vestibule-"), "{:?}", all("via"));
    assert_eq!(all("date").len(), 1);

    let seen = scene.upstream.only_request();
    let gone = [
        "x-own",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
        "connection",
    ];
    for gone in gone {
        assert_eq!(seen.header(gone), None, "{}", seen.head);
    }
    assert_eq!(seen.all("x-two"), ["a", "b, c"]);
    assert_eq!(seen.all("cache-control"), ["no-store"]);
    assert_eq!(seen.all("cookie"), ["x=1; y=\"2\""]);
    assert!(seen.all("via")[1].starts_with("1.1 vestibule-"), "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_of_gateways_is_noticed() {
    // PX-05
    let stage = Stage::start().await;
    let mut first = open_to(&stage).await;
    let second = Gateway::in_front_of_url(first.origin()).with(PUBLIC).start().await;
    first.reload_with(&format!("[route.app]\nupstream = '{}'\nhost_header = 'preserve'", second.origin()));
    let mut raw = first.raw().await;
    raw.send(get(&first, "/", "")).await;
    assert_eq!(raw.answer("GET").await.status, 508);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_hop_answers_itself() {
    // PX-06, PX-07, PX-08: and no cookie of the request comes back
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let options = scene.sends("OPTIONS", "/", &format!("{session}Max-Forwards: 0\r\n")).await;
    assert_eq!(options.status, 200);
    for (method, target) in [("TRACE", "/"), ("CONNECT", "app:80"), ("CONNECT", "/")] {
        let refused = scene.sends(method, target, &format!("{session}Max-Forwards: 0\r\n")).await;
        assert_eq!(refused.status, 405, "{method} {target}: {}", refused.head);
        assert!(!refused.text().contains("vestibule=") && !refused.head.contains("vestibule="));
    }
    scene.assert_nobody_was_asked("it ends here");
    scene.sends("OPTIONS", "/", &format!("{session}Max-Forwards: 3\r\n")).await;
    assert_eq!(scene.upstream.only_request().all("max-forwards"), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_nobody_knows_are_methods() {
    // PX-39: the same authentication, the same forwarding
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    assert_eq!(scene.sends("BREW", "/pot", "").await.status, 401);
    scene.assert_nobody_was_asked("no session");
    assert_eq!(scene.sends("BREW", "/pot", &session).await.status, 200);
    assert_eq!(scene.upstream.only_request().method, "BREW");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_only_when_the_application_wants_it() {
    // PX-13
    let stage = Stage::start().await;
    let gateway = open_to(&stage).await;
    let head = get(&gateway, "/", "Expect: 100-continue\r\nContent-Length: 4\r\n").replace("GET", "POST");
    let mut client = gateway.raw().await;
    client.send(&head).await;
    let mut application = stage.connection().await;
    assert!(application.head().await.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n"));
    application.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.any_answer("POST").await.unwrap().status, 100);
    client.send("body").await;
    assert_eq!(application.exactly(4).await.unwrap(), b"body");
    application.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status, 200);

    // Refused: the client is never asked for it, and the connection is not used on.
    let mut client = gateway.raw().await;
    client.send(&head).await;
    application.head().await;
    application.send("HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.any_answer("POST").await.unwrap().status, 401);
    assert!(client.is_closed().await);

    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "Expect: a-pony\r\n")).await;
    assert_eq!(client.answer("GET").await.status, 417);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_the_browsers_unless_the_route_says_otherwise() {
    // PX-10, PX-11
    let upstream = RecordingUpstream::start().await;
    let mut gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    let ask = async |gateway: &Gateway, request: String| {
        let status = Raw::once(gateway.address, request).await.status;
        (status, upstream.last_request().all("host").join("|"))
    };
    let spoof = "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nX-Host: evil.example\r\n";
    let authority = gateway.authority().to_owned();
    assert_eq!(ask(&gateway, get(&gateway, "/", spoof)).await, (200, authority.clone()));
    let absolute = "GET http://own.example/a?b HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(ask(&gateway, absolute.to_owned()).await, (200, "own.example".to_owned()));
    assert_eq!(upstream.last_request().target, "/a?b");
    gateway.reload_with("[route.app]\nhost_header = 'upstream'");
    assert_eq!(ask(&gateway, get(&gateway, "/", spoof)).await, (200, upstream.address.to_string()));
    gateway.reload_with("[route.app]\nhost_header = 'inner.example:81'");
    assert_eq!(ask(&gateway, get(&gateway, "/", spoof)).await, (200, "inner.example:81".to_owned()));
}

/// Sends each of these fields by itself, over both protocols, and gives those that arrived.
async fn arriving<'a>(gateway: &Gateway, upstream: &RecordingUpstream, names: &[&'a str]) -> Vec<&'a str> {
    let mut arrived = Vec::new();
    for name in names {
        upstream.forget_seen();
        Raw::once(gateway.address, get(gateway, "/p/x", &format!("{name}: 41\r\n"))).await;
        let lower = name.to_ascii_lowercase();
        let mut frames = Frames::connect(gateway.address).await;
        frames.asks(&[&frames::get(gateway.authority(), "/p/x")[..], &[(&lower, "41")]].concat()).await;
        assert_eq!(frames.fate(1).await, Fate::Answered(200), "{name}");
        let seen = upstream.seen();
        assert_eq!(seen.len(), 2, "{name}");
        let hits = seen.iter().filter(|seen| seen.headers.iter().any(|(_, value)| value == "41")).count();
        assert!(hits != 1, "{name} arrives over one protocol only");
        arrived.extend((hits == 2).then_some(*name));
    }
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_judged_arrives_in_a_second_form() {
    // PX-40, FW-04, AT-HS-16, AT-HS-17
    let upstream = RecordingUpstream::start().await;
    let methods = [
        "X-HTTP-Method-Override",
        "X_HTTP_Method_Override",
        "x.http.method.override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Method",
        "HTTP-Method-Override",
        "X-Original-Method",
    ];
    let hosts = ["X-Host", "X_Host", "X-Http-Host-Override", "X-Original-Host", "X-Forwarded-Server", "Forwarded-Host"];
    let framing = ["Transfer_Encoding", "transfer.encoding", "Content_Length", "Content.Length", "Keep_Alive"];
    let addresses = [
        "True-Client-IP",
        "True_Client_IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "Fastly-Client-IP",
        "X-Envoy-External-Address",
        "Client-IP",
        "Fly-Client-IP",
        "X-Original-Forwarded-For",
        "X-Azure-ClientIP",
        "Front-End-Https",
        "X-Url-Scheme",
        "HTTPS",
        "X-Client-Port",
    ];
    let never = [&hosts[..], &framing[..], &["X-Real-IP", "X-Forwarded-Scheme", "X-Forwarded-Protocol"]].concat();
    for trusted in ["", "'127.0.0.1/32'"] {
        let public = format!("[server]\ntrusted_proxies = [{trusted}]\n{PUBLIC}");
        let gateway = Gateway::in_front_of(&upstream).with(&public).start().await;
        assert_eq!(arriving(&gateway, &upstream, &never).await, Vec::<&str>::new());
        let believed = if trusted.is_empty() { &[][..] } else { &addresses[..] };
        assert_eq!(arriving(&gateway, &upstream, &addresses).await, believed);
        // Where rules do not look at the method, it is for the application to say which one counts.
        assert_eq!(arriving(&gateway, &upstream, &methods).await, methods);
        for rules in [
            "[route.read]\npath = '/p'\nmethods = ['GET']\nupstream = 'UP'\naccess = 'public'",
            "[route.rest]\npath = '/p'\nupstream = 'UP'\naccess = 'public'\n\
             [route.write]\npath = '/p'\nmethods = ['DELETE']\naccess = 'deny'",
        ] {
            let rules = rules.replace("UP", &upstream.url());
            let mut gateway = Gateway::in_front_of(&upstream).with(&public).with(&rules).start().await;
            assert_eq!(arriving(&gateway, &upstream, &methods).await, Vec::<&str>::new(), "{rules}");
            let deeper = format!("[route.deeper]\npath = '/p/x'\naccess = 'public'\nupstream = '{}'", upstream.url());
            gateway.reload_with(&deeper);
            assert_eq!(arriving(&gateway, &upstream, &methods).await, methods, "of another path");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_stays_under_the_rules_that_were_asked() {
    // PX-41, AT-PM-02: RFC 4918 section 10.3
    let upstream = RecordingUpstream::start().await;
    let rules = format!(
        "{PUBLIC}\n[route.app.paths]\n'/admin' = {{ access = 'deny' }}\n\
         [route.other]\nhost = 'other.example'\naccess = 'public'\nupstream = '{}'",
        upstream.url()
    );
    let gateway = Gateway::in_front_of(&upstream).with(&rules).start().await;
    let own = gateway.origin();
    let here = ["/files/b".to_owned(), "/administrators".to_owned(), format!("{own}/files/b?x")];
    let closed = ["/admin/b".to_owned(), format!("{own}/admin/b")];
    let elsewhere = [
        "/files/../admin/b".to_owned(),
        "/%61dmin/b".to_owned(),
        "//x/admin/b".to_owned(),
        // A route for any host takes every name in, but none of these was asked for, is the public URL's, or is named.
        "https://alias.example/files/b".to_owned(),
        "http://alias.example/admin".to_owned(),
        "http://other.example/files/b".to_owned(),
        "http://other.example/admin".to_owned(),
        "/_vestibule/logout".to_owned(),
        "/files/b#/../../admin".to_owned(),
        "files/b".to_owned(),
        "a b".to_owned(),
        String::new(),
        "/files/b\r\nDestination: /admin/b".to_owned(),
    ];
    let of = |list: &'_ [String], status: u16| list.iter().map(|it| (it.clone(), status)).collect::<Vec<_>>();
    for (destination, status) in [of(&here, 200), of(&closed, 403), of(&elsewhere, 400)].concat() {
        let passes = status == 200;
        for method in ["COPY", "MOVE"] {
            upstream.forget_seen();
            let request =
                get(&gateway, "/files/a", &format!("Destination: {destination}\r\n")).replacen("GET", method, 1);
            let answer = Raw::once(gateway.address, request).await;
            assert_eq!(answer.status, status, "{method} to {destination}");
            let seen = upstream.seen();
            assert_eq!(seen.len(), usize::from(passes), "{method} to {destination}");
            assert!(seen.iter().all(|it| it.all("destination") == [destination.as_str()]), "byte for byte");
        }
        // To other methods the field means nothing, and the application does not get it.
        let request = get(&gateway, "/files/a", &format!("Destination: {destination}\r\n"));
        assert_eq!(Raw::once(gateway.address, request).await.status, 200, "{destination}");
        assert_eq!(upstream.last_request().header("destination"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_addresses_take_turns_and_one_that_is_down_costs_nobody_anything() {
    // PX-33
    let (one, two) = (RecordingUpstream::start().await, RecordingUpstream::start().await);
    let down = Stage::start().await;
    let all = format!("upstream = ['{}', '{}', '{}']", one.url(), two.url(), down.url());
    drop(down);
    let gateway = Gateway::in_front_of(&one)
        .with(&format!("[server]\nworkers = 1\n[route.app]\naccess = 'public'\n{all}"))
        .start()
        .await;
    let mut raw = gateway.raw().await;
    for turn in 0..12 {
        raw.send(get(&gateway, &format!("/{turn}"), "")).await;
        assert_eq!(raw.answer("GET").await.status, 200);
    }
    let (one, two) = (one.seen().len(), two.seen().len());
    assert_eq!(one + two, 12, "each request arrived once");
    assert!(one >= 4 && two >= 4, "{one} and {two}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_never_sent_is_sent_again() {
    // PX-33
    let stage = Stage::start().await;
    let gateway = open_to(&stage).await;
    let mut client = gateway.raw().await;
    let post = get(&gateway, "/pay", "Content-Length: 2\r\n").replace("GET", "POST") + "42";
    client.send(&post).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.exactly(2).await.unwrap();
    application.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status, 200);

    // Sent on the connection that was kept, and cut before any answer: the application may have acted on it.
    client.send(&post).await;
    application.head().await;
    drop(application);
    assert_eq!(client.answer("POST").await.status, 502);

    // Not sent, because no kept connection is left: a new one.
    client.send(&post).await;
    let mut application = stage.connection().await;
    application.head().await;
    application.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_fails_is_blamed_and_the_sign_in_is_not() {
    // PX-36, AT-SM-26
    let gone = Stage::start().await.url();
    let scene = Scene::with(&format!("[route.gone]\npath = '/gone'\nupstream = '{gone}'")).await;
    let session = scene.session_of("Ada").await;
    let page = "Accept: text/html\r\n";
    scene.upstream.answers("");
    for (path, reason) in [("/gone", "VB-3001"), ("/", "VB-3003")] {
        let answer = scene.sends("GET", path, &format!("{session}{page}")).await;
        assert_eq!(answer.status, 502, "{path}");
        assert!(answer.text().contains(reason) && answer.text().contains("Your sign-in is fine"), "{}", answer.text());
        assert!(!answer.head.to_ascii_lowercase().contains("set-cookie") && answer.header("location").is_none());
    }
    scene.upstream.answers("nonsense\r\n\r\n");
    let script = scene.sends("GET", "/", &format!("{session}Sec-Fetch-Mode: cors\r\n")).await;
    assert_eq!((script.status, script.header("content-type")), (502, Some("application/problem+json")));
    assert!(!script.text().contains(&gone) && !script.text().contains(&scene.upstream.address.to_string()));
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_keeps_silent_is_504_and_one_that_stops_is_cut() {
    // PX-31, PX-36, AT-SM-26
    let stage = Stage::start().await;
    let timeouts = "[server]\nworkers = 1\n[route.app.timeouts]\nfirst_byte = '150ms'\nidle = '150ms'";
    let gateway = Gateway::in_front_of_url(&stage.url()).with(PUBLIC).with(timeouts).start().await;
    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "Accept: text/html\r\n")).await;
    let mut silent = stage.connection().await;
    silent.head().await;
    let answer = client.answer("GET").await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("VB-3002") && answer.text().contains("Your sign-in is fine"));
    assert!(silent.is_closed().await, "a connection that owes an answer is not used again");

    client.send(get(&gateway, "/", "")).await;
    let mut drips = stage.connection().await;
    drips.head().await;
    drips.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"abc");
    assert_eq!(client.chunk().await, None, "cut, without the last chunk");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_early_never_looks_complete() {
    // PX-31, AT-SM-26
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with(PUBLIC).start().await;
    for cut in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    ] {
        upstream.answers(cut);
        let mut raw = gateway.raw().await;
        raw.send(get(&gateway, "/", "")).await;
        assert!(raw.any_answer("GET").await.is_none(), "{cut}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let upstream = RecordingUpstream::on_unix(&path);
    let gateway = Gateway::in_front_of_url(&format!("unix:{}", path.display())).with(PUBLIC).start().await;
    let answer = Raw::once(gateway.address, get(&gateway, "/a?b", "")).await;
    assert_eq!((answer.status, upstream.only_request().target.as_str()), (200, "/a?b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_speak_http2_in_clear_text() {
    // PX-45: cookies arrive joined, the host as :authority, trailers both ways
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&format!("h2c://{}", stage.address)).with(PUBLIC).start().await;
    let serving = tokio::spawn(async move {
        let echo = service_fn(async |request: Request<Incoming>| {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let told = format!("{} {} {:?} {}", parts.method, parts.uri, parts.headers.get("cookie"), body.len());
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(told))))
        });
        let stream = TokioIo::new(stage.stream().await);
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, echo).await
    });
    let mut raw = gateway.raw().await;
    for body in ["", "hello"] {
        let fields = format!("Cookie: a=1\r\nContent-Length: {}\r\n", body.len());
        raw.send(get(&gateway, "/a%2F?b", &fields).replace("GET", "PUT") + body).await;
        let told = format!("PUT http://{}/a%2F?b Some(\"a=1\") {}", gateway.authority(), body.len());
        assert_eq!(raw.answer("PUT").await.text(), told);
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_behind_tls_is_verified_and_verifies() {
    // TL-02
    let (authority, stranger) = (Authority::new(), Authority::new());
    let client = authority.certifies("client", &["vestibule.internal"]);
    let upstream = RecordingUpstream::over_tls(authority.acceptor("app.internal", &["http/1.1"], true)).await;
    let url = format!("https://{}", upstream.address);
    let shown = format!("cert = '{}'\nkey = '{}'", client.cert.display(), client.key.display());
    let trusting = |root: &Authority, rest: &str| {
        format!("[route.app]\naccess = 'public'\n[route.app.tls]\nca = '{}'\n{rest}", root.root().display())
    };
    for (told, status) in [
        (trusting(&authority, &format!("server_name = 'app.internal'\n{shown}")), 200),
        (trusting(&authority, "server_name = 'app.internal'"), 502),
        (trusting(&authority, &format!("server_name = 'other.internal'\n{shown}")), 502),
        (trusting(&authority, &shown), 502),
        (trusting(&stranger, &format!("server_name = 'app.internal'\n{shown}")), 502),
    ] {
        upstream.forget_seen();
        let gateway = Gateway::in_front_of_url(&url).with(&told).start().await;
        let answer = Raw::once(gateway.address, get(&gateway, "/", "")).await;
        assert_eq!(answer.status, status, "{told}");
        assert_eq!(upstream.seen().len(), usize::from(status == 200), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_never_finishes_its_handshake_is_504() {
    // PX-36, AT-SM-26
    let stage = Stage::start().await;
    let gateway = Gateway::in_front_of_url(&format!("https://{}", stage.address)).with(PUBLIC);
    let gateway = gateway.with("[route.app.timeouts]\nconnect = '150ms'").start().await;
    let answer = Raw::once(gateway.address, get(&gateway, "/", "Accept: text/html\r\n")).await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("VB-3002") && answer.text().contains("Your sign-in is fine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_cut_before_tls_says_so_is_not_whole() {
    // TL-09, PX-31: the end of the connection is not the end of the body unless close_notify says so
    let authority = Authority::new();
    let (acceptor, stage) = (authority.acceptor("app.internal", &["http/1.1"], false), Stage::start().await);
    let tls = format!("[route.app.tls]\nca = '{}'\nserver_name = 'app.internal'", authority.root().display());
    let gateway = Gateway::in_front_of_url(&format!("https://{}", stage.address)).with(PUBLIC).with(&tls).start().await;
    let mut client = gateway.raw().await;
    client.send(get(&gateway, "/", "")).await;
    let mut application = acceptor.accept(stage.stream().await).await.unwrap();
    let mut asked = [0; 4096];
    assert!(application.read(&mut asked).await.unwrap() > 0);
    application.write_all(b"HTTP/1.1 200 OK\r\n\r\npart").await.unwrap();
    application.flush().await.unwrap();
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"part");
    drop(application);
    assert_eq!(client.chunk().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_route_answers_by_itself_under_the_same_rules() {
    let scene = Scene::with("[route.empty]\npath = '/empty'\nupstream = 'static:204'").await;
    assert_eq!(scene.sends("GET", "/empty", "").await.status, 401);
    let session = scene.session_of("Ada").await;
    assert_eq!(scene.sends("GET", "/empty/x", &session).await.status, 204);
    scene.assert_nobody_was_asked("nobody stands behind it");
    let page = scene.gateway.browser().does(Ask::navigation(&scene.gateway.url("/empty")).without_following()).await;
    assert_eq!(page.status, 302);
}
