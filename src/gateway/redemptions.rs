//! What is remembered of login attempts that are over, across reloads: a code is never sent twice, and a page can say what became
//! of a sign-in.
//!
//! 1. An attempt under way stands in a table of its own, from which nothing pushes it out.
//! 2. For a moment its end is kept whole, for reloads of the callback that come beside the first; then only that it is over.
//! 3. What a sign-in put here, and what anybody's request did, are two memories: whoever begins and ends attempts without end
//!    pushes out no sign-in, and of the others only those from the same address (see [`Remembered`]).

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{SharedClock, UnixTime};
use crate::identity::IdentityError;
use crate::provider::ProviderError;
use crate::remembered::{Mark, Party, Remembered};
use crate::request::host::Host;
use crate::session::SessionId;
use crate::session::live::LiveSession;
use crate::session::store::Handle;
use crate::single_flight::{Joined, SingleFlight, Turn, Waiting};
use crate::telemetry::metrics::Metrics;

/// The redemptions under way and done, by attempt. An attempt stands here for as long as its cookie could open.
#[derive(Debug)]
pub(super) struct Redemptions {
    /// Whoever has the turn of an attempt says how it ended, so that one of two reloads in the same moment is the first.
    under_way: SingleFlight<Mark, Redeemed>,
    recent: Remembered<Redeemed>,
    signed_in: Remembered<SignedIn>,
    closed: Remembered<()>,
    /// By attempt: the one that it made room for.
    dropped: Remembered<Box<str>>,
}

/// What somebody finds who comes with a code.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Nobody came before: redeem it, and wait for the end as everybody else.
    First(Redemption, Waiting<Redeemed>),
    /// Somebody is redeeming it.
    UnderWay(Waiting<Redeemed>),
    /// It ended before.
    Ended(Redeemed),
}

/// How a redemption ended.
#[derive(Clone, Debug)]
pub(super) enum Redeemed {
    /// With a session.
    Begun(BegunSession),
    /// The provider, or what it said, was not taken.
    Refused(Arc<ProviderError>),
    /// The provider was not reached, so the code is as good as before: it is sent when the callback comes again.
    Unsent(Arc<ProviderError>),
    /// Its claims name nobody.
    Nobody(IdentityError),
    /// The attempt ended without a redemption, or some time ago.
    Over,
}

/// A session that was begun: whoever takes it finds it by its handle.
#[derive(Clone, Debug)]
pub(super) struct BegunSession {
    /// What the browser is to hold of it.
    pub(super) handle: Handle,
    /// The host that it is for.
    pub(super) host: Host,
    owner: Party,
    what: SignedIn,
}

impl From<&LiveSession> for BegunSession {
    fn from(live: &LiveSession) -> Self {
        Self {
            handle: live.handle.clone(),
            host: live.host.clone(),
            owner: live.owner(),
            what: SignedIn { session: live.id, ends: live.ends },
        }
    }
}

/// The session that an attempt ended with.
#[derive(Clone, Copy, Debug)]
struct SignedIn {
    session: SessionId,
    ends: UnixTime,
}

/// A redemption under way. One that is dropped before it is [finished](Self::finish) is over.
#[derive(Debug)]
pub(super) struct Redemption {
    redemptions: Arc<Redemptions>,
    attempt: Mark,
    owner: Party,
    life: Duration,
    turn: Option<Turn<Mark, Redeemed>>,
}

impl Redemption {
    /// Says how it ended, and remembers that. Where nothing was sent, the next callback begins anew.
    pub(super) fn finish(mut self, redeemed: Redeemed) {
        self.redemptions.remember(self.attempt, self.owner, self.life, &redeemed);
        if let Some(turn) = self.turn.take() {
            // Nobody waits any more when the browser hung up; the end is remembered for its next try.
            turn.finish(redeemed);
        }
    }
}

impl Drop for Redemption {
    fn drop(&mut self) {
        if self.turn.is_some() {
            self.redemptions.remember(self.attempt, self.owner, self.life, &Redeemed::Over);
        }
    }
}

impl Redemptions {
    /// None yet.
    pub(super) fn new(clock: &SharedClock, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            under_way: SingleFlight::default(),
            recent: Remembered::new("redemptions_landed", RECENT_BYTES, clock, metrics),
            signed_in: Remembered::new("redemptions_signed_in", SIGNED_IN_BYTES, clock, metrics),
            closed: Remembered::new("redemptions_closed", CLOSED_BYTES, clock, metrics),
            dropped: Remembered::new("attempts_dropped", DROPPED_BYTES, clock, metrics),
        })
    }

    /// The redemption of an attempt: begun here, unless somebody began it before. It is remembered for `life`; until somebody has
    /// signed in, on the account of `owner`.
    pub(super) fn begin(self: &Arc<Self>, attempt: &str, owner: Party, life: Duration) -> Arrival {
        let attempt = Mark::of(attempt);
        let turn = match self.under_way.join(attempt) {
            Joined::First(turn) => turn,
            Joined::Other(waiting) => return Arrival::UnderWay(waiting),
        };
        if let Some(end) = self.end_of(attempt) {
            turn.finish(end.clone());
            return Arrival::Ended(end);
        }
        let (redemptions, waiting) = (Arc::clone(self), turn.waiting());
        Arrival::First(Redemption { redemptions, attempt, owner, life, turn: Some(turn) }, waiting)
    }

    /// Ends an attempt that was not redeemed: its cookie may still be somewhere.
    pub(super) fn close(self: &Arc<Self>, attempt: &str, owner: Party, life: Duration) {
        if let Arrival::First(redemption, _) = self.begin(attempt, owner, life) {
            redemption.finish(Redeemed::Over);
        }
    }

    /// Whether a redemption of this attempt was begun, or it was closed.
    pub(super) fn is_known(&self, attempt: &str) -> bool {
        let attempt = Mark::of(attempt);
        // In this order: an end is remembered before its turn is over.
        self.under_way.is_under_way(&attempt) || self.end_of(attempt).is_some()
    }

    /// Whether the attempt is over, whatever came of it.
    pub(super) fn is_over(&self, attempt: &str) -> bool {
        self.end_of(Mark::of(attempt)).is_some()
    }

    /// The session that the attempt ended with, unless that is past its time.
    pub(super) fn session_of(&self, attempt: &str, now: UnixTime) -> Option<SessionId> {
        self.signed_in.get(Mark::of(attempt)).filter(|it| now < it.ends).map(|it| it.session)
    }

    /// Remembers that a browser was told to forget an attempt, to make room for `newer`.
    pub(super) fn drop_attempt(&self, attempt: &str, newer: &str, owner: Party, life: Duration) {
        self.dropped.insert(Mark::of(attempt), owner, life, newer.into(), newer.len());
    }

    /// Whether a browser that `holds` other attempts was told to forget this one: it is the same browser if it holds the attempt
    /// that this one made room for, or what that one made room for.
    pub(super) fn was_dropped_by(&self, attempt: &str, holds: impl Fn(&str) -> bool) -> bool {
        let newer = |attempt: &str| self.dropped.get(Mark::of(attempt));
        std::iter::successors(newer(attempt), |attempt| newer(attempt))
            .take(DROPPED_IN_A_ROW)
            .any(|newer| holds(&newer))
    }

    /// Remembers how an attempt ended.
    fn remember(&self, attempt: Mark, owner: Party, life: Duration, redeemed: &Redeemed) {
        let (owner, bytes) = match redeemed {
            Redeemed::Unsent(_) => return,
            Redeemed::Over => return self.closed.insert(attempt, owner, life, (), 0),
            Redeemed::Begun(begun) => {
                self.signed_in.insert(attempt, begun.owner, life, begun.what, 0);
                (begun.owner, begun.handle.as_str().len())
            }
            Redeemed::Refused(_) | Redeemed::Nobody(_) => {
                self.closed.insert(attempt, owner, life, (), 0);
                (owner, REFUSAL_BYTES)
            }
        };
        self.recent.insert(attempt, owner, LINGER.min(life), redeemed.clone(), bytes);
    }

    /// How an attempt ended, if it did.
    fn end_of(&self, attempt: Mark) -> Option<Redeemed> {
        let is_over = || self.signed_in.get(attempt).is_some() || self.closed.get(attempt).is_some();
        self.recent.get(attempt).or_else(|| is_over().then_some(Redeemed::Over))
    }
}

/// How long the end of a redemption is kept whole.
const LINGER: Duration = Duration::from_secs(30);
/// For ends that are kept whole.
const RECENT_BYTES: usize = 2 * 1024 * 1024;
/// For attempts that ended with a session.
const SIGNED_IN_BYTES: usize = 32 * 1024 * 1024;
/// For all others that ended.
const CLOSED_BYTES: usize = 64 * 1024 * 1024;
/// For attempts that made room for others.
const DROPPED_BYTES: usize = 8 * 1024 * 1024;
/// About what a provider's error and its words take.
const REFUSAL_BYTES: usize = 512;
/// How far the attempts that made room for each other are followed.
const DROPPED_IN_A_ROW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const LIFE: Duration = Duration::from_secs(600);

    fn redemptions() -> (Arc<Redemptions>, Arc<ManualClock>) {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1_780_000_000));
        let shared: SharedClock = clock.clone();
        (Redemptions::new(&shared, &Metrics::new(UnixTime::default())), clock)
    }

    fn address(number: u32) -> Party {
        Party::address(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn begun(person: &str) -> Redeemed {
        Redeemed::Begun(BegunSession {
            handle: "sealed".into(),
            host: Host::parse("wiki.example.com", true).unwrap(),
            owner: Party::subject("https://op.example", person),
            what: SignedIn { session: SessionId::random(), ends: UnixTime::from_secs(1_790_000_000) },
        })
    }

    /// Whether a code would go out for this attempt.
    fn sends(redemptions: &Arc<Redemptions>, attempt: &str) -> bool {
        matches!(redemptions.begin(attempt, address(1), LIFE), Arrival::First(..))
    }

    fn first(redemptions: &Arc<Redemptions>, attempt: &str) -> (Redemption, Waiting<Redeemed>) {
        match redemptions.begin(attempt, address(1), LIFE) {
            Arrival::First(redemption, waiting) => (redemption, waiting),
            other => panic!("{other:?}"),
        }
    }

    // OA-10, AT-LF-16
    #[test]
    fn no_code_goes_out_twice_and_no_denied_attempt_at_all_whatever_strangers_do() {
        let (redemptions, clock) = redemptions();
        first(&redemptions, "came in").0.finish(begun("ada"));
        redemptions.close("denied", address(1), LIFE);
        let under_way = first(&redemptions, "under way");
        // One address for most of them, then many.
        for number in 0..400_000_u32 {
            let from = if number < 200_000 { address(2) } else { address(number % 5 + 3) };
            redemptions.close(&number.to_string(), from, LIFE);
        }
        clock.advance(LINGER);
        for attempt in ["came in", "denied", "under way", "399999", "399000"] {
            assert!(!sends(&redemptions, attempt), "{attempt}");
        }
        assert!(redemptions.session_of("came in", UnixTime::from_secs(1_780_000_000)).is_some());
        drop(under_way);
        assert!(!sends(&redemptions, "under way"), "broken off, it may have been sent");
    }

    #[test]
    fn an_end_is_kept_whole_for_a_moment_and_then_as_a_fact() {
        let (redemptions, clock) = redemptions();
        first(&redemptions, "a").0.finish(begun("ada"));
        let end = || redemptions.begin("a", address(1), LIFE);
        assert!(matches!(end(), Arrival::Ended(Redeemed::Begun(_))));
        clock.advance(LINGER);
        assert!(matches!(end(), Arrival::Ended(Redeemed::Over)));
        clock.advance(LIFE);
        assert!(sends(&redemptions, "a"), "its cookie opens nothing by now");
    }

    #[tokio::test]
    async fn where_nothing_was_sent_the_next_callback_begins_anew() {
        let (redemptions, _) = redemptions();
        let (redemption, waiting) = first(&redemptions, "a");
        assert!(!sends(&redemptions, "a") && !redemptions.is_over("a"));
        redemption.finish(Redeemed::Unsent(Arc::new(ProviderError::Lost)));
        assert!(matches!(waiting.outcome().await, Some(Redeemed::Unsent(_))));
        assert!(sends(&redemptions, "a"));
    }
}
