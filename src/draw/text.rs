//! Sizes of texts, and words that fit their room: made smaller, replaced by shorter ones, or cut.

use crate::draw::canvas::text_width;

/// Sizes of texts: titles, axis texts, numbers, key, pt.
pub(crate) const TITLE: f64 = 8.0;
pub(crate) const TEXT: f64 = 7.5;
pub(crate) const NUMBER: f64 = 7.0;
pub(crate) const SMALL: f64 = 6.5;

/// With a capital letter at the beginning.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Text size up to `em` at which `text` is no wider than `width`.
pub(crate) fn fitting(text: &str, em: f64, width: f64) -> f64 {
    let natural = text_width(text, em);
    if natural > width { em * width / natural } else { em }
}

/// `text` and its size: smaller down to 6 pt, then cut with an ellipsis.
pub(crate) fn shortened(text: &str, em: f64, width: f64) -> (String, f64) {
    let size = fitting(text, em, width).max(6.0);
    let mut kept: Vec<char> = text.chars().collect();
    let mut shown = text.to_owned();
    while text_width(&shown, size) > width && !kept.is_empty() {
        kept.pop();
        shown = kept.iter().collect::<String>().trim_end().to_owned() + "…";
    }
    (shown, size)
}

/// The first of some words, longest first, that has room at nearly `em`, uncut; else the last, [`shortened`].
pub(crate) fn first_fitting(words: &[&str], em: f64, width: f64) -> (String, f64) {
    for words in words {
        let size = fitting(words, em, width);
        if size >= 0.85 * em {
            return ((*words).to_owned(), size);
        }
    }
    shortened(words.last().unwrap_or(&""), em, width)
}
