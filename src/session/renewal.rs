//! How renewals end, and what is remembered of those that failed.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::provider::{FailureClass, Moment, Provider, ProviderError};
use crate::session::store::Handle;

/// How a renewal ended, for everybody who waited.
#[derive(Clone, Debug)]
pub(super) enum Renewal {
    /// There is a newer generation, with this handle.
    Renewed(Handle),
    /// The provider says that the session is over; the reason code.
    Ended(&'static str),
    /// The provider did not take this grant, and did not say that it is over.
    Refused(Arc<ProviderError>),
    /// The provider could not be asked.
    Outage(Arc<ProviderError>),
}

/// The failed renewals of one grant since the last that succeeded.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) backoff: Backoff<Renewal>,
    /// Answers that were nothing but a 5xx.
    bare: u32,
    /// When the first of them came.
    first_bare: Moment,
}

impl Failures {
    /// None yet, of a session about which the provider is asked this often ([`LiveSession::asked_every`]): no wait is longer but
    /// one that the provider asks for.
    ///
    /// [`LiveSession::asked_every`]: super::live::LiveSession::asked_every
    pub(super) fn of(every: Option<Duration>) -> Self {
        let longest = every.map_or(LONGEST_WAIT, |every| every.min(LONGEST_WAIT));
        Self { backoff: Backoff::new(longest, LONGEST_WAIT), bare: 0, first_bare: Moment::default() }
    }

    /// Counts one more, and says how it ends the renewal.
    pub(super) fn add(&mut self, error: Arc<ProviderError>, provider: &Provider) -> Renewal {
        if error.is_bare_server_error() {
            if self.bare == 0 {
                self.first_bare = Moment::now();
            }
            self.bare = self.bare.saturating_add(1);
        }
        match error.class() {
            FailureClass::Over => Renewal::Ended(error.code()),
            FailureClass::Refused => Renewal::Refused(error),
            FailureClass::Away if self.are_of_this_grant(provider) => Renewal::Refused(error),
            FailureClass::Away => Renewal::Outage(error),
        }
    }

    /// The provider renewed the grant: server errors of before are not held against it.
    pub(super) const fn grant_is_good(&mut self) {
        self.bare = 0;
    }

    /// Whether the provider fails for this grant alone: it served others since it first answered with nothing but a 5xx. Some
    /// answer so where the grant's session at a provider of their own is over.
    fn are_of_this_grant(&self, provider: &Provider) -> bool {
        self.bare >= BARE_TO_BE_SURE && provider.has_served_since(self.first_bare)
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self::of(None)
    }
}

/// Also where the provider asks for more (RF-04).
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How many of them mean that it is this grant.
const BARE_TO_BE_SURE: u32 = 3;
