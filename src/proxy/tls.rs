//! TLS towards applications: roots of trust, the client certificate, and the protocol that was negotiated (ALPN).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use crate::proxy::settings::UpstreamTls;

/// TLS towards one application, made once.
pub(super) struct TlsClient {
    /// HTTP/2 or HTTP/1.1.
    either: TlsConnector,
    /// HTTP/1.1 only.
    http1: TlsConnector,
    /// The configured name, in place of the URL's host.
    name: Option<ServerName<'static>>,
}

/// Why an application cannot be served at all: a fault of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct UpstreamSetupError {
    code: &'static str,
    text: String,
    source: Option<Box<rustls::Error>>,
}

impl UpstreamSetupError {
    /// Made of a stable name, and of what is wrong.
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), source: None }
    }

    /// A stable name for logs.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl TlsClient {
    /// Prepares TLS: connects nothing.
    pub(super) fn new(settings: &UpstreamTls) -> Result<Self, UpstreamSetupError> {
        let name = settings.server_name.as_deref().map(server_name).transpose()?;
        let config = client_config(settings)?;
        Ok(Self { either: speaking(&config, &[b"h2", b"http/1.1"]), http1: speaking(&config, &[b"http/1.1"]), name })
    }

    /// HTTP/2 or HTTP/1.1; or HTTP/1.1 only, for upgrades.
    pub(super) fn connector(&self, http1_only: bool) -> &TlsConnector {
        if http1_only { &self.http1 } else { &self.either }
    }

    /// The name that the application must prove: the configured one, else its URL's host
    /// ([RFC 9525 section 6](https://www.rfc-editor.org/rfc/rfc9525#section-6), TL-02).
    pub(super) fn name_for(&self, authority: &str) -> Result<ServerName<'static>, UpstreamSetupError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => server_name(host_of(authority)),
        }
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The configuration, but for the protocols.
fn client_config(settings: &UpstreamTls) -> Result<ClientConfig, UpstreamSetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(settings.min_version.versions())
        .map_err(|error| because("upstream_tls_unusable", "TLS towards the application cannot be set up", error))?;
    let builder = if settings.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else if let Some(certificates) = &settings.roots {
        builder.with_root_certificates(roots(certificates)?)
    } else {
        let unusable = "the system's certificate authorities cannot be used";
        let verifier = Verifier::new(provider);
        let verifier = verifier.map_err(|error| because("upstream_system_roots_unusable", unusable, error))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    let Some((chain, key)) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    builder.with_client_auth_cert(chain.clone(), key.expose().clone_key()).map_err(|error| {
        let text = format!("the client certificate for the application cannot be used: {error}");
        UpstreamSetupError::new("upstream_client_certificate_unusable", text)
    })
}

/// An error of rustls's, named.
fn because(code: &'static str, text: &str, source: rustls::Error) -> UpstreamSetupError {
    UpstreamSetupError { source: Some(Box::new(source)), ..UpstreamSetupError::new(code, text) }
}

/// The same for these protocols.
fn speaking(config: &ClientConfig, protocols: &[&[u8]]) -> TlsConnector {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// The configured roots of trust.
fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, UpstreamSetupError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(|error| {
            let text = format!("the certificate authorities for the application cannot be read: {error}");
            UpstreamSetupError::new("upstream_ca_unusable", text)
        })?;
    }
    Ok(store)
}

/// A name that a certificate can be for.
fn server_name(host: &str) -> Result<ServerName<'static>, UpstreamSetupError> {
    let invalid = |_| UpstreamSetupError::new("upstream_server_name_invalid", format!("{host:?} is no server name"));
    ServerName::try_from(host.to_owned()).map_err(invalid)
}

/// `host[:port]` without the port, and an IPv6 address without its brackets.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// `insecure_skip_verify`: any certificate will do, but the handshake must still be signed with its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_host_of_an_authority_has_no_port_and_no_brackets() {
        assert_eq!(host_of("app.internal:8443"), "app.internal");
        assert_eq!(host_of("app.internal"), "app.internal");
        assert_eq!(host_of("[::1]:8443"), "::1");
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_own_code() {
        let nothing = CertificateDer::from(b"nothing".to_vec());
        let ca = UpstreamTls { roots: Some(vec![nothing.clone()]), ..UpstreamTls::default() };
        assert_eq!(TlsClient::new(&ca).unwrap_err().code(), "upstream_ca_unusable");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(b"nothing".to_vec()));
        let client = (vec![nothing], Arc::new(Secret::new(key)));
        let client = UpstreamTls { client: Some(client), insecure_skip_verify: true, ..UpstreamTls::default() };
        assert_eq!(TlsClient::new(&client).unwrap_err().code(), "upstream_client_certificate_unusable");
        let name = UpstreamTls { server_name: Some("no name".to_owned()), ..UpstreamTls::default() };
        assert_eq!(TlsClient::new(&name).unwrap_err().code(), "upstream_server_name_invalid");
    }
}
