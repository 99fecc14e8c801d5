//! A reason has one name: on the page, in the process log, in the access log, in the audit log and in the metrics.

use tempfile::TempDir;
use vestibule::codes;
use vestibule::gateway::codes::Problem;

use crate::harness::idp::Breakage;
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Gateway, Page, RecordingUpstream, TestIdp};
use crate::operation::{json_lines, logs_in};

const RULES: &str = "
[route.app.paths.'/board']
allow.groups = ['board']
[route.app.paths.'/shut']
access = 'deny'
";

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_has_one_name_on_the_page_in_every_log_and_in_the_metrics() {
    listen();
    let folder = TempDir::new().unwrap();
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let builder = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(&logs_in(folder.path())).with(RULES);
    let gateway = builder.start().await;
    let callbacks = failed_callbacks(&gateway, &idp).await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let mut others = Vec::new();
    for path in ["/board", "/shut", "/_vestibule/none", "//shut", "/_vestibule/login?provider=nobody"] {
        others.push(browser.asks(&gateway.url(path)).await);
    }
    upstream.answers("");
    others.push(browser.asks(&gateway.url("/")).await);

    let metrics = gateway.admin_text("/metrics").await;
    for page in &callbacks {
        let (_, reason, _) = on_page(page);
        let line = format!("vestibule_callback_errors_total{{reason=\"{reason}\"}}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    gateway.stop().await;
    let (access, audit) = (json_lines(&folder.path().join("access")), json_lines(&folder.path().join("audit")));
    for page in callbacks.iter().chain(&others) {
        let (code, reason, id) = on_page(page);
        let known = Problem::ALL.iter().find(|known| known.number() == code).unwrap();
        assert!(codes::reasons(known.number()).any(|it| it == reason), "{code} does not list {reason}");
        let of = |lines: &[serde_json::Value]| -> Vec<String> {
            let mine = lines.iter().filter(|line| line["request_id"] == id);
            mine.filter_map(|line| line["reason"].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(of(&access), [&*reason], "{code}: the access log");
        assert!(of(&audit).iter().all(|audited| *audited == reason), "{code} {reason}: the audit log says {audit:?}");
        assert!(
            !callbacks.iter().any(|it| it.url == page.url) || !of(&audit).is_empty(),
            "{code} {reason}: not audited"
        );
        for line in lines_with(&[&id]) {
            let said = line.split("reason=\"").nth(1).and_then(|rest| rest.split('"').next());
            assert!(said.is_none_or(|said| said == reason), "{code} {reason}: {line}");
            let said = line.split(" code=\"").nth(1).and_then(|rest| rest.split('"').next());
            assert!(said.is_none_or(|said| said == code), "{code} {reason}: {line}");
        }
    }
}

/// Callbacks that fail, each in a way of its own.
async fn failed_callbacks(gateway: &Gateway, idp: &TestIdp) -> Vec<Page> {
    let signs_in = || async { gateway.browser().signs_in(&gateway.url("/"), "Ada").await };
    let mut callbacks = Vec::new();
    for query in ["", "?code=x", "?state=forged&code=x", "?state=a&state=b&code=x"] {
        callbacks.push(gateway.browser().opens(&gateway.own(&format!("callback{query}"))).await);
    }
    for error in ["access_denied", "invalid_scope", "server_error", "not_registered"] {
        idp.break_with(|faults| faults.callback.error = Some((error.to_owned(), Some("said_so".to_owned()))));
        callbacks.push(signs_in().await);
        idp.heal();
    }
    for error in ["invalid_client", "invalid_scope"] {
        idp.break_with(|faults| faults.token.break_with(Breakage::oauth_error(error)));
        callbacks.push(signs_in().await);
        idp.heal();
    }
    for (claim, value) in [("aud", "another-client"), ("nonce", "another"), ("iss", "https://elsewhere.example")] {
        idp.break_with(|faults| {
            faults.id_token.claims.set(claim, value);
        });
        callbacks.push(signs_in().await);
        idp.heal();
    }
    callbacks
}

/// The code, the reason and the request id among the lines for support.
fn on_page(page: &Page) -> (String, String, String) {
    let text = page.text();
    let lines =
        text.split_once("<pre").unwrap_or_else(|| panic!("{} {text}", page.status)).1.split_once('>').unwrap().1;
    let mut words = lines.split_whitespace();
    let mut next = || words.next().unwrap().to_owned();
    let (code, reason, _, id) = (next(), next(), next(), next());
    (code, reason, id)
}
