//! `[provider.NAME.claims]`: where the parts of an identity come from, and how groups are written.

use super::super::file::{ClaimsTable, UserNameTable};
use super::super::units::TextOr;
use super::super::words::GroupShapeName;
use super::{Field, Flaw, Found, Problems, is_domain, kinds};
use crate::identity::groups::GroupShape;
use crate::identity::user_name::{NamePart, NamePattern, NamePatternError, UserName};
use crate::identity::{ClaimMapping, ClaimPath};

/// Where each part of an identity comes from.
pub(super) fn mapping(table: &ClaimsTable, problems: &mut Problems) -> ClaimMapping {
    let defaults = ClaimMapping::default();
    let mut path = |field: &Field<String>, default: ClaimPath| {
        field.given().and_then(|found| claim_path(found, &found.key, problems)).unwrap_or(default)
    };
    let subject = path(&table.subject, defaults.subject);
    let (email, name) = (path(&table.email, defaults.email), path(&table.name, defaults.name));
    let groups = path(&table.groups, defaults.groups);
    // Where the subject is found elsewhere, the user is, too, unless said otherwise.
    let user = user_name(&table.user, problems).unwrap_or_else(|| subject.clone().into());
    ClaimMapping { user, email, name, groups, subject, group_shape: group_shape(table, problems), ..defaults }
}

/// A claim's name or JSON pointer; `key` is what the message names.
pub(super) fn claim_path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<ClaimPath> {
    let path = ClaimPath::parse(&found.value);
    path.map_err(|error| {
        problems.flaw(Flaw::new(kinds::NO_CLAIM, format!("does not name a claim: {error}")), &found.place, key);
    })
    .ok()
}

/// Where the user name comes from, if that is said.
fn user_name(field: &Field<TextOr<Box<UserNameTable>>>, problems: &mut Problems) -> Option<UserName> {
    let found = field.given()?;
    let table = match &found.value {
        TextOr::Text(path) => return claim_path(&found.with(path.clone()), &found.key, problems).map(UserName::from),
        TextOr::Table(table) => table,
    };
    let from = table.from.required(kinds::USER_CLAIM_MISSING, (&found.place, &found.key), "from", problems);
    let from = from.and_then(|from| claim_path(from, &from.key, problems));
    let before = table.before.given().and_then(|it| problems.sound(it, address_end(&it.value)));
    let matches = table.matches.given().and_then(|it| problems.sound(it, name_pattern(&it.value)));
    let part = match (table.before.mark(), table.matches.mark()) {
        (Some(first), Some(second)) => {
            let what = format!("and `{}` exclude each other", first.key);
            problems.on(kinds::USER_RULES_CLASH, &second, what).also(&first.place, "here first");
            None
        }
        (None, None) if table.before.is_absent() && table.matches.is_absent() => Some(NamePart::Whole),
        _ => before.or(matches),
    };
    Some(UserName { from: from?, part: part? })
}

/// `@` and a domain: without the `@`, `corp.example` would be the end of `ann@evilcorp.example` too.
fn address_end(text: &str) -> Result<NamePart, Flaw> {
    let domain = text.strip_prefix('@').filter(|domain| is_domain(domain));
    let domain = domain.ok_or_else(|| Flaw::of(kinds::NO_ADDRESS_END, "cannot be", text))?;
    Ok(NamePart::Before(domain.to_ascii_lowercase()))
}

/// A pattern that takes whole texts.
fn name_pattern(text: &str) -> Result<NamePart, Flaw> {
    NamePattern::parse(text).map(NamePart::Matching).map_err(|error| {
        let reason = match error {
            NamePatternError::NotAnchored => "text before or behind what matches could be anybody's",
            NamePatternError::Groups(_) | NamePatternError::GroupNotFixed => {
                "nobody could tell which part of the claim is the name"
            }
            NamePatternError::TooLarge | NamePatternError::Syntax(_) => "a pattern is read once, when vestibule starts",
        };
        Flaw::new(kinds::NO_NAME_PATTERN, error.to_string()).reason(reason)
    })
}

/// One of the three keys, or none: each says of another shape what it means.
fn group_shape(table: &ClaimsTable, problems: &mut Problems) -> GroupShape {
    let keys = table.groups_shape.given().filter(|word| word.value == GroupShapeName::Keys);
    let given = [table.groups_separator.mark(), keys.map(|it| it.with(())), table.groups_member.mark()];
    if let [first, second, ..] = given.into_iter().flatten().collect::<Vec<_>>().as_slice() {
        let what = format!("and `{}` exclude each other", first.key);
        problems.on(kinds::GROUP_SHAPES_CLASH, second, what).also(&first.place, "here first");
    }
    if let Some(found) = table.groups_separator.given() {
        let text = &found.value.0;
        if text.is_empty() || text.contains(char::is_control) {
            problems.on(kinds::NO_GROUPS_SEPARATOR, found, "cannot separate names");
        }
        return GroupShape::Separated(text.clone());
    }
    if keys.is_some() {
        return GroupShape::Keys;
    }
    let member = table.groups_member.given().and_then(|found| claim_path(found, &found.key, problems));
    member.map_or(GroupShape::Names, GroupShape::Member)
}
