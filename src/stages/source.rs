//! Where labelled examples come from: a GLUE task's folder, a table, words in columns, or questions about texts.

use std::path::{Path, PathBuf};

use crate::data::columns::Columns;
use crate::data::conll;
use crate::data::glue::{self, Holdout, Split, Task};
use crate::data::labels::Labels;
use crate::data::row::Rows;
use crate::data::{squad, table};
use crate::error::{Error, Problem, Result};
use crate::model::{Checkpoint, Head};
use crate::provenance::Provenance;
use crate::rng::Stream;
use crate::tasks::Kind;
use crate::{files, progress};

/// A labelled data set.
#[derive(clap::Args, Clone, Debug)]
#[group(required = false, multiple = true)]
pub struct Source {
    /// GLUE task: cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte or wnli; or supersense, which is in the binary
    #[arg(long, value_name = "NAME", conflicts_with_all = ["table", "conll", "squad"])]
    pub task: Option<String>,
    /// Folder with the task's train.tsv and dev.tsv in GLUE's own layout, or with the hub's parquet tables; or the folder
    /// above those of all tasks; or a data set on the hub, as owner/name or owner/name@REVISION [default: nyu-mll/glue;
    /// supersense is in the binary]
    #[arg(long, value_name = "DIR", requires = "task")]
    pub data: Option<PathBuf>,
    /// Table with a header: delimited text, JSON Lines or parquet, recognised by its content
    #[arg(long, value_name = "FILE", requires = "columns", conflicts_with_all = ["conll", "squad"])]
    pub table: Option<PathBuf>,
    /// The table's columns: text,label or text,text2,label; source,target for text to text; with --text its column of text
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<Columns>,
    /// What the table's labels are [default: what they look like; whole numbers written 1.0 look like both]
    #[arg(long, value_enum, value_name = "KIND", requires = "table")]
    pub labels: Option<Labels>,
    /// Words in columns, one a line, with a class for each: named entities as CoNLL has them
    #[arg(long, value_name = "FILE", group = "parts")]
    pub conll: Option<PathBuf>,
    /// Column of the classes, counted from 1 [default: the last]
    #[arg(long, value_name = "K", requires = "conll", value_parser = clap::value_parser!(u16).range(2..))]
    pub column: Option<u16>,
    /// Questions about texts and their answers: SQuAD 1.1 or 2, XQuAD, or JSON made like them
    #[arg(long, value_name = "FILE", group = "parts")]
    pub squad: Option<PathBuf>,
    /// Tokens that neighbouring windows of a text share
    #[arg(long, value_name = "S", default_value_t = STRIDE, requires = "squad")]
    pub stride: usize,
    /// Held out in place of a fifth: another file of words or of questions
    #[arg(long, value_name = "FILE", requires = "parts", conflicts_with_all = ["task", "table"])]
    pub dev: Option<PathBuf>,
}

/// As transformers has it.
pub const STRIDE: usize = 128;

impl Source {
    /// The same, its labels texts to write where the model writes texts and nothing else is said.
    pub fn for_model(&self, checkpoint: &Checkpoint) -> Source {
        let writes = checkpoint.config.architecture.pretrained == Head::Seq2SeqLm;
        let texts = (writes && self.table.is_some()).then_some(Labels::Text);
        Source { labels: self.labels.or(texts), ..self.clone() }
    }

    /// The task, if one is named.
    pub fn task(&self) -> Result<Option<Task>> {
        self.task.as_deref().map(str::parse).transpose()
    }

    /// An error where no data set, or an unknown task, is named; `also` is what else the command takes.
    pub fn check(&self, also: &str) -> Result<()> {
        let task = self.task()?;
        if let (None, Some(columns)) = (&self.table, &self.columns) {
            let fix = "give --table FILE, too, or leave out --columns: a task has its own";
            return Err(Error::said("--columns", format!("`{columns}` needs --table"), fix));
        }
        if task.is_some() || self.table.is_some() || self.in_parts() { Ok(()) } else { Err(missing(also)) }
    }

    /// Reads the rows and says what was skipped.
    pub fn read(&self, split: Split) -> Result<Rows> {
        Ok(self.told(self.rows(split)?))
    }

    /// The rows, after saying what they were read as and what was skipped.
    fn told(&self, rows: Rows) -> Rows {
        if self.table.is_some() || self.in_parts() {
            progress::note(format!("{}: {}", self.path().display(), rows.read_as));
        }
        tell(&rows);
        rows
    }

    /// Reads the rows.
    pub fn rows(&self, split: Split) -> Result<Rows> {
        match (self.task()?, self.folder()?, &self.table, &self.columns) {
            (Some(task), Some(folder), _, _) => glue::read(task, folder, split),
            (_, _, Some(path), Some(columns)) => table::read(path, columns, self.labels),
            _ => Ok(self.parts(split == Split::Train, None)?.0),
        }
    }

    /// Whether the rows are those of a file that another can go with: words, or questions.
    pub fn in_parts(&self) -> bool {
        self.conll.is_some() || self.squad.is_some()
    }

    /// The task that it is, as far as is known before it is read.
    pub fn kind(&self) -> Kind {
        match (&self.conll, &self.squad) {
            (Some(_), _) => Kind::TokenClasses,
            (_, Some(_)) => Kind::Span,
            _ => Kind::Classes,
        }
    }

    /// The sentences or questions of the file, with those that are held out behind them where `both`; and how many are of the first.
    /// `known` names the classes of a model that is there already.
    pub fn parts(&self, both: bool, known: Option<&[String]>) -> Result<(Rows, usize)> {
        let file = self.conll.as_ref().or(self.squad.as_ref()).ok_or_else(|| missing(""))?;
        let dev = self.dev.as_ref().filter(|_| both);
        let paths: Vec<&Path> = std::iter::once(file).chain(dev).map(PathBuf::as_path).collect();
        let (rows, lengths) = match self.squad {
            Some(_) => squad::read(&paths, self.stride)?,
            None => conll::read(&paths, self.column.map(usize::from), known)?,
        };
        Ok((rows, lengths.first().copied().unwrap_or(0)))
    }

    /// All rows, the training part first and shuffled by the seed; how many that part has; and of each row its place among all
    /// as they were read. Of a table or a file of words or questions a fifth is held out.
    ///
    /// # Errors
    ///
    /// As [`Source::read`] and [`Source::parts`]; and [`Error::Field`] where a part would be empty.
    pub fn split(
        &self,
        holdout: Holdout,
        seed: u64,
        known: Option<&[String]>,
    ) -> Result<(Rows, usize, Vec<usize>)> {
        let (mut rows, mut training) = if self.in_parts() {
            let (rows, first) = self.parts(true, known)?;
            (self.told(rows), first)
        } else {
            let rows = self.read(Split::Train)?;
            let first = rows.rows.len();
            (rows, first)
        };
        let task = self.task()?;
        if task.is_some() {
            rows.rows.extend(self.read(Split::Dev)?.rows);
        }
        let own_task = task.is_some_and(|task| holdout == Holdout::Official || task == Task::Mnli);
        let keeps_own = own_task || self.dev.is_some();
        if !keeps_own {
            training = rows.rows.len() - rows.rows.len() / 5;
        }
        if training == 0 || training == rows.rows.len() {
            let fix = "use a larger data set";
            let found = format!("{} examples", rows.rows.len());
            return Err(Error::field(self.path().display(), "examples", "at least 5", found, fix));
        }
        let shuffled = if keeps_own { training } else { rows.rows.len() };
        let mut order = Stream::new(seed, "train/split").permutation(shuffled);
        order.extend(shuffled..rows.rows.len());
        rows.rows = order.iter().map(|i| rows.rows[*i].clone()).collect();
        Ok((rows, training, order))
    }

    /// Notes the hashes of the files: the table, or the text files and tables of the task's folder.
    pub fn note(&self, provenance: &mut Provenance) -> Result<()> {
        if let Some(path) = &self.table {
            provenance.input_file("table", path)?;
        }
        for path in self.conll.iter().chain(&self.squad).chain(&self.dev) {
            let what = if self.squad.is_some() { "questions" } else { "words" };
            provenance.input_file(what, path)?;
        }
        let (Some(task), Some(given)) = (self.task()?, self.folder()?) else { return Ok(()) };
        let place = glue::locate(task, given)?;
        provenance.origin(&place);
        let read = ["tsv", "txt", "parquet"];
        let is_read = |path: &&PathBuf| path.extension().is_some_and(|e| read.iter().any(|read| e == *read));
        let mut all = files::list(&place.folder)?;
        all.extend(files::tables_below(&place.folder));
        all.iter().filter(is_read).try_for_each(|path| provenance.input_file("data", path))
    }

    /// The folder or table.
    pub fn path(&self) -> &Path {
        self.folder()
            .ok()
            .flatten()
            .or(self.table.as_deref())
            .or(self.conll.as_deref())
            .or(self.squad.as_deref())
            .unwrap_or(Path::new(""))
    }

    /// Where the task's files are: what is named, else the binary or the hub.
    fn folder(&self) -> Result<Option<&Path>> {
        let task = self.task()?;
        Ok(self.data.as_deref().or(task.map(|task| Path::new(glue::default_data(task)))))
    }
}

/// No data set is named; `also` is what else the command takes.
fn missing(also: &str) -> Error {
    let fix = format!(
        "give {also}--task NAME, --table FILE --columns text[,text2],label, --conll FILE or --squad FILE"
    );
    Error::said("options", "no data set is named", fix)
}

/// Says what was skipped.
pub fn tell(rows: &Rows) {
    if let Some(text) = rows.left_out() {
        progress::excluded(text);
    }
}

/// Whether a fraction of the training part is one, or a number of examples.
pub fn check_fraction(fraction: f64) -> Result<(), Problem> {
    let whole = fraction > 1.0 && fraction.is_finite() && fraction.fract() == 0.0;
    match whole || fraction > 0.0 && fraction <= 1.0 {
        true => Ok(()),
        false => {
            let expected = "in (0, 1], or a whole number of examples above 1";
            Err(Problem::new("fraction", "number", expected, fraction, "write 10 % as 0.1"))
        }
    }
}

/// How many of `examples` a fraction is: at least one. Above 1 it is that number.
///
/// # Errors
///
/// [`Error::Field`] for more examples than there are.
pub fn fraction_of(examples: usize, fraction: f64) -> Result<usize> {
    if fraction > examples.max(1) as f64 {
        let expected = format!("at most the {examples} examples of the training part");
        let fix = "ask for fewer, or 1 for all of them";
        return Err(Error::field("--fraction", "number of examples", expected, fraction, fix));
    }
    if fraction > 1.0 {
        return Ok(fraction as usize);
    }
    Ok(((fraction * examples as f64 + 0.5).floor() as usize).clamp(1, examples))
}
