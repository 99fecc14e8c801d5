//! Which versions of TLS are spoken, and what it looks like when the other side speaks none of them.

use std::fmt;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error, PeerIncompatible, SupportedProtocolVersion};
use schemars::JsonSchema;
use serde::Deserialize;

/// The oldest version of TLS that is taken. Older ones than 1.2 are not implemented
/// ([RFC 8996](https://www.rfc-editor.org/rfc/rfc8996)).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[schemars(inline)]
pub enum MinTlsVersion {
    /// TLS 1.2 or 1.3: the default.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

impl MinTlsVersion {
    /// The versions that are spoken, for a configuration of rustls.
    pub fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => &FROM_TLS12,
            Self::Tls13 => &FROM_TLS13,
        }
    }

    /// What is wrong where a handshake failed because the other side speaks none of these versions, and what to do about it; `key`
    /// is what demands them.
    pub fn refusal(self, key: &str) -> String {
        match self {
            Self::Tls12 => {
                "it speaks neither TLS 1.2 nor TLS 1.3, and older versions are not safe: update it".to_owned()
            }
            Self::Tls13 => format!("it does not speak TLS 1.3, which {key} demands: update it, or write \"1.2\" there"),
        }
    }
}

impl fmt::Display for MinTlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        })
    }
}

/// Whether a handshake failed because both sides have no version of TLS in common
/// ([RFC 8446 section 6.2](https://www.rfc-editor.org/rfc/rfc8446#section-6.2), `protocol_version`).
pub fn is_version_mismatch(error: &Error) -> bool {
    matches!(
        error,
        Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                    | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            )
    )
}

static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_TLS13: [&SupportedProtocolVersion; 1] = [&TLS13];
