//! What the tables of a study hold.
//!
//! `study.csv` has a row for each cell and arm; `scores.csv` and `differences.csv` are the same laid out as in papers, tasks side
//! by side; `runs.csv` has a row for each run; `by_KEY.csv` shows how scores change along one axis, all else equal. Here a
//! table is its cells as text, the header first.

use crate::analysis::Study;
use crate::analysis::grid::{Cell, described};
use crate::error::{Error, Result};
use crate::stats;
use crate::tables::page::{Score, Training};
use crate::tables::study::{AlongRow, RunRow, StudyRow, cells};
use crate::tables::{Table, columns};

/// Axes whose values stand side by side in the tables of papers.
const SIDE_BY_SIDE: [&str; 2] = ["data.task", "data.table"];

/// An arm in a cell.
pub(super) struct Row<'a> {
    pub(super) cell: &'a Cell,
    pub(super) training: Training,
}

/// A column of a wide table, by the ending of its name.
pub(super) type Column = (&'static str, Option<f64>);

pub(super) struct Summary<'a> {
    pub(super) study: &'a Study,
    pub(super) rows: Vec<Row<'a>>,
}

impl Training {
    /// Cells of the table of scores: mean, spread.
    pub(super) fn score(&self) -> Vec<Column> {
        vec![("", Some(self.mean)), ("_sd", self.sd)]
    }

    /// Cells of the table of differences.
    pub(super) fn interval(&self) -> Vec<Column> {
        vec![("", self.difference), ("_low", self.low), ("_high", self.high)]
    }

    fn study_row(&self) -> StudyRow {
        StudyRow {
            arm: self.arm.clone(),
            seeds: self.seeds,
            failed: self.failed,
            collapsed: self.collapsed,
            metric: self.metric.clone(),
            score: Some(self.mean),
            score_sd: self.sd,
            median: Some(self.median),
            loss: Some(self.loss),
            loss_sd: self.loss_sd,
            difference: self.difference,
            difference_low: self.low,
            difference_high: self.high,
            interval: self.interval.clone(),
            p: self.p,
            p_corrected: self.p_corrected,
            least_shown: self.least_shown,
            held_out_examples: self.held_out_examples,
        }
    }
}

impl Summary<'_> {
    /// What differences are to.
    pub(super) fn first(&self) -> String {
        let firsts = distinct(self.rows.iter().map(|row| &row.cell.name)).into_iter().filter_map(|name| {
            self.rows.iter().find(|row| row.cell.name == *name).map(|row| &row.training.arm)
        });
        match distinct(firsts).as_slice() {
            [first] => first.to_string(),
            _ => "the first arm of the cell".into(),
        }
    }

    /// The axis whose values stand side by side.
    pub(super) fn across(&self) -> Option<usize> {
        self.study.axes.iter().position(|key| SIDE_BY_SIDE.contains(&key.as_str()))
    }

    /// Task and metric of a row, those of its column in a wide table.
    pub(super) fn task(&self, row: &Row) -> String {
        let metric = &row.training.metric;
        self.across().map_or(metric.clone(), |i| format!("{}_{metric}", row.cell.values[i]))
    }

    /// Whether any arm is compared with another.
    pub(super) fn compares(&self) -> bool {
        self.rows.iter().any(|row| row.training.difference.is_some())
    }

    /// A row for each arm of each cell.
    pub(super) fn long(&self) -> Result<Vec<Vec<String>>> {
        let row = |row: &Row| {
            let t = &row.training;
            Ok([row.cell.values.clone(), cells(&t.study_row())?].concat())
        };
        self.with_settings::<StudyRow>(self.rows.iter().map(row))
    }

    /// A row for each run.
    pub(super) fn runs(&self) -> Result<Vec<Vec<String>>> {
        let each = |row: &Row| {
            let own = |(seed, score): &(String, Score)| {
                let own = RunRow {
                    arm: row.training.arm.clone(),
                    seed: seed.trim_start_matches("seed").to_string(),
                    metric: score.metric.clone(),
                    score: score.value,
                    loss: score.loss,
                    collapsed: usize::from(score.collapsed),
                };
                Ok([row.cell.values.clone(), cells(&own)?].concat())
            };
            row.training.runs.iter().map(own).collect::<Vec<_>>()
        };
        self.with_settings::<RunRow>(self.rows.iter().flat_map(each))
    }

    /// The header, settings first, and the rows.
    fn with_settings<T: Table>(
        &self,
        rows: impl Iterator<Item = Result<Vec<String>>>,
    ) -> Result<Vec<Vec<String>>> {
        let own = columns::<T>().iter().map(|name| name.to_string());
        let head = self.study.names.iter().cloned().chain(own).collect();
        std::iter::once(Ok(head)).chain(rows).collect()
    }

    /// The axes that tell rows of a wide table apart: not the one side by side, nor one that its values and the other axes settle,
    /// such as a learning rate chosen for each task and size.
    fn row_keys(&self) -> Vec<usize> {
        let across = self.across();
        let cells: Vec<&Cell> = distinct(self.rows.iter().map(|row| &row.cell.name))
            .into_iter()
            .filter_map(|name| self.rows.iter().find(|row| row.cell.name == *name).map(|row| row.cell))
            .collect();
        let mut keys: Vec<usize> = (0..self.study.axes.len()).filter(|i| Some(*i) != across).collect();
        for i in keys.clone() {
            let constant = cells.iter().all(|cell| cell.values[i] == cells[0].values[i]);
            let rest: Vec<usize> = keys.iter().copied().filter(|key| *key != i).collect();
            let under = |cell: &&Cell| {
                across.iter().chain(&rest).map(|key| cell.values[*key].clone()).collect::<Vec<_>>()
            };
            let settled = across.is_some() && distinct(cells.iter().map(under)).len() == cells.len();
            if constant || settled {
                keys = rest;
            }
        }
        keys
    }

    /// Tasks side by side: a row for each condition beside the task, and arm.
    pub(super) fn wide(&self, of: fn(&Training) -> Vec<Column>) -> Vec<Vec<String>> {
        let keys = self.row_keys();
        let condition = |row: &Row| {
            let own = keys.iter().map(|i| row.cell.values[*i].clone());
            own.chain([row.training.arm.clone()]).collect::<Vec<String>>()
        };
        let conditions = distinct(self.rows.iter().map(condition));
        let tasks = distinct(self.rows.iter().map(|row| self.task(row)));
        let endings: Vec<&str> = of(&self.rows[0].training).iter().map(|(ending, _)| *ending).collect();
        let mut head: Vec<String> = keys.iter().map(|i| self.study.names[*i].clone()).collect();
        head.push("arm".into());
        head.extend(
            tasks.iter().flat_map(|task| endings.iter().map(move |ending| format!("{task}{ending}"))),
        );
        let line = |own: &Vec<String>| {
            let mut line = own.clone();
            for name in &tasks {
                let found = self.rows.iter().find(|row| self.task(row) == *name && condition(row) == *own);
                let none = || endings.iter().map(|_| String::new()).collect();
                line.extend(found.map_or_else(none, |row| {
                    of(&row.training).into_iter().map(|(_, value)| number(value)).collect::<Vec<String>>()
                }));
            }
            line
        };
        let mut table = vec![head];
        table.extend(conditions.iter().map(line));
        // Of differences the first arm has none.
        table.retain(|line| {
            line[line.len() - tasks.len() * endings.len()..].iter().any(|cell| !cell.is_empty())
        });
        table
    }

    /// How scores change along the i-th axis; `None` for tasks, which do not compare, and where nothing else is equal.
    pub(super) fn along(&self, i: usize) -> Result<Option<Vec<Vec<String>>>> {
        if SIDE_BY_SIDE.contains(&self.study.axes[i].as_str()) {
            return Ok(None);
        }
        let others = |row: &Row| {
            let values = row.cell.values.iter().enumerate().filter(|(j, _)| *j != i);
            values.map(|(_, value)| value.clone()).collect::<Vec<String>>()
        };
        let changes = |of: &Vec<String>| {
            let own = self.rows.iter().filter(|row| others(row) == *of);
            distinct(own.map(|row| row.cell.values[i].clone())).len() > 1
        };
        let panels: Vec<Vec<String>> =
            distinct(self.rows.iter().map(others)).into_iter().filter(changes).collect();
        // What all panels share need not stand on each.
        let names: Vec<&String> =
            self.study.names.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, name)| name).collect();
        let apart: Vec<usize> =
            (0..names.len()).filter(|j| panels.iter().any(|panel| panel[*j] != panels[0][*j])).collect();
        let title = |panel: &Vec<String>| {
            let own: Vec<String> = apart.iter().map(|j| names[*j].clone()).collect();
            described(&own, &apart.iter().map(|j| panel[*j].clone()).collect::<Vec<_>>())
        };
        let with_setting = |mut own: Vec<String>, cell: &str| {
            own.insert(AlongRow::BEFORE, cell.to_string());
            own
        };
        let head = columns::<AlongRow>().iter().map(|name| name.to_string()).collect();
        let mut table = vec![with_setting(head, &self.study.names[i])];
        for panel in &panels {
            for row in self.rows.iter().filter(|row| others(row) == *panel) {
                let t = &row.training;
                let values: Vec<f64> = t.runs.iter().map(|(_, score)| score.value).collect();
                let half = Some(stats::half_width(&values)).filter(|half| half.is_finite());
                let own = AlongRow {
                    panel: title(panel),
                    metric: t.metric.clone(),
                    arm: t.arm.clone(),
                    seeds: t.seeds,
                    score: Some(t.mean),
                    score_low: half.map(|half| t.mean - half),
                    score_high: half.map(|half| t.mean + half),
                    difference: t.difference,
                    difference_low: t.low,
                    difference_high: t.high,
                };
                table.push(with_setting(cells(&own)?, &row.cell.values[i]));
            }
        }
        Ok((!panels.is_empty()).then_some(table))
    }
}

fn number(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or(String::new(), |v| v.to_string())
}

/// In order of appearance.
pub(super) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    items.for_each(|item| {
        if !found.contains(&item) {
            found.push(item);
        }
    });
    found
}

pub(super) fn csv_text(table: &[Vec<String>]) -> Result<String> {
    let failed = |e: String| Error::field("table", "rows", "writable", e, "report this as a defect");
    let mut writer = csv::Writer::from_writer(Vec::new());
    table.iter().try_for_each(|row| writer.write_record(row)).map_err(|e| failed(e.to_string()))?;
    let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis;

    /// An arm of a metric with this mean.
    fn training(arm: &str, metric: &str, mean: f64) -> Training {
        Training {
            arm: arm.into(),
            seeds: 5,
            metric: metric.into(),
            mean,
            sd: Some(0.1),
            median: mean,
            loss: 1.0,
            held_out_examples: 10,
            ..Training::default()
        }
    }

    /// Oracle: the table by hand. Of the shipped study the tasks stand side by side, a row for each share of the data and arm; the
    /// learning rate, which is that of a task and share, splits no row. What was not run is empty.
    #[test]
    fn tasks_stand_side_by_side() {
        let study = analysis::load("minilm", &[]).unwrap().study.unwrap();
        assert_eq!(study.axes, ["data.task", "train.lr", "train.fraction"]);
        let mut rows = Vec::new();
        for (cell, metric) in study.cells.iter().zip(["accuracy", "matthews", "pearson", "accuracy"]) {
            for (k, arm) in ["matched uniform", "guided"].into_iter().enumerate() {
                let mean = rows.len() as f64 + 0.5 * k as f64;
                rows.push(Row { cell, training: training(arm, metric, mean) });
            }
        }
        let table = Summary { study: &study, rows }.wide(Training::score);
        let head = "fraction,arm,rte_accuracy,rte_accuracy_sd,cola_matthews,cola_matthews_sd,stsb_pearson,stsb_pearson_sd";
        let lines: Vec<String> = table.iter().map(|line| line.join(",")).collect();
        let wanted = [
            head,
            "0.1,matched uniform,0,0.1,2,0.1,4,0.1",
            "0.1,guided,1.5,0.1,3.5,0.1,5.5,0.1",
            "1.0,matched uniform,6,0.1,,,,",
            "1.0,guided,7.5,0.1,,,,",
        ];
        assert_eq!(lines, wanted);
    }
}
