//! Every reader of files that others may have made, with sound files to change.

use std::path::Path;

use fisherscape::data::columns::Columns;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::row::{Row, RowLabel};
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::data::{conll, glue, squad, table, text};
use fisherscape::dropout::rates::Rates;
use fisherscape::error::Result;
use fisherscape::landscape::basis::Basis;
use fisherscape::landscape::directions;
use fisherscape::landscape::journal::Journal;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::{Checkpoint, Head, architectures};
use fisherscape::tables::surface::{Format as Surface, Grid};
use fisherscape::train::optimizer::Optimizer;
use fisherscape::train::state::{Standing, State};
use fisherscape::train::{Config, HeldOut, Row as HistoryRow, Run};
use fisherscape::{analysis, figures, files, fisher, params, run};

use super::mutate::Form;
use crate::support::fixture;

/// A reader.
pub struct Reader {
    pub name: &'static str,
    pub form: Form,
    /// The file that is changed; it lies in a folder of its own.
    pub file: &'static str,
    /// How often it is tried, for each time that the slowest is.
    pub share: usize,
    /// Bytes that it may hold at once, whatever a file says.
    pub most: usize,
    /// Sound files, under the fixtures.
    pub sound: fn() -> Vec<Vec<u8>>,
    /// Files beside it.
    pub beside: &'static [(&'static str, &'static str)],
    pub read: fn(&Path) -> Result<()>,
}

/// What a file of some kilobytes may take; more only where a format packs its numbers.
const LITTLE: usize = 64 << 20;
const PACKED: usize = 1200 << 20;

/// Fixtures whose paths are these, or begin with one of these that ends in `*`, and end as the part behind it.
fn fixtures(paths: &[&str]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| std::fs::read(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"))).collect()
}

/// The files in a folder below the package whose names end so, the smallest alone.
fn folder(path: &str, ending: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut all = Vec::new();
    let mut folders = vec![path];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> =
            std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().ends_with(ending) => all.push(std::fs::read(path).unwrap()),
                false => {}
            }
        }
    }
    all.retain(|bytes| bytes.len() < 40_000);
    all
}

const CONFIG: (&str, &str) = ("config.json", "parity/cls/model/config.json");
const MODEL: (&str, &str) = ("model.safetensors", "parity/cls/model/model.safetensors");
const VOCABULARY: (&str, &str) = ("vocab.txt", "tiny/model/vocab.txt");

pub const READERS: [Reader; 35] = [
    Reader {
        name: "weights",
        form: Form::Safetensors,
        file: "model.safetensors",
        share: 4,
        most: LITTLE,
        sound: || fixtures(&["parity/cls/model/model.safetensors"]),
        beside: &[CONFIG],
        read: model,
    },
    Reader {
        name: "configuration",
        form: Form::Json,
        file: "config.json",
        share: 40,
        most: LITTLE,
        sound: || folder("tests/fixtures/parity", "config.json"),
        beside: &[],
        read: |path| {
            let config = architectures::read(path)?;
            // Names of ten thousand layers are a quarter of a second.
            if config.num_hidden_layers() < 100 {
                config.encoder();
                config.sites();
            }
            Ok(())
        },
    },
    Reader {
        name: "configuration of weights",
        form: Form::Json,
        file: "config.json",
        share: 4,
        most: LITTLE,
        sound: || fixtures(&[CONFIG.1]),
        beside: &[MODEL],
        read: model,
    },
    Reader {
        name: "index",
        form: Form::Json,
        file: "model.safetensors.index.json",
        share: 8,
        most: LITTLE,
        sound: || {
            let map =
                r#""bert.pooler.dense.bias":"a.safetensors","bert.pooler.dense.weight":"a.safetensors""#;
            vec![format!(r#"{{"metadata":{{"total_size":9}},"weight_map":{{{map}}}}}"#).into_bytes()]
        },
        beside: &[CONFIG, ("a.safetensors", MODEL.1)],
        read: model,
    },
    Reader {
        name: "pickle",
        form: Form::Zip,
        file: "pytorch_model.bin",
        share: 12,
        most: LITTLE,
        sound: || {
            [folder("tests/fixtures/pickle/same", ".bin"), folder("tests/fixtures/pickle/refused", ".bin")]
                .concat()
        },
        beside: &[("config.json", "pickle/model/config.json")],
        read: model,
    },
    Reader {
        name: "bytes of a pickle",
        form: Form::Bytes,
        file: "pytorch_model.bin",
        share: 12,
        most: LITTLE,
        sound: || folder("tests/fixtures/pickle/same", "legacy.bin"),
        beside: &[("config.json", "pickle/model/config.json")],
        read: model,
    },
    Reader {
        name: "frozen set",
        form: Form::Safetensors,
        file: "set.safetensors",
        share: 40,
        most: LITTLE,
        sound: || folder("tests/fixtures/parity", "set.safetensors"),
        beside: &[],
        read: |path| FrozenSet::read(path).map(drop),
    },
    Reader {
        name: "Fisher information",
        form: Form::Safetensors,
        file: "F.safetensors",
        share: 20,
        most: LITTLE,
        sound: || folder("tests/fixtures/parity", "fisher.safetensors"),
        beside: &[],
        read: |path| {
            let stored = fisher::files::read(path)?;
            stored.layout.sites();
            fisher::files::tensor_sums(&stored.diagonal).map(drop)
        },
    },
    Reader {
        name: "sums by example",
        form: Form::Safetensors,
        file: "F.examples.safetensors",
        share: 20,
        most: LITTLE,
        sound: || vec![made(sums)],
        beside: &[("F.safetensors", "parity/albert-tok/fisher.safetensors")],
        read: |path| {
            let diagonal = path.with_file_name("F.safetensors");
            let stored = fisher::files::read(&diagonal)?;
            fisher::files::read_sums(&diagonal, &stored.diagonal).map(drop)
        },
    },
    Reader {
        name: "directions",
        form: Form::Safetensors,
        file: "directions.safetensors",
        share: 20,
        most: LITTLE,
        sound: || fixtures(&["parity/albert-tok/directions.safetensors"]),
        beside: &[("fisher.safetensors", "parity/albert-tok/fisher.safetensors")],
        read: |path| {
            let theta = params::read_safetensors(&path.with_file_name("fisher.safetensors"))?.0;
            directions::file::read(path, &theta).map(drop)
        },
    },
    Reader {
        name: "surface in CSV",
        form: Form::Csv,
        file: "s.csv",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/surfaces", ".csv"),
        beside: &[],
        read: surface,
    },
    Reader {
        name: "surface of numpy",
        form: Form::Zip,
        file: "s.npz",
        share: 60,
        most: PACKED,
        sound: || {
            [folder("tests/fixtures/surfaces", ".npz"), folder("tests/fixtures/foreign", ".npz")].concat()
        },
        beside: &[],
        read: surface,
    },
    Reader {
        name: "surface in HDF5",
        form: Form::Bytes,
        file: "s.h5",
        share: 60,
        most: PACKED,
        sound: || {
            [folder("tests/fixtures/surfaces", ".h5"), folder("tests/fixtures/foreign", ".h5")].concat()
        },
        beside: &[],
        read: surface,
    },
    Reader {
        name: "surface in VTK's XML",
        form: Form::Bytes,
        file: "s.vti",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/surfaces", ".vti"),
        beside: &[],
        read: surface,
    },
    Reader {
        name: "table in CSV",
        form: Form::Csv,
        file: "t.csv",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/rows", ".csv"),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "table in TSV",
        form: Form::Csv,
        file: "t.tsv",
        share: 60,
        most: LITTLE,
        sound: || [folder("tests/fixtures/rows", ".tsv"), folder("tests/fixtures/tiny", ".tsv")].concat(),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "table in JSON",
        form: Form::Json,
        file: "t.json",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/rows", ".json"),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "table in JSON Lines",
        form: Form::Text,
        file: "t.jsonl",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/rows", ".jsonl"),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "table in parquet",
        form: Form::Bytes,
        file: "t.parquet",
        share: 30,
        most: PACKED,
        sound: || folder("tests/fixtures/rows", ".parquet"),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "packed table",
        form: Form::Bytes,
        file: "t.csv.gz",
        share: 40,
        most: PACKED,
        sound: || folder("tests/fixtures/rows", ".gz"),
        beside: &[],
        read: rows,
    },
    Reader {
        name: "task of GLUE",
        form: Form::Csv,
        file: "dev.tsv",
        share: 40,
        most: LITTLE,
        sound: || folder("tests/fixtures/tables/tsv/CoLA", ".tsv"),
        beside: &[],
        read: |path| {
            let folder = path.parent().unwrap_or(path);
            glue::read(glue::Task::Cola, folder, glue::Split::Dev).map(drop)
        },
    },
    Reader {
        name: "words in columns",
        form: Form::Text,
        file: "words.txt",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/words", ".txt"),
        beside: &[],
        read: |path| conll::read(&[path], None, None).map(drop),
    },
    Reader {
        name: "questions",
        form: Form::Json,
        file: "questions.json",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/questions", ".json"),
        beside: &[],
        read: |path| squad::read(&[path], 4).map(drop),
    },
    Reader {
        name: "text",
        form: Form::Text,
        file: "text.txt",
        share: 60,
        most: LITTLE,
        sound: || folder("tests/fixtures/rows", ".txt"),
        beside: &[],
        read: |path| text::read(&[path.to_path_buf()], None, 1).map(drop),
    },
    Reader {
        name: "tokenizer.json",
        form: Form::Json,
        file: "tokenizer.json",
        share: 20,
        most: LITTLE,
        sound: || [folder("tests/fixtures/tokenizer", "tokenizer.json"), tokenizers()].concat(),
        beside: &[],
        read: tokenizer,
    },
    Reader {
        name: "vocabulary",
        form: Form::Text,
        file: "vocab.txt",
        share: 8,
        most: LITTLE,
        sound: || fixtures(&["tiny/model/vocab.txt"]),
        beside: &[("tokenizer_config.json", "tiny/model/tokenizer_config.json")],
        read: tokenizer,
    },
    Reader {
        name: "options of a tokenizer",
        form: Form::Json,
        file: "tokenizer_config.json",
        share: 8,
        most: LITTLE,
        sound: || {
            let added = r#"{"do_lower_case":true,"tokenizer_class":"BertTokenizer","pad_token":"[PAD]","mask_token":{"content":"[MASK]","lstrip":true},"additional_special_tokens":["[X]"],"added_tokens_decoder":{"99":{"content":"[X]","special":true}}}"#;
            [fixtures(&["tiny/model/tokenizer_config.json"]), vec![added.as_bytes().to_vec()]].concat()
        },
        beside: &[VOCABULARY],
        read: tokenizer,
    },
    Reader {
        name: "pairs of a tokenizer",
        form: Form::Json,
        file: "vocab.json",
        share: 4,
        most: LITTLE,
        sound: || fixtures(&["tokenizer/gpt2/vocab.json", "tokenizer/roberta/vocab.json"]),
        beside: &[("merges.txt", "tokenizer/gpt2/merges.txt")],
        read: tokenizer,
    },
    Reader {
        name: "merges of a tokenizer",
        form: Form::Text,
        file: "merges.txt",
        share: 4,
        most: LITTLE,
        sound: || fixtures(&["tokenizer/gpt2/merges.txt"]),
        beside: &[("vocab.json", "tokenizer/gpt2/vocab.json")],
        read: tokenizer,
    },
    Reader {
        name: "analysis",
        form: Form::Toml,
        file: "a.toml",
        share: 10,
        most: LITTLE,
        sound: || folder("analyses", ".toml"),
        beside: &[],
        read: |path| {
            let loaded = analysis::load(&path.display().to_string(), &[])?;
            run::steps(&loaded.analysis).map(drop)
        },
    },
    Reader {
        name: "rates",
        form: Form::Csv,
        file: "rates.csv",
        share: 60,
        most: LITTLE,
        sound: || vec![made(rates)],
        beside: &[],
        read: |path| {
            let sites = architectures::read(&fixture(CONFIG.1))?.sites();
            Rates::read(path, &sites).map(|rates| drop(rates.reversed()))
        },
    },
    Reader {
        name: "tables of figures",
        form: Form::Csv,
        file: "f.csv",
        share: 8,
        most: LITTLE,
        sound: || folder("figures", ".csv"),
        beside: &[],
        read: |path| figures::chart(&[path.to_path_buf()], &[], None).map(drop),
    },
    Reader {
        name: "journal",
        form: Form::Journal,
        file: "s.csv.unfinished",
        share: 20,
        most: LITTLE,
        sound: || vec![made(journal)],
        beside: &[],
        read: |path| {
            let mut journal = Journal::open(path, "inputs")?;
            for i in 0..4 {
                let values = journal.unit(|values| values.len() == 2, || Ok(vec![f64::from(i), 1.0]))?;
                assert_eq!(values.len(), 2, "a unit that does not fit is taken");
            }
            Ok(())
        },
    },
    Reader {
        name: "basis",
        form: Form::Bytes,
        file: "s.csv.basis.unfinished",
        share: 20,
        most: LITTLE,
        sound: || vec![made(basis)],
        beside: &[],
        read: |path| {
            let mut basis = Basis::open(path, "owner", 5, 40)?;
            for k in 0..3 {
                let read = basis
                    .get(k)
                    .map(|vector| assert_eq!(*vector, [k as f32; 5], "a changed vector is taken"));
                assert_eq!(read.is_err(), basis.is_broken());
                if read.is_err() {
                    return basis.clear();
                }
            }
            Ok(())
        },
    },
    Reader {
        name: "training state",
        form: Form::Safetensors,
        file: "training.unfinished",
        share: 8,
        most: LITTLE,
        sound: || vec![made(|path| state(path, true))],
        beside: &[],
        read: |path| state(path, false),
    },
];

/// A file as the program writes it.
fn made(write: fn(&Path) -> Result<()>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("F.safetensors");
    write(&path).unwrap_or_else(|e| panic!("{e}"));
    let beside = fisher::files::examples_path(&path);
    std::fs::read(if beside.exists() { beside } else { path }).unwrap()
}

fn sums(path: &Path) -> Result<()> {
    let stored = fisher::files::read(&fixture("parity/albert-tok/fisher.safetensors"))?;
    let totals = fisher::files::tensor_sums(&stored.diagonal)?;
    let sums = ndarray::Array2::from_shape_fn((3, totals.len()), |(n, t)| totals[t] * (0.5 + 0.5 * n as f64));
    let fisher = fisher::Fisher {
        diagonal: stored.diagonal,
        sums,
        skipped: 0,
        used: vec![0, 1, 2],
        clusters: Default::default(),
    };
    fisher::files::write(path, &fisher, &stored.layout, &Default::default(), true)
}

fn rates(path: &Path) -> Result<()> {
    let sites = architectures::read(&fixture(CONFIG.1))?.sites();
    files::write_csv(path, &Rates::uniform(&sites, 0.1).rows())
}

fn journal(path: &Path) -> Result<()> {
    let mut journal = Journal::open(path, "inputs")?;
    for i in 0..4 {
        journal.unit(|_| true, || Ok(vec![f64::from(i), f64::NAN]))?;
    }
    Ok(())
}

fn basis(path: &Path) -> Result<()> {
    let mut basis = Basis::open(path, "owner", 5, 0)?;
    (0..3).try_for_each(|k| basis.set(k, vec![k as f32; 5]))
}

/// Writes the state of a training, or goes on from it.
fn state(path: &Path, write: bool) -> Result<()> {
    let set = FrozenSet::read(&fixture("parity/cls/set.safetensors"))?;
    let model = Checkpoint::open(&fixture("parity/cls/model"))?.model_for(&set, MissingHead::Refuse)?;
    let config = Config {
        patience: 0,
        steps: 16,
        every: 4,
        batch: 6,
        accumulate: 1,
        lr: 1e-3,
        warmup: 0.1,
        weight_decay: 0.01,
        clip: 1.0,
        snapshots: 0,
        seed: 0,
    };
    let held_out = HeldOut { examples: &set.examples, kind: set.kind, scoring: set.scoring() };
    let run = Run {
        network: model.network().unwrap(),
        examples: &set.examples,
        masking: None,
        held_out,
        dropout: None,
        config: &config,
        snapshots: None,
    };
    let mut theta = model.theta.clone();
    let mut optimizer = Optimizer::new(model.network().unwrap().backend, &theta, config.weight_decay)?;
    let mut state = State::new(path, &run, &theta)?;
    if write {
        let row = HistoryRow {
            step: 4,
            train_loss: 1.0,
            loss: f64::NAN,
            loss_se: 0.1,
            examples: 6,
            targets: 6,
            distinct: 2,
            metrics: vec![("accuracy".into(), 0.5)],
        };
        return state.save(&theta, &optimizer, &Standing { step: 4, history: vec![row], sum: 1.0, count: 2 });
    }
    state.resume(config.steps, &mut theta, &mut optimizer).map(drop)
}

/// A checkpoint, as far as a model of it.
fn model(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let checkpoint = Checkpoint::open(folder)?;
    match checkpoint.config.num_hidden_layers() < 100 {
        true => checkpoint.model(Head::Classes(3), MissingHead::Initialise { seed: 0 }).map(drop),
        false => Ok(()),
    }
}

fn surface(path: &Path) -> Result<()> {
    let grid = Grid::read(path)?;
    grid.check_drawable(path)?;
    for name in ["o.csv", "o.npz", "o.h5", "o.vti"] {
        let out = path.with_file_name(name);
        assert!(Surface::of(&out).is_some());
        // Sound surfaces are small here; whatever is written is no error of the reader.
        let _ = grid.bytes(&out);
    }
    Ok(())
}

fn rows(path: &Path) -> Result<()> {
    let mut outcome = Ok(());
    for columns in ["text,label", "sentence,label", "text"] {
        let columns: Columns = columns.parse()?;
        outcome = match columns.label {
            Some(_) => table::read(path, &columns, None).map(drop),
            None => text::read(&[path.to_path_buf()], Some(&columns), 1).map(drop),
        };
    }
    outcome
}

fn tokenizer(path: &Path) -> Result<()> {
    let tokenizer = Tokenizer::load(path.parent().unwrap_or(path))?;
    let row = |text: &str, pair: Option<&str>| Row {
        text: text.into(),
        pair: pair.map(str::to_string),
        label: RowLabel::Class(0),
        group: None,
    };
    let words = RowLabel::Words(vec![("Hello".into(), 0), ("wörld".into(), 1)]);
    let rows = [
        row("Hello, wörld 漢字 [MASK] <s>", None),
        row("a b", Some("c \u{0}")),
        Row { label: words, ..row("", None) },
    ];
    tokenizer.examples(&rows, 8)?;
    tokenizer.vocabulary_hash();
    Ok(())
}

/// Tokenizers of every part that the library knows.
fn tokenizers() -> Vec<Vec<u8>> {
    let vocabulary = r###"{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"a":5,"b":6,"##b":7,"he":8,"l":9,"ab":10}"###;
    let models = [
        format!(r###"{{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{vocabulary}}}"###),
        format!(r#"{{"type":"WordLevel","unk_token":"[UNK]","vocab":{vocabulary}}}"#),
        format!(r#"{{"type":"BPE","dropout":null,"unk_token":"[UNK]","fuse_unk":false,"byte_fallback":true,"vocab":{vocabulary},"merges":[["a","b"]]}}"#),
        r#"{"type":"Unigram","unk_id":1,"vocab":[["[PAD]",0.0],["[UNK]",0.0],["a",-1.5],["b",-2.0],["ab",-2.5]],"byte_fallback":false}"#.to_string(),
    ];
    let normalizers = [
        r#"{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"},{"type":"Lowercase"},{"type":"Prepend","prepend":"x"}]}"#,
        r#"{"type":"Replace","pattern":{"Regex":"(a|b)+"},"content":"a"}"#,
        r#"{"type":"Precompiled","precompiled_charsmap":"AAAAAAAA"}"#,
        r#"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"#,
    ];
    let splitters = [
        r#"{"type":"FixedLength","length":3}"#,
        r#"{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Digits","individual_digits":true}]}"#,
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#,
        r#"{"type":"Split","pattern":{"Regex":"\\s+"},"behavior":"Isolated","invert":false}"#,
    ];
    let after = [
        r#"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]}}}"#,
        r#"{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}"#,
        r#"{"type":"RobertaProcessing","sep":["[SEP]",3],"cls":["[CLS]",2],"trim_offsets":true,"add_prefix_space":true}"#,
        "null",
    ];
    let token = r#"{"id":2,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}"#;
    let whole = |i: usize| {
        format!(
            r#"{{"version":"1.0","truncation":{{"direction":"Right","max_length":8,"strategy":"LongestFirst","stride":0}},"padding":{{"strategy":{{"Fixed":8}},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}},"added_tokens":[{token}],"normalizer":{},"pre_tokenizer":{},"post_processor":{},"decoder":null,"model":{}}}"#,
            normalizers[i / 2 % 4], splitters[i / 3 % 4], after[i % 4], models[i % 4]
        )
        .into_bytes()
    };
    (0..16).map(whole).collect()
}
