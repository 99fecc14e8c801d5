//! User names that are a part of a claim: who has one is told to the application by it, and everybody else is nobody.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::idp::{IdpSettings, paths};
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Browser, Page, Scene, TestIdp, has_session};
use crate::operation::{json_lines, logs_in};

const BEFORE: &str = "[provider.idp.claims]\nuser = { from = 'email', before = '@example.com' }";
const MATCHES: &str = r"[provider.idp.claims]
user = { from = 'email', matches = '^(.+)@example\.com$' }";

/// Ada's claims become these.
fn ada_has(idp: &TestIdp, claims: &Value) {
    idp.configure(|settings| settings.people[0].claims.extend(claims.as_object().unwrap().clone()));
}

/// What the application saw of the user in its only request.
fn user(scene: &Scene) -> Option<String> {
    scene.upstream.only_request().header("x-forwarded-user").map(str::to_owned)
}

/// Nobody was signed in: the page says that there is no user name and offers another account, there is no session, and the
/// application was asked nothing.
fn is_nobody(scene: &Scene, browser: &Browser, page: &Page, reason: &str) {
    assert_eq!(page.status, 403, "{reason}: {}", page.text());
    assert!(page.names("VB-1040") && page.names(reason), "{reason}: {}", page.text());
    assert!(page.text().contains("Switch account"), "{}", page.text());
    assert!(!has_session(browser), "{reason}: {:?}", browser.cookies());
    assert!(scene.upstream.seen().is_empty(), "{reason}: {:?}", scene.upstream.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_part_of_an_address_before_the_domain_is_the_user_name() {
    for rule in [BEFORE, MATCHES] {
        let scene = Scene::with(&format!("{rule}\n[route.app]\nallow.users = ['ada']")).await;
        scene.signs_in().await;
        assert_eq!(user(&scene).as_deref(), Some("ada"));
        let seen = scene.upstream.only_request();
        assert_eq!(seen.header("x-forwarded-email"), Some("ada@example.com"), "the address stays what it is");
        // Grace has a name too, which is not on the list.
        let page = scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Grace").await;
        assert_eq!(page.status, 403);
        assert!(page.names("user_not_allowed"), "{}", page.text());
    }
    // Another claim than the address: where it is, who has it.
    let toml = "[provider.idp.claims]\nuser = { from = '/account/upn', matches = '^CORP\\\\([a-z]+)$' }";
    let scene = Scene::with(toml).await;
    ada_has(&scene.idp, &json!({"account": {"upn": "CORP\\lovelace"}, "email_verified": false}));
    scene.signs_in().await;
    assert_eq!(user(&scene).as_deref(), Some("lovelace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_or_an_unverified_address_is_nobody_whatever_the_rule() {
    // AT-TP-18, UI-06, AT-HS-11
    listen();
    for rule in [BEFORE, MATCHES] {
        let folder = TempDir::new().unwrap();
        let scene = Scene::built(|gateway| gateway.with(rule).with(&logs_in(folder.path()))).await;
        let cases = [
            (json!({"email": "ada@evil.example"}), "user_name_mismatch"),
            (json!({"email": "ada@example.com.evil.example"}), "user_name_mismatch"),
            (json!({"email": "ada@notexample.com"}), "user_name_mismatch"),
            (json!({"email": "ada@sub.example.com"}), "user_name_mismatch"),
            (json!({"email": "ada@evil.example@example.com"}), "user_name_mismatch"),
            (json!({"email": "@example.com"}), "user_name_mismatch"),
            (json!({"email": "example.com"}), "user_name_mismatch"),
            (json!({"email": "ada@example.com\n"}), "user_name_missing"),
            (json!({"email": "root\nada@example.com"}), "user_name_missing"),
            (json!({"email": ["ada@example.com"]}), "user_name_missing"),
            (json!({"email": null}), "user_name_missing"),
            (json!({"email": "ada@example.com", "email_verified": false}), "user_name_unverified"),
            (json!({"email": "ada@example.com", "email_verified": "no"}), "user_name_unverified"),
        ];
        let count = cases.len();
        for (claims, reason) in cases {
            ada_has(&scene.idp, &claims);
            let browser = scene.gateway.browser();
            let page = browser.signs_in(&scene.gateway.url("/page"), "Ada").await;
            is_nobody(&scene, &browser, &page, reason);
            assert_eq!(page.text().contains("not verified"), reason == "user_name_unverified", "{}", page.text());
        }
        scene.gateway.stop().await;
        let lines = json_lines(&folder.path().join("audit"));
        let denied: Vec<_> = lines.iter().filter(|line| line["event"] == "login.failed").collect();
        assert_eq!(denied.len(), count, "{lines:?}");
        assert!(denied.iter().all(|line| line["reason"].as_str().unwrap().starts_with("user_name_")), "{denied:?}");
        assert!(!lines.iter().any(|line| line["event"] == "login.succeeded"), "{lines:?}");
    }
    let said = lines_with(&["WARN", "user_name_mismatch", "claims.user", "\"email\""]);
    assert!(!said.is_empty());
    assert!(said.iter().all(|line| !line.contains("evil.example")), "the value is the person's: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_whose_addresses_are_trusted_names_people_by_them() {
    // UI-06
    let scene = Scene::with(&format!("[provider.idp]\ninsecure_unverified_email = true\n{BEFORE}")).await;
    ada_has(&scene.idp, &json!({"email": "Ada@EXAMPLE.com", "email_verified": false}));
    scene.signs_in().await;
    assert_eq!(user(&scene).as_deref(), Some("Ada"), "the case of the domain does not matter, that of the name stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_is_asked_for_where_the_id_token_lacks_it() {
    // UI-02
    let settings = || IdpSettings { thin_id_tokens: true, ..IdpSettings::default() };
    // No route looks at it: without a user name nobody is anybody all the same.
    let toml = format!("{BEFORE}\n[route.app]\nidentity = 'none'");
    let scene = Scene::set_up(settings(), &toml).await;
    scene.signs_in().await;
    assert_eq!((scene.idp.seen_at(paths::USERINFO).len(), scene.upstream.seen().len()), (1, 1));
    let scene = Scene::set_up(settings(), &format!("{toml}\n[provider.idp]\nuserinfo = 'never'")).await;
    let browser = scene.gateway.browser();
    let page = browser.signs_in(&scene.gateway.url("/page"), "Ada").await;
    is_nobody(&scene, &browser, &page, "user_name_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_as_nobody_where_no_sign_in_is_needed() {
    let toml = format!("{BEFORE}\n[route.app.paths.\"/open\"]\naccess = 'optional'");
    let scene = Scene::with(&toml).await;
    ada_has(&scene.idp, &json!({"email": "ada@evil.example"}));
    let browser = scene.gateway.browser();
    let page = browser.signs_in(&scene.gateway.url("/closed"), "Ada").await;
    is_nobody(&scene, &browser, &page, "user_name_mismatch");
    assert_eq!(browser.asks(&scene.gateway.url("/open")).await.status, 200);
    let seen = scene.upstream.only_request();
    assert!(!seen.head.to_lowercase().contains("x-forwarded-user"), "{}", seen.head);
    assert_eq!(browser.asks(&scene.gateway.url("/closed")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_user_name_signs_in_with_another_account() {
    // CK-16: the provider knows the first account, and would bring it back without a word
    for several in [false, true] {
        let other = TestIdp::start().await;
        let scene = Scene::built(|gateway| {
            let gateway = gateway.with(BEFORE);
            if several { gateway.and_at("other", &other) } else { gateway }
        })
        .await;
        ada_has(&scene.idp, &json!({"email": "ada@evil.example"}));
        let login = scene.gateway.own(&format!("login?provider=idp&rd={}", scene.gateway.url("/page?x=1")));
        let browser = scene.gateway.browser();
        let page = browser.signs_in(&login, "Ada").await;
        is_nobody(&scene, &browser, &page, "user_name_mismatch");
        let page = browser.submits(&page, "/_vestibule/logout", &[]).await;
        assert!(page.is_choosing(), "{} {}", page.url, page.text());
        let page = browser.picks(&page, "Grace").await;
        assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url("/page?x=1").as_str()));
        assert_eq!(user(&scene).as_deref(), Some("grace"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_follows_the_claim_at_a_refresh_or_the_person_becomes_nobody() {
    // RF-08, UI-06
    for rule in [BEFORE, MATCHES] {
        for (claims, name) in [
            (json!({"email": "countess@example.com"}), Some("countess")),
            (json!({"email": "ada@evil.example"}), None),
            (json!({"email_verified": false}), None),
            (json!({"email": null}), None),
        ] {
            let scene = Scene::signed_in_with(rule).await;
            scene.asks("/").await;
            assert_eq!(user(&scene).as_deref(), Some("ada"));
            ada_has(&scene.idp, &claims);
            scene.forget_seen();
            scene.later(58);
            let page = scene.asks("/").await;
            assert_eq!(page.status, if name.is_some() { 200 } else { 302 }, "{claims}");
            assert_eq!(scene.refreshes(), 1, "{claims}");
            match name {
                Some(_) => assert_eq!(user(&scene).as_deref(), name),
                None => {
                    assert!(scene.upstream.seen().is_empty(), "{claims}");
                    // For good: no copy of the cookie is somebody again.
                    assert_eq!(scene.asks("/").await.status, 302, "{claims}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_a_reload_brings_counts_for_sessions_that_are_there() {
    for (rule, name) in
        [(BEFORE, Some("ada")), ("[provider.idp.claims]\nuser = { from = 'email', before = '@corp.example' }", None)]
    {
        let mut scene = Scene::signed_in().await;
        scene.gateway.reload_with(rule);
        assert_eq!(scene.asks("/").await.status, if name.is_some() { 200 } else { 302 });
        assert_eq!(scene.upstream.seen().len(), usize::from(name.is_some()));
        if name.is_some() {
            assert_eq!(user(&scene).as_deref(), name);
        }
    }
}
