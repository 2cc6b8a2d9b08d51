//! Weights in every file that people have them in, and what is said of files and folders that hold none.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use fisherscape::model::checkpoint::MissingHead;
use fisherscape::model::{Checkpoint, Head};
use fisherscape::params::{self, ParamMap};
use fisherscape::progress;

use crate::support::{Outcome, fixture, tensors, values};

const PICKLE: &str = "pytorch_model.bin";
const SAFETENSORS: &str = "model.safetensors";

/// The configuration of the model of the fixtures, and a file beside it.
fn folder_with(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("pickle/model/config.json"), folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    folder
}

fn parameters(folder: &Path) -> fisherscape::error::Result<ParamMap> {
    Ok(Checkpoint::open(folder)?.model(Head::MaskedLm, MissingHead::Refuse)?.theta)
}

fn refusal(folder: &Path) -> String {
    parameters(folder).map(|_| ()).expect_err("must be refused").to_string()
}

/// As PyTorch wrote it.
fn expected() -> ParamMap {
    tensors(&fixture("pickle/model/model.safetensors"))
}

#[track_caller]
fn same(a: &ParamMap, b: &ParamMap, what: &str) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    for (name, t) in a {
        assert_eq!((t.dims(), values(t)), (b[name].dims(), values(&b[name])), "{what}: {name}");
    }
}

/// The model's tensors changed by `edit`, in a safetensors file.
fn edited(edit: impl FnOnce(&mut ParamMap)) -> tempfile::TempDir {
    let folder = folder_with(SAFETENSORS, b"");
    let mut map = expected();
    edit(&mut map);
    params::write_params(&folder.path().join(SAFETENSORS), &map, &BTreeMap::new()).unwrap();
    folder
}

fn under(prefix: &str, map: ParamMap) -> ParamMap {
    map.into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)).collect()
}

/// Oracle: the same model in a safetensors file; torch.load read each of these files with these values when they were made.
/// Catches a container, protocol, type, wrapper, stride or shared storage that is not read, or read otherwise.
#[test]
fn every_file_that_torch_saves_gives_the_same_model() -> Outcome {
    let expected = expected();
    let mut seen = 0;
    for entry in std::fs::read_dir(fixture("pickle/same"))? {
        let path = entry?.path();
        let folder = folder_with(PICKLE, &std::fs::read(&path)?);
        let read = parameters(folder.path()).map_err(|e| format!("{}: {e}", path.display()))?;
        same(&read, &expected, &path.display().to_string());
        seen += 1;
    }
    assert_eq!(seen, 25);
    Ok(())
}

/// Oracle: what the generator put into each file, in words. Catches code that runs, numbers of another meaning taken as they
/// are, a choice between two models, and a message that names nothing.
#[test]
fn what_is_no_plain_state_dict_is_refused_by_name() -> Outcome {
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    let cases = [
        ("code", vec!["`posix.system`", "code in a pickle is never run"]),
        ("code_legacy", vec!["`posix.system`"]),
        ("two_models", vec!["tensors under `state_dict`, `model`", "save only"]),
        ("list", vec!["found a list"]),
        ("no_tensors", vec!["no tensors", "`best`", "`epoch`"]),
        ("protocol0", vec!["protocol 0"]),
        ("int8", vec![query, "int8", "give the checkpoint that it was made of"]),
        ("float8", vec![query, "float8_e4m3fn"]),
        ("sparse", vec![query, "a sparse tensor"]),
        ("negative", vec!["conjugate or negative"]),
        ("big_endian", vec!["little-endian", "found big"]),
        ("big_endian_legacy", vec!["little-endian", "found big-endian"]),
        ("compressed", vec!["without compression", "Deflate"]),
        ("torchscript", vec!["a TorchScript program", "torch.jit.load"]),
        ("plain_pickle", vec!["a pickle that PyTorch did not write"]),
    ];
    assert_eq!(std::fs::read_dir(fixture("pickle/refused"))?.count(), cases.len());
    for (name, parts) in cases {
        let bytes = std::fs::read(fixture(&format!("pickle/refused/{name}.bin")))?;
        let folder = folder_with(PICKLE, &bytes);
        let said = refusal(folder.path());
        parts.iter().for_each(|part| assert!(said.contains(part), "{name}: no {part:?} in\n{said}"));
        assert!(said.contains("fix: "), "{said}");
    }
    Ok(())
}

/// Oracle: a part of a file is not the file. Catches a panic, an endless loop, and weights made of what is left.
#[test]
fn a_file_cut_anywhere_is_refused() -> Outcome {
    for name in ["legacy", "views", "views_legacy"] {
        let bytes = std::fs::read(fixture(&format!("pickle/same/{name}.bin")))?;
        let folder = folder_with(PICKLE, &[]);
        for length in 0..bytes.len() {
            std::fs::write(folder.path().join(PICKLE), &bytes[..length])?;
            assert!(Checkpoint::open(folder.path()).is_err(), "{name}: {length} of {} bytes", bytes.len());
        }
    }
    Ok(())
}

/// Oracle: a zip archive has a checksum of every part, so a damaged one gives the same model or none. The older container has
/// none: its numbers may change, but nothing else may happen. Catches a panic, and memory or time that a damaged length,
/// shape, stride or count asks for: such a claim can be 2^63, which no machine has.
#[test]
fn a_damaged_file_gives_the_same_model_or_an_error() -> Outcome {
    let expected = expected();
    for name in ["views", "legacy", "strided_legacy"] {
        let mut bytes = std::fs::read(fixture(&format!("pickle/same/{name}.bin")))?;
        let folder = folder_with(PICKLE, &bytes);
        for at in 0..bytes.len() {
            let damage = if at % 2 == 0 { 0xff } else { 1 << (at / 2 % 8) };
            bytes[at] ^= damage;
            std::fs::write(folder.path().join(PICKLE), &bytes)?;
            if let (Ok(read), "views") = (parameters(folder.path()), name) {
                same(&read, &expected, &format!("byte {at} ^ {damage}"));
            }
            bytes[at] ^= damage;
        }
    }
    Ok(())
}

/// A file of before PyTorch 1.6 around an object's pickle; `storages` is the list of their keys and what follows it.
fn legacy(object: &[u8], storages: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let machine = b"\x80\x02}X\r\0\0\0little_endian\x88s.";
    [magic, version.as_slice(), machine, object, storages].concat()
}

/// `{"w": a tensor}` of a shape, strides and offset in a float storage "0" of so many elements.
fn tensor_of(storage: u32, offset: i32, sizes: &[u8]) -> Vec<u8> {
    let int = |n: i32| [b"J".as_slice(), &n.to_le_bytes()].concat();
    let id = [
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu",
        int(storage as i32).as_slice(),
        b"tQ",
    ]
    .concat();
    let call =
        [b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(), &id, &int(offset), sizes, b"\x89}tR"].concat();
    [b"\x80\x02}X\x01\0\0\0w".as_slice(), &call, b"s."].concat()
}

/// Oracle: arithmetic on the claims, by hand. Each is a pickle that says much in few bytes; the answer is an error at once.
/// Catches an allocation for a claim, an overflow, a read outside a storage, and a stack, a memo or a depth without an end.
#[test]
fn claims_beyond_the_file_are_refused() {
    let one = [b"\x80\x02](X\x01\0\0\x000e.".as_slice(), &1u64.to_le_bytes(), &[0; 4]].concat();
    let sizes = |shape: &str, strides: &str| [shape.as_bytes(), strides.as_bytes()].concat();
    // L is a number in digits, `(...t` a tuple.
    let huge = "L4611686018427387904L\n";
    let whole = |object: &[u8]| legacy(&[b"\x80\x02", object].concat(), &one);
    let cases = [
        (
            "an element too far",
            legacy(&tensor_of(1, 1, &sizes("(K\x01t", "(K\x01t")), &one),
            "a whole tensor",
        ),
        ("a negative offset", legacy(&tensor_of(1, -1, &sizes("(K\x01t", "(K\x01t")), &one), "a size of -1"),
        (
            "a huge shape",
            legacy(&tensor_of(1, 0, &sizes(&format!("({huge}t"), "(K\x01t")), &one),
            "a whole tensor",
        ),
        (
            "a shape whose product overflows",
            legacy(&tensor_of(1, 0, &sizes(&format!("({huge}{huge}t"), "(K\0K\0t")), &one),
            "a whole tensor",
        ),
        (
            "one element a million times",
            legacy(&tensor_of(1, 0, &sizes("(J\x40\x42\x0f\0t", "(K\0t")), &one),
            "more than a file of this size can hold",
        ),
        (
            "a storage that is longer than its bytes",
            legacy(&tensor_of(9, 0, &sizes("(K\x02t", "(K\x01t")), &one),
            "whole",
        ),
        (
            "a storage longer than the file",
            legacy(
                &tensor_of(1, 0, &sizes("(K\x01t", "(K\x01t")),
                &[b"\x80\x02](X\x01\0\0\x000e.".as_slice(), &(1u64 << 61).to_le_bytes(), &[0; 4]].concat(),
            ),
            "a storage larger than",
        ),
        ("a text of four gigabytes", whole(b"X\xff\xff\xff\xffabc."), "ends early"),
        ("a text of 2^63 bytes", whole(b"\x8d\0\0\0\0\0\0\0\x80abc."), "ends early"),
        ("a memo's place that is empty", whole(b"h\x05."), "the memo's place 5"),
        ("a stack that is empty", whole(b"."), "without its operands"),
        ("an end inside a tuple", whole(b"K\x01(."), "without its operands"),
        (
            "five million values",
            whole(&[vec![b'N'; 5_000_000], b".".to_vec()].concat()),
            "which no state dict has",
        ),
        (
            "five million marks",
            whole(&[vec![b'('; 5_000_000], b".".to_vec()].concat()),
            "which no state dict has",
        ),
        // A list in a list in a list: nothing may recurse over it.
        (
            "a deep list",
            whole(&[vec![b']'; 500_000], vec![b'a'; 499_999], b".".to_vec()].concat()),
            "found a list",
        ),
        // A dictionary that is its own state_dict.
        ("a circle", whole(b"}q\0X\n\0\0\0state_dicth\0s."), "no tensors"),
        ("a call of a number", whole(b"K\x01)R."), "a call of something that is not a function"),
        ("a name that is not text", whole(b"K\x01K\x02\x93."), "not text"),
        ("an object", whole(b"c__builtin__\neval\n."), "`__builtin__.eval`"),
    ];
    for (what, bytes, part) in cases {
        let folder = folder_with(PICKLE, &bytes);
        let said = refusal(folder.path());
        assert!(said.contains(part), "{what}: no {part:?} in\n{said}");
    }
}

/// Oracle: the model without the wrapper's name. Catches a prefix that stays, and one taken away without a word.
#[test]
fn a_common_prefix_is_taken_away_and_said() -> Outcome {
    for prefix in ["module.", "_orig_mod.", "model.", "module._orig_mod.", "encoder.", "my_own.part."] {
        let folder = edited(|map| {
            *map = under(prefix, std::mem::take(map));
            map.insert("loss.weight".into(), map[&format!("{prefix}cls.predictions.bias")].clone());
        });
        let (read, said) = progress::listen(|| parameters(folder.path()));
        same(&read?, &expected(), prefix);
        assert!(said.notes.iter().any(|note| note.contains(&format!("`{prefix}`"))), "{:?}", said.notes);
    }
    // `bert.` is left out by encoders' own files, and a wrapper then stands before `embeddings`.
    let bare =
        |name: String| name.strip_prefix("bert.").map_or(name.clone(), |rest| format!("encoder.{rest}"));
    let folder = edited(|map| *map = std::mem::take(map).into_iter().map(|(n, t)| (bare(n), t)).collect());
    same(&parameters(folder.path())?, &expected(), "encoder.embeddings");
    let (read, said) = progress::listen(|| parameters(&fixture("pickle/model")));
    same(&read?, &expected(), "no prefix");
    assert!(said.notes.is_empty(), "{:?}", said.notes);
    Ok(())
}

/// Oracle: the files hold two answers, or none; by hand. Catches a silent choice between them.
#[test]
fn names_with_two_meanings_or_none_are_refused() {
    let (gamma, weight) = ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight");
    let changed = |t: &Tensor| (t * 2.0).unwrap();
    let twice = edited(|map| {
        let other = changed(&map[weight]);
        map.insert(gamma.into(), other);
    });
    let said = refusal(twice.path());
    assert!(said.contains(gamma) && said.contains(weight) && said.contains("given once"), "{said}");
    let equal = edited(|map| {
        let other = map[weight].clone();
        map.insert(gamma.into(), other);
    });
    same(&parameters(equal.path()).unwrap(), &expected(), "twice the same");
    // transformers 5 computes with decoder.bias then, and no longer ties the two.
    let biases = edited(|map| {
        let own = map["cls.predictions.bias"].clone();
        map.insert("cls.predictions.bias".into(), (&own + 1.0).unwrap());
        map.insert("cls.predictions.decoder.bias".into(), own);
    });
    same(&parameters(biases.path()).unwrap(), &expected(), "the decoder's bias");
    let two = edited(|map| {
        let (one, mut other) = (under("query.", map.clone()), under("passage.", map.clone()));
        other.remove("passage.bert.embeddings.LayerNorm.bias");
        *map = one.into_iter().chain(other).collect();
    });
    let said = refusal(two.path());
    assert!(said.contains("`passage.`, `query.`") && said.contains("one model"), "{said}");
    let strange = edited(|map| *map = ParamMap::from([("gpt.wte".into(), map[weight].clone())]));
    let said = refusal(strange.path());
    assert!(said.contains("only other names: `gpt.wte`"), "{said}");
}

/// Oracle: transformers 5, which does not tie a stored decoder that differs (tried: 4.946 nats against 5.700 tied).
/// Catches the decoder dropped with a note, as transformers 4 would have tied it.
#[test]
fn a_decoder_that_differs_from_the_embeddings_keeps_its_weight() {
    let (table, decoder) = ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight");
    let stored = |change: f64| {
        edited(|map| {
            let other = (&map[table] * change).unwrap();
            map.insert(decoder.into(), other);
        })
    };
    same(&parameters(stored(1.0).path()).unwrap(), &expected(), "tied");
    let untied = stored(2.0);
    let mut own = parameters(untied.path()).unwrap();
    let weight = own.remove(decoder).expect("a decoder of its own");
    assert_eq!(values(&weight), values(&(&own[table] * 2.0).unwrap()));
    same(&own, &expected(), "untied");
    // Saved, the decoder has its bias under its own name, too: transformers would start it at 0.
    let saved = tempfile::tempdir().unwrap();
    let open =
        |folder: &Path| Checkpoint::open(folder).unwrap().model(Head::MaskedLm, MissingHead::Refuse).unwrap();
    open(untied.path()).save(saved.path(), None).unwrap();
    let written = tensors(&saved.path().join("model.safetensors"));
    assert_eq!(values(&written["cls.predictions.decoder.bias"]), values(&written["cls.predictions.bias"]));
    assert_eq!(values(&open(saved.path()).theta[decoder]), values(&weight));
    // A classifier does not use the decoder.
    let classes =
        Checkpoint::open(untied.path()).unwrap().model(Head::Classes(2), MissingHead::Initialise { seed: 0 });
    assert!(classes.is_ok());
}

/// Oracle: the first bytes that the kinds of files have, from their definitions. Catches a message about a broken header
/// where the file is another one, and a format that is told by its name.
#[test]
fn files_are_known_by_their_first_bytes() -> Outcome {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abab\nsize 438007537\n";
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str); 12] = [
        (pointer, "a git-lfs pointer in place of the file's 438007537 bytes"),
        (b"\n<!DOCTYPE html><html><body>Too many requests</body></html>\n", "a web page"),
        (b"", "an empty file"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x93NUMPY\x01\0", "an array of numpy"),
        (&[0; 64], "zeros"),
        (&tar, "a tar archive"),
        (b"Entry not found", "a text that begins with `Entry not found`"),
        ("{\"error\": \"Zugriff gesperrt \u{fc}ber\"}".as_bytes(), "a text that begins with `{\"error\""),
        (b"PK\x03\x04 and so on", "a whole PyTorch file"),
    ];
    for name in [PICKLE, SAFETENSORS] {
        for (bytes, part) in cases {
            let said = refusal(folder_with(name, bytes).path());
            assert!(said.contains(part) && said.contains(name), "no {part:?} in\n{said}");
        }
    }
    // Either format under the other's name.
    let safetensors = std::fs::read(fixture("pickle/model/model.safetensors"))?;
    let pickle = std::fs::read(fixture("pickle/same/legacy.bin"))?;
    same(&parameters(folder_with(PICKLE, &safetensors).path())?, &expected(), "safetensors as .bin");
    same(&parameters(folder_with(SAFETENSORS, &pickle).path())?, &expected(), "a pickle as .safetensors");
    Ok(())
}

/// Oracle: the files that each tool leaves, from its documentation. Catches "cannot read config.json, check the free space".
#[test]
fn folders_without_weights_are_named_for_what_they_are() -> Outcome {
    let cases: [(&[&str], &[&str]); 16] = [
        (
            &["adapter_config.json", "adapter_model.safetensors"],
            &["a PEFT adapter of `base`", "merge_and_unload"],
        ),
        (&["0_Transformer/config.json", "modules.json"], &["`0_Transformer`", "name the folder itself"]),
        (
            &["checkpoint-500/config.json", "checkpoint-1000/config.json"],
            &["`checkpoint-500`, `checkpoint-1000`", "such as", "checkpoint-1000\n"],
        ),
        (&["snapshots/abc/config.json", "refs/main"], &["snapshots/abc"]),
        (&["config.json", "zero_to_fp32.py", "latest"], &["DeepSpeed", "zero_to_fp32.py . NEW"]),
        (&["config.json", "global_step500/mp_rank_00_model_states.pt"], &["DeepSpeed"]),
        (&["config.json", "pytorch_model_fsdp_0/__0_0.distcp"], &["FSDP", "accelerate merge-weights"]),
        (&["config.json", "model-00001-of-00002.safetensors"], &["without their index"]),
        (
            &["config.json", "model.fp16.safetensors"],
            &["`model.fp16.safetensors`", "copy it to model.safetensors"],
        ),
        (&["config.json", "tf_model.h5"], &["TensorFlow", "from_tf=True"]),
        (&["config.json", "bert_model.ckpt.index"], &["TensorFlow"]),
        (&["config.json", "flax_model.msgpack"], &["Flax", "from_flax=True"]),
        (&["config.json", "model.gguf"], &["llama.cpp"]),
        (&["config.json", "last.ckpt"], &["`last.ckpt`", "pytorch_model.bin"]),
        (&["notes.txt"], &["only `notes.txt`", "hf download"]),
        (&["pytorch_model.bin"], &["config.json", "next to the weights"]),
    ];
    for (names, parts) in cases {
        let folder = tempfile::tempdir()?;
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap())?;
            std::fs::write(path, r#"{"base_model_name_or_path": "base"}"#)?;
        }
        let said = format!("{}\n", refusal(folder.path()));
        parts.iter().for_each(|part| assert!(said.contains(part), "{names:?}: no {part:?} in\n{said}"));
    }
    assert!(refusal(tempfile::tempdir()?.path()).contains("an empty folder"));
    Ok(())
}

/// Oracle: how each method marks what it quantizes, from its documentation. Catches scales left out, and integers taken for
/// weights or for buffers that may be skipped.
#[test]
fn quantized_checkpoints_are_refused() -> Outcome {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let folder = folder_with(SAFETENSORS, &std::fs::read(fixture("pickle/model/model.safetensors"))?);
    let path = folder.path().join("config.json");
    let config = std::fs::read_to_string(&path)?;
    let marked = config.replacen('{', r#"{"quantization_config": {"quant_method": "gptq"},"#, 1);
    std::fs::write(&path, marked)?;
    assert!(refusal(folder.path()).contains("quantized by gptq"));
    std::fs::write(&path, config)?;
    let query = "bert.encoder.layer.0.attention.self.query";
    for (name, dtype, part) in [
        (format!("{query}.weight"), Dtype::I8, "found I8"),
        (format!("{query}.weight"), Dtype::F8_E4M3, "found F8_E4M3"),
        (format!("{query}.qweight"), Dtype::I8, "GPTQ or AWQ"),
        (format!("{query}.SCB"), Dtype::U8, "bitsandbytes"),
    ] {
        let view = TensorView::new(dtype, vec![4], &[1; 4])?;
        std::fs::write(folder.path().join(SAFETENSORS), serialize([(name.as_str(), view)], None)?)?;
        let said = refusal(folder.path());
        assert!(said.contains(&name) && said.contains(part), "{said}");
    }
    Ok(())
}
