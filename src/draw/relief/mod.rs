//! Loss surfaces in 3-D, several panels on one scale of heights and colours, as SVG.
//!
//! The same levels and colours as in [`crate::draw::contour`]: a band of one colour lies between two bounds of the colour
//! bar, which are also the numbers of the vertical axis. The view is orthographic, so equal losses are equal heights
//! wherever they stand. Thin lines follow the evaluated coordinates; between them the surface is interpolated
//! (`contour::upsample`). The light comes from the viewer's upper left; it changes the tone of a colour a little, never on
//! level ground. What is seen from below is darker.
//!
//! Hidden parts need no depths and no sorting (`paint`): seen from above, a piece of a height field hides only what
//! lies behind it along the viewer's direction, and that is further away along *both* axes of the grid. Painting cells
//! after those before them along both axes is therefore exact, whatever the surface; the cells left out around a loss
//! that is not finite do no harm. The trap: mean depths of cells, by which such figures are often sorted, are not.
//!
//! `camera` projects, `mesh` is the surface and knows what it hides, `marked` the marks on it, `scene` is the box with its
//! texts.

mod camera;
mod marked;
mod mesh;
mod paint;
mod scene;

use self::camera::{Camera, Placed};
use self::mesh::{Corner, Heights, Mesh};
use self::scene::Scene;
use crate::draw::canvas::{Area, Canvas, PT_PER_MM, Point, path_data};
pub use crate::draw::contour::View;
use crate::draw::contour::facets::{Places, Strips};
use crate::draw::contour::{self, Bands, Panel, Style, axes, key};
use crate::draw::counts::Counts;
use crate::draw::legend::{Entry, Sheet};
use crate::draw::marks::signs::Placed as Marked;
use crate::draw::text::{NUMBER, TEXT};
use crate::error::{Error, Result};

/// At the edges of the sheet, between slots, and between slots and bar, pt.
const EDGE: f64 = 2.0;
const GAP: f64 = 6.0;
/// A box with sides smaller than this (pt) is no figure.
const LEAST_SIDE: f64 = 30.0;

/// For readers of the file.
const DESCRIPTION: &str = "Losses were evaluated where the lines on the surface cross only; the surface between them is \
                           interpolated (limited cubic), and cells next to a loss that is not finite are not drawn.";

/// The figure of `panels` seen from `view`, as SVG text, in rows of [`Style::columns`], with one colour bar.
///
/// All panels have one scale of heights; with logarithmic levels it is logarithmic, too. The same panels, options and
/// view give the same bytes. A panel has some 50 to 250 kB.
///
/// # Errors
///
/// Those of [`contour::contour_figure`], and [`Error::Field`] if the elevation is not between 0 and 90 degrees or an
/// angle is not finite.
pub fn relief_figure(panels: &[Panel], options: &Style, view: View) -> Result<String> {
    let bands = Bands::new(panels, options)?;
    let camera = Camera::new(view)?;
    let heights = Heights::new(&bands.levels, options);
    let meshes: Vec<Mesh> = panels.iter().map(|panel| Mesh::new(panel, &heights)).collect();
    let cross = |(panel, mesh): (&Panel, &Mesh)| mesh.origin(&camera).filter(|_| contour::has_cross(panel));
    let crosses: Vec<Option<[Corner; 2]>> = panels.iter().zip(&meshes).map(cross).collect();
    let scenes = |side: f64| {
        let scene = |panel: &Panel| Scene::new(panel, options, &bands.levels, &heights, &camera, side);
        panels.iter().map(scene).collect::<Vec<_>>()
    };
    let bar_width = key::bar_width(&bands.levels, TEXT);
    let layout = Layout::new(panels, options, &camera, bar_width, scenes)?;
    let place = |i: usize| Placed { camera: &camera, origin: layout.origins[i], side: layout.side };
    let mut marked = Vec::new();
    for (i, (panel, mesh)) in panels.iter().zip(&meshes).enumerate() {
        let (scene, origin) = (&layout.scenes[i], layout.origins[i]);
        let avoid = crosses[i].map(|[_, head]| contour::around(place(i).at(head)));
        let avoid: Vec<Area> = scene.texts(origin).into_iter().chain(avoid).collect();
        let room = Area::enclosing(scene.extent()).moved(origin);
        marked.push(marked::signs(panel, mesh, &place(i)).named(room, &avoid));
    }
    let entries = entries(panels, &crosses, options, &marked);
    let sheet = Sheet::new(layout.width, (EDGE, layout.foot), entries, key::SIGN);
    let canvas = &sheet.canvas;
    for (i, (panel, mesh)) in panels.iter().zip(&meshes).enumerate() {
        let placed = place(i);
        layout.scenes[i].draw(canvas, layout.origins[i]);
        paint::paint(canvas, mesh, &placed, &heights.inner, &bands.colours);
        let lines = mesh.visible_lines(&camera);
        let line = |line: &Vec<[f64; 3]>| {
            path_data(&line.iter().map(|&p| placed.at(p)).collect::<Vec<Point>>(), false)
        };
        let look = "fill=\"none\" stroke=\"#1a1a1a\" stroke-width=\".25\" stroke-linejoin=\"round\"";
        canvas.path(&lines.iter().map(line).collect::<String>(), look);
        if options.dots {
            let points = mesh.visible_points(&camera);
            key::dots(canvas, &points.into_iter().map(|p| placed.at(p)).collect::<Vec<Point>>());
        }
        crosses[i].into_iter().for_each(|pin| mark_model(canvas, pin.map(|p| placed.at(p))));
        marked[i].draw(canvas);
        contour::centre_words(canvas, panel, (layout.tops[i].0, layout.tops[i].1 - 4.0), layout.slot);
    }
    layout.titles(canvas, panels);
    key::bar(canvas, layout.bar, layout.bar_height, &bands, &options.loss_label, key::plain_field);
    Ok(sheet.finish(DESCRIPTION))
}

/// What the signs mean, only those that occur.
fn entries(
    panels: &[Panel],
    crosses: &[Option<[Corner; 2]>],
    options: &Style,
    marked: &[Marked],
) -> Vec<Entry<'static>> {
    let counts = contour::counts(panels, options);
    let Counts { points, lost, .. } = counts;
    let mut entries = Vec::new();
    if crosses.iter().any(Option::is_some) {
        entries.push(Entry::new(key::cross, "trained model (0, 0)"));
    }
    if crosses.iter().flatten().any(|[foot, head]| foot != head) {
        entries.push(Entry::new(
            |canvas, (x, y)| pin(canvas, [(x, y + 3.5), (x, y - 3.5)]),
            "on a pin where the surface hides it",
        ));
    }
    if options.dots {
        entries.push(Entry::new(key::dot, "grid point"));
    }
    if let Some(words) = counts.clipped_words() {
        entries.push(key::field(key::plain_field, words));
    }
    if lost > 0 {
        entries.push(Entry::new(hole, format!("not drawn: loss not finite ({lost} of {points} points)")));
    }
    entries.extend(contour::marks_in_key(panels, marked));
    entries
}

/// The trained model, on a pin where the surface hides it.
fn mark_model(canvas: &Canvas, [foot, head]: [Point; 2]) {
    if foot != head {
        pin(canvas, [foot, head]);
    }
    key::cross(canvas, head);
}

fn pin(canvas: &Canvas, ends: [Point; 2]) {
    for (colour, width, dash) in [("#000", "1.5", ""), ("#fff", ".7", " stroke-dasharray=\"1.6 1.2\"")] {
        canvas.path(&path_data(&ends, false), &format!("stroke=\"{colour}\" stroke-width=\"{width}\"{dash}"));
    }
}

/// The sign of a cell that is left out.
fn hole(canvas: &Canvas, (x, y): Point) {
    let look = "fill=\"none\" stroke=\"#777\" stroke-width=\".5\" stroke-dasharray=\"1.2 .8\"";
    canvas.rect((x - 3.0, y - 2.4), (6.0, 4.8), look);
}

/// Everything's place, pt.
struct Layout {
    width: f64,
    /// Length of the base's sides, and the room of a panel with its texts.
    side: f64,
    slot: f64,
    /// Where the middle of each base lies, and that of the upper edge of its room.
    origins: Vec<Point>,
    tops: Vec<Point>,
    strips: Strips,
    /// Height of the rooms.
    height: f64,
    scenes: Vec<Scene>,
    bar: Point,
    bar_height: f64,
    /// Upper end of the key.
    foot: f64,
}

impl Layout {
    fn new(
        panels: &[Panel],
        options: &Style,
        camera: &Camera,
        bar_width: f64,
        scenes_of: impl Fn(f64) -> Vec<Scene>,
    ) -> Result<Layout> {
        let (columns, width_mm) = axes::arrangement(panels, options);
        let rows = panels.len().div_ceil(columns);
        let width = width_mm * PT_PER_MM;
        let strips = Strips::new(panels, options, columns);
        let left = EDGE + strips.beside();
        let slot = (width - left - EDGE - GAP * columns as f64 - bar_width) / columns as f64;

        // The texts around a box keep their size, so the largest box that fits is found by trying.
        let mut side = slot / camera.width();
        let (scenes, area) = loop {
            if !side.is_finite() || side < LEAST_SIDE || width > 1e4 {
                let expected = "wide enough for the panels and their numbers, at most 3500 mm";
                let fix = "84 suits one panel, 174 three; or have fewer columns";
                return Err(Error::field("figure", "width_mm", expected, width_mm, fix));
            }
            let scenes = scenes_of(side);
            let area = Area::enclosing(scenes.iter().flat_map(Scene::extent));
            let excess = area.right - area.left - slot;
            if excess <= 0.0 {
                break (scenes, area);
            }
            side -= excess / camera.width() + 0.01;
        };

        let height = area.bottom - area.top;
        let mut tops = Vec::new();
        for row in 0..rows {
            let above = strips.above(row) + 2.0 + axes::centre_room(panels);
            tops.push(above + tops.last().map_or(EDGE, |top| top + height + GAP));
        }
        let corner = |i: usize| (left + (slot + GAP) * (i % columns) as f64, tops[i / columns]);
        let spare = (slot - (area.right - area.left)) / 2.0;
        let origin = |i: usize| (corner(i).0 + spare - area.left, corner(i).1 - area.top);
        let origins: Vec<Point> = (0..panels.len()).map(origin).collect();
        let bar = (width - EDGE - bar_width, tops[0]);
        let foot = tops[rows - 1] + height;
        let bar_height = foot - bar.1 - 0.5 * NUMBER;
        let tops = (0..panels.len()).map(|i| (corner(i).0 + slot / 2.0, corner(i).1)).collect();
        Ok(Layout { width, side, slot, origins, tops, strips, height, scenes, bar, bar_height, foot })
    }

    /// The panels' titles.
    fn titles(&self, canvas: &Canvas, panels: &[Panel]) {
        let places = Places { side: self.slot, tops: self.tops.clone(), left: EDGE, height: self.height };
        self.strips.draw(canvas, &places, 4.0 + axes::centre_room(panels));
    }
}

#[cfg(test)]
mod tests;
