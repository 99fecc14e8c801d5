//! What a client may take: time, bytes, connections. Limits are tiny; that the close comes is asserted, never when.

use std::pin::pin;

use super::*;

async fn impatient(change: impl FnOnce(&mut Limits)) -> Running {
    Running::with(|settings| change(&mut settings.limits)).await
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    // AT-SM-22
    let server = impatient(|limits| limits.header_time = Duration::from_millis(40)).await;
    assert_eq!(server.connect().await.rest().await, "");
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_drips_is_closed() {
    // AT-SM-22: slowloris, on the first request and on a later one
    let server = impatient(|limits| limits.header_time = Duration::from_millis(150)).await;
    for first in [true, false] {
        let mut client = server.connect().await;
        if !first {
            assert_eq!(client.get("/").await.status, 200);
        }
        client.send("GET / HTTP/1.1\r\n").await;
        let (mut reading, mut writing) = tokio::io::split(client.0);
        let drip = async {
            while writing.write_all(b"X-A: b\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let mut rest = Vec::new();
        let closed = async { _ = reading.read_to_end(&mut rest).await };
        soon(async { tokio::join!(drip, closed) }).await;
        assert!(rest.is_empty());
    }
    assert_eq!(server.requests(), 1);
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_new_ones_are_served() {
    // AT-SM-22: a flood of idle connections; PX-47 for HTTP/2
    let server = impatient(|limits| limits.idle_time = Duration::from_millis(60)).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = server.connect().await;
        assert_eq!(client.get("/").await.status, 200);
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.rest().await, "");
    }
    let (mut h2, ended) = h2_over(server.connect().await.0).await;
    assert_eq!(h2.send_request(h2_get("/")).await.unwrap().status(), 200);
    soon(ended).await.unwrap().unwrap();
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_slow_application_does_not_cost_the_connection() {
    let server = impatient(|limits| limits.idle_time = Duration::from_millis(20)).await;
    let mut slow = server.connect().await;
    slow.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.app.reached_hang().await;
    // An idle connection is closed in the meantime: so the sweep has come by more than once.
    let mut idle = server.connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    assert_eq!(idle.rest().await, "");
    server.app.release.notify_one();
    assert_eq!(slow.answer().await.body, "released");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    // AT-SM-22
    let server = impatient(|limits| limits.idle_time = Duration::from_millis(40)).await;
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (408, "stalled"));
    client.rest().await;
    server.stop().await;
}

/// Requests whose bodies never end, and what comes of them again and again.
fn drips() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let head =
        |framing: &str, begun: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{begun}").into_bytes();
    let chunked = "Transfer-Encoding: chunked";
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    // :method POST, :scheme http, :path /echo, :authority a, as literals where the static table has none (RFC 7541).
    let fields = [&[0x83, 0x86, 0x04, 5][..], b"/echo", &[0x01, 1], b"a"].concat();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[]), &frame(1, 4, 1, &fields)].concat();
    // Who does not answer hyper's PING is cut off without an answer, at the same time.
    let pong = frame(6, 1, 0, &[0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4]);
    vec![
        ("a length", head("Content-Length: 16000", "a"), b"a".to_vec()),
        ("chunks", head(chunked, ""), b"1\r\na\r\n".to_vec()),
        ("a chunk's extension", head(chunked, "4;"), b"e".to_vec()),
        ("a trailer", head(chunked, "0\r\nX-T: "), b"e".to_vec()),
        ("HTTP/2", preface.clone(), [frame(0, 0, 1, b"a"), pong.clone()].concat()),
        ("HTTP/2 without content", preface, [frame(0, 0, 1, b""), pong].concat()),
    ]
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_however_it_is_framed() {
    // AT-SM-22: a byte of content each time would keep any limit on silence at bay
    let server = impatient(|limits| limits.idle_time = Duration::from_millis(100)).await;
    for (kind, begun, drip) in drips() {
        let mut client = server.connect().await;
        client.0.write_all(&begun).await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(client.0);
        let dripping = async {
            while writing.write_all(&drip).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await; // the attacker's own pace
            }
        };
        let answered = async {
            let mut answer = Vec::new();
            while !String::from_utf8_lossy(&answer).contains("stalled") {
                if reading.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                    return false;
                }
            }
            true
        };
        let answered = async {
            let mut answered = pin!(answered);
            // Where writing fails first, the answer may still lie unread.
            tokio::select! { answered = &mut answered => answered, () = dripping => answered.await }
        };
        assert!(soon(answered).await, "{kind}");
    }
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn when_all_places_are_taken_slow_bodies_make_room() {
    // AT-SM-22, AT-SM-25: long before any time limit is over, for peers that are all within their own cap
    let held = drips().into_iter().chain([
        ("a silent client", Vec::new(), Vec::new()),
        ("half a head", b"GET / HTTP/1.1\r\nHo".to_vec(), Vec::new()),
        ("an idle connection", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Vec::new()),
    ]);
    let tries = held.map(async |(kind, begun, _)| {
        let server = one_place().await;
        let mut slow = server.connect().await;
        slow.0.write_all(&begun).await.unwrap();
        if kind == "an idle connection" {
            assert_eq!(slow.answer().await.status, 200);
        }
        server.assert_serves().await;
        slow.rest().await;
        server.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn one_peer_gets_a_quarter_of_the_places() {
    // AT-SM-25
    let server = impatient(|limits| limits.connections = Some(8)).await;
    let from = async |address: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        Raw(socket.connect(server.address).await.unwrap())
    };
    let mut held = [from("127.0.0.2").await, from("127.0.0.2").await];
    for client in &mut held {
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    }
    assert_eq!(from("127.0.0.2").await.rest().await, "");
    assert_eq!(from("127.0.0.3").await.get("/").await.status, 200);
    held[0].send("defghij").await;
    assert_eq!(held[0].answer().await.status, 200);
    drop(held);
    let served =
        async { while from("127.0.0.2").await.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.is_err() {} };
    soon(served).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    // AT-SM-23, PX-47: windows of zero
    let server = impatient(|limits| limits.idle_time = Duration::from_millis(60)).await;
    let mut client = server.connect().await;
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    // The answer begins, and is never read. That the connection was reset shows in what we write.
    assert_eq!(client.0.peek(&mut [0]).await.unwrap(), 1);
    while client.0.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_answered_431() {
    let server = impatient(|limits| limits.header_bytes = 8192).await;
    let pad = "a".repeat(9000);
    let mut client = server.connect().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Pad: {pad}\r\n\r\n")).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431 "));
    let mut client = server.connect().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Many: 1\r\n".repeat(120))).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431 "));

    // PX-48: by the size after decompression
    let (mut h2, _connection) = h2_over(server.connect().await.0).await;
    h2.ready().await.unwrap();
    // The first round trip makes the client know the limit, and it would not even send what is beyond.
    let request = Request::get("http://a.example/").header("x-pad", &pad).body(Body::Empty).unwrap();
    match h2.send_request(request).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(cause) => assert!(!cause.is_canceled(), "{cause}"),
    }
    assert_eq!(server.requests(), 0);
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_at_its_first_byte_too_many() {
    let server = impatient(|limits| limits.body_bytes = Some(5)).await;
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde").await;
    assert_eq!(client.answer().await.body, "abcde");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    server.stop().await;
}

/// One place, which one peer may have.
async fn one_place() -> Running {
    Running::with(|settings| {
        settings.limits.connections = Some(1);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_the_admin_listener_lives() {
    // AT-SM-25
    let server = one_place().await;
    let mut first = server.connect().await;
    assert_eq!(first.get("/").await.status, 200);
    let mut second = server.connect().await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.get("/").await.status, 200);
    assert_eq!(server.admin_status("/readyz").await, 200);
    assert_eq!(server.requests(), 2, "the second connection waits");
    drop(first);
    assert_eq!(second.answer().await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place() {
    // AT-SM-25
    let server = one_place().await;
    let mut first = server.connect().await;
    first.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 101);
    let mut second = server.connect().await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.send("x").await;
    assert_eq!(first.0.read_u8().await.unwrap(), b'x');
    assert_eq!(server.requests(), 1);
    drop(first);
    assert_eq!(second.answer().await.status, 200);
    server.stop().await;
}
