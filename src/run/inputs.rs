//! What an analysis needs before any work starts: the checkpoint, rates, the text, the data.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::analysis::Loaded;
use crate::analysis::config::{Analysis, Over, Parsed, Part, PlannedArm};
use crate::data::glue::{self, Split};
use crate::dropout::{Arm, Rates};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Place, Wanted};
use crate::model::ModelConfig;
use crate::model::architectures::{self, bert};
use crate::model::freeze::longest;
use crate::progress;
use crate::stages::source::{STRIDE, Source};

/// What becomes of inputs that are not here but have a name on the hub.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Fetch,
    /// Names on the hub are noted, and what depends on them is not checked.
    Tell,
}

/// Where inputs are that are not read where they are named.
pub type Places = HashMap<PathBuf, Place>;

/// What is missing, shown where the analysis names it. Gives the places of what is not read where it is named.
pub fn check_inputs(loaded: &Loaded, missing: Missing) -> Result<Places> {
    let analysis = &loaded.analysis;
    let mut inputs = Inputs { analysis, missing, places: Places::new() };
    let at = |key: &'static str| move |cause: Error| loaded.point(key, &cause);
    if let Some(config) = inputs.checkpoint().map_err(at("model.checkpoint"))? {
        longest(analysis.data.max_len, &config).map_err(at("data.max_len"))?;
        inputs.rates(&config).map_err(at("train.arms"))?;
        inputs.preset(&config).map_err(at("schedule.preset"))?;
    }
    inputs.text().map_err(at("data.text"))?;
    if inputs.labelled() {
        inputs.parts(loaded)?;
        inputs.data().map_err(at(analysis.data.named()))?;
    }
    Ok(inputs.places)
}

struct Inputs<'a> {
    analysis: &'a Analysis,
    missing: Missing,
    places: Places,
}

impl Inputs<'_> {
    /// Where an input is, which is noted; `None` if it is not here and is not to be fetched.
    fn locate(
        &mut self,
        given: &Path,
        fetch: impl FnOnce() -> Result<Place>,
        look: impl FnOnce() -> Result<Option<Place>>,
    ) -> Result<Option<Place>> {
        let place = match self.missing {
            Missing::Fetch => Some(fetch()?),
            Missing::Tell => look()?,
        };
        match &place {
            Some(here) if here.origin.is_some() || here.folder != given => {
                self.places.insert(given.to_path_buf(), here.clone());
            }
            Some(_) => {}
            None => progress::note(format!("{}: not here; `run` fetches it from the hub", given.display())),
        }
        Ok(place)
    }

    /// The model's configuration, if it is here.
    fn checkpoint(&mut self) -> Result<Option<ModelConfig>> {
        let given = &self.analysis.model.checkpoint;
        let fetch = || hub::locate(given, Wanted::Checkpoint);
        let look = || hub::locate_here(given, Wanted::Checkpoint);
        let Some(Place { folder, .. }) = self.locate(given, fetch, look)? else { return Ok(None) };
        if !files::is_folder(&folder) {
            let fix = "set model.checkpoint to a folder with config.json, the weights and the tokenizer, or to a name on \
                       the hub: --set model.checkpoint=FOLDER";
            let found = format!("none: {}", given.display());
            return Err(Error::field("model.checkpoint", "checkpoint", "a folder", found, fix));
        }
        architectures::read(&folder.join("config.json")).map(Some)
    }

    fn arms(&self) -> impl Iterator<Item = &PlannedArm> {
        self.analysis.train.iter().flat_map(|train| &train.arms).map(|Parsed(arm)| arm)
    }

    /// Whether the rates of the arms are for such a model.
    fn rates(&self, config: &ModelConfig) -> Result<()> {
        let sites = config.sites();
        for arm in self.arms() {
            match arm {
                PlannedArm::Other(Arm::Scheduled(assignment, path)) => {
                    Arm::rates(*assignment, path, &sites)?;
                }
                PlannedArm::OtherTask(path) => drop(Rates::read(path, &sites)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the published schedule is for such a model.
    fn preset(&self, config: &ModelConfig) -> Result<()> {
        let layers = config.num_hidden_layers();
        let preset = self.analysis.schedule.as_ref().is_some_and(|schedule| schedule.preset.is_some());
        if !preset || bert::is_base(config) || !self.arms().any(|arm| matches!(arm, PlannedArm::Own(_))) {
            return Ok(());
        }
        if layers != bert::BASE.0 {
            let fix = "use --set schedule.preset= to compute a schedule for this model";
            let sentence = format!(
                "`schedule.preset` is for the {}-layer bert-base; this model has {layers} layers",
                bert::BASE.0
            );
            return Err(Error::said("schedule.preset", sentence, fix));
        }
        progress::note(format!(
            "schedule.preset is the ranking of bert-base-uncased, but the checkpoint is {}: --set schedule.preset= computes its own",
            self.analysis.model.checkpoint.display()
        ));
        Ok(())
    }

    /// The parts that surfaces are over.
    fn surfaces_over(&self) -> Vec<Part> {
        self.analysis.surface.as_ref().map_or(Vec::new(), |_| self.analysis.surfaces_over())
    }

    fn fisher_over(&self, over: Over) -> bool {
        self.analysis.fisher.is_some() && self.analysis.fisher_over() == over
    }

    fn text(&self) -> Result<()> {
        let read = self.surfaces_over().contains(&Part::Text) || self.fisher_over(Over::Text);
        match self.analysis.data.text.as_ref().filter(|path| read && !files::exists(path)) {
            Some(path) => {
                let fix = "name a file with one example a line, next to the analysis or in the current folder: --set data.text=FILE";
                Err(Error::field("data.text", "text", "a file", format!("none: {}", path.display()), fix))
            }
            None => Ok(()),
        }
    }

    /// Whether labelled data are used.
    fn labelled(&self) -> bool {
        self.analysis.train.is_some()
            || self.fisher_over(Over::Task)
            || self.surfaces_over().iter().any(|part| *part != Part::Text)
    }

    /// Whether the files of words or questions are there, of which none is shipped.
    fn parts(&self, loaded: &Loaded) -> Result<()> {
        let data = &self.analysis.data;
        let files = [("data.conll", &data.conll), ("data.squad", &data.squad), ("data.dev", &data.dev)];
        let mut given = files.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?)));
        let Some((key, path)) = given.find(|(_, path)| !files::exists(path)) else { return Ok(()) };
        let fix = format!("name a file next to the analysis or in the current folder: --set {key}=FILE");
        let found = format!("none: {}", path.display());
        Err(loaded.point(key, &Error::field(key, "file", "a file", found, fix)))
    }

    /// The labelled data.
    fn data(&mut self) -> Result<()> {
        let data = &self.analysis.data;
        if let (Some(task), Some(given)) = (&data.task, data.folder()) {
            let fetch = || glue::locate(task.0, &given);
            if self.locate(&given, fetch, || glue::locate_here(task.0, &given))?.is_none() {
                return Ok(());
            }
        }
        let source = Source {
            task: data.task.as_ref().map(|task| task.0.to_string()),
            data: data.folder.clone(),
            table: data.table.clone(),
            columns: data.columns.as_ref().map(|columns| columns.0.clone()),
            labels: data.labels,
            conll: data.conll.clone(),
            column: data.column,
            squad: data.squad.clone(),
            stride: data.stride.unwrap_or(STRIDE),
            dev: data.dev.clone(),
        };
        source.rows(Split::Train).map(drop)
    }
}
