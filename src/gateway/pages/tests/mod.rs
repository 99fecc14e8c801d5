//! What our own pages promise, in every form of them.

use std::fs;
use std::time::Duration;

use http::StatusCode;

use super::clean::person;
use super::*;
use crate::clock::UnixTime;
use crate::identity::Identity;

mod notice;

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

fn form(label: &'static str) -> Action {
    Action { label, href: "/_vestibule/logout".into(), form: Some(vec![("form", "sealed".into())]) }
}

fn ada() -> Vec<String> {
    person([Some("Ada Lovelace"), Some("ada@example.com"), Some("ada")])
}

fn form_not_submitted(problem: Problem) -> Page {
    Page { action: Some(Action::link("Sign in again", "/form")), ..Page::problem(problem) }
}

fn denied(page: Page, person: Vec<String>, needs: &str, switch_account: Action) -> Page {
    Page { person, details: vec![needs.to_owned()], action: Some(switch_account), ..page }
}

fn signed_out(everywhere: bool) -> Page {
    Page::signed_out("/".into(), everywhere, Some("Example Corp".into()))
}

fn session(
    person: Vec<String>,
    rows: Vec<(&'static str, String)>,
    document: serde_json::Value,
    sign_out: Action,
) -> Page {
    let nobody = Identity::nobody("corp".into(), "https://login.example.com".into());
    Page { person, ..Page::session(&nobody, rows, document, sign_out) }
}

fn providers() -> Vec<Choice> {
    let named = [("corp", "Example Corp"), ("partners", "Partners"), ("gh", "GitHub")];
    let choice = |(name, title): (&str, &str)| Choice {
        title: title.into(),
        href: format!("/_vestibule/login?provider={name}&rd=%2Fspace"),
    };
    named.map(choice).to_vec()
}

fn every_page() -> Vec<(String, Page)> {
    let rows = [
        ("Groups", "staff, editors"),
        ("Signed in with", "Example Corp"),
        ("Signed in", "2026-11-22 17:40:00 UTC"),
        ("Ends", "2026-11-23 05:40:00 UTC"),
        ("Last renewed", "2026-11-22 17:58:12 UTC"),
        ("Cookie", "1 412 bytes"),
    ];
    let mut pages = vec![
        ("chooser".to_owned(), Page::chooser(providers())),
        ("signed-in".to_owned(), Page::signed_in("https://wiki.example.com/space".into())),
        (
            "denied".to_owned(),
            denied(
                Page { reason: "group_missing", ..Page::problem(Problem::NotAllowed) },
                ada(),
                "Needs one of the groups admins, wiki-editors.",
                form("Switch account"),
            ),
        ),
        ("signed-out".to_owned(), signed_out(false)),
        ("signed-out-everywhere".to_owned(), signed_out(true)),
        ("sign-out".to_owned(), Page::confirm_sign_out(form("Sign out"), ada())),
        (
            "session".to_owned(),
            session(
                ada(),
                rows.iter().map(|(label, value)| (*label, (*value).into())).collect(),
                serde_json::json!({ "user": "ada" }),
                form("Sign out"),
            ),
        ),
        ("form".to_owned(), form_not_submitted(Problem::FormNotSubmitted)),
        ("form-too-late".to_owned(), form_not_submitted(Problem::FormTooLate)),
        (
            "provider-error".to_owned(),
            Page::provider_error("access_denied", Some("The user is not assigned to this client")),
        ),
        (
            "provider-away".to_owned(),
            Page { retry_after: Some(Duration::from_secs(30)), ..Page::problem(Problem::ProviderUnreachable) },
        ),
    ];
    pages.extend(notice::before_sign_in());
    pages.extend(Problem::ALL.iter().map(|code| (code.number().to_owned(), Page::problem(*code))));
    pages
}

async fn body(pages: &Pages, page: &Page, context: &PageContext<'_>) -> String {
    let bytes = pages.render(page, context).into_body().collect_capped(1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn header(response: &Response<Body>, name: &str) -> String {
    response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

fn configured(title: Option<&str>, contact: Option<&str>, notice: &[&str]) -> Pages {
    let [title, contact] = [title, contact].map(|text| text.map(str::to_owned));
    let notice = notice.iter().map(|text| (*text).to_owned()).collect();
    Pages::new(&PagesSettings { title, contact, notice, ..PagesSettings::default() })
}

fn contact() -> Pages {
    configured(Some("Team Wiki"), Some("help@example.com"), &[])
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
        assert_eq!(primary, usize::from(!name.starts_with("chooser")), "{name}");
        assert!(!html.contains("<script") && !html.contains("style=\""), "{name}");
        assert!(!html.contains("user-scalable") && html.contains("width=device-width"), "{name}");
        let is_problem = page.problem.is_some();
        assert_eq!(html.contains("role=\"alert\""), is_problem, "{name}");
        assert!(html.contains("wiki.example.com"), "{name}");
        // What to pass on stands where something went wrong, and only there.
        let time = "<time datetime=\"2026-11-22T18:00:00Z\">2026-11-22 18:00:00 UTC</time>";
        for for_support in ["k3v9q2m4-17", time, "<pre"] {
            assert_eq!(html.contains(for_support), is_problem, "{name}: {for_support}");
        }
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
    let page = Page::problem(Problem::Internal);
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
    let confirm = Page::confirm_sign_out(form("Sign out"), Vec::new());
    assert!(policy(confirm).contains("form-action 'self' https: http:;"));
    assert!(policy(Page::problem(Problem::NotFound)).contains("form-action 'none';"));
}

// AT-LF-14, OA-08
#[tokio::test]
async fn no_text_from_elsewhere_becomes_markup() {
    let pages = configured(Some(NASTY), Some(NASTY), &[NASTY, "a\n<b>"]);
    let person = person([Some(NASTY); 3]);
    let nasty_form = Action { label: NASTY, href: NASTY.into(), form: Some(vec![(NASTY, NASTY.into())]) };
    let all = [
        Page {
            details: vec![NASTY.to_owned()],
            action: Some(Action::link("Start again", "javascript:alert(1)")),
            ..Page::provider_error(NASTY, Some(NASTY))
        },
        Page { action: Some(nasty_form.clone()), ..Page::problem(Problem::Internal) },
        denied(
            Page { provider: Some(NASTY.into()), reason: "group_missing", ..Page::problem(Problem::NotAllowed) },
            person.clone(),
            NASTY,
            nasty_form.clone(),
        ),
        Page::chooser(vec![Choice { title: NASTY.into(), href: format!("/{NASTY}") }]),
        Page::before_sign_in(Problem::SignInNeeded, vec![Choice { title: NASTY.into(), href: "javascript:x".into() }]),
        signed_out(false),
        session(person, vec![(NASTY, NASTY.into())], serde_json::Value::Null, nasty_form),
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
    let pages = configured(None, Some(&long), &[&"'".repeat(500), &"/".repeat(500)]);
    let person = person([Some(&long), Some(&format!("x{long}")), Some(&format!("y{long}"))]);
    let all = [
        Page { details: vec![long.clone(); 50], ..Page::provider_error(&long, Some(&long)) },
        denied(
            Page {
                provider: Some(long.clone()),
                reason: "id_token_tenant",
                ..Page::problem(Problem::TenantNotAllowed)
            },
            person.clone(),
            &long,
            form("Switch account"),
        ),
        session(person, vec![("Groups", long.clone()); 50], serde_json::Value::Null, form("Sign out")),
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
    let page = Page::problem(Problem::SignInNeeded);
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
            "reason": "sign_in_needed",
        })
    );
}

#[tokio::test]
async fn a_terminal_gets_the_same_code_and_hint() {
    let said = body(&contact(), &Page::problem(Problem::SignInNeeded), &context(Wants::Text)).await;
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
    let page = Page { retry_after: Some(Duration::from_millis(30_900)), ..Page::problem(Problem::ProviderUnreachable) };
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
        written(folder, &name, &pages, &page).await;
    }
    notice::gallery(folder).await;
}

/// Writes a page for a browser.
async fn written(folder: &str, name: &str, pages: &Pages, page: &Page) {
    let policy = header(&pages.render(page, &context(Wants::Html)), "content-security-policy");
    fs::write(format!("{folder}/{name}.html"), body(pages, page, &context(Wants::Html)).await).unwrap();
    fs::write(format!("{folder}/{name}.csp"), policy).unwrap();
}

/// Every page, those of every code with every finer reason that logs may have for it, and with everything that may stand on one.
fn crowded_pages() -> Vec<(String, Page)> {
    let mut pages = every_page();
    for code in Problem::ALL {
        let reasons = crate::codes::reasons(code.number());
        for reason in reasons {
            let page = Page { provider: Some("Example Corp".into()), reason, ..Page::problem(*code) };
            let again = Page {
                action: Some(Action::link("Start again", "/again")),
                retry_after: Some(Duration::from_secs(30)),
                said: vec!["weird_error".into(), "“it_was 42 no_good”".into()],
                ..page.clone()
            };
            pages.push((format!("{code} {reason}"), again));
            let denied = denied(page, ada(), "Needs the group board.", form("Switch account"));
            pages.push((format!("denied {code} {reason}"), denied));
        }
    }
    pages
}

/// What a person reads: without tags, and parted into what stands above the lines for support and those lines.
fn visible(html: &str) -> (Vec<String>, String) {
    let body = html.split_once("<main>").unwrap().1;
    let (words, support) = match body.split_once("<pre") {
        Some((words, rest)) => {
            (words.to_owned() + rest.split_once("</pre>").unwrap().1, rest.split_once("</pre>").unwrap().0)
        }
        None => (body.to_owned(), ""),
    };
    let without_tags = |html: &str| -> String {
        let parts = html.split('<').enumerate();
        parts.map(|(at, part)| if at == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) }).collect()
    };
    let inline = words.replace("<bdi>", "").replace("</bdi>", "").replace("<strong>", "").replace("</strong>", "");
    let lines = inline.replace("</", "\n</").split('\n').map(|line| without_tags(line).trim().to_owned()).collect();
    (lines, without_tags(&format!("<pre{support}")))
}

fn sentences(text: &str) -> Vec<String> {
    let marked = text.replace(". ", ".\n").replace("? ", "?\n").replace("! ", "!\n");
    let ends = |part: &&str| part.len() > 6 && part.ends_with(['.', '?', '!']);
    marked.lines().map(str::trim).filter(ends).map(str::to_owned).collect()
}

#[tokio::test]
async fn no_sentence_stands_twice_on_a_page() {
    let pages = contact();
    for (name, page) in crowded_pages() {
        for wants in [Wants::Html, Wants::Text, Wants::ProblemJson] {
            let text = body(&pages, &page, &context(wants)).await;
            let said: Vec<String> = match wants {
                Wants::Html => visible(&text).0.iter().flat_map(|line| sentences(line)).collect(),
                _ => sentences(&text.replace("\",\"", " \n")),
            };
            let mut sorted = said.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), said.len(), "{name}: {said:?}");
        }
    }
}

#[tokio::test]
async fn what_logs_call_it_stands_among_the_lines_for_support_and_nowhere_else() {
    let pages = contact();
    let raw = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        words.filter(|word| word.trim_matches('_').contains('_')).map(str::to_owned).collect()
    };
    for (name, page) in crowded_pages() {
        let (words, support) = visible(&body(&pages, &page, &context(Wants::Html)).await);
        assert_eq!(raw(&words.join(" ")), Vec::<String>::new(), "{name}: {words:?}");
        assert!(support.contains(page.reason), "{name}: {support}");
        if let Some(code) = page.problem {
            assert!(support.contains(&format!("{} {}\n", code.number(), page.reason)), "{name}: {support}");
            assert!(page.said.iter().all(|said| support.contains(said.as_str())), "{name}: {support}");
            let problem = body(&pages, &page, &context(Wants::ProblemJson)).await;
            let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
            assert_eq!((&problem["code"], &problem["reason"]), (&code.number().into(), &page.reason.into()));
            let text = body(&pages, &page, &context(Wants::Text)).await;
            assert!(text.contains(&format!("({} {})\n", code.number(), page.reason)), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_about_a_provider_says_what_people_call_it() {
    let pages = contact();
    for (name, page) in crowded_pages() {
        let Some(code) = page.problem.filter(|_| page.provider.is_some()) else { continue };
        for wants in [Wants::Html, Wants::Text, Wants::ProblemJson] {
            let said = body(&pages, &page, &context(wants)).await;
            assert_eq!(said.contains("Example Corp"), code.is_about_a_provider(), "{name}: {said}");
            assert!(!said.contains('{') || wants == Wants::ProblemJson || wants == Wants::Html, "{name}: {said}");
            assert!(!said.contains("{at}"), "{name}: {said}");
        }
    }
    for code in Problem::ALL {
        let mentions = code.message(None).contains("sign-in page");
        assert_eq!(mentions, code.is_about_a_provider(), "{code}: whose sign-in page?");
        assert!(!code.message(None).contains('{'), "{code}");
        assert!(!code.number().starts_with("VB-2") || mentions, "{code} is about the provider and does not name it");
    }
}

#[tokio::test]
async fn whoever_is_signed_in_is_not_told_to_be_signed_in() {
    for code in [Problem::SignInTooOld, Problem::FormTooLate, Problem::NotAllowed] {
        for wants in [Wants::Html, Wants::Text, Wants::ProblemJson] {
            let said = body(&contact(), &Page::problem(code), &context(wants)).await;
            assert!(said.contains("You are signed in"), "{code}: {said}");
            assert!(
                !said.contains("for people who are signed in") && !said.contains("Please sign in."),
                "{code}: {said}"
            );
        }
    }
    let said = body(&contact(), &Page::problem(Problem::SignInTooOld), &context(Wants::Text)).await;
    assert!(said.contains("\nSign in again: https://"), "{said}");
}
