//! How a gateway stops: not ready first, then what is in flight ends, then nothing is left; and at once for the impatient.

use tokio::net::TcpStream;

use crate::harness::{Gateway, Raw, SlowUpstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_is_not_ready_and_serves_until_the_delay_is_over() {
    let upstream = SlowUpstream::start().await;
    let gateway = open_gateway(&upstream, "1h").await;
    ready(&gateway, true).await;
    gateway.asks_to_stop();
    ready(&gateway, false).await;
    let report = gateway.admin_text("/readyz").await;
    assert!(report.contains("[-]drain failed: stopping\n"), "{report}");
    assert_eq!(gateway.admin_text("/livez").await, "ok\n", "a probe of life must not kill a gateway that drains");
    // Balancers need time to notice: until then everything is served, new connections too.
    assert_eq!(Raw::once(gateway.address, request(&gateway, "/still")).await.status, 204);
    gateway.asks_to_stop();
    gateway.stopped().await;
    refuses_connections(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_whose_application_is_gone_asks_to_come_back() {
    // A native sidecar of Kubernetes is stopped after its application.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = gateway_before(&format!("http://{gone}"), "1h").await;
    let answer = Raw::once(gateway.address, request(&gateway, "/")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (502, None));
    gateway.asks_to_stop();
    ready(&gateway, false).await;
    let answer = Raw::once(gateway.address, request(&gateway, "/")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(Raw::once(gateway.address, request(&gateway, "/still")).await.status, 204);
    gateway.asks_to_stop();
    gateway.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_and_nothing_new_begins() {
    let upstream = SlowUpstream::start().await;
    let gateway = open_gateway(&upstream, "0s").await;
    let (mut busy, mut idle) = (gateway.raw().await, gateway.raw().await);
    idle.send(kept_alive(&gateway, "/still")).await;
    assert_eq!(idle.answer("GET").await.status, 204);
    busy.send(kept_alive(&gateway, "/slow")).await;
    upstream.wait_for(1).await;
    gateway.asks_to_stop();
    refuses_connections(&gateway).await;
    assert!(idle.is_closed().await, "an idle connection is closed");
    upstream.lets_go();
    let answer = busy.answer("GET").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "slow!"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed().await);
    gateway.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_to_stop_waits_for_nobody() {
    let upstream = SlowUpstream::start().await;
    let gateway = open_gateway(&upstream, "0s").await;
    let mut busy = gateway.raw().await;
    busy.send(kept_alive(&gateway, "/slow")).await;
    upstream.wait_for(1).await;
    gateway.asks_to_stop();
    refuses_connections(&gateway).await;
    gateway.asks_to_stop();
    gateway.stopped().await;
    assert!(busy.is_closed().await, "broken off without an answer");
}

/// Everything is public, and `/still` answers by itself.
async fn open_gateway(upstream: &SlowUpstream, delay: &str) -> Gateway {
    gateway_before(&upstream.url(), delay).await
}

async fn gateway_before(upstream: &str, delay: &str) -> Gateway {
    let idp = crate::harness::TestIdp::start().await;
    Gateway::in_front_of_url(upstream)
        .signing_in_at(&idp)
        .with(&format!("[server.drain]\ndelay = '{delay}'\ngrace = '1h'\n[route.app]\naccess = 'public'"))
        .with("[route.still]\npath = '/still'\naccess = 'public'\nupstream = 'static:204'")
        .start()
        .await
}

async fn ready(gateway: &Gateway, wanted: bool) {
    for _ in 0..1000 {
        if (gateway.admin_text("/readyz").await == "ok\n") == wanted {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("readiness stays {}", !wanted);
}

async fn refuses_connections(gateway: &Gateway) {
    for _ in 0..10_000 {
        if TcpStream::connect(gateway.address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("connections are still taken");
}

fn kept_alive(gateway: &Gateway, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority())
}

fn request(gateway: &Gateway, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", gateway.authority())
}
