//! What the process log tells of a provider: each change once, in its own words, and not a line for each visitor.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use vestibule::clock::ManualClock;
use vestibule::demo::idp::{Breakage, Faults, IdpSettings};

use crate::harness::browser::Page;
use crate::harness::gateway::key;
use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::program::{HOST, clock_of_today};
use crate::harness::{Browser, Program, RecordingUpstream, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_an_error_once_for_each_time_that_it_begins() {
    // DI-07
    let house = House::built("").await;
    house.signs_in(200).await;
    for outage in 1..=2 {
        for breakage in [Breakage::Reset, Breakage::Status(503), Breakage::Reset] {
            house.breaks(|faults| faults.token.break_with(breakage));
            let page = house.signs_in(503).await;
            assert!(page.header("retry-after").is_some());
        }
        house.idp.heal();
        house.signs_in(200).await;
        house.told("INFO", "answers again", outage).await;
        let errors = house.lines("ERROR");
        assert_eq!(errors.len(), outage, "{errors:#?}");
        assert!(errors.iter().all(|line| line["provider"] == "idp"), "{errors:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_set_up_is_an_error_once_until_it_is_mended() {
    // OA-22
    let house = House::built("").await;
    for _ in 0..3 {
        house.breaks(|faults| faults.token.break_with(Breakage::oauth_error("invalid_client")));
        house.signs_in(502).await;
    }
    for _ in 0..3 {
        house.breaks(|faults| {
            faults.id_token.claims.set("aud", "another-client-77");
        });
        house.signs_in(502).await;
    }
    house.idp.heal();
    house.signs_in(200).await;
    house.told("INFO", "as the configuration expects", 2).await;
    let errors = house.lines("ERROR");
    let codes: Vec<&str> = errors.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_client", "id_token_aud"], "{errors:#?}");
    let told = errors[1].to_string();
    assert!(told.contains("another-client-77") && told.contains(CLIENT_ID), "{told}");
}

/// The real program between a provider and an application.
struct House {
    program: Program,
    idp: TestIdp,
    clock: Arc<ManualClock>,
    origin: String,
    address: SocketAddr,
    _upstream: RecordingUpstream,
}

impl House {
    /// With more lines in the provider's table.
    async fn built(provider: &str) -> Self {
        let clock = clock_of_today();
        let idp = TestIdp::sharing(IdpSettings::default(), clock.clone()).await;
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
        Self { program, idp, clock, origin, address, _upstream: upstream }
    }

    fn breaks(&self, faults: impl FnOnce(&mut Faults)) {
        self.idp.heal();
        self.idp.break_with(faults);
    }

    /// Somebody new signs in, which ends with this status.
    async fn signs_in(&self, status: u16) -> Page {
        let browser = Browser::new(self.clock.clone()).resolving(&self.origin, self.address);
        let page = browser.signs_in(&format!("{}/page", self.origin), "Ada").await;
        assert_eq!(page.status, status, "{}", page.text());
        page
    }

    /// The lines of the process log at this level so far.
    fn lines(&self, level: &str) -> Vec<Value> {
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
