//! Signing out: here at once and for every copy of the cookie, then at the provider where it can be.

use std::collections::BTreeSet;

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use http::Method;
use url::Url;

use crate::harness::browser::Ask;
use crate::harness::idp::CLIENT_ID;
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_out_here_and_at_the_provider() {
    // LO-01, LO-02
    let scene = Scene::signed_in().await;
    let page = scene.signs_out().await;
    assert_eq!((page.status, page.url.path()), (200, "/_vestibule/signed-out"));
    assert!(page.text().contains("so has the one at the sign-in page"), "{}", page.text());
    // The local session ended before the browser was sent anywhere.
    let first = &page.hops[0];
    assert_eq!((first.status, first.headers["cache-control"].to_str().unwrap()), (303, "no-store"));
    assert!(first.headers.get_all("set-cookie").iter().any(|line| line.to_str().unwrap().starts_with("vestibule=;")));
    let asked = page.hop(paths::END_SESSION);
    assert_eq!(asked.param("client_id").as_deref(), Some(CLIENT_ID));
    assert_eq!(asked.param("post_logout_redirect_uri"), Some(scene.gateway.own("signed-out")));
    assert_eq!(asked.param("id_token_hint").unwrap().split('.').count(), 3);
    assert!(asked.param("state").unwrap().len() >= 22);
    assert_eq!(page.param("state"), asked.param("state"));
    // Nobody is signed in again by being there, and the next sign-in asks who it is.
    assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty() && scene.upstream.seen().is_empty());
    assert!(scene.browser.opens(&scene.gateway.url("/")).await.is_choosing());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_sign_out_is_bound_to_the_browser() {
    // LO-02, LO-03, AT-LG-03
    let scene = Scene::signed_in().await;
    let page = scene.signs_out().await;
    let state = page.param("state").unwrap();
    for (url, told) in
        [("?state=forged", "may still be"), ("", "may still be"), (&format!("?state={state}"), "may still be")]
    {
        let stranger = scene.gateway.browser().opens(&scene.gateway.own(&format!("signed-out{url}"))).await;
        assert_eq!(stranger.status, 200);
        assert!(stranger.text().contains(told), "{}", stranger.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_other_tabs_does_not_make_a_browser_forget_its_sign_out() {
    // LO-02: everything else that sets or deletes cookies of ours, between the sign-out and the way back from the provider
    let scene = Scene::signed_in().await;
    let left = scene.browser.does(Ask::form(&scene.gateway.own("logout"), &[]).without_following()).await;
    let to_provider = left.header("location").unwrap().to_owned();
    assert!(to_provider.contains(paths::END_SESSION), "{to_provider}");
    for _ in 0..3 {
        assert_eq!(scene.asks("/another-tab").await.status, 302);
    }
    for (path, status) in [
        ("/_vestibule/signed-out", 200),
        ("/_vestibule/signed-out?state=forged", 200),
        ("/_vestibule/logout", 200),
        ("/_vestibule/callback?state=forged&code=x", 400),
        ("/_vestibule/callback", 400),
    ] {
        let page = scene.asks(path).await;
        assert_eq!(page.status, status, "{path}");
        // Without the state of this very sign-out no page says that it is over at the provider too (LO-03).
        assert_eq!(page.text().contains("may still be"), path.contains("signed-out"), "{path}: {}", page.text());
    }
    let again = scene.browser.does(Ask::form(&scene.gateway.own("logout"), &[]).without_following()).await;
    assert_eq!(again.status, 303);
    let back = scene.browser.opens(&to_provider).await;
    assert_eq!((back.status, back.url.path()), (200, "/_vestibule/signed-out"));
    assert!(back.text().contains("so has the one at the sign-in page"), "{}", back.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_return_from_a_sign_out_ends_nothing() {
    // LO-03, AT-LG-03
    let scene = Scene::signed_in().await;
    for query in ["", "?state=", "?state=forged", "?state=a&state=b"] {
        let page = scene.browser.opens(&scene.gateway.own(&format!("signed-out{query}"))).await;
        assert_eq!(
            (page.status, page.url.path()),
            (200, "/_vestibule/session"),
            "whoever is signed in is not told otherwise"
        );
        assert_eq!(scene.asks("/").await.status, 200);
    }
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_end_session_endpoint_the_sign_out_is_a_local_one() {
    // LO-04
    let scene = Scene::signed_in_at(TestIdp::plain_oauth2().await, |builder| builder).await;
    let page = scene.signs_out().await;
    assert_eq!((page.status, page.url.path(), page.hops.len()), (200, "/_vestibule/signed-out", 1));
    assert!(page.text().contains("You are signed out"), "{}", page.text());
    assert_eq!(scene.asks("/").await.status, 302);
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_out_by_another_site() {
    // LO-05, AT-LG-01, CK-22
    let scene = Scene::signed_in().await;
    let (evil, logout): (Url, _) = ("https://evil.example/".parse().unwrap(), scene.gateway.own("logout"));
    for ask in [Ask::image(&logout), Ask::frame(&logout), Ask::navigation(&logout)] {
        assert_eq!(scene.browser.does(ask.from(&evil)).await.status, 200, "it asks");
    }
    assert_eq!(scene.browser.does(Ask::form(&logout, &[]).from(&evil)).await.status, 403);
    // The same with the cookie, as from a browser without SameSite; and from a sibling origin, and by other methods.
    let forged =
        ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"];
    for field in forged {
        let request = format!(
            "POST /_vestibule/logout HTTP/1.1\r\nHost: {}\r\nCookie: vestibule={}\r\n{field}\r\nContent-Length: 0\r\n\r\n",
            scene.gateway.authority(),
            scene.cookie(),
        );
        assert_eq!(Raw::once(scene.gateway.address, request).await.status, 403, "{field}");
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_eq!(scene.browser.does(Ask::navigation(&logout).by(method)).await.status, 405);
    }
    assert!(scene.idp.seen().is_empty());
    assert_eq!(scene.asks("/").await.status, 200);
    assert_eq!(scene.posts_logout(&scene.browser).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_of_the_cookie_is_refused_at_once() {
    // LO-07, AT-CS-05
    let scene = Scene::signed_in().await;
    let first = scene.browser.copied();
    scene.later(55);
    scene.asks("/").await;
    let second = scene.browser.copied();
    scene.posts_logout(&scene.browser).await;
    scene.upstream.forget_seen();
    for copy in [first, second] {
        assert_eq!(copy.asks(&scene.gateway.url("/")).await.status, 302);
        assert_eq!(copy.fetches(&scene.gateway.url("/"), &scene.gateway.url("/")).await.status, 401);
        assert_eq!(copy.asks(&scene.gateway.own("session")).await.status, 401);
    }
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.refreshes(), 1, "a dead session is not renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_with_an_old_cookie_ends_the_new_one_too() {
    // LO-07, AT-CS-05
    let scene = Scene::signed_in().await;
    let old = scene.browser.copied();
    scene.later(55);
    scene.asks("/").await;
    scene.upstream.forget_seen();
    assert_eq!(scene.posts_logout(&old).await.status, 303);
    assert_eq!(scene.asks("/").await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    // The newest refresh token is the one that is revoked.
    let sent = scene.idp.token_requests("refresh_token")[0].field("refresh_token");
    assert_ne!(scene.idp.seen_at(paths::REVOKE)[0].field("token"), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refresh_token_is_revoked_before_the_browser_leaves_and_it_alone() {
    // TK-05, RF-13, RFC 7009 section 2.1
    for (toml, hint) in [("", "refresh_token"), ("[session]\nkeep = ['access', 'id']", "access_token")] {
        let scene = Scene::signed_in_with(toml).await;
        assert_eq!(scene.posts_logout(&scene.browser).await.location().path(), paths::END_SESSION);
        let revoked = scene.idp.seen_at(paths::REVOKE);
        let hints: Vec<_> = revoked.iter().map(|seen| seen.field("token_type_hint").unwrap()).collect();
        assert_eq!(hints, [hint]);
        assert_eq!((revoked[0].method.as_str(), revoked[0].query.as_str()), ("POST", ""));
        assert!(revoked[0].header("authorization").unwrap().starts_with("Basic "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_revoke_keeps_nobody_signed_in() {
    // TK-06, AT-LG-13
    for breakage in [Breakage::Hang, Breakage::Status(503), Breakage::Reset, Breakage::Status(404)] {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| {
            faults.revocation.break_with(breakage);
            faults.revocation.headers.push(("Retry-After".into(), "120".into()));
        });
        let copy = scene.browser.copied();
        let page = scene.signs_out().await;
        assert_eq!(page.status, 200);
        // Everything else of the provider works, so its own session is ended too.
        page.hop(paths::END_SESSION);
        assert_eq!(scene.asks("/").await.status, 302);
        assert_eq!(copy.asks(&scene.gateway.url("/")).await.status, 302);
        assert!(scene.upstream.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_a_provider_that_is_away() {
    // LO-04: whatever the call was that found it away
    for (breakage, known_before) in [(Breakage::Reset, false), (Breakage::Status(503), false), (Breakage::Reset, true)]
    {
        let scene = Scene::signed_in().await;
        scene.idp.break_with(|faults| {
            faults.revocation.break_with(breakage.clone());
            faults.key_set.break_with(breakage.clone());
            faults.refresh.break_with(breakage);
        });
        if known_before {
            scene.later(55);
            scene.asks("/").await;
        }
        let page = scene.signs_out().await;
        assert_eq!((page.status, page.url.path(), page.hops.len()), (200, "/_vestibule/signed-out", 1));
        assert!(page.text().contains("may still be"), "{}", page.text());
        assert_eq!(scene.asks("/").await.status, 302);
        // It is back: the next one is signed out there too.
        scene.idp.heal();
        scene.later(61);
        scene.browser.signs_in(&scene.gateway.url("/"), "Ada").await;
        scene.signs_out().await.hop(paths::END_SESSION);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_whose_key_is_withdrawn_is_not_sent() {
    // LO-01: the provider would refuse the whole sign-out
    let scene = Scene::signed_in().await;
    scene.later(61);
    scene.idp.rotate_key();
    let other = scene.gateway.browser();
    assert_eq!(other.signs_in(&scene.gateway.url("/"), "Grace").await.status, 200);
    // The old key is still published.
    let asked = scene.posts_logout(&scene.browser).await.location();
    assert!(asked.query_pairs().any(|(name, _)| name == "id_token_hint"), "{asked}");
    scene.later(61);
    scene.browser.signs_in(&scene.gateway.url("/"), "Ada").await;
    scene.later(61);
    scene.idp.rotate_key();
    scene.idp.withdraw_old_keys();
    // Nobody has signed in with the new key, so nothing but the sign-out itself tells of it.
    let page = scene.signs_out().await;
    assert_eq!((page.status, page.url.path()), (200, paths::END_SESSION), "{}", page.text());
    assert!(page.param("id_token_hint").is_none() && page.param("client_id").is_some());
    assert!(page.param("post_logout_redirect_uri").is_some() && page.param("state").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cookie_of_a_large_session_is_taken_away() {
    // CK-10, LO-06
    let idp = TestIdp::start().await;
    idp.configure(|settings| {
        drop(settings.people[0].claims.insert("groups".into(), super::cookies::noise(6000).into()));
    });
    let scene = Scene::signed_in_at(idp, |builder| builder).await;
    let names = |scene: &Scene| -> BTreeSet<String> {
        let names = scene.browser.cookies().into_iter().map(|kept| kept.name);
        names.filter(|name| name == "vestibule" || name.starts_with("vestibule~")).collect()
    };
    assert!(names(&scene).contains("vestibule~2"), "{:?}", names(&scene));
    let page = scene.signs_out().await;
    // The hint would make the URL longer than servers take: the provider asks the person instead.
    assert_eq!((page.status, page.url.path()), (200, paths::END_SESSION));
    assert!(page.param("id_token_hint").is_none() && page.param("client_id").is_some());
    assert_eq!(names(&scene), BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_closed_by_signing_out() {
    // WS-07
    let scene = Scene::signed_in().await;
    scene.upstream.answers(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    let mut socket = scene.gateway.raw().await;
    let origin = scene.gateway.origin();
    let handshake = scene.navigation("/live", &format!("vestibule={}", scene.cookie())).replace(
        "Accept: text/html\r\n",
        &format!(
            "Origin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
    );
    socket.send(handshake).await;
    assert_eq!(socket.answer("GET").await.status, 101);
    socket.send("hello").await;
    assert_eq!(socket.exactly(5).await.unwrap(), b"hello");
    scene.posts_logout(&scene.browser).await;
    assert!(socket.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_provider_s_session_is_ended() {
    // LO-01
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let other = TestIdp::sharing(crate::harness::idp::IdpSettings::default(), idp.clock.clone()).await;
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).and_at("other", &other).start().await;
    let browser = gateway.browser();
    for provider in ["idp", "other"] {
        browser.signs_in(&gateway.own(&format!("login?provider={provider}")), "Ada").await;
    }
    let copy = browser.copied();
    upstream.forget_seen();
    let page = browser.opens(&gateway.own("logout")).await;
    browser.submits(&page, "/_vestibule/logout", &[]).await;
    assert_eq!(copy.asks(&gateway.own("session")).await.status, 401);
    assert_eq!(copy.asks(&gateway.url("/")).await.status, 302);
    assert!(upstream.seen().is_empty());
}
