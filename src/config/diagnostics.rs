//! A diagnostic: what was found about a configuration, with all that is needed to put it right: place, excerpt, reason and help.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

pub use super::codes::{DiagnosticCode, Severity};
use super::kinds::DiagnosticKind;

/// What was found about a configuration. It carries all that is needed to show it; secrets in the excerpt are masked.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The row of the table that it is.
    kind: DiagnosticKind,
    /// Whether the configuration can be used nevertheless.
    pub severity: Severity,
    /// The stable code, for `vestibule explain`.
    pub code: DiagnosticCode,
    /// What was found, in one line.
    pub message: String,
    /// Where.
    pub place: Place,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// A second place that belongs to it.
    pub also: Option<(Place, String)>,
    /// Why it matters: the consequence, not only the rule.
    pub reason: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// What was found at a place; reason and help are those of the table, where it has any.
    pub(crate) fn new(kind: DiagnosticKind, place: &Place, message: impl Into<String>) -> Self {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            kind,
            severity: kind.severity,
            code: kind.code,
            message: message.into(),
            place: place.clone(),
            label: String::new(),
            also: None,
            reason: said(kind.reason),
            help: said(kind.help),
        }
    }

    /// Whether this row of the table was found.
    pub(super) fn is(&self, kind: DiagnosticKind) -> bool {
        self.kind == kind
    }

    /// Says what stands under the caret.
    pub(super) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Says why it matters.
    pub(super) fn reason(&mut self, reason: impl Into<String>) -> &mut Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says what to write instead.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Names a second place.
    pub(super) fn also(&mut self, place: &Place, label: impl Into<String>) -> &mut Self {
        self.also = Some((place.clone(), label.into()));
        self
    }

    /// The stable code, as in `VB-0002`.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// What was found, in one line, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The diagnostic with its excerpt, for people; several lines, without a newline at the end.
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&self.message).id(self.code.as_str());
        let mut group = Group::with_title(title);
        // Two places of the file share one excerpt; of what is no file, only the name is shown.
        let mut snippet: Option<Snippet<'_, Annotation<'_>>> = None;
        let also = self.also.iter().map(|(place, label)| (place, AnnotationKind::Context, label));
        for (place, kind, label) in std::iter::once((&self.place, AnnotationKind::Primary, &self.label)).chain(also) {
            let Place::File { source, span } = place else {
                group = group.elements(snippet.take()).element(Origin::path(place.to_string()));
                continue;
            };
            let mark = kind.span(source.visible(span)).label(Some(label.as_str()).filter(|label| !label.is_empty()));
            let of_file = || Snippet::source(source.text.as_str()).path(source.name.as_str());
            snippet = Some(snippet.unwrap_or_else(of_file).annotation(mark));
        }
        group = group.elements(snippet);
        if let Some(reason) = &self.reason {
            group = group.element(Level::NOTE.message(reason));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(TERM_WIDTH).render(&[group])
    }

    /// The diagnostic for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.as_str(),
            "code": self.code.as_str(),
            "message": self.message,
            "place": self.place.to_json(),
            "also": self.also.as_ref().map(|(place, label)| json!({ "place": place.to_json(), "message": label })),
            "reason": self.reason,
            "help": self.help,
        })
    }
}

/// One line, for logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {} ({})", self.severity.as_str(), self.code.as_str(), self.message, self.place)
    }
}

/// Where a value was written.
#[derive(Clone, Debug, Default)]
pub enum Place {
    /// In the file, at these bytes.
    File {
        /// The file.
        source: Arc<SourceText>,
        /// The bytes.
        span: Range<usize>,
    },
    /// The file as a whole: something is missing that has no place yet.
    Whole(Arc<SourceText>),
    /// In this environment variable.
    Variable(String),
    /// In this command-line flag.
    Flag(String),
    /// Nowhere: there is no file.
    #[default]
    Nowhere,
}

impl Place {
    /// Line and column, from 1, of a place in the file.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        if let Self::File { source, span } = self { source.position(span.start) } else { None }
    }

    /// Line and column, from 1, behind what stands there.
    pub fn end(&self) -> Option<(usize, usize)> {
        if let Self::File { source, span } = self { source.position(source.visible(span).end) } else { None }
    }

    /// The place for programs.
    pub fn to_json(&self) -> Value {
        match self {
            Self::File { source, .. } => {
                let (line, column) = self.line_and_column().unwrap_or((1, 1));
                json!({ "file": source.name, "line": line, "column": column })
            }
            Self::Whole(source) => json!({ "file": source.name }),
            Self::Variable(name) => json!({ "variable": name }),
            Self::Flag(name) => json!({ "flag": name }),
            Self::Nowhere => Value::Null,
        }
    }

    /// In the order of the file, then variables and flags by name.
    fn order(&self) -> (u8, usize, &str) {
        match self {
            Self::File { span, .. } => (0, span.start, ""),
            Self::Whole(_) => (1, 0, ""),
            Self::Variable(name) => (2, 0, name),
            Self::Flag(name) => (3, 0, name),
            Self::Nowhere => (4, 0, ""),
        }
    }
}

/// `file:line:column`, or the name of the variable or flag.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { source, .. } => {
                let (line, column) = self.line_and_column().unwrap_or((1, 1));
                write!(f, "{}:{line}:{column}", source.name)
            }
            Self::Whole(source) => f.write_str(&source.name),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Nowhere => f.write_str("no configuration file"),
        }
    }
}

/// A file as it may be shown: what looks like a secret is masked, byte for byte.
#[derive(Debug)]
pub struct SourceText {
    /// The name that it is shown by.
    pub name: String,
    /// The masked text.
    pub text: String,
}

impl SourceText {
    /// Line and column, from 1, of a byte.
    fn position(&self, at: usize) -> Option<(usize, usize)> {
        let before = self.text.get(..at)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..)?.chars().count() + 1;
        Some((before.matches('\n').count() + 1, column))
    }

    /// The part of a span that stands on its first line, at least one byte wide where there is one: carets over many lines help nobody.
    fn visible(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let line = self.text.get(start..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |at| start + at);
        let mut end = span.end.clamp(start, line.max(start));
        if end == start && start < line {
            end = self.text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |c| start + c.len_utf8());
        }
        start..end
    }
}

/// All that is wrong with a configuration, in the order of the file; warnings included.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The diagnostics.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Puts diagnostics in the order in which somebody would mend them: from the top of the file to its end.
    pub fn new(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| (a.place.order(), a.code.as_str()).cmp(&(b.place.order(), b.code.as_str())));
        Self { diagnostics }
    }

    /// How many errors are among them.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|it| it.severity == Severity::Error).count()
    }

    /// Everything, for people; ends with a newline.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for diagnostic in &self.diagnostics {
            text.push_str(diagnostic.render(color).trim_end());
            text.push_str("\n\n");
        }
        let (errors, warnings) = (self.errors(), self.diagnostics.len() - self.errors());
        text.push_str(&format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")));
        if let Some(first) = self.diagnostics.first() {
            text.push_str(&format!("; `vestibule explain {}` says more about a code", first.code.as_str()));
        }
        text.push('\n');
        text
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> Value {
        Value::Array(self.diagnostics.iter().map(Diagnostic::to_json).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The width that excerpts are cut to.
const TERM_WIDTH: usize = 160;
