//! What `check` tries beyond the options: the sets that an analysis freezes, and the models that it meets them with.
//!
//! It is done as the steps do it, so that what stops a run stops the check, but nothing is written, and of the seeds the first
//! speaks for all. What has to be fetched first is not tried.

use std::collections::BTreeSet;
use std::path::Path;

use super::step::Step;
use super::{plan, stage};
use crate::analysis::Loaded;
use crate::data::glue;
use crate::error::{Error, Result};
use crate::hub::{self, Wanted};
use crate::model::checkpoint::MissingHead;
use crate::stages::Stage;
use crate::stages::freeze::Freeze;

/// # Errors
///
/// What a step would fail with, shown where the analysis names it. `tried` are the sets that other cells have tried.
pub fn check(loaded: &Loaded, tried: &mut BTreeSet<String>) -> Result<()> {
    let data = &loaded.analysis.data;
    let here = |found: Result<Option<_>>| found.map(|place| place.is_some());
    if !here(hub::locate_here(&loaded.analysis.model.checkpoint, Wanted::Checkpoint))? {
        return Ok(());
    }
    let labelled = match (&data.task, data.folder()) {
        (Some(task), Some(folder)) => here(glue::locate_here(task.0, &folder))?,
        _ => true,
    };
    for step in plan::steps(&loaded.analysis, &plan::Failed::new()) {
        if let Stage::Freeze(freeze) = stage(&step, Path::new(""))?
            && (labelled || !freeze.text.is_empty())
            && tried.insert(apart_from_seed(&freeze))
        {
            try_set(loaded, &step, &freeze)?;
        }
    }
    Ok(())
}

fn apart_from_seed(freeze: &Freeze) -> String {
    format!("{:?}", Freeze { seed: 0, out: "set".into(), ..freeze.clone() })
}

fn try_set(loaded: &Loaded, step: &Step, freeze: &Freeze) -> Result<()> {
    let made = freeze.make().map_err(|cause| loaded.point(&key(loaded, step, freeze, &cause), &cause))?;
    // A head that is drawn here is drawn again, and said, by the step that needs it.
    let model = made.checkpoint.model_for(&made.set, MissingHead::Initialise { seed: freeze.seed });
    model.map(drop).map_err(|cause| loaded.point("model.checkpoint", &cause))
}

/// The key that an error is about: that of an option, or of the data.
fn key(loaded: &Loaded, step: &Step, freeze: &Freeze, cause: &Error) -> String {
    let option = match cause {
        Error::Field { place, field, .. } => [place, field].iter().find_map(|name| name.strip_prefix("--")),
        Error::Text { place, .. } => place.strip_prefix("--"),
        _ => None,
    };
    // `sets/surface_train.safetensors` holds the examples of [surface].
    let output = step.output().unwrap_or_default().trim_start_matches("sets/");
    let section = output.split(['_', '.']).next().unwrap_or_default();
    match option {
        Some("examples") => format!("{section}.examples"),
        Some(option @ ("max-len" | "min-words")) => format!("data.{}", option.replace('-', "_")),
        _ if freeze.text.is_empty() => loaded.analysis.data.named().to_string(),
        _ => "data.text".to_string(),
    }
}
