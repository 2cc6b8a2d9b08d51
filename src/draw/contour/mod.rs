//! Loss surfaces as filled contour plots, several panels on one colour scale, as SVG; around trained models their rises
//! ([`rises`]).
//!
//! The losses at the grid points are the data; colours and lines between them are interpolated
//! (`upsample`), which the file says in its description and which [`Style::dots`] shows by marking the grid
//! points. All panels share the levels, so equal colours are equal losses. A loss that is not finite is never
//! replaced: the cells around it are hatched and counted in the key.
//!
//! With [`Spacing::Log`] the logarithm of the loss is interpolated, and each loss must be positive.
//! The trap: panels are square whatever their spans, so a circle in (a, b) need not be one on paper.
//!
//! plotters draws frames, ticks and axis texts on `canvas`; filled areas, which have holes, go there
//! directly. `levels` chooses values, `trace` finds lines, `labels` places numbers, `key` explains.
//! [`crate::draw::image`] makes a PNG of the result.

pub(crate) mod axes;
mod caption;
pub(crate) mod facets;
pub(crate) mod key;
pub(crate) mod labels;
pub(crate) mod levels;
pub(crate) mod plain;
mod rise;
mod trace;
pub(crate) mod upsample;

use self::axes::{Frame, Layout};
pub use self::caption::caption;
use self::levels::Levels;
pub use self::levels::Spacing;
pub use self::rise::rises;
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, Point, path_data};
use crate::draw::colour::{self, ColourMap, hatched, ink};
use crate::draw::counts::Counts;
use crate::draw::legend::{Entry, Sheet};
use crate::draw::marks::signs::{self, Placed, Signs};
use crate::draw::marks::{self, Marks};
use crate::draw::numbers::{significant, with_error};
use crate::draw::text;
use crate::error::{Error, Result};

/// Where the viewer stands, in degrees; far away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// From the first direction (a) towards the second (b): at -90 a runs to the right and b away from the viewer.
    pub azimuth: f64,
    /// Above the plane of the directions, between 0 and 90.
    pub elevation: f64,
}

impl Default for View {
    fn default() -> View {
        View { azimuth: -60.0, elevation: 30.0 }
    }
}

/// One surface: losses on a grid of coordinates along two directions.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Above the panel; made smaller, then cut, where it is too long.
    pub title: String,
    /// Texts of its axes, where they are not those of the figure.
    pub axes: Option<[String; 2]>,
    /// Coordinates along the first direction, ascending, at least two; need not be equally spaced.
    pub x: Vec<f64>,
    /// Coordinates along the second direction, likewise.
    pub y: Vec<f64>,
    /// Losses `[iy, ix]`: y outer, x inner. May hold NaN and infinities. Rises, where [`Style::rise`] says so.
    pub loss: Vec<f64>,
    /// Loss of the trained model itself, (a, b) = (0, 0), where known; written above the panel, not drawn.
    pub centre: Option<f64>,
    /// Its standard error, where known.
    pub centre_se: Option<f64>,
    /// Standard errors of the losses less that of the model, example by example, where known.
    pub errors: Option<Vec<f64>>,
    /// Where some losses are filled in, which ones were evaluated.
    pub known: Option<Vec<bool>>,
    /// Which grid points have a dot, where it is not those that were evaluated.
    pub dotted: Option<Vec<bool>>,
    /// Stands above the panel in place of the loss of the model.
    pub note: Option<String>,
    /// Named points and a path in the plane.
    pub marks: Marks,
}

impl Panel {
    /// The texts of its axes.
    pub(crate) fn axis_texts<'a>(&'a self, options: &'a Style) -> [&'a str; 2] {
        let own = self.axes.as_ref().map(|own| own.each_ref().map(String::as_str));
        own.unwrap_or([&options.x_label, &options.y_label])
    }

    /// What stands above it, below its title.
    fn words(&self) -> Option<String> {
        let centre = self.centre.map(|loss| {
            let written =
                self.centre_se.map(|se| with_error(loss, se)).map(|(loss, se)| format!("{loss} ± {se}"));
            format!("loss at (0, 0): {}", written.unwrap_or_else(|| significant(loss, 4)))
        });
        self.note.clone().or(centre)
    }
}

/// How a figure looks; `Style::default()` suits a paper.
#[derive(Debug, Clone)]
pub struct Style {
    /// Width on paper; by default 84 mm for one column of panels, 129 for two, 174 for more.
    pub width_mm: Option<f64>,
    /// Panels per row; by default up to three in one row, four as 2 x 2, more in rows of three.
    pub columns: Option<usize>,
    pub x_label: String,
    pub y_label: String,
    /// Beside the colour bar: the quantity and its unit.
    pub loss_label: String,
    pub map: ColourMap,
    pub spacing: Spacing,
    /// Whether what is drawn are rises above the model in each panel.
    pub rise: bool,
    /// Number of bands to aim at; round levels decide.
    pub bands: usize,
    /// Mark the grid points, and what those are called.
    pub dots: bool,
    pub dot_words: &'static str,
    /// What the bands around curves of one draw are, where not a standard error.
    pub band_words: Option<&'static str>,
    /// Losses above this are not drawn to scale but marked and counted.
    pub clip: Option<f64>,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            width_mm: None,
            columns: None,
            x_label: "direction x (a)".to_owned(),
            y_label: "direction y (b)".to_owned(),
            loss_label: "loss (nats)".to_owned(),
            map: ColourMap::default(),
            spacing: Spacing::default(),
            rise: false,
            bands: 12,
            dots: false,
            dot_words: "grid point",
            band_words: None,
            clip: None,
        }
    }
}

impl Style {
    /// Whether it is the logarithm of the loss that is drawn.
    pub(crate) fn is_log(&self) -> bool {
        self.spacing == Spacing::Log && !self.rise
    }
}

/// Fine points per axis to aim at.
const FINE: usize = 200;

/// For readers of the file.
const DESCRIPTION: &str = "Losses were evaluated at the grid points only; colours and lines between them are \
                           interpolated (limited cubic), and cells next to a loss that is not finite are hatched.";

/// The figure of `panels` as SVG text, in rows of [`Style::columns`], with one colour bar.
///
/// The same panels and options give the same bytes. Sizes are for print: titles 8 pt, axes 7, key 6.5,
/// numbers on lines 5.5; a text too long for its panel is made smaller.
///
/// # Errors
///
/// [`Error::Field`] if there is no panel, if coordinates are not ascending, finite, distinct and at least two
/// per axis, if `loss` has not one value per grid point, if no loss is finite, if [`Spacing::Log`] meets a
/// loss that is not positive, if there are no columns, or if the width leaves no room.
pub fn contour_figure(panels: &[Panel], options: &Style) -> Result<String> {
    let bands = Bands::new(panels, options)?;
    let layout = Layout::new(panels, options, &bands.levels)?;
    let marked = panels.iter().zip(&layout.frames).map(|(panel, frame)| marked(panel, frame, options));
    let marked: Vec<Placed> = marked.collect();
    let sheet = Sheet::new(layout.width, layout.key, entries(panels, options, &marked), key::SIGN);
    let canvas = &sheet.canvas;
    for ((panel, frame), marked) in panels.iter().zip(&layout.frames).zip(&marked) {
        draw_panel(canvas, panel, frame, options, &bands, marked)?;
        axes::draw(canvas, frame, panel.axis_texts(options))?;
        centre_words(canvas, panel, (frame.left + frame.side / 2.0, frame.top - 4.0), frame.side);
    }
    layout.titles(canvas, panels);
    key::bar(canvas, layout.bar, layout.bar_height, &bands, &options.loss_label, key::hatched_field);
    Ok(sheet.finish(DESCRIPTION))
}

/// The bands of all panels together.
pub(crate) struct Bands {
    pub(crate) levels: Levels,
    /// Of all bands and, where losses are clipped, of what lies above.
    pub(crate) colours: Vec<String>,
}

impl Bands {
    pub(crate) fn new(panels: &[Panel], options: &Style) -> Result<Bands> {
        let levels = checked_levels(panels, options)?;
        let clipped = levels.clipped.then(|| colour::CLIPPED.to_owned());
        let colours = options.map.parts(levels.bands()).into_iter().chain(clipped).collect();
        Ok(Bands { levels, colours })
    }
}

/// The levels of all panels together, once everything is known to be usable.
fn checked_levels(panels: &[Panel], options: &Style) -> Result<Levels> {
    check(panels, options)?;
    let (min, max) = upsample::range(panels.iter().flat_map(|panel| &panel.loss));
    if min > max {
        let fix =
            "the model has diverged, or the surface reaches too far: lower the learning rate, or the span";
        return Err(Error::field("figure", "loss", "finite at one point at least", "none", fix));
    }
    let clip = options.clip.filter(|clip| *clip < max || clip.is_nan());
    match clip {
        None => Ok(levels(panels, options, min, max)),
        Some(clip) if clip > min => Ok(levels(panels, options, min, clip).clipped(min, clip, options.bands)),
        Some(clip) => {
            let fix = "choose a higher one, or leave it out";
            Err(Error::field("figure", "clip", format!("above the lowest loss, {min}"), clip, fix))
        }
    }
}

fn levels(panels: &[Panel], options: &Style, min: f64, max: f64) -> Levels {
    if options.map == ColourMap::BlueRed {
        // White in the middle is no difference.
        let most = max.abs().max(min.abs());
        return Levels::new(-most, most, options.bands, options.spacing).without_zero();
    }
    match options.rise && options.spacing != Spacing::Linear {
        true => Levels::rises(min, max, rise::least(panels, max.abs().max(min.abs()))),
        false => Levels::new(min, max, options.bands, options.spacing),
    }
}

fn check(panels: &[Panel], options: &Style) -> Result<()> {
    if options.columns == Some(0) {
        return Err(Error::field("figure", "columns", "at least 1", 0, "leave it out to have 1 to 3"));
    }
    if panels.is_empty() {
        return Err(Error::field("figure", "panels", "at least one", "none", "give a surface"));
    }
    if options.bands == 0 || options.bands > 100 {
        let fix = "12 suits most surfaces";
        return Err(Error::field("figure", "bands", "from 1 to 100", options.bands, fix));
    }
    for panel in panels {
        let place = format!("surface {:?}", panel.title);
        for (name, values) in [("x", &panel.x), ("y", &panel.y)] {
            let ascending = values.iter().all(|v| v.is_finite()) && values.is_sorted_by(|a, b| a < b);
            if values.len() < 2 || !ascending {
                let expected = "two or more ascending, distinct, finite coordinates";
                let fix = "sort the grid by y, then x";
                return Err(Error::field(place, name, expected, format!("{values:?}"), fix));
            }
        }
        let (nx, ny) = (panel.x.len(), panel.y.len());
        if panel.loss.len() != nx * ny {
            let expected = format!("{ny} x {nx} values, y outer");
            let fix = "give one loss per grid point";
            return Err(Error::field(place, "loss", expected, panel.loss.len(), fix));
        }
        let log = options.is_log();
        if let Some(v) = panel.loss.iter().find(|v| log && v.is_finite() && **v <= 0.0) {
            let expected = "positive for logarithmic levels";
            return Err(Error::field(place, "loss", expected, v, "use linear levels"));
        }
    }
    Ok(())
}

/// Whether the i-th loss was evaluated, not filled in.
pub(crate) fn is_known(panel: &Panel, i: usize) -> bool {
    panel.known.as_ref().is_none_or(|known| known.get(i).copied().unwrap_or(false))
}

/// Whether (0, 0) lies in the panel.
pub(crate) fn has_origin(panel: &Panel) -> bool {
    let within = |v: &[f64]| v[0] <= 0.0 && v[v.len() - 1] >= 0.0;
    within(&panel.x) && within(&panel.y)
}

/// Whether the trained model is marked by the cross, not by a name.
pub(crate) fn has_cross(panel: &Panel) -> bool {
    has_origin(panel) && !panel.marks.name_origin()
}

/// The lowest grid point as (x, y), if it is lower than the model by [`rise::CLEAR`] errors: what is nearer may be chance.
fn lowest(panel: &Panel, options: &Style) -> Option<(f64, f64)> {
    let (min, _) = upsample::range(&panel.loss);
    let at = panel.loss.iter().position(|&v| v == min)?;
    let error = panel.errors.as_ref()?.get(at)?;
    let model = if options.rise { 0.0 } else { panel.centre? };
    (min + rise::CLEAR * error < model).then(|| (panel.x[at % panel.x.len()], panel.y[at / panel.x.len()]))
}

/// What the signs mean, only those that occur.
fn entries(panels: &[Panel], options: &Style, marked: &[Placed]) -> Vec<Entry<'static>> {
    let counts = counts(panels, options);
    let Counts { points, lost, .. } = counts;
    let mut entries = Vec::new();
    if panels.iter().any(has_cross) {
        entries.push(Entry::new(key::cross, "trained model (0, 0)"));
    }
    if panels.iter().any(|panel| lowest(panel, options).is_some()) {
        entries.push(Entry::new(key::ring, "lowest grid point, by two standard errors"));
    }
    if options.dots {
        entries.push(Entry::new(key::dot, options.dot_words));
    }
    if let Some(words) = counts.clipped_words() {
        entries.push(key::field(key::hatched_field, words));
    }
    if lost > 0 {
        let words = format!("loss not finite ({lost} of {points} points)");
        entries.push(Entry::new(key::hatched_sign, words));
    }
    entries.extend(marks_in_key(panels, marked));
    entries
}

/// What the key says of marks.
pub(crate) fn marks_in_key(panels: &[Panel], marked: &[Placed]) -> Vec<Entry<'static>> {
    let total = panels.iter().map(|panel| panel.marks.all().count()).sum();
    let projected = marks::projected(panels.iter().map(|panel| &panel.marks)).map(Entry::note);
    signs::entries(marked, total).into_iter().chain(projected).collect()
}

pub(crate) fn counts(panels: &[Panel], options: &Style) -> Counts {
    Counts::of(panels.iter().flat_map(|panel| &panel.loss), options.clip)
}

/// The panel's marks in their places.
fn marked(panel: &Panel, frame: &Frame, options: &Style) -> Placed {
    let cross = has_cross(panel).then_some((0.0, 0.0));
    let avoid = cross.into_iter().chain(lowest(panel, options)).map(|(x, y)| around(frame.at(x, y)));
    let (x, y) = (axes::ends(&panel.x), axes::ends(&panel.y));
    Signs::flat(&panel.marks, x, y, |x, y| frame.at(x, y)).named(frame.area(), &avoid.collect::<Vec<Area>>())
}

/// The room of a cross or a ring.
pub(crate) fn around(at: Point) -> Area {
    Area::around(at, 4.0, 4.0)
}

/// Bands, lines and their numbers, hatched cells, marks: all inside the frame.
fn draw_panel(
    canvas: &Canvas,
    panel: &Panel,
    frame: &Frame,
    options: &Style,
    Bands { levels, colours }: &Bands,
    marked: &Placed,
) -> Result<()> {
    let scale = |v: f64| if options.is_log() { v.log10() } else { v };
    let scaled: Vec<f64> =
        panel.loss.iter().map(|&v| if v.is_finite() { scale(v) } else { f64::NAN }).collect();
    let fine = upsample::upsample(&panel.x, &panel.y, &scaled, FINE);
    let width = fine.x.len();
    let value = upsample::without_holes(&fine.value, width);
    let place = |column: f64, row: f64| frame.at(between(&fine.x, column), between(&fine.y, row));

    let mut lines = Vec::new();
    if value.iter().all(|v| v.is_finite()) {
        // What lies below the first inner bound everywhere else lies above it in the areas painted next.
        frame.fill(canvas, &colours[0]);
        for (i, bound) in levels.inner() {
            let (areas, level_lines) = trace::trace(&value, width, i, scale(bound), place)?;
            let d: String = areas.iter().map(|ring| path_data(ring, true)).collect();
            canvas.path(&d, &format!("fill=\"{}\" fill-rule=\"evenodd\"", colours[i]));
            if i == levels.bands() {
                colour::hatched_above(canvas, &areas);
            }
            lines.extend(level_lines);
        }
    }

    let (origin, lowest) =
        (has_cross(panel).then(|| frame.at(0.0, 0.0)), lowest(panel, options).map(|p| frame.at(p.0, p.1)));
    let holes = holes(panel, frame);
    let own = panel_points(panel, frame)
        .zip(&panel.loss)
        .enumerate()
        .filter(|(i, _)| is_known(panel, *i))
        .map(|(_, own)| own);
    let (kept, lost): (Vec<_>, Vec<_>) = own.partition(|(_, loss)| loss.is_finite());
    let [evaluated, lost] =
        [kept, lost].map(|points| points.into_iter().map(|(at, _)| at).collect::<Vec<Point>>());
    let dotted: Vec<Point> = match &panel.dotted {
        Some(dotted) => {
            panel_points(panel, frame).zip(dotted).filter_map(|(at, own)| own.then_some(at)).collect()
        }
        None => evaluated,
    };
    let dots: &[Point] = if options.dots { &dotted } else { &[] };
    let marks = origin.iter().chain(&lowest).map(|at| around(*at)).chain(marked.areas());
    let taken: Vec<Area> = marks.chain(holes.iter().copied()).collect();
    let (numbers, lines) =
        labels::place(&lines, &levels.labels, axes::LINE_NUMBER, frame.area(), &taken, dots);
    for line in &lines {
        // `data-level` is for programs that read the figure; it draws nothing.
        let look = format!(
            "fill=\"none\" stroke=\"{}\" stroke-width=\".35\" stroke-linejoin=\"round\" data-level=\"{}\"",
            ink(&colours[line.level]),
            levels.bounds[line.level],
        );
        canvas.path(&path_data(&line.points, line.closed), &look);
    }
    hatched(canvas, &holes);
    key::lost(canvas, &lost);
    key::dots(canvas, dots);
    for number in &numbers {
        let text = &levels.labels[number.level];
        let (sin, cos) = number.degrees.to_radians().sin_cos();
        let down = axes::LINE_NUMBER * DIGIT_HEIGHT / 2.0;
        let at = (number.middle.0 - sin * down, number.middle.1 + cos * down);
        canvas.text(text, at, axes::LINE_NUMBER, Anchor::Middle, number.degrees, ink(&colours[number.level]));
    }
    lowest.into_iter().for_each(|at| key::ring(canvas, at));
    origin.into_iter().for_each(|at| key::cross(canvas, at));
    marked.draw(canvas);
    Ok(())
}

/// The grid points on the sheet, y outer.
fn panel_points<'a>(panel: &'a Panel, frame: &'a Frame) -> impl Iterator<Item = Point> + 'a {
    panel.y.iter().flat_map(move |&y| panel.x.iter().map(move |&x| frame.at(x, y)))
}

/// Value at a fractional index of an ascending list.
fn between(values: &[f64], index: f64) -> f64 {
    let i = (index.max(0.0) as usize).min(values.len() - 2);
    values[i] + (values[i + 1] - values[i]) * (index - i as f64)
}

/// Cells with a corner that is not finite, neighbours in a row joined.
fn holes(panel: &Panel, frame: &Frame) -> Vec<Area> {
    let nx = panel.x.len();
    let lost = |ix: usize, iy: usize| !panel.loss[iy * nx + ix].is_finite();
    let mut out: Vec<Area> = Vec::new();
    for iy in 0..panel.y.len() - 1 {
        let mut open: Option<Area> = None;
        for ix in 0..nx - 1 {
            let (left, bottom) = frame.at(panel.x[ix], panel.y[iy]);
            let (right, top) = frame.at(panel.x[ix + 1], panel.y[iy + 1]);
            if lost(ix, iy) || lost(ix + 1, iy) || lost(ix, iy + 1) || lost(ix + 1, iy + 1) {
                let left = open.map_or(left, |area| area.left);
                open = Some(Area { left, top, right, bottom });
            } else {
                out.extend(open.take());
            }
        }
        out.extend(open);
    }
    out
}

/// What is known of the trained model, or a note, above a panel, with its baseline's middle at `at`.
pub(crate) fn centre_words(canvas: &Canvas, panel: &Panel, at: Point, width: f64) {
    if let Some(words) = panel.words() {
        let short = words.replace("loss at ", "");
        let (words, em) = text::first_fitting(&[&words, &short], text::SMALL, width);
        canvas.aside(&words, at, em);
    }
}

#[cfg(test)]
mod tests;
