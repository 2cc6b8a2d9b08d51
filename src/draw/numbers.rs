//! Numbers as figures print them: a true minus sign, powers of ten with raised digits, no superfluous zero.
//!
//! Used by every figure with axes, keys or labels.

/// Numbers of one scale, all exact to the digit `10^last_digit`; with powers of ten where they would be long.
pub(crate) fn written(values: &[f64], last_digit: i32) -> Vec<String> {
    let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let long = largest >= 1e5 || (largest < 1e-2 && last_digit < -3);
    let write = |&v: &f64| match v {
        v if long && v == 0.0 => "0".to_owned(),
        v if long => scientific(v, (exponent(v) - last_digit).max(0) as usize),
        v => signed(&format!("{:.*}", (-last_digit).max(0) as usize, v.abs()), v),
    };
    values.iter().map(write).collect()
}

/// Numbers of one axis with up to `digits` significant digits each: all with powers of ten, or none.
pub(crate) fn alike(values: &[f64], digits: i32) -> Vec<String> {
    let long = values.iter().any(|v| *v != 0.0 && !PLAIN.contains(&exponent(*v)));
    let write = |&v: &f64| match long && v != 0.0 {
        true => scientific(v, (digits - 1).max(0) as usize),
        false => significant(v, digits),
    };
    values.iter().map(write).collect()
}

/// Powers of ten of numbers that are written without one.
const PLAIN: std::ops::Range<i32> = -4..5;

/// `v` with up to `digits` significant digits and no superfluous zero.
pub(crate) fn significant(v: f64, digits: i32) -> String {
    if v == 0.0 {
        return "0".to_owned();
    }
    if !v.is_finite() {
        return "not finite".to_owned();
    }
    let e = exponent(v);
    if !PLAIN.contains(&e) {
        return scientific(v, (digits - 1).max(0) as usize);
    }
    signed(trimmed(&format!("{:.*}", (digits - 1 - e).max(0) as usize, v.abs())), v)
}

/// A number and its standard error, `1.38 ± 0.10`: two digits of the error, and the number to the same place.
pub(crate) fn with_error(v: f64, se: f64) -> (String, String) {
    if !(se.is_finite() && se > 0.0 && v.is_finite()) {
        return (significant(v, 4), significant(se, 2));
    }
    // Rounded first: of 0.0996 the two digits are those of 0.10.
    let rounded: f64 = format!("{se:.1e}").parse().unwrap_or(se);
    let both = written(&[v, rounded], exponent(rounded) - 1);
    (both[0].clone(), both[1].clone())
}

fn exponent(v: f64) -> i32 {
    // By way of text: the logarithm of 1000 may come out below 3.
    format!("{v:e}").split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
}

/// `v` as 2.5×10⁶, with up to `decimals` decimals.
pub(crate) fn scientific(v: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$e}", v.abs());
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let raised: String = power.chars().map(superscript).collect();
    match trimmed(mantissa) {
        "1" => signed(&format!("10{raised}"), v),
        mantissa => signed(&format!("{mantissa}×10{raised}"), v),
    }
}

fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' | '4'..='9' => char::from_u32('⁰' as u32 + c as u32 - '0' as u32).unwrap_or(c),
        other => other,
    }
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

fn signed(magnitude: &str, v: f64) -> String {
    if v < 0.0 { format!("−{magnitude}") } else { magnitude.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. Catches a zero of the error that is dropped, a number with more digits than its error, and an error that becomes
    /// one digit longer by rounding.
    #[test]
    fn an_error_has_two_digits_and_its_number_as_many_places() {
        for (v, se, wanted) in [
            (1.381, 0.1, ("1.38", "0.10")),
            (1.381, 0.0996, ("1.38", "0.10")),
            (-0.25, 0.0123, ("−0.250", "0.012")),
            (10.84, 1.04, ("10.8", "1.0")),
            (321.0, 12.3, ("321", "12")),
            (0.5, f64::NAN, ("0.5", "not finite")),
        ] {
            assert_eq!(with_error(v, se), (wanted.0.to_string(), wanted.1.to_string()));
        }
    }

    #[test]
    fn numbers_are_written_for_print() {
        let cases = [
            (0.0, "0"),
            (2.5e6, "2.5×10⁶"),
            (-1e-7, "−10⁻⁷"),
            (0.001, "0.001"),
            (1234.5678, "1235"),
            (-0.5, "−0.5"),
        ];
        for (v, text) in cases {
            assert_eq!(significant(v, 4), text);
        }
        assert_eq!(alike(&[2e-5, 1e-4, 3e-4], 3), ["2×10⁻⁵", "10⁻⁴", "3×10⁻⁴"]);
        assert_eq!(alike(&[1e-4, 0.0, 0.25], 3), ["0.0001", "0", "0.25"]);
    }
}
