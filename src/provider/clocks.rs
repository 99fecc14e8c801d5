//! How far the provider's clock is from ours: shown by the `Date` of its answers
//! ([RFC 9110 section 6.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1)), and by the times in its tokens, which are
//! made when they are handed out.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::provider::error::{AnswerFault, Endpoint, IdTokenError, InactiveReason, ProviderError};

/// By how many seconds the provider's clock is ahead of ours; negative: behind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockDifference(i64);

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{} seconds {side} ours", self.0.unsigned_abs())
    }
}

/// The clock of one provider, as its answers show it.
#[derive(Debug)]
pub(super) struct Clocks {
    leeway: Duration,
    shown: Mutex<Option<Measured>>,
}

/// The clock by the newest answer.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Other endpoints may be other machines, caches among them.
    by_token_endpoint: bool,
    ahead: i64,
}

impl Clocks {
    /// Clocks that differ by no more than the leeway are no fault.
    pub(super) fn new(leeway: Duration) -> Self {
        Self { leeway, shown: Mutex::default() }
    }

    /// An answer had a `Date`.
    pub(super) fn shown(&self, endpoint: Endpoint, theirs: UnixTime, ours: UnixTime) {
        let by_token_endpoint = endpoint == Endpoint::Token;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if by_token_endpoint || shown.is_none_or(|shown| !shown.by_token_endpoint) {
            let ahead = signed(theirs.since(ours).as_secs()) - signed(ours.since(theirs).as_secs());
            *shown = Some(Measured { by_token_endpoint, ahead });
        }
    }

    /// By `Date`; where that agrees with our clock, or there is none, by the times of the token that is refused.
    pub(super) fn difference(&self, error: &ProviderError) -> Option<ClockDifference> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).map(|shown| shown.ahead);
        let differs = shown.filter(|ahead| ahead.unsigned_abs() > self.leeway.as_secs());
        match error.time_fault() {
            Some(fault) => differs.or(fault).or(shown),
            // Our own assertion may be too old or too new there (RFC 7523 section 3).
            None => differs.filter(|_| matches!(error, ProviderError::InvalidClient(_))),
        }
        .map(ClockDifference)
    }
}

impl ProviderError {
    /// Whether this is about the time, and by how many seconds the token is ahead of our clock, where that is known.
    fn time_fault(&self) -> Option<Option<i64>> {
        match self.cause() {
            Self::IdToken(
                IdTokenError::IssuedInFuture { ahead }
                | IdTokenError::NotYetValid { ahead }
                | IdTokenError::AuthTimeInFuture { ahead },
            ) => Some(Some(signed(*ahead))),
            Self::IdToken(IdTokenError::Expired { ago } | IdTokenError::IssuedLongAgo { ago }) => {
                Some(Some(-signed(*ago)))
            }
            Self::IdToken(IdTokenError::AuthTimeOld { .. })
            | Self::Inactive(InactiveReason::Expired | InactiveReason::NotYet)
            | Self::BadAnswer { fault: AnswerFault::SignedExpired, .. } => Some(None),
            _ => None,
        }
    }
}

/// Seconds that may become negative.
fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::error::JwtError;
    use crate::provider::words::Words;

    #[test]
    fn the_date_of_the_token_endpoint_wins_and_the_token_speaks_where_it_agrees() {
        let (clocks, now) = (Clocks::new(Duration::from_secs(60)), UnixTime::from_secs(10_000));
        let said = |error: IdTokenError| clocks.difference(&error.into()).map(|it| it.to_string());
        let (future, past) = (IdTokenError::IssuedInFuture { ahead: 90 }, IdTokenError::Expired { ago: 3300 });
        assert_eq!(said(future).unwrap(), "90 seconds ahead of ours", "no date was ever shown");
        clocks.shown(Endpoint::Token, now.plus(Duration::from_secs(1)), now);
        assert_eq!(said(past.clone()).unwrap(), "3300 seconds behind ours", "its tokens are made by another clock");
        clocks.shown(Endpoint::Token, UnixTime::from_secs(6_400), now);
        clocks.shown(Endpoint::KeySet, now, now);
        assert_eq!(said(past).unwrap(), "3600 seconds behind ours");
        assert_eq!(said(IdTokenError::AuthTimeOld { ago: 90, max_age: 60 }).unwrap(), "3600 seconds behind ours");
        assert_eq!(said(JwtError::Signature.into()), None);
        let refused = |clocks: &Clocks| clocks.difference(&ProviderError::InvalidClient(Words::default()));
        assert_eq!(refused(&clocks).unwrap().to_string(), "3600 seconds behind ours");
        clocks.shown(Endpoint::Token, now, now);
        assert_eq!(refused(&clocks), None);
    }
}
