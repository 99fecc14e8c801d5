//! What is served: HTTP/1.1 and HTTP/2, TCP, TLS and unix sockets, spread over workers.

use std::fs;
use std::os::unix::net::UnixStream as StdUnixStream;

use rustls::pki_types::ServerName;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::server::settings::{CertificateFiles, ClientCertificates, TlsSettings};
use crate::tls_version::MinTlsVersion;

#[tokio::test]
async fn http1_connections_are_kept_and_http2_is_spoken_to_who_begins_with_it() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    assert_eq!(client.get("/peer").await.body, "127.0.0.1 true - HTTP/1.1");
    assert_eq!(client.get("/").await.body, "hello");
    let (mut h2, _) = h2_over(server.connect().await.0).await;
    let answer = h2.send_request(h2_get("/peer")).await.unwrap();
    assert_eq!(body_text(answer).await, "127.0.0.1 true - HTTP/2.0");
    server.stop().await;
}

#[tokio::test]
async fn a_body_arrives_whole() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    client
        .send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.body, "abcde");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 100);
    client.send("xyz").await;
    assert_eq!(client.answer().await.body, "xyz");
    server.stop().await;
}

#[tokio::test]
async fn unix_sockets_are_served_and_their_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Running::with(|settings| settings.listen = vec![ListenAddress::Unix(path.clone())]).await;
    let mut client = Raw(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.get("/peer").await.body, "unix false - HTTP/1.1");
    server.stop().await;
    assert!(!path.exists() && StdUnixStream::connect(&path).is_err());
}

#[tokio::test]
async fn each_connection_goes_to_the_worker_with_the_fewest() {
    let server = Running::with(|settings| settings.workers = 2).await;
    let mut clients = Vec::new();
    let mut met = [0, 0];
    for _ in 0..6 {
        let mut client = server.connect().await;
        met[client.get("/worker").await.body.parse::<usize>().unwrap()] += 1;
        clients.push(client);
    }
    assert_eq!(met, [3, 3]);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_costs_one_connection_and_no_worker() {
    // AT-CL-15
    let server = Running::start().await;
    assert_eq!(server.connect().await.get("/").await.status, 200);
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    let (mut h2, _) = h2_over(server.connect().await.0).await;
    assert!(h2.send_request(h2_get("/panic")).await.is_err());
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_went_away_does_not_keep_its_request_alive() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.app.reached_hang().await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
    server.stop().await;
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let server = Running::start().await;
    let mut client = server.connect().await;
    client.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 101);
    client.send("marco").await;
    let mut echoed = [0; 5];
    client.0.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"marco");
    server.stop().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn admin_paths_are_served_on_their_own_listener_only() {
    // AT-CL-11
    let server = Running::start().await;
    server.assert_serves().await;
    assert!(server.readiness.is_ready());
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/readyz?verbose", 200), ("/metrics", 200), ("/x", 404)]
    {
        assert_eq!(server.admin_status(path).await, status, "{path}");
    }
    assert_eq!(server.connect().await.get("/metrics").await.body, "hello", "the application's own path");
    server.stop().await;
}

pub(super) struct Tls {
    _folder: tempfile::TempDir,
    pub(super) settings: TlsSettings,
    pub(super) connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(protocol: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles { cert: folder.path().join("c"), key: folder.path().join("k") };
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let settings = TlsSettings {
            min_version: MinTlsVersion::default(),
            certificates: vec![files],
            client_ca: None,
            client_auth: ClientCertificates::No,
        };
        Self { _folder: folder, settings, connector: TlsConnector::from(Arc::new(config)) }
    }

    async fn connect(&self, server: &Running) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("A.example").unwrap();
        self.connector.connect(name, server.connect().await.0).await
    }
}

#[tokio::test]
async fn tls_is_ended_and_the_protocol_is_agreed_by_alpn() {
    let tls = Tls::new(b"h2");
    let server = Running::with(|settings| settings.tls = Some(tls.settings.clone())).await;
    let stream = tls.connect(&server).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut h2, _) = h2_over(stream).await;
    let answer = h2.send_request(h2_get("/peer")).await.unwrap();
    assert_eq!(body_text(answer).await, "127.0.0.1 true a.example HTTP/2.0");
    server.stop().await;

    let tls = Tls::new(b"http/1.1");
    let server = Running::with(|settings| settings.tls = Some(tls.settings.clone())).await;
    let mut client = Raw(tls.connect(&server).await.unwrap());
    assert_eq!(client.get("/peer").await.body, "127.0.0.1 true a.example HTTP/1.1");
    server.stop().await;
}

#[tokio::test]
async fn plain_text_to_a_tls_port_and_tls_to_a_plain_port_end_cleanly() {
    let tls = Tls::new(b"h2");
    let server = Running::with(|settings| settings.tls = Some(tls.settings.clone())).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.rest().await;
    assert_eq!(server.requests(), 0);
    tls.connect(&server).await.unwrap();
    server.stop().await;

    let server = Running::start().await;
    assert!(tls.connect(&server).await.is_err());
    assert_eq!(server.requests(), 0);
    server.assert_serves().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_without_the_wanted_certificate_gets_nowhere() {
    let mut tls = Tls::new(b"http/1.1");
    tls.settings.client_auth = ClientCertificates::Required;
    tls.settings.client_ca = Some(tls.settings.certificates[0].cert.clone());
    let server = Running::with(|settings| settings.tls = Some(tls.settings.clone())).await;
    // With TLS 1.3 the client learns of it when it reads.
    if let Ok(stream) = tls.connect(&server).await {
        let mut client = Raw(stream);
        _ = client.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.rest().await, "");
    }
    assert_eq!(server.requests(), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_stands_still_is_ended() {
    // AT-SM-22
    let tls = Tls::new(b"h2");
    let server = Running::with(|settings| {
        settings.tls = Some(tls.settings.clone());
        settings.limits.handshake_time = Duration::from_millis(500);
    })
    .await;
    let mut client = server.connect().await;
    client.0.write_all(&[0x16, 3, 1]).await.unwrap();
    client.rest().await;
    tls.connect(&server).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_stands_still_makes_room_where_all_places_are_taken() {
    // AT-SM-22, AT-SM-25
    let tls = Tls::new(b"h2");
    let server = Running::with(|settings| {
        settings.tls = Some(tls.settings.clone());
        settings.limits.handshake_time = Duration::from_secs(3600);
        settings.limits.header_time = Duration::from_secs(3600);
        settings.limits.connections = Some(1);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut silent = server.connect().await;
    silent.0.write_all(&[0x16, 3, 1]).await.unwrap();
    soon(tls.connect(&server)).await.unwrap();
    silent.rest().await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_knows_whether_others_of_its_connection_are_under_way() {
    let server = Running::start().await;
    let mut h1 = server.connect().await;
    assert_eq!(h1.get("/alone").await.body, "true");
    let (h2, _connection) = h2_over(server.connect().await.0).await;
    let ask = async |path: &str| body_text(h2.clone().send_request(h2_get(path)).await.unwrap()).await;
    assert_eq!(ask("/alone").await, "true");
    let hanging = tokio::spawn(h2.clone().send_request(h2_get("/hang")));
    server.app.reached_hang().await;
    assert_eq!(ask("/alone").await, "false");
    assert_eq!(h1.get("/alone").await.body, "true", "another connection");
    server.app.release.notify_one();
    assert_eq!(body_text(hanging.await.unwrap().unwrap()).await, "released");
    assert_eq!(ask("/alone").await, "true");
    server.stop().await;
}
