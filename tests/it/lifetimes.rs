//! How long a session lives: the absolute end, the idle end, and what is kept in it.

use std::time::Duration;

use crate::harness::idp::paths;
use futures_util::future::join_all;

use crate::harness::{Scene, TestIdp};

const LIMITS: &str = "[session]\nlifetime = '1h'\nidle_timeout = '10m'";

/// A provider whose tokens outlive every session here, so that nothing is renewed but the session itself.
async fn patient_idp() -> TestIdp {
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.access_life = Some(Duration::from_secs(86_400)));
    idp
}

async fn scene() -> Scene {
    Scene::signed_in_at(patient_idp().await, |builder| builder.with(LIMITS)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_activity_moves_the_absolute_end() {
    // CK-11, CK-17, AT-CS-21
    let scene = scene().await;
    for _ in 0..11 {
        scene.later(300);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    scene.later(299);
    assert_eq!(scene.asks("/").await.status, 200);
    scene.upstream.forget_seen();
    scene.later(1);
    assert_eq!(scene.asks("/").await.location().path(), paths::AUTHORIZE);
    assert_eq!(scene.fetches("/").await.status, 401);
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_do_not_move_the_absolute_end_either() {
    // CK-11, AT-CS-21
    let scene = Scene::signed_in_with(LIMITS).await;
    for _ in 0..65 {
        scene.later(55);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    let refreshes = scene.refreshes();
    scene.later(25);
    assert_eq!(scene.asks("/").await.status, 302);
    assert_eq!(scene.refreshes(), refreshes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_over() {
    // CK-17, AT-CS-21
    let scene = scene().await;
    let copy = scene.browser.copied();
    scene.later(599);
    assert_eq!(scene.asks("/").await.status, 200);
    scene.later(1);
    scene.upstream.forget_seen();
    // The browser went on, so its session does; a copy that was never used since is over.
    assert_eq!(copy.asks(&scene.gateway.url("/")).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.asks("/").await.status, 200);
    scene.later(600);
    assert_eq!(scene.asks("/").await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_written_anew_once_in_each_tenth_of_the_idle_time() {
    // CK-17, AT-CS-23
    let scene = scene().await;
    scene.later(59);
    assert_eq!(scene.asks("/").await.headers.get("set-cookie"), None);
    scene.later(1);
    let urls: Vec<String> = (0..20).map(|n| scene.gateway.url(&format!("/{n}"))).collect();
    let answers = join_all(urls.iter().map(|url| scene.browser.asks(url))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(answers.iter().filter(|answer| answer.headers.contains_key("set-cookie")).count(), 1);
    let written = answers.iter().find(|answer| answer.headers.contains_key("set-cookie")).unwrap();
    assert_eq!(written.header("cache-control"), Some("no-store"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_is_audited_once() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let scene = Scene::signed_in_at(patient_idp().await, |builder| {
        builder.with(LIMITS).with(&format!("[log]\naudit = '{}'", audit.display()))
    })
    .await;
    scene.later(600);
    for _ in 0..3 {
        assert_eq!(scene.fetches("/").await.status, 401);
    }
    scene.gateway.stop().await;
    let told = std::fs::read_to_string(audit).unwrap();
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("\"session.expired\"")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].contains("\"subject\":\"248289761001\""), "{}", lines[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_token_the_session_ends_with_its_access_token() {
    // RF-03
    let scene = Scene::signed_in_with("[session]\nkeep = ['access', 'id']").await;
    scene.later(59);
    assert_eq!(scene.asks("/").await.status, 200);
    scene.later(1);
    scene.upstream.forget_seen();
    assert_eq!(scene.asks("/").await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.refreshes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_kept_is_in_the_cookie() {
    let mut sizes = Vec::new();
    for keep in ["['access', 'refresh', 'id']", "['access', 'refresh']", "['refresh']"] {
        let scene = Scene::signed_in_with(&format!("[session]\nkeep = {keep}")).await;
        sizes.push(scene.cookie().len());
        scene.later(55);
        assert_eq!(scene.asks("/").await.status, 200);
        assert_eq!(scene.refreshes(), 1, "keep = {keep}");
        let seen = scene.upstream.last_request();
        assert_eq!(seen.header("x-forwarded-preferred-username"), Some("ada"));
        // Without the ID token, the provider is told who it is about by nothing but `client_id`, and asks.
        let answer = scene.posts_logout(&scene.browser).await;
        let hinted = answer.location().query_pairs().any(|(name, _)| name == "id_token_hint");
        assert_eq!(hinted, keep.contains("id"), "keep = {keep}");
    }
    assert!(sizes[0] > sizes[1] && sizes[1] >= sizes[2], "{sizes:?}");
}
