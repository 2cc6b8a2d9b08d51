//! A direction of your own, and the loss along it: what happens when the attention of one layer is faded out?
//!
//! ```sh
//! cargo run --example direction_of_your_own
//! ```
//!
//! A direction is a value for every parameter that moves, by name. This one is minus the weights of a layer's
//! attention output, so `θ + a d` fades that layer out: all of it is there at a = 0 and nothing at a = 1.

use std::path::{Path, PathBuf};

use fisherscape::data::frozen::FrozenSet;
use fisherscape::landscape::directions::{self, Direction};
use fisherscape::landscape::plane::Plane;
use fisherscape::model::Checkpoint;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::{Error, Result, evaluate, params};

const LAYER: &str = "bert.encoder.layer.1.attention.output.dense.";

fn main() -> Result<()> {
    let fixture = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/cls"));
    let set = FrozenSet::read(&fixture.join("set.safetensors"))?;
    let model = Checkpoint::open(&fixture.join("model"))?.model_for(&set, MissingHead::Refuse)?;

    let mut fade = Direction::new();
    for (name, weight) in model.theta.iter().filter(|(name, _)| name.starts_with(LAYER)) {
        fade.insert(name.clone(), params::with_values(weight, |w| w.iter().map(|v| -v).collect())?);
    }

    // Saved as `x.NAME`, it serves the program too:
    //     fisherscape surface --checkpoint MODEL --set SET --directions fade.safetensors --span=0,1 --out fade.csv
    // The second direction is empty: a profile, not a surface.
    let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "create"))?;
    let file = folder.path().join("fade.safetensors");
    directions::file::write(&file, &[fade, Direction::new()], &model.theta)?;
    let plane = Plane::new(directions::file::read(&file, &model.theta)?);

    let order = set.by_length();
    let loss_at = |a: f64| {
        let theta = plane.at(&model.theta, &[a])?;
        evaluate::set_loss(model.objective(), &theta, &set.examples, &order)
    };
    for a in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = loss_at(a)?;
        println!("a = {a:.2}: loss {:.4} ± {:.4} nats", at.loss, at.loss_se);
    }

    // Oracle: the same model with those tensors put to zero by hand.
    let mut without = model.theta.clone();
    for (_, weight) in without.iter_mut().filter(|(name, _)| name.starts_with(LAYER)) {
        *weight = weight.zeros_like()?;
    }
    let expected = evaluate::set_loss(model.objective(), &without, &set.examples, &order)?;
    assert_eq!(loss_at(1.0)?.loss, expected.loss);
    assert_ne!(loss_at(0.0)?.loss, expected.loss);
    Ok(())
}
