//! PEM files ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)): chains of certificates, and private keys.

use std::sync::Arc;

use rustls_pki_types::pem::{Error, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::secret::{PrivateKey, Secret};

/// All certificates of a file, at least one.
///
/// # Errors
/// There is none, or what is there is broken.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() { Err(Error::NoItemsFound) } else { Ok(found) }
}

/// The first private key of a file.
///
/// # Errors
/// There is none, or what is there is broken.
pub fn private_key(pem: &[u8]) -> Result<PrivateKey, Error> {
    Ok(Arc::new(Secret::new(PrivateKeyDer::from_pem_slice(pem)?)))
}
