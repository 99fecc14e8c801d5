//! How a provider stands, for the log: each change is reported once, not once for each visitor who meets it.
//!
//! 1. An outage is an ERROR when it begins and an INFO when that endpoint answers again. While nothing else answers either,
//!    further endpoints that are found away are a WARN: it is one outage.
//! 2. A fault in the set-up is an ERROR until the same succeeds.
//! 3. What is about one person (a code too old, a missing factor) is a WARN, at most once a minute for each reason.
//!
//! Everything else is told at debug level where it happens, with the request that met it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{MonotonicTime, SharedClock};
use crate::provider::clocks::Clocks;
use crate::provider::error::{Endpoint, IdTokenError, ProviderError, TransportError, UserinfoTokenError};

/// What was reported of one provider.
#[derive(Debug)]
pub(super) struct Standing {
    provider: Arc<str>,
    clock: SharedClock,
    pub(super) clocks: Clocks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    /// An outage was reported, and nothing has answered since.
    is_silent: bool,
    /// Anything has ever answered.
    has_answered: bool,
}

#[derive(Debug)]
struct Fault {
    area: Area,
    kind: &'static str,
    gravity: Gravity,
    reported: MonotonicTime,
    is_open: bool,
    /// Whether its beginning was reported, so that its end is worth a line.
    is_known: bool,
}

/// What a fault is about: an endpoint, or sign-ins as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Area {
    Endpoint(Endpoint),
    SignIn,
}

/// How much a fault says about the provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gravity {
    /// Nobody gets an answer.
    Outage,
    /// Nobody gets the right answer, or this endpoint has a fault for some.
    SetUp,
    /// Something is asked of it that it need not have.
    Lesser,
    /// It may be about one person alone.
    Personal,
}

impl Standing {
    pub(super) fn of(provider: &Arc<str>, clock: SharedClock, leeway: Duration) -> Self {
        Self { provider: Arc::clone(provider), clock, clocks: Clocks::new(leeway), state: Mutex::default() }
    }

    /// The name of the provider's table.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// A call failed, or its answer was refused. May be told of the same error again on its way up.
    pub(super) fn failed(&self, error: &ProviderError) {
        let (area, kind, gravity) = (error.area(), error.kind(), error.gravity());
        let Some(is_first) = self.begin(area, kind, gravity) else { return };
        let (code, provider) = (error.code(), &*self.provider);
        let clocks = self.clocks.difference(error).map(|it| format!("the provider's clock is {it}"));
        match gravity {
            Gravity::Outage if is_first => tracing::error!(
                code, provider, %error,
                "the provider does not answer: new sign-ins have to wait, sessions go on"
            ),
            Gravity::Outage => tracing::warn!(code, provider, %error, "the provider does not answer here either"),
            Gravity::SetUp => tracing::error!(
                code, provider, clocks, %error,
                "the provider does not answer as the configuration expects"
            ),
            Gravity::Lesser => tracing::warn!(code, provider, %error, "the provider refused a request"),
            Gravity::Personal => {
                tracing::warn!(code, provider, clocks, %error, "a sign-in or a session ended with this");
            }
        }
    }

    /// The same where the caller reports it: whether to.
    pub(super) fn is_news(&self, error: &ProviderError) -> bool {
        self.begin(error.area(), error.kind(), error.gravity()).is_some()
    }

    /// An endpoint gave an answer, whatever it says.
    pub(super) fn answered(&self, endpoint: Endpoint) {
        self.end(Area::Endpoint(endpoint), |fault| fault.gravity == Gravity::Outage, "the provider answers again");
    }

    /// Whether any endpoint ever gave an answer.
    pub(super) fn has_answered(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).has_answered
    }

    /// The same with an answer that was right.
    pub(super) fn works(&self, area: Area) {
        self.end(area, |_| true, "the provider answers again as the configuration expects");
    }

    /// Notes that a fault begins: `None` when it is known. Otherwise whether nothing else has gone silent before it.
    fn begin(&self, area: Area, kind: &'static str, gravity: Gravity) -> Option<bool> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !state.is_silent;
        state.is_silent |= gravity == Gravity::Outage;
        let known = state.faults.iter_mut().find(|fault| fault.area == area && fault.kind == kind);
        let Some(fault) = known else {
            state.faults.push(Fault {
                area,
                kind,
                gravity,
                reported: now,
                is_open: true,
                is_known: gravity != Gravity::Personal,
            });
            return Some(is_first);
        };
        let is_recent = now.since(fault.reported) < QUIET && gravity != Gravity::Outage;
        let is_standing = fault.is_open && fault.is_known;
        fault.is_open = true;
        if is_standing || is_recent {
            return None;
        }
        (fault.reported, fault.is_known) = (now, gravity != Gravity::Personal);
        Some(is_first)
    }

    fn end(&self, area: Area, which: impl Fn(&Fault) -> bool, message: &'static str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.is_silent, state.has_answered) = (false, true);
        let mut was_known = false;
        for fault in state.faults.iter_mut().filter(|fault| fault.is_open && fault.area == area && which(fault)) {
            fault.is_open = false;
            was_known |= std::mem::take(&mut fault.is_known);
        }
        drop(state);
        if was_known {
            let area = match area {
                Area::Endpoint(endpoint) => endpoint.to_string(),
                Area::SignIn => "sign-ins".to_owned(),
            };
            tracing::info!(code = "provider_recovered", provider = &*self.provider, area, "{message}");
        }
    }
}

impl ProviderError {
    fn area(&self) -> Area {
        match self {
            Self::Unreachable { endpoint, .. }
            | Self::ServerError { endpoint, .. }
            | Self::ErrorResponse { endpoint, .. }
            | Self::BadAnswer { endpoint, .. }
            | Self::NoEndpoint(endpoint) => Area::Endpoint(*endpoint),
            Self::Waiting { last, .. } | Self::IdentityRefused(last) => last.area(),
            Self::InvalidGrant(_) | Self::InvalidClient(_) | Self::AssertionRefused | Self::AssertionFailed => {
                Area::Endpoint(Endpoint::Token)
            }
            Self::Discovery { .. } => Area::Endpoint(Endpoint::Discovery),
            Self::NoKeys => Area::Endpoint(Endpoint::KeySet),
            Self::Inactive(_) => Area::Endpoint(Endpoint::Introspection),
            Self::UserinfoToken(_) => Area::Endpoint(Endpoint::Userinfo),
            Self::IdToken(_)
            | Self::IssuerMismatch
            | Self::IssuerMissing
            | Self::SubjectChanged
            | Self::Lost
            | Self::RedirectUri => Area::SignIn,
            Self::Demands(_) => Area::Endpoint(Endpoint::Authorization),
        }
    }

    /// One name for all forms of one state; never a text that the provider chose.
    fn kind(&self) -> &'static str {
        match self {
            Self::Waiting { last, .. } => last.kind(),
            Self::ErrorResponse { error, .. } => error,
            error if error.gravity() == Gravity::Outage => AWAY,
            error => error.code(),
        }
    }

    fn gravity(&self) -> Gravity {
        match self {
            Self::Waiting { last, .. } => last.gravity(),
            Self::Unreachable { cause: TransportError::TooLarge | TransportError::Url, .. } => Gravity::SetUp,
            // Some servers answer so where one grant's session is over.
            Self::ServerError { endpoint: Endpoint::Token, status, .. } if status.as_u16() == 500 => Gravity::SetUp,
            Self::Unreachable { .. } | Self::ServerError { .. } => Gravity::Outage,
            // Anybody can make a callback with an error of a sign-in that they began.
            Self::ErrorResponse { endpoint: Endpoint::Authorization, .. } => Gravity::Personal,
            Self::ErrorResponse { endpoint: Endpoint::Revocation, .. }
            | Self::BadAnswer { endpoint: Endpoint::Revocation, .. } => Gravity::Lesser,
            Self::ErrorResponse { error, .. } if PERSONAL.contains(error) => Gravity::Personal,
            Self::IdToken(error) => error.gravity(),
            Self::UserinfoToken(UserinfoTokenError::KeyUnknownYet { .. }) => Gravity::Personal,
            Self::InvalidGrant(_)
            | Self::Inactive(_)
            | Self::SubjectChanged
            | Self::IdentityRefused(_)
            | Self::IssuerMismatch
            | Self::IssuerMissing
            | Self::Lost => Gravity::Personal,
            Self::InvalidClient(_)
            | Self::ErrorResponse { .. }
            | Self::BadAnswer { .. }
            | Self::Discovery { .. }
            | Self::UserinfoToken(_)
            | Self::NoKeys
            | Self::AssertionRefused
            | Self::AssertionFailed
            | Self::Demands(_)
            | Self::NoEndpoint(_)
            | Self::RedirectUri => Gravity::SetUp,
        }
    }
}

impl IdTokenError {
    fn gravity(&self) -> Gravity {
        match self {
            Self::KeyUnknownYet { .. }
            | Self::Nonce
            | Self::Acr { .. }
            | Self::AuthTimeOld { .. }
            | Self::SubjectChanged
            | Self::AzpChanged { .. } => Gravity::Personal,
            _ => Gravity::SetUp,
        }
    }
}

const AWAY: &str = "away";
/// Errors of the token endpoint that ask for something of the person.
const PERSONAL: [&str; 7] = [
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "unmet_authentication_requirements",
    "access_denied",
    "expired_token",
];
/// A fault that comes and goes is reported once in this time.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::provider::error::AnswerFault;
    use crate::provider::words::Words;

    fn away(endpoint: Endpoint) -> ProviderError {
        ProviderError::Unreachable { endpoint, url: "https://op.example/x".into(), cause: TransportError::Timeout }
    }

    /// Whether each of these is reported, and as the first of its outage.
    fn begin(standing: &Standing, error: &ProviderError) -> Option<bool> {
        standing.begin(error.area(), error.kind(), error.gravity())
    }

    fn standing() -> (Standing, Arc<ManualClock>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1000));
        (Standing::of(&Arc::from("corp"), clock.clone(), Duration::from_secs(60)), clock)
    }

    #[test]
    fn an_outage_is_one_however_many_visitors_and_endpoints_meet_it() {
        let (standing, clock) = standing();
        assert_eq!(begin(&standing, &away(Endpoint::Token)), Some(true));
        let refused = ProviderError::Unreachable {
            endpoint: Endpoint::Token,
            url: "https://op.example/token".into(),
            cause: TransportError::Connect("refused".to_owned()),
        };
        assert_eq!(begin(&standing, &refused), None, "another form of the same");
        let waiting =
            ProviderError::Waiting { retry_after: Duration::from_secs(1), last: Arc::new(away(Endpoint::Token)) };
        assert_eq!(begin(&standing, &waiting), None);
        assert_eq!(begin(&standing, &away(Endpoint::KeySet)), Some(false), "told, and not as the first");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(begin(&standing, &away(Endpoint::Token)), None);
        // Another endpoint answers: that does not end this one's outage, and the next one's is new.
        standing.answered(Endpoint::Userinfo);
        assert_eq!(begin(&standing, &away(Endpoint::Token)), None);
        standing.answered(Endpoint::Token);
        assert_eq!(begin(&standing, &away(Endpoint::Token)), Some(true), "away again, at once");
    }

    #[test]
    fn a_fault_in_the_set_up_is_reported_until_the_same_succeeds() {
        let (standing, clock) = standing();
        let bad = |endpoint| AnswerFault::Json.at(endpoint);
        assert_eq!(begin(&standing, &bad(Endpoint::Userinfo)), Some(true));
        standing.answered(Endpoint::Userinfo);
        standing.works(Area::Endpoint(Endpoint::Token));
        assert_eq!(begin(&standing, &bad(Endpoint::Userinfo)), None, "an answer is not yet a right one");
        assert_eq!(begin(&standing, &bad(Endpoint::Token)), Some(true), "another endpoint");
        standing.works(Area::Endpoint(Endpoint::Userinfo));
        assert_eq!(begin(&standing, &bad(Endpoint::Userinfo)), None, "it comes and goes");
        clock.advance(QUIET);
        assert_eq!(begin(&standing, &bad(Endpoint::Userinfo)), Some(true), "and has stayed");
        assert_eq!(begin(&standing, &bad(Endpoint::Userinfo)), None);
    }

    #[test]
    fn what_is_about_one_person_is_told_once_a_minute() {
        let (standing, clock) = standing();
        for _ in 0..3 {
            assert!(begin(&standing, &ProviderError::InvalidGrant(Words::default())).is_some());
            assert!(begin(&standing, &ProviderError::InvalidGrant(Words::default())).is_none());
            standing.works(Area::Endpoint(Endpoint::Token));
            assert!(begin(&standing, &ProviderError::InvalidGrant(Words::default())).is_none());
            assert!(begin(&standing, &ProviderError::IdToken(IdTokenError::Nonce)).is_some(), "another reason");
            clock.advance(QUIET);
        }
    }
}
