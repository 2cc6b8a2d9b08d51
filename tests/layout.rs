//! The layout: what each parameter is, and that nobody else asks its name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fisherscape::dropout::{Place, Role};
use fisherscape::fisher::files::{self as fisher_files, Stored};
use fisherscape::model::architectures::recognise;
use fisherscape::model::layout::{Kind, Layout, Parameter, Reach};
use fisherscape::params;

use crate::parity::open;
use crate::support::{Outcome, fixture};

const HEADS: [&str; 3] = ["parity/mlm", "parity/cls", "parity/reg"];

/// Oracle: the checkpoint's own tensors, and the table of docs/definitions.md section 2, written out by place.
#[test]
fn every_parameter_has_its_place_and_kind() -> Outcome {
    for head in HEADS {
        let (model, _) = open(&fixture(head));
        let layout = model.layout();
        let shapes: BTreeMap<&String, &[usize]> = model.theta.iter().map(|(n, t)| (n, t.dims())).collect();
        assert_eq!(layout.parameters().len(), shapes.len(), "{head}");
        assert!(layout.parameters().iter().all(|p| shapes[&p.name] == p.shape.as_slice()), "{head}");
        let at = |place: Place| -> Vec<&Parameter> {
            layout.parameters().iter().filter(|p| p.place == place).collect()
        };
        assert_eq!(at(Place::EMBEDDINGS).len(), 5);
        for k in 0..model.config().num_hidden_layers() {
            for (role, tensors) in [
                (Role::AttentionProbs, 6),
                (Role::AttentionOutput, 4),
                (Role::Intermediate, 2),
                (Role::FfnOutput, 4),
            ] {
                assert_eq!(at(Place::in_layer(k, role)).len(), tensors, "{head} layer {k} {role:?}");
            }
            // Softmax ignores a shift: of a layer the key bias alone has no gradient.
            let idle: Vec<&Parameter> = at(Place::in_layer(k, Role::AttentionProbs))
                .into_iter()
                .filter(|p| p.reach == Reach::Nothing)
                .collect();
            assert!(idle.len() == 1 && idle[0].name.ends_with("attention.self.key.bias"), "{idle:?}");
        }
        for p in layout.parameters() {
            let norm = p.name.contains("LayerNorm");
            let kind = match (p.name.ends_with(".bias"), norm) {
                (true, true) => Kind::NormBias,
                (true, false) => Kind::Bias,
                (false, true) => Kind::NormWeight,
                (false, false) if p.name.contains("word_embeddings") => Kind::TokenTable,
                (false, false) if p.name.contains("position_embeddings") => Kind::PositionTable,
                (false, false) if p.name.contains("token_type_embeddings") => Kind::SegmentTable,
                (false, false) => Kind::Weight,
            };
            assert_eq!(p.kind, kind, "{head} {}", p.name);
        }
        let word = layout.parameters().iter().find(|p| p.kind == Kind::TokenTable).ok_or("no token table")?;
        // The decoder of masked LM reaches every row of it.
        assert_eq!(word.reach == Reach::All, head == "parity/mlm");
    }
    Ok(())
}

/// Oracle: the layout that was written; and for a file of version 0.1.0, which has none, the same places, kinds and zero
/// gradients from the names. Catches a parameter that is left out, and a site that is not read back.
#[test]
fn a_layout_travels_with_its_file_and_old_files_do_without() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("F.safetensors");
    for head in HEADS {
        let (model, _) = open(&fixture(head));
        let layout = model.layout();
        let ones = model.theta.iter().map(|(n, t)| Ok((n.clone(), t.ones_like()?)));
        let ones: params::ParamMap = ones.collect::<Result<_, candle_core::Error>>()?;
        params::write_params(&path, &ones, &layout.metadata())?;
        assert_eq!(fisher_files::read(&path)?.layout, *layout, "{head}");
        params::write_params(&path, &ones, &BTreeMap::new())?;
        let Stored { layout: old, .. } = fisher_files::read(&path)?;
        assert_eq!(old, recognise(&ones));
        assert_eq!(old.sites(), layout.sites());
        let told = |layout: &Layout| -> Vec<(String, Kind, Place, bool)> {
            let one = |p: &Parameter| (p.name.clone(), p.kind, p.place, p.reach == Reach::Nothing);
            layout.parameters().iter().map(one).collect()
        };
        assert_eq!(told(&old), told(layout), "{head}");
    }
    Ok(())
}

/// A layout that leaves a tensor out, or names a place that is none, is refused by the file.
#[test]
fn a_layout_that_does_not_fit_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("F.safetensors");
    let (model, _) = open(&fixture("parity/cls"));
    let whole = model.layout().metadata();
    let short = model.layout().clone().only(|p| p.place != Place::EMBEDDINGS).metadata();
    let elsewhere: BTreeMap<String, String> =
        whole.iter().map(|(key, text)| (key.clone(), text.replace("layer.0.ffn_output", "attic"))).collect();
    let broken: BTreeMap<String, String> = whole.keys().map(|key| (key.clone(), "[".to_string())).collect();
    for (metadata, says) in [(short, "nothing of bert.embeddings"), (elsewhere, "attic"), (broken, "EOF")] {
        let squares: params::ParamMap = model
            .theta
            .iter()
            .map(|(n, t)| Ok((n.clone(), t.sqr()?)))
            .collect::<Result<_, candle_core::Error>>()?;
        params::write_params(&path, &squares, &metadata)?;
        let message = fisher_files::read(&path).err().ok_or("no error")?.to_string();
        assert!(
            message.contains("layout of its tensors is incomplete")
                && message.contains(says)
                && message.contains("fix:"),
            "{message}"
        );
    }
    // The same tensors alone are recognised.
    assert!(Layout::stored(&HashMap::new(), &model.theta)?.is_none());
    Ok(())
}

/// Oracle: the text of the source. What a parameter's name means is known in `src/model` alone.
#[test]
fn no_name_is_read_outside_the_model() -> Outcome {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    crate::imports::rust_files(&source, &mut files);
    let patterns =
        ["\"bert.", ".LayerNorm", "\"LayerNorm", "attention.self", "_embeddings\"", "(\".weight", "(\".bias"];
    for file in files {
        if file.starts_with(source.join("model")) {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        // Tests inside files may name what they please.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let found = patterns.iter().find(|pattern| line.contains(**pattern));
            assert!(found.is_none(), "{}:{}: {line}", file.display(), n + 1);
        }
    }
    Ok(())
}
