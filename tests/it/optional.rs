//! What a provider may not have is done without: a session's whole life at one that has nothing but what the specifications require.

use crate::harness::idp::Breakage;
use crate::harness::idp::{IdpSettings, paths};
use serde_json::json;

use crate::harness::{Scene, TestIdp};

const CLOSED: &str = "[route.app.paths.\"/closed\"]\nallow.emails = ['grace@example.com']";

/// Members of the metadata that OpenID Connect Discovery does not require.
const OPTIONAL: [&str; 14] = [
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "registration_endpoint",
    "scopes_supported",
    "claims_supported",
    "prompt_values_supported",
    "response_modes_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "authorization_response_iss_parameter_supported",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_has_nothing_optional_is_enough() {
    // LO-04, TK-05, IS-01, PK-06
    for nothing in [None, Some(json!(null)), Some(json!(""))] {
        let idp = TestIdp::with(IdpSettings { iss_in_callback: false, ..IdpSettings::default() }).await;
        idp.break_with(|faults| {
            for member in OPTIONAL {
                match nothing.clone() {
                    None => faults.discovery.members.remove(member),
                    Some(nothing) => faults.discovery.members.set(member, nothing),
                };
            }
            faults.token.members.remove("scope");
            faults.callback.refused = vec!["prompt=select_account".to_owned()];
        });
        lives_a_whole_life(idp, &["select_account", "login"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_endpoint_that_does_not_do_what_it_promises_is_done_without() {
    // TK-06, TK-07, UI-05
    for breakage in [
        Breakage::Status(404),
        Breakage::Status(405),
        Breakage::Status(501),
        Breakage::Html,
        Breakage::Reset,
        Breakage::oauth_error("unsupported_token_type"),
        Breakage::oauth_error("invalid_client"),
    ] {
        let idp = TestIdp::start().await;
        idp.break_with(|faults| {
            faults.revocation.break_with(breakage.clone());
            faults.introspection.break_with(breakage.clone());
            faults.userinfo.break_with(breakage);
            faults.discovery.members.set("prompt_values_supported", json!(["none", "login", "select_account"]));
        });
        lives_a_whole_life(idp, &["select_account"]).await;
    }
}

/// Ada signs in, is renewed, gives way to Grace, and Grace signs out.
async fn lives_a_whole_life(idp: TestIdp, prompts: &[&str]) {
    let scene = Scene::signed_in_at(idp, |builder| builder.with(CLOSED)).await;
    scene.later(55);
    assert_eq!((scene.asks("/").await.status, scene.refreshes()), (200, 1));
    let denied = scene.browser.opens(&scene.gateway.url("/closed")).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    scene.idp.forget_seen();
    let choosing = scene.browser.submits(&denied, "/_vestibule/logout", &[]).await;
    assert!(choosing.is_choosing(), "{} {}", choosing.url, choosing.text());
    let page = scene.browser.picks(&choosing, "Grace").await;
    assert_eq!((page.status, page.url.path()), (200, "/closed"), "{}", page.text());
    let asked: Vec<_> =
        scene.idp.seen_at(paths::AUTHORIZE).iter().filter_map(|seen| seen.query_field("prompt")).collect();
    assert_eq!(asked, prompts);
    let page = scene.signs_out().await;
    assert_eq!((page.status, page.url.path()), (200, "/_vestibule/signed-out"), "{}", page.text());
    assert_eq!(scene.asks("/").await.status, 302);
}
