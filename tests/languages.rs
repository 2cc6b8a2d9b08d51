//! Language models: training on text, and the shipped analyses, from nothing but a configuration.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::analysis::{results, same};
use crate::support::{Outcome, copy_folder, fisherscape, fixture};

/// Name of the analysis, tokenizer, and a configuration for its tokens.
const MODELS: [(&str, &str, &str); 3] = [
    (
        "gpt2",
        "tokenizer/gpt2",
        r#"{"model_type": "gpt2", "vocab_size": 340, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}"#,
    ),
    (
        "llm",
        "tokenizer/gpt2",
        r#"{"model_type": "llama", "vocab_size": 340, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "tie_word_embeddings": true}"#,
    ),
    (
        "t5",
        "tokenizer/t5",
        r#"{"model_type": "t5", "vocab_size": 23, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
        "decoder_start_token_id": 0, "pad_token_id": 0}"#,
    ),
];

/// A configuration beside its tokenizer, and a text in which one word tells the next; of the letters that every tokenizer has.
fn prepare(folder: &Path, tokenizer: &str, config: &str) -> Outcome {
    copy_folder(&fixture(tokenizer), &folder.join("new"));
    std::fs::write(folder.join("new/config.json"), config)?;
    let (first, second) = (["cab", "deed", "fig", "jade"], ["beach", "edge", "hike", "caged"]);
    let line = |i: usize| format!("a bad {} {} hid a {} jab", first[i % 4], second[i % 4], first[i / 4 % 4]);
    let text: Vec<String> = (0..200).map(line).collect();
    Ok(std::fs::write(folder.join("text.txt"), text.join("\n"))?)
}

/// Oracles: the unigram entropy of the held-out targets, which only a model that reads the context gets below by two
/// standard errors; `loss` on the folder and
/// the set that were written; the same bytes at one and at two threads.
#[test]
fn decoders_learn_from_text() -> Outcome {
    for (name, tokenizer, config) in MODELS {
        let folder = tempfile::tempdir()?;
        prepare(folder.path(), tokenizer, config)?;
        let train = |out: &str, threads: usize| {
            let command = "pretrain --config new/config.json --text text.txt --batch 16 --lr 1e-2 --steps 100 --min-words 3";
            fisherscape(&format!("--threads {threads} {command} --out {out}"))
                .current_dir(folder.path())
                .assert()
                .success();
        };
        train("a", 1);
        train("b", 2);
        let read = |out: &str| std::fs::read(folder.path().join(out).join("model.safetensors"));
        assert!(read("a")? == read("b")?, "{name}: threads");
        let loss = fisherscape("loss --checkpoint a --set a/held_out.safetensors --json")
            .current_dir(folder.path())
            .output()?;
        let loss: serde_json::Value = serde_json::from_slice(&loss.stdout)?;
        let history = std::fs::read_to_string(folder.path().join("a/history.csv"))?;
        let last: Vec<f64> =
            history.lines().last().unwrap_or("").split(',').map(str::parse).collect::<Result<_, _>>()?;
        let (loss, entropy) =
            (loss["loss"].as_f64().ok_or("no loss")?, loss["unigram_entropy"].as_f64().ok_or("no entropy")?);
        assert!(
            (last[3] - loss).abs() < 1e-12 && loss + 2.0 * last[4] < entropy,
            "{name}: {last:?}, {loss}, {entropy}"
        );
    }
    Ok(())
}

/// Oracle: the undisturbed run. The shipped analyses of decoders, on a model drawn at random, end to end; killed, they go on to the same bytes.
#[test]
fn analyses_of_decoders_run_and_go_on() -> Outcome {
    // That of T5 has a test of its own.
    for (name, tokenizer, config) in &MODELS[..2] {
        let folder = tempfile::tempdir()?;
        prepare(folder.path(), tokenizer, config)?;
        fisherscape("pretrain --config new/config.json --steps 0 --out model")
            .current_dir(folder.path())
            .assert()
            .success();
        let sets = [
            "model.checkpoint=model",
            "data.text=text.txt",
            "data.min_words=3",
            "fisher.examples=60",
            "surface.examples=8",
            "surface.resolution=3",
            "surface.masks=[\"top:0.05\",\"random:0.05\"]",
        ];
        let run = |out: &str| {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin("fisherscape"));
            command.args(["run", name, "--out", out]).args(sets.iter().flat_map(|set| ["--set", set]));
            command.current_dir(folder.path()).env("HF_HUB_OFFLINE", "1").stdout(Stdio::null());
            command
        };
        let output = run("whole").stderr(Stdio::piped()).output()?;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        for wait in [150, 400] {
            let mut child = run("cut").stderr(Stdio::null()).spawn()?;
            std::thread::sleep(Duration::from_millis(wait));
            child.kill()?;
            child.wait()?;
        }
        assert!(run("cut").stderr(Stdio::null()).status()?.success());
        let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
        // Their own names stand in provenance and page.
        same(&results(&cut), &results(&whole));
        assert!(whole.join("tables/stability.csv").exists() || whole.join("stability").exists());
    }
    Ok(())
}
