//! `session.keys` as it stands in the configuration file: items can be added, moved and taken away, and every comment stays.

use toml_edit::{Array, DocumentMut, InlineTable, Item, RawString, TableLike, Value};

/// The file, and the list of keys in it.
pub(super) struct KeyList {
    document: DocumentMut,
    /// In the order of the file.
    pub(super) keys: Vec<KeyItem>,
    /// Whether each key has a line of its own.
    has_lines: bool,
    indent: String,
    /// A comment behind the opening bracket.
    opening: String,
    /// Comments before the closing bracket, on lines of their own.
    closing: Vec<String>,
}

/// One key, with the comments that are about it.
#[derive(Clone)]
pub(super) struct KeyItem {
    value: Value,
    /// On lines of their own above it.
    above: Vec<String>,
    /// Behind it.
    behind: String,
}

impl KeyItem {
    /// `{ file = "…" }`.
    pub(super) fn of_file(path: &str) -> Self {
        let mut table = InlineTable::new();
        table.insert("file", path.into());
        Self { value: table.into(), above: Vec::new(), behind: String::new() }
    }

    /// The path as it is written, where it is that of a file.
    pub(super) fn file(&self) -> Option<&str> {
        self.value.as_inline_table()?.get("file")?.as_str()
    }
}

impl KeyList {
    /// Reads the list.
    ///
    /// # Errors
    /// What is there instead, in words.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
        let item = keys_of(&mut document).ok_or("`session.keys` does not stand in the file")?;
        if let Item::Value(single @ (Value::String(_) | Value::InlineTable(_))) = item {
            let mut value = single.clone();
            let decor = std::mem::take(value.decor_mut());
            let mut list = Value::Array(Array::from_iter([value]));
            *list.decor_mut() = decor;
            *item = Item::Value(list);
        }
        let Some(array) = item.as_array() else {
            return Err("`session.keys` is not written as keys = [{ file = \"…\" }]".to_owned());
        };
        let mut list = Self {
            keys: Vec::new(),
            has_lines: false,
            indent: "    ".to_owned(),
            opening: String::new(),
            closing: Vec::new(),
            document: DocumentMut::new(),
        };
        array.iter().for_each(|value| list.take(value));
        list.end_with(text_of(Some(array.trailing())));
        list.document = document;
        Ok(list)
    }

    /// A value with what stands before it: the end of the line before, then lines of comments, then its indentation.
    fn take(&mut self, value: &Value) {
        let prefix = text_of(value.decor().prefix());
        let above = match prefix.split_once('\n') {
            Some((line, rest)) => {
                if !self.has_lines {
                    rest.rsplit('\n').next().unwrap_or_default().clone_into(&mut self.indent);
                }
                self.has_lines = true;
                self.end_line(line);
                comments(rest)
            }
            None => Vec::new(),
        };
        let mut item = KeyItem { value: value.clone(), above, behind: String::new() };
        let suffix = text_of(value.decor().suffix());
        if suffix.contains('#') {
            self.has_lines = true;
            item.behind = suffix.trim().to_owned();
        }
        self.keys.push(item);
    }

    /// What stands behind the last item, up to the closing bracket.
    fn end_with(&mut self, trailing: &str) {
        if let Some((line, rest)) = trailing.split_once('\n') {
            self.has_lines = true;
            self.end_line(line);
            self.closing = comments(rest);
        }
    }

    /// The rest of a line behind an item, or behind the opening bracket.
    fn end_line(&mut self, line: &str) {
        let place = self.keys.last_mut().map_or(&mut self.opening, |item| &mut item.behind);
        if !line.trim().is_empty() {
            line.trim().clone_into(place);
        }
    }

    /// The whole file with the list as it is now.
    pub(super) fn text(&mut self) -> String {
        let array = self.array();
        if let Some(item) = keys_of(&mut self.document)
            && let Some(old) = item.as_value()
        {
            let mut new = Value::Array(array);
            *new.decor_mut() = old.decor().clone();
            *item = Item::Value(new);
        }
        self.document.to_string()
    }

    fn array(&self) -> Array {
        let mut array = Array::new();
        let after = |comment: &str| if comment.is_empty() { String::new() } else { format!(" {comment}") };
        let mut line_end = after(&self.opening);
        for (at, item) in self.keys.iter().enumerate() {
            let mut value = item.value.clone();
            let prefix = if self.has_lines {
                let above: String = item.above.iter().map(|comment| format!("{}{comment}\n", self.indent)).collect();
                format!("{line_end}\n{above}{}", self.indent)
            } else {
                String::from(if at == 0 { "" } else { " " })
            };
            *value.decor_mut() = toml_edit::Decor::new(prefix, "");
            array.push_formatted(value);
            line_end = after(&item.behind);
        }
        if self.has_lines {
            let closing: String = self.closing.iter().map(|comment| format!("{}{comment}\n", self.indent)).collect();
            array.set_trailing(format!("{line_end}\n{closing}"));
            array.set_trailing_comma(true);
        }
        array
    }
}

fn keys_of(document: &mut DocumentMut) -> Option<&mut Item> {
    let session: &mut dyn TableLike = document.get_mut("session")?.as_table_like_mut()?;
    session.get_mut("keys")
}

fn text_of(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

fn comments(lines: &str) -> Vec<String> {
    lines.lines().map(str::trim).filter(|line| line.starts_with('#')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&mut Vec<KeyItem>)) -> String {
        let mut list = KeyList::read(text).unwrap();
        edit(&mut list.keys);
        list.text()
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        for text in [
            "# a\n[session] # b\nkeys = [{ file = \"a\" }, { file = 'b' }] # c\nlifetime = \"1h\"\n",
            "session.keys = [ # all\n  # the first\n  { file = \"a\" }, # now\n  \"x\", # before\n  # end\n]\n",
        ] {
            assert_eq!(edited(text, |_| {}), text);
        }
    }

    #[test]
    fn a_key_is_added_last_and_moved_first_with_its_comments() {
        let text =
            "[session]\nkeys = [\n    # of spring\n    { file = \"a\" }, # seals\n    { file = \"b\" } # old\n]\n";
        assert_eq!(
            edited(text, |keys| keys.push(KeyItem::of_file("c"))),
            "[session]\nkeys = [\n    # of spring\n    { file = \"a\" }, # seals\n    { file = \"b\" }, # old\n    { file = \"c\" },\n]\n"
        );
        assert_eq!(
            edited(text, |keys| keys.rotate_right(1)),
            "[session]\nkeys = [\n    { file = \"b\" }, # old\n    # of spring\n    { file = \"a\" }, # seals\n]\n"
        );
    }

    #[test]
    fn one_key_alone_becomes_a_list() {
        let add = |keys: &mut Vec<KeyItem>| keys.insert(0, KeyItem::of_file("b"));
        let expected = "[session]\nkeys = [{ file = \"b\" }, { file = \"a\" }] # c\n";
        assert_eq!(edited("[session]\nkeys = { file = \"a\" } # c\n", add), expected);
        assert_eq!(edited("[session]\nkeys = [{ file = \"a\" }] # c\n", add), expected);
    }

    #[test]
    fn what_cannot_be_edited_is_said() {
        for text in ["", "[session]\n", "[[session.keys]]\nfile = \"a\"\n", "[session]\nkeys = 1\n", "[session"] {
            assert!(KeyList::read(text).is_err(), "{text}");
        }
    }
}
