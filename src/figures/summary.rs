//! What a run found, at a glance: the differences of the arms' scores, seed by seed, how far the loss rises under each mask, and
//! whether it rises otherwise around one arm than around the first.
//!
//! A title claims what an interval shows, and nothing else. An interval of fewer than `SEEDS` seeds is not drawn: it is so wide
//! that it says less than the seeds themselves.
//!
//! Takes `tables/training.csv` of a run, with `mcnemar.csv` and `surfaces.csv` beside it; or the latter alone, where nothing
//! was trained.

use std::path::Path;

use crate::draw::axis;
use crate::draw::canvas::{Canvas, Point};
use crate::draw::curves::{self, GREY, Look, thick_bar};
use crate::draw::frame::Plot;
use crate::draw::legend::{Entry, stretch};
use crate::draw::numbers::{significant, with_error};
use crate::draw::panels::{Panel, PerRow, Span, sheet};
use crate::error::{Error, Result};
use crate::tables::page::{McNemar, Surface, Training};
use crate::tables::{self, Table};

/// Seeds from which on an interval over them is drawn.
pub(crate) const SEEDS: usize = 4;
/// Rows of arms stand this far apart within a row of a mask, in rows.
const APART: f64 = 0.22;

/// For readers of the file.
const DESCRIPTION: &str = "Difference of each arm's held-out score to the first arm's, with its seeds; mean rise of the loss within \
                           distance 1 under each mask, with its standard error; difference of the rises to the first arm's. Bars of \
                           differences are 95 % intervals, uncorrected.";

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    training: Vec<Training>,
    seeds: Vec<McNemar>,
    /// Over one part: the held-out one, if there is one.
    surfaces: Vec<Surface>,
}

/// A value and its ends, where those are drawn.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    value: f64,
    ends: Option<(f64, f64)>,
}

impl Summary {
    /// Reads `training.csv`, or `surfaces.csv`, and what stands beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, and where there is neither a difference nor a rise.
    pub fn read(path: &Path) -> Result<Summary> {
        let beside = |file: &str| path.with_file_name(file);
        let alone = path.file_name().is_some_and(|name| name == Surface::FILE);
        let surfaces: Vec<Surface> = match alone {
            true => tables::read(path)?,
            false => read_if_there(&beside(Surface::FILE))?,
        };
        let training: Vec<Training> = if alone { Vec::new() } else { tables::read(path)? };
        let seeds = if alone { Vec::new() } else { read_if_there(&beside(McNemar::FILE))? };
        let parts = ["held_out", "text"].into_iter().chain(surfaces.first().map(|row| row.over.as_str()));
        let part = parts.into_iter().find(|part| surfaces.iter().any(|row| row.over == *part));
        let part = part.unwrap_or_default().to_owned();
        let surfaces = surfaces.into_iter().filter(|row| row.over == part && row.rise.is_some()).collect();
        let read = Summary { training, seeds, surfaces };
        if read.differences().next().is_none() && read.surfaces.is_empty() {
            let fix = "give that of a run of two arms, or of one with surfaces";
            let (expected, found) = ("a difference of arms, or a rise", "neither");
            return Err(Error::field(path.display(), "rows", expected, found, fix));
        }
        Ok(read)
    }

    /// All arms, the first one first: their order is that of the run.
    fn arms(&self) -> Vec<&str> {
        let trained = self.training.iter().map(|row| row.arm.as_str());
        let mut arms: Vec<&str> = Vec::new();
        for arm in trained.chain(self.surfaces.iter().map(|row| row.model.as_str())) {
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        arms
    }

    fn look(&self, arm: &str) -> Look {
        let arms = self.arms();
        let place = arms.iter().position(|own| *own == arm).unwrap_or(0);
        Look::of_arm(place, arms.len())
    }

    fn masks(&self) -> Vec<&str> {
        let mut masks: Vec<&str> = Vec::new();
        for row in &self.surfaces {
            if !masks.contains(&row.mask.as_str()) {
                masks.push(&row.mask);
            }
        }
        masks
    }

    /// Arms that are compared, with what came out.
    fn differences(&self) -> impl Iterator<Item = (&str, Estimate)> {
        let estimate =
            |row: &'_ Training| estimate(row.difference, row.low.zip(row.high), row.seeds >= SEEDS);
        self.training.iter().filter_map(move |row| Some((row.arm.as_str(), estimate(row)?)))
    }

    /// Differences of an arm's seeds, where examples say what is right.
    fn of_seeds(&self, arm: &str) -> Vec<f64> {
        let accuracy = self.training.iter().all(|row| row.metric == "accuracy");
        let own = self.seeds.iter().filter(|row| accuracy && row.arm == arm);
        let difference = |row: &McNemar| {
            let examples = row.both + row.only_first + row.only_this + row.neither;
            (row.only_this as f64 - row.only_first as f64) / examples as f64
        };
        own.map(difference).filter(|v| v.is_finite()).collect()
    }
}

/// The rows of a table that need not be there.
fn read_if_there<T: Table>(path: &Path) -> Result<Vec<T>> {
    if path.is_file() { tables::read(path) } else { Ok(Vec::new()) }
}

/// With its ends where enough stands behind them.
fn estimate(value: Option<f64>, ends: Option<(f64, f64)>, enough: bool) -> Option<Estimate> {
    Some(Estimate { value: value?, ends: ends.filter(|_| enough) })
}

/// Whether an interval leaves out no difference.
fn leaves_out_zero(estimate: &Estimate) -> bool {
    estimate.ends.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Summary::read(path)?;
    Ok((summary_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, by default 174 mm wide.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn summary_figure(read: &Summary, width_mm: Option<f64>) -> Result<String> {
    let first = read.arms().first().map_or(String::new(), |arm| (*arm).to_owned());
    let minus = format!("minus {first}");
    let panels: Vec<Panel> = [of_scores(read, &minus), of_rises(read), of_differences(read, &minus)]
        .into_iter()
        .flatten()
        .collect();
    let wide = panels.len();
    let usual = if wide == 1 { 84.0 } else { 174.0 };
    sheet(&panels, PerRow { wide, narrow: 1 }, width_mm.unwrap_or(usual), entries(read), DESCRIPTION)
}

/// The differences of the scores: a row for each arm, its seeds above it.
fn of_scores<'a>(read: &'a Summary, minus: &'a str) -> Option<Panel<'a>> {
    let rows: Vec<(&str, Estimate)> = read.differences().collect();
    let metric = read.training.first()?.metric.replace('_', " ");
    let seeds = read.training.iter().map(|row| row.seeds).max()?;
    let all = rows.iter().flat_map(|(arm, own)| read.of_seeds(arm).into_iter().chain(values(own)));
    let (low, high) = axis::range(all.chain([0.0])).filter(|_| !rows.is_empty())?;
    let names = rows.iter().rev().map(|(arm, _)| (*arm).to_owned()).collect();
    let estimates: Vec<Estimate> = rows.iter().map(|(_, own)| *own).collect();
    Some(Panel {
        title: claim(&rows, "higher", "lower"),
        notes: vec![format!("held-out {metric}, {seeds} seed{}", if seeds == 1 { "" } else { "s" })],
        spans: Some((Span::Linear(low, high), Span::Names(names))),
        words: (minus, ""),
        draw: Box::new(move |canvas, plot| {
            curves::level(canvas, &plot.upright(0.0));
            for (y, ((arm, _), own)) in rows.iter().zip(&estimates).rev().enumerate() {
                let look = read.look(arm);
                let seeds = read.of_seeds(arm).into_iter().map(|v| plot.at(v, y as f64 + APART));
                curves::seeds(canvas, &seeds.collect::<Vec<Point>>(), look.colour);
                mark(canvas, plot, own, y as f64, look);
            }
        }),
    })
}

/// The rises: a row for each mask, its arms above one another.
fn of_rises(read: &Summary) -> Option<Panel<'_>> {
    let with_error = |row: &Surface| {
        let ends = row.rise_se.zip(row.rise).map(|(se, rise)| (rise - se, rise + se));
        estimate(row.rise, ends, true)
    };
    let all: Vec<f64> = read.surfaces.iter().filter_map(with_error).flat_map(|own| values(&own)).collect();
    Some(Panel {
        title: read.ratio().unwrap_or_else(|| "rise under each mask".to_owned()),
        notes: vec![format!("rise of the {} loss", over(read.surfaces.first()?))],
        spans: Some((Span::suited(&all)?, by_mask(read))),
        words: ("mean within distance 1", ""),
        draw: Box::new(move |canvas, plot| by_arm(read, canvas, plot, &with_error)),
    })
}

/// The differences of the rises.
fn of_differences<'a>(read: &'a Summary, minus: &'a str) -> Option<Panel<'a>> {
    // One pair of models is compared example by example; two or three seeds have too few degrees of freedom.
    let of =
        |row: &Surface| estimate(row.difference, row.low.zip(row.high), row.seeds >= SEEDS || row.seeds <= 1);
    let all: Vec<Estimate> = read.surfaces.iter().filter_map(of).collect();
    let (low, high) = axis::range(all.iter().flat_map(values).chain([0.0])).filter(|_| !all.is_empty())?;
    let with_ends = all.iter().filter(|own| own.ends.is_some()).count();
    let shown = all.iter().filter(|own| leaves_out_zero(own)).count();
    let seeds = read.surfaces.iter().map(|row| row.seeds).max()?;
    Some(Panel {
        title: match (with_ends, shown) {
            (0, _) => "too few seeds for intervals".to_owned(),
            (_, 0) => "no difference of rises shown".to_owned(),
            (n, k) => format!("{k} of {n} intervals leave{} out 0", if k == 1 { "s" } else { "" }),
        },
        notes: vec![if seeds <= 1 {
            "one pair of models, not corrected".to_owned()
        } else {
            format!("{seeds} pairs of models, not corrected")
        }],
        spans: Some((Span::Linear(low, high), by_mask(read))),
        words: (minus, ""),
        draw: Box::new(move |canvas, plot| {
            curves::level(canvas, &plot.upright(0.0));
            by_arm(read, canvas, plot, &of);
        }),
    })
}

/// A row for each mask, the first one at the top.
fn by_mask(read: &Summary) -> Span {
    Span::Names(read.masks().iter().rev().map(|mask| (*mask).to_owned()).collect())
}

/// A sign for each arm under each mask.
fn by_arm(read: &Summary, canvas: &Canvas, plot: &Plot, of: &dyn Fn(&Surface) -> Option<Estimate>) {
    let (masks, arms) = (read.masks(), read.arms());
    let apart = APART.min(0.7 / arms.len() as f64);
    for row in &read.surfaces {
        let mask = masks.iter().rev().position(|own| *own == row.mask).unwrap_or(0);
        let arm = arms.iter().position(|own| *own == row.model).unwrap_or(0);
        let aside = apart * ((arms.len() - 1) as f64 / 2.0 - arm as f64);
        if let Some(own) = of(row) {
            mark(canvas, plot, &own, mask as f64 + aside, read.look(&row.model));
        }
    }
}

/// A value with its bar.
fn mark(canvas: &Canvas, plot: &Plot, own: &Estimate, y: f64, look: Look) {
    let inside = |v: f64| v.clamp(plot.x.low, plot.x.high);
    if let Some((low, high)) = own.ends {
        thick_bar(canvas, [plot.at(inside(low), y), plot.at(inside(high), y)], look.colour);
    }
    if plot.x.holds(own.value) {
        look.marker(canvas, plot.at(own.value, y));
    }
}

fn values(own: &Estimate) -> Vec<f64> {
    let (low, high) = own.ends.unwrap_or((own.value, own.value));
    vec![low, own.value, high]
}

fn over(row: &Surface) -> &'static str {
    match row.over.as_str() {
        "train" => "training",
        "text" => "text's",
        _ => "held-out",
    }
}

/// What intervals of differences show.
fn claim(rows: &[(&str, Estimate)], above: &str, below: &str) -> String {
    let shown = rows.iter().filter(|(_, own)| leaves_out_zero(own)).count();
    match rows {
        _ if rows.iter().all(|(_, own)| own.ends.is_none()) => "too few seeds for an interval".to_owned(),
        [(arm, own)] if shown == 1 => {
            let word = if own.value > 0.0 { above } else { below };
            format!("{arm}: {word} by {}", significant(own.value.abs(), 2))
        }
        [_] => "no difference shown".to_owned(),
        _ if shown == 0 => format!("none of {} differences shown", rows.len()),
        _ => format!("{shown} of {} intervals leave out 0", rows.len()),
    }
}

impl Summary {
    /// How many times further the loss rises along the parameters with the most Fisher information than along as many
    /// random ones, if the rises of the first arm are further apart than two standard errors.
    fn ratio(&self) -> Option<String> {
        let first = self.arms().first().copied()?;
        let of = |mask: &str| {
            let row = self.surfaces.iter().find(|row| row.model == first && row.mask == mask)?;
            row.rise.zip(row.rise_se)
        };
        let (top, share) =
            self.masks().into_iter().find_map(|mask| Some((mask, mask.strip_prefix("top ")?)))?;
        let ((high, high_se), (low, low_se)) = (of(top)?, of(&format!("random {share}"))?);
        let clear = (high - low).abs() > 2.0 * high_se.hypot(low_se) && low > 0.0 && high > low;
        clear.then(|| format!("{top}: {} × random", significant(high / low, 2)))
    }
}

fn entries(read: &Summary) -> Vec<Entry<'static>> {
    let arms = read.arms();
    let arm = |(i, arm): (usize, &&str)| Entry::sign_of(Look::of_arm(i, arms.len()), (*arm).to_owned());
    // Without rises the rows say which arm is which.
    let named = arms.iter().enumerate().filter(|_| !read.surfaces.is_empty());
    let mut entries: Vec<Entry> = named.map(arm).collect();
    if read.differences().any(|(arm, _)| !read.of_seeds(arm).is_empty()) {
        entries.push(Entry::seeds("a seed"));
    }
    let bar = |canvas: &Canvas, at: Point| thick_bar(canvas, stretch(at), GREY);
    let compared =
        read.differences().next().is_some() || read.surfaces.iter().any(|row| row.difference.is_some());
    if compared {
        entries.push(Entry::new(bar, "95 % interval of a difference"));
    }
    if !read.surfaces.is_empty() {
        entries.push(Entry::new(bar, "± standard error of a rise"));
    }
    entries
}

/// The figure in words for a paper.
pub fn caption(read: &Summary) -> String {
    let mut out = String::new();
    let first = read.arms().first().map_or(String::new(), |arm| (*arm).to_owned());
    if let Some(metric) = read.training.first().map(|row| row.metric.replace('_', " ")) {
        for (arm, own) in read.differences() {
            let ends = own.ends.map_or("no interval".to_owned(), |(low, high)| {
                format!("95 % from {} to {}", significant(low, 2), significant(high, 2))
            });
            let value = significant(own.value, 2);
            out += &format!("Held-out {metric} of {arm} minus {first}: {value} ({ends}). ");
        }
    }
    for row in &read.surfaces {
        let rise = row.rise.unwrap_or(f64::NAN);
        let (rise, error) = match row.rise_se {
            Some(se) => with_error(rise, se),
            None => (significant(rise, 3), String::new()),
        };
        let error = if error.is_empty() { error } else { format!(" ± {error}") };
        out += &format!(
            "Rise of the {} loss within distance 1, {}, {}: {rise}{error}. ",
            over(row),
            row.mask,
            row.model
        );
    }
    format!("{}\n", out.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;
    use crate::files;

    /// A folder with the tables of a run: a difference with its interval over so many seeds, and the difference of a rise.
    fn tables(folder: &Path, seeds: usize, [d, low, high]: [f64; 3], rise: [f64; 3]) {
        let header = tables::columns::<Training>().join(",");
        let row = |arm: &str, judged: String| {
            format!("{arm},{seeds},0,0,accuracy,0.57,0.02,0.57,1.5,0.02,{judged},1000\n")
        };
        assert!(header.starts_with(
            "arm,seeds,failed,collapsed,metric,mean,sd,median,loss,loss_sd,difference,low,high"
        ));
        // Columns that others may add stand at the end and may be missing.
        let header: Vec<&str> = header.split(',').take(18).collect();
        let first = row("uniform 0.05", ",,,,,,".into());
        let other = row("guided", format!("{d},{low},{high},crossed,0.5,0.5,0.01"));
        write(folder, "training.csv", &format!("{}\n{first}{other}", header.join(",")));
        let mut rows = "arm,seed,both,only_first,only_this,neither,p\n".to_owned();
        (0..seeds).for_each(|k| rows += &format!("guided,{k},500,30,{},{},0.5\n", 30 + 10 * k, 440 - 10 * k));
        write(folder, "mcnemar.csv", &rows);
        let mut rows = "over,mask,model,centre,centre_se,rise,rise_se,planes,rise_sd,seeds,highest,not_finite,effective,\
                        difference,low,high,p,p_corrected\n"
            .to_owned();
        for (mask, height) in [("all", 0.5), ("top 1 %", 0.2), ("random 1 %", 0.005)] {
            for over in ["train", "held_out"] {
                let start = format!("{over},{mask}");
                rows += &format!("{start},uniform 0.05,1.4,0.1,{height},{},1,,1,3,0,99,,,,,\n", 0.1 * height);
                let [d, low, high] = rise;
                rows += &format!(
                    "{start},guided,1.4,0.1,{height},{},1,,1,3,0,99,{d},{low},{high},,\n",
                    0.1 * height
                );
            }
        }
        write(folder, "surfaces.csv", &rows);
    }

    fn write(folder: &Path, name: &str, text: &str) {
        files::write(&folder.join(name), text.as_bytes()).unwrap();
    }

    fn drawn(seeds: usize, difference: [f64; 3], rise: [f64; 3]) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        tables(folder.path(), seeds, difference, rise);
        let read = Summary::read(&folder.path().join("training.csv")).unwrap();
        (summary_figure(&read, None).unwrap(), caption(&read))
    }

    /// Oracle: the intervals themselves: a title claims a difference exactly when they leave out 0, and none where there are
    /// fewer than four seeds. 0.2 of 0.005 are 40 times, further apart than two errors of 0.02 and 0.0005.
    #[test]
    fn a_title_claims_what_its_interval_shows() {
        let (no, yes) = ([0.001, -0.01, 0.02], [0.03, 0.01, 0.05]);
        let less = [-0.03, -0.05, -0.01];
        for (seeds, difference, rise, titles) in [
            (5, no, no, ["no difference shown", "no difference of rises shown"]),
            (5, yes, no, ["guided: higher by 0.03", "no difference of rises shown"]),
            (4, less, less, ["guided: lower by 0.03", "3 of 3 intervals leave out 0"]),
            (3, yes, yes, ["too few seeds for an interval", "3 of 3 intervals leave out 0"]),
        ] {
            let (svg, caption) = drawn(seeds, difference, rise);
            let texts = assert_sound(&svg);
            for title in titles.into_iter().chain(["top 1 %: 40 × random", "rise of the held-out loss"]) {
                assert!(texts.iter().any(|(text, _)| text == title), "{title}: {texts:?}");
            }
            assert_eq!(caption.contains("(no interval)"), seeds < SEEDS, "{caption}");
            assert!(
                caption
                    .contains("Rise of the held-out loss within distance 1, top 1 %, guided: 0.200 ± 0.020.")
            );
        }
    }

    /// Oracle: on paper: seeds differ by (0, 10, 20, 30, 40) of 1000 examples, so their dots are evenly spaced, the first at
    /// no difference; each seed has one.
    #[test]
    fn every_seed_has_its_dot() {
        let (svg, _) = drawn(5, [0.02, -0.01, 0.05], [0.0, -0.1, 0.1]);
        let dots = svg.lines().find(|line| line.contains("stroke-opacity=\".55\"")).unwrap();
        let d = dots.split_once("d=\"").unwrap().1.split_once('"').unwrap().0;
        let x: Vec<f64> =
            d.split('M').skip(1).map(|at| at.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(x.len(), 5);
        let steps: Vec<f64> = x.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (step - steps[0]).abs() < 0.03 && *step > 1.0), "{x:?}");
    }

    /// Oracle: what is left of a run: without surfaces one panel, without arms those of the rises, without both an error; at the
    /// width of a column all panels stand above one another.
    #[test]
    fn a_run_may_lack_arms_or_surfaces() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        tables(folder.path(), 5, [0.02, -0.01, 0.05], [0.0, -0.1, 0.1]);
        let whole = Summary::read(&at("training.csv")).unwrap();
        assert_sound(&summary_figure(&whole, Some(84.0)).unwrap());
        let rises = summary_figure(&Summary::read(&at("surfaces.csv")).unwrap(), None).unwrap();
        assert!(rises.contains(">rise of the held-out loss<") && !rises.contains(">held-out accuracy"));
        std::fs::remove_file(at("surfaces.csv")).unwrap();
        let scores = summary_figure(&Summary::read(&at("training.csv")).unwrap(), None).unwrap();
        assert!(!scores.contains(">rise of") && scores.contains("held-out accuracy, 5 seeds"));
        let one = files::read_text(&at("training.csv")).unwrap();
        write(
            folder.path(),
            "training.csv",
            &one.lines().take(2).map(|l| l.to_owned() + "\n").collect::<String>(),
        );
        let message = Summary::read(&at("training.csv")).unwrap_err().to_string();
        assert!(message.contains("neither") && message.contains("fix:"), "{message}");
    }
}
