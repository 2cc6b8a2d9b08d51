//! How a model of candle-transformers reads examples of one length.

use candle_core::{Result, Tensor};

/// Of one tensor.
pub type Read = Box<dyn FnMut(&Tensor) -> Result<Tensor>>;
/// Of a tensor and the position of its tokens.
pub type ReadAt = Box<dyn FnMut(&Tensor, usize) -> Result<Tensor>>;
/// Of two tensors.
pub type ReadBoth = Box<dyn FnMut(&Tensor, &Tensor) -> Result<Tensor>>;

/// How a model reads examples of one length. It is used once.
pub enum Reading {
    /// Token ids `[B, T]` at once: gives the last hidden states `[B, T, H]`, which `decoder` `[V, H]` scores.
    Hidden { read: Read, decoder: Tensor },
    /// Where candle gives the scores of the last token alone: ids `[B, 1]` and their position, one after the other; gives scores
    /// `[B, .., V]` and keeps keys and values for the next.
    Steps(ReadAt),
    /// Token ids and segments `[B, T]`: gives scores of whole examples `[B, C]`.
    Whole(ReadBoth),
}
