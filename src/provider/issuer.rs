//! The issuer of a provider: one identifier, or a template for the issuers of several tenants (Microsoft Entra ID).

use std::sync::Arc;

use serde_json::Value;

use crate::identity::Claims;
use crate::provider::error::IdTokenError;
use crate::provider::words::printable;

/// An issuer identifier, compared as text
/// ([OpenID Connect Discovery section 4.3](https://openid.net/specs/openid-connect-discovery-1_0.html#rfc.section.4.3)).
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    text: Arc<str>,
    /// The allowed tenants; empty where the identifier is not a template.
    tenants: Arc<[String]>,
}

impl Issuer {
    /// The identifier of one issuer; with `tenants`, a template with [`PLACEHOLDER`] in it.
    pub(super) fn new(text: &str, tenants: &[String]) -> Self {
        Self { text: Arc::from(text), tenants: tenants.into() }
    }

    /// As the discovery document writes it, byte for byte.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it stands for several issuers.
    pub(super) fn is_template(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// Whether `iss` names this provider: in a callback, in a sign-in that a provider began, in a session. It is no proof
    /// about a token; that is [`of_token`](Self::of_token).
    pub(super) fn covers(&self, iss: &str) -> bool {
        *iss == *self.text || self.tenants.iter().any(|tenant| self.of_tenant(tenant) == iss)
    }

    /// The issuer that a token with these claims has to name: for a template, the one of its `tid`, if that tenant is allowed.
    /// The token's own `iss` does not count, because a provider of all tenants signs for each of them with the same keys.
    pub(super) fn of_token(&self, claims: &Claims) -> Result<Arc<str>, IdTokenError> {
        if !self.is_template() {
            return Ok(Arc::clone(&self.text));
        }
        let tenant = claims.get("tid").and_then(Value::as_str).ok_or(IdTokenError::TenantMissing)?;
        if !self.tenants.iter().any(|allowed| allowed == tenant) {
            return Err(IdTokenError::TenantNotAllowed { came: printable(tenant, LONGEST_SHOWN) });
        }
        Ok(self.of_tenant(tenant).into())
    }

    /// The issuer of one tenant.
    fn of_tenant(&self, tenant: &str) -> String {
        self.text.replace(PLACEHOLDER, tenant)
    }

    /// The identifier below which the discovery document is looked for: Entra has that of all tenants at `common`.
    pub(super) fn discovered_below(&self) -> String {
        if self.is_template() { self.of_tenant("common") } else { self.text.to_string() }
    }
}

/// The most characters of a tenant in a message.
const LONGEST_SHOWN: usize = 64;

/// The place of the tenant in a template.
pub const PLACEHOLDER: &str = "{tenantid}";
