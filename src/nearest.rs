//! Which word somebody meant: the nearest of those that would have been right.

/// The candidate nearest to `word`, if it is near enough to be meant: at most two edits, and fewer than half of the word.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= MOST_EDITS && distance * 2 < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice of `-` or `_` are not mistakes worth counting.
fn fold(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

/// Edits between two words, where swapping two neighbours is one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > MOST_EDITS {
        return MOST_EDITS + 1;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

const MOST_EDITS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["issuer", "client_id", "client_secret", "scopes", "pkce"];
        assert_eq!(nearest("isuer", keys), Some("issuer"));
        assert_eq!(nearest("client-id", keys), Some("client_id"));
        assert_eq!(nearest("cleint_secret", keys), Some("client_secret"));
        assert_eq!(nearest("Scope", keys), Some("scopes"));
        assert_eq!(nearest("audience", keys), None);
    }

    #[test]
    fn short_words_need_to_be_nearer() {
        assert_eq!(nearest("ab", ["cd", "key"]), None);
        assert_eq!(nearest("kye", ["key"]), Some("key"));
    }

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "ab"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
