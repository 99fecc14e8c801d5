//! What was found so far: the one list, and the ways into it.

use std::fmt::Display;

use super::diagnostics::{Diagnostic, Place, Severity};
use super::kinds::DiagnosticKind;

/// A value with its place and its key, for messages about what it means.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    /// The value.
    pub(super) value: T,
    /// Where it was written.
    pub(super) place: Place,
    /// With its tables: `provider.corp.client_id`. An item of a list has the key of the list.
    pub(super) key: String,
}

impl<T> Found<T> {
    /// Another value that was made of this one.
    pub(super) fn with<U>(&self, value: U) -> Found<U> {
        Found { value, place: self.place.clone(), key: self.key.clone() }
    }
}

/// What is wrong with a value. Where it stands, and its key before the message, are added when it is reported.
#[derive(Debug)]
pub(super) struct Flaw(Box<Diagnostic>);

impl Flaw {
    /// The message goes on behind the key: `cannot be "x"`.
    pub(super) fn new(kind: DiagnosticKind, what: impl Into<String>) -> Self {
        Self(Box::new(Diagnostic::new(kind, &Place::Nowhere, what)))
    }

    /// The same of a text that the message ends with: `of(kind, "cannot be", "x")`.
    pub(super) fn of(kind: DiagnosticKind, what: &str, text: &str) -> Self {
        Self::new(kind, format!("{what} \"{}\"", text.escape_default()))
    }

    /// What is wrong and what to write instead, where there is no place to show.
    pub(super) fn in_words(&self) -> String {
        let Diagnostic { message, help, .. } = &*self.0;
        match help.as_deref().filter(|help| !help.is_empty()) {
            Some(help) => format!("{message} ({help})"),
            None => message.clone(),
        }
    }

    /// Says what to write instead.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help(help);
        self
    }

    /// Says what stands under the caret.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label(label);
        self
    }

    /// Says why it matters.
    pub(super) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason(reason);
        self
    }
}

/// The first of some flaws that something has.
pub(super) fn first_flaw<const N: usize>(flaws: [(bool, &'static str); N]) -> Option<&'static str> {
    flaws.into_iter().find_map(|(has, flaw)| has.then_some(flaw))
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// In the order in which they were found.
    pub(super) list: Vec<Diagnostic>,
    /// The place of what is missing altogether.
    pub(super) whole: Place,
}

impl Problems {
    /// Adds what was found; what depends on what was written can be said of the result.
    pub(super) fn add(&mut self, kind: DiagnosticKind, place: &Place, message: impl Into<String>) -> &mut Diagnostic {
        let at = self.list.len();
        self.list.push(Diagnostic::new(kind, place, message));
        #[expect(clippy::indexing_slicing, reason = "it was pushed just above")]
        &mut self.list[at]
    }

    /// Adds what is wrong with a value: the message goes on behind its key.
    pub(super) fn on<T>(&mut self, kind: DiagnosticKind, found: &Found<T>, what: impl Display) -> &mut Diagnostic {
        self.add(kind, &found.place, format!("`{}` {what}", found.key))
    }

    /// Adds what is wrong with the value of a key that is being read.
    pub(super) fn flaw(&mut self, flaw: Flaw, place: &Place, key: &str) {
        let mut diagnostic = *flaw.0;
        (diagnostic.message, diagnostic.place) = (format!("`{key}` {}", diagnostic.message), place.clone());
        self.list.push(diagnostic);
    }

    /// What was made of a value, or a report of why nothing could be.
    pub(super) fn sound<T, U>(&mut self, found: &Found<T>, made: Result<U, Flaw>) -> Option<U> {
        made.map_err(|flaw| self.flaw(flaw, &found.place, &found.key)).ok()
    }

    /// Adds that a key has to be there.
    pub(super) fn missing(&mut self, kind: DiagnosticKind, place: &Place, key: &str) {
        self.add(kind, place, format!("`{key}` is missing"));
    }

    /// Whether a diagnostic of one of these kinds is among them.
    pub(super) fn has(&self, kinds: &[DiagnosticKind]) -> bool {
        self.list.iter().any(|it| kinds.iter().any(|kind| it.is(*kind)))
    }

    /// Whether the configuration can be used nevertheless.
    pub(super) fn are_only_warnings(&self) -> bool {
        self.list.iter().all(|it| it.severity == Severity::Warning)
    }
}
