//! Attention within the examples of a packed batch.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::kernels::{self, Heads};
use super::{Saved, saved, slice, tensor, with};
use crate::dropout::Noise;
use crate::threads;

/// Softmax attention within each example: queries `[queries, H]`, keys and values `[keys, 2H]`.
pub struct Attention {
    pub heads: usize,
    /// Where each example's queries and keys begin.
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
    /// Noise on the probabilities.
    pub noise: Option<PairNoise>,
    probabilities: Saved,
}

/// Noise for pairs of a query and a key; see [`Packing`](crate::model::ops::Packing).
pub struct PairNoise {
    pub noise: Noise,
    pub first: usize,
    pub stride: usize,
    /// Position of each query in its example.
    pub positions: Vec<u32>,
}

impl Attention {
    pub fn new(heads: usize, queries: &[usize], keys: &[usize], noise: Option<PairNoise>) -> Attention {
        Attention {
            heads,
            queries: queries.to_vec(),
            keys: keys.to_vec(),
            noise,
            probabilities: Saved::default(),
        }
    }

    fn shape(&self, width: usize) -> Heads<'_> {
        Heads { queries: &self.queries, keys: &self.keys, width, heads: self.heads }
    }

    /// Multiplies a row of probabilities (or of their gradient) by its noise.
    fn multiply(&self, b: usize, head: usize, query: usize, row: &mut [f32]) {
        let Some(PairNoise { noise, first, stride, positions }) = &self.noise else { return };
        let position = positions[self.queries[b] + query] as usize;
        let mut factors = vec![0f32; row.len()];
        let index = (((first + b) * self.heads + head) * stride + position) * stride;
        noise.fill(index as u64, &mut factors);
        row.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        kv: &CpuStorage,
        kvl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = (ql.dims()[0], ql.dims()[1]);
        let mut p = threads::zeros(self.shape(width).probabilities());
        let mut context = threads::zeros(rows * width);
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        kernels::attention(self.shape(width), (slice(q, ql)?, slice(kv, kvl)?), &mut p, &mut context, noise);
        *saved(&self.probabilities)? = p;
        Ok((CpuStorage::F32(context), (rows, width).into()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, g) = (q.dim(1)?, g.contiguous()?);
        let p = saved(&self.probabilities)?;
        let (mut dq, mut dkv) = (threads::zeros(q.elem_count()), threads::zeros(kv.elem_count()));
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        with(q, |q| {
            with(kv, |kv| {
                with(&g, |g| {
                    let out = (dq.as_mut_slice(), dkv.as_mut_slice());
                    kernels::attention_backward(self.shape(width), (q, kv), &p, g, out, noise);
                    Ok(())
                })
            })
        })?;
        Ok((Some(tensor(dq, q)?), Some(tensor(dkv, kv)?)))
    }
}
