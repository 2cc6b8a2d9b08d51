//! Agreement of the rankings of several files, as SVG: a matrix of Spearman's ρ for each granularity, and below it the
//! rank of each site and block from file to file. Of two files a matrix would be one cell: the scores of the one are drawn against
//! those of the other.
//!
//! Files are numbered in the order of the table; the key has their names, and the axes too where there is room. A matrix holds each pair once.
//! The rank lines need `scores.csv` beside the table; without it there are matrices alone.
//!
//! The trap: ρ of few items is coarse: of 5 blocks it has 20 values. So its 95 % interval is printed with it.
//!
//! Takes [`Pairs`], the `pairs.csv` of `agree`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::draw::axis::{self, Axis, drawable};
use crate::draw::canvas::{Anchor, Area, Canvas, DIGIT_HEIGHT, PT_PER_MM, Point, widest};
use crate::draw::cells::{self, Cell};
use crate::draw::frame::{self, BELOW, EDGE};
use crate::draw::legend::{Entry, SIGN, Sheet};
use crate::draw::text::{self, NUMBER, TITLE};
use crate::error::{Error, Result};
use crate::figures::parts::bump::{self, Bump, Line, Rank};
use crate::figures::parts::sites;
use crate::figures::parts::two_scores::{self, Scores, decimals};
use crate::fisher::layers::Granularity;
use crate::tables::agree::{PairRow, ScoreRow};
use crate::tables::{self, Table};

/// Height and greatest width of a cell, and of a name left of its row, pt.
const ROW: f64 = 23.0;
const WIDEST: f64 = 56.0;
const LONGEST: f64 = 44.0;
/// Between panels, pt.
const GAP: f64 = 10.0;
/// Below this width (mm) panels stand one below the other.
const ONE_PANEL: f64 = 120.0;

/// For readers of the file.
const DESCRIPTION: &str = "Spearman’s ρ between the rankings of files, with 95 % intervals, for each granularity; and \
                           the rank of each site and block from file to file (0 is the lowest score).";

const OF_TWO: &str = "The score of each site and block in one file against that in another.";

/// Rankings of several files.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Titles, in the order of the tables.
    files: Vec<String>,
    matrices: Vec<(Granularity, Vec<Pair>)>,
    lines: Vec<(Granularity, Vec<Line>)>,
    /// Of two files.
    scores: Vec<Scores>,
}

/// Agreement of two files, by their places.
#[derive(Clone, Debug)]
struct Pair {
    files: (usize, usize),
    rho: Option<f64>,
    ends: Option<(f64, f64)>,
}

impl Pairs {
    /// Reads `pairs.csv`, and `scores.csv` beside it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for other columns, no row, a file paired with itself, a pair given twice, an agreement outside
    /// −1 to 1, a score of a file without a pair, or a rank that the number of items does not allow.
    pub fn read(path: &Path) -> Result<Pairs> {
        let rows: Vec<PairRow> = tables::read_some(path)?;
        let mut names: Vec<String> = Vec::new();
        for name in rows.iter().flat_map(|row| [&row.a, &row.b]) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let mut pairs = Pairs { files: names, matrices: Vec::new(), lines: Vec::new(), scores: Vec::new() };
        for granularity in Granularity::ALL {
            let mut matrix: Vec<Pair> = Vec::new();
            for row in rows.iter().filter(|row| row.granularity == granularity) {
                let (a, b) = (pairs.place(&row.a), pairs.place(&row.b));
                let files = (a.min(b), a.max(b));
                if a == b || matrix.iter().any(|pair| pair.files == files) {
                    let (expected, found) = ("another file, each pair once", format!("{}, {}", row.a, row.b));
                    return Err(Error::field(path.display(), "b", expected, found, PairRow::FIX));
                }
                let ends = row.spearman_low.zip(row.spearman_high);
                let ends = ends.filter(|(low, high)| drawable(*low) && drawable(*high));
                matrix.push(Pair { files, rho: row.spearman, ends });
            }
            pairs.matrices.extend(Some((granularity, matrix)).filter(|(_, matrix)| !matrix.is_empty()));
        }
        pairs.add_scores(&path.with_file_name(ScoreRow::FILE), &tables::read_beside(path)?)?;
        Ok(pairs)
    }

    /// The place of a file; 0 for one that is unknown.
    fn place(&self, name: &str) -> usize {
        self.files.iter().position(|file| file == name).unwrap_or(0)
    }

    fn add_scores(&mut self, path: &Path, rows: &[ScoreRow]) -> Result<()> {
        if let Some(row) = rows.iter().find(|row| !self.files.contains(&row.file)) {
            return Err(Error::field(
                path.display(),
                "file",
                "one of those in pairs.csv",
                &row.file,
                ScoreRow::FIX,
            ));
        }
        for granularity in sites::SHOWN {
            let mut lines: Vec<Line> = Vec::new();
            for row in rows.iter().filter(|row| row.granularity == granularity) {
                let known = lines.iter().position(|line| line.name == row.name).unwrap_or(lines.len());
                if known == lines.len() {
                    lines.push(Line { name: row.name.clone(), ranks: vec![None; self.files.len()] });
                }
                lines[known].ranks[self.place(&row.file)] = Some(Rank { rank: row.rank as f64, ends: None });
            }
            let last = lines.len().saturating_sub(1) as f64;
            let all = lines.iter().flat_map(|line| &line.ranks).flatten().map(|rank| rank.rank);
            if let Some(rank) = all.into_iter().find(|rank| !(0.0..=last).contains(rank)) {
                let expected = format!("from 0 to {last} for each {}", granularity.name());
                return Err(Error::field(path.display(), "rank", expected, rank, ScoreRow::FIX));
            }
            self.lines.extend(Some((granularity, lines)).filter(|(_, lines)| !lines.is_empty()));
        }
        if self.files.len() == 2 {
            self.scores =
                sites::SHOWN.iter().filter_map(|granularity| self.scores(*granularity, rows)).collect();
        }
        Ok(())
    }

    /// The scores of two files, where there are any.
    fn scores(&self, granularity: Granularity, rows: &[ScoreRow]) -> Option<Scores> {
        let of = |file: &String| {
            let own = rows.iter().filter(move |row| row.granularity == granularity && row.file == *file);
            own.map(|row| (row.name.clone(), row.score)).collect::<BTreeMap<String, f64>>()
        };
        let second = of(&self.files[1]);
        let both = |(name, score): (String, f64)| Some(([score, *second.get(&name)?], name));
        let layers: Vec<(String, [f64; 2])> =
            of(&self.files[0]).into_iter().filter_map(both).map(|(both, name)| (name, both)).collect();
        let matrix = self.matrices.iter().find(|(own, _)| *own == granularity);
        let pair = matrix.and_then(|(_, matrix)| matrix.first());
        let rho = pair.and_then(|pair| Some((pair.rho?, pair.ends)));
        (!layers.is_empty()).then_some(Scores { granularity, rho, layers })
    }

    /// Pairs and ranks without a value, among all that there could be.
    fn open(&self) -> usize {
        let n = self.files.len();
        let known = |matrix: &Vec<Pair>| matrix.iter().filter(|pair| pair.rho.is_some()).count();
        let pairs: usize = self.matrices.iter().map(|(_, matrix)| n * (n - 1) / 2 - known(matrix)).sum();
        let ranks = self.lines.iter().flat_map(|(_, lines)| lines).flat_map(|line| &line.ranks);
        pairs + ranks.filter(|rank| rank.is_none()).count()
    }
}

/// The figure in words for a paper.
pub fn caption(pairs: &Pairs) -> String {
    let own = |(granularity, lines): &(Granularity, Vec<Line>)| vec![*granularity; lines.len()];
    let mut lines = String::new();
    if !pairs.lines.is_empty() {
        let counts = sites::counts(pairs.lines.iter().flat_map(own));
        lines = format!(" Lines are the ranks (0 is the lowest score) of {counts} from file to file.");
    }
    let open = match pairs.open() {
        0 => String::new(),
        n => format!(" Pairs or ranks without a value, not drawn: {n}."),
    };
    let granularities: Vec<String> = pairs.matrices.iter().map(|(g, _)| format!("{}s", g.name())).collect();
    format!(
        "Agreement of the Fisher rankings of {} files: Spearman’s ρ between each two, with its 95 % interval where there \
         is room for it, by {}.{lines}{open} Files: {}.\n",
        pairs.files.len(),
        granularities.join(", "),
        numbered(&pairs.files).join(", "),
    )
}

fn numbered(files: &[String]) -> Vec<String> {
    files.iter().enumerate().map(|(i, file)| format!("{} {file}", i + 1)).collect()
}

/// The table at `path` as SVG and in words.
pub(super) fn draw(path: &Path, width_mm: Option<f64>) -> Result<(String, String)> {
    let read = Pairs::read(path)?;
    match read.scores.is_empty() {
        true => Ok((pair_figure(&read, width_mm)?, caption(&read))),
        false => Ok((
            two_scores::figure(&read.files, &read.scores, width_mm, OF_TWO)?,
            two_scores::caption(&read.files, &read.scores),
        )),
    }
}

/// The figure as SVG text, `width_mm` wide (by default 174 mm, the width of a page); below 120 mm with its panels one
/// below the other.
///
/// The same tables give the same bytes.
///
/// # Errors
///
/// [`Error::Field`] if the width leaves no room.
pub fn pair_figure(pairs: &Pairs, width_mm: Option<f64>) -> Result<String> {
    let width_mm = width_mm.unwrap_or(174.0);
    let width = width_mm * PT_PER_MM;
    let across = |panels: usize| if width_mm < ONE_PANEL { 1 } else { panels };

    // Matrices.
    let columns = across(pairs.matrices.len());
    let names = numbered(&pairs.files);
    let before_rows = before_rows(&names);
    let rest = 2.0 * EDGE + before_rows * columns as f64 + GAP * (columns - 1) as f64;
    let room = frame::panel_width(width_mm, columns, rest)?;
    let sides = pairs.files.len() - 1;
    let matrix = (f64::min(room, WIDEST * sides as f64), ROW * sides as f64);
    let pitch = (before_rows + room + GAP, 1.1 * TITLE + 3.0 + matrix.1 + 1.5 * NUMBER + 4.0);
    let below_matrices = EDGE + pitch.1 * pairs.matrices.len().div_ceil(columns) as f64;
    let all = pairs.matrices.iter().flat_map(|(_, matrix)| matrix).filter_map(|pair| pair.rho);
    let scale = axis::range(all).map(|(low, _)| Axis::linear(low.min(0.0), 1.0, 5, 0.0));

    // Rank lines.
    let (columns_below, lines) =
        (across(pairs.lines.len().max(1)), || pairs.lines.iter().flat_map(|(_, lines)| lines));
    let most = pairs.lines.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let (before, after) = (bump::before(most.max(1)), bump::after(lines()));
    let side = frame::panel_width(width_mm, columns_below, (before + after) * columns_below as f64 + EDGE)?;
    let top = if scale.is_some() { cells::below_bar(below_matrices) + GAP } else { below_matrices };
    let (mut bumps, mut foot) = (Vec::new(), top);
    for row in pairs.lines.chunks(columns_below) {
        let heights = row.iter().map(|(_, lines)| bump::height(lines.len()));
        for i in 0..row.len() {
            bumps.push((before + (before + side + after) * i as f64, foot + bump::ABOVE));
        }
        foot += bump::ABOVE + heights.fold(0.0, f64::max) + BELOW + GAP;
    }

    let sheet = Sheet::new(width, (EDGE, foot), entries(pairs), SIGN);
    let canvas = &sheet.canvas;
    let fallback = Axis::linear(0.0, 1.0, 5, 0.0);
    for (i, (granularity, pairs)) in pairs.matrices.iter().enumerate() {
        let left = EDGE + before_rows + pitch.0 * (i % columns) as f64;
        let corner = (left, EDGE + pitch.1 * (i / columns) as f64 + 1.1 * TITLE + 3.0);
        let title = format!("{}s", granularity.name());
        draw_matrix(canvas, pairs, &names, &title, corner, matrix, scale.as_ref().unwrap_or(&fallback));
    }
    if let Some(scale) = &scale {
        let at = (EDGE + before_rows, below_matrices);
        cells::colour_bar(canvas, at, f64::min(room, 200.0), scale, &["Spearman’s ρ"]);
    }
    let names = heads(&names, side / pairs.files.len() as f64 - 4.0);
    for ((granularity, lines), &corner) in pairs.lines.iter().zip(&bumps) {
        let title = format!("ranks of {}s", granularity.name());
        Bump { title: &title, lines, columns: &names, corner, width: side }.draw(canvas);
    }
    Ok(sheet.finish(DESCRIPTION))
}

/// Lines of a cell, of ρ and its interval.
type Words = fn(f64, Option<(f64, f64)>) -> Vec<String>;

/// The lower triangle: files from the second down, from the first to the last but one across.
fn draw_matrix(
    canvas: &Canvas,
    pairs: &[Pair],
    names: &[String],
    title: &str,
    corner: Point,
    size: (f64, f64),
    scale: &Axis,
) {
    let sides = names.len() - 1;
    let each = size.0 / sides as f64;
    let with = |words: Words| -> Vec<Cell> {
        let places = (1..=sides).flat_map(|b| (0..b).map(move |a| (a, b)));
        let cell = |(a, b): (usize, usize)| {
            let (left, top) = (corner.0 + each * a as f64, corner.1 + ROW * (b - 1) as f64);
            let area = Area { left, top, right: left + each, bottom: top + ROW };
            let pair = pairs.iter().find(|pair| pair.files == (a, b));
            let value = pair.and_then(|pair| pair.rho);
            let lines = value.map(|rho| words(rho, pair.and_then(|pair| pair.ends)));
            Cell { area, value, lines: lines.unwrap_or_default() }
        };
        places.map(cell).collect()
    };
    let versions: [Words; 3] = [
        |rho, ends| {
            let ends = ends.map(|(low, high)| format!("[{}, {}]", decimals(low), decimals(high)));
            [decimals(rho)].into_iter().chain(ends).collect()
        },
        |rho, ends| {
            let ends =
                ends.map(|(low, high)| [format!("≥ {}", decimals(low)), format!("≤ {}", decimals(high))]);
            [decimals(rho)].into_iter().chain(ends.into_iter().flatten()).collect()
        },
        |rho, _| vec![decimals(rho)],
    ];
    let cells = cells::readable(versions.map(with));
    cells::draw(canvas, &cells, scale);
    let (title, em) = text::first_fitting(&[title], TITLE, size.0);
    canvas.centred(&title, (corner.0 + size.0 / 2.0, corner.1 - 4.0), em);
    let (rows, columns) = (heads(names, LONGEST), heads(names, each - 4.0));
    for (i, (row, column)) in rows[1..].iter().zip(&columns).enumerate() {
        let y = corner.1 + ROW * (i as f64 + 0.5) + NUMBER * DIGIT_HEIGHT / 2.0;
        canvas.text(row, (corner.0 - 3.0, y), NUMBER, Anchor::End, 0.0, "#000");
        let at = (corner.0 + each * (i as f64 + 0.5), corner.1 + size.1 + 3.0 + 0.76 * NUMBER);
        canvas.centred(column, at, NUMBER);
    }
}

/// Numbered names where all have room, else their numbers: names stand in the key in any case.
fn heads(names: &[String], room: f64) -> Vec<String> {
    if widest(names.iter().map(String::as_str), NUMBER) > room {
        return (1..=names.len()).map(|i| i.to_string()).collect();
    }
    names.to_vec()
}

/// Left of a matrix, for the heads of its rows.
fn before_rows(names: &[String]) -> f64 {
    widest(heads(names, LONGEST).iter().map(String::as_str), NUMBER) + 5.0
}

fn entries(pairs: &Pairs) -> Vec<Entry<'static>> {
    let mut entries: Vec<Entry> = numbered(&pairs.files).into_iter().map(Entry::note).collect();
    let lines = pairs.lines.iter().flat_map(|(_, lines)| lines);
    entries.extend(sites::key(lines.map(|line| line.name.as_str())));
    if !pairs.lines.is_empty() {
        entries.push(Entry::note("rank 0: lowest score"));
    }
    if pairs.open() > 0 {
        entries.push(cells::missing("no value"));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::tests::{assert_sound, attribute};

    const HEADER: &str = "a,b,granularity,paired,spearman,spearman_low,spearman_high\n";
    const SCORES: &str = "file,granularity,name,score,score_se,rank,ratio,ratio_low,ratio_high\n";

    fn read(rows: &str, scores: Option<&str>) -> Result<Pairs> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.csv");
        std::fs::write(&path, format!("{HEADER}{rows}")).unwrap();
        if let Some(rows) = scores {
            std::fs::write(folder.path().join("scores.csv"), format!("{SCORES}{rows}")).unwrap();
        }
        let inputs = tables::with_beside(&path, PairRow::BESIDE);
        assert_eq!(inputs.len(), 1 + usize::from(scores.is_some()));
        assert_eq!(crate::figures::tests::named(HEADER), Some("agree_pairs"));
        Pairs::read(&path)
    }

    /// `n` files of a model of `layers` layers.
    fn tables(n: usize, layers: usize, title: &str) -> (String, String) {
        let (mut rows, mut scores) = (String::new(), String::new());
        for granularity in ["tensor", "site", "block"] {
            for b in 1..n {
                for a in 0..b {
                    rows += &format!("{title}{a},{title}{b},{granularity},true,0.{b}{a},-0.{a}1,0.9{b}\n");
                }
            }
        }
        let sites = crate::model::architectures::bert::sites(layers);
        for file in 0..n {
            for (i, site) in sites.iter().enumerate() {
                scores += &format!("{title}{file},site,{site},1,0.1,{},1,,\n", (i + file) % sites.len());
            }
            for k in 0..layers {
                scores += &format!("{title}{file},block,layer.{k},1,0.1,{},1,,\n", (k + file) % layers);
            }
        }
        (rows, scores)
    }

    /// Oracle: the renderer's layout, and counting: few and many files, long and short names, wide and narrow sheets.
    #[test]
    fn texts_keep_apart_and_every_pair_is_printed() {
        for (n, layers, title) in [
            (2, 1, "f"),
            (3, 4, "seed "),
            (5, 12, "runs/a very long name of a file of scores; seed "),
            (8, 4, "f"),
        ] {
            let (rows, scores) = tables(n, layers, title);
            for width in [84.0, 174.0] {
                for scores in [None, Some(scores.as_str())] {
                    let pairs = read(&rows, scores).unwrap();
                    let svg = pair_figure(&pairs, Some(width)).unwrap();
                    let texts = assert_sound(&svg);
                    let count = |word: &str| texts.iter().filter(|(text, _)| text == word).count();
                    assert_eq!((count("0.10"), count("sites")), (3, 1));
                    assert_eq!(count("0 ffn output"), usize::from(scores.is_some()));
                    assert_eq!(svg.matches("stroke-width=\".2\"").count(), 3 * n * (n - 1) / 2);
                }
            }
        }
    }

    /// Oracle: on paper. The pair of files 1 and 3 stands below and left: column 1, second row; that of 2 and 3 is given
    /// the other way round and stands right of it.
    #[test]
    fn a_pair_has_its_cell() {
        let pairs = read("x,y,site,true,1,,\nx,z,site,true,0,,\nz,y,site,true,0.5,0.2,0.7\n", None).unwrap();
        let svg = pair_figure(&pairs, None).unwrap();
        let cells: Vec<&str> = svg.lines().filter(|line| line.contains("stroke-width=\".2\"")).collect();
        assert!(cells[0].contains("#fee825") && cells[1].contains("#440154"), "{cells:?}");
        let corner = |i: usize| (attribute(cells[i], "x"), attribute(cells[i], "y"));
        assert!(corner(1).0 == corner(0).0 && corner(1).1 == corner(0).1 + ROW);
        assert!(corner(2).1 == corner(1).1 && corner(2).0 > corner(1).0);
        assert!(svg.contains(">[0.20, 0.70]<") && svg.contains(">3 z<"));
        assert!(caption(&pairs).ends_with("Files: 1 x, 2 y, 3 z.\n"));
    }

    /// Oracle: on paper. Of two files each layer stands at its two scores: from 10, 10 to 100, 1000 it is one decade across and two
    /// upwards, as far up as the line of equal scores rises from 1 to 100. Catches axes that are exchanged, and a cell where a picture
    /// should be.
    #[test]
    fn of_two_files_the_scores_are_drawn() {
        let scores = "x,site,embeddings,1,,0,,,\nx,site,layer.0.ffn_output,10,,1,,,\nx,site,layer.1.ffn_output,100,,2,,,\n\
                      y,site,embeddings,1,,0,,,\ny,site,layer.0.ffn_output,10,,1,,,\ny,site,layer.1.ffn_output,1000,,2,,,\n";
        let pairs = read("x,y,site,true,0.5,0.2,0.7\n", Some(scores)).unwrap();
        let svg = two_scores::figure(&pairs.files, &pairs.scores, None, OF_TWO).unwrap();
        let texts = assert_sound(&svg);
        assert!(texts.iter().any(|(text, _)| text == "sites: ρ 0.50 (0.20 to 0.70)"), "{texts:?}");
        // Triangles: two ffn outputs, and the key.
        let start = |line: &str| {
            let numbers: Vec<f64> = line
                .trim_start_matches("<path d=\"M")
                .split([' ', 'l'])
                .map_while(|v| v.parse().ok())
                .collect();
            (numbers[0], numbers[1])
        };
        let at: Vec<Point> =
            svg.lines().filter(|line| line.contains("fill=\"#009e73\"")).map(start).collect();
        assert_eq!(at.len(), 3);
        // A decade across from one to the other, two upwards; so far the line rises from 1 to 100, too.
        let line = svg.lines().find(|line| line.contains("stroke=\"#777\"")).unwrap();
        let (across, rise) = (at[1].0 - at[0].0, at[0].1 - at[1].1);
        let steps = line.split('l').nth(1).unwrap().split('"').next().unwrap();
        let (x, y) = steps.split_once('-').unwrap();
        let (x, y): Point = (x.parse().unwrap(), y.parse().unwrap());
        // Places have two decimals.
        assert!((x - 2.0 * across).abs() < 0.03 && (y - rise).abs() < 0.03, "{line}");
        assert!(caption_of(&pairs).contains("by x (across) and by y (upright)"));
        // Without scores there is the matrix.
        assert!(read("x,y,site,true,0.5,0.2,0.7\n", None).unwrap().scores.is_empty());
    }

    fn caption_of(pairs: &Pairs) -> String {
        two_scores::caption(&pairs.files, &pairs.scores)
    }

    #[test]
    fn bad_tables_are_refused() {
        let one = "x,y,site,true,0.5,,\n";
        for (rows, scores, field) in [
            ("", None, "`rows`"),
            ("x,x,site,true,0.5,,\n", None, "`b`"),
            (&format!("{one}y,x,site,true,0.5,,\n"), None, "`b`"),
            ("x,y,site,true,1.5,,\n", None, "`spearman`"),
            ("x,y,row,true,0.5,,\n", None, "`row`"),
            (one, Some("z,site,embeddings,1,,0,,,\n"), "`file`"),
            (one, Some("x,site,embeddings,1,,1,,,\n"), "`rank`"),
        ] {
            let message = read(rows, scores).unwrap_err().to_string();
            assert!(message.contains(".csv") && message.contains(field), "{message}");
        }
        // Nothing to draw but that.
        let open = read("x,y,site,true,,,\n", Some("x,site,embeddings,1,,0,,,\n")).unwrap();
        let svg = pair_figure(&open, Some(84.0)).unwrap();
        assert_sound(&svg);
        assert!(
            svg.contains(">no value<")
                && caption(&open).contains("Pairs or ranks without a value, not drawn: 2.")
        );
    }
}
