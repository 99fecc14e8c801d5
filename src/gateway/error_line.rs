//! The line of the process log about a request that got an answer of ours.

use crate::gateway::error::GatewayError;
use crate::provider::Words;
use crate::request::RequestMeta;
use crate::telemetry::causes::with_causes;

/// Writes it: a warning for an application's fault, an error for ours, and at info what a page's request id is looked up for.
pub(super) fn log(meta: &RequestMeta, error: &GatewayError) {
    let (id, code, reason) = (meta.id.as_str(), error.code().number(), error.reason());
    match error {
        GatewayError::Provider { name, error: cause, .. } => {
            let provider = name.as_deref();
            // The provider's own state is reported once, where it changes.
            tracing::info!(request_id = id, code, reason, provider, error = %cause, "a provider failed a request");
        }
        GatewayError::SignIn { provider_said: Some((error, description)), .. } => {
            let said = Words::new(error, description.as_deref());
            let (error, error_description) = (said.error(), said.description());
            tracing::info!(request_id = id, code, reason, error, error_description, "the provider refused a sign-in");
        }
        GatewayError::Upstream { route, error: cause } if cause.is_upstream_fault() => {
            let error = with_causes(cause);
            tracing::warn!(request_id = id, code, reason, route = &**route, error, "an application failed");
        }
        GatewayError::Upstream { route, error: cause } => {
            let error = with_causes(cause);
            tracing::info!(request_id = id, code, reason, route = &**route, error, "a request could not be forwarded");
        }
        GatewayError::SessionTooLarge(cause) => tracing::error!(
            request_id = id,
            code,
            reason,
            bytes = cause.bytes,
            limit = cause.limit,
            "a session does not fit into cookies: keep fewer tokens ([session] keep), or ask the provider for fewer claims"
        ),
        GatewayError::Internal(_) => tracing::error!(request_id = id, code, reason, "a fault of ours"),
        // Every script that is not signed in, and whom the audit log names.
        GatewayError::SignInNeeded { .. } | GatewayError::Denied { .. } => {
            tracing::debug!(request_id = id, code, reason, "refused");
        }
        _ => tracing::info!(request_id = id, client = %meta.client, code, reason, "refused"),
    }
}
