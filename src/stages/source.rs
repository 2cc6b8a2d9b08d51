//! Where labelled examples come from: a GLUE task's folder or a table.

use std::path::{Path, PathBuf};

use crate::data::delimited::Columns;
use crate::data::glue::{self, Split, Task};
use crate::data::row::Rows;
use crate::data::table;
use crate::error::{Error, Result};
use crate::progress;
use crate::report::provenance::Provenance;

/// A labelled data set.
#[derive(clap::Args, Clone, Debug)]
#[group(required = false, multiple = true)]
pub struct Source {
    /// GLUE task: cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte or wnli
    #[arg(long, value_name = "NAME", requires = "data", conflicts_with = "table")]
    pub task: Option<String>,
    /// Folder with the task's train.tsv and dev.tsv in GLUE's own layout
    #[arg(long, value_name = "DIR", requires = "task")]
    pub data: Option<PathBuf>,
    /// Table with a header: tab-separated, or comma-separated if it ends in .csv
    #[arg(long, value_name = "FILE", requires = "columns")]
    pub table: Option<PathBuf>,
    /// The table's columns: text,label or text,text2,label
    #[arg(long, value_name = "NAMES", requires = "table")]
    pub columns: Option<Columns>,
}

impl Source {
    /// The task, if one is named.
    pub fn task(&self) -> Result<Option<Task>> {
        self.task.as_deref().map(str::parse).transpose()
    }

    /// An error where no data set, or an unknown task, is named; `also` is what else the command takes.
    pub fn check(&self, also: &str) -> Result<()> {
        let named = self.task()?.is_some() || self.table.is_some();
        if named { Ok(()) } else { Err(missing(also)) }
    }

    /// Reads the rows; what was left out is said.
    pub fn read(&self, split: Split) -> Result<Rows> {
        let rows = match (self.task()?, &self.data, &self.table, &self.columns) {
            (Some(task), Some(data), _, _) => glue::read(task, data, split)?,
            (_, _, Some(path), Some(columns)) => table::read(path, columns)?,
            _ => return Err(missing("")),
        };
        tell(&rows);
        Ok(rows)
    }

    /// Notes the hashes of the files: the table, or the text files of the task's folder.
    pub fn note(&self, provenance: &mut Provenance) -> Result<()> {
        if let Some(path) = &self.table {
            provenance.input_file("table", path)?;
        }
        let Some(folder) = &self.data else { return Ok(()) };
        let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "read"))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "tsv" || e == "txt")) {
            provenance.input_file("data", path)?;
        }
        Ok(())
    }

    /// The folder or table, as given.
    pub fn path(&self) -> &Path {
        self.data.as_deref().or(self.table.as_deref()).unwrap_or(Path::new(""))
    }
}

/// No data set is named; `also` is what else the command takes.
fn missing(also: &str) -> Error {
    let fix = format!("give {also}--task NAME --data DIR, or --table FILE --columns text[,text2],label");
    Error::field("options", "data", "a data set", "none", fix)
}

/// Says what was left out.
pub fn tell(rows: &Rows) {
    if let Some(text) = rows.left_out() {
        progress::note(text);
    }
}
