//! `vestibule generate man`: vestibule(1) and one page for each command, of the definition of the command line; vestibule.toml(5), of
//! the same descriptions as the schema.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;

use super::super::{CommandLine, Exit, say};
use crate::config::{Key, keys};

/// Writes the pages into a folder, which is made where it is not there.
pub(super) fn write(folder: &Path) -> Exit {
    match try_write(folder) {
        Ok(()) => {
            say(&format!("{}\n", folder.display()));
            Exit::Ok
        }
        Err(error) => Exit::cannot_create(format!("{} cannot be written: {error}", folder.display())),
    }
}

/// The same.
fn try_write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(CommandLine::command(), folder)?;
    fs::write(folder.join("vestibule.toml.5"), of_configuration(&keys()))
}

/// vestibule.toml(5).
fn of_configuration(keys: &[Key]) -> String {
    let mut page = format!(".TH vestibule.toml 5 \"\" \"vestibule {}\"\n", env!("CARGO_PKG_VERSION"));
    page.push_str(".SH NAME\nvestibule.toml \\- configuration of vestibule(1)\n.SH DESCRIPTION\n");
    page.push_str(&paragraph(INTRODUCTION));
    for table in tables(keys) {
        let heading = if table.is_empty() { "TABLES".to_owned() } else { format!("[{table}]") };
        page.push_str(&format!(".SH {}\n", escaped(&heading)));
        if let Some(key) = keys.iter().find(|key| key.name == table) {
            page.push_str(&paragraph(&plain(&key.description)));
        }
        for key in keys.iter().filter(|key| parent(&key.name) == table) {
            let name = key.name.strip_prefix(&table).unwrap_or(&key.name).trim_start_matches('.');
            page.push_str(&format!(".TP\n.B {}\n{}", escaped(name), paragraph(&about(key))));
        }
    }
    page.push_str(".SH FILES\n/etc/vestibule/vestibule.toml\n.SH SEE ALSO\nvestibule(1), vestibule\\-check(1), vestibule\\-show(1)\n");
    page
}

/// The tables, in the order of their names.
fn tables(keys: &[Key]) -> Vec<String> {
    let mut tables: Vec<String> = keys.iter().map(|key| parent(&key.name).to_owned()).collect();
    tables.sort();
    tables.dedup();
    tables
}

/// The table that a key stands in.
fn parent(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(table, _)| table)
}

/// What there is to say of a key.
fn about(key: &Key) -> String {
    let mut text = plain(&key.description);
    if let Some(default) = &key.default
        && !text.contains("Default:")
    {
        text.push_str(&format!(" Default: {default}."));
    }
    text
}

/// A description without the marks that only a browser shows: backticks, and links in brackets.
fn plain(text: &str) -> String {
    let mut text = text.replace('`', "").replace('\n', " ");
    while let Some((before, rest)) = text.split_once("](")
        && let Some((_, after)) = rest.split_once(')')
        && let Some(open) = before.rfind('[')
    {
        let (start, label) = before.split_at(open);
        text = format!("{start}{}{after}", label.trim_start_matches('['));
    }
    text
}

/// A paragraph on a line of its own.
fn paragraph(text: &str) -> String {
    format!("{}\n", escaped(text))
}

/// What roff takes as it stands: no escapes, no requests at the beginning of the line, and dashes that can be copied.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// What the page says first.
const INTRODUCTION: &str = "The file is TOML. Durations are strings such as 500ms, 30s, 15m or 12h; sizes are bytes, or strings such as \
    8KiB. Relative paths start at the folder of the file. A secret is { file = \"…\" }, { env = \"…\" }, { credential = \"…\" } or, with \
    a warning, a literal string. NAME stands for a name of your own. Any key can come from the environment instead, as in \
    VESTIBULE__SERVER__PUBLIC_URL, and from the command line, as in --set server.public_url=…; they win over the file. vestibule check \
    reports everything that is wrong, and vestibule show what holds.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_on_the_page_with_its_default() {
        let page = of_configuration(&keys());
        for key in keys() {
            let name = key.name.rsplit('.').next().unwrap();
            assert!(page.contains(&format!(".B {}\n", escaped(name))), "{}", key.name);
        }
        assert!(page.contains(".SH [provider.NAME.claims]") && page.contains("Default: \"12h\"."), "{page}");
        assert!(page.lines().all(|line| !line.starts_with('.')
            || line.starts_with(".SH")
            || line.starts_with(".T")
            || line.starts_with(".B ")));
    }

    #[test]
    fn marks_of_a_browser_are_left_out() {
        assert_eq!(plain("see `a` ([RFC 1](https://x/y)) and [b](z)."), "see a (RFC 1) and b.");
        assert_eq!(escaped(".x-\\"), "\\&.x\\-\\e");
    }
}
