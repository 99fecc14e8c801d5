//! What an identity header can hold, as it is written: a word, `claim:NAME` or `text:WORDS`.

use http::HeaderValue;

use super::{Flaw, kinds, listed};
use crate::identity::ClaimPath;
use crate::nearest::nearest;
use crate::proxy::settings::IdentityValue;

/// What a header holds.
pub(super) fn header_value(text: &str) -> Result<IdentityValue, Flaw> {
    if let Some(claim) = text.strip_prefix("claim:") {
        let flaw = |error| Flaw::new(kinds::HEADER_CLAIM_BAD, format!("does not name a claim: {error}"));
        return ClaimPath::parse(claim).map(IdentityValue::Claim).map_err(flaw);
    }
    if let Some(literal) = text.strip_prefix("text:") {
        let flaw = |_| Flaw::new(kinds::HEADER_TEXT_BAD, "holds a text that cannot stand in a header");
        return HeaderValue::from_str(literal).map(|_| IdentityValue::Literal(literal.to_owned())).map_err(flaw);
    }
    let words = || VALUES.iter().map(|(word, _)| *word);
    let value = VALUES.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
    value.ok_or_else(|| {
        let meant = match nearest(text, words()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("for a claim write \"claim:{}\"", text.escape_default()),
        };
        let help = format!("{meant} The values are {}, \"claim:NAME\" and \"text:WORDS\"", listed(words()));
        Flaw::of(kinds::HEADER_VALUE_UNKNOWN, "cannot hold", text).help(help)
    })
}

/// The words for what a header can hold.
pub(super) const VALUES: [(&str, IdentityValue); 9] = [
    ("user", IdentityValue::User),
    ("subject", IdentityValue::Subject),
    ("email", IdentityValue::Email),
    ("name", IdentityValue::Name),
    ("preferred_username", IdentityValue::PreferredUsername),
    ("groups", IdentityValue::Groups),
    ("access_token", IdentityValue::AccessToken),
    ("id_token", IdentityValue::IdToken),
    ("provider", IdentityValue::Provider),
];
