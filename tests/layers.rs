//! The house rules that no compiler checks: layers, module documents, sizes, and the names that are kept out.
//!
//! `LAYERS` is the table of the architecture: an import may point to a lower line only. The table and the code change together.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests say what they expect by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Rooms on one line never import each other.
const LAYERS: &[&[&str]] = &[
    &[
        "budget",
        "byte_stream",
        "clock",
        "codes",
        "flood",
        "followed",
        "hex",
        "keep_alive",
        "local_executor",
        "nearest",
        "secret",
        "single_flight",
        "stall",
        "tls_version",
        "trace",
        "trust",
    ],
    &["backoff", "body", "control", "identity", "pem", "request", "telemetry"],
    &["remembered", "seal"],
    &["policy", "provider", "proxy", "server"],
    &["session"],
    &["gateway"],
    &["config"],
    &["app"],
    &["cli", "demo"],
    &["main"],
];

/// Edges against the table, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("cli", "demo", "the command starts the provider and the application that the demo is made of")];

const LONGEST_FILE: usize = 500;

#[path = "layers/imports.rs"]
mod imports;

#[test]
fn imports_point_downward_only() {
    let height: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(at, rooms)| rooms.iter().map(move |room| (*room, at))).collect();
    let mut wrong = BTreeSet::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        if room == "lib" {
            continue;
        }
        let from = *height.get(room.as_str()).unwrap_or_else(|| panic!("src/{room} is not in the layer table"));
        for used in rooms_used(&text, &room) {
            let Some(to) = height.get(used.as_str()) else { continue };
            let excused = EXCEPTIONS.iter().any(|(a, b, _)| *a == room && *b == used);
            if used != room && *to >= from && !excused {
                wrong.insert(format!("{}: {room} imports {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point upward or sideways:\n{}", join(&wrong));
}

/// Nodes are files; a file points to another when it names an item of it, re-exports followed. A line `mod` points nowhere.
#[test]
fn no_room_holds_a_circle() {
    let tree = imports::Tree::read(&sources());
    let circles: BTreeMap<String, BTreeSet<String>> = tree.circles();
    assert!(circles.is_empty(), "files that name each other in a circle: {circles:#?}");
}

/// The check above is worth what it finds: here a circle in the real tree that goes through a re-export.
#[test]
fn a_circle_that_is_planted_is_found() {
    let mut sources = sources();
    let names = "//! Planted.\nuse crate::provider::SignIn;\npub struct Planted(SignIn);\n".to_owned();
    sources.push((PathBuf::from("src/provider/planted.rs"), names));
    let exchange = sources.iter_mut().find(|(path, _)| path.ends_with("provider/exchange.rs")).unwrap();
    exchange.1 = exchange.1.replacen("\nuse ", "\nuse crate::provider::planted::Planted;\nuse ", 1);
    let circles = imports::Tree::read(&sources).circles();
    let found = circles.get("provider").unwrap();
    assert!(found.contains("provider::planted") && found.contains("provider::exchange"), "{found:?}");
}

#[test]
fn every_room_stands_in_the_table() {
    let known: BTreeSet<&str> = LAYERS.iter().flat_map(|rooms| rooms.iter().copied()).collect();
    let found: BTreeSet<String> =
        sources().iter().map(|(path, _)| room_of(path)).filter(|room| room != "lib").collect();
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, known);
}

#[test]
fn the_tour_shows_the_same_table() {
    let tour = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    // `//! | 2 | [`seal`] | what it is for |`: the second column names the rooms of a line, from the top down.
    let rows = tour.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let shown: Vec<BTreeSet<&str>> = rows
        .filter(|(line, _)| line.parse::<u8>().is_ok())
        .filter_map(|(_, row)| row.split(" | ").next())
        .map(|rooms| rooms.split(['[', ']', '`', ',', ' ']).filter(|room| !room.is_empty()).collect())
        .collect();
    let table: Vec<BTreeSet<&str>> = LAYERS.iter().rev().map(|rooms| rooms.iter().copied().collect()).collect();
    assert_eq!(shown, table);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let bare: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(bare.is_empty(), "files without a module document:\n{}", join(&bare));
}

#[test]
fn no_file_is_longer_than_one_purpose_needs() {
    let long: BTreeSet<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{}: {lines} lines before its tests", path.display()))
        .collect();
    assert!(long.is_empty(), "files over {LONGEST_FILE} lines:\n{}", join(&long));
}

#[test]
fn no_module_is_named_for_nothing() {
    let vague = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "types", "constants"];
    let found: BTreeSet<String> = sources()
        .into_iter()
        .filter(|(path, _)| path.iter().any(|part| vague.contains(&part.to_string_lossy().trim_end_matches(".rs"))))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "a shared thing gets a noun and a layer:\n{}", join(&found));
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// `src/proxy/pool.rs` and `src/proxy.rs` are both in the room `proxy`.
fn room_of(path: &Path) -> String {
    path.iter().nth(1).unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Every room that a file names as `crate::ROOM`, tests included; the program names the library as `vestibule::ROOM`.
fn rooms_used(text: &str, room: &str) -> BTreeSet<String> {
    let lead = if room == "main" { "vestibule::" } else { "crate::" };
    let mut used = BTreeSet::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        for (at, _) in line.match_indices(lead) {
            let rest = &line[at + lead.len()..];
            let names = rest.strip_prefix('{').map_or(rest, |group| group.split('}').next().unwrap_or(group));
            for name in names.split(',') {
                let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                used.insert(name);
            }
        }
    }
    used
}

fn join(lines: &BTreeSet<String>) -> String {
    lines.iter().cloned().collect::<Vec<_>>().join("\n")
}
