//! Figures of tables: [`FIGURES`] has them all, each with the table that it draws.
//!
//! Used by `render`. What a file holds is told by its columns. Most tables have a figure of their own; schedules, spectra
//! and histories are drawn together. Surfaces are not here: they have options of their own.
//!
//! A new figure is a file here and an entry in [`FIGURES`].

pub mod agree_pairs;
pub mod audit_audit;
pub mod audit_concentration;
pub mod by_setting;
pub mod connect;
pub mod damage_layers;
pub mod damage_masks;
pub mod differences;
pub mod examples;
pub mod fisher;
pub(crate) mod parts;
pub mod prune;
pub mod schedule;
pub mod sharpness;
pub mod sharpness_densities;
pub mod sharpness_layers;
pub mod spectrum;
pub mod stability;
pub mod stability_components;
pub mod stability_needed;
pub mod stability_overlap;
pub mod stability_ranks;
pub mod stability_tails;
pub mod summary;
pub mod topology_minima;
pub mod training;

use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::dropout::rates;
use crate::error::{Error, Result};
use crate::files;
use crate::fisher::concentration::ConcentrationRow;
use crate::landscape::sharpness as sharp;
use crate::stability::AgreementRow;
use crate::stability::audit::AuditRow;
use crate::stability::components::ComponentRow;
use crate::stability::needed::NeededRow;
use crate::stability::overlap::OverlapRow;
use crate::stability::ranks::RankRow;
use crate::stability::tails::TailRow;
use crate::tables::agree::PairRow;
use crate::tables::connect::ConnectRow;
use crate::tables::damage::{LayerRow, PerturbedRow};
use crate::tables::examples::ExampleRow;
use crate::tables::page;
use crate::tables::prune::PruneRow;
use crate::tables::sharpness::{BlockRow, BlockSpectrumRow, SpectrumRow};
use crate::tables::study::{AlongRow, StudyRow};
use crate::tables::topology::MinimumRow;
use crate::tables::training::HistoryRow;
use crate::tables::{self, Schema, Table};

/// SVG, and the same in words for a paper.
type Drawn = (String, String);

/// A kind of figure, and the table that it draws.
pub struct Figure {
    /// What its file is called in a run's folder.
    pub name: &'static str,
    /// What the table holds, in a word; and what the figure is of.
    pub kind: &'static str,
    pub of: &'static str,
    pub table: Schema,
    draw: Draw,
}

/// How a figure is drawn, at a width.
enum Draw {
    /// Of one table, with what there is beside it.
    One(fn(&Path, Option<f64>) -> Result<Drawn>),
    /// Of tables with titles; the first function has the title of one that is given none.
    Several(fn(&Path) -> String, DrawTitled),
}

/// Figure and caption of titled tables, at a width.
type DrawTitled = fn(&[(String, PathBuf)], Option<f64>) -> Result<Drawn>;

/// Every figure. In a run, those of one command stand in this order.
pub const FIGURES: [Figure; 26] = [
    figure::<StudyRow>("differences", "study", "study.csv", Draw::One(differences::draw)),
    figure::<AlongRow>("by_KEY", "scores along a setting", "by_KEY.csv", Draw::One(by_setting::draw)),
    figure::<crate::fisher::files::Row>(
        "fisher",
        "Fisher table",
        "the Fisher information",
        Draw::One(fisher::draw),
    ),
    figure::<rates::Row>("schedule", "rates", "the schedule", Draw::Several(stem, schedule::draw)),
    figure::<HistoryRow>("training", "history", "the training", Draw::Several(arm, training::draw)),
    figure::<SpectrumRow>("spectrum", "spectral density", "the spectra", Draw::Several(stem, spectrum::draw)),
    figure::<sharp::Row>("sharpness", "sharpness", "the sharpness", Draw::Several(stem, sharpness::draw)),
    figure::<BlockRow>(
        "layers",
        "curvature by layer",
        "the curvature by layer",
        Draw::One(sharpness_layers::draw),
    ),
    figure::<BlockSpectrumRow>(
        "densities",
        "densities by layer",
        "the densities by layer",
        Draw::One(sharpness_densities::draw),
    ),
    figure::<AgreementRow>("stability", "agreement", "the stability", Draw::One(stability::draw)),
    figure::<RankRow>("stability_ranks", "ranks", "the ranks", Draw::One(stability_ranks::draw)),
    figure::<NeededRow>(
        "stability_needed",
        "examples needed",
        "the examples needed",
        Draw::One(stability_needed::draw),
    ),
    figure::<TailRow>("stability_tails", "tails", "the tails", Draw::One(stability_tails::draw)),
    figure::<ComponentRow>(
        "stability_components",
        "variance components",
        "masks and data",
        Draw::One(stability_components::draw),
    ),
    figure::<OverlapRow>("stability_overlap", "overlap", "the overlap", Draw::One(stability_overlap::draw)),
    figure::<AuditRow>("audit_audit", "audit", "the audit", Draw::One(audit_audit::draw)),
    figure::<ConcentrationRow>(
        "audit_concentration",
        "concentration",
        "the concentration",
        Draw::One(audit_concentration::draw),
    ),
    figure::<LayerRow>("damage_layers", "damage", "the damage", Draw::One(damage_layers::draw)),
    figure::<PerturbedRow>(
        "damage_masks",
        "perturbed masks",
        "the damage by mask",
        Draw::One(damage_masks::draw),
    ),
    figure::<PruneRow>("prune", "pruned models", "what pruning costs", Draw::One(prune::draw)),
    figure::<ConnectRow>("connect", "paths between models", "the paths", Draw::One(connect::draw)),
    figure::<PairRow>("agree_pairs", "pairs", "the agreement", Draw::One(agree_pairs::draw)),
    figure::<MinimumRow>("topology_minima", "basins", "the basins", Draw::One(topology_minima::draw)),
    figure::<ExampleRow>("examples", "examples", "the examples", Draw::One(examples::draw)),
    figure::<page::Training>("summary", "trainings", "what came out", Draw::One(summary::draw)),
    figure::<page::Surface>("rises", "rises", "the rises", Draw::One(summary::draw)),
];

const fn figure<T: Table>(name: &'static str, kind: &'static str, of: &'static str, draw: Draw) -> Figure {
    Figure { name, kind, of, table: Schema::of::<T>(), draw }
}

/// The figures of the tables of a command, whose folder is the first word of their names.
pub fn of_folder(folder: &str) -> impl Iterator<Item = &'static Figure> {
    FIGURES.iter().filter(move |figure| figure.name.split('_').next() == Some(folder))
}

/// The figure of the table that has this header: of several whose columns are all there, the one with the most. A table
/// without a figure may have them as well, and more.
fn of_header(header: &StringRecord) -> Option<&'static Figure> {
    let fits = FIGURES.iter().filter_map(|figure| Some((figure.table.fit(header)?, figure)));
    let (columns, figure) = fits.max_by_key(|(columns, _)| *columns)?;
    let most = tables::ALL.iter().filter_map(|schema| schema.fit(header)).max();
    (most <= Some(columns)).then_some(figure)
}

/// The figure of a file, if it is a table that has one.
fn of_file(path: &Path) -> Result<Option<&'static Figure>> {
    // Surfaces may be binary.
    Ok(of_text(&files::read(path)?))
}

fn of_text(bytes: &[u8]) -> Option<&'static Figure> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    csv::Reader::from_reader(text).headers().ok().and_then(of_header)
}

/// A figure and the files it was made from.
#[derive(Debug)]
pub struct Chart {
    pub svg: String,
    /// The same in words for a paper.
    pub caption: String,
    /// What they hold, in a word.
    pub kind: &'static str,
    pub inputs: Vec<PathBuf>,
}

/// The figure of `paths`, or `None` if none of them is a table with a chart. `titles` go with the paths or are empty:
/// then schedules and spectra are called by their file, and training runs by the folder of their arm. Histories of one
/// title are seeds of one arm.
///
/// # Errors
///
/// [`Error::Field`] for tables of several kinds, for several of a kind that has a figure of its own, and as the
/// readers and figures of each kind.
pub fn chart(paths: &[PathBuf], titles: &[String], width_mm: Option<f64>) -> Result<Option<Chart>> {
    let figures = paths.iter().map(|path| of_file(path)).collect::<Result<Vec<_>>>()?;
    let Some((i, figure)) = figures.iter().enumerate().find_map(|(i, figure)| Some((i, (*figure)?))) else {
        return Ok(None);
    };
    let path = &paths[i];
    if matches!(figure.draw, Draw::One(_)) && paths.len() > 1 {
        let found = format!("{} among others", figure.kind);
        return Err(Error::field(path.display(), "file", "the only one", found, "give only this one"));
    }
    let kinds = || figures.iter().map(|other| other.map(|other| other.kind));
    if let Some((place, other)) = kinds().enumerate().find(|(_, other)| *other != Some(figure.kind)) {
        let found = other.unwrap_or("none of the tables with a chart");
        let expected = format!("{}, as {}", figure.kind, path.display());
        return Err(Error::field(paths[place].display(), "file", expected, found, "give one kind at a time"));
    }
    let ((svg, caption), inputs) = match figure.draw {
        Draw::One(draw) => (draw(path, width_mm)?, tables::with_beside(path, figure.table.beside)),
        Draw::Several(name, draw) => {
            let title = |(i, path): (usize, &PathBuf)| {
                (titles.get(i).cloned().unwrap_or_else(|| name(path)), path.clone())
            };
            let titled: Vec<(String, PathBuf)> = paths.iter().enumerate().map(title).collect();
            let inputs = paths.iter().flat_map(|path| tables::with_beside(path, figure.table.beside));
            (draw(&titled, width_mm)?, inputs.collect())
        }
    };
    Ok(Some(Chart { svg, caption, kind: figure.kind, inputs }))
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The arm of a history by its place: `ARM/history.csv` or `ARM/seed3/history.csv`.
fn arm(path: &Path) -> String {
    let folders =
        path.ancestors().skip(1).filter_map(|folder| folder.file_name()).map(|name| name.to_string_lossy());
    let is_seed = |name: &str| {
        name.trim_start_matches("seed").trim_start_matches(['-', '_', '=']).parse::<u64>().is_ok()
    };
    let mut named = folders.skip_while(|name| is_seed(name));
    named.next().map_or_else(|| stem(path), |name| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figure of a file that begins with this text.
    pub(super) fn named(text: &str) -> Option<&'static str> {
        of_text(text.as_bytes()).map(|figure| figure.name)
    }

    /// Oracle: the list itself. Catches a table whose columns are all in another figure's, which would be drawn as that.
    #[test]
    fn every_figure_is_found_by_its_table() {
        for figure in &FIGURES {
            assert_eq!(named(&figure.table.columns().join(",")), Some(figure.name));
            assert!(tables::ALL.iter().any(|table| table.file == figure.table.file), "{}", figure.table.file);
            for (what, of) in
                [("name", |figure: &Figure| figure.name), ("kind", |figure: &Figure| figure.kind)]
                    as [(_, fn(&Figure) -> _); 2]
            {
                assert_eq!(
                    FIGURES.iter().filter(|other| of(other) == of(figure)).count(),
                    1,
                    "{what} {}",
                    of(figure)
                );
            }
        }
        assert_eq!(
            of_folder("audit").map(|figure| figure.name).collect::<Vec<_>>(),
            ["audit_audit", "audit_concentration"]
        );
    }

    const HISTORY: &str =
        "epoch,step,train_loss,held_out_loss,held_out_loss_se\n1,5,1,1,0.1\n2,10,0.9,0.8,0.1\n";
    const RATES: &str = "site,score,score_se,rank,p\nembeddings,,,0,0\nlayer.0.attention_probs,,,1,0.1\n\
                         layer.0.attention_output,,,2,0.1\nlayer.0.ffn_output,,,3,0.1\n";
    const SPECTRUM: &str = "curve,eigenvalue,density,density_sd\ndensity,0,1,\ndensity,1,2,\n";
    const OVERLAP: &str = "draw,fraction,repeat,examples,top,k,overlap,overlap_complement,captured,chance,gini\n\
                           nested,0.1,0,5,0.01,2,0.5,0.4,0.9,0.005,0.9\n";
    const NEEDED: &str = "draw,fraction,repeat,granularity,threshold,examples,predicted,predicted_low,predicted_high,\
                          expected,pairs,checked,checked_sd\nfull,1,0,site,0.9,50,20,10,40,0.9,5,0.9,0.01\n";
    const FISHER: &str = "name,site,block,numel,mean,mean_se,sum,max\nbert.embeddings.LayerNorm.bias,embeddings,embeddings,4,1,0,4,1\n";

    #[test]
    fn files_are_told_by_their_first_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            files::write(&path, text.as_bytes()).unwrap();
            path
        };
        let [history, rates, fisher, surface, spectrum] = [
            file("none/seed0/history.csv", HISTORY),
            file("r.csv", RATES),
            file("f.csv", FISHER),
            file("s.csv", "a,b,loss\n0,0,1\n"),
            file("d.csv", SPECTRUM),
        ];
        let (overlap, needed) = (file("o.csv", OVERLAP), file("n.csv", NEEDED));
        let of = |paths: &[&PathBuf], titles: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
            chart(&paths, &titles.iter().map(|t| t.to_string()).collect::<Vec<_>>(), None)
        };
        for (path, kind, word) in [
            (&history, "history", ">none<"),
            (&rates, "rates", ">r<"),
            (&fisher, "Fisher table", ">embeddings<"),
            (&spectrum, "spectral density", ">d<"),
            (&overlap, "overlap", ">overlap of the top sets<"),
            (&needed, "examples needed", ">examples for agreement 0.9<"),
        ] {
            let chart = of(&[path], &[]).unwrap().unwrap();
            assert_eq!((chart.kind, chart.inputs), (kind, vec![path.clone()]));
            // One paragraph.
            assert!(
                chart.caption.ends_with(".\n") && chart.caption.lines().count() == 1,
                "{}",
                chart.caption
            );
            assert!(chart.svg.contains(word), "{word}");
        }
        let binary = folder.path().join("s.h5");
        files::write(&binary, b"\x89HDF\r\n\x1a\n\xff\xfe").unwrap();
        // A page's table of trainings has all columns that a study's must have, and is no study.
        assert_eq!(named(&tables::columns::<page::Training>().join(",")), Some("summary"));
        // What has no figure though it has all columns of one.
        let page = file("t.csv", &(tables::columns::<page::McNemar>().join(",") + "\n"));
        for surface in [&surface, &binary, &page] {
            assert!(of(&[surface], &[]).unwrap().is_none());
        }
        // One title, one arm.
        let svg = of(&[&history, &history], &["a", "a"]).unwrap().unwrap().svg;
        assert!(svg.matches(">a<").count() == 1 && svg.contains(">single seeds<"));
        assert!(!of(&[&history, &history], &["a", "b"]).unwrap().unwrap().svg.contains(">single seeds<"));
        for (paths, words) in [
            ([&fisher, &fisher], "the only one"),
            ([&overlap, &needed], "the only one"),
            ([&rates, &history], "`file` must be rates"),
            ([&surface, &rates], "s.csv: `file` must be rates"),
        ] {
            let message = of(&paths, &[]).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn an_arm_is_the_folder_above_its_seeds() {
        for (path, name) in [
            ("runs/guided:f/seed0/history.csv", "guided:f"),
            ("runs/none/history.csv", "none"),
            ("/runs/none/seed_12/history.csv", "none"),
            ("none/3/history.csv", "none"),
            ("seedling/history.csv", "seedling"),
            ("seed1/history.csv", "history"),
            ("history.csv", "history"),
        ] {
            assert_eq!(arm(Path::new(path)), name, "{path}");
        }
    }
}
