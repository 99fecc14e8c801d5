//! `vestibule check`: what a provider answers to requests that need no person, and what that means for the people who will sign in.

use std::collections::HashMap;

use super::*;
use crate::provider::{Grade, ProbeFinding};

const SIGNED_OUT: &str = "https://app.example.com/_vestibule/signed-out";

fn request() -> ProbeRequest {
    ProbeRequest {
        redirect_uris: vec![REDIRECT.to_owned()],
        post_logout_redirect_uris: vec![SIGNED_OUT.to_owned()],
        max_age_asked_by: Vec::new(),
    }
}

/// A provider at which everything is set up as it should be.
async fn right(key: &TestKey) -> Double {
    let double = Double::openid(key).await;
    double.on(DISCOVERY, [describes(&double.document())]);
    double.on("/authorize", [back("error=login_required")]);
    double.on("/token", [Answer::status(400, &json!({ "error": "invalid_grant" }))]);
    double.on("/end", [Answer::typed(200, "text/html", "<h1>Sign out?</h1>")]);
    double
}

/// A document with a clock that is right.
fn describes(document: &Value) -> Answer {
    Answer::json(document).with("date", "Fri, 15 Jan 2027 08:00:00 GMT")
}

/// Sends the browser back with these parameters and the state that it brought.
fn back(parameters: &str) -> Answer {
    to(&format!("{{redirect_uri}}?{parameters}&state={{state}}"))
}

fn to(location: &str) -> Answer {
    Answer::typed(302, "text/plain", "").with("location", location)
}

fn page(status: u16, text: &str) -> Answer {
    Answer::typed(status, "text/html", format!("<html><h1>We are sorry</h1><p>{text}</p>"))
}

async fn probed(double: &Double) -> Vec<ProbeFinding> {
    Fixture::openid(double).provider.probe(&request()).await
}

/// What is not as it should be.
fn bad(found: &[ProbeFinding]) -> Vec<(Grade, &'static str)> {
    found.iter().filter(|it| it.grade != Grade::Good).map(|it| (it.grade, it.code)).collect()
}

fn said(found: &[ProbeFinding], code: &str) -> String {
    found.iter().filter(|it| it.code == code).map(|it| it.message.as_str()).collect()
}

#[tokio::test]
async fn a_right_set_up_is_asked_as_a_sign_in_asks_and_has_nothing_to_warn_of() {
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let mut document = double.document();
    // Lists that need not be complete (OpenID Connect Discovery section 3).
    document["claims_supported"] = json!(["sub"]);
    document["scopes_supported"] = json!(["openid"]);
    double.on(DISCOVERY, [describes(&document)]);
    let found = probed(&double).await;
    assert_eq!(bad(&found), [], "{found:?}");

    let asked = double.seen("/authorize");
    let query: HashMap<String, String> =
        form_urlencoded::parse(asked[0].query.as_deref().unwrap().as_bytes()).into_owned().collect();
    for (name, value) in [
        ("prompt", "none"),
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query[name], value, "{name}");
    }
    assert!(["state", "nonce", "code_challenge"].iter().all(|name| query[*name].len() >= 43), "{query:?}");
    let asked = double.seen("/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].field("grant_type").as_deref(), Some("authorization_code"));
    assert_eq!(asked[0].field("redirect_uri").as_deref(), Some(REDIRECT));
    assert!(asked[0].field("code_verifier").is_some() && asked[0].authorization().is_some());
    let query = double.seen("/end")[0].query.clone().unwrap();
    assert!(query.contains("client_id=client&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com"), "{query}");
    assert!(!query.contains("id_token_hint"));
}

#[tokio::test]
async fn an_answer_that_needs_a_person_is_a_right_one_however_it_comes() {
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let posted = format!(
        "<form method=post action=\"{REDIRECT}\"><input type=hidden name=error value='login_required'><input name=state value=S>"
    );
    for answers in [
        vec![back("error=interaction_required&error_description=x")],
        vec![back("error=consent_required")],
        vec![back("error=account_selection_required")],
        vec![back("code=abc")],
        vec![to("{redirect_uri}#error=login_required&state={state}")],
        vec![to("https://login.elsewhere.example/sso?x=1")],
        vec![page(200, "Sign in")],
        // A look whether cookies are kept, within the same origin.
        vec![
            to("/authorize?again=1&state={state}&redirect_uri={redirect_uri}")
                .with("set-cookie", "seen=1; Path=/; Secure"),
            back("error=login_required"),
        ],
        vec![to("authorize?again=1"), page(200, "Sign in")],
    ] {
        double.on("/authorize", answers.clone());
        let found = probed(&double).await;
        assert_eq!(bad(&found), [], "{found:?}");
    }
    let cookies: Vec<_> =
        double.seen("/authorize").iter().filter_map(|seen| seen.headers.get("cookie").cloned()).collect();
    assert_eq!(cookies, ["seen=1"]);
    // Without the state, nobody's sign-in can end.
    double.on("/authorize", [Answer::typed(200, "text/html", posted)]);
    assert_eq!(bad(&probed(&double).await), [(Grade::Failed, "authorization_endpoint")]);
}

#[tokio::test]
async fn an_answer_that_keeps_everybody_out_is_named_for_its_cause() {
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    for (answers, words) in [
        (
            vec![page(400, "Invalid parameter: redirect_uri")],
            vec!["400", "redirect URI", REDIRECT, "Invalid parameter"],
        ),
        (vec![page(403, "Unknown client")], vec!["403", "client is unknown or disabled", "Unknown client"]),
        (
            vec![Answer::status(400, &json!({ "error": "invalid_client", "error_description": "no such client" }))],
            vec!["invalid_client", "no such client"],
        ),
        (vec![to("/error?x=1"), page(400, "Client disabled")], vec!["404"]),
        (vec![to("/authorize?again=1"), page(400, "Client disabled")], vec!["400", "Client disabled"]),
        (
            vec![to("https://ui.example/error?error=invalid_client&error_description=Nobody")],
            vec!["invalid_client", "Nobody"],
        ),
        (
            vec![back("error=unauthorized_client&error_description=Client+is+not+allowed")],
            vec!["unauthorized_client", "Client is not allowed", "flow"],
        ),
        (
            vec![back("error=invalid_request&error_description=Pushed+Authorization+Request+is+only+allowed")],
            vec!["invalid_request", "PAR"],
        ),
        (
            vec![back("error=invalid_request&error_description=Missing+parameter:+code_challenge_method")],
            vec!["invalid_request", "PKCE", "S256"],
        ),
        (
            vec![back("error=invalid_scope&error_description=Invalid+scopes:+openid+emial")],
            vec!["invalid_scope", "emial", "`scopes`"],
        ),
        (vec![back("error=unsupported_response_type")], vec!["unsupported_response_type", "flow"]),
        (vec![back("error=server_error")], vec!["server_error"]),
        (vec![to("{redirect_uri}?error=login_required&state=another")], vec!["state"]),
        (vec![back("error=login_required&iss=https://evil.example")], vec!["issuer", "https://evil.example"]),
        (vec![back("error=odd%1b[31m&error_description=%3Cb%3E%22%0a")], vec!["odd[31m", "<b>"]),
    ] {
        double.on("/authorize", answers);
        let found = probed(&double).await;
        assert_eq!(bad(&found), [(Grade::Failed, "authorization_endpoint")], "{words:?}: {found:?}");
        let message = said(&found, "authorization_endpoint");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
    double.on("/authorize", [back("error=invalid_request&error_description=unsupported+prompt+value")]);
    assert_eq!(bad(&probed(&double).await), [(Grade::Warning, "authorization_endpoint")], "a sign-in does not need it");
    double.on("/authorize", [to("/authorize")]);
    assert_eq!(bad(&probed(&double).await), [(Grade::Warning, "authorization_endpoint")], "a loop");
    double.on("/authorize", [Answer::status(503, &json!({}))]);
    assert_eq!(bad(&probed(&double).await), [(Grade::Failed, "provider_server_error")]);
}

#[tokio::test]
async fn every_redirect_uri_is_tried_but_those_of_wildcard_hosts() {
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let mut request = request();
    request.redirect_uris.extend(["https://b.example/_vestibule/callback".into(), "https://*.c.example/cb".into()]);
    Fixture::openid(&double).provider.probe(&request).await;
    assert_eq!(double.count("/authorize"), 2);
}

#[tokio::test]
async fn a_made_up_code_shows_whether_the_clients_credentials_are_taken() {
    // OA-22, DI-09
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let mut document = double.document();
    document["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
    double.on(DISCOVERY, [describes(&document)]);
    // It works, so that what the metadata lists does not matter.
    assert_eq!(bad(&probed(&double).await), []);
    let error = |status, name: &str| Answer::status(status, &json!({ "error": name, "error_description": "as it is" }));
    for (answer, code, words) in [
        (error(401, "invalid_client"), "token_endpoint", vec!["client_secret", "private_key_jwt"]),
        (error(400, "invalid_client"), "token_endpoint", vec!["client_secret"]),
        (Answer::status(401, &json!({})), "token_endpoint", vec!["client_secret"]),
        (Answer::status(404, &json!({})), "token_endpoint", vec!["404"]),
        (Answer::status(500, &json!({})), "token_endpoint", vec!["500"]),
        (Answer::json(&token_answer(&json!({}))), "token_endpoint", vec!["made-up"]),
        (error(400, "unauthorized_client"), "token_endpoint", vec!["unauthorized_client", "flow"]),
        (error(400, "invalid_scope"), "token_endpoint", vec!["invalid_scope", "as it is"]),
        (error(400, "use_dpop_nonce"), "token_endpoint", vec!["use_dpop_nonce", "as it is"]),
    ] {
        double.on("/token", [answer]);
        let found = probed(&double).await;
        assert!(bad(&found).contains(&(Grade::Failed, code)), "{words:?}: {found:?}");
        let message = said(&found, code);
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
    }
    // Nothing is known of the credentials: then the metadata is all there is.
    double.on("/token", [error(400, "invalid_request")]);
    assert_eq!(bad(&probed(&double).await), [(Grade::Warning, "client_auth")]);
    let public = |double: &Double| Fixture::openid_with(double, |s| s.client_auth = ClientAuth::Public);
    assert_eq!(bad(&public(&double).provider.probe(&request()).await), [], "`none` is often not listed");
}

#[tokio::test]
async fn a_post_logout_redirect_uri_that_is_not_registered_is_found() {
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let own = format!("{SIGNED_OUT}?state=x");
    for answer in [to(&own), page(200, "Sign out?"), to("/end?confirm=1"), page(400, "id_token_hint is missing")] {
        double.on("/end", [answer, page(200, "Sign out?")]);
        let found = probed(&double).await;
        assert_eq!(bad(&found), [], "{found:?}");
    }
    for answer in [
        page(400, "Invalid redirect uri"),
        Answer::status(400, &json!({ "error": "invalid_request" })),
        to("/end-error?error=invalid_request&error_description=not+registered"),
    ] {
        double.on("/end", [answer]);
        let found = probed(&double).await;
        assert_eq!(bad(&found), [(Grade::Failed, "end_session_endpoint")], "{found:?}");
        assert!(said(&found, "end_session_endpoint").contains(SIGNED_OUT));
    }
    let silent = Fixture::openid_with(&double, |s| s.logout = LogoutStyle::RevokeOnly);
    assert_eq!(bad(&silent.provider.probe(&request()).await), []);
}

#[tokio::test]
async fn what_the_metadata_does_not_promise_is_warned_of_where_sign_ins_depend_on_it() {
    // ID-15, ID-16
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let asking = |max_age: bool, acr: bool| {
        let fixture = Fixture::openid_with(&double, |s| {
            s.acr_values = acr.then(|| "gold".to_owned()).into_iter().collect();
        });
        async move {
            let mut request = request();
            request.max_age_asked_by = max_age.then(|| "route.wiki".to_owned()).into_iter().collect();
            bad(&fixture.provider.probe(&request).await)
        }
    };
    let warned = |code| vec![(Grade::Warning, code)];
    let mut document = double.document();
    for (claims, acr_values, max_age, acr) in [
        (json!(["sub"]), Value::Null, warned("auth_time"), warned("acr")),
        (Value::Null, Value::Null, warned("auth_time"), warned("acr")),
        (json!(["auth_time", "acr"]), Value::Null, vec![], vec![]),
        (json!(["auth_time"]), json!(["silver", "gold"]), vec![], vec![]),
        (json!(["auth_time"]), json!(["silver"]), vec![], warned("acr")),
    ] {
        document["claims_supported"] = claims;
        document["acr_values_supported"] = acr_values;
        double.on(DISCOVERY, [describes(&document)]);
        assert_eq!(asking(true, false).await, max_age, "{document}");
        assert_eq!(asking(false, true).await, acr, "{document}");
        assert_eq!(asking(false, false).await, [], "{document}");
    }
}

#[tokio::test]
async fn a_probe_compares_the_provider_with_the_configuration() {
    // PK-06
    let key = TestKey::es256("k1");
    let double = right(&key).await;
    let mut document = double.document();
    document["code_challenge_methods_supported"] = json!(["plain"]);
    document["require_pushed_authorization_requests"] = json!(true);
    document.as_object_mut().unwrap().remove("end_session_endpoint");
    double.on(DISCOVERY, [Answer::json(&document).with("date", "Fri, 15 Jan 2027 08:02:00 GMT")]);
    let found = probed(&double).await;
    let wanted = [(Grade::Failed, "clock_offset"), (Grade::Warning, "pkce"), (Grade::Failed, "par")];
    assert_eq!(bad(&found), wanted);
    assert!(said(&found, "clock_offset").starts_with("the provider's clock is 120 s ahead"), "{found:?}");
    assert!(said(&found, "logout").contains("no end_session_endpoint"));
    double.on(DISCOVERY, [Answer::status(500, &json!({}))]);
    assert_eq!(probed(&double).await[0].code, "provider_server_error");
}

#[tokio::test]
async fn silence_about_client_authentication_means_basic() {
    // DI-09
    let (_, double) = openid().await;
    double.on("/token", [Answer::status(400, &json!({ "error": "invalid_request" }))]);
    let found = probed(&double).await;
    assert!(found.iter().any(|f| f.code == "client_auth" && f.grade == Grade::Good));
}

#[tokio::test]
async fn a_plain_provider_is_asked_the_same() {
    let double = Double::start().await;
    double.on("/authorize", [to("/login?return_to=x")]).on("/login", [page(200, "Sign in")]);
    double.on("/token", [Answer::json(&json!({ "error": "bad_verification_code" }))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    let found = fixture.provider.probe(&request()).await;
    assert_eq!(bad(&found), [], "{found:?}");
    assert!(said(&found, "token_endpoint").contains("client's credentials"));
    double.on("/token", [Answer::json(&json!({ "error": "incorrect_client_credentials" }))]);
    double.on("/login", [page(404, "Nothing here")]);
    let found = fixture.provider.probe(&request()).await;
    assert_eq!(bad(&found), [(Grade::Failed, "authorization_endpoint"), (Grade::Failed, "token_endpoint")]);
}
