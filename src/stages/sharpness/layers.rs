//! `sharpness --by`: the same of each layer's own parameters.

use std::path::PathBuf;

use super::Sharpness;
use crate::data::frozen::FrozenSet;
use crate::error::Result;
use crate::estimate;
use crate::files;
use crate::fisher::files as fisher_files;
use crate::fisher::layers::{Aggregate, Granularity, Scores};
use crate::landscape::lanczos::Density;
use crate::landscape::layers::{Block, Blocks, Part};
use crate::landscape::mask::Flags;
use crate::model::Model;
use crate::params::{self, ParamMap};
use crate::progress::{self, say};
use crate::provenance::Provenance;
use crate::stages::damage::per_target;
use crate::tables::sharpness::{BlockRow, BlockSpectrumRow};

/// The tables of the layers, next to the measures.
const FILES: [&str; 2] = ["layers.csv", "layers.spectrum.csv"];

/// What is known of the layers.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) rows: Vec<BlockRow>,
    densities: Vec<BlockSpectrumRow>,
}

impl Sharpness {
    /// The rows of the tables, where it is asked for. `weight`: root mean square of the weights; `memory`: for basis vectors.
    pub(super) fn blocks(
        &self,
        (model, set): (&Model, &FrozenSet),
        flags: &Flags,
        (weight, memory): (f64, usize),
        inputs: &str,
        provenance: &mut Provenance,
    ) -> Result<Layers> {
        let Some(granularity) = self.by else { return Ok(Layers::default()) };
        let by_length = set.by_length();
        let blocks = Blocks {
            objective: model.network()?,
            theta: &model.theta,
            examples: &set.examples,
            by_length: &by_length,
            flags,
            probes: self.options.probes,
            steps: self.options.steps,
            signs: self.options.signs,
            eigenvalues: self.options.eigenvalues,
            weight,
            step: self.options.step,
            seed: self.seed,
            memory,
        };
        let parts = parts(model, granularity);
        let each = estimate::seconds_each(blocks.objective, &model.theta, &set.examples, &by_length)?
            * estimate::tokens(&set.examples) as f64;
        let (gradients, losses) = blocks.cost();
        let seconds = each * (gradients as f64 * estimate::BACKWARD + losses as f64);
        let what = format!("sharpness of {} {}s", parts.len(), granularity.name());
        estimate::tell(&what, seconds * parts.len() as f64, 4 * params::bytes(&model.theta) + memory);
        let inputs = files::hash(format!("{inputs}, by {}", granularity.name()).as_bytes());
        let found = blocks.run(&parts, &self.blocks_journal(), &inputs)?;
        if found.len() < parts.len() {
            let left = parts.len() - found.len();
            progress::excluded(format!(
                "{left} of {} {}s ignored: none of their parameters moves",
                parts.len(),
                granularity.name()
            ));
        }
        let fisher = self.information((model, set), &parts, flags, provenance)?;
        let mut layers = Layers::default();
        for block in found {
            let own = parts.iter().position(|part| part.name == block.name);
            let fisher = fisher.as_ref().zip(own).and_then(|(fisher, own)| fisher.get(own).copied());
            layers.densities.extend(densities(granularity, &block, fisher));
            layers.rows.push(row(granularity, block, fisher));
        }
        Ok(layers)
    }

    /// The Fisher information of each layer's moving parameters, of one target.
    fn information(
        &self,
        (model, set): (&Model, &FrozenSet),
        parts: &[Part],
        flags: &Flags,
        provenance: &mut Provenance,
    ) -> Result<Option<Vec<f64>>> {
        let Some(path) = &self.moving.fisher else { return Ok(None) };
        provenance.input_file("fisher", path)?;
        let (fisher, metadata) = fisher_files::read_for(path, &model.theta)?;
        let scale = per_target(set, metadata.get("reduction"));
        let sums = parts.iter().map(|part| Ok(scale * moving_sum(&fisher, part, flags)?));
        sums.collect::<Result<Vec<f64>>>().map(Some)
    }

    pub(super) fn write_blocks(&self, layers: &Layers) -> Result<()> {
        if self.by.is_none() {
            return self.remove_blocks();
        }
        let [rows, densities] = FILES.map(|ending| self.out.with_extension(ending));
        files::write_csv(&rows, &layers.rows)?;
        files::write_csv(&densities, &layers.densities)
    }

    /// An earlier run's would be taken for this one's.
    pub(super) fn remove_blocks(&self) -> Result<()> {
        FILES.iter().try_for_each(|ending| files::remove(&self.out.with_extension(ending)))
    }

    /// Forgets what a killed run would have gone on from.
    pub(super) fn finish_blocks(&self) -> Result<()> {
        if self.by.is_some() { files::remove(&self.blocks_journal()) } else { Ok(()) }
    }

    fn blocks_journal(&self) -> PathBuf {
        self.out.with_extension("layers.unfinished")
    }
}

/// The layers of a granularity in model order, with their tensors.
fn parts(model: &Model, granularity: Granularity) -> Vec<Part> {
    let layout = model.layout();
    let columns = layout.columns();
    let scores = Scores::new(layout, granularity, Aggregate::Sum, false);
    let tensors = |members: &[(usize, f64)]| members.iter().map(|&(t, _)| columns[t].name.clone()).collect();
    let items = scores.names().iter().zip(scores.members());
    items.map(|(name, members)| Part { name: name.clone(), tensors: tensors(members) }).collect()
}

/// Sum over the entries of a layer that may move.
fn moving_sum(fisher: &ParamMap, part: &Part, flags: &Flags) -> Result<f64> {
    let mut sum = 0.0;
    for name in &part.tensors {
        let (Some(fisher), Some(flags)) = (fisher.get(name), flags.get(name)) else { continue };
        let own = |values: &[f32]| {
            let moving = values.iter().zip(flags).filter(|(_, flag)| **flag);
            moving.map(|(f, _)| f64::from(*f)).sum::<f64>()
        };
        sum += params::with_values(fisher, own)?;
    }
    Ok(sum)
}

/// The density of a block, and the numbers that are drawn beside it.
fn densities(granularity: Granularity, block: &Block, fisher: Option<f64>) -> Vec<BlockSpectrumRow> {
    let row = |curve: &str, eigenvalue, density, density_sd| BlockSpectrumRow {
        granularity,
        name: block.name.clone(),
        curve: curve.into(),
        eigenvalue,
        density,
        density_sd,
    };
    let Density { eigenvalue, density, sd, .. } = &block.density;
    let points = eigenvalue.iter().zip(density).enumerate();
    let points = points.map(|(i, (x, d))| row("density", *x, Some(*d), sd.get(i).copied()));
    let numbers =
        [("top_eigenvalue", Some(block.top.value)), ("trace", Some(block.trace)), ("fisher", fisher)];
    let numbers = numbers.into_iter().filter_map(|(curve, value)| Some(row(curve, value?, None, None)));
    points.chain(numbers).collect()
}

fn row(granularity: Granularity, block: Block, fisher: Option<f64>) -> BlockRow {
    let Block { name, parameters, top, top_half, smallest, trace, trace_half, .. } = block;
    BlockRow {
        granularity,
        name,
        parameters,
        top_eigenvalue: top.value,
        top_eigenvalue_within: top.within,
        top_eigenvalue_low: top.value - top_half,
        top_eigenvalue_high: top.value + top_half,
        smallest_eigenvalue: smallest,
        trace,
        trace_low: trace - trace_half,
        trace_high: trace + trace_half,
        fisher,
    }
}

/// Says where curvature is.
pub(super) fn tell(rows: &[BlockRow]) {
    let Some(largest) = rows.iter().max_by(|a, b| a.top_eigenvalue.total_cmp(&b.top_eigenvalue)) else {
        return;
    };
    for row in rows {
        say!(
            "{:28} top eigenvalue {:.4} [{:.4}, {:.4}], trace {:.4} [{:.4}, {:.4}]",
            row.name,
            row.top_eigenvalue,
            row.top_eigenvalue_low,
            row.top_eigenvalue_high,
            row.trace,
            row.trace_low,
            row.trace_high
        );
    }
    say!("the largest eigenvalue of a single {}: {}", largest.granularity.name(), largest.name);
}
