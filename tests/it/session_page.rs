//! `session`: who somebody is, for people and for programs; never a token.

use http::Method;

use crate::harness::browser::Ask;
use crate::harness::{Page, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn people_and_programs_are_told_who_they_are() {
    // CK-21
    let scene = Scene::signed_in().await;
    let url = scene.gateway.own("session");
    let page = scene.browser.opens(&url).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    for told in ["Ada Lovelace", "ada@example.com", "staff, admins", "idp"] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    let told = scene.browser.does(Ask::script(&url).with("accept", "application/json")).await;
    let document = scene.browser.fetches(&scene.gateway.url("/"), &url).await;
    for answer in [&told, &document] {
        assert_eq!(answer.status, 200);
        assert_no_secrets(&scene, answer);
    }
    assert_no_secrets(&scene, &page);
    let json = document.json();
    assert_eq!((&json["email"], &json["subject"]), (&"ada@example.com".into(), &"248289761001".into()));
    assert_eq!(json["groups"], serde_json::json!(["staff", "admins"]));
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_signs_out() {
    let scene = Scene::signed_in().await;
    let page = scene.browser.opens(&scene.gateway.own("session")).await;
    let page = scene.browser.submits(&page, "/_vestibule/logout", &[]).await;
    assert_eq!(page.url.path(), "/_vestibule/signed-out");
    assert_eq!(scene.asks("/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_session_that_is_not_there() {
    let scene = Scene::signed_in().await;
    let (stranger, url) = (scene.gateway.browser(), scene.gateway.own("session"));
    assert_eq!(stranger.opens(&url).await.status, 401);
    let script = stranger.fetches(&scene.gateway.url("/"), &url).await;
    assert_eq!((script.status, script.header("content-type")), (401, Some("application/problem+json")));
    assert_eq!(scene.browser.does(Ask::navigation(&url).by(Method::POST)).await.status, 405);
    assert!(scene.idp.seen().is_empty());
}

/// The provider marks its tokens: `at_`, `rt_`, and JWTs begin with `eyJ`.
fn assert_no_secrets(scene: &Scene, answer: &Page) {
    let everything = format!("{:?} {}", answer.headers, answer.text());
    for mark in ["at_", "rt_", "eyJ", &scene.cookie()] {
        assert!(!everything.contains(mark), "{mark} is in {everything}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}
