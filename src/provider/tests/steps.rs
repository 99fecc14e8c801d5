//! A wall clock that is set forward or back changes no interval: the same is asked after the same time as without.

use super::*;
use crate::provider::AskedClaims;

/// How far the wall clock is set, in seconds, in the middle of a wait.
const STEPS: [i64; 6] = [0, -3600, 3600, -86_400 * 365, 86_400 * 365, -5];

fn step(fixture: &Fixture, seconds: i64) {
    let now = fixture.clock.now().secs();
    fixture.clock.step_to(UnixTime::from_secs(now.saturating_add_signed(seconds)));
}

/// The double's next ID token is of this very moment, as the gateway's clock has it.
fn issues_now(double: &Double, key: &TestKey, fixture: &Fixture) {
    let (mut claims, now) = (double.claims(), fixture.clock.now().secs());
    (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
    double.issues(key, &claims);
}

#[tokio::test]
async fn discovery_is_tried_again_as_soon_as_ever() {
    for seconds in STEPS {
        let (key, double) = openid().await;
        let fixture = Fixture::openid(&double);
        double.on(DISCOVERY, [Answer::status(503, &json!({})), Answer::json(&double.document())]);
        assert!(fixture.redeem().await.is_err());
        step(&fixture, seconds);
        issues_now(&double, &key, &fixture);
        assert!(fixture.redeem().await.is_err(), "{seconds} s: the wait is not over");
        fixture.clock.advance(Duration::from_secs(1));
        fixture.redeem().await.map_or_else(|error| panic!("{seconds} s: {error}"), |_| ());
        assert_eq!(double.count(DISCOVERY), 2, "{seconds} s");
    }
}

#[tokio::test]
async fn metadata_and_keys_are_read_again_as_soon_as_ever() {
    for seconds in STEPS {
        let (key, double) = openid().await;
        let fixture = Fixture::openid(&double);
        double.issues(&key, &double.claims());
        fixture.redeem().await.unwrap();
        step(&fixture, seconds);
        for (later, discovered, keys) in [(290, 1, 1), (3600, 2, 2)] {
            fixture.clock.advance(Duration::from_secs(later));
            issues_now(&double, &key, &fixture);
            fixture.redeem().await.unwrap();
            let counted = (double.count(DISCOVERY), double.count("/jwks"));
            assert_eq!(counted, (discovered, keys), "{later} s after a step of {seconds} s");
        }
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_as_soon_as_ever() {
    // ID-31
    for seconds in STEPS {
        let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
        let double = Double::openid(&old).await;
        let fixture = Fixture::openid(&double);
        double.issues(&new, &double.claims());
        assert!(fixture.redeem().await.is_err());
        issues_now(&double, &old, &fixture);
        fixture.redeem().await.unwrap();
        // Forces a fetch, after which no other is forced for a minute.
        issues_now(&double, &new, &fixture);
        assert!(fixture.redeem().await.is_err());
        double.on("/jwks", [Answer::json(&json!({ "keys": [new.jwk] }))]);
        step(&fixture, seconds);
        for (later, is_known) in [(0, false), (59, false), (1, true)] {
            fixture.clock.advance(Duration::from_secs(later));
            issues_now(&double, &new, &fixture);
            assert_eq!(fixture.redeem().await.is_ok(), is_known, "{later} s after a step of {seconds} s");
        }
    }
}

#[tokio::test]
async fn keys_of_before_are_good_for_a_day_while_the_provider_is_away() {
    for seconds in STEPS {
        let (key, double) = openid().await;
        let fixture = Fixture::openid(&double);
        double.issues(&key, &double.claims());
        fixture.redeem().await.unwrap();
        double.on("/jwks", [Answer::status(503, &json!({}))]);
        step(&fixture, seconds);
        for (hours, is_good) in [(23, true), (1, false)] {
            fixture.clock.advance(Duration::from_secs(hours * 3600));
            issues_now(&double, &key, &fixture);
            assert_eq!(fixture.redeem().await.is_ok(), is_good, "{hours} h after a step of {seconds} s");
        }
    }
}

#[tokio::test]
async fn userinfo_is_asked_again_after_a_step_back_at_the_latest_when_it_was_due() {
    let key = TestKey::es256("k1");
    for (seconds, is_asked) in [(0, false), (-3600, true), (3600, true), (-86_400 * 365, true)] {
        let double = Double::openid(&key).await;
        let every = Duration::from_secs(600);
        let fixture = Fixture::openid_with(&double, |s| {
            s.userinfo = UserinfoUse::Always;
            s.userinfo_every = Some(every);
        });
        double.on("/token", [Answer::json(&token_answer(&json!({})))]);
        double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "groups": ["b"] }))]);
        let asked = AskedClaims { names: vec!["groups".into()], due: Some(fixture.clock.now().plus(every)) };
        step(&fixture, seconds);
        refresh::refreshed_with(&fixture, &double.claims(), &asked).await.unwrap().unwrap();
        assert_eq!(double.count("/userinfo"), usize::from(is_asked), "{seconds} s");
    }
}

#[tokio::test]
async fn a_date_in_retry_after_is_read_by_the_clock_that_wrote_it() {
    for seconds in [0, -3600, 3600] {
        let (_, double) = openid().await;
        let fixture = Fixture::openid(&double);
        let busy = Answer::status(503, &json!({})).with("date", "Fri, 15 Jan 2027 08:00:00 GMT");
        double.on("/token", [busy.with("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT")]);
        step(&fixture, seconds);
        let error = fixture.redeem().await.map(|_| ()).unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(30)), "{seconds} s");
    }
}
