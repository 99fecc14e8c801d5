//! The configuration as a tree of values that each know where they were written, whatever they were written in.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Place, SourceText};
use super::syntax::mistakes;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it was written.
    pub(super) place: Place,
    /// The value itself.
    pub(super) value: NodeValue,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum NodeValue {
    String(String),
    Integer(i64),
    /// What no key takes, by what it is.
    Other(&'static str),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    /// Text of a variable or flag: what it means depends on the key.
    Untyped(String),
    /// Not there, but a key that is not known was probably meant for it.
    Meant,
}

/// A table: its entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// In the order of the file.
    pub(super) entries: Vec<TableEntry>,
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub(super) struct TableEntry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// Its value.
    pub(super) node: Node,
}

impl Table {
    /// The value of a key, out of the table.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(at).node)
    }
}

impl Node {
    /// A table without entries.
    pub(super) fn empty(place: Place) -> Self {
        Self { place, value: NodeValue::Table(Table::default()) }
    }

    /// What kind of value this is, with its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::String(_) | NodeValue::Untyped(_) => "a string",
            NodeValue::Integer(_) => "an integer",
            NodeValue::Other(kind) => kind,
            NodeValue::Boolean(_) => "a boolean",
            NodeValue::Array(_) => "a list",
            NodeValue::Table(_) => "a table",
            NodeValue::Meant => "nothing",
        }
    }

    /// The text of a string, or of a variable or flag.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) | NodeValue::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; the text of a variable or flag is split at its commas.
    pub(super) fn items(&self, with_empty: bool) -> Option<Vec<Self>> {
        match &self.value {
            NodeValue::Array(items) => Some(items.clone()),
            NodeValue::Untyped(text) => Some(match self.structured() {
                Some(Self { value: NodeValue::Array(items), .. }) => items,
                Some(table) => vec![table],
                None => text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| with_empty || !item.is_empty())
                    .map(|item| Self { place: self.place.clone(), value: NodeValue::Untyped(item.to_owned()) })
                    .collect(),
            }),
            _ => None,
        }
    }

    /// The node as a table or list, where it is the text of one in a variable or flag.
    pub(super) fn structured(&self) -> Option<Self> {
        let NodeValue::Untyped(text) = &self.value else { return None };
        if !text.trim_start().starts_with(['{', '[']) {
            return None;
        }
        let value = DeValue::parse(text.trim()).ok()?;
        Some(from_toml(value.get_ref(), &|_| self.place.clone(), self.place.clone()))
    }
}

/// Reads a file. A syntax error is reported alone: what follows it could mean anything.
pub(super) fn parse(name: &str, text: &str) -> Result<(Node, Arc<SourceText>), Vec<Diagnostic>> {
    let masked = |mask: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes);
        Arc::new(SourceText { name: name.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() })
    };
    match DeTable::parse(text) {
        Ok(root) => {
            let source = masked(&|bytes| mask_table(root.get_ref(), false, bytes));
            let value = DeValue::Table(root.get_ref().clone());
            let at = |span: Range<usize>| Place::File { source: Arc::clone(&source), span };
            Ok((from_toml(&value, &at, Place::Whole(Arc::clone(&source))), source))
        }
        Err(_) => {
            let source = masked(&|bytes| mask_lines(text, bytes));
            Err(mistakes(text, &source))
        }
    }
}

/// A value of the TOML parser as a node.
fn from_toml(value: &DeValue<'_>, at: &dyn Fn(Range<usize>) -> Place, place: Place) -> Node {
    let child = |it: &Spanned<DeValue<'_>>| from_toml(it.get_ref(), at, at(it.span()));
    let value = match value {
        DeValue::String(text) => NodeValue::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(NodeValue::Other("a number as large as this"), NodeValue::Integer),
        DeValue::Float(_) => NodeValue::Other("a floating-point number"),
        DeValue::Boolean(yes) => NodeValue::Boolean(*yes),
        DeValue::Datetime(_) => NodeValue::Other("a date"),
        DeValue::Array(items) => NodeValue::Array(items.iter().map(child).collect()),
        DeValue::Table(entries) => {
            let mut in_order: Vec<_> = entries.iter().collect();
            in_order.sort_by_key(|(key, _)| key.span().start);
            let entry = |(key, value): (&Spanned<Cow<'_, str>>, _)| TableEntry {
                key: key.get_ref().to_string(),
                place: at(key.span()),
                node: child(value),
            };
            NodeValue::Table(Table { entries: in_order.into_iter().map(entry).collect() })
        }
    };
    Node { place, value }
}

/// Masks literal secrets, so that no excerpt can show one: values of keys that hold secrets, or that look as if they were meant to.
fn mask_table(table: &DeTable<'_>, is_secret: bool, bytes: &mut Vec<u8>) {
    for (key, value) in table {
        if NAMES_A_PROXY.contains(&key.get_ref().as_ref()) {
            mask_password(value, bytes);
        }
        // Where a secret is kept is no secret, and helps to mend it.
        let is_place = SECRET_SOURCES.contains(&key.get_ref().as_ref());
        mask_value(value, (is_secret && !is_place) || holds_secret(key.get_ref()), bytes);
    }
}

/// Masks a value, or what is secret in it.
fn mask_value(value: &Spanned<DeValue<'_>>, is_secret: bool, bytes: &mut Vec<u8>) {
    match value.get_ref() {
        DeValue::Table(table) => mask_table(table, is_secret, bytes),
        DeValue::Array(items) => items.iter().for_each(|item| mask_value(item, is_secret, bytes)),
        _ if is_secret => mask_span(bytes, value.span()),
        DeValue::String(_) => mask_userinfo(value.span(), bytes),
        _ => {}
    }
}

/// `user:password@proxy:3128` keeps its host, although it is no URL.
fn mask_password(value: &Spanned<DeValue<'_>>, bytes: &mut [u8]) {
    if let DeValue::String(text) = value.get_ref()
        && let Some(end) = bytes.get(value.span()).unwrap_or_default().iter().rposition(|byte| *byte == b'@')
        && !text.contains("://")
    {
        mask_span(bytes, value.span().start..value.span().start + end);
    }
}

/// `https://user:password@host` keeps its host.
fn mask_userinfo(span: Range<usize>, bytes: &mut [u8]) {
    let Some(text) = bytes.get(span.clone()).and_then(|text| std::str::from_utf8(text).ok()) else { return };
    let Some(start) = text.find("://").map(|at| at + 3) else { return };
    let authority = text.get(start..).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if let Some(end) = authority.rfind('@') {
        mask_span(bytes, span.start + start..span.start + start + end);
    }
}

/// The quotes stay, so that the excerpt still looks like what somebody wrote.
fn mask_span(bytes: &mut [u8], span: Range<usize>) {
    for byte in bytes.get_mut(span).unwrap_or_default() {
        if !matches!(byte, b'"' | b'\'' | b'\n' | b'\r') {
            *byte = b'*';
        }
    }
}

/// Without a tree, whole lines are masked after the `=` or `:` of a key that may hold a secret, and every long quoted word.
fn mask_lines(text: &str, bytes: &mut [u8]) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        // `:` for files that are YAML or JSON.
        for (at, _) in line.match_indices(['=', ':']) {
            let key =
                line.get(..at).unwrap_or_default().trim_end().rsplit(['{', ',', ' ', '.']).next().unwrap_or_default();
            if holds_secret(key.trim_matches(['"', '\''])) {
                let value = line.get(at + 1..).unwrap_or_default();
                let space = value.len() - value.trim_start().len();
                mask_span(bytes, start + at + 1 + space..end);
            }
        }
        let mut offset = start;
        for word in line.split_inclusive(|c: char| c == '"' || c == '\'' || c.is_whitespace()) {
            let long =
                word.len() >= LONG_WORD && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_\"'".contains(&b));
            if long && !word.contains("//") {
                mask_span(bytes, offset..offset + word.len());
            }
            mask_userinfo(offset..offset + word.len(), bytes);
            offset += word.len();
        }
        start += line.len();
    }
}

/// Whether a key holds a secret, or is probably meant for one that does.
fn holds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    match key.as_str() {
        "client_secret" | "client_key" | "keys" => true,
        "client_key_id" | "key" | "file" | "env" | "credential" => false,
        _ => {
            let telling = ["secret", "passw", "client_key", "session_key"].iter().any(|word| key.contains(word));
            telling || crate::nearest::nearest(&key, ["client_secret", "keys", "client_key"]).is_some()
        }
    }
}

/// How a secret is written when it stands elsewhere.
pub(super) const SECRET_SOURCES: [&str; 3] = ["file", "env", "credential"];

/// Keys whose value may begin with a user name and a password.
pub(super) const NAMES_A_PROXY: [&str; 2] = ["outgoing_proxy", "url"];

/// From this length on, a word may be a secret.
const LONG_WORD: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse("a.toml", text) {
            Ok((_, source)) => source.text.clone(),
            Err(diagnostics) => diagnostics.iter().map(|it| it.render(false)).collect(),
        }
    }

    #[test]
    fn literal_secrets_are_masked_wherever_they_stand() {
        // AT-CL-08
        for text in [
            "[provider.a]\nclient_secret = \"hunter2\"\n",
            "[provider.a]\nclient_secrte = \"hunter2\"\n",
            "provider = { a = { client_secret = 'hunter2', isuer = 'x' } }\n",
            "[session]\nkeys = [\n  \"hunter2\",\n]\n",
            "[provider.a]\npassword = '''\nhunter2\n'''\n",
            "[route.a]\nupstream = [\"http://ann:hunter2@host:80/x\"]\n",
            "[provider.a]\noutgoing_proxy = \"ann:hunter2@proxy:3128\"\n",
            "[provider.a]\noutgoing_proxy = { url = 'ann:hunter2@proxy:3128' }\n",
            "[provider.a]\noutgoing_proxy = \"http://ann:hunter2@proxy:3128\"\n",
        ] {
            assert!(!shown(text).contains("hunter2"), "{text}");
            assert_eq!(shown(text).len(), text.len());
        }
    }

    #[test]
    fn secrets_are_masked_in_files_that_do_not_parse() {
        // AT-CL-08
        for text in [
            "[provider.a]\nclient_secret = \"hunter2\" oops\n",
            "[provider.a]\nclient_secret = hunter2\n",
            "[provider.a]\noutgoing_proxy = \"http://ann:hunter2@proxy:3128\" oops\n",
            "[provider.a]\nx = 1 \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAhunter2=\"\n",
        ] {
            assert!(!shown(text).contains("hunter2"), "{}", shown(text));
        }
    }

    #[test]
    fn places_of_secrets_stay_readable() {
        let text = "[provider.a]\nclient_secret = { file = \"/run/secret\" }\ntoken_endpoint = \"https://a/token\"\n";
        assert_eq!(shown(text), text);
    }
}
