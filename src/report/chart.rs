//! Tables to figures: what kind of table files hold, told by their first lines, and the figure of that kind.
//!
//! Used by `render`; the figures are [`super::concentration`], [`super::curves`], [`super::damage`], [`super::heat`],
//! [`super::needed`], [`super::overlap`], [`super::rates`], [`super::spectrum`] and [`super::training`].
//! Surfaces are no charts: they have options of their own.

use std::path::{Path, PathBuf};

use super::agreement_file::Curves;
use super::concentration::{self, Concentration, concentration_figure};
use super::curves::{self, curve_figure};
use super::damage::{self, Damage, damage_figure};
use super::heat::{self, FisherTable, heat_figure};
use super::needed::{self, Needed, needed_figure};
use super::overlap::{self, Overlap, overlap_figure};
use super::rates::{self, RatesTable, schedule_figure};
use super::spectrum::{self, Spectrum, spectrum_figure};
use super::training::{self, History, training_figure};
use crate::error::{Error, Result};
use crate::files;

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

/// Tables that have a chart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Agreement,
    Fisher,
    Rates,
    History,
    Spectrum,
    Concentration,
    Overlap,
    Needed,
    Damage,
}

impl Kind {
    /// By the first line of a file.
    fn of(text: &str) -> Option<Kind> {
        let tests = [
            (Kind::Agreement, Curves::is_agreement(text)),
            (Kind::Fisher, FisherTable::is_fisher(text)),
            (Kind::Rates, RatesTable::is_rates(text)),
            (Kind::History, History::is_history(text)),
            (Kind::Spectrum, Spectrum::is_spectrum(text)),
            (Kind::Concentration, Concentration::is_concentration(text)),
            (Kind::Overlap, Overlap::is_overlap(text)),
            (Kind::Needed, Needed::is_needed(text)),
            (Kind::Damage, Damage::is_damage(text)),
        ];
        tests.into_iter().find_map(|(kind, is)| is.then_some(kind))
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Agreement => "agreement",
            Kind::Fisher => "Fisher table",
            Kind::Rates => "rates",
            Kind::History => "history",
            Kind::Spectrum => "spectral density",
            Kind::Concentration => "concentration",
            Kind::Overlap => "overlap",
            Kind::Needed => "examples needed",
            Kind::Damage => "damage",
        }
    }

    /// Whether a figure of it shows one table.
    fn is_single(self) -> bool {
        !matches!(self, Kind::Rates | Kind::History | Kind::Spectrum)
    }

    /// The files that are read for a table.
    fn files(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Kind::Agreement => Curves::files(path),
            Kind::Concentration => Concentration::files(path),
            Kind::Damage => Damage::files(path),
            _ => vec![path.to_path_buf()],
        }
    }
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
    let mut kinds = Vec::new();
    for path in paths {
        // Surfaces may be binary.
        let bytes = files::read(path)?;
        kinds.push(Kind::of(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}')));
    }
    let Some((i, kind)) = kinds.iter().enumerate().find_map(|(i, kind)| Some((i, (*kind)?))) else {
        return Ok(None);
    };
    let path = &paths[i];
    if kind.is_single() && paths.len() > 1 {
        let found = format!("{} among others", kind.name());
        return Err(Error::field(path.display(), "file", "the only one", found, "give it alone"));
    }
    if let Some(other) = kinds.iter().position(|other| *other != Some(kind)) {
        let found = kinds[other].map_or("none of the tables with a chart", Kind::name);
        let expected = format!("{}, as {}", kind.name(), path.display());
        return Err(Error::field(paths[other].display(), "file", expected, found, "give one kind at a time"));
    }
    let title = |i: usize, or: fn(&Path) -> String| titles.get(i).cloned().unwrap_or_else(|| or(&paths[i]));
    let (svg, caption) = match kind {
        Kind::Agreement => {
            let curves = Curves::read(path)?;
            (curve_figure(&curves, width_mm)?, curves::caption(&curves))
        }
        Kind::Fisher => {
            let table = FisherTable::read(path)?;
            (heat_figure(&table, width_mm)?, heat::caption(&table))
        }
        Kind::Concentration => {
            let read = Concentration::read(path)?;
            (concentration_figure(&read, width_mm)?, concentration::caption(&read))
        }
        Kind::Overlap => {
            let read = Overlap::read(path)?;
            (overlap_figure(&read, width_mm)?, overlap::caption(&read))
        }
        Kind::Needed => {
            let read = Needed::read(path)?;
            (needed_figure(&read, width_mm)?, needed::caption(&read))
        }
        Kind::Damage => {
            let read = Damage::read(path)?;
            (damage_figure(&read, width_mm)?, damage::caption(&read))
        }
        Kind::Rates => {
            let mut schedules = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                schedules.push((title(i, stem), RatesTable::read(path)?));
            }
            (schedule_figure(&schedules, width_mm)?, rates::caption(&schedules))
        }
        Kind::Spectrum => {
            let mut spectra = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                spectra.push((title(i, stem), Spectrum::read(path)?));
            }
            (spectrum_figure(&spectra, width_mm)?, spectrum::caption(&spectra))
        }
        Kind::History => {
            let mut arms: Vec<(String, Vec<History>)> = Vec::new();
            for (i, path) in paths.iter().enumerate() {
                let (name, history) = (title(i, arm), History::read(path)?);
                match arms.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, seeds)) => seeds.push(history),
                    None => arms.push((name, vec![history])),
                }
            }
            (training_figure(&arms, width_mm)?, training::caption(&arms))
        }
    };
    let inputs = paths.iter().flat_map(|path| kind.files(path)).collect();
    Ok(Some(Chart { svg, caption, kind: kind.name(), inputs }))
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

    const HISTORY: &str =
        "epoch,step,train_loss,held_out_loss,held_out_loss_se\n1,5,1,1,0.1\n2,10,0.9,0.8,0.1\n";
    const RATES: &str = "site,score,score_se,rank,p\nembeddings,,,0,0\nlayer.0.attention_probs,,,1,0.1\n\
                         layer.0.attention_output,,,2,0.1\nlayer.0.ffn_output,,,3,0.1\n";
    const SPECTRUM: &str = "curve,eigenvalue,density,density_sd\ndensity,0,1,\ndensity,1,2,\n";
    const OVERLAP: &str = "draw,fraction,repeat,examples,top,k,overlap,overlap_complement,captured,chance,gini\n\
                           nested,0.1,0,5,0.01,2,0.5,0.4,0.9,0.005,0.9\n";
    const NEEDED: &str = "draw,fraction,repeat,granularity,threshold,examples,predicted,predicted_low,predicted_high,\
                          expected,pairs,checked,checked_sd\nfull,1,0,site,0.9,50,20,10,40,0.9,5,0.9,0.01\n";
    const FISHER: &str =
        "name,site,block,numel,mean,mean_se,sum,max\nbert.embeddings.LayerNorm.bias,,,4,1,0,4,1\n";

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
        for surface in [&surface, &binary] {
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
