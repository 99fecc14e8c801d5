//! The pages that people see, and the same answers for programs: one renderer for every answer that is our own.
//!
//! 1. One response holds all: no script, no file to load, below 16 KiB, so that it also works through a proxy's auth check.
//! 2. What a program gets says the same, as problem details (RFC 9457) or as plain text.
//! 3. Nothing is cached, framed, sniffed or sent on as a referrer; the one style is allowed by its hash.
//! 4. Every value is escaped by the template engine. Texts from elsewhere are cleaned and clipped before that (`notice.rs`).

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
use crate::gateway::codes::Code;
use crate::gateway::notice::{Action, Notice, Person, clipped, in_words, safe_href, utc};
use crate::request::kind::Wants;

use self::page::{Choice, Page, PageContext};
use self::plain::{Gist, TEXT, clipped_rows, json_body, text};

pub(super) mod page;
mod plain;

/// The renderer: templates compiled once, the style's hash computed once.
#[derive(Debug)]
pub(super) struct Pages {
    templates: Environment<'static>,
    title: Option<String>,
    contact: Option<Contact>,
    style_source: String,
}

impl Pages {
    /// Compiles the templates. `title` stands at the top of each page instead of the host; `contact` is who to ask: any text, an
    /// e-mail address, or a `mailto:`, `https:` or `http:` link.
    pub(super) fn new(title: Option<String>, contact: Option<String>) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            // The templates are part of the program: a test renders each, so that this cannot fail later.
            if let Err(error) = templates.add_template(name, source) {
                tracing::error!(template = name, %error, "a page's template does not compile");
            }
        }
        let style_source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)));
        Self { templates, title, contact: contact.map(|text| Contact::parse(&text)), style_source }
    }

    /// Renders `page` for the client of `context`.
    pub(super) fn render(&self, page: &Page, context: &PageContext<'_>) -> Response<Body> {
        let gist = Gist::of(page);
        let (kind, body) = match context.wants {
            Wants::Html => match self.html(page, &gist, context) {
                Ok(html) => (HTML, html),
                Err(error) => {
                    tracing::error!(request_id = context.request_id, %error, "a page could not be rendered");
                    (TEXT, text(page, &gist, context))
                }
            },
            Wants::ProblemJson => json_body(page, &gist, context),
            Wants::Text => (TEXT, text(page, &gist, context)),
        };
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = gist.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(X_VESTIBULE_RESPONSE, HeaderValue::from_static(gist.word));
        if let Ok(policy) = HeaderValue::try_from(self.security_policy(page, kind)) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        if let Some(wait) = gist.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }

    /// SB-12, AT-CL-20: nothing may be loaded but the style, and nobody may frame the page.
    fn security_policy(&self, page: &Page, kind: &str) -> String {
        if kind != HTML {
            return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'".to_owned();
        }
        let form_action = match page.action() {
            // Browsers hold a redirect that follows a form to this too: signing out leads to the provider, and one that is itself
            // federated sends on to hosts that nobody here knows.
            Some(Action::Post { .. }) => "'self' https: http:",
            _ => "'none'",
        };
        format!(
            "default-src 'none'; style-src {}; img-src data:; form-action {form_action}; frame-ancestors 'none'; \
             base-uri 'none'",
            self.style_source
        )
    }

    fn html(&self, page: &Page, gist: &Gist, context: &PageContext<'_>) -> Result<String, minijinja::Error> {
        let mut content = self.content(page, gist, context)?;
        if let Some(action) = page.action() {
            content.push_str(&self.action(&action)?);
        }
        if let Page::Problem(Notice { instead: Some(action), .. }) = page {
            content.push_str(&self.action(action)?);
        }
        let (time, time_iso) = utc(context.now);
        let host = clipped(context.host, HOST_BUDGET);
        self.fill(
            "layout.html",
            context! {
                title => gist.title,
                site => self.title.as_deref().unwrap_or(&host),
                style => Value::from_safe_string(STYLE.to_owned()),
                content => Value::from_safe_string(content),
                code => gist.code.map(Code::number),
                reason => gist.reason,
                said => &gist.said,
                contact => self.contact.as_ref().map(|c| context! { text => &c.text, href => &c.href }),
                request_id => clipped(context.request_id, ID_BUDGET),
                host, time, time_iso,
            },
        )
    }

    /// The part of the page between its top and its one action.
    fn content(&self, page: &Page, gist: &Gist, context: &PageContext<'_>) -> Result<String, minijinja::Error> {
        let host = clipped(context.host, HOST_BUDGET);
        match page {
            Page::Chooser(choices) => {
                let choice = |it: &Choice| {
                    context! { title => clipped(&it.title, LABEL_BUDGET), href => safe_href(&it.href) }
                };
                let providers: Vec<_> = choices.iter().map(choice).collect();
                self.fill("chooser.html", context! { providers, host })
            }
            Page::SignedIn { .. } => {
                self.fill("signed_in.html", context! { title => gist.title, message => &gist.message })
            }
            Page::Problem(notice) => self.fill(
                "notice.html",
                context! {
                    title => gist.title,
                    message => &gist.message,
                    details => &gist.details,
                    retry_after => gist.retry_after.map(in_words),
                    person => self.person(notice.person.as_ref())?,
                    switches_account => matches!(notice.action, Action::Post { .. }),
                    contact => self.contact.is_some(),
                    host,
                },
            ),
            Page::SignedOut { everywhere, provider, .. } => {
                let provider = provider.as_deref().map(|title| clipped(title, LABEL_BUDGET));
                self.fill("signed_out.html", context! { everywhere, provider, host })
            }
            Page::LogoutConfirm { person, .. } => {
                self.fill("logout_confirm.html", context! { person => self.person(person.as_ref())?, host })
            }
            Page::SessionInfo(session) => {
                let rows: Vec<_> =
                    clipped_rows(&session.rows).map(|(label, value)| context! { label, value }).collect();
                self.fill("session.html", context! { person => self.person(Some(&session.person))?, rows })
            }
        }
    }

    fn person(&self, person: Option<&Person>) -> Result<Option<Value>, minijinja::Error> {
        let Some(person) = person else { return Ok(None) };
        let lines = person.lines();
        let Some((first, rest)) = lines.split_first() else { return Ok(None) };
        let initial: String = first.chars().take(1).flat_map(char::to_uppercase).collect();
        self.fill("person.html", context! { initial, first, rest => rest.to_vec() })
            .map(|html| Some(Value::from_safe_string(html)))
    }

    fn action(&self, action: &Action) -> Result<String, minijinja::Error> {
        let (label, href, fields) = match action {
            Action::Link { label, href } => (label, href, None),
            Action::Post { label, form } => {
                let fields: Vec<_> =
                    form.fields.iter().map(|(name, value)| context! { name => name, value => value }).collect();
                (label, &form.action, Some(fields))
            }
        };
        self.fill("action.html", context! { label, href => safe_href(href), fields })
    }

    fn fill(&self, template: &str, values: Value) -> Result<String, minijinja::Error> {
        self.templates.get_template(template)?.render(values)
    }
}

/// Who to ask, as configured.
#[derive(Debug)]
struct Contact {
    text: String,
    href: Option<String>,
}

impl Contact {
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

const TEMPLATES: [(&str, &str); 9] = [
    ("layout.html", include_str!("layout.html")),
    ("action.html", include_str!("action.html")),
    ("person.html", include_str!("person.html")),
    ("chooser.html", include_str!("chooser.html")),
    ("notice.html", include_str!("notice.html")),
    ("signed_in.html", include_str!("signed_in.html")),
    ("signed_out.html", include_str!("signed_out.html")),
    ("logout_confirm.html", include_str!("logout_confirm.html")),
    ("session.html", include_str!("session.html")),
];
const STYLE: &str = include_str!("style.css");

const HTML: &str = "text/html; charset=utf-8";
const X_VESTIBULE_RESPONSE: HeaderName = HeaderName::from_static("x-vestibule-response");

// Bytes of escaped text, so that the whole page stays below 16 KiB.
const HOST_BUDGET: usize = 260;
const ID_BUDGET: usize = 80;
const LABEL_BUDGET: usize = 120;
const CONTACT_BUDGET: usize = 240;

#[cfg(test)]
mod tests;
