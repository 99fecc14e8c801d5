//! A plain OAuth 2.0 server by the letter of the code grant: no discovery, no ID token, no nonce; who somebody is, is asked elsewhere.

use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::{Pkce, paths};
use serde_json::json;

use crate::harness::idp::CLIENT_ID;
use crate::harness::scene::ADA;
use crate::harness::{Gateway, RecordingUpstream, Scene, TestIdp, has_session, param};

#[tokio::test(flavor = "multi_thread")]
async fn the_code_grant_to_the_letter() {
    // OA-01, OA-02, OA-11, OA-12, OA-19, PK-01: RFC 6749 sections 4.1.1 to 4.1.4 and 6
    let scene = plain("").await;
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/wiki?x=1").await;
    let mut names: Vec<String> = request.query_pairs().map(|(name, _)| name.into_owned()).collect();
    names.sort();
    assert_eq!(
        names,
        ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope", "state"]
    );
    assert_eq!((param(&request, "response_type"), param(&request, "client_id")), ("code".into(), CLIENT_ID.into()));
    assert_eq!(
        (param(&request, "scope"), param(&request, "redirect_uri")),
        ("profile email".into(), scene.gateway.own("callback"))
    );

    let callback = scene.answered(&browser, &request).await;
    assert_eq!(param(&callback, "state"), param(&request, "state"));
    let page = browser.opens(callback.as_str()).await;
    assert_eq!((page.status, page.url.to_string()), (200, scene.gateway.url("/wiki?x=1")));

    let exchange = &scene.idp.token_requests("authorization_code")[0];
    let form: Vec<String> = exchange.form().into_iter().map(|(name, _)| name).collect();
    assert_eq!(form, ["grant_type", "code", "redirect_uri", "code_verifier"]);
    assert_eq!((exchange.method.as_str(), exchange.query.as_str()), ("POST", ""));
    assert_eq!(exchange.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(exchange.field("code"), Some(param(&callback, "code")));
    assert_eq!(exchange.field("redirect_uri"), Some(param(&request, "redirect_uri")));
    assert!(exchange.header("authorization").unwrap().starts_with("Basic "));
    let told = browser.fetches(&scene.gateway.url("/"), &scene.gateway.own("session")).await.json();
    assert_eq!((told["subject"].as_str(), told["scope"].as_str()), (Some(ADA), Some("profile email")));

    // Nothing was asked that such a server does not have.
    assert!(scene.idp.seen_at(paths::DISCOVERY).is_empty() && scene.idp.seen_at(paths::KEY_SET).is_empty());
    let told = scene.upstream.only_request();
    assert_eq!(told.header("x-forwarded-user"), Some(ADA));
    assert_eq!(told.header("x-forwarded-email"), Some("ada@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_after_they_expired() {
    // RF-01, RF-02, RF-11
    let scene = plain("").await;
    let browser = scene.signs_in().await;
    for renewals in 1..=2 {
        scene.gateway.clock.advance(Duration::from_secs(61));
        assert_eq!(browser.asks(&scene.gateway.url("/later")).await.status, 200);
        assert_eq!(scene.idp.token_requests("refresh_token").len(), renewals);
    }
    let renewals = scene.idp.token_requests("refresh_token");
    let form: Vec<String> = renewals[0].form().into_iter().map(|(name, _)| name).collect();
    assert_eq!(form, ["grant_type", "refresh_token"]);
    assert!(renewals[0].header("authorization").unwrap().starts_with("Basic "));
    assert_ne!(renewals[0].field("refresh_token"), renewals[1].field("refresh_token"), "the newest one is sent");
    assert_eq!(scene.idp.refresh_reuses(), 0);
    assert_eq!(scene.upstream.last_request().header("x-forwarded-user"), Some(ADA));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_its_refresh_token_and_says_no_expiry() {
    // OA-18, RF-02
    let scene = plain("default_expires_in = '2m'\n").await;
    scene.idp.configure(|settings| {
        settings.access_life = None;
        settings.rotation = false;
    });
    let browser = scene.signs_in().await;
    for renewals in 1..=2 {
        scene.gateway.clock.advance(Duration::from_secs(115));
        assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
        assert_eq!(scene.idp.token_requests("refresh_token").len(), renewals);
    }
    let seen = scene.idp.token_requests("refresh_token");
    assert_eq!(seen[0].field("refresh_token"), seen[1].field("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_refresh_tokens_asks_to_sign_in_again() {
    // RF-03
    let scene = plain("").await;
    let (browser, page) = scene
        .signs_in_while(|faults| {
            faults.token.members.remove("refresh_token");
        })
        .await;
    assert_eq!(page.status, 200);
    scene.gateway.clock.advance(Duration::from_secs(61));
    let page = browser.asks(&scene.gateway.url("/")).await;
    assert_eq!(page.status, 302);
    assert!(scene.idp.token_requests("refresh_token").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_nobody_can_verify_is_not_looked_at() {
    // ID-06, AT-TP-18
    let scene = plain("").await;
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.";
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.token.members.set("id_token", forged);
        })
        .await;
    assert_eq!(page.status, 200);
    let seen = scene.upstream.only_request();
    assert!(seen.header("x-forwarded-user") == Some(ADA) && !seen.head.contains("root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_pkce_is_served_when_the_operator_says_so() {
    let scene = plain("pkce = false\n").await;
    scene.idp.configure(|settings| settings.clients[0].pkce = Pkce::Refused);
    let browser = scene.signs_in().await;
    assert!(has_session(&browser));
    assert_eq!(scene.idp.token_requests("authorization_code")[0].field("code_verifier"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_that_names_nobody_signs_nobody_in() {
    // UI-01
    let scene = plain("").await;
    for (reason, name, value) in [
        ("VB-1017", "sub", json!(null)),
        ("VB-1017", "sub", json!("")),
        ("VB-1017", "sub", json!("a\r\nb")),
        ("VB-1017", "sub", json!(["a"])),
    ] {
        scene
            .refuses_while(reason, |faults| {
                faults.userinfo.members.set(name, value.clone());
            })
            .await;
    }
    for (reason, breakage) in [
        ("answer_content_type", Breakage::Html),
        ("userinfo_unauthorized", Breakage::Status(403)),
        ("provider_server_error", Breakage::Status(500)),
    ] {
        scene.refuses_while(reason, |faults| faults.userinfo.break_with(breakage)).await;
    }
    // Another claim may be the subject, and it may be a number, as some servers have it.
    let scene = plain("claims = { subject = 'id', user = 'login' }\n").await;
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.userinfo.members.set("id", 4711).set("login", "ada").remove("sub");
        })
        .await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(scene.upstream.only_request().header("x-forwarded-user"), Some("ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_tells_who_somebody_is() {
    // TK-01, BE-01
    let scene = introspecting().await;
    scene.signs_in().await;
    let asked = &scene.idp.seen_at(paths::INTROSPECT)[0];
    let form: Vec<String> = asked.form().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        (asked.method.as_str(), asked.query.as_str(), form),
        ("POST", "", vec!["token".to_owned(), "token_type_hint".to_owned()])
    );
    assert!(asked.header("authorization").unwrap().starts_with("Basic "));
    assert!(scene.idp.seen_at(paths::USERINFO).is_empty());
    assert_eq!(scene.upstream.only_request().header("x-forwarded-user"), Some(ADA));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_clear_yes_of_introspection_is_a_yes() {
    // AT-TP-29, AT-TP-30, TK-01, TK-02, TK-04
    let scene = introspecting().await;
    for active in [json!("true"), json!(1), json!(false), json!(null), json!({})] {
        scene
            .refuses_while("token_inactive", |faults| {
                faults.introspection.members.set("active", active);
            })
            .await;
    }
    scene
        .refuses_while("token_inactive", |faults| {
            faults.introspection.members.remove("active");
        })
        .await;
    for (reason, name, value) in [
        ("token_audience", "aud", json!("somebody else")),
        ("token_client", "client_id", json!("somebody else")),
        ("token_expired", "exp", json!(1)),
        ("token_time_invalid", "exp", json!("later")),
        ("token_not_yet_valid", "nbf", json!(4_102_444_800_u64)),
    ] {
        scene
            .refuses_while(reason, |faults| {
                faults.introspection.members.set(name, value);
            })
            .await;
    }
    for (reason, breakage) in [
        ("answer_content_type", Breakage::Html),
        ("provider_server_error", Breakage::Status(503)),
        ("VB-2009", Breakage::Status(404)),
        ("provider_connection_broken", Breakage::Reset),
        ("VB-2004", Breakage::oauth_error("invalid_client")),
    ] {
        scene.refuses_while(reason, |faults| faults.introspection.break_with(breakage)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_nothing_about_people_signs_somebody_in() {
    let (idp, upstream) = (TestIdp::plain_oauth2().await, RecordingUpstream::start().await);
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .without("provider.idp.userinfo_endpoint")
        .with("[route.app.identity]\nset = 'default'\nauthorization = 'access_token'")
        .start()
        .await;
    let browser = gateway.browser();
    let ask = crate::harness::browser::Ask::navigation(&gateway.url("/wiki")).with("x-forwarded-user", "root");
    let page = browser.does(ask).await;
    let page = browser.picks(&page, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
    let seen = upstream.only_request();
    for name in ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username"] {
        assert_eq!(seen.header(name), None, "{}", seen.head);
    }
    assert!(seen.header("authorization").unwrap().starts_with("Bearer at_"));
    gateway.clock.advance(Duration::from_secs(61));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    assert_eq!(idp.token_requests("refresh_token").len(), 1);
    let paths_seen: Vec<String> = idp.seen().into_iter().map(|seen| seen.path).collect();
    assert!(
        !paths_seen.iter().any(|path| [paths::USERINFO, paths::INTROSPECT, paths::DISCOVERY].contains(&path.as_str()))
    );
}

/// A plain server, with this in its table.
async fn plain(keys: &str) -> Scene {
    Scene::at(TestIdp::plain_oauth2().await, &format!("[provider.idp]\nscopes = ['profile', 'email']\n{keys}")).await
}

async fn introspecting() -> Scene {
    let idp = TestIdp::plain_oauth2().await;
    let asks = format!(
        "[provider.idp]\nscopes = ['profile', 'email']\nintrospection_endpoint = '{}'",
        idp.url(paths::INTROSPECT)
    );
    Scene::built_at(idp, |gateway| gateway.without("provider.idp.userinfo_endpoint").with(&asks)).await
}
