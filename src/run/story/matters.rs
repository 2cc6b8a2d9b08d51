//! Whether the loss rises further in the parameters of most Fisher information than in others.

use super::Story;
use super::answers::Told;
use super::flatter::{nowhere, within};
use super::words::{bounded, difference, level, level_se, number};
use crate::analysis::titles::mask_title;
use crate::error::Result;
use crate::landscape::mask::{Norm, Select};
use crate::landscape::sharpness::Comparison;
use crate::run::findings;
use crate::run::plan;
use crate::tables::page::Surface;

/// What was compared, in words.
struct Seen<'a> {
    /// The model, the part, and the unit of its loss.
    around: &'a str,
    over: &'a str,
    unit: &'a str,
    /// Whether both masks move the weights as far.
    matched: bool,
    other: Select,
    /// The surfaces of both masks.
    rows: [&'a Surface; 2],
}

impl Story<'_> {
    pub(super) fn matters(&self) -> Result<Option<Told>> {
        let Some(found) = findings::marked(self.folder, self.analysis, &self.models)? else {
            return Ok(None);
        };
        let model = &self.models[0];
        let over = plan::part_name(found.part);
        let row = |mask: &Select| {
            let mut own =
                self.found.surfaces.iter().filter(|row| row.over == over && row.model == model.title);
            own.find(|row| row.mask == mask_title(mask))
        };
        let (Some(top), Some(other)) = (row(&found.top), row(&found.other)) else { return Ok(None) };
        let norm = self.analysis.surface.as_ref().map(|surface| surface.mask.norm);
        let seen = Seen {
            // Where nothing is trained the model is the checkpoint.
            around: if model.runs.is_empty() { "the checkpoint" } else { &model.title },
            over: self.words(found.part),
            unit: self.unit(found.part)?,
            matched: norm == Some(Norm::Matched),
            other: found.other,
            rows: [top, other],
        };
        Ok(Some(match found.compared {
            Some(compared) => seen.told(&compared),
            None => seen.open(),
        }))
    }
}

impl Seen<'_> {
    fn told(&self, one: &Comparison) -> Told {
        let [top, other] = self.rows;
        let [value, low, high] = bounded(one.difference, (one.low, one.high));
        let (verdict, answer) = match (one.low > 0.0, one.high < 0.0) {
            (true, _) => ("The loss rises further", "Yes"),
            (_, true) => ("The loss rises less far", "The other way round"),
            _ => ("The loss is not shown to rise further", "Not shown"),
        };
        let norm = if self.matched { " at the same norm" } else { ", which move by another norm," };
        let (first, second, unit) = (&top.mask, self.partner(), self.unit);
        let runs = match one.pairs {
            1 => "the examples of one model".to_string(),
            n => format!("{} models", number(n)),
        };
        let mut told = Told::new(
            format!(
                "{verdict} in the {first} of the parameters by Fisher information than in {second}{norm}: {} against {} {unit}.",
                level(one.second),
                level(one.first)
            ),
            QUESTION,
            format!(
                "{answer}: {} of {} the loss over {} rises by {} {unit} in the {first} of the parameters by Fisher information, and by {} \
                 in {second}{norm} (difference {value}, 95 % {low} to {high}, over {runs}).",
                within(top),
                self.around,
                self.over,
                level_se(one.second, top.rise_se),
                level_se(one.first, other.rise_se),
            ),
        );
        let name = format!("{first} − {}", other.mask);
        let shown = one.low > 0.0 || one.high < 0.0;
        told.answer.differences.push(difference(name, (one.difference, (one.low, one.high)), None, shown));
        told
    }

    /// Without a comparison.
    fn open(&self) -> Told {
        match self.rows[0].rise {
            None => nowhere(self.rows[0], QUESTION),
            Some(_) => {
                let text = "the examples are too few for an interval";
                Told::new(
                    format!("Nothing is said of what matters: {text}."),
                    QUESTION,
                    format!("Not shown: {text}."),
                )
            }
        }
    }

    /// The parameters that those of most Fisher information are held against.
    fn partner(&self) -> &'static str {
        match self.other {
            Select::Random(_) => "the same number of random ones",
            _ => "the same number with the lowest",
        }
    }
}

const QUESTION: &str = "What matters?";

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the rule. A claim stands where the interval leaves out 0, to either side, and nowhere else; without an interval there is
    /// none.
    #[test]
    fn a_claim_is_made_where_the_interval_leaves_out_zero() {
        let row = |mask: &str| Surface {
            mask: mask.into(),
            rise: Some(0.2),
            rise_se: Some(0.02),
            ..Surface::default()
        };
        let (top, random) = (row("top 1 %"), row("random 1 %"));
        let other = Select::Random(0.01);
        let seen = Seen {
            around: "guided",
            over: "held-out examples",
            unit: "nats",
            matched: true,
            other,
            rows: [&top, &random],
        };
        let compared = |low: f64, high: f64| Comparison {
            measure: "rise".into(),
            pairs: 1,
            first: 0.005,
            second: 0.005 + 0.5 * (low + high),
            difference: 0.5 * (low + high),
            low,
            high,
            degrees_of_freedom: 99.0,
            p: None,
            p_corrected: None,
        };
        for (low, high, words) in [
            (0.001, 0.379, "The loss rises further in the top 1 %"),
            (-0.001, 0.381, "The loss is not shown to rise further"),
            (-0.379, -0.001, "The loss rises less far"),
        ] {
            let told = seen.told(&compared(low, high));
            assert!(told.verdict.starts_with(words), "{}", told.verdict);
            assert_eq!(told.answer.differences[0].shown, low * high > 0.0);
        }
        let told = seen.told(&compared(0.151, 0.229));
        let wanted = "Yes: within distance 1 of guided the loss over held-out examples rises by 0.195 ± 0.020 nats in the top 1 % of the \
                      parameters by Fisher information, and by 0.005 ± 0.020 in the same number of random ones at the same norm (difference +0.190, \
                      95 % +0.151 to +0.229, over the examples of one model).";
        assert_eq!(told.answer.text, wanted);
        assert_eq!(seen.open().answer.text, "Not shown: the examples are too few for an interval.");
    }
}
