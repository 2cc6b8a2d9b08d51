//! An answer, and the differences that it rests on, each with its interval drawn in text.

use serde::Serialize;

/// Columns to either side of 0.
const HALF: usize = 15;

/// What is said to one part of the question.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// That part, in a word or two.
    pub question: String,
    pub text: String,
    pub differences: Vec<Compared>,
}

/// A paired difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What is subtracted from what, and of which quantity.
    pub name: String,
    pub value: f64,
    /// Ends of its 95 % interval, of this comparison alone.
    pub low: f64,
    pub high: f64,
    /// Value and interval with their digits.
    #[serde(skip)]
    pub text: String,
    /// p, corrected for all comparisons of the page; none of one pair of models.
    pub p_corrected: Option<f64>,
    /// Whether it is shown, after correction.
    pub shown: bool,
}

impl Answer {
    /// The differences on lines of one scale: `guided − uniform  −0.01 |----:--o------| +0.01`, and in numbers.
    pub fn drawn(&self) -> Vec<String> {
        let ends = self.differences.iter().flat_map(|d| [d.low.abs(), d.high.abs()]);
        let reach = reach(ends.fold(0.0, f64::max));
        let width = self.differences.iter().map(|d| d.name.chars().count()).max().unwrap_or(0);
        let line = |d: &Compared| {
            let shown = if d.shown { ", shown" } else { "" };
            let bar = bar(d.low, d.value, d.high, reach);
            format!("{:width$}  −{reach} {bar} +{reach}  {}{shown}", d.name, d.text)
        };
        self.differences.iter().map(line).collect()
    }
}

/// An interval around a value, on a line from `-reach` to `reach`: `:` stands at 0.
fn bar(low: f64, value: f64, high: f64, reach: f64) -> String {
    let column = |v: f64| {
        let at = (v / reach).clamp(-1.0, 1.0) * HALF as f64;
        (at.round() + HALF as f64) as usize
    };
    let (low, value, high) = (column(low), column(value), column(high));
    let sign = |i: usize| match i {
        _ if i == value => 'o',
        _ if i == low || i == high => '|',
        HALF => ':',
        _ if (low..high).contains(&i) => '-',
        _ => ' ',
    };
    (0..=2 * HALF).map(sign).collect()
}

/// The next of 1, 2 and 5 times a power of ten.
fn reach(end: f64) -> f64 {
    if !(end.is_finite() && end > 0.0) {
        return 1.0;
    }
    let exponent = end.log10().floor() as i32;
    // Written as a decimal and read again: 2 · 10^-3 and not 0.0020000000000000005.
    let steps = (exponent..=exponent + 1).flat_map(|k| [1, 2, 5].map(|digit| format!("{digit}e{k}")));
    steps.filter_map(|text| text.parse().ok()).find(|step| *step >= end).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(name: &str, low: f64, value: f64, high: f64) -> Compared {
        Compared {
            name: name.into(),
            value,
            low,
            high,
            text: format!("{value}"),
            p_corrected: None,
            shown: low > 0.0,
        }
    }

    /// Oracle: the lines by hand. 31 columns, 0 in the middle; the scale is the next round number above all ends and is shared.
    /// Catches ends exchanged, a scale for each line, and a mark at 0 that hides the value.
    #[test]
    fn intervals_are_drawn_on_one_scale() {
        let differences = vec![
            compared("guided − uniform", -0.0065, 0.0004, 0.0073),
            compared("none − uniform", 0.002, 0.004, 0.006),
            compared("same", 0.0, 0.0, 0.0),
        ];
        let answer = Answer { differences, ..Answer::default() };
        assert_eq!(
            answer.drawn(),
            [
                "guided − uniform  −0.01      |---------:o---------|     +0.01  0.0004",
                "none − uniform    −0.01                :  |--o--|       +0.01  0.004, shown",
                "same              −0.01                o                +0.01  0",
            ]
        );
    }

    /// Oracle: by hand, at the edges of the steps.
    #[test]
    fn scales_end_at_round_numbers() {
        for (end, wanted) in
            [(0.0073, 0.01), (0.01, 0.01), (0.011, 0.02), (3.0, 5.0), (470.0, 500.0), (0.0, 1.0)]
        {
            assert_eq!(reach(end), wanted, "{end}");
        }
        assert_eq!(reach(f64::NAN), 1.0);
    }
}
