//! Targets that programs read in different ways: refused where a rule is at stake, forwarded byte for byte where none is (PX-41).

use crate::harness::Scene;
use crate::harness::frames::{Fate, Frames};

/// Everybody may see everything but `/admin`.
const OPEN: &str = "[route.app]\naccess = 'public'\n[route.app.paths]\n'/admin' = { access = 'login' }";

/// A public island in what is protected, and another one.
const ISLANDS: &str = "[route.app.paths]\n'/admin/assets' = { access = 'public' }\n'/public' = { access = 'public' }";

async fn assert_refused(scene: &Scene, targets: &[&str]) {
    for target in targets {
        let answer = scene.sends("GET", target, "Accept: text/html\r\n").await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!((answer.header("set-cookie"), answer.header("location")), (None, None), "{target}");
        scene.assert_nobody_was_asked(target);
    }
}

async fn assert_forwarded(scene: &Scene, targets: &[&str]) {
    for target in targets {
        assert_eq!(scene.sends("GET", target, "").await.status, 200, "{target}");
        assert_eq!(scene.upstream.last_request().target, *target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_authority_in_a_target_hides_a_rule() {
    // AT-PM-02, AT-PM-11; RFC 3986 section 4.2, WHATWG URL "special authority slashes state"
    let scene = Scene::with(OPEN).await;
    assert_eq!(scene.sends("GET", "/admin", "").await.status, 401);
    let targets = [
        "//x/admin",
        "//x/admin/y?z",
        "//u@h/admin",
        "//u:p@h:80/admin",
        "//x:/admin",
        "//[::1]/admin",
        "///x/admin",
        "////x/admin",
        "/\\x/admin",
        "/\\x\\admin",
        "/\\/x/admin",
        "//x\\admin",
        "/%2fx/admin",
        "/%2Fx%2Fadmin",
        "/%5cx/admin",
        "//x%2fadmin",
        "//x%2f..%2f/admin",
        "/.//x/admin",
        "/y/..//x/admin",
        "/;//x/admin",
        "/%252fx/admin",
        "//x%23/admin",
        "//x/ADMIN",
        "/http://x/admin",
        "/https:/x/admin",
        "/http:x/admin",
        "//http://x/admin",
        "/api//x/../admin",
    ];
    assert_refused(&scene, &targets).await;
    // What an absolute form leaves is a path like any other, and what is no form of a target is none.
    for rest in ["//x/admin", "/\\x/admin", "//u@h/admin"] {
        let target = format!("http://{}{rest}", scene.gateway.authority());
        assert_refused(&scene, &[&target]).await;
    }
    assert_refused(&scene, &["http:/x/admin", "https:x/admin", "http:///admin", "https:x", "x/admin", "\\\\x/admin"])
        .await;
    assert_forwarded(
        &scene,
        &["//x/public", "///", "/\\x/y", "//u@h/x?y=//x/admin", "/http://x/y", "/web/http://x/admin"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_authority_in_a_target_of_http_2_hides_a_rule() {
    let scene = Scene::with(OPEN).await;
    for (path, is_refused) in [("//x/admin", true), ("/\\x/admin", true), ("http:/x/admin", true), ("//x/y", false)] {
        let mut frames = Frames::connect(scene.gateway.address).await;
        let authority = scene.gateway.authority();
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)];
        frames.asks(&fields).await;
        let fate = frames.fate(1).await;
        assert_eq!(fate != Fate::Answered(200), is_refused, "{path}: {fate:?}");
        if is_refused {
            scene.assert_nobody_was_asked(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_of_readings_hides_a_rule() {
    // AT-PM-03, AT-PM-05, CVE-2024-38474
    let scene = Scene::with(ISLANDS).await;
    let targets = [
        // Cut, and then resolved.
        "/admin/assets/..%23",
        "/admin/assets/..%3f",
        "/admin/assets/..%3Fx=/y",
        "/admin/assets/x/../..%23",
        "/admin/assets\\..%23x",
        "/admin/assets%5c..%3f",
        "/admin/assets/..;%23",
        "/admin/assets/..%3b%3f",
        "/admin%23/../public",
        "/admin;/../public/x",
        "/admin%2500/../public",
        // Decoded again.
        "/admin/assets/%252e%252e/",
        "/admin/assets/..%252f",
        "/admin/assets/%252e%252e%252fx",
        "/admin/assets/..%2523",
        "/admin/assets/..%255c",
        "/admin/assets/%25252e%25252e",
        "/admin/assets/.%2509.",
        "/admin/assets/%25u002e%25u002e",
        "/admin/assets/%25c0%25ae./",
        "/public/%252e%252e/admin",
        // Not decoded at all.
        "/%61dmin/assets/x",
        "/p%75blic",
        // Blanks, and what counts as one.
        "/public/..%20/admin",
        "/public/%20../admin",
        "/public/..%20",
        "/public/..+/admin",
        "/public/..%2b/admin",
        "/public/..%c2%a0/admin",
        "/admin/assets/..%20%20/",
        "/admin/assets/..%20%23",
        // Names that are longer than what they name.
        "/admin./assets",
        "/admin/assets./x",
        "/admin%20/assets/x",
        "/admin/assets%20",
        "/admin::$INDEX_ALLOCATION/assets",
        // Letters that stand for others.
        "/admin/assets/%ef%bc%8e%ef%bc%8e/",
        "/admin/assets%ef%bc%8f..%ef%bc%8fx",
        "/admin/assets/%e2%80%a5/x",
        // An authority behind something else.
        "/public/..%2f%2fx/admin",
        // Too much to tell.
        "/public/;/%3b/%2f/%5c/\\/../%2e/%3f//",
    ];
    assert_refused(&scene, &targets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_reading_agrees_about_is_forwarded_as_it_is() {
    let scene = Scene::with(ISLANDS).await;
    let fine = [
        "/public/%2541",
        "/public/100%25",
        "/public/a%252fb",
        "/public/%2525",
        "/public/a%20b/caf%c3%a9",
        "/public/a;b=c/d",
        "/public/a%2fb%5cc",
        "/public//admin",
        "/public/x/../y",
        "/public/x/%252e%252e/y",
        "/public/ann%40example.com",
        "/public/what%3F",
        "/public/https%3A%2F%2Fexample.com%2F%3Fq%3D1",
        "/public/~a/(b)/c,d/e'f/g!h/$i/j=k&l@m:n*o+p",
        "/public/%E6%8A%80%E6%9C%AF/%E3%83%86",
        "/public/v1.2/file.tar.gz",
        "/public/etc.",
        "/public/?q=../../admin&r=%2e%2e%2f",
        "/admin/assets/app.min.js?v=1.2..3",
    ];
    assert_forwarded(&scene, &fine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rule_for_every_path_forwards_every_spelling_of_it() {
    let scene = Scene::with("[route.app]\naccess = 'public'").await;
    let targets = [
        "/x/%252e%252e/y",
        "//x/admin",
        "/a/..%23",
        "/a%2fb/../c",
        "/%61;b//c",
        "/x?/../y",
        "/x/..%20/y",
        "/a.",
        "/a%5cb",
    ];
    assert_forwarded(&scene, &targets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_query_leads_out_of_itself_to_another_rule() {
    // `path.join(root, req.url)`: the query is taken off, if ever, after dot segments are resolved.
    let scene = Scene::with(ISLANDS).await;
    let targets = [
        "/public?/../admin",
        "/public?x=/../admin/y",
        "/public?x/y/../../admin",
        "/public?/%2e%2e/admin",
        "/public?\\..\\admin",
        "/public?/%252e%252e%252fadmin",
        "/public/x?/../../admin",
        "/public?/..;/admin",
    ];
    assert_refused(&scene, &targets).await;
    let fine = [
        "/public?file=../x",
        "/public?next=/a/../b",
        "/public?x=/../public/y",
        "/public?next=https%3A%2F%2Fx%2Fa%2F..%2Fb",
        "/public?token=a..b",
        "/public?q=100%25%2f%2e",
    ];
    assert_forwarded(&scene, &fine).await;
    let login =
        scene.sends("GET", "/_vestibule/login?rd=/../../x", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
    assert_eq!(login.await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_case_of_any_letter_hides_a_rule() {
    // AT-PM-06: `equalsIgnoreCase` and its kin know more letters than ASCII has.
    let rules = "[route.app]\naccess = 'public'\n[route.app.paths]\n'/bücher' = { access = 'login' }\n'/tasks' = { access = 'login' }";
    let scene = Scene::with(rules).await;
    assert_eq!(scene.sends("GET", "/b%C3%BCcher", "").await.status, 401);
    assert_refused(&scene, &["/B%C3%9CCHER/x", "/b%c3%9ccher", "/tas%E2%84%AAs", "/ta%C5%BFks", "/TASKS", "/b%FCcher"])
        .await;
    assert_forwarded(&scene, &["/%C3%9Cber", "/TASKSX", "/%E2%84%AA"]).await;
}
