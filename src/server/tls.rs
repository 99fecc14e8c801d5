//! Our own certificates: chosen by SNI, and refused where something is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsAcceptor;

use crate::clock::{SharedClock, UnixTime};
use crate::pem;
use crate::server::settings::{CertificateFiles, ClientCertificates, TlsSettings};
use crate::server::x509;

/// The certificates that the server shows, as they were read. A reload reads them again, for new handshakes; connections that are
/// open keep theirs.
#[derive(Debug)]
pub(super) struct Certificates {
    config: Arc<ServerConfig>,
    not_after: Vec<(PathBuf, UnixTime)>,
}

impl Certificates {
    /// Reads everything; each key must belong to its certificate.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(super) fn load(settings: &TlsSettings, clock: &SharedClock) -> Result<Arc<Self>, TlsError> {
        let loaded = Self::read(settings)?;
        loaded.warn_of_expiry(clock.now());
        Ok(Arc::new(loaded))
    }

    /// When each certificate ends, by its file, as far as that can be read.
    pub(super) fn not_after(&self) -> &[(PathBuf, UnixTime)] {
        &self.not_after
    }

    /// Makes TLS sessions.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads all files.
    fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut keys = Vec::new();
        let mut not_after = Vec::new();
        for files in &settings.certificates {
            let key = pair(files, &provider)?;
            if let Some(end) = key.cert.first().and_then(|leaf| x509::not_after(leaf)) {
                not_after.push((files.cert.clone(), end));
            }
            keys.push(Arc::new(key));
        }
        let clients = client_verifier(settings, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(settings.min_version.versions())
            .map_err(|cause| TlsError::new("tls_unsupported", format!("TLS cannot be set up: {cause}")))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(ByName(keys)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), not_after })
    }

    /// Warns of what has expired, or will soon.
    fn warn_of_expiry(&self, now: UnixTime) {
        for (path, end) in &self.not_after {
            let path = path.display();
            if *end <= now {
                tracing::error!(code = "certificate_expired", %path, "our own certificate has expired");
            } else if end.since(now) < EXPIRES_SOON {
                let days = end.since(now).as_secs() / 86_400;
                tracing::warn!(code = "certificate_expires_soon", %path, days, "our own certificate ends soon");
            }
        }
    }
}

/// A certificate, key or root cannot be used; the text names the file.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct TlsError {
    code: &'static str,
    text: String,
}

impl TlsError {
    /// Made of a stable reason, and of what is wrong.
    fn new(code: &'static str, text: String) -> Self {
        Self { code, text }
    }

    /// The stable reason.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// Chooses the first certificate that covers the name asked for and that the client can verify; else the first of all, so
/// that a client without SNI (an IP address, an old probe) gets an answer.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (first, others) = self.0.split_first()?;
        let name = hello.server_name().filter(|_| !others.is_empty()).and_then(|name| ServerName::try_from(name).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            name.as_ref().is_some_and(|name| covers(key, name))
                && key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        Some(Arc::clone(self.0.iter().find(fits).unwrap_or(first)))
    }
}

/// Whether the certificate is for this name.
fn covers(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    key.end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .and_then(|certificate| verify_server_name(&certificate, name))
        .is_ok()
}

/// A certificate and its key, which must belong together.
fn pair(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = pem::private_key(&read(&files.key)?).map_err(|cause| bad_pem(&files.key, "private key", &cause))?;
    CertifiedKey::from_der(chain, key.expose().clone_key(), provider).map_err(|cause| {
        let (cert, key) = (files.cert.display(), files.key.display());
        TlsError::new("tls_pair_bad", format!("{cert} and {key} cannot be used together: {cause}"))
    })
}

/// The certificates of a file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(path)?).map_err(|cause| bad_pem(path, "certificate", &cause))
}

/// A file holds no PEM of the right kind, or broken PEM.
fn bad_pem(path: &Path, wanted: &str, cause: &rustls_pki_types::pem::Error) -> TlsError {
    TlsError::new("tls_file_bad", format!("{} holds no usable {wanted}: {cause}", path.display()))
}

/// What looks at the certificates of clients.
fn client_verifier(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let bad = |text: String| TlsError::new("tls_client_ca_bad", text);
    if settings.client_auth == ClientCertificates::No {
        return Ok(Arc::new(NoClientAuth));
    }
    let missing = || bad("client certificates are asked for without client_ca".to_owned());
    let path = settings.client_ca.as_ref().ok_or_else(missing)?;
    let unusable = |cause: &dyn std::error::Error| {
        bad(format!("{} holds no usable roots for client certificates: {cause}", path.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|cause| unusable(&cause))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match settings.client_auth {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::No | ClientCertificates::Required => builder,
    };
    let verifier = builder.build().map_err(|cause| unusable(&cause))?;
    Ok(verifier)
}

/// The bytes of a file.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause| TlsError::new("tls_file_unreadable", format!("cannot read {}: {cause}", path.display()));
    fs::read(path).map_err(unreadable)
}

/// From when on an end is warned of.
const EXPIRES_SOON: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::clock::SystemClock;
    use crate::tls_version::MinTlsVersion;

    struct Folder(TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, host: &str) -> CertificateFiles {
            let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
            let files =
                CertificateFiles { cert: self.0.path().join(name), key: self.0.path().join(format!("{name}.key")) };
            fs::write(&files.cert, made.cert.pem()).unwrap();
            fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
            files
        }
    }

    fn settings(certificates: Vec<CertificateFiles>) -> TlsSettings {
        TlsSettings {
            min_version: MinTlsVersion::default(),
            certificates,
            client_ca: None,
            client_auth: ClientCertificates::No,
        }
    }

    /// The certificate that a client with this SNI is shown.
    fn shown(certificates: &Certificates, name: &str) -> Vec<u8> {
        let roots = rustls::RootCertStore::empty();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut acceptor = rustls::server::Acceptor::default();
        acceptor.read_tls(&mut hello.as_slice()).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        let key = certificates.config.cert_resolver.resolve(accepted.client_hello()).unwrap();
        key.cert[0].to_vec()
    }

    fn der(files: &CertificateFiles) -> Vec<u8> {
        certificates(&files.cert).unwrap()[0].to_vec()
    }

    #[test]
    fn the_certificate_is_chosen_by_name_and_the_first_is_the_default() {
        let folder = Folder::new();
        let (a, b) = (folder.write("a", "a.example"), folder.write("b", "*.b.example"));
        let certificates = Certificates::load(&settings(vec![a.clone(), b.clone()]), &SystemClock::shared()).unwrap();
        assert_eq!(shown(&certificates, "a.example"), der(&a));
        assert_eq!(shown(&certificates, "x.b.example"), der(&b));
        assert_eq!(shown(&certificates, "other.example"), der(&a));
    }

    #[test]
    fn a_file_that_is_bad_or_gone_is_refused() {
        // AT-CL-12
        let folder = Folder::new();
        let files = folder.write("a", "a.example");
        let load = || Certificates::load(&settings(vec![files.clone()]), &SystemClock::shared());
        fs::write(&files.cert, "half a certifi").unwrap();
        assert_eq!(load().unwrap_err().code(), "tls_file_bad");
        fs::remove_file(&files.cert).unwrap();
        assert_eq!(load().unwrap_err().code(), "tls_file_unreadable");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = Folder::new();
        let (a, b) = (folder.write("a", "a.example"), folder.write("b", "b.example"));
        let mixed = CertificateFiles { cert: a.cert, key: b.key };
        let error = Certificates::load(&settings(vec![mixed]), &SystemClock::shared()).unwrap_err();
        assert_eq!(error.code(), "tls_pair_bad");
        assert!(error.to_string().contains("b.key"), "{error}");
    }

    #[test]
    fn client_certificates_need_roots() {
        let folder = Folder::new();
        let files = folder.write("a", "a.example");
        let mut settings = settings(vec![files.clone()]);
        settings.client_auth = ClientCertificates::Required;
        assert_eq!(Certificates::load(&settings, &SystemClock::shared()).unwrap_err().code(), "tls_client_ca_bad");
        settings.client_ca = Some(files.cert);
        Certificates::load(&settings, &SystemClock::shared()).unwrap();
    }
}
