//! Text within HTML.

/// Text as it may stand in HTML, also within a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    const ENTITIES: [(char, &str); 5] =
        [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    ENTITIES.iter().fold(text.to_owned(), |text, (sign, entity)| text.replace(*sign, entity))
}
