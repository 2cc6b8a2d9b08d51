//! `directions`: of any kind that [`crate::landscape::directions::ALL`] lists.

use std::path::{Path, PathBuf};

use serde_json::json;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::moving::GaussianOptions;
use super::{ModelAndSet, check_extension};
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Result};
use crate::landscape::directions::between::BETWEEN;
use crate::landscape::directions::principal::PRINCIPAL;
use crate::landscape::directions::{self, Directions as Made, Inputs, Normalize, Source};
use crate::model::Checkpoint;
use crate::params::ParamMap;
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::{files, train};

/// Directions for `surface --directions`: between models, along a training run, or of another kind.
///
/// (0, 0) is the checkpoint. One --to model lies at (1, 0) and gives a profile. Two span a plane with orthogonal directions of
/// equal length. Along a training run the directions are the leading principal components of its snapshots, as long as its path
/// reaches.
#[derive(clap::Args, Clone, Debug)]
#[command(group(clap::ArgGroup::new("of").required(true).multiple(true).args(["to", "trajectory", "kind"])))]
pub struct Directions {
    #[command(flatten)]
    pub inputs: ModelAndSet,
    /// What they are [default: between with --to, principal with --trajectory]
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub kind: Option<Source>,
    /// One or two other checkpoints that the line or plane passes through
    #[arg(long, value_name = "C,C", value_delimiter = ',', conflicts_with = "trajectory")]
    pub to: Vec<PathBuf>,
    /// Names for the checkpoint and the --to models, for figures [default: names of their folders]
    #[arg(long, value_name = "TEXT", value_delimiter = ',', conflicts_with = "trajectory")]
    pub names: Vec<String>,
    /// Snapshots of a training run, as `train --snapshots` writes them
    #[arg(long, value_name = "DIR")]
    pub trajectory: Option<PathBuf>,
    #[command(flatten)]
    pub scale: GaussianOptions,
    /// Seed of random directions, and of a task head that a checkpoint lacks
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The file to write; D.marks.csv (where the models lie) and D.json (lengths, explained variance, hashes) go next to it
    #[arg(long, value_name = "D.safetensors")]
    pub out: PathBuf,
}

impl Directions {
    pub fn run(&self, command: &str) -> Result<()> {
        check_extension("--out", &self.out, "safetensors")?;
        self.check()?;
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        let theta = &model.theta;
        let mut about = json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "head_seed": self.seed,
        });
        let mut inputs = Inputs {
            objective: model.objective(),
            theta,
            examples: &set.examples,
            normalize: self.scale.normalize,
            vectors: self.scale.vectors,
            seed: self.seed,
            origin: self.name(0, &self.inputs.checkpoint),
            models: Vec::new(),
            snapshots: Vec::new(),
        };
        if let Some(folder) = &self.trajectory {
            inputs.snapshots = train::snapshots(folder)?;
            let mut hashes = serde_json::Map::new();
            for (step, path) in &inputs.snapshots {
                let hash = files::hash_file(path)?;
                provenance.input(format!("snapshot {step}"), &hash);
                hashes.insert(step.to_string(), json!(hash));
            }
            about["snapshots"] = json!(hashes);
        }
        if !self.to.is_empty() {
            let mut hashes = Vec::new();
            for (i, path) in self.to.iter().enumerate() {
                let (theta, hash) = self.other(path, &set)?;
                provenance.checkpoint(format!("to {}", i + 1), path, &hash)?;
                hashes.push(hash);
                inputs.models.push((self.name(i + 1, path), theta));
            }
            about["to"] = json!(hashes);
        }
        let source = self.source();
        if self.kind.is_some() {
            about["kind"] = json!(source.name);
        }
        let made = (source.make)(&inputs)?;
        about["lengths"] = json!({"x": made.lengths[0], "y": made.lengths[1]});
        about["explained_variance"] = json!(made.explained);
        let profile = made.pair[1].is_empty();
        files::write(&self.out.with_extension("json"), format!("{about:#}\n").as_bytes())?;
        files::write_csv(&marks_path(&self.out), &made.marks)?;
        directions::file::write(&self.out, &made.pair, theta)?;
        provenance.write(&provenance::beside(&self.out))?;
        tell(&made, profile);
        say!("{}", self.out.display());
        about["marks"] = json!(made.marks);
        about["out"] = json!(self.out);
        progress::answer(|| about);
        Ok(())
    }

    /// What they are.
    fn source(&self) -> Source {
        self.kind.unwrap_or(if self.trajectory.is_some() { PRINCIPAL } else { BETWEEN })
    }

    /// What is wrong with the options themselves.
    pub(super) fn check(&self) -> Result<()> {
        let fix = "see `fisherscape directions --help`";
        let source = self.source();
        let needs = [
            ("--to", source.between, self.to.is_empty()),
            ("--trajectory", source.along, self.trajectory.is_none()),
        ];
        for (option, needed, missing) in needs {
            if needed == missing {
                let verb = if needed { "needs" } else { "does not take" };
                return Err(Error::said("--kind", format!("--kind {} {verb} {option}", source.name), fix));
            }
        }
        let scaled = self.scale.vectors || self.scale.normalize != Normalize::default();
        if scaled && !source.scales {
            let sentence = format!(
                "--kind {} does not take --normalize or --vectors: its lengths are distances",
                source.name
            );
            return Err(Error::said("--kind", sentence, fix));
        }
        if self.to.len() > 2 {
            return Err(Error::field("--to", "checkpoints", "one or two", self.to.len(), fix));
        }
        if !self.names.is_empty() && (self.to.is_empty() || self.names.len() != self.to.len() + 1) {
            let expected = format!("{}: the checkpoint's, then one for each of --to", self.to.len() + 1);
            return Err(Error::field("--names", "names", expected, self.names.len(), fix));
        }
        Ok(())
    }

    /// The parameters of another model with the same head, and its hash.
    fn other(&self, path: &Path, set: &FrozenSet) -> Result<(ParamMap, String)> {
        let missing = self.inputs.head.missing(self.seed);
        let model = Checkpoint::open(path)?.model_for(set, missing)?;
        Ok((model.theta, model.hash))
    }

    /// The name of the `i`-th model: of the checkpoint, then of those to go to.
    fn name(&self, i: usize, path: &Path) -> String {
        let own =
            || path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into());
        self.names.get(i).cloned().unwrap_or_else(own)
    }
}

/// Reads the name of a source.
fn kinds() -> impl TypedValueParser<Value = Source> {
    let names = directions::ALL.map(|source| source.name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Source>())
}

/// `D.marks.csv` for `D.safetensors`.
pub fn marks_path(directions: &Path) -> PathBuf {
    directions.with_extension("marks.csv")
}

fn tell(made: &Made, profile: bool) {
    let [x, y] = made.lengths;
    match (profile, made.explained) {
        (true, _) => say!("length {x:.6}"),
        (false, None) if x == y => say!("length of both directions {x:.6}"),
        (false, None) => say!("lengths {x:.6} and {y:.6}"),
        (false, Some([first, second])) => {
            say!("length of both directions {y:.6}");
            say!("explained variance: {:.1} % and {:.1} %", 100.0 * first, 100.0 * second);
        }
    }
    for mark in &made.marks {
        let name = mark.order.map_or(mark.label.clone(), |step| format!("step {step}"));
        let off =
            if mark.distance > 0.0 { format!(", {:.4} off the plane", mark.distance) } else { String::new() };
        say!("{name}: ({:.6}, {:.6}){off}", mark.x, mark.y);
    }
}
