//! Numbers of a table and their uncertainty as text: `v ± e`, `v [low, high]`.
//!
//! The uncertainty chooses the digits: two significant ones of it, or of half the interval, and as many of the number;
//! all of a cell to one digit and, where they are very small or large, with one power of ten. Without an uncertainty
//! there are four significant digits at most. Integers stay integers, whatever their size.
//!
//! The trap: an uncertainty may be that of rounding, as the standard deviation of equal numbers. It chooses nothing.

use crate::draw::numbers::scientific;

/// An uncertainty below this part of its number is that of rounding.
const ROUNDING: f64 = 1e-9;
/// Significant digits of numbers without an uncertainty.
const DIGITS: usize = 4;

/// The number that a cell holds, also an infinite one that says so.
pub(super) fn number(cell: &str) -> Option<f64> {
    let says_so = |v: &f64| !v.is_infinite() || cell.to_lowercase().contains("inf");
    cell.parse::<f64>().ok().filter(says_so)
}

/// A number with the uncertainty that is known of it; dashes for parts that are not.
pub(super) fn measured(cell: &str, error: Option<&str>, interval: Option<(&str, &str)>) -> Option<String> {
    let known = |cell: &&str| number(cell).is_some();
    let (error, ends) = (error.filter(known), interval.filter(|(low, high)| known(low) || known(high)));
    let parts: Vec<&str> =
        [Some(cell), error, ends.map(|e| e.0), ends.map(|e| e.1)].into_iter().flatten().collect();
    let values: Vec<f64> = parts.iter().filter_map(|part| number(part)).collect();
    if values.is_empty() {
        return None;
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
    Some(match power {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(v: &str, error: &str, interval: (&str, &str)) -> String {
        let error = (!error.is_empty()).then_some(error);
        let interval = (interval.0.len() + interval.1.len() > 0).then_some(interval);
        measured(v, error, interval).unwrap_or_default()
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
            ("", "", none, ""),
        ] {
            assert_eq!(cell(v, error, interval), text, "{v} {error} {interval:?}");
        }
    }
}
