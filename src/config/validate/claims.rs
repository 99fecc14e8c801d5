//! `[provider.NAME.claims]`: where the parts of an identity come from, and how groups are written.

use super::super::diagnostics::Place;
use super::super::file::ClaimsTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found};
use super::super::units::RawText;
use super::super::words::GroupShapeName;
use crate::identity::groups::GroupShape;
use crate::identity::{ClaimMapping, ClaimPath};

/// Where each part of an identity comes from.
pub(super) fn mapping(table: &ClaimsTable, problems: &mut Problems) -> ClaimMapping {
    let defaults = ClaimMapping::default();
    let mut path = |field: &Field<String>, default: ClaimPath| {
        field.given().and_then(|found| claim_path(found, &found.key, problems)).unwrap_or(default)
    };
    let subject = path(&table.subject, defaults.subject);
    // Where the subject is found elsewhere, the user is, too, unless said otherwise.
    let user = path(&table.user, if table.subject.is_absent() { defaults.user } else { subject.clone() });
    ClaimMapping {
        user,
        email: path(&table.email, defaults.email),
        name: path(&table.name, defaults.name),
        groups: path(&table.groups, defaults.groups),
        subject,
        group_shape: group_shape(table, problems),
        ..defaults
    }
}

/// A claim's name or JSON pointer.
pub(super) fn claim_path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<ClaimPath> {
    match ClaimPath::parse(&found.value) {
        Ok(path) => Some(path),
        Err(error) => {
            problems.add(kinds::NO_CLAIM, &found.place, format!("`{key}` does not name a claim: {error}"));
            None
        }
    }
}

/// One of the three keys, or none: each says of another shape what it means.
fn group_shape(table: &ClaimsTable, problems: &mut Problems) -> GroupShape {
    let keys = table.groups_shape.given().filter(|word| word.value == GroupShapeName::Keys);
    let given = [
        table.groups_separator.given().map(|it| (&it.key, &it.place)),
        keys.map(|it| (&it.key, &it.place)),
        table.groups_member.given().map(|it| (&it.key, &it.place)),
    ];
    let given: Vec<(&String, &Place)> = given.into_iter().flatten().collect();
    if let [(first, there), (second, place), ..] = given.as_slice() {
        let message = format!("`{second}` and `{first}` exclude each other");
        problems.add(kinds::GROUP_SHAPES_CLASH, place, message).also(there, "here first");
    }
    if let Some(found) = table.groups_separator.given() {
        return separator(found, problems);
    }
    if keys.is_some() {
        return GroupShape::Keys;
    }
    let member = table.groups_member.given().and_then(|found| claim_path(found, &found.key, problems));
    member.map_or(GroupShape::Names, GroupShape::Member)
}

/// What separates the names in one string.
fn separator(found: &Found<RawText>, problems: &mut Problems) -> GroupShape {
    let text = &found.value.0;
    if text.is_empty() || text.contains(char::is_control) {
        problems.on(kinds::NO_GROUPS_SEPARATOR, found, "cannot separate names");
    }
    GroupShape::Separated(text.clone())
}
