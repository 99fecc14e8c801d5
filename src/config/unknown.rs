//! What an unknown key was probably meant to be: a misspelt one, one of another table, or what another gateway calls it.

use super::diagnostics::Place;
use super::foreign::{self, ForeignKey, squashed};
use super::kinds;
use super::reading::{Reading, listed};
use super::schema::every_key;
use super::tree::TableEntry;
use crate::nearest::nearest;

impl Reading {
    /// What to write where the tables of a section have names, and the keys of one stand there without: `[provider]`, `[[route]]`.
    pub(super) fn nameless(key: &str) -> Option<String> {
        let (section, below) = key.split_once('.').map_or((key, None), |(section, below)| (section, Some(below)));
        if !["provider", "route"].contains(&section) {
            return None;
        }
        // What is no key of such a table may be meant as the name of one.
        if below.is_some_and(|below| !every_key().contains(&format!("{section}.NAME.{below}"))) {
            return None;
        }
        let keys = below.map_or_else(|| "its keys".to_owned(), |below| format!("`{below}` and the keys beside it"));
        Some(format!("each {section} has a name of its own: write [{section}.NAME] above {keys}"))
    }

    /// Notes a key that its table does not have.
    pub(super) fn unknown_key(&mut self, entry: &TableEntry, keys: &[&str]) {
        let key = &entry.key;
        let table = self.key();
        let section = table.split('.').next().unwrap_or_default();
        if let Some((.., instead)) = RESERVED.iter().find(|(of, name, _)| *of == section && name == key) {
            let message = format!("`{}` is not supported by this version", self.key_of(key));
            self.problems.add(kinds::KEY_OF_LATER_VERSION, &entry.place, message).help(*instead);
            return;
        }
        let within = if table.is_empty() { "at the top level".to_owned() } else { format!("in `[{table}]`") };
        let (kind, message) = match &entry.place {
            Place::Variable(name) => {
                (kinds::UNKNOWN_VARIABLE, format!("`{name}` names no key: there is no `{key}` {within}"))
            }
            _ => (kinds::UNKNOWN_KEY, format!("unknown key `{key}` {within}")),
        };
        let help = self.meant(entry, &table, keys);
        self.problems.add(kind, &entry.place, message).label("not a key of this table").help(help);
    }

    /// What to write instead.
    fn meant(&mut self, entry: &TableEntry, table: &str, names: &[&str]) -> String {
        let key = entry.key.as_str();
        let variable = if let Place::Variable(name) = &entry.place { Some(name.as_str()) } else { None };
        if let Some(stem) = key.strip_suffix("_file").filter(|stem| names.contains(stem)) {
            let full = self.meant_here(stem);
            return match variable {
                Some(_) => format!("write `{}`", variable_of(&format!("{full}.file"))),
                None => format!("write `{stem} = {{ file = \"…\" }}`"),
            };
        }
        let did_you_mean = |reading: &mut Self, meant: &str| {
            let full = reading.meant_here(meant);
            let written = variable.map(|_| format!(" As a variable: `{}`", variable_of(&full)));
            format!("did you mean `{meant}`?{}", written.unwrap_or_default())
        };
        if let Some(meant) = names.iter().find(|name| squashed(name) == squashed(key)) {
            return did_you_mean(self, meant);
        }
        if let Some(meaning) = foreign::meaning(key) {
            return self.meant_by_others(&meaning, table, variable);
        }
        if let Some(meant) = nearest(key, names.iter().copied()) {
            return did_you_mean(self, meant);
        }
        if let Some(home) = elsewhere(key, table).filter(|home| home != table) {
            let written = variable.map(|_| format!(": write `{}`", variable_of(&format!("{home}.{key}"))));
            return format!("`{key}` belongs under `[{home}]`{}", written.unwrap_or_default());
        }
        if let Some(meant) = variable.and_then(|name| variable_meant(name.strip_prefix(PREFIX).unwrap_or(name))) {
            return format!("did you mean `{meant}`? Two underscores separate the parts of a key");
        }
        format!("the keys here are {}", listed(names.iter().copied()))
    }

    /// A key of the table at hand, whole: it is not reported as missing then.
    fn meant_here(&mut self, name: &str) -> String {
        let full = self.key_of(name);
        self.meant.insert(full.clone());
        full
    }

    /// What a key of another gateway is here.
    fn meant_by_others(&mut self, meaning: &ForeignKey, table: &str, variable: Option<&str>) -> String {
        if meaning.ours.is_empty() {
            return format!("there is nothing to write for it here: {}", meaning.note);
        }
        let keys: Vec<String> = meaning.ours.iter().map(|key| named(key, table)).collect();
        let note = if meaning.note.is_empty() { String::new() } else { format!(": {}", meaning.note) };
        let written = variable.and_then(|_| keys.first()).map(|key| format!(". As a variable: `{}`", variable_of(key)));
        let help =
            format!("here that is {}{note}{}", listed(keys.iter().map(String::as_str)), written.unwrap_or_default());
        self.meant.extend(keys);
        help
    }
}

/// The table that has a key of this name: one of the same section where there is one.
fn elsewhere(name: &str, table: &str) -> Option<String> {
    let section = table.split('.').next().unwrap_or_default();
    let homes = every_key().into_iter().filter_map(|key| {
        let (home, last) = key.rsplit_once('.')?;
        (last == name).then(|| home.to_owned())
    });
    // Of the same section before others, and near the root before deep down.
    let nearest = homes.min_by_key(|home| (home.split('.').next() != Some(section), home.matches('.').count()));
    nearest.map(|home| named(&home, table))
}

/// A key or table with the name of the table at hand in place of `NAME`, where it is of the same section.
fn named(key: &str, table: &str) -> String {
    let mut parts = table.split('.');
    match (parts.next(), parts.next()) {
        (Some(section), Some(name)) if key.starts_with(&format!("{section}.NAME")) => key.replacen("NAME", name, 1),
        _ => key.to_owned(),
    }
}

/// The variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_").replace('.', "__"))
}

/// The variable that was meant by one whose parts are not separated as they should be, or not spelt so; without the prefix.
pub(super) fn variable_meant(rest: &str) -> Option<String> {
    let words: Vec<&str> = rest.split('_').filter(|word| !word.is_empty()).collect();
    let (whole, keys) = (squashed(rest), every_key());
    let plain = || keys.iter().filter(|key| key.contains('.') && !key.contains("NAME"));
    let exact = plain().find(|key| squashed(key) == whole).cloned();
    let exact = exact
        .or_else(|| keys.iter().filter_map(|key| with_name(key, &words)).max_by_key(|key| key.matches('.').count()));
    // Without its section, where only one has such a key.
    let lone = || {
        let mut found = plain().filter(|key| key.rsplit('.').next().is_some_and(|last| squashed(last) == whole));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    let near = || {
        let squeezed: Vec<(String, &String)> = plain().map(|key| (squashed(key), key)).collect();
        let meant = nearest(&whole, squeezed.iter().map(|(text, _)| text.as_str()))?;
        squeezed.iter().find(|(text, _)| text == meant).map(|(_, key)| (*key).clone())
    };
    exact.or_else(lone).or_else(near).map(|key| variable_of(&key))
}

/// A key with a name in it, where the words are its parts in order and leave a word for the name.
fn with_name(key: &str, words: &[&str]) -> Option<String> {
    let (section, rest) = key.split_once(".NAME.")?;
    let (first, others) = words.split_first()?;
    if squashed(first) != section {
        return None;
    }
    (1..others.len()).find_map(|at| {
        let (name, last) = others.split_at_checked(at)?;
        (squashed(&last.concat()) == squashed(rest)).then(|| format!("{section}.{}.{rest}", name.join("_")))
    })
}

/// Keys of later versions, by their section, and what to write instead: known, and never offered.
const RESERVED: [(&str, &str, &str); 3] = [
    ("session", "redis", "sessions live in sealed cookies: leave the table out"),
    ("provider", "preset", "write issuer, or the endpoints, and the claims that differ"),
    ("route", "rule", "say it with allow, access and paths"),
];
/// How the names of our variables begin.
pub(super) const PREFIX: &str = "VESTIBULE__";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_however_its_parts_are_separated_and_spelt() {
        for (rest, meant) in [
            ("SERVER_PUBLICURL", "SERVER__PUBLIC_URL"),
            ("SERVER_PUBLIC_URL", "SERVER__PUBLIC_URL"),
            ("SERVERPUBLICURL", "SERVER__PUBLIC_URL"),
            ("SERVER_PUBLC_URL", "SERVER__PUBLIC_URL"),
            ("SERVER_LIMITS_BODY_BYTES", "SERVER__LIMITS__BODY_BYTES"),
            ("PUBLIC_URL", "SERVER__PUBLIC_URL"),
            ("SESSION_KEYS", "SESSION__KEYS"),
            ("SESSION_COOKIE_NAME", "SESSION__COOKIE__NAME"),
            ("PROVIDER_CORP_CLIENT_ID", "PROVIDER__CORP__CLIENT_ID"),
            ("PROVIDER_MY_CORP_CLIENTID", "PROVIDER__MY_CORP__CLIENT_ID"),
            ("PROVIDER_CORP_CLAIMS_GROUPS", "PROVIDER__CORP__CLAIMS__GROUPS"),
            ("ROUTE_WIKI_ALLOW_GROUPS", "ROUTE__WIKI__ALLOW__GROUPS"),
        ] {
            assert_eq!(variable_meant(rest).as_deref(), Some(format!("{PREFIX}{meant}").as_str()), "{rest}");
        }
        for rest in ["", "_", "HOME", "PROVIDER", "PROVIDER_CLIENT_ID", "QUUX_FROB"] {
            assert_eq!(variable_meant(rest), None, "{rest}");
        }
    }
}
