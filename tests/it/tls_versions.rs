//! The oldest version of TLS that is spoken: by clients, towards applications and towards providers.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::harness::authority::connect;
use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET, paths};
use crate::harness::{Authority, Gateway, Program, Raw, RecordingUpstream, Scene, TestIdp};

const SITE: &str = "wiki.example.com";

/// A version of TLS as it is written, and those that it leaves.
const CASES: [(&str, [bool; 2]); 3] =
    [("", [true, true]), ("min_version = '1.2'", [true, true]), ("min_version = '1.3'", [false, true])];

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_an_older_version_get_no_session_and_a_reload_decides_anew() {
    let authority = Authority::new();
    let site = authority.certifies("site", &[SITE]);
    let server =
        |min: &str| format!("[server.tls]\ncert = '{}'\nkey = '{}'\n{min}\n", site.cert.display(), site.key.display());
    let mut scene = Scene::built(|gateway| gateway.at_https(SITE).with(&server(""))).await;
    for (min, taken) in CASES.into_iter().chain([CASES[1]]) {
        scene.gateway.reload_with(&server(min));
        for (version, taken) in [&TLS12, &TLS13].into_iter().zip(taken) {
            let connector = authority.connector(&["http/1.1"], &[version]);
            // The listener hears of a reload a moment after it.
            let settled = async {
                loop {
                    let connected = connect(&connector, scene.gateway.address, SITE).await;
                    if connected.is_ok() == taken {
                        return connected;
                    }
                }
            };
            let settled = timeout(Duration::from_secs(10), settled).await;
            let connected = settled.unwrap_or_else(|_| panic!("{min} {version:?} is taken or not: {taken}"));
            if !taken {
                let refused = connected.unwrap_err().to_string();
                assert!(refused.contains("ProtocolVersion"), "{min} {version:?}: {refused}");
                continue;
            }
            let mut raw = Raw::over(connected.unwrap());
            raw.send(format!("GET / HTTP/1.1\r\nHost: {SITE}\r\n\r\n")).await;
            assert_eq!(raw.answer("GET").await.status, 401, "{min} {version:?}");
        }
    }
    scene.assert_nobody_was_asked("nobody was signed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_an_older_version_gets_no_request() {
    let authority = Authority::new();
    for (version, index) in [(&TLS12, 0), (&TLS13, 1)] {
        let upstream = RecordingUpstream::over_tls(speaking(&authority, "app.internal", version)).await;
        for (min, taken) in CASES {
            upstream.forget_seen();
            let toml = format!(
                "[route.app]\naccess = 'public'\n[route.app.tls]\nca = '{}'\nserver_name = 'app.internal'\n{min}",
                authority.root().display()
            );
            let url = format!("https://{}", upstream.address);
            let gateway = Gateway::in_front_of_url(&url).with(&toml).start().await;
            let ask = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority());
            let answer = Raw::once(gateway.address, ask).await;
            let expected = if taken[index] { (200, 1) } else { (502, 0) };
            assert_eq!((answer.status, upstream.seen().len()), expected, "{min} {version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_of_an_older_version_gets_no_code_and_no_secret() {
    let authority = Authority::new();
    for (version, index) in [(&TLS12, 0), (&TLS13, 1)] {
        for (min, taken) in CASES {
            let idp = TestIdp::plain_oauth2().await;
            let front = front_of(&idp, speaking(&authority, "localhost", version)).await;
            let toml = format!(
                "[provider.idp]\nca = '{}'\ntoken_endpoint = 'https://localhost:{}{}'\n{}",
                authority.root().display(),
                front.port(),
                paths::TOKEN,
                if min.is_empty() { String::new() } else { format!("tls_{min}") },
            );
            let scene = Scene::at(idp, &toml).await;
            let page = scene.browser.signs_in(&scene.gateway.url("/"), "Ada").await;
            let expected = if taken[index] { (200, 1, 1) } else { (503, 0, 0) };
            let exchanges = scene.idp.token_requests("authorization_code").len();
            assert_eq!((page.status, exchanges, scene.upstream.seen().len()), expected, "{min} {version:?}");
            assert!(taken[index] || page.text().contains("provider_tls_failed"), "{}", page.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_the_log_name_the_key_that_demands_the_version() {
    let (authority, idp) = (Authority::new(), TestIdp::plain_oauth2().await);
    let app = RecordingUpstream::over_tls(speaking(&authority, "localhost", &TLS12)).await;
    let front = front_of(&idp, speaking(&authority, "localhost", &TLS12)).await;
    let (ca, port) = (authority.root(), front.port());
    let config = |min: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://localhost:4180\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n[session]\nkeys = [\"{}\"]\n\
             [provider.corp]\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{CLIENT_SECRET}\"\nca = \"{}\"\ntls_min_version = \"{min}\"\n\
             authorization_endpoint = \"{}\"\ntoken_endpoint = \"https://localhost:{port}{}\"\n\
             [route.app]\nupstream = \"https://localhost:{}\"\naccess = \"public\"\ntls = {{ ca = \"{}\", min_version = \"{min}\" }}\n",
            key(1),
            ca.display(),
            idp.url(paths::AUTHORIZE),
            paths::TOKEN,
            app.address.port(),
            ca.display(),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let checked = |min: &str| {
        std::fs::write(folder.path().join("vestibule.toml"), config(min)).unwrap();
        Program::ended(&["check", "-c", "vestibule.toml"], &folder)
    };
    let (_, old, told) = checked("1.2");
    assert!(old.contains("can be reached") && !old.contains("TLS"), "{old}{told}");
    app.forget_seen();
    let (code, said, _) = checked("1.3");
    assert_eq!(code, 69, "{said}");
    for key in ["`provider.corp.tls_min_version`", "the route's `tls.min_version`"] {
        let wanted = format!("it does not speak TLS 1.3, which {key} demands: update it, or write \"1.2\" there");
        let line = said.lines().find(|line| line.contains(&wanted)).unwrap_or_else(|| panic!("{key}: {said}"));
        assert!(line.starts_with("fail "), "{line}");
    }
    let program = Program::running(&config("1.3")).await;
    assert_eq!(program.status("/").await, 502);
    let line = program.wrote("upstream_tls").await;
    assert!(line.contains("the route's `tls.min_version`"), "{line}");
    assert!(app.seen().is_empty());
}

/// The TLS of a server of this name that speaks one version.
fn speaking(authority: &Authority, name: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
    authority.acceptor_of(name, &["http/1.1"], false, &[version])
}

/// TLS in front of a provider that has none itself.
async fn front_of(idp: &TestIdp, acceptor: TlsAcceptor) -> SocketAddr {
    let behind = Url::parse(idp.issuer()).unwrap().socket_addrs(|| None).unwrap()[0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (Ok(mut near), Ok(mut far)) = (acceptor.accept(stream).await, TcpStream::connect(behind).await)
                else {
                    return;
                };
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}
