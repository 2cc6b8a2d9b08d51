//! Running sums of squared gradients: F by parameter, and `s[n,t]`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::layout::Reached;
use crate::error::Result;
use crate::params::{self, Column, ParamMap, SafetensorsFile};
use crate::threads;

/// Name of the sums by example in a file; no parameter is called so.
const SUMS: &str = "s[n,t]";

/// Sums over the examples seen so far.
#[derive(Default)]
pub struct Squares {
    tensors: BTreeMap<String, Entry>,
    /// `s[n,t]`, `[N, tensors]`, tensors in name order.
    pub sums: Array2<f64>,
    on_device: OnDevice,
}

/// Sums that still lie on a device. [`Squares::settle`] takes them home.
#[derive(Default)]
struct OnDevice {
    /// By parameter, in its shape.
    squares: BTreeMap<String, Tensor>,
    /// First example, column, and the sums of the examples from there on, `[B]`.
    sums: Vec<(usize, usize, Tensor)>,
}

/// One parameter's sum of squares.
pub struct Entry {
    column: usize,
    shape: Vec<usize>,
    /// False for a parameter whose gradient is zero by construction: what autograd gives is rounding, and dropped.
    counted: bool,
    /// Entries of a vector of which that holds.
    idle: Vec<usize>,
    squares: Vec<f32>,
}

/// A gradient with 0 in the entries that have none.
fn without<'a>(g: &'a [f32], idle: &[usize]) -> Cow<'a, [f32]> {
    let mut g = Cow::Borrowed(g);
    idle.iter().for_each(|i| g.to_mut()[*i] = 0.0);
    g
}

impl Squares {
    /// Zeros for `examples` examples; `reached` says which entries of a parameter may have a gradient.
    pub fn new(theta: &ParamMap, examples: usize, reached: impl Fn(&str) -> Reached) -> Squares {
        let entry = |(column, (name, t)): (usize, (&String, &Tensor))| {
            let squares = threads::zeros(t.elem_count());
            let (counted, idle) = match reached(name) {
                Reached::All => (true, Vec::new()),
                Reached::Rows(rows) if rows.is_empty() => (false, Vec::new()),
                // Rows of a table that no example uses have a gradient of exactly 0 anyway.
                Reached::Rows(_) if t.rank() > 1 => (true, Vec::new()),
                Reached::Rows(rows) => (true, (0..t.elem_count()).filter(|i| !rows.contains(i)).collect()),
            };
            (name.clone(), Entry { column, shape: t.dims().to_vec(), counted, idle, squares })
        };
        let tensors: BTreeMap<String, Entry> = theta.iter().enumerate().map(entry).collect();
        let sums = Array2::zeros((examples, tensors.len()));
        Squares { tensors, sums, on_device: OnDevice::default() }
    }

    /// Adds the squares of the whole gradient of example `n`.
    pub fn add(&mut self, n: usize, gradient: &ParamMap) -> Result<()> {
        let row: Vec<f64> = self
            .tensors
            .par_iter_mut()
            .map(|(name, entry)| match gradient.get(name).filter(|_| entry.counted) {
                None => Ok(0.0),
                Some(g) => params::with_values(g, |g| {
                    let g = without(g, &entry.idle);
                    entry.squares.iter_mut().zip(&*g).for_each(|(f, g)| *f += g * g);
                    g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>()
                }),
            })
            .collect::<Result<_>>()?;
        self.sums.row_mut(n).iter_mut().zip(row).for_each(|(sum, own)| *sum += own);
        Ok(())
    }

    /// Lets `add` put squares of examples `first..first + examples` into one parameter's F (row-major) and into their
    /// sums. Does nothing for a parameter that is not counted.
    pub fn with(
        &mut self,
        name: &str,
        first: usize,
        examples: usize,
        add: impl FnOnce(&mut [f32], &mut [f64]),
    ) {
        let Some(entry) = self.tensors.get_mut(name).filter(|entry| entry.counted) else { return };
        let mut sums = vec![0f64; examples];
        add(&mut entry.squares, &mut sums);
        for (b, sum) in sums.into_iter().enumerate() {
            self.sums[[first + b, entry.column]] += sum;
        }
    }

    /// As [`with`](Self::with), of a vector whose gradients these are, one for each example; `add` squares one of them.
    pub fn add_vectors<'a>(
        &mut self,
        name: &str,
        first: usize,
        examples: usize,
        own: impl Iterator<Item = &'a [f32]>,
        add: impl Fn(&mut [f32], &[f32], &mut f64),
    ) {
        let Some(idle) = self.tensors.get(name).map(|entry| entry.idle.clone()) else { return };
        self.with(name, first, examples, |f, sums| {
            own.zip(sums).for_each(|(own, sum)| add(f, &without(own, &idle), sum));
        });
    }

    /// Entries of a parameter whose gradient is zero by construction; `None` where all are.
    pub fn still(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).filter(|entry| entry.counted).map(|entry| entry.idle.as_slice())
    }

    /// The sums of a parameter on the device of `like`, from zero where there are none.
    fn own_on(&mut self, name: &str, like: &Tensor) -> candle_core::Result<&mut Tensor> {
        let shape = self.tensors.get(name).map(|entry| entry.shape.clone()).unwrap_or_default();
        Ok(match self.on_device.squares.entry(name.to_string()) {
            Slot::Occupied(own) => own.into_mut(),
            Slot::Vacant(none) => none.insert(Tensor::zeros(shape, like.dtype(), like.device())?),
        })
    }

    /// Adds squares that lie on a device to the rows of a matrix's F from `from` on, or to all of it, which may lie flat.
    pub fn add_on_device(&mut self, name: &str, from: usize, more: &Tensor) -> candle_core::Result<()> {
        let own = self.own_on(name, more)?;
        if more.elem_count() == own.elem_count() {
            *own = (&*own + more.reshape(own.dims())?)?;
            return Ok(());
        }
        own.slice_set(&(own.narrow(0, from, more.dim(0)?)? + more)?, 0, from)
    }

    /// Adds squares that lie on a device, `[ids, H]`, to these rows of a table's F.
    pub fn add_rows_on_device(&mut self, name: &str, ids: &[u32], more: &Tensor) -> candle_core::Result<()> {
        let own = self.own_on(name, more)?;
        *own = own.index_add(&Tensor::new(ids, more.device())?, more, 0)?;
        Ok(())
    }

    /// Adds the sums of the examples from number `first` on, `[B]`, that lie on a device.
    pub fn add_sums_on_device(&mut self, name: &str, first: usize, sums: Tensor) {
        if let Some(entry) = self.tensors.get(name) {
            self.on_device.sums.push((first, entry.column, sums));
        }
    }

    /// Takes home what lies on a device.
    pub fn settle(&mut self) -> Result<()> {
        let OnDevice { squares, sums } = std::mem::take(&mut self.on_device);
        for (name, own) in squares {
            let Some(entry) = self.tensors.get_mut(&name) else { continue };
            params::with_values(&own, |own| {
                entry.squares.iter_mut().zip(own).for_each(|(f, own)| *f += own)
            })?;
        }
        if sums.is_empty() {
            return Ok(());
        }
        // All at once: each transfer waits for the device.
        let all = Tensor::cat(&sums.iter().map(|(_, _, sums)| sums).collect::<Vec<_>>(), 0)?;
        let mut values = all.to_vec1::<f32>()?.into_iter();
        for (first, column, own) in &sums {
            for (b, sum) in values.by_ref().take(own.elem_count()).enumerate() {
                self.sums[[first + b, *column]] += f64::from(sum);
            }
        }
        Ok(())
    }

    /// Adds the sums of the examples that follow.
    pub fn append(&mut self, more: Squares) -> Result<()> {
        for (name, entry) in more.tensors {
            let Some(own) = self.tensors.get_mut(&name) else { continue };
            let parts = own.squares.par_chunks_mut(1 << 15).zip(entry.squares.par_chunks(1 << 15));
            parts.for_each(|(own, more)| own.iter_mut().zip(more).for_each(|(own, more)| *own += more));
        }
        let rows = [self.sums.view(), more.sums.view()];
        self.sums = ndarray::concatenate(Axis(0), &rows).map_err(candle_core::Error::wrap)?;
        Ok(())
    }

    /// Zeros again.
    pub fn clear(&mut self) {
        self.tensors.values_mut().for_each(|entry| entry.squares.fill(0.0));
        self.sums.fill(0.0);
    }

    /// Both kinds of sums as columns of a file, named behind `prefix`; their bytes go into `hash`.
    pub fn columns<'a>(
        &'a self,
        prefix: &str,
        hash: &mut blake3::Hasher,
    ) -> Vec<(String, Vec<usize>, Column<'a>)> {
        let mut columns = Vec::new();
        for (name, entry) in &self.tensors {
            hash.update(bytemuck::cast_slice(&entry.squares));
            columns.push((format!("{prefix}.{name}"), entry.shape.clone(), Column::F32(&entry.squares)));
        }
        if let Some(sums) = self.sums.as_slice() {
            hash.update(bytemuck::cast_slice(sums));
            columns.push((format!("{prefix}.{SUMS}"), self.sums.shape().to_vec(), Column::F64(sums)));
        }
        columns
    }

    /// Takes what [`columns`](Self::columns) gave from a file.
    pub fn restore(
        &mut self,
        file: &mut SafetensorsFile,
        prefix: &str,
        hash: &mut blake3::Hasher,
    ) -> Result<()> {
        for (name, entry) in &mut self.tensors {
            entry.squares = file.f32(&format!("{prefix}.{name}"), &entry.shape)?;
            hash.update(bytemuck::cast_slice(&entry.squares));
        }
        let sums = file.f64(&format!("{prefix}.{SUMS}"), self.sums.shape())?;
        hash.update(bytemuck::cast_slice(&sums));
        self.sums = Array2::from_shape_vec(self.sums.raw_dim(), sums).map_err(candle_core::Error::wrap)?;
        Ok(())
    }

    /// Name of the tensor of a column.
    pub fn name(&self, column: usize) -> Option<&str> {
        self.tensors.keys().nth(column).map(String::as_str)
    }

    /// `F`, the mean of the squares over the examples, and `s[n,t]`.
    pub fn finish(self) -> Result<(ParamMap, Array2<f64>)> {
        let n = self.sums.nrows() as f32;
        let mean = |(name, mut entry): (String, Entry)| {
            entry.squares.iter_mut().for_each(|f| *f /= n);
            Ok((name, Tensor::from_vec(entry.squares, entry.shape, &Device::Cpu)?))
        };
        Ok((self.tensors.into_iter().map(mean).collect::<Result<_>>()?, self.sums))
    }
}
