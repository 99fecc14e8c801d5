//! Where a claim stands: a name, or a JSON pointer.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Claims as a provider sent them.
pub type Claims = Map<String, Value>;

/// One claim: a plain name (`groups`, also with dots or as a URL), or a JSON pointer when it starts with `/`
/// (`/realm_access/roles`, [RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ClaimPath(String);

/// Text that names no claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClaimPathError {
    /// Nothing, or only a slash.
    #[error("a claim needs a name")]
    Empty,
    /// [RFC 6901 section 3](https://www.rfc-editor.org/rfc/rfc6901#section-3).
    #[error("in a JSON pointer, `~` is written `~0`, and `/` within a name `~1`")]
    BadEscape,
    /// No claim has such a name.
    #[error("the name of a claim cannot hold control characters")]
    ControlCharacter,
}

impl ClaimPath {
    /// Reads a claim's name or pointer as an operator writes it.
    ///
    /// # Errors
    /// When it cannot name a claim.
    pub fn parse(text: &str) -> Result<Self, ClaimPathError> {
        if text.is_empty() || text == "/" {
            return Err(ClaimPathError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(ClaimPathError::ControlCharacter);
        }
        let escapes_are_good = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && !escapes_are_good {
            return Err(ClaimPathError::BadEscape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The claim's value. A plain name is matched exactly, language tags included (`name#ja` is another claim than `name`, UI-09).
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(pointer) = self.0.strip_prefix('/') else {
            return claims.get(&self.0);
        };
        let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let value = claims.get(first.replace("~1", "/").replace("~0", "~").as_str())?;
        match rest {
            Some(rest) => value.pointer(&format!("/{rest}")),
            None => Some(value),
        }
    }

    /// A claim of this plain name, which does not begin with a slash.
    pub(super) fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The names on the way to the claim, one for a plain name.
    pub(super) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (plain, pointer) = match self.0.strip_prefix('/') {
            Some(pointer) => (None, Some(pointer)),
            None => (Some(Cow::Borrowed(self.0.as_str())), None),
        };
        let steps = pointer.into_iter().flat_map(|pointer| pointer.split('/'));
        plain.into_iter().chain(steps.map(|step| Cow::Owned(step.replace("~1", "/").replace("~0", "~"))))
    }

    /// The claim beside this one: `/user/email` and `email_verified` give `/user/email_verified`.
    pub(super) fn beside(&self, name: &str) -> Self {
        let parent = self.0.rsplit_once('/').filter(|_| self.0.starts_with('/')).map(|(parent, _)| parent);
        Self(parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}/{name}")))
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_exact_and_pointers_descend() {
        // UI-09
        let Value::Object(sent) = json!({"name#ja": "太郎", "https://corp.example/groups": ["g"], "a.b": 1, "realm_access": {"roles": ["r"]}, "x/y": {"~": [10, 11]}})
        else {
            panic!()
        };
        let find = |path| ClaimPath::parse(path).unwrap().find(&sent).cloned();
        assert_eq!(find("name"), None);
        assert_eq!(find("name#ja"), Some(json!("太郎")));
        assert_eq!(find("https://corp.example/groups"), Some(json!(["g"])));
        assert_eq!(
            (find("a.b"), find("/realm_access/roles"), find("/a.b")),
            (Some(json!(1)), Some(json!(["r"])), Some(json!(1)))
        );
        assert_eq!(find("/x~1y/~0/1"), Some(json!(11)));
        for missing in ["/realm_access/none", "/x~1y/~0/2", "/x~1y/~0/-", "realm_access/roles", "/realm_access/roles/r"]
        {
            assert_eq!(find(missing), None, "{missing}");
        }
    }

    #[test]
    fn paths_that_name_nothing_are_refused() {
        assert_eq!(ClaimPath::parse(""), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/"), Err(ClaimPathError::Empty));
        assert_eq!(ClaimPath::parse("/a~2"), Err(ClaimPathError::BadEscape));
        assert_eq!(ClaimPath::parse("/a~"), Err(ClaimPathError::BadEscape));
        assert_eq!(ClaimPath::parse("a\nb"), Err(ClaimPathError::ControlCharacter));
        assert!(ClaimPath::parse("a~b").is_ok());
    }

    #[test]
    fn a_path_comes_apart_into_the_names_on_the_way() {
        let names = |path| ClaimPath::parse(path).unwrap().names().map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(names("a/b.c"), ["a/b.c"]);
        assert_eq!(names("/x~1y/~0/1"), ["x/y", "~", "1"]);
    }
}
