//! What login attempts promise: each ends in the browser that started it, and every other callback is distinguished.

mod hints;

use http::HeaderMap;

use super::*;
use crate::session::cookie_store::SessionSealer;
use crate::session::jar::Jar;
use crate::session::samples;
use crate::session::samples::NOW;
use crate::session::settings::{CookieSettings, SameSite, TokenKinds};
use crate::session::store::Site;

fn settings() -> SessionSettings {
    SessionSettings {
        lifetime: Duration::from_secs(43_200),
        idle_timeout: Duration::from_secs(3600),
        refresh_before: None,
        keep: TokenKinds { access: true, refresh: true, id_token: true },
        cookie: CookieSettings {
            name: "__Host-vestibule".into(),
            domain: None,
            secure: true,
            same_site: SameSite::Strict,
            partitioned: false,
        },
        cache_bytes: 0,
        grace: Duration::from_secs(30),
        attempt_life: Duration::from_secs(600),
        clock_leeway: Duration::from_secs(60),
    }
}

fn ring(byte: u8) -> Arc<KeyRing> {
    let key = std::array::from_fn(|at| byte.wrapping_add(at as u8));
    Arc::new(KeyRing::new(vec![Secret::new(key)]).unwrap())
}

fn names() -> OwnCookies {
    OwnCookies::new("__Host-vestibule", &["corp".into()])
}

fn attempts() -> Attempts {
    Attempts::new(&settings(), names(), ring(1))
}

fn page(path: &str) -> ReturnTo {
    ReturnTo::from_parts("wiki.example.com", path).unwrap()
}

fn intent(path: &str) -> Intent {
    let redirect_uri = REDIRECT_URI.to_owned();
    let (round, aim) = (Round::Second, Aim::SwitchAccount);
    Intent {
        provider: "corp".into(),
        return_to: page(path),
        redirect_uri,
        round,
        aim,
        max_age: None,
        hints: Hints::default(),
        across_sites: false,
    }
}

fn start(attempts: &Attempts, path: &str, now: UnixTime) -> Attempt {
    attempts.start(intent(path), now).unwrap()
}

/// Begins an attempt in a browser that keeps these cookies, and does as the Set-Cookie lines say. Gives the attempts dropped.
fn begin_in(jar: &mut Vec<(String, String)>, attempts: &Attempts, attempt: &Attempt, now: UnixTime) -> Vec<String> {
    let held: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let begun = attempts.begin(attempt, &scan(&held), now);
    for line in begun.lines {
        let (name, value) = pair(&line).split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        jar.retain(|(held, _)| *held != name);
        if !value.is_empty() {
            jar.push((name, value));
        }
    }
    begun.dropped
}

fn ids(jar: &[(String, String)]) -> Vec<String> {
    jar.iter().map(|(name, _)| name.rsplit('.').next().unwrap().to_owned()).collect()
}

fn scan(pairs: &[String]) -> CookieScan {
    let mut headers = HeaderMap::new();
    if !pairs.is_empty() {
        headers.insert(http::header::COOKIE, pairs.join("; ").parse().unwrap());
    }
    names().scan(&headers)
}

fn pair(line: &HeaderValue) -> String {
    line.to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// The cookie that a browser keeps of this attempt.
fn cookie_of(attempts: &Attempts, attempt: &Attempt) -> String {
    pair(&attempts.begin(attempt, &scan(&[]), attempt.started).lines[0])
}

fn after(secs: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(secs))
}

#[test]
fn an_attempt_is_found_by_its_state_and_cookie() {
    let attempts = attempts();
    let attempt = start(&attempts, "/page?a=b", NOW);
    let found =
        attempts.find(&scan(&[cookie_of(&attempts, &attempt)]), Some(attempt.state.expose()), after(599)).unwrap();
    // RFC 6749 section 4.1.3: whatever the configuration says by then.
    assert_eq!(found.intent.redirect_uri, REDIRECT_URI);
    assert_eq!(found.intent.return_to.to_url(true), "https://wiki.example.com/page?a=b");
    assert_eq!((&found.id, &found.nonce, &found.verifier), (&attempt.id, &attempt.nonce, &attempt.verifier));
    assert_eq!((&*found.intent.provider, found.started, &found.state), ("corp", NOW, &attempt.state));
    assert_eq!((found.intent.round, found.intent.aim), (Round::Second, Aim::SwitchAccount));
}

// RFC 7636 section 4.1; RFC 6749 section 10.10.
#[test]
fn state_nonce_and_verifier_are_long_enough_and_never_the_same() {
    let attempts = attempts();
    let (a, b) = (start(&attempts, "/", NOW), start(&attempts, "/", NOW));
    assert_eq!((a.verifier.expose().len(), a.nonce.len(), a.id.len()), (43, 22, ID_LEN));
    assert!(a.state != b.state && a.nonce != b.nonce && a.verifier != b.verifier && a.id != b.id);
    assert!(a.state.expose().bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
}

#[test]
fn state_and_cookie_are_short() {
    let attempts = attempts();
    let attempt = start(&attempts, "/spaces/engineering/pages/12345?tab=history", NOW);
    let line = attempts.begin(&attempt, &scan(&[]), NOW).lines.remove(0);
    assert!(attempt.state.expose().len() < 200, "{}", attempt.state.expose().len());
    assert!(line.len() < 380, "{}", line.len());
}

// CK-05, CK-10, AT-CS-18: Lax although sessions are Strict here.
#[test]
fn its_cookie_survives_the_way_back_and_is_deleted_with_the_same_attributes() {
    let attempts = attempts();
    let attempt = start(&attempts, "/", NOW);
    let line = attempts.begin(&attempt, &scan(&[]), NOW).lines.remove(0);
    assert!(line.to_str().unwrap().ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"), "{line:?}");
    let deleted = attempts.finish(&attempt.id);
    let expected =
        format!("__Host-vestibule.login.{}=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; ", attempt.id);
    assert!(deleted.to_str().unwrap().starts_with(&expected), "{deleted:?}");
}

// AT-LF-04
#[test]
fn a_missing_or_empty_state_is_told_apart() {
    let attempts = attempts();
    assert_eq!(attempts.find(&scan(&[]), None, NOW).unwrap_err(), AttemptError::StateMissing);
    assert_eq!(attempts.find(&scan(&[]), Some(""), NOW).unwrap_err(), AttemptError::StateMissing);
}

// AT-LF-05, AT-CS-02
#[test]
fn guessed_cut_and_extended_states_are_forged() {
    let attempts = attempts();
    let attempt = start(&attempts, "/", NOW);
    let cookies = scan(&[cookie_of(&attempts, &attempt)]);
    let state = attempt.state.expose();
    let refused = |state: &str| {
        assert_eq!(attempts.find(&cookies, Some(state), NOW).unwrap_err(), AttemptError::StateForged, "{state:?}");
    };
    for cut in 1..state.len() {
        refused(&state[..cut]);
    }
    for tail in ["A", "AAAA", "=", "\r\nX: y", "\0", "é"] {
        refused(&format!("{state}{tail}"));
    }
    refused(&"A".repeat(state.len()));
    refused(&"A".repeat(1 << 20));
    refused("ééééééé");
    // The id of another attempt before this one's note.
    let other = start(&attempts, "/", NOW);
    refused(&format!("{}{}", other.id, &state[ID_LEN..]));
    // Another deployment's, and a cookie's value in the place of a state (AT-CS-08, AT-CS-09).
    let theirs = Attempts::new(&settings(), names(), ring(2));
    refused(start(&theirs, "/", NOW).state.expose());
    let value = cookie_of(&attempts, &attempt).split_once('=').unwrap().1.to_owned();
    refused(&format!("{}{value}", attempt.id));
}

// AT-LF-01, AT-LF-02: login CSRF, and the state of another browser.
#[test]
fn a_callback_in_another_browser_ends_nothing_but_knows_its_page() {
    let attempts = attempts();
    let (ours, theirs) = (start(&attempts, "/mine", NOW), start(&attempts, "/theirs", NOW));
    let error = attempts.find(&scan(&[cookie_of(&attempts, &ours)]), Some(theirs.state.expose()), NOW).unwrap_err();
    let outline = AttemptOutline {
        id: theirs.id.clone(),
        provider: "corp".into(),
        return_to: Some(page("/theirs")),
        round: Round::Second,
        aim: Aim::SwitchAccount,
    };
    assert_eq!(error, AttemptError::CookieMissing(outline.clone()));
    // The victim's own cookie, or a session's, put under the name of the attacker's attempt.
    let name = names().attempt_name(&theirs.id);
    let value = cookie_of(&attempts, &ours).split_once('=').unwrap().1.to_owned();
    let session = ring(1).sealer(Purpose::Session, "__Host-vestibule").seal(b"x", after(60), NOW);
    for value in [value, session, String::new(), "AAAA".into()] {
        let cookies = scan(&[format!("{name}={value}")]);
        let error = attempts.find(&cookies, Some(theirs.state.expose()), NOW).unwrap_err();
        assert_eq!(error, AttemptError::CookieForged(outline.clone()), "{value}");
    }
    // Ours still works.
    assert!(attempts.find(&scan(&[cookie_of(&attempts, &ours)]), Some(ours.state.expose()), NOW).is_ok());
}

// The cookie binds the whole state, not only its id: a second state made for the same id does not end the first's attempt.
#[test]
fn a_cookie_ends_only_the_state_that_it_was_made_for() {
    let attempts = attempts();
    let attempt = start(&attempts, "/mine", NOW);
    let note = AttemptOutline {
        id: String::new(),
        provider: "corp".into(),
        round: Round::First,
        aim: Aim::SignIn,
        return_to: Some(page("/other")),
    };
    let note = postcard::to_stdvec(&note).unwrap();
    let state = format!("{}{}", attempt.id, attempts.state_sealer(&attempt.id).seal(&note, after(600), NOW));
    let error = attempts.find(&scan(&[cookie_of(&attempts, &attempt)]), Some(&state), NOW).unwrap_err();
    assert_eq!(error.code(), "attempt_cookie_forged");
}

#[test]
fn an_attempt_that_took_too_long_still_knows_its_page() {
    let attempts = attempts();
    let attempt = start(&attempts, "/page", NOW);
    let cookies = scan(&[cookie_of(&attempts, &attempt)]);
    assert!(attempts.find(&cookies, Some(attempt.state.expose()), after(599)).is_ok());
    let error = attempts.find(&cookies, Some(attempt.state.expose()), after(600)).unwrap_err();
    assert_eq!(error.code(), "state_expired");
    assert_eq!(error.outline().unwrap().return_to, Some(page("/page")));
}

// CK-12: a planted cookie of the same name, before or after ours.
#[test]
fn a_planted_cookie_of_the_same_name_changes_nothing() {
    let attempts = attempts();
    let attempt = start(&attempts, "/", NOW);
    let ours = cookie_of(&attempts, &attempt);
    let planted = format!("{}=AAAA", names().attempt_name(&attempt.id));
    for cookies in [[ours.clone(), planted.clone()], [planted, ours]] {
        assert!(attempts.find(&scan(&cookies), Some(attempt.state.expose()), NOW).is_ok());
    }
}

// A test of the ten tabs, opened before any answer came back: none of them knows of the others.
#[test]
fn ten_tabs_end_on_ten_pages() {
    let attempts = attempts();
    let tabs: Vec<Attempt> = (0..10).map(|tab| start(&attempts, &format!("/page/{tab}"), NOW)).collect();
    let jar: Vec<String> = tabs.iter().map(|tab| cookie_of(&attempts, tab)).collect();
    for (at, tab) in tabs.iter().enumerate() {
        let found = attempts.find(&scan(&jar), Some(tab.state.expose()), NOW).unwrap();
        assert_eq!(found.intent.return_to, page(&format!("/page/{at}")));
    }
}

// CK-09, AT-LF-19: also of those begun within one second, and within one moment of the clock.
#[test]
fn the_oldest_of_too_many_are_dropped_however_close_they_began() {
    for step in [0, 1, 120, 1000] {
        let attempts = attempts();
        let (mut jar, mut started, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for tab in 0..20 {
            let now = NOW.plus(Duration::from_millis(step * tab));
            let attempt = start(&attempts, &format!("/{}", "a".repeat(200)), now);
            dropped.extend(begin_in(&mut jar, &attempts, &attempt, now));
            assert!(jar.len() <= ATTEMPTS_MAX);
            started.push(attempt.id);
        }
        assert_eq!(ids(&jar), started[12..], "one each {step} ms");
        assert_eq!(dropped, started[..12], "one each {step} ms");
    }
}

#[test]
fn the_time_decides_before_the_order_in_which_cookies_came() {
    let attempts = attempts();
    let at = |millis| NOW.plus(Duration::from_millis(millis));
    let tabs: Vec<Attempt> = (0..9).map(|tab| start(&attempts, "/", at(tab))).collect();
    let cookies: Vec<String> = tabs.iter().rev().map(|tab| cookie_of(&attempts, tab)).collect();
    let begun = attempts.begin(&start(&attempts, "/", at(20)), &scan(&cookies), at(20));
    assert_eq!(begun.dropped, [tabs[0].id.clone(), tabs[1].id.clone()]);
}

// AT-CS-15
#[test]
fn the_oldest_go_where_all_take_too_many_bytes() {
    let attempts = attempts();
    let (mut jar, mut started) = (Vec::new(), Vec::new());
    for tab in 0..6 {
        let attempt = start(&attempts, &format!("/{}", noise(2400)), after(tab));
        begin_in(&mut jar, &attempts, &attempt, after(tab));
        assert!(jar.iter().map(|(name, value)| name.len() + 1 + value.len()).sum::<usize>() <= 8 * 1024);
        started.push(attempt.id);
    }
    assert_eq!(ids(&jar), started[started.len() - jar.len()..]);
    assert!(jar.len() >= 2);
}

// AT-CS-15: expired, forged and oversized attempts go first, and do not push out what is alive.
#[test]
fn junk_attempts_are_cleared_away() {
    let attempts = attempts();
    let alive: Vec<Attempt> = (0..4).map(|tab| start(&attempts, "/", after(700 + tab))).collect();
    let mut cookies: Vec<String> = alive.iter().map(|attempt| cookie_of(&attempts, attempt)).collect();
    let over = start(&attempts, "/", NOW);
    cookies.push(cookie_of(&attempts, &over));
    cookies.push("__Host-vestibule.login.junkjunkjunk=AAAA".into());
    cookies.push(format!("__Host-vestibule.login.farfuture123={}", {
        let sealer = ring(9).sealer(Purpose::LoginAttempt, "x");
        sealer.seal(&[0; 3000], after(1_000_000), NOW)
    }));
    // A planted cookie of the name of one that is alive does not take it along (CK-12).
    cookies.push(format!("{}=AAAA", names().attempt_name(&alive[0].id)));
    let begun = attempts.begin(&start(&attempts, "/", after(710)), &scan(&cookies), after(710));
    assert!(begun.dropped.is_empty());
    let mut gone: Vec<String> = begun.lines[1..].iter().map(pair).collect();
    gone.sort_unstable();
    let mut expected = vec![
        format!("{}=", names().attempt_name(&over.id)),
        "__Host-vestibule.login.farfuture123=".to_owned(),
        "__Host-vestibule.login.junkjunkjunk=".to_owned(),
    ];
    expected.sort_unstable();
    assert_eq!(gone, expected);
}

// LO-02: the state of a sign-out under way is no attempt that is over.
#[test]
fn a_sign_in_that_begins_leaves_the_note_of_a_sign_out_alone() {
    let attempts = attempts();
    let note = pair(&attempts.note(SIGNED_OUT, &seal::random_token(), Duration::from_secs(600)));
    let mut cookies: Vec<String> = (0..9).map(|tab| cookie_of(&attempts, &start(&attempts, "/", after(tab)))).collect();
    cookies.insert(0, note);
    cookies.push("__Host-vestibule.login.anothername=AAAA".into());
    let told = |cookies: &[String]| -> Vec<String> {
        let begun = attempts.begin(&start(&attempts, "/", after(10)), &scan(cookies), after(10));
        begun.lines[1..].iter().map(pair).collect()
    };
    let gone = told(&cookies);
    assert!(gone.len() > 1 && !gone.iter().any(|line| line.contains(SIGNED_OUT)), "{gone:?}");
    // One that no sign-out made goes like any other junk.
    cookies[0] = format!("{}={}", names().attempt_name(SIGNED_OUT), "x".repeat(3000));
    assert!(told(&cookies).iter().any(|line| line.contains(SIGNED_OUT)));
}

// CK-26: 3 000 characters at least, whatever they are.
#[test]
fn long_pages_go_into_the_cookie_and_longer_ones_are_refused() {
    let attempts = attempts();
    let texts: [fn(usize) -> String; 3] =
        [|len| "a".repeat(len), |len| "%C3%A9".repeat(len).chars().take(len).collect(), noise];
    for text in texts {
        for len in [900, 1500, 2100, 3000] {
            let path = format!("/{}#{}", text(len - 20), "b".repeat(18));
            let attempt = start(&attempts, &path, NOW);
            assert!(attempt.state.expose().len() < STATE_MAX);
            let line = attempts.begin(&attempt, &scan(&[]), NOW).lines.remove(0);
            assert!(line.len() <= 4096, "{len}: {}", line.len());
            let found = attempts.find(&scan(&[pair(&line)]), Some(attempt.state.expose()), NOW).unwrap();
            assert_eq!(found.intent.return_to.target(), path);
            let error = attempts.find(&scan(&[]), Some(attempt.state.expose()), NOW).unwrap_err();
            assert_eq!(error.outline().unwrap().return_to.is_some(), len == 900);
        }
        // Never lost in silence.
        for len in (3000..8000).step_by(97) {
            let path = format!("/{}", text(len));
            if let Ok(attempt) = attempts.start(intent(&path), NOW) {
                let found = attempts.find(&scan(&[cookie_of(&attempts, &attempt)]), Some(attempt.state.expose()), NOW);
                assert_eq!(found.unwrap().intent.return_to.target(), path);
            } else {
                assert!(len > 3000);
                break;
            }
        }
    }
}

/// Visible ASCII without any pattern.
fn noise(len: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from((state >> 16) % 94).unwrap())
    };
    std::iter::from_fn(|| Some(next())).filter(|c| !"#\\?".contains(*c)).take(len).collect()
}

#[test]
fn an_attempt_does_not_depend_on_what_our_cookies_are_called() {
    // The cookie's name follows `session.cookie`, which may change before the browser is back.
    let (before, after) = (attempts(), attempts());
    let attempt = start(&before, "/page", NOW);
    let other = OwnCookies::new("__Secure-vestibule", &["corp".into(), "two".into()]);
    let after = Attempts { names: other.clone(), ..after };
    let value = cookie_of(&before, &attempt).split_once('=').unwrap().1.to_owned();
    let mut headers = HeaderMap::new();
    headers.insert(http::header::COOKIE, format!("{}={value}", other.attempt_name(&attempt.id)).parse().unwrap());
    assert!(after.find(&other.scan(&headers), Some(attempt.state.expose()), NOW).is_ok());
}

// AT-CS-08: an attempt is no session.
#[test]
fn an_attempts_cookie_under_the_sessions_name_opens_nothing() {
    let attempts = attempts();
    let value = cookie_of(&attempts, &start(&attempts, "/", NOW)).split_once('=').unwrap().1.to_owned();
    let sealer = SessionSealer::new(&settings().cookie, &names(), ring(1));
    let provider = samples::provider("corp", "wiki", 0);
    let page = page("/");
    let site = Site { provider: &provider, host: page.host() };
    let cookies = scan(&[format!("__Host-vestibule={value}")]);
    let handles = Jar::new(&settings().cookie, names()).handles(&cookies, &provider).unwrap();
    assert!(sealer.open(site, &handles[0], TokenKinds::ALL, NOW).is_err());
}

// AT-CL-08
#[test]
fn nothing_secret_is_printed() {
    let attempts = attempts();
    let attempt = start(&attempts, "/invitation?key=hunter2", NOW);
    let shown = format!("{attempt:?}");
    for secret in [&**attempt.state.expose(), attempt.verifier.expose(), &attempt.nonce, "hunter2"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

// The format itself: whoever changes it adds a version of the seal, or breaks every sign-in that is under way at the upgrade.
#[test]
fn golden_attempt_still_opens() {
    let attempts = attempts();
    let found = attempts.find(&scan(&[GOLDEN_COOKIE.into()]), Some(GOLDEN_STATE), NOW).unwrap();
    assert_eq!(found.intent.return_to, page("/page?a=b"));
    assert_eq!((&*found.intent.provider, found.intent.round, found.started), ("corp", Round::Second, NOW));
    assert_eq!(found.nonce, URL_SAFE_NO_PAD.encode(*b"a golden nonce.."));
    assert_eq!(found.verifier.expose(), &URL_SAFE_NO_PAD.encode(*b"a golden verifier of 32 bytes..."));
}

#[test]
fn golden_attempt_is_still_what_is_written() {
    let attempts = attempts();
    let (round, aim) = (Round::Second, Aim::SignIn);
    let note =
        AttemptOutline { id: String::new(), provider: "corp".into(), round, aim, return_to: Some(page("/page?a=b")) };
    let sealed =
        attempts.state_sealer("goldenaa-id_").seal_golden(&postcard::to_stdvec(&note).unwrap(), after(600), NOW);
    let state = format!("goldenaa-id_{sealed}");
    let seeds = Seeds { nonce: *b"a golden nonce..", verifier: *b"a golden verifier of 32 bytes..." };
    let content = CookieContent {
        state: fingerprint(&state),
        seeds,
        started: NOW.millis(),
        redirect_uri: REDIRECT_URI.to_owned(),
        return_to: None,
        max_age: None,
        hints: Hints::default(),
    };
    let content = content.to_bytes();
    let cookie = attempts.cookie_sealer("goldenaa-id_").seal_golden(&content, after(600), NOW);
    assert_eq!(
        (state.as_str(), format!("__Host-vestibule.login.goldenaa-id_={cookie}").as_str()),
        (GOLDEN_STATE, GOLDEN_COOKIE)
    );
}

const REDIRECT_URI: &str = "https://wiki.example.com/_vestibule/callback";
const GOLDEN_STATE: &str =
    "goldenaa-id_Af4e23JQeWoYp1hnb2xkZW4gbm9uY2UfCmTJ_lOIzs4dEppRXy-2sELEey3jbkSu_L-KFnOa21qdjhZtwGBFonm8x5qvU4oDH4k";
const GOLDEN_COOKIE: &str = concat!(
    "__Host-vestibule.login.goldenaa-id_=",
    "Af4e23JQeWoYp1hnb2xkZW4gbm9uY2VoiJSq_EYnWQ5jiaHnU94JyjSAsaGBkR1vj-HLGJvk9EF-DMIS3cPwv1y1PA-fFkafIF52LD9dFmQpLy5A",
    "j7NjwNDGwvXMYmW5NpDGcmNvjnBUPy4tXNA0kqZR4hOlPHfKgPULwwcb0AUtIKUX27-Sh2pJuYKVleSzQnklTKufz1Jpa7fT",
);
