//! `session`: who somebody is, for people and for programs; never a token.

use http::Method;

use crate::harness::browser::Ask;
use crate::harness::{House, Page};

#[tokio::test(flavor = "multi_thread")]
async fn people_and_programs_are_told_who_they_are() {
    // CK-21
    let house = House::signed_in().await;
    let url = house.gateway.own("session");
    let page = house.browser.opens(&url).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    for told in ["Ada Lovelace", "ada@example.com", "staff, admins", "idp"] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    let told = house.browser.does(Ask::script(&url).with("accept", "application/json")).await;
    let document = house.browser.fetches(&house.gateway.url("/"), &url).await;
    for answer in [&told, &document] {
        assert_eq!(answer.status, 200);
        assert_no_secrets(&house, answer);
    }
    assert_no_secrets(&house, &page);
    let json = document.json();
    assert_eq!((&json["email"], &json["subject"]), (&"ada@example.com".into(), &"248289761001".into()));
    assert_eq!(json["groups"], serde_json::json!(["staff", "admins"]));
    assert!(house.upstream.seen().is_empty() && house.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_signs_out() {
    let house = House::signed_in().await;
    let page = house.browser.opens(&house.gateway.own("session")).await;
    let page = house.browser.submits(&page, "/_vestibule/logout", &[]).await;
    assert_eq!(page.url.path(), "/_vestibule/signed-out");
    assert_eq!(house.asks("/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_session_that_is_not_there() {
    let house = House::signed_in().await;
    let (stranger, url) = (house.gateway.browser(), house.gateway.own("session"));
    assert_eq!(stranger.opens(&url).await.status, 401);
    let script = stranger.fetches(&house.gateway.url("/"), &url).await;
    assert_eq!((script.status, script.header("content-type")), (401, Some("application/problem+json")));
    assert_eq!(house.browser.does(Ask::navigation(&url).by(Method::POST)).await.status, 405);
    assert!(house.idp.seen().is_empty());
}

/// The demo's provider marks its tokens: `at_`, `rt_`, and JWTs begin with `eyJ`.
fn assert_no_secrets(house: &House, answer: &Page) {
    let everything = format!("{:?} {}", answer.headers, answer.text());
    for mark in ["at_", "rt_", "eyJ", &house.cookie()] {
        assert!(!everything.contains(mark), "{mark} is in {everything}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}
