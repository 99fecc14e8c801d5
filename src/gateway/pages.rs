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
use crate::clock::UnixTime;
use crate::gateway::codes::Code;
use crate::gateway::notice::{Action, Form, Notice, Person, clipped, safe_href};
use crate::gateway::plain::{Gist, TEXT, clipped_rows, json_body, text, utc};
use crate::request::kind::Wants;

/// One of our own answers.
#[derive(Clone, Debug)]
pub enum Page {
    /// Which provider to sign in with.
    Chooser(Chooser),
    /// Something went wrong or has to wait.
    Problem(Notice),
    /// Signed in, but not allowed.
    Denied(Denied),
    /// Signed out; does not sign in again by itself.
    SignedOut {
        /// Where a new sign-in starts.
        sign_in_href: String,
        /// Whether the provider's own session was ended too.
        everywhere: bool,
    },
    /// Whether to sign out.
    LogoutConfirm {
        /// What signs out.
        form: Form,
        /// Who would be signed out.
        person: Option<Person>,
    },
    /// Who am I.
    SessionInfo(SessionInfo),
    /// A form came after the session had ended; it was not passed on.
    FormNotSubmitted {
        /// Where a new sign-in starts.
        sign_in_href: String,
    },
}

/// The providers to choose from.
#[derive(Clone, Debug)]
pub struct Chooser {
    /// In the order to be shown.
    pub providers: Vec<Choice>,
    /// The page stands in the place of the one that was asked for: 401 instead of 200.
    pub in_place: bool,
}

/// One provider to choose.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What people call it.
    pub title: String,
    /// Where the sign-in there starts.
    pub href: String,
}

/// Somebody who is signed in may not see this.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Why: one of the 403 codes, mostly [`Code::NotAllowed`].
    pub code: Code,
    /// Who they are signed in as; none where no session was looked at.
    pub person: Option<Person>,
    /// What is missing, in the rule's own words.
    pub reason: String,
    /// Signs out, and in again as somebody else.
    pub switch_account: Form,
}

/// What the session page tells; never tokens.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Whose session it is.
    pub person: Person,
    /// Label and value, in the order to be shown.
    pub rows: Vec<(String, String)>,
    /// The same for programs.
    pub document: serde_json::Value,
    /// Signs out.
    pub logout: Form,
}

/// What is known of the request that is answered.
#[derive(Clone, Copy, Debug)]
pub struct PageContext<'a> {
    /// The request id, as in the logs.
    pub request_id: &'a str,
    /// The host that was asked, with its port.
    pub host: &'a str,
    /// The time now.
    pub now: UnixTime,
    /// What the client can read.
    pub wants: Wants,
    /// Where a program may send its browser to sign in.
    pub login_url: Option<&'a str>,
}

/// The renderer: templates compiled once, the style's hash computed once.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
    title: Option<String>,
    contact: Option<Contact>,
    style_source: String,
}

impl Pages {
    /// Compiles the templates. `title` stands at the top of each page instead of the host; `contact` is who to ask: any text, an
    /// e-mail address, or a `mailto:`, `https:` or `http:` link.
    pub fn new(title: Option<String>, contact: Option<String>) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            // The templates are part of the program: a test renders each, so that this can not fail later.
            if let Err(error) = templates.add_template(name, source) {
                tracing::error!(template = name, %error, "a page's template does not compile");
            }
        }
        let style_source = format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)));
        Self { templates, title, contact: contact.map(|text| Contact::parse(&text)), style_source }
    }

    /// Renders `page` for the client of `context`.
    pub fn render(&self, page: &Page, context: &PageContext<'_>) -> Response<Body> {
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
        let form_action = match primary_action(page) {
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
        if let Some(action) = primary_action(page) {
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
                reason => gist.code.map(Code::reason),
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
            Page::Chooser(chooser) => {
                let providers: Vec<_> = chooser
                    .providers
                    .iter()
                    .map(|choice| {
                        context! { title => clipped(&choice.title, LABEL_BUDGET), href => safe_href(&choice.href) }
                    })
                    .collect();
                self.fill("chooser.html", context! { providers, host })
            }
            Page::Problem(_) | Page::FormNotSubmitted { .. } => self.fill(
                "notice.html",
                context! {
                    title => gist.title,
                    message => gist.message,
                    details => &gist.details,
                    retry_after => gist.retry_after.map(in_words),
                },
            ),
            Page::Denied(denied) => self.fill(
                "denied.html",
                context! {
                    title => gist.title,
                    message => gist.message,
                    reason_text => gist.details.first(),
                    person => self.person(denied.person.as_ref())?,
                    contact => self.contact.is_some(),
                    host,
                },
            ),
            Page::SignedOut { everywhere, .. } => self.fill("signed_out.html", context! { everywhere, host }),
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

fn primary_action(page: &Page) -> Option<Action> {
    match page {
        // Here each choice is the next step.
        Page::Chooser(_) => None,
        Page::Problem(notice) => Some(notice.action.clone()),
        Page::Denied(denied) => Some(Action::post("Switch account", denied.switch_account.clone())),
        Page::SignedOut { sign_in_href, .. } => Some(Action::link("Sign in again", sign_in_href)),
        Page::LogoutConfirm { form, .. } => Some(Action::post("Sign out", form.clone())),
        Page::SessionInfo(session) => Some(Action::post("Sign out", session.logout.clone())),
        Page::FormNotSubmitted { sign_in_href } => Some(Action::link("Sign in again", sign_in_href)),
    }
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

const TEMPLATES: [(&str, &str); 9] = [
    ("layout.html", include_str!("pages/layout.html")),
    ("action.html", include_str!("pages/action.html")),
    ("person.html", include_str!("pages/person.html")),
    ("chooser.html", include_str!("pages/chooser.html")),
    ("notice.html", include_str!("pages/notice.html")),
    ("denied.html", include_str!("pages/denied.html")),
    ("signed_out.html", include_str!("pages/signed_out.html")),
    ("logout_confirm.html", include_str!("pages/logout_confirm.html")),
    ("session.html", include_str!("pages/session.html")),
];
const STYLE: &str = include_str!("pages/style.css");

const HTML: &str = "text/html; charset=utf-8";
const X_VESTIBULE_RESPONSE: HeaderName = HeaderName::from_static("x-vestibule-response");

// Bytes of escaped text, so that the whole page stays below 16 KiB.
const HOST_BUDGET: usize = 260;
const ID_BUDGET: usize = 80;
const LABEL_BUDGET: usize = 120;
const CONTACT_BUDGET: usize = 240;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_370_400);
    const NASTY: &str = "<script>alert('x')</script>\" onload=\"x\" {{ 7 * 7 }} +ADw-script+AD4-";

    fn context(wants: Wants) -> PageContext<'static> {
        PageContext {
            request_id: "k3v9q2m4-17",
            host: "wiki.example.com",
            now: NOW,
            wants,
            login_url: Some("https://wiki.example.com/_vestibule/login?rd=%2Fspace"),
        }
    }

    fn form() -> Form {
        Form { action: "/_vestibule/logout".into(), fields: vec![("form".into(), "sealed".into())] }
    }

    fn ada() -> Person {
        Person { name: Some("Ada Lovelace".into()), email: Some("ada@example.com".into()), user: Some("ada".into()) }
    }

    fn every_page() -> Vec<(String, Page)> {
        let choice = |name: &str, title: &str| Choice {
            title: title.into(),
            href: format!("/_vestibule/login?provider={name}&rd=%2Fspace"),
        };
        let providers = vec![choice("corp", "Example Corp"), choice("partners", "Partners"), choice("gh", "GitHub")];
        let rows = [
            ("Groups", "staff, editors"),
            ("Signed in with", "Example Corp"),
            ("Signed in", "2026-11-22 17:40:00 UTC"),
            ("Ends", "2026-11-23 05:40:00 UTC"),
            ("Last renewed", "2026-11-22 17:58:12 UTC"),
            ("Cookie", "1 412 bytes"),
        ];
        let mut pages = vec![
            ("chooser".to_owned(), Page::Chooser(Chooser { providers: providers.clone(), in_place: false })),
            ("chooser-in-place".to_owned(), Page::Chooser(Chooser { providers, in_place: true })),
            (
                "denied".to_owned(),
                Page::Denied(Denied {
                    code: Code::NotAllowed,
                    person: Some(ada()),
                    reason: "Needs one of the groups admins, wiki-editors.".into(),
                    switch_account: form(),
                }),
            ),
            ("signed-out".to_owned(), Page::SignedOut { sign_in_href: "/".into(), everywhere: false }),
            ("signed-out-everywhere".to_owned(), Page::SignedOut { sign_in_href: "/".into(), everywhere: true }),
            ("sign-out".to_owned(), Page::LogoutConfirm { form: form(), person: Some(ada()) }),
            (
                "session".to_owned(),
                Page::SessionInfo(SessionInfo {
                    person: ada(),
                    rows: rows.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect(),
                    document: serde_json::json!({ "user": "ada" }),
                    logout: form(),
                }),
            ),
            ("form".to_owned(), Page::FormNotSubmitted { sign_in_href: "/form".into() }),
            (
                "provider-error".to_owned(),
                Page::Problem(Notice::provider_error("access_denied", Some("The user is not assigned to this client"))),
            ),
            (
                "provider-away".to_owned(),
                Page::Problem(Notice::new(Code::ProviderUnreachable).retry_after(Duration::from_secs(30))),
            ),
        ];
        pages.extend(Code::ALL.iter().map(|code| (code.number().to_owned(), Page::Problem(Notice::new(*code)))));
        pages
    }

    async fn body(pages: &Pages, page: &Page, context: &PageContext<'_>) -> String {
        let bytes = pages.render(page, context).into_body().collect_capped(1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn header(response: &Response<Body>, name: &str) -> String {
        response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    fn contact() -> Pages {
        Pages::new(Some("Team Wiki".into()), Some("help@example.com".into()))
    }

    // pages.md section 8.2
    #[tokio::test]
    async fn every_page_is_one_small_accessible_document() {
        let pages = contact();
        for (name, page) in every_page() {
            let html = body(&pages, &page, &context(Wants::Html)).await;
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: {html}");
            assert!(html.len() < 16 * 1024, "{name} has {} bytes", html.len());
            assert_eq!(html.matches("<h1>").count(), 1, "{name}");
            let primary = html.matches("class=\"button\"").count();
            assert_eq!(primary, usize::from(!matches!(page, Page::Chooser(_))), "{name}");
            assert!(!html.contains("<script") && !html.contains("style=\""), "{name}");
            assert!(!html.contains("user-scalable") && html.contains("width=device-width"), "{name}");
            let is_problem = matches!(page, Page::Problem(_) | Page::Denied(_) | Page::FormNotSubmitted { .. });
            assert_eq!(html.contains("role=\"alert\""), is_problem, "{name}");
            assert!(html.contains("k3v9q2m4-17") && html.contains("wiki.example.com"), "{name}");
            assert!(html.contains("<time datetime=\"2026-11-22T18:00:00Z\">2026-11-22 18:00:00 UTC</time>"), "{name}");
            assert!(html.contains("mailto:help@example.com"), "{name}");
        }
    }

    // SB-12, CH-05, AT-CL-20: nothing of ours is cached, framed or sniffed.
    #[test]
    fn every_answer_carries_the_strict_headers() {
        let pages = contact();
        for (name, page) in every_page() {
            for wants in [Wants::Html, Wants::ProblemJson, Wants::Text] {
                let response = pages.render(&page, &context(wants));
                assert_eq!(header(&response, "cache-control"), "no-store", "{name}");
                assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{name}");
                assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{name}");
                assert_eq!(header(&response, "x-frame-options"), "DENY", "{name}");
                assert!(!header(&response, "x-vestibule-response").is_empty(), "{name}");
                let policy = header(&response, "content-security-policy");
                assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{name}");
                assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn the_policy_allows_exactly_the_style_that_is_on_the_page() {
        let pages = contact();
        let page = Page::Problem(Notice::new(Code::Internal));
        let policy = header(&pages.render(&page, &context(Wants::Html)), "content-security-policy");
        let html = body(&pages, &page, &context(Wants::Html)).await;
        let style = html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("</"));
    }

    #[test]
    fn a_form_may_lead_where_it_has_to_and_no_further() {
        let pages = contact();
        let policy = |page| header(&pages.render(&page, &context(Wants::Html)), "content-security-policy");
        let confirm = Page::LogoutConfirm { form: form(), person: None };
        assert!(policy(confirm).contains("form-action 'self' https: http:;"));
        assert!(policy(Page::Problem(Notice::new(Code::NotFound))).contains("form-action 'none';"));
    }

    // AT-LF-14, OA-08
    #[tokio::test]
    async fn no_text_from_elsewhere_becomes_markup() {
        let pages = Pages::new(Some(NASTY.into()), Some(NASTY.into()));
        let person = Person { name: Some(NASTY.into()), email: Some(NASTY.into()), user: Some(NASTY.into()) };
        let nasty_form = Form { action: NASTY.into(), fields: vec![(NASTY.into(), NASTY.into())] };
        let all = [
            Page::Problem(Notice::provider_error(NASTY, Some(NASTY)).detail(NASTY).start_again("javascript:alert(1)")),
            Page::Problem(Notice::new(Code::Internal).action(Action::post(NASTY, nasty_form.clone()))),
            Page::Denied(Denied {
                code: Code::NotAllowed,
                person: Some(person.clone()),
                reason: NASTY.into(),
                switch_account: nasty_form.clone(),
            }),
            Page::Chooser(Chooser {
                providers: vec![Choice { title: NASTY.into(), href: format!("/{NASTY}") }],
                in_place: false,
            }),
            Page::SessionInfo(SessionInfo {
                person,
                rows: vec![(NASTY.into(), NASTY.into())],
                document: serde_json::Value::Null,
                logout: nasty_form,
            }),
        ];
        let nasty_context = PageContext { request_id: NASTY, host: NASTY, ..context(Wants::Html) };
        for page in all {
            let response = pages.render(&page, &nasty_context);
            assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
            let html = body(&pages, &page, &nasty_context).await;
            assert!(html.starts_with("<!doctype html>"), "{html}");
            assert!(!html.contains("<script") && !html.contains("\" onload"), "{html}");
            assert!(!html.contains("javascript:") && html.contains("{{ 7 * 7 }}"), "{html}");
        }
    }

    #[tokio::test]
    async fn texts_without_end_do_not_make_a_page_without_end() {
        let long = "\"<&'/ ".repeat(20_000);
        let pages = Pages::new(None, Some(long.clone()));
        let person =
            Person { name: Some(long.clone()), email: Some(format!("x{long}")), user: Some(format!("y{long}")) };
        let mut notice = Notice::provider_error(&long, Some(&long));
        notice.details.extend(vec![long.clone(); 50]);
        let all = [
            Page::Problem(notice),
            Page::Denied(Denied {
                code: Code::NotAllowed,
                person: Some(person.clone()),
                reason: long.clone(),
                switch_account: form(),
            }),
            Page::SessionInfo(SessionInfo {
                person,
                rows: vec![(long.clone(), long.clone()); 50],
                document: serde_json::Value::Null,
                logout: form(),
            }),
        ];
        let nasty_context = PageContext { request_id: &long, host: &long, ..context(Wants::Html) };
        for page in all {
            let html = body(&pages, &page, &nasty_context).await;
            assert!(html.len() < 16 * 1024, "{} bytes", html.len());
        }
    }

    // Issue section 4: what is not a navigation gets problem details with a `login_url`.
    #[tokio::test]
    async fn a_script_gets_problem_details() {
        let pages = contact();
        let page = Page::Problem(Notice::new(Code::SignInNeeded));
        let response = pages.render(&page, &context(Wants::ProblemJson));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&response, "content-type"), "application/problem+json");
        let problem: serde_json::Value =
            serde_json::from_str(&body(&pages, &page, &context(Wants::ProblemJson)).await).unwrap();
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "urn:vestibule:problem:sign_in_needed",
                "title": "Please sign in",
                "status": 401,
                "detail": "This page is only for people who are signed in.",
                "login_url": "https://wiki.example.com/_vestibule/login?rd=%2Fspace",
                "request_id": "k3v9q2m4-17",
                "code": "VB-1020",
            })
        );
    }

    #[tokio::test]
    async fn a_terminal_gets_the_same_code_and_hint() {
        let said = body(&contact(), &Page::Problem(Notice::new(Code::SignInNeeded)), &context(Wants::Text)).await;
        assert_eq!(
            said,
            "Please sign in (VB-1020 sign_in_needed)\nThis page is only for people who are signed in.\n\
             Sign in: https://wiki.example.com/_vestibule/login?rd=%2Fspace\n\
             Request k3v9q2m4-17 at 2026-11-22 18:00:00 UTC on wiki.example.com\n"
        );
    }

    #[tokio::test]
    async fn the_session_is_told_to_a_program_as_it_is() {
        let (_, page) = every_page().into_iter().find(|(name, _)| name == "session").unwrap();
        let response = contact().render(&page, &context(Wants::ProblemJson));
        assert_eq!(header(&response, "content-type"), "application/json");
        assert_eq!(response.into_body().collect_capped(99).await.unwrap(), r#"{"user":"ada"}"#);
    }

    #[test]
    fn waiting_is_told_in_the_header_too() {
        let page = Page::Problem(Notice::new(Code::ProviderUnreachable).retry_after(Duration::from_millis(30_900)));
        let response = contact().render(&page, &context(Wants::Html));
        assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "30".into()));
        assert_eq!(header(&response, "x-vestibule-response"), "VB-2001");
    }

    #[test]
    fn a_contact_becomes_a_link_when_it_is_one() {
        let href = |text: &str| Contact::parse(text).href;
        assert_eq!(href("help@example.com").as_deref(), Some("mailto:help@example.com"));
        assert_eq!(href("mailto:a@b.example").as_deref(), Some("mailto:a@b.example"));
        assert_eq!(href("https://help.example.com/").as_deref(), Some("https://help.example.com/"));
        assert_eq!(href("the help desk, extension 42"), None);
        assert_eq!(href("javascript:alert(1)@x"), None);
    }

    /// Writes every page, with its headers, for `tests/real/pages.test.mjs` to look at in a browser.
    #[tokio::test]
    #[ignore = "writes files: tests/real/run asks for it"]
    async fn gallery() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/screenshots/gallery");
        fs::create_dir_all(folder).unwrap();
        let pages = contact();
        for (name, page) in every_page() {
            let policy = header(&pages.render(&page, &context(Wants::Html)), "content-security-policy");
            fs::write(format!("{folder}/{name}.html"), body(&pages, &page, &context(Wants::Html)).await).unwrap();
            fs::write(format!("{folder}/{name}.csp"), policy).unwrap();
        }
    }
}
