//! Everybody who takes part in most stories: a provider, an application, a gateway between them, and a browser.

use std::time::Duration;

use crate::harness::idp::{IdpSettings, paths};
use url::Url;

use super::browser::Ask;
use super::gateway::GatewayBuilder;
use super::idp::Faults;
use super::{Browser, Gateway, Page, Raw, RawAnswer, RecordingUpstream, TestIdp};

/// The three sides of a security test (client, application, provider), and the gateway between them.
pub(crate) struct Scene {
    pub(crate) idp: TestIdp,
    pub(crate) upstream: RecordingUpstream,
    pub(crate) gateway: Gateway,
    /// Ada's, where the scene begins with her signed in; otherwise a new one.
    pub(crate) browser: Browser,
}

impl Scene {
    /// The default provider, and a gateway without any setting of its own.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// The same, with this TOML laid over the gateway's configuration.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::at(TestIdp::start().await, toml).await
    }

    /// A provider with other settings.
    pub(crate) async fn set_up(settings: IdpSettings, toml: &str) -> Self {
        Self::at(TestIdp::with(settings).await, toml).await
    }

    /// A provider that is there already.
    pub(crate) async fn at(idp: TestIdp, toml: &str) -> Self {
        Self::built_at(idp, |gateway| gateway.with(toml)).await
    }

    /// The default provider, and any change to the gateway.
    pub(crate) async fn built(change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::built_at(TestIdp::start().await, change).await
    }

    /// A provider that is there already, and any change to the gateway.
    pub(crate) async fn built_at(idp: TestIdp, change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let upstream = RecordingUpstream::start().await;
        let gateway = change(Gateway::in_front_of(&upstream).signing_in_at(&idp)).start().await;
        let browser = gateway.browser();
        Self { idp, upstream, gateway, browser }
    }

    /// The default scene with Ada signed in. What was seen until then is forgotten.
    pub(crate) async fn signed_in() -> Self {
        Self::signed_in_with("").await
    }

    /// The same, with this TOML laid over the gateway's configuration.
    pub(crate) async fn signed_in_with(toml: &str) -> Self {
        Self::signed_in_at(TestIdp::start().await, |gateway| gateway.with(toml)).await
    }

    /// The same, with a provider that is there already and any change to the gateway.
    pub(crate) async fn signed_in_at(idp: TestIdp, change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        let scene = Self::built_at(idp, change).await;
        let page = scene.browser.signs_in(&scene.gateway.url("/"), "Ada").await;
        assert_eq!(page.status, 200, "{}", page.text());
        scene.forget_seen();
        scene
    }

    /// Forgets what the application and the provider saw.
    pub(crate) fn forget_seen(&self) {
        self.idp.forget_seen();
        self.upstream.forget_seen();
    }

    /// Time passes.
    pub(crate) fn later(&self, seconds: u64) {
        self.gateway.clock.advance(Duration::from_secs(seconds));
    }
}

/// What the scene's own browser does.
impl Scene {
    /// The answer to a navigation to a path, without following it.
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

    /// How often tokens were renewed.
    pub(crate) fn refreshes(&self) -> usize {
        self.idp.token_requests("refresh_token").len()
    }
}

/// A sign-in, step by step.
impl Scene {
    /// Opens a page and is sent away: the authorization request that the browser would make.
    pub(crate) async fn sent_away(&self, browser: &Browser, path: &str) -> Url {
        let page = browser.asks(&self.gateway.url(path)).await;
        assert_eq!(page.status, 302, "{}", page.text());
        page.location()
    }

    /// The callback that Ada's browser would make for this authorization request.
    pub(crate) async fn answered(&self, browser: &Browser, request: &Url) -> Url {
        let page = browser.asks(request.as_str()).await;
        if !page.is_choosing() {
            return page.location();
        }
        let form = page.form("sso/choose");
        let mut fields = form.fields;
        fields.push(("person".to_owned(), ADA.to_owned()));
        browser.does(Ask::form(&form.action, &fields).from(&page.url).without_following()).await.location()
    }

    /// Opens a page as Ada, up to the callback, which is not made yet.
    pub(crate) async fn callback(&self, browser: &Browser, path: &str) -> Url {
        let request = self.sent_away(browser, path).await;
        self.answered(browser, &request).await
    }

    /// Breaks the provider anew, and signs in with a new browser.
    pub(crate) async fn signs_in_while(&self, faults: impl FnOnce(&mut Faults)) -> (Browser, Page) {
        self.idp.heal();
        self.idp.break_with(faults);
        let browser = self.gateway.browser();
        let page = browser.signs_in(&self.gateway.url("/page"), "Ada").await;
        // In a second round, the provider may ask again.
        let page = if page.is_choosing() { browser.picks(&page, "Ada").await } else { page };
        (browser, page)
    }

    /// A new browser signs in, and that goes well.
    pub(crate) async fn signs_in(&self) -> Browser {
        let browser = self.gateway.browser();
        let page = browser.signs_in(&self.gateway.url("/page"), "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, "/page"), "{}", page.text());
        browser
    }

    /// Breaks the provider, tries to sign in, and looks at all sides: the page says why, there is no session, the application
    /// saw nothing. Gives how many token requests the provider saw.
    pub(crate) async fn refuses_while(&self, reason: &str, faults: impl FnOnce(&mut Faults)) -> usize {
        let before = self.idp.token_requests("authorization_code").len();
        let (browser, page) = self.signs_in_while(faults).await;
        self.is_refused(&browser, &page, reason);
        self.idp.token_requests("authorization_code").len() - before
    }

    /// The page gives this reason, with the status that goes with it, the browser has no session, the application saw nothing.
    pub(crate) fn is_refused(&self, browser: &Browser, page: &Page, reason: &str) {
        assert_eq!(page.status, status_of(reason), "{reason}: {}", page.text());
        assert!(page.names(reason), "{reason} is not on {}", page.text());
        assert!(!has_session(browser), "{reason}: {:?}", browser.cookies());
        assert!(self.upstream.seen().is_empty(), "{reason}: the application saw {:?}", self.upstream.seen());
    }

    /// Whether the token endpoint was asked nothing.
    pub(crate) fn token_endpoint_is_untouched(&self) -> bool {
        self.idp.seen_at(paths::TOKEN).is_empty()
    }
}

/// What is sent byte for byte.
impl Scene {
    /// Signs somebody in with a browser and hands out the session as a `Cookie` line, with its end. What application and
    /// provider saw of that is forgotten.
    pub(crate) async fn session_of(&self, person: &str) -> String {
        let browser = self.gateway.browser();
        browser.signs_in(&self.gateway.own("login"), person).await;
        let cookies = browser.cookies();
        let session = cookies.iter().find(|cookie| cookie.name.ends_with("vestibule"));
        let session = session.unwrap_or_else(|| panic!("no session among {cookies:?}"));
        self.forget_seen();
        format!("Cookie: {}={}\r\n", session.name, session.value)
    }

    /// A request without a body; `fields` are whole lines.
    pub(crate) fn request(&self, method: &str, target: &str, fields: &str) -> String {
        format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.gateway.authority())
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn sends(&self, method: &str, target: &str, fields: &str) -> RawAnswer {
        let mut raw = self.raw().await;
        raw.send(self.request(method, target, fields)).await;
        raw.answer(method).await
    }

    /// The bytes of a navigation with this very `Cookie` field.
    pub(crate) fn navigation(&self, path: &str, cookies: &str) -> String {
        self.request("GET", path, &format!("Accept: text/html\r\nCookie: {cookies}\r\n"))
    }

    /// Sends a navigation with this very `Cookie` field.
    pub(crate) async fn sends_cookies(&self, cookies: &str) -> RawAnswer {
        Raw::once(self.gateway.address, self.navigation("/", cookies)).await
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

/// The status of the page of a sign-in that failed for a reason or with a code.
fn status_of(reason: &str) -> u16 {
    match reason {
        "VB-1012" => 403,
        "VB-1026" => 414,
        "VB-1017" | "provider_error_response" => 502,
        "VB-2010" | "id_token_key_unknown_yet" => 503,
        reason if reason.starts_with("provider_") => 503,
        "invalid_request" | "iss_mismatch" | "iss_missing" => 400,
        reason if reason.starts_with("VB-10") => 400,
        _ => 502,
    }
}

/// Whether a browser holds any session cookie, of whatever provider, whole or in pieces.
pub(crate) fn has_session(browser: &Browser) -> bool {
    let is_session = |name: &str| {
        let rest = name.trim_start_matches("__Host-").trim_start_matches("__Secure-").strip_prefix("vestibule");
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '~']))
    };
    browser.cookies().iter().any(|cookie| is_session(&cookie.name))
}

/// A URL with a parameter set to another value, or without it.
pub(crate) fn with_param(url: &Url, name: &str, value: Option<&str>) -> String {
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    url.into()
}

/// A parameter of a URL; empty when it is not there.
pub(crate) fn param(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

pub(crate) const ADA: &str = "248289761001";
