//! Who somebody is, asked again where no refresh token renews the session (`userinfo_every`).
//!
//! 1. It goes the way of a renewal: one question for all requests and cookies of a session, on the control runtime, and a new
//!    generation that carries what was said. The access token stays, and with it the end of the session.
//! 2. The token is refused, or names somebody else: the session is over at once, in every generation, for all have this token.
//! 3. An outage ends nothing. The next question comes after the interval, or a minute where that is shorter.

use std::time::Instant;

use crate::provider::{FailureClass, KnownIdentity, ProviderError};
use crate::session::Session;
use crate::session::live::LiveSession;
use crate::session::renewal::Renewal;
use crate::session::sessions::Sessions;
use crate::session::store::SessionStore;

impl Sessions {
    /// Asks the provider, and takes over what it says.
    pub(super) async fn ask_again(&self, live: &LiveSession, session: &Session) -> Renewal {
        let Some(access_token) = &session.tokens.access else {
            return self.end_unvouched(live, session, "no_access_token").await;
        };
        let known = KnownIdentity {
            access_token,
            claims: &session.claims,
            asked: session.asked.as_ref(),
            auth_time: session.auth_time,
            scope: session.scope.as_deref(),
        };
        let asked = Instant::now();
        let answer = live.provider.ask_again(&known).await;
        let took = asked.elapsed();
        match answer {
            Ok(said) => {
                self.record_refreshed(live, took);
                let now_known = Session { scope: said.scope, ..session.clone() }.of_person(said.identity);
                self.put_in_place(live, session, now_known, self.clock.now()).await
            }
            Err(error) => {
                self.record_refresh_failed(live, error.code(), took);
                self.unanswered(live, session, error).await
            }
        }
    }

    /// What becomes of a session whose person the provider does not name again.
    async fn unanswered(&self, live: &LiveSession, session: &Session, error: ProviderError) -> Renewal {
        let (code, name, provider) = (error.code(), session.id.short(), &*session.provider);
        match error.class() {
            FailureClass::Over => {
                tracing::info!(code, session = %name, provider, %error, "the provider does not vouch for somebody any more: the session is over");
                self.end_unvouched(live, session, code).await
            }
            class => {
                tracing::debug!(code, session = %name, provider, %error, "it could not be asked who somebody is; the session stays until its access token ends");
                let error = error.into();
                if class == FailureClass::Away { Renewal::Outage(error) } else { Renewal::Refused(error) }
            }
        }
    }

    /// Ends a session for this reason, whichever cookie of it comes.
    async fn end_unvouched(&self, live: &LiveSession, session: &Session, reason: &'static str) -> Renewal {
        self.store.end(&session.id, live.owner()).await;
        Renewal::Ended(reason)
    }
}
