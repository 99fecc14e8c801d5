//! What the stories about signing in have in common: a provider, an application, a gateway between them, and the three sides that a refusal is
//! looked at from.

use crate::harness::idp::Faults;
use vestibule::demo::idp::{IdpSettings, paths};

use crate::harness::browser::{Ask, Page};
use crate::harness::{Browser, Gateway, RecordingUpstream, TestIdp};

pub(crate) struct Scene {
    pub(crate) idp: TestIdp,
    pub(crate) upstream: RecordingUpstream,
    pub(crate) gateway: Gateway,
}

impl Scene {
    /// The default provider, and a gateway without any setting of its own.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// The same, with this laid over the gateway's configuration.
    pub(crate) async fn with(toml: &str) -> Self {
        Self::at(TestIdp::start().await, toml).await
    }

    /// A provider that is set up otherwise.
    pub(crate) async fn set_up(settings: IdpSettings, toml: &str) -> Self {
        Self::at(TestIdp::with(settings).await, toml).await
    }

    /// A provider that stands already.
    pub(crate) async fn at(idp: TestIdp, toml: &str) -> Self {
        let upstream = RecordingUpstream::start().await;
        let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(toml).start().await;
        Self { idp, upstream, gateway }
    }

    /// Opens a page and is sent away: the authorization request that the browser would make.
    pub(crate) async fn sent_away(&self, browser: &Browser, path: &str) -> url::Url {
        let page = browser.asks(&self.gateway.url(path)).await;
        assert_eq!(page.status, 302, "{}", page.text());
        page.location()
    }

    /// The callback that Ada's browser would make for this authorization request.
    pub(crate) async fn answered(&self, browser: &Browser, request: &url::Url) -> url::Url {
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
    pub(crate) async fn callback(&self, browser: &Browser, path: &str) -> url::Url {
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

    /// Breaks the provider, tries to sign in, and looks at all sides: the page says why, there is no session, the application saw nothing.
    /// Gives how many token requests the provider saw.
    pub(crate) async fn refuses_while(&self, reason: &str, faults: impl FnOnce(&mut Faults)) -> usize {
        let before = self.idp.token_requests("authorization_code").len();
        let (browser, page) = self.signs_in_while(faults).await;
        assert!((500..600).contains(&page.status), "{reason}: {} {}", page.status, page.text());
        self.is_refused(&browser, &page, reason);
        self.idp.token_requests("authorization_code").len() - before
    }

    /// The page gives this reason, the browser has no session, the application saw nothing.
    pub(crate) fn is_refused(&self, browser: &Browser, page: &Page, reason: &str) {
        assert!(page.status >= 400, "{reason}: {} at {}", page.status, page.url);
        assert!(page.text().contains(reason), "{reason} is not on {}", page.text());
        assert!(!has_session(browser), "{reason}: {:?}", browser.cookies());
        assert!(self.upstream.seen().is_empty(), "{reason}: the application saw {:?}", self.upstream.seen());
    }

    /// The ids of the token endpoint's requests are nobody's business here: only whether there were any.
    pub(crate) fn token_endpoint_is_untouched(&self) -> bool {
        self.idp.seen_at(paths::TOKEN).is_empty()
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
pub(crate) fn with_param(url: &url::Url, name: &str, value: Option<&str>) -> String {
    let kept: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(known, _)| known != name).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(value.map(|value| (name, value)));
    url.into()
}

/// A parameter of a URL; empty when it is not there.
pub(crate) fn param(url: &url::Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

pub(crate) const ADA: &str = "248289761001";
