//! `[pages]`.

use super::super::file::PagesTable;
use super::{Field, Flaw, Problems, kinds};
use crate::gateway::settings::PagesSettings;

/// What our own pages show.
pub(super) fn pages(table: PagesTable, problems: &mut Problems) -> PagesSettings {
    PagesSettings {
        notice: notice(&table.notice, problems),
        sign_in: table.sign_in.value().copied().unwrap_or_default(),
        title: table.title.into_value(),
        contact: table.contact.into_value(),
    }
}

/// The paragraphs of the operator's message, which are parted by empty lines.
fn notice(field: &Field<String>, problems: &mut Problems) -> Vec<String> {
    let Some(found) = field.given() else { return Vec::new() };
    let text = found.value.replace("\r\n", "\n").replace('\t', " ");
    let length = text.trim().chars().count();
    let sound = if text.chars().any(|c| c.is_control() && c != '\n') {
        Err(Flaw::new(kinds::NOTICE_BAD, "holds a control character that is no line break"))
    } else if length > LONGEST_NOTICE {
        Err(Flaw::new(kinds::NOTICE_TOO_LONG, format!("has {length} characters, and {LONGEST_NOTICE} fit")))
    } else {
        Ok(paragraphs(&text))
    };
    problems.sound(found, sound).unwrap_or_default()
}

/// What stands between empty lines, each line without the blanks around it.
fn paragraphs(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let parts = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    parts.map(|lines| lines.join("\n")).collect()
}

/// Characters of a notice: with everything else that may stand there, a page stays below 16 KiB also where each has to be escaped.
const LONGEST_NOTICE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_part_paragraphs_and_line_breaks_stay() {
        assert_eq!(paragraphs("One line"), ["One line"]);
        assert_eq!(paragraphs("\n First\nsecond \n\n \nThird\n"), ["First\nsecond", "Third"]);
        assert!(paragraphs(" \n").is_empty());
    }
}
