//! What the log says of a provider: each change is reported once, not once for each visitor who meets it.
//!
//! 1. An outage is an ERROR when it begins and an INFO when that endpoint answers again. While nothing else answers either,
//!    further endpoints that are found away are a WARN: it is one outage.
//! 2. A misconfiguration is an ERROR until the same succeeds.
//! 3. What is about one person (a code too old, a missing factor) is a WARN, at most once a minute for each reason.
//!
//! Everything else is logged at debug level where it happens, with the request that met it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{MonotonicTime, SharedClock};
use crate::provider::clocks::Clocks;
use crate::provider::error::{Area, Classification, Endpoint, Impact, ProviderError};

/// The incidents of one provider: which were reported, and which go on.
#[derive(Debug)]
pub(super) struct IncidentLog {
    provider: Arc<str>,
    clock: SharedClock,
    pub(super) clocks: Clocks,
    state: Mutex<Incidents>,
}

/// What goes on, and what was reported.
#[derive(Debug, Default)]
struct Incidents {
    faults: Vec<Incident>,
    /// An outage was reported, and nothing has answered since.
    is_silent: bool,
    /// Anything has ever answered.
    has_answered: bool,
}

/// One fault, as it began or came again.
#[derive(Debug)]
struct Incident {
    area: Area,
    kind: &'static str,
    impact: Impact,
    reported: MonotonicTime,
    is_open: bool,
    /// Whether its beginning was reported, so that its end is worth a line.
    is_known: bool,
}

impl IncidentLog {
    /// Nothing has happened yet.
    pub(super) fn of(provider: &Arc<str>, clock: SharedClock, leeway: Duration) -> Self {
        Self { provider: Arc::clone(provider), clock, clocks: Clocks::new(leeway), state: Mutex::default() }
    }

    /// The name of the provider's table.
    pub(super) fn provider(&self) -> &str {
        &self.provider
    }

    /// A call failed, or its answer was refused. The same error may be reported again on its way up.
    pub(super) fn failed(&self, error: &ProviderError) {
        let Some(is_first) = self.begin(error) else { return };
        let (code, provider) = (error.code(), &*self.provider);
        let clocks = self.clocks.difference(error).map(|it| format!("the provider's clock is {it}"));
        match error.classification().impact {
            Impact::Outage if is_first => tracing::error!(
                code, provider, %error,
                "the provider does not answer: new sign-ins have to wait, sessions go on"
            ),
            Impact::Outage => tracing::warn!(code, provider, %error, "the provider does not answer here either"),
            Impact::Misconfiguration => tracing::error!(
                code, provider, clocks, %error,
                "the provider does not answer as the configuration expects"
            ),
            Impact::Minor => tracing::warn!(code, provider, %error, "the provider refused a request"),
            Impact::OnePerson => {
                tracing::warn!(code, provider, clocks, %error, "a sign-in or a session ended with this");
            }
        }
    }

    /// The same where the caller reports it: whether to.
    pub(super) fn is_news(&self, error: &ProviderError) -> bool {
        self.begin(error).is_some()
    }

    /// An endpoint gave an answer, whatever it says.
    pub(super) fn answered(&self, endpoint: Endpoint) {
        self.end(Area::Endpoint(endpoint), |fault| fault.impact == Impact::Outage, "the provider answers again");
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
    fn begin(&self, error: &ProviderError) -> Option<bool> {
        let (Classification { area, impact, .. }, kind) = (error.classification(), error.kind());
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !state.is_silent;
        state.is_silent |= impact == Impact::Outage;
        let known = state.faults.iter_mut().find(|fault| fault.area == area && fault.kind == kind);
        let Some(fault) = known else {
            state.faults.push(Incident {
                area,
                kind,
                impact,
                reported: now,
                is_open: true,
                is_known: impact != Impact::OnePerson,
            });
            return Some(is_first);
        };
        let is_recent = now.since(fault.reported) < QUIET && impact != Impact::Outage;
        let is_standing = fault.is_open && fault.is_known;
        fault.is_open = true;
        if is_standing || is_recent {
            return None;
        }
        (fault.reported, fault.is_known) = (now, impact != Impact::OnePerson);
        Some(is_first)
    }

    /// Ends incidents of an area, and reports that where their beginning was reported.
    fn end(&self, area: Area, which: impl Fn(&Incident) -> bool, message: &'static str) {
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
    /// One name for all forms of one state; never a text that the provider chose.
    fn kind(&self) -> &'static str {
        match self {
            Self::Waiting { last, .. } => last.kind(),
            Self::ErrorResponse { error, .. } => error,
            error if error.classification().impact == Impact::Outage => AWAY,
            error => error.code(),
        }
    }
}

/// The kind of every outage.
const AWAY: &str = "away";
/// A fault that comes and goes is reported once in this time.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::provider::error::{AnswerFault, IdTokenError, TransportError};
    use crate::provider::words::Words;

    fn away(endpoint: Endpoint) -> ProviderError {
        ProviderError::Unreachable { endpoint, url: "https://op.example/x".into(), cause: TransportError::Timeout }
    }

    fn incidents() -> (IncidentLog, Arc<ManualClock>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1000));
        (IncidentLog::of(&Arc::from("corp"), clock.clone(), Duration::from_secs(60)), clock)
    }

    #[test]
    fn an_outage_is_one_however_many_visitors_and_endpoints_meet_it() {
        let (incidents, clock) = incidents();
        assert_eq!(incidents.begin(&away(Endpoint::Token)), Some(true));
        let refused = ProviderError::Unreachable {
            endpoint: Endpoint::Token,
            url: "https://op.example/token".into(),
            cause: TransportError::Connect("refused".to_owned()),
        };
        assert_eq!(incidents.begin(&refused), None, "another form of the same");
        let waiting =
            ProviderError::Waiting { retry_after: Duration::from_secs(1), last: Arc::new(away(Endpoint::Token)) };
        assert_eq!(incidents.begin(&waiting), None);
        assert_eq!(incidents.begin(&away(Endpoint::KeySet)), Some(false), "reported, and not as the first");
        clock.advance(Duration::from_secs(3600));
        assert_eq!(incidents.begin(&away(Endpoint::Token)), None);
        // Another endpoint answers: that does not end this one's outage, and the next one's is new.
        incidents.answered(Endpoint::Userinfo);
        assert_eq!(incidents.begin(&away(Endpoint::Token)), None);
        incidents.answered(Endpoint::Token);
        assert_eq!(incidents.begin(&away(Endpoint::Token)), Some(true), "away again, at once");
    }

    #[test]
    fn a_fault_in_the_set_up_is_reported_until_the_same_succeeds() {
        let (incidents, clock) = incidents();
        let bad = |endpoint| AnswerFault::Json.at(endpoint);
        assert_eq!(incidents.begin(&bad(Endpoint::Userinfo)), Some(true));
        incidents.answered(Endpoint::Userinfo);
        incidents.works(Area::Endpoint(Endpoint::Token));
        assert_eq!(incidents.begin(&bad(Endpoint::Userinfo)), None, "an answer is not yet a right one");
        assert_eq!(incidents.begin(&bad(Endpoint::Token)), Some(true), "another endpoint");
        incidents.works(Area::Endpoint(Endpoint::Userinfo));
        assert_eq!(incidents.begin(&bad(Endpoint::Userinfo)), None, "it comes and goes");
        clock.advance(QUIET);
        assert_eq!(incidents.begin(&bad(Endpoint::Userinfo)), Some(true), "and has stayed");
        assert_eq!(incidents.begin(&bad(Endpoint::Userinfo)), None);
    }

    #[test]
    fn what_is_about_one_person_is_reported_once_a_minute() {
        let (incidents, clock) = incidents();
        for _ in 0..3 {
            assert!(incidents.begin(&ProviderError::InvalidGrant(Words::default())).is_some());
            assert!(incidents.begin(&ProviderError::InvalidGrant(Words::default())).is_none());
            incidents.works(Area::Endpoint(Endpoint::Token));
            assert!(incidents.begin(&ProviderError::InvalidGrant(Words::default())).is_none());
            assert!(incidents.begin(&ProviderError::IdToken(IdTokenError::Nonce)).is_some(), "another reason");
            clock.advance(QUIET);
        }
    }
}
