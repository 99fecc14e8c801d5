//! What a client may take: time, bytes, connections. Limits are tiny; that the close comes is asserted, never when.

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

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_the_admin_listener_lives() {
    // AT-SM-25
    let server = impatient(|limits| limits.connections = Some(1)).await;
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
    let server = impatient(|limits| limits.connections = Some(1)).await;
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
