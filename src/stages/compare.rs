//! `compare`: is one model, or one arm, flatter than another?

use std::path::PathBuf;

use serde_json::json;

use super::check_extension;
use super::sharpness::examples_path;
use crate::error::{Error, Result};
use crate::files;
use crate::landscape::sharpness::{self, Sharpness};
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};

/// Compare the sharpness of models with that of others: paired model by model (first with first), by random direction and by
/// example.
///
/// With one pair an interval is about these two models, over examples and draws, and shows nothing about others. With several (seeds of
/// a training) it is about the two arms, over pairs and the examples that they share, and p is corrected for the number of measures.
/// Each interval has 95 % for its own measure only.
#[derive(clap::Args, Clone, Debug)]
pub struct Compare {
    /// Sharpness tables of the baseline models
    #[arg(long, required = true, value_name = "SHARPNESS.csv,..", value_delimiter = ',')]
    pub first: Vec<PathBuf>,
    /// Sharpness tables of the models to compare with them, in the same order (difference = second - first)
    #[arg(long, required = true, value_name = "SHARPNESS.csv,..", value_delimiter = ',')]
    pub second: Vec<PathBuf>,
    /// The table to write
    #[arg(long, value_name = "TABLE.csv")]
    pub out: PathBuf,
}

impl Compare {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "csv")?;
        let mut provenance = Provenance::start(command, None);
        let mut read = |paths: &[PathBuf]| -> Result<Vec<Sharpness>> {
            let one = |path: &PathBuf| {
                let path = examples_path(path);
                provenance.input_file("sharpness", &path)?;
                Sharpness::read(&path)
            };
            paths.iter().map(one).collect()
        };
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        let rows = sharpness::compare(&first, &second).map_err(|found| {
            let fix = "run `sharpness` on both with the same set, mask, options, seed and --reference";
            let sentence =
                format!("`models` must be measured like those of --first, one for each; found {found}");
            Error::said("--second", sentence, fix)
        })?;
        files::write_csv(&self.out, &rows)?;
        provenance.write(&provenance::beside(&self.out))?;
        for row in &rows {
            say!(
                "{:18} {:.4e} against {:.4e}: difference {:+.4e}, 95 % interval {:+.4e} to {:+.4e}{}",
                row.measure,
                row.second,
                row.first,
                row.difference,
                row.low,
                row.high,
                row.verdict()
            );
        }
        say!(
            "{} of models; sharpness changes when weights are rescaled without changing the function",
            match rows[0].pairs {
                1 => "one pair".to_string(),
                n => format!("{n} pairs"),
            }
        );
        say!("{}", self.out.display());
        progress::answer(|| json!({"out": self.out, "rows": rows}));
        Ok(())
    }
}
