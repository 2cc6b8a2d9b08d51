//! Questions to examples: the question, then as much of the text as there is room for, window by window.
//!
//! The trap: the tokenizers crate panics where windows share more tokens than they have room for. That is looked at first. With truncation
//! set, it reads no more of a text than fits into one window; so texts are read whole, and cut afterwards. Its post-processor moves offsets
//! each time that it runs, so it runs once.

use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::utils::truncation::{
    TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings,
};
use tokenizers::{Encoding, PostProcessor};

use super::Tokenizer;
use crate::data::questions::{Question, Window};
use crate::data::row::{Row, RowLabel};
use crate::data::{Example, Target};
use crate::error::{Error, Result};

impl Tokenizer {
    /// The windows of questions, at most `max_len` tokens each, of which neighbours share `stride` of the text, as transformers makes
    /// them. Rows that are no questions are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] where a question leaves no room for more of the text than windows share.
    pub fn windows(&self, rows: &[Row], max_len: usize, stride: usize) -> Result<Vec<Example>> {
        let mut inner = self.inner.clone();
        let added = inner.get_post_processor().map_or(0, |own| own.added_tokens(true));
        let longest =
            rows.par_iter().map(|row| Ok(self.encode(&row.text)?.len())).collect::<Result<Vec<_>>>()?;
        let longest = longest.into_iter().max().unwrap_or(0);
        let room = max_len.saturating_sub(added + longest);
        if stride >= room {
            let expected = format!(
                "below the {room} tokens that a question of {longest} leaves of {max_len} to its text"
            );
            let fix = "choose a smaller --stride, or a longer --max-len";
            return Err(Error::field("--stride", "tokens", expected, stride, fix));
        }
        let cut = TruncationParams {
            max_length: max_len - added,
            strategy: TruncationStrategy::OnlySecond,
            direction: TruncationDirection::Right,
            stride,
        };
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let all = rows.par_iter().map(|row| {
            let RowLabel::Answer { question, place } = &row.label else { return Ok(Vec::new()) };
            let read = |text: &str| inner.encode_char_offsets(text, false).map_err(|e| self.refused(e));
            let (asked, mut context) = (read(&row.text)?, read(&question.context)?);
            context.set_type_ids(vec![1; context.len()]);
            let (asked, context) =
                truncate_encodings(asked, Some(context), &cut).map_err(|e| self.refused(e))?;
            let mut first = self.inner.post_process(asked, context, true).map_err(|e| self.refused(e))?;
            let others = first.take_overflowing();
            let example = |own: &Encoding| {
                let window = self.window(question, own)?;
                let (ids, types) = (
                    own.get_ids().to_vec(),
                    if added == 0 { vec![0; own.len()] } else { own.get_type_ids().to_vec() },
                );
                let target = Target::span(window.ends(place.as_ref()));
                Ok(Example { ids, types, target, group: row.group, window: Some(window) })
            };
            std::iter::once(&first).chain(&others).map(example).collect()
        });
        Ok(all.collect::<Result<Vec<Vec<Example>>>>()?.into_iter().flatten().collect())
    }

    fn window(&self, question: &Arc<Question>, encoding: &Encoding) -> Result<Window> {
        let place = |(sequence, (start, end)): (Option<usize>, &(usize, usize))| {
            (sequence == Some(1)).then_some([*start as u32, *end as u32])
        };
        let places: Vec<Option<[u32; 2]>> =
            encoding.get_sequence_ids().into_iter().zip(encoding.get_offsets()).map(place).collect();
        Window::new(question.clone(), &places).ok_or_else(|| self.refused("a text in two parts".into()))
    }
}
