//! Sessions that the provider ends: by a logout token, or by a page of its own that frames ours.

use http::Method;
use serde_json::{Value, json};

use crate::harness::browser::Ask;
use crate::harness::idp::{CLIENT_ID, Signing, paths};
use crate::harness::{Browser, Page, Raw, Scene, TestIdp};

/// Says the provider's own session id and the subject to the application.
const NAMES: &str = "[route.app.identity.headers]\nX-Sid = 'claim:sid'\nX-Sub = 'claim:sub'\n";
const EVENTS: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn scene() -> Scene {
    Scene::signed_in_with(NAMES).await
}

/// The session's `sid` and the person's `sub`, as the application gets them.
async fn names(scene: &Scene, browser: &Browser) -> (String, String) {
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    let seen = scene.upstream.seen().pop().unwrap();
    (seen.header("x-sid").unwrap().to_owned(), seen.header("x-sub").unwrap().to_owned())
}

/// An honest logout token, with these members in place of its own; null takes one away.
fn token(idp: &TestIdp, members: &Value) -> String {
    idp.logout_token(members, |_| {})
}

async fn posts(scene: &Scene, token: &str) -> Page {
    posts_form(scene, &[("logout_token".to_owned(), token.to_owned())]).await
}

async fn posts_form(scene: &Scene, fields: &[(String, String)]) -> Page {
    // A server: no cookies, no Fetch Metadata.
    let provider = scene.gateway.browser().refusing_cookies().without_fetch_metadata();
    let page = provider.does(Ask::form(&scene.gateway.own("backchannel-logout"), fields).without_following()).await;
    assert!(page.header("cache-control").unwrap().contains("no-store"), "BC-11");
    page
}

async fn status(scene: &Scene, browser: &Browser) -> u16 {
    browser.asks(&scene.gateway.url("/")).await.status
}

// BC-06, BC-09, BC-10, BC-12, AT-CS-05
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_with_a_sid_ends_that_session_and_no_other() {
    let scene = scene().await;
    let (sid, sub) = names(&scene, &scene.browser).await;
    let (other, stranger) = (scene.signs_in().await, scene.gateway.browser());
    stranger.signs_in(&scene.gateway.url("/"), "Grace").await;
    let stolen = scene.browser.copied();
    scene.later(1);
    scene.forget_seen();
    let page = posts(&scene, &token(&scene.idp, &json!({ "sid": sid, "sub": sub }))).await;
    assert_eq!((page.status, &*page.text()), (200, ""));
    for ended in [&scene.browser, &stolen] {
        assert_eq!(status(&scene, ended).await, 302);
    }
    assert!(scene.upstream.seen().is_empty());
    // Nothing was asked of the provider but its keys.
    assert!(scene.idp.seen().iter().all(|seen| seen.path == paths::KEY_SET), "{:?}", scene.idp.seen());
    assert_eq!((status(&scene, &other).await, status(&scene, &stranger).await), (200, 200));
    assert_eq!(
        scene.browser.signs_in(&scene.gateway.url("/"), "Ada").await.status,
        200,
        "whoever signs in again lives"
    );
}

// BC-09
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_with_a_subject_alone_ends_what_that_person_began_before() {
    let scene = scene().await;
    let (_, sub) = names(&scene, &scene.browser).await;
    let (other, stranger) = (scene.signs_in().await, scene.gateway.browser());
    stranger.signs_in(&scene.gateway.url("/"), "Grace").await;
    let unopened = scene.browser.copied();
    scene.later(1);
    assert_eq!(posts(&scene, &token(&scene.idp, &json!({ "sub": sub, "sid": null }))).await.status, 200);
    for ended in [&scene.browser, &other, &unopened] {
        assert_eq!(status(&scene, ended).await, 302);
    }
    assert_eq!(status(&scene, &stranger).await, 200);
    let again = scene.signs_in().await;
    assert_eq!(status(&scene, &again).await, 200);
    scene.later(1);
    assert_eq!(posts(&scene, &token(&scene.idp, &json!({ "sub": "nobody-here", "sid": null }))).await.status, 200);
    assert_eq!(status(&scene, &again).await, 200);
}

// BC-09: both have to fit where both are given.
#[tokio::test(flavor = "multi_thread")]
async fn a_sid_with_another_subject_ends_nothing() {
    let scene = scene().await;
    let (sid, sub) = names(&scene, &scene.browser).await;
    scene.later(1);
    for members in [
        json!({ "sid": sid, "sub": "somebody-else" }),
        json!({ "sid": "another", "sub": sub }),
        json!({ "sid": "another", "sub": null }),
    ] {
        assert_eq!(posts(&scene, &token(&scene.idp, &members)).await.status, 200, "{members}");
        assert_eq!(status(&scene, &scene.browser).await, 200, "{members}");
    }
}

// BC-13: a cookie that is in nobody's memory is judged like one that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_not_in_use_is_refused_after_the_end_of_its_session() {
    let scene = scene().await;
    let (sid, _) = names(&scene, &scene.browser).await;
    scene.later(1);
    let mut scene = scene;
    assert_eq!(posts(&scene, &token(&scene.idp, &json!({ "sid": sid, "sub": null }))).await.status, 200);
    // A reload makes a new cache: nothing of the session is in memory but that it ended.
    scene.gateway.reload_with("[pages]\ntitle = 'anew'");
    assert_eq!(status(&scene, &scene.browser).await, 302);
}

// BC-02, BC-03, BC-04, BC-05, BC-06, BC-07, BC-14, AT-TP-30
#[tokio::test(flavor = "multi_thread")]
async fn each_flaw_of_a_logout_token_is_refused_with_its_reason_and_ends_nothing() {
    let scene = scene().await;
    let (sid, sub) = names(&scene, &scene.browser).await;
    scene.later(1);
    let now = scene.idp.clock_seconds();
    for (members, reason) in [
        (json!({ "iss": "https://evil.example" }), "iss is missing, or that of no provider"),
        (json!({ "iss": null }), "iss is missing"),
        (json!({ "aud": "another client" }), "aud is missing"),
        (json!({ "aud": null }), "aud is missing"),
        (json!({ "aud": [CLIENT_ID, "a stranger"] }), "not in `audiences`"),
        (json!({ "iat": null }), "iat is missing"),
        (json!({ "iat": now - 400 }), "iat is 400 s ago"),
        (json!({ "iat": now + 120 }), "in the future"),
        (json!({ "iat": "now" }), "iat is not"),
        (json!({ "exp": null }), "exp is missing"),
        (json!({ "exp": now - 120 }), "expired"),
        (json!({ "nonce": "n" }), "nonce"),
        (json!({ "nonce": null, "events": null }), "events"),
        (json!({ "events": {} }), "events"),
        (json!({ "events": { EVENTS: "" } }), "events"),
        (json!({ "events": { EVENTS: [] } }), "events"),
        (json!({ "events": [EVENTS] }), "events"),
        (json!({ "jti": null }), "jti is missing"),
        (json!({ "jti": "" }), "jti is not"),
        (json!({ "jti": 7 }), "jti is not"),
        (json!({ "sid": null, "sub": null }), "neither sid nor sub"),
        (json!({ "sid": 7 }), "sid is not"),
        (json!({ "sub": "" }), "sub is not"),
    ] {
        let mut all = json!({ "sid": sid, "sub": sub });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let page = posts(&scene, &token(&scene.idp, &all)).await;
        assert_eq!((page.status, page.json()["error"].as_str()), (400, Some("invalid_request")), "{members}");
        assert!(page.json()["error_description"].as_str().unwrap().contains(reason), "{members}: {}", page.text());
        assert_eq!(status(&scene, &scene.browser).await, 200, "{members}");
    }
}

// BC-02, BC-08, AT-TP-02
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_is_of_its_type_and_signed_by_the_provider() {
    let scene = scene().await;
    let (sid, sub) = names(&scene, &scene.browser).await;
    scene.later(1);
    let ends = json!({ "sid": sid, "sub": sub });
    for typ in ["at+jwt", "dpop+jwt", "application/secevent+jwt", "logout", "JWS", "", "logout+jwt+x"] {
        let token = scene.idp.logout_token(&ends, |faults| _ = faults.header.set("typ", typ));
        assert_eq!(posts(&scene, &token).await.status, 400, "{typ}");
    }
    for signing in [
        Signing::Flipped,
        Signing::Missing,
        Signing::Unsigned,
        Signing::ForeignKey,
        Signing::EmbeddedKey,
        Signing::HmacOf(crate::harness::idp::CLIENT_SECRET.to_owned()),
        Signing::Text("no.token".to_owned()),
        Signing::Text(String::new()),
    ] {
        let token = scene.idp.logout_token(&ends, |faults| faults.signing = signing.clone());
        assert_eq!(posts(&scene, &token).await.status, 400, "{signing:?}");
    }
    assert_eq!(status(&scene, &scene.browser).await, 200);
    // An ID token is none, however genuine.
    scene.forget_seen();
    for typ in [None, Some("JWT"), Some("jwt"), Some("Logout+JWT"), Some("application/logout+jwt")] {
        let browser = scene.signs_in().await;
        let (sid, _) = names(&scene, &browser).await;
        scene.later(1);
        let token = scene.idp.logout_token(&json!({ "sid": sid, "sub": null }), |faults| {
            _ = match typ {
                Some(typ) => faults.header.set("typ", typ),
                None => faults.header.remove("typ"),
            }
        });
        assert_eq!((posts(&scene, &token).await.status, status(&scene, &browser).await), (200, 302), "{typ:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_is_demanded_and_a_missing_expiry_forgiven_where_that_is_configured() {
    let toml = "[provider.idp]\nlogout_token_typ = 'required'\nquirks = ['logout-token-without-exp']\n";
    let scene = Scene::signed_in_with(&format!("{NAMES}{toml}")).await;
    let (sid, _) = names(&scene, &scene.browser).await;
    scene.later(1);
    let ends = json!({ "sid": sid, "sub": null, "exp": null });
    for typ in ["JWT", "jwt", "application/jwt"] {
        let token = scene.idp.logout_token(&ends, |faults| _ = faults.header.set("typ", typ));
        assert_eq!(posts(&scene, &token).await.status, 400, "{typ}");
    }
    let token = scene.idp.logout_token(&ends, |faults| _ = faults.header.remove("typ"));
    assert_eq!((posts(&scene, &token).await.status, status(&scene, &scene.browser).await), (400, 200));
    let token = scene.idp.logout_token(&ends, |faults| _ = faults.header.set("typ", "LOGOUT+jwt"));
    assert_eq!((posts(&scene, &token).await.status, status(&scene, &scene.browser).await), (200, 302));
}

// BC-07
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_counts_once_and_forged_ones_use_up_none() {
    let scene = scene().await;
    let (_, sub) = names(&scene, &scene.browser).await;
    scene.later(1);
    let ends = json!({ "sub": sub, "sid": null, "jti": "only-once" });
    let forged = scene.idp.logout_token(&ends, |faults| faults.signing = Signing::Flipped);
    assert_eq!(posts(&scene, &forged).await.status, 400);
    let token = token(&scene.idp, &ends);
    assert_eq!(posts(&scene, &token).await.status, 200);
    let again = scene.signs_in().await;
    scene.later(1);
    let page = posts(&scene, &token).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("it came before"), "{}", page.text());
    assert_eq!(status(&scene, &again).await, 200);
}

// BC-01, BC-16
#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_takes_a_small_form_with_one_token_by_post() {
    let scene = scene().await;
    let (sid, _) = names(&scene, &scene.browser).await;
    scene.later(1);
    let sent = token(&scene.idp, &json!({ "sid": sid, "sub": null }));
    let url = scene.gateway.own("backchannel-logout");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let page = scene.browser.does(Ask::navigation(&format!("{url}?logout_token={sent}")).by(method)).await;
        assert_eq!((page.status, page.header("allow")), (405, Some("POST")));
    }
    let field = |value: &str| ("logout_token".to_owned(), value.to_owned());
    for (fields, wanted) in [
        (vec![], 400),
        (vec![("token".to_owned(), sent.clone())], 400),
        (vec![field(&sent), field(&sent)], 400),
        (vec![field(&"x".repeat(20_000))], 413),
    ] {
        assert_eq!(posts_form(&scene, &fields).await.status, wanted, "{fields:?}");
    }
    let json = format!("{{\"logout_token\":\"{sent}\"}}");
    let raw = format!(
        "POST /_vestibule/backchannel-logout HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        scene.gateway.authority(),
        json.len()
    );
    assert_eq!(Raw::once(scene.gateway.address, raw).await.status, 400);
    assert_eq!(status(&scene, &scene.browser).await, 200);
    assert_eq!(posts_form(&scene, &[("other".to_owned(), "x".to_owned()), field(&sent)]).await.status, 200);
    assert_eq!(status(&scene, &scene.browser).await, 302);
}

// BC-15: what was opened ends as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_closes_the_websocket_of_its_session() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let scene = Scene::with(NAMES).await;
    let session = scene.session_of("Ada").await;
    scene.sends("GET", "/", &session).await;
    let sid = scene.upstream.seen().pop().unwrap().header("x-sid").unwrap().to_owned();
    scene.upstream.answers(SWITCH);
    let mut raw = scene.raw().await;
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    raw.send(scene.request("GET", "/socket", &format!("{handshake}{session}"))).await;
    assert_eq!(raw.answer("GET").await.status, 101);
    scene.later(1);
    assert_eq!(posts(&scene, &token(&scene.idp, &json!({ "sid": sid, "sub": null }))).await.status, 200);
    raw.until_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_the_audit_log_tell_of_each_logout_token() {
    let scene = scene().await;
    let (sid, sub) = names(&scene, &scene.browser).await;
    scene.later(1);
    let forged = scene.idp.logout_token(&json!({ "sub": sub }), |faults| faults.signing = Signing::Flipped);
    posts(&scene, &forged).await;
    posts(&scene, &token(&scene.idp, &json!({ "sid": sid, "sub": sub }))).await;
    let metrics = scene.gateway.admin_text("/metrics").await;
    for line in [
        "vestibule_backchannel_logout_total{provider=\"idp\",outcome=\"success\",reason=\"backchannel\"} 1",
        "vestibule_backchannel_logout_total{provider=\"idp\",outcome=\"failure\",reason=\"logout_token_signature\"} 1",
        "vestibule_sessions_ended_total{reason=\"backchannel\"} 1",
        "vestibule_sessions_ended_total{reason=\"frontchannel\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

// FC-01, FC-02, FC-03, FC-04, FC-05, FC-06
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_provider_ends_the_session_that_it_names_without_its_cookie() {
    let scene = scene().await;
    let (sid, _) = names(&scene, &scene.browser).await;
    let other = scene.signs_in().await;
    scene.later(1);
    scene.forget_seen();
    let issuer = scene.idp.issuer().to_owned();
    let asks = async |browser: &Browser, query: &str| {
        let url = scene.gateway.own(&format!("frontchannel-logout?{query}"));
        browser.does(Ask::frame(&url).from(&issuer.parse().unwrap())).await
    };
    let stranger = scene.gateway.browser();
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let (iss, named) = (encode(&issuer), encode(&sid));
    for query in [
        String::new(),
        format!("iss={iss}"),
        format!("sid={named}"),
        format!("iss={}&sid={named}", encode("https://evil.example")),
        format!("iss={iss}&sid=another"),
        format!("iss={iss}&sid={named}&sid={named}"),
        format!("iss={iss}&sid="),
    ] {
        let page = asks(&stranger, &query).await;
        assert_eq!(page.status, 200, "{query}");
        assert!(page.header("cache-control").unwrap().contains("no-store"));
        assert_eq!(status(&scene, &scene.browser).await, 200, "{query}");
    }
    let page = asks(&stranger, &format!("iss={iss}&sid={named}&rd=https://evil.example")).await;
    assert_eq!((page.status, page.header("x-frame-options"), page.header("location")), (200, None, None));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.ends_with(&format!("frame-ancestors {issuer}")), "{policy}");
    assert_eq!((status(&scene, &scene.browser).await, status(&scene, &other).await), (302, 200));
    assert_eq!(stranger.does(Ask::form(&scene.gateway.own("frontchannel-logout"), &[])).await.status, 405);
    // Nobody but the issuer frames the page, and nothing was asked of it.
    let policy = asks(&stranger, "").await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(scene.idp.seen_at(paths::REVOKE).is_empty() && scene.idp.seen_at(paths::TOKEN).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn front_channel_logout_clears_the_cookie_of_that_session_and_no_others() {
    let scene = scene().await;
    let (sid, _) = names(&scene, &scene.browser).await;
    let other = scene.signs_in().await;
    scene.later(1);
    let issuer = scene.idp.issuer().to_owned();
    let mut url: url::Url = scene.gateway.own("frontchannel-logout").parse().unwrap();
    url.query_pairs_mut().append_pair("iss", &issuer).append_pair("sid", &sid);
    // A navigation brings the cookie along, which a frame of another site would not.
    let theirs = other.asks(url.as_str()).await;
    assert_eq!((theirs.status, theirs.header("set-cookie")), (200, None));
    let again = scene.signs_in().await;
    let (sid, _) = names(&scene, &again).await;
    scene.later(1);
    let mut url: url::Url = scene.gateway.own("frontchannel-logout").parse().unwrap();
    url.query_pairs_mut().append_pair("iss", &issuer).append_pair("sid", &sid);
    let page = again.asks(url.as_str()).await;
    assert!(page.header("set-cookie").unwrap().starts_with("vestibule=;"), "{:?}", page.headers);
    assert_eq!(status(&scene, &other).await, 200);
}
