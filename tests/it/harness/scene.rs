//! The three sides of a security test at once: a gateway for the client, an application, a provider.

use super::gateway::GatewayBuilder;
use super::raw::RawAnswer;
use super::{Gateway, Raw, RecordingUpstream, TestIdp};

/// A provider, a gateway that signs in there, and an application behind it.
pub(crate) struct Scene {
    pub(crate) idp: TestIdp,
    pub(crate) upstream: RecordingUpstream,
    pub(crate) gateway: Gateway,
}

impl Scene {
    /// With this TOML laid over what every gateway of the tests has.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::built(|gateway| gateway.with(toml)).await
    }

    /// With any change to the gateway.
    pub(crate) async fn built(change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let gateway = change(Gateway::in_front_of(&upstream).signing_in_at(&idp)).start().await;
        Self { idp, upstream, gateway }
    }

    /// Signs somebody in with a browser and hands out the session as a `Cookie` line, with its end. What application and
    /// provider saw of that is forgotten.
    pub(crate) async fn session_of(&self, person: &str) -> String {
        let browser = self.gateway.browser();
        browser.signs_in(&self.gateway.own("login"), person).await;
        let cookies = browser.cookies();
        let session = cookies.iter().find(|cookie| cookie.name.ends_with("vestibule"));
        let session = session.unwrap_or_else(|| panic!("no session among {cookies:?}"));
        self.idp.forget_seen();
        self.upstream.forget_seen();
        format!("Cookie: {}={}\r\n", session.name, session.value)
    }

    /// A request without a body; `fields` are whole lines.
    pub(crate) fn request(&self, method: &str, target: &str, fields: &str) -> String {
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.gateway.authority())
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn asks(&self, method: &str, target: &str, fields: &str) -> RawAnswer {
        let mut raw = self.gateway.raw().await;
        raw.send(self.request(method, target, fields)).await;
        raw.answer(method).await
    }

    /// A new connection to the gateway.
    pub(crate) async fn raw(&self) -> Raw {
        self.gateway.raw().await
    }

    /// Neither the application nor the provider was asked anything since the record was forgotten.
    pub(crate) fn assert_nobody_was_asked(&self, why: &str) {
        let (seen, asked) = (self.upstream.seen(), self.idp.seen());
        assert!(seen.is_empty(), "{why}: the application saw {seen:#?}");
        assert!(asked.is_empty(), "{why}: the provider saw {asked:#?}");
    }
}
