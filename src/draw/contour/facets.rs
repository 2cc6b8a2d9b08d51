//! Titles of panels. Where the panels are a table, each title being a row and a column (`uniform: top 1 %`), each is said
//! once, in a strip: columns above, rows at the left.

use super::{Panel, Style};
use crate::draw::canvas::{Canvas, Point};
use crate::draw::text::{TITLE, shortened};

/// Room of a strip, pt.
const STRIP: f64 = 1.1 * TITLE + 3.0;

/// Where the panels of a figure lie, pt.
pub(crate) struct Places {
    /// Widths of the panels, the middle of each of their upper edges, and the left edge of the strips of rows.
    pub(crate) side: f64,
    pub(crate) tops: Vec<Point>,
    pub(crate) left: f64,
    /// Height of the panels.
    pub(crate) height: f64,
}

/// The titles of a figure.
pub(crate) struct Strips {
    /// What stands above each panel; empty for none.
    above: Vec<String>,
    /// What stands at the left of each row of panels.
    rows: Vec<String>,
    columns: usize,
}

impl Strips {
    /// In so many columns.
    pub(crate) fn new(panels: &[Panel], options: &Style, columns: usize) -> Strips {
        let titles = || panels.iter().map(|panel| panel.title.as_str());
        match Facets::of(titles(), options.columns) {
            Some(facets) => Strips { above: facets.columns, rows: facets.rows, columns },
            None => Strips { above: titles().map(str::to_owned).collect(), rows: Vec::new(), columns },
        }
    }

    /// Room at the left of the figure, pt.
    pub(crate) fn beside(&self) -> f64 {
        if self.rows.is_empty() { 0.0 } else { STRIP }
    }

    /// Room above the panels of a row.
    pub(crate) fn above(&self, row: usize) -> f64 {
        if self.above.len() > row * self.columns { STRIP } else { 3.0 }
    }

    /// Above the panels at `lift` from their edges, and beside their rows.
    pub(crate) fn draw(&self, canvas: &Canvas, places: &Places, lift: f64) {
        for (title, (x, y)) in self.above.iter().zip(&places.tops) {
            let (title, em) = shortened(title, TITLE, places.side);
            canvas.centred(&title, (*x, y - lift), em);
        }
        for (title, (_, y)) in self.rows.iter().zip(places.tops.iter().step_by(self.columns)) {
            let (title, em) = shortened(title, TITLE, places.height);
            canvas.upright(&title, (places.left + 0.8 * TITLE, y + places.height / 2.0), em);
        }
    }
}

/// The words of rows and columns, where the titles are all of their pairs, row by row.
pub(crate) struct Facets {
    pub(crate) rows: Vec<String>,
    pub(crate) columns: Vec<String>,
}

impl Facets {
    /// None for fewer than two rows or columns, and where `wished` asks for other columns.
    pub(crate) fn of<'a>(titles: impl Iterator<Item = &'a str>, wished: Option<usize>) -> Option<Facets> {
        let pairs: Vec<(&str, &str)> = titles.map(|title| title.split_once(": ")).collect::<Option<_>>()?;
        let first = pairs.first()?.0;
        let columns: Vec<&str> = pairs.iter().take_while(|pair| pair.0 == first).map(|pair| pair.1).collect();
        let rows: Vec<&str> = pairs.iter().step_by(columns.len()).map(|pair| pair.0).collect();
        let mut all = rows.iter().flat_map(|row| columns.iter().map(move |column| (*row, *column)));
        let table = pairs.iter().all(|pair| all.next() == Some(*pair)) && all.next().is_none();
        let distinct = (1..rows.len()).all(|i| !rows[..i].contains(&rows[i]));
        let shaped =
            rows.len() > 1 && columns.len() > 1 && wished.is_none_or(|wished| wished == columns.len());
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        (table && distinct && shaped).then(|| Facets { rows: owned(rows), columns: owned(columns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: on paper. A missing panel, another order and titles of another kind are no table.
    #[test]
    fn titles_of_a_table_are_told_from_others() {
        let of = |titles: &[&str], wished| {
            Facets::of(titles.iter().copied(), wished).map(|found| (found.rows, found.columns))
        };
        let titles = ["u: all", "u: top", "u: random", "g: all", "g: top", "g: random"];
        let table = of(&titles, None).unwrap();
        assert_eq!(table.0, ["u", "g"]);
        assert_eq!(table.1, ["all", "top", "random"]);
        assert_eq!(of(&titles, Some(3)), Some(table));
        for (titles, wished) in [
            (&titles[..], Some(2)),
            (&titles[..5], None),
            (&titles[..3], None),
            (&["u: all", "u: top", "g: top", "g: all"][..], None),
            (&["u: all", "g: all"][..], None),
            (&["u: all", "u: top", "u: all", "u: top"][..], None),
            (&["u", "g", "v", "w"][..], None),
            (&[][..], None),
        ] {
            assert_eq!(of(titles, wished), None, "{titles:?}");
        }
    }
}
