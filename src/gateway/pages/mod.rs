//! The pages that people see, and the same answers for programs: one renderer for every answer that is our own.
//!
//! 1. One response holds all: no script, no file to load, below 16 KiB, so that it also works through a proxy's auth check.
//! 2. What a program gets says the same, as problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) or as plain text.
//! 3. Nothing is cached, framed, sniffed or sent on as a referrer; the one style is allowed by its hash.
//! 4. Every value is escaped by the template engine. Texts from elsewhere are cleaned and clipped before that (`clean.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::gateway::codes::Problem;
use crate::gateway::settings::PagesSettings;
use crate::request::kind::Wants;

use self::clean::{clipped, in_words, safe_href, utc};
use self::page::{Action, Choice, Page, PageContext};
use self::plain::{LABEL_BUDGET, TEXT, json_body, text};

pub(super) mod clean;
pub(super) mod page;
mod plain;

/// The renderer: templates compiled once, the style's hash computed once.
#[derive(Debug)]
pub(super) struct Pages {
    templates: Environment<'static>,
    title: Option<String>,
    contact: Option<Contact>,
    /// The paragraphs of the operator's own message.
    notice: Vec<String>,
    style_source: String,
}

impl Pages {
    /// Compiles the templates.
    pub(super) fn new(settings: &PagesSettings) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            // The templates are part of the program: a test renders each, so that this cannot fail later.
            if let Err(error) = templates.add_template(name, source) {
                tracing::error!(template = name, %error, "a page's template does not compile");
            }
        }
        let style_source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)));
        let contact = settings.contact.as_deref().map(Contact::parse);
        Self { templates, title: settings.title.clone(), contact, notice: settings.notice.clone(), style_source }
    }

    /// Renders `page` for the client of `context`.
    pub(super) fn render(&self, page: &Page, context: &PageContext<'_>) -> Response<Body> {
        let (kind, body) = match context.wants {
            Wants::Html => match self.html(page, context) {
                Ok(html) => (HTML, html),
                Err(error) => {
                    tracing::error!(request_id = context.request_id, %error, "a page could not be rendered");
                    (TEXT, text(page, context, &self.notice))
                }
            },
            Wants::ProblemJson => json_body(page, context),
            Wants::Text => (TEXT, text(page, context, &self.notice)),
        };
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = page.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(X_VESTIBULE_RESPONSE, HeaderValue::from_static(page.word));
        if let Ok(policy) = HeaderValue::try_from(self.security_policy(page, kind)) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if let Some(wait) = page.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }

    /// SB-12, AT-CL-20: nothing may be loaded but the style, and nobody may frame the page.
    fn security_policy(&self, page: &Page, kind: &str) -> String {
        if kind != HTML {
            return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'".to_owned();
        }
        // Browsers hold a redirect that follows a form to this too: signing out leads to the provider, and one that is itself
        // federated sends on to hosts that nobody here knows.
        let form_action = if has_form(page) { "'self' https: http:" } else { "'none'" };
        format!(
            "default-src 'none'; style-src {}; img-src data:; form-action {form_action}; frame-ancestors 'none'; \
             base-uri 'none'",
            self.style_source
        )
    }

    /// The page as a document. All templates see the same values.
    fn html(&self, page: &Page, context: &PageContext<'_>) -> Result<String, minijinja::Error> {
        let (time, time_iso) = utc(context.now);
        let host = clipped(context.host, HOST_BUDGET);
        let person = page.person.split_first().map(|(first, rest)| {
            let initial: String = first.chars().take(1).flat_map(char::to_uppercase).collect();
            context! { initial, first, rest => rest.to_vec() }
        });
        let choice = |it: &Choice| context! { title => clipped(&it.title, LABEL_BUDGET), href => safe_href(&it.href) };
        let action = |it: &Action| {
            let field = |(name, value): &(&str, String)| context! { name => *name, value };
            let fields = it.form.as_ref().map(|fields| fields.iter().map(field).collect::<Vec<_>>());
            context! { label => it.label, href => safe_href(&it.href), fields }
        };
        self.templates.get_template("layout.html")?.render(context! {
            template => page.template,
            title => page.title,
            message => page.message(),
            notice => page.has_notice().then_some(&self.notice),
            details => page.shown_details(),
            said => page.shown_said(),
            code => page.problem.map(Problem::number),
            reason => page.reason,
            retry_after => page.retry_after_seconds().map(in_words),
            provider => page.provider.as_deref().map(|title| clipped(title, LABEL_BUDGET)),
            everywhere => page.everywhere,
            choices => page.choices.iter().map(choice).collect::<Vec<_>>(),
            rows => page.shown_rows().map(|(label, value)| context! { label, value }).collect::<Vec<_>>(),
            actions => page.action.iter().chain(&page.instead).map(action).collect::<Vec<_>>(),
            switches_account => has_form(page),
            site => self.title.as_deref().unwrap_or(&host),
            style => Value::from_safe_string(STYLE.to_owned()),
            contact => self.contact.as_ref().map(|c| context! { text => &c.text, href => &c.href }),
            request_id => clipped(context.request_id, ID_BUDGET),
            host, person, time, time_iso,
        })
    }
}

/// Whether the next thing to do is to send a form.
fn has_form(page: &Page) -> bool {
    page.action.as_ref().is_some_and(|action| action.form.is_some())
}

/// Who to ask, as configured.
#[derive(Debug)]
struct Contact {
    /// The words.
    text: String,
    /// Where they lead, if they are a link or an address.
    href: Option<String>,
}

impl Contact {
    /// Reads what is written in the configuration.
    fn parse(written: &str) -> Self {
        let written = written.trim();
        let text = clipped(written.strip_prefix("mailto:").unwrap_or(written), CONTACT_BUDGET);
        let is_link = ["mailto:", "https://", "http://"].iter().any(|scheme| written.starts_with(scheme));
        let is_address = written.split('@').filter(|part| !part.is_empty()).count() == 2
            && !written.contains(|c: char| c.is_whitespace() || matches!(c, ':' | '/' | '<' | '>'));
        let href = match (is_link, is_address) {
            (true, _) => Some(written.to_owned()),
            (false, true) => Some(format!("mailto:{written}")),
            (false, false) => None,
        };
        Self { text, href }
    }
}

/// The templates, by name.
const TEMPLATES: [(&str, &str); 11] = [
    ("layout.html", include_str!("layout.html")),
    ("action.html", include_str!("action.html")),
    ("person.html", include_str!("person.html")),
    ("chooser.html", include_str!("chooser.html")),
    ("notice.html", include_str!("notice.html")),
    ("problem.html", include_str!("problem.html")),
    ("sign_in.html", include_str!("sign_in.html")),
    ("signed_in.html", include_str!("signed_in.html")),
    ("signed_out.html", include_str!("signed_out.html")),
    ("logout_confirm.html", include_str!("logout_confirm.html")),
    ("session.html", include_str!("session.html")),
];
/// The one style of all pages.
const STYLE: &str = include_str!("style.css");

/// The media type of pages.
const HTML: &str = "text/html; charset=utf-8";
/// Says that an answer is ours.
const X_VESTIBULE_RESPONSE: HeaderName = HeaderName::from_static("x-vestibule-response");

// Bytes of escaped text, so that the whole page stays below 16 KiB.
/// Of a host.
const HOST_BUDGET: usize = 260;
/// Of a request id.
const ID_BUDGET: usize = 80;
/// Of who to ask.
const CONTACT_BUDGET: usize = 240;

#[cfg(test)]
mod tests;
