//! The Fisher information of a checkpoint, and which of its layers hold most of it.
//!
//! ```sh
//! cargo run --example fisher_of_a_checkpoint
//! cargo run --release --example fisher_of_a_checkpoint -- CHECKPOINT SET.safetensors
//! ```
//!
//! CHECKPOINT is a folder in the Hugging Face layout, a name on the hub or `embedded`; SET is made by
//! `fisherscape freeze`. Without them: a model of two layers that the tests compare with PyTorch.

use std::path::PathBuf;

use fisherscape::data::frozen::FrozenSet;
use fisherscape::fisher::layers::{Aggregate, Granularity, Scores};
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::{Checkpoint, Reduction};
use fisherscape::{Result, fisher, params, stats};

fn main() -> Result<()> {
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let fixture = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity/cls"));
    let (checkpoint, set) = match &given[..] {
        [checkpoint, set] => (checkpoint.clone(), set.clone()),
        _ => (fixture.join("model"), fixture.join("set.safetensors")),
    };

    // The labels of the set choose the head: here, classes.
    let set = FrozenSet::read(&set)?;
    let model = Checkpoint::open(&checkpoint)?.model_for(&set, MissingHead::Refuse)?;

    // F_i = (1/N) Σ_n (∂ℓ_n/∂θ_i)²: the square is inside the sum, so each example counts by itself.
    let fisher = fisher::diagonal(model.network()?, &model.theta, &set.examples, Reduction::Mean)?;
    println!("{} parameters, {} examples", params::count(&fisher.diagonal), fisher.used.len());

    // From parameters to dropout sites: the mean of the means of a site's tensors, as in the paper.
    let scores = Scores::new(model.layout(), Granularity::Site, Aggregate::MeanOfMeans, false);
    // s[n,t] of every example is kept, so the score of every example is known, and with it a standard error.
    let by_example = scores.of_examples(&fisher.sums);
    let mut sites: Vec<(&String, f64, f64)> = Vec::new();
    for (name, column) in scores.names().iter().zip(by_example.columns()) {
        let values = column.to_vec();
        sites.push((name, stats::mean(&values), stats::standard_error(&values)));
    }
    sites.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, score, se) in &sites {
        println!("{name:26} {score:.3e} ± {se:.1e}");
    }

    if given.is_empty() {
        // Oracle: the same diagonal by PyTorch, one backward pass for each example.
        let (expected, _) = params::read_safetensors(&fixture.join("fisher.safetensors"))?;
        for (name, wanted) in &expected {
            let largest = params::with_values(wanted, |f| f.iter().fold(0f32, |a, b| a.max(*b)))?;
            let difference =
                (&fisher.diagonal[name] - wanted)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            assert!(difference <= 2e-4 * largest, "{name}: {difference} of {largest}");
        }
        assert_eq!(sites.len(), model.layout().sites().len());
        println!("the same as PyTorch's");
    }
    Ok(())
}
