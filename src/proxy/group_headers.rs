//! Groups as a header: which of them an application is told (`groups_only`), and what it is told where they do not fit.
//!
//! Half a list would be another list, so that a header of groups that is too long is left out as a whole; [`OVERFLOW`] then tells
//! the application that there were groups, and how many.

use http::{HeaderName, HeaderValue};

use crate::identity::Identity;
use crate::proxy::identity_headers::{fits, joined};
use crate::proxy::settings::IdentityHeaderSettings;

/// Tells how many groups were left out; the same name in every set of identity headers.
pub static OVERFLOW: HeaderName = HeaderName::from_static("x-forwarded-groups-overflow");

/// A group of `groups_only`: a name, or the beginning of names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum GroupPattern {
    /// This group.
    Name(String),
    /// Every group whose name begins so.
    Prefix(String),
}

impl GroupPattern {
    /// `staff`, or `wiki-*`. Nothing where a star stands elsewhere, or where nothing would be told apart.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, is_prefix) = text.strip_suffix('*').map_or((text, false), |prefix| (prefix, true));
        if name.is_empty() || name.contains('*') {
            None
        } else if is_prefix {
            Some(Self::Prefix(name.to_owned()))
        } else {
            Some(Self::Name(name.to_owned()))
        }
    }

    fn covers(&self, group: &str) -> bool {
        match self {
            Self::Name(name) => group == name,
            Self::Prefix(prefix) => group.starts_with(prefix.as_str()),
        }
    }
}

/// The groups that the application is told, joined; where they do not fit into a header, how many there are.
pub(super) fn told(settings: &IdentityHeaderSettings, identity: &Identity) -> Result<Option<String>, usize> {
    let only = &settings.groups_only;
    let all = identity.groups.iter().map(String::as_str).filter(|group| !group.is_empty());
    let told: Vec<&str> =
        all.filter(|group| only.is_empty() || only.iter().any(|pattern| pattern.covers(group))).collect();
    let text = joined(told.iter().copied(), &settings.separator);
    if text.as_deref().is_none_or(fits) { Ok(text) } else { Err(told.len()) }
}

/// The header that stands in place of groups that do not fit.
pub(super) fn overflow(count: usize) -> (HeaderName, HeaderValue) {
    (OVERFLOW.clone(), HeaderValue::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_prefix_and_nothing_else() {
        let covers = |pattern: &str, group: &str| GroupPattern::parse(pattern).unwrap().covers(group);
        assert!(covers("staff", "staff") && !covers("staff", "staffer") && !covers("staff", "Staff"));
        assert!(covers("wiki-*", "wiki-") && covers("wiki-*", "wiki-admins") && !covers("wiki-*", "wiki"));
        for wrong in ["", "*", "*-admins", "a*b", "a**"] {
            assert_eq!(GroupPattern::parse(wrong), None, "{wrong}");
        }
    }
}
