//! Loss surfaces to turn with the mouse: an element of a page, and a page of its own.
//!
//! plotly.js (in `plotly/`, MIT licence) draws, in the page itself: nothing is fetched. All surfaces of a group share one
//! range of heights and colours, and are rises above the trained models where all of them are around one. Two stand side by
//! side under one camera, and what the pointer is at is told of both. A loss that is not finite is a hole. Marks stand on the
//! surface. Where there is no WebGL the page says so.

use minijinja::context;
use serde::Serialize;
use serde_json::{Value, json};

use crate::draw::marks::{Mark, Marks};
use crate::error::Result;
use crate::page::template::filled;
use crate::tables::surface::{DIFFERENCE_SE, Grid, LOSS_SE};

/// plotly.js 4.1.1, the bundle for 3-D charts.
const PLOTLY: &str = include_str!("plotly/plotly-gl3d.min.js");
const TEMPLATE: &str = include_str!("interactive.html");
const SCRIPT: &str = include_str!("interactive.js");

/// Pieces of a path between two of its points.
const STEPS: u32 = 16;

/// Surfaces on one scale.
#[derive(Clone, Debug)]
pub struct Group {
    pub title: String,
    /// Quantity and unit of the heights.
    pub label: String,
    /// Heights and colours end here; the text at the pointer has the true loss.
    pub clip: Option<f64>,
    pub views: Vec<View>,
}

/// A surface to choose.
#[derive(Clone, Debug)]
pub struct View {
    pub title: String,
    pub grid: Grid,
    /// Stand on the surface.
    pub marks: Marks,
}

/// What the script reads.
#[derive(Serialize)]
struct Data {
    title: String,
    /// What the heights are, in a word, and with the unit.
    what: &'static str,
    label: String,
    views: Vec<Value>,
    low: Option<f64>,
    high: Option<f64>,
}

/// The scripts of a page with these surfaces, to stand after an element of class `surfaces`; empty where there are none.
pub(crate) fn scripts(groups: &[Group]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let data: Vec<Data> = groups.iter().map(data).collect();
    // `</` would end the script, and `<!--` keep it from ending.
    let data = json!(data).to_string().replace('<', "\\u003c");
    // The library is text until the surfaces are seen: a page is read before it is rotated.
    format!(
        "<script type=\"text/plain\" id=\"plotly\">{PLOTLY}</script>\n<script type=\"application/json\" id=\"surface-data\">{data}</script>\n<script>{SCRIPT}</script>"
    )
}

fn data(group: &Group) -> Data {
    let rises = rises(&group.views);
    let (what, views) = match &rises {
        Some(views) => ("rise", views),
        None => ("loss", &group.views),
    };
    let finite = views.iter().flat_map(|view| &view.grid.loss).copied().filter(|v| v.is_finite());
    let range = finite.fold(None, |range: Option<(f64, f64)>, v| {
        Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    });
    let (low, high) = range.unzip();
    let high = high.map(|high| f64::min(high, group.clip.unwrap_or(high)));
    let label = if rises.is_some() { format!("rise of {}", group.label) } else { group.label.clone() };
    let views = views.iter().map(|view| of_view(view, rises.is_some())).collect();
    Data { title: group.title.clone(), what, label, views, low, high }
}

/// The surfaces less the losses of the trained models at their centres, unless one of them is around none.
fn rises(views: &[View]) -> Option<Vec<View>> {
    let rise = |view: &View| {
        let centre = view.grid.centre.filter(|loss| loss.is_finite() && !view.marks.name_origin())?;
        let loss = view.grid.loss.iter().map(|loss| loss - centre).collect();
        Some(View { grid: Grid { loss, ..view.grid.clone() }, ..view.clone() })
    };
    views.iter().map(rise).collect()
}

fn of_view(view: &View, rise: bool) -> Value {
    // JSON has no NaN: what is not finite becomes null.
    let rows = |values: &[f64]| json!(values.chunks(view.grid.x.len().max(1)).collect::<Vec<_>>());
    let title = match view.grid.known {
        Some(_) => {
            let (own, all) = (view.grid.evaluated(), view.grid.loss.len());
            format!("{} ({own} of {all} points evaluated)", view.title)
        }
        None => view.title.clone(),
    };
    let mut value = json!({"title": title, "x": view.grid.x, "y": view.grid.y, "z": rows(&view.grid.loss)});
    if let Some(se) = view.grid.column(if rise { DIFFERENCE_SE } else { LOSS_SE }) {
        value["se"] = rows(se);
    }
    let model = Mark { label: "the model".into(), x: 0.0, y: 0.0, order: None, distance: None };
    let own = Marks { points: vec![model], path: Vec::new() };
    let marks = if rise && view.marks.all().next().is_none() { &own } else { &view.marks };
    if marks.all().next().is_some() {
        value["marks"] = marked(marks, &view.grid);
    }
    value
}

/// Named points and a path, each at the height of the surface there; those outside are left out.
fn marked(marks: &Marks, grid: &Grid) -> Value {
    let on = |marks: &[Mark]| -> Vec<(Mark, f64)> {
        marks.iter().filter_map(|mark| Some((mark.clone(), height(grid, mark.x, mark.y)?))).collect()
    };
    let trace = |points: Vec<(Mark, f64)>| {
        let of = |get: fn(&(Mark, f64)) -> f64| points.iter().map(get).collect::<Vec<f64>>();
        let name = |(mark, _): &(Mark, f64)| match mark.order {
            Some(step) if mark.label.trim().is_empty() => format!("step {step}"),
            _ => mark.label.clone(),
        };
        let names: Vec<String> = points.iter().map(name).collect();
        json!({"x": of(|p| p.0.x), "y": of(|p| p.0.y), "z": of(|p| p.1), "text": names})
    };
    // Between its points the path follows the surface; it is broken outside.
    let between = |pair: &[Mark]| -> Vec<[Option<f64>; 3]> {
        let at = |t: f64| [(pair[0].x, pair[1].x), (pair[0].y, pair[1].y)].map(|(a, b)| a + (b - a) * t);
        let steps = (0..=STEPS).map(|k| at(f64::from(k) / f64::from(STEPS)));
        steps.map(|[x, y]| [Some(x), Some(y), height(grid, x, y)]).collect()
    };
    let line: Vec<[Option<f64>; 3]> = marks.path.windows(2).flat_map(between).collect();
    let axis = |k: usize| line.iter().map(|at| at[k]).collect::<Vec<Option<f64>>>();
    json!({
        "points": trace(on(&marks.points)),
        "path": trace(on(&marks.path)),
        "line": {"x": axis(0), "y": axis(1), "z": axis(2)},
    })
}

/// The surface at a place, linear between the grid points; none outside the grid or beside a loss that is not finite.
fn height(grid: &Grid, x: f64, y: f64) -> Option<f64> {
    let cell = |axis: &[f64], v: f64| {
        let i = axis.partition_point(|a| *a <= v).checked_sub(1)?.min(axis.len().checked_sub(2)?);
        let part = (v - axis[i]) / (axis[i + 1] - axis[i]);
        (0.0..=1.0).contains(&part).then_some((i, part))
    };
    let ((i, u), (j, v)) = (cell(&grid.x, x)?, cell(&grid.y, y)?);
    let at = |i: usize, j: usize| grid.loss[j * grid.x.len() + i];
    let row = |j: usize| at(i, j) * (1.0 - u) + at(i + 1, j) * u;
    Some(row(j) * (1.0 - v) + row(j + 1) * v).filter(|z| z.is_finite())
}

/// A page of its own.
pub fn page(group: Group) -> Result<String> {
    let title = group.title.clone();
    filled("interactive.html", TEMPLATE, context! { title, scripts => scripts(&[group]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: HTML's rules for scripts, by hand: no `<` is left in the data, so neither `</script` ends them nor `<!--<script` keeps them
    /// from ending, and JSON reads the title as it was.
    #[test]
    fn no_title_breaks_the_page() {
        let title = "<!--<script></script>";
        let group = Group { title: title.into(), label: "l".into(), clip: None, views: Vec::new() };
        let scripts = scripts(&[group]);
        let (_, data) = scripts.split_once("id=\"surface-data\">").unwrap();
        let data = data.split_once("</script>").unwrap().0;
        assert!(!data.contains('<'));
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()[0]["title"], title);
    }

    /// Oracle: a plane is its own linear interpolation; also at the edges, on uneven coordinates that differ in x and y.
    #[test]
    fn marks_stand_on_the_surface() {
        let (x, y) = (vec![0.0, 1.0, 3.0], vec![-1.0, 1.0]);
        let loss = y.iter().flat_map(|y| x.iter().map(move |x| 2.0 * x + 5.0 * y)).collect();
        let mut grid = Grid { x, y, loss, ..Grid::default() };
        for (x, y) in [(0.0, -1.0), (3.0, 1.0), (2.5, 0.3), (1.0, 1.0)] {
            assert!((height(&grid, x, y).unwrap() - 2.0 * x - 5.0 * y).abs() < 1e-12);
        }
        assert_eq!((height(&grid, 3.1, 0.0), height(&grid, 0.0, -1.1)), (None, None));
        grid.loss[0] = f64::NAN;
        assert_eq!(height(&grid, 0.5, 0.0), None);
        let mark = |x: f64| Mark { label: "m".into(), x, y: 0.0, order: None, distance: None };
        let marks = Marks { points: vec![mark(2.0), mark(9.0)], path: vec![] };
        let view = View { title: "v".into(), grid, marks };
        let group = Group { title: "t".into(), label: "l".into(), clip: Some(3.0), views: vec![view] };
        let data = data(&group);
        assert_eq!(data.high, Some(3.0));
        assert_eq!(data.views[0]["marks"]["points"]["z"], json!([4.0]));
        // The path of two points leaves the grid at x = 3, two thirds of the way.
        let path = |x: f64, step: f64| Mark { order: Some(step), ..mark(x) };
        let marks = Marks { points: vec![], path: vec![path(1.0, 0.0), path(4.0, 1.0)] };
        let line = &marked(&marks, &group.views[0].grid)["line"];
        let known = line["z"].as_array().unwrap().iter().filter(|z| !z.is_null()).count();
        assert_eq!((known, &line["z"][8]), (11, &json!(5.0)));
        // The losses themselves are not clipped.
        assert_eq!(data.views[0]["z"][1][2], json!(11.0));
    }

    /// Oracle: on paper: around trained models the heights are rises, with the errors of rises, and the model is named; of one
    /// surface without a model all are losses.
    #[test]
    fn around_models_the_heights_are_rises() {
        let columns =
            vec![(LOSS_SE.to_owned(), vec![0.5; 4]), (DIFFERENCE_SE.to_owned(), vec![0.0, 0.1, 0.1, 0.1])];
        let (x, y, loss) = (vec![0.0, 1.0], vec![0.0, 1.0], vec![1.5, 2.0, 2.5, 3.0]);
        let grid = Grid { x, y, loss, columns, centre: Some(1.5), ..Grid::default() };
        let other = Grid { centre: None, ..grid.clone() };
        let view = |grid: &Grid| View { title: "v".into(), grid: grid.clone(), marks: Marks::default() };
        let of = |views| data(&Group { title: "t".into(), label: "loss (nats)".into(), clip: None, views });
        let rise = of(vec![view(&grid), view(&grid)]);
        assert_eq!(
            (rise.what, rise.label.as_str(), rise.low, rise.high),
            ("rise", "rise of loss (nats)", Some(0.0), Some(1.5))
        );
        assert_eq!((&rise.views[0]["z"][1][1], &rise.views[0]["se"][0][1]), (&json!(1.5), &json!(0.1)));
        assert_eq!(rise.views[1]["marks"]["points"]["text"], json!(["the model"]));
        let loss = of(vec![view(&grid), view(&other)]);
        assert_eq!((loss.what, loss.low, &loss.views[0]["se"][0][0]), ("loss", Some(1.5), &json!(0.5)));
        assert!(loss.views[0].get("marks").is_none());
    }
}
