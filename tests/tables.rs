//! Tables and texts as people have them: what a file is, what its labels are, what is refused and how.

use std::io::Write;

use assert_cmd::Command;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::glue::{self, Split, Task};
use fisherscape::data::labels::Labels;
use fisherscape::data::row::{Reason, RowLabel, Rows};
use fisherscape::data::{table, text};
use fisherscape::error::Result;

use crate::support::{Outcome, fixture};

/// The texts of make_rows.py.
const TEXTS: [&str; 4] =
    ["a fine, bright film", "dull; and far too long", "café scenes | of no use", "it rains in łódź"];

fn texts(rows: &Rows) -> Vec<&str> {
    rows.rows.iter().map(|row| row.text.as_str()).collect()
}

fn labels(rows: &Rows) -> Vec<RowLabel> {
    rows.rows.iter().map(|row| row.label.clone()).collect()
}

fn classes(of: &[usize]) -> Vec<RowLabel> {
    of.iter().map(|class| RowLabel::Class(*class)).collect()
}

fn missing(rows: &Rows) -> Vec<u64> {
    rows.skipped.iter().filter(|row| row.reason == Reason::NoLabel).map(|row| row.line).collect()
}

/// Reads a table of these labels, one a line.
fn of_labels(labels: &[&str], wanted: Option<Labels>) -> Result<Rows> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tsv");
    let lines: String = labels.iter().map(|label| format!("{label}\tsome text\n")).collect();
    std::fs::write(&path, format!("l\ts\n{lines}")).unwrap();
    table::read(&path, &"s,l".parse()?, wanted)
}

fn says(message: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(message.contains(part), "no `{part}` in: {message}"));
}

/// Oracle: the table that make_rows.py wrote with pandas, as literals. Catches a separator, an encoding, a codec or a form of
/// JSON that is taken for another: then texts have other columns in them, or none.
#[test]
fn one_table_is_the_same_in_every_form_that_pandas_writes() -> Result<()> {
    let files = [
        ("moods.csv", ""),
        ("moods.tsv", ""),
        ("semicolons.csv", "columns between semicolons; "),
        ("bars.txt", "columns between vertical bars; "),
        ("tabs.csv", "columns between tabs; "),
        ("commas.txt", "columns between commas; "),
        ("mark.csv", ""),
        ("utf16.csv", ""),
        ("utf16le.tsv", ""),
        ("utf16be.csv", "columns between semicolons; "),
        ("moods.csv.gz", ""),
        ("moods.jsonl", "JSON; "),
        ("moods.json", "JSON; "),
        ("none.parquet", "a parquet table; "),
        ("snappy.parquet", "a parquet table; "),
        ("gzip.parquet", "a parquet table; "),
        ("zstd.parquet", "a parquet table; "),
        ("brotli.parquet", "a parquet table; "),
        ("lz4.parquet", "a parquet table; "),
    ];
    for (name, form) in files {
        let rows = table::read(&fixture("rows").join(name), &"text,mood".parse()?, None)?;
        assert_eq!(texts(&rows), TEXTS, "{name}");
        assert_eq!(
            (labels(&rows), &rows.classes[..]),
            (classes(&[1, 0, 0, 1]), &["bad".into(), "good".into()][..])
        );
        let why = "text from `text`, labels from `mood`: 2 classes: labels are names, as not all are numbers";
        assert_eq!(rows.read_as, format!("{form}{why}"), "{name}");
        // Its texts alone.
        let rows = text::read(&[fixture("rows").join(name)], Some(&"text".parse()?), 4)?;
        assert_eq!((texts(&rows), rows.short), (TEXTS.to_vec(), 0), "{name}");
    }
    // A shard is not the whole, which is said.
    let folder = tempfile::tempdir().unwrap();
    let shard = folder.path().join("train-00000-of-00002.parquet");
    std::fs::copy(fixture("rows/none.parquet"), &shard).unwrap();
    says(
        &table::read(&shard, &"text,mood".parse()?, None)?.read_as,
        &["one of 2 parts, and only this part is read"],
    );
    for name in ["text.txt", "text16.txt", "text.txt.gz"] {
        let rows = text::read(&[fixture("rows").join(name)], None, 5)?;
        assert_eq!((texts(&rows), rows.short), (TEXTS[1..3].to_vec(), 2), "{name}");
    }
    Ok(())
}

/// Oracle: the columns of make_rows.py, written by pandas. `None` stands for a row without a label. Catches zero and negative
/// numbers that the parquet library writes with an exponent, and names of categories that are read as their codes.
#[test]
fn labels_of_every_type_are_read_from_parquet() -> Result<()> {
    let path = fixture("rows/labels.parquet");
    let read = |label: &str, wanted| table::read(&path, &format!("text,{label}").parse()?, wanted);
    // A column, its classes, the class of each row, and the rows without a label.
    type Case<'a> = (&'a str, &'a [&'a str], &'a [usize], &'a [u64]);
    let cases: [Case; 5] = [
        ("words", &["a", "b"], &[1, 0, 1], &[3]),
        ("category", &["a", "b"], &[1, 0, 1, 0], &[]),
        ("bool", &["false", "true"], &[1, 0, 0, 1], &[]),
        ("int8", &["0", "1", "2"], &[2, 0, 1, 2], &[]),
        ("uint64", &["0", "1", "2"], &[2, 0, 1, 2], &[]),
    ];
    for (name, names, expected, none) in cases {
        let rows = read(name, None)?;
        assert_eq!((&rows.classes[..], labels(&rows)), (&names.map_owned()[..], classes(expected)), "{name}");
        assert_eq!(missing(&rows), none, "{name}");
    }
    let values = |values: &[f32]| values.iter().map(|value| RowLabel::Value(*value)).collect::<Vec<_>>();
    assert_eq!(labels(&read("rating", None)?), values(&[0.0, -1.5, 2.25, 1e-7]));
    let double = read("double", None)?;
    assert_eq!((labels(&double), missing(&double)), (values(&[0.0, -1.5, 2.25]), vec![4]));
    // Integers of which one is missing: pandas makes them 1.0 and 0.0.
    let message = read("with_missing", None).unwrap_err().to_string();
    says(&message, &["labels.parquet", "`with_missing`", "2 whole numbers with a point", "--labels classes"]);
    let rows = read("with_missing", Some(Labels::Classes))?;
    assert_eq!(
        (labels(&rows), &rows.classes[..], missing(&rows)),
        (classes(&[1, 0, 1]), &["0", "1"].map_owned()[..], vec![3])
    );
    assert_eq!(labels(&read("with_missing", Some(Labels::Regression))?), values(&[1.0, 0.0, 1.0]));
    let message = read("several", None).unwrap_err().to_string();
    says(&message, &["`several` must be a column of one label a row", "lists"]);
    let message = read("hidden", None).unwrap_err().to_string();
    says(&message, &["`hidden`", "4 × no label", "--text"]);
    Ok(())
}

/// `&[&str]` as owned text.
trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| text.to_string()).collect()
    }
}

/// Oracle: each column read by hand. Catches a guess where labels could be two things, and a missing label that becomes a class.
#[test]
fn labels_are_what_they_plainly_are_or_a_question() -> Result<()> {
    let none = of_labels(&["1", "", "nan", "NaN", "None", "null", "-100", "0"], None)?;
    assert_eq!((labels(&none), missing(&none)), (classes(&[1, 0]), vec![3, 4, 5, 6, 7, 8]));
    says(&none.left_out().unwrap(), &["6 × no label"]);
    // -1 among others is a label; alone it says that there is none.
    let minus = of_labels(&["1", "-1", "1"], None)?;
    assert_eq!((labels(&minus), missing(&minus).len()), (classes(&[1, 0, 1]), 0));
    says(&minus.read_as, &["2 classes", "below 0 is a label like the others"]);
    says(&of_labels(&["-1", "-1"], None).unwrap_err().to_string(), &["2 × no label"]);
    // Questions and refusals.
    let refused: [(&[&str], &[&str]); 12] = [
        (
            &["1.0", "0.0", "1.0", "", "0.0"],
            &["2 whole numbers with a point, such as 0.0", "--labels regression"],
        ),
        (&["3.0", "n/a", "1.0"], &["2 whole numbers with a point"]),
        (&["0|1", "0", "1"], &["one label a row", "`0|1`", "several"]),
        (&["0,1", "2,3"], &["`0,1`", "A decimal comma must be a point"]),
        (&["0 2", "1"], &["`0 2`"]),
        (&["['a', 'b']", "['a']"], &["several"]),
        (&["[0, 1]", "[1, 0]"], &["several"]),
        (&["joy|anger", "joy", "anger|fear", "fear"], &["`anger|fear`"]),
        (&["a; b", "b; c", "c; a"], &["`a; b`"]),
        (&["1", "1"], &["at least 2 classes", "only `1`"]),
        (&["good", "good", ""], &["at least 2 classes", "only `good`"]),
        (&["0", "2000000000"], &["10000 classes", "2000000000"]),
    ];
    for (column, parts) in refused {
        let message = of_labels(column, None).unwrap_err().to_string();
        says(&message, &[&["a.tsv: `l` must be", "fix:"], parts].concat());
    }
    // What only looks like it.
    let names = of_labels(&["Business, economy", "New York, NY", "Sport", "Albany, NY"], None)?;
    assert_eq!(names.classes.len(), 4);
    let asked = of_labels(&["a; b", "b; c", "c; a"], Some(Labels::Classes))?;
    assert_eq!(asked.classes, ["a; b", "b; c", "c; a"]);
    let many: Vec<String> = (0..30).map(|n| format!("{n}.0")).collect();
    let many = of_labels(&many.iter().map(String::as_str).collect::<Vec<_>>(), None)?;
    assert_eq!(many.rows[29].label, RowLabel::Value(29.0));
    says(&many.read_as, &["a regression on 30 numbers: they are written with a point, and many"]);
    // As the user says.
    assert_eq!(labels(&of_labels(&["2.0", "0", "1.0"], Some(Labels::Classes))?), classes(&[2, 0, 1]));
    let values = of_labels(&["3", "1", "x"], Some(Labels::Regression))?;
    assert_eq!(labels(&values), [RowLabel::Value(3.0), RowLabel::Value(1.0)]);
    let message = of_labels(&["good", "bad", "1"], Some(Labels::Regression)).unwrap_err().to_string();
    says(&message, &["numbers, as --labels regression says", "1 numbers among 3 labels"]);
    Ok(())
}

/// Oracle: the first bytes that each format defines. Catches garbage that is echoed as the names of columns, or read.
#[test]
fn files_of_other_kinds_are_named_with_the_way_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"PAR1 and more")?;
    let packed = packed.finish()?;
    let starts: [(&[u8], &str); 14] = [
        (b"PK\x03\x04\x14\x00", "Excel workbook or a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel"),
        (b"\x28\xb5\x2f\xfd\x04", "zstd -d"),
        (b"BZh91AY&SY", "bunzip2"),
        (b"\xfd7zXZ\x00\x00", "xz -d"),
        (b"ARROW1\x00\x00", "Arrow or Feather"),
        (b"\xff\xff\xff\xff\x10\x00", "to_parquet"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x80\x04\x95\x10", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>Too many requests</body></html>", "web page"),
        (b"\x01\x00\x02abc", "begins with 01 00 02"),
        (&packed, "a parquet table inside gzip"),
    ];
    let path = folder.path().join("a.csv");
    for (bytes, part) in starts {
        std::fs::write(&path, bytes)?;
        let table = table::read(&path, &"s,l".parse()?, None).unwrap_err().to_string();
        let text = text::read(std::slice::from_ref(&path), None, 1).unwrap_err().to_string();
        [table, text].iter().for_each(|message| says(message, &["a.csv: `content`", part, "fix:"]));
    }
    // UTF-16 that was cut.
    std::fs::write(&path, b"\xff\xfes\x00,\x00l")?;
    says(&table::read(&path, &"s,l".parse()?, None).unwrap_err().to_string(), &["whole UTF-16", "cut"]);
    Ok(())
}

/// Oracle: the message must name the way on: a table given as text is not read line by line, with its braces.
#[test]
fn a_table_given_as_text_is_asked_for_its_column() -> Outcome {
    for (name, part) in [("moods.jsonl", "a table in JSON"), ("zstd.parquet", "a parquet table")] {
        let message = text::read(&[fixture("rows").join(name)], None, 1).unwrap_err().to_string();
        says(&message, &[name, part, "--columns NAME", "--table FILE"]);
    }
    let read = |name: &str, columns: &str| table::read(&fixture("rows").join(name), &columns.parse()?, None);
    says(&read("moods.jsonl", "text,x").unwrap_err().to_string(), &["`x`", "the keys id, mood, text"]);
    says(
        &read("columns.json", "text,mood").unwrap_err().to_string(),
        &["a list or an object", "orient='records'"],
    );
    says(
        &read("semicolons.csv", "text,x").unwrap_err().to_string(),
        &["`x`", "the columns `id`, `text`, `mood`"],
    );
    says(&read("moods.csv", "text").unwrap_err().to_string(), &["--columns", "a text and a label", "--text"]);
    Ok(())
}

/// Oracle: lines counted by hand.
#[test]
fn lines_of_json_that_are_none_are_counted() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let lines = [
        "{\"s\": \"one\", \"l\": 1}",
        "",
        "{\"s\": \"cut\", \"l\": ",
        "{\"s\": null, \"l\": 1}",
        "{\"l\": 0}",
        "{\"s\": \"two\", \"l\": 0, \"more\": [1]}",
        "{\"s\": \"three\", \"l\": null}",
        "{\"s\": \"four\"}",
    ];
    std::fs::write(&path, lines.join("\r\n")).unwrap();
    let rows = table::read(&path, &"s,l".parse()?, None)?;
    assert_eq!((texts(&rows), labels(&rows)), (vec!["one", "two"], classes(&[1, 0])));
    let skipped: Vec<_> = rows.skipped.iter().map(|row| (row.line, row.reason)).collect();
    use Reason::{EmptyText, InvalidJson, NoLabel};
    assert_eq!(skipped, [(3, InvalidJson), (4, EmptyText), (5, EmptyText), (7, NoLabel), (8, NoLabel)]);
    std::fs::write(&path, "{\"s\": \"one\", \"l\": [0, 1]}\n{\"s\": \"two\", \"l\": [1]}\n").unwrap();
    says(
        &table::read(&path, &"s,l".parse()?, None).unwrap_err().to_string(),
        &["one label a row", "`[0,1]`"],
    );
    Ok(())
}

/// Oracle: make_rows.py's two rows of each split, by names and by booleans, in three layouts.
#[test]
fn a_task_is_found_under_the_names_that_people_use() -> Result<()> {
    for layout in ["flat", "folders", "data"] {
        let read = |split| glue::read(Task::Rte, &fixture("rows/glue").join(layout), split);
        let (train, dev) = (read(Split::Train)?, read(Split::Dev)?);
        assert_eq!((texts(&train), labels(&train)), (TEXTS[..2].to_vec(), classes(&[0, 1])), "{layout}");
        assert_eq!(labels(&dev), classes(&[1, 0]), "{layout}: true is 1");
        assert_eq!(dev.rows[1].pair.as_deref(), Some(TEXTS[3]), "{layout}");
    }
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("train");
    std::fs::create_dir(&inner).unwrap();
    std::fs::copy(fixture("rows/glue/folders/train/0000.parquet"), inner.join("0001.parquet")).unwrap();
    let message = glue::read(Task::Rte, folder.path(), Split::Train).unwrap_err().to_string();
    says(&message, &["train/*.parquet some missing"]);
    Ok(())
}

/// Oracle: the words of the message and of the metadata, and the option that answers the question.
#[test]
fn freeze_says_what_it_took_and_asks_where_it_cannot_know() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let freeze = |more: &str| {
        let (model, out) = (fixture("tiny/model"), path("set.safetensors"));
        let text = format!("freeze --checkpoint {} --out {} {more}", model.display(), out.display());
        // Not the quiet one: what is said on the way counts.
        let mut command = Command::cargo_bin("fisherscape").unwrap();
        command.args(text.split_whitespace()).env("HF_HUB_OFFLINE", "1");
        command
    };
    std::fs::write(
        path("a.csv"),
        "s,l\nthe film is bad,1.0\nit is joyful,0.0\nit is long,\nme and us,1.0\n",
    )?;
    let table = format!("--table {} --columns s,l", path("a.csv").display());
    let said = |command: &mut Command, code: i32| {
        let output = command.assert().code(code).get_output().stderr.clone();
        String::from_utf8(output).unwrap()
    };
    says(&said(&mut freeze(&table), 1), &["a.csv: `l` must be", "--labels classes or --labels regression"]);
    assert!(!path("set.safetensors").exists());
    let text = said(&mut freeze(&format!("{table} --labels classes")), 0);
    says(
        &text,
        &["text from `s`, labels from `l`: 2 classes: as --labels says", "1 × no label", "a.csv:4: no label"],
    );
    let set = FrozenSet::read(&path("set.safetensors"))?;
    assert_eq!(set.metadata["read_as"], "text from `s`, labels from `l`: 2 classes: as --labels says");
    assert_eq!(set.label_names(), Some(vec!["0".to_string(), "1".to_string()]));
    let text = said(&mut freeze(&format!("{table} --labels regression")), 0);
    says(&text, &["a regression on 3 numbers"]);
    let jsonl = fixture("rows/moods.jsonl");
    let text = said(&mut freeze(&format!("--text {} --columns text --min-words 3", jsonl.display())), 0);
    says(&text, &["text without labels: `text` of a table"]);
    let text = said(&mut freeze(&format!("--text {} --columns text,mood", jsonl.display())), 1);
    says(&text, &["--columns", "exactly one column"]);
    let text = said(&mut freeze("--task rte --columns text,mood"), 1);
    says(&text, &["--columns", "needs --table", "a task has its own"]);
    Ok(())
}
