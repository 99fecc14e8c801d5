//! What strangers send: framing tricks of HTTP/1.1 and floods of HTTP/2, byte for byte.

use super::*;

/// A server that soon gives up on a client that says nothing more. (To close our side instead would say that we are gone.)
async fn impatient() -> Running {
    Running::with(|settings| {
        settings.limits.header_time = Duration::from_millis(300);
        settings.limits.idle_time = Duration::from_millis(300);
    })
    .await
}

/// What the server answers to bytes after which the client says nothing more, and how many requests that made.
async fn answers_to(server: &Running, bytes: &str) -> (String, usize) {
    let before = server.requests();
    let mut client = server.connect().await;
    // A megabyte need not be taken whole before the server hangs up.
    _ = client.0.write_all(bytes.as_bytes()).await;
    (client.rest().await, server.requests() - before)
}

#[tokio::test]
async fn requests_with_unclear_framing_are_refused() {
    let server = impatient().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    let refused = [
        ("AT-SM-04", format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")),
        ("AT-SM-04", format!("{head}Content-Length: 5, 6\r\n\r\nabcdef")),
        ("AT-SM-04", format!("{head}Content-Length: +5\r\n\r\nabcde")),
        ("AT-SM-04", format!("{head}Content-Length: 0x5\r\n\r\nabcde")),
        ("AT-SM-04", format!("{head}Content-Length: 1 2\r\n\r\nabcde")),
        ("AT-SM-04", format!("{head}Content-Length: -1\r\n\r\nabcde")),
        ("AT-SM-04", format!("{head}Content-Length: 18446744073709551621\r\n\r\nabcde")),
        ("AT-SM-01", format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")),
        ("AT-SM-01", format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")),
        ("AT-SM-07", "GET /a HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".to_owned()),
        ("AT-SM-10", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("AT-SM-10", "GET /\r\n\r\n".to_owned()),
        ("AT-SM-10", "GET / http/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("AT-SM-10", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned()),
        ("AT-SM-11", format!("{head}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n")),
        ("AT-SM-11", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-User: a\r\n b\r\n\r\n".to_owned()),
    ];
    for (attack, bytes) in refused {
        let (answer, requests) = answers_to(&server, &bytes).await;
        assert_eq!(requests, 0, "{attack}: {bytes:?} was let through");
        let refused = ["HTTP/1.1 400 ", "HTTP/1.0 400 ", "HTTP/1.1 505 "].iter().any(|start| answer.starts_with(start));
        assert!(refused || answer.is_empty(), "{attack}: {bytes:?} got {answer:?}");
    }
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_behind_an_unclear_body_becomes_a_request() {
    let server = impatient().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    let next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let at_most_one = [
        // Both lengths: Transfer-Encoding counts, and the connection ends with it (RFC 9112 section 6.1).
        ("AT-SM-01", format!("{head}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}")),
        ("AT-SM-02", format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n{next}")),
        ("AT-SM-08", format!("{head}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n{next}")),
        ("AT-SM-08", format!("{head}Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n{next}")),
        ("AT-SM-08", format!("{head}Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\na\r\n0\r\n\r\n{next}")),
        ("AT-SM-08", format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n{next}")),
        ("AT-SM-08", format!("{head}Transfer-Encoding: chunked\r\n\r\n1;a=\nb\r\na\r\n0\r\n\r\n{next}")),
        (
            "AT-SM-08",
            format!("{head}Transfer-Encoding: chunked\r\n\r\n1;{}\r\na\r\n0\r\n\r\n{next}", "x".repeat(1 << 20)),
        ),
    ];
    for (attack, bytes) in at_most_one {
        let (answer, requests) = answers_to(&server, &bytes).await;
        assert!(requests == 1, "{attack}: {requests} requests");
        assert!(!answer.contains("hello"), "{attack}: {answer}");
    }
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_nobody_read_is_not_the_next_request() {
    // AT-SM-05: the application answers without reading
    let server = impatient().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let bytes = format!("GET /peer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let (answer, requests) = answers_to(&server, &bytes).await;
    assert_eq!(requests, 1, "{answer}");
    server.stop().await;
}

/// Frames, as far as attacks need them (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// GET http://a/ in HPACK: indexed fields and a literal `:authority`.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn h2_raw(server: &Running) -> Raw<TcpStream> {
    let mut client = server.connect().await;
    client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.0.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    client
}

/// Reads frames until the connection ends; true if it was ended by a GOAWAY.
async fn ended_by_goaway(client: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut bytes = Vec::new();
    _ = soon(client.read_to_end(&mut bytes)).await;
    let mut rest = bytes.as_slice();
    while let [a, b, c, kind, ..] = rest {
        if *kind == GOAWAY {
            return true;
        }
        let length = 9 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        rest = rest.get(length..).unwrap_or_default();
    }
    false
}

/// Sends until the server does not take it any more, while everything that comes is read.
async fn flood(server: &Running, mut bytes: impl FnMut(u32) -> Option<Vec<u8>>) -> bool {
    let (mut reading, mut writing) = tokio::io::split(h2_raw(server).await.0);
    let send = async {
        for number in 0.. {
            let Some(bytes) = bytes(number) else { break };
            if writing.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    let (goaway, ()) = tokio::join!(ended_by_goaway(&mut reading), send);
    goaway
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    // PX-47, AT-SM-17: CVE-2023-44487
    let server = Running::start().await;
    let ended = flood(&server, |number| {
        let stream = number * 2 + 1;
        let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET);
        bytes.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        // All in one write, so that the server sees many resets before it can begin to answer.
        (number < 10_000).then_some(bytes)
    });
    assert!(ended.await);
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn frames_without_a_request_end_the_connection() {
    // PX-47, AT-SM-17: what h2 answers or ignores for as long as it comes
    let server = Running::start().await;
    let floods = [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 0xff, 0, 0, 0, 1].repeat(2000))),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 9])),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &8u32.to_be_bytes())),
        ("unknown", frame(0x42, 0, 0, b"grease")),
    ];
    for (kind, bytes) in floods {
        let bytes = bytes.repeat(50);
        let ended = flood(&server, |number| match number {
            0 => Some(frame(HEADERS, END_STREAM | END_HEADERS, 1, &GET)),
            1..10_000 => Some(bytes.clone()),
            _ => None,
        });
        assert!(ended.await, "{kind}");
    }
    let metrics = server.admin_text("/metrics").await;
    assert!(metrics.contains("vestibule_http2_floods_total{frame=\"SETTINGS\"} 2"), "{metrics}");
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_acknowledges_every_frame_of_a_download_is_no_flood() {
    // PX-47: the other side of it
    let server = Running::start().await;
    let endless =
        [0x82, 0x86, 0x04, 0x08].iter().chain(b"/endless").chain(&[0x41, 0x01, b'a']).copied().collect::<Vec<u8>>();
    let mut client = h2_raw(&server).await;
    client.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &endless)).await.unwrap();
    let mut pieces = 0;
    while pieces < 4000 {
        let mut head = [0; 9];
        soon(client.0.read_exact(&mut head)).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        client.0.read_exact(&mut payload).await.unwrap();
        if head[3] == 0 && length > 0 {
            pieces += 1;
            let more = [0, 1].map(|stream| frame(WINDOW_UPDATE, 0, stream, &length.to_be_bytes()));
            client.0.write_all(&more.concat()).await.unwrap();
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn empty_lines_without_end_are_no_request() {
    // AT-SM-22: RFC 9112 section 2.2 has a server ignore them, but not for ever
    let server = impatient().await;
    let (answer, requests) = answers_to(&server, &"\r\n".repeat(1 << 20)).await;
    assert_eq!(requests, 0);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    // PX-47, AT-SM-17: CONTINUATION flood
    let server = Running::start().await;
    let field = |number: u32| {
        let mut field = vec![0x00, 0x05];
        field.extend_from_slice(format!("x{:04}", number % 10_000).as_bytes());
        field.extend_from_slice(&[0x7f, 0x00]);
        field.extend_from_slice(&[b'v'; 127]);
        field
    };
    let ended = flood(&server, |number| match number {
        0 => Some(frame(HEADERS, END_STREAM, 1, &GET)),
        1..100_000 => Some(frame(CONTINUATION, 0, 1, &field(number))),
        _ => None,
    });
    assert!(ended.await);
    assert_eq!(server.requests(), 0);
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn the_limit_of_header_lists_is_told() {
    // PX-48
    let server = Running::start().await;
    let mut client = h2_raw(&server).await;
    let mut head = [0; 9];
    client.0.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    client.0.read_exact(&mut payload).await.unwrap();
    let told = |id: u16| {
        let found = payload.chunks(6).find(|setting| setting[..2] == id.to_be_bytes());
        found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(told(6), Some(32 * 1024), "SETTINGS_MAX_HEADER_LIST_SIZE");
    assert_eq!(told(3), Some(128), "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(told(4), Some(128 * 1024), "SETTINGS_INITIAL_WINDOW_SIZE: what waits of an upload");
    server.stop().await;
}

#[tokio::test]
async fn http2_requests_that_contradict_themselves_are_refused() {
    // PX-44, AT-SM-14, AT-SM-16: content-length against DATA, transfer-encoding, pseudo-fields
    let server = impatient().await;
    let literal = |name: &str, value: &str| {
        let mut field = vec![0x00, u8::try_from(name.len()).unwrap()];
        field.extend_from_slice(name.as_bytes());
        field.push(u8::try_from(value.len()).unwrap());
        field.extend_from_slice(value.as_bytes());
        field
    };
    let refused: [&[Vec<u8>]; 5] = [
        &[GET.to_vec(), literal("transfer-encoding", "chunked")],
        &[GET.to_vec(), literal("content-length", "5")],
        &[GET.to_vec(), literal(":path", "/other")],
        &[GET.to_vec(), literal("x-a", "b\r\nc: d")],
        &[vec![0x82, 0x86, 0x41, 0x01, b'a'], literal(":path", "")],
    ];
    for fields in refused {
        let mut client = h2_raw(&server).await;
        client.0.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &fields.concat())).await.unwrap();
        client.rest().await;
        assert_eq!(server.requests(), 0, "{fields:?}");
    }
    server.assert_serves().await;
    server.stop().await;
}
