//! `[server.tls]` and the TLS of a route's upstream.

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;

use super::super::file::{ServerTlsTable, UpstreamTlsTable};
use super::super::units::{CertificatesFile, KeyFile};
use super::{Field, Found, Place, Problems, kinds};
use crate::proxy::settings::UpstreamTls;
use crate::server::settings::{CertificateFiles, ClientCertificates, TlsSettings};
use crate::tls_version::MinTlsVersion;

/// The certificates that the server shows, and whether clients show theirs.
pub(super) fn server_tls(field: &Field<ServerTlsTable>, problems: &mut Problems) -> Option<TlsSettings> {
    let found = field.given()?;
    let keys = &found.value;
    let mut certificates = Vec::new();
    certificates.extend(pair(&keys.cert, &keys.key, "server.tls", &found.place, problems));
    for certificate in keys.certificate.value().into_iter().flat_map(|tables| &tables.0) {
        let (cert, key) = (&certificate.value.cert, &certificate.value.key);
        if cert.is_absent() && key.is_absent() {
            problems.missing(kinds::CERT_MISSING, &certificate.place, "server.tls.certificate.cert");
        }
        certificates.extend(pair(cert, key, "server.tls.certificate", &certificate.place, problems));
    }
    if keys.cert.is_absent() && keys.key.is_absent() && keys.certificate.is_absent() {
        problems.missing(kinds::TLS_CERTIFICATE_MISSING, &found.place, "server.tls.cert");
    }
    let client_auth = client_auth(keys, problems);
    Some(TlsSettings {
        min_version: keys.min_version.or(MinTlsVersion::default()),
        certificates,
        client_ca: keys.client_ca.value().map(|file| file.path.clone()),
        client_auth,
    })
}

/// A certificate and its key, proven to belong together.
fn pair(
    cert: &Field<CertificatesFile>,
    key: &Field<KeyFile>,
    table: &str,
    place: &Place,
    problems: &mut Problems,
) -> Option<CertificateFiles> {
    if cert.is_absent() && key.is_absent() {
        return None;
    }
    let cert = cert.required(kinds::CERT_MISSING, (place, table), "cert", problems);
    let key = key.required(kinds::KEY_MISSING, (place, table), "key", problems);
    let (cert, key) = (cert?, key?);
    let (chain, private) = (&cert.value, &key.value);
    let (certificates, private_key) = (chain.certificates.clone(), private.key.expose().clone_key());
    if let Err(error) = CertifiedKey::from_der(certificates, private_key, &aws_lc_rs::default_provider()) {
        let message = format!("`{table}.key` cannot be used with its certificate: {error}");
        problems.add(kinds::PAIR_MISMATCH, &key.place, message).also(&cert.place, "the certificate");
    }
    Some(CertificateFiles { cert: chain.path.clone(), key: private.path.clone() })
}

/// Whether clients have to show a certificate; that needs roots to check it with.
fn client_auth(keys: &ServerTlsTable, problems: &mut Problems) -> ClientCertificates {
    let asked = keys.client_auth.given().filter(|found| found.value != ClientCertificates::No);
    if let Some(Found { place, .. }) = asked {
        keys.client_ca.required(kinds::CLIENT_CA_MISSING, (place, "server.tls"), "client_ca", problems);
    }
    let default = if keys.client_ca.is_absent() { ClientCertificates::No } else { ClientCertificates::Required };
    keys.client_auth.or(default)
}

/// TLS towards the upstream; only for `https` upstreams.
pub(super) fn upstream_tls(field: &Field<UpstreamTlsTable>, https: bool, problems: &mut Problems) -> UpstreamTls {
    let Some(found) = field.given() else { return UpstreamTls::default() };
    let keys = &found.value;
    if !https {
        problems.add(kinds::TLS_WITHOUT_HTTPS, &found.place, "`tls` is set for an upstream without TLS");
    }
    if let Some(Found { value: true, place, .. }) = keys.insecure_skip_verify.given() {
        problems.add(kinds::VERIFY_SKIPPED, place, "`tls.insecure_skip_verify` takes any certificate of the upstream");
    }
    if keys.cert.given().is_some() {
        keys.key.required(kinds::KEY_MISSING, (&found.place, "tls"), "key", problems);
    }
    if keys.key.given().is_some() {
        keys.cert.required(kinds::UPSTREAM_CERT_MISSING, (&found.place, "tls"), "cert", problems);
    }
    let client =
        keys.cert.value().cloned().zip(keys.key.value().cloned()).map(|(cert, key)| (cert.certificates, key.key));
    UpstreamTls {
        min_version: keys.min_version.or(MinTlsVersion::default()),
        roots: keys.ca.value().map(|file| file.certificates.clone()),
        client,
        server_name: keys.server_name.value().cloned(),
        insecure_skip_verify: keys.insecure_skip_verify.or(false),
    }
}
