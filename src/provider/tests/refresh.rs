//! Refresh at an OpenID provider: the same person or nobody, and no refresh token lost or sent twice.

use super::*;
use crate::provider::{AskedClaims, RenewedIdentity};

#[tokio::test]
async fn a_refresh_sends_the_token_once_and_keeps_what_did_not_change() {
    // RF-01, RF-02, RF-05, RF-11
    let (_, double) = openid().await;
    let fixture = Fixture::openid(&double);
    double.on("/token", [Answer::json(&json!({ "access_token": "at2", "token_type": "Bearer" }))]);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.identity.unwrap().claims, *double.claims().as_object().unwrap());
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-1");
    assert_eq!(refreshed.tokens.scope.as_deref(), Some("openid email"));
    let seen = &double.seen("/token")[0];
    assert_eq!(
        seen.form(),
        [("grant_type", "refresh_token"), ("refresh_token", "refresh-1")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert!(seen.authorization().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_refreshed_id_token_is_about_the_same_sign_in() {
    // RF-08, RF-09, RF-10, RF-12, AT-TP-17
    let (key, double) = openid().await;
    let fixture = Fixture::openid(&double);
    for (name, value, code) in [
        ("sub", json!("mallory"), "id_token_sub_changed"),
        ("iss", json!("https://other.example"), "id_token_iss"),
        ("aud", json!("other"), "id_token_aud"),
        ("azp", json!("client"), "id_token_azp_changed"),
        ("nonce", json!("other"), "id_token_nonce"),
        ("at_hash", json!("AAAA"), "id_token_at_hash"),
        ("iat", json!(START - 7200), "id_token_iat_old"),
        ("exp", json!(START - 100), "id_token_expired"),
    ] {
        let mut claims = double.claims();
        claims[name] = value;
        double.issues(&key, &claims);
        let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
        assert_eq!((error.code(), (error.class() == FailureClass::Over)), (code, true));
    }
    let mut claims = double.claims();
    claims.as_object_mut().unwrap().remove("nonce");
    claims["email"] = json!("new@example.com");
    double.issues(&key, &claims);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.identity.unwrap().claims["email"], "new@example.com");
}

#[tokio::test]
async fn a_refreshed_id_token_is_held_against_the_one_before_and_not_against_userinfo() {
    // RF-08, RF-11
    let (key, double) = openid().await;
    let told = json!({ "sub": "alice", "azp": "client", "acr": "1", "amr": ["pwd"], "auth_time": START, "nonce": "x" });
    double.on("/userinfo", [Answer::json(&told)]);
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let signed_in = fixture.redeem().await.unwrap();
    assert_eq!(signed_in.claims["azp"], "client", "the control");
    let token = Secret::from("refresh-1");
    let request = RefreshRequest {
        refresh_token: &token,
        issuer: &double.origin,
        claims: &signed_in.claims,
        asked: signed_in.asked.as_ref(),
        nonce: Some(NONCE),
        auth_time: signed_in.auth_time,
        scope: None,
    };
    let renewed = fixture.provider.refresh(&request).await.unwrap().identity.unwrap();
    assert_eq!(renewed.claims, signed_in.claims);
    assert_eq!(renewed.asked.unwrap().names, signed_in.asked.unwrap().names);
}

#[tokio::test]
async fn the_older_auth_time_counts_wherever_a_refreshed_token_moves_it() {
    // RF-09
    let (key, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let (token, before) = (Secret::from("refresh-1"), double.claims());
    for (was, now, counts) in [
        (Some(START - 5), Some(START - 5), Some(START - 5)),
        (Some(START - 5), Some(START), Some(START - 5)),
        (Some(START - 5), Some(START - 9), Some(START - 9)),
        (Some(START - 5), Some(START + 86_400), Some(START - 5)),
        (Some(START - 5), None, Some(START - 5)),
        (None, Some(START - 9), Some(START - 9)),
        (None, Some(START + 86_400), None),
        (None, None, None),
    ] {
        let mut claims = double.claims();
        claims.as_object_mut().unwrap().remove("auth_time");
        if let Some(now) = now {
            claims["auth_time"] = json!(now);
        }
        double.issues(&key, &claims);
        let request = RefreshRequest {
            refresh_token: &token,
            issuer: &double.origin,
            claims: before.as_object().unwrap(),
            asked: None,
            nonce: Some(NONCE),
            auth_time: was.map(UnixTime::from_secs),
            scope: None,
        };
        let renewed = fixture.provider.refresh(&request).await.unwrap().identity.unwrap();
        assert_eq!(renewed.auth_time, counts.map(UnixTime::from_secs), "{was:?}, then {now:?}");
    }
}

#[tokio::test]
async fn acr_is_checked_again_where_a_refreshed_token_names_it() {
    // ID-15
    let (key, double) = openid().await;
    let fixture = Fixture::openid_with(&double, |s| s.acr_values = vec!["phr".to_owned(), "phrh".to_owned()]);
    let mut before = double.claims();
    (before["acr"], before["amr"]) = (json!("phr"), json!(["hwk"]));
    for (acr, goes_on) in [
        (None, true),
        (Some(json!(null)), true),
        (Some(json!("phr")), true),
        (Some(json!("phrh")), true),
        (Some(json!("pwd")), false),
        (Some(json!("")), false),
        (Some(json!(["phr"])), false),
        (Some(json!(0)), false),
    ] {
        let mut claims = double.claims();
        if let Some(acr) = &acr {
            claims["acr"] = acr.clone();
        }
        double.issues(&key, &claims);
        match fixture.refresh(&before).await {
            Ok(refreshed) => {
                let claims = refreshed.identity.unwrap().claims;
                assert!(goes_on, "{acr:?}");
                assert_eq!(claims["amr"], json!(["hwk"]), "how somebody signed in stays");
                assert_eq!(claims["acr"], acr.unwrap_or_else(|| json!("phr")));
            }
            Err(error) => assert_eq!((error.class(), goes_on), (FailureClass::Over, false), "{acr:?}"),
        }
    }
}

#[tokio::test]
async fn away_refused_and_over_are_told_apart() {
    // RF-03, RF-04, OA-22: an OAuth error in the body decides, whatever the status and the content type
    use FailureClass::{Away, Over, Refused};
    let (_, double) = openid().await;
    let fixture = Fixture::openid_with(&double, |s| s.timeout = Duration::from_millis(300));
    let error = |status, code: &str| Answer::status(status, &json!({ "error": code, "error_description": "x" }));
    let as_text = |status, media: &str, body: &str| Answer::typed(status, media, body.to_owned());
    let mut cases = vec![
        (as_text(400, "text/plain; charset=utf-8", "{\"error\":\"invalid_grant\"}"), Over),
        (as_text(400, "text/html", "{\"error\":\"invalid_grant\"}"), Over),
        (as_text(400, "text/plain", "invalid_grant\n"), Over),
        (as_text(400, "application/x-www-form-urlencoded", "error_description=x&error=invalid_grant"), Over),
        (error(200, "invalid_grant"), Over),
        (error(400, "INVALID_GRANT"), Over),
        (error(400, " Invalid_Grant "), Over),
        (error(400, "bad_refresh_token"), Over),
        (Answer::Never, Away),
        (as_text(500, "text/html", "<html><a href=\"?a=1&error=invalid_grant&b\">"), Away),
        (error(500, "Internal Server Error"), Away),
        (error(503, "internal_failure"), Away),
        (as_text(503, "application/json", "[{\"error\":\"invalid_grant\"}]"), Away),
        (as_text(503, "application/json", "{\"error\":{\"code\":503}}"), Away),
        (as_text(400, "text/html", "<html><a href=\"?a=1&error=invalid_grant&b\">"), Refused),
        (as_text(400, "application/json", "[{\"error\":\"invalid_grant\"}]"), Refused),
        (as_text(400, "application/json", "{\"error\":7}"), Refused),
        (as_text(200, "text/html", "<html>sign in</html>"), Refused),
        (as_text(200, "application/json", ""), Refused),
        (as_text(200, "application/json", "[]"), Refused),
        (Answer::json(&json!({ "token_type": "Bearer", "expires_in": 300 })), Refused),
        (as_text(204, "application/json", ""), Refused),
        (Answer::status(302, &json!({})).with("location", "/login"), Refused),
        (error(401, "invalid_client"), Refused),
        (error(401, "unauthorized_client"), Refused),
        (as_text(401, "text/plain", ""), Refused),
        (error(403, "access_denied"), Refused),
        (as_text(404, "text/html", "<h1>no</h1>"), Refused),
    ];
    for status in [400, 401, 403, 500, 502, 503] {
        cases.push((error(status, "invalid_grant"), Over));
        cases.push((error(status, "interaction_required"), Refused));
        cases.push((error(status, "invalid_request"), Refused));
        cases.push((error(status, "vendor_specific"), Refused));
    }
    for status in [200, 400, 401, 403, 500, 503] {
        cases.push((error(status, "temporarily_unavailable"), Away));
        cases.push((error(status, "server_error"), Away));
    }
    for status in [500, 502, 503, 504, 599, 429] {
        cases.push((as_text(status, "text/plain", ""), Away));
    }
    for code in ["invalid_grant", "invalid_request", "slow_down"] {
        cases.push((error(429, code), Away));
    }
    for (number, (answer, class)) in cases.into_iter().enumerate() {
        double.on("/token", [answer]);
        let before = double.count("/token");
        let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.class(), class, "case {number}: {error}");
        assert_eq!(double.count("/token"), before + 1);
    }
    assert_eq!(double.count("/login"), 0);
}

#[tokio::test]
async fn status_401_is_client_authentication_whatever_the_name() {
    // OA-22, RFC 6749 section 5.2; some servers send invalid_grant with it (RF-03)
    let (_, double) = openid().await;
    let fixture = Fixture::openid(&double);
    for name in ["invalid_client", "unauthorized_client", "invalid_request", "access_denied", "whatever"] {
        double.on("/token", [Answer::status(401, &json!({ "error": name }))]);
        assert_eq!(fixture.refusal().await, "invalid_client", "{name}");
        double.on("/token", [Answer::status(403, &json!({ "error": name }))]);
        assert_eq!(fixture.refusal().await == "invalid_client", name == "invalid_client", "{name}");
    }
    double.on("/token", [Answer::status(401, &json!({ "error": "invalid_grant" }))]);
    assert_eq!(fixture.refusal().await, "invalid_grant");
}

#[tokio::test]
async fn a_rotated_token_is_not_lost_when_its_id_token_cannot_be_checked_now() {
    // RF-02, RF-04
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.on("/jwks", [Answer::status(503, &json!({}))]);
    let answer = token_answer(&json!({ "id_token": new.sign(&double.claims()), "refresh_token": "refresh-2" }));
    double.on("/token", [Answer::json(&answer)]);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-2");
    assert!(refreshed.identity.unwrap_err().is_outage() && refreshed.tokens.id_token.is_none());
}

#[tokio::test]
async fn a_key_that_is_nowhere_ends_the_session_once_the_set_was_read_again() {
    // ID-31, RF-08
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.issues(&old, &double.claims());
    fixture.refresh(&double.claims()).await.unwrap();
    double.issues(&new, &double.claims()).on("/jwks", [Answer::json(&json!({ "keys": [new.jwk] }))]);
    fixture.refresh(&double.claims()).await.unwrap();
    double.issues(&old, &double.claims());
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert!(refreshed.identity.unwrap_err().is_outage() && refreshed.tokens.id_token.is_none());
    fixture.clock.advance(Duration::from_secs(61));
    let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
    assert_eq!((error.code(), (error.class() == FailureClass::Over)), ("id_token_key_unknown", true));
}

/// A refresh of a session whose claims of these names came from userinfo.
pub(super) async fn refreshed_with(
    fixture: &Fixture,
    before: &Value,
    asked: &AskedClaims,
) -> Result<Result<RenewedIdentity, &'static str>, (&'static str, FailureClass)> {
    let token = Secret::from("refresh-1");
    let issuer = before["iss"].as_str().unwrap();
    let request = RefreshRequest {
        refresh_token: &token,
        issuer,
        claims: before.as_object().unwrap(),
        asked: Some(asked),
        nonce: Some(NONCE),
        auth_time: None,
        scope: None,
    };
    let refreshed = fixture.provider.refresh(&request).await.map_err(|error| (error.code(), error.class()))?;
    Ok(refreshed.identity.map_err(|error| error.code()))
}

fn named(names: &[&str]) -> AskedClaims {
    AskedClaims { names: names.iter().map(|name| (*name).to_owned()).collect(), due: None }
}

#[tokio::test]
async fn what_userinfo_said_is_asked_again_whatever_the_refresh_brings() {
    // RF-11, UI-05: each claim goes by its own source
    let (key, double) = openid().await;
    for userinfo in [UserinfoUse::Auto, UserinfoUse::Always] {
        let fixture = Fixture::openid_with(&double, |s| s.userinfo = userinfo);
        let mut before = double.claims();
        (before["groups"], before["role"]) = (json!(["admins"]), json!("boss"));
        // `groups` came from userinfo, `role` from the ID token.
        let asked = named(&["groups"]);
        let told = |groups: &[&str]| Answer::json(&json!({ "sub": "alice", "groups": groups }));
        double.on("/userinfo", [told(&["staff"])]);
        // Without an ID token: what the last one said stays.
        double.on("/token", [Answer::json(&token_answer(&json!({})))]);
        let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
        assert_eq!((&renewed.claims["groups"], &renewed.claims["role"]), (&json!(["staff"]), &json!("boss")));
        assert_eq!(renewed.asked, Some(asked.clone()));
        // With one that lost a claim: that is gone, and not kept by userinfo's silence.
        double.issues(&key, &double.claims());
        let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
        assert_eq!((renewed.claims.get("groups"), renewed.claims.get("role")), (Some(&json!(["staff"])), None));
        // What it does not say any more is gone too.
        double.on("/userinfo", [Answer::json(&json!({ "sub": "alice" }))]);
        let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
        assert_eq!(renewed.claims.get("groups"), None);
        // An outage vouches for nothing new; a refusal that is repeated ends the session, an answer about somebody else too.
        for (answer, code) in [
            (Answer::status(401, &json!({ "error": "invalid_token" })), "userinfo_unauthorized"),
            (Answer::status(403, &json!({})), "userinfo_unauthorized"),
            (Answer::status(404, &json!({})), "answer_status"),
            (Answer::status(500, &json!({ "error": "invalid_token" })), "answer_status"),
            (Answer::typed(200, "text/html", "<html>"), "answer_content_type"),
            (Answer::json(&json!({ "sub": "bob", "groups": ["admins"] })), "userinfo_subject"),
        ] {
            double.on("/userinfo", [answer]);
            let count = double.count("/userinfo");
            let ended = refreshed_with(&fixture, &before, &asked).await.map(|_| ()).unwrap_err();
            assert_eq!((ended, double.count("/userinfo")), ((code, FailureClass::Over), count + 2));
        }
        for answer in [Answer::status(503, &json!({})), Answer::status(429, &json!({}))] {
            double.on("/userinfo", [answer]);
            let unproven = refreshed_with(&fixture, &before, &asked).await.unwrap().map(|_| ()).unwrap_err();
            assert_eq!(unproven, "provider_server_error");
        }
        double.on("/userinfo", [Answer::status(401, &json!({})), told(&["late"])]);
        let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
        assert_eq!(renewed.claims["groups"], json!(["late"]), "one retry");
    }
}

#[tokio::test]
async fn userinfo_that_was_no_source_may_refuse_at_a_refresh() {
    // UI-05
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    double.on("/userinfo", [Answer::status(401, &json!({}))]);
    let needed =
        |s: &mut ProviderSettings| s.needed_claims = vec![crate::identity::ClaimPath::parse("groups").unwrap()];
    for (userinfo, goes_on) in [(UserinfoUse::Auto, true), (UserinfoUse::Always, false)] {
        let fixture = Fixture::openid_with(&double, |s| {
            s.userinfo = userinfo;
            needed(s);
        });
        let renewed = refreshed_with(&fixture, &double.claims(), &named(&[])).await;
        assert_eq!(renewed.is_ok(), goes_on, "{userinfo:?}");
    }
}

#[tokio::test]
async fn userinfo_is_not_asked_before_it_is_due() {
    let (_, double) = openid().await;
    let every = Duration::from_secs(600);
    let fixture = Fixture::openid_with(&double, |s| {
        s.userinfo = UserinfoUse::Always;
        s.userinfo_every = Some(every);
    });
    let mut before = double.claims();
    before["groups"] = json!(["a"]);
    double.on("/token", [Answer::json(&token_answer(&json!({})))]);
    double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "groups": ["b"] }))]);
    let start = UnixTime::from_secs(START);
    let asked = AskedClaims { due: Some(start.plus(every)), ..named(&["groups"]) };
    let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
    assert_eq!((&renewed.claims["groups"], double.count("/userinfo")), (&json!(["a"]), 0));
    assert_eq!(renewed.asked.as_ref(), Some(&asked));
    fixture.clock.advance(every);
    let renewed = refreshed_with(&fixture, &before, &asked).await.unwrap().unwrap();
    assert_eq!((&renewed.claims["groups"], double.count("/userinfo")), (&json!(["b"]), 1));
    assert_eq!(renewed.asked.unwrap().due, Some(start.plus(every).plus(every)));
}
