//! `authorization` of `[route.NAME.identity]`: what stands in the place of the client's own credentials.

use std::sync::Arc;

use super::super::file::AuthorizationTable;
use super::super::units::WordOr;
use super::identity_value::{VALUES, header_value};
use super::{Flaw, Found, Problems, kinds, listed};
use crate::proxy::basic::UserNameFault;
use crate::proxy::settings::{Authorization, BasicCredentials, IdentityValue};

/// `None` where it cannot be used.
pub(super) fn authorization(
    found: &Found<WordOr<Authorization, Box<AuthorizationTable>>>,
    problems: &mut Problems,
) -> Option<Authorization> {
    match &found.value {
        WordOr::Word(word) => Some(word.clone()),
        WordOr::Table(table) => basic(found, table, problems).map(Arc::new).map(Authorization::Basic),
    }
}

/// User and password, which both have to be there.
fn basic<T>(found: &Found<T>, table: &AuthorizationTable, problems: &mut Problems) -> Option<BasicCredentials> {
    let basic = table.basic.required(kinds::BASIC_MISSING, (&found.place, &found.key), "basic", problems)?;
    let table = (&basic.place, basic.key.as_str());
    let user = basic.value.user.required(kinds::BASIC_USER_MISSING, table, "user", problems);
    let user = user.and_then(|found| problems.sound(found, user_name(&found.value)));
    let password = basic.value.password.required(kinds::BASIC_PASSWORD_MISSING, table, "password", problems);
    // No secret holds a control character, which a password must not (RFC 7617 section 2).
    Some(BasicCredentials { user: user?, password: password?.value.0.clone() })
}

/// Whose name it is: one of the words that say what a header holds, as far as they are names, or a name itself.
fn user_name(text: &str) -> Result<IdentityValue, Flaw> {
    if text.starts_with("claim:") {
        return header_value(text);
    }
    match VALUES.iter().find(|(word, _)| *word == text) {
        Some((_, value)) if NAMES.contains(&text) => return Ok(value.clone()),
        Some(_) => {
            let help = format!(
                "the words that stand for a name are {}; for a user of this very name write \"text:{text}\"",
                listed(NAMES)
            );
            return Err(Flaw::of(kinds::BASIC_USER_NO_NAME, "cannot be", text).help(help));
        }
        None => {}
    }
    let name = text.strip_prefix("text:").unwrap_or(text);
    let flaw = match UserNameFault::of(name) {
        Some(fault) => fault.to_string(),
        None if name.is_empty() => "the user name is empty".to_owned(),
        None => return Ok(IdentityValue::Literal(name.to_owned())),
    };
    Err(Flaw::new(kinds::BASIC_USER_BAD, format!("cannot be sent: {flaw}")))
}

/// The words that stand for somebody's name.
const NAMES: [&str; 5] = ["user", "subject", "email", "name", "preferred_username"];
