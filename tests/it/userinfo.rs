//! Userinfo: asked when something is missing, believed about the same person only; and how claims reach the application.

use crate::harness::idp::{Breakage, Signing};
use crate::harness::idp::{IdpSettings, paths};
use serde_json::json;

use crate::harness::scene::ADA;
use crate::harness::{RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_is_asked_when_a_claim_is_missing() {
    // UI-02, BE-01
    let full = Scene::start().await;
    full.signs_in().await;
    assert!(full.idp.seen_at(paths::USERINFO).is_empty());

    let thin = Scene::set_up(IdpSettings { thin_id_tokens: true, ..IdpSettings::default() }, "").await;
    thin.signs_in().await;
    let seen = thin.upstream.only_request();
    assert_eq!(seen.header("x-forwarded-preferred-username"), Some("ada"));
    assert_eq!(seen.header("x-forwarded-email"), Some("ada@example.com"));
    let asked = thin.idp.seen_at(paths::USERINFO);
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(asked.header("authorization").unwrap().starts_with("Bearer at_"));
    assert_eq!((asked.method.as_str(), asked.query.as_str()), ("GET", ""));

    let never = Scene::set_up(
        IdpSettings { thin_id_tokens: true, ..IdpSettings::default() },
        "[provider.idp]\nuserinfo = 'never'",
    )
    .await;
    never.signs_in().await;
    assert!(never.idp.seen_at(paths::USERINFO).is_empty());
    assert_eq!(never.upstream.only_request().header("x-forwarded-email"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_does_not_depend_on_a_userinfo_endpoint_that_refuses() {
    // UI-05
    let thin = IdpSettings { thin_id_tokens: true, ..IdpSettings::default() };
    for needed in ["", "[route.app.allow]\nusers = ['248289761001']"] {
        let scene = Scene::set_up(thin.clone(), needed).await;
        let (_, page) = scene.signs_in_while(|faults| faults.userinfo.break_with(Breakage::Status(403))).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let seen = scene.upstream.only_request();
        assert_eq!(seen.all("x-forwarded-user"), [ADA]);
        assert!(seen.all("x-forwarded-email").is_empty() && seen.all("x-forwarded-groups").is_empty(), "{}", seen.head);
        assert_eq!(scene.idp.seen_at(paths::USERINFO).len(), 1);
    }
    // What is absent opens nothing.
    let scene = Scene::set_up(thin.clone(), "[route.app.allow]\ngroups = ['admins']").await;
    let (_, page) = scene.signs_in_while(|faults| faults.userinfo.break_with(Breakage::Status(401))).await;
    assert_eq!((page.status, scene.upstream.seen().len()), (403, 0));
    // Nobody looks at what is missing: nobody is asked.
    let scene = Scene::set_up(thin, "[route.app]\nidentity = 'none'").await;
    scene.signs_in().await;
    assert!(scene.idp.seen_at(paths::USERINFO).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_about_somebody_else_signs_nobody_in() {
    // UI-01, UI-05
    let scene = Scene::with("[provider.idp]\nuserinfo = 'always'").await;
    for sub in [json!("248289761002"), json!(""), json!(null), json!([ADA]), json!(248289761001_u64)] {
        scene
            .refuses_while("userinfo_subject", |faults| {
                faults.userinfo.members.set("sub", sub);
            })
            .await;
    }
    scene
        .refuses_while("userinfo_subject", |faults| {
            faults.userinfo.members.remove("sub");
        })
        .await;
    for (reason, breakage) in [
        ("answer_content_type", Breakage::Html),
        ("userinfo_unauthorized", Breakage::Status(401)),
        ("answer_status", Breakage::Status(404)),
        ("provider_server_error", Breakage::Status(500)),
        ("provider_connection_broken", Breakage::Truncated),
        ("answer_json", Breakage::Answer { status: 200, content_type: "application/json".into(), body: "[]".into() }),
    ] {
        let (browser, page) = scene.signs_in_while(|faults| faults.userinfo.break_with(breakage)).await;
        scene.is_refused(&browser, &page, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_id_token_says_is_not_replaced() {
    // UI-01
    let scene = Scene::with("[provider.idp]\nuserinfo = 'always'").await;
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults
                .userinfo
                .members
                .set("email", "boss@example.com")
                .set("iss", "https://evil.example")
                .set("groups", json!(["root"]));
        })
        .await;
    assert_eq!(page.status, 200);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.header("x-forwarded-email"), Some("ada@example.com"));
    assert_eq!(seen.header("x-forwarded-groups"), Some("staff,admins"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_verified() {
    // UI-03
    let settings = IdpSettings { thin_id_tokens: true, ..IdpSettings::default() };
    let scene = Scene::at(TestIdp::with(settings).await.signing_userinfo(), "").await;
    scene.signs_in().await;
    assert_eq!(scene.upstream.only_request().header("x-forwarded-email"), Some("ada@example.com"));
    scene.upstream.forget_seen();
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("somebody else")),
        ("exp", json!(1)),
        ("nonce", json!("x")),
    ] {
        scene
            .refuses_while("userinfo_signed_claims", |faults| {
                faults.userinfo.members.set(name, value);
            })
            .await;
    }
    scene
        .refuses_while("userinfo_subject", |faults| {
            faults.userinfo.members.set("sub", "248289761002");
        })
        .await;
    let jwt = |body: &str| Breakage::Answer { status: 200, content_type: "application/jwt".into(), body: body.into() };
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIyNDgyODk3NjEwMDEifQ.";
    scene.refuses_while("userinfo_alg_unknown", |faults| faults.userinfo.break_with(jwt(unsigned))).await;
    scene.refuses_while("userinfo_malformed", |faults| faults.userinfo.break_with(jwt("x"))).await;
    let (browser, page) = scene.signs_in_while(|faults| faults.userinfo.break_with(jwt("a.b.c.d.e"))).await;
    scene.is_refused(&browser, &page, "userinfo_encrypted");
    assert!(page.text().contains("VB-2008"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_by_reference_are_not_followed() {
    // UI-10
    let elsewhere = RecordingUpstream::start().await;
    let scene = Scene::with("[provider.idp]\nuserinfo = 'always'").await;
    let sources = json!({ "src": { "endpoint": elsewhere.url(), "access_token": "x" } });
    let names = json!({ "groups": "src", "email": "src" });
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults
                .id_token
                .claims
                .set("_claim_sources", sources.clone())
                .set("_claim_names", names.clone())
                .remove("groups");
            faults.userinfo.members.set("_claim_sources", sources).set("_claim_names", names).remove("groups");
        })
        .await;
    assert_eq!(page.status, 200);
    assert!(elsewhere.seen().is_empty());
    assert_eq!(scene.upstream.only_request().header("x-forwarded-groups"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_claim_is_an_absent_header() {
    // UI-07, AT-HS-10
    let scene = Scene::start().await;
    let remove = |faults: &mut crate::harness::idp::Faults| {
        faults.id_token.claims.remove("email").remove("groups").remove("name").remove("preferred_username");
        faults.userinfo.members.remove("email").remove("groups").remove("name").remove("preferred_username");
    };
    let (browser, _) = scene.signs_in_while(remove).await;
    scene.upstream.forget_seen();
    let ask = crate::harness::browser::Ask::navigation(&scene.gateway.url("/"));
    let ask = ask
        .with("x-forwarded-email", "admin@example.com")
        .with("x-forwarded-groups", "admins")
        .with("x-forwarded-user", "root");
    assert_eq!(browser.does(ask).await.status, 200);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.all("x-forwarded-user"), [ADA]);
    for name in ["x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username"] {
        assert!(seen.all(name).is_empty(), "{name}: {}", seen.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_claim_breaks_a_header() {
    // UI-08, AT-HS-11
    let scene = Scene::start().await;
    for name in
        ["Ada\r\nSet-Cookie: x=y", "\u{0}", "Åda Löveläce 爱达", "a\u{80}b\u{ff}", "line\nX-Forwarded-Groups: admins"]
    {
        scene.upstream.forget_seen();
        let (browser, page) = scene
            .signs_in_while(|faults| {
                faults.id_token.claims.set("preferred_username", name).set("groups", json!([name, "a,b"]));
            })
            .await;
        assert_eq!(page.status, 200, "{name:?}: {}", page.text());
        let seen = scene.upstream.only_request();
        assert!(seen.header("set-cookie").is_none() && seen.all("x-forwarded-groups").len() <= 1, "{}", seen.head);
        // Text beyond ASCII goes as UTF-8; nothing that could end a line goes at all.
        let one_line = |line: &str| !line.chars().any(|c| c.is_control() || c == '\u{fffd}');
        assert!(seen.head.split("\r\n").all(one_line), "{:?}", seen.head);
        let groups = seen.header("x-forwarded-groups").unwrap_or_default();
        assert!(!groups.split(',').any(|group| group == "admins"), "{}", seen.head);
        assert!(!browser.cookies().iter().any(|cookie| cookie.name == "x"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_failed_asks_nobody_anything() {
    // UI-02
    let scene = Scene::with("[provider.idp]\nuserinfo = 'always'").await;
    scene.refuses_while("id_token_signature", |faults| faults.id_token.signing = Signing::Flipped).await;
    assert!(scene.idp.seen_at(paths::USERINFO).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_provider_is_another_persons() {
    // AT-TP-18, ID-18: the same subject and address at a provider that the route does not take
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let other = TestIdp::sharing(IdpSettings::default(), idp.clock.clone()).await;
    let gateway = crate::harness::Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .and_at("other", &other)
        .with("[route.app]\nproviders = ['idp']\n[route.app.allow]\nemails = ['ada@example.com']")
        .start()
        .await;
    crate::several_providers::register(&gateway, &[("idp", &idp), ("other", &other)]);
    let browser = gateway.browser();
    let page = browser.signs_in(&gateway.own("login?provider=other&rd=/_vestibule/session"), "Ada").await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = browser.asks(&gateway.url("/")).await;
    assert_eq!(page.status, 302);
    assert!(page.location().as_str().starts_with(idp.issuer()));
    assert!(upstream.seen().is_empty());
}
