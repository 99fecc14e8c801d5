//! The parts of deploy/REFERENCE.md that are made of the program: its commands with their exit codes, and every key.

use clap::{Arg, Command, CommandFactory as _};

use super::super::CommandLine;
use crate::config::{Key, keys};

/// Both parts.
pub(super) fn reference() -> String {
    let mut text = String::from("## Commands\n\n| command | what it does | what it takes |\n|---|---|---|\n");
    let mut command = CommandLine::command().disable_help_subcommand(true);
    command.build();
    commands(&command, "", &mut text);
    text.push_str("\n## Keys\n\n`NAME` is a name of your own. A key without a default is off, or its default depends on others.\n");
    text.push_str("\n| key | default | what it is for |\n|---|---|---|\n");
    for key in keys().iter().filter(|key| !key.is_table || may_be_text(key)) {
        text.push_str(&row(key));
    }
    text
}

/// A row for each command that can be run.
fn commands(command: &Command, above: &str, text: &mut String) {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let name = format!("{above}{}", below.get_name());
        if below.has_subcommands() {
            commands(below, &format!("{name} "), text);
            continue;
        }
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        let shown = below.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help");
        let arguments: Vec<String> = shown.map(|argument| format!("`{}`", written(argument))).collect();
        text.push_str(&format!("| `{name}` | {about} | {} |\n", arguments.join(", ")));
    }
}

/// An argument as it is written: `--format FORMAT`, `DIR`.
fn written(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let value = value.filter(|_| argument.get_action().takes_values());
    match (argument.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_default(),
    }
}

/// Whether a key whose value may be a table may be a text as well.
fn may_be_text(key: &Key) -> bool {
    let forms = key.schema.get("anyOf").and_then(serde_json::Value::as_array);
    forms.is_some_and(|forms| forms.iter().any(|form| form.get("type").is_some_and(|kind| kind == "string")))
}

/// The row of a key.
fn row(key: &Key) -> String {
    let default = key.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
    format!("| `{}` | {default} | {} |\n", key.name, key.description.replace('\n', " ").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_reference_shows_what_the_program_prints() {
        let (path, printed) = ("deploy/REFERENCE.md", reference());
        let page = fs::read_to_string(path).unwrap();
        let (by_hand, made) = page.split_at(page.find("## Commands\n").unwrap());
        if std::env::var_os("VESTIBULE_UPDATE_EXPECTED").is_some() {
            fs::write(path, format!("{by_hand}{printed}")).unwrap();
            return;
        }
        assert!(
            made == printed,
            "after {by_hand:.20}… {path} is what `vestibule generate reference` prints, and \
             `VESTIBULE_UPDATE_EXPECTED=1 cargo test --lib reference::` writes:\n{printed}"
        );
    }
}
