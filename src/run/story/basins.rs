//! How many basins the surfaces show, and whether those of the arms differ.

use super::answers::Told;
use super::verdict::{Comparison, Verdict};
use super::words::{arm, bounded, compared, counted, level_se, number, optional, probability, upper};
use super::{Story, spread_se};
use crate::analysis::config::Parsed;
use crate::analysis::titles::mask_title;
use crate::error::Result;
use crate::figures::chart;
use crate::page::{Page, Table as Shown};
use crate::run::plan::{self, depth};
use crate::tables::Table;
use crate::tables::page::Basins;
use crate::tables::topology::MinimumRow;

impl Story<'_> {
    pub(super) fn basins(&self, page: &mut Page) -> Result<()> {
        let (Some(surface), Some(_)) = (&self.analysis.surface, &self.analysis.topology) else {
            return Ok(());
        };
        let part = self.analysis.surfaces_over()[0];
        for model in &self.models {
            for Parsed(mask) in &surface.masks {
                let run = plan::surface_runs(self.analysis, model)[0];
                let folder = depth::basins_folder(self.analysis, part, (model, run), mask);
                let drawn = chart(&[self.folder.join(folder).join(MinimumRow::FILE)], &[], None)?;
                let words = drawn.map_or(String::new(), |chart| chart.caption.trim_end().to_string());
                let caption = format!("Basins around {}, {}. {words}", model.title, mask_title(mask));
                self.figure(page, &depth::basins_figure(model, mask), caption)?;
            }
        }
        page.tables.push(self.table_of_basins()?);
        Ok(())
    }

    fn table_of_basins(&self) -> Result<Shown> {
        let rows = &self.found.basins;
        let header =
            ["mask", "model", "seeds", "minima", "basins shown", "SMAD", "difference (95 %)", "p corrected"];
        let cells = rows.iter().map(|row| {
            vec![
                row.mask.clone(),
                row.model.clone(),
                row.seeds.to_string(),
                row.minima.to_string(),
                row.basins.map_or(String::new(), |n| n.to_string()),
                match row.smad_se {
                    Some(se) => spread_se(row.smad, se),
                    None => optional(Some(row.smad)),
                },
                compared(row.difference, row.low.zip(row.high)),
                probability(row.p_corrected),
            ]
        });
        let caption = format!(
            "Basins of the surfaces over {}. Minima and basins are those of the first seed; SMAD is the mean over seeds of the mean height \
             of the first saddle above each minimum, with the standard error over examples of the first seed. Differences are to {}, \
             paired by seed, with intervals over seeds and examples",
            self.words(self.analysis.surfaces_over()[0]),
            self.models[0].title
        );
        Shown::new(Basins::FILE, caption, &header, cells, rows)
    }
}

/// Of each model, the most that moves, what is shown; then whether arms differ.
pub fn told(rows: &[Basins]) -> Option<Told> {
    let mask = &rows.iter().find(|row| row.mask == "all").or(rows.first())?.mask;
    let own: Vec<&Basins> = rows.iter().filter(|row| row.mask == *mask).collect();
    let each: Vec<String> = own.iter().map(|row| described(row)).collect();
    let found: Vec<(&Basins, Comparison)> =
        rows.iter().filter_map(|row| Some((row, row.comparison()?))).collect();
    let differ: Vec<String> = found.iter().map(|(row, one)| differs(row, &own[0].model, one)).collect();
    let alike = own.len() > 1 && rows.iter().all(|row| row.smad == 0.0);
    let alike = alike.then(|| "No surface has a second minimum, so no SMAD can differ.".to_string());
    let mut told = Told::new(
        verdict(&own),
        "How many basins?",
        [each, differ, alike.into_iter().collect()].concat().join(" "),
    );
    let name = |row: &Basins| format!("{} − {}, SMAD, {}", row.model, own[0].model, row.mask);
    told.answer.differences = found.iter().map(|(row, one)| one.compared(name(row))).collect();
    Some(told)
}

fn verdict(own: &[&Basins]) -> String {
    let one = |row: &Basins| row.minima == 1 || row.basins == Some(1);
    match own.iter().all(|row| one(row)) {
        true => "No surface is shown to have a second basin.".into(),
        false => {
            let each: Vec<String> =
                own.iter().map(|row| format!("{} around {}", shown(row), arm(&row.model))).collect();
            format!("{}.", upper(&each.join("; ")))
        }
    }
}

/// How many basins are shown, of how many minima.
fn shown(row: &Basins) -> String {
    match (row.minima, row.basins) {
        (1, _) => "one minimum, so one basin".into(),
        (minima, None) => {
            format!("{} minima, too few examples to distinguish them from noise", number(minima))
        }
        (minima, Some(basins)) => {
            let be = if basins == 1 { "is" } else { "are" };
            format!("{} {be} shown of {} minima", counted(basins, "basin"), number(minima))
        }
    }
}

/// A sentence about one model.
fn described(row: &Basins) -> String {
    let runs = if row.seeds > 1 { format!(", mean of {} seeds", number(row.seeds)) } else { String::new() };
    format!("Around {}: {}; SMAD {}{runs}.", arm(&row.model), shown(row), level_se(row.smad, row.smad_se))
}

/// A sentence about a difference: a claim where its corrected p is below 0.05, and nowhere else.
fn differs(row: &Basins, first: &str, one: &Comparison) -> String {
    let [value, low, high] = bounded(one.difference, one.ends);
    let (model, first, mask) = (arm(&row.model), arm(first), moving(&row.mask));
    let numbers = format!("{value}, 95 % {low} to {high}, {} pairs of models", number(row.seeds));
    match one.verdict() {
        Verdict::Above => {
            format!("In {mask}, SMAD is shown to be larger around {model} than around {first} ({numbers}).")
        }
        Verdict::Below => {
            format!("In {mask}, SMAD is shown to be smaller around {model} than around {first} ({numbers}).")
        }
        Verdict::Open | Verdict::OnePair => {
            format!("In {mask}, no difference in SMAD is shown between {model} and {first} ({numbers}).")
        }
    }
}

/// The parameters that a mask lets move.
fn moving(mask: &str) -> String {
    if mask == "all" { "all parameters".into() } else { format!("the {mask} of the parameters") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, minima: usize, basins: Option<usize>, p: Option<f64>) -> Basins {
        Basins {
            over: "held_out".into(),
            mask: "all".into(),
            model: model.into(),
            seeds: 3,
            minima,
            basins,
            smad: 0.25,
            smad_se: Some(0.125),
            difference: p.map(|_| -0.2),
            low: p.map(|_| -0.3),
            high: p.map(|_| -0.1),
            p,
            p_corrected: p,
        }
    }

    /// Oracle: the rule. A difference is claimed where its p, corrected, is below 0.05, and nowhere else; noise is no basin.
    #[test]
    fn basins_differ_where_it_is_shown() {
        let told_of =
            |p: f64| told(&[row("uniform", 1, None, None), row("guided", 4, Some(1), Some(p))]).unwrap();
        let open = told_of(0.06);
        assert_eq!(open.verdict, "No surface is shown to have a second basin.");
        let wanted = "Around uniform: one minimum, so one basin; SMAD 0.250 ± 0.125, mean of three seeds. Around guided: one basin is shown of four \
                      minima; SMAD 0.250 ± 0.125, mean of three seeds. In all parameters, no difference in SMAD is shown between guided and uniform \
                      (-0.20, 95 % -0.30 to -0.10, three pairs of models).";
        assert_eq!(open.answer.text, wanted.replace('-', "−"));
        let shown = told_of(0.04);
        assert!(shown.answer.text.contains("SMAD is shown to be smaller around guided than around uniform"));
        assert_eq!([open, shown].map(|told| told.answer.differences[0].shown), [false, true]);
        let one = |model: &str| Basins { smad: 0.0, smad_se: None, ..row(model, 1, None, None) };
        let alike = told(&[one("uniform"), one("guided")]).unwrap().answer.text;
        assert!(
            alike.ends_with(
                "SMAD 0.000, mean of three seeds. No surface has a second minimum, so no SMAD can differ."
            ),
            "{alike}"
        );
        let two = told(&[row("uniform", 3, Some(2), None)]).unwrap();
        assert_eq!(two.verdict, "2 basins are shown of three minima around uniform.");
        assert_eq!(told(&[]), None);
    }
}
