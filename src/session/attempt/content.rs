//! What the cookie of a login attempt holds, before it is sealed. The format is fixed by the seal's version and by the golden values
//! of the tests.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::provider::Hints;
use crate::request::return_to::ReturnTo;
use crate::session::codec::PackedText;

/// What the cookie carries.
#[derive(Deserialize, Serialize)]
pub(super) struct CookieContent {
    /// Half of the hash of the state.
    pub(super) state: [u8; 16],
    /// Of what the nonce and the verifier are the text.
    pub(super) seeds: Seeds,
    /// Milliseconds since the epoch.
    pub(super) started: u64,
    /// The redirect URI of the authorization request.
    pub(super) redirect_uri: String,
    /// Where the state has no room for it.
    pub(super) return_to: Option<PackedReturnTo>,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    /// Behind the rest, where there are any: a cookie of a version before this one has none.
    #[serde(skip)]
    pub(super) hints: Hints,
}

impl CookieContent {
    /// What is sealed.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = postcard::to_stdvec(self).unwrap_or_default();
        if !self.hints.is_empty() {
            bytes.extend(postcard::to_stdvec(&self.hints).unwrap_or_default());
        }
        bytes
    }

    /// The content again.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (content, rest): (Self, _) = postcard::take_from_bytes(bytes).ok()?;
        let hints = if rest.is_empty() { Hints::default() } else { postcard::from_bytes(rest).ok()? };
        Some(Self { hints, ..content })
    }
}

/// The random bytes of which the nonce (128 bits) and the verifier (256 bits,
/// [RFC 7636 section 7.1](https://www.rfc-editor.org/rfc/rfc7636#section-7.1)) are the text.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Seeds {
    /// Of the nonce.
    pub(super) nonce: [u8; 16],
    /// Of the verifier.
    pub(super) verifier: [u8; 32],
}

impl Drop for Seeds {
    fn drop(&mut self) {
        self.nonce.zeroize();
        self.verifier.zeroize();
    }
}

/// A long return-to: compressed, 3 000 characters of any text fit into a cookie.
#[derive(Deserialize, Serialize)]
pub(super) struct PackedReturnTo {
    authority: String,
    target: PackedText,
}

impl PackedReturnTo {
    /// Packs it.
    pub(super) fn new(return_to: &ReturnTo) -> Self {
        Self { authority: return_to.host().authority().to_owned(), target: PackedText::new(return_to.target()) }
    }

    /// The return-to again.
    pub(super) fn unpack(&self) -> Option<ReturnTo> {
        ReturnTo::from_parts(&self.authority, &self.target.text().ok()?).ok()
    }
}
