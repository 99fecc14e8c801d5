//! The groups claim: which names it holds, and what in it is none.
//!
//! Groups decide who may pass, so nothing here guesses. One string is one group, whatever commas and blanks are in it; other
//! shapes count only where the configuration names them. What does not count is reported, so that it can be logged.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::path::ClaimPath;
use super::text::{has_control, text_of};

/// How a provider writes groups: `groups_separator`, `groups_shape` and `groups_member` of `[provider.NAME.claims]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum GroupShape {
    /// A list of names, or one name.
    #[default]
    Names,
    /// The same, but one string holds several names with this between them; blanks around a name are not part of it.
    Separated(String),
    /// The same, or an object whose keys are the names (Zitadel), except those whose value says no.
    Keys,
    /// The same, or a list of objects, each with its name in this member (teams of GitHub and GitLab).
    Member(ClaimPath),
}

/// Something in a groups claim that is no group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeftOut {
    /// An object; with `groups_member`, one without a name there.
    Object,
    /// A key of an object whose value is `false`, `null` or another word for no.
    Denied,
    /// A list within the list.
    List,
    /// `true`, `false`, `null`, a fraction, or a number that stands alone.
    NoText,
    /// A name without any character.
    Empty,
    /// A name with control characters, which could break a header or a log line (AT-HS-11).
    ControlCharacter,
}

impl GroupShape {
    /// The names in a claim, in its order, each once.
    pub fn names(&self, claim: &Value) -> Vec<String> {
        let (items, mut seen) = (self.items(claim), HashSet::new());
        let names = items.iter().filter_map(|item| item.as_deref().ok()).filter(|name| seen.insert(*name));
        names.map(str::to_owned).collect()
    }

    /// What in a claim is no group.
    pub fn left_out(&self, claim: &Value) -> Vec<LeftOut> {
        self.items(claim).into_iter().filter_map(Result::err).collect()
    }

    /// Each name in a claim, or why it is none.
    fn items<'a>(&self, claim: &'a Value) -> Vec<Result<Cow<'a, str>, LeftOut>> {
        match (self, claim) {
            (_, Value::Null) => Vec::new(),
            (_, Value::Array(list)) => list.iter().map(|item| self.item(item)).collect(),
            (Self::Separated(separator), Value::String(text)) => {
                let names = text.split(separator.as_str()).map(|name| name.trim_matches([' ', '\t']));
                names.filter(|name| !name.is_empty()).map(|name| checked(Cow::Borrowed(name))).collect()
            }
            (Self::Keys, Value::Object(members)) => members
                .iter()
                .map(|(name, value)| if says_no(value) { Err(LeftOut::Denied) } else { checked(Cow::Borrowed(name)) })
                .collect(),
            // What is a name among others may not be one alone: a count, an identifier of something else.
            (_, Value::Number(_)) => vec![Err(LeftOut::NoText)],
            (_, alone) => vec![self.item(alone)],
        }
    }

    /// An item of a list.
    fn item<'a>(&self, item: &'a Value) -> Result<Cow<'a, str>, LeftOut> {
        match (self, item) {
            (Self::Member(path), Value::Object(members)) => match text_of(path.find(members)) {
                Some(name) => checked(name),
                None => Err(LeftOut::Object),
            },
            (_, Value::Object(_)) => Err(LeftOut::Object),
            (_, Value::Array(_)) => Err(LeftOut::List),
            (_, Value::String(text)) if text.trim().is_empty() => Err(LeftOut::Empty),
            (_, other) => text_of(Some(other)).map_or(Err(LeftOut::NoText), checked),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object that has no name (set groups_shape or groups_member in the claims table)",
            Self::Denied => "a key whose value says no",
            Self::List => "a list within the list",
            Self::NoText => "a value that is not text",
            Self::Empty => "an empty name",
            Self::ControlCharacter => "a name with control characters",
        })
    }
}

/// A name that can be a group's.
fn checked(name: Cow<'_, str>) -> Result<Cow<'_, str>, LeftOut> {
    if name.trim().is_empty() {
        Err(LeftOut::Empty)
    } else if has_control(&name) {
        Err(LeftOut::ControlCharacter)
    } else {
        Ok(name)
    }
}

/// Whether the value of a key says that the person does not have it. An empty object or list says nothing about that.
fn says_no(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text.eq_ignore_ascii_case("false"),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(path: &str) -> GroupShape {
        GroupShape::Member(ClaimPath::parse(path).unwrap())
    }

    fn separated(separator: &str) -> GroupShape {
        GroupShape::Separated(separator.to_owned())
    }

    #[test]
    fn each_group_is_there_once_however_many_there_are() {
        for count in [31, 32, 33, 96] {
            let names: Vec<String> = (0..count).map(|n| format!("group-{n}")).collect();
            let twice: Vec<&String> = names.iter().flat_map(|name| [name, &names[0], name]).chain(&names).collect();
            assert_eq!(GroupShape::Names.names(&json!(twice)), names);
        }
    }

    /// What comes, which groups it holds as it is by default, and how many parts of it are left out.
    #[test]
    fn without_a_shape_only_names_are_groups_and_each_name_is_one() {
        // AT-TP-18
        for (claim, groups, left_out) in [
            (json!(["x", "Domain Users"]), vec!["x", "Domain Users"], 0),
            (json!("Former Admins"), vec!["Former Admins"], 0),
            (json!("CN=Wiki,OU=Admins,DC=corp"), vec!["CN=Wiki,OU=Admins,DC=corp"], 0),
            (json!("a b\tc"), vec![], 1),
            (json!("a;b"), vec!["a;b"], 0),
            (
                json!(["a,b", "c d", " admins", "admins ", "Admins", "аdmins"]),
                vec!["a,b", "c d", " admins", "admins ", "Admins", "аdmins"],
                0,
            ),
            (json!(["ok", 7, -1]), vec!["ok", "7", "-1"], 0),
            (
                json!(["ok", null, true, false, 1.5, 1e30, "", "  ", "a\nb", ["admins"], {"name": "admins"}]),
                vec!["ok"],
                10,
            ),
            (json!([["admins"]]), vec![], 1),
            (json!([[["admins"]], []]), vec![], 2),
            (json!([]), vec![], 0),
            (json!(null), vec![], 0),
            (json!(""), vec![], 1),
            (json!(true), vec![], 1),
            (json!(7), vec![], 1),
            (json!({}), vec![], 1),
            (json!({"admins": false}), vec![], 1),
            (json!({"admins": true, "name": "admins"}), vec![], 1),
        ] {
            assert_eq!(GroupShape::Names.names(&claim), groups, "{claim}");
            assert_eq!(GroupShape::Names.left_out(&claim).len(), left_out, "{claim}");
        }
    }

    #[test]
    fn a_separator_takes_one_string_apart_and_nothing_else() {
        for (separator, claim, groups) in [
            (";", json!("staff;admins"), vec!["staff", "admins"]),
            (";", json!("staff; admins ;;"), vec!["staff", "admins"]),
            (";", json!("staff,admins"), vec!["staff,admins"]),
            (" ", json!("a  b c"), vec!["a", "b", "c"]),
            ("||", json!("a|b||c"), vec!["a|b", "c"]),
            (";", json!(""), vec![]),
            (";", json!(["a;b", "c"]), vec!["a;b", "c"]),
            (";", json!({"a": true}), vec![]),
        ] {
            assert_eq!(separated(separator).names(&claim), groups, "{separator:?} {claim}");
        }
    }

    #[test]
    fn keys_are_groups_unless_their_value_says_no() {
        let claim = json!({
            "admins": {"1": "corp"}, "empty": {}, "yes": true, "one": 1, "text": "corp", "list": [],
            "no": false, "null": null, "zero": 0, "blank": "", "word": "False", " ": true,
        });
        let mut groups = GroupShape::Keys.names(&claim);
        groups.sort();
        assert_eq!(groups, ["admins", "empty", "list", "one", "text", "yes"]);
        assert_eq!(GroupShape::Keys.left_out(&claim).len(), 6);
        assert_eq!(GroupShape::Keys.names(&json!(["a", {"b": true}])), ["a"]);
        assert_eq!(GroupShape::Keys.names(&json!("a b")), ["a b"]);
    }

    #[test]
    fn a_member_names_each_object() {
        let teams = json!([
            {"id": 1, "name": "admins", "organization": {"login": "corp"}}, {"id": 2, "name": "staff"},
            {"id": 3, "slug": "no-name"}, {"name": false}, {"name": null}, {"name": ["x"]}, {"name": ""}, "plain",
        ]);
        assert_eq!(member("name").names(&teams), ["admins", "staff", "plain"]);
        assert_eq!(member("name").left_out(&teams).len(), 5);
        assert_eq!(member("id").names(&teams), ["1", "2", "3", "plain"]);
        assert_eq!(member("/organization/login").names(&teams), ["corp", "plain"]);
        assert_eq!(member("name").names(&json!({"name": "admins"})), ["admins"]);
        assert!(member("name").names(&json!({"admins": {"name": "x"}})).is_empty());
    }
}
