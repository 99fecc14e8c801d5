//! Our own answers: the one place where an error becomes a page, a problem document or a line of text.

use http::Response;

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::codes::Code;
use crate::gateway::error::GatewayError;
use crate::gateway::notice::{Action, Notice, Person, in_words};
use crate::gateway::pages::page::{Page, PageContext};
use crate::gateway::verdict::{Denial, Lack, RequestFault};
use crate::provider::{ProviderError, Words};
use crate::request::RequestMeta;
use crate::request::kind::Wants;
use crate::request::return_to::ReturnTo;
use crate::telemetry::causes::with_causes;

impl Gateway {
    /// Renders an error for whoever asked: page, problem document or a line of text.
    pub(super) fn answer_error(&self, meta: &RequestMeta, error: GatewayError) -> Response<Body> {
        log_error(meta, &error);
        let login_url = match &error {
            GatewayError::SignInNeeded { login_url, .. }
            | GatewayError::FormNotSubmitted { login_url, .. }
            | GatewayError::Provider { sign_in: Some(login_url), .. } => {
                // Absolute: whoever reads the answer may not have the address of the request.
                Some(format!("{}{login_url}", self.own_origin(meta)))
            }
            _ => None,
        };
        let headers = error.headers(meta.host.authority());
        let page = Page::Problem(self.notice_of(meta, error));
        let mut response = self.render(meta, &page, login_url.as_deref());
        if let Some((name, value)) = headers {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Renders one of our pages, in the form that the client can read.
    pub(super) fn render(&self, meta: &RequestMeta, page: &Page, login_url: Option<&str>) -> Response<Body> {
        self.render_as(meta, page, login_url, meta.kind.wants())
    }

    /// The same in a given form.
    pub(super) fn render_as(
        &self,
        meta: &RequestMeta,
        page: &Page,
        login_url: Option<&str>,
        wants: Wants,
    ) -> Response<Body> {
        // A host that is not ours may be any text: it is not repeated on the page (AT-PM-17).
        let host = if self.serves(meta.host.name()) { meta.host.authority() } else { "" };
        let context = PageContext { request_id: meta.id.as_str(), host, now: self.clock.now(), wants, login_url };
        self.pages.render(page, &context)
    }

    fn notice_of(&self, meta: &RequestMeta, error: GatewayError) -> Notice {
        let mut notice = Notice::new(error.code()).status(error.status()).reason(error.reason());
        notice.retry_after = error.retry_after();
        notice.provider = self.title_for(&error);
        let or_as_it_is = |notice: Notice, label: &str, href: Option<String>| match href {
            Some(href) => notice.action(Action::link(label, href)),
            None => notice,
        };
        match error {
            GatewayError::SignInNeeded { login_url, lack: Lack::Recent(most), .. } => notice
                .details([format!("It takes one of the last {}.", in_words(most.as_secs()))])
                .action(Action::link("Sign in again", login_url)),
            GatewayError::SignInNeeded { login_url, .. } => notice.action(Action::link("Sign in", login_url)),
            GatewayError::FormNotSubmitted { login_url, .. } => notice.action(Action::link("Sign in again", login_url)),
            GatewayError::ReturnTooLong { start_page } => {
                notice.action(Action::link("Sign in to the start page", start_page))
            }
            GatewayError::Denied { denial, sender: None } => notice.details(needs(&denial)),
            GatewayError::Denied { denial, sender: Some(sender) } => {
                notice.person = Some(Person::of(sender.identity()));
                let form = self.switch_form(Some(sender.session()), self.address_of(meta));
                notice.details(needs(&denial)).action(Action::post("Switch account", form))
            }
            // To start again would lead back here: the provider knows this account.
            GatewayError::Provider { .. } if notice.code == Code::TenantNotAllowed => {
                let root = ReturnTo::root(meta.host.clone()).to_url(self.settings.public_url.https);
                notice.action(Action::post("Switch account", self.switch_form(None, root)))
            }
            GatewayError::SignIn { again, provider_said, .. } => {
                if let Some((error, description)) = provider_said {
                    notice.said = Notice::provider_error(&error, description.as_deref()).said;
                }
                or_as_it_is(notice, "Start again", again)
            }
            GatewayError::TooManyRefused { again, .. } => notice.action(Action::link("Try again", again)),
            GatewayError::Provider { name, again, sign_in, error } => {
                notice.instead = sign_in.map(|login_url| Action::link("Sign in again", login_url));
                or_as_it_is(notice.details(self.clocks(name.as_deref(), &error)), "Try again", again)
            }
            GatewayError::Refused(RequestFault::Handshake(fault)) => notice.details([sentence(&fault.to_string())]),
            GatewayError::SessionTooLarge(error) => {
                notice.details([format!("{} bytes, and {} fit", error.bytes, error.limit)])
            }
            _ => notice,
        }
    }

    /// What people call the provider that an error is about: the only one there is, where the error does not know.
    fn title_for(&self, error: &GatewayError) -> Option<String> {
        let named = error.provider().and_then(|name| self.provider_named(name));
        let provider = named.or_else(|| self.only_provider()).filter(|_| error.code().is_about_a_provider())?;
        Some(provider.title().to_owned())
    }

    /// By how much a provider's clock differs from ours, where its fault is about that.
    fn clocks(&self, name: Option<&str>, error: &ProviderError) -> Option<String> {
        let difference = self.provider_named(name?)?.clock_difference(error)?;
        Some(format!("The sign-in page's clock is {difference}."))
    }
}

/// What is missing, where the code's own words do not say all.
fn needs(denial: &Denial) -> Option<String> {
    match denial {
        Denial::Closed => None,
        Denial::Policy(reason) => Some(sentence(&reason.to_string())),
    }
}

/// A reason as it stands on a page.
fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(Some('.')).collect()
}

/// Writes the line of the process log about an error: a warning for a fault of an application, an error for one of ours, and the
/// rest at info, where somebody finds it who was given the request id of a page.
fn log_error(meta: &RequestMeta, error: &GatewayError) {
    let (id, code, reason) = (meta.id.as_str(), error.code().number(), error.reason());
    match error {
        GatewayError::Provider { name, error: cause, .. } => {
            let provider = name.as_deref();
            // The provider's own state is reported once, where it changes.
            tracing::info!(request_id = id, code, reason, provider, error = %cause, "a provider failed a request");
        }
        GatewayError::SignIn { provider_said: Some((error, description)), .. } => {
            let said = Words::new(error, description.as_deref());
            let (error, error_description) = (said.error(), said.description());
            tracing::info!(request_id = id, code, reason, error, error_description, "the provider refused a sign-in");
        }
        GatewayError::Upstream { route, error: cause, .. } if cause.is_upstream_fault() => {
            let error = with_causes(cause);
            tracing::warn!(request_id = id, code, reason, route = &**route, error, "an application failed");
        }
        GatewayError::Upstream { route, error: cause, .. } => {
            let error = with_causes(cause);
            tracing::info!(request_id = id, code, reason, route = &**route, error, "a request could not be forwarded");
        }
        GatewayError::SessionTooLarge(cause) => tracing::error!(
            request_id = id,
            code,
            reason,
            bytes = cause.bytes,
            limit = cause.limit,
            "a session does not fit into cookies: keep fewer tokens ([session] keep), or ask the provider for fewer claims"
        ),
        GatewayError::Internal(_) => tracing::error!(request_id = id, code, reason, "a fault of ours"),
        // Frequent (every script without a session), or in the audit log already.
        GatewayError::SignInNeeded { .. } | GatewayError::Denied { .. } => {
            tracing::debug!(request_id = id, code, reason, "refused");
        }
        _ => tracing::info!(request_id = id, client = %meta.client, code, reason, "refused"),
    }
}
