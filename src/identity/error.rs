//! Why claims do not say who somebody is.

/// Claims that do not say who somebody is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// No subject, an empty one, or one that is neither text nor a number.
    #[error("the provider sent no subject")]
    SubjectMissing,
    /// [OpenID Connect Core 1.0 section 2](https://openid.net/specs/openid-connect-core-1_0.html#IDToken) allows 255 characters.
    #[error("the provider sent a subject of more than 255 characters")]
    SubjectTooLong,
    /// It could break a log line or a header.
    #[error("the provider sent a subject with control characters")]
    SubjectInvalid,
    /// The claim that the user name is made of did not come, or is no usable text.
    #[error("the provider sent nothing that the user name could be made of")]
    UserMissing,
    /// It came, and the configured rule does not take it: another domain, another form.
    #[error("the provider sent a claim of which claims.user makes no user name")]
    UserMismatch,
    /// It is an address that the provider does not vouch for.
    #[error("the provider sent an unverified address, of which no user name is made")]
    UserUnverified,
}

impl IdentityError {
    /// A stable reason for logs and pages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SubjectMissing => "subject_missing",
            Self::SubjectTooLong => "subject_too_long",
            Self::SubjectInvalid => "subject_invalid",
            Self::UserMissing => "user_name_missing",
            Self::UserMismatch => "user_name_mismatch",
            Self::UserUnverified => "user_name_unverified",
        }
    }

    /// Whether the person is known to the provider, and only has no user name here.
    pub fn is_about_the_user_name(&self) -> bool {
        matches!(self, Self::UserMissing | Self::UserMismatch | Self::UserUnverified)
    }
}
