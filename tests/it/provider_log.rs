//! What the process log tells of a provider: each change once, in its own words, and not a line for each visitor.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::harness::idp::IdpSettings;
use crate::harness::idp::{Breakage, Faults};
use serde_json::Value;
use vestibule::clock::ManualClock;

use crate::harness::browser::Page;
use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::program::{HOST, clock_of_today};
use crate::harness::{Browser, Program, RecordingUpstream, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_an_error_once_for_each_time_that_it_begins() {
    // DI-07
    let scene = ProgramScene::built("").await;
    scene.signs_in(200).await;
    for outage in 1..=2 {
        for breakage in [Breakage::Reset, Breakage::Status(503), Breakage::Reset] {
            scene.breaks(|faults| faults.token.break_with(breakage));
            let page = scene.signs_in(503).await;
            assert!(page.header("retry-after").is_some());
        }
        scene.idp.heal();
        scene.signs_in(200).await;
        scene.told("INFO", "answers again", outage).await;
        let errors = scene.lines("ERROR");
        assert_eq!(errors.len(), outage, "{errors:#?}");
        assert!(errors.iter().all(|line| line["provider"] == "idp"), "{errors:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_set_up_is_an_error_once_until_it_is_mended() {
    // OA-22
    let scene = ProgramScene::built("").await;
    for _ in 0..3 {
        scene.breaks(|faults| faults.token.break_with(Breakage::oauth_error("invalid_client")));
        scene.signs_in(502).await;
    }
    for _ in 0..3 {
        scene.breaks(|faults| {
            faults.id_token.claims.set("aud", "another-client-77");
        });
        scene.signs_in(502).await;
    }
    scene.idp.heal();
    scene.signs_in(200).await;
    scene.told("INFO", "as the configuration expects", 2).await;
    let errors = scene.lines("ERROR");
    let codes: Vec<&str> = errors.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_client", "id_token_aud"], "{errors:#?}");
    let told = errors[1].to_string();
    assert!(told.contains("another-client-77") && told.contains(CLIENT_ID), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_refresh_token_is_told_once() {
    let scene = ProgramScene::built("").await;
    for _ in 0..3 {
        scene.breaks(|faults| {
            faults.token.members.remove("refresh_token");
        });
        scene.signs_in(200).await;
    }
    scene.told("WARN", "no refresh token came", 1).await;
    let warnings = scene.lines("WARN");
    let told: Vec<&Value> = warnings.iter().filter(|line| line["code"] == "no_refresh_token").collect();
    assert_eq!(told.len(), 1, "{warnings:#?}");
    assert!(told[0].to_string().contains("offline_access"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_in_the_providers_own_words_made_harmless() {
    // OA-08, OA-25
    let scene = ProgramScene::built("").await;
    let answer = |error: &str, description: &str| Breakage::Answer {
        status: 400,
        content_type: "application/json".to_owned(),
        body: serde_json::json!({ "error": error, "error_description": description }).to_string(),
    };
    for (error, description) in [("use_dpop_nonce", "DPoP is required"), ("odd\u{1b}[31m", "two\nlines \"here\"")] {
        scene.breaks(|faults| faults.token.break_with(answer(error, description)));
        let page = scene.signs_in(502).await;
        assert!(!page.text().contains("lines") && !page.text().contains("DPoP"), "{}", page.text());
    }
    assert!(scene.program.wrote("DPoP is required").await.contains("use_dpop_nonce"));
    assert!(scene.program.wrote("two lines here").await.contains("odd[31m"));
    // A sign-in that the authorization endpoint refuses.
    scene.breaks(|faults| {
        faults.callback.error = Some(("invalid_scope".to_owned(), Some("no scope emial".to_owned())));
    });
    scene.signs_in(400).await;
    assert!(scene.program.wrote("no scope emial").await.contains("invalid_scope"));
    let lines = scene.program.errors();
    assert!(lines.iter().all(|line| !line.contains('\u{1b}') && !line.contains("\\u001b")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_had_is_told_with_its_url_and_what_came() {
    // DI-05
    for (breakage, words) in [
        (Breakage::Status(503), vec!["503", "broken on purpose"]),
        (Breakage::Reset, vec!["connection"]),
        (
            Breakage::Answer {
                status: 404,
                content_type: "application/json".to_owned(),
                body: "{\"error\":\"Realm does not exist\"}".to_owned(),
            },
            vec!["404"],
        ),
        (Breakage::Html, vec!["not JSON"]),
    ] {
        // The provider is asked at the start, whether anybody comes or not.
        let scene = ProgramScene::built_while(|faults| faults.discovery.break_with(breakage)).await;
        let told = scene.program.wrote("\"ERROR\"").await;
        assert!(told.contains(scene.idp.issuer()) && told.contains("/.well-known/"), "{told}");
        assert!(words.iter().all(|word| told.contains(word)), "{words:?} in {told}");
    }
}

/// The real program between a provider and an application.
pub(crate) struct ProgramScene {
    pub(crate) program: Program,
    pub(crate) idp: TestIdp,
    clock: Arc<ManualClock>,
    pub(crate) origin: String,
    address: SocketAddr,
    config: String,
    _upstream: RecordingUpstream,
}

impl ProgramScene {
    /// With more lines in the provider's table.
    async fn built(provider: &str) -> Self {
        Self::with(provider, |_| {}).await
    }

    /// With a provider that is broken when the program starts.
    pub(crate) async fn built_while(faults: impl FnOnce(&mut Faults)) -> Self {
        Self::with("", faults).await
    }

    async fn with(provider: &str, faults: impl FnOnce(&mut Faults)) -> Self {
        let clock = clock_of_today();
        let idp = TestIdp::sharing(IdpSettings::default(), clock.clone()).await;
        idp.break_with(faults);
        let upstream = RecordingUpstream::start().await;
        let config = CONFIG
            .replace("KEY", &key(1))
            .replace("ISSUER", idp.issuer())
            .replace("CLIENT", CLIENT_ID)
            .replace("SECRET", CLIENT_SECRET)
            .replace("MORE", provider)
            .replace("UPSTREAM", &upstream.url());
        let program = Program::running(&config).await;
        let (origin, address) = (format!("https://{HOST}"), program.address().await);
        let own = |endpoint: &str| format!("{origin}/_vestibule/{endpoint}");
        idp.allow_return_to(CLIENT_ID, &own("callback"), &own("signed-out"));
        Self { program, idp, clock, origin, address, config, _upstream: upstream }
    }

    fn breaks(&self, faults: impl FnOnce(&mut Faults)) {
        self.idp.heal();
        self.idp.break_with(faults);
    }

    /// Reloads with more lines at the end of the configuration.
    pub(crate) fn reloads_with(&self, more: &str) {
        self.program.configure(&format!("{}\n{more}", self.config));
        self.program.signals("HUP");
    }

    /// The line of `/readyz?verbose` about the provider of this name, once it says `wanted`.
    pub(crate) async fn ready(&self, name: &str, wanted: &str) -> String {
        let about = format!("]provider {name} ");
        loop {
            let text = self.program.admin_text("/readyz?verbose").await;
            if let Some(line) = text.lines().find(|line| line.contains(&about) && line.contains(wanted)) {
                return line.to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.clock.clone()).resolving(&self.origin, self.address)
    }

    /// Somebody new signs in, which ends with this status.
    pub(crate) async fn signs_in(&self, status: u16) -> Page {
        let page = self.browser().signs_in(&format!("{}/page", self.origin), "Ada").await;
        assert_eq!(page.status, status, "{}", page.text());
        page
    }

    /// The lines of the process log at this level so far.
    pub(crate) fn lines(&self, level: &str) -> Vec<Value> {
        let lines = self.program.errors();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["level"] == level).collect()
    }

    /// Waits until so many lines at this level hold these words.
    async fn told(&self, level: &str, words: &str, count: usize) {
        self.program.wrote(words).await;
        while self.lines(level).iter().filter(|line| line.to_string().contains(words)).count() < count {
            tokio::task::yield_now().await;
        }
    }
}

const CONFIG: &str = "
[server]
listen = '127.0.0.1:0'
public_url = 'https://wiki.example.com'

[admin]
listen = '127.0.0.1:0'

[log]
format = 'json'
audit = 'off'

[session]
keys = ['KEY']

[provider.idp]
issuer = 'ISSUER'
client_id = 'CLIENT'
client_secret = 'SECRET'
MORE

[route.app]
upstream = 'UPSTREAM'
";
