//! Loss surfaces to turn with the mouse: an element of a page, and a page of its own.
//!
//! plotly.js (in `plotly/`, MIT licence) draws, in the page itself: nothing is fetched. All surfaces of a group share one
//! range of heights and colours. A loss that is not finite is a hole. Where there is no WebGL the page says so.

use minijinja::context;
use serde::Serialize;
use serde_json::{Value, json};

use super::surface_file::Grid;
use super::template::filled;
use crate::error::Result;

/// plotly.js 4.1.1, the bundle for 3-D charts.
const PLOTLY: &str = include_str!("plotly/plotly-gl3d.min.js");
const TEMPLATE: &str = include_str!("interactive.html");
const SCRIPT: &str = include_str!("interactive.js");

/// Surfaces on one scale.
#[derive(Clone, Debug)]
pub struct Group {
    pub title: String,
    /// Quantity and unit of the heights.
    pub label: String,
    pub views: Vec<View>,
}

/// A surface to choose.
#[derive(Clone, Debug)]
pub struct View {
    pub title: String,
    pub grid: Grid,
}

/// What the script reads.
#[derive(Serialize)]
struct Data {
    title: String,
    label: String,
    views: Vec<Value>,
    low: Option<f64>,
    high: Option<f64>,
}

/// The scripts of a page with these surfaces, to stand after an element of class `surfaces`; empty where there are none.
pub(super) fn scripts(groups: &[Group]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let data: Vec<Data> = groups.iter().map(data).collect();
    // `</` would end the script.
    let data = json!(data).to_string().replace("</", "<\\/");
    format!(
        "<script>{PLOTLY}</script>\n<script type=\"application/json\" id=\"surface-data\">{data}</script>\n<script>{SCRIPT}</script>"
    )
}

fn data(group: &Group) -> Data {
    let finite = group.views.iter().flat_map(|view| &view.grid.loss).copied().filter(|v| v.is_finite());
    let range = finite.fold(None, |range: Option<(f64, f64)>, v| {
        Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
    });
    let view = |view: &View| {
        // JSON has no NaN: what is not finite becomes null.
        let rows: Vec<&[f64]> = view.grid.loss.chunks(view.grid.x.len().max(1)).collect();
        json!({"title": view.title, "x": view.grid.x, "y": view.grid.y, "z": rows})
    };
    let (low, high) = range.unzip();
    Data {
        title: group.title.clone(),
        label: group.label.clone(),
        views: group.views.iter().map(view).collect(),
        low,
        high,
    }
}

/// A page of its own.
pub fn page(group: Group) -> Result<String> {
    let title = group.title.clone();
    filled("interactive.html", TEMPLATE, context! { title, scripts => scripts(&[group]) })
}
