//! TLS that ends at the gateway: certificates by name, what is negotiated, and names that do not match.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio_rustls::client::TlsStream;

use crate::harness::authority::connect;
use crate::harness::{Authority, Gateway, Raw, RecordingUpstream, Scene};

const WIKI: &str = "wiki.example.com";
const SHOP: &str = "shop.example.com";

/// A gateway with a certificate for each of two sites: the wiki asks for a sign-in, the shop does not.
async fn scene(authority: &Authority) -> Scene {
    let (wiki, shop) = (authority.certifies("wiki", &[WIKI]), authority.certifies("shop", &[SHOP]));
    let toml = format!(
        "[server]\nworkers = 1\n[[server.tls.certificate]]\ncert = '{}'\nkey = '{}'\n[[server.tls.certificate]]\ncert = '{}'\nkey = '{}'\n\
         [route.app]\nhost = '{WIKI}'\n[route.shop]\nhost = '{SHOP}'\nupstream = 'static:204'\naccess = 'public'",
        wiki.cert.display(),
        wiki.key.display(),
        shop.cert.display(),
        shop.key.display(),
    );
    Scene::built(|gateway| gateway.at_https(WIKI).with(&toml)).await
}

/// The certificate that a server showed.
fn leaf<T>(stream: &TlsStream<T>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn status(raw: &mut Raw, host: &str, fields: &str) -> u16 {
    raw.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await;
    raw.answer("GET").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_gets_its_own_certificate() {
    let authority = Authority::new();
    let scene = scene(&authority).await;
    let wiki = authority.connect(scene.gateway.address, WIKI, &["http/1.1"]).await.unwrap();
    let shop = authority.connect(scene.gateway.address, SHOP, &["http/1.1"]).await.unwrap();
    assert_ne!(leaf(&wiki), leaf(&shop));
    assert_eq!(status(&mut Raw::over(wiki), WIKI, "").await, 401);
    assert_eq!(status(&mut Raw::over(shop), SHOP, "").await, 204);
    // A name that no certificate has gets the first one, which does not fit; and so nobody is deceived.
    assert!(authority.connect(scene.gateway.address, "evil.example", &["http/1.1"]).await.is_err());
    assert!(Authority::new().connect(scene.gateway.address, WIKI, &["http/1.1"]).await.is_err());
    scene.assert_nobody_was_asked("nobody was signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_the_handshake_opens_no_other_site() {
    // AT-PM-18, PX-12
    let authority = Authority::new();
    let scene = scene(&authority).await;
    let mut raw = Raw::over(authority.connect(scene.gateway.address, SHOP, &["http/1.1"]).await.unwrap());
    assert_eq!(status(&mut raw, SHOP, "").await, 204);
    assert_eq!(status(&mut raw, WIKI, "").await, 401, "judged as the site that Host names");
    assert_eq!(status(&mut raw, "evil.example", "").await, 421);
    scene.assert_nobody_was_asked("no session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_works_over_tls_and_the_application_hears_of_https() {
    // FW-05
    let authority = Authority::new();
    let scene = scene(&authority).await;
    // The same site with TLS ended elsewhere: the test's browser signs in there.
    let twin = Gateway::in_front_of(&scene.upstream).signing_in_at(&scene.idp).at_https(WIKI).start().await;
    let browser = twin.browser();
    browser.signs_in(&twin.own("login"), "Ada").await;
    scene.upstream.forget_seen();
    let session = browser.cookie(twin.origin(), "__Host-vestibule").unwrap();
    let mut raw = Raw::over(authority.connect(scene.gateway.address, WIKI, &["http/1.1"]).await.unwrap());
    assert_eq!(status(&mut raw, WIKI, &format!("Cookie: __Host-vestibule={session}\r\n")).await, 200);
    let seen = scene.upstream.only_request();
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-port")), (Some("https"), Some("443")));
    assert_eq!(seen.header("x-forwarded-user"), Some("248289761001"));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_shown_without_dropping_anybody() {
    // TL-07
    let authority = Authority::new();
    let mut scene = scene(&authority).await;
    let old = authority.connect(scene.gateway.address, WIKI, &["http/1.1"]).await.unwrap();
    let before = leaf(&old);
    let mut old = Raw::over(old);
    assert_eq!(status(&mut old, SHOP, "").await, 204);
    authority.certifies("wiki", &[WIKI]);
    scene.gateway.reload_with("");
    let new = authority.connect(scene.gateway.address, WIKI, &["http/1.1"]).await.unwrap();
    assert_ne!(before, leaf(&new));
    assert_eq!(status(&mut old, SHOP, "").await, 204, "the old connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_sound_versions_suites_and_protocols_are_agreed_on() {
    // TL-01, TL-04, TL-05
    let authority = Authority::new();
    let scene = scene(&authority).await;
    for (version, exchange) in [(&TLS12, "ECDHE"), (&TLS13, "TLS13")] {
        let stream =
            connect(&authority.connector(&["h2", "http/1.1"], &[version]), scene.gateway.address, WIKI).await.unwrap();
        let agreed = &stream.get_ref().1;
        assert_eq!(agreed.alpn_protocol(), Some(&b"h2"[..]));
        let suite = format!("{:?}", agreed.negotiated_cipher_suite().unwrap().suite());
        assert!(suite.contains("GCM") || suite.contains("CHACHA20"), "{suite}");
        assert!(suite.contains(exchange), "{suite}");
    }
    assert!(authority.connect(scene.gateway.address, WIKI, &["smtp"]).await.is_err());
    // The control: what differs from it below is all that is wrong.
    let mut raw = Raw::connect(scene.gateway.address).await;
    raw.send(client_hello([3, 3], [0xc0, 0x2b], 0)).await;
    assert_eq!(raw.exactly(1).await.unwrap(), [HANDSHAKE]);
    // TLS 1.1 and SSL 3; no forward secrecy; CBC; compression and nothing else.
    for (version, suites, compression) in [
        ([3, 2], [0xc0, 0x2b], 0),
        ([3, 2], [0xc0, 0x09], 0),
        ([3, 0], [0xc0, 0x2b], 0),
        ([3, 3], [0x00, 0x9c], 0),
        ([3, 3], [0xc0, 0x09], 0),
        ([3, 3], [0xc0, 0x23], 0),
        ([3, 3], [0xc0, 0x2b], 1),
    ] {
        let mut raw = Raw::connect(scene.gateway.address).await;
        raw.send(client_hello(version, suites, compression)).await;
        let answer = raw.until_closed().await;
        assert!(answer.is_empty() || answer[0] == ALERT, "{version:?} {suites:02x?}: {answer:02x?}");
    }
    scene.assert_nobody_was_asked("handshakes only");
}

/// The smallest ClientHello (RFC 5246 section 7.4.1.2) that a server with a P-256 certificate can answer: one suite, and
/// groups, point formats, signature algorithms and the extended master secret as extensions.
fn client_hello(version: [u8; 2], suite: [u8; 2], compression: u8) -> Vec<u8> {
    let extensions = [
        &[0, 0x0a, 0, 6, 0, 4, 0, 0x1d, 0, 0x17][..],
        &[0, 0x0b, 0, 2, 1, 0],
        &[0, 0x0d, 0, 6, 0, 4, 4, 3, 8, 4],
        &[0, 0x17, 0, 0],
    ]
    .concat();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let head = [&version[..], &[7; 32], &[0, 0, 2], &suite, &[1, compression]].concat();
    let body = [&head[..], &[0, length(&extensions)], &extensions].concat();
    [&[HANDSHAKE, 3, 1, 0, length(&body) + 4, 1, 0, 0, length(&body)][..], &body].concat()
}

const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

#[tokio::test(flavor = "multi_thread")]
async fn early_data_is_never_taken() {
    // TL-03
    let authority = Authority::new();
    let scene = scene(&authority).await;
    let connector = authority.connector(&["http/1.1"], &[&TLS13]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = connect(&connector, scene.gateway.address, SHOP).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
        assert_eq!(status(&mut Raw::over(stream), SHOP, "").await, 204);
    }
    // A client that holds tickets by now, and would like to, may not.
    let name = ServerName::try_from(SHOP).unwrap();
    let mut resumed = ClientConnection::new(Arc::clone(connector.config()), name).unwrap();
    assert!(resumed.early_data().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_to_a_tls_port_is_nobodys_request() {
    let authority = Authority::new();
    let scene = scene(&authority).await;
    let mut raw = Raw::connect(scene.gateway.address).await;
    raw.send(format!("GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n")).await;
    let answer = raw.until_closed().await;
    assert!(answer.is_empty() || answer[0] == ALERT, "{answer:02x?}");
    scene.assert_nobody_was_asked("no TLS");
    assert!(RecordingUpstream::seen(&scene.upstream).is_empty());
}
