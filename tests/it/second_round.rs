//! One silent second round where it can cure how the first one ended, and never a third, whatever the provider answers.

use std::time::Duration;

use crate::harness::idp::paths;
use crate::harness::idp::{Breakage, Faults};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::browser::Ask;
use crate::harness::{Browser, Gateway, Page, RecordingUpstream, Scene, TestIdp, has_session, param, with_param};

/// What a provider may refuse, all of it configured.
const OPTIONAL: &str = "[provider.idp]\nmax_age = '1h'\n\
     authorization_params = { ui_locales = 'de', login_hint = 'ada', display = 'page', claims_locales = 'de', hd = 'x' }";

fn says(faults: &mut Faults, error: &str, description: Option<&str>) {
    faults.callback.error = Some((error.to_owned(), description.map(str::to_owned)));
}

/// Breaks a provider so that the first round fails; and, where `always`, every other round too.
type Break = fn(faults: &mut Faults, always: bool);

const REFUSED_CODE: Break = |faults, always| {
    let refused = Breakage::oauth_error("invalid_grant");
    if always { faults.token.break_with(refused) } else { faults.token.break_times(1, refused) }
};
/// `max_age` is ignored: only a person who is asked signs in anew.
const IGNORED_MAX_AGE: Break = |faults, always| {
    if always {
        faults.id_token.claims.shift("auth_time", -3600);
    }
};
const REFUSED_PARAMETERS: Break = |faults, always| {
    let optional = ["max_age", "ui_locales", "login_hint", "display", "claims_locales", "acr_values"];
    faults.callback.refused = optional.map(str::to_owned).to_vec();
    faults.id_token.claims.set("acr", "gold");
    if always {
        says(faults, "invalid_request", None);
    }
};

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_another_round_cures_is_cured_once_and_never_twice() {
    // OA-07
    for (toml, break_it, status, told) in [
        ("", REFUSED_CODE, 502, "invalid_grant"),
        ("[provider.idp]\nmax_age = '5m'", IGNORED_MAX_AGE, 502, "id_token_auth_time_old"),
        (OPTIONAL, REFUSED_PARAMETERS, 400, "VB-1016"),
        ("[provider.idp]\nacr_values = ['gold']", REFUSED_PARAMETERS, 400, "VB-1016"),
    ] {
        let scene = Scene::with(toml).await;
        let (_, page) = scene.signs_in_while(|faults| break_it(faults, false)).await;
        assert_eq!((page.status, page.url.path()), (200, "/page"), "{toml}: {}", page.text());
        scene.idp.forget_seen();
        scene.upstream.forget_seen();
        let (browser, page) = scene.signs_in_while(|faults| break_it(faults, true)).await;
        assert_eq!(page.status, status, "{toml}: {}", page.text());
        scene.is_refused(&browser, &page, told);
        assert_eq!(rounds(&scene), 2, "{toml}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_that_came_from_elsewhere_may_be_refused_too() {
    // UI-13
    let scene = Scene::start().await;
    let (issuer, page) = (scene.idp.issuer().to_owned(), scene.gateway.url("/page"));
    let login = format!("{}?iss={issuer}&login_hint=ada&target_link_uri={page}", scene.gateway.own("login"));
    for (refused, status, seen) in [(&[][..], 200, 1), (&["login_hint"], 200, 2), (&["login_hint", "nonce"], 400, 2)] {
        scene.idp.forget_seen();
        scene.idp.break_with(|faults| {
            faults.callback.refused = refused.iter().map(|name| (*name).to_owned()).collect();
        });
        let landed = scene.gateway.browser().signs_in(&login, "Ada").await;
        assert_eq!((landed.status, rounds(&scene)), (status, seen), "{refused:?}: {}", landed.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_second_round_leaves_out_is_what_a_provider_may_not_know() {
    // UI-11, AT-LF-16: hints, and what is checked here all the same; neither PKCE nor what the operator asked for besides
    let scene = Scene::with(OPTIONAL).await;
    scene.idp.break_with(|faults| faults.callback.refused = vec!["ui_locales".to_owned()]);
    let browser = scene.gateway.browser();
    assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200);
    let asked = scene.idp.seen_at(paths::AUTHORIZE);
    assert_eq!(asked.len(), 2);
    for name in ["max_age", "ui_locales", "login_hint", "display", "claims_locales"] {
        assert_eq!((asked[0].query_field(name).is_some(), asked[1].query_field(name)), (true, None), "{name}");
    }
    for name in ["hd", "scope", "nonce", "code_challenge", "code_challenge_method", "redirect_uri", "client_id"] {
        assert!(asked[1].query_field(name).is_some(), "{name}");
    }
    assert_eq!(asked[1].query_field("prompt").as_deref(), Some("login"), "in place of max_age");
    // A configured `prompt` wins, so a provider that refuses it is reported at once.
    let scene = Scene::with("[provider.idp]\nprompt = 'consent'").await;
    scene.idp.break_with(|faults| faults.callback.refused = vec!["prompt".to_owned()]);
    let browser = scene.gateway.browser();
    let page = browser.opens(&scene.gateway.url("/page")).await;
    scene.is_refused(&browser, &page, "VB-1016");
    assert_eq!(rounds(&scene), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_everything_is_asked_twice_at_most() {
    // OA-07, UI-12: whatever it says, whatever was asked, and whoever it is said to
    let errors = [
        ("access_denied", None, 403),
        ("temporarily_unavailable", None, 503),
        ("temporarily_unavailable", Some("authentication_expired"), 503),
        ("server_error", None, 502),
        ("invalid_request", None, 400),
        ("login_required", None, 400),
        ("consent_required", None, 400),
        ("interaction_required", None, 400),
        ("account_selection_required", None, 400),
        ("unauthorized_client", None, 400),
        ("invalid_scope", None, 400),
        ("something_new", None, 400),
        ("", None, 400),
    ];
    for toml in ["", OPTIONAL, "[provider.idp]\nprompt = 'none'", "[provider.idp]\nacr_values = ['gold']"] {
        let scene = Scene::with(&format!("{toml}\n[route.app.paths.\"/closed\"]\nallow.groups = ['nobody']")).await;
        for (error, description, status) in errors {
            for switching in [false, true] {
                let (browser, start) = (scene.gateway.browser(), scene.gateway.url("/closed"));
                scene.idp.heal();
                scene.idp.break_with(|faults| {
                    faults.id_token.claims.set("acr", "gold");
                });
                let denied = browser.signs_in(&start, "Ada").await;
                assert_eq!(denied.status, 403, "{toml}: {}", denied.text());
                scene.idp.break_with(|faults| says(faults, error, description));
                scene.idp.forget_seen();
                let page = if switching {
                    browser.submits(&denied, "logout", &[]).await
                } else {
                    browser.plants(&start, "vestibule=; Max-Age=0; Path=/");
                    browser.opens(&start).await
                };
                let page = insists(&scene, &browser, page).await;
                assert_eq!(page.status, status, "{toml} {error}: {}", page.url);
                assert!(!has_session(&browser) && page.text().contains("VB-"), "{toml} {error}: {}", page.text());
                assert!(rounds(&scene) <= 2, "{toml} {error} {switching}: {}", rounds(&scene));
                assert!(scene.token_endpoint_is_untouched());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_stood_for_too_long_is_shown_anew() {
    // OA-07
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/mine?x=1").await;
    let said =
        with_param(&with_param(&callback, "code", None).parse().unwrap(), "error", Some("temporarily_unavailable"));
    let page = browser.opens(&(said.clone() + "&error_description=authentication_expired")).await;
    assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url("/mine?x=1").as_str()));
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
    // Any other word of patience is passed on.
    let browser = scene.gateway.browser();
    let state = param(&scene.callback(&browser, "/").await, "state");
    let page = browser.opens(&with_param(&said.parse().unwrap(), "state", Some(&state))).await;
    assert_eq!((page.status, page.header("retry-after").is_some()), (503, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_took_too_long_begins_anew_once_in_silence() {
    // OA-03, OA-07, SB-02
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/wiki?x=1").await;
    let declined = with_param(&with_param(&callback, "code", None).parse().unwrap(), "error", Some("access_denied"));
    scene.gateway.clock.advance(Duration::from_secs(1801));
    // What is no navigation begins nothing, and whoever said no is not asked again.
    let fetched = browser.fetches(&scene.gateway.url("/"), callback.as_str()).await;
    assert_eq!((fetched.status, fetched.header("set-cookie")), (400, None));
    scene.is_refused(&browser, &browser.opens(&declined).await, "VB-1002");
    let anew = browser.asks(callback.as_str()).await;
    assert!(scene.token_endpoint_is_untouched());
    let callback = scene.answered(&browser, &anew.location()).await;
    scene.gateway.clock.advance(Duration::from_secs(1801));
    // The second one took too long as well: the page says so, with a link to go on.
    let page = browser.opens(callback.as_str()).await;
    assert_eq!(page.status, 400);
    scene.is_refused(&browser, &page, "VB-1002");
    assert!(scene.token_endpoint_is_untouched());
    let link = page.text().split("href=\"").find(|part| part.contains("login?rd=")).unwrap().to_owned();
    let link = link.split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&");
    let again = browser.follows(&page, &link).await;
    assert_eq!((again.status, again.url.to_string()), (200, scene.gateway.url("/wiki?x=1")));
    // Whoever is signed in is just sent on.
    assert_eq!(browser.asks(callback.as_str()).await.location().as_str(), scene.gateway.url("/wiki?x=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_may_take_half_an_hour() {
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/wiki").await;
    scene.gateway.clock.advance(Duration::from_secs(1790));
    let callback = scene.answered(&browser, &request).await;
    assert_eq!(browser.opens(callback.as_str()).await.url.path(), "/wiki");
    assert_eq!(rounds(&scene), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_never_sent_is_sent_by_a_reload() {
    // OA-10: the provider refuses connections
    for too_old in [false, true] {
        let idp = TestIdp::start().await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let scene = Scene::at(idp, &format!("[provider.idp]\ntoken_endpoint = 'http://{free}{}'", paths::TOKEN)).await;
        let browser = scene.gateway.browser();
        let callback = scene.callback(&browser, "/wiki").await;
        for _ in 0..2 {
            let page = browser.opens(callback.as_str()).await;
            assert_eq!((page.status, page.header("retry-after").is_some()), (503, true), "{}", page.text());
            scene.is_refused(&browser, &page, "provider_connect_failed");
        }
        assert!(scene.token_endpoint_is_untouched());
        relays(free, &scene.idp).await;
        if too_old {
            scene.gateway.clock.advance(Duration::from_secs(120));
        }
        let page = browser.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
        let sent = scene.idp.token_requests("authorization_code");
        assert_eq!(sent[0].field("code"), Some(param(&callback, "code")));
        assert_eq!((sent.len(), rounds(&scene)), if too_old { (2, 2) } else { (1, 1) });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_knows_no_endpoints_yet_keeps_the_code() {
    // DI-07, OA-10: both were restarted, and the provider is not back yet, or not whole
    for (breakage, status) in [(Breakage::Status(503), 503), (Breakage::Reset, 503), (Breakage::Html, 502)] {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let builder = Gateway::in_front_of(&upstream).signing_in_at(&idp).at_https("wiki.example.com");
        let before = builder.clone().start().await;
        let browser = before.browser();
        let tab = browser.opens(&before.url("/wiki")).await;
        before.stop().await;
        idp.break_with(|faults| faults.discovery.break_with(breakage));
        let after = builder.start().await;
        let browser = browser.resolving("https://wiki.example.com", after.address);
        let page = browser.picks(&tab, "Ada").await;
        assert_eq!((page.status, page.url.path()), (status, "/_vestibule/callback"), "{}", page.text());
        assert!(idp.seen_at(paths::TOKEN).is_empty());
        idp.heal();
        after.clock.advance(Duration::from_secs(30));
        let page = browser.opens(page.url.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
        assert_eq!((idp.token_requests("authorization_code").len(), idp.seen_at(paths::AUTHORIZE).len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_whose_answer_was_lost_is_not_sent_again_and_a_reload_begins_anew() {
    // OA-10
    for breakage in [Breakage::AnswerLost, Breakage::Reset, Breakage::Status(503)] {
        let scene = Scene::start().await;
        let browser = scene.gateway.browser();
        let callback = scene.callback(&browser, "/wiki").await;
        scene.idp.break_with(|faults| faults.token.break_with(breakage));
        let page = browser.opens(callback.as_str()).await;
        assert_eq!(page.status, 503, "told at once");
        assert_eq!(rounds(&scene), 1);
        // The second round fails in the same way: then a reload begins nothing by itself.
        let second = browser.opens(callback.as_str()).await;
        assert_eq!((second.status, rounds(&scene)), (503, 2), "{}", second.text());
        let again = browser.opens(second.url.as_str()).await;
        assert_eq!((again.status, rounds(&scene)), (503, 2), "{}", again.text());
        assert!(!has_session(&browser) && scene.upstream.seen().is_empty());
        let codes = scene.idp.token_requests("authorization_code");
        assert_eq!(codes.len(), 2);
        assert_ne!(codes[0].field("code"), codes[1].field("code"));
        // It is back: whoever comes again is signed in.
        scene.idp.heal();
        assert_eq!(browser.opens(&scene.gateway.url("/wiki")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_round_ends_only_in_the_browser_that_went_into_it() {
    // AT-LF-01: a link to a callback that took too long begins what a link to `login` begins, and no more
    let scene = Scene::start().await;
    let (attacker, victim) = (scene.gateway.browser(), scene.gateway.browser());
    let callback = scene.callback(&attacker, "/").await;
    scene.gateway.clock.advance(Duration::from_secs(1801));
    let evil = "https://evil.example/".parse().unwrap();
    let sent = victim.does(Ask::navigation(callback.as_str()).from(&evil).without_following()).await;
    let theirs = scene.answered(&attacker, &sent.location()).await;
    let page = attacker.opens(theirs.as_str()).await;
    scene.is_refused(&attacker, &page, "VB-1005");
    assert!(scene.token_endpoint_is_untouched() && !has_session(&victim));
}

/// How many authorization requests the provider saw.
fn rounds(scene: &Scene) -> usize {
    scene.idp.seen_at(paths::AUTHORIZE).len()
}

/// Does whatever a page of the provider asks for, until there is none.
async fn insists(scene: &Scene, browser: &Browser, mut page: Page) -> Page {
    for _ in 0..8 {
        if page.is_choosing() {
            page = browser.picks(&page, "Ada").await;
        } else if page.url.path() == paths::END_SESSION {
            page = browser.submits(&page, "end-session", &[]).await;
        } else {
            return page;
        }
    }
    panic!("no end after {} authorization requests", rounds(scene));
}

/// Serves the provider's endpoints at another address.
async fn relays(address: std::net::SocketAddr, idp: &TestIdp) {
    let listener = TcpListener::bind(address).await.unwrap();
    let provider = idp.issuer().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = TcpStream::connect(&provider).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut from, &mut to).await });
        }
    });
}
