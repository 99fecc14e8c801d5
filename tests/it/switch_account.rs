//! "Switch account": another person signs in, whatever the provider knows of `prompt`, and nothing races the new sign-in.

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use serde_json::json;

use crate::harness::{Page, Scene, TestIdp};

/// Ada may not open the page; Grace may.
const CLOSED: &str = "[route.app.paths.\"/closed\"]\nallow.emails = ['grace@example.com']";

/// What a provider is like, and the authorization and end-session requests that it has to see.
struct Case {
    refuses: &'static [&'static str],
    supported: Option<&'static [&'static str]>,
    without: &'static [&'static str],
    toml: &'static str,
    sees: &'static [&'static str],
}

const HONEST: Case = Case { refuses: &[], supported: None, without: &[], toml: "", sees: &["select_account"] };
const NO_END: &[&str] = &["end_session_endpoint"];

#[tokio::test(flavor = "multi_thread")]
async fn another_person_signs_in_whatever_the_provider_lacks() {
    // CK-16
    let refuses: &[&str] = &["prompt=select_account"];
    let cases = [
        HONEST,
        Case { supported: Some(&["none", "login", "select_account"]), ..HONEST },
        Case { refuses, sees: &["select_account", "sign out", ""], ..HONEST },
        Case { refuses, supported: Some(&["none", "login"]), sees: &["sign out", ""], ..HONEST },
        Case { refuses, without: NO_END, sees: &["select_account", "login"], ..HONEST },
        Case { refuses, toml: "logout = 'revoke'", sees: &["select_account", "login"], ..HONEST },
        Case { refuses, supported: Some(&["login"]), without: NO_END, sees: &["login"], ..HONEST },
        // A configured `prompt` wins.
        Case { toml: "prompt = 'login'", sees: &["login"], ..HONEST },
        Case { toml: "prompt = 'select_account consent'", sees: &["select_account consent"], ..HONEST },
        Case { toml: "authorization_params = { prompt = 'login' }", sees: &["login"], ..HONEST },
        Case { toml: "prompt = 'consent'", sees: &["sign out", "consent"], ..HONEST },
        Case { toml: "prompt = 'consent'", without: NO_END, sees: &["consent"], ..HONEST },
        Case { toml: "prompt = 'none'", sees: &["sign out", "none", "login"], ..HONEST },
        Case { toml: "prompt = 'none'", without: NO_END, sees: &["login"], ..HONEST },
        // Nothing that the provider may lack besides gets in the way.
        Case { without: &["revocation_endpoint"], ..HONEST },
    ];
    for case in cases {
        let idp = TestIdp::start().await;
        idp.break_with(|faults| {
            faults.callback.refused = case.refuses.iter().map(|refused| (*refused).to_owned()).collect();
            if let Some(supported) = case.supported {
                faults.discovery.members.set("prompt_values_supported", json!(supported));
            }
            for member in case.without {
                faults.discovery.members.remove(member);
            }
        });
        let toml = format!("[provider.idp]\n{}\n{CLOSED}", case.toml);
        let scene = Scene::signed_in_at(idp, |builder| builder.with(&toml)).await;
        let copy = scene.browser.copied();
        let page = switched(&scene).await;
        assert_eq!(requests(&scene), case.sees, "{toml}");
        assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url("/closed?x=1").as_str()), "{toml}");
        assert_eq!(scene.upstream.only_request().header("x-forwarded-preferred-username"), Some("grace"), "{toml}");
        assert_eq!(copy.asks(&scene.gateway.url("/")).await.status, 302, "the first account's session is over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_revocation_runs_beside_the_next_sign_in() {
    // RF-13: some providers end the whole grant, the new one too
    let scene = Scene::signed_in_with(CLOSED).await;
    assert_eq!(switched(&scene).await.status, 200);
    assert!(scene.idp.seen_at(paths::REVOKE).is_empty());

    // By way of the end-session endpoint, the old tokens are revoked before the browser goes there.
    let idp = TestIdp::start().await;
    idp.break_with(|faults| {
        faults.discovery.members.set("prompt_values_supported", json!(["login"]));
    });
    let scene = Scene::signed_in_at(idp, |builder| builder.with(CLOSED)).await;
    assert_eq!(switched(&scene).await.status, 200);
    let seen = scene.idp.seen();
    let order: Vec<_> = seen.iter().map(|seen| seen.path.as_str()).filter(|path| RELEVANT.contains(path)).collect();
    assert_eq!(order, RELEVANT);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_through_the_end_session_endpoint_is_bound_to_the_browser_and_goes_one_way() {
    // LO-02, LO-03, AT-LF-01
    let idp = TestIdp::start().await;
    idp.break_with(|faults| {
        faults.discovery.members.set("prompt_values_supported", json!(["login"]));
    });
    let scene = Scene::signed_in_at(idp, |builder| builder.with(CLOSED)).await;
    let denied = scene.browser.opens(&scene.gateway.url("/closed?x=1")).await;
    let left = scene.browser.submits(&denied, "/_vestibule/logout", &[]).await;
    assert!(left.is_choosing());
    let back = left.hop("/_vestibule/signed-out?state=").url.clone();
    let state = left.hop("/_vestibule/signed-out?state=").param("state").unwrap();
    scene.idp.forget_seen();
    // In another browser, and in this one a second time, it is a plain visit.
    for browser in [scene.gateway.browser(), scene.browser.clone()] {
        let page = browser.opens(back.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/_vestibule/signed-out"));
    }
    // Nor does it end a sign-in.
    let stolen = scene.gateway.own(&format!("callback?code=x&state={state}"));
    assert_eq!(scene.browser.opens(&stolen).await.status, 400);
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_switches_is_sent_to_a_provider_that_is_away() {
    // AT-LG-13: the session is over all the same
    for supported in [json!(["login", "select_account"]), json!(["login"])] {
        let idp = TestIdp::start().await;
        idp.break_with(|faults| {
            faults.discovery.members.set("prompt_values_supported", supported);
        });
        let scene = Scene::signed_in_at(idp, |builder| builder.with(CLOSED)).await;
        let denied = scene.browser.opens(&scene.gateway.url("/closed?x=1")).await;
        scene.idp.break_with(|faults| {
            faults.refresh.break_with(Breakage::Reset);
            faults.key_set.break_with(Breakage::Reset);
        });
        scene.later(55);
        scene.asks("/").await;
        let page = scene.browser.submits(&denied, "/_vestibule/logout", &[]).await;
        assert_eq!((page.status, page.hops.len()), (503, 0), "{}", page.text());
        assert!(page.header("retry-after").is_some());
        assert_eq!(scene.asks("/").await.status, 302, "nobody is signed in");
    }
}

/// Ada is refused, and Grace chosen.
async fn switched(scene: &Scene) -> Page {
    let denied = scene.browser.opens(&scene.gateway.url("/closed?x=1")).await;
    assert_eq!(denied.status, 403);
    scene.idp.forget_seen();
    let page = scene.browser.submits(&denied, "/_vestibule/logout", &[]).await;
    // The session that was ended is no hint in the second round: the provider asks.
    let page = if page.url.path() == paths::END_SESSION {
        scene.browser.submits(&page, "end-session", &[]).await
    } else {
        page
    };
    assert!(page.is_choosing(), "{} {}", page.url, page.text());
    scene.browser.picks(&page, "Grace").await
}

/// The `prompt` of each authorization request, and each sign-out at the provider, in order.
fn requests(scene: &Scene) -> Vec<String> {
    let seen = scene.idp.seen();
    let told = seen.iter().filter_map(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        (_, paths::AUTHORIZE) => Some(seen.query_field("prompt").unwrap_or_default()),
        ("GET", paths::END_SESSION) => Some("sign out".to_owned()),
        _ => None,
    });
    told.collect()
}

const RELEVANT: [&str; 4] = [paths::REVOKE, paths::END_SESSION, paths::AUTHORIZE, paths::TOKEN];
