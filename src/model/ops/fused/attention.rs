//! Attention within the examples of a packed batch.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::kernels;
use super::{Saved, saved, slice, tensor, with};
use crate::dropout::Noise;
use crate::model::ops::Packing;
use crate::model::settings::Scores;
use crate::threads;

/// Softmax attention within each example: queries `[queries, hq d]`, keys and values `[keys, 2 hk d]`, and, as a third input, what
/// is added to the scores by bucket of distances `[B, hq, buckets]`.
pub struct Attention {
    pub scores: Scores,
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
    pub fn new(scores: Scores, queries: &Packing, keys: &[usize], noise: Option<Noise>) -> Attention {
        Attention {
            scores,
            queries: queries.offsets.to_vec(),
            keys: keys.to_vec(),
            positions: queries.positions.to_vec(),
            noise: noise.map(|noise| PairNoise { noise, first: queries.first, stride: queries.stride }),
            probabilities: Saved::default(),
        }
    }

    fn span(&self) -> kernels::Span<'_> {
        let Attention { scores, queries, keys, positions, .. } = self;
        kernels::Span { queries, positions, keys, scores: *scores }
    }

    /// Multiplies a row of probabilities (or of their gradient) by its noise.
    fn multiply(&self, b: usize, head: usize, query: usize, row: &mut [f32]) {
        let Some(PairNoise { noise, first, stride }) = &self.noise else { return };
        let position = self.positions[self.queries[b] + query] as usize;
        let mut factors = vec![0f32; row.len()];
        let index = (((first + b) * self.scores.heads.queries + head) * stride + position) * stride;
        noise.fill(index as u64, &mut factors);
        row.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
    }
}

impl Attention {
    /// The context, from queries, keys and values, and what is added to the scores.
    fn forward(&self, q: &[f32], kv: &[f32], added: Option<&[f32]>) -> Result<Vec<f32>> {
        let mut p = threads::zeros(self.span().probabilities());
        let mut context = threads::zeros(q.len());
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        kernels::attention(self.span(), (q, kv, added), &mut p, &mut context, noise);
        *saved(&self.probabilities)? = p;
        Ok(context)
    }

    /// Gradients at queries, at keys and values, and at what was added, if anything was.
    fn backward(&self, q: &Tensor, kv: &Tensor, added: Option<&Tensor>, g: &Tensor) -> Result<Gradients> {
        let g = g.contiguous()?;
        let p = saved(&self.probabilities)?;
        let (mut dq, mut dkv) = (threads::zeros(q.elem_count()), threads::zeros(kv.elem_count()));
        let mut sums = added.map(|added| threads::zeros(added.elem_count()));
        let multiply =
            |b: usize, head: usize, query: usize, row: &mut [f32]| self.multiply(b, head, query, row);
        let noise = self.noise.is_some().then_some(&multiply as &kernels::RowNoise);
        with(q, |q| {
            with(kv, |kv| {
                with(&g, |g| {
                    let out = (dq.as_mut_slice(), dkv.as_mut_slice(), sums.as_deref_mut());
                    kernels::attention_backward(self.span(), (q, kv), &p, g, out, noise);
                    Ok(())
                })
            })
        })?;
        let sums = sums.zip(added).map(|(sums, added)| tensor(sums, added)).transpose()?;
        Ok((tensor(dq, q)?, tensor(dkv, kv)?, sums))
    }
}

/// See [`Attention::backward`].
type Gradients = (Tensor, Tensor, Option<Tensor>);

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
        let context = self.forward(slice(q, ql)?, slice(kv, kvl)?, None)?;
        Ok((CpuStorage::F32(context), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dq, dkv, _) = self.backward(q, kv, None, g)?;
        Ok((Some(dq), Some(dkv)))
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention by distance"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        kv: &CpuStorage,
        kvl: &Layout,
        added: &CpuStorage,
        al: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let context = self.forward(slice(q, ql)?, slice(kv, kvl)?, Some(slice(added, al)?))?;
        Ok((CpuStorage::F32(context), ql.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        added: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dq, dkv, sums) = self.backward(q, kv, Some(added), g)?;
        Ok((Some(dq), Some(dkv), sums))
    }
}
