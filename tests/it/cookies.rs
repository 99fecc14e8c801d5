//! Our cookies: how they are set, split, mixed, planted, stolen, sealed by other keys; and that nobody else sees them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use crate::harness::idp::paths;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use vestibule::clock::{Clock as _, UnixTime};
use vestibule::seal::{self, KeyRing, Purpose};

use crate::harness::gateway::key;
use crate::harness::idp::CLIENT_ID;
use crate::harness::{Gateway, Page, RawAnswer, RecordingUpstream, Scene, TestIdp, param};

#[tokio::test(flavor = "multi_thread")]
async fn over_https_every_line_has_the_attributes_of_the_host_prefix() {
    // AT-CS-18, AT-CL-23, CK-01, CK-03, CK-04, CK-05, CK-10, CK-13, CK-20
    let seen = every_set_cookie("", true).await;
    for line in &seen {
        assert!(line.name.starts_with("__Host-vestibule"), "{line:?}");
        assert_eq!(line.attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"], "{line:?}");
    }
    assert_all_kinds(&seen, "__Host-vestibule");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_only_what_needs_https_is_missing() {
    // AT-CS-18, CK-02, CK-03
    let seen = every_set_cookie("", false).await;
    for line in &seen {
        assert_eq!(line.attributes, ["HttpOnly", "Path=/", "SameSite=Lax"], "{line:?}");
    }
    assert_all_kinds(&seen, "vestibule");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_a_domain_carry_it_everywhere_and_the_secure_prefix() {
    // AT-CS-18, CK-02, CK-10
    let seen = every_set_cookie("[session.cookie]\ndomain = 'example.com'", true).await;
    for line in &seen {
        assert_eq!(line.attributes, ["Domain=example.com", "HttpOnly", "Path=/", "SameSite=Lax", "Secure"], "{line:?}");
    }
    assert_all_kinds(&seen, "__Secure-vestibule");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_sessions_have_attempts_that_survive_the_way_back() {
    // CK-04, CK-05
    let seen = every_set_cookie("[session.cookie]\nsame_site = 'strict'", true).await;
    for line in &seen {
        let strict = !line.name.contains('.');
        assert_eq!(line.attributes.iter().any(|attribute| attribute == "SameSite=Strict"), strict, "{line:?}");
        assert_eq!(line.attributes.iter().any(|attribute| attribute == "SameSite=Lax"), !strict, "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_session_is_split_and_shrinks_again() {
    // CK-06, CK-07, CK-08
    let scene = large_house().await;
    let names = |scene: &Scene| -> BTreeSet<String> {
        scene
            .browser
            .cookies()
            .into_iter()
            .filter(|kept| kept.name.starts_with("vestibule"))
            .map(|kept| kept.name)
            .collect()
    };
    let chunks = names(&scene);
    assert!((2..=4).contains(&chunks.len()) && !chunks.contains("vestibule"), "{chunks:?}");
    let sizes: Vec<usize> = scene.browser.cookies().iter().map(|kept| kept.name.len() + kept.value.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 4096) && sizes.iter().sum::<usize>() <= 12 * 1024, "{sizes:?}");
    assert_eq!(scene.asks("/").await.status, 200);
    assert_eq!(scene.upstream.last_request().header("cookie"), None);
    set_blob(&scene.idp, "small");
    scene.later(55);
    assert_eq!(scene.asks("/").await.status, 200);
    assert_eq!(names(&scene), ["vestibule".to_owned()].into());
    assert_eq!(scene.asks("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_two_sessions_make_none() {
    // AT-CS-03, CK-08
    let scene = large_house().await;
    let graces = scene.gateway.browser();
    scene.idp.forget_browsers();
    graces.signs_in(&scene.gateway.url("/"), "Grace").await;
    let (ada, grace) = (pairs(&scene.browser), pairs(&graces));
    assert!(ada.len() >= 2 && ada.len() == grace.len());
    scene.idp.forget_seen();
    scene.upstream.forget_seen();
    for mask in 1..(1_usize << ada.len()) - 1 {
        let pick = |at: usize| if mask & (1 << at) == 0 { ada[at].clone() } else { grace[at].clone() };
        let mixed: Vec<String> = (0..ada.len()).map(pick).collect();
        refused(&scene, &scene.sends_cookies(&mixed.join("; ")).await);
        let half: Vec<String> = (0..ada.len()).filter(|at| mask & (1 << at) != 0).map(|at| ada[at].clone()).collect();
        refused(&scene, &scene.sends_cookies(&half.join("; ")).await);
    }
    assert_eq!(scene.sends_cookies(&ada.join("; ")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_whole_value_is_a_session() {
    // AT-CS-02, AT-CS-14
    let scene = Scene::signed_in().await;
    let sealed = scene.cookie();
    let cuts = (0..sealed.len()).step_by(13).chain(sealed.len() - 8..sealed.len());
    let mut tried: Vec<String> = cuts.map(|at| format!("vestibule={}", &sealed[..at])).collect();
    tried.extend(["A", "=", "==", "AAAA", "+", "/", "%3D", "~"].map(|tail| format!("vestibule={sealed}{tail}")));
    tried.extend(["\"", "'"].map(|quote| format!("vestibule={quote}{sealed}{quote}")));
    tried.extend(
        ["Vestibule", "VESTIBULE", "vestibule ", "a=1;\tvestibule", "vestibul%65", "vestibule~1", "__Host-vestibule"]
            .map(|name| format!("{name}={sealed}")),
    );
    for at in [0, 7, 15, 20, 40, sealed.len() / 2, sealed.len() - 1] {
        let other = if &sealed[at..=at] == "A" { "B" } else { "A" };
        tried.push(format!("vestibule={}{other}{}", &sealed[..at], &sealed[at + 1..]));
    }
    let mut raw = scene.gateway.raw().await;
    for cookies in tried {
        raw.send(scene.navigation("/", &cookies)).await;
        let answer = raw.answer("GET").await;
        assert_eq!(answer.status, 302, "{cookies}");
    }
    assert!(scene.upstream.seen().is_empty() && scene.idp.token_requests("refresh_token").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn from_outside_no_two_bad_cookies_differ() {
    // AT-CS-11, AT-CS-08, AT-CS-09
    let scene = Scene::signed_in().await;
    let sealed = scene.cookie();
    let flipped = format!("{}{}{}", &sealed[..60], if &sealed[60..61] == "A" { "B" } else { "A" }, &sealed[61..]);
    let cut = &sealed[..sealed.len() - 4];
    let version = format!("C{}", &sealed[1..]);
    let now = scene.gateway.clock.now();
    let later = now.plus(std::time::Duration::from_secs(60));
    let of = |number: u8, purpose: Purpose, name: &str, expires: UnixTime| {
        ring(number).sealer(purpose, name).seal(&[1; 640], expires, now)
    };
    let bad = [
        flipped,
        cut.to_owned(),
        version,
        "x".to_owned(),
        of(2, Purpose::Session, &sealed_for(), later),
        of(1, Purpose::Session, &sealed_for(), now),
        of(1, Purpose::Session, &sealed_for(), later),
        of(1, Purpose::Session, "vestibule-other", later),
        of(1, Purpose::LoginAttempt, "vestibule", later),
        of(1, Purpose::State, "vestibule", later),
    ];
    let mut answers = BTreeSet::new();
    for value in &bad {
        let fetch = scene
            .navigation("/", &format!("vestibule={value}"))
            .replace("Accept: text/html", "Sec-Fetch-Mode: cors\r\nAccept: application/json");
        let answer = crate::harness::Raw::once(scene.gateway.address, fetch).await;
        assert_eq!(answer.status, 401);
        let id = answer.text().split("\"request_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let names: Vec<String> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        answers.insert((answer.text().replace(&id, "ID"), names));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
    let metrics = scene.gateway.admin_text("/metrics").await;
    for reason in ["sealed_tampered", "sealed_malformed", "sealed_unknown_key"] {
        assert!(
            metrics.contains(&format!("vestibule_sessions_decrypt_failures_total{{reason=\"{reason}\"}}")),
            "{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_no_session_and_a_session_no_attempt() {
    // AT-CS-08
    let scene = Scene::signed_in().await;
    let other = scene.gateway.browser();
    let asked = other.asks(&scene.gateway.url("/")).await;
    let attempt = other.cookies().into_iter().find(|kept| kept.name.contains(".login.")).unwrap();
    refused(&scene, &scene.sends_cookies(&format!("vestibule={}", attempt.value)).await);
    let state = asked.location().query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    refused(&scene, &scene.sends_cookies(&format!("vestibule={state}")).await);
    refused(&scene, &scene.sends_cookies(&format!("vestibule={}", &state[12..])).await);
    let callback = scene.navigation(
        &format!("/_vestibule/callback?code=x&state={state}"),
        &format!("{}={}", attempt.name, scene.cookie()),
    );
    let answer = crate::harness::Raw::once(scene.gateway.address, callback).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(scene.idp.seen_at(paths::TOKEN).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_deployment_s_cookie_opens_nothing() {
    // AT-CS-09
    let scene = Scene::signed_in().await;
    let theirs = Gateway::in_front_of(&scene.upstream)
        .signing_in_at(&scene.idp)
        .with(&format!("[session]\nkeys = ['{}']", key(2)))
        .start()
        .await;
    let browser = theirs.browser();
    browser.signs_in(&theirs.url("/"), "Ada").await;
    scene.idp.forget_seen();
    scene.upstream.forget_seen();
    let sealed = browser.cookie(&theirs.url("/"), "vestibule").unwrap();
    refused(&scene, &scene.sends_cookies(&format!("vestibule={sealed}")).await);
    // A key id that looks like a path is looked up nowhere.
    let pathlike = URL_SAFE_NO_PAD.encode([b"\x01../x".as_slice(), &[0; 60]].concat());
    refused(&scene, &scene.sends_cookies(&format!("vestibule={pathlike}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_anybody_noticing() {
    // CK-15, AT-CS-09
    let mut scene = Scene::signed_in().await;
    let sealed_first = scene.cookie();
    scene.gateway.reload_with(&format!("[session]\nkeys = ['{}', '{}']", key(2), key(1)));
    assert_eq!(scene.asks("/").await.status, 200);
    scene.later(55);
    assert_eq!(scene.asks("/").await.status, 200);
    let sealed_second = scene.cookie();
    let key_id = |sealed: &str| URL_SAFE_NO_PAD.decode(&sealed[..16]).unwrap()[1..5].to_vec();
    assert_ne!(key_id(&sealed_second), key_id(&sealed_first), "the newest key seals");
    scene.gateway.reload_with(&format!("[session]\nkeys = ['{}']", key(2)));
    assert_eq!(scene.asks("/").await.status, 200);
    scene.idp.forget_seen();
    scene.upstream.forget_seen();
    refused(&scene, &scene.sends_cookies(&format!("vestibule={sealed_first}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_session_is_never_taken_silently() {
    // AT-CS-12, CK-12
    let scene = Scene::signed_in().await;
    scene.idp.forget_browsers();
    let mallory = scene.gateway.browser();
    mallory.signs_in(&scene.gateway.url("/"), "Grace").await;
    let (ours, theirs) = (scene.cookie(), scene.cookie_of(&mallory));
    scene.idp.forget_seen();
    scene.upstream.forget_seen();
    // What does not open by our key is passed over, in any order.
    for cookies in [format!("vestibule=junk; vestibule={ours}"), format!("vestibule={ours}; vestibule=junk")] {
        assert_eq!(scene.sends_cookies(&cookies).await.status, 200);
        assert_eq!(scene.upstream.last_request().header("x-forwarded-preferred-username"), Some("ada"));
    }
    scene.upstream.forget_seen();
    for (first, second) in [(&ours, &theirs), (&theirs, &ours)] {
        // Also when so much stands between them that not all of it is looked at.
        for junk in [0, 3, 4, 31, 40] {
            let junk: String = (0..junk).map(|n| format!("vestibule=junk{n}; ")).collect();
            let cookies = format!("vestibule={first}; {junk}vestibule={second}");
            refused(&scene, &scene.sends_cookies(&cookies).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_s_planted_session_costs_one_sign_in() {
    // AT-CS-12, CK-16: with a domain, no prefix keeps another host of it from planting.
    let idp = TestIdp::start().await;
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .at_https("wiki.example.com")
        .with("[session.cookie]\ndomain = 'example.com'")
        .start()
        .await;
    let (mallory, ada) = (gateway.browser(), gateway.browser());
    mallory.signs_in(&gateway.url("/"), "Grace").await;
    let planted = mallory.cookie(&gateway.url("/"), "__Secure-vestibule").unwrap();
    ada.plants(
        "https://evil.example.com/",
        &format!("__Secure-vestibule={planted}; Domain=example.com; Path=/admin; Secure"),
    );
    ada.signs_in(&gateway.url("/"), "Ada").await;
    gateway.clock.advance(std::time::Duration::from_secs(1));
    upstream.forget_seen();
    let page = ada.signs_in(&gateway.url("/admin/x"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/admin/x"), "{}", page.text());
    assert_eq!(upstream.only_request().header("x-forwarded-preferred-username"), Some("ada"));
    assert_eq!(ada.asks(&gateway.url("/admin/y")).await.status, 200);
    // The planted one opens nothing any more, for nobody.
    assert_eq!(mallory.asks(&gateway.url("/")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planted_before_a_sign_in_opens_nothing_after_it() {
    // AT-LF-07, CK-16
    let scene = Scene::signed_in().await;
    scene.idp.forget_browsers();
    let (attacker, url) = (&scene.browser, scene.gateway.url("/"));
    attacker.opens(&scene.gateway.own("login")).await;
    let victim = attacker.copied();
    scene.later(1);
    victim.signs_in(&scene.gateway.own("login"), "Grace").await;
    assert_ne!(scene.cookie_of(&victim), scene.cookie());
    scene.upstream.forget_seen();
    assert_eq!(attacker.asks(&url).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(victim.asks(&url).await.status, 200);
    assert_eq!(scene.upstream.only_request().header("x-forwarded-preferred-username"), Some("grace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_sees_its_own_cookies_byte_for_byte_and_none_of_ours() {
    // AT-CS-20, CK-18, CK-24
    let scene = Scene::signed_in().await;
    let ours = format!("vestibule={}", scene.cookie());
    let cookies = format!(
        "a=1; {ours}; b=\"x y\"; vestibule.rounds=1; vestibule~1=x; vestibule.login.abcdefgh=y;c=%20=; vestibule2=z; d"
    );
    assert_eq!(scene.sends_cookies(&cookies).await.status, 200);
    assert_eq!(scene.upstream.last_request().all("cookie"), ["a=1; b=\"x y\";c=%20=; vestibule2=z; d"]);
    assert_eq!(scene.sends_cookies(&ours).await.status, 200);
    let seen = scene.upstream.last_request();
    assert_eq!(seen.header("cookie"), None);
    assert!(
        !seen.head.contains("at_") && !seen.head.contains("eyJ"),
        "a token goes where it was not told to: {}",
        seen.head
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_cannot_set_our_cookies() {
    // CK-19
    let scene = Scene::signed_in().await;
    scene.upstream.answers(
        "HTTP/1.1 200 OK\r\nSet-Cookie: vestibule=evil\r\nSet-Cookie: app=1; Path=/x\r\nSet-Cookie: vestibule~2=evil\r\n\
         Set-Cookie: vestibule.login.abcdefgh=evil; Path=/\r\nSet-Cookie: vestibule.rounds=9\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = scene.asks("/").await;
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["app=1; Path=/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_holds_nothing_that_can_be_read() {
    // CK-13, CK-14, CK-21, CK-23
    let scene = Scene::signed_in().await;
    let sealed = scene.cookie();
    assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
    let readable = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!["rt_", "at_", "eyJ", "ada", "Ada", "248289761001", "127.0.0.1"].into_iter().any(readable));
    // Sealed twice, the same person's session has nothing in common but the header.
    let other = scene.gateway.browser();
    scene.idp.forget_browsers();
    other.signs_in(&scene.gateway.url("/"), "Ada").await;
    let same = sealed.bytes().zip(scene.cookie_of(&other).bytes()).skip(15).filter(|(a, b)| a == b).count();
    assert!(same < sealed.len() / 16, "{same} of {}", sealed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_few_and_each_has_its_own_cookie() {
    // CK-05, CK-09
    let scene = Scene::signed_in().await;
    let browser = scene.gateway.browser();
    for tab in 0..10 {
        assert_eq!(browser.asks(&scene.gateway.url(&format!("/{tab}"))).await.status, 302);
    }
    let attempts = browser.cookies().into_iter().filter(|kept| kept.name.contains(".login.")).count();
    assert_eq!(attempts, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_bomb_keeps_nobody_from_signing_in() {
    // AT-CS-15
    let scene = Scene::signed_in().await;
    let browser = scene.gateway.browser();
    for number in 0..150 {
        let (name, value) = (format!("vestibule.login.bomb{number:04}"), noise(40));
        browser.plants(&scene.gateway.url("/"), &format!("{name}={value}; Path=/"));
    }
    for number in 1..=9 {
        browser.plants(&scene.gateway.url("/"), &format!("vestibule~{number}={}; Path=/", noise(900)));
    }
    assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200);
    assert_eq!(scene.upstream.only_request().header("cookie"), None);
    scene.upstream.forget_seen();
    for bomb in [format!("a={}", "x".repeat(64 * 1024)), "a=1; ".repeat(16_000)] {
        assert_eq!(scene.sends_cookies(&bomb).await.status, 431);
    }
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.asks("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_one_host_opens_at_no_other_warm_or_cold() {
    // CK-14: taken there by hand, by somebody, or by an application that runs at one of the hosts
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let (one, two) = ("https://a.example.com/", "https://b.example.com/");
    let builder = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .at_https("a.example.com")
        .known_as("b.example.com")
        .known_as("c.example.org");
    // A route for any host also serves hosts that the cookie domain does not reach.
    let domain = "[session.cookie]\ndomain = 'example.com'";
    let three = "https://c.example.org/";
    for (builder, name, everywhere) in
        [(builder.clone(), "__Host-vestibule", false), (builder.with(domain), "__Secure-vestibule", true)]
    {
        let warm = builder.clone().start().await;
        let browser = warm.browser();
        assert_eq!(browser.signs_in(one, "Ada").await.status, 200);
        let cookie = browser.cookie(one, name).unwrap();
        let cold = builder.start().await;
        for gateway in [&warm, &cold] {
            idp.forget_seen();
            upstream.forget_seen();
            let browsers = || [gateway.browser(), gateway.browser().over_http2()];
            for at in [two, three, one].into_iter().cycle().take(9) {
                for thief in browsers() {
                    thief.plants(at, &format!("{name}={cookie}; Path=/; Secure"));
                    let page = thief.asks(&format!("{at}page")).await;
                    let opens = at == one || (everywhere && at == two);
                    assert_eq!(page.status, if opens { 200 } else { 302 }, "{at}");
                }
            }
            assert_eq!(upstream.seen().len(), if everywhere { 12 } else { 6 });
            assert!(idp.seen_at(paths::TOKEN).is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_session_still_belongs_to_its_host_alone() {
    // CK-14
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::built(|gateway| {
        gateway
            .at_https("a.example.com")
            .known_as("b.example.com")
            .with("[route.app]\nhost = ['a.example.com', 'b.example.com']\n[session]\nidle_timeout = '2h'")
    })
    .await;
    let browser = gateway.browser();
    browser.signs_in("https://a.example.com/", "Ada").await;
    for step in [900, 3500] {
        let before = browser.cookie("https://a.example.com/", "__Host-vestibule").unwrap();
        gateway.clock.advance(std::time::Duration::from_secs(step));
        assert_eq!(browser.asks("https://a.example.com/").await.status, 200);
        let renewed = browser.cookie("https://a.example.com/", "__Host-vestibule").unwrap();
        assert_ne!(renewed, before);
        for cookie in [before, renewed] {
            let thief = gateway.browser();
            thief.plants("https://b.example.com/", &format!("__Host-vestibule={cookie}; Path=/; Secure"));
            assert_eq!(thief.asks("https://b.example.com/").await.status, 302);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_not_survive_another_client_id() {
    // CK-14: the tokens in it are another client's
    let mut scene = Scene::signed_in().await;
    scene.gateway.reload_with("[pages]\ntitle = 'Another'");
    assert_eq!(scene.asks("/").await.status, 200);
    scene.upstream.forget_seen();
    scene.gateway.reload_with("[provider.idp]\nclient_id = 'another'");
    let page = scene.asks("/").await;
    assert_eq!(page.status, 302);
    assert_eq!(param(&page.location(), "client_id"), "another");
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen_at(paths::TOKEN).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decompression_bomb_sealed_by_our_own_key_does_not_go_off() {
    // AT-CS-17
    let scene = Scene::signed_in().await;
    let now = scene.gateway.clock.now();
    let expires = now.plus(std::time::Duration::from_secs(60));
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b' '; 8 << 20]).unwrap();
    let packed = packer.finish().unwrap();
    for claimed in [8 << 20, 60 * 1024, u32::MAX] {
        let sealed = ring(1).sealer(Purpose::Session, &sealed_for()).seal(&bomb(&packed, claimed), expires, now);
        refused(&scene, &scene.sends_cookies(&format!("vestibule={sealed}")).await);
    }
    let metrics = scene.gateway.admin_text("/metrics").await;
    for (reason, times) in [("session_text_too_large", 2), ("session_deflate", 1)] {
        let line = format!("vestibule_sessions_decrypt_failures_total{{reason=\"{reason}\"}} {times}");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert_eq!(scene.asks("/").await.status, 200);
}

/// What a session of the scene is sealed for.
fn sealed_for() -> String {
    format!("vestibule\0idp\0127.0.0.1\0{CLIENT_ID}")
}

/// A session's fields, none of them filled, before a text that is said to be so long: see `session/codec`.
fn bomb(packed: &[u8], claimed: u32) -> Vec<u8> {
    let varint = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    // Format and dictionary, the id, and 16 fields that are zero or absent.
    let head = [[1_u8, 1].as_slice(), &[0; 16], &[0; 16]].concat();
    let mut bytes = [head, varint(claimed as usize), varint(packed.len()), packed.to_vec()].concat();
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes
}

/// So many characters that no compressor makes shorter than three quarters.
pub(crate) fn noise(len: usize) -> String {
    let random: String = std::iter::repeat_with(seal::random_token).take(len / 43 + 1).collect();
    random[..len].to_owned()
}

fn set_blob(idp: &TestIdp, blob: &str) {
    idp.configure(|settings| {
        for person in &mut settings.people {
            // A claim that something reads: others would not be in the session.
            person.claims.insert("groups".into(), blob.into());
        }
    });
}

/// Everybody's session is too large for one cookie.
async fn large_house() -> Scene {
    let idp = TestIdp::start().await;
    set_blob(&idp, &noise(6000));
    Scene::signed_in_at(idp, |builder| builder).await
}

fn ring(number: u8) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(vec![seal::parse_key(&key(number)).unwrap()]).unwrap())
}

/// The cookies of a session as they are sent, in order.
fn pairs(browser: &crate::harness::Browser) -> Vec<String> {
    let kept = browser.cookies().into_iter().filter(|kept| kept.name.starts_with("vestibule~"));
    let mut pairs: Vec<String> = kept.map(|kept| format!("{}={}", kept.name, kept.value)).collect();
    pairs.sort();
    pairs
}

/// Sent to sign in; no session was set, the application saw nothing, the provider was asked nothing.
#[track_caller]
fn refused(scene: &Scene, answer: &RawAnswer) {
    assert_eq!(answer.status, 302, "{}", answer.head);
    let sessions = answer.headers.iter().filter(|(name, value)| {
        name.eq_ignore_ascii_case("set-cookie") && value.starts_with("vestibule=") && !value.contains("Max-Age=0")
    });
    assert_eq!(sessions.count(), 0, "{}", answer.head);
    assert!(scene.upstream.seen().is_empty(), "{:?}", scene.upstream.seen());
    assert!(scene.idp.seen_at(paths::TOKEN).is_empty());
}

/// A `Set-Cookie` line taken apart.
#[derive(Debug)]
struct Line {
    name: String,
    deletes: bool,
    /// Sorted, without those that say how long it lives.
    attributes: Vec<String>,
}

/// Every `Set-Cookie` line on the way of a person: to the provider, back, through a refresh, out, and after a broken callback.
async fn every_set_cookie(toml: &str, https: bool) -> Vec<Line> {
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    set_blob(&idp, &noise(6000));
    let builder = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(toml);
    let gateway = if https { builder.at_https("wiki.example.com") } else { builder }.start().await;
    let browser = gateway.browser();
    let mut lines = Vec::new();
    let mut take = |page: &Page| {
        let hops = page.hops.iter().map(|hop| (&hop.url, &hop.headers));
        for (url, headers) in hops.chain([(&page.url, &page.headers)]) {
            if url.as_str().starts_with(gateway.origin()) {
                lines.extend(lines_of(headers));
            }
        }
    };
    let choosing = browser.opens(&gateway.url("/")).await;
    take(&choosing);
    take(&browser.picks(&choosing, "Ada").await);
    set_blob(&idp, "small");
    gateway.clock.advance(std::time::Duration::from_secs(55));
    take(&browser.opens(&gateway.url("/")).await);
    let page = browser.opens(&gateway.own("logout")).await;
    take(&browser.submits(&page, "/_vestibule/logout", &[]).await);
    for _ in 0..7 {
        take(&browser.asks(&gateway.url("/")).await);
    }
    idp.break_with(|faults| faults.callback.error = Some(("access_denied".into(), None)));
    let choosing = browser.opens(&gateway.url("/")).await;
    take(&browser.picks(&choosing, "Ada").await);
    lines
}

fn lines_of(headers: &HeaderMap) -> Vec<Line> {
    let lines = headers.get_all("set-cookie").iter();
    let read = |line: &http::HeaderValue| {
        let mut parts = line.to_str().unwrap().split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{value}");
        // Nothing that sets a cookie may be kept by a cache.
        assert_eq!(headers["cache-control"], "no-store");
        let (ages, mut attributes): (Vec<_>, Vec<_>) =
            parts.map(str::to_owned).partition(|part| part.starts_with("Max-Age=") || part.starts_with("Expires="));
        attributes.sort();
        // CK-11: browsers cut what is longer than 400 days.
        let seconds = ages.iter().filter_map(|age| age.strip_prefix("Max-Age=")).map(|age| age.parse::<u64>().unwrap());
        assert!(seconds.max().is_none_or(|longest| longest <= 400 * 24 * 3600), "{line:?}");
        Line {
            name: name.to_owned(),
            deletes: value.is_empty() && ages.iter().any(|age| age == "Max-Age=0"),
            attributes,
        }
    };
    lines.map(read).collect()
}

/// Whole and chunked sessions, attempts, the marker of rounds; set and deleted.
#[track_caller]
fn assert_all_kinds(lines: &[Line], base: &str) {
    for (start, deletes) in [
        ("", false),
        ("", true),
        ("~1", false),
        ("~1", true),
        (".login.", false),
        (".login.", true),
        (".rounds", false),
    ] {
        let wanted = format!("{base}{start}");
        let is_wanted = |line: &&Line| {
            line.deletes == deletes
                && if start == ".login." { line.name.starts_with(&wanted) } else { line.name == wanted }
        };
        assert!(lines.iter().any(|line| is_wanted(&line)), "no line of {wanted}, deletes: {deletes}: {lines:#?}");
    }
}
