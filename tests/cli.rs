//! The binary: bad input, equal bytes at any number of threads, and the walk-through on the small checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use fisherscape::params::{self, Column, ParamMap};

use crate::support::{Outcome, copy_folder, fisherscape, fixture, tensors, values};

/// Files below a folder and their bytes, provenance and journals left out.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if !path.to_string_lossy().ends_with("provenance.toml") {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// Every command of the main job on the small checkpoint, in `folder`, with a number of threads.
fn main_job(folder: &Path, threads: usize) {
    let (model, table) = (fixture("tiny/model"), fixture("tiny/sentiment.tsv"));
    let (model, table) = (model.display(), table.display());
    let data = format!("--checkpoint {model} --table {table} --columns sentence,label");
    let run = |arguments: String| {
        fisherscape(&format!("{arguments} --threads {threads}")).current_dir(folder).assert().success();
    };
    run(format!("freeze {data} --examples 60 --out set.safetensors"));
    run(format!(
        "freeze --checkpoint {model} --text {table} --min-words 3 --examples 40 --out text.safetensors"
    ));
    run(format!("loss --checkpoint {model} --set text.safetensors --json"));
    run(format!("fisher --checkpoint {model} --set text.safetensors --per-example --out mlm.safetensors"));
    run(format!("fisher --checkpoint {model} --set set.safetensors --per-example --out f.safetensors"));
    run("schedule --fisher f.safetensors --out rates.csv".into());
    run(format!(
        "stability --checkpoint {model} --set set.safetensors --fractions 0.1,0.5 --repeats 3 --out stable"
    ));
    for (arm, dropout) in
        [("uniform", "uniform:0.05"), ("guided", "guided:rates.csv"), ("gaussian", "gaussian:0.1")]
    {
        let more = if arm == "guided" { "--snapshots 4" } else { "" };
        run(format!(
            "train {data} --dropout {dropout} --epochs 1 --fraction 0.3 --lr 1e-3 {more} --out {arm}"
        ));
    }
    let surface = "surface --set set.safetensors --fisher f.safetensors --resolution 3";
    run(format!("{surface} --checkpoint {model} --save-directions d.safetensors --out start.csv"));
    for mask in ["all", "top:0.01", "random:0.01", "bottom:0.5"] {
        let name = mask.split(':').next().unwrap();
        run(format!(
            "{surface} --checkpoint guided --directions d.safetensors --mask {mask} --norm matched --out {name}.csv"
        ));
    }
    for draw in [0, 1] {
        let line = format!("--checkpoint guided --reference {model} --profile --draw {draw}");
        run(format!("{surface} {line} --mask paper-top --out line{draw}.h5"));
    }
    let set = "--set set.safetensors";
    run(format!("directions --checkpoint {model} {set} --to uniform,guided --out plane.safetensors"));
    run(format!(
        "directions --checkpoint guided {set} --trajectory guided/trajectory --out path.safetensors"
    ));
    run(format!(
        "surface --checkpoint {model} {set} --directions plane.safetensors --resolution 3 --out plane.npz"
    ));
    for arm in ["uniform", "guided"] {
        let options =
            "--steps 4 --probes 2 --directions 2 --signs 3 --ascent 2 --save-directions eigen.safetensors";
        run(format!(
            "sharpness --checkpoint {arm} --reference {model} {set} {options} --out {arm}_sharp.csv"
        ));
    }
    run("compare --first uniform_sharp.csv --second guided_sharp.csv --out flatter.csv".into());
    run("render all.csv top.csv random.csv --out figure.svg".into());
    run("render all.csv top.csv --view 3d --azimuth -30 --out r.png --out r.pdf --out r.svg --out r.html --dpi 100".into());
}

/// Oracle: another run. Results may depend on neither the number of threads nor the time.
#[test]
fn the_main_job_gives_the_same_bytes_at_one_and_two_threads() -> Outcome {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    main_job(one.path(), 1);
    main_job(two.path(), 2);
    let strip = |folder: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let own =
            |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(folder).unwrap().to_path_buf(), bytes);
        contents(folder).into_iter().map(own).collect()
    };
    let (one, two) = (strip(one.path()), strip(two.path()));
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert!(*bytes == two[path], "{} differs", path.display());
    }
    assert!(one.contains_key(Path::new("guided/held_out.safetensors")));
    assert!(one.contains_key(Path::new("guided/trajectory/step000000.safetensors")));
    assert!(one[Path::new("r.pdf")].starts_with(b"%PDF") && one[Path::new("r.png")].starts_with(b"\x89PNG"));
    assert!(!one.keys().any(|path| path.to_string_lossy().ends_with("unfinished")), "a journal was left");
    Ok(())
}

/// A bad input: what is changed, the command, and what the message must name.
struct Bad {
    name: &'static str,
    prepare: fn(&Path),
    command: &'static str,
    says: &'static [&'static str],
}

fn rewrite(path: &Path, edit: impl FnOnce(&mut ParamMap)) {
    let mut map = tensors(path);
    edit(&mut map);
    params::write_params(path, &map, &BTreeMap::new()).unwrap();
}

fn replace(map: &mut ParamMap, name: &str, edit: impl FnOnce(&mut Vec<f32>)) {
    let mut v = values(&map[name]);
    edit(&mut v);
    let shape = map[name].dims().to_vec();
    map.insert(name.into(), Tensor::from_vec(v, shape, &candle_core::Device::Cpu).unwrap());
}

/// Rewrites the classification set with these labels and this first token id.
fn set_with(folder: &Path, label: i64, id: i64, tokens: usize, vocabulary: Option<&str>) {
    let ids = vec![id; tokens];
    let (ones, zeros) = (vec![1i64; tokens], vec![0i64; tokens]);
    let tensors = [
        ("input_ids".to_string(), vec![1, tokens], Column::I64(&ids)),
        ("attention_mask".to_string(), vec![1, tokens], Column::I64(&ones)),
        ("token_type_ids".to_string(), vec![1, tokens], Column::I64(&zeros)),
        ("labels".to_string(), vec![1], Column::I64(std::slice::from_ref(&label))),
    ];
    let metadata = vocabulary.map(|hash| ("vocabulary".to_string(), hash.to_string())).into_iter().collect();
    params::write_safetensors(&folder.join("set.safetensors"), tensors, &metadata).unwrap();
}

const LOSS: &str = "loss --checkpoint model --set set.safetensors";

const BAD: &[Bad] = &[
    Bad {
        name: "truncated weights",
        prepare: |folder| {
            let path = folder.join("model/model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        command: LOSS,
        says: &["model.safetensors", "whole safetensors file", "fix:"],
    },
    Bad {
        name: "missing tensor",
        prepare: |folder| {
            rewrite(&folder.join("model/model.safetensors"), |map| {
                map.remove("bert.encoder.layer.1.output.dense.bias");
            });
        },
        command: LOSS,
        says: &["model", "bert.encoder.layer.1.output.dense.bias", "no such tensor", "fix:"],
    },
    Bad {
        name: "wrong shape",
        prepare: |folder| {
            rewrite(&folder.join("model/model.safetensors"), |map| {
                let bias = map["classifier.bias"].clone();
                map.insert("bert.pooler.dense.bias".into(), bias);
            });
        },
        command: LOSS,
        says: &["bert.pooler.dense.bias", "[16]", "[3]", "fix:"],
    },
    Bad {
        name: "NaN weights",
        prepare: |folder| {
            rewrite(&folder.join("model/model.safetensors"), |map| {
                replace(map, "bert.pooler.dense.weight", |v| v[7] = f32::NAN);
            });
        },
        command: LOSS,
        says: &["bert.pooler.dense.weight", "finite", "NaN at flat index 7", "fix:"],
    },
    Bad {
        name: "label out of range",
        prepare: |folder| set_with(folder, 3, 5, 4, None),
        command: LOSS,
        says: &["set.safetensors", "labels", "0..=2", "found 3", "fix:"],
    },
    Bad {
        name: "token out of range",
        prepare: |folder| set_with(folder, 0, 67, 4, None),
        command: LOSS,
        says: &["set.safetensors", "input_ids", "67", "fix:"],
    },
    Bad {
        name: "sequence longer than the position table",
        prepare: |folder| set_with(folder, 0, 5, 33, None),
        command: LOSS,
        says: &["set.safetensors", "32 tokens", "33", "--max-len"],
    },
    Bad {
        name: "set of another vocabulary",
        prepare: |folder| {
            copy_folder(&fixture("tiny/model"), &folder.join("model"));
            set_with(folder, 0, 5, 4, Some("0123456789abcdef"));
        },
        command: LOSS,
        says: &["set.safetensors", "vocabulary", "0123456789ab", "freeze"],
    },
    Bad {
        name: "unknown estimator of another kind of model",
        prepare: |folder| {
            let path = folder.join("model/config.json");
            let text = std::fs::read_to_string(&path).unwrap().replace("\"gelu\"", "\"snake\"");
            std::fs::write(path, text).unwrap();
        },
        command: LOSS,
        says: &["config.json", "hidden_act", "`snake`", "fix:"],
    },
    Bad {
        name: "masked LM without a head",
        prepare: |folder| {
            std::fs::copy(fixture("parity/mlm/set.safetensors"), folder.join("set.safetensors")).unwrap();
        },
        command: LOSS,
        says: &["cls.predictions", "pretrain --steps 0"],
    },
    Bad {
        name: "no task head where none may be drawn",
        prepare: |folder| {
            rewrite(&folder.join("model/model.safetensors"), |map| {
                map.remove("classifier.weight");
            });
        },
        command: "loss --checkpoint model --set set.safetensors --strict-head",
        says: &["classifier.weight", "no such head"],
    },
    Bad {
        name: "mask of zero entries",
        prepare: |_| {},
        command: "surface --checkpoint model --set set.safetensors --resolution 2 --fisher f.safetensors \
                  --mask top:0.00001 --out out.csv",
        says: &["mask", "at least 1", "fraction"],
    },
    Bad {
        name: "Fisher information of another model",
        prepare: |folder| {
            rewrite(&folder.join("f.safetensors"), |map| {
                *map = std::mem::take(map).into_iter().map(|(n, t)| (format!("gpt.{n}"), t)).collect();
            });
        },
        command: "surface --checkpoint model --set set.safetensors --resolution 2 --fisher f.safetensors \
                  --mask top:0.1 --out out.csv",
        says: &["f.safetensors", "no tensor is a parameter of the model", "gpt.", "fix:"],
    },
    Bad {
        name: "Fisher information of another shape",
        prepare: |folder| {
            rewrite(&folder.join("f.safetensors"), |map| {
                let bias = map["classifier.bias"].clone();
                map.insert("classifier.weight".into(), bias);
            });
        },
        command: "surface --checkpoint model --set set.safetensors --resolution 2 --fisher f.safetensors \
                  --mask top:0.1 --out out.csv",
        says: &["classifier.weight", "[3, 16]", "[3]", "fix:"],
    },
    Bad {
        name: "mask by Fisher information that is not given",
        prepare: |_| {},
        command: "surface --checkpoint model --set set.safetensors --mask top:0.1 --out out.csv",
        says: &["--mask", "Fisher information", "--fisher"],
    },
    Bad {
        name: "negative Fisher information",
        prepare: |folder| {
            rewrite(&folder.join("f.safetensors"), |map| replace(map, "classifier.bias", |v| v[1] = -1.0));
        },
        command: "schedule --fisher f.safetensors --out out.csv",
        says: &["f.safetensors", "classifier.bias", "not negative", "-1"],
    },
    Bad {
        name: "unknown site in a schedule",
        prepare: |folder| {
            std::fs::write(
                folder.join("rates.csv"),
                "site,score,score_se,rank,p\nlayer.9.ffn_output,,,0,0.1\n",
            )
            .unwrap();
        },
        command: "train --checkpoint model --table table.tsv --columns a,b --dropout guided:rates.csv --out out",
        says: &["rates.csv", "site", "layer.9.ffn_output", "fix:"],
    },
    Bad {
        name: "empty corpus",
        prepare: |folder| std::fs::write(folder.join("text.txt"), "short\n = heading = \n").unwrap(),
        command: "freeze --checkpoint tiny --text text.txt --out out.safetensors",
        says: &["text.txt", "--min-words"],
    },
    Bad {
        name: "a task's folder that is not there",
        prepare: |_| {},
        command: "freeze --checkpoint tiny --task rte --data nowhere --out out.safetensors",
        says: &["nowhere", "dev.tsv"],
    },
    Bad {
        name: "unknown task",
        prepare: |_| {},
        command: "freeze --checkpoint tiny --task squad --data nowhere --out out.safetensors",
        says: &["--task", "squad", "stsb"],
    },
    Bad {
        name: "mask of no fraction",
        prepare: |_| {},
        command: "surface --checkpoint model --set set.safetensors --fisher f.safetensors --mask top:0 --out out.csv",
        says: &["mask", "at least 1"],
    },
    Bad {
        name: "labels numbered another way than the classifier's",
        prepare: |folder| {
            let config = folder.join("model/config.json");
            let text = std::fs::read_to_string(&config).unwrap();
            let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
            json["id2label"] = serde_json::json!({"0": "a", "1": "b", "2": "c"});
            std::fs::write(config, json.to_string()).unwrap();
            let (ids, ones, zeros) = ([5i64, 5], [1i64, 1], [0i64, 0]);
            let part = |name: &str, v| (name.to_string(), vec![1, 2], Column::I64(v));
            let tensors = [
                part("input_ids", &ids[..]),
                part("attention_mask", &ones[..]),
                part("token_type_ids", &zeros[..]),
                ("labels".to_string(), vec![1], Column::I64(&zeros[..1])),
            ];
            let metadata = BTreeMap::from([("labels".to_string(), r#"["b","a","c"]"#.to_string())]);
            params::write_safetensors(&folder.join("set.safetensors"), tensors, &metadata).unwrap();
        },
        command: LOSS,
        says: &["set.safetensors", "labels", "a, b, c", "b, a, c"],
    },
    Bad {
        name: "an output folder that is the checkpoint",
        prepare: |_| {},
        command: "pretrain --checkpoint tiny --steps 0 --out tiny",
        says: &["--out", "--checkpoint", "overwrite"],
    },
    Bad {
        name: "a model to go to that is the checkpoint",
        prepare: |_| {},
        command: "directions --checkpoint model --set set.safetensors --to model --out d.safetensors",
        says: &["model", "the same weights", "fix:"],
    },
    Bad {
        name: "a trajectory without snapshots",
        prepare: |_| {},
        command: "directions --checkpoint model --set set.safetensors --trajectory model --out d.safetensors",
        says: &["model", "stepNNNNNN.safetensors", "--snapshots"],
    },
    Bad {
        name: "a reference of another shape",
        prepare: |_| {},
        command: "sharpness --checkpoint model --reference tiny --set set.safetensors --out s.csv",
        says: &["tiny", "fix:"],
    },
    Bad {
        name: "no start vectors",
        prepare: |_| {},
        command: "sharpness --checkpoint model --set set.safetensors --probes 0 --out s.csv",
        says: &["--probes", "at least 1"],
    },
    Bad {
        name: "sharpness that is none",
        prepare: |folder| std::fs::write(folder.join("a.examples.safetensors"), "none").unwrap(),
        command: "compare --first a.csv --second a.csv --out t.csv",
        says: &["a.examples.safetensors", "safetensors", "fix:"],
    },
    Bad {
        name: "a surface in no format",
        prepare: |_| {},
        command: "surface --checkpoint model --set set.safetensors --out s.txt",
        says: &["--out", "s.txt", ".vti"],
    },
    Bad {
        name: "a direction that moves nothing",
        prepare: |folder| {
            std::fs::copy(fixture("parity/cls/directions.safetensors"), folder.join("d.safetensors"))
                .unwrap();
            rewrite(&folder.join("d.safetensors"), |map| {
                let still = map.iter_mut().filter(|(name, _)| name.starts_with("y."));
                still.for_each(|(_, d)| *d = d.zeros_like().unwrap());
            });
        },
        command: "surface --checkpoint model --set set.safetensors --directions d.safetensors --out out.csv",
        says: &["d.safetensors", "`y`", "effective"],
    },
    Bad {
        name: "a third direction without the second",
        prepare: |folder| {
            std::fs::copy(fixture("parity/cls/directions.safetensors"), folder.join("d.safetensors"))
                .unwrap();
            rewrite(&folder.join("d.safetensors"), |map| {
                let turned = |(name, d): (String, _)| match name.strip_prefix("y.") {
                    Some(rest) => (format!("z.{rest}"), d),
                    None => (name, d),
                };
                *map = std::mem::take(map).into_iter().map(turned).collect();
            });
        },
        command: "surface --profile --checkpoint model --set set.safetensors --directions d.safetensors --out out.csv",
        says: &["d.safetensors", "z.NAME, but no y.NAME"],
    },
    Bad {
        name: "a table without the column",
        prepare: |folder| std::fs::write(folder.join("table.tsv"), "text\tlabel\na b\t1\n").unwrap(),
        command: "freeze --checkpoint tiny --table table.tsv --columns sentence,label --out out.safetensors",
        says: &["table.tsv", "sentence", "text"],
    },
    Bad {
        name: "more examples than there are",
        prepare: |folder| std::fs::write(folder.join("table.tsv"), "text\tlabel\na b\t1\nb a\t0\n").unwrap(),
        command: "freeze --checkpoint tiny --table table.tsv --columns text,label --examples 5 --out out.safetensors",
        says: &["--examples", "found 5"],
    },
    Bad {
        name: "longer than the position table",
        prepare: |_| {},
        command: "freeze --checkpoint tiny --table t.tsv --columns a,b --max-len 512 --out out.safetensors",
        says: &["--max-len", "48", "512"],
    },
    Bad {
        name: "a device that this program was not built for",
        prepare: |_| {},
        command: "loss --checkpoint model --set set.safetensors --device cuda",
        says: &["--device", "cuda:0", "fix:"],
    },
    Bad {
        name: "a checkpoint that is no folder",
        prepare: |_| {},
        command: "loss --checkpoint ./bert-base-uncased --set set.safetensors",
        says: &["bert-base-uncased", "checkpoint", "folder", "fix:"],
    },
    Bad {
        name: "a checkpoint that is neither a folder nor in the cache",
        prepare: |_| {},
        command: "loss --checkpoint bert-base-uncased --set set.safetensors",
        says: &["bert-base-uncased", "folder", "cache", "HF_HUB_OFFLINE", "fix:"],
    },
    Bad {
        name: "directions of another model",
        prepare: |folder| {
            std::fs::copy(fixture("parity/mlm/directions.safetensors"), folder.join("d.safetensors"))
                .unwrap();
            rewrite(&folder.join("d.safetensors"), |map| {
                let x = map["x.bert.embeddings.LayerNorm.bias"].clone();
                map.insert("x.classifier.weight".into(), x);
            });
        },
        command: "surface --checkpoint model --set set.safetensors --directions d.safetensors --out out.csv",
        says: &["d.safetensors", "x.classifier.weight", "[3, 16]", "fix:"],
    },
    Bad {
        name: "a surface with a point missing",
        prepare: |folder| {
            std::fs::write(folder.join("s.csv"), "x,y,loss,loss_se\n0,0,1,0\n1,0,1,0\n0,1,1,0\n").unwrap();
        },
        command: "render s.csv --out out.svg",
        says: &["s.csv", "grid", "3 rows", "fix:"],
    },
    Bad {
        name: "a figure format that is not written",
        prepare: |_| {},
        command: "render s.csv --out out.gif",
        says: &["--out", ".svg, .pdf, .png or .html", ".csv, .h5, .npz or .vti", "out.gif"],
    },
    Bad {
        name: "a view from straight above, asked for beside a good format",
        prepare: |folder| {
            std::fs::write(folder.join("s.csv"), "x,y,loss,loss_se\n0,0,1,0\n1,0,1,0\n0,1,1,0\n1,1,2,0\n")
                .unwrap();
        },
        command: "render s.csv --view 3d --elevation 90 --out out.svg --out out.pdf",
        says: &["elevation", "between 0 and 90", "found 90", "fix:"],
    },
    Bad {
        name: "a page to turn of a table",
        prepare: |folder| {
            let rates = "site,score,score_se,rank,p\nembeddings,,,0,0\nlayer.0.attention_probs,,,1,0.1\n\
                         layer.0.attention_output,,,2,0.1\nlayer.0.ffn_output,,,3,0.1\n";
            std::fs::write(folder.join("rates.csv"), rates).unwrap();
        },
        command: "render rates.csv --out out.svg --out out.html",
        says: &["--out", ".html", "shows surfaces only"],
    },
    Bad {
        name: "marks for two of three surfaces",
        prepare: profile,
        command: "render p.csv p.csv p.csv --marks m.csv --marks m.csv --out out.svg",
        says: &["--marks", "one for each of 3 surfaces", "found 2"],
    },
    Bad {
        name: "a mark without name and order",
        prepare: |folder| {
            profile(folder);
            std::fs::write(folder.join("m.csv"), "label,x,y,order,distance\n,0,0,,\n").unwrap();
        },
        command: "render p.csv --marks m.csv --out out.svg",
        says: &["m.csv", "`label`", "no order"],
    },
    Bad {
        name: "a line seen in 3-D",
        prepare: profile,
        command: "render p.csv --view 3d --out out.svg --out out.txt",
        says: &["--view", "flat for losses along a line"],
    },
    Bad {
        name: "a clip below everything",
        prepare: profile,
        command: "render p.csv --clip -0.5 --out out.svg",
        says: &["`clip`", "above the lowest loss, 0", "found -0.5"],
    },
    Bad {
        name: "a clip of a table",
        prepare: |folder| {
            std::fs::write(
                folder.join("d.csv"),
                "curve,eigenvalue,density,density_sd\ndensity,0,1,\ndensity,1,1,\n",
            )
            .unwrap();
        },
        command: "render d.csv --clip 1 --out out.svg",
        says: &["--clip, --marks", "spectral density"],
    },
    Bad {
        name: "an angle of a flat figure",
        prepare: |_| {},
        command: "render s.csv --azimuth -30 --out out.svg",
        says: &["--azimuth", "--view 3d", "-30"],
    },
];

/// A loss along a line, and a mark on it.
fn profile(folder: &Path) {
    std::fs::write(
        folder.join("p.csv"),
        "x,y,loss,loss_se,accuracy\n0,0,1,0.1,0.9\n0.5,0,3,0.1,0.8\n1,0,2,0.1,0.7\n",
    )
    .unwrap();
    std::fs::write(folder.join("m.csv"), "label,x,y,order,distance\nguided,1,0,,\n").unwrap();
}

/// Oracle: the file's own numbers. One call gives figure and caption, and the marks are among the inputs.
#[test]
fn a_line_is_drawn_with_its_marks_metric_and_caption() -> Outcome {
    let folder = tempfile::tempdir()?;
    profile(folder.path());
    let command = "render p.csv --titles path --marks m.csv --clip 1.5 --x-label there --width icml --out out.svg --out out.txt";
    fisherscape(command).current_dir(folder.path()).assert().success();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
    let svg = read("out.svg")?;
    for words in
        [">guided<", ">accuracy<", ">there<", "clipped above 1.5: 1 of 3 points, up to 2<", "width=\"234pt\""]
    {
        assert!(svg.contains(words), "{words}");
    }
    // Around the model at 0, whose loss is 1, rises are drawn.
    assert!(read("out.txt")?.contains("path: 3 points, from 0 to 2, 1 above the clip at 1.5"));
    assert!(svg.contains("rise of loss (nats)"));
    assert!(read("out.svg.provenance.toml")?.contains("marks: m.csv"));
    Ok(())
}

/// Oracle: docs/formats.md: exit code 1, a message that names file, field, expected, found and fix, nothing left behind.
#[test]
fn bad_input_gets_one_clear_message_and_leaves_nothing_behind() -> Outcome {
    for bad in BAD {
        let folder = tempfile::tempdir()?;
        copy_folder(&fixture("parity/cls/model"), &folder.path().join("model"));
        copy_folder(&fixture("tiny/model"), &folder.path().join("tiny"));
        std::fs::copy(fixture("parity/cls/set.safetensors"), folder.path().join("set.safetensors"))?;
        std::fs::copy(fixture("parity/cls/fisher.safetensors"), folder.path().join("f.safetensors"))?;
        (bad.prepare)(folder.path());
        let before = contents(folder.path());
        let output = fisherscape(bad.command).current_dir(folder.path()).output()?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{}: {message}", bad.name);
        assert!(message.starts_with("error: "), "{}: {message}", bad.name);
        assert!(
            !message.contains("panicked") && !message.contains("tensor operation"),
            "{}: {message}",
            bad.name
        );
        for part in bad.says {
            assert!(message.contains(part), "{}: no `{part}` in\n{message}", bad.name);
        }
        assert!(before == contents(folder.path()), "{}: something was left behind", bad.name);
    }
    Ok(())
}

/// Oracle: docs/formats.md: wrong usage is exit code 2.
#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        "",
        "loss",
        "surface --checkpoint m --set s --out o.csv --mask middle:0.1",
        "schedule --out o.csv",
        "train --checkpoint m --table t --columns a,b --dropout uniform:1 --out o",
        "loss --checkpoint m --set s --threads 0",
    ] {
        fisherscape(arguments).assert().code(2);
    }
}

/// Oracle: the exit code. Work does not end because nobody reads what it says (`2>&1 | head`).
#[test]
fn readers_that_leave_do_not_end_the_work() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("fisherscape"))
        .args([
            "fisher",
            "-v",
            "--checkpoint",
            &model.display().to_string(),
            "--set",
            &set.display().to_string(),
        ])
        .args(["--out", "f.safetensors"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait()?.code(), Some(0));
    assert!(folder.path().join("f.safetensors").exists());
    Ok(())
}

/// Oracle: the commands that the help lists. Every one of them is completed and has a manual page, with its options; hidden ones have
/// none. Catches a command that is added and left out there.
#[test]
fn every_command_is_completed_and_has_a_manual_page() -> Outcome {
    let folder = tempfile::tempdir()?;
    let man = folder.path().join("man1");
    fisherscape("man").arg(&man).assert().success();
    let output = |words: &str| -> Outcome<String> {
        Ok(String::from_utf8(fisherscape(words).assert().success().get_output().stdout.clone())?)
    };
    let (help, bash) = (output("--help")?, output("completions bash")?);
    let listed =
        help.split_once("Commands:\n").and_then(|(_, rest)| rest.split_once("\n\n")).ok_or("no commands")?.0;
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| {
            line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   "))
        })
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 15 && names.contains(&"surface"), "{names:?}");
    for name in &names {
        let page = std::fs::read_to_string(man.join(format!("fisherscape-{name}.1")))?;
        assert!(page.contains(".SH OPTIONS") && bash.contains(&format!("fisherscape,{name})")), "{name}");
    }
    // And one of the program itself.
    assert_eq!(std::fs::read_dir(&man)?.count(), names.len() + 1);
    assert!(std::fs::read_to_string(man.join("fisherscape-surface.1"))?.contains("resolution"));
    Ok(())
}
