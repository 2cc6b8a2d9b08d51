//! What a newcomer reads is there, and says what the files hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder whose names end so, but for what git ignores.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let ignored = [".git", "target", "quickstart"].map(|name| root().join(name));
    for path in entries {
        if path.is_dir() && !ignored.contains(&path) {
            files(&path, endings, found);
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
}

fn files_of(folders: &[&str], endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| files(&root().join(folder), endings, &mut found));
    found
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Between backticks, in order.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Headings of a Markdown file, without the marks.
fn headings(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim().to_string()))
        .collect()
}

/// Oracle: the files themselves. A comment that sends the reader to a document, or to a section of one, names one that is
/// there.
#[test]
fn comments_name_documents_and_sections_that_exist() {
    let mut found = 0;
    for path in files_of(&["src", "tests", "benches", "examples", "analyses"], &[".rs", ".py", ".toml"]) {
        let source = text(&path);
        let mark = if path.extension().is_some_and(|e| e == "rs") { "//" } else { "#" };
        // Joined, so that a reference may be broken over two lines.
        let comments = source.lines().filter_map(|line| line.trim_start().strip_prefix(mark));
        let comments = comments.map(|line| line.trim_start_matches(['/', '!'])).collect::<Vec<_>>().join(" ");
        let words: Vec<&str> = comments.split_whitespace().collect();
        for (i, word) in words.iter().enumerate() {
            let name = word.trim_matches(|c: char| !c.is_alphanumeric());
            let is_path = name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            if !(is_path && name.ends_with(".md")) {
                continue;
            }
            let document = root().join(name);
            assert!(document.exists(), "{}: {name} is not in the repository", path.display());
            if words.get(i + 1) == Some(&"section") {
                let number: String = words[i + 2].chars().take_while(char::is_ascii_digit).collect();
                let there = headings(&text(&document)).iter().any(|h| h.starts_with(&format!("{number}. ")));
                assert!(there, "{}: {name} has no section {number}", path.display());
            }
            found += 1;
        }
    }
    assert!(found >= 29, "only {found} references were found");
}

/// Oracle: the file system. Links of every Markdown file to files of the repository, and to headings in them.
#[test]
fn links_lead_to_files_and_headings() {
    let mut found = 0;
    for path in files_of(&[""], &[".md"]) {
        let page = text(&path);
        for after in page.split("](").skip(1) {
            let target = after.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target} leads nowhere", path.display());
            if !heading.is_empty() {
                let there = headings(&text(&file)).iter().any(|own| anchor(own) == heading);
                assert!(there, "{}: {target} names no heading", path.display());
            }
            found += 1;
        }
    }
    assert!(found > 50, "only {found} links were found");
}

/// As GitHub makes it: lower case, blanks to hyphens, other signs left out.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

/// A CSV file as docs/formats.md has it.
struct Documented {
    heading: String,
    /// Where such files lie in a run's folder; `*` stands for any name.
    places: Vec<String>,
    columns: Vec<String>,
}

/// The sections of docs/formats.md that name the place of a CSV, and the metrics of its first table.
fn documented() -> (Vec<Documented>, Vec<String>) {
    let page = text(&root().join("docs/formats.md"));
    let mut sections: Vec<Documented> = Vec::new();
    let (mut metrics, mut table) = (Vec::new(), "");
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim().to_string();
            sections.push(Documented { heading, places: Vec::new(), columns: Vec::new() });
        }
        let Some(cells) = line.strip_prefix('|') else {
            table = "";
            if let Some(section) = sections.last_mut() {
                let places = quoted(line).into_iter().filter(|q| q.contains('/') && q.ends_with(".csv"));
                section.places.extend(places.map(String::from));
            }
            continue;
        };
        let first = cells.split('|').next().unwrap_or_default().trim();
        match (table, sections.last_mut()) {
            ("", _) => table = first,
            ("metric", _) => metrics.extend(quoted(first).into_iter().map(String::from)),
            ("column", Some(section)) => section.columns.extend(quoted(first).into_iter().map(String::from)),
            _ => {}
        }
    }
    sections.retain(|section| !section.columns.is_empty());
    (sections, metrics)
}

/// Whether a name fits a pattern in which `*` stands for any characters but `/`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            fits(rest, name) || matches!(name, [c, others @ ..] if *c != b'/' && fits(pattern, others))
        }
        ([p, pattern @ ..], [c, name @ ..]) => p == c && fits(pattern, name),
        _ => false,
    }
}

/// Whether a column is one of those that a name in capitals stands for.
fn stands_for(capitals: &str, column: &str, metrics: &[String]) -> bool {
    let metric = |text: &str, task: bool| {
        metrics
            .iter()
            .any(|m| text == m || task && text.strip_suffix(m.as_str()).is_some_and(|t| t.ends_with('_')))
    };
    match capitals.strip_prefix("TASK_METRIC") {
        Some(ending) => column.strip_suffix(ending).is_some_and(|stem| metric(stem, true)),
        None if capitals == "METRIC" => metric(column, false),
        None => capitals == "AXIS" && column.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
    }
}

/// Oracle: the gallery, which the program wrote. Every column of every CSV file there is named in docs/formats.md, in the order
/// of the file; and every column named there is in some file, or in the schema that writes files of that name, but for those
/// that only another kind of data has.
#[test]
fn formats_name_every_column_of_the_gallery() {
    let (sections, metrics) = documented();
    assert!(metrics.len() >= 6, "{metrics:?}");
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let files = files_of(&["figures"], &[".csv"]);
    assert!(files.len() > 1000, "only {} files", files.len());
    for path in files {
        let place = path.strip_prefix(root().join("figures")).unwrap().to_string_lossy().replace('\\', "/");
        let place = place.split_once('/').unwrap().1;
        let place = place.strip_prefix("cells/").map_or(place, |cell| cell.split_once('/').unwrap().1);
        // Of several patterns the one with the most letters.
        let pattern = sections
            .iter()
            .flat_map(|section| section.places.iter().map(move |pattern| (section, pattern)))
            .filter(|(_, pattern)| fits(pattern.as_bytes(), place.as_bytes()))
            .max_by_key(|(_, pattern)| pattern.chars().filter(|c| *c != '*').count());
        let Some((section, _)) = pattern else { panic!("{place} is not in docs/formats.md") };
        let content = text(&path);
        let header: Vec<&str> = content.lines().next().unwrap().split(',').collect();
        let mut last = None;
        for column in header {
            match section.columns.iter().position(|known| known == column) {
                Some(at) => {
                    assert!(last < Some(at), "{place}: {column} stands elsewhere under {}", section.heading);
                    last = Some(at);
                    seen.entry(&section.heading).or_default().push(column.to_string());
                }
                None => {
                    let known = section.columns.iter().any(|known| stands_for(known, column, &metrics));
                    assert!(known, "{place}: {column} is not under {} in docs/formats.md", section.heading);
                }
            }
        }
    }
    for section in &sections {
        let nothing = Vec::new();
        let seen = seen.get(section.heading.as_str()).unwrap_or(&nothing);
        let capitals = |column: &str| column.chars().next().is_some_and(char::is_uppercase);
        let named = |file: &str| section.places.iter().any(|place| place.rsplit('/').next() == Some(file));
        let schemas = fisherscape::tables::ALL.iter().filter(|schema| named(schema.file));
        let written: Vec<&str> = schemas.flat_map(|schema| schema.columns().iter().copied()).collect();
        for column in section.columns.iter().filter(|column| !capitals(column)) {
            assert!(
                seen.contains(column) || written.contains(&column.as_str()),
                "no file has the column {column} of {}",
                section.heading
            );
        }
    }
}

/// Oracle: the file system. Paths of the source that the documents name.
#[test]
fn documents_name_source_files_that_exist() {
    let folders = ["src/", "tests/", "examples/", "benches/", "docs/", "analyses/", "figures/"];
    let pages =
        ["architecture", "cluster", "definitions", "formats", "guide", "questions", "reading", "reliability"]
            .map(|name| format!("docs/{name}.md"));
    for page in ["README.md", "CONTRIBUTING.md"].into_iter().chain(pages.iter().map(String::as_str)) {
        for name in text(&root().join(page)).lines().flat_map(quoted) {
            let path = folders.iter().any(|folder| name.starts_with(folder))
                && !name.contains(['*', ' ', '{', '<', '…'])
                && !name.contains("NAME");
            assert!(!path || root().join(name).exists(), "{page}: {name} is not there");
        }
    }
}
