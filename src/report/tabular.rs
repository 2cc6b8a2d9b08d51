//! Tables of other commands as Markdown and as LaTeX (booktabs), for papers and pages.
//!
//! A number and its uncertainty become one column: `X` with `X_low` and `X_high` is `v [low, high]`, `X` with `X_se` or
//! `X_sd` is `v ± e`. The uncertainty chooses the digits: two significant ones of it, or of half the interval, and as
//! many of the number; without one there are four significant digits at most. Integers stay as they are, and so does
//! what is no number. Empty cells are dashes.
//!
//! The trap: rows are text, so what is a number is told column by column: one word in a column makes it a column of
//! words. A name like `12e45678` reads as an infinite number, and is none.
//!
//! Used by `render`; [`Cell`] is what both formats write in their own way.

use super::numbers::scientific;
use crate::error::{Error, Result};

/// A table of more rows than this may not fit a page.
const PAGE: usize = 40;
/// An uncertainty below this part of its number is that of rounding, and chooses no digits.
const ROUNDING: f64 = 1e-9;
/// Significant digits of numbers without an uncertainty.
const DIGITS: usize = 4;

/// The table as Markdown under its title: numbers to the right, names in typewriter.
///
/// # Errors
///
/// [`Error::Field`] for a text that is no CSV, has rows of different lengths, or no header.
pub fn markdown(csv_text: &str, title: &str) -> Result<String> {
    let table = Table::read(csv_text, title)?;
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
pub fn latex(csv_text: &str, title: &str, label: &str) -> Result<String> {
    let table = Table::read(csv_text, title)?;
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
            let fix = "give a CSV table with a header and as many cells in each row";
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
    let find = |i: usize, ending: &str| {
        let name = format!("{}{ending}", header[i]);
        header.iter().position(|other| *other == name).filter(|&j| numeric[i] && numeric[j])
    };
    let interval = |i: usize| find(i, "_low").zip(find(i, "_high"));
    let error = |i: usize| find(i, "_se").or(find(i, "_sd"));
    let joined: Vec<usize> = (0..header.len())
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
                Kind::Numbers => measured(cell, error.map(of), interval.map(|(a, b)| (of(a), of(b)))),
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

/// The number that a cell holds, also an infinite one that says so.
fn number(cell: &str) -> Option<f64> {
    let says_so = |v: &f64| !v.is_infinite() || cell.to_lowercase().contains("inf");
    cell.parse::<f64>().ok().filter(says_so)
}

/// A number with the uncertainty that is known of it; dashes for parts that are not.
fn measured(cell: &str, error: Option<&str>, interval: Option<(&str, &str)>) -> Cell {
    let known = |cell: &&str| number(cell).is_some();
    let (error, ends) = (error.filter(known), interval.filter(|(low, high)| known(low) || known(high)));
    let parts: Vec<&str> =
        [Some(cell), error, ends.map(|e| e.0), ends.map(|e| e.1)].into_iter().flatten().collect();
    let values: Vec<f64> = parts.iter().filter_map(|part| number(part)).collect();
    if values.is_empty() {
        return Cell::Nothing;
    }
    let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let half = ends.and_then(|(low, high)| Some((number(high)? - number(low)?) / 2.0));
    let chooses = |e: &f64| largest.is_finite() && *e > ROUNDING * largest;
    let digit = error.and_then(number).filter(chooses).or(half.filter(chooses)).map(last_digit);
    let whole = parts.iter().all(|part| part.is_empty() || is_whole(part));
    // All numbers of a cell are written alike: as they are, to one digit, or each to its own.
    let (power, digit) = match digit.filter(|_| !whole) {
        Some(digit) if is_long(largest) => (Some(exponent(largest)), Some(digit)),
        digit => (None, digit),
    };
    let write = |part: &str| match (number(part), digit) {
        (None, _) => "–".to_owned(),
        (Some(_), _) if is_whole(part) && (whole || digit.is_none()) => {
            part.trim_start_matches('+').replace('-', "−")
        }
        (Some(v), Some(digit)) => {
            let power = power.unwrap_or(0);
            rounded(v * 10f64.powi(-power), digit - power)
        }
        (Some(v), None) => short(v),
    };
    let error = error.map(|e| format!(" ± {}", write(e))).unwrap_or_default();
    let interval = ends.map(|(low, high)| format!(" [{}, {}]", write(low), write(high))).unwrap_or_default();
    let text = write(cell) + &error + &interval;
    Cell::Number(match power {
        Some(power) => format!("({text})×{}", ten(power)),
        None => text,
    })
}

/// Whether a cell is an integer as programs write them.
fn is_whole(cell: &str) -> bool {
    cell.parse::<i128>().is_ok()
}

/// Whether a number needs a power of ten.
fn is_long(v: f64) -> bool {
    v != 0.0 && !(1e-3..1e5).contains(&v.abs())
}

fn exponent(v: f64) -> i32 {
    exponent_of(&format!("{v:e}"))
}

fn exponent_of(text: &str) -> i32 {
    text.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0)
}

/// The place of the second significant digit of an uncertainty; by way of text, for 0.0996 is 0.10.
fn last_digit(e: f64) -> i32 {
    exponent_of(&format!("{e:.1e}")) - 1
}

/// `v` to the digit `10^last`, with a true minus sign, none for what is 0 then.
fn rounded(v: f64, last: i32) -> String {
    if !v.is_finite() {
        return short(v);
    }
    let unit = 10f64.powi(last.max(0));
    let text = format!("{:.*}", (-last).max(0) as usize, (v / unit).abs());
    let text = if last > 0 { whole_times(&text, last) } else { text };
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if v < 0.0 && !is_zero { format!("−{text}") } else { text }
}

/// A whole number with `zeros` more digits.
fn whole_times(text: &str, zeros: i32) -> String {
    if text == "0" { text.to_owned() } else { format!("{text}{}", "0".repeat(zeros as usize)) }
}

/// A number that has no uncertainty: as it is where it has few digits, else the first four.
fn short(v: f64) -> String {
    if !v.is_finite() {
        return if v.is_nan() {
            "NaN"
        } else if v > 0.0 {
            "∞"
        } else {
            "−∞"
        }
        .to_owned();
    }
    let shortest = format!("{:e}", v.abs());
    let (mantissa, _) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.chars().filter(char::is_ascii_digit).count().min(DIGITS);
    let text = format!("{:.*e}", digits - 1, v.abs());
    let (mantissa, power) = (text.split_once('e').map_or("0", |(mantissa, _)| mantissa), exponent_of(&text));
    if !is_long(v) {
        return rounded(v, power - (digits as i32 - 1));
    }
    let minus = if v < 0.0 { "−" } else { "" };
    if mantissa == "1" {
        format!("{minus}{}", ten(power))
    } else {
        format!("{minus}{mantissa}×{}", ten(power))
    }
}

fn ten(power: i32) -> String {
    // Exact: the nearest number to a power of ten is written as one.
    scientific(format!("1e{power}").parse().unwrap_or(1.0), 0)
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

    fn cell(v: &str, error: &str, interval: (&str, &str)) -> String {
        let error = (!error.is_empty()).then_some(error);
        let interval = (interval.0.len() + interval.1.len() > 0).then_some(interval);
        match measured(v, error, interval) {
            Cell::Number(text) => text,
            other => format!("{other:?}"),
        }
    }

    /// Oracle: on paper, by the rule of two digits of the uncertainty.
    #[test]
    fn the_uncertainty_chooses_the_digits() {
        let none = ("", "");
        for (v, error, interval, text) in [
            ("0.82345", "", ("0.6123", "0.9312"), "0.82 [0.61, 0.93]"),
            ("0.8234", "0.0123", none, "0.823 ± 0.012"),
            ("0.8234", "0.0996", none, "0.82 ± 0.10"),
            ("-0.0004", "0.12", none, "0.00 ± 0.12"),
            ("12345.6", "2301.2", none, "12300 ± 2300"),
            ("1.2345e-9", "2.1e-10", none, "(1.23 ± 0.21)×10⁻⁹"),
            ("-1.5e-7", "", ("-2.5e-7", "-5e-8"), "(−1.5 [−2.5, −0.5])×10⁻⁷"),
            ("3.5", "1.29", ("2", "5"), "3.5 ± 1.3 [2.0, 5.0]"),
            ("3", "", ("1", "5"), "3 [1, 5]"),
            ("2.3456789", "1e-17", none, "2.346 ± 10⁻¹⁷"),
            ("0.5", "0", none, "0.5 ± 0"),
            ("0.5", "", none, "0.5"),
            ("0.123456", "", none, "0.1235"),
            ("0.12999999", "", none, "0.1300"),
            ("1.0", "", none, "1"),
            ("109482240", "", none, "109482240"),
            ("-7", "", none, "−7"),
            ("1e-05", "", none, "10⁻⁵"),
            ("123456.7", "", none, "1.235×10⁵"),
            ("0.0", "", none, "0"),
            ("NaN", "", none, "NaN"),
            ("400", "", ("250.5", "inf"), "400 [250.5, ∞]"),
            ("", "", ("250", ""), "– [250, –]"),
            ("", "", none, "Nothing"),
        ] {
            assert_eq!(cell(v, error, interval), text, "{v} {error} {interval:?}");
        }
    }

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
        assert_eq!(markdown(TABLE, "a_b").unwrap(), expected);
        // One cell of each column in each row: bars that are no part of words.
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(markdown(TABLE, "t").unwrap().lines().skip(2).all(|line| bars(line) == 7));
    }

    /// Oracle: on paper.
    #[test]
    fn latex_has_a_table_with_caption_and_label() {
        let head = "% \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{a\\_b}\n  \\label{tab:a-b}\n  \
            \\begin{tabular}{llrrrr}\n    \\toprule\n";
        let text = latex(TABLE, "a_b", "tab:a_b").unwrap();
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
        let text = latex(&format!("a,b,c\n{odd}"), "100 %\n$", "x y_é").unwrap();
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
        let text = latex(&format!("i,x\n{many}"), "t", "t").unwrap();
        assert!(text.contains("% 41 rows: longer than a page, longtable may be wanted"));
        // A header alone is a table of no rows; nothing at all is none.
        assert_eq!(markdown("a,b\n", "t").unwrap().lines().count(), 4);
        for (text, words) in [("", "a header"), ("a,b\n1\n", "rows of one length")] {
            assert!(latex(text, "t.csv", "t").unwrap_err().to_string().contains(words));
        }
    }
}
