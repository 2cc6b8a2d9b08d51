//! Which parameters may move and along what: options that `surface` and `sharpness` share.

use std::path::PathBuf;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::options::defaults;
use crate::data::frozen::FrozenSet;
use crate::error::{Error, Result};
use crate::files;
use crate::fisher::files as fisher_files;
use crate::landscape::directions::{self, Direction, Normalize};
use crate::landscape::mask::{Choice, Mask, MaskUnit, Norm, Select};
use crate::model::checkpoint::MissingHead;
use crate::model::{Checkpoint, Model, Objective};
use crate::params::ParamMap;
use crate::progress::say;
use crate::provenance::Provenance;

/// Random directions.
#[derive(clap::Args, Clone, Debug)]
pub struct Gaussian {
    /// Checkpoint whose weights set the scale of directions and distances; use the same one for all models you compare
    /// [default: the checkpoint itself]
    #[arg(long, value_name = "C")]
    pub reference: Option<PathBuf>,
    #[command(flatten)]
    pub options: GaussianOptions,
}

/// How random directions are drawn.
#[derive(clap::Args, Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct GaussianOptions {
    /// Scale Gaussian directions to the weights: by row, by tensor, or not
    #[arg(long, value_enum, default_value_t)]
    pub normalize: Normalize,
    /// Let biases and LayerNorm vectors move too
    #[arg(long)]
    pub vectors: bool,
}

impl Gaussian {
    /// The `k`-th random direction of an axis, scaled to the weights `theta`.
    pub fn draw(
        &self,
        objective: &dyn Objective,
        theta: &ParamMap,
        seed: u64,
        axis: &str,
        k: usize,
    ) -> Result<Direction> {
        let axis = if k == 0 { axis.to_string() } else { format!("{axis}{k}") };
        let GaussianOptions { normalize, vectors } = self.options;
        directions::gaussian::random(&|name| objective.filters(name), theta, seed, &axis, normalize, vectors)
    }

    /// The weights that directions are scaled to, and their hash where they are not the model's own.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if the reference cannot be read, or has other parameters than the model.
    pub fn weights(
        &self,
        model: &Model,
        set: &FrozenSet,
        missing: MissingHead,
    ) -> Result<(ParamMap, Option<String>)> {
        let Some(path) = &self.reference else { return Ok((model.theta.clone(), None)) };
        let reference = Checkpoint::open(path)?.model_for(set, missing)?;
        let differs = |name: &String, own: &Tensor| {
            reference.theta.get(name).is_none_or(|other| other.dims() != own.dims())
        };
        if let Some((name, own)) = model.theta.iter().find(|(name, own)| differs(name, own)) {
            let expected = format!("as in the checkpoint, of shape {:?}", own.dims());
            let fix = "name a checkpoint of the same architecture and head";
            return Err(Error::field(path.display(), name, expected, "another or none", fix));
        }
        Ok((reference.theta, Some(reference.hash)))
    }
}

/// The mask.
#[derive(clap::Args, Clone, Debug)]
pub struct Moving {
    /// Parameters that move: all; top:, bottom: or random: with a fraction; or the paper's halves of the tensors,
    /// paper-top and paper-bottom
    #[arg(long, default_value = "all", value_name = "MASK")]
    pub mask: Select,
    /// Fisher file that defines the mask; needed for every mask but `all` (a random mask gets the same effective count)
    #[arg(long, value_name = "F.safetensors")]
    pub fisher: Option<PathBuf>,
    #[command(flatten)]
    pub options: MaskOptions,
    /// Seed of a random mask
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub mask_seed: u64,
}

/// What a mask that leaves something out is a mask of.
#[derive(clap::Args, Clone, Debug, Serialize, Deserialize)]
#[serde(default = "defaults")]
pub struct MaskOptions {
    /// Unit that the mask's fraction counts: single parameters or whole tensors
    #[arg(long, value_enum, default_value_t)]
    pub granularity: MaskUnit,
    /// Norm of a masked direction: as it is, or rescaled to the expected norm of a random mask of the same size
    #[arg(long, value_enum, default_value_t)]
    pub norm: Norm,
}

impl Moving {
    /// What the mask selects by Fisher information, which is needed no longer after that; of random masks the `k`-th.
    pub fn choose(&self, theta: &ParamMap, k: usize, provenance: &mut Provenance) -> Result<Choice> {
        let path = self.fisher.as_ref().filter(|_| self.mask != Select::All);
        if path.is_none() && self.mask.by_fisher() {
            let fix = "give --fisher F.safetensors, as `fisherscape fisher` writes it";
            let expected = format!("given for {}", self.mask);
            return Err(Error::field("--mask", "Fisher information", expected, "none", fix));
        }
        if let Some(path) = path {
            provenance.input("fisher", files::hash_file(path)?);
        }
        let fisher =
            path.map(|path| fisher_files::read_for(path, theta)).transpose()?.map(|(fisher, _)| fisher);
        Choice::new(self.mask, self.options.granularity, theta, fisher.as_ref(), self.mask_seed + k as u64)
    }

    /// The mask for the JSON of a result.
    pub fn about(&self, mask: &Mask) -> Result<Value> {
        let fisher = self.fisher.as_ref().filter(|_| self.mask != Select::All);
        let fisher = fisher.map(|path| files::hash_file(path)).transpose()?;
        Ok(json!({
            "select": self.mask.to_string(),
            "granularity": self.options.granularity,
            "norm": self.options.norm,
            "seed": self.mask_seed,
            "fisher": fisher,
            "counts": mask.report,
        }))
    }

    /// Says what the mask lets move.
    pub fn tell(&self, mask: &Mask) {
        let report = &mask.report;
        say!(
            "mask {}{}: {} of {} parameters, {} of {} effective",
            self.mask,
            if self.options.granularity == MaskUnit::Tensor { " by tensor" } else { "" },
            report.selected,
            report.parameters,
            report.selected_effective,
            report.effective
        );
        if let (Some(tensors), Some(moving)) = (report.selected_tensors, report.moving_tensors) {
            say!(
                "{moving} of {tensors} selected tensors can move; the rest have a zero direction or are not used by these examples"
            );
        }
        if let (Some(threshold), Some(ties)) = (report.threshold, report.ties) {
            say!("selection threshold F = {threshold:.4e} ({ties} at that value)");
        }
        if let Some(zeros) = report.zeros {
            say!("selected with F = 0: {zeros}");
        }
    }
}
