//! Whom we believe as a TLS client: the system's authorities, and those that the configuration names besides.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, SupportedProtocolVersion};

/// A TLS client cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// The TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The additional authorities cannot be used.
    #[error("the authorities cannot be used: {0}")]
    Authorities(String),
}

/// A client that believes the system's authorities and these, and speaks these versions of TLS.
///
/// # Errors
/// [`TrustError`].
pub fn client_config(
    extra: Vec<CertificateDer<'static>>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TrustError> {
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_protocol_versions(versions)
        .map_err(|error| TrustError::Tls(error.to_string()))?;
    let without_extra = extra.is_empty();
    match rustls_platform_verifier::Verifier::new_with_extra_roots(extra, crypto) {
        Ok(verifier) => {
            Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
        }
        // A machine without any root certificates can still talk to a server on loopback; https will be refused, as it must.
        Err(error) if without_extra => {
            tracing::warn!(code = "no_system_roots", %error, "no https server can be trusted");
            Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        }
        Err(error) => Err(TrustError::Authorities(error.to_string())),
    }
}
