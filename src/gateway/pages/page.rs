//! What our own answers say, before they are rendered.

use crate::clock::UnixTime;
use crate::gateway::notice::{Action, Form, Notice, Person};
use crate::request::kind::Wants;

/// One of our own answers.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum Page {
    /// Which provider to sign in with, in the order to be shown.
    Chooser(Vec<Choice>),
    /// Something went wrong, is not allowed, or has to wait.
    Problem(Notice),
    /// Signed out; does not sign in again by itself.
    SignedOut {
        /// Where a new sign-in starts.
        sign_in_href: String,
        /// Whether the provider's own session was ended too.
        everywhere: bool,
        /// What people call the provider, where there is only one.
        provider: Option<String>,
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
    /// Signed in, on the way to the page that was asked for.
    SignedIn {
        /// That page.
        href: String,
    },
}

impl Page {
    /// The one thing that it proposes to do next.
    pub(super) fn action(&self) -> Option<Action> {
        match self {
            // Here each choice is the next step.
            Self::Chooser(_) => None,
            Self::Problem(notice) => Some(notice.action.clone()),
            Self::SignedIn { href } => Some(Action::link("Continue", href)),
            Self::SignedOut { sign_in_href, .. } => Some(Action::link("Sign in again", sign_in_href)),
            Self::LogoutConfirm { form, .. } => Some(Action::post("Sign out", form.clone())),
            Self::SessionInfo(session) => Some(Action::post("Sign out", session.logout.clone())),
        }
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

/// What the session page shows; never tokens.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct SessionInfo {
    /// Whose session it is.
    pub(in crate::gateway) person: Person,
    /// Label and value, in the order to be shown.
    pub(in crate::gateway) rows: Vec<(String, String)>,
    /// The same for programs.
    pub(in crate::gateway) document: serde_json::Value,
    /// Signs out.
    pub(in crate::gateway) logout: Form,
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
