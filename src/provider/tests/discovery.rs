//! The discovery document: where it is looked for, what of it is believed, and what happens while it cannot be had.

use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpListener;

use super::*;
use crate::provider::{EndpointFault, ProviderSetupError};

#[tokio::test]
async fn the_gateway_starts_without_the_provider_and_finds_it_later() {
    // DI-07
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    double.on(DISCOVERY, [Answer::status(503, &json!({})).with("retry-after", "7"), Answer::json(&double.document())]);
    let fixture = Fixture::openid(&double);
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    assert!(error.is_outage() && error.retry_after() == Some(Duration::from_secs(7)));
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    // Whoever comes meanwhile is told the cause, not that we wait.
    assert_eq!(error.code(), "provider_server_error");
    assert!(error.to_string().ends_with("(not asked again for 7 s)"), "{error}");
    assert!(error.is_outage());
    assert_eq!(double.count(DISCOVERY), 1); // not asked again while it is waiting
    fixture.clock.advance(Duration::from_secs(7));
    fixture.redeem().await.unwrap();
    assert_eq!(double.count(DISCOVERY), 2);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_an_outage() {
    // DI-07
    let double = Double::start().await;
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let fixture = Fixture::openid_with(&double, |s| {
        s.kind = ProviderKind::Oidc { issuer: gone, overrides: Endpoints::default() };
    });
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    assert_eq!(error.code(), "provider_connect_failed");
    assert!(error.is_outage());
    assert_eq!(fixture.provider.end_session_url(None, "https://app.example.com/", "s").await, None);
}

#[tokio::test]
async fn the_document_is_read_again_and_the_old_one_serves_meanwhile() {
    // DI-08
    let (_, double) = openid().await;
    let fixture = Fixture::openid(&double);
    assert!(fixture.provider.check_iss(None, true).await.is_ok());
    let mut document = double.document();
    document["authorization_response_iss_parameter_supported"] = json!(true);
    double.on(DISCOVERY, [Answer::status(500, &json!({})), Answer::json(&document)]);
    fixture.clock.advance(Duration::from_secs(3600));
    assert!(fixture.provider.check_iss(None, true).await.is_ok()); // failed, so the old one
    assert!(fixture.provider.check_iss(None, true).await.is_ok()); // waiting
    assert_eq!(double.count(DISCOVERY), 2);
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.provider.check_iss(None, true).await.unwrap_err().code(), "iss_missing");
}

#[tokio::test]
async fn a_document_that_cannot_be_trusted_is_refused() {
    // DI-02, DI-04, DI-05, DI-06, AT-TP-20
    let double = Double::start().await;
    let with = |name: &str, value: Value| {
        let mut document = double.document();
        document[name] = value;
        Answer::json(&document)
    };
    for (answer, code) in [
        (with("issuer", json!(format!("{}/", double.origin))), "discovery_issuer_mismatch"),
        (with("issuer", Value::Null), "discovery_issuer_mismatch"),
        (with("authorization_endpoint", Value::Null), "discovery_member_missing"),
        (with("token_endpoint", Value::Null), "discovery_member_missing"),
        (with("token_endpoint", json!("")), "discovery_member_missing"),
        (with("jwks_uri", Value::Null), "discovery_member_missing"),
        (with("token_endpoint", json!("http://provider.example/token")), "discovery_endpoint_refused"),
        (with("token_endpoint", json!("file:///etc/passwd")), "discovery_endpoint_refused"),
        (with("token_endpoint", json!("https://user:pass@provider.example/token")), "discovery_endpoint_refused"),
        (with("jwks_uri", json!("https://provider.example/jwks#x")), "discovery_endpoint_refused"),
        (with("jwks_uri", json!("nonsense")), "discovery_endpoint_refused"),
        (with("userinfo_endpoint", json!(7)), "discovery_endpoint_refused"),
        (Answer::status(404, &json!({})), "discovery_status"),
        (Answer::status(302, &json!({})).with("location", "/elsewhere"), "discovery_status"),
        (Answer::typed(200, "text/html", "<html>"), "discovery_not_json"),
        (Answer::typed(200, "application/json", "{"), "discovery_not_json"),
        (Answer::typed(200, "application/json", vec![b' '; 2 * 1024 * 1024]), "provider_answer_too_large"),
    ] {
        double.on(DISCOVERY, [answer]);
        let fixture = Fixture::openid(&double);
        let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(!error.is_outage());
        assert_eq!(double.count("/elsewhere"), 0);
    }
}

#[tokio::test]
async fn an_endless_answer_ends_at_the_timeout() {
    // DI-05, AT-TP-21
    let double = Double::start().await;
    double.on(DISCOVERY, [Answer::Never]);
    let fixture = Fixture::openid_with(&double, |s| s.timeout = Duration::from_millis(100));
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    assert!(error.is_timeout() && error.is_outage());
}

#[tokio::test]
async fn the_well_known_path_follows_the_issuer() {
    // DI-01, DI-03
    let double = Double::start().await;
    let key = TestKey::es256("k1");
    let issuer = format!("{}/realms/a/", double.origin);
    let mut document = double.document();
    document["issuer"] = json!(issuer);
    double.on("/jwks", [Answer::json(&json!({ "keys": [key.jwk] }))]);
    let mut claims = double.claims();
    claims["iss"] = json!(issuer);
    double.issues(&key, &claims);
    let kind = || ProviderKind::Oidc { issuer: issuer.clone(), overrides: Endpoints::default() };
    double.on("/realms/a/.well-known/openid-configuration", [Answer::json(&document.clone())]);
    Fixture::openid_with(&double, |s| s.kind = kind()).redeem().await.unwrap();
    // RFC 8414 section 3.1: between host and path
    double.on("/realms/a/.well-known/openid-configuration", [Answer::status(404, &json!({}))]);
    double.on("/.well-known/oauth-authorization-server/realms/a", [Answer::json(&document)]);
    Fixture::openid_with(&double, |s| s.kind = kind()).redeem().await.unwrap();
}

#[tokio::test]
async fn written_endpoints_win_over_discovered_ones() {
    // SB-05
    let (key, double) = openid().await;
    let answer = token_answer(&json!({ "id_token": key.sign(&double.claims()) }));
    double.on("/own-token", [Answer::json(&answer)]);
    let overrides = Endpoints { token_endpoint: Some(double.url("/own-token")), ..Endpoints::default() };
    let kind = ProviderKind::Oidc { issuer: double.origin.clone(), overrides };
    Fixture::openid_with(&double, |s| s.kind = kind).redeem().await.unwrap();
    assert_eq!((double.count("/token"), double.count("/own-token")), (0, 1));
}

#[tokio::test]
async fn the_document_may_be_elsewhere_and_names_the_issuer_all_the_same() {
    // DI-01, DI-02, AT-TP-20
    let (key, double) = openid().await;
    double.issues(&key, &double.claims()).on(DISCOVERY, [Answer::status(404, &json!({}))]);
    let elsewhere = |fixture: &Double, path: &str| {
        let url = fixture.url(path);
        Fixture::openid_with(&double, |s| s.discovery_url = Some(url))
    };
    double.on("/meta/B2C_1", [Answer::json(&double.document())]);
    elsewhere(&double, "/meta/B2C_1?p=x").redeem().await.unwrap();
    assert_eq!(double.seen("/meta/B2C_1")[0].query.as_deref(), Some("p=x"));
    assert_eq!(double.count(DISCOVERY), 0);
    // Another machine's document says the same, and is believed only where it names the configured issuer.
    let other = Double::start().await;
    other.on("/doc", [Answer::json(&double.document())]);
    elsewhere(&other, "/doc").redeem().await.unwrap();
    for named in [json!(other.origin), json!(format!("{}/", double.origin)), json!(other.at("/doc")), Value::Null] {
        let mut document = double.document();
        document["issuer"] = named;
        other.on("/doc", [Answer::json(&document)]);
        assert_eq!(elsewhere(&other, "/doc").refusal().await, "discovery_issuer_mismatch");
    }
    // No other place is tried.
    other.on("/doc", [Answer::status(404, &json!({}))]);
    assert_eq!(elsewhere(&other, "/doc").refusal().await, "discovery_status");
    assert_eq!(double.count(DISCOVERY) + double.count("/.well-known/oauth-authorization-server"), 0);
}

#[tokio::test]
async fn openid_connect_needs_no_discovery_where_endpoints_and_keys_are_written() {
    // DI-06, ID-02, ID-06
    let key = TestKey::rsa("RS256", "k1");
    let double = Double::openid(&key).await;
    double.on(DISCOVERY, [Answer::status(404, &json!({}))]).issues(&key, &double.claims());
    double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "groups": ["a"] }))]);
    let written = |userinfo: Option<Url>| {
        let overrides = Endpoints {
            authorization_endpoint: Some(double.url("/authorize")),
            token_endpoint: Some(double.url("/token")),
            jwks_uri: Some(double.url("/jwks")),
            userinfo_endpoint: userinfo,
            ..Endpoints::default()
        };
        let kind = ProviderKind::Oidc { issuer: double.origin.clone(), overrides };
        Fixture::new(kind, |s| s.userinfo = UserinfoUse::Auto)
    };
    let fixture = written(Some(double.url("/userinfo")));
    let sign_in = fixture.redeem_iss(Some(&double.origin)).await.unwrap();
    assert_eq!((&*sign_in.issuer, &sign_in.claims["sub"]), (double.origin.as_str(), &json!("alice")));
    assert_eq!(fixture.provider.end_session_url(None, "", "").await, None);
    // Without a userinfo endpoint there is nobody to ask.
    assert!(written(None).redeem().await.is_ok());
    // Everything is checked as ever.
    assert_eq!(fixture.redeem_iss(Some("https://evil.example")).await.unwrap_err().code(), "iss_mismatch");
    let mut claims = double.claims();
    claims["iss"] = json!("https://evil.example");
    double.issues(&key, &claims);
    assert_eq!(fixture.refusal().await, "id_token_iss");
    double.issues(&TestKey::rsa("RS256", "k1"), &double.claims());
    assert_eq!(fixture.refusal().await, "id_token_signature");
    assert_eq!(double.count(DISCOVERY), 0);
    let found = fixture.provider.probe(&ProbeRequest::default()).await;
    assert!(found.iter().any(|f| f.code == "key_set" && f.grade == crate::provider::Grade::Good), "{found:?}");
}

#[test]
fn plain_http_is_for_loopback_or_when_said() {
    // OA-24, DI-01, AT-TP-20
    let setup = |issuer: &str, insecure: bool| {
        let mut settings = settings(ProviderKind::Oidc { issuer: issuer.to_owned(), overrides: Endpoints::default() });
        settings.insecure_http = insecure;
        Provider::new(settings, crate::clock::SystemClock::shared()).map(|_| ())
    };
    for issuer in ["https://p.example", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1/x"] {
        assert!(setup(issuer, false).is_ok(), "{issuer}");
    }
    assert!(setup("http://p.example", true).is_ok());
    assert!(matches!(setup("http://p.example", false), Err(ProviderSetupError::Issuer(_, EndpointFault::NotHttps))));
    for issuer in ["ftp://p.example", "p.example", "https://u:p@p.example", "http://127.0.0.1.p.example"] {
        assert!(setup(issuer, false).is_err(), "{issuer}");
    }
    let endpoints = Endpoints { token_endpoint: Url::parse("http://p.example/token").ok(), ..Endpoints::default() };
    let settings = settings(ProviderKind::OAuth2 { endpoints, identity: OAuth2Identity::Nobody });
    assert!(matches!(
        Provider::new(settings, crate::clock::SystemClock::shared()),
        Err(ProviderSetupError::Endpoint("token_endpoint", EndpointFault::NotHttps))
    ));
}

#[test]
fn a_document_from_outside_cannot_point_inside() {
    // AT-TP-20
    use crate::provider::transport::check_discovered;
    let outside = Url::parse("https://p.example").unwrap();
    let inside = Url::parse("http://localhost:8080").unwrap();
    for url in [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[fe80::1]/x",
        "https://0.0.0.0/x",
        "https://2130706433/x",
    ] {
        let url = Url::parse(url).unwrap();
        assert_eq!(check_discovered(&url, &outside, true), Err(EndpointFault::PointsInside), "{url}");
        assert_eq!(check_discovered(&url, &inside, true), Ok(()));
    }
    assert_eq!(check_discovered(&Url::parse("https://oauth2.p.example:8443/x").unwrap(), &outside, false), Ok(()));
}

#[tokio::test]
async fn tls_needs_a_certificate_that_is_trusted_and_of_the_hosts_own_name() {
    // OA-24, DI-01, TL-02
    use tokio_rustls::TlsAcceptor;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], rustls_pki_types::PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let issuer = format!("https://localhost:{port}");
    let document = json!({ "issuer": issuer, "authorization_endpoint": format!("{issuer}/a"),
        "token_endpoint": format!("{issuer}/t"), "jwks_uri": format!("{issuer}/k") });
    let (names, named) = std::sync::mpsc::channel();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            names.send(stream.get_ref().1.server_name().map(str::to_owned)).unwrap();
            let body = document.to_string();
            let service = service_fn(move |_| {
                let response = Response::new(Full::new(Bytes::from(body.clone())));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let fixture = |issuer: &str, roots: Vec<CertificateDer<'static>>| {
        let kind = ProviderKind::Oidc { issuer: issuer.to_owned(), overrides: Endpoints::default() };
        Fixture::new(kind, |s| s.roots = roots)
    };
    let ca = || vec![made.cert.der().clone()];
    for (issuer, ca) in [(issuer.clone(), Vec::new()), (format!("https://127.0.0.1:{port}"), ca())] {
        let error = fixture(&issuer, ca).provider.check_iss(None, true).await.unwrap_err();
        assert_eq!(error.code(), "provider_tls_failed", "{issuer}");
    }
    assert!(named.try_recv().is_err(), "no handshake was finished");
    fixture(&issuer, ca()).provider.check_iss(None, true).await.unwrap();
    assert_eq!(named.recv().unwrap().as_deref(), Some("localhost"));
}
