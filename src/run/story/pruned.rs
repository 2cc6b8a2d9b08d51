//! What it costs to set parameters to zero, and in which order it costs least.

use super::Story;
use super::answers::Told;
use super::words::{arm, bounded, compared, counted, difference, level};
use crate::data::frozen::FrozenSet;
use crate::draw::numbers::significant;
use crate::error::Result;
use crate::figures::chart;
use crate::page::{Page, Table as Shown};
use crate::run::plan::{Model, depth};
use crate::stats;
use crate::tables::prune::PruneRow;

/// The share whose orders are compared in words: chosen before anything is known of the model.
const SHARE: f64 = 0.5;

/// What is said of one model.
struct Seen<'a> {
    model: &'a str,
    over: &'a str,
    unit: &'a str,
    rows: &'a [PruneRow],
}

impl Story<'_> {
    pub(super) fn pruned(&self, page: &mut Page) -> Result<()> {
        for model in self.with_pruning() {
            let path = self.path::<PruneRow>(&depth::prune_folder(model));
            let drawn = chart(&[path], &[], None)?;
            let words = drawn.map_or(String::new(), |chart| chart.caption.trim_end().to_string());
            self.figure(page, &depth::prune_figure(model), format!("Pruning of {}. {words}", model.title))?;
            page.tables.push(self.table_of_pruning(model)?);
        }
        Ok(())
    }

    fn with_pruning(&self) -> impl Iterator<Item = &Model> {
        let there =
            |model: &&Model| self.analysis.prune.is_some() && (!model.runs.is_empty() || model.failed == 0);
        self.models.iter().filter(there)
    }

    fn table_of_pruning(&self, model: &Model) -> Result<Shown> {
        let rows: Vec<PruneRow> = self.rows(&depth::prune_folder(model))?;
        let metric = rows.first().map_or(String::new(), |row| row.metric.clone());
        let header =
            ["order", "share", "draw", "loss", "rise (95 %)", "predicted", "less random (95 %)", &metric];
        let cells = rows.iter().map(|row| {
            vec![
                row.order.clone(),
                level(row.pruned_share),
                row.draw.map_or(String::new(), |draw| draw.to_string()),
                level(row.loss),
                compared(Some(row.rise), row.rise_low.zip(row.rise_high)),
                level(row.predicted),
                compared(row.over_random, row.over_random_low.zip(row.over_random_high)),
                row.value.map_or(String::new(), level),
            ]
        });
        let caption = format!(
            "{} without a share of its parameters. Rises are paired by example with the whole model; the last interval is over examples \
             and random orders, of single comparisons",
            super::upper(&model.title)
        );
        let own = depth::prune_figure(model);
        Shown::new(&format!("{own}.csv"), caption, &header, cells, &rows)
    }

    /// Which order costs least.
    pub(super) fn prunable(&self) -> Result<Option<Told>> {
        let over = self.words(depth::prune_over(self.analysis));
        let mut all: Option<Told> = None;
        for model in self.with_pruning() {
            let set = FrozenSet::read(&self.folder.join("sets/prune.safetensors"))?;
            let rows: Vec<PruneRow> = self.rows(&depth::prune_folder(model))?;
            let seen = Seen { model: &model.title, over, unit: set.kind.spec().unit, rows: &rows };
            let Some(told) = seen.told() else { continue };
            match &mut all {
                None => all = Some(told),
                Some(all) => {
                    all.answer.text += &format!(" {}", told.answer.text);
                    all.answer.differences.extend(told.answer.differences);
                }
            }
        }
        Ok(all)
    }
}

impl Seen<'_> {
    /// Of the share nearest to half: the order that costs least, and whether it is shown to cost less than chance.
    fn told(&self) -> Option<Told> {
        let pruned = self.rows.get(1..)?;
        let far = |row: &&PruneRow| (row.pruned_share - SHARE).abs();
        let share = pruned.iter().min_by(|a, b| far(a).total_cmp(&far(b)))?.pruned_share;
        let own = || pruned.iter().filter(|row| row.pruned_share == share);
        let least =
            own().filter(|row| row.over_random_low.is_some()).min_by(|a, b| a.rise.total_cmp(&b.rise))?;
        let chance: Vec<f64> = own().filter(|row| row.draw.is_some()).map(|row| row.rise).collect();
        let (value, low, high) = (least.over_random?, least.over_random_low?, least.over_random_high?);
        let [gap, from, to] = bounded(value, (low, high));
        let claim = match (high < 0.0, low > 0.0) {
            (true, _) => "which is less than at random",
            (_, true) => "which is more than at random",
            _ => "which is not shown to differ from that at random",
        };
        let (model, unit, percent) = (arm(self.model), self.unit, significant(100.0 * share, 3));
        let order = format!("in the order of {}", short(&least.order));
        let (rise, random) = (level(least.rise), level(stats::mean(&chance)));
        let begin = format!("Without {percent} % of the parameters of {model}, the loss");
        let mut told = Told::new(
            format!("{begin} rises least {order}: by {rise} {unit}, {claim} ({random})."),
            "What can go?",
            format!(
                "{begin} over {} rises least {order}: by {rise} {unit}, {claim} ({random}; difference {gap}, 95 % {from} to {to}, paired by \
                 example, over {}). {}",
                self.over,
                counted(chance.len(), "random order"),
                self.counts(pruned)
            ),
        );
        let shown = high < 0.0 || low > 0.0;
        let name = format!("{} − random, {percent} %, {}", least.order, self.model);
        told.answer.differences.push(difference(name, (value, (low, high)), None, shown));
        Some(told)
    }

    /// At how many shares each order is shown to cost less than chance, and more.
    fn counts(&self, pruned: &[PruneRow]) -> String {
        let compared = |row: &&PruneRow| row.over_random_low.is_some();
        let mut orders: Vec<&str> = pruned.iter().filter(compared).map(|row| row.order.as_str()).collect();
        orders.dedup();
        let count = |order: &str| {
            let own = || pruned.iter().filter(compared).filter(|row| row.order == order);
            let less = own().filter(|row| row.over_random_high.is_some_and(|high| high < 0.0)).count();
            let more = own().filter(|row| row.over_random_low.is_some_and(|low| low > 0.0)).count();
            format!(
                "{} less at {less} and more at {more} of {}",
                short(order),
                counted(own().count(), "share")
            )
        };
        let each: Vec<String> = orders.into_iter().map(count).collect();
        format!("Against chance, each share by itself and not corrected: {}.", each.join("; "))
    }
}

/// An order in few signs.
fn short(order: &str) -> &str {
    match order {
        "fisher" => "F",
        "saliency" => "F w²",
        "magnitude" => "|w|",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(order: &str, share: f64, draw: Option<usize>, rise: f64, ends: Option<(f64, f64)>) -> PruneRow {
        PruneRow {
            order: order.into(),
            pruned_share: share,
            draw,
            rise,
            over_random: ends.map(|(low, high)| 0.5 * (low + high)),
            over_random_low: ends.map(|ends| ends.0),
            over_random_high: ends.map(|ends| ends.1),
            ..PruneRow::default()
        }
    }

    /// Oracle: by hand. Of the share nearest to half, the order that costs least; it is said to cost less than chance exactly where its
    /// interval is below 0.
    #[test]
    fn an_order_beats_chance_where_its_interval_leaves_out_zero() {
        let told = |low: f64, high: f64| {
            let rows = [
                row("none", 0.0, None, 0.0, None),
                row("fisher", 0.4, None, 0.5, Some((-0.7, -0.3))),
                row("fisher", 0.9, None, 0.1, Some((-0.9, -0.8))),
                row("saliency", 0.4, None, 0.25, Some((low, high))),
                row("random", 0.4, Some(0), 0.9, None),
                row("random", 0.4, Some(1), 1.1, None),
            ];
            Seen { model: "guided", over: "held-out examples", unit: "nats", rows: &rows }.told().unwrap()
        };
        let shown = told(-0.8, -0.7);
        let wanted = "Without 40 % of the parameters of guided, the loss over held-out examples rises least in the order of F w²: by 0.250 nats, \
                      which is less than at random (1.000; difference -0.750, 95 % -0.800 to -0.700, paired by example, over 2 random orders). \
                      Against chance, each share by itself and not corrected: F less at 2 and more at 0 of 2 shares; F w² less at 1 and \
                      more at 0 of one share.";
        assert_eq!(shown.answer.text, wanted.replace(" -", " −"));
        for (low, high, words, claimed) in [
            (-0.8, -0.01, "which is less than at random", true),
            (-0.8, 0.01, "which is not shown to differ from that at random", false),
            (0.01, 0.2, "which is more than at random", true),
        ] {
            let told = told(low, high);
            assert!(told.verdict.contains(words), "{}", told.verdict);
            assert_eq!(told.answer.differences[0].shown, claimed);
        }
    }
}
