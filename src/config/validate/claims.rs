//! `[provider.NAME.claims]`: where the parts of an identity come from, and how groups are written.

use super::super::file::ClaimsTable;
use super::super::words::GroupShapeName;
use super::{Field, Flaw, Found, Problems, kinds};
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

/// A claim's name or JSON pointer; `key` is what the message names.
pub(super) fn claim_path(found: &Found<String>, key: &str, problems: &mut Problems) -> Option<ClaimPath> {
    let path = ClaimPath::parse(&found.value);
    path.map_err(|error| {
        problems.flaw(Flaw::new(kinds::NO_CLAIM, format!("does not name a claim: {error}")), &found.place, key);
    })
    .ok()
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
