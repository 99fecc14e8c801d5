//! The operator's own message, and the page before a sign-in.

use super::*;

/// Each page before a sign-in.
pub(super) fn before_sign_in() -> Vec<(String, Page)> {
    let one = || providers().into_iter().take(1).collect();
    let once_more = Page {
        person: ada(),
        details: vec!["It takes one of the last 15 minutes.".into()],
        ..Page::before_sign_in(Problem::SignInTooOld, one())
    };
    [
        ("chooser-first", Page::before_sign_in(Problem::SignInNeeded, providers())),
        ("sign-in", Page::before_sign_in(Problem::SignInNeeded, one())),
        ("sign-in-ended", Page::before_sign_in(Problem::SessionEnded, one())),
        ("sign-in-once-more", once_more),
    ]
    .map(|(name, page)| (name.to_owned(), page))
    .to_vec()
}

fn with_notice() -> Pages {
    configured(Some("Team Wiki"), Some("help@example.com"), NOTICE)
}

const NOTICE: &[&str] =
    &["For members of Example Corp <internal>.\nUse is logged & kept for 90 days.", "Ask the service desk first."];

#[tokio::test]
async fn the_notice_stands_at_the_door_on_the_way_out_and_where_somebody_may_not_pass() {
    let (with, without) = (with_notice(), contact());
    let shown = "<p dir=\"auto\">For members of Example Corp &lt;internal&gt;.\nUse is logged &amp; kept for 90 days.</p>\n<p dir=\"auto\">Ask the service desk first.</p>";
    let mut bearers = Vec::new();
    for (name, page) in every_page() {
        let html = body(&with, &page, &context(Wants::Html)).await;
        assert_eq!(html.contains(shown), page.has_notice(), "{name}: {html}");
        assert_eq!(html.matches("Ask the service desk").count(), usize::from(page.has_notice()), "{name}");
        // It comes before what the person presses.
        let (notice, button) =
            (html.find(shown), html.find("class=\"button\"").or_else(|| html.find("class=\"choice\"")));
        assert!(notice.is_none_or(|notice| button.is_some_and(|button| notice < button)), "{name}");
        let text = body(&with, &page, &context(Wants::Text)).await;
        let lines = "\nFor members of Example Corp <internal>.\nUse is logged & kept for 90 days.\n\nAsk the service desk first.\n";
        assert_eq!(text.contains(lines), page.has_notice(), "{name}: {text}");
        // Programs get what they can act upon.
        assert!(!body(&with, &page, &context(Wants::ProblemJson)).await.contains("service desk"), "{name}");
        for wants in [Wants::Html, Wants::Text] {
            let bare = body(&without, &page, &context(wants)).await;
            assert!(!bare.contains("service desk") && !bare.contains("class=\"notice\""), "{name}");
        }
        bearers.extend(page.has_notice().then_some(name));
    }
    let wanted = [
        "chooser",
        "denied",
        "signed-out",
        "signed-out-everywhere",
        "chooser-first",
        "sign-in",
        "sign-in-ended",
        "sign-in-once-more",
        "VB-1019",
        "VB-1040",
        "VB-4010",
        "VB-4013",
        "VB-4014",
    ];
    assert_eq!(bearers, wanted);
}

#[tokio::test]
async fn a_page_before_the_sign_in_says_why_in_the_words_that_scripts_get() {
    for (name, page) in every_page() {
        let Some(why) = page.words else { continue };
        let response = contact().render(&page, &context(Wants::Html));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
        let html = String::from_utf8(response.into_body().collect_capped(1 << 20).await.unwrap().to_vec()).unwrap();
        let heading = format!("<h1>{}</h1>\n<p>{}</p>", why.title(), why.message(None));
        assert!(html.contains(&heading) && html.contains("Sign in with <bdi>Example Corp</bdi></a>"), "{name}: {html}");
        assert!(html.contains("href=\"&#x2f;_vestibule&#x2f;login?provider=corp"), "{name}: {html}");
    }
}

/// The pages that bear it, with a short one and a long one.
pub(super) async fn gallery(folder: &str) {
    let long = "Eine lange Mitteilung mit Donaudampfschifffahrtsgesellschaftskapitänen. ".repeat(12);
    let with_long_notice = configured(Some("Team Wiki"), None, &[&long, "a\nb\nc"]);
    for (name, page) in every_page().into_iter().filter(|(name, page)| page.has_notice() && !name.starts_with("VB-")) {
        written(folder, &format!("{name}-notice"), &with_notice(), &page).await;
        written(folder, &format!("{name}-long-notice"), &with_long_notice, &page).await;
    }
}
