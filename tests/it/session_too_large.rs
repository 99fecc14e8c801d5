//! A session that no set of cookies can hold: a page and a log line that say what to do, and never a loop.

use crate::harness::idp::paths;

use crate::cookies::noise;
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Gateway, RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_to_do() {
    // CK-07
    listen();
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    idp.configure(|settings| drop(settings.people[0].claims.insert("groups".into(), noise(14_000).into())));
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).start().await;
    let page = gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (500, "/_vestibule/callback"));
    assert!(page.text().contains("12288 fit"), "{}", page.text());
    assert_eq!(page.header("cache-control"), Some("no-store"));
    // Neither a session nor a part of one; nothing reached the application; the code was redeemed once.
    let set: Vec<&str> = page.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(set.iter().all(|line| line.starts_with("vestibule.login.") && line.contains("Max-Age=0")), "{set:?}");
    assert!(upstream.seen().is_empty());
    assert_eq!((idp.token_requests("authorization_code").len(), idp.seen_at(paths::AUTHORIZE).len()), (1, 1));
    assert!(!lines_with(&["session_too_large", "keep fewer tokens", "limit=12288"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_grows_too_large_is_served_until_it_ends() {
    // CK-07
    let scene = Scene::signed_in().await;
    let old = scene.cookie();
    scene.idp.configure(|settings| drop(settings.people[0].claims.insert("groups".into(), noise(14_000).into())));
    scene.later(55);
    assert_eq!(scene.asks("/").await.status, 200);
    assert_eq!(scene.cookie(), old);
    // What was renewed is found by the old cookie, until that is idle.
    scene.later(61);
    assert_eq!(scene.asks("/").await.status, 200);
    // Once nothing vouches for the person any more, the sign-in says what is wrong: it does not go round.
    scene.later(3600);
    let page = scene.browser.opens(&scene.gateway.url("/")).await;
    assert_eq!((page.status, page.url.path()), (500, "/_vestibule/callback"));
    assert_eq!(scene.idp.refresh_reuses(), 0);
}
