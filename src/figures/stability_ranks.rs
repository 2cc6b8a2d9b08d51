//! Ranks of sites and blocks from small draws to all examples as SVG, and beside them what the draws do to dropout.
//!
//! Left, a line for each item: its mean rank over the repeats of each fraction and, at the right end, its rank from all
//! examples, where its name stands. Right, at the height of that name, the mean change of its drop probability under
//! the schedule from 0 to 0.1. Lines that cross late need many examples; a rank that moves among equal scores changes
//! the dropout as little as the cells say.
//!
//! The trap: a mean rank near the middle may be one that never was, so the range of the repeats is drawn with it. One
//! kind of draw is drawn, tensors are not: they are too many for lines that can be followed.
//!
//! Takes [`Trajectories`], the `ranks.csv` of `stability`.

use std::path::Path;

use crate::draw::axis::{self, Axis, TICK};
use crate::draw::canvas::{Area, Canvas, PT_PER_MM};
use crate::draw::cells::{self, Cell};
use crate::draw::frame::{self, BELOW, EDGE, LINE};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::text::{self, NUMBER, TEXT, TITLE};
use crate::error::{Error, Result};
use crate::figures::parts::bump::{self, Bump, Line, Rank};
use crate::figures::parts::sites;
use crate::fisher::layers::Granularity;
use crate::stability::draw::Draws;
use crate::stability::ranks::RankRow;
use crate::tables::{self, Table};

/// Between the panels of sites and of blocks, pt.
const GAP: f64 = 8.0;

/// For readers of the file.
const DESCRIPTION: &str = "Rank of each site and block by Fisher score (0 is the lowest) from a fraction of the \
                           examples, and from all of them at the right end; next to it the mean change of its drop \
                           probability under the linear schedule from 0 to 0.1, in percentage points.";

/// Ranks over the fractions of one kind of draw.
#[derive(Clone, Debug)]
pub struct Trajectories {
    draw: Draws,
    /// Other kinds in the table.
    others: Vec<Draws>,
    /// Ascending.
    fractions: Vec<f64>,
    groups: Vec<Group>,
    /// Tensors in the table.
    tensors: usize,
}

/// Change of a drop probability, as a part of 1, and its deviation over the repeats, where known.
type Change = (f64, Option<f64>);

/// The items of one granularity.
#[derive(Clone, Debug)]
struct Group {
    granularity: Granularity,
    /// Ranks at each fraction, then from all examples.
    lines: Vec<Line>,
    /// Of the drop probability at each fraction.
    changes: Vec<Vec<Option<Change>>>,
}

impl Trajectories {
    /// Reads the `ranks.csv` that `stability` writes: of its independent draws or, where it has none, of its first kind.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, a fraction outside (0, 1], a rank that the number of items does not allow,
    /// an item twice at one fraction, or a table without sites and blocks.
    pub fn read(path: &Path) -> Result<Trajectories> {
        let wrong = |field: &str, expected: &str, found: String| {
            Error::field(path.display(), field, expected, found, RankRow::FIX)
        };
        let rows: Vec<RankRow> = tables::read_some(path)?;
        let mut kinds: Vec<Draws> = Vec::new();
        rows.iter().for_each(|row| {
            if !kinds.contains(&row.draw) {
                kinds.push(row.draw)
            }
        });
        let draw = if kinds.contains(&Draws::Independent) { Draws::Independent } else { kinds[0] };
        let rows: Vec<RankRow> = rows.into_iter().filter(|row| row.draw == draw).collect();
        let mut fractions: Vec<f64> = rows.iter().map(|row| row.fraction).collect();
        fractions.sort_by(f64::total_cmp);
        fractions.dedup();
        // All examples are the last column in any case.
        if fractions.len() > 1 {
            fractions.retain(|f| *f < 1.0);
        }
        let mut groups = Vec::new();
        for granularity in sites::SHOWN {
            let rows: Vec<&RankRow> = rows.iter().filter(|row| row.granularity == granularity).collect();
            let group = Group::new(granularity, &rows, &fractions);
            let group = group.map_err(|(field, expected, found)| wrong(field, &expected, found))?;
            groups.extend(Some(group).filter(|group| !group.lines.is_empty()));
        }
        if groups.is_empty() {
            return Err(wrong("granularity", "site or block in some row", "neither".to_owned()));
        }
        let mut tensors: Vec<&str> = Vec::new();
        for row in rows.iter().filter(|row| row.granularity == Granularity::Tensor) {
            if !tensors.contains(&row.name.as_str()) {
                tensors.push(&row.name);
            }
        }
        Ok(Trajectories {
            draw,
            others: kinds.into_iter().filter(|kind| *kind != draw).collect(),
            tensors: tensors.len(),
            fractions,
            groups,
        })
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.groups.iter().flat_map(|group| &group.lines)
    }

    /// Ranks and changes that the table leaves open.
    fn open(&self) -> usize {
        let ranks = self.lines().flat_map(|line| &line.ranks).filter(|rank| rank.is_none()).count();
        let changes = self.groups.iter().flat_map(|group| group.changes.iter().flatten());
        ranks + changes.filter(|change| change.is_none()).count()
    }

    /// Greatest change, in percentage points.
    fn most(&self) -> Option<f64> {
        let changes = self.groups.iter().flat_map(|group| group.changes.iter().flatten().flatten());
        axis::range(changes.map(|(change, _)| 100.0 * change)).map(|(_, most)| most)
    }
}

impl Group {
    /// The error is a field, what was expected and what was found.
    fn new(
        granularity: Granularity,
        rows: &[&RankRow],
        fractions: &[f64],
    ) -> std::result::Result<Group, (&'static str, String, String)> {
        let mut names: Vec<&str> = Vec::new();
        rows.iter().for_each(|row| {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name)
            }
        });
        let last = names.len().saturating_sub(1) as f64;
        let checked = |rank: f64| match (0.0..=last).contains(&rank) {
            true => Ok(rank),
            false => Err((
                "rank",
                format!("from 0 to {last} for {}", sites::counted(names.len(), granularity)),
                rank.to_string(),
            )),
        };
        let mut group = Group { granularity, lines: Vec::new(), changes: Vec::new() };
        for &name in &names {
            let (mut ranks, mut changes, mut full) = (Vec::new(), Vec::new(), None);
            for &fraction in fractions {
                let own: Vec<&&RankRow> =
                    rows.iter().filter(|row| row.name == name && row.fraction == fraction).collect();
                if own.len() > 1 {
                    return Err(("name", "named once at each fraction".to_owned(), format!("{name} twice")));
                }
                let Some(row) = own.first() else {
                    ranks.push(None);
                    changes.push(None);
                    continue;
                };
                let ends = (checked(row.rank_low as f64)?, checked(row.rank_high as f64)?);
                ranks.push(Some(Rank { rank: checked(row.rank)?, ends: Some(ends) }));
                full = Some(checked(row.full_rank as f64)?);
                let change = (row.rate_difference, row.rate_difference_sd);
                changes.push(Some(change).filter(|(change, _)| change.is_finite()));
            }
            ranks.push(full.map(|rank| Rank { rank, ends: Some((rank, rank)) }));
            group.lines.push(Line { name: name.to_owned(), ranks });
            group.changes.push(changes);
        }
        Ok(group)
    }
}

/// The figure in words for a paper.
pub fn caption(ranks: &Trajectories) -> String {
    let fractions: Vec<String> = ranks.fractions.iter().map(f64::to_string).collect();
    let own = |group: &Group| vec![group.granularity; group.lines.len()];
    let others = match &ranks.others[..] {
        [] => String::new(),
        others => {
            let names: Vec<&str> = others.iter().map(|kind| kind.name()).collect();
            format!(" The table's {} draws are not shown.", names.join(" and "))
        }
    };
    let open = match ranks.open() {
        0 => String::new(),
        n => format!(" Ranks or changes without a value, not drawn: {n}."),
    };
    format!(
        "Rank by Fisher score (0 is the lowest) of {} in {} draws of a fraction of the examples ({}) and, at the right \
         end, in all examples. Lines join means over the repeats, bands reach from their smallest to their largest rank. \
         Cells hold the mean change, by such a draw, of the item's drop probability under the linear schedule from 0 to \
         0.1, in percentage points, ± its standard deviation over the repeats where there is room for it.{others}{}{open}\n",
        sites::counts(ranks.groups.iter().flat_map(own)),
        ranks.draw.name(),
        fractions.join(", "),
        sites::left_out(ranks.tensors),
    )
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Trajectories::read(path)?;
    Ok((trajectory_figure(&read, width_mm)?, caption(&read)))
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page).
///
/// The same table gives the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn trajectory_figure(ranks: &Trajectories, width_mm: Option<f64>) -> Result<String> {
    let width_mm = width_mm.unwrap_or(174.0);
    let most = ranks.groups.iter().map(|group| group.lines.len()).max().unwrap_or(0);
    let (left, names) = (bump::before(most), bump::after(ranks.lines()));
    let side = frame::panel_width(width_mm, 2, left + names + 2.0 * EDGE)?;
    let cells_left = left + side + names;
    let scale = ranks.most().map(|most| Axis::linear(0.0, f64::max(most, 0.01), 5, 0.0));
    let written = ranks.fractions.iter().map(f64::to_string).collect::<Vec<_>>();
    let columns: Vec<String> = written.iter().cloned().chain(["all".to_owned()]).collect();

    let mut tops = Vec::new();
    let mut below = EDGE;
    for group in &ranks.groups {
        tops.push(below + bump::ABOVE);
        below += bump::ABOVE + bump::height(group.lines.len()) + BELOW + GAP;
    }
    below -= GAP;
    let foot = cells::below_bar(below + LINE + 3.0);
    let sheet = Sheet::new(width_mm * PT_PER_MM, (left, foot), entries(ranks), SIGN);
    let canvas = &sheet.canvas;
    for (group, &top) in ranks.groups.iter().zip(&tops) {
        let title = format!("ranks of {}s", group.granularity.name());
        let bump =
            Bump { title: &title, lines: &group.lines, columns: &columns, corner: (left, top), width: side };
        bump.draw(canvas);
        changes(canvas, group, &bump, &written, scale.as_ref(), cells_left);
    }
    for x in [left, cells_left] {
        let (words, em) = text::first_fitting(&["fraction of the examples", "fraction"], TEXT, side);
        canvas.centred(&words, (x + side / 2.0, below + 0.9 * TEXT), em);
    }
    if let Some(scale) = &scale {
        cells::colour_bar(
            canvas,
            (cells_left, below + LINE + 3.0),
            side,
            scale,
            &["percentage points of p", "points of p"],
        );
    }
    Ok(sheet.finish(DESCRIPTION))
}

/// The cells of one group, in the rows of its ranks.
fn changes(
    canvas: &Canvas,
    group: &Group,
    bump: &Bump,
    fractions: &[String],
    scale: Option<&Axis>,
    left: f64,
) {
    let (top, height) = (bump.corner.1, bump::height(group.lines.len()));
    let each = bump.width / fractions.len() as f64;
    let rows = bump::rows(&group.lines);
    let with = |words: fn(f64, Option<f64>) -> String| -> Vec<Cell> {
        let cell = |row: usize, column: usize, change: Option<Change>| {
            let ((top, bottom), x) = (bump.row(row), left + each * column as f64);
            let area = Area { left: x, top, right: x + each, bottom };
            // What never changes is said by its colour: its numbers would hide the others.
            let moved = change.filter(|(change, sd)| *change != 0.0 || sd.is_some_and(|sd| sd != 0.0));
            let lines = moved.map(|(change, sd)| words(100.0 * change, sd.map(|sd| 100.0 * sd)));
            Cell { area, value: change.map(|(change, _)| 100.0 * change), lines: lines.into_iter().collect() }
        };
        let all = group.changes.iter().zip(&rows);
        all.flat_map(|(changes, row)| changes.iter().enumerate().map(|(i, change)| cell(*row, i, *change)))
            .collect()
    };
    let versions: [fn(f64, Option<f64>) -> String; 3] = [
        |change, sd| format!("{change:.2}{}", sd.map_or(String::new(), |sd| format!(" ± {sd:.2}"))),
        |change, _| format!("{change:.2}"),
        |change, _| format!("{change:.1}"),
    ];
    let cells = cells::readable(versions.map(with));
    // Without any value there is no scale and no cell that would need one.
    cells::draw(canvas, &cells, scale.unwrap_or(&Axis::linear(0.0, 1.0, 1, 0.0)));
    canvas.frame((left, top), (bump.width, height));
    let (title, em) =
        text::first_fitting(&["change of drop probability p", "change of p"], TITLE, bump.width);
    canvas.centred(&title, (left + bump.width / 2.0, top - 4.0), em);
    let axis = Axis::columns(fractions, bump.width);
    for (i, (_, fraction)) in axis.ticks.iter().enumerate() {
        let at = (left + each * (i as f64 + 0.5), top + height + 2.0 * TICK + 0.76 * NUMBER);
        canvas.centred(fraction, at, NUMBER);
    }
}

fn entries(ranks: &Trajectories) -> Vec<Entry<'static>> {
    let mut entries = sites::key(ranks.lines().map(|line| line.name.as_str()));
    let mut ends = ranks.lines().flat_map(|line| &line.ranks).flatten().filter_map(|rank| rank.ends);
    if ends.any(|(low, high)| low < high) {
        entries.push(Entry::band("range of the repeats"));
    }
    entries.push(Entry::note(format!("{} draws", ranks.draw.name())));
    entries.push(Entry::note("rank 0: lowest score"));
    if ranks.open() > 0 {
        entries.push(cells::missing("no value"));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::assert_sound;

    const HEADER: &str = "draw,fraction,granularity,name,full_rank,rank,rank_sd,rank_low,rank_high,rate_difference,\
                          rate_difference_sd\n";

    fn read(rows: &str) -> Result<Trajectories> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ranks.csv");
        std::fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        assert_eq!(crate::figures::tests::named(HEADER), Some("stability_ranks"));
        Trajectories::read(&path)
    }

    /// `layers` layers, ranks reversed in the smallest fraction.
    fn rows(draw: &str, fractions: &[f64], layers: usize) -> String {
        let sites = crate::model::architectures::bert::sites(layers)
            .into_iter()
            .map(|site| ("site", site.to_string()));
        let blocks = (0..layers).map(|k| ("block", format!("layer.{k}")));
        let items: Vec<(&str, String)> =
            sites.chain([("block", "embeddings".to_owned())]).chain(blocks).collect();
        let mut out = String::new();
        for (f, fraction) in fractions.iter().enumerate() {
            for granularity in ["site", "block"] {
                let own: Vec<&(&str, String)> = items.iter().filter(|(g, _)| *g == granularity).collect();
                for (i, (_, name)) in own.iter().enumerate() {
                    let rank = if f == 0 { own.len() - 1 - i } else { i };
                    out += &format!(
                        "{draw},{fraction},{granularity},{name},{i},{rank},0.5,{rank},{rank},0.0{f}3,0.001\n"
                    );
                }
            }
        }
        out
    }

    /// Oracle: the renderer's layout, and counting: each name once in either panel, each fraction below each panel.
    #[test]
    fn every_item_is_named_once() {
        for (layers, fractions) in
            [(4, &[0.01, 0.1, 0.5][..]), (12, &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]), (1, &[0.1])]
        {
            for width in [84.0, 174.0] {
                let ranks = read(&rows("independent", fractions, layers)).unwrap();
                let texts = assert_sound(&trajectory_figure(&ranks, Some(width)).unwrap());
                let count = |word: &str| texts.iter().filter(|(text, _)| text == word).count();
                assert_eq!(
                    (count("embeddings"), count("0 attn. probs"), count("layer 0"), count("all")),
                    (3, 1, 1, 2)
                );
            }
        }
    }

    /// Oracle: on paper. 0.013 of p are 1.30 percentage points; deviations are printed where there is room for them.
    #[test]
    fn changes_are_percentage_points() {
        let ranks = read(&rows("independent", &[0.1, 0.5], 4)).unwrap();
        let wide = trajectory_figure(&ranks, None).unwrap();
        // 13 sites and 5 blocks.
        for cell in [">0.30 ± 0.10<", ">1.30 ± 0.10<"] {
            assert_eq!(wide.matches(cell).count(), 18);
        }
        let still = rows("independent", &[0.1, 0.5], 4)
            .replace(",0.003,0.001", ",0,0")
            .replace(",0.013,0.001", ",0,0");
        assert!(!trajectory_figure(&read(&still).unwrap(), None).unwrap().contains(">0.00 ± 0.00<"));
        let many = read(&rows("independent", &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5], 4)).unwrap();
        assert_eq!(trajectory_figure(&many, Some(120.0)).unwrap().matches(">1.30<").count(), 18);
        let ranks = read(&rows("nested", &[0.1, 0.5], 4)).unwrap();
        assert!(caption(&ranks).contains("in nested draws of a fraction of the examples (0.1, 0.5)"));
    }

    /// Independent draws are drawn where there are some; the rest is said. What is open is counted.
    #[test]
    fn what_is_not_drawn_is_said() {
        let tensors =
            "independent,0.1,tensor,a.weight,0,0,0,0,0,0,0\nindependent,0.1,tensor,b.weight,1,1,0,1,1,0,0\n";
        let open = rows("independent", &[0.1, 0.2], 1).replacen(
            "independent,0.2,site,embeddings,0,0,0.5,0,0,0.013,0.001\n",
            "",
            1,
        );
        let ranks = read(&(rows("nested", &[0.2], 1) + &open + tensors)).unwrap();
        let words = caption(&ranks);
        for part in [
            "4 sites and 2 blocks in independent",
            "nested draws are not shown",
            "tensors (2) are not drawn",
            "without a value, not drawn: ",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(words.lines().count(), 1);
        assert!(trajectory_figure(&ranks, None).unwrap().contains(">no value<"));
    }

    #[test]
    fn bad_tables_are_refused() {
        for (rows, field) in [
            ("", "`rows`"),
            ("independent,0.1,tensor,a,0,0,0,0,0,0,0\n", "`granularity`"),
            ("independent,1.5,site,a,0,0,0,0,0,0,0\n", "`fraction`"),
            ("independent,0.1,site,a,0,1,0,0,0,0,0\n", "`rank`"),
            ("independent,0.1,site,a,0,0,0,0,0,0,0\nindependent,0.1,site,a,0,0,0,0,0,0,0\n", "`name`"),
            ("some,0.1,site,a,0,0,0,0,0,0,0\n", "`row`"),
        ] {
            let message = read(rows).unwrap_err().to_string();
            assert!(message.contains("ranks.csv") && message.contains(field), "{message}");
        }
        // One item alone.
        assert_sound(
            &trajectory_figure(&read("disjoint,1,site,a,0,0,,0,0,0,\n").unwrap(), Some(84.0)).unwrap(),
        );
    }
}
