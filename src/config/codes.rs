//! The codes of diagnostics, and whether one can be used nevertheless. The long text of each stands in the registry
//! of all codes, [`crate::codes`].

use crate::codes;

/// A code: stable over versions, never used for another meaning. In the order of their numbers, from `VB-0001` on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "each is explained in codes.md")]
pub enum DiagnosticCode {
    Syntax,
    UnknownKey,
    WrongType,
    MissingKey,
    UnknownWord,
    BadValue,
    UnknownVariable,
    HalfWrittenVariable,
    BadUrl,
    BadAddress,
    InsecureHttp,
    SecretForm,
    SecretUnreadable,
    WeakSecret,
    LiteralSecret,
    FileUnreadable,
    BadPem,
    Conflict,
    SameRoute,
    UnknownProvider,
    EmptyList,
    BadHost,
    BadPath,
    BadHeader,
    BadClaim,
    CookieName,
    CookieDomain,
    Unsupported,
    Weakened,
    PublicUrl,
    BadName,
    BadUpstream,
    Unreachable,
    RedirectPath,
    FileUnwritable,
    CannotListen,
    CannotBuild,
    UncleanSecret,
    ReadableSecret,
    NoTrustedProxies,
    OutgoingProxy,
    BadFollowedFile,
}

impl DiagnosticCode {
    /// `VB-0001` and so on.
    pub fn as_str(self) -> &'static str {
        codes::all().nth(self as usize).map_or("VB-0000", |(number, _)| number)
    }
}

/// Whether a configuration can be used nevertheless.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_as_in_the_registry() {
        assert_eq!(DiagnosticCode::Syntax.as_str(), "VB-0001");
        assert_eq!(DiagnosticCode::Conflict.as_str(), "VB-0018");
        assert_eq!(DiagnosticCode::NoTrustedProxies.as_str(), "VB-0040");
        assert_eq!(DiagnosticCode::OutgoingProxy.as_str(), "VB-0041");
        assert_eq!(DiagnosticCode::BadFollowedFile.as_str(), "VB-0056");
        assert_eq!(
            codes::all().filter(|(number, _)| *number < "VB-1000").count(),
            DiagnosticCode::BadFollowedFile as usize + 1
        );
    }
}
