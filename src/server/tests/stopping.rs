//! How it ends: delay, last answers, farewells, and force.

use super::*;

#[tokio::test]
async fn a_drain_serves_on_for_its_delay_and_lets_requests_end() {
    let server = Running::with(|settings| settings.drain.delay = Duration::from_secs(1)).await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    assert_eq!(idle.get("/").await.status, 200);
    busy.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.app.reached_hang().await;
    server.shutdown.ask();
    // Not ready at once, and still serving, so that balancers notice before anybody is refused.
    while server.readiness.is_ready() {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.admin_status("/readyz").await, 503);
    assert_eq!(server.admin_status("/livez").await, 200);
    server.assert_serves().await;
    // Then idle connections are closed, and nobody is accepted.
    assert_eq!(idle.rest().await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    server.app.release.notify_one();
    let last = busy.answer().await;
    assert_eq!(last.body, "released");
    assert!(last.head.contains("connection: close"), "{}", last.head);
    assert_eq!(busy.rest().await, "");
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_http2_client_is_told_and_its_stream_ends_well() {
    let server = Running::start().await;
    let (mut h2, ended) = h2_over(server.connect().await.0).await;
    let answer = tokio::spawn(h2.send_request(h2_get("/hang")));
    server.app.reached_hang().await;
    server.shutdown.ask();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.app.release.notify_one();
    assert_eq!(body_text(answer.await.unwrap().unwrap()).await, "released");
    // The connection ends by a GOAWAY: the client still holds it, and the grace is long.
    soon(ended).await.unwrap().unwrap();
    server.served.await.unwrap().unwrap();
    drop(h2);
}

#[tokio::test]
async fn after_the_grace_what_is_left_is_cut() {
    let server = Running::with(|settings| settings.drain.grace = Duration::from_millis(50)).await;
    let (mut busy, mut upgraded) = (server.connect().await, server.connect().await);
    busy.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.app.reached_hang().await;
    upgraded.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    assert_eq!(upgraded.answer().await.status, 101);
    server.shutdown.ask();
    server.served.await.unwrap().unwrap();
    assert_eq!((busy.rest().await, upgraded.rest().await), (String::new(), String::new()));
}

#[tokio::test]
async fn the_second_signal_does_not_wait() {
    let server = Running::with(|settings| {
        settings.drain = Drain { delay: Duration::from_secs(3600), grace: Duration::from_secs(3600) };
    })
    .await;
    let mut busy = server.connect().await;
    busy.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.app.reached_hang().await;
    server.shutdown.ask();
    server.shutdown.ask();
    soon(server.served).await.unwrap().unwrap();
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn a_server_without_connections_stops_at_once() {
    let server = Running::with(|settings| settings.workers = 2).await;
    server.shutdown.ask();
    soon(server.served).await.unwrap().unwrap();
}
