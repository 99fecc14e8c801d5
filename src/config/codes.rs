//! The codes of findings about a configuration. The long text of each stands in the registry of all codes, [`crate::codes`].

/// A code: stable over versions, never used for another meaning.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "each is explained in codes.md")]
pub enum Code {
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
}

impl Code {
    /// `VB-0001` and so on.
    pub fn as_str(self) -> &'static str {
        TABLE.iter().find(|(code, _)| *code == self).map_or("VB-0000", |(_, number)| number)
    }

    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(code, _)| *code)
    }
}

const TABLE: &[(Code, &str)] = &[
    (Code::Syntax, "VB-0001"),
    (Code::UnknownKey, "VB-0002"),
    (Code::WrongType, "VB-0003"),
    (Code::MissingKey, "VB-0004"),
    (Code::UnknownWord, "VB-0005"),
    (Code::BadValue, "VB-0006"),
    (Code::UnknownVariable, "VB-0007"),
    (Code::HalfWrittenVariable, "VB-0008"),
    (Code::BadUrl, "VB-0009"),
    (Code::BadAddress, "VB-0010"),
    (Code::InsecureHttp, "VB-0011"),
    (Code::SecretForm, "VB-0012"),
    (Code::SecretUnreadable, "VB-0013"),
    (Code::WeakSecret, "VB-0014"),
    (Code::LiteralSecret, "VB-0015"),
    (Code::FileUnreadable, "VB-0016"),
    (Code::BadPem, "VB-0017"),
    (Code::Conflict, "VB-0018"),
    (Code::SameRoute, "VB-0019"),
    (Code::UnknownProvider, "VB-0020"),
    (Code::EmptyList, "VB-0021"),
    (Code::BadHost, "VB-0022"),
    (Code::BadPath, "VB-0023"),
    (Code::BadHeader, "VB-0024"),
    (Code::BadClaim, "VB-0025"),
    (Code::CookieName, "VB-0026"),
    (Code::CookieDomain, "VB-0027"),
    (Code::Unsupported, "VB-0028"),
    (Code::Weakened, "VB-0029"),
    (Code::PublicUrl, "VB-0030"),
    (Code::BadName, "VB-0031"),
    (Code::BadUpstream, "VB-0032"),
    (Code::Unreachable, "VB-0033"),
    (Code::RedirectPath, "VB-0034"),
    (Code::FileUnwritable, "VB-0035"),
    (Code::CannotListen, "VB-0036"),
    (Code::CannotBuild, "VB-0037"),
    (Code::UncleanSecret, "VB-0038"),
    (Code::ReadableSecret, "VB-0039"),
    (Code::NoTrustedProxies, "VB-0040"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn every_code_has_a_long_text_of_its_own() {
        let listed = codes::all().map(|(number, _)| number).filter(|number| *number < "VB-1000");
        assert!(listed.eq(Code::all().map(Code::as_str)));
    }
}
