//! `[provider.NAME.claims]`: where the parts of an identity come from, and how groups are written.

use super::super::diagnostics::Place;
use super::super::file::ClaimsTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::words::GroupShapeName;
use crate::identity::groups::GroupShape;
use crate::identity::{ClaimMapping, ClaimPath};

/// Where each part of an identity comes from.
pub(super) fn mapping(table: &ClaimsTable, key: &str, problems: &mut Problems) -> ClaimMapping {
    let defaults = ClaimMapping::default();
    let mut path = |field: &Field<String>, name: &str, default: ClaimPath| {
        field.given().and_then(|found| claim_path(found, &format!("{key}.{name}"), problems)).unwrap_or(default)
    };
    let subject = path(&table.subject, "subject", defaults.subject);
    // Where the subject is found elsewhere, the user is, too, unless said otherwise.
    let user = path(&table.user, "user", if table.subject.is_absent() { defaults.user } else { subject.clone() });
    ClaimMapping {
        user,
        email: path(&table.email, "email", defaults.email),
        name: path(&table.name, "name", defaults.name),
        groups: path(&table.groups, "groups", defaults.groups),
        subject,
        group_shape: group_shape(table, key, problems),
        ..defaults
    }
}

/// A claim's name or JSON pointer.
pub(super) fn claim_path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<ClaimPath> {
    match ClaimPath::parse(&found.value) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("`{key}` does not name a claim: {error}");
            problems.add(kinds::NO_CLAIM, &found.place, message);
            None
        }
    }
}

/// One of the three keys, or none: each says of another shape what it means.
fn group_shape(table: &ClaimsTable, key: &str, problems: &mut Problems) -> GroupShape {
    let keys = table.groups_shape.given().filter(|word| word.value == GroupShapeName::Keys);
    let given: Vec<(&str, &Place)> = [
        ("groups_separator", table.groups_separator.place()),
        ("groups_shape", keys.map(|found| &found.place)),
        ("groups_member", table.groups_member.place()),
    ]
    .into_iter()
    .filter_map(|(name, place)| Some((name, place?)))
    .collect();
    if let [(first, there), (second, place), ..] = given.as_slice() {
        let message = format!("`{key}.{second}` and `{key}.{first}` exclude each other");
        problems.add(kinds::GROUP_SHAPES_CLASH, place, message).also(there, "here first");
    }
    if let Some(found) = table.groups_separator.given() {
        return separator(&found.value.0, &found.place, key, problems);
    }
    if keys.is_some() {
        return GroupShape::Keys;
    }
    let member =
        table.groups_member.given().and_then(|found| claim_path(found, &format!("{key}.groups_member"), problems));
    member.map_or(GroupShape::Names, GroupShape::Member)
}

/// What separates the names in one string.
fn separator(text: &str, place: &Place, key: &str, problems: &mut Problems) -> GroupShape {
    if text.is_empty() || text.contains(char::is_control) {
        let message = format!("`{key}.groups_separator` cannot separate names");
        problems.add(kinds::NO_GROUPS_SEPARATOR, place, message);
    }
    GroupShape::Separated(text.to_owned())
}
