//! Where every key of a configuration was written, for what shows only later: when a listener, a log or a part is made.

use std::collections::HashMap;

use super::diagnostics::Place;

/// The places of keys, by their whole names: `provider.corp.ca`, `server.listen[0]`.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// By their whole names.
    known: HashMap<String, Place>,
    /// For what stands nowhere: the file, or that there is none.
    whole: Place,
}

impl Places {
    /// None yet, of this file.
    pub(super) fn of(whole: Place) -> Self {
        Self { known: HashMap::new(), whole }
    }

    /// Notes where a key stands.
    pub(super) fn note(&mut self, key: String, place: &Place) {
        self.known.insert(key, place.clone());
    }

    /// Where a key stands; one that was left out, where its table begins.
    pub fn at(&self, key: &str) -> &Place {
        let mut key = key;
        loop {
            if let Some(place) = self.known.get(key) {
                return place;
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = key.get(..end).unwrap_or_default(),
                None => return &self.whole,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_stands_where_its_table_begins() {
        let mut places = Places::of(Place::Nowhere);
        places.note("server".to_owned(), &Place::Flag("table".to_owned()));
        places.note("server.listen[1]".to_owned(), &Place::Flag("item".to_owned()));
        assert_eq!(places.at("server.listen[1]").to_string(), "flag item");
        assert_eq!(places.at("server.listen[0]").to_string(), "flag table");
        assert!(matches!(places.at("admin.listen[0]"), Place::Nowhere));
    }
}
