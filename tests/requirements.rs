//! Holds that `tests/requirements.md` and the ids that `src` and `tests` name agree: each id has a row, each row is named, and
//! what must hold is named beside a test.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TABLE: &str = "tests/requirements.md";

/// Prefixes of the same shape that mean something else: `VB-10` begins the codes of messages.
const NOT_REQUIREMENTS: &[&str] = &["VB"];

#[test]
fn every_id_that_is_named_has_a_row() {
    let rows = rows();
    let missing = places().into_iter().filter(|place| !rows.iter().any(|row| row.id == place.id));
    report(
        missing.map(|place| format!("{}:{} names {}, which has no row in {TABLE}", place.file, place.line, place.id)),
    );
}

#[test]
fn every_row_is_named_by_src_or_tests() {
    let places = places();
    let idle = rows().into_iter().filter(|row| !places.iter().any(|place| place.id == row.id));
    report(idle.map(|row| format!("{TABLE}:{}: {} is named by no file of src or tests", row.line, row.id)));
}

#[test]
fn every_must_and_every_attack_is_named_beside_a_test() {
    let places = places();
    let shown = |row: &Row| places.iter().any(|place| place.in_test && place.id == row.id);
    let bare = rows().into_iter().filter(|row| row.mark != "S" && !shown(row));
    report(bare.map(|row| {
        let (line, id, mark) = (row.line, row.id, row.mark);
        format!(
            "{TABLE}:{line}: {id} is marked {mark}, and no test in tests/it, tests/real, tests/config or src names it"
        )
    }));
}

#[test]
fn rows_are_well_formed_in_order_and_without_gaps() {
    let rows = rows();
    let mut faults = Vec::new();
    for row in &rows {
        let marks: &[&str] = if row.id.starts_with("AT-") { &["A"] } else { &["M", "S"] };
        if !marks.contains(&row.mark.as_str()) || row.cells != 4 {
            faults.push(format!("{TABLE}:{}: want | {} | {} | what | where |", row.line, row.id, marks.join(" or ")));
        }
    }
    for (before, row) in rows.iter().zip(rows.iter().skip(1)) {
        if prefix(&before.id) == prefix(&row.id) && before.id >= row.id {
            faults.push(format!("{TABLE}:{}: {} stands behind {}", row.line, row.id, before.id));
        }
    }
    // Attacks have gaps. A requirement that is neither a row nor left to later was forgotten.
    let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for id in rows.iter().map(|row| row.id.clone()).chain(later()).filter(|id| !id.starts_with("AT-")) {
        numbers.entry(prefix(&id).to_owned()).or_default().push(number(&id));
    }
    for (prefix, mut numbers) in numbers {
        numbers.sort_unstable();
        for (want, found) in (1..).zip(numbers) {
            if want != found {
                faults.push(format!("{TABLE}: {prefix}-{want:02} is missing, or {prefix}-{found:02} stands twice"));
                break;
            }
        }
    }
    report(faults.into_iter());
}

#[test]
fn rows_refer_to_ids_that_exist() {
    let known: Vec<String> = rows().into_iter().map(|row| row.id).chain(later()).collect();
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let named = text.lines().zip(1..).flat_map(|(line, at)| ids(line).into_iter().map(move |id| (id, at)));
    let unknown = named.filter(|(id, _)| !known.contains(id));
    report(unknown.map(|(id, line)| format!("{TABLE}:{line}: there is no {id}")));
}

struct Row {
    id: String,
    mark: String,
    cells: usize,
    line: usize,
}

struct Place {
    id: String,
    file: String,
    line: usize,
    in_test: bool,
}

/// `| CK-12 | M | what it asks | where |`, in every table of the document but that of what is left to later.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let mut rows = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [id, mark, _, ..] = cells.as_slice()
            && ids(id).first().is_some_and(|first| first == id)
        {
            rows.push(Row { id: (*id).to_owned(), mark: (*mark).to_owned(), cells: cells.len(), line: at });
        }
    }
    assert!(rows.len() > 100, "the rows of {TABLE} were not found");
    rows
}

/// `| BE-03 to BE-06 | why |`.
fn later() -> Vec<String> {
    let text = fs::read_to_string(root().join(TABLE)).unwrap();
    let mut later = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 1) {
        let ends = ids(line.split(" | ").next().unwrap());
        if let (Some(first), Some(last)) = (ends.first(), ends.last()) {
            later.extend((number(first)..=number(last)).map(|n| format!("{}-{n:02}", prefix(first))));
        }
    }
    later
}

/// Every place of `src` and `tests` that names an id.
fn places() -> Vec<Place> {
    let mut places = Vec::new();
    let mut open = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.extend((!path.ends_with("node_modules")).then_some(path));
            } else if path.extension().is_some_and(|ext| ext == "rs" || ext == "mjs") {
                let file = path.strip_prefix(root()).unwrap().display().to_string();
                if file != "tests/requirements.rs" {
                    places.extend(places_in(&file, &fs::read_to_string(&path).unwrap()));
                }
            }
        }
    }
    places
}

fn places_in(file: &str, text: &str) -> Vec<Place> {
    let folder_of_tests = ["tests/it/", "tests/real/", "tests/config"].iter().any(|folder| file.starts_with(folder));
    let beside_the_source = file.starts_with("src/") && (file.contains("/tests/") || file.ends_with("tests.rs"));
    let mut in_test = beside_the_source || folder_of_tests && !file.starts_with("tests/it/harness/");
    let mut before = "";
    let mut places = Vec::new();
    for (line, at) in text.lines().zip(1..) {
        in_test |= before.trim() == "#[cfg(test)]" && line.starts_with("mod ") && line.ends_with('{');
        before = line;
        places.extend(ids(line).into_iter().map(|id| Place { id, file: file.to_owned(), line: at, in_test }));
    }
    places
}

/// The ids in a line: one or two groups of two capital letters, and two digits.
fn ids(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let is_id = |word: &&str| {
        let parts: Vec<&str> = word.split('-').collect();
        let letters = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_uppercase());
        let Some((number, groups)) = parts.split_last() else { return false };
        let shape = matches!(groups.len(), 1 | 2) && groups.iter().all(letters) && number.len() == 2;
        shape
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && !NOT_REQUIREMENTS.iter().any(|no| groups.contains(no))
    };
    words.filter(is_id).map(str::to_owned).collect()
}

fn prefix(id: &str) -> &str {
    id.rsplit_once('-').unwrap().0
}

fn number(id: &str) -> u32 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn report(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
