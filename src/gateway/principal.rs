//! Who sends a request, as far as a rule needs to know it. Made from a cookie session; a bearer token will make one as well.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::clock::UnixTime;
use crate::gateway::routes::Rule;
use crate::identity::Identity;
use crate::proxy::basic::UserNameFault;
use crate::session::live::LiveSession;

/// Who sends a request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Principal {
    session: Arc<LiveSession>,
}

impl Principal {
    /// The person of a session.
    pub(super) fn of_session(session: Arc<LiveSession>) -> Self {
        Self { session }
    }

    /// Who that is.
    pub fn identity(&self) -> &Identity {
        &self.session.identity
    }

    /// What the access log calls them.
    pub(super) fn user(&self) -> &str {
        let identity = self.identity();
        identity.user.as_deref().unwrap_or(&identity.subject)
    }

    /// The identity headers that an application behind this rule gets, ready to be sent.
    pub fn headers(&self, rule: &Rule) -> &[(HeaderName, HeaderValue)] {
        self.session.headers.set(rule.header_set)
    }

    /// Why an application behind this rule must not be told who that is.
    pub(super) fn user_name_fault(&self, rule: &Rule) -> Option<UserNameFault> {
        self.session.headers.user_name_fault(rule.header_set)
    }

    /// When the credentials end whatever happens.
    #[expect(clippy::misnamed_getters, reason = "activity moves the idle end")]
    pub fn ends(&self) -> UnixTime {
        self.session.absolute_end
    }

    /// Is done when somebody ends the session before its time: the person, the provider, or a new sign-in.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let (cell, generation) = (Arc::clone(&self.session.cell), self.session.generation);
        async move { cell.ending(generation).await }
    }

    /// Whether the person signed in at most this long ago.
    pub(super) fn is_signed_in_within(&self, most: Duration, now: UnixTime) -> bool {
        self.session.is_signed_in_within(most, now)
    }

    /// The session that makes it, which remembers decisions and has cookies.
    pub(super) fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }
}
