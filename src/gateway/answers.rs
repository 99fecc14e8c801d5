//! Our own answers: the one place where an error becomes a page, a problem document or a line of text.

use std::time::Duration;

use http::Response;

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::codes::Problem;
use crate::gateway::error::GatewayError;
use crate::gateway::pages::clean::in_words;
use crate::gateway::pages::page::{Action, Page, PageContext, person_of};
use crate::gateway::verdict::{Lack, RequestFault};
use crate::identity::IdentityError;
use crate::provider::Words;
use crate::request::RequestMeta;
use crate::request::kind::Wants;
use crate::request::return_to::ReturnTo;
use crate::telemetry::causes::with_causes;

impl Gateway {
    /// Renders an error for whoever asked: page, problem document or a line of text.
    pub(super) fn answer_error(&self, meta: &RequestMeta, error: GatewayError) -> Response<Body> {
        log_error(meta, &error);
        // Absolute: whoever reads the answer may not have the address of the request.
        let login_url = match &error {
            GatewayError::SignInNeeded { login_url, .. } | GatewayError::Provider { sign_in: Some(login_url), .. } => {
                Some(self.own_origin(meta) + login_url)
            }
            _ => None,
        };
        let headers = error.headers(meta.host.authority());
        let mut response = self.render(meta, &self.page_of(meta, error), login_url.as_deref());
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

    /// What the page of an error says.
    fn page_of(&self, meta: &RequestMeta, error: GatewayError) -> Page {
        let problem = error.problem();
        // The only provider there is, where the error does not know which one it is about.
        let provider = error.provider().and_then(|name| self.provider_named(name)).or_else(|| self.only_provider());
        let provider = provider.filter(|_| problem.is_about_a_provider()).map(|provider| provider.title().to_owned());
        let (status, reason, retry_after) = (error.status(), error.reason(), error.retry_after());
        let mut page = Page { status, reason, retry_after, provider, ..Page::problem(problem) };
        let next = match error {
            GatewayError::SignInNeeded { login_url, lack, form, .. } => {
                if let Lack::Recent(most) = lack
                    && !form
                {
                    page.details.push(age_limit(most));
                }
                let is_again = form || matches!(lack, Lack::Recent(_));
                Some(Action::link(if is_again { "Sign in again" } else { "Sign in" }, login_url))
            }
            GatewayError::ReturnTooLong { start_page } => Some(Action::link("Sign in to the start page", start_page)),
            GatewayError::Denied { denial, sender } => {
                // Where the code's own words do not say all.
                page.details.extend(denial.details().map(|details| sentence(&details)));
                page.person = sender.as_ref().map(|sender| person_of(sender.identity())).unwrap_or_default();
                let rd = self.address_of(meta);
                sender.map(|sender| self.switch_form(Some(sender.session()), sender.session().provider.name(), rd))
            }
            // To start again would lead back here: the provider knows this account.
            GatewayError::Provider { name: Some(provider), .. } if problem == Problem::TenantNotAllowed => {
                let root = ReturnTo::root(meta.host.clone()).to_url(self.settings.public_url.https);
                Some(self.switch_form(None, &provider, root))
            }
            GatewayError::NoIdentity { provider, error, page: rd } if error.is_about_the_user_name() => {
                if error == IdentityError::UserUnverified {
                    page.details.push("The sign-in page says that your e-mail address is not verified.".to_owned());
                }
                Some(self.switch_form(None, &provider, rd))
            }
            GatewayError::SignIn { again, provider_said, .. } => {
                if let Some((error, description)) = provider_said {
                    page.said = Page::provider_error(&error, description.as_deref()).said;
                }
                again.map(|again| Action::link("Start again", again))
            }
            GatewayError::TooManyRefused { again, .. } => Some(Action::link("Try again", again)),
            GatewayError::Provider { name, again, sign_in, error } => {
                let named = name.and_then(|name| self.provider_named(&name));
                let clocks = named.and_then(|provider| provider.clock_difference(&error));
                page.details.extend(clocks.map(|difference| format!("The sign-in page's clock is {difference}.")));
                page.instead = sign_in.map(|login_url| Action::link("Sign in again", login_url));
                again.map(|again| Action::link("Try again", again))
            }
            GatewayError::Refused(RequestFault::Handshake(fault)) => {
                page.details.push(sentence(&fault.to_string()));
                None
            }
            GatewayError::SessionTooLarge(error) => {
                page.details.push(format!("{} bytes, and {} fit", error.bytes, error.limit));
                None
            }
            _ => None,
        };
        Page { action: next.or(page.action), ..page }
    }
}

/// How old a sign-in may be, as it stands on a page.
pub(super) fn age_limit(most: Duration) -> String {
    format!("It takes one of the last {}.", in_words(most.as_secs()))
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
    let (id, code, reason) = (meta.id.as_str(), error.problem().number(), error.reason());
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
