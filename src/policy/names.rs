//! The lists of names that `allow` compares with: written in the configuration, or kept by somebody else in a file.
//!
//! A written list is short, and binary search by length settles most comparisons without reading the name. A list in a file may have
//! a hundred thousand names: there, a comparison is one look-up by hash.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::followed::{Content, Followed};

/// A list of names, as configured.
#[derive(Clone, Debug)]
pub enum NameList {
    /// Written in the configuration.
    Written(Vec<String>),
    /// Kept in a file.
    Followed(Arc<Followed<NameSet>>),
}

/// A followed list is equal to itself alone: what it holds changes.
impl PartialEq for NameList {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Written(a), Self::Written(b)) => a == b,
            (Self::Followed(a), Self::Followed(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// How names are compared.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Matching {
    /// Byte for byte.
    Exact,
    /// Without regard to ASCII case: e-mail addresses.
    Folded,
    /// As [`Folded`](Self::Folded), and `*.example.com` stands for every domain below `example.com`.
    Domain,
}

/// The names in a file, by hash.
#[derive(Debug)]
pub struct NameSet {
    matching: Matching,
    exact: HashSet<Box<str>, RandomState>,
    /// `example.com` for `*.example.com`.
    above: HashSet<Box<str>, RandomState>,
}

impl NameSet {
    /// Of these names.
    pub fn new(matching: Matching, names: impl IntoIterator<Item = String>) -> Self {
        let mut set = Self { matching, exact: HashSet::default(), above: HashSet::default() };
        for mut name in names {
            if matching != Matching::Exact {
                name.make_ascii_lowercase();
            }
            match name.strip_prefix("*.").filter(|_| matching == Matching::Domain) {
                Some(above) => set.above.insert(above.into()),
                None => set.exact.insert(name.into()),
            };
        }
        set
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.above.is_empty()
    }

    /// How many different names there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.above.len()
    }

    /// Whether a name matches one of them: by one look-up, for a domain one for each of its labels at most.
    pub fn contains(&self, name: &str) -> bool {
        if self.matching == Matching::Exact {
            return self.exact.contains(name);
        }
        let folded;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            folded = name.to_ascii_lowercase();
            folded.as_str()
        } else {
            name
        };
        self.exact.contains(name) || (!self.above.is_empty() && self.has_above(name))
    }

    /// Whether a domain above this one, by whole labels, is among those that stand for what is below them.
    fn has_above(&self, domain: &str) -> bool {
        let dots = domain.match_indices('.').map(|(at, _)| at);
        dots.take_while(|at| labels_are_filled(domain.get(..*at)))
            .any(|at| domain.get(at + 1..).is_some_and(|above| self.above.contains(above)))
    }
}

impl Content for NameSet {
    fn summary(&self) -> String {
        match self.len() {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        }
    }
}

/// A list of `allow`, ready to be asked.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    Exact(Names),
    Folded(Names),
    Domain(Domains),
    Followed(Arc<Followed<NameSet>>),
}

impl Listed {
    /// Of this list.
    pub(super) fn new(list: NameList, matching: Matching) -> Self {
        match (list, matching) {
            (NameList::Followed(file), _) => Self::Followed(file),
            (NameList::Written(names), Matching::Exact) => Self::Exact(Names::new(names)),
            (NameList::Written(names), Matching::Folded) => Self::Folded(Names::lower_case(names)),
            (NameList::Written(names), Matching::Domain) => Self::Domain(Domains::new(names)),
        }
    }

    /// Whether somebody else keeps it.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Self::Followed(_))
    }

    /// Whether a name matches one of them.
    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Exact(names) => names.contains(name),
            Self::Folded(names) => names.contains_folded(name),
            Self::Domain(domains) => domains.contains(name),
            Self::Followed(file) => file.current().contains(name),
        }
    }

    /// Whether one of these names does.
    pub(super) fn contains_any(&self, names: &[String]) -> bool {
        match self {
            Self::Followed(file) => {
                let set = file.current();
                names.iter().any(|name| set.contains(name))
            }
            _ => names.iter().any(|name| self.contains(name)),
        }
    }

    /// In the order of the alphabet; none of a file.
    pub(super) fn in_order(&self) -> Option<Vec<String>> {
        match self {
            Self::Exact(names) | Self::Folded(names) => Some(names.in_order()),
            Self::Domain(domains) => Some(domains.in_order()),
            Self::Followed(_) => None,
        }
    }
}

/// A written list, by length and then by text: most of a person's hundreds of groups differ from those that are asked
/// for in their length already, where a hash would have to read them all.
#[derive(Clone, Debug)]
pub(super) struct Names(Box<[String]>);

impl Names {
    /// Sorts them.
    fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable_by(|a, b| by_length(a, b));
        names.dedup();
        Self(names.into())
    }

    /// The same in lower case.
    fn lower_case(names: Vec<String>) -> Self {
        Self::new(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether this very text is among them.
    fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|known| by_length(known, name)).is_ok()
    }

    /// The same of names in lower case, whatever the case of the text.
    fn contains_folded(&self, name: &str) -> bool {
        self.contains(name) || self.contains(&name.to_ascii_lowercase())
    }

    /// In the order of the alphabet.
    fn in_order(&self) -> Vec<String> {
        let mut names = self.0.to_vec();
        names.sort_unstable();
        names
    }
}

/// Written domains of e-mail addresses, in lower case.
#[derive(Clone, Debug)]
pub(super) struct Domains {
    exact: Names,
    /// `example.com` for `*.example.com`: only what is below it.
    above: Box<[String]>,
}

impl Domains {
    /// Parts them.
    fn new(domains: Vec<String>) -> Self {
        let (below, exact): (Vec<String>, Vec<String>) =
            domains.into_iter().partition(|domain| domain.starts_with("*."));
        let above = below.iter().filter_map(|domain| domain.strip_prefix("*.")).map(str::to_ascii_lowercase);
        Self { exact: Names::lower_case(exact), above: above.collect() }
    }

    /// Whether this domain is one of them, or below one.
    fn contains(&self, domain: &str) -> bool {
        if self.exact.contains_folded(domain) {
            return true;
        }
        let domain = domain.to_ascii_lowercase();
        let is_below = |above: &String| {
            labels_are_filled(domain.strip_suffix(above.as_str()).and_then(|rest| rest.strip_suffix('.')))
        };
        self.above.iter().any(is_below)
    }

    /// As they are written, the exact ones first.
    fn in_order(&self) -> Vec<String> {
        let mut names = self.exact.in_order();
        names.extend(self.above.iter().map(|above| format!("*.{above}")));
        names
    }
}

/// Whether what stands before a domain makes one below it: whole labels, and at least one. Neither `notexample.com` nor
/// `.example.com` is below `example.com`.
fn labels_are_filled(labels: Option<&str>) -> bool {
    labels.is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()))
}

/// The order of [`Names`].
fn by_length(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a written list and a file with the same names say about a name.
    fn both(matching: Matching, names: &[&str], name: &str) -> [bool; 2] {
        let names = || names.iter().map(|name| (*name).to_owned());
        let written = Listed::new(NameList::Written(names().collect()), matching);
        [written.contains(name), NameSet::new(matching, names()).contains(name)]
    }

    #[test]
    fn a_list_in_a_file_compares_as_a_written_one() {
        let cases = [
            (Matching::Exact, &["ops", "Eng"][..], &["ops", "Eng"][..], &["OPS", "eng", "op", "", "*"][..]),
            (Matching::Folded, &["Ann@Example.com"], &["ann@example.com", "ANN@EXAMPLE.COM"], &["an@example.com", ""]),
            (Matching::Domain, &["Example.com"], &["example.COM"], &["x.example.com", "xexample.com", "com", ""]),
            (
                Matching::Domain,
                &["*.Example.com"],
                &["a.example.com", "B.a.example.com"],
                &["example.com", ".example.com", "x..example.com", "notexample.com", "*.example.co", "com", ""],
            ),
        ];
        for (matching, names, yes, no) in cases {
            for name in yes {
                assert_eq!(both(matching, names, name), [true, true], "{name}");
            }
            for name in no {
                assert_eq!(both(matching, names, name), [false, false], "{name}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_the_domains_the_file_compares_as_the_written_list(
            names in prop::collection::vec("(\\*\\.)?[aB](\\.[ab]){0,3}", 0..6),
            name in "[aAb.]{0,8}",
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let [written, followed] = both(Matching::Domain, &names, &name);
            prop_assert_eq!(written, followed);
        }
    }

    /// Issue 12: what an entry costs must not grow with the list. A list that is read through would take a thousand times as long.
    #[test]
    fn a_hundred_thousand_names_cost_a_look_up() {
        let time = |count: usize| {
            let set = NameSet::new(Matching::Folded, (0..count).map(|n| format!("person-{n}@example.com")));
            let asked: Vec<String> =
                (0..1000).map(|n| format!("person-{}@example.com", n * (count / 10) + n % 3)).collect();
            let round = || {
                let began = std::time::Instant::now();
                let found = asked.iter().filter(|name| set.contains(name)).count();
                assert!(found > 0);
                began.elapsed()
            };
            (0..50).map(|_| round()).min().unwrap_or_default()
        };
        let (few, many) = (time(10), time(100_000));
        assert!(many < few * 30, "1000 look-ups take {many:?} in a list of 100 000 and {few:?} in one of 10");
    }

    #[test]
    fn names_that_are_equal_count_once() {
        let set = NameSet::new(Matching::Folded, ["a@b.c", "A@b.c", "*.b.c"].map(str::to_owned));
        assert_eq!((set.len(), set.summary()), (2, "2 entries".to_owned()));
        assert_eq!(NameSet::new(Matching::Domain, ["*.b.c".to_owned()]).summary(), "1 entry");
        assert!(NameSet::new(Matching::Exact, []).is_empty());
    }
}
