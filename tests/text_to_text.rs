//! Text to text: spans left out of a text, tables of texts, blocks of text; and the commands over an encoder-decoder.

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::Command;
use fisherscape::data::corruption;
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::rng::Stream;
use fisherscape::tasks::Kind;

use crate::parity::open;
use crate::support::{Outcome, copy_folder, fixture, json, values};

/// The end token of the fixture's vocabulary, and the mark of the first span; the others count downward.
const END: u32 = 1;
const FIRST: u32 = 22;

/// A second tokenizer for words of the letters a to k: a mark before each, a piece for each letter.
fn pieces(text: &str) -> Vec<u32> {
    let word = |word: &str| -> Vec<u32> {
        std::iter::once(3).chain(word.bytes().map(|c| u32::from(c - b'a') + 4)).collect()
    };
    text.split_whitespace().flat_map(word).collect()
}

/// A checkpoint of 23 tokens, with the tokenizer of letters.
fn checkpoint(model: &str, folder: &Path) -> Outcome {
    copy_folder(&fixture(model).join("model"), folder);
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture("tokenizer/t5").join(name), folder.join(name))?;
    }
    Ok(())
}

/// A command's standard output and what it says on the way, at this exit code.
fn run(command: &str, code: i32) -> Outcome<(String, String)> {
    let mut own = Command::cargo_bin("fisherscape")?;
    let ran = own.args(command.split_whitespace()).env("HF_HUB_OFFLINE", "1").output()?;
    let [out, said] = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(ran.status.code(), Some(code), "{command}: {said}");
    Ok((out, said))
}

/// Random words.
fn line(number: u64, words: u64) -> String {
    let stream = Stream::new(3, "test/words").at(number);
    let letter = |at: u64| char::from(b'a' + stream.below(at, 11) as u8);
    let word =
        |w: u64| (0..1 + stream.below(100 * w, 5)).map(|i| letter(100 * w + 1 + i)).collect::<String>();
    (1..=words).map(word).collect::<Vec<_>>().join(" ")
}

/// The spans of what is to be written, in turn: the mark and its tokens.
fn spans(written: &[u32]) -> Vec<(u32, Vec<u32>)> {
    let mut spans: Vec<(u32, Vec<u32>)> = Vec::new();
    for token in written {
        match spans.last_mut() {
            Some((_, span)) if *token < 15 => span.push(*token),
            _ => spans.push((*token, Vec::new())),
        }
    }
    spans
}

/// What is read, with the spans back in the place of their marks.
fn whole(read: &[u32], written: &[u32]) -> Vec<u32> {
    let spans: BTreeMap<u32, Vec<u32>> = spans(written).into_iter().collect();
    read.iter().flat_map(|token| spans.get(token).cloned().unwrap_or(vec![*token])).collect()
}

/// One text, corrupted: what is read, and what is written, both without their end tokens.
fn corrupted(text: &[u32], seed: u64) -> Outcome<(Vec<u32>, Vec<u32>)> {
    let tokenizer = Tokenizer::load(&fixture("tokenizer/t5"))?;
    let (mut examples, short) = corruption::examples(vec![(text.to_vec(), Some(7))], &tokenizer, seed)?;
    assert_eq!((examples.len(), short), (1, 0));
    let example = examples.remove(0);
    assert_eq!((example.group, example.target.decoded), (Some(7), true));
    let (mut read, mut written) = (example.ids, example.target.labels.classes().to_vec());
    assert_eq!((read.pop(), written.pop()), (Some(END), Some(END)));
    Ok((read, written))
}

/// Oracle: the numbers of docs/definitions.md section 8 in floating point, and a second way back to the text. Catches halves that
/// round down, a span that is empty or meets the next, marks out of turn, and a text that begins with a span.
#[test]
fn spans_are_left_out_as_defined() -> Outcome {
    for n in 2..=150usize {
        let text: Vec<u32> = (0..n as u32).map(|i| 3 + i * 7 % 12).collect();
        let (read, written) = corrupted(&text, n as u64)?;
        assert_eq!(whole(&read, &written), text);
        let noise = (0.15 * n as f64 + 1e-9).round().clamp(1.0, (n - 1) as f64);
        let count = (noise / 3.0 + 1e-9).round().clamp(1.0, n as f64 - noise);
        let spans = spans(&written);
        assert_eq!(written.len(), noise as usize + spans.len(), "{n}");
        assert_eq!(spans.len(), count as usize, "{n}");
        assert!(spans.iter().all(|(_, span)| !span.is_empty()));
        let marks: Vec<u32> = read.iter().copied().filter(|token| *token >= 15).collect();
        assert_eq!(marks, (0..count as u32).map(|k| FIRST - k).collect::<Vec<_>>());
        assert!(read[0] < 15 && read.windows(2).all(|pair| pair[0] < 15 || pair[1] < 15), "{n}: {read:?}");
    }
    Ok(())
}

/// Oracle: of 40 tokens 6 are left out in 2 spans, whose lengths make 5 pairs, and those of the rest 33, each as likely as
/// another: chi-squares of 4 and 32 degrees of freedom, five standard deviations above their means. The draws are a function of
/// the seed and of the text's number. Catches cuts that may be equal or at an end, and two draws that are one.
#[test]
fn lengths_are_uniform_compositions() -> Outcome {
    let text: Vec<u32> = (0..40).map(|i| 3 + i % 12).collect();
    let (mut lengths, mut rests) = (vec![0f64; 5], vec![0f64; 33]);
    let draws = 3300;
    for seed in 0..draws {
        let (read, written) = corrupted(&text, seed)?;
        lengths[spans(&written)[0].1.len() - 1] += 1.0;
        rests[read.iter().take_while(|token| **token < 15).count() - 1] += 1.0;
    }
    for (counts, bound) in [(lengths, 4.0 + 5.0 * 8f64.sqrt()), (rests, 32.0 + 5.0 * 64f64.sqrt())] {
        let wanted = draws as f64 / counts.len() as f64;
        let chi_square: f64 = counts.iter().map(|count| (count - wanted).powi(2) / wanted).sum();
        assert!(chi_square < bound, "{chi_square}: {counts:?}");
    }
    assert_eq!(corrupted(&text, 5)?, corrupted(&text, 5)?);
    let tokenizer = Tokenizer::load(&fixture("tokenizer/t5"))?;
    let three = |first: &[u32]| {
        let texts = [first, &text[..1], &text].map(|text| (text.to_vec(), None)).to_vec();
        corruption::examples(texts, &tokenizer, 9)
    };
    let ((a, short), (b, _)) = (three(&text)?, three(&text[..20])?);
    assert_eq!((a.len(), short), (2, 1));
    assert!(a[1] == b[1] && a[0] != a[1]);
    Ok(())
}

/// Oracle: the vocabulary, which has eight marks; and one without any, or without an end token.
#[test]
fn vocabularies_without_the_marks_are_refused() -> Outcome {
    let refused = |folder: &Path, n: u32| -> Outcome<String> {
        let text = (vec![3; n as usize], None);
        let message = corruption::examples(vec![text], &Tokenizer::load(folder)?, 0).err();
        Ok(message.ok_or("no error")?.to_string())
    };
    // 30 tokens left out in 10 spans.
    let message = refused(&fixture("tokenizer/t5"), 200)?;
    assert!(message.contains("<extra_id_8>") && message.contains("10 spans"), "{message}");
    assert!(refused(&fixture("tokenizer/gpt2"), 5)?.contains("<extra_id_0>"));
    assert!(refused(&fixture("tiny/model"), 5)?.contains("end token"));
    Ok(())
}

/// Oracle: a second tokenizer, for a table and for blocks of text. Labels of a text to text set have a length of their own, and end
/// with the end token. Catches a post-processor's tokens between lines, a block that is cut short, and a label without its row.
#[test]
fn tables_and_blocks_are_frozen() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let [t5, gpt2] = ["t5", "gpt2"].map(at);
    checkpoint("parity/t5-s2s", &t5)?;
    checkpoint("parity/gpt2-clm", &gpt2)?;
    let rows = [("bad cab", "a"), ("a bee", "feed jade"), ("dead", "None"), ("high", "")];
    let table: String = rows.iter().map(|(source, target)| format!("{source}\t{target}\n")).collect();
    std::fs::write(at("table.tsv"), format!("source\ttarget\n{table}"))?;
    let out = at("table.safetensors");
    let freeze = |options: &str, checkpoint: &Path, out: &Path, code: i32| -> Outcome<String> {
        let (checkpoint, out) = (checkpoint.display(), out.display());
        Ok(run(&format!("freeze --checkpoint {checkpoint} --out {out} {options}"), code)?.1)
    };
    let options = format!("--table {} --columns source,target --max-len 9", at("table.tsv").display());
    // A row without a target is counted.
    assert!(freeze(&options, &t5, &out, 0)?.contains("no label"));
    let set = FrozenSet::read(&out)?;
    assert_eq!((set.kind, set.examples.len()), (Kind::Seq2SeqLm, 3));
    for (example, (source, target)) in set.examples.iter().zip(rows) {
        let closed = |text: &str| {
            let mut all = pieces(text);
            all.truncate(8);
            [all, vec![END]].concat()
        };
        assert_eq!(example.ids, closed(source));
        // Letters beyond the vocabulary's are unknown, one piece a run.
        let wanted = if target == "None" { vec![3, 2, 8, END] } else { closed(target) };
        assert_eq!(example.target.labels.classes(), wanted);
    }
    // What another model would take for classes; and a task with classes, which is none for a model that writes texts.
    let none = at("no.safetensors");
    let message = freeze(&format!("{options} --labels text"), &gpt2, &none, 1)?;
    assert!(message.contains("`objective`") && message.contains("text to text"), "{message}");
    let message = freeze("--task supersense", &t5, &none, 1)?;
    assert!(message.contains("--columns source,target"), "{message}");

    let lines: Vec<String> = (0..7).map(|number| line(number, 3 + number)).collect();
    std::fs::write(at("text.txt"), lines.join("\n"))?;
    let tokens: Vec<u32> = lines.iter().flat_map(|line| [pieces(line), vec![END]].concat()).collect();
    let out = at("blocks.safetensors");
    let options = format!("--text {} --pack --max-len 10 --min-words 1", at("text.txt").display());
    let rest = format!("the last {} tokens do not fill a block", tokens.len() % 10);
    assert!(!tokens.len().is_multiple_of(10));
    assert!(freeze(&options, &gpt2, &out, 0)?.contains(&rest));
    let set = FrozenSet::read(&out)?;
    assert_eq!((set.kind, set.examples.len()), (Kind::CausalLm, tokens.len() / 10));
    for (example, block) in set.examples.iter().zip(tokens.chunks(10)) {
        assert_eq!(example.ids, block);
        assert_eq!(example.target.labels.classes(), &block[1..]);
    }
    assert!(freeze(&options, &t5, &none, 1)?.contains("--pack"));
    assert!(!none.exists());
    Ok(())
}

/// Oracle: the text itself, put together again; the model's blocks and sites by their names. The whole way of an encoder-decoder:
/// freeze, loss, Fisher information, schedule, training with guided dropout, and what was trained read again.
#[test]
fn an_encoder_decoder_goes_the_whole_way() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    checkpoint("parity/flan-t5-s2s", &folder.path().join("model"))?;
    let lines: Vec<String> = (0..12).map(|number| line(number, 2 + number)).collect();
    std::fs::write(at("text.txt"), lines.join("\n"))?;
    let model = at("model");
    let text = at("text.txt");
    run(
        &format!("freeze --checkpoint {model} --text {text} --min-words 1 --out {}", at("set.safetensors")),
        0,
    )?;
    let set = FrozenSet::read(&folder.path().join("set.safetensors"))?;
    for (example, line) in set.examples.iter().zip(&lines) {
        let written = example.target.labels.classes();
        let (read, written) = (&example.ids[..example.len() - 1], &written[..written.len() - 1]);
        assert_eq!(whole(read, written), pieces(line));
    }
    let set = at("set.safetensors");
    run(&format!("fisher --checkpoint {model} --set {set} --per-example --out {}", at("F.safetensors")), 0)?;
    run(&format!("schedule --fisher {} --out {}", at("F.safetensors"), at("rates.csv")), 0)?;
    let mut rates = csv::Reader::from_path(at("rates.csv"))?;
    let mut sites: Vec<String> =
        rates.records().map(|row| Ok(row?[0].to_string())).collect::<csv::Result<_>>()?;
    sites.sort();
    let own = |stack: &str, k: usize, roles: &str| -> Vec<String> {
        roles.split(' ').map(|role| format!("{stack}.layer.{k}.{role}")).collect()
    };
    let encoder = "attention_output attention_probs ffn_output intermediate";
    let decoder = "attention_output attention_probs cross_output cross_probs ffn_output intermediate";
    let wanted = [own("decoder", 0, decoder), own("decoder", 1, decoder), vec!["embeddings".into()]];
    assert_eq!(sites, [wanted.concat(), own("encoder", 0, encoder)].concat());

    let table: String = (0..20).map(|k| format!("{}\t{}\n", line(k, 3), line(k + 50, 2))).collect();
    std::fs::write(at("table.tsv"), format!("source\ttarget\n{table}"))?;
    for (dropout, out) in
        [(format!("guided:{}", at("rates.csv")), "guided"), ("uniform:0.1".into(), "uniform")]
    {
        let (table, out) = (at("table.tsv"), at(out));
        let options = format!("--columns source,target --epochs 2 --batch 4 --lr 1e-3 --dropout {dropout}");
        run(&format!("train --checkpoint {model} --table {table} {options} --out {out}"), 0)?;
    }
    let loss = |model: &str| -> Outcome<f64> {
        let held_out = folder.path().join("guided/held_out.safetensors");
        let out = run(&format!("loss --json --checkpoint {model} --set {}", held_out.display()), 0)?.0;
        let said: serde_json::Value = serde_json::from_str(&out)?;
        let loss = said["loss"].as_f64().ok_or("no loss")?;
        assert!((said["perplexity"].as_f64().ok_or("no perplexity")? / loss.exp() - 1.0).abs() < 1e-12);
        Ok(loss)
    };
    let (before, guided, uniform) = (loss(&model)?, loss(&at("guided"))?, loss(&at("uniform"))?);
    assert!(guided < before && uniform < before && guided != uniform, "{before} {guided} {uniform}");
    let config = json(&folder.path().join("guided/config.json"));
    assert_eq!((&config["scale_decoder_outputs"], &config["model_type"]), (&false.into(), &"t5".into()));

    let options = "--min-words 1 --held-out 0.25 --steps 6 --batch 4 --lr 1e-3";
    run(&format!("pretrain --checkpoint {model} --text {text} {options} --out {}", at("more")), 0)?;
    let held_out = FrozenSet::read(&folder.path().join("more/held_out.safetensors"))?;
    assert_eq!((held_out.kind, held_out.examples.len()), (Kind::Seq2SeqLm, 3));
    assert!(loss(&at("more"))? != before);
    Ok(())
}

/// Oracle: the formulas of transformers' `_init_weights`, written out by name. The squares of n normal numbers have mean 1 within
/// five standard errors `sqrt(2 / n)`. (Norms begin at 1, there at the factor, which is 1 in every published configuration.) Catches one spread for all, which leaves T5's scores too wide.
#[test]
fn fresh_models_are_drawn_as_transformers_does() -> Outcome {
    for name in ["parity/t5-s2s", "parity/flan-t5-s2s"] {
        let (mut model, _) = open(&fixture(name));
        model.draw_anew(3)?;
        let config = model.config().clone();
        let [d, inner, depth] =
            [config.hidden_size, config.intermediate_size, config.heads.depth].map(|n| n as f64);
        let wide = depth * config.heads.queries as f64;
        let (mut squares, mut n) = (0.0, 0.0);
        for (name, tensor) in &model.theta {
            if name.ends_with("layer_norm.weight") {
                assert!(values(tensor).iter().all(|v| *v == 1.0), "{name}");
                continue;
            }
            let variance = match name.trim_end_matches(".weight").rsplit('.').next() {
                Some("q") => 1.0 / (d * depth),
                Some("o") => 1.0 / wide,
                Some("wo") => 1.0 / inner,
                Some("shared" | "lm_head") => 1.0,
                _ => 1.0 / d,
            };
            // The factor of the configuration.
            let own: f64 =
                values(tensor).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / (0.25 * variance);
            let count = tensor.elem_count() as f64;
            assert!((own / count - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{name}: {}", own / count);
            (squares, n) = (squares + own, n + count);
        }
        assert!((squares / n - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{squares} of {n}");
    }
    Ok(())
}

/// Oracle: the files. The shipped analysis runs on a small model: its figures have the blocks of both stacks.
#[test]
fn the_shipped_analysis_of_t5_runs() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, text, out) =
        (folder.path().join("model"), folder.path().join("text.txt"), folder.path().join("out"));
    checkpoint("parity/t5-s2s", &model)?;
    let lines: Vec<String> = (0..40).map(|number| line(number, 4 + number % 7)).collect();
    std::fs::write(&text, lines.join("\n"))?;
    let own = format!("model.checkpoint={} data.text={}", model.display(), text.display());
    let small = "data.max_len=48 data.min_words=1 fisher.examples=40 stability.fractions=[0.25,0.5] stability.repeats=2 \
                 surface.examples=8 surface.resolution=3";
    let settings: Vec<String> = [own.as_str(), small]
        .into_iter()
        .flat_map(str::split_whitespace)
        .map(|set| format!("--set {set}"))
        .collect();
    run(&format!("run t5 --out {} {}", out.display(), settings.join(" ")), 0)?;
    let fisher = std::fs::read_to_string(out.join("figures/fisher.svg"))?;
    for words in ["enc. 1", "dec. 0", "cross"] {
        assert!(fisher.contains(words), "no {words}");
    }
    let report = std::fs::read_to_string(out.join("report.html"))?;
    assert!(report.contains("decoder.layer.0") || report.contains("dec. 0"));
    for figure in ["schedule", "stability", "surfaces_text"] {
        assert!(out.join(format!("figures/{figure}.svg")).exists(), "{figure}");
    }
    Ok(())
}
