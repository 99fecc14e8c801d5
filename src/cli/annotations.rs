//! The findings of `vestibule check` as other programs show them beside the lines that they are about: commands of a GitHub workflow,
//! and SARIF 2.1.0.

use std::path::Path;

use serde_json::{Value, json};
use url::Url;

use super::probes::Finding;
use crate::codes;
use crate::config::diagnostics::{Place, Severity};
use crate::config::{Diagnostic, Report};
use crate::provider::Grade;

/// One line for each finding; what is good is not among them.
pub(super) fn github(report: &Report, findings: &[Finding]) -> String {
    let mut text = String::new();
    for diagnostic in &report.diagnostics {
        let (mut at, title) = (Vec::new(), format!("title={}", property(diagnostic.code())));
        if let Some(file) = file_of(&diagnostic.place) {
            at.push(format!("file={}", property(file)));
        }
        if let Some((line, column)) = diagnostic.place.line_and_column() {
            at.push(format!("line={line},col={column}"));
        }
        at.push(title);
        let line =
            format!("::{} {}::{}\n", diagnostic.severity.as_str(), at.join(","), data(&whole_message(diagnostic)));
        text.push_str(&line);
    }
    for finding in findings {
        let Some(level) = level(finding.found.grade) else { continue };
        text.push_str(&format!("::{level} title={}::{}\n", property(&finding.subject), data(&finding.found.message)));
    }
    text
}

/// The severity of what a probe found; none where all is well.
fn level(grade: Grade) -> Option<&'static str> {
    match grade {
        Grade::Good => None,
        Grade::Warning => Some("warning"),
        Grade::Failed => Some("error"),
    }
}

/// The message of a workflow command: what would end it is written as its number.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The message with why it matters and what to write.
fn whole_message(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message().to_owned();
    if diagnostic.place.line_and_column().is_none() {
        text.push_str(&format!(" ({})", diagnostic.place));
    }
    if let Some(reason) = &diagnostic.reason {
        text.push_str(&format!("\n{reason}"));
    }
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("\nhelp: {help}"));
    }
    text
}

/// The file that a place is in.
fn file_of(place: &Place) -> Option<&str> {
    match place {
        Place::File { source, .. } | Place::Whole(source) => Some(&source.name),
        _ => None,
    }
}

/// A log of one run. Each code is a rule, with its long text as help.
pub(super) fn sarif(report: &Report, findings: &[Finding]) -> Value {
    let mut rules: Vec<&str> = report.diagnostics.iter().map(Diagnostic::code).collect();
    let found: Vec<(&Finding, &str)> =
        findings.iter().filter_map(|finding| Some((finding, level(finding.found.grade)?))).collect();
    rules.extend(found.iter().map(|(finding, _)| finding.found.code));
    rules.sort_unstable();
    rules.dedup();
    let index = |id: &str| rules.iter().position(|rule| *rule == id);
    let mut results: Vec<Value> = report.diagnostics.iter().map(|it| result(it, index(it.code()))).collect();
    results.extend(found.iter().map(|(finding, level)| {
        json!({
            "ruleId": finding.found.code,
            "ruleIndex": index(finding.found.code),
            "level": level,
            "message": { "text": format!("{}: {}", finding.subject, finding.found.message) },
        })
    }));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "vestibule",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|id| rule(id)).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A code, and what `vestibule explain` says of it.
fn rule(id: &str) -> Value {
    let Some(text) = codes::explain(id) else {
        return json!({ "id": id, "shortDescription": { "text": format!("what a probe found: {id}") } });
    };
    let (heading, text) = text.split_once('\n').unwrap_or((&text, ""));
    let name = heading.split_whitespace().nth(1).unwrap_or(id);
    json!({
        "id": id,
        "name": name,
        "shortDescription": { "text": name.replace('_', " ") },
        "fullDescription": { "text": text.trim().split("\n\n").next().unwrap_or_default() },
        "help": { "text": text.trim() },
    })
}

/// One finding with its places.
fn result(diagnostic: &Diagnostic, rule: Option<usize>) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut result = json!({
        "ruleId": diagnostic.code(),
        "ruleIndex": rule,
        "level": level,
        "message": { "text": whole_message(diagnostic) },
    });
    if let (Some(location), Value::Object(result)) = (location(&diagnostic.place), &mut result) {
        result.insert("locations".to_owned(), json!([location]));
        if let Some((place, label)) = &diagnostic.also
            && let Some(Value::Object(mut also)) = self::location(place)
        {
            also.insert("message".to_owned(), json!({ "text": label }));
            result.insert("relatedLocations".to_owned(), json!([also]));
        }
    }
    result
}

/// Where something stands, as SARIF says it.
fn location(place: &Place) -> Option<Value> {
    let artifact = json!({ "uri": uri(file_of(place)?) });
    let Some(((line, column), (end_line, end_column))) = place.line_and_column().zip(place.end()) else {
        return Some(json!({ "physicalLocation": { "artifactLocation": artifact } }));
    };
    let region = json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column });
    Some(json!({ "physicalLocation": { "artifactLocation": artifact, "region": region } }))
}

/// The path of a file as a URI: relative to where the command runs, where it was named so.
fn uri(path: &str) -> String {
    if let Ok(url) = Url::from_file_path(Path::new(path)) {
        return url.into();
    }
    let relative = Url::parse("file:///").and_then(|root| root.join(path));
    relative.map_or_else(|_| path.to_owned(), |url| url.path().trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_written_as_its_number() {
        assert_eq!(data("50%\r\nx: a, b"), "50%25%0D%0Ax: a, b");
        assert_eq!(property("a:b,c\n"), "a%3Ab%2Cc%0A");
    }

    #[test]
    fn paths_are_uris() {
        assert_eq!(uri("deploy/a b.toml"), "deploy/a%20b.toml");
        assert_eq!(uri("/etc/vestibule.toml"), "file:///etc/vestibule.toml");
    }
}
