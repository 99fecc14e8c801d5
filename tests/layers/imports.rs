//! Which file names items of which other, read from the sources as text: paths in `use` and in the code, re-exports followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files by their module path (`gateway::pages`), without tests.
pub(crate) struct Tree(BTreeMap<String, File>);

struct File {
    /// Paths that it names, as written.
    named: BTreeSet<String>,
    /// Names that it re-exports, and from where.
    reexported: BTreeMap<String, String>,
    /// Names of the items that it defines.
    defined: BTreeSet<String>,
}

impl Tree {
    pub(crate) fn read(sources: &[(PathBuf, String)]) -> Self {
        let files = sources.iter().filter(|(path, _)| !is_test(path));
        let known =
            files.map(|(path, text)| (module_of(path), File::read(text))).filter(|(module, _)| !module.is_empty());
        Self(known.collect())
    }

    /// The files that lie on a circle, by room.
    pub(crate) fn circles(&self) -> BTreeMap<String, BTreeSet<String>> {
        let edges: BTreeMap<&str, BTreeSet<String>> =
            self.0.keys().map(|module| (module.as_str(), self.names_of(module))).collect();
        let mut circles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in self.0.keys() {
            if reachable(&edges, module).contains(module) {
                circles.entry(room(module).to_owned()).or_default().insert(module.clone());
            }
        }
        circles
    }

    /// The other files of the same room whose items a file names.
    fn names_of(&self, module: &str) -> BTreeSet<String> {
        let found = self.0[module].named.iter().filter_map(|path| self.defining(module, path, 0));
        found.filter(|other| other != module && room(other) == room(module)).collect()
    }

    /// The file that defines what a path names, as seen from a module.
    fn defining(&self, module: &str, path: &str, depth: usize) -> Option<String> {
        let parts = absolute(module, path)?;
        let at = (1..=parts.len()).rev().find(|at| self.0.contains_key(&parts[..*at].join("::")))?;
        let found = parts[..at].join("::");
        // A module that is named as such points nowhere: what is used of it is named behind it.
        let item = parts.get(at)?;
        let file = &self.0[&found];
        match file.reexported.get(item) {
            Some(from) if !file.defined.contains(item) && depth < MOST_REEXPORTS => {
                self.defining(&found, from, depth + 1)
            }
            _ => Some(found),
        }
    }
}

impl File {
    fn read(text: &str) -> Self {
        let code = without_comments_and_tests(text);
        let (mut named, mut reexported, mut modules) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut rest = String::new();
        for statement in code.split_inclusive(';') {
            let Some((before, import)) = import_of(statement) else {
                rest.push_str(statement);
                continue;
            };
            rest.push_str(before);
            let public = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')');
            for path in flattened(import) {
                let (path, alias) = path.split_once(" as ").unwrap_or((&path, &path));
                let name = alias.rsplit("::").next().unwrap().to_owned();
                if public {
                    assert_ne!(name, "*", "a re-export is followed by its name: write the names of `{import}`");
                    reexported.insert(name, path.to_owned());
                } else {
                    modules.insert(name, path.to_owned());
                    named.insert(path.to_owned());
                }
            }
        }
        named.extend(paths_in(&rest, &modules));
        Self { named, reexported, defined: defined_in(&rest) }
    }
}

/// `use` and what stands before it, in a statement that is an import.
fn import_of(statement: &str) -> Option<(&str, &str)> {
    let at = statement.rfind("use ")?;
    let (before, import) = statement.split_at(at);
    let begins = before.trim_end().is_empty()
        || before.trim_end().ends_with(['}', ';', ')', ']', '{'])
        || before.trim_end().ends_with("pub");
    begins.then(|| (before, import.trim_start_matches("use ").trim_end_matches(';').trim()))
}

/// `a::{b, c::{d, self}}` as `a::b`, `a::c::d`, `a::c`.
fn flattened(import: &str) -> Vec<String> {
    let Some((prefix, group)) = import.split_once('{') else { return vec![import.trim().to_owned()] };
    let (prefix, group) = (prefix.trim().trim_end_matches("::"), group.trim_end().strip_suffix('}').unwrap_or(group));
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for sign in group.chars().chain([',']) {
        match sign {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(sign == '{') - i32::from(sign == '}');
                part.push(sign);
            }
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts
        .flat_map(flattened)
        .map(|part| if part == "self" { prefix.to_owned() } else { format!("{prefix}::{part}") })
        .collect()
}

/// Paths in the code: from the root, or behind a module that was imported.
fn paths_in(code: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == ':';
    let words = code.split(|sign| !is_name(sign)).filter(|word| word.contains("::"));
    words
        .filter_map(|word| {
            let (first, behind) = word.split_once("::")?;
            match first {
                "crate" | "super" | "self" => Some(word.to_owned()),
                _ => modules.get(first).map(|path| format!("{path}::{behind}")),
            }
        })
        .collect()
}

fn defined_in(code: &str) -> BTreeSet<String> {
    let kinds = ["struct", "enum", "trait", "type", "fn", "static", "const", "union", "macro_rules!"];
    let words: Vec<&str> = code.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| kinds.contains(&pair[0]));
    pairs
        .map(|pair| pair[1].chars().take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '_').collect())
        .collect()
}

fn without_comments_and_tests(text: &str) -> String {
    let begins_tests = |line: &str, next: &str| {
        line == "#[cfg(test)]" && (next.starts_with("#[") || next.split_whitespace().any(|word| word == "mod"))
    };
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.windows(2).position(|pair| begins_tests(pair[0], pair[1])).unwrap_or(lines.len());
    let lines: Vec<&str> =
        lines.iter().take(end).map(|line| line.split_once("//").map_or(*line, |(code, _)| code)).collect();
    lines.join("\n")
}

fn reachable(edges: &BTreeMap<&str, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = open.pop() {
        for next in edges.get(module.as_str()).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The parts of a path from the root of the crate; `None` for what is of another crate.
fn absolute(module: &str, path: &str) -> Option<Vec<String>> {
    let mut here: Vec<String> = module.split("::").map(str::to_owned).collect();
    let mut parts: Vec<String> = path.split("::").map(str::to_owned).collect();
    match parts[0].as_str() {
        "crate" => Some(parts.split_off(1)),
        "self" => Some([here, parts.split_off(1)].concat()),
        "super" => {
            while parts.first().is_some_and(|part| part == "super") {
                here.pop();
                parts.remove(0);
            }
            Some([here, parts].concat())
        }
        // A module of this file: `groups::GroupShape`.
        _ => Some([here, parts].concat()),
    }
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// `src/proxy/pool.rs` is `proxy::pool`, `src/proxy/mod.rs` is `proxy`; the crate's own roots are nothing.
fn module_of(path: &Path) -> String {
    let parts: Vec<String> =
        path.iter().skip(1).map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    let parts: Vec<String> = parts.into_iter().filter(|part| part != "mod").collect();
    if parts == ["lib"] || parts == ["main"] { String::new() } else { parts.join("::") }
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| {
        let part = part.to_string_lossy();
        let part = part.trim_end_matches(".rs");
        part == "tests" || part == "samples" || part.ends_with("_tests")
    })
}

const MOST_REEXPORTS: usize = 6;

#[test]
fn paths_are_read_as_rust_reads_them() {
    assert_eq!(
        flattened("crate::a::{self, b, c::{d, e as f}}"),
        ["crate::a", "crate::a::b", "crate::a::c::d", "crate::a::c::e as f"]
    );
    let sources = [
        ("src/room/mod.rs", "mod one;\nmod two;\npub use self::one::One;\n"),
        ("src/room/one.rs", "use super::two::two;\npub struct One;\nfn f() { two() }\n"),
        ("src/room/two.rs", "// crate::room::nothing\npub fn two() -> crate::room::One { todo() }\n"),
        (
            "src/room/three.rs",
            "use crate::room::one;\nfn f(_: one::One) {}\n#[cfg(test)]\nmod tests { use crate::room::four::X; }\n",
        ),
        ("src/room/four.rs", "use crate::room::three::f;\npub struct X;\n"),
    ];
    let sources: Vec<_> = sources.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let tree = Tree::read(&sources);
    let names = |module: &str| tree.names_of(module).into_iter().collect::<Vec<_>>();
    assert_eq!(names("room::two"), ["room::one"], "through the re-export");
    assert_eq!(names("room::three"), ["room::one"], "through the module, and without the tests");
    assert_eq!(names("room::four"), ["room::three"]);
    assert_eq!(names("room"), [""; 0], "a re-export names nothing");
    let circle = BTreeSet::from(["room::one".to_owned(), "room::two".to_owned()]);
    assert_eq!(tree.circles(), BTreeMap::from([("room".to_owned(), circle)]));
}
