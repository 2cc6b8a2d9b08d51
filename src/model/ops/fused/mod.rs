//! Fused bodies of the operations, for the CPU: candle operations of our own with a backward pass.
//!
//! With a [`Tap`], the backward pass of an operation adds the squared gradient of its parameters, example by example,
//! where it is produced: exact per-example Fisher information for little more than one backward pass over the batch.
//! The gradient summed over the batch is then not formed at all.

mod attention;
mod cross_entropy;
mod linear;
mod norm;
mod sink;
pub mod squares;

use std::sync::{Mutex, MutexGuard};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};

use super::kernels;
use super::tap::{Tap, Use};

pub use attention::Attention;
pub use cross_entropy::{CrossEntropy, DecodedLoss, decoded_cross_entropy};
pub use linear::Linear;
pub use norm::{ResidualNorm, RowNoise};
pub use sink::{Outlet, Sink, Sunk};

/// A contiguous float32 slice of an operation's input.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("fused operations take contiguous tensors"),
    }
}

fn on_cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("fused operations run on the CPU"),
    }
}

/// Runs `f` on a tensor's values.
fn with<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    f(slice(on_cpu(&storage)?, layout)?)
}

/// Runs `f` on the values of some tensors.
fn with_all<R>(tensors: &[&Tensor], f: impl FnOnce(&[&[f32]]) -> Result<R>) -> Result<R> {
    let stored: Vec<_> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let values = stored.iter().map(|(storage, layout)| slice(on_cpu(storage)?, layout));
    f(&values.collect::<Result<Vec<&[f32]>>>()?)
}

/// The same of a matrix, which may be the transpose of what is stored.
fn matrix<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<kernels::View<'a>> {
    let (rows, columns) = layout.shape().dims2()?;
    if layout.is_contiguous() {
        return Ok(kernels::View::rows(slice(storage, layout)?, columns));
    }
    let stored = Layout::contiguous_with_offset((columns, rows), layout.start_offset());
    match layout.stride() == [1, rows] {
        true => Ok(kernels::View::rows(slice(storage, &stored)?, rows).t()),
        false => bail!("fused operations take matrices, or their transposes"),
    }
}

/// Runs `f` on a matrix.
fn with_matrix<R>(tensor: &Tensor, f: impl FnOnce(kernels::View) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    f(matrix(on_cpu(&storage)?, layout)?)
}

fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// What the forward pass leaves for the backward pass.
type Saved = Mutex<Vec<f32>>;

fn saved(values: &Saved) -> Result<MutexGuard<'_, Vec<f32>>> {
    values.lock().or_else(|_| bail!("fused operation: poisoned lock"))
}

/// An activation, value by value.
pub struct Activate(pub kernels::Curve);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, l)?;
        Ok((CpuStorage::F32(kernels::activate(self.0, x)), l.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let back = |g: &[f32]| with(x, |x| Ok(kernels::activate_backward(self.0, x, g)));
        tensor(with(&g.contiguous()?, back)?, x).map(Some)
    }
}
