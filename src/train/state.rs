//! What a killed run resumes from: parameters, moments, step and history, in one file.
//!
//! Batches, masked tokens and dropout are functions of the seed and the step, so nothing else is needed for the bytes
//! of an uninterrupted run. The file names its inputs (a hash over all of them, and where they are computed) and holds a
//! checksum over all that is in it; one of other inputs is left alone until this run saves its own, or writes results,
//! and a damaged one is set aside. It is written whole or not at all, and so seldom that a save costs about a hundredth of the time.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::optimizer::Optimizer;
use super::{Row, Run};
use crate::data::Example;
use crate::error::Result;
use crate::params::{self, Column, ParamMap};
use crate::provenance;
use crate::{files, progress, stop};

/// How many times as long as a save takes has to pass before the next.
const SELDOM: u32 = 100;

/// When to save first if no row of the history comes before.
const FIRST: Duration = Duration::from_secs(60);

/// Where a run stands after some steps.
pub struct Standing {
    /// Steps taken.
    pub step: usize,
    pub history: Vec<Row>,
    /// Sum of the training losses since the last row, and what it is divided by.
    pub sum: f64,
    pub count: usize,
}

/// The file of a run.
pub struct State<'a> {
    path: &'a Path,
    inputs: String,
    started: Instant,
    saved: Option<(Instant, Duration)>,
    /// Whether the file is of a training on other inputs.
    others: bool,
}

/// [`Standing`] as it is stored: `f64` bits, because JSON knows no NaN and rounds.
#[derive(Serialize, Deserialize)]
struct Stored {
    step: usize,
    sum: u64,
    count: usize,
    history: Vec<StoredRow>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    step: usize,
    /// Training loss, held-out loss and its standard error.
    losses: [u64; 3],
    examples: usize,
    targets: usize,
    distinct: usize,
    metrics: Vec<(String, u64)>,
}

impl<'a> State<'a> {
    /// The file at `path` for this run from these parameters.
    pub fn new(path: &'a Path, run: &Run, theta: &ParamMap) -> Result<State<'a>> {
        let metrics: Vec<&str> = run.held_out.scoring.metrics.iter().map(|metric| metric.name).collect();
        let text = format!(
            "{:?} {metrics:?}",
            (run.network.identity(), run.config, run.dropout, run.masking, run.held_out.kind)
        );
        State::of(path, &text, &[theta], &[run.examples, run.held_out.examples])
    }

    /// The file at `path` for a training whose result depends on this text, these parameters and these examples.
    pub fn of(path: &'a Path, text: &str, thetas: &[&ParamMap], sets: &[&[Example]]) -> Result<State<'a>> {
        let mut hash = blake3::Hasher::new();
        let (version, arithmetic) = (env!("CARGO_PKG_VERSION"), provenance::arithmetic());
        hash.update(format!("{version:?} {arithmetic} {text}").as_bytes());
        for (name, t) in thetas.iter().copied().flatten() {
            hash.update(name.as_bytes());
            params::with_values(t, |values| add_values(&mut hash, values))?;
        }
        for examples in sets {
            hash.update(&(examples.len() as u64).to_le_bytes());
            examples.iter().for_each(|example| add_example(&mut hash, example));
        }
        let inputs = hash.finalize().to_hex().to_string();
        Ok(State { path, inputs, started: Instant::now(), saved: None, others: false })
    }

    /// Puts parameters and moments back, and says where the run of `steps` stands; `None` without a whole file of these inputs.
    ///
    /// # Errors
    ///
    /// [`Error::Field`](crate::error::Error::Field) if something else than a file has its name.
    pub fn resume(
        &mut self,
        steps: usize,
        theta: &mut ParamMap,
        optimizer: &mut Optimizer,
    ) -> Result<Option<Standing>> {
        files::check_plain(self.path)?;
        if !files::is_plain(self.path) {
            return Ok(None);
        }
        let read = params::read_safetensors(self.path).ok();
        let path = self.path.display();
        if let Some((_, metadata)) = &read
            && metadata.contains_key(CHECKSUM)
            && metadata.get("inputs") != Some(&self.inputs)
        {
            progress::note(format!("{path} is of a training on other inputs; this one begins anew"));
            self.others = true;
            return Ok(None);
        }
        let found = read.and_then(|(tensors, metadata)| restored(tensors, &metadata, steps, theta));
        let Some(Restored { parameters, moments, taken, standing }) = found else {
            let kept = files::set_aside(self.path, "broken")?;
            let why = "damaged or of an earlier version, so training begins anew";
            progress::note(format!("{path}: {why}; kept as {}", kept.display()));
            return Ok(None);
        };
        optimizer.restore(taken, moments)?;
        for (name, p) in parameters {
            let device = theta.get(&name).map_or(&Device::Cpu, Tensor::device).clone();
            theta.insert(name, p.to_device(&device)?);
        }
        Ok(Some(standing))
    }

    /// To call before this run writes results: a file of other inputs goes, since the results that it led to do.
    pub fn claim(&mut self) -> Result<()> {
        if std::mem::take(&mut self.others) { files::remove(self.path) } else { Ok(()) }
    }

    /// Saves after the first row of the history, or a minute, and then whenever the last save is long ago.
    pub fn save(&mut self, theta: &ParamMap, optimizer: &Optimizer, standing: &Standing) -> Result<()> {
        let due = match self.saved {
            None => !standing.history.is_empty() || self.started.elapsed() > FIRST,
            Some((when, took)) => when.elapsed() > took * SELDOM,
        };
        if due { self.write(theta, optimizer, standing) } else { Ok(()) }
    }

    /// Saves now.
    pub fn write(&mut self, theta: &ParamMap, optimizer: &Optimizer, standing: &Standing) -> Result<()> {
        let started = Instant::now();
        let moments = optimizer.moments()?;
        let stored = Stored {
            step: standing.step,
            sum: standing.sum.to_bits(),
            count: standing.count,
            history: standing.history.iter().map(StoredRow::new).collect(),
        };
        let mut metadata = BTreeMap::from([
            ("inputs".to_string(), self.inputs.clone()),
            ("optimizer_steps".to_string(), optimizer.steps().to_string()),
            ("standing".to_string(), serde_json::json!(stored).to_string()),
        ]);
        let mut sum = Checksum::new(NAMES.map(|name| metadata.get(name).map_or("", String::as_str)));
        for (name, [first, second]) in &moments {
            if let Some(t) = theta.get(*name) {
                params::with_values(t, |values| sum.add(name, [values, first, second]))?;
            }
        }
        metadata.insert(CHECKSUM.to_string(), sum.end());
        let own =
            theta.iter().map(|(name, t)| (format!("theta/{name}"), t.dims().to_vec(), Column::Tensor(t)));
        let moments = moments.iter().flat_map(|(name, [m, v])| {
            let shape = theta.get(*name).map_or_else(|| vec![m.len()], |t: &Tensor| t.dims().to_vec());
            [("m", m), ("v", v)]
                .map(|(moment, values)| (format!("{moment}/{name}"), shape.clone(), Column::F32(values)))
        });
        params::write_safetensors(self.path, own.chain(moments), &metadata)?;
        stop::gained();
        self.others = false;
        self.saved = Some((Instant::now(), started.elapsed()));
        Ok(())
    }
}

/// Of the metadata, what the checksum is over, and where it stands.
const NAMES: [&str; 3] = ["inputs", "optimizer_steps", "standing"];
const CHECKSUM: &str = "checksum";

/// What a file holds.
struct Restored {
    parameters: ParamMap,
    moments: BTreeMap<String, [Vec<f32>; 2]>,
    /// Steps of the optimizer.
    taken: i32,
    standing: Standing,
}

/// What a file holds, if it is whole and fits these parameters and a training of so many steps.
fn restored(
    mut tensors: ParamMap,
    metadata: &HashMap<String, String>,
    steps: usize,
    theta: &ParamMap,
) -> Option<Restored> {
    let [inputs, taken, standing] = NAMES.map(|name| metadata.get(name).map(String::as_str));
    let mut sum = Checksum::new([inputs?, taken?, standing?]);
    let mut take = |kind: &str, name: &str, like: &Tensor| {
        tensors.remove(&format!("{kind}/{name}")).filter(|t| t.dims() == like.dims())
    };
    let (mut parameters, mut moments) = (ParamMap::new(), BTreeMap::new());
    for (name, p) in theta {
        let value = take("theta", name, p)?;
        let [m, v] =
            [take("m", name, p)?, take("v", name, p)?].map(|t| params::with_values(&t, <[f32]>::to_vec).ok());
        let (m, v) = (m?, v?);
        params::with_values(&value, |values| sum.add(name, [values, &m, &v])).ok()?;
        moments.insert(name.clone(), [m, v]);
        parameters.insert(name.clone(), value);
    }
    let stored: Stored = serde_json::from_str(standing?).ok()?;
    let history: Vec<Row> = stored.history.into_iter().map(StoredRow::row).collect();
    let (sum_of_losses, count, step) = (f64::from_bits(stored.sum), stored.count, stored.step);
    // The last step is never saved.
    let fits = metadata.get(CHECKSUM) == Some(&sum.end())
        && (1..steps).contains(&step)
        && history.iter().all(|row| row.step <= step);
    let standing = Standing { step, history, sum: sum_of_losses, count };
    let taken = taken?.parse().ok().filter(|taken| (0..=step as i64).contains(&i64::from(*taken)))?;
    fits.then_some(Restored { parameters, moments, taken, standing })
}

/// BLAKE3 over what a file holds.
struct Checksum(blake3::Hasher);

impl Checksum {
    fn new(texts: [&str; 3]) -> Checksum {
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{texts:?}").as_bytes());
        Checksum(hash)
    }

    /// A parameter and its moments.
    fn add(&mut self, name: &str, values: [&[f32]; 3]) {
        self.0.update(format!("{name:?} {}", values[0].len()).as_bytes());
        values.iter().for_each(|values| add_values(&mut self.0, values));
    }

    fn end(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

fn add_values(hash: &mut blake3::Hasher, values: &[f32]) {
    let mut bytes = Vec::with_capacity(1 << 16);
    for part in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|x| x.to_le_bytes()));
        hash.update(&bytes);
    }
}

impl StoredRow {
    fn new(row: &Row) -> StoredRow {
        StoredRow {
            step: row.step,
            losses: [row.train_loss, row.loss, row.loss_se].map(f64::to_bits),
            examples: row.examples,
            targets: row.targets,
            distinct: row.distinct,
            metrics: row.metrics.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect(),
        }
    }

    fn row(self) -> Row {
        let [train_loss, loss, loss_se] = self.losses.map(f64::from_bits);
        let metrics = self.metrics.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        let (step, examples, targets, distinct) = (self.step, self.examples, self.targets, self.distinct);
        Row { step, train_loss, loss, loss_se, examples, targets, distinct, metrics }
    }
}

fn add_example(hash: &mut blake3::Hasher, example: &Example) {
    hash.update(&(example.len() as u64).to_le_bytes());
    for id in example.ids.iter().chain(&example.types) {
        hash.update(&id.to_le_bytes());
    }
    hash.update(format!("{:?}", example.target).as_bytes());
}
