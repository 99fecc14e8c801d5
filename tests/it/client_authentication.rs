//! The client proves itself at the token endpoint, in exactly the one way that was configured.

use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::{AuthMethod, Client, IdpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::harness::gateway::GatewayBuilder;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::{Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn basic_encodes_each_half_and_says_it_once() {
    // OA-11, OA-12, OA-13
    let scene = Scene::start().await;
    let browser = scene.signs_in().await;
    scene.gateway.clock.advance(Duration::from_secs(59));
    browser.asks(&scene.gateway.url("/")).await;
    for seen in [only(&scene, "authorization_code"), only(&scene, "refresh_token")] {
        assert_eq!((seen.method.as_str(), seen.query.as_str()), ("POST", ""));
        assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
        let encoded = seen.header("authorization").unwrap().strip_prefix("Basic ").unwrap();
        let decoded = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert_eq!(decoded, "test+app:s%3Ae%25c+r%2B%C3%A9%26t%3D");
        assert_eq!(seen.field("client_secret"), None);
        assert_eq!(seen.field("client_assertion"), None);
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn post_puts_the_secret_into_the_body_alone() {
    // OA-13, OA-14
    let posting = Client::proving(CLIENT_ID, AuthMethod::Post(CLIENT_SECRET.to_owned()));
    let scene = registered("client_secret_post", |idp| idp.register(posting), "").await;
    scene.signs_in().await;
    let seen = only(&scene, "authorization_code");
    assert_eq!(
        (seen.field("client_id").as_deref(), seen.field("client_secret").as_deref()),
        (Some(CLIENT_ID), Some(CLIENT_SECRET))
    );
    assert!(seen.header("authorization").is_none() && seen.query.is_empty());
    assert!(scene.idp.seen().iter().all(|seen| !seen.query.contains("secret")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_names_itself_and_proves_nothing() {
    // OA-15
    let idp = TestIdp::start().await;
    idp.register(Client::proving(CLIENT_ID, AuthMethod::Public));
    let public = |gateway: GatewayBuilder| {
        gateway.without("provider.idp.client_secret").with("[provider.idp]\nclient_auth = 'none'")
    };
    let scene = Scene::built_at(idp, public).await;
    scene.signs_in().await;
    let seen = only(&scene, "authorization_code");
    assert_eq!(seen.field("client_id").as_deref(), Some(CLIENT_ID));
    assert!(seen.header("authorization").is_none() && seen.field("client_secret").is_none());
    assert!(seen.field("code_verifier").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_assertion_is_new() {
    // AT-TP-32, SB-06, CA-01, CA-03
    let folder = tempfile::tempdir().unwrap();
    let (pem, jwk) = key_pair();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pem).unwrap();
    let toml = format!("client_key = {{ file = '{}' }}\nclient_key_id = 'k-1'", file.display());
    let scene = registered("private_key_jwt", |idp| idp.expects_assertions(CLIENT_ID, jwk), &toml).await;
    scene.idp.break_with(|faults| faults.token.break_times(1, Breakage::Status(503)));
    let browser = scene.gateway.browser();
    let page = browser.signs_in(&scene.gateway.url("/page"), "Ada").await;
    assert_eq!(page.status, 503);
    scene.is_refused(&browser, &page, "provider_server_error");
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1, "no try of its own");
    assert_eq!(browser.opens(&scene.gateway.url("/page")).await.status, 200);
    scene.gateway.clock.advance(Duration::from_secs(59));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);

    let seen = [scene.idp.token_requests("authorization_code"), scene.idp.token_requests("refresh_token")].concat();
    let claims: Vec<Value> = seen.iter().map(|seen| claims(&seen.field("client_assertion").unwrap())).collect();
    assert_eq!(claims.len(), 3);
    let mut ids: Vec<&str> = claims.iter().map(|claims| claims["jti"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    for (seen, claims) in seen.iter().zip(&claims) {
        assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some(CLIENT_ID), Some(CLIENT_ID)));
        assert!(seen.header("authorization").is_none() && seen.field("client_secret").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_believed_is_a_fault_of_the_set_up() {
    // OA-21, OA-22, OA-25
    let scene = Scene::with("[provider.idp]\nclient_secret = 'wrong'").await;
    let asked = scene.refuses_while("VB-2004", |_| {}).await;
    assert_eq!(asked, 1, "no retry storm");
    let (_, page) = scene.signs_in_while(|_| {}).await;
    assert!(!page.text().contains("wrong") && !page.text().contains("the secret is"));
}

async fn registered(method: &str, register: impl FnOnce(&TestIdp), toml: &str) -> Scene {
    let idp = TestIdp::start().await;
    register(&idp);
    Scene::built_at(idp, |gateway| {
        let gateway = gateway.with(&format!("[provider.idp]\nclient_auth = '{method}'\n{toml}"));
        if method == "private_key_jwt" { gateway.without("provider.idp.client_secret") } else { gateway }
    })
    .await
}

fn only(scene: &Scene, grant: &str) -> IdpRequest {
    let mut seen = scene.idp.token_requests(grant);
    assert_eq!(seen.len(), 1, "{grant}");
    seen.remove(0)
}

fn claims(jwt: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A private key as PEM, and its public half as the provider knows it.
fn key_pair() -> (String, Value) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk =
        serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::ES256).unwrap())
            .unwrap();
    jwk["alg"] = "ES256".into();
    (pair.serialize_pem(), jwk)
}
