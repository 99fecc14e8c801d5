//! Providers are asked in the background when the program starts or reloads: before that nothing is said of them, and a fault is
//! in the log before anybody meets it.

use crate::harness::idp::paths;

use crate::harness::idp::{Breakage, Gate};
use crate::harness::{Gateway, RecordingUpstream, TestIdp};
use crate::provider_log::ProgramScene;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_unknown_until_it_has_answered_and_nothing_waits_for_it() {
    let gate = Gate::default();
    let held = gate.clone();
    let scene = ProgramScene::built_while(|faults| faults.discovery.break_with(Breakage::Hold(held))).await;
    // It serves before the provider has answered anything. The program says so when its sockets are taken, a moment before the
    // workers have them.
    while scene.program.admin_text("/readyz").await != "ok\n" {
        tokio::task::yield_now().await;
    }
    let line = scene.ready("idp", "unknown").await;
    assert!(line.starts_with("[?]") && !line.contains(" ok"), "{line}");
    gate.open();
    assert_eq!(scene.ready("idp", " ok").await, "[+]provider idp ok");
    assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 1, "nobody has visited");
    let told = ["ERROR", "WARN"].map(|level| scene.lines(level)).concat();
    assert!(told.iter().all(|line| line["provider"] != "idp"), "{told:#?}");
    // What it said serves the first visitor.
    scene.signs_in(200).await;
    assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_at_the_start_is_told_at_once_and_asked_until_it_answers() {
    // DI-07
    for (breakage, code) in [(Breakage::Reset, "provider_connection_broken"), (Breakage::Html, "discovery_not_json")] {
        let scene = ProgramScene::built_while(|faults| faults.discovery.break_times(2, breakage)).await;
        let told = scene.program.wrote("\"ERROR\"").await;
        assert!(told.contains(code) && told.contains("\"idp\""), "{told}");
        let line = scene.ready("idp", "degraded").await;
        assert_eq!(line, format!("[!]provider idp degraded: {code}"));
        assert_eq!(scene.program.admin_text("/readyz").await, "ok\n", "sessions go on");
        // Twice it failed; nobody visits.
        assert_eq!(scene.ready("idp", " ok").await, "[+]provider idp ok");
        assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 3);
        assert_eq!(scene.lines("ERROR").len(), 1, "{:?}", scene.program.errors());
        scene.program.wrote("provider_recovered").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_a_reload_brings_is_asked_as_well() {
    let scene = ProgramScene::built_while(|_| {}).await;
    scene.ready("idp", " ok").await;
    let second = TestIdp::start().await;
    second.break_with(|faults| faults.discovery.break_with(Breakage::Status(503)));
    scene.reloads_with(&format!(
        "[provider.second]\nissuer = '{}'\nclient_id = 'a'\nclient_secret = 'only for tests'",
        second.issuer()
    ));
    scene.ready("second", "degraded: provider_server_error").await;
    assert!(scene.program.wrote("\"ERROR\"").await.contains("\"second\""));
    scene.ready("idp", " ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_document_to_be_read_is_unknown_until_somebody_signs_in() {
    let (idp, upstream) = (TestIdp::plain_oauth2().await, RecordingUpstream::start().await);
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).start().await;
    let ready = async || gateway.admin_text("/readyz?verbose").await;
    assert!(ready().await.contains("[?]provider idp unknown"), "{}", ready().await);
    assert_eq!(gateway.browser().signs_in(&gateway.url("/"), "Ada").await.status, 200);
    assert!(ready().await.contains("[+]provider idp ok"), "{}", ready().await);
    // And away again, as far as was seen.
    idp.break_with(|faults| faults.token.break_with(Breakage::Status(503)));
    assert_eq!(gateway.browser().signs_in(&gateway.url("/"), "Ada").await.status, 503);
    assert!(ready().await.contains("[!]provider idp degraded: provider_server_error"), "{}", ready().await);
}
