//! Renewing a session: one token request however many requests are in flight, on the control runtime, for all that wait.
//!
//! 1. The first request that finds its session due starts a *flight*; those that come meanwhile wait for its landing.
//! 2. The flight goes on when every browser has hung up: a rotated refresh token that nobody stored would be lost.
//! 3. Those that still send the old cookie afterwards get the new session for as long as
//!    [`Succession`](super::succession::Succession) says.
//! 4. A refresh token that was exchanged for another is never sent again (RFC 9700 section 4.14.2).
//! 5. An outage or a refusal ends nothing while the access token lives; the next try waits longer each time. After the token's
//!    end an outage is one for the person too, and a refusal is the same as not being signed in.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{MonotonicTime, UnixTime};
use crate::provider::{FailureClass, Moment, Provider, ProviderError, RefreshRequest, Refreshed, RenewedIdentity};
use crate::session::Session;
use crate::session::live::LiveSession;
use crate::session::sessions::Sessions;

/// How a flight ended, for everybody who waited.
#[derive(Clone, Debug)]
pub enum Landing {
    /// Here is the new session.
    Renewed(Arc<LiveSession>),
    /// The provider says that the session is over; the reason code.
    Ended(&'static str),
    /// The provider did not take this grant, and did not say that it is over.
    Refused(Arc<ProviderError>),
    /// The provider could not be asked.
    Outage(Arc<ProviderError>),
}

/// Where the renewal of one session stands.
#[derive(Debug, Default)]
pub enum Flight {
    /// Nothing is under way.
    #[default]
    Grounded,
    /// One is under way; its landing will be told here.
    Flying(watch::Receiver<Option<Landing>>),
    /// The last ones failed: none starts before `until`.
    Waiting {
        /// When the next may start.
        until: MonotonicTime,
        /// All of them.
        failures: Failures,
        /// How the last one ended.
        landing: Landing,
    },
}

/// The failed renewals of one grant since the last that succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    count: u32,
    bare: u32,
    first_bare: Moment,
}

impl Failures {
    /// Counts one more, and says how it ends the flight.
    fn add(&mut self, error: Arc<ProviderError>, provider: &Provider) -> Landing {
        self.count = self.count.saturating_add(1);
        if error.is_bare_server_error() {
            if self.bare == 0 {
                self.first_bare = Moment::now();
            }
            self.bare = self.bare.saturating_add(1);
        }
        match error.class() {
            FailureClass::Over => Landing::Ended(error.code()),
            FailureClass::Refused => Landing::Refused(error),
            FailureClass::Away if self.are_of_this_grant(provider) => Landing::Refused(error),
            FailureClass::Away => Landing::Outage(error),
        }
    }

    /// Whether the provider fails for this grant alone: it served others since it first answered with nothing but a 5xx. Some
    /// answer so where the grant's session at a provider of their own is over.
    fn are_of_this_grant(&self, provider: &Provider) -> bool {
        self.bare >= BARE_TO_BE_SURE && provider.has_served_since(self.first_bare)
    }
}

impl Sessions {
    /// Renews a session that is due, or joins whoever is renewing it. While the access token lives this waits a short time
    /// only, so that a slow provider does not hold up an application that could be served.
    pub(super) async fn renew(self: &Arc<Self>, live: &Arc<LiveSession>, now: UnixTime) -> Landing {
        let mut flight = match self.board(live, now) {
            Ok(flight) => flight,
            Err(landing) => return landing,
        };
        let landed = async {
            let landing = flight.wait_for(Option::is_some).await.ok().and_then(|landing| landing.clone());
            // The flight's end was dropped untold: it panicked. That is our fault, so nobody is signed out for it.
            landing.unwrap_or_else(|| Landing::Outage(Arc::new(ProviderError::Lost)))
        };
        if live.access_expired(now) {
            return landed.await;
        }
        match tokio::time::timeout(PATIENCE, landed).await {
            Ok(landing) => landing,
            Err(_) => Landing::Renewed(Arc::clone(live)),
        }
    }

    /// Joins the flight of this session, or starts it; or says at once how it would end.
    fn board(
        self: &Arc<Self>,
        live: &Arc<LiveSession>,
        now: UnixTime,
    ) -> Result<watch::Receiver<Option<Landing>>, Landing> {
        let mut flight = live.cell.flight.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at again under the lock: a flight may have landed since this request found its session due.
        let newer = self.successor(live, now);
        // It may have new tokens, but an identity that nothing vouches for any more.
        let is_late = newer.as_ref().is_some_and(|newer| newer.access_expired(now));
        match &*flight {
            Flight::Flying(landing) if (newer.is_none() || is_late) && landing.has_changed().is_ok() => {
                return Ok(landing.clone());
            }
            Flight::Waiting { until, landing, .. } if self.clock.monotonic() < *until || is_late => {
                return Err(landing.clone());
            }
            _ => {}
        }
        if let Some(newer) = newer {
            return Err(Landing::Renewed(newer));
        }
        let mut failures =
            if let Flight::Waiting { failures, .. } = &*flight { *failures } else { Failures::default() };
        if live.is_spent() {
            return Err(Landing::Ended("refresh_token_spent"));
        }
        let Some(session) = self.reopened(live).filter(|session| session.tokens.refresh.is_some()) else {
            return Err(Landing::Ended("no_refresh_token"));
        };
        if session.tokens.refresh.as_ref().is_some_and(|token| self.registry.is_spent(token)) {
            live.found_spent();
            return Err(Landing::Ended("refresh_token_spent"));
        }
        let (tell, landing) = watch::channel(None);
        *flight = Flight::Flying(landing.clone());
        let (sessions, live) = (Arc::clone(self), Arc::clone(live));
        self.control.detach(async move {
            let landed = sessions.fly(&live, &session, &mut failures).await;
            let mut flight = live.cell.flight.lock().unwrap_or_else(PoisonError::into_inner);
            *flight = match &landed {
                Landing::Outage(error) | Landing::Refused(error) => Flight::Waiting {
                    until: sessions.clock.monotonic().plus(back_off(failures.count, error.retry_after())),
                    failures,
                    landing: landed.clone(),
                },
                Landing::Renewed(_) | Landing::Ended(_) => Flight::Grounded,
            };
            // Nobody listens any more when all browsers hung up: the session is in the cell all the same.
            let _ = tell.send(Some(landed));
        });
        Ok(landing)
    }

    async fn fly(self: &Arc<Self>, live: &Arc<LiveSession>, session: &Session, failures: &mut Failures) -> Landing {
        let (Some(provider), Some(refresh_token)) = (self.provider(live.provider), &session.tokens.refresh) else {
            return Landing::Ended("no_refresh_token");
        };
        let request = RefreshRequest {
            refresh_token,
            issuer: &session.issuer,
            claims: &session.claims,
            asked: session.asked.as_ref(),
            nonce: session.nonce.as_deref(),
            auth_time: session.auth_time,
            scope: session.scope.as_deref(),
        };
        let asked = Instant::now();
        let answer = provider.refresh(&request).await;
        let took = asked.elapsed();
        match answer {
            Ok(refreshed) => {
                self.record_refreshed(session, live.provider, took);
                // The grant is good: it is nobody else's success that counts from here on.
                failures.bare = 0;
                let unproven = refreshed.identity.as_ref().err().cloned();
                match (self.land(live, session, refreshed), unproven) {
                    // The tokens are kept, and the identity is asked for again: nothing new vouches for it.
                    (Landing::Renewed(_), Some(error)) => failures.add(error, provider),
                    (landing, _) => landing,
                }
            }
            Err(error) => {
                self.record_refresh_failed(session, live.provider, error.code(), took);
                let landing = failures.add(Arc::new(error.clone()), provider);
                let (code, name) = (error.code(), session.id.short());
                match &landing {
                    Landing::Ended(_) => {
                        let provider = &*session.provider;
                        if error.is_refused_here() {
                            tracing::warn!(code, session = %name, provider, %error, "what came with a renewal is refused here, and the session with it: it is of somebody else, or proves nothing");
                        } else {
                            tracing::info!(code, session = %name, provider, %error, "the provider ended a session");
                        }
                        self.registry.end_up_to(&session.id, live.owner(), session.generation, self.settings.lifetime);
                    }
                    Landing::Refused(_) => {
                        tracing::debug!(code, session = %name, provider = %session.provider, %error, "the provider refuses to renew a session; it stays until its access token ends");
                    }
                    Landing::Outage(_) | Landing::Renewed(_) => {
                        tracing::debug!(code, session = %name, provider = %session.provider, %error, "a session could not be renewed; it stays until its access token ends");
                    }
                }
                landing
            }
        }
    }

    fn land(self: &Arc<Self>, live: &Arc<LiveSession>, old: &Session, refreshed: Refreshed) -> Landing {
        let now = self.clock.now();
        let rotated =
            refreshed.tokens.refresh_token.as_ref().is_some_and(|new| old.tokens.refresh.as_ref() != Some(new));
        if rotated && let Some(spent) = &old.tokens.refresh {
            self.registry.spend(spent, live.owner(), self.settings.lifetime);
        }
        let session =
            old.renewed(refreshed, live.cell.succession.generation().max(old.generation) + 1, now, &self.settings.keep);
        let session = session.brought_to(now, self.settings.clock_leeway);
        self.log_refreshed_claims(live.provider, &old.claims, &session.claims);
        match self.enliven(session, live.site(), now) {
            Ok(renewed) => {
                let made = self.clock.monotonic();
                live.cell.succession.publish(renewed.session.generation, Arc::clone(&renewed.sealed), made);
                self.registry.keep_unseen(&renewed.session.id, live.owner(), &live.cell, renewed.ends().since(now));
                // Looked at after publishing: a sign-out meanwhile waits for these tokens to revoke them (AT-LG-12).
                if renewed.is_ended() {
                    return Landing::Ended("signed_out");
                }
                Landing::Renewed(renewed)
            }
            Err(error) => {
                tracing::warn!(code = "identity_lost", claim = %self.mapping(live.provider).subject, %error, "a refreshed session names nobody");
                self.registry.end(&live.session.id, live.owner(), self.settings.lifetime);
                Landing::Ended("identity_lost")
            }
        }
    }
}

impl Session {
    /// This session with a new token set: what the provider did not send again stays (RFC 6749 section 6, RF-02, RF-11).
    fn renewed(
        &self,
        refreshed: Refreshed,
        generation: u32,
        now: UnixTime,
        keep: &super::settings::KeptTokens,
    ) -> Self {
        let tokens = refreshed.tokens;
        let mut session = self.clone();
        session.generation = generation;
        session.access_issued = now;
        session.access_expires = match (&refreshed.identity, self.access_expires) {
            // UI-05: nothing new vouches for the person.
            (Err(_), Some(before)) => Some(before.min(now.plus(tokens.expires_in))),
            _ => Some(now.plus(tokens.expires_in)),
        };
        session.tokens.access = if keep.access { tokens.access_token } else { None };
        if let Some(refresh) = tokens.refresh_token {
            session.tokens.refresh = Some(refresh);
        }
        if keep.id_token
            && let Some(id_token) = tokens.id_token
        {
            session.tokens.id_token = Some(id_token);
        }
        if let Some(scope) = tokens.scope {
            session.scope = Some(scope);
        }
        if let Ok(RenewedIdentity { claims, asked, auth_time }) = refreshed.identity {
            (session.asked, session.auth_time) = (asked, auth_time);
            // What is not said again is not so any more: many providers leave a claim out that became empty, groups above all.
            // Only the name of the sign-in at the provider cannot change.
            let sid = session.claims.remove("sid");
            session.claims = claims;
            if let Some(sid) = sid {
                session.claims.entry("sid").or_insert(sid);
            }
        }
        session
    }
}

/// The wait after so many failures: it doubles, and is as long as the provider asks for, within bounds (RF-04).
fn back_off(failures: u32, retry_after: Option<Duration>) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).max(retry_after.unwrap_or_default()).min(BACK_OFF_MAX)
}

const PATIENCE: Duration = Duration::from_secs(3);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
const BARE_TO_BE_SURE: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute() {
        let waits: Vec<u64> = (1..=8).map(|failures| back_off(failures, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(1, Some(Duration::from_secs(20))).as_secs(), 20);
        assert_eq!(back_off(1, Some(Duration::MAX)).as_secs(), 60);
    }
}
