//! `[server.tls]` and the TLS of a route's upstream.

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::{ServerTlsTable, UpstreamTlsTable};
use super::super::reading::{Field, Found};
use super::super::units::{CertificatesFile, KeyFile, Unwatched};
use super::Notes;
use crate::proxy::settings::UpstreamTls;
use crate::server::settings::{CertificateFiles, ClientCertificates, TlsSettings};

pub(super) fn server_tls(field: &Field<ServerTlsTable>, notes: &mut Notes) -> Option<TlsSettings> {
    let found = field.given()?;
    let keys = &found.value;
    let mut certificates = Vec::new();
    certificates.extend(pair(&keys.cert, &keys.key, "server.tls", &found.place, notes));
    for certificate in keys.certificate.value().into_iter().flat_map(|tables| &tables.0) {
        let (cert, key) = (&certificate.value.cert, &certificate.value.key);
        if cert.is_absent() && key.is_absent() {
            let help = "name the PEM file of the certificate chain";
            notes.missing(&certificate.place, "server.tls.certificate.cert", help);
        }
        certificates.extend(pair(cert, key, "server.tls.certificate", &certificate.place, notes));
    }
    if keys.cert.is_absent() && keys.key.is_absent() && keys.certificate.is_absent() {
        let help = "write cert = \"/path/chain.pem\" and key = \"/path/key.pem\"";
        notes.missing(&found.place, "server.tls.cert", help);
    }
    let client_auth = client_auth(keys, notes);
    Some(TlsSettings { certificates, client_ca: keys.client_ca.value().map(|file| file.0.path.clone()), client_auth })
}

/// A certificate and its key, proven to belong together.
fn pair(
    cert: &Field<Unwatched<CertificatesFile>>,
    key: &Field<Unwatched<KeyFile>>,
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
    let (chain, private) = (&cert.value.0, &key.value.0);
    let pair =
        CertifiedKey::from_der(chain.certificates.clone(), private.key.clone_key(), &aws_lc_rs::default_provider());
    if let Err(error) = pair {
        let message = format!("`{table}.key` cannot be used with its certificate: {error}");
        notes.note(
            Diagnostic::error(Code::BadPem, &key.place, message)
                .also(&cert.place, "the certificate")
                .help("name the key that this certificate was issued for"),
        );
    }
    Some(CertificateFiles { cert: chain.path.clone(), key: private.path.clone() })
}

fn client_auth(keys: &ServerTlsTable, notes: &mut Notes) -> ClientCertificates {
    match keys.client_auth.given() {
        None if keys.client_ca.is_absent() => ClientCertificates::No,
        None => ClientCertificates::Required,
        Some(found) => {
            if found.value != ClientCertificates::No && keys.client_ca.is_absent() {
                notes.missing(
                    &found.place,
                    "server.tls.client_ca",
                    "name a PEM file with the roots of the clients' certificates",
                );
            }
            found.value
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
    let client = keys.cert.value().cloned().zip(keys.key.value().cloned()).map(|(cert, key)| (cert.pem, key.pem));
    UpstreamTls {
        ca_pem: keys.ca.value().map(|file| file.pem.clone()),
        client,
        server_name: keys.server_name.value().cloned(),
        insecure_skip_verify: keys.insecure_skip_verify.or(false),
    }
}
