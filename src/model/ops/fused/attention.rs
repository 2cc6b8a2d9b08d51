//! Attention within the examples of a packed batch.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::kernels;
use super::{Saved, saved, slice, tensor, with};
use crate::dropout::Noise;
use crate::model::ops::Packing;
use crate::model::settings::{Heads, Mask};
use crate::threads;

/// Softmax attention within each example: queries `[queries, hq d]`, keys and values `[keys, 2 hk d]`.
pub struct Attention {
    pub heads: Heads,
    pub mask: Mask,
    /// Where each example's queries and keys begin.
    pub queries: Vec<usize>,
    pub keys: Vec<usize>,
    /// Position of each query in its example.
    pub positions: Vec<u32>,
    /// Noise on the probabilities.
    pub noise: Option<PairNoise>,
    probabilities: Saved,
}

/// Noise for pairs of a query and a key; see [`Packing`].
pub struct PairNoise {
    pub noise: Noise,
    pub first: usize,
    pub stride: usize,
}

impl Attention {
    pub fn new(
        heads: Heads,
        mask: Mask,
        queries: &Packing,
        keys: &[usize],
        noise: Option<Noise>,
    ) -> Attention {
        Attention {
            heads,
            mask,
            queries: queries.offsets.to_vec(),
            keys: keys.to_vec(),
            positions: queries.positions.to_vec(),
            noise: noise.map(|noise| PairNoise { noise, first: queries.first, stride: queries.stride }),
            probabilities: Saved::default(),
        }
    }

    fn span(&self) -> kernels::Span<'_> {
        let Attention { heads, mask, queries, keys, positions, .. } = self;
        kernels::Span { queries, positions, keys, heads: *heads, mask: *mask }
    }

    /// Multiplies a row of probabilities (or of their gradient) by its noise.
    fn multiply(&self, b: usize, head: usize, query: usize, row: &mut [f32]) {
        let Some(PairNoise { noise, first, stride }) = &self.noise else { return };
        let position = self.positions[self.queries[b] + query] as usize;
        let mut factors = vec![0f32; row.len()];
        let index = (((first + b) * self.heads.queries + head) * stride + position) * stride;
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
        let mut p = threads::zeros(self.span().probabilities());
        let mut context = threads::zeros(rows * width);
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        kernels::attention(self.span(), (slice(q, ql)?, slice(kv, kvl)?), &mut p, &mut context, noise);
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
        let g = g.contiguous()?;
        let p = saved(&self.probabilities)?;
        let (mut dq, mut dkv) = (threads::zeros(q.elem_count()), threads::zeros(kv.elem_count()));
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        with(q, |q| {
            with(kv, |kv| {
                with(&g, |g| {
                    let out = (dq.as_mut_slice(), dkv.as_mut_slice());
                    kernels::attention_backward(self.span(), (q, kv), &p, g, out, noise);
                    Ok(())
                })
            })
        })?;
        Ok((Some(tensor(dq, q)?), Some(tensor(dkv, kv)?)))
    }
}
