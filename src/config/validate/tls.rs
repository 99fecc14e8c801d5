//! `[server.tls]` and the TLS of a route's upstream.

use std::path::Path;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::{ServerTlsTable, UpstreamTlsTable};
use super::super::reading::{Field, Found};
use super::super::secrets::readable_by_others;
use super::super::units::FilePath;
use super::Notes;
use crate::proxy::settings::UpstreamTls;
use crate::server::settings::{CertificateFiles, ClientCertificates, TlsSettings};

pub(super) fn server_tls(field: &Field<ServerTlsTable>, notes: &mut Notes) -> Option<TlsSettings> {
    let found = field.given()?;
    let keys = &found.value;
    let mut certificates = Vec::new();
    certificates.extend(pair(&keys.cert, &keys.key, "server.tls", &found.place, notes));
    for certificate in keys.certificate.value().into_iter().flat_map(|tables| &tables.0) {
        let CertificatePair { cert, key } =
            CertificatePair { cert: &certificate.value.cert, key: &certificate.value.key };
        if cert.is_absent() && key.is_absent() {
            notes.missing(
                &certificate.place,
                "server.tls.certificate.cert",
                "name the PEM file of the certificate chain",
            );
        }
        certificates.extend(pair(cert, key, "server.tls.certificate", &certificate.place, notes));
    }
    let nothing = keys.cert.is_absent() && keys.key.is_absent() && keys.certificate.is_absent();
    if nothing {
        let help = "write cert = \"/path/chain.pem\" and key = \"/path/key.pem\"";
        notes.missing(&found.place, "server.tls.cert", help);
    }
    let client_auth = client_auth(keys, notes);
    Some(TlsSettings { certificates, client_ca: keys.client_ca.value().map(|path| path.0.clone()), client_auth })
}

struct CertificatePair<'a> {
    cert: &'a Field<FilePath>,
    key: &'a Field<FilePath>,
}

/// A certificate and its key, proven to belong together.
fn pair(
    cert: &Field<FilePath>,
    key: &Field<FilePath>,
    table: &str,
    place: &Place,
    notes: &mut Notes,
) -> Option<CertificateFiles> {
    if cert.is_absent() && !key.is_absent() {
        notes.missing(place, &format!("{table}.cert"), "name the PEM file of the certificate chain");
    }
    if key.is_absent() && !cert.is_absent() {
        notes.missing(place, &format!("{table}.key"), "name the PEM file of the certificate's private key");
    }
    let (cert, key) = (cert.given()?, key.given()?);
    let chain = chain(&cert.value.0);
    if chain.is_none() {
        let message = format!("`{table}.cert` holds no certificate");
        notes.error(
            Code::BadPem,
            &cert.place,
            message,
            "a PEM file with blocks that start with -----BEGIN CERTIFICATE----- is needed",
        );
    }
    let private = private_key(&key.value.0);
    if private.is_none() {
        let message = format!("`{table}.key` holds no private key");
        notes.error(
            Code::BadPem,
            &key.place,
            message,
            "a PEM file with a block such as -----BEGIN PRIVATE KEY----- is needed; encrypted keys are not taken",
        );
    }
    let private = private?;
    notes.problems.extend(readable_by_others(&key.value.0, &format!("{table}.key"), &key.place));
    if let Err(error) = CertifiedKey::from_der(chain?, private, &aws_lc_rs::default_provider()) {
        let diagnostic = Diagnostic::error(
            Code::BadPem,
            &key.place,
            format!("`{table}.key` cannot be used with its certificate: {error}"),
        );
        notes.note(
            diagnostic.also(&cert.place, "the certificate").help("name the key that this certificate was issued for"),
        );
    }
    Some(CertificateFiles { cert: cert.value.0.clone(), key: key.value.0.clone() })
}

fn chain(path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path).ok()?.collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then_some(chain)
}

fn private_key(path: &Path) -> Option<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).ok()
}

fn client_auth(keys: &ServerTlsTable, notes: &mut Notes) -> ClientCertificates {
    if let Some(ca) = keys.client_ca.given()
        && chain(&ca.value.0).is_none()
    {
        let message = "`server.tls.client_ca` holds no certificate";
        notes.error(Code::BadPem, &ca.place, message, "name a PEM file with the roots of the clients' certificates");
    }
    match keys.client_auth.given() {
        None if keys.client_ca.is_absent() => ClientCertificates::No,
        None => ClientCertificates::Required,
        Some(found) => {
            if found.value.0 != ClientCertificates::No && keys.client_ca.is_absent() {
                notes.missing(
                    &found.place,
                    "server.tls.client_ca",
                    "name a PEM file with the roots of the clients' certificates",
                );
            }
            found.value.0
        }
    }
}

/// TLS towards the upstream; only for `https` upstreams.
pub(super) fn upstream_tls(field: &Field<UpstreamTlsTable>, https: bool, notes: &mut Notes) -> UpstreamTls {
    let Some(found) = field.given() else { return UpstreamTls::default() };
    let keys = &found.value;
    if !https {
        let diagnostic = Diagnostic::error(Code::Conflict, &found.place, "`tls` is set for an upstream without TLS");
        notes.note(
            diagnostic
                .reason("what is sent there is not encrypted")
                .help("write upstream = \"https://…\", or remove the table"),
        );
    }
    if let Some(Found { value: true, place }) = keys.insecure_skip_verify.given() {
        let diagnostic = Diagnostic::warning(
            Code::Weakened,
            place,
            "`tls.insecure_skip_verify` takes any certificate of the upstream",
        );
        notes.note(
            diagnostic
                .reason("anybody on the way can read the identity headers and answer in the application's place")
                .help("name the upstream's root of trust: ca = \"/path/ca.pem\""),
        );
    }
    match (&keys.cert, &keys.key) {
        (Field::Given(_), Field::Absent) => {
            notes.missing(&found.place, "tls.key", "name the PEM file of the certificate's private key");
        }
        (Field::Absent, Field::Given(_)) => {
            notes.missing(&found.place, "tls.cert", "name the PEM file of the client certificate");
        }
        _ => {}
    }
    let client = keys.cert.value().cloned().zip(keys.key.value().cloned()).map(|(cert, key)| (cert.0, key.0));
    UpstreamTls {
        ca_pem: keys.ca.value().map(|pem| pem.0.clone()),
        client,
        server_name: keys.server_name.value().cloned(),
        insecure_skip_verify: keys.insecure_skip_verify.value().copied().unwrap_or(false),
    }
}
