//! Plain words: what users read has none of the words that only this project used in its own way, and lines of Markdown fit a
//! window.

use std::path::{Path, PathBuf};

use crate::support::{Outcome, fisherscape};

/// Words that readers had to decode, and better ones.
const PRIVATE: &[(&str, &str)] = &[
    ("sound", "valid"),
    ("unsound", "not valid"),
    ("mend", "fix, correct"),
    ("mended", "fixed, corrected"),
    ("go on", "resume, continue"),
    ("goes on", "resumes, continues"),
    ("going on", "resuming, continuing"),
    ("went on", "resumed, continued"),
    ("gone on", "resumed, continued"),
    ("beside", "next to, with"),
    ("alone", "only"),
    ("told apart", "distinguished"),
    ("tell apart", "distinguish"),
    ("as many", "the same number of"),
    ("that is none", "that is not one"),
    ("that are none", "that are not any"),
    ("that is no", "that is not a"),
    ("that are no", "that are not"),
    ("which is no", "which is not a"),
    ("which are no", "which are not"),
    ("to turn", "interactive"),
    ("turned round", "reversed"),
    ("turn it round", "reverse it"),
    ("turn them round", "reverse them"),
    ("left out", "ignored, skipped, removed, not shown"),
    ("so many", "this many"),
    ("tell", "print, report, show"),
    ("tells", "prints, reports, shows"),
    ("told", "printed, reported, shown"),
    ("mind the", "check the"),
];

/// Where these words are the field's or plain English.
const FITTING: &[&str] = &["as many as", "examples left out"];

/// Characters of a line of Markdown, but in tables.
const WIDTH: usize = 120;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Lower case, one blank between words, a comma for any other sign; code between backticks is no text.
fn words(text: &str) -> String {
    let outside: Vec<&str> = text.split('`').step_by(2).collect();
    let mut words = String::from(" ");
    for c in outside.join(" , ").to_lowercase().chars() {
        match c {
            c if c.is_alphanumeric() || "'-’".contains(c) => words.push(c),
            c if c.is_whitespace() => words.push(' '),
            _ => words.push_str(" , "),
        }
    }
    words.split_whitespace().fold(String::from(" "), |all, word| all + word + " ")
}

/// The private words of a text, with the better ones.
fn private(text: &str) -> Vec<String> {
    let plain = FITTING.iter().fold(words(text), |plain, fits| plain.replace(&format!(" {fits} "), " , "));
    let found = PRIVATE.iter().filter(|(word, _)| plain.contains(&format!(" {word} ")));
    found.map(|(word, better)| format!("`{word}` (better: {better})")).collect()
}

/// The string literals of a source file that hold several words, without the file's own tests; `{names}` in them are gaps.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("\n#[cfg(test)]\nmod").next().unwrap_or_default();
    let (mut found, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, after) = rest.split_at(at);
        rest = match after.as_bytes()[0] {
            b'/' if after.starts_with("//") => after.split_once('\n').map_or("", |(_, rest)| rest),
            b'"' => {
                let hashes = before.len() - before.trim_end_matches('#').len();
                let raw = before[..before.len() - hashes].ends_with('r');
                let end = if raw { format!("\"{}", "#".repeat(hashes)) } else { "\"".to_string() };
                let length = end_of(&after[1..], &end, raw);
                found.push(after[1..1 + length].to_string());
                &after[1 + length + end.len()..]
            }
            // The character of a quotation mark.
            b'\'' if after.starts_with("'\"'") => &after[3..],
            b'\'' if after.starts_with("'\\") => &after[3..],
            _ => &after[1..],
        };
    }
    found.iter().map(|literal| unescaped(literal)).filter(|literal| literal.contains(' ')).collect()
}

/// Where a literal ends that begins here.
fn end_of(text: &str, end: &str, raw: bool) -> usize {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(end).expect("a literal that does not end");
        let slashes = at - text[..at].trim_end_matches('\\').len();
        if raw || usize::is_multiple_of(slashes, 2) {
            return at;
        }
        from = at + 1;
    }
}

/// What a literal says: broken lines joined, placeholders as gaps.
fn unescaped(literal: &str) -> String {
    let lines: Vec<&str> = literal.split("\\\n").collect();
    let joined: String =
        lines[..1].iter().copied().chain(lines[1..].iter().map(|line| line.trim_start())).collect();
    let mut parts = joined.split('{');
    let first = parts.next().unwrap_or_default().to_string();
    let said =
        parts.fold(first, |all, part| all + " , " + part.split_once('}').map_or(part, |(_, rest)| rest));
    said.replace("\\n", "\n").replace("\\\"", "\"")
}

/// Files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if endings.iter().any(|end| path.to_string_lossy().ends_with(end)) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Blocks of a Markdown file, an analysis or a page: between empty lines, items of lists and rows of tables.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let mut code = false;
    for line in text.lines() {
        let line = line.trim_start().trim_end_matches('\\');
        code ^= line.starts_with("```");
        let begins = line.is_empty() || line.starts_with(['-', '|', '#', '<']);
        match blocks.last_mut() {
            _ if code => {}
            Some(last) if !begins => *last += &format!(" {line}"),
            _ => blocks.push(line.to_string()),
        }
    }
    blocks
}

/// The help of every command.
fn help() -> Outcome<Vec<(String, String)>> {
    let of = |words: &str| -> Outcome<String> {
        Ok(String::from_utf8(fisherscape(words).assert().success().get_output().stdout.clone())?)
    };
    let all = of("--help")?;
    let listed =
        all.split_once("Commands:\n").and_then(|(_, rest)| rest.split_once("\n\n")).ok_or("no commands")?.0;
    let names = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<String> =
        names.filter(|name| !name.is_empty() && *name != "help").map(String::from).collect();
    assert!(names.len() > 15, "{names:?}");
    let mut found = vec![("--help".to_string(), all.clone())];
    for name in names {
        let text = of(&format!("{name} --help"))?;
        found.push((name, text));
    }
    Ok(found)
}

/// Oracle: the list. Catches words that this project used in a sense of its own, in whatever a user reads: help, errors, notes,
/// answers, pages, documents and analyses.
#[test]
fn users_read_plain_words() -> Outcome {
    let mut found = Vec::new();
    let mut read = |place: &str, text: &str| {
        let short: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        found.extend(private(text).iter().map(|word| format!("{place}: {word}: {short}")));
    };
    for (name, text) in help()? {
        text.split("\n\n").for_each(|block| read(&name, block));
    }
    let own =
        |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/");
    let mut literal = 0;
    for path in files("src", &[".rs"]) {
        let place = own(&path);
        if place.ends_with("/tests.rs") {
            continue;
        }
        for text in literals(&std::fs::read_to_string(&path)?) {
            literal += 1;
            read(&place, &text);
        }
    }
    assert!(literal > 1500, "only {literal} literals were found");
    let mut texts =
        [files("docs", &[".md"]), files("analyses", &[".toml"]), files("src/page", &[".html"])].concat();
    texts.extend(["README.md", "figures/README.md"].map(|name| root().join(name)));
    for path in texts {
        blocks(&std::fs::read_to_string(&path)?).iter().for_each(|block| read(&own(&path), block));
    }
    assert!(found.is_empty(), "{} private words:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// Oracle: by hand. The test above is only as good as what it reads.
#[test]
fn literals_are_found() {
    let source = "let a = f(\"one \\\n    {sound} two\", '\"', b'\\''); // \"not this\"\nlet b = r#\"raw \"text\"#;\nlet c = \"a \\\"b\\\" c\";\n\
                  #[cfg(test)]\nmod tests { \"not that either\" }";
    assert_eq!(literals(source), ["one  ,  two", "raw \"text", "a \"b\" c"]);
    assert_eq!(
        private("A sound, mended file: `go on`."),
        ["`sound` (better: valid)", "`mended` (better: fixed, corrected)"]
    );
    assert!(private("at least as many as there are, sound-proof").is_empty());
}

/// Oracle: the lines. Tables may be wider: a row cannot be broken.
#[test]
fn lines_of_markdown_fit_a_window() -> Outcome {
    let mut paths = files("docs", &[".md"]);
    paths.extend(["README.md", "CONTRIBUTING.md", "figures/README.md"].map(|name| root().join(name)));
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths {
        for (number, line) in (1..).zip(std::fs::read_to_string(&path)?.lines()) {
            let (long, row) = (line.chars().count(), line.trim_start().starts_with('|'));
            assert!(row || long <= WIDTH, "{}:{number}: {long} characters", path.display());
        }
    }
    Ok(())
}
