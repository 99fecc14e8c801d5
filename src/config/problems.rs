//! What was found so far: the one list, and the one way into it.

use super::diagnostics::{Diagnostic, Place, Severity};
use super::kinds::DiagnosticKind;

/// A value with its place and its key, for messages about what it means.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// With its tables: `provider.corp.client_id`. An item of a list has the key of the list.
    pub(super) key: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
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
    pub(super) fn on<T>(
        &mut self,
        kind: DiagnosticKind,
        found: &Found<T>,
        what: impl std::fmt::Display,
    ) -> &mut Diagnostic {
        self.add(kind, &found.place, format!("`{}` {what}", found.key))
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
