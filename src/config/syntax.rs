//! What is wrong with a file that is no TOML: another language, a key that stands twice, or a mistake.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Place, SourceText};
use super::kinds;
use super::problems::Problems;

/// Each mistake, or the one that the file is written in another language.
pub(super) fn mistakes(text: &str, source: &Arc<SourceText>) -> Vec<Diagnostic> {
    let mut problems = Problems::default();
    if let Some(language) = other_language(&source.name, text) {
        let message = format!("the file is {language}, not TOML");
        problems.add(kinds::OTHER_LANGUAGE, &Place::Whole(Arc::clone(source)), message);
    } else {
        let (_, errors) = DeTable::parse_recoverable(text);
        errors.iter().for_each(|error| add_mistake(error, text, source, &mut problems));
    }
    problems.list
}

/// Adds a syntax error, with both places where something stands twice.
fn add_mistake(error: &toml::de::Error, text: &str, source: &Arc<SourceText>, problems: &mut Problems) {
    let at = |span: Range<usize>| Place::File { source: Arc::clone(source), span };
    let place = error.span().map_or_else(|| Place::Whole(Arc::clone(source)), at);
    // toml's message may go on with what it expected, on lines of its own.
    let mut lines = error.message().lines();
    let first = lines.next().unwrap_or("this is not TOML");
    let diagnostic = problems.add(kinds::NOT_TOML, &place, format!("the file is not valid TOML: {first}"));
    if first == DUPLICATE
        && let Some(earlier) = error.span().and_then(|span| first_of_two(text, &span))
    {
        diagnostic.label("the same again").also(&at(earlier), "here first").help("keep one of them");
        return;
    }
    let rest: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    diagnostic.help(if rest.is_empty() {
        "strings stand in double quotes, tables begin with [name], lists are written [\"a\", \"b\"]".to_owned()
    } else {
        rest.join(", ")
    });
}

/// By its name, or by how its first line with anything on it is written.
fn other_language(name: &str, text: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let is = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let first = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let first = first.unwrap_or_default();
    if is(&[".json", ".json5"]) || first.starts_with('{') {
        return Some("JSON");
    }
    (is(&[".yaml", ".yml"]) || first.starts_with("---") || first.starts_with("- ") || is_yaml_key(first))
        .then_some("YAML")
}

/// `key:`, alone or with a value.
fn is_yaml_key(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else { return false };
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    !key.is_empty() && key.chars().all(is_key) && (value.is_empty() || value.starts_with([' ', '\t']))
}

/// Where a key or table that stands a second time at `again` stood before.
fn first_of_two(text: &str, again: &Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..again.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..again.end)?;
    let header = |line: &str| line.trim_start().strip_prefix('[').map(|rest| rest.trim_start_matches('[').to_owned());
    let path = match header(line) {
        Some(table) => segments(&table)?,
        None => {
            let table = before.get(..line_start)?.lines().rev().find_map(header);
            let table = table.as_deref().and_then(|rest| rest.split(']').next());
            let mut path = table.map_or_else(|| Some(Vec::new()), segments)?;
            // In a table on one line, only the key itself is known.
            path.extend(segments(line).or_else(|| segments(text.get(again.clone())?))?);
            path
        }
    };
    let (earlier, _) = DeTable::parse_recoverable(text.get(..line_start)?);
    key_at(earlier.get_ref(), &path).or_else(|| {
        let (whole, _) = DeTable::parse_recoverable(text);
        let mut found = Vec::new();
        keys_named(&DeValue::Table(whole.into_inner()), path.last()?, &mut found);
        found.into_iter().filter(|span| span.end <= again.start).max_by_key(|span| span.start)
    })
}

/// `a."b c".d` as its parts.
fn segments(key: &str) -> Option<Vec<String>> {
    let line = format!("{key} = 0");
    let parsed = DeTable::parse(&line).ok()?;
    let (mut parts, mut table) = (Vec::new(), parsed.get_ref());
    loop {
        let (key, value) = table.iter().next()?;
        parts.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(next) => table = next,
            _ => return Some(parts),
        }
    }
}

/// Where a key stands, by its path.
fn key_at(table: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    if rest.is_empty() {
        return Some(key.span());
    }
    match value.get_ref() {
        DeValue::Table(table) => key_at(table, rest),
        // Of a list of tables, keys below go to the last.
        DeValue::Array(items) => match items.iter().next_back().map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => key_at(table, rest),
            _ => None,
        },
        // The value that is in the way.
        _ => Some(key.span()),
    }
}

/// Where keys of this name stand in a value and below.
fn keys_named(value: &DeValue<'_>, name: &str, found: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => table.iter().for_each(|(key, value)| {
            found.extend((key.get_ref() == name).then(|| key.span()));
            keys_named(value.get_ref(), name, found);
        }),
        DeValue::Array(items) => items.iter().for_each(|item| keys_named(item.get_ref(), name, found)),
        _ => {}
    }
}

/// How the parser calls what stands twice.
const DUPLICATE: &str = "duplicate key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_language_is_told_as_such_and_once() {
        for (name, text, language) in [
            ("a.toml", "server:\n  listen: x\n", "YAML"),
            ("a.toml", "# a comment\n---\nserver: {}\n", "YAML"),
            ("a.toml", "\"server\":\n  x: 1\n", "YAML"),
            ("a.yaml", "a b c", "YAML"),
            ("a.toml", "- a\n- b\n", "YAML"),
            ("a.toml", "\u{feff}{\n  \"server\": {}\n}", "JSON"),
            ("a.json", "nonsense", "JSON"),
        ] {
            assert_eq!(other_language(name, text), Some(language), "{text}");
        }
        for text in ["[server]\nlisten = \n", "listen = \"a:1\"\n", "a.b = 1 c: 2", "", "x", "[[a]]", "http://a"] {
            assert_eq!(other_language("a.toml", text), None, "{text}");
        }
    }

    #[test]
    fn what_stands_twice_is_shown_where_it_stood_first() {
        for (text, first) in [
            ("[server]\nprefix = 1\nworkers = 2\nprefix = 3\n", 2),
            ("[a]\nx = 1\n[b]\nx = 1\n\"x\" = 2\n", 4),
            ("[a]\nx = 1\n[b]\n[a]\n", 1),
            ("[a]\n[b]\n[\"a\"]\n", 1),
            ("b.c = 1\nb.d = 2\nb.c = 3\n", 1),
            ("[a]\nb = 1\n[a.b]\nc = 1\n", 2),
            ("[a.b]\nc = 1\n[a]\nb = 2\n", 1),
            ("a = 1\n[a]\nx = 1\n", 1),
            ("[[r]]\nx = 1\n[[r]]\nx = 2\ny = 1\nx = 3\n", 4),
            ("y = 1\nx = { a = 1, b = 2, a = 3 }\n", 2),
        ] {
            let source = Arc::new(SourceText { name: "a.toml".to_owned(), text: text.to_owned() });
            let found = mistakes(text, &source);
            let also = found.first().and_then(|it| it.also.as_ref()).unwrap_or_else(|| panic!("{text}: {found:?}"));
            assert_eq!(also.0.line_and_column().map(|(line, _)| line), Some(first), "{text}");
        }
    }
}
