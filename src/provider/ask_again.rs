//! Asking again who somebody is, with the access token of a session that has no refresh token (`userinfo_every`).
//!
//! One question, asked once. Three answers end the session: the token is refused, it is not active, or the answer is about
//! somebody else. Whatever else cannot be used says nothing of the person, and what was said before stays.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::identity::Claims;
use crate::provider::Provider;
use crate::provider::error::{AnswerFault, Endpoint, ProviderError};
use crate::provider::metadata::Metadata;
use crate::provider::refresh::{AskedClaims, RenewedIdentity, merge, without_asked};
use crate::provider::settings::ProviderKind;
use crate::provider::token::TokenSet;
use crate::secret::Secret;

/// What a session knows of its person.
#[derive(Debug)]
pub struct KnownIdentity<'a> {
    /// The access token to ask with. Sent only to this provider.
    pub access_token: &'a Secret<String>,
    /// The session's claims: the new ones have to be about the same person.
    pub claims: &'a Claims,
    /// Which of them come from userinfo or introspection.
    pub asked: Option<&'a AskedClaims>,
    /// The `auth_time` of the sign-in, which asking does not change.
    pub auth_time: Option<UnixTime>,
    /// What is granted so far.
    pub scope: Option<&'a str>,
}

/// What the provider says now.
#[derive(Clone, Debug)]
pub struct AskedAgain {
    /// Who it is.
    pub identity: RenewedIdentity,
    /// What is granted, by introspection or as before.
    pub scope: Option<String>,
}

impl Provider {
    /// Asks userinfo or introspection: one request, once.
    ///
    /// # Errors
    /// [`ProviderError::class`] says what becomes of the session.
    pub async fn ask_again(&self, known: &KnownIdentity<'_>) -> Result<AskedAgain, ProviderError> {
        let answer = self.asked_again(known).await.and_then(|said| self.check_person(said, known));
        self.reported(answer.map_err(ending))
    }

    /// The same without a line in the log, whomever the answer is about.
    async fn asked_again(&self, known: &KnownIdentity<'_>) -> Result<AskedAgain, ProviderError> {
        let metadata = self.metadata.get(&self.transport).await?;
        let mut tokens = TokenSet {
            access_token: Some(known.access_token.clone()),
            refresh_token: None,
            id_token: None,
            expires_in: Duration::ZERO,
            scope: known.scope.map(str::to_owned),
        };
        let (claims, names) = match &self.settings.kind {
            ProviderKind::OAuth2 { identity, .. } => {
                (self.plain_claims(&metadata, &mut tokens, *identity).await?, Vec::new())
            }
            ProviderKind::Oidc { .. } => self.openid_claims_again(&metadata, &tokens, known).await?,
        };
        let identity = RenewedIdentity { claims, asked: Some(self.asked(names)), auth_time: known.auth_time };
        Ok(AskedAgain { identity, scope: tokens.scope })
    }

    /// What the ID token said, with what userinfo adds to it now; and the names of the latter.
    async fn openid_claims_again(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        known: &KnownIdentity<'_>,
    ) -> Result<(Claims, Vec<String>), ProviderError> {
        let mut claims = without_asked(known.claims, known.asked);
        let userinfo = self.openid_userinfo(metadata, tokens, &claims).await?;
        let names = merge(&mut claims, userinfo);
        Ok((claims, names))
    }

    /// The same person by `sub` as the provider writes it, and by the claim that names people here (AT-TP-17).
    fn check_person(&self, said: AskedAgain, known: &KnownIdentity<'_>) -> Result<AskedAgain, ProviderError> {
        let (now, before, mapping) = (&said.identity.claims, known.claims, &self.settings.claims);
        let is_other_sub = now.get("sub").zip(before.get("sub")).is_some_and(|(now, before)| now != before);
        if is_other_sub || mapping.subject_of(now) != mapping.subject_of(before) {
            return Err(ProviderError::SubjectChanged);
        }
        Ok(said)
    }
}

/// A refusal of the access token, and an answer about somebody else, end the session; other errors are what they are.
fn ending(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::BadAnswer {
            endpoint: Endpoint::Userinfo,
            fault: AnswerFault::Unauthorized | AnswerFault::Subject,
            ..
        } => ProviderError::IdentityRefused(Arc::new(error)),
        error => error,
    }
}
