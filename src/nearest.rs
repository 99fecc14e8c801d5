//! Which word somebody meant: the nearest of those that would have been right.

/// The candidate nearest to `word`, if it is near enough to be meant: at most two edits, and fewer than half of the word.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= MOST_EDITS && distance * 2 < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice of `-` or `_` are not mistakes worth counting.
fn fold(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

/// Edits beyond which another word was meant.
const MOST_EDITS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["issuer", "client_id", "client_secret", "scopes", "pkce"];
        assert_eq!(nearest("isuer", keys), Some("issuer"));
        assert_eq!(nearest("client-id", keys), Some("client_id"));
        // Two neighbours that changed places are one edit.
        assert_eq!(nearest("cleint_secret", keys), Some("client_secret"));
        assert_eq!(nearest("Scope", keys), Some("scopes"));
        assert_eq!(nearest("audience", keys), None);
    }

    #[test]
    fn short_words_need_to_be_nearer() {
        assert_eq!(nearest("ab", ["cd", "key"]), None);
        assert_eq!(nearest("kye", ["key"]), Some("key"));
    }
}
