//! What the jar promises: sets open whole or not at all, planted cookies are not believed, left-overs go.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::HeaderMap;

use super::*;
use crate::clock::{MonotonicTime, SystemClock, UnixTime};
use crate::provider::Provider;
use crate::remembered::Party;
use crate::request::host::Host;
use crate::seal::{KeyRing, OpenError, Purpose};
use crate::secret::Secret;
use crate::session::carried::Carried;
use crate::session::codec;
use crate::session::cookie_store::{CookieStore, SessionSealer};
use crate::session::registry::Registry;
use crate::session::samples::{self, NOW};
use crate::session::settings::{SameSite, SessionSettings, TokenKinds};
use crate::session::store::{LoadError, SessionStore as _, Site, Superseded};
use crate::session::{Session, SessionId, Tokens};
use crate::telemetry::metrics::Metrics;

/// A jar and the store of what it holds.
struct Cookies {
    jar: Jar,
    names: OwnCookies,
    ring: Arc<KeyRing>,
    sealer: SessionSealer,
    store: CookieStore,
    registry: Arc<Registry>,
    providers: Vec<Arc<Provider>>,
}

impl Cookies {
    /// For providers of these names and client identifiers.
    fn new(settings: &CookieSettings, providers: &[(&str, String)], ring: Arc<KeyRing>) -> Self {
        let names: Vec<Arc<str>> = providers.iter().map(|(name, _)| Arc::from(*name)).collect();
        let names = OwnCookies::new(&settings.name, &names);
        let provider = |(place, (name, client_id)): (usize, &(&str, String))| samples::provider(name, client_id, place);
        let providers = providers.iter().enumerate().map(provider).collect();
        let sealer = SessionSealer::new(settings, &names, Arc::clone(&ring));
        let clock = SystemClock::shared();
        let registry = Registry::new(&clock, &Metrics::new(NOW));
        let store = CookieStore::new(sealer.clone(), &lifetimes(), Arc::clone(&registry));
        Self { jar: Jar::new(settings, names.clone()), names, ring, sealer, store, registry, providers }
    }

    /// The provider of this place, at a host.
    fn at(&self, provider: usize) -> Site<'_> {
        Site { provider: &self.providers[provider], host: &WIKI }
    }

    fn seal(&self, site: Site<'_>, session: &Session, expires: UnixTime, now: UnixTime) -> Handle {
        self.sealer.seal(site, session, expires, now)
    }

    fn open(&self, site: Site<'_>, sealed: &str, now: UnixTime) -> Result<Session, LoadError> {
        let loaded = self.sealer.open(site, sealed, TokenKinds::ALL, now)?;
        loaded.lapsed.map_or(Ok(loaded.session), |lapsed| Err(lapsed.into()))
    }

    fn carried<'a>(&'a self, scan: &'a CookieScan, site: Site<'a>) -> Carried<'a, CookieStore> {
        Carried { jar: &self.jar, store: &self.store, providers: &self.providers, scan, site, now: NOW }
    }

    /// The session that would be used.
    fn chosen(&self, scan: &CookieScan, site: Site<'_>, is_ended: impl Fn(&Session) -> bool) -> Option<Session> {
        let chosen = self.carried(scan, site).choose(is_ended).now_or_never().unwrap()?;
        self.open(site, &chosen, NOW).ok()
    }

    fn set_cookies(
        &self,
        site: Site<'_>,
        handle: &Handle,
        scan: &CookieScan,
    ) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        self.carried(scan, site).set_cookies(handle).now_or_never().unwrap()
    }
}

fn settings() -> CookieSettings {
    CookieSettings {
        name: "__Host-vestibule".into(),
        domain: None,
        secure: true,
        same_site: SameSite::Lax,
        partitioned: false,
    }
}

fn lifetimes() -> SessionSettings {
    SessionSettings {
        lifetime: Duration::from_secs(1000),
        idle_timeout: Duration::from_secs(100),
        refresh_before: None,
        keep: TokenKinds::ALL,
        cookie: settings(),
        cache_bytes: 0,
        grace: Duration::ZERO,
        attempt_life: Duration::ZERO,
        clock_leeway: Duration::from_secs(60),
    }
}

fn ring(byte: u8) -> Arc<KeyRing> {
    let key = std::array::from_fn(|at| byte.wrapping_add(at as u8));
    Arc::new(KeyRing::new(vec![Secret::new(key)]).unwrap())
}

fn jar_for(providers: &[&str]) -> Cookies {
    let providers: Vec<_> = providers.iter().map(|name| (*name, format!("client of {name}"))).collect();
    Cookies::new(&settings(), &providers, ring(1))
}

fn jar() -> Cookies {
    jar_for(&["corp"])
}

static WIKI: LazyLock<Host> = LazyLock::new(|| Host::parse("wiki.example.com", true).unwrap());

fn later() -> UnixTime {
    NOW.plus(Duration::from_secs(3600))
}

/// A session of somebody; with a refresh token of this length, so that it takes as many cookies as a test needs.
fn session(subject: &str, refresh_len: usize) -> Session {
    let mut claims = crate::identity::Claims::new();
    claims.insert("sub".into(), subject.into());
    Session {
        id: SessionId::from_bytes(*b"golden sessionid"),
        provider: "corp".into(),
        issuer: "https://login.example.com".into(),
        created: NOW,
        active: NOW,
        auth_time: Some(NOW),
        tokens: Tokens {
            access: Some(Secret::from("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl")),
            refresh: Some(Secret::new("refresh.".repeat(refresh_len.div_ceil(8))[..refresh_len].into())),
            id_token: None,
        },
        access_issued: NOW,
        access_expires: Some(later()),
        generation: 3,
        asked: None,
        claims,
        nonce: Some("bm9uY2U".into()),
        scope: Some("openid email".into()),
    }
}

/// The cookies as a browser would send them after these Set-Cookie lines.
fn pairs(lines: &[HeaderValue]) -> Vec<String> {
    lines.iter().map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
}

fn scan(jar: &Cookies, pairs: &[String]) -> CookieScan {
    let mut headers = HeaderMap::new();
    if !pairs.is_empty() {
        headers.insert(http::header::COOKIE, pairs.join("; ").parse().unwrap());
    }
    jar.names.scan(&headers)
}

fn set(jar: &Cookies, session: &Session) -> Vec<String> {
    let sealed = jar.seal(jar.at(0), session, later(), NOW);
    pairs(&jar.set_cookies(jar.at(0), &sealed, &scan(jar, &[])).unwrap())
}

fn read(jar: &Cookies, pairs: &[String]) -> Option<Session> {
    jar.chosen(&scan(jar, pairs), jar.at(0), |_| false)
}

#[test]
fn a_session_that_fits_is_one_cookie() {
    let jar = jar();
    let session = session("anna", 20);
    let sealed = jar.seal(jar.at(0), &session, later(), NOW);
    let lines = jar.set_cookies(jar.at(0), &sealed, &scan(&jar, &[])).unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0], format!("__Host-vestibule={}; HttpOnly; SameSite=Lax; Secure; Path=/", sealed.as_str()));
    assert_eq!(read(&jar, &pairs(&lines)), Some(session));
}

// The issue's own bound, name and attributes included.
#[test]
fn three_rs256_tokens_fit_one_cookie_under_4096_bytes() {
    let jar = jar();
    let sealed = jar.seal(jar.at(0), &samples::padded().session(), later(), NOW);
    let lines = jar.set_cookies(jar.at(0), &sealed, &scan(&jar, &[])).unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].len() < 2400, "{}", lines[0].len());
}

// CK-06, CK-07
#[test]
fn larger_sessions_are_chunks_that_browsers_take_up_to_the_cap() {
    let jar = jar();
    let mut counts = Vec::new();
    for len in (1000..=10_000).step_by(60) {
        let session = session("anna", len);
        let sealed = jar.seal(jar.at(0), &session, later(), NOW);
        match jar.set_cookies(jar.at(0), &sealed, &scan(&jar, &[])) {
            Ok(lines) => {
                assert!(lines.iter().all(|line| line.len() <= 4096));
                assert_eq!(read(&jar, &pairs(&lines)), Some(session));
                counts.push(lines.len());
            }
            Err(error) => {
                assert!(sealed.as_str().len() > 12_000 && error.bytes > error.limit, "{error}");
                counts.push(0);
            }
        }
    }
    counts.dedup();
    assert_eq!(counts, [1, 2, 3, 4, 0]);
}

// AT-CS-03: every mixture of two sets, however often and in whatever order chunks are repeated.
#[test]
fn a_mixture_of_two_sets_never_opens() {
    let jar = jar();
    let (a, b) = (set(&jar, &session("anna", 6000)), set(&jar, &session("bert", 6000)));
    assert!(a.len() >= 2 && a.len() == b.len());
    for mask in 1..(1 << a.len()) - 1 {
        let mixed: Vec<String> =
            (0..a.len()).map(|at| if mask & (1 << at) == 0 { &a } else { &b }[at].clone()).collect();
        assert_eq!(read(&jar, &mixed), None, "mask {mask:b}");
        // Not even when the tag is forged so that the pieces seem to belong together.
        let forged: Vec<String> = mixed.iter().zip(&a).map(|(mixed, of_a)| retagged(mixed, of_a)).collect();
        assert_eq!(read(&jar, &forged), None, "mask {mask:b}, with one tag");
    }
}

fn retagged(pair: &str, like: &str) -> String {
    let (value, tag) = (pair.find('=').unwrap() + 1, like.find('=').unwrap() + 1);
    format!("{}{}{}", &pair[..value], &like[tag..tag + PREFIX_LEN], &pair[value + PREFIX_LEN..])
}

// CK-08: a half-written set is no session; chunks of an older one beside a whole set do no harm, in any order.
#[test]
fn sets_are_taken_whole_whatever_lies_beside_them() {
    let jar = jar();
    let (old, new) = (set(&jar, &session("anna", 7000)), set(&jar, &session("anna", 4000)));
    assert!(old.len() > new.len());
    for (missing, filler) in old.iter().enumerate().take(new.len()) {
        let mut half = new.clone();
        half.remove(missing);
        assert_eq!(read(&jar, &half), None);
        // The same with the gap filled from the old set.
        half.push(filler.clone());
        assert_eq!(read(&jar, &half), None);
    }
    let left_over = &old[1..];
    for pairs in [[new.as_slice(), left_over].concat(), [left_over, new.as_slice()].concat()] {
        assert_eq!(read(&jar, &pairs), Some(session("anna", 4000)));
    }
    let mut shuffled = new;
    shuffled.reverse();
    assert_eq!(read(&jar, &shuffled), Some(session("anna", 4000)));
}

// CK-08, CK-10
#[test]
fn what_an_older_session_left_is_deleted() {
    let jar = jar();
    let long = set(&jar, &session("anna", 7000));
    let short = jar.seal(jar.at(0), &session("anna", 20), later(), NOW);
    let lines = pairs(&jar.set_cookies(jar.at(0), &short, &scan(&jar, &long)).unwrap());
    let deleted: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
    assert_eq!(deleted, ["__Host-vestibule~1=", "__Host-vestibule~2=", "__Host-vestibule~3="]);
    // From a whole one to a set, and from three to two.
    let middle = jar.seal(jar.at(0), &session("anna", 4000), later(), NOW);
    let before = [set(&jar, &session("anna", 20)), long.clone()].concat();
    let lines = pairs(&jar.set_cookies(jar.at(0), &middle, &scan(&jar, &before)).unwrap());
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2..], ["__Host-vestibule=", "__Host-vestibule~3="]);
    let cleared = jar.jar.clear(&jar.providers[0], &scan(&jar, &long));
    assert_eq!(pairs(&cleared).len(), 4);
    assert!(cleared.iter().all(|line| line.to_str().unwrap().contains("; Max-Age=0")));
}

// AT-CS-12, CK-12
#[test]
fn planted_cookies_are_passed_over_and_never_taken_for_ours() {
    let jar = jar();
    let ours = set(&jar, &session("anna", 20)).remove(0);
    let junk = "__Host-vestibule=AAAA".to_owned();
    for pairs in [[ours.clone(), junk.clone()], [junk, ours.clone()]] {
        assert_eq!(read(&jar, &pairs), Some(session("anna", 20)));
    }
    // The attacker's own genuine session, before and after: sign in anew.
    let attackers = set(&jar, &session("mallory", 20)).remove(0);
    for pairs in [[ours.clone(), attackers.clone()], [attackers.clone(), ours.clone()]] {
        assert_eq!(read(&jar, &pairs), None);
    }
    // Unless that session was ended, by a sign-in in the browser that it was planted in.
    let mut both = [ours.clone(), attackers];
    for _ in 0..2 {
        let scan = scan(&jar, &both);
        let is_mallory = |session: &Session| session.claims.get("sub") == Some(&"mallory".into());
        assert_eq!(jar.chosen(&scan, jar.at(0), is_mallory), Some(session("anna", 20)));
        both.reverse();
    }
    // Two of one person, as after a change of the cookie's domain: the newer one.
    let mut newer = session("anna", 20);
    newer.created = NOW.plus(Duration::from_secs(1));
    let newer_pair = set(&jar, &newer).remove(0);
    for pairs in [[ours.clone(), newer_pair.clone()], [newer_pair, ours]] {
        assert_eq!(read(&jar, &pairs).as_ref(), Some(&newer));
    }
}

// AT-CS-12, AT-CS-15, CK-12: what crowds the person's own session out must not leave a planted one alone.
#[test]
fn a_planted_session_is_not_believed_however_many_others_stand_between() {
    let jar = jar();
    for length in [20, 4000] {
        let (ours, planted) = (set(&jar, &session("anna", length)), set(&jar, &session("mallory", 20)));
        for count in 0..40 {
            let junk: Vec<String> = (0..count).map(|n| format!("__Host-vestibule=AAA{n:03}")).collect();
            for order in
                [[&planted, &junk, &ours], [&ours, &junk, &planted], [&ours, &planted, &junk], [&junk, &planted, &ours]]
            {
                assert_eq!(read(&jar, &order.map(Vec::as_slice).concat()), None, "{length}, {count}");
            }
            let own = read(&jar, &[junk, ours.clone()].concat());
            assert_eq!(own.is_some(), count < CANDIDATES_MAX, "{length}, {count}");
        }
    }
}

// AT-CS-02, through the cookie: whole and chunked.
#[test]
fn cut_and_extended_cookies_are_no_session() {
    let jar = jar();
    for pairs in [set(&jar, &session("anna", 20)), set(&jar, &session("anna", 4000))] {
        let last = pairs.len() - 1;
        let value = pairs[last].find('=').unwrap() + 1;
        for cut in (value..pairs[last].len()).step_by(if last == 0 { 1 } else { 37 }) {
            let mut changed = pairs.clone();
            changed[last].truncate(cut);
            assert_eq!(read(&jar, &changed), None, "cut to {cut}");
        }
        for tail in ["A", "AAAA", "=", "==", "+", "/", "%41"] {
            let mut changed = pairs.clone();
            changed[last].push_str(tail);
            assert_eq!(read(&jar, &changed), None, "with {tail}");
        }
    }
}

// AT-CS-08: each name opens its own cookies only.
#[test]
fn a_session_of_one_provider_opens_under_no_other_name() {
    let jar = jar_for(&["corp", "partner"]);
    let sealed = jar.seal(jar.at(0), &session("anna", 20), later(), NOW);
    assert!(jar.open(jar.at(0), sealed.as_str(), NOW).is_ok());
    assert_eq!(jar.open(jar.at(1), sealed.as_str(), NOW), Err(LoadError::Seal(OpenError::Tampered)));
    let other = jar.ring.sealer(Purpose::LoginAttempt, &jar.names.session_name("corp"));
    let attempt = other.seal(&codec::encode(&session("anna", 20)), later(), NOW);
    assert_eq!(jar.open(jar.at(0), &attempt, NOW), Err(LoadError::Seal(OpenError::Tampered)));
}

// CK-14: one host, or one cookie domain; one client identifier; one provider. All of them, each against each.
#[test]
fn a_session_opens_only_where_it_was_sealed_for() {
    let host = |name: &str| Host::parse(name, true).unwrap();
    let hosts = ["a.example.com", "b.example.com", "example.com", "a.example.com:8443", "[::1]"].map(host);
    let jar_of = |providers: &[&str], client_ids: &[&str], domain: Option<&str>| {
        let settings = CookieSettings { domain: domain.map(str::to_owned), ..settings() };
        let providers: Vec<_> = providers.iter().copied().zip(client_ids.iter().map(ToString::to_string)).collect();
        Cookies::new(&settings, &providers, ring(1))
    };
    let jars = [
        jar_of(&["corp"], &["wiki"], None),
        jar_of(&["corp"], &["other"], None),
        jar_of(&["corp", "two"], &["wiki", "wiki"], None),
        jar_of(&["two", "corp"], &["wiki", "wiki"], None),
        jar_of(&["corp"], &["wiki"], Some("example.com")),
        jar_of(&["corp"], &["wiki"], Some("com")),
    ];
    let identity = |jar: &Cookies, site: Site<'_>| {
        let of = site.provider.settings();
        (of.name.clone(), of.client_id.clone(), jar.sealer.settings.realm(site.host.name()))
    };
    let places: Vec<(&Cookies, Site<'_>)> = jars
        .iter()
        .flat_map(|jar| hosts.iter().map(move |host| (jar, host)))
        .flat_map(|(jar, host)| jar.providers.iter().map(move |provider| (jar, Site { provider, host })))
        .collect();
    for (jar, site) in &places {
        let sealed = jar.seal(*site, &session("anna", 20), later(), NOW);
        for (other, there) in &places {
            let belongs = identity(jar, *site) == identity(other, *there);
            assert_eq!(other.open(*there, sealed.as_str(), NOW).is_ok(), belongs, "{site:?} at {there:?}");
        }
    }
}

// A second provider comes, or goes: cookies under the name of before open, and go once there is one under the name of now.
#[test]
fn cookies_under_the_name_of_another_count_of_providers_open() {
    for len in [20, 6000] {
        let (one, two) = (jar_for(&["corp"]), jar_for(&["partner", "corp"]));
        for (before, at_before, after, at_after) in
            [(&one, one.at(0), &two, two.at(1)), (&two, two.at(1), &one, one.at(0))]
        {
            let sealed = before.seal(at_before, &session("anna", len), later(), NOW);
            let held = pairs(&before.set_cookies(at_before, &sealed, &scan(before, &[])).unwrap());
            let found = scan(after, &held);
            assert_eq!(after.chosen(&found, at_after, |_| false), Some(session("anna", len)));
            let sealed = after.seal(at_after, &session("anna", 20), later(), NOW);
            let lines = pairs(&after.set_cookies(at_after, &sealed, &found).unwrap());
            let gone: Vec<String> = held.iter().map(|pair| format!("{}=", pair.split('=').next().unwrap())).collect();
            assert_eq!(lines[1..], gone);
            assert_eq!(pairs(&after.jar.clear(at_after.provider, &found)).len(), 1 + held.len());
        }
        // The session of another provider under the nameless name stays.
        let sealed = one.seal(one.at(0), &session("anna", len), later(), NOW);
        let found = scan(&two, &pairs(&one.set_cookies(one.at(0), &sealed, &scan(&one, &[])).unwrap()));
        let partner = two.seal(two.at(0), &session("anna", 20), later(), NOW);
        assert_eq!(two.set_cookies(two.at(0), &partner, &found).unwrap().len(), 1);
        assert!(two.carried(&found, two.at(0)).sessions().now_or_never().unwrap().is_empty());
    }
}

// AT-CS-09
#[test]
fn another_deployments_session_is_refused() {
    let jar = jar();
    let theirs = Cookies::new(&settings(), &[("corp", "client of corp".to_owned())], ring(2));
    let sealed = theirs.seal(theirs.at(0), &session("anna", 20), later(), NOW);
    assert_eq!(jar.open(jar.at(0), sealed.as_str(), NOW), Err(LoadError::Seal(OpenError::UnknownKey)));
}

// AT-CS-21, CK-11, CK-17
#[test]
fn idle_and_absolute_end_are_inside_the_sealed_value() {
    let (jar, lifetimes) = (jar(), lifetimes());
    let after = |secs| NOW.plus(Duration::from_secs(secs));
    let mut session = session("anna", 20);
    let ends = |session: &Session, now| {
        let sealed = jar.seal(jar.at(0), session, session.ends(&lifetimes), now);
        let last = (0..2000).find(|secs| jar.open(jar.at(0), sealed.as_str(), after(*secs)).is_err()).unwrap();
        assert_eq!(jar.open(jar.at(0), sealed.as_str(), after(last)), Err(LoadError::Seal(OpenError::Expired)));
        last
    };
    assert_eq!(ends(&session, NOW), 100);
    session.active = after(90);
    assert_eq!(ends(&session, after(90)), 190);
    // Constant activity does not move the absolute end.
    session.active = after(990);
    assert_eq!(ends(&session, after(990)), 1000);
}

// AT-CS-05, AT-CS-23
#[test]
fn what_was_renewed_or_ended_meanwhile_is_not_stored_in_its_place() {
    let jar = jar();
    let session = session("anna", 20);
    let cell = jar.registry.cell(&session.id);
    let replaced = |expected| jar.store.replace(jar.at(0), &session, expected, NOW).now_or_never().unwrap();
    assert!(replaced(3).is_ok());
    cell.succession.publish(4, "newer".into(), MonotonicTime::default());
    assert_eq!(replaced(3), Err(Superseded));
    assert!(replaced(4).is_ok());
    let handle = jar.store.create(jar.at(0), &session, NOW).now_or_never().unwrap();
    let loaded = jar.store.load(jar.at(0), handle.as_str(), TokenKinds::ALL, NOW).now_or_never().unwrap().unwrap();
    assert_eq!((loaded.session == session, loaded.lapsed), (true, None));
    jar.store.end(&session.id, Party::numbered(1)).now_or_never().unwrap();
    assert!(cell.is_ended(u32::MAX));
}

/// A session in one cookie, and one in a set of two: a line each.
const GOLDEN: &str = include_str!("golden.txt");

// The format itself. Whoever changes it adds a version and keeps these opening; nobody edits them.
#[test]
fn golden_cookies_still_open() {
    let jar = jar();
    let golden: Vec<String> = GOLDEN.lines().map(str::to_owned).collect();
    assert_eq!(golden.len(), 3);
    assert_eq!(read(&jar, &golden[..1]), Some(session("anna", 20)));
    assert_eq!(read(&jar, &golden[1..]), Some(session("anna", 3000)));
}

#[test]
fn golden_cookies_are_still_what_is_written() {
    let jar = jar();
    let written = |session: &Session| {
        let sealed = jar.sealer.sealer(jar.at(0)).seal_golden(&codec::encode(session), later(), NOW);
        pairs(&jar.set_cookies(jar.at(0), &sealed.into(), &scan(&jar, &[])).unwrap())
    };
    let all = [written(&session("anna", 20)), written(&session("anna", 3000))].concat();
    assert_eq!(all.join("\n"), GOLDEN.trim_end());
}
