//! `MARKS.csv`: named points (pre-trained, uniform, guided) and paths of training in the plane of a surface.
//!
//! Header `label,x,y,order,distance`. A row with a label and no order is a named point; rows with an order (a training
//! step) are joined in that order. `distance` says how far a point lies off the plane, where that is known: what is
//! drawn is its projection.
//!
//! Drawn by [`crate::draw::contour`], [`crate::draw::relief`] and [`crate::draw::profile`].

pub(crate) mod signs;

use std::path::Path;

use serde::Deserialize;

use crate::draw::numbers::significant;
use crate::error::{Error, Result};
use crate::files;

/// Distances off the plane up to this are rounding of the coordinates.
const ROUNDING: f64 = 1e-4;

/// A point with a name, or one of a path.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Mark {
    /// May be empty on a path.
    #[serde(default)]
    pub label: String,
    pub x: f64,
    pub y: f64,
    /// The training step of a point of a path.
    #[serde(default)]
    pub order: Option<f64>,
    /// How far the point lies off the plane.
    #[serde(default)]
    pub distance: Option<f64>,
}

/// What is marked in a plane; `Marks::default()` is nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    /// Those with a name alone.
    pub points: Vec<Mark>,
    /// Those with an order, ascending.
    pub path: Vec<Mark>,
}

impl Marks {
    /// Reads `MARKS.csv`; rows may stand in any order.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, coordinates or orders that are not finite, a row without label and order,
    /// or one order twice.
    pub fn read(path: &Path) -> Result<Marks> {
        let fix = "give columns label,x,y,order,distance; order and distance may be empty";
        let wrong = |field: &str, expected: &str, found: String| {
            Err(Error::field(path.display(), field, expected, found, fix))
        };
        let mut marks = Marks::default();
        for mark in files::read_csv::<Mark>(path, fix)? {
            let finite = |v: f64| v.abs() <= 1e9;
            if !(finite(mark.x) && finite(mark.y) && mark.order.is_none_or(finite)) {
                return wrong("x, y, order", "finite and below 1e9", format!("{mark:?}"));
            }
            match mark.order {
                Some(_) => marks.path.push(mark),
                None if mark.label.trim().is_empty() => {
                    return wrong("label", "given where there is no order", format!("{mark:?}"));
                }
                None => marks.points.push(mark),
            }
        }
        marks.path.sort_by(|a, b| a.order.unwrap_or(0.0).total_cmp(&b.order.unwrap_or(0.0)));
        if let Some(twice) = marks.path.windows(2).find(|pair| pair[0].order == pair[1].order) {
            return wrong("order", "different for each point of the path", format!("{:?}", twice[0].order));
        }
        Ok(marks)
    }

    /// Those of several files, each point once; a path is that of the first file which has one.
    pub fn together(files: &[Marks]) -> Marks {
        let mut together = Marks::default();
        for marks in files {
            let new = |mark: &&Mark| !together.points.contains(mark);
            let points: Vec<Mark> = marks.points.iter().filter(new).cloned().collect();
            together.points.extend(points);
            if together.path.is_empty() {
                together.path = marks.path.clone();
            }
        }
        together
    }

    /// Named points, then those of the path.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mark> {
        self.points.iter().chain(&self.path)
    }

    /// Whether a named point lies at (0, 0), and so says what is there.
    pub(crate) fn name_origin(&self) -> bool {
        self.points.iter().any(|mark| (mark.x, mark.y) == (0.0, 0.0))
    }

    /// What is written beside the points: names, and the steps at both ends of the path.
    pub(crate) fn labelled(&self) -> Vec<(&Mark, String)> {
        let last = self.path.len().saturating_sub(1);
        let on_path = self.path.iter().enumerate().filter_map(|(i, mark)| {
            let step = || mark.order.filter(|_| i == 0 || i == last).map(|step| format!("step {step}"));
            let name = Some(mark.label.trim().to_owned()).filter(|name| !name.is_empty());
            Some((mark, name.or_else(step)?))
        });
        self.points.iter().map(|mark| (mark, mark.label.trim().to_owned())).chain(on_path).collect()
    }
}

/// What keys and captions say of marks that do not lie in their plane.
pub(crate) fn projected<'a>(marks: impl Iterator<Item = &'a Marks>) -> Option<String> {
    let distances = marks.flat_map(Marks::all).filter_map(|mark| mark.distance);
    let most = distances.filter(|d| d.is_finite()).fold(0.0, f64::max);
    (most > ROUNDING).then(|| format!("points are projections: up to {} off the plane", significant(most, 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Marks> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("marks.csv");
        std::fs::write(&path, text).unwrap();
        Marks::read(&path)
    }

    /// Oracle: on paper. Rows out of order would draw a path that was never walked.
    #[test]
    fn a_path_has_the_order_of_its_steps_and_its_ends_have_names() {
        let text = "label,x,y,order,distance\nguided,1,0,,\n,0.5,0.1,20,3\n,0,0,0,0\nbest,0.7,0.2,100,4.5\n";
        let marks = read(text).unwrap();
        assert_eq!(marks.path.iter().map(|mark| mark.x).collect::<Vec<f64>>(), [0.0, 0.5, 0.7]);
        let names: Vec<String> = marks.labelled().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["guided", "step 0", "best"]);
        assert!(!marks.name_origin() && projected([&marks].into_iter()).is_some());
        let plane = read("label,x,y,order,distance\nmodel,-0.0,0,,1e-6\n").unwrap();
        assert!(plane.name_origin() && projected([&plane].into_iter()).is_none());
        assert_eq!(read("label,x,y\na,1,2\n").unwrap().points.len(), 1);
    }

    #[test]
    fn what_cannot_be_marked_is_refused_by_field() {
        for (row, field) in [
            (",1,2,,", "`label`"),
            ("a,NaN,2,,", "`x, y, order`"),
            ("a,x,2,,", "`row`"),
            (",1,1,inf,", "order"),
        ] {
            let message = read(&format!("label,x,y,order,distance\n{row}\n")).unwrap_err().to_string();
            assert!(message.contains("marks.csv") && message.contains(field), "{message}");
        }
        let message = read("label,x,y,order,distance\n,1,1,5,\n,2,2,5,\n").unwrap_err().to_string();
        assert!(message.contains("`order`"), "{message}");
    }
}
