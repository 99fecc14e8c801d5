//! Refreshes that fail: an outage ends nothing, a refusal ends the session, a swapped identity is never seen upstream.

use crate::harness::idp::paths;
use crate::harness::idp::{Breakage, Edits, Gate};
use serde_json::json;

use crate::harness::idp::CLIENT_ID;
use crate::harness::{Scene, TestIdp};

const DUE: u64 = 55;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_signs_nobody_out() {
    // RF-04
    for breakage in [Breakage::Status(503), Breakage::Status(429), Breakage::Reset] {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| faults.refresh.break_with(breakage.clone()));
        scene.later(DUE);
        // While the access token lives, the application is served, and the provider is spared (1 s, then 2 s).
        for (after, tries) in [(0, 1), (0, 1), (1, 2), (1, 2), (1, 3)] {
            scene.later(after);
            let answer = scene.asks("/").await;
            assert_eq!((answer.status, answer.headers.get("set-cookie")), (200, None));
            assert_eq!(scene.refreshes(), tries, "{breakage:?}");
        }
        // Then it is asked to come again, with its session as it was.
        scene.later(10);
        scene.upstream.forget_seen();
        let answer = scene.asks("/").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some() && answer.headers.get("set-cookie").is_none());
        assert_eq!(scene.fetches("/").await.status, 503);
        assert!(scene.upstream.seen().is_empty());
        scene.idp.heal();
        scene.later(30);
        assert_eq!(scene.asks("/").await.status, 200);
        assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty(), "nobody was sent to sign in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refresh_is_no_outage_and_ends_with_the_access_token() {
    // RF-03: served while the access token lives, then as somebody who is not signed in; never a 5xx page
    let answer = |status, content_type: &str, body: &str| Breakage::Answer {
        status,
        content_type: content_type.to_owned(),
        body: body.to_owned(),
    };
    for breakage in [
        answer(400, "application/json", r#"{"error":"interaction_required","suberror":"basic_action"}"#),
        answer(500, "application/json", r#"{"error":"invalid_request"}"#),
        answer(401, "text/plain", ""),
        answer(403, "application/json", r#"{"error":"access_denied"}"#),
        answer(404, "text/html", "<h1>no</h1>"),
        answer(302, "text/plain", ""),
        answer(204, "application/json", ""),
        answer(200, "application/json", ""),
        answer(200, "application/json", "[]"),
        answer(200, "application/json", r#"{"token_type":"Bearer","expires_in":300}"#),
        Breakage::Html,
    ] {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| faults.refresh.break_with(breakage.clone()));
        scene.later(DUE);
        for tries in [1, 1] {
            assert_eq!(scene.asks("/").await.status, 200, "{breakage:?}");
            assert_eq!(scene.refreshes(), tries, "{breakage:?}");
        }
        scene.later(10);
        scene.upstream.forget_seen();
        assert_eq!(scene.fetches("/").await.status, 401, "{breakage:?}");
        let answer = scene.asks("/deep?a=1").await;
        assert_eq!((answer.status, answer.location().path()), (302, paths::AUTHORIZE), "{breakage:?}");
        assert!(scene.upstream.seen().is_empty(), "{breakage:?}");
        assert_eq!(scene.refreshes(), 2, "{breakage:?}: the tries wait longer each time");
        // The new sign-in works, and its session is renewed again.
        scene.idp.heal();
        let page = scene.browser.opens(&scene.gateway.url("/deep?a=1")).await;
        assert_eq!((page.status, page.url.path()), (200, "/deep"), "{breakage:?}");
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
        assert_eq!(scene.refreshes(), 3, "{breakage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_for_one_grant_alone_refuses_it() {
    // RF-03, RF-04: three bare 5xx for this grant, and since the first of them another grant was served
    let scene = Scene::signed_in().await;
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Status(500)));
    for served in [false, true] {
        scene.later(61);
        for _ in 0..4 {
            assert_eq!(scene.asks("/").await.status, 503);
            scene.later(60);
        }
        if served {
            let other = scene.gateway.browser();
            assert_eq!(other.signs_in(&scene.gateway.url("/"), "Grace").await.status, 200);
        }
        let answer = scene.asks("/").await;
        assert_eq!(answer.status, if served { 302 } else { 503 });
    }
    scene.idp.heal();
    let page = scene.browser.opens(&scene.gateway.url("/page")).await;
    assert_eq!((page.status, page.url.path()), (200, "/page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bare_server_errors_are_an_outage_however_many_others_are_served() {
    // RF-04
    let scene = Scene::signed_in().await;
    scene.idp.break_with(|faults| faults.refresh.break_times(2, Breakage::Status(502)));
    scene.later(61);
    for status in [503, 503, 200] {
        assert_eq!(scene.asks("/").await.status, status);
        assert_eq!(scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Grace").await.status, 200);
        scene.later(5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shown_after_the_access_tokens_end_offers_to_sign_in_again() {
    // RF-04
    for breakage in [Breakage::Status(503), Breakage::Reset] {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| faults.refresh.break_with(breakage.clone()));
        scene.later(61);
        let page = scene.asks("/deep?a=1").await;
        assert_eq!(page.status, 503);
        let text = page.text();
        let at = text.find("Sign in again").unwrap_or_else(|| panic!("{text}"));
        let href = text[..at].rsplit_once("href=\"").unwrap().1.split('"').next().unwrap().replace("&amp;", "&");
        let href = href.replace("&#x2f;", "/");
        assert!(scene.fetches("/").await.json()["login_url"].is_string());
        let page = scene.browser.opens(page.url.join(&href).unwrap().as_str()).await;
        assert_eq!((page.status, page.url.path(), page.url.query()), (200, "/deep", Some("a=1")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_is_not_asked_again_before_it_wants_to_be() {
    // RF-04
    let scene = Scene::signed_in().await;
    scene.idp.break_with(|faults| {
        faults.refresh.break_with(Breakage::Status(503));
        faults.refresh.headers.push(("Retry-After".into(), "20".into()));
    });
    for (after, tries) in [(DUE, 1), (19, 1), (1, 2)] {
        scene.later(after);
        scene.asks("/").await;
        assert_eq!(scene.refreshes(), tries);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_provider_ended_is_over() {
    // RF-03
    let scene = Scene::signed_in().await;
    scene.idp.revoke_everything();
    scene.later(DUE);
    let script = scene.fetches("/").await;
    assert_eq!((script.status, script.header("content-type")), (401, Some("application/problem+json")));
    assert!(script.json()["login_url"].is_string(), "{}", script.text());
    let answer = scene.asks("/").await;
    assert_eq!((answer.status, answer.location().path()), (302, paths::AUTHORIZE));
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.refreshes(), 1, "the refused token is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_about_somebody_else_ends_the_session() {
    // RF-08, RF-10, RF-12, AT-TP-17
    let swaps: [fn(&mut Edits); 6] = [
        |claims| {
            claims.set("sub", "248289761002");
        },
        |claims| {
            claims.set("iss", "https://evil.example");
        },
        |claims| {
            claims.set("aud", json!(["another app"]));
        },
        |claims| {
            claims.set("azp", "another app");
        },
        |claims| {
            claims.set("nonce", "another nonce");
        },
        |claims| {
            claims.set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA");
        },
    ];
    for (number, swap) in swaps.iter().enumerate() {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| swap(&mut faults.refreshed_id_token.claims));
        scene.later(DUE);
        let answer = scene.asks("/").await;
        assert_eq!((answer.status, answer.location().path()), (302, paths::AUTHORIZE), "swap {number}");
        assert_eq!(scene.fetches("/").await.status, 401);
        assert!(
            scene.upstream.seen().is_empty(),
            "the application saw a swapped identity: {:?}",
            scene.upstream.seen()
        );
        assert_eq!(scene.refreshes(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_id_token_may_repeat_the_nonce_and_change_the_person() {
    // RF-10, UI-11
    let idp = TestIdp::start().await;
    let upstream = crate::harness::RecordingUpstream::start().await;
    let gateway = crate::harness::Gateway::in_front_of(&upstream).signing_in_at(&idp).start().await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let nonce = idp.seen_at(paths::AUTHORIZE)[0].query_field("nonce").unwrap();
    idp.break_with(|faults| {
        faults.refreshed_id_token.claims.set("nonce", nonce).set("email", "countess@example.com");
    });
    gateway.clock.advance(std::time::Duration::from_secs(DUE));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    assert_eq!(upstream.last_request().header("x-forwarded-email"), Some("countess@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_new_id_token_the_identity_stays() {
    // RF-11
    let scene = Scene::signed_in().await;
    scene.idp.configure(|settings| settings.id_token_at_refresh = false);
    for _ in 0..2 {
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    assert_eq!(scene.refreshes(), 2);
    let seen = scene.upstream.last_request();
    assert_eq!(seen.header("x-forwarded-preferred-username"), Some("ada"));
    assert_eq!(seen.header("x-forwarded-groups"), Some("staff,admins"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auth_time_that_moves_ends_nothing_and_makes_nobody_fresh() {
    // RF-09
    let scene = Scene::signed_in_with("[route.app.paths.\"/bank\"]\nmax_age = '5m'").await;
    scene.idp.break_with(|faults| {
        faults.refreshed_id_token.claims.shift("auth_time", 300);
    });
    for _ in 0..8 {
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    scene.upstream.forget_seen();
    assert_eq!(scene.asks("/bank").await.status, 302, "signed in {} s ago", 8 * DUE);
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auth_time_in_the_future_is_no_fresh_sign_in() {
    // ID-16
    for (ahead, fresh) in [(30, true), (86_400, false)] {
        let idp = TestIdp::start().await;
        idp.break_with(|faults| {
            faults.id_token.claims.shift("auth_time", ahead);
        });
        let scene =
            Scene::signed_in_at(idp, |builder| builder.with("[route.app.paths.\"/bank\"]\nmax_age = '5m'")).await;
        assert_eq!(scene.asks("/").await.status, 200);
        scene.upstream.forget_seen();
        let page = scene.browser.opens(&scene.gateway.url("/bank")).await;
        assert_eq!(page.status == 200, fresh, "{ahead} s ahead: {}", page.text());
        assert_eq!(scene.upstream.seen().is_empty(), !fresh);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_userinfo_no_longer_says_is_not_told_to_the_application() {
    // RF-11, UI-05: a refusal ends the session, an outage keeps it until the access token's end
    let always = "[provider.idp]\nuserinfo = 'always'";
    for id_token in [true, false] {
        let idp = TestIdp::start().await;
        idp.configure(|settings| {
            settings.id_token_at_refresh = id_token;
            settings.thin_id_tokens = true;
        });
        let scene = Scene::signed_in_at(idp, |builder| builder.with(always)).await;
        scene.idp.break_with(|faults| {
            faults.userinfo.members.set("groups", json!(["staff"]));
        });
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
        assert_eq!(scene.upstream.last_request().header("x-forwarded-groups"), Some("staff"));
        // Away: served while the last access token lives; then asked to come again, and nothing is lost.
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(503)));
        scene.later(DUE);
        for _ in 0..3 {
            assert_eq!(scene.asks("/").await.status, 200);
        }
        assert_eq!(scene.refreshes(), 2);
        scene.later(10);
        scene.upstream.forget_seen();
        let page = scene.asks("/").await;
        assert_eq!(page.status, 503, "{}", page.text());
        assert_eq!(scene.fetches("/").await.status, 503);
        assert!(scene.upstream.seen().is_empty());
        scene.idp.heal();
        scene.later(60);
        assert_eq!(scene.asks("/").await.status, 200);
        assert_eq!(scene.idp.refresh_reuses(), 0);
        // Refused, and once more: over at once.
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(401)));
        scene.later(DUE);
        scene.upstream.forget_seen();
        let asked = scene.idp.seen_at(paths::USERINFO).len();
        assert_eq!(scene.asks("/").await.status, 302);
        assert_eq!(scene.fetches("/").await.status, 401);
        assert!(scene.upstream.seen().is_empty());
        assert_eq!(scene.idp.seen_at(paths::USERINFO).len(), asked + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_renews_tokens_and_cannot_say_whose_is_away_however_long_it_is() {
    // UI-05, RF-04: its own renewals are no proof that it fails for this grant alone
    for status in [500, 503] {
        for plain in [false, true] {
            let idp = if plain { TestIdp::plain_oauth2().await } else { TestIdp::start().await };
            let always = if plain { "" } else { "[provider.idp]\nuserinfo = 'always'" };
            let scene = Scene::signed_in_at(idp, |builder| builder.with(always)).await;
            scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(status)));
            scene.later(DUE);
            assert_eq!(scene.asks("/").await.status, 200);
            scene.later(10);
            for _ in 0..6 {
                assert_eq!(scene.asks("/").await.status, 503, "{status} {plain}");
                assert_eq!(scene.fetches("/").await.status, 503, "{status} {plain}");
                scene.later(61);
            }
            assert!(scene.refreshes() > 4);
            scene.idp.heal();
            assert_eq!(scene.asks("/").await.status, 200);
            assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty(), "nobody was sent to sign in");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_went_on_without_userinfo_goes_on_without_it() {
    // UI-05: what was no source is missed by nobody, be it refused at a refresh or away
    for id_token in [true, false] {
        let idp = TestIdp::start().await;
        idp.configure(|settings| {
            settings.id_token_at_refresh = id_token;
            settings.thin_id_tokens = true;
        });
        idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(403)));
        let scene = Scene::signed_in_at(idp, |builder| builder).await;
        for breakage in [Breakage::Status(401), Breakage::Status(503), Breakage::Reset, Breakage::Html] {
            scene.idp.break_with(|faults| faults.userinfo.break_with(breakage.clone()));
            for seconds in [DUE, 10, DUE, 10] {
                scene.later(seconds);
                assert_eq!(scene.asks("/").await.status, 200, "{breakage:?}");
            }
        }
        // Once it was a source, it is one.
        scene.idp.heal();
        scene.later(61);
        assert_eq!(scene.asks("/").await.status, 200);
        assert_eq!(scene.upstream.last_request().header("x-forwarded-email"), Some("ada@example.com"));
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(503)));
        scene.later(61);
        assert_eq!(scene.asks("/").await.status, 503);
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(401)));
        scene.later(61);
        assert_eq!(scene.asks("/").await.status, 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_renewed_does_not_win_over_the_sign_in_of_another_tab() {
    // RF-03
    let scene = Scene::signed_in().await;
    let browser = scene.gateway.browser();
    let tab = browser.opens(&scene.gateway.url("/tab")).await;
    assert!(tab.is_choosing());
    assert_eq!(browser.signs_in(&scene.gateway.url("/"), "Ada").await.status, 200);
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Status(404)));
    scene.later(61);
    scene.idp.forget_seen();
    let page = browser.picks(&tab, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/tab"), "{}", page.text());
    assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty(), "not sent to sign in once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_server_that_refuses_to_say_who_it_is_ends_the_session() {
    // UI-05
    for status in [401, 403] {
        let scene = Scene::signed_in_at(TestIdp::plain_oauth2().await, |builder| builder).await;
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(status)));
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 302, "{status}");
        assert_eq!(scene.fetches("/").await.status, 401, "{status}");
        assert!(scene.upstream.seen().is_empty(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_is_asked_again_as_often_as_configured() {
    let every = "[provider.idp]\nuserinfo = 'always'\nuserinfo_every = '100s'";
    // Tokens that live shorter, and longer.
    for (life, asked) in [(60, [0, 1, 1, 2]), (6000, [0, 1, 1, 2])] {
        let idp = TestIdp::start().await;
        idp.configure(|settings| settings.access_life = Some(std::time::Duration::from_secs(life)));
        let scene = Scene::signed_in_at(idp, |builder| builder.with(every)).await;
        for asked in asked {
            scene.later(54);
            assert_eq!(scene.asks("/").await.status, 200);
            assert_eq!(scene.idp.seen_at(paths::USERINFO).len(), asked, "{life} s");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_is_not_undone_by_a_refresh_under_way() {
    // AT-LG-12, RF-13
    let scene = Scene::signed_in().await;
    let gate = Gate::new();
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    scene.later(61);
    let (tab, url) = (scene.browser.clone(), scene.gateway.url("/"));
    let pending = tokio::spawn(async move { tab.asks(&url).await });
    scene.idp.wait_for(paths::TOKEN, 1).await;
    let copy = scene.browser.copied();
    let ended = async {
        // The session is over before the provider is asked for anything.
        while copy.asks(&scene.gateway.own("session")).await.status != 401 {}
        gate.open();
    };
    let (signed_out, ()) = tokio::join!(scene.posts_logout(&scene.browser), ended);
    assert_eq!(signed_out.status, 303);
    let answer = pending.await.unwrap();
    assert_eq!(answer.status, 302);
    let session = |line: &http::HeaderValue| line.to_str().unwrap().starts_with("vestibule=");
    assert!(!answer.headers.get_all("set-cookie").iter().any(session), "{:?}", answer.headers);
    assert_eq!(copy.asks(&scene.gateway.url("/")).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    // The sign-out waited for what the refresh brought, and revoked that: another refresh token than the first.
    let revoked = scene.idp.seen_at(paths::REVOKE);
    assert_eq!((revoked.len(), revoked[0].field("token_type_hint").as_deref()), (1, Some("refresh_token")));
    assert_ne!(revoked[0].field("token"), scene.idp.token_requests("refresh_token")[0].field("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_assertion_is_made_for_one_request() {
    // AT-TP-32
    let (pem, jwk) = client_key();
    let idp = TestIdp::start().await;
    idp.expects_assertions(CLIENT_ID, jwk);
    let scene = Scene::signed_in_at(idp, |builder| {
        builder.without("provider.idp.client_secret").with(&format!(
            "[provider.idp]\nclient_auth = 'private_key_jwt'\nclient_key_id = 'k1'\nclient_key = '''{pem}'''"
        ))
    })
    .await;
    scene.idp.break_with(|faults| faults.refresh.break_times(1, Breakage::Status(503)));
    scene.later(DUE);
    scene.asks("/").await;
    scene.later(2);
    assert_eq!(scene.asks("/").await.status, 200);
    let requests = scene.idp.token_requests("refresh_token");
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].field("client_assertion"), requests[1].field("client_assertion"));
    // The provider takes each `jti` once, and took the second.
    assert!(scene.asks("/").await.headers.get("set-cookie").is_none());
}

/// A P-256 key as PEM, and its public half as a JWK.
fn client_key() -> (String, serde_json::Value) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let point = rcgen::PublicKeyData::der_bytes(&key).to_vec();
    let (x, y) = point[1..].split_at(32);
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "x": encoded(x), "y": encoded(y) });
    (key.serialize_pem(), jwk)
}
