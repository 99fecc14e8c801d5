//! A gateway between a provider and an application, with Ada signed in: where most stories about sessions begin.

use std::time::Duration;

use super::browser::Ask;
use super::gateway::GatewayBuilder;
use super::{Browser, Gateway, Page, Raw, RawAnswer, RecordingUpstream, TestIdp};

/// Everybody who takes part. What was seen until Ada was signed in is forgotten.
pub(crate) struct House {
    pub(crate) idp: TestIdp,
    pub(crate) upstream: RecordingUpstream,
    pub(crate) gateway: Gateway,
    pub(crate) browser: Browser,
}

impl House {
    pub(crate) async fn signed_in() -> Self {
        Self::with("").await
    }

    /// With TOML laid over the gateway's configuration.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::built(TestIdp::start().await, |builder| builder.with(toml)).await
    }

    /// With a provider, and a gateway, of its own kind.
    pub(crate) async fn built(idp: TestIdp, build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let upstream = RecordingUpstream::start().await;
        let gateway = build(Gateway::in_front_of(&upstream).signing_in_at(&idp)).start().await;
        let browser = gateway.browser();
        let page = browser.signs_in(&gateway.url("/"), "Ada").await;
        assert_eq!(page.status, 200, "{}", page.text());
        idp.forget_seen();
        upstream.forget_seen();
        Self { idp, upstream, gateway, browser }
    }

    /// Time passes.
    pub(crate) fn later(&self, seconds: u64) {
        self.gateway.clock.advance(Duration::from_secs(seconds));
    }

    /// The answer to Ada's navigation to a path, without following it.
    pub(crate) async fn asks(&self, path: &str) -> Page {
        self.browser.asks(&self.gateway.url(path)).await
    }

    /// The answer to the fetch of a script on one of the application's pages.
    pub(crate) async fn fetches(&self, path: &str) -> Page {
        self.browser.fetches(&self.gateway.url("/"), &self.gateway.url(path)).await
    }

    /// Signs out as a person does: by the page that asks whether to. Follows to the end.
    pub(crate) async fn signs_out(&self) -> Page {
        let page = self.browser.opens(&self.gateway.own("logout")).await;
        self.browser.submits(&page, "/_vestibule/logout", &[]).await
    }

    /// The same without going on to the provider: the answer to the form.
    pub(crate) async fn posts_logout(&self, browser: &Browser) -> Page {
        let url = self.gateway.own("logout");
        browser.does(Ask::form(&url, &[]).from(&url.parse().unwrap()).without_following()).await
    }

    /// The value of the session cookie.
    pub(crate) fn cookie(&self) -> String {
        self.cookie_of(&self.browser)
    }

    pub(crate) fn cookie_of(&self, browser: &Browser) -> String {
        browser.cookie(&self.gateway.url("/"), "vestibule").unwrap_or_else(|| panic!("no session cookie"))
    }

    /// Sends a navigation with this very `Cookie` field.
    pub(crate) async fn sends_cookies(&self, cookies: &str) -> RawAnswer {
        Raw::once(self.gateway.address, self.navigation("/", cookies)).await
    }

    /// The bytes of a navigation with this very `Cookie` field.
    pub(crate) fn navigation(&self, path: &str, cookies: &str) -> String {
        let host = self.gateway.authority();
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nCookie: {cookies}\r\n\r\n")
    }

    /// How often tokens were renewed.
    pub(crate) fn refreshes(&self) -> usize {
        self.idp.token_requests("refresh_token").len()
    }
}
