//! The WordPiece vocabulary, and pre-training with the binary.

use std::collections::BTreeMap;
use std::path::Path;

use fisherscape::data::row::{Row, RowLabel};
use fisherscape::data::tokenizer::Tokenizer;
use fisherscape::data::vocabulary;

use crate::support::{Outcome, fisherscape, fixture};

const TEXT: &str = "Low lower lowest, the newest newest newest café; wider wide widest widest.\n\
                    aaaa aaa aaaaa banana bananas ananas na na na\nthe low wide banana was newest of the lot";

fn rows() -> Vec<Row> {
    TEXT.lines()
        .map(|text| Row { text: text.into(), pair: None, label: RowLabel::None, group: None })
        .collect()
}

/// The definition, written down slowly: count every pair of the text anew before each merge.
fn slowly(words: &BTreeMap<String, u64>, size: usize) -> Vec<String> {
    let piece = |(i, c): (usize, char)| if i == 0 { c.to_string() } else { format!("##{c}") };
    let mut cut: Vec<(Vec<String>, u64)> =
        words.iter().map(|(w, n)| (w.chars().enumerate().map(piece).collect(), *n)).collect();
    let mut alphabet: Vec<String> = cut.iter().flat_map(|(word, _)| word.clone()).collect();
    alphabet.sort();
    alphabet.dedup();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let mut vocabulary: Vec<String> = special.into_iter().chain(alphabet).collect();
    while vocabulary.len() < size {
        let age = |piece: &String| vocabulary.iter().position(|p| p == piece).unwrap();
        let mut pairs: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for (word, n) in &cut {
            word.windows(2).for_each(|w| *pairs.entry((age(&w[0]), age(&w[1]))).or_default() += n);
        }
        let Some(most) = pairs.values().copied().max().filter(|n| *n >= 2) else { break };
        let (left, right) = *pairs.iter().find(|(_, n)| **n == most).unwrap().0;
        let (left, right) = (vocabulary[left].clone(), vocabulary[right].clone());
        let merged = format!("{left}{}", right.trim_start_matches("##"));
        for (word, _) in &mut cut {
            let mut i = 0;
            while i + 1 < word.len() {
                if word[i] == left && word[i + 1] == right {
                    word.splice(i..i + 2, [merged.clone()]);
                }
                i += 1;
            }
        }
        if !vocabulary.contains(&merged) {
            vocabulary.push(merged);
        }
    }
    vocabulary
}

/// Oracle: the definition written down slowly. Catches a count that goes stale, a pair of equal pieces merged twice,
/// ties by the order of a hash map; words are lower-case and without accents, as BERT's.
#[test]
fn a_vocabulary_equals_the_one_recounted_before_each_merge() -> Outcome {
    let words = vocabulary::words(&rows())?;
    assert_eq!((words["newest"], words["cafe"], words["the"], words[","]), (4, 1, 3, 1));
    for size in [40, 60, 1000] {
        assert_eq!(vocabulary::train(&rows(), size)?, slowly(&words, size), "size {size}");
    }
    let whole = vocabulary::train(&rows(), 1000)?;
    assert!(whole.contains(&"newest".into()) && !whole.contains(&"cafe".into()), "{whole:?}");
    assert!(vocabulary::train(&rows(), 10).is_err_and(|e| e.to_string().contains("--vocab-size")));
    Ok(())
}

/// Oracle: WordPiece by hand, longest piece first; the files say the same as the vocabulary.
#[test]
fn a_written_tokenizer_reads_back() -> Outcome {
    let folder = tempfile::tempdir()?;
    let pieces: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##a", "##b", "ab", "##ab", ","]
            .map(String::from)
            .to_vec();
    Tokenizer::write(folder.path(), &pieces, 16)?;
    let row = Row { text: "Ábab, c aab [MASK]".into(), pair: None, label: RowLabel::None, group: None };
    let read = |folder: &Path| -> Outcome<_> {
        let tokenizer = Tokenizer::load(folder)?;
        Ok((tokenizer.examples(std::slice::from_ref(&row), 16)?[0].ids.clone(), tokenizer.vocabulary_hash()))
    };
    let (ids, hash) = read(folder.path())?;
    assert_eq!(ids, [2, 8, 9, 10, 1, 5, 9, 4, 3]);
    std::fs::remove_file(folder.path().join("tokenizer.json"))?;
    assert_eq!(read(folder.path())?, (ids, hash), "from vocab.txt");
    Ok(())
}

/// A small configuration and a text in which one word tells the next.
fn prepare(folder: &Path) -> Outcome {
    std::fs::create_dir(folder.join("new"))?;
    let config = r#"{"model_type": "bert", "vocab_size": 1, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 24}"#;
    std::fs::write(folder.join("new/config.json"), config)?;
    let (animals, sounds) = (["cat", "dog", "cow", "duck"], ["meows", "barks", "moos", "quacks"]);
    let line = |i: usize| {
        format!("the {} {} when it sees the {} come home", animals[i % 4], sounds[i % 4], animals[i / 4 % 4])
    };
    let text: Vec<String> = (0..400).map(line).collect();
    Ok(std::fs::write(folder.join("text.txt"), text.join("\n"))?)
}

const NEW: &str = "pretrain --config new/config.json --vocab-size 80 --text text.txt --batch 16 --lr 1e-2";

/// Oracles: the unigram entropy of the held-out targets, which only a model that reads the context gets below; `loss` on
/// the folder and the set that were written; the same bytes at one and at two threads.
#[test]
fn a_new_model_learns_from_context() -> Outcome {
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    for threads in [1, 2] {
        let command = format!("{NEW} --steps 60 --dropout none --threads {threads} --out {threads}");
        fisherscape(&command).current_dir(folder.path()).assert().success();
    }
    for file in [
        "model.safetensors",
        "history.csv",
        "metrics.csv",
        "held_out.safetensors",
        "tokenizer.json",
        "config.json",
    ] {
        let read = |threads: &str| std::fs::read(folder.path().join(threads).join(file));
        assert_eq!(read("1")?, read("2")?, "{file}");
    }
    let history = std::fs::read_to_string(folder.path().join("1/history.csv"))?;
    assert_eq!(history.lines().count(), 21);
    let last: Vec<f64> = history.lines().last().unwrap().split(',').map(|v| v.parse().unwrap()).collect();
    let (loss, entropy) = (last[3], last[6]);
    assert!(loss < 0.8 * entropy, "loss {loss}, unigram entropy {entropy}");
    let command = "loss --checkpoint 1 --set 1/held_out.safetensors --json";
    let output = fisherscape(command).current_dir(folder.path()).output()?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert!((json["loss"].as_f64().unwrap() - loss).abs() < 1e-12);
    Ok(())
}

/// Oracle: the uninterrupted run, byte by byte. The process is killed as soon as there is something to go on from, so it
/// cannot end by itself: its state is saved after the first of twenty rows.
#[test]
fn a_killed_process_goes_on_to_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    let run = |out: &str| format!("{NEW} --steps 400 --dropout uniform:0.1 --out {out}");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_fisherscape"))
        .args(format!("-q {}", run("killed")).split_whitespace())
        .current_dir(folder.path())
        .spawn()?;
    let state = folder.path().join("killed/training.unfinished");
    while !state.exists() {
        assert!(child.try_wait()?.is_none(), "ended without leaving a state");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    assert!(state.exists() && !folder.path().join("killed/model.safetensors").exists(), "not killed in time");
    for out in ["killed", "whole"] {
        fisherscape(&run(out)).current_dir(folder.path()).assert().success();
    }
    assert!(!state.exists(), "the state was left behind");
    for file in ["model.safetensors", "history.csv", "metrics.csv", "held_out.safetensors"] {
        let read = |out: &str| std::fs::read(folder.path().join(out).join(file));
        assert_eq!(read("killed")?, read("whole")?, "{file}");
    }
    Ok(())
}

/// Oracle: transformers' initialisation: N(0, initializer_range²) within 5 standard errors, LayerNorm 1 and 0, other
/// vectors 0, and a row of zeros for `[PAD]`, which the decoder's gradient may still move.
#[test]
fn a_new_model_is_initialised_as_bert_is() -> Outcome {
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    fisherscape(&format!("{NEW} --steps 0 --out fresh")).current_dir(folder.path()).assert().success();
    let theta = crate::support::tensors(&folder.path().join("fresh/model.safetensors"));
    for (name, tensor) in &theta {
        let own = crate::support::values(tensor);
        if tensor.rank() == 1 {
            let wanted = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            assert!(own.iter().all(|v| *v == wanted), "{name}");
            continue;
        }
        let own = if name.contains("word_embeddings") { &own[16..] } else { &own[..] };
        let n = own.len() as f64;
        let variance = own.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n / 0.02f64.powi(2);
        assert!((variance - 1.0).abs() <= 5.0 * (2.0 / n).sqrt(), "{name}: {variance}");
    }
    let pad = crate::support::values(&theta["bert.embeddings.word_embeddings.weight"]);
    assert!(pad[..16].iter().all(|v| *v == 0.0) && pad[16..32].iter().any(|v| *v != 0.0));
    let loads = format!(
        "freeze --checkpoint fresh --table {} --columns sentence,label --out s.safetensors",
        fixture("tiny/sentiment.tsv").display()
    );
    fisherscape(&loads).current_dir(folder.path()).assert().success();
    Ok(())
}
