//! Speed of the heavy jobs, on a random BERT of a size that a bench can afford.
//!
//! ```text
//! cargo bench --bench speed             # times every job
//! cargo bench --bench speed -- fisher   # times one
//! cargo bench --bench speed -- --test   # runs each job once, for the checks
//! ```
//!
//! Every job's answer is held against a slow path before its time is taken: one example at a time, and candle's autograd
//! down to the tables. `compare.py` beside this file measures whole programs on real checkpoints, against PyTorch.

use std::error::Error;
use std::fs;

use candle_core::{Device, Tensor};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use fisherscape::data::{Batch, Example, Target};
use fisherscape::dropout::{Dropout, Rates, noise};
use fisherscape::evaluate::set_loss;
use fisherscape::landscape::directions::{self, Normalize};
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::surface::Plan;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::gradient::{self, Gradient, Gradients};
use fisherscape::model::objective::Filters;
use fisherscape::model::{Checkpoint, Head, Network, Objective, Outputs, Reached, Reduction, Trainable};
use fisherscape::params::{self, ParamMap};
use fisherscape::rng::Stream;
use fisherscape::tasks::{Kind, Scoring};
use fisherscape::train::adamw::{self, AdamW};
use fisherscape::{fisher, progress, stats, train};

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;
type Group<'a> = BenchmarkGroup<'a, WallTime>;
type Measure = fn(&mut Group, &Job) -> Outcome;

/// Uneven on purpose: packing, batching by length and sharding all have something to do.
const EXAMPLES: usize = 48;
const LENGTHS: (usize, usize) = (6, 96);
const VOCABULARY: usize = 4000;
const LAYERS: usize = 4;
/// Examples to a training step.
const STEP: usize = 16;
/// Learning rate of the checked step: large enough that a move of a parameter is no rounding error of it.
const LR: f64 = 1e-3;

/// A model with one head, and examples for it.
struct Job {
    head: &'static str,
    network: Network,
    theta: ParamMap,
    examples: Vec<Example>,
    by_length: Vec<usize>,
}

fn main() -> Outcome {
    progress::set_verbosity(0);
    // As in the binary: candle's operations stay on the thread that asks for them.
    // SAFETY: no other thread exists yet.
    unsafe {
        std::env::set_var("RAYON_NUM_THREADS", "1");
        std::env::set_var("CANDLE_NUM_THREADS", "1");
    }
    let threads = std::thread::available_parallelism()?.get();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let jobs = [job("masked_lm")?, job("classes")?];
    let mut criterion = Criterion::default().without_plots().sample_size(20).configure_from_args();
    let groups: [(&str, Measure); 4] =
        [("forward", forward), ("training_step", training_step), ("fisher", fisher), ("surface", surface)];
    for (name, measure) in groups {
        let mut group = criterion.benchmark_group(name);
        jobs.iter().try_for_each(|job| measure(&mut group, job))?;
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// The loss of the set. Slow path: one example at a time.
fn forward(group: &mut Group, job: &Job) -> Outcome {
    let run = || set_loss(&job.network, &job.theta, &job.examples, &job.by_length).unwrap().loss;
    assert_loss(job, run(), &job.theta)?;
    group.throughput(Throughput::Elements(EXAMPLES as u64)).bench_function(job.head, |b| b.iter(run));
    Ok(())
}

/// Forward and backward pass with dropout, clipping, AdamW. Slow path, without dropout: autograd down to the tables, and
/// AdamW's first step on paper.
fn training_step(group: &mut Group, job: &Job) -> Outcome {
    let dropout = Dropout {
        kind: noise::Kind::Bernoulli,
        rates: Rates::uniform(&job.network.config.sites(), 0.1),
        head: job.network.config.head_dropout,
        seed: 1,
    };
    let batch: Vec<&Example> = job.examples.iter().take(STEP).collect();
    let theta = params::variables(&job.theta)?;
    let mut optimizer = AdamW::new(&theta, 0.0);
    let mut step = |dropout: Option<(&Dropout, u64)>, lr: f64| -> Outcome<Gradients> {
        let (_, gradient) = train::gradient(&job.network, &theta, &batch, dropout)?;
        let scale = adamw::clip(adamw::norm(&gradient)?, 1.0);
        optimizer.step(&theta, &gradient, lr, scale)?;
        Ok(gradient)
    };

    let fresh = params::variables(&job.theta)?;
    let packed = Batch::new(&batch, 0);
    let weight = |&n: &usize| 1.0 / (STEP * batch[n].targets()) as f32;
    let weights: Vec<f32> = packed.targets.owners.iter().map(weight).collect();
    let losses = job.network.noisy_losses(&fresh, &packed, None)?.losses;
    let gradients = (losses * Tensor::new(weights, &Device::Cpu)?)?.sum_all()?.backward()?;
    let wanted: Gradients = fresh
        .iter()
        .filter_map(|(name, p)| Some((name.clone(), Gradient::Dense(gradients.get(p)?.clone()))))
        .collect();
    assert_close(&gradient::dense(&step(None, LR)?)?, &gradient::dense(&wanted)?, 1e-5)?;
    // On paper m / (1 - β₁) = g and v / (1 - β₂) = g²: the first step is -lr g / (|g| + ε).
    let clip = adamw::clip(adamw::norm(&wanted)?, 1.0);
    let (mut moves, mut on_paper) = (ParamMap::new(), ParamMap::new());
    for (name, g) in &wanted {
        let g = (g.dense()? * clip)?;
        on_paper.insert(name.clone(), ((&g / (g.abs()? + 1e-6)?)? * -LR)?);
        moves.insert(name.clone(), (theta[name].detach() - &job.theta[name])?);
    }
    // The move is a difference of float32 values up to a thousand times its size, which keeps 1e-4 of it.
    assert_close(&moves, &on_paper, 1e-3)?;

    let mut t = 0;
    let mut run = || {
        t += 1;
        step(Some((&dropout, t)), 2e-5).unwrap()
    };
    group.throughput(Throughput::Elements(STEP as u64)).bench_function(job.head, |b| b.iter(&mut run));
    Ok(())
}

/// The exact diagonal and the sums. Slow path: a forward and a backward pass for each example.
fn fisher(group: &mut Group, job: &Job) -> Outcome {
    /// The same model without a way of its own to square gradients.
    struct OneByOne<'a>(&'a Network);
    impl Objective for OneByOne<'_> {
        fn losses(&self, theta: &ParamMap, batch: &Batch) -> fisherscape::Result<Outputs> {
            self.0.losses(theta, batch)
        }
        fn reached(&self, name: &str, examples: &[&Example]) -> Reached {
            self.0.reached(name, examples)
        }
    }
    let run = || fisher::diagonal(&job.network, &job.theta, &job.examples, Reduction::Mean).unwrap();
    let slow = fisher::diagonal(&OneByOne(&job.network), &job.theta, &job.examples, Reduction::Mean)?;
    let fast = run();
    assert_close(&fast.diagonal, &slow.diagonal, 1e-5)?;
    for (fast, slow) in fast.sums.iter().zip(&slow.sums) {
        assert!((fast - slow).abs() <= 1e-5 * slow, "{}: s[n,t] {fast} and {slow}", job.head);
    }
    group.throughput(Throughput::Elements(EXAMPLES as u64)).bench_function(job.head, |b| b.iter(run));
    Ok(())
}

/// A moved point and the centre. Slow path: θ moved by candle, one example at a time.
fn surface(group: &mut Group, job: &Job) -> Outcome {
    let random = |axis| {
        directions::gaussian::random(&|_| Filters::Rows, &job.theta, 2, axis, Normalize::Filter, false)
    };
    let directions = [random("x")?, random("y")?];
    let (x, y) = (0.4, -0.3);
    let plane = Plane::new(directions.clone());
    let plan = Plan {
        theta: &job.theta,
        examples: &job.examples,
        by_length: &job.by_length,
        scoring: Scoring::of(Kind::Classes),
        plane: &plane,
        coordinates: [&[x], &[y], &[0.0]],
        per_example: false,
        refine: 0,
        sample: None,
    };
    let scratch = tempfile::tempdir()?;
    let mut runs = 0;
    let mut run = || {
        runs += 1; // inputs of another name: a journal of the same would be read, not computed
        plan.evaluate(&job.network, &scratch.path().join("journal"), &runs.to_string()).unwrap()
    };
    let surface = run();
    let mut moved = job.theta.clone();
    for (direction, step) in directions.iter().zip([x, y]) {
        for (name, d) in direction {
            let d = Tensor::new(d.as_slice(), &Device::Cpu)?.reshape(moved[name].dims())?;
            moved.insert(name.clone(), (&moved[name] + (d * step)?)?);
        }
    }
    assert_loss(job, surface.points[0].loss, &moved)?;
    assert_loss(job, surface.centre.loss, &job.theta)?;
    group.throughput(Throughput::Elements(2)).bench_function(job.head, |b| b.iter(&mut run));
    Ok(())
}

/// Whether a loss is that of one example at a time. Float32 in another order: 1e-7 an operation, averaged over examples.
fn assert_loss(job: &Job, got: f64, theta: &ParamMap) -> Outcome {
    let (mut sum, mut count) = (0.0, 0);
    for example in &job.examples {
        let losses = job.network.losses(theta, &Batch::new(&[example], 0))?.losses;
        sum += params::with_values(&losses, |v| v.iter().map(|v| f64::from(*v)).sum::<f64>())?;
        count += example.targets();
    }
    let wanted = sum / count as f64;
    assert!((got - wanted).abs() <= 1e-6 * wanted, "{}: loss {got} and {wanted}", job.head);
    Ok(())
}

/// Whether every tensor is within `tolerance`, relative to its norm. Where no more is said: float32 sums of some
/// thousand terms in another order, 1e-6 at this depth; a wrong formula or a dropped term is off by 1e-2 or more.
fn assert_close(got: &ParamMap, wanted: &ParamMap, tolerance: f64) -> Outcome {
    assert!(got.keys().eq(wanted.keys()), "other parameters");
    let norm = |t: &Tensor| params::with_values(t, |v| stats::sum_of_squares(v).sqrt());
    // A key bias has a gradient of pure rounding, since softmax ignores a shift.
    for (name, wanted) in wanted.iter().filter(|(name, _)| !name.ends_with("key.bias")) {
        let (error, size) = (norm(&(&got[name] - wanted)?)?, norm(wanted)?);
        assert!(error <= tolerance * size, "{name}: {error:.1e} of {size:.1e}");
    }
    Ok(())
}

/// A random checkpoint, read with this head, and random examples.
fn job(head: &'static str) -> Outcome<Job> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.json");
    let shape = serde_json::json!({
        "vocab_size": VOCABULARY, "hidden_size": 128, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "intermediate_size": 512, "max_position_embeddings": 128, "initializer_range": 0.1,
    });
    fs::write(&config, shape.to_string())?;
    let mut theta = ParamMap::new();
    for parameter in fisherscape::model::architectures::read(&config)?.encoder() {
        let mut values = vec![0f32; parameter.numel()];
        Stream::new(0, &parameter.name).fill_normal(0, &mut values);
        // Around 1 where LayerNorm scales, around 0 elsewhere; nothing is left at a special value.
        let centre = if parameter.kind == fisherscape::model::layout::Kind::NormWeight { 1.0 } else { 0.0 };
        values.iter_mut().for_each(|v| *v = centre + 0.1 * *v);
        theta.insert(parameter.name, Tensor::from_vec(values, parameter.shape, &Device::Cpu)?);
    }
    params::write_params(&folder.path().join("model.safetensors"), &theta, &Default::default())?;
    let checkpoint = Checkpoint::open(folder.path())?;
    let model = match head {
        "masked_lm" => checkpoint.with_pretraining_head(0)?,
        _ => checkpoint.model(Head::Classes(3), MissingHead::Initialise { seed: 0 })?,
    };
    let examples: Vec<Example> = (0..EXAMPLES).map(|n| example(n as u64, model.head())).collect();
    let mut by_length: Vec<usize> = (0..EXAMPLES).collect();
    by_length.sort_by_key(|&n| examples[n].len());
    Ok(Job { head, network: model.network()?.clone(), theta: model.theta, examples, by_length })
}

/// Random tokens in two segments; a class, or about 15 % of the tokens as targets.
fn example(n: u64, head: Head) -> Example {
    let stream = |name| Stream::new(1, name).at(n);
    let (shortest, longest) = LENGTHS;
    let length = shortest + stream("length").below(0, (longest - shortest + 1) as u64) as usize;
    let tokens = |name| (0..length as u64).map(move |t| stream(name).below(t, VOCABULARY as u64) as u32);
    let chosen = |t: &u32| *t == 1 || stream("chosen").uniform(u64::from(*t)) < 0.15;
    let target = match head {
        Head::MaskedLm => Target::at((0..).zip(tokens("labels")).filter(|(t, _)| chosen(t))),
        _ => Target::class(stream("class").below(0, 3) as u32),
    };
    let types = (0..length).map(|t| u32::from(2 * t > length)).collect();
    Example { ids: tokens("ids").collect(), types, target, group: None, window: None }
}
