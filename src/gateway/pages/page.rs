//! What our own answers say, before they are rendered.

use std::time::Duration;

use http::StatusCode;

use crate::clock::UnixTime;
use crate::gateway::codes::Problem;
use crate::gateway::pages::clean::{oauth_text, person};
use crate::identity::Identity;
use crate::request::kind::Wants;

/// One of our own answers. Its texts may come from elsewhere: they are cleaned and escaped when rendered.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Page {
    /// The template of what is its own as a page.
    pub(in crate::gateway) template: &'static str,
    /// What went wrong or has to wait, where the page is about that.
    pub(in crate::gateway) problem: Option<Problem>,
    /// Whose words it has, where it is not about the problem itself.
    pub(in crate::gateway) words: Option<Problem>,
    /// What tells a client that the answer is ours and not the application's: the number of the problem, or a word.
    pub(in crate::gateway) word: &'static str,
    /// The heading.
    pub(in crate::gateway) title: &'static str,
    /// The sentences of a page that is about no problem.
    pub(in crate::gateway) text: &'static str,
    /// The status of the answer; that of the problem unless there is a reason.
    pub(in crate::gateway) status: StatusCode,
    /// The reason in the logs and metrics: that of the problem unless there is a finer one. It stands among the lines for support.
    pub(in crate::gateway) reason: &'static str,
    /// What people call the provider that it is about.
    pub(in crate::gateway) provider: Option<String>,
    /// What the provider said, for support.
    pub(in crate::gateway) said: Vec<String>,
    /// Lines about this very case.
    pub(in crate::gateway) details: Vec<String>,
    /// Who is signed in, where that matters: what is known of them, best first.
    pub(in crate::gateway) person: Vec<String>,
    /// The providers to choose from, in the order to be shown.
    pub(in crate::gateway) choices: Vec<Choice>,
    /// Whether the provider's own session was ended too.
    pub(in crate::gateway) everywhere: bool,
    /// What is known of the session, never tokens: label and value, in the order to be shown.
    pub(in crate::gateway) rows: Vec<(&'static str, String)>,
    /// The same for programs.
    pub(in crate::gateway) document: Option<serde_json::Value>,
    /// The one thing to do next.
    pub(in crate::gateway) action: Option<Action>,
    /// What to do instead where that does not help.
    pub(in crate::gateway) instead: Option<Action>,
    /// When it may be better, also sent as `Retry-After`.
    pub(in crate::gateway) retry_after: Option<Duration>,
}

impl Page {
    /// What a problem is called in its own words. What to do next: try the same address again when the trouble passes by itself,
    /// otherwise go to the start page.
    pub(in crate::gateway) fn problem(problem: Problem) -> Self {
        let action = match problem.is_passing() {
            true => Action::link("Try again", ""),
            false => Action::link("Go to the start page", "/"),
        };
        Self {
            problem: Some(problem),
            status: problem.status(),
            reason: problem.reason(),
            action: Some(action),
            ..Self::new("problem.html", problem.number(), problem.title(), "")
        }
    }

    /// The problem of an authorization response with `error`. Both texts come from the browser's address bar: they are cut down to
    /// what [RFC 6749 appendix A.7](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.7) and
    /// [A.8](https://www.rfc-editor.org/rfc/rfc6749#appendix-A.8) let them be, their length is capped (OA-08), and they stand among
    /// the lines for support, not among the words for the person. `error_uri` is never shown (OA-09).
    pub(in crate::gateway) fn provider_error(error: &str, description: Option<&str>) -> Self {
        let reason = Problem::reason_of_provider_error(error);
        let error_said = Some(oauth_text(error, ERROR_CAP)).filter(|error| error != reason && !error.is_empty());
        let description = description.map(|text| oauth_text(text, DESCRIPTION_CAP)).filter(|text| !text.is_empty());
        let said = error_said.into_iter().chain(description.map(|text| format!("“{text}”"))).collect();
        Self { reason, said, ..Self::problem(Problem::of_provider_error(error)) }
    }

    /// What stands before a sign-in where nobody is sent to a provider unasked: a button for the provider, or the choice among
    /// several. `why` is the problem that a script would be told of.
    pub(in crate::gateway) fn before_sign_in(why: Problem, choices: Vec<Choice>) -> Self {
        let page = match choices.len() {
            1 => Self { words: Some(why), choices, ..Self::new("sign_in.html", SIGN_IN, why.title(), "") },
            _ => Self::chooser(choices),
        };
        Self { status: StatusCode::UNAUTHORIZED, ..page }
    }

    /// Which provider to sign in with.
    pub(in crate::gateway) fn chooser(choices: Vec<Choice>) -> Self {
        let page = Self::new("chooser.html", SIGN_IN, "Sign in", "Choose how you want to sign in.");
        Self { choices, ..page }
    }

    /// Signed in, on the way to the page that was asked for.
    pub(in crate::gateway) fn signed_in(href: String) -> Self {
        let text = "The page that you asked for opens in a moment.";
        let action = Some(Action::link("Continue", href));
        Self { action, ..Self::new("signed_in.html", "signed-in", "Signed in", text) }
    }

    /// Signed out, maybe `everywhere`: at the provider too, of this title. Does not sign in again by itself.
    pub(in crate::gateway) fn signed_out(sign_in_href: String, everywhere: bool, provider: Option<String>) -> Self {
        let action = Some(Action::link("Sign in again", sign_in_href));
        let page = Self::new("signed_out.html", SIGNED_OUT, "You are signed out", "Your session has ended.");
        Self { action, everywhere, provider, ..page }
    }

    /// Whether to sign out: this `person`, by this action.
    pub(in crate::gateway) fn confirm_sign_out(action: Action, person: Vec<String>) -> Self {
        let text = "Send a POST to this address to sign out.";
        Self { action: Some(action), person, ..Self::new("logout_confirm.html", "sign-out", "Sign out?", text) }
    }

    /// Who am I: as rows for people and as a document for programs.
    pub(in crate::gateway) fn session(
        identity: &Identity,
        rows: Vec<(&'static str, String)>,
        document: serde_json::Value,
        sign_out: Action,
    ) -> Self {
        let page = Self::new("session.html", "session", "Your session", "You are signed in.");
        Self { person: person_of(identity), rows, document: Some(document), action: Some(sign_out), ..page }
    }

    /// Whether the operator's own message stands on it: at the door, on the way out, and where somebody may not pass.
    pub(in crate::gateway) fn has_notice(&self) -> bool {
        match self.problem {
            Some(problem) => problem.denies(),
            None => matches!(self.word, SIGN_IN | SIGNED_OUT),
        }
    }

    /// A page with nothing but its words.
    fn new(template: &'static str, word: &'static str, title: &'static str, text: &'static str) -> Self {
        Self {
            template,
            problem: None,
            words: None,
            word,
            title,
            text,
            status: StatusCode::OK,
            reason: "",
            provider: None,
            said: Vec::new(),
            details: Vec::new(),
            person: Vec::new(),
            choices: Vec::new(),
            everywhere: false,
            rows: Vec::new(),
            document: None,
            action: None,
            instead: None,
            retry_after: None,
        }
    }
}

/// What is known of a person.
pub(in crate::gateway) fn person_of(identity: &Identity) -> Vec<String> {
    let user = identity.user.as_ref().unwrap_or(&identity.subject);
    person([identity.name.as_deref(), identity.email.as_deref(), Some(user)])
}

/// The one thing that a page proposes to do next.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Action {
    /// The words on it.
    pub(in crate::gateway) label: &'static str,
    /// Where to: a path of this host, an http(s) URL, or empty for the same address again. Anything else becomes `/`.
    pub(in crate::gateway) href: String,
    /// The hidden fields of a form, which is sent by POST; none for a link.
    pub(in crate::gateway) form: Option<Vec<(&'static str, String)>>,
}

impl Action {
    /// A link.
    pub(in crate::gateway) fn link(label: &'static str, href: impl Into<String>) -> Self {
        Self { label, href: href.into(), form: None }
    }
}

/// One provider to choose.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Choice {
    /// What people call it.
    pub(in crate::gateway) title: String,
    /// Where the sign-in there starts.
    pub(in crate::gateway) href: String,
}

/// What is known of the request that is answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct PageContext<'a> {
    /// The request id, as in the logs.
    pub(in crate::gateway) request_id: &'a str,
    /// The host that was asked, with its port.
    pub(in crate::gateway) host: &'a str,
    /// The time now.
    pub(in crate::gateway) now: UnixTime,
    /// What the client can read.
    pub(in crate::gateway) wants: Wants,
    /// Where a program may send its browser to sign in.
    pub(in crate::gateway) login_url: Option<&'a str>,
}

/// What tells a client that a page is about where to sign in.
const SIGN_IN: &str = "sign-in";
/// What tells a client that a session has ended.
const SIGNED_OUT: &str = "signed-out";
/// Characters of an `error` that are shown.
const ERROR_CAP: usize = 64;
/// Characters of an `error_description` that are shown.
const DESCRIPTION_CAP: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    // OA-08
    #[test]
    fn texts_of_the_provider_are_cut_to_the_printable_set_and_a_length() {
        let nasty = "a\"b\\c\u{0}\r\nd\u{202e}é+ADw-script~";
        assert_eq!(oauth_text(nasty, 99), "abcd+ADw-script~");
        let page = Page::provider_error(&"e".repeat(5000), Some(&"d".repeat(5000)));
        assert!(page.said.len() == 2 && page.said.iter().all(|line| line.len() < 260), "{:?}", page.said);
        assert!(Page::provider_error("access_denied", Some("\u{1}\"")).said.is_empty(), "the reason says it already");
        assert_eq!(Page::provider_error("not_registered", None).said, ["not_registered"]);
        assert_eq!(Page::provider_error("invalid_scope", None).reason, "invalid_scope");
    }
}
