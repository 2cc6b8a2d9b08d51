//! Analyses: errors that point into the TOML, steps that are not repeated, kills that leave no trace in the results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fisherscape::analysis::{self, SHIPPED};
use fisherscape::data::frozen::FrozenSet;
use fisherscape::tables::page::Training;
use fisherscape::{files, params};
use serde_json::json;

use crate::support::{Outcome, copy_folder, fisherscape, fixture, tensors};

/// An analysis of the small checkpoint that has every section.
pub(crate) fn small() -> String {
    format!(
        r#"
title = "Small"
question = "Does it work?"
source = "The tests."
expectation = "Yes."
reading = "By machines."
[model]
checkpoint = "{0}"
[data]
table = "{1}"
columns = "sentence,label"
text = "{1}"
min_words = 3
[fisher]
over = "text"
examples = 60
also = ["mc"]
[schedule]
p_upper = 0.2
[train]
arms = ["uniform:0.1", "guided"]
seeds = 2
epochs = 2
fraction = 0.5
lr = 1e-3
[surface]
masks = ["all", "top:0.01"]
examples = 20
norm = "matched"
resolution = 3
draws = 2
[profile]
draws = 2
resolution = 3
[plane]
resolution = 3
line_resolution = 3
[trajectory]
snapshots = 4
resolution = 3
[[planes]]
kind = "gaussian"
resolution = 3
[sharpness]
directions = 2
ascent = 1
steps = 3
probes = 1
signs = 2
resolution = 3
critical = true
by = "block"
[stability]
fractions = [0.1, 0.5]
repeats = 3
masks = 2
overlap = [0.1]
[audit]
resamples = 20
[damage]
examples = 20
draws = 2
probes = 2
[agree]
moments = true
[topology]
[examples]
resamples = 20
"#,
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    )
}

fn analysis_in(folder: &Path) -> Outcome<PathBuf> {
    let path = folder.join("small.toml");
    std::fs::write(&path, small())?;
    Ok(path)
}

/// Files below a folder and their bytes: what differs between runs (provenance, records of steps, that section of the
/// page) is left out.
pub(crate) fn results(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "kept") {
                continue; // set aside: no result
            }
            if path.is_dir() {
                if path.file_name().unwrap() != "steps" {
                    walk(&path, root, out);
                }
            } else if !["provenance.toml", "page.files"]
                .iter()
                .any(|end| path.to_string_lossy().ends_with(end))
            {
                let mut bytes = std::fs::read(&path).unwrap();
                if path.ends_with("report.html") {
                    let text = String::from_utf8(bytes).unwrap();
                    let (before, after) = text.split_once("<section id=\"provenance\">").unwrap();
                    bytes = format!("{before}{}", after.split_once("</section>").unwrap().1).into_bytes();
                }
                out.insert(path.strip_prefix(root).unwrap().to_path_buf(), bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(folder, folder, &mut out);
    out
}

/// The same files with the same bytes.
pub(crate) fn same(found: &BTreeMap<PathBuf, Vec<u8>>, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, bytes) in found {
        assert!(*bytes == expected[path], "{} differs", path.display());
    }
}

/// Runs the analysis in `out` and gives the names of the steps that were run.
fn run(toml: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let output = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .arg("run")
        .arg(toml)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let name = |line: &str| {
        let (_, name) = line.strip_prefix('[')?.split_once("] ")?;
        Some(name.split(", about ").next()?.split(", at least ").next()?.to_string())
    };
    said.lines().filter_map(name).collect()
}

/// Oracle: the text itself. Each mistake is answered with the file, the line it stands in, a caret under it, and a fix.
#[test]
fn mistakes_are_shown_where_they_are() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.toml");
    let cases = [
        ("lr = 1e-3", "lrr = 1e-3", "unknown field `lrr`", "lrr"),
        ("lr = 1e-3", "lr = \"much\"", "invalid type: string", "\"much\""),
        ("lr = 1e-3", "weight_decay = -1.0", "`train.weight_decay` must be at least 0", "-1.0"),
        ("lr = 1e-3", "lr = -1.0", "`train.lr` must be finite and above 0", "-1.0"),
        ("lr = 1e-3", "early_stopping = 0", "`train.early_stopping` must be above 0", "0"),
        ("kind = \"gaussian\"", "kind = \"between\"", "[planes] must be of distinct kinds", "planes"),
        (
            "[train]",
            "[compute]\ndevice = \"gpu\"\n[train]",
            "\"gpu\" cannot be read: expected cpu, cuda",
            "\"gpu\"",
        ),
        (
            "[train]",
            "[compute]\nprecision = \"tf32\"\n[train]",
            "`compute.precision` is one that compute.device does not have",
            "\"tf32\"",
        ),
        ("fraction = 0.5", "fraction = 1.5", "`train.fraction` must be in (0, 1]", "1.5"),
        ("\"guided\"]", "\"guide\"]", "\"guide\" cannot be read: expected guided, matched", "[\"uniform:0.1"),
        ("\"guided\"]", "\"shuffled:\"]", "\"shuffled:\" cannot be read: expected guided", "[\"uniform:0.1"),
        ("\"guided\"]", "\"gaussian-paper:1\"]", "\"gaussian-paper:1\" cannot be read", "[\"uniform:0.1"),
        (
            "\"guided\"]",
            "\"shuffled\", \"shuffled:0\"]",
            "`train.arms` must be a list of one to sixteen",
            "[",
        ),
        (
            "[schedule]\np_upper = 0.2\n[train]\narms = [\"uniform:0.1\", \"guided\"]",
            "[train]\narms = [\"none\", \"matched\"]",
            "`train.arms` names `guided` or one of its controls, but there is no [schedule]",
            "[\"none",
        ),
        (
            "p_upper = 0.2",
            "shape = \"power:0\"",
            "\"power:0\" cannot be read: expected linear, cosine or power:K with K above 0",
            "\"power:0\"",
        ),
        ("\"top:0.01\"", "\"top:2\"", "\"top:2\" cannot be read: expected all", "[\"all"),
        ("seeds = 2", "seeds = 0", "`train.seeds` must be from 1 to 1000", "0"),
        ("[schedule]\np_upper = 0.2", "", "`train.arms` names `guided`", "[\"uniform"),
        (
            "[fisher]\nover = \"text\"\nexamples = 60\nalso = [\"mc\"]",
            "",
            "[schedule] needs a preset or a [fisher] section",
            "schedule",
        ),
        ("p_upper = 0.2", "p_upper = 1.0", "`schedule.p_upper` must be in [0, 1)", "1.0"),
        ("title = \"Small\"", "title = Small", "", "Small"),
        (
            "\"all\", ",
            "\"top:0.010000000001\", ",
            "`surface.masks` must be a list of distinct masks",
            "[\"top",
        ),
        (
            "\"guided\"]",
            "\"guided:a/r.csv\", \"guided:b/r.csv\"]",
            "`train.arms` must be a list of one to sixteen",
            "[",
        ),
        (
            "resolution = 3\ndraws = 2\n[profile]\ndraws = 2",
            "over = [\"text\"]\n[profile]\ndraws = 2",
            "`surface.over` names \"text\"",
            "[\"text\"]",
        ),
        ("[profile]\ndraws = 2", "[profile]\ndraws = 0", "`profile.draws` must be from 1 to 100", "0"),
        ("snapshots = 4", "snapshots = 2", "`trajectory.snapshots` must be from 3 to 1000", "2"),
        ("ascent = 1", "mask = \"top\"", "\"top\" cannot be read: expected all", "\"top\""),
        ("columns = \"sentence,label\"", "", "`data.columns` goes with data.table", "data"),
        ("fractions = [0.1, 0.5]", "fractions = [0.1, 5]", "`stability.fractions` must be", "[0.1, 5]"),
        (
            "also = [\"mc\"]",
            "also = [\"exact\"]",
            "`fisher.also` cannot have \"exact\" over text",
            "[\"exact",
        ),
        ("also = [\"mc\"]", "also = [\"mc\", \"mc\"]", "`fisher.also` must be \"mc\", \"exact\"", "[\"mc"),
        ("[agree]\n", "[agree]\narms = true\n", "`agree.arms` needs trained arms", "true"),
        (
            "[agree]\n",
            "[agree]\nfiles = [\"f.safetensors\"]\n",
            "`agree.titles` must have one title",
            "agree",
        ),
        ("also = [\"mc\"]\n", "", "[agree] has nothing to compare", "agree"),
    ];
    for (from, to, says, under) in cases {
        let text = small().replace("moments = true\n", "");
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to))?;
        let output = fisherscape(&format!("check {}", path.display())).assert().code(1).get_output().clone();
        let message = String::from_utf8(output.stderr)?;
        assert!(message.contains("a.toml:") && message.contains(says), "{to}: {message}");
        assert!(message.contains("fix: "), "{to}: {message}");
        // The caret stands under what is wrong.
        let lines: Vec<&str> = message.lines().collect();
        let caret = lines.iter().position(|line| line.contains('^')).expect(&message);
        let column = lines[caret].chars().position(|c| c == '^').unwrap();
        let marked: String = lines[caret - 1].chars().skip(column).collect();
        assert!(
            marked.starts_with(under) || marked.contains(under) && !to.contains("lr ="),
            "{to}: {message}"
        );
    }
    Ok(())
}

/// An analysis of nothing but arms of its own schedule, as little of it as can be.
pub(crate) fn arms_alone(over: &str) -> String {
    let (before, rest) = small().split_once("[fisher]").map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    assert!(rest.contains("[schedule]"));
    format!(
        r#"{before}[fisher]
over = "{over}"
examples = 20
[schedule]
shape = "power:2"
[train]
arms = ["matched", "reversed", "shuffled", "shuffled:2", "gaussian-paper:0.1"]
epochs = 1
fraction = 0.1
lr = 1e-3
"#
    )
}

/// Oracle: what each run wrote. The arms of the analysis' own schedule are trained under titles of their own, each with its
/// own dropout of the same rates; the page says that one of them is evaluated with its noise on, and so do its metrics.
#[test]
fn controls_of_the_schedule_are_trained() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (folder.path().join("arms.toml"), folder.path().join("out"));
    std::fs::write(&path, arms_alone("text"))?;
    let ran = run(&path, &out, &[]);
    let titles = ["matched uniform", "reversed", "shuffled", "shuffled 2", "paper's gaussian 0.1"];
    let wanted: Vec<String> = titles.iter().map(|title| format!("training of {title}, seed 0")).collect();
    assert!(ran.iter().filter(|step| step.starts_with("training of")).eq(&wanted), "{ran:?}");
    let dropouts = ["matched:", "reversed:", "shuffled:", "shuffled:2:", "gaussian-paper:0.1"];
    let mut models = Vec::new();
    for ((title, dropout), noise) in titles.iter().zip(dropouts).zip(["off", "off", "off", "off", "on"]) {
        let own = out.join("train").join(title.replace([' ', '\''], "_")).join("seed0");
        let read = |name: &str| std::fs::read_to_string(own.join(name));
        let provenance = read("provenance.toml")?;
        let rates = if noise == "on" { "" } else { "rates.csv" };
        assert!(provenance.contains(&format!("--dropout {dropout}")), "{title}: {provenance}");
        assert!(provenance.contains(rates) && (noise == "on") == provenance.contains("with the noise on"));
        let metrics = read("metrics.csv")?;
        assert!(metrics.lines().skip(1).all(|line| line.ends_with(&format!(",{noise}"))), "{metrics}");
        models.push(std::fs::read(own.join("model.safetensors"))?);
    }
    assert!((0..5).all(|i| (0..i).all(|j| models[i] != models[j])), "two arms are the same");
    let page = std::fs::read_to_string(out.join("report.html"))?;
    assert!(page.contains("is evaluated with its noise on") && page.contains("shuffled 2"));
    Ok(())
}

/// Oracle: the examples themselves. A schedule from labels sees none that its seed's runs hold out; the first seed's set does
/// have some of those that the second holds out, so that one schedule for both would leak.
#[test]
fn schedules_from_labels_see_nothing_that_their_seed_holds_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (folder.path().join("arms.toml"), folder.path().join("out"));
    // Every sentence once: a sentence is told from another by its tokens.
    let mut lines: Vec<String> =
        std::fs::read_to_string(fixture("tiny/sentiment.tsv"))?.lines().map(str::to_string).collect();
    let header = lines.remove(0);
    lines.sort();
    lines.dedup();
    let table = folder.path().join("distinct.tsv");
    std::fs::write(&table, format!("{header}\n{}\n", lines.join("\n")))?;
    let own = fixture("tiny/sentiment.tsv").display().to_string();
    std::fs::write(&path, arms_alone("task").replace(&own, &table.display().to_string()))?;
    let settings = ["train.seeds=2", "train.arms=[\"guided\"]", "train.fraction=1", "fisher.examples="];
    // A table has no split of its own: it is cut by the seed whatever is written.
    let official = ["train.seeds=2".to_string(), "train.split=official".to_string()];
    assert!(analysis::load(&path.display().to_string(), &official)?.analysis.schedule_by_seed());
    run(&path, &out, &settings.map(|setting| ["--set", setting]).concat());
    let rows = |path: &str| -> Outcome<Vec<Vec<u32>>> {
        let set = FrozenSet::read(&out.join(path))?;
        Ok(set.examples.into_iter().map(|example| example.ids).collect())
    };
    let sets = [rows("sets/fisher.safetensors")?, rows("sets/fisher_seed1.safetensors")?];
    let held_out =
        [rows("train/guided/seed0/held_out.safetensors")?, rows("train/guided/seed1/held_out.safetensors")?];
    let shared = |k: usize, j: usize| sets[k].iter().filter(|row| held_out[j].contains(row)).count();
    assert_eq!((shared(0, 0), shared(1, 1)), (0, 0));
    assert!(shared(0, 1) > 0 && shared(1, 0) > 0, "the seeds hold out the same");
    for (seed, rates) in [(0, "schedule/rates.csv"), (1, "schedule/seed1.csv")] {
        let provenance =
            std::fs::read_to_string(out.join(format!("train/guided/seed{seed}/provenance.toml")))?;
        assert!(provenance.contains(rates), "{provenance}");
    }
    Ok(())
}

/// Oracle: the names that the reader itself gives when it meets a key it does not know, section by section.
#[test]
fn the_help_lists_every_key() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = analysis_in(folder.path())?.display().to_string();
    let sections = [
        "",
        "model.",
        "data.",
        "fisher.",
        "schedule.",
        "train.",
        "surface.",
        "profile.",
        "plane.",
        "trajectory.",
        "sharpness.",
        "stability.",
        "audit.",
        "damage.",
        "agree.",
        "prune.",
        "examples.",
    ];
    let (mut keys, help) = (0, analysis::keys::help());
    for section in sections {
        let set = [format!("{section}unheard_of=1")];
        let message = analysis::load(&path, &set).err().ok_or(section)?.to_string();
        // `unheard_of`, expected one of `a`, `b`
        let (_, known) =
            message.lines().next().and_then(|line| line.split_once("expected ")).ok_or("no list")?;
        for key in known.split('`').skip(1).step_by(2) {
            keys += 1;
            let words = help.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            assert!(words.into_iter().any(|word| word == key), "{section}{key} is not in the help");
        }
    }
    assert!(keys > 40, "{keys}");
    Ok(())
}

/// Whether a value is what a JSON Schema says, as far as ours goes: another reading of it than any editor's.
fn fits(value: &serde_json::Value, schema: &serde_json::Value, at: &str) -> Result<(), String> {
    use serde_json::Value;
    let wrong = |what: &str| Err(format!("{at}: {what}: {value}"));
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) { Ok(()) } else { wrong("not one of the words") };
    }
    match (schema["type"].as_str(), value) {
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => Ok(()),
        (Some("number"), Value::Number(_)) => Ok(()),
        (Some("integer"), Value::Number(n)) if n.is_i64() || n.is_u64() => {
            match n.as_f64() >= schema["minimum"].as_f64() {
                true => Ok(()),
                false => wrong("too small"),
            }
        }
        (Some("array"), Value::Array(items)) => {
            if items.is_empty() && schema["minItems"] == 1 {
                return wrong("empty");
            }
            items
                .iter()
                .enumerate()
                .try_for_each(|(i, item)| fits(item, &schema["items"], &format!("{at}.{i}")))
        }
        (Some("object"), Value::Object(keys)) => {
            let missing = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|key| keys.get(key.as_str().unwrap()).is_none());
            if let Some(key) = missing {
                return wrong(&format!("{key} is missing"));
            }
            keys.iter().try_for_each(|(key, value)| match schema["properties"].get(key) {
                Some(schema) => fits(value, schema, &format!("{at}.{key}")),
                None => Err(format!("{at}.{key}: unknown")),
            })
        }
        _ => wrong("another type"),
    }
}

/// Oracle: a validator of its own, and what the reader itself takes. The file for editors is what `schema` prints, every shipped
/// analysis fits it and names it, and mistakes do not fit. The reader's message about an unknown key lists the keys of the
/// schema, no more and no fewer, and the reader takes every word that the schema lists and every default.
#[test]
fn the_schema_says_what_the_reader_takes() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("analyses");
    let printed = String::from_utf8(fisherscape("schema").assert().success().get_output().stdout.clone())?;
    assert!(
        std::fs::read_to_string(root.join("schema.json"))? == printed,
        "fisherscape schema > analyses/schema.json"
    );
    let schema: serde_json::Value = serde_json::from_str(&printed)?;
    let json = |text: &str| -> Outcome<serde_json::Value> {
        Ok(serde_json::to_value(toml::from_str::<toml::Table>(text)?)?)
    };
    for (name, text) in SHIPPED {
        assert!(text.starts_with("#:schema ./schema.json\n"), "{name}");
        fits(&json(text)?, &schema, name)?;
    }
    let two = "model.checkpoint = 'embedded'\ndata.task = 'supersense'\n";
    assert_eq!(fits(&json(two)?, &schema, ""), Ok(()));
    for (wrong, place) in [
        ("trian.lr = 1.0", ".trian: unknown"),
        ("train.lr = '1e-4'", ".train.lr: another type"),
        ("train.seeds = -1", ".train.seeds: too small"),
        ("train.seeds = 1.5", ".train.seeds: another type"),
        ("surface.normalize = 'filters'", ".surface.normalize: not one"),
        ("train.arms = 'none'", ".train.arms: another type"),
        ("planes = [{span = [-1, 1]}]", ".planes.0: \"kind\" is missing"),
        ("grid = [{train = {lr = 1.0}}]", ".grid.0.train.lr: another type"),
        ("grid = [{train = {lr = []}}]", ".grid.0.train.lr: empty"),
    ] {
        let found = fits(&json(&format!("{two}{wrong}"))?, &schema, "").err().ok_or(wrong)?;
        assert!(found.starts_with(place), "{wrong}: {found}");
    }
    assert_eq!(
        fits(&json("data.task = 'rte'")?, &schema, "a").err().ok_or("no model")?.split(": {").next(),
        Some("a: \"model\" is missing")
    );
    // The reader.
    let folder = tempfile::tempdir()?;
    let path = analysis_in(folder.path())?.display().to_string();
    let keys = |schema: &serde_json::Value| -> Vec<String> {
        schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let (mut words, mut sections) = (0, 0);
    for (name, own) in schema["properties"].as_object().ok_or("no keys")? {
        let section =
            if own["type"] == "array" && own["items"]["type"] == "object" { &own["items"] } else { own };
        let known = match name.as_str() {
            "grid" => continue,
            "planes" => analysis::load(&path, &["planes=[{unheard_of=1}]".to_string()]),
            _ if section["type"] == "object" => analysis::load(&path, &[format!("{name}.unheard_of=1")]),
            _ => continue,
        };
        sections += 1;
        let message = known.err().ok_or("taken")?.to_string();
        let list =
            message.lines().next().and_then(|line| line.split_once("expected ")).map_or("", |(_, list)| list);
        let mut listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        listed.sort_unstable();
        assert_eq!(listed, keys(section), "{name}: {message}");
        for (key, about) in section["properties"].as_object().into_iter().flatten() {
            let many = about["type"] == "array";
            let one = if many { &about["items"] } else { about };
            let values = one["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|word| if many { json!([word]) } else { word.clone() });
            for value in values.chain(about.get("default").cloned()) {
                words += 1;
                let mut table = json(two)?;
                match name.as_str() {
                    "planes" => table["planes"] = json!([{"kind": "gaussian"}]),
                    name if table.get(name).is_none() => table[name] = json!({}),
                    _ => {}
                }
                match name.as_str() {
                    "planes" => table["planes"][0][key] = value.clone(),
                    name => table[name][key] = value.clone(),
                }
                let text = toml::to_string(&table)?;
                let read = toml::from_str::<fisherscape::analysis::Analysis>(&text);
                assert!(read.is_ok(), "{name}.{key} = {value}: {read:?}");
            }
        }
    }
    assert!(words > 80 && sections > 15, "{words} {sections}");
    let message = analysis::load(&path, &["unheard_of=1".to_string()]).err().ok_or("taken")?.to_string();
    let (_, list) = message.lines().next().and_then(|line| line.split_once("expected ")).ok_or("no list")?;
    let mut listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    listed.sort_unstable();
    assert_eq!(listed, keys(&schema));
    Ok(())
}

/// What is set is checked like the file, is kept in the folder, and names that are no analysis say which there are.
#[test]
fn settings_are_checked_like_the_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = analysis_in(folder.path())?;
    let path = path.display().to_string();
    let set = |setting: &str| analysis::load(&path, &[setting.to_string()]);
    let loaded = set("train.lr=2e-4")?;
    assert_eq!(loaded.analysis.train.map(|train| train.options.lr), Some(2e-4));
    assert!(loaded.text.contains("lr = 2e-4"));
    assert_eq!(set("data.max_len=32")?.analysis.data.max_len, Some(32));
    assert_eq!(set("model.checkpoint=some/where")?.analysis.model.checkpoint, Path::new("some/where"));
    assert!(set("stability=")?.analysis.stability.is_none());
    for (setting, says) in [
        ("train.lr=fast", "invalid type: string"),
        ("train.speed=1", "unknown field `speed`"),
        ("train.lr", "key=value"),
        ("train.lr.x=1", "a key inside a section"),
        ("=1", "key=value"),
        ("fisher=", "[schedule] needs a preset or a [fisher] section"),
    ] {
        let message = set(setting).err().ok_or(setting)?.to_string();
        assert!(message.contains(says), "{setting}: {message}");
    }
    let message = analysis::load("quickstrat", &[]).err().ok_or("no such analysis")?.to_string();
    assert!(message.contains("quickstart") && message.contains("`fisherscape list`"), "{message}");
    Ok(())
}

/// What only a command knows to be wrong is found before any work too, and says which step it is of.
#[test]
fn options_are_checked_before_any_work() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (analysis_in(folder.path())?, folder.path().join("out"));
    let rates = folder.path().join("no such rates.csv");
    for (setting, says) in [
        ("surface.resolution=1".to_string(), "surface.resolution"),
        ("surface.span=[1.0,-1.0]".into(), "surface.span"),
        ("surface.tolerance=0.0".into(), "surface.tolerance"),
        ("profile.tolerance=-0.5".into(), "profile.tolerance"),
        ("train.warmup=7.0".into(), "train.warmup"),
        ("stability.repeats=0".into(), "stability.repeats"),
        ("sharpness.radii=[0.1,-1.0]".into(), "sharpness.radii"),
        ("profile.resolution=1".into(), "profile.resolution"),
        ("stability.masks=0".into(), "stability.masks"),
        ("stability.heads=0".into(), "stability.heads"),
        // Over text: the decoder is the checkpoint's own.
        ("stability.heads=2".into(), "stability.heads"),
        ("stability.overlap=[0.1,1.0]".into(), "stability.overlap"),
        ("fisher.mc_samples=0".into(), "fisher.mc_samples"),
        ("damage.radius=0.0".into(), "damage.radius"),
        ("examples.unlikely=2.0".into(), "examples.unlikely"),
        (format!("train.arms=[\"guided:{}\"]", rates.display()), "no such rates.csv"),
        ("schedule.preset=paper-bert-base".into(), "schedule.preset"),
    ] {
        let run =
            ["run", &path.display().to_string(), "--out", &out.display().to_string(), "--set", &setting];
        let output = fisherscape("").args(run).assert().code(1).get_output().clone();
        let message = String::from_utf8(output.stderr)?;
        assert!(message.contains(says) && message.contains("fix: "), "{setting}: {message}");
        assert!(!out.exists(), "{setting}: something was written");
    }
    std::fs::write(&out, "a file")?;
    let command = format!("run {} --out {}", path.display(), out.display());
    let message = String::from_utf8(fisherscape(&command).assert().code(1).get_output().stderr.clone())?;
    assert!(message.contains("--out") && message.contains("a folder"), "{message}");
    fisherscape(&format!("run {} --set train.lr", path.display())).assert().code(2);
    Ok(())
}

/// Settings that name files of words or of questions for an analysis that is shipped without.
fn parts(name: &str) -> Vec<String> {
    let set = |key: &str, path: &str| format!("data.{key}={}", fixture(path).display());
    match name {
        "ner" => vec![set("conll", "words/words.txt"), set("dev", "words/words.txt")],
        "questions" => vec![set("squad", "questions/v1.json")],
        _ => Vec::new(),
    }
}

/// Oracle: the undisturbed run, and the arms that the analysis names. The analyses of words and of questions, shipped without their data, run to
/// the end on a small model, and end with the same bytes where they were killed. Catches a plan that forgets such data, schedules that see
/// what their seed holds out, and parts of questions that differ from run to run.
#[test]
fn words_and_questions_are_shipped_whole() -> Outcome {
    for (name, metric, arms) in [("ner", "entity_f1", 5), ("questions", "f1", 4)] {
        let folder = tempfile::tempdir()?;
        let sets = [
            "data.max_len=24",
            "train.fraction=1.0",
            "train.seeds=2",
            "fisher.examples=3",
            "train.eval_steps=",
        ];
        let model = format!("model.checkpoint={}", fixture("tiny/model").display());
        let stride = (name == "questions").then(|| "data.stride=6".to_string());
        let sets = sets.map(String::from).into_iter().chain([model]).chain(stride).chain(parts(name));
        let words: Vec<String> = sets.flat_map(|set| ["--set".to_string(), set]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let [whole, cut] = ["whole", "cut"].map(|out| folder.path().join(out));
        let started = std::time::Instant::now();
        let all = run(Path::new(name), &whole, &words);
        let took = started.elapsed();
        for part in [0.3, 0.6] {
            let mut child = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
                .args(["run", name, "--out", &cut.display().to_string()])
                .args(&words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            std::thread::sleep(took.mul_f64(part));
            child.kill()?;
            child.wait()?;
        }
        assert!(run(Path::new(name), &cut, &words).len() <= all.len());
        same(&results(&cut), &results(&whole));
        let rows: Vec<Training> = files::read_csv(&whole.join("tables/training.csv"), "")?;
        assert!(
            rows.len() == arms && rows.iter().all(|row| row.metric == metric && row.seeds == 2),
            "{rows:?}"
        );
    }
    Ok(())
}

/// Oracle: the files. `list` names every shipped analysis with its question, in lines and as JSON.
#[test]
fn shipped_analyses_are_listed() -> Outcome {
    let output = |words: &str| -> Outcome<Vec<u8>> {
        Ok(fisherscape(words).assert().success().get_output().stdout.clone())
    };
    let (lines, listed) = (String::from_utf8(output("list")?)?, output("list --json")?);
    let listed: Vec<BTreeMap<String, String>> = serde_json::from_slice(&listed)?;
    assert_eq!(listed.len(), SHIPPED.len());
    for ((own, (name, text)), line) in listed.iter().zip(SHIPPED).zip(lines.lines()) {
        let file: toml::Table = text.parse()?;
        for key in ["title", "question"] {
            assert_eq!(Some(own[key].as_str()), file[key].as_str(), "{name}");
        }
        // What anybody else may omit, we say.
        for key in ["source", "expectation", "reading"] {
            assert!(file[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}");
        }
        assert!(own["name"] == *name && line.starts_with(name) && line.ends_with(&own["question"]), "{line}");
    }
    Ok(())
}

/// The shipped analyses are valid, and one whose data are missing says so before it writes anything.
#[test]
fn shipped_analyses_pass_their_check() -> Outcome {
    let folder = tempfile::tempdir()?;
    // Text that those need which have none of their own; names on the hub may yet be fetched.
    let text = fixture("tiny/sentiment.tsv").display().to_string();
    for (name, toml) in SHIPPED {
        let text = match toml.contains("simple-wikipedia.txt") {
            true => format!(" --set data.text={text}"),
            false => String::new(),
        };
        let data: String = parts(name).iter().map(|set| format!(" --set {set}")).collect();
        let mut command = fisherscape(&format!("check {name}{text}{data}"));
        command.env_remove("HF_HUB_OFFLINE").env("HF_HOME", folder.path()).assert().success();
    }
    let embedded =
        "--set model.checkpoint=embedded --set data.max_len=64 --set schedule.preset= --set train.seeds=1";
    let missing = [
        ("rte".to_string(), "bert-base-uncased: `name` must be a folder, or in the cache"),
        ("rte --set model.checkpoint=./x".to_string(), "model.checkpoint"),
        (format!("rte {embedded}"), "nyu-mll/glue"),
        ("sub-samples --set model.checkpoint=embedded --set data.max_len=64".to_string(), "data.text"),
        ("ner --set model.checkpoint=embedded --set data.max_len=64".to_string(), "--set data.conll=FILE"),
        (
            format!("ner --set model.checkpoint=embedded --set data.max_len=64 --set {}", parts("ner")[0]),
            "--set data.dev=FILE",
        ),
        (
            "questions --set model.checkpoint=embedded --set data.max_len=64".to_string(),
            "--set data.squad=FILE",
        ),
    ];
    for (arguments, says) in missing {
        let mut command = fisherscape(&format!("run {arguments} --out out"));
        let output = command.current_dir(folder.path()).assert().code(1).get_output().clone();
        let message = String::from_utf8(output.stderr)?;
        assert!(message.contains(says) && message.contains("fix: "), "{message}");
        assert_eq!(message.matches("error").count(), 1, "{message}");
        assert!(!folder.path().join("out").exists(), "{arguments}: something was written");
    }
    Ok(())
}

/// Oracle: what each step reads. A run that is done runs nothing; one changed key runs what depends on it and nothing
/// else; a spoilt result is made again; and all of that ends with the bytes of a fresh run.
#[test]
fn only_what_depends_on_a_change_is_run_again() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (analysis_in(folder.path())?, folder.path().join("out"));
    let all = run(&path, &out, &[]);
    assert_eq!(run(&path, &out, &[]), [""; 0]);
    let first = results(&out);
    assert!(
        first.contains_key(Path::new("report.html")) && first.contains_key(Path::new("tables/surfaces.csv"))
    );
    for name in ["summary", "sharpness", "difference_train", "barrier_train", "eigenvectors", "spectrum"] {
        assert!(first.contains_key(&Path::new("figures").join(format!("{name}.svg"))), "{name}");
    }

    // A comment, or a key that no step reads, changes no step.
    std::fs::write(&path, small().replace("By machines.", "Otherwise.") + "# a remark\n")?;
    assert_eq!(run(&path, &out, &[]), [""; 0]);
    assert!(String::from_utf8(results(&out)[Path::new("report.html")].clone())?.contains("Otherwise."));
    std::fs::write(&path, small())?;

    let ran = run(&path, &out, &["--set", "stability.repeats=4"]);
    // Tails and variance components are of all examples, however many draws there are.
    let figures = ["figure of the stability", "figure of the ranks", "figure of the examples needed"];
    assert_eq!(ran, [&["stability"], &figures[..], &["figure of the overlap"]].concat());
    let ran = run(&path, &out, &["--set", "surface.resolution=2", "--set", "stability.repeats=4"]);
    let of_surfaces = ["surface of", "figure of the", "basins of"];
    assert!(ran.iter().all(|step| of_surfaces.iter().any(|begin| step.starts_with(begin))), "{ran:?}");
    assert_eq!(ran.iter().filter(|step| step.starts_with("surface of")).count(), 16);
    // Other rates: the guided arm alone is trained again, and only its surfaces are evaluated again.
    let ran = run(&path, &out, &["--set", "schedule.p_upper=0.3"]);
    let of = |what: &str| ran.iter().filter(|step| step.starts_with(what)).cloned().collect::<Vec<String>>();
    assert_eq!(of("training"), ["training of guided, seed 0", "training of guided, seed 1"]);
    assert!(of("Fisher").is_empty() && of("set for").is_empty(), "{ran:?}");

    // Back to the beginning, by way of a spoilt and a lost result.
    let spoilt = run(&path, &out, &[]);
    assert!(!spoilt.is_empty());
    std::fs::write(out.join("fisher/fisher.mc-mean.csv"), "spoilt")?;
    std::fs::remove_file(out.join("figures/training.pdf"))?;
    let ran = run(&path, &out, &[]);
    assert_eq!(ran, ["Fisher information", "figure of the training"]);
    assert_eq!(std::fs::read(out.join("fisher/fisher.mc-mean.csv.kept"))?, b"spoilt");
    same(&results(&out), &first);
    assert_eq!(run(&path, &out, &["--force"]).len(), all.len());
    same(&results(&out), &first);
    Ok(())
}

/// Oracle: a run in a new folder. The threshold enters the figure of the stability by `trust.csv` alone, which stands beside
/// the table that is drawn.
#[test]
fn a_figure_is_drawn_again_for_what_stands_beside_its_table() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("analysis.toml");
    let all = small();
    let (before, rest) = all.split_once("[schedule]").ok_or("no schedule")?;
    let (_, stability) = rest.split_once("[stability]").ok_or("no stability")?;
    let (stability, _) = stability.split_once("masks").ok_or("no masks")?;
    std::fs::write(&path, format!("{before}[stability]{stability}"))?;
    let at = |name: &str| folder.path().join(name);
    run(&path, &at("out"), &["--set", "stability.threshold=0.1"]);
    let ran = run(&path, &at("out"), &["--set", "stability.threshold=0.2"]);
    assert!(ran.contains(&"figure of the stability".to_string()), "{ran:?}");
    run(&path, &at("new"), &["--set", "stability.threshold=0.2"]);
    same(&results(&at("out")), &results(&at("new")));
    Ok(())
}

/// Oracle: the undisturbed run. Killed (SIGKILL) at moments spread over the run, then run again until done: the same
/// bytes, and no step that was recorded as done is run twice.
#[test]
fn a_killed_run_ends_with_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, whole, cut) =
        (analysis_in(folder.path())?, folder.path().join("whole"), folder.path().join("cut"));
    let started = std::time::Instant::now();
    let all = run(&path, &whole, &[]);
    let took = started.elapsed();
    let mut ran = Vec::new();
    for kill in 1..=6u32 {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
            .args(["run", &path.display().to_string(), "--out", &cut.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Each time a little later, so that the kills fall into steps of every kind.
        std::thread::sleep(Duration::from_secs_f64(took.as_secs_f64() * 0.05 * f64::from(kill)));
        child.kill()?;
        child.wait()?;
        let records = |entries: std::fs::ReadDir| {
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
        };
        let finished = std::fs::read_dir(cut.join("steps")).map_or(0, records);
        ran.push(finished);
    }
    assert!(ran.is_sorted(), "finished steps were lost: {ran:?}");
    let rest = run(&path, &cut, &[]);
    assert_eq!(rest.len() + ran[ran.len() - 1], all.len(), "finished steps were repeated");
    same(&results(&cut), &results(&whole));
    Ok(())
}

/// A second run in the same folder is refused while the first one works, and the first one's files stay.
#[test]
fn a_folder_has_one_run_at_a_time() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (analysis_in(folder.path())?, folder.path().join("out"));
    std::fs::create_dir_all(out.join("steps"))?;
    let lock = fisherscape::files::lock(&out.join("steps/lock"))?;
    let command = format!("run {} --out {}", path.display(), out.display());
    let message = String::from_utf8(fisherscape(&command).assert().code(1).get_output().stderr.clone())?;
    assert!(
        message.contains("another run is at work in this folder") && message.contains("--out"),
        "{message}"
    );
    assert!(!out.join("analysis.toml").exists());
    drop(lock);
    fisherscape(&command).assert().success();
    Ok(())
}

/// Oracle: the sets that `train` itself writes. The parts that `freeze --holdout` takes before any training are those:
/// a surface "over held-out examples" must not be over examples trained on.
#[test]
fn parts_frozen_beforehand_are_those_of_the_training() -> Outcome {
    let folder = tempfile::tempdir()?;
    let data = format!(
        "--checkpoint {} --table {} --columns sentence,label --seed 3 --fraction 0.4",
        fixture("tiny/model").display(),
        fixture("tiny/sentiment.tsv").display()
    );
    let run = |arguments: String| {
        fisherscape(&arguments).current_dir(folder.path()).assert().success();
    };
    run(format!("train {data} --dropout none --epochs 1 --out trained"));
    for (split, part) in [("train", "train"), ("dev", "held_out")] {
        run(format!("freeze {data} --holdout paper --split {split} --out {part}.safetensors"));
        let read = |path: PathBuf| fisherscape::data::frozen::FrozenSet::read(&path);
        let (own, frozen) = (
            read(folder.path().join(format!("trained/{part}.safetensors")))?,
            read(folder.path().join(format!("{part}.safetensors")))?,
        );
        let ids = |set: &fisherscape::data::frozen::FrozenSet| {
            set.examples.iter().map(|e| (e.ids.clone(), e.target.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&own), ids(&frozen), "{part}");
        assert_eq!(frozen.metadata.get("split").map(String::as_str), Some(part));
    }
    Ok(())
}

/// The page stands alone: no address is fetched, every figure is in it, and it names what was left out.
#[test]
fn the_report_stands_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, out) = (analysis_in(folder.path())?, folder.path().join("out"));
    run(&path, &out, &[]);
    let html = std::fs::read_to_string(out.join("report.html"))?;
    // What stands in scripts is text to a browser, of which the headless one shows what it fetches: nothing.
    let (page, _) = html.split_once("<script>").ok_or("no script")?;
    for fetched in ["src=", "href=\"http", "url(", "@import", "stylesheet"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    // Contours and reliefs over two parts, Fisher information, schedule, stability, training; profiles under two masks, rises against
    // the distance and lines over two parts, the plane of the models, trajectories, a plane of random directions, spectra, curvature and densities by layer of two arms, eigenvectors; ranks, examples needed, tails,
    // masks and data, overlap, audit, concentration, damage by layer and by mask, agreement; basins under two masks of two arms, examples; the summary, differences and barriers over two parts, sharpness.
    // The summary once more for narrow screens.
    assert_eq!(page.matches("<svg").count(), 47);
    // Critical sharpness and curvature by layer of every run are in the tables, and of each arm but the first there is a difference.
    let rows = |name: &str| -> Outcome<Vec<BTreeMap<String, String>>> {
        Ok(csv::Reader::from_path(out.join(name))?.deserialize().collect::<Result<_, _>>()?)
    };
    let (runs, arms) = (rows("tables/sharpness_runs.csv")?, rows("tables/sharpness.csv")?);
    for arm in ["guided", "uniform 0.1"] {
        let plain = arm.replace(' ', "_");
        let of = |row: &&BTreeMap<String, String>| row["model"] == arm && row["seed"] == "seed0";
        let critical =
            runs.iter().find(|row| of(row) && row["measure"] == "critical_sharpness").ok_or("none")?;
        let own = rows(&format!("sharpness/{plain}_seed0_critical.csv"));
        assert_eq!(own.map(|own| own[0]["value"].clone()).ok(), Some(critical["value"].clone()), "{arm}");
        assert!(runs.iter().any(|row| of(&row) && row["measure"] == "trace of layer.0"), "{arm}");
    }
    assert!(arms.iter().any(|row| row["measure"] == "critical_sharpness" && !row["difference"].is_empty()));
    let pairs = rows("agree/pairs.csv")?;
    assert!(
        pairs.iter().any(|row| row["estimator_b"] == "adam" && !row["spearman_low"].is_empty()),
        "{pairs:?}"
    );
    // A figure is named by its caption, once.
    let named = |i: usize| {
        let of = format!("role=\"img\" tabindex=\"0\" aria-labelledby=\"caption-{i}\"");
        page.contains(&of) && page.matches(&format!("id=\"caption-{i}\"")).count() == 1
    };
    assert!((1..=46).all(named) && page.matches("role=\"img\"").count() == 46);
    // The verdict is the title, the heading and what previews show; nothing is shown that is no number.
    let verdict =
        page.split_once("<h1>").and_then(|(_, rest)| Some(rest.split_once("</h1>")?.0)).ok_or("no h1")?;
    assert!(verdict.ends_with('.') && page.contains(&format!("<title>{verdict}</title>")));
    assert!(page.contains(&format!("name=\"description\" content=\"{verdict}\"")));
    for words in ["NaN", "−0.0000<", "−0.0000 ", ">1 steps", " 1 examples", " 1 cells"] {
        assert!(!page.contains(words), "{words}");
    }
    // Every link leads to a file of the run or to a place on the page.
    for target in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let target = target.replace("&#x2f;", "/");
        let found = match target.strip_prefix('#') {
            Some(id) => page.contains(&format!("id=\"{id}\"")),
            None => target.starts_with("data:") || out.join(&target).is_file(),
        };
        assert!(found, "{target}");
    }
    // The same at the end of the output, in words and as JSON.
    let again = |more: &str| -> Outcome<String> {
        let command = format!("run {} --out {}{more}", path.display(), out.display());
        let output = fisherscape(&command).assert().success().get_output().stdout.clone();
        Ok(String::from_utf8(output)?)
    };
    assert!(again("")?.starts_with(&verdict.replace("&#x2f;", "/")));
    let said: serde_json::Value = serde_json::from_str(&again(" --json")?)?;
    assert_eq!(said["verdict"], verdict);
    let answers = said["answers"].as_array().ok_or("no answers")?;
    assert!(answers.iter().all(|answer| answer["text"].as_str().is_some_and(|text| text.ends_with('.'))));
    assert!(page.contains("initialised from seed 0"), "made-up heads are named");
    assert!(page.contains("95 % interval") && page.contains("paired by seed"));
    // A line that goes on without its `\` would leave the blanks of the source in a sentence.
    for (open, close) in
        [("<figcaption>", "</figcaption>"), ("<p>", "</p>"), ("<p class=", "</p>"), ("<li>", "</li>")]
    {
        let found: Vec<&str> =
            page.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0)).collect();
        assert!(!found.is_empty(), "{open}");
        for text in found {
            assert!(!text.contains("  "), "{text}");
        }
    }
    Ok(())
}

/// Oracle: the files themselves. A run removes and replaces tables and figures of earlier runs, so a folder with others' is
/// refused before anything is written, also if it is the folder of the analysis; a run's own is not, nor the gallery's, which has
/// the analysis but not the steps.
#[test]
fn a_folder_with_files_of_others_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = analysis_in(folder.path())?;
    let refused = |path: &Path, out: &Path, name: &str| -> Outcome {
        let command = format!("run {} --out {}", path.display(), out.display());
        let message = String::from_utf8(fisherscape(&command).assert().code(1).get_output().stderr.clone())?;
        assert!(message.contains(name) && message.contains("--out DIR"), "{message}");
        Ok(())
    };
    let paper = folder.path().join("paper");
    for name in ["tables/mine.csv", "figures/mine.svg", "report.html"] {
        let file = paper.join(name);
        std::fs::create_dir_all(file.parent().ok_or("no folder")?)?;
        std::fs::write(&file, "mine")?;
        refused(&path, &paper, name.split('/').next().unwrap_or_default())?;
        assert_eq!(std::fs::read(&file)?, b"mine");
        std::fs::remove_dir_all(&paper)?;
    }
    std::fs::create_dir_all(&paper)?;
    let own = paper.join("analysis.toml");
    std::fs::copy(&path, &own)?;
    refused(&own, &paper, "analysis.toml")?;
    assert_eq!(std::fs::read(&own)?, std::fs::read(&path)?);
    std::fs::create_dir_all(paper.join("tables"))?;
    fisherscape(&format!("run {} --out {}", path.display(), paper.display())).assert().success();
    // A run's own text, in its folder.
    fisherscape(&format!("run {} --out {}", own.display(), paper.display())).assert().success();
    Ok(())
}

/// Oracle: what a run stops at. `check` tries it: sets are made, models meet them, and whatever stops that is shown where the
/// analysis names it, with exit code 1 and no word of its being sound.
#[test]
fn what_cannot_run_does_not_pass_the_check() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = analysis_in(folder.path())?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("empty.txt"), "")?;
    std::fs::create_dir(at("folder"))?;
    copy_folder(&fixture("tiny/model"), &folder.path().join("headless"));
    let weights = folder.path().join("headless/model.safetensors");
    let mut without = tensors(&weights);
    let before = without.len();
    without.retain(|name, _| !name.starts_with("cls."));
    assert!(without.len() < before, "the model had no head to lose");
    params::write_params(&weights, &without, &BTreeMap::new())?;
    let cases = [
        ("data.text", at("empty.txt"), "it is empty"),
        ("data.text", at("folder"), "found a folder"),
        ("data.text", at("nowhere"), "`data.text` must be a file, found none"),
        ("data.table", at("nowhere"), "nowhere"),
        ("data.columns", "nosuch,label".to_string(), "nosuch"),
        ("data.min_words", "1000".to_string(), "`data.min_words` must be low enough"),
        ("data.max_len", "2".to_string(), "`data.max_len` must be from 3 to"),
        ("fisher.examples", "1000000".to_string(), "`fisher.examples` must be from 1 to the"),
        ("surface.examples", "1000000".to_string(), "`surface.examples` must be from 1 to the"),
        ("surface.examples", "0".to_string(), "`surface.examples` must be at least 1"),
        ("damage.examples", "1000000".to_string(), "`damage.examples` must be from 1 to the"),
        ("model.checkpoint", at("nowhere"), "`model.checkpoint` must be a folder, found none"),
        ("model.checkpoint", at("headless"), "no masked-LM head"),
        (
            "schedule.preset",
            "paper-bert-base".to_string(),
            "`schedule.preset` is for the 12-layer bert-base; this model has 2 layers",
        ),
        ("train.arms", format!("[\"guided:{}\"]", at("no.csv")), "no.csv"),
        ("plane.resolution", "0".to_string(), "`plane.resolution` must be from 2 to"),
    ];
    let command = format!("check {}", path.display());
    for (key, value, says) in cases {
        let setting = format!("{key}={value}");
        let output = fisherscape(&command).args(["--set", &setting]).assert().code(1).get_output().clone();
        let message = String::from_utf8([output.stderr, output.stdout].concat())?;
        let line = message.lines().find(|line| line.contains(" | ")).ok_or(message.clone())?;
        let key = key.split('.').next_back().unwrap_or_default();
        assert!(message.contains(says) && message.contains("^") && message.contains("fix: "), "{message}");
        assert!(line.contains(key) || key == "columns" && line.contains("table"), "{setting}: {message}");
        assert!(!message.contains("valid, "), "{setting}: {message}");
    }
    let output = fisherscape(&command).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(output)?.contains(": valid, "));
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 4, "something was written");
    Ok(())
}

/// Oracle: the same analysis with whole paths. A path in a file is looked for beside the file, from whatever folder it is run; one of
/// `--set`, and one that is not there, in the current folder.
#[test]
fn paths_of_a_file_lead_beside_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner)?;
    std::fs::copy(fixture("tiny/sentiment.tsv"), inner.join("beside.txt"))?;
    std::fs::copy(fixture("tiny/sentiment.tsv"), folder.path().join("here.txt"))?;
    let (text, whole) = (small(), format!("text = \"{}\"", fixture("tiny/sentiment.tsv").display()));
    assert!(text.contains(&whole));
    std::fs::write(inner.join("a.toml"), text.replace(&whole, "text = \"beside.txt\""))?;
    let check = |place: &Path, arguments: &str| {
        fisherscape(&format!("check {arguments}")).current_dir(place).output()
    };
    for (place, arguments, sound) in [
        (&inner, "a.toml", true),
        (&folder.path().to_path_buf(), "inner/a.toml", true),
        (&folder.path().to_path_buf(), "inner/a.toml --set data.text=here.txt", true),
        (&folder.path().to_path_buf(), "inner/a.toml --set data.text=beside.txt", false),
    ] {
        let output = check(place, arguments)?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.success(), sound, "{arguments}: {message}");
        assert!(sound || message.contains("next to the analysis or in the current folder"), "{message}");
    }
    std::fs::write(inner.join("a.toml"), text.replace(&whole, "text = \"here.txt\""))?;
    assert!(check(folder.path(), "inner/a.toml")?.status.success());
    std::fs::copy(fixture("questions/v1.json"), inner.join("xquad.en.json"))?;
    std::fs::write(inner.join("q.toml"), include_str!("../analyses/questions.toml"))?;
    let small =
        "--set model.checkpoint=embedded --set data.max_len=64 --set data.stride=8 --set fisher.examples=3";
    assert!(check(folder.path(), &format!("inner/q.toml {small}"))?.status.success());
    Ok(())
}
