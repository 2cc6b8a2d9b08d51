//! Numbers, differences and counts as the page's sentences write them.
//!
//! In the answers a level has three digits and a difference as many as its interval lets it have; below them both have four.
//! Nothing is written that is no number: `± NaN` stands nowhere, and zero has no sign.

pub use crate::draw::text::capital as upper;
use crate::page::answer::Compared;

/// With its sign, as it is printed below the answers.
pub fn signed(value: f64) -> String {
    with_sign(value, 4)
}

pub fn between(low: f64, high: f64) -> String {
    format!("{} to {}", signed(low), signed(high))
}

/// A difference and its interval, where there are any, for a table.
pub fn compared(value: Option<f64>, ends: Option<(f64, f64)>) -> String {
    let ends = ends.map_or(String::new(), |(low, high)| format!(" ({})", between(low, high)));
    value.map_or(String::new(), |value| format!("{}{ends}", signed(value)))
}

/// A difference below an answer, which is drawn there.
pub fn difference(name: String, (value, ends): (f64, (f64, f64)), p: Option<f64>, shown: bool) -> Compared {
    let [own, low, high] = bounded(value, ends);
    let text = format!("{own} ({low} to {high})");
    Compared { name, value, low: ends.0, high: ends.1, text, p_corrected: p, shown }
}

pub fn spread(mean: f64, sd: Option<f64>) -> String {
    sd.map_or(fixed(mean, 4), |sd| format!("{} (sd {sd:.4})", fixed(mean, 4)))
}

pub fn spread_se(value: f64, se: f64) -> String {
    if se.is_finite() { format!("{} ± {se:.4}", fixed(value, 4)) } else { fixed(value, 4) }
}

pub fn optional(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or(String::new(), |value| fixed(value, 4))
}

/// A probability, which is never 0.
pub fn probability(p: Option<f64>) -> String {
    p.filter(|p| p.is_finite()).map_or(String::new(), |p| match p {
        p if p < 0.0001 => "< 0.0001".into(),
        p => fixed(p, 4),
    })
}

/// A level in an answer: three digits behind the point, or three in all.
pub fn level(value: f64) -> String {
    match value.abs() {
        v if v == 0.0 || (0.001..100.0).contains(&v) => fixed(value, 3),
        v if !(0.001..1e5).contains(&v) => format!("{value:.2e}").replace('-', "−"),
        _ => fixed(value, 0),
    }
}

/// A level and its standard error, where there is one.
pub fn level_se(value: f64, se: Option<f64>) -> String {
    let se = se.filter(|se| se.is_finite());
    se.map_or(level(value), |se| format!("{} ± {}", level(value), level(se)))
}

/// A difference and its interval in an answer, with two digits of half the interval.
pub fn bounded(value: f64, (low, high): (f64, f64)) -> [String; 3] {
    let half = 0.5 * (high - low);
    let digits = if half > 0.0 { 1.0 - half.log10().floor() } else { 4.0 };
    match digits {
        _ if !digits.is_finite() || digits > 6.0 => {
            [value, low, high].map(|v| format!("{v:+.1e}").replace('-', "−"))
        }
        digits => [value, low, high].map(|v| with_sign(v, digits.max(0.0) as usize)),
    }
}

/// The smallest number of one digit that is not below a value above 0: what an interval still allows. Where that would be more than
/// a quarter too much, of two digits.
pub fn at_most(value: f64) -> String {
    let exponent = value.log10().floor();
    let of_step = |step: f64, places: f64| {
        // A little room: 0.03 is 3 · 0.01, whatever their quotient is.
        let up = (value / step - 1e-9).ceil() * step;
        (up, fixed(up, places.max(0.0) as usize))
    };
    let (up, one) = of_step(10f64.powf(exponent), -exponent);
    if up <= 1.25 * value { one } else { of_step(10f64.powf(exponent - 1.0), 1.0 - exponent).1 }
}

/// As many places, true minus, and no sign before zero.
pub fn fixed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    let zero = text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.'));
    if zero { text.trim_start_matches('-').to_string() } else { text.replace('-', "−") }
}

fn with_sign(value: f64, places: usize) -> String {
    let text = fixed(value, places);
    let plain = text.starts_with('−') || text.chars().all(|c| matches!(c, '0' | '.'));
    if plain { text } else { format!("+{text}") }
}

/// One of them, or their number.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("one {what}") } else { format!("{n} {what}s") }
}

/// Some of all of them.
pub fn part_of(n: usize, all: usize, what: &str) -> String {
    format!("{} of {}", if n == 1 { "one".to_string() } else { n.to_string() }, counted(all, what))
}

/// A number in a sentence.
pub fn number(n: usize) -> String {
    const WORDS: [&str; 11] =
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    WORDS.get(n).map_or(n.to_string(), |word| word.to_string())
}

pub fn comparisons(n: usize) -> String {
    format!("{} comparison{}", number(n), if n == 1 { "" } else { "s" })
}

/// An arm in a sentence, in which `none` would say something else.
pub fn arm(title: &str) -> String {
    if title.starts_with("none") { format!("“{title}”") } else { title.to_string() }
}

/// `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: by hand. No minus before zero, two digits of half an interval, and a bound that is never below the value.
    #[test]
    fn numbers_have_the_digits_that_they_can_have() {
        assert_eq!([signed(-0.00001), signed(0.25), signed(-0.25)], ["0.0000", "+0.2500", "−0.2500"]);
        assert_eq!(bounded(0.0004, (-0.0065, 0.0073)), ["+0.0004", "−0.0065", "+0.0073"]);
        assert_eq!(bounded(-0.00823, (-0.0401, 0.0237)), ["−0.008", "−0.040", "+0.024"]);
        assert_eq!(bounded(-2.56, (-473.4, 468.3)), ["−3", "−473", "+468"]);
        assert_eq!(bounded(1e-9, (-2e-9, 4e-9)), ["+1.0e−9", "−2.0e−9", "+4.0e−9"]);
        assert_eq!([level(0.5696), level(145.3), level(5.83e-6)], ["0.570", "145", "5.83e−6"]);
        assert_eq!(
            [probability(Some(1e-9)), probability(Some(0.25)), probability(None)],
            ["< 0.0001", "0.2500", ""]
        );
        assert_eq!(level_se(0.5, Some(f64::NAN)), "0.500");
        assert_eq!(
            [at_most(0.0073), at_most(0.03), at_most(2.0), at_most(0.95), at_most(0.104), at_most(1.31)],
            ["0.008", "0.03", "2", "1.0", "0.11", "1.4"]
        );
        assert_eq!([arm("none-at-all"), arm("guided")], ["“none-at-all”", "guided"]);
        assert_eq!(listed(&["a", "b", "c"].map(String::from)), "a, b and c");
    }
}
