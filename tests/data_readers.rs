//! The readers of tables, GLUE and plain text, on files whose every line was counted by hand.

use std::fs;
use std::path::{Path, PathBuf};

use fisherscape::data::columns::Columns;
use fisherscape::data::glue::{self, Split, Task};
use fisherscape::data::row::{Reason, RowLabel, Rows};
use fisherscape::data::{table, text};
use fisherscape::error::Result;

fn fixture(task: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/glue").join(task)
}

/// Writes `bytes` to a file of that name and reads it with those columns.
fn read_table(name: &str, bytes: &[u8], columns: &str) -> Result<Rows> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    table::read(&path, &columns.parse()?, None)
}

fn texts(rows: &Rows) -> Vec<&str> {
    rows.rows.iter().map(|row| row.text.as_str()).collect()
}

fn classes(rows: &Rows) -> Vec<usize> {
    let class = |label| match label {
        RowLabel::Class(class) => class,
        other => panic!("{other:?} is not a class"),
    };
    rows.rows.iter().map(|row| class(row.label.clone())).collect()
}

fn skipped(rows: &Rows) -> Vec<(u64, Reason)> {
    rows.skipped.iter().map(|row| (row.line, row.reason)).collect()
}

/// Oracle: the lines of the literal, counted by hand. Quoting would merge lines 2 to 4 into one record; csv's
/// own line numbers would be too small after the empty line 5.
#[test]
fn tab_tables_keep_unbalanced_quotes_and_number_physical_lines() -> Result<()> {
    let lines: [&[u8]; 13] = [
        b"\xef\xbb\xbfid\tsaid\tmood",
        b"1\t\"open and never closed\t1",
        b"2\tplain\t0",
        b"3\tclosed here\"\t2",
        b"",
        b"4\tshort",
        b"5\t \t1",
        b"6\tbad \xff byte\t1",
        b"7\tstray\ttab\t1",
        b"8\tno label\t",
        b"\t\t",
        b"9\ta return \r inside\t1",
        b"10\tlast line, no newline\t0",
    ];
    let rows = read_table("moods.tsv", &lines.join(&b'\n'), "said,mood")?;
    assert_eq!(
        texts(&rows),
        ["\"open and never closed", "plain", "closed here\"", "a return \r inside", "last line, no newline"]
    );
    assert_eq!(classes(&rows), [1, 0, 2, 1, 0]);
    assert_eq!(rows.classes, ["0", "1", "2"]);
    let expected = [
        (6, Reason::TooFewFields),
        (7, Reason::EmptyText),
        (8, Reason::InvalidUtf8),
        (9, Reason::TooManyFields),
        (10, Reason::NoLabel),
        (11, Reason::EmptyText),
    ];
    assert_eq!(skipped(&rows), expected);
    Ok(())
}

/// Oracle: the same table with either line end, its lines counted by hand. The csv crate reports the record
/// after a `\r\n` one line too early.
#[test]
fn line_numbers_do_not_depend_on_the_line_ends() -> Result<()> {
    for name in ["a.tsv", "a.csv"] {
        for end in ["\n", "\r\n"] {
            let table = ["", "s,l", "one,1", "", "", "two", "three,0", "four"].join(end);
            let table = if name == "a.tsv" { table.replace(',', "\t") } else { table };
            let rows = read_table(name, table.as_bytes(), "s,l")?;
            assert_eq!(texts(&rows), ["one", "three"], "{name} {end:?}");
            let expected = [(6, Reason::TooFewFields), (8, Reason::TooFewFields)];
            assert_eq!(skipped(&rows), expected, "{name} {end:?}");
        }
    }
    Ok(())
}

/// Oracle: RFC 4180, applied by hand. The record of lines 2 and 3 is one; the short one stands on line 4.
#[test]
fn comma_tables_have_ordinary_quotes() -> Result<()> {
    let table = b"first,second,label\n\"one, \"\"two\"\"\nthree\",x,yes\nshort\n\"four\",\"y, z\",no\n";
    let rows = read_table("pairs.CSV", table, "first,second,label")?;
    assert_eq!(texts(&rows), ["one, \"two\"\nthree", "four"]);
    assert_eq!(rows.rows[1].pair.as_deref(), Some("y, z"));
    assert_eq!((classes(&rows), &rows.classes), (vec![1, 0], &vec!["no".to_string(), "yes".to_string()]));
    assert_eq!(skipped(&rows), [(4, Reason::TooFewFields)]);
    Ok(())
}

/// Oracle: by hand. The quote opened on line 4 takes the rest of the file into one field.
#[test]
fn a_quote_that_is_never_closed_is_named() -> Result<()> {
    let rows = read_table("a.csv", b"s,l\none,1\nnone,0\n\"two,1\nthree,0\nfour,1\n", "s,l")?;
    assert_eq!(texts(&rows), ["one", "none"]);
    assert_eq!(skipped(&rows), [(4, Reason::UnclosedQuote)]);
    Ok(())
}

/// Oracle: each column of labels read by hand. `None` is a row left out as unreadable.
#[test]
fn labels_of_a_free_table_say_what_the_task_is() -> Result<()> {
    let class = |index| Some(RowLabel::Class(index));
    let value = |value| Some(RowLabel::Value(value));
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [Option<RowLabel>]);
    let cases: [Case; 6] = [
        (&["2", "0", ""], &["0", "1", "2"], &[class(2), class(0), None]),
        (&["1.5", "3", "-2"], &[], &[value(1.5), value(3.0), value(-2.0)]),
        (&["3.0", "n/a", "1.5"], &[], &[value(3.0), None, value(1.5)]),
        (&["1", "-1", "1"], &["-1", "1"], &[class(1), class(0), class(1)]),
        (&["0", "-10", "-2"], &["-10", "-2", "0"], &[class(2), class(0), class(1)]),
        (&["b", "", "a", "b"], &["a", "b"], &[class(1), None, class(0), class(1)]),
    ];
    for (labels, names, expected) in cases {
        let lines: Vec<String> = labels.iter().map(|label| format!("{label}\tsome text\n")).collect();
        let rows = read_table("a.tsv", format!("l\ts\n{}", lines.concat()).as_bytes(), "s,l")?;
        let read: Vec<RowLabel> = rows.rows.iter().map(|row| row.label.clone()).collect();
        assert_eq!(read, expected.iter().flatten().cloned().collect::<Vec<_>>(), "{labels:?}");
        assert_eq!(rows.classes, names, "{labels:?}");
        let unread: Vec<u64> =
            (2..).zip(expected).filter(|(_, label)| label.is_none()).map(|(line, _)| line).collect();
        assert_eq!(rows.skipped.iter().map(|row| row.line).collect::<Vec<_>>(), unread, "{labels:?}");
    }
    Ok(())
}

/// Oracle: the message must name what a reader needs to repair the call: file, column, what there is.
#[test]
fn table_errors_name_file_column_and_what_there_is() {
    let cases: [(&[u8], &str, &[&str]); 6] = [
        (b"text\tlabel\na\t1\n", "sentence,label", &["a.tsv", "`sentence`", "`text`, `label`"]),
        (b"text\tx\tx\na\t1\t2\n", "text,x", &["a.tsv", "`x` must be the name of exactly one column"]),
        (b"", "text,label", &["a.tsv", "`text`", "the file is empty"]),
        (b"text\tlabel\n", "text,label", &["a.tsv", "`label`", "nothing in it"]),
        (b"text\tlabel\na\nb\n", "text,label", &["2 × too few fields", "a.tsv:2: too few fields"]),
        (b"text\tlabel\na\t2000000000\n", "text,label", &["a.tsv", "`label`", "10000 classes", "2000000000"]),
    ];
    for (bytes, columns, parts) in cases {
        let message = read_table("a.tsv", bytes, columns).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
    for typed in ["", "a,b,c,d", "text,", ",label", "a,,b", "same,same", "a,a,label"] {
        assert!(typed.parse::<Columns>().is_err(), "`{typed}` was taken");
    }
}

/// Oracle: the layouts of tests/fixtures, written with GLUE's real headers; rows, labels and bad lines by
/// hand.
#[test]
fn every_glue_layout_is_read() -> Result<()> {
    use Reason::*;
    type Case<'a> = (Task, &'a str, Split, &'a [usize], &'a [(u64, Reason)]);
    let cases: [Case; 11] = [
        (Task::Mrpc, "MRPC", Split::Train, &[1, 0, 1], &[]),
        (Task::Mrpc, "MRPC", Split::Dev, &[0, 1], &[(3, TooFewFields)]),
        (
            Task::Qqp,
            "QQP",
            Split::Train,
            &[1, 0, 1],
            &[(3, TooFewFields), (4, TooFewFields), (7, EmptyText), (8, TooManyFields), (9, UnreadableLabel)],
        ),
        (Task::Qqp, "QQP", Split::Dev, &[1, 0], &[]),
        (Task::Mnli, "MNLI", Split::Train, &[0, 1, 2], &[]),
        (Task::Mnli, "MNLI", Split::Dev, &[0, 2], &[(3, NoConsensus)]),
        (Task::Mnli, "MNLI", Split::DevMismatched, &[1], &[]),
        (Task::Qnli, "QNLI", Split::Train, &[0, 1, 0], &[(6, TooFewFields)]),
        (Task::Qnli, "QNLI", Split::Dev, &[0], &[(3, UnreadableLabel)]),
        (Task::Wnli, "WNLI", Split::Train, &[1, 0], &[(5, UnreadableLabel)]),
        (Task::Wnli, "WNLI", Split::Dev, &[1], &[]),
    ];
    for (task, folder, split, labels, bad) in cases {
        let rows = glue::read(task, &fixture(folder), split)?;
        assert_eq!(classes(&rows), labels, "{task} {split}");
        assert_eq!(skipped(&rows), bad, "{task} {split}");
        assert_eq!(rows.classes, task.labels(), "{task} {split}");
        assert!(rows.rows.iter().all(|row| row.pair.is_some()), "{task} {split}");
    }
    Ok(())
}

/// Oracle: the fixtures' sentences. MNLI's parses, which contain the sentences, must not be taken for them.
#[test]
fn glue_pairs_come_from_the_right_columns() -> Result<()> {
    let cases = [
        (Task::Mrpc, "MRPC", "Rain fell on the harbour all night .", "The harbour was sold in spring ."),
        (Task::Qqp, "QQP", "What is a good name for a cat?", "What do cats eat?"),
        (Task::Mnli, "MNLI", "The shop sells lamps.", "The shop sells red lamps."),
        (Task::Qnli, "QNLI", "When was the mill built?", "The mill stands beside a stream."),
        (
            Task::Wnli,
            "WNLI",
            "The jar did not fit on the shelf because it was too low.",
            "The jar was too low.",
        ),
    ];
    for (task, folder, first, second) in cases {
        let rows = glue::read(task, &fixture(folder), Split::Train)?;
        let row = &rows.rows[1];
        assert_eq!((row.text.as_str(), row.pair.as_deref()), (first, Some(second)), "{task}");
    }
    Ok(())
}

/// Oracle: three invented lines in the layouts of CoLA (no header), SST-2, RTE and STS-B, read by hand. A
/// header taken from CoLA's first line would lose a row.
#[test]
fn single_sentences_and_scores_are_read() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(folder.path().join("dev.tsv"), text).unwrap();
    write("zz01\t1\t\tThe dog slept.\nzz01\t0\t*\tThe dog slept the.\n");
    let rows = glue::read(Task::Cola, folder.path(), Split::Dev)?;
    assert_eq!((texts(&rows), classes(&rows)), (vec!["The dog slept.", "The dog slept the."], vec![1, 0]));
    write("sentence\tlabel\na fine film \t1\ndull \t0\n");
    let rows = glue::read(Task::Sst2, folder.path(), Split::Dev)?;
    assert_eq!((texts(&rows), classes(&rows)), (vec!["a fine film", "dull"], vec![1, 0]));
    write(
        "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt is wet.\tentailment\n1\tA.\tB.\tnot_entailment\n",
    );
    assert_eq!(classes(&glue::read(Task::Rte, folder.path(), Split::Dev)?), [0, 1]);
    write("sentence1\tsentence2\tscore\nA cat.\tA dog.\t1.250\nA cat.\tThe cat.\t5.1\nA.\tB.\tnan\n");
    let rows = glue::read(Task::Stsb, folder.path(), Split::Dev)?;
    assert_eq!(rows.rows.iter().map(|row| row.label.clone()).collect::<Vec<_>>(), [RowLabel::Value(1.25)]);
    assert_eq!(skipped(&rows), [(3, Reason::UnreadableLabel), (4, Reason::NoLabel)]);
    assert!(rows.classes.is_empty());
    Ok(())
}

/// Oracle: Microsoft's training file contains GLUE's dev rows, so beside either of GLUE's files it must not
/// be read.
#[test]
fn microsofts_mrpc_is_not_mixed_with_glues() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["msr_paraphrase_train.txt", "msr_paraphrase_test.txt"] {
        fs::copy(fixture("MRPC").join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(glue::read(Task::Mrpc, folder.path(), Split::Train)?.rows.len(), 3);
    fs::copy(fixture("MRPC/msr_paraphrase_test.txt"), folder.path().join("dev.tsv")).unwrap();
    let message = glue::read(Task::Mrpc, folder.path(), Split::Train).unwrap_err().to_string();
    assert!(message.contains("train.tsv: `data` must be"), "{message}");
    assert_eq!(glue::read(Task::Mrpc, folder.path(), Split::Dev)?.rows.len(), 2);
    Ok(())
}

/// Oracle: the message must name the path and the files that belong there.
#[test]
fn missing_glue_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (
            Task::Rte,
            folder.path().join("nowhere"),
            Split::Dev,
            vec!["nowhere: ", "no such folder", "glue/RTE"],
        ),
        (Task::Mnli, folder.path().to_path_buf(), Split::Dev, vec!["dev_matched.tsv: ", "no such file"]),
        (Task::Mrpc, folder.path().to_path_buf(), Split::Dev, vec!["dev.tsv or msr_paraphrase_test.txt"]),
        (Task::Rte, folder.path().to_path_buf(), Split::DevMismatched, vec!["rte", "train or dev"]),
    ];
    for (task, dir, split, parts) in cases {
        let message = glue::read(task, &dir, split).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }
}

/// Oracle: the hub's names, WordNet's of the task in the binary, and the metrics of the GLUE paper's table 1, in the order
/// of docs/definitions.md section 3.
#[test]
fn task_names_are_read_and_written_as_on_the_hub() {
    let hub = ["cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"];
    let names = Task::ALL.map(|task| task.to_string());
    assert_eq!(names[..9], hub);
    assert_eq!(names[9], "supersense");
    for name in hub {
        assert_eq!(name.parse::<Task>().unwrap().to_string(), name);
    }
    for (typed, task) in
        [("SST-2", Task::Sst2), ("sst_2", Task::Sst2), ("STS-B", Task::Stsb), ("CoLA", Task::Cola)]
    {
        assert_eq!(typed.parse::<Task>().unwrap(), task);
    }
    let message = "imdb".parse::<Task>().unwrap_err().to_string();
    assert!(hub.iter().all(|name| message.contains(name)) && message.contains("imdb"), "{message}");
    assert_eq!(Task::Mnli.labels(), ["entailment", "neutral", "contradiction"]);
    assert_eq!(Task::Wnli.labels(), ["not_entailment", "entailment"]);
    let two = [Task::Mrpc, Task::Qqp];
    for task in Task::ALL {
        let expected: &[&str] = match task {
            Task::Cola => &["matthews"],
            Task::Stsb => &["pearson", "spearman"],
            task if two.contains(&task) => &["accuracy", "f1"],
            _ => &["accuracy"],
        };
        let metrics: Vec<&str> = task.metrics().iter().map(|metric| metric.name).collect();
        assert_eq!(metrics, expected, "{task}");
    }
    for split in [Split::Train, Split::Dev, Split::DevMismatched, Split::Test] {
        assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
    }
    assert!("validation".parse::<Split>().is_err());
}

/// Oracle: lines counted by hand. A short heading is a heading; the invalid line is the fifth of the second
/// file.
#[test]
fn text_lines_are_counted_by_kind() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.txt"), folder.path().join("b.txt"));
    fs::write(
        &first,
        "\u{feff} = A heading of many words = \r\n \r\n  three short words \r\n four words are enough \r\n",
    )
    .unwrap();
    fs::write(
        &second,
        b"\xef\xbb\xbfand here are four\n\n==\n= not a heading\nbad \xff line of words\nx = y",
    )
    .unwrap();
    let rows = text::read(&[first, second.clone()], None, 4)?;
    assert_eq!(texts(&rows), ["four words are enough", "and here are four", "= not a heading"]);
    assert!(rows.rows.iter().all(|row| row.pair.is_none() && row.label == RowLabel::None));
    assert_eq!((rows.headings, rows.short), (2, 2));
    assert_eq!(skipped(&rows), [(5, Reason::InvalidUtf8)]);
    assert_eq!(rows.skipped[0].file, second);
    Ok(())
}

/// Oracle: the message must hold the files, the counts and the option that decides.
#[test]
fn text_without_a_sound_line_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, "= heading =\none two\nthree\n").unwrap();
    let message = text::read(std::slice::from_ref(&path), None, 8).unwrap_err().to_string();
    for part in ["a.txt: ", "--min-words", "8", "2 × short line", "1 × heading"] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    let message = text::read(&[folder.path().join("b.txt")], None, 8).unwrap_err().to_string();
    assert!(message.contains("cannot read ") && message.contains("b.txt: "), "{message}");
}

/// Oracle: written by hand for seven bad rows: counts by reason, five places, the rest as a number.
#[test]
fn the_account_of_skipped_rows_counts_and_names_the_first_five() -> Result<()> {
    let table = b"s\tl\na\t1\nb\nc\nd\t0\n\t1\ne\nf\ng\nh\n";
    let rows = read_table("a.tsv", table, "s,l")?;
    let folder = rows.skipped[0].file.parent().unwrap().display().to_string();
    let account = rows.left_out().unwrap().replace(&folder, "DIR");
    let expected = "skipped: 6 × too few fields; 1 × empty text
  DIR/a.tsv:3: too few fields
  DIR/a.tsv:4: too few fields
  DIR/a.tsv:6: empty text
  DIR/a.tsv:7: too few fields
  DIR/a.tsv:8: too few fields
  and 2 more";
    assert_eq!(account, expected);
    assert_eq!(read_table("a.tsv", b"s\tl\na\t1\nb\t0\n", "s,l")?.left_out(), None);
    Ok(())
}
