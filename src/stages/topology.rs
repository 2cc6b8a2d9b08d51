//! `topology`: which basins a surface has, and which of them the examples show.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::draw::numbers::significant;
use crate::error::{Error, Result};
use crate::files;
use crate::landscape::rise::{ByExample, examples_path, set_of};
use crate::landscape::topology::minus::{self, Contrasted, Measure, Side};
use crate::landscape::topology::noise::{self, Barrier};
use crate::landscape::topology::size::{self, Size};
use crate::landscape::topology::{Field, Tree};
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::stats::pairs::Pairs;
use crate::tables::surface::{DIFFERENCE_SE, EXAMPLES, Grid, LEVEL, LOSS_SE};
use crate::tables::topology::{BasinRow, DifferenceRow, MinimumRow};
use crate::tables::{self, Table};
use crate::tasks::Kind;

/// Basins of a loss surface or volume: minima, the saddles where they meet, how far each lies below its saddle (persistence), and whether that
/// is more than noise.
///
/// A minimum is a grid point lower than its eight neighbours, in a volume (`surface --volume`) its 26. The persistence of the lowest is left empty, since it joins no lower one.
/// With SURFACE.examples.safetensors next to the surface (`surface --per-example`) each persistence has a 95 % interval, for all minima
/// together and however they were chosen: of the barrier between the two points, above the higher one, on the best way between them. A
/// basin whose interval begins at 0 may be noise. SMAD, the mean height of the first saddle above each minimum, counts those, too.
#[derive(clap::Args, Clone, Debug)]
pub struct Topology {
    /// The surface or volume, as `surface` writes it
    #[arg(value_name = "SURFACE.csv|.h5|.npz|.vti")]
    pub surface: PathBuf,
    /// Peaks of this metric, a column of the surface, in place of basins of the loss; without intervals
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Compare with this surface, of the same grid and set: differences of basins, persistences, SMAD and the main basin's radius, paired by
    /// example, to minus.csv
    #[arg(long, value_name = "SURFACE.csv|.h5|.npz|.vti", conflicts_with = "metric")]
    pub minus: Option<PathBuf>,
    /// Seed of the random signs behind the intervals
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder for minima.csv, basins.csv and topology.json; `render DIR/minima.csv` draws them
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// The chance that all intervals hold at once.
const LEVEL_OF_ALL: f64 = 0.95;
/// How far the losses by example may be from the surface's own, relative to them: both are sums in double precision.
const ROUNDING: f64 = 1e-9;
/// Minima that are told one by one.
const TOLD: usize = 8;

/// `topology.json`.
#[derive(Serialize)]
struct About {
    /// `loss`, or the metric.
    field: String,
    points: usize,
    /// Points whose value is not finite.
    lost: usize,
    /// Examples behind the intervals, or groups of them; none without losses by example.
    draws: Option<usize>,
    /// How many standard errors hold all differences at once; none where the examples are too few.
    critical: Option<f64>,
    smad: f64,
    smad_se: Option<f64>,
    /// Minima that are shown to be basins, the lowest left out; none without intervals.
    shown: Option<usize>,
    minima: Vec<MinimumRow>,
    /// The rows of minus.csv.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<DifferenceRow>>,
}

/// What the examples say.
struct Errors {
    pairs: Pairs,
    critical: Option<f64>,
    barriers: Vec<Option<Barrier>>,
}

/// A surface that was read.
struct Opened {
    grid: Grid,
    /// The field, and the sign with which it has basins.
    name: String,
    sign: f64,
    /// Its values, with that sign.
    values: Vec<f64>,
    losses: Option<ByExample>,
}

impl Topology {
    pub fn run(&self, command: &str) -> Result<()> {
        let mut provenance = Provenance::start(command, Some(self.seed));
        let opened = self.open(&self.surface, "surface", &mut provenance)?;
        let field = opened.field();
        let tree = Tree::of(&field);
        let errors = opened.losses.as_ref().map(|losses| self.errors(losses, &field, &tree));
        let mut about = about(&opened, &field, &tree, errors.as_ref());
        if let Some(other) = &self.minus {
            let second = self.open(other, "minus", &mut provenance)?;
            about.differences = Some(self.differences([&opened, &second])?);
        }
        let grid = &opened.grid;
        let basin = |(cell, value): (usize, &f64)| {
            let [x, y, z] = size::place(grid.axes(), cell);
            let value = Some(opened.sign * value).filter(|v| v.is_finite());
            BasinRow {
                x,
                y,
                z: grid.z.as_ref().map(|_| z),
                value,
                minimum: tree.basins[cell].map(|own| own + 1),
            }
        };
        let basins: Vec<BasinRow> = opened.values.iter().enumerate().map(basin).collect();
        tables::write(&self.out, &about.minima)?;
        tables::write(&self.out, &basins)?;
        match &about.differences {
            Some(rows) => tables::write(&self.out, rows)?,
            // An earlier run's would be taken for this one's.
            None => files::remove(&self.out.join(DifferenceRow::FILE))?,
        }
        let json = serde_json::json!(about);
        files::write(&self.out.join("topology.json"), format!("{json:#}\n").as_bytes())?;
        provenance.write(&self.out.join("provenance.toml"))?;
        tell(&about, &errors);
        about.differences.iter().flatten().for_each(|row| say!("{}", row_in_words(row)));
        say!("{}: `render` draws it", self.out.join(MinimumRow::FILE).display());
        progress::answer(|| json);
        Ok(())
    }

    fn open(&self, path: &Path, role: &str, provenance: &mut Provenance) -> Result<Opened> {
        let grid = Grid::read(path)?;
        provenance.input_file(role, path)?;
        let (name, own, sign) = self.column(path, &grid)?;
        let (name, values): (String, Vec<f64>) = (name.into(), own.iter().map(|v| sign * v).collect());
        if !values.iter().any(|value| value.is_finite()) {
            let fix = "the model has diverged, or the surface reaches too far: lower the span";
            return Err(Error::field(path.display(), name, "finite somewhere", "nowhere", fix));
        }
        if grid.known.is_some() {
            progress::excluded("a refined surface: points between the evaluated ones are interpolated");
        }
        let losses = match self.metric {
            Some(_) => None,
            None => losses(path, &grid, provenance)?,
        };
        Ok(Opened { grid, name, sign, values, losses })
    }

    /// The name of the field, its values, and the sign with which they have basins.
    fn column<'a>(&'a self, path: &Path, grid: &'a Grid) -> Result<(&'a str, &'a [f64], f64)> {
        let Some(wanted) = &self.metric else { return Ok(("loss", &grid.loss, 1.0)) };
        let is_metric = |name: &str| ![LOSS_SE, DIFFERENCE_SE, EXAMPLES, LEVEL].contains(&name);
        let mut metrics = grid.columns.iter().filter(|(name, _)| is_metric(name));
        let found = metrics.clone().find(|(name, _)| name == wanted);
        let wrong = || {
            let all: Vec<&str> = metrics.by_ref().map(|(name, _)| name.as_str()).collect();
            let found = if all.is_empty() { "none".into() } else { all.join(", ") };
            let expected = format!("a metric {wanted}");
            Error::field(path.display(), "columns", expected, found, "name one of those, or none")
        };
        let (name, values) = found.ok_or_else(wrong)?;
        let known = Kind::ALL.iter().flat_map(|kind| kind.spec().metrics).any(|metric| metric.name == name);
        if !known {
            progress::note(format!("{name} is not the metric of a task, so its lowest values are the peaks"));
        }
        Ok((name, values, if known { -1.0 } else { 1.0 }))
    }

    /// What the losses by example say.
    fn errors(&self, losses: &ByExample, field: &Field, tree: &Tree) -> Errors {
        let pairs = Pairs::new(points(losses), &losses.targets, &losses.clusters);
        // With one minimum there is nothing to tell apart.
        let critical = match tree.minima.len() > 1 {
            true => pairs.critical(&noise::candidates(field, &pairs), LEVEL_OF_ALL, self.seed),
            false => f64::INFINITY,
        };
        let critical = Some(critical).filter(|c| c.is_finite());
        if critical.is_none() && tree.minima.len() > 1 {
            let few = pairs.draws();
            progress::note(format!("{few} examples are too few for intervals of all minima together"));
        }
        let barriers = match critical {
            Some(critical) => noise::barriers(field, tree, &pairs, critical),
            None => vec![None; tree.minima.len()],
        };
        Errors { pairs, critical, barriers }
    }

    /// The first surface less the second, measure by measure.
    fn differences(&self, opened: [&Opened; 2]) -> Result<Vec<DifferenceRow>> {
        let paths = [Some(&self.surface), self.minus.as_ref()].map(|path| path.cloned().unwrap_or_default());
        let [first, second] = opened;
        let missing = |i: usize| {
            let fix = "make the surface with `fisherscape surface --per-example`";
            Error::said(paths[i].display(), "it has no losses by example next to it", fix)
        };
        let one = first.losses.as_ref().ok_or_else(|| missing(0))?;
        let other = second.losses.as_ref().ok_or_else(|| missing(1))?;
        let wrong = |found: &str| {
            let fix = "make both with the same --set, --span and --resolution";
            let expected = format!("the examples and coordinates of {}", paths[0].display());
            Error::field(paths[1].display(), "surface", expected, found, fix)
        };
        let sets = [&paths[0], &paths[1]].map(|path| set_of(&examples_path(path)));
        let [Ok(set), Ok(other_set)] = sets else { return Err(wrong("unreadable examples")) };
        if set != other_set || one.clusters != other.clusters {
            return Err(wrong("another set"));
        }
        one.rises_minus(other).map_err(wrong)?;
        let trees = opened.map(|own| Tree::of(&own.field()));
        let errors =
            [self.errors(one, &first.field(), &trees[0]), self.errors(other, &second.field(), &trees[1])];
        let side = |i: usize| Side {
            field: opened[i].field(),
            axes: opened[i].grid.axes(),
            pairs: &errors[i].pairs,
            noise: errors[i].noise(),
        };
        let joint = Pairs::new(points(one).chain(points(other)), &one.targets, &one.clusters);
        let apart: Vec<Vec<f64>> =
            points(one).zip(points(other)).map(|(one, other)| minus(one, other)).collect();
        let between = Pairs::new(apart.iter().map(Vec::as_slice), &one.targets, &one.clusters);
        let (sides, families) = ([side(0), side(1)], (&between, &joint));
        let found = minus::compare(sides.each_ref(), families, LEVEL_OF_ALL, self.seed);
        Ok(found.iter().map(difference_row).collect())
    }
}

impl Opened {
    fn field(&self) -> Field<'_> {
        Field { values: &self.values, width: self.grid.x.len(), height: self.grid.y.len() }
    }
}

impl Errors {
    /// Which minima may be noise.
    fn noise(&self) -> Vec<bool> {
        self.barriers.iter().map(|own| own.is_some_and(|own| !own.is_shown())).collect()
    }
}

/// `s_n` at each point.
fn points(losses: &ByExample) -> impl Iterator<Item = &[f64]> {
    losses.sums.chunks(losses.targets.len().max(1))
}

fn minus(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one - other).collect()
}

fn difference_row(found: &Contrasted) -> DifferenceRow {
    let (measure, rank) = match found.measure {
        Measure::Basins => ("basins", None),
        Measure::Persistence(rank) => ("persistence", Some(rank)),
        Measure::Smad => ("smad", None),
        Measure::Radius => ("radius", None),
    };
    let [first, second] = found.values;
    let (low, high) = found.ends.unzip();
    DifferenceRow { measure: measure.into(), rank, first, second, difference: first - second, low, high }
}

fn row_in_words(row: &DifferenceRow) -> String {
    let number = |value: f64| significant(value, 4);
    let what = match (row.measure.as_str(), row.rank) {
        ("basins", _) => "basins shown".to_string(),
        ("persistence", Some(1)) => "largest persistence".into(),
        ("persistence", Some(rank)) => format!("persistence {rank} by size"),
        ("smad", _) => "SMAD".into(),
        _ => "radius of the main basin".into(),
    };
    let ends = row.low.zip(row.high);
    let of = if row.measure == "basins" { " for the minima" } else { "" };
    let ends =
        ends.map_or(String::new(), |(low, high)| format!(", 95 %{of} {} to {}", number(low), number(high)));
    format!(
        "{what}: {} against {}, difference {}{ends}",
        number(row.first),
        number(row.second),
        number(row.difference)
    )
}

/// The losses by example of a surface, where they are there.
fn losses(surface: &Path, grid: &Grid, provenance: &mut Provenance) -> Result<Option<ByExample>> {
    let path = examples_path(surface);
    if !files::exists(&path) {
        let fix = "no losses by example next to it, so nothing says which minima are noise: make it with --per-example";
        progress::note(format!("{}: {fix}", surface.display()));
        return Ok(None);
    }
    provenance.input_file("losses by example", &path)?;
    let losses = ByExample::read(&path)?;
    check_same(surface, grid, &losses)?;
    Ok(Some(losses))
}

/// Whether losses by example are those of the surface.
fn check_same(surface: &Path, grid: &Grid, losses: &ByExample) -> Result<()> {
    let wrong = |field, expected: &str, found: String| {
        let fix = "make both again with `fisherscape surface --per-example`";
        Err(Error::field(examples_path(surface).display(), field, expected, found, fix))
    };
    // An image of VTK has them up to rounding.
    let near = |(one, other): (f64, f64)| (one - other).abs() <= ROUNDING * other.abs().max(1.0);
    let same = |(one, other): ([f64; 3], &[f64; 3])| one.into_iter().zip(*other).all(near);
    if grid.loss.len() != losses.points.len() || !grid.points().zip(&losses.points).all(same) {
        return wrong("coordinates", "the points of the surface", "others".into());
    }
    let all: f64 = losses.targets.iter().sum();
    let means = points(losses).map(|own| own.iter().sum::<f64>() / all);
    let far = |(mean, loss): &(f64, &f64)| {
        loss.is_finite() && (mean - **loss).abs() > ROUNDING * loss.abs().max(1.0)
    };
    match means.zip(&grid.loss).find(far) {
        Some((mean, loss)) => wrong("sums", "those of the surface's losses", format!("{mean} for {loss}")),
        None => Ok(()),
    }
}

/// Everything that is known, minimum by minimum.
fn about(opened: &Opened, field: &Field, tree: &Tree, errors: Option<&Errors>) -> About {
    let Opened { grid, name, sign, .. } = opened;
    let barriers = errors.map_or(&[][..], |errors| &errors.barriers);
    let barrier = |number: usize| barriers.get(number).copied().flatten();
    let noise = errors.map_or_else(|| vec![false; tree.minima.len()], Errors::noise);
    let sizes = size::sizes(tree, grid.axes(), &noise);
    // A column of volumes.
    let third = |z: f64| grid.z.as_ref().map(|_| z);
    let row = |(number, size): (usize, &Size)| {
        let own = &tree.minima[number];
        let place = |cell| size::place(grid.axes(), cell);
        let saddle = own.merge.map(|merge| merge.saddle);
        let barrier = barrier(number);
        MinimumRow {
            field: name.to_string(),
            minimum: number + 1,
            x: place(own.cell)[0],
            y: place(own.cell)[1],
            z: third(place(own.cell)[2]),
            value: sign * field.values[own.cell],
            border: field.is_border(own.cell),
            into: own.merge.map(|merge| merge.into + 1),
            saddle_x: saddle.map(|cell| place(cell)[0]),
            saddle_y: saddle.map(|cell| place(cell)[1]),
            saddle_z: third(0.0).map(|_| saddle.map(|cell| place(cell)[2])),
            saddle: saddle.map(|cell| sign * field.values[cell]),
            persistence: tree.persistence(field, number),
            persistence_se: barrier.map(|own| own.se),
            persistence_low: barrier.map(|own| own.low),
            persistence_high: barrier.map(|own| own.high),
            shown: barrier.map(|own| own.is_shown()),
            first_gap: own.first.map(|first| field.values[first] - field.values[own.cell]),
            cells: size.cells,
            radius: size.radius,
        }
    };
    let minima: Vec<MinimumRow> = sizes.iter().enumerate().map(row).collect();
    let gaps: Vec<(usize, usize)> = tree.gaps().collect();
    let smad_se = errors.filter(|_| !gaps.is_empty()).map(|errors| errors.pairs.error_of_mean(&gaps));
    let critical = errors.and_then(|errors| errors.critical);
    About {
        field: name.to_string(),
        points: field.values.len(),
        lost: field.values.iter().filter(|v| !v.is_finite()).count(),
        draws: errors.map(|errors| errors.pairs.draws()),
        critical,
        smad: tree.smad(field),
        smad_se,
        shown: critical.map(|_| minima.iter().filter(|own| own.shown == Some(true)).count()),
        minima,
        differences: None,
    }
}

/// What is found, in words.
fn tell(about: &About, errors: &Option<Errors>) {
    if about.lost > 0 {
        progress::excluded_result(format!("{} of {} points are not finite", about.lost, about.points));
    }
    let what = if about.field == "loss" { "minimum" } else { "peak" };
    let mut most: Vec<&MinimumRow> = about.minima.iter().collect();
    // The lowest first, then by persistence.
    most.sort_by(|a, b| {
        let of = |own: &MinimumRow| own.persistence.unwrap_or(f64::INFINITY);
        of(b).total_cmp(&of(a)).then(a.minimum.cmp(&b.minimum))
    });
    for own in most.iter().take(TOLD) {
        say!("{what} {}: {}", own.minimum, described(own));
    }
    if most.len() > TOLD {
        say!("and {} more, nearer to their saddles", most.len() - TOLD);
    }
    let error = about.smad_se.map_or(String::new(), |se| format!(" ± {}", significant(se, 2)));
    say!("SMAD {}{error}, of {} minima", significant(about.smad, 4), about.minima.len());
    if about.minima.first().is_some_and(|own| own.border) {
        say!("{what} 1 lies at the border of the grid: beyond it the surface may continue to fall");
    }
    say!("{}", verdict(about, errors.is_some()));
}

fn described(own: &MinimumRow) -> String {
    let number = |v: f64| significant(v, 4);
    let at = |x: f64, y: f64, z: Option<f64>| {
        let all: Vec<String> = [Some(x), Some(y), z].into_iter().flatten().map(number).collect();
        format!("({})", all.join(", "))
    };
    let here = format!("{} at {}", number(own.value), at(own.x, own.y, own.z));
    let basin = format!("basin of {} points, radius {}", own.cells, number(own.radius));
    let (Some(persistence), Some(saddle)) = (own.persistence, own.saddle_x.zip(own.saddle_y)) else {
        return format!("{here}, joins no other; {basin}");
    };
    let ends = own.persistence_low.zip(own.persistence_high);
    let ends =
        ends.map_or(String::new(), |(low, high)| format!(" (95 % {} to {})", number(low), number(high)));
    let word = match own.shown {
        Some(true) => ": shown",
        Some(false) => ": may be noise",
        None => "",
    };
    let saddle = at(saddle.0, saddle.1, own.saddle_z.flatten());
    format!("{here}, persistence {}{ends} to the saddle at {saddle}{word}; {basin}", number(persistence))
}

/// How many basins there are, as far as the examples tell.
fn verdict(about: &About, with_examples: bool) -> String {
    let others = about.minima.iter().filter(|own| own.into.is_some()).count();
    let further =
        if others == 1 { "1 further minimum".to_string() } else { format!("{others} further minima") };
    match (others, about.shown) {
        (0, _) if about.minima.len() == 1 => "one minimum: one basin".into(),
        (_, None) if with_examples => format!("{further}: too few examples to rule out noise"),
        (_, None) => format!("{further}: without losses by example nothing rules out noise"),
        (1, Some(0)) => "one basin is shown: the second may be noise".into(),
        (_, Some(0)) => format!("one basin is shown: the {others} others may be noise"),
        (_, Some(shown)) if shown == others => format!("{} basins, all shown", shown + 1),
        (_, Some(shown)) => format!("{} basins are shown: {} more may be noise", shown + 1, others - shown),
    }
}
