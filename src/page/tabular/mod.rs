//! Tables of other commands as Markdown and as LaTeX (booktabs), for papers and pages.
//!
//! A number and its uncertainty become one column: `X` with `X_low` and `X_high` is `v [low, high]`, `X` with `X_se` or
//! `X_sd` is `v ± e`; `digits` says with how many digits. What is no number stays as it is; empty cells are dashes.
//!
//! The trap: rows are text, so what is a number is told column by column: one word in a column makes it a column of
//! words. A name like `12e45678` reads as an infinite number, and is none.
//!
//! Used by `render`.

mod digits;

use std::collections::{HashMap, HashSet};

use self::digits::{measured, number};
use crate::error::{Error, Result};

/// A table of more rows than this may not fit a page.
const PAGE: usize = 40;

/// The table as Markdown under its title: numbers to the right, names in typewriter.
///
/// # Errors
///
/// [`Error::Field`], which names `place`, for a text that is no CSV, has rows of different lengths, or no header.
pub fn markdown(place: &str, csv_text: &str, title: &str) -> Result<String> {
    let table = Table::read(csv_text, place)?;
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut out = format!("**{}**\n\n", markdown_words(title));
    out += &line(table.columns.iter().map(|column| markdown_words(&column.title)).collect());
    let rule = |column: &Column| if column.kind == Kind::Numbers { "---:" } else { ":---" }.to_owned();
    out += &line(table.columns.iter().map(rule).collect());
    for row in 0..table.rows {
        let cell = |column: &Column| match &column.cells[row] {
            Cell::Nothing => "–".to_owned(),
            Cell::Number(number) => number.clone(),
            // A backtick would end the typewriter; a bar ends a cell even there.
            Cell::Words(words) if column.kind == Kind::Names && !words.contains('`') => {
                format!("`{}`", words.replace('|', "\\|"))
            }
            Cell::Words(words) => markdown_words(words),
        };
        out += &line(table.columns.iter().map(cell).collect());
    }
    Ok(out)
}

/// The table as a LaTeX `table` environment that needs the package booktabs alone.
///
/// # Errors
///
/// As [`markdown`].
pub fn latex(place: &str, csv_text: &str, title: &str, label: &str) -> Result<String> {
    let table = Table::read(csv_text, place)?;
    let mut out = "% \\usepackage{booktabs}\n".to_owned();
    if table.rows > PAGE {
        out += &format!("% {} rows: longer than a page, longtable may be wanted\n", table.rows);
    }
    let kind = |column: &Column| if column.kind == Kind::Numbers { 'r' } else { 'l' };
    let columns: String = table.columns.iter().map(kind).collect();
    let line = |cells: Vec<String>| {
        let line = cells.join(" & ");
        // After the end of a row, these would be read as its options.
        let guard = if line.starts_with(['[', '*', '(']) { "{}" } else { "" };
        format!("    {guard}{line} \\\\\n")
    };
    let head = line(table.columns.iter().map(|column| latex_words(&column.title)).collect());
    let cell = |column: &Column, row: usize| match &column.cells[row] {
        Cell::Nothing => "--".to_owned(),
        Cell::Number(number) => latex_number(number),
        Cell::Words(words) if column.kind == Kind::Names => format!("\\texttt{{{}}}", latex_words(words)),
        Cell::Words(words) => latex_words(words),
    };
    let rows =
        (0..table.rows).map(|row| line(table.columns.iter().map(|column| cell(column, row)).collect()));
    let (title, rows) = (latex_words(title), rows.collect::<String>());
    let body = format!(
        "\\begin{{table}}\n  \\centering\n  \\caption{{{title}}}\n  \\label{{{}}}\n  \\begin{{tabular}}{{{columns}}}\n    \
         \\toprule\n{head}    \\midrule\n{rows}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n",
        latex_label(label)
    );
    if let Some(c) = body.chars().find(|c| *c > '\u{17f}') {
        out += &format!("% has letters beyond Latin ({c}): for XeLaTeX or LuaLaTeX\n");
    }
    Ok(out + &body)
}

/// Titles of the columns, and the cells row by row, as text: for pages.
///
/// # Errors
///
/// As [`markdown`].
pub fn cells(csv_text: &str, place: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let table = Table::read(csv_text, place)?;
    let cell = |column: &Column, row: usize| match &column.cells[row] {
        Cell::Nothing => String::new(),
        Cell::Number(text) | Cell::Words(text) => text.clone(),
    };
    let titles = table.columns.iter().map(|column| column.title.clone()).collect();
    let row = |row: usize| table.columns.iter().map(|column| cell(column, row)).collect();
    Ok((titles, (0..table.rows).map(row).collect()))
}

/// What stands in a cell.
#[derive(Debug, PartialEq)]
enum Cell {
    Nothing,
    /// As figures print it, with its uncertainty.
    Number(String),
    Words(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Numbers,
    /// Of tensors, sites, files: with dots or underlines, without spaces.
    Names,
    Words,
}

#[derive(Debug)]
struct Column {
    title: String,
    kind: Kind,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Table {
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    fn read(text: &str, place: &str) -> Result<Table> {
        let wrong = |expected: &str, found: String| {
            let fix = "give a CSV table with a header and rows of the same length";
            Error::field(place, "table", expected, found, fix)
        };
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let unreadable = |e: csv::Error| wrong("rows of one length", e.to_string());
        let header: Vec<String> =
            reader.headers().map_err(unreadable)?.iter().map(|h| h.trim().to_owned()).collect();
        if header.iter().all(String::is_empty) {
            return Err(wrong("a header", "none".into()));
        }
        let mut cells: Vec<Vec<String>> = vec![Vec::new(); header.len()];
        let mut rows = 0;
        for row in reader.records() {
            let row = row.map_err(unreadable)?;
            cells.iter_mut().zip(row.iter()).for_each(|(column, cell)| column.push(cell.trim().to_owned()));
            rows += 1;
        }
        Ok(Table { columns: columns(&header, &cells), rows })
    }
}

/// Columns, those of an uncertainty joined to that of their number.
fn columns(header: &[String], cells: &[Vec<String>]) -> Vec<Column> {
    let numeric: Vec<bool> = cells
        .iter()
        .map(|column| column.iter().all(|cell| cell.is_empty() || number(cell).is_some()))
        .collect();
    let mut places = HashMap::new();
    for (i, name) in header.iter().enumerate() {
        places.entry(name.as_str()).or_insert(i);
    }
    let find = |i: usize, ending: &str| {
        let place = places.get(format!("{}{ending}", header[i]).as_str()).copied();
        place.filter(|&j| numeric[i] && numeric[j])
    };
    let interval = |i: usize| find(i, "_low").zip(find(i, "_high"));
    let error = |i: usize| find(i, "_se").or(find(i, "_sd"));
    let joined: HashSet<usize> = (0..header.len())
        .flat_map(|i| interval(i).map_or(vec![], |(a, b)| vec![a, b]).into_iter().chain(error(i)))
        .collect();
    let words = |name: &str| name.replace('_', " ");
    let column = |i: usize| {
        let (interval, error) = (interval(i), error(i));
        let mut title = words(&header[i]);
        if let Some(j) = error {
            title += &format!(" ± {}", words(header[j][header[i].len()..].trim_start_matches('_')));
        }
        if interval.is_some() {
            title += " [low, high]";
        }
        let empty = cells[i].iter().all(String::is_empty);
        let kind = match numeric[i] && !empty {
            true => Kind::Numbers,
            false if is_names(&cells[i]) => Kind::Names,
            false => Kind::Words,
        };
        let cell = |row: usize| {
            let cell = &cells[i][row];
            let of = |j: usize| &cells[j][row][..];
            match kind {
                Kind::Numbers => measured(cell, error.map(of), interval.map(|(a, b)| (of(a), of(b))))
                    .map_or(Cell::Nothing, Cell::Number),
                _ if cell.is_empty() => Cell::Nothing,
                _ => Cell::Words(cell.clone()),
            }
        };
        Column { title, kind, cells: (0..cells[i].len()).map(cell).collect() }
    };
    (0..header.len()).filter(|i| !joined.contains(i)).map(column).collect()
}

fn is_names(cells: &[String]) -> bool {
    let plain = |cell: &String| !cell.contains(char::is_whitespace);
    cells.iter().all(plain) && cells.iter().any(|cell| cell.contains(['_', '.']))
}

/// Words with all that Markdown would take for marks. Brackets are marks only before another.
fn markdown_words(words: &str) -> String {
    let linked = words.contains("](") || words.contains("][");
    let mut out = String::new();
    for c in words.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '<' | '>' | '#' | '|' | '~' | '$' => out.extend(['\\', c]),
            '[' | ']' if linked => out.extend(['\\', c]),
            '&' => out += "&amp;",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Words with all that LaTeX would take for commands, or print as something else.
fn latex_words(words: &str) -> String {
    let mut out = String::new();
    for c in words.chars() {
        match c {
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '|' => out += "\\textbar{}",
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => out.extend(['\\', c]),
            // Two would become a dash.
            '-' if out.ends_with('-') => out += "{}-",
            '–' => out += "--",
            '—' => out += "---",
            '±' | '×' | '−' | '∞' => out += &latex_number(&c.to_string()),
            'ρ' => out += "$\\rho$",
            'τ' => out += "$\\tau$",
            '’' => out.push('\''),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A number of [`Cell::Number`] in LaTeX: as it is where it has digits alone.
fn latex_number(number: &str) -> String {
    if number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return number.to_owned();
    }
    let mut out = String::from("$");
    let mut is_raised = false;
    for c in number.chars() {
        let digit = raised(c);
        if digit.is_some() != is_raised {
            out += if is_raised { "}" } else { "^{" };
            is_raised = !is_raised;
        }
        match (digit, c) {
            (Some(digit), _) => out.push(digit),
            (None, '−') => out.push('-'),
            (None, '±') => out += "\\pm",
            (None, '×') => out += "\\times ",
            (None, '∞') => out += "\\infty ",
            (None, '–') => out += "\\mbox{--}",
            (None, '[') => out += "\\;[",
            (None, 'N') => out += "\\mathrm{N}",
            (None, c) => out.push(c),
        }
    }
    out + if is_raised { "}$" } else { "$" }
}

/// The character of which `c` is the raised form.
fn raised(c: char) -> Option<char> {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻";
    RAISED.chars().zip("0123456789-".chars()).find(|(raised, _)| *raised == c).map(|(_, plain)| plain)
}

/// `\label` takes letters, digits and few signs.
fn latex_label(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, ':' | '.') { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "name,draw,rise,rise_se,spearman,spearman_low,spearman_high,log10_low,k\n\
                         layer.0.ffn_output,in|de_p,1.25,0.033,0.5,0.4,0.6,-3,12\n\
                         embeddings,50 % & $x,,,,,,-2,7\n";

    /// Oracle: on paper.
    #[test]
    fn markdown_has_joined_columns_to_the_right() {
        let expected = "**a\\_b**\n\n\
            | name | draw | rise ± se | spearman [low, high] | log10 low | k |\n\
            | :--- | :--- | ---: | ---: | ---: | ---: |\n\
            | `layer.0.ffn_output` | in\\|de\\_p | 1.250 ± 0.033 | 0.50 [0.40, 0.60] | −3 | 12 |\n\
            | `embeddings` | 50 % &amp; \\$x | – | – | −2 | 7 |\n";
        assert_eq!(markdown("t.csv", TABLE, "a_b").unwrap(), expected);
        // One cell of each column in each row: bars that are no part of words.
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(markdown("t.csv", TABLE, "t").unwrap().lines().skip(2).all(|line| bars(line) == 7));
    }

    /// Oracle: on paper.
    #[test]
    fn latex_has_a_table_with_caption_and_label() {
        let head = "% \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{a\\_b}\n  \\label{tab:a-b}\n  \
            \\begin{tabular}{llrrrr}\n    \\toprule\n";
        let text = latex("t.csv", TABLE, "a_b", "tab:a_b").unwrap();
        assert!(text.starts_with(head), "{text}");
        for line in [
            "    name & draw & rise $\\pm$ se & spearman [low, high] & log10 low & k \\\\\n    \\midrule\n",
            "    \\texttt{layer.0.ffn\\_output} & in\\textbar{}de\\_p & $1.250 \\pm 0.033$ & $0.50 \\;[0.40, 0.60]$ & $-3$ & 12 \\\\\n",
            "    \\texttt{embeddings} & 50 \\% \\& \\$x & -- & -- & $-2$ & 7 \\\\\n    \\bottomrule\n  \\end{tabular}\n\\end{table}\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("longtable") && !text.contains("beyond Latin"));
    }

    /// Every group is closed, every special character is escaped, and no row begins with what its end would take.
    #[test]
    fn nothing_breaks_the_table() {
        let odd = "\"[a] {b} \\x ^ ~ # <c> --- ß 中\",12e45678,1e-9\n*,(,2\n";
        let text = latex("t.csv", &format!("a,b,c\n{odd}"), "100 %\n$", "x y_é").unwrap();
        let unescaped = text.replace("\\{", "").replace("\\}", "");
        assert_eq!(unescaped.matches('{').count(), unescaped.matches('}').count());
        assert!(text.contains("    {}[a] \\{b\\} \\textbackslash{}x \\textasciicircum{} \\textasciitilde{} \\# \\textless{}c\\textgreater{} -{}-{}- ß 中"));
        assert!(text.contains("& 12e45678 & $10^{-9}$ \\\\\n    {}* & ( & 2 \\\\"), "{text}");
        assert!(
            text.contains("\\caption{100 \\% \\$}")
                && text.contains("\\label{x-y--}")
                && text.contains("beyond Latin (中)")
        );
        let many: String = (0..=PAGE).map(|i| format!("{i},x\n")).collect();
        let text = latex("t.csv", &format!("i,x\n{many}"), "t", "t").unwrap();
        assert!(text.contains("% 41 rows: longer than a page, longtable may be wanted"));
        // A header alone is a table of no rows; nothing at all is none.
        assert_eq!(markdown("t.csv", "a,b\n", "t").unwrap().lines().count(), 4);
        for (text, words) in [("", "a header"), ("a,b\n1\n", "rows of one length")] {
            assert!(latex("t.csv", text, "t", "t").unwrap_err().to_string().contains(words));
        }
    }
}
