//! Basic credentials for applications that know nothing else ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::proxy::field_text::{LONGEST, is_plain};
use crate::proxy::settings::BasicCredentials;
use crate::secret::Secret;

/// Why a user name cannot be sent in Basic credentials. Whoever has such a name is denied: sent all the same, or without what is wrong
/// with it, it could be somebody else's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserNameFault {
    /// The name ends at the first colon ([RFC 7617 section 2](https://www.rfc-editor.org/rfc/rfc7617#section-2)): `al:ice` would be
    /// `al`, with a password that begins with `ice:`.
    Colon,
    /// A control character, or white space at an end, which some applications take off.
    Unprintable,
    /// It does not fit into a header.
    TooLong,
    /// A list or an object.
    NoText,
}

impl UserNameFault {
    /// What is wrong with a name, if anything is.
    pub fn of(name: &str) -> Option<Self> {
        if name.contains(':') {
            Some(Self::Colon)
        } else if !is_plain(name) {
            Some(Self::Unprintable)
        } else {
            (name.len() > LONGEST).then_some(Self::TooLong)
        }
    }

    /// A stable reason for logs and pages.
    pub fn code(self) -> &'static str {
        match self {
            Self::Colon => "user_name_colon",
            Self::Unprintable => "user_name_unprintable",
            Self::TooLong => "user_name_too_long",
            Self::NoText => "user_name_no_text",
        }
    }
}

impl fmt::Display for UserNameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Colon => "the user name holds a colon",
            Self::Unprintable => "the user name holds a control character, or begins or ends with a space",
            Self::TooLong => "the user name is too long",
            Self::NoText => "the user name is not a single text",
        })
    }
}

impl BasicCredentials {
    /// The value of `Authorization` for a user, as UTF-8 ([RFC 7617 section 2.1](https://www.rfc-editor.org/rfc/rfc7617#section-2.1)).
    ///
    /// # Errors
    /// The name cannot be sent.
    pub(super) fn value(&self, user: &str) -> Result<HeaderValue, UserNameFault> {
        if let Some(fault) = UserNameFault::of(user) {
            return Err(fault);
        }
        let pair = Secret::new(format!("{user}:{}", self.password.expose()));
        let encoded = Secret::new(STANDARD.encode(pair.expose()));
        let text = Secret::new(format!("Basic {}", encoded.expose()));
        // Base64 is visible ASCII: this cannot fail.
        let mut value = HeaderValue::from_str(text.expose()).map_err(|_| UserNameFault::Unprintable)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::settings::IdentityValue;

    fn value(user: &str, password: &str) -> Result<HeaderValue, UserNameFault> {
        BasicCredentials { user: IdentityValue::User, password: Secret::from(password) }.value(user)
    }

    #[test]
    fn credentials_are_those_of_the_specification() {
        // RFC 7617 sections 2 and 2.1
        assert_eq!(value("Aladdin", "open sesame").unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(value("test", "123\u{a3}").unwrap(), "Basic dGVzdDoxMjPCow==");
        assert_eq!(value("J\u{fc}rgen", "a:b").unwrap(), "Basic SsO8cmdlbjphOmI=");
        let sent = value("svc", "hunter2").unwrap();
        assert!(sent.is_sensitive() && !format!("{sent:?}").contains("c3Zj"));
        let settings = BasicCredentials { user: IdentityValue::User, password: Secret::from("hunter2") };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_name_that_could_be_read_as_another_is_no_credential() {
        // AT-HS-11
        for (name, fault) in [
            ("al:ice", UserNameFault::Colon),
            (":", UserNameFault::Colon),
            ("alice:", UserNameFault::Colon),
            ("al\r\nice", UserNameFault::Unprintable),
            ("al\0ice", UserNameFault::Unprintable),
            ("al\tice", UserNameFault::Unprintable),
            ("\u{7f}", UserNameFault::Unprintable),
            ("al\u{85}ice", UserNameFault::Unprintable),
            (" alice", UserNameFault::Unprintable),
            ("alice\u{a0}", UserNameFault::Unprintable),
            (&"x".repeat(LONGEST + 1), UserNameFault::TooLong),
        ] {
            assert_eq!(value(name, "pw"), Err(fault), "{name:?}");
        }
        for name in ["alice", "al ice", "alice@example.com", "CORP\\alice", "al\u{ef}ce", "al%3aice", "al\u{ff1a}ice"] {
            assert!(value(name, "pw").is_ok(), "{name:?}");
        }
    }
}
