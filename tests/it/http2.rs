//! HTTP/2 from the client: in clear text and over TLS, honest and not, and what of it reaches an HTTP/1.1 application.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::harness::frames::{
    CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, Fate, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get, headers,
};
use crate::harness::{Authority, Frames, Gateway, Scene};

/// A signed-in `POST /a`, so far.
fn post<'a>(authority: &'a str, session: &'a str) -> [(&'a str, &'a str); 5] {
    [(":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", "/a"), ("cookie", value(session))]
}

/// The session without the name of its field.
fn value(session: &str) -> &str {
    session.trim_end().strip_prefix("Cookie: ").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_over_http2() {
    let scene = Scene::with("").await;
    let page = scene.gateway.browser().over_http2().signs_in(&scene.gateway.url("/wiki?x=%2F"), "Ada").await;
    assert_eq!((page.status, page.url.to_string()), (200, scene.gateway.url("/wiki?x=%2F")));
    let seen = scene.upstream.only_request();
    assert_eq!((seen.target.as_str(), seen.header("x-forwarded-user")), ("/wiki?x=%2F", Some("248289761001")));
    assert_eq!((seen.all("host"), seen.header("cookie")), (vec![scene.gateway.authority()], None));
    assert!(seen.header("via").unwrap().starts_with("2 "), "{}", seen.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn crumbs_of_cookies_are_joined_and_ours_are_left_out() {
    // PX-45
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let mut fields = get(scene.gateway.authority(), "/a").to_vec();
    fields.extend([("cookie", "a=1"), ("cookie", value(&session)), ("cookie", "b=\"2\""), ("x-a", "1"), ("x-a", "2")]);
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.asks(&fields).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    let seen = scene.upstream.only_request();
    assert_eq!((seen.all("cookie"), seen.all("x-a")), (vec!["a=1; b=\"2\""], vec!["1", "2"]));
    assert!(seen.head.starts_with("GET /a HTTP/1.1\r\n"));
}

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// Fields that no request may have, beside those that every request has, and what becomes of it.
fn wrong_fields() -> Vec<(Fields<'static>, Fate)> {
    let one = [
        (STREAM, ("transfer-encoding", "chunked")),
        (STREAM, ("connection", "close")),
        (STREAM, ("connection", "x-forwarded-user")),
        (STREAM, ("keep-alive", "1")),
        (STREAM, ("proxy-connection", "x")),
        (STREAM, ("upgrade", "websocket")),
        (STREAM, ("te", "gzip")),
        (STREAM, ("content-length", "5")),
        (CONNECTION, ("X-Forwarded-User", "evil")),
        (CONNECTION, (":x-forwarded-user", "evil")),
        (STREAM, (":status", "200")),
        (STREAM, (":path", "/b")),
        (STREAM, (":method", "POST")),
        (Fate::Answered(400), ("host", "evil.example")),
        (CONNECTION, ("x-a", "b\r\nx-forwarded-user: evil")),
        (CONNECTION, ("x-a", "b\nc")),
        (CONNECTION, ("x-a", "b\0c")),
        (CONNECTION, ("x-a\r\nx-b", "c")),
        (CONNECTION, ("x a", "c")),
        (CONNECTION, ("", "c")),
        (CONNECTION, ("x-a:", "c")),
        // AT-WS-10: never offered
        (STREAM, (":protocol", "websocket")),
    ];
    let two = [[("content-length", "1"), ("content-length", "2")], [("x-a", "1"), (":authority", "evil.example")]];
    let one = one.iter().map(|(fate, field)| (vec![*field], *fate));
    one.chain(two.iter().map(|fields| (fields.to_vec(), STREAM))).collect()
}

/// Pseudo-fields that are not those of a request, and what becomes of it.
fn wrong_pseudo_fields(at: &str) -> Vec<(Fields<'_>, Fate)> {
    let [method, scheme, authority, path] = get(at, "/a");
    let (refused, connect) = (Fate::Answered(400), (":method", "CONNECT"));
    let paths = [
        (STREAM, ""),
        (STREAM, "a"),
        (STREAM, "/a b"),
        (STREAM, "/a\r\nx: y"),
        (STREAM, "/a HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled"),
        (refused, "*"),
        (STREAM, "/\0"),
        (STREAM, "//evil.example:80:80@/\u{7f}"),
        (STREAM, "http://evil.example/a"),
    ];
    let with_path = paths.map(|(fate, path)| (vec![method, scheme, authority, (":path", path)], fate));
    let others = [
        (vec![method, scheme, (":authority", ""), path], STREAM),
        (vec![method, scheme, (":authority", "a b"), path], STREAM),
        (vec![method, scheme, (":authority", "evil.example@x"), path], refused),
        (vec![method, (":scheme", "ftp"), authority, path], refused),
        (vec![method, (":scheme", "http\r\nx: y"), authority, path], STREAM),
        (vec![(":method", ""), scheme, authority, path], CONNECTION),
        (vec![(":method", "GET /smuggled HTTP/1.1\r\n"), scheme, authority, path], CONNECTION),
        (vec![method, scheme, authority], STREAM),
        (vec![method, authority, path], STREAM),
        (vec![scheme, authority, path], STREAM),
        (vec![method, scheme, path], refused),
        (vec![connect, authority], Fate::Answered(405)),
        // AT-WS-10: never offered
        (vec![connect, (":protocol", "websocket"), scheme, authority, path], STREAM),
        (vec![connect, (":protocol", "foo"), scheme, authority, path, ("sec-websocket-version", "13")], STREAM),
    ];
    with_path.into_iter().chain(others).collect()
}

/// PROTOCOL_ERROR (RFC 9113 section 7), of the stream or of the whole connection.
const STREAM: Fate = Fate::Reset(1);
const CONNECTION: Fate = Fate::Ended(Some(1));

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_nothing_of_them_arrives() {
    // PX-42, PX-43, PX-44, PX-46, WS-08, AT-HS-08, AT-SM-14, AT-SM-16, AT-WS-10
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let at = scene.gateway.authority();
    let beside = wrong_fields().into_iter().map(|(more, wanted)| ([&get(at, "/a")[..], &more].concat(), wanted));
    for (mut fields, wanted) in beside.chain(wrong_pseudo_fields(at)) {
        fields.push(("cookie", value(&session)));
        let mut frames = Frames::connect(scene.gateway.address).await;
        frames.asks(&fields).await;
        assert_eq!(frames.fate(1).await, wanted, "{fields:?}");
        scene.assert_nobody_was_asked(&format!("{fields:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_not_the_bodys_smuggles_nothing() {
    // PX-44, AT-SM-14
    let scene = Scene::with("[server]\nworkers = 1").await;
    let session = scene.session_of("Ada").await;
    let post = post(scene.gateway.authority(), &session);
    for (length, body) in
        [("0", "GET /smuggled HTTP/1.1\r\n\r\n"), ("3", "abcGET /smuggled HTTP/1.1\r\n\r\n"), ("100", "short")]
    {
        let mut frames = Frames::connect(scene.gateway.address).await;
        let fields = [&post[..], &[("content-length", length)]].concat();
        frames.send([headers(1, 0, &block(&fields)), frame(DATA, END_STREAM, 1, body.as_bytes())].concat()).await;
        assert_eq!(frames.fate(1).await, STREAM, "{length}");
        let answer = scene.sends("GET", "/other", &session).await;
        assert!(answer.text().contains("\"target\":\"/other\""), "{}", answer.text());
    }
    assert!(scene.upstream.seen().iter().all(|seen| seen.target == "/other"), "{:#?}", scene.upstream.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_identity_headers_are_removed_from_http2_too() {
    // AT-HS-08: in the head, doubled, and in trailers
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let spoofs = [
        ("x-forwarded-user", "evil"),
        ("x-forwarded-user", "evil"),
        ("x_forwarded_user", "evil"),
        ("remote-user", "evil"),
        ("trailer", "x-forwarded-user, x-sum"),
    ];
    let post = [&post(scene.gateway.authority(), &session)[..], &spoofs].concat();
    let mut frames = Frames::connect(scene.gateway.address).await;
    let trailers = block(&[("x-forwarded-user", "evil"), ("x-sum", "1")]);
    frames
        .send([headers(1, 0, &block(&post)), frame(DATA, 0, 1, b"body"), headers(1, END_STREAM, &trailers)].concat())
        .await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    let seen = scene.upstream.only_request();
    assert_eq!((seen.all("x-forwarded-user"), seen.text()), (vec!["248289761001"], "body".to_owned()));
    assert!(!seen.head.contains("evil") && seen.trailers.iter().all(|(_, value)| value == "1"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_is_judged_by_itself() {
    // AT-SM-13
    let scene = Scene::with("").await;
    let session = scene.session_of("Ada").await;
    let with = [&get(scene.gateway.authority(), "/1")[..], &[("cookie", value(&session))]].concat();
    let without = get(scene.gateway.authority(), "/2");
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.send(headers(1, END_STREAM, &block(&with))).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    frames.send(headers(3, END_STREAM, &block(&without))).await;
    assert_eq!(frames.fate(3).await, Fate::Answered(401));
    assert_eq!(scene.upstream.only_request().target, "/1");
}

/// Sends for as long as it is taken, while everything that comes is read; the error code of the GOAWAY, if one came.
async fn flood(gateway: &Gateway, mut bytes: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    use tokio::io::AsyncWriteExt as _;
    let stream = Frames::connect(gateway.address).await.into_raw().into_stream();
    let (reading, mut writing) = tokio::io::split(stream);
    let send = async {
        let mut number = 0;
        while writing.write_all(&bytes(number)).await.is_ok() {
            number += 1;
        }
        std::future::pending::<()>().await;
    };
    let mut frames = Frames::reading(reading);
    let ended = async {
        tokio::select! {
            code = frames.end() => code,
            () = send => None,
        }
    };
    timeout(Duration::from_secs(20), ended).await.unwrap_or_else(|_| panic!("the flood is taken without end"))
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_the_connection_and_nobody_elses() {
    // PX-47, AT-SM-17
    let scene = Scene::with("[server.limits]\nheader_time = '250ms'\nidle_time = '250ms'").await;
    let session = scene.session_of("Ada").await;
    let request = block(&get(scene.gateway.authority(), "/a"));
    let post = block(&post(scene.gateway.authority(), &session));
    // Resets right after requests (CVE-2023-44487).
    let resets = flood(&scene.gateway, |number| {
        let stream = number * 2 + 1;
        [headers(stream, END_STREAM, &request), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    });
    assert_eq!(resets.await, Some(ENHANCE_YOUR_CALM));
    // A head without end (CVE-2024-27316).
    let field = block(&[("x-pad", &"v".repeat(200))]);
    let continuations = flood(&scene.gateway, |number| match number {
        0 => frame(HEADERS, END_STREAM, 1, &request),
        _ => frame(CONTINUATION, 0, 1, &field),
    });
    assert!(continuations.await.is_some());
    // Frames that ask for nothing: they do not keep a connection.
    flood(&scene.gateway, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(100)).await;
    flood(&scene.gateway, |_| frame(PING, 0, 0, &[0; 8]).repeat(100)).await;
    flood(&scene.gateway, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(100)).await;
    flood(&scene.gateway, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100)).await;
    // A body of empty frames (CVE-2019-9518).
    flood(&scene.gateway, |number| match number {
        0 => headers(1, 0, &post),
        _ => frame(DATA, 0, 1, &[]).repeat(100),
    })
    .await;
    assert!(scene.upstream.seen().is_empty(), "{:#?}", scene.upstream.seen());
    assert!(scene.idp.seen().is_empty());
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_list_is_measured_unpacked() {
    // PX-48, AT-SM-17: an HPACK bomb: one long entry of the table, named a thousand times
    let scene = Scene::with("[server.limits]\nheader_bytes = '16KiB'").await;
    let session = scene.session_of("Ada").await;
    let mut bomb = block(&[&get(scene.gateway.authority(), "/a")[..], &[("cookie", value(&session))]].concat());
    bomb.extend_from_slice(&[0x40, 1, b'x', 127, 0xc9, 0x1e]); // literal with indexing: 127 + 0x49 + 0x1e * 128 = 4040 bytes
    bomb.extend(std::iter::repeat_n(b'v', 4040));
    bomb.extend(std::iter::repeat_n(0xbe, 1000)); // index 62: the newest entry of the table
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.send(headers(1, END_STREAM, &bomb)).await;
    // ENHANCE_YOUR_CALM
    assert_eq!(frames.fate(1).await, Fate::Ended(Some(11)));
    scene.assert_nobody_was_asked("too large");

    // Told beforehand: SETTINGS_MAX_HEADER_LIST_SIZE; and no extended CONNECT (AT-WS-10).
    let settings = Frames::connect(scene.gateway.address).await.next().await.unwrap();
    assert_eq!((settings.kind, settings.stream, settings.flags), (SETTINGS, 0, 0));
    let told =
        |id: u8| settings.payload.chunks(6).find(|setting| setting[1] == id).map(|setting| setting[2..].to_vec());
    assert_eq!(told(6), Some(vec![0, 0, 0x40, 0]));
    assert!(told(3).is_some() && told(8).is_none_or(|value| value == [0; 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_nothing_does_not_hold_an_answer_for_ever() {
    // PX-47, AT-SM-17, AT-SM-23
    let scene = Scene::with("[server.limits]\nidle_time = '250ms'").await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers_once(format!("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n{}", "x".repeat(500_000)));
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    frames.asks(&[&get(scene.gateway.authority(), "/a")[..], &[("cookie", value(&session))]].concat()).await;
    frames.end().await;
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_alpn_decides() {
    // TL-05
    let authority = Authority::new();
    let pair = authority.certifies("wiki", &["wiki.example.com"]);
    let tls = format!("[server.tls]\ncert = '{}'\nkey = '{}'", pair.cert.display(), pair.key.display());
    let scene =
        Scene::built(|gateway| gateway.at_https("wiki.example.com").with("[route.app]\naccess = 'public'").with(&tls))
            .await;
    let stream = authority.connect(scene.gateway.address, "wiki.example.com", &["h2"]).await.unwrap();
    let (answer, trailers) = exchange(stream, "https://wiki.example.com/a%2Fb?c").await;
    assert!(answer.contains("\"target\":\"/a%2Fb?c\"") && trailers.is_none(), "{answer}");
    let seen = scene.upstream.only_request();
    assert_eq!((seen.header("host"), seen.header("x-forwarded-proto")), (Some("wiki.example.com"), Some("https")));
}

/// One request with a streamed body over HTTP/2.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &str,
) -> (String, Option<HeaderMap>) {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    let collected = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    (String::from_utf8(collected.to_bytes().to_vec()).unwrap(), trailers)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_stream_between_http2_and_http1() {
    // PX-17
    let scene = Scene::with("[route.app]\naccess = 'public'").await;
    scene.upstream.answers(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let stream = tokio::net::TcpStream::connect(scene.gateway.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let pieces = ["a", "b", "c"].map(|piece| Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(piece))));
    let request = Request::post(scene.gateway.url("/a")).header("te", "trailers");
    let request = request.body(StreamBody::new(futures_util::stream::iter(pieces))).unwrap();
    let collected = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
    assert_eq!(scene.upstream.only_request().text(), "abc");
}
