//! How a provider's answer comes to the callback: in the query of a redirect, or posted by the provider's page (`form_post`).

use http::Method;

use crate::body::Body;
use crate::gateway::endpoints::{Form, Query};
use crate::gateway::error::GatewayError;
use crate::gateway::{Gateway, Visit};
use crate::provider::settings::ResponseMode;

impl Gateway {
    /// The answer, where it comes by the method that its providers answer by: of the one whose redirect URI it is, or
    /// else of any. HEAD and
    /// its like must not burn the code (AT-LF-17).
    pub(super) async fn authorization_response<'v>(
        &self,
        visit: Visit<'v>,
        body: Body,
    ) -> Result<Query<'v>, GatewayError> {
        let own = self.redirects.provider_at(visit.meta.path.as_str());
        let modes = self.providers.iter().enumerate().filter(|(at, _)| own.is_none_or(|own| own == *at));
        let by = |mode| modes.clone().any(|(_, provider)| provider.settings().response_mode == mode);
        let (by_query, by_form) = (by(ResponseMode::Query), by(ResponseMode::FormPost));
        match visit.meta.method {
            Method::GET if by_query => Ok(Query::of(visit.meta)),
            Method::POST if by_form => Ok(Form::read(visit.headers, body).await?.into()),
            _ if by_query && by_form => Err(GatewayError::EndpointMethod("GET, POST")),
            _ if by_form => Err(GatewayError::EndpointMethod("POST")),
            _ => Err(GatewayError::EndpointMethod("GET")),
        }
    }

    /// Refuses an answer by another method than this provider's, where several share the callback.
    pub(super) fn check_answer_method(&self, visit: Visit<'_>, provider: usize) -> Result<(), GatewayError> {
        let mode = self.providers.get(provider).map(|provider| provider.settings().response_mode);
        match mode {
            Some(ResponseMode::FormPost) if !posted(visit) => Err(GatewayError::EndpointMethod("POST")),
            Some(ResponseMode::Query) if posted(visit) => Err(GatewayError::EndpointMethod("GET")),
            _ => Ok(()),
        }
    }
}

/// Whether the provider's page posted the answer. It comes from another site, so no cookie came along but one that is `None`.
pub(super) fn posted(visit: Visit<'_>) -> bool {
    visit.meta.method == Method::POST
}
