//! Renewing a session: one token request however many requests need it, on the control runtime, for all that wait.
//!
//! ```text
//!              due: the first request                  new tokens
//!   settled ────────────────────────────► renewing ────────────────► settled, one generation on
//!      ▲                                   │    │
//!      │ the wait is over                  │    └── the provider says that the session is over ──► ended
//!      └─────────────── waiting ◄──────────┘
//!                                 refused, or the provider is away
//! ```
//!
//! 1. The first request that finds its session due begins the renewal ([`SingleFlight`](crate::single_flight::SingleFlight), by
//!    session); those that come meanwhile wait for its outcome.
//! 2. It goes on when every browser has hung up: a rotated refresh token that nobody stored would be lost.
//! 3. Those that still send the old cookie afterwards get the new session for as long as
//!    [`Succession`](super::succession::Succession) says.
//! 4. A refresh token that was exchanged for another is never sent again
//!    ([RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).
//! 5. An outage or a refusal ends nothing while the access token lives; the next try waits longer each time
//!    ([`Backoff`](crate::backoff::Backoff)). After the token's end an outage is one for the person too, and a refusal is the same as not being signed in.
//!
//! Where there is no refresh token, a renewal asks who it is with the access token (`ask_again`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::UnixTime;
use crate::provider::{ProviderError, RefreshRequest, Refreshed, RenewedIdentity};
use crate::session::Session;
use crate::session::claims_log::sought_in_vain;
use crate::session::live::LiveSession;
use crate::session::renewal::{Failures, Renewal};
use crate::session::sessions::Sessions;
use crate::session::settings::TokenKinds;
use crate::session::store::SessionStore;
use crate::single_flight::{Joined, Waiting};
use crate::trace;

impl Sessions {
    /// Renews a session that is due, or waits for whoever is renewing it. While the access token lives this waits a short time
    /// only, so that a slow provider does not hold up an application that could be served: there is no outcome yet then. Who it is
    /// has to be known before, so that question is waited for, unless the provider failed the last time.
    pub(super) async fn renew(self: &Arc<Self>, live: &Arc<LiveSession>, now: UnixTime) -> Option<Renewal> {
        let renewed = async {
            loop {
                let waiting = match self.join_renewal(live, now).await {
                    Ok(waiting) => waiting,
                    Err(outcome) => return outcome,
                };
                match waiting.outcome().await {
                    Some(Some(outcome)) => return outcome,
                    Some(None) => {}
                    // It panicked. That is our fault, so nobody is signed out for it.
                    None => return Renewal::Outage(Arc::new(ProviderError::Lost)),
                }
            }
        };
        if live.access_expired(now) || (live.has_to_ask(now) && failures(live).is_none()) {
            return Some(renewed.await);
        }
        tokio::time::timeout(LONGEST_HOLD_UP, renewed).await.ok()
    }

    /// Waits for the renewal of this session, or begins it; or says at once how it would end.
    async fn join_renewal(
        self: &Arc<Self>,
        live: &Arc<LiveSession>,
        now: UnixTime,
    ) -> Result<Waiting<Option<Renewal>>, Renewal> {
        let joined = self.registry.renewals.join(live.id);
        // Looked at again: a renewal may have ended since this request found its session due.
        let newer = self.successor(live, now).await;
        let turn = match (joined, &newer) {
            (Joined::First(turn), _) => turn,
            (Joined::Other(_), Some(newer)) if !newer.access_expired(now) && !newer.has_to_ask(now) => {
                return Err(Renewal::Renewed(newer.handle.clone()));
            }
            // The newer one may have new tokens, but an identity that nothing vouches for any more.
            (Joined::Other(waiting), _) => return Ok(waiting),
        };
        let session = match self.to_be_renewed(live, newer, now).await {
            Ok(session) => session,
            Err(outcome) => {
                // Those who wait by now may hold another cookie of this session: they look for themselves.
                turn.finish(None);
                return Err(outcome);
            }
        };
        let waiting = turn.waiting();
        let (sessions, live) = (Arc::clone(self), Arc::clone(live));
        self.control.detach(async move {
            let asked = sessions.ask_for_renewal(&live, &session);
            let outcome = trace::part("auth.refresh", asked, |outcome| !matches!(outcome, Renewal::Renewed(_))).await;
            let mut failures = failures(&live);
            match &outcome {
                Renewal::Outage(error) | Renewal::Refused(error) => {
                    let every = live.asked_every();
                    let backoff = &mut failures.get_or_insert_with(|| Box::new(Failures::of(every))).backoff;
                    backoff.failed(sessions.clock.monotonic(), outcome.clone(), error.retry_after().max(every));
                }
                Renewal::Renewed(_) | Renewal::Ended(_) => *failures = None,
            }
            drop(failures);
            // Nobody waits any more when all browsers hung up: the session is in the cell all the same.
            turn.finish(Some(outcome));
        });
        Ok(waiting)
    }

    /// The session with the refresh token to present; or how the renewal ends without asking the provider.
    async fn to_be_renewed(
        &self,
        live: &LiveSession,
        newer: Option<Arc<LiveSession>>,
        now: UnixTime,
    ) -> Result<Session, Renewal> {
        let is_late = newer.as_ref().is_some_and(|newer| newer.access_expired(now));
        if let Some(failures) = &*failures(live) {
            let waiting = failures.backoff.waiting(self.clock.monotonic()).map(|(_, last)| last);
            if let Some(last) = waiting.or_else(|| failures.backoff.last().filter(|_| is_late)) {
                return Err(last.clone());
            }
        }
        if let Some(newer) = newer {
            return Err(Renewal::Renewed(newer.handle.clone()));
        }
        if live.is_spent.load(Ordering::Relaxed) {
            return Err(Renewal::Ended("refresh_token_spent"));
        }
        let Some(session) = self.whole(live).await else { return Err(Renewal::Ended("no_refresh_token")) };
        if session.tokens.refresh.as_ref().is_some_and(|token| self.registry.is_spent(token)) {
            live.is_spent.store(true, Ordering::Relaxed);
            return Err(Renewal::Ended("refresh_token_spent"));
        }
        Ok(session)
    }

    /// Asks the provider, and takes over what it gives.
    async fn ask_for_renewal(self: &Arc<Self>, live: &Arc<LiveSession>, session: &Session) -> Renewal {
        let Some(refresh_token) = &session.tokens.refresh else { return self.ask_again(live, session).await };
        let provider = &live.provider;
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
                self.record_refreshed(live, took);
                if let Some(failures) = &mut *failures(live) {
                    failures.grant_is_good();
                }
                let unproven = refreshed.identity.as_ref().err().cloned();
                match (self.take_over(live, session, refreshed).await, unproven) {
                    // The tokens are kept, and the identity is asked for again: nothing new vouches for it.
                    (Renewal::Renewed(_), Some(error)) => failures(live).get_or_insert_default().add(error, provider),
                    (outcome, _) => outcome,
                }
            }
            Err(error) => {
                self.record_refresh_failed(live, error.code(), took);
                let outcome = failures(live).get_or_insert_default().add(Arc::new(error.clone()), provider);
                let (code, name) = (error.code(), session.id.short());
                match &outcome {
                    Renewal::Ended(_) => {
                        let provider = &*session.provider;
                        if error.is_refused_here() {
                            tracing::warn!(code, session = %name, provider, %error, "what came with a renewal is refused here, and the session with it: it is of somebody else, or proves nothing");
                        } else {
                            tracing::info!(code, session = %name, provider, %error, "the provider ended a session");
                        }
                        self.registry.end_up_to(&session.id, live.owner(), session.generation, self.settings.lifetime);
                    }
                    Renewal::Refused(_) => {
                        tracing::debug!(code, session = %name, provider = %session.provider, %error, "the provider refuses to renew a session; it stays until its access token ends");
                    }
                    Renewal::Outage(_) | Renewal::Renewed(_) => {
                        tracing::debug!(code, session = %name, provider = %session.provider, %error, "a session could not be renewed; it stays until its access token ends");
                    }
                }
                outcome
            }
        }
    }

    /// Stores the session with its new tokens, and leads those who still come with the old handle to it.
    async fn take_over(&self, live: &LiveSession, old: &Session, refreshed: Refreshed) -> Renewal {
        let now = self.clock.now();
        let rotated =
            refreshed.tokens.refresh_token.as_ref().is_some_and(|new| old.tokens.refresh.as_ref() != Some(new));
        if rotated && let Some(spent) = &old.tokens.refresh {
            self.registry.spend(spent, live.owner(), self.settings.lifetime);
        }
        self.put_in_place(live, old, old.renewed(refreshed, now, self.settings.keep), now).await
    }

    /// Stores what became of a session as its next generation.
    pub(super) async fn put_in_place(
        &self,
        live: &LiveSession,
        old: &Session,
        mut session: Session,
        now: UnixTime,
    ) -> Renewal {
        let succession = &live.cell.succession;
        let newest = succession.generation().max(old.generation);
        session.generation = newest + 1;
        let session = session.brought_to(now, self.settings.clock_leeway);
        let settings = live.provider.settings();
        self.claims_log.renewed(settings, &old.claims, &session.claims);
        let (session, identity) = match self.prepared(session, &live.provider) {
            Ok(prepared) => prepared,
            Err(error) => {
                let (_, claim) = sought_in_vain(settings, error);
                let (provider, session) = (&*settings.name, live.id.short());
                tracing::warn!(code = "identity_lost", reason = error.code(), provider, session, %claim, %error, "a refreshed session names nobody, and is ended");
                self.store.end(&live.id, live.owner()).await;
                return Renewal::Ended("identity_lost");
            }
        };
        let Ok(handle) = self.store.replace(live.site(), &session, newest, now).await else {
            let latest = succession.latest().map(|latest| latest.handle.clone());
            return latest.map_or(Renewal::Ended("session_superseded"), Renewal::Renewed);
        };
        let renewed = self.insert(session, identity, handle, live.site());
        succession.publish(renewed.generation, renewed.handle.clone(), self.clock.monotonic());
        self.registry.keep_unseen(&renewed.id, live.owner(), &live.cell, renewed.ends.since(now));
        // Looked at after publishing: a sign-out meanwhile waits for these tokens to revoke them (AT-LG-12).
        if renewed.is_ended() { Renewal::Ended("signed_out") } else { Renewal::Renewed(renewed.handle.clone()) }
    }
}

impl Session {
    /// This session with a new token set: what the provider did not send again stays
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6), RF-02, RF-11).
    fn renewed(&self, refreshed: Refreshed, now: UnixTime, keep: TokenKinds) -> Self {
        let tokens = refreshed.tokens;
        let mut session = self.clone();
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
        match refreshed.identity {
            Ok(identity) => session.of_person(identity),
            Err(_) => session,
        }
    }

    /// This session of the same person as they are now.
    pub(super) fn of_person(mut self, identity: RenewedIdentity) -> Self {
        let RenewedIdentity { claims, asked, auth_time } = identity;
        (self.asked, self.auth_time) = (asked, auth_time);
        // What is not said again is not so any more: many providers leave a claim out that became empty, groups above all.
        // Only the name of the sign-in at the provider cannot change.
        let sid = self.claims.remove("sid");
        self.claims = claims;
        if let Some(sid) = sid {
            self.claims.entry("sid").or_insert(sid);
        }
        self
    }
}

/// The failed renewals of a session's grant.
fn failures(live: &LiveSession) -> MutexGuard<'_, Option<Box<Failures>>> {
    live.cell.failures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a request that could be served with the old token waits for a new one.
const LONGEST_HOLD_UP: Duration = Duration::from_secs(3);
