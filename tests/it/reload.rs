//! What a reload changes besides routes and providers: listeners, TLS, limits, logs; and what it does with what is wrong.

use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpStream;

use crate::harness::{Authority, Gateway, Raw, RecordingUpstream, SlowUpstream};

/// A gateway with one public route.
async fn gateway(upstream: &str) -> Gateway {
    Gateway::in_front_of_url(upstream).at_https(HOST).with("route.app.access = 'public'").start().await
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

async fn status(address: SocketAddr) -> u16 {
    let mut raw = Raw::connect(address).await;
    raw.send(request("/")).await;
    raw.answer("GET").await.status
}

/// Waits until nobody listens there any more.
async fn refuses(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

const HOST: &str = "wiki.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_moves_and_what_is_under_way_at_the_old_one_ends() {
    let upstream = SlowUpstream::start().await;
    let mut gateway = gateway(&upstream.url()).await;
    let old = gateway.address;
    let (mut busy, mut idle) = (Raw::connect(old).await, Raw::connect(old).await);
    idle.send(request("/")).await;
    assert_eq!(idle.answer("GET").await.status, 200);
    busy.send(request("/slow")).await;
    upstream.wait_for(1).await;

    gateway.reload_with("server.listen = ['localhost:0']");
    let new = gateway.addresses()[0];
    assert_ne!(new.port(), old.port());
    assert_eq!(status(new).await, 200);
    refuses(old).await;
    assert!(idle.is_closed().await, "nothing was under way there");
    upstream.lets_go();
    assert_eq!(busy.answer("GET").await.status, 200);
    assert!(busy.is_closed().await);

    // And back, while the new one goes on.
    gateway.reload_with(&format!("server.listen = ['localhost:0', '{old}']"));
    assert_eq!(gateway.addresses(), [new, old]);
    assert_eq!((status(new).await, status(old).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_widens_on_its_own_port() {
    let mut gateway = gateway("static:204").await;
    let port = gateway.address.port();
    for listen in [format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"), format!("[::]:{port}")] {
        // From port 0, which the system chose, to its number: the socket that has it goes.
        gateway.reload_with(&format!("server.listen = '{listen}'"));
        assert_eq!(gateway.addresses()[0].port(), port);
        // A handshake that is half done when the old socket closes is reset by the kernel; the next one is not.
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {}
        assert_eq!(status(SocketAddr::from(([127, 0, 0, 1], port))).await, 204, "{listen}");
        let other = TcpListener::bind(("127.0.0.1", port));
        assert!(other.is_err(), "nobody else can have it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_moves_too() {
    let mut gateway = gateway("static:204").await;
    let old = gateway.admin;
    gateway.reload_with("admin.listen = ['localhost:0']");
    let new = gateway.admin_addresses()[0];
    let ready = Raw::once(new, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    refuses(old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_whose_listener_cannot_be_had_changes_nothing_at_all() {
    // AT-CL-12
    let mut gateway = gateway("static:204").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = format!(
        "server.listen = ['127.0.0.1:0', 'localhost:0', '{}']\nroute.app.upstream = 'static:202'\n",
        taken.local_addr().unwrap()
    );
    let refused = gateway.tries_reload(&toml).unwrap_err();
    assert!(refused.contains("server.listen") && refused.to_lowercase().contains("in use"), "{refused}");
    assert_eq!(gateway.addresses(), [gateway.address]);
    assert_eq!(status(gateway.address).await, 204, "the route is the old one, too");
    assert!(gateway.admin_text("/metrics").await.contains("\nvestibule_config_last_reload_successful 0\n"));
    gateway.reload_with("route.app.upstream = 'static:202'");
    assert_eq!(status(gateway.address).await, 202);
    assert!(gateway.admin_text("/metrics").await.contains("\nvestibule_config_last_reload_successful 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_gives_new_connections_other_limits() {
    let mut gateway = gateway("static:204").await;
    let large = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nx: {}\r\n\r\n", "y".repeat(10_000));
    let mut before = gateway.raw().await;
    before.send(&large).await;
    assert_eq!(before.answer("GET").await.status, 204);
    gateway.reload_with("server.limits.header_bytes = '8KiB'");
    // The workers hear of it one after the other.
    while Raw::once(gateway.address, &large).await.status != 431 {}
    before.send(&large).await;
    assert_eq!(before.answer("GET").await.status, 204, "it goes on as it began");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_tls_on_and_plain_connections_end() {
    // TL-07
    let authority = Authority::new();
    let upstream = RecordingUpstream::start().await;
    let mut gateway = gateway(&upstream.url()).await;
    let mut plain = gateway.raw().await;
    plain.send(request("/")).await;
    assert_eq!(plain.answer("GET").await.status, 200);
    let pair = authority.certifies("wiki", &[HOST]);
    gateway.reload_with(&format!("[server.tls]\ncert = '{}'\nkey = '{}'", pair.cert.display(), pair.key.display()));
    assert!(plain.is_closed().await);
    let mut encrypted = Raw::over(authority.connect(gateway.address, HOST, &["http/1.1"]).await.unwrap());
    encrypted.send(request("/")).await;
    assert_eq!(encrypted.answer("GET").await.status, 200);
    gateway.reload_without("server.tls");
    assert!(encrypted.is_closed().await);
    assert_eq!(status(gateway.address).await, 200);
}
