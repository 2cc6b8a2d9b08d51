//! `sharpness --critical`: from which learning rate on a step no longer lowers the loss.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Sharpness, examples_path, spectrum_path};
use crate::data::frozen::FrozenSet;
use crate::data::{self, Example};
use crate::error::{Error, Result};
use crate::files;
use crate::landscape::critical::{Critical, critical};
use crate::landscape::curvature::Curvature;
use crate::landscape::directions::between;
use crate::landscape::mask::{self, Flags};
use crate::landscape::sharpness::{Measure, Sharpness as Measures};
use crate::landscape::space::{Space, norm, scale};
use crate::model::{Checkpoint, Model, Objective};
use crate::progress::{self, say};
use crate::provenance::{self, Provenance};
use crate::stages::about_set;

/// Where the search begins along a gradient, in lengths of the weights.
const START: f64 = 0.01;

/// What is stepped along.
struct Update {
    space: Space,
    /// The step of learning rate 1.
    values: Vec<f32>,
    start: f64,
    /// For messages and the JSON.
    words: String,
    hash: Option<String>,
}

impl Sharpness {
    pub(super) fn critical(&self, command: &str) -> Result<()> {
        let mut provenance = Provenance::start(command, Some(self.seed));
        let (model, set) = self.inputs.open_recorded(self.seed, &mut provenance)?;
        let update = self.update(&model, &set, &mut provenance)?;
        let by_length = set.by_length();
        let curvature =
            Curvature::new(model.objective(), &model.theta, &set.examples, &by_length, &update.space);
        let used = || set.examples.iter().filter(|e| e.targets() > 0);
        let (targets, clusters) =
            (used().map(|e| e.targets() as f64).collect::<Vec<f64>>(), data::clusters(used()));
        let found = critical(&curvature, &update.values, update.start, (&targets, &clusters))?;
        let measure =
            if self.relative.is_some() { "relative_critical_sharpness" } else { "critical_sharpness" };
        let draws = vec![found.by_example.clone()];
        let measures = vec![Measure { name: measure.into(), draws }];
        let by_draw = Measures { measures, targets, set: set.hash.clone() }.by_draw(&clusters);
        let mut about = json!({
            "fisherscape": env!("CARGO_PKG_VERSION"),
            "checkpoint": model.hash,
            "head_seed": self.seed,
            "set": about_set(&set),
            "update": {"of": update.words, "hash": update.hash, "length": norm(&update.values), "lr": self.lr},
            "rate": found.rate,
            "rate_se": found.rate_se,
            "passes": found.passes,
        });
        // An earlier run's would be taken for this one's.
        files::remove(&spectrum_path(&self.out))?;
        self.remove_blocks()?;
        let metadata = BTreeMap::from([("about".to_string(), about.to_string())]);
        by_draw.write(&examples_path(&self.out), &metadata)?;
        files::write(&self.out.with_extension("json"), format!("{about:#}\n").as_bytes())?;
        let rows = by_draw.rows();
        files::write_csv(&self.out, &rows)?;
        provenance.write(&provenance::beside(&self.out))?;
        tell(&found, measure, &update.words);
        say!("{}", self.out.display());
        (about["rows"], about["out"]) = (json!(rows), json!(self.out));
        progress::answer(|| about);
        Ok(())
    }

    fn update(&self, model: &Model, set: &FrozenSet, provenance: &mut Provenance) -> Result<Update> {
        match (&self.to, &self.relative) {
            (Some(path), _) => {
                let missing = self.inputs.head.missing(self.seed);
                let other = Checkpoint::open(path)?.model_for(set, missing)?;
                provenance.checkpoint("to", path, &other.hash)?;
                let label = path.display().to_string();
                let made = between::through("checkpoint", &model.theta, &[(label.clone(), other.theta)])?;
                let [difference, _] = made.pair;
                let flags: Flags =
                    difference.iter().map(|(name, own)| (name.clone(), vec![true; own.len()])).collect();
                let space = Space::new(&flags);
                let mut values = space.flat_direction(&difference)?;
                scale(&mut values, 1.0 / self.lr);
                Ok(Update { space, values, start: self.lr, words: label, hash: Some(other.hash) })
            }
            (None, Some(path)) => {
                let other = FrozenSet::read(path)?;
                provenance.input("relative", &other.hash);
                if other.kind != set.kind {
                    let (expected, fix) = ("a set of the same task", "give two sets that one head serves");
                    return Err(Error::field("--relative", "labels", expected, "of another", fix));
                }
                let words = format!("the gradient of {}", path.display());
                let hash = Some(other.hash.clone());
                Ok(Update { words, hash, ..gradient(model, &other)? })
            }
            (None, None) => gradient(model, set),
        }
    }
}

/// Down the gradient of a set's loss.
fn gradient(model: &Model, set: &FrozenSet) -> Result<Update> {
    let network = model.network()?;
    let used: Vec<&Example> = set.examples.iter().filter(|e| e.targets() > 0).collect();
    let reached = |name: &str| network.reached(name, &used);
    let space = Space::new(&mask::reached(&model.theta, model.theta.keys(), reached));
    let by_length = set.by_length();
    let curvature = Curvature::new(network, &model.theta, &set.examples, &by_length, &space);
    let values: Vec<f32> = curvature.gradient(&model.theta)?.into_iter().map(|g| -g as f32).collect();
    let long = norm(&values);
    if long == 0.0 {
        let fix = "use another checkpoint or set: here no direction is downhill";
        return Err(Error::field("--critical", "gradient", "other than zero", "zero", fix));
    }
    let start = START * norm(&space.flat(&model.theta)?) / long;
    Ok(Update { space, values, start, words: "the gradient".into(), hash: None })
}

fn tell(found: &Critical, measure: &str, words: &str) {
    say!(
        "critical learning rate {:.6e} ± {:.1e} along {words}, by {} evaluations of the loss",
        found.rate,
        found.rate_se,
        found.passes
    );
    say!("{measure} {:.6e} ± {:.2e} over examples", found.sharpness(), found.sharpness_se());
}
