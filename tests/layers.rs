//! From parameters to sites and blocks, by hand.

use fisherscape::dropout::Place;
use fisherscape::fisher::layers::{Aggregate, Granularity, Scores};
use fisherscape::model::Layout;
use fisherscape::model::architectures::bert;
use ndarray::{Array2, array};

use crate::support::layout;

/// A one-layer BERT in name order: name, number of entries, sum over the entries.
const TENSORS: [(&str, usize, f64); 10] = [
    ("bert.embeddings.LayerNorm.bias", 2, 1.0),
    ("bert.embeddings.word_embeddings.weight", 6, 12.0),
    ("bert.encoder.layer.0.attention.output.dense.weight", 4, 1.0),
    ("bert.encoder.layer.0.attention.self.key.bias", 2, 0.0),
    ("bert.encoder.layer.0.attention.self.query.weight", 4, 8.0),
    ("bert.encoder.layer.0.intermediate.dense.weight", 8, 16.0),
    ("bert.encoder.layer.0.output.LayerNorm.weight", 2, 3.0),
    ("bert.encoder.layer.0.output.dense.weight", 8, 4.0),
    ("bert.pooler.dense.weight", 4, 1000.0),
    ("classifier.weight", 2, 1000.0),
];

/// Names, granularity by granularity, and their scores.
fn scores(granularity: Granularity, aggregate: Aggregate, intermediate: bool) -> Vec<(String, f64)> {
    let tensors = layout(&TENSORS.map(|(name, size, _)| (name, size)));
    let scores = Scores::new(&tensors, granularity, aggregate, intermediate);
    let values = scores.of(&TENSORS.map(|(_, _, sum)| sum));
    scores.names().iter().cloned().zip(values).collect()
}

#[track_caller]
fn assert_scores(got: &[(String, f64)], expected: &[(&str, f64)]) {
    assert!(got.iter().map(|(name, _)| name.as_str()).eq(expected.iter().map(|(name, _)| *name)), "{got:?}");
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-12, "{name}: {got}, expected {expected}");
    }
}

const SITES: [&str; 4] =
    ["embeddings", "layer.0.attention_probs", "layer.0.attention_output", "layer.0.ffn_output"];

/// Oracle: arithmetic on paper. Means of the tensors: embeddings 0.5 and 2; attention_probs 0 (key bias, a member
/// like any other) and 2; attention_output 0.25; ffn_output 1.5 and 0.5. Catches an aggregation taken for another,
/// and the head or intermediate.dense counted into a site.
#[test]
fn site_scores_are_weighted_as_named() {
    let expected = |values: [f64; 4]| -> Vec<(&str, f64)> { SITES.into_iter().zip(values).collect() };
    let of = |aggregate| scores(Granularity::Site, aggregate, false);
    assert_scores(&of(Aggregate::MeanOfMeans), &expected([1.25, 1.0, 0.25, 1.0]));
    assert_scores(&of(Aggregate::Mean), &expected([13.0 / 8.0, 8.0 / 6.0, 0.25, 0.7]));
    assert_scores(&of(Aggregate::Sum), &expected([13.0, 8.0, 1.0, 7.0]));
}

/// Oracle: arithmetic on paper: intermediate.dense has 8 entries, sum 16, mean 2. It moves ffn_output alone.
#[test]
fn intermediate_counts_into_ffn_output_only_if_asked() {
    let of = |aggregate| scores(Granularity::Site, aggregate, true);
    for (aggregate, ffn) in
        [(Aggregate::MeanOfMeans, 4.0 / 3.0), (Aggregate::Mean, 23.0 / 18.0), (Aggregate::Sum, 23.0)]
    {
        let (with, without) = (of(aggregate), scores(Granularity::Site, aggregate, false));
        assert_scores(&with[3..], &[("layer.0.ffn_output", ffn)]);
        assert_eq!(with[..3], without[..3]);
    }
}

/// Oracle: arithmetic on paper over the six tensors of the layer, intermediate.dense among them whatever is asked.
/// Catches a head in a block and a mean of site scores in place of one of tensor means.
#[test]
fn block_scores_take_whole_layers_and_never_the_head() {
    for intermediate in [false, true] {
        let of = |aggregate| scores(Granularity::Block, aggregate, intermediate);
        let expected = |embeddings, layer| [("embeddings", embeddings), ("layer.0", layer)];
        assert_scores(&of(Aggregate::MeanOfMeans), &expected(1.25, 6.25 / 6.0));
        assert_scores(&of(Aggregate::Mean), &expected(13.0 / 8.0, 32.0 / 28.0));
        assert_scores(&of(Aggregate::Sum), &expected(13.0, 32.0));
    }
}

/// Oracle: the definition. A tensor's score is its mean (or sum); the head's tensors are ranked, key biases are not;
/// the order is the model's, not the alphabet's (LayerNorm before word_embeddings).
#[test]
fn tensor_scores_leave_key_biases_out() {
    let expected = [
        ("bert.embeddings.word_embeddings.weight", 2.0),
        ("bert.embeddings.LayerNorm.bias", 0.5),
        ("bert.encoder.layer.0.attention.self.query.weight", 2.0),
        ("bert.encoder.layer.0.attention.output.dense.weight", 0.25),
        ("bert.encoder.layer.0.intermediate.dense.weight", 2.0),
        ("bert.encoder.layer.0.output.dense.weight", 0.5),
        ("bert.encoder.layer.0.output.LayerNorm.weight", 1.5),
        ("bert.pooler.dense.weight", 250.0),
        ("classifier.weight", 500.0),
    ];
    for aggregate in [Aggregate::MeanOfMeans, Aggregate::Mean] {
        assert_scores(&scores(Granularity::Tensor, aggregate, false), &expected);
    }
    let sums = expected.map(|(name, _)| (name, TENSORS.iter().find(|t| t.0 == name).unwrap().2));
    assert_scores(&scores(Granularity::Tensor, Aggregate::Sum, false), &sums);
}

/// Oracle: row by row. Catches examples and tensors exchanged.
#[test]
fn scores_of_examples_are_scores_of_their_rows() {
    let tensors = layout(&TENSORS.map(|(name, size, _)| (name, size)));
    let own = TENSORS.map(|(_, _, sum)| sum);
    let scores = Scores::new(&tensors, Granularity::Site, Aggregate::MeanOfMeans, false);
    let sums = Array2::from_shape_fn((3, 10), |(n, t)| own[t] * [1.0, 4.0, 0.5][n]);
    let expected = array![[1.25, 1.0, 0.25, 1.0], [5.0, 4.0, 1.0, 4.0], [0.625, 0.5, 0.125, 0.5]];
    let got = scores.of_examples(&sums);
    assert_eq!(got.dim(), (3, 4));
    assert!(got.iter().zip(&expected).all(|(g, e)| (g - e).abs() <= 1e-12), "{got}");
}

/// The 16 tensors of layer k in the order in which the model applies them, key bias included.
fn layer(k: usize) -> Vec<String> {
    let pairs = [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ];
    let pair = |m: &str| ["weight", "bias"].map(|p| format!("bert.encoder.layer.{k}.{m}.{p}"));
    pairs.into_iter().flat_map(pair).collect()
}

/// A 12-layer BERT's tensors, one entry each, in model order.
fn twelve_layers() -> Vec<String> {
    let embeddings = [
        "word_embeddings.weight",
        "position_embeddings.weight",
        "token_type_embeddings.weight",
        "LayerNorm.weight",
        "LayerNorm.bias",
    ];
    let head = ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"];
    let embeddings = embeddings.map(|name| format!("bert.embeddings.{name}"));
    embeddings.into_iter().chain((0..12).flat_map(layer)).chain(head.map(String::from)).collect()
}

/// The same in name order, as files and columns have them.
fn by_name() -> Vec<String> {
    let mut names = twelve_layers();
    names.sort();
    names
}

fn twelve() -> Layout {
    layout(&twelve_layers().into_iter().map(|name| (name, 1)).collect::<Vec<_>>())
}

/// Oracle: the table of docs/definitions.md section 7, written out. In the alphabet layer.10 stands before layer.2, and
/// `key` before `query`; 201 tensors, 12 key biases less; 37 sites, 13 blocks.
#[test]
fn order_is_the_models_with_twelve_layers() {
    let names = |granularity| Scores::new(&twelve(), granularity, Aggregate::Sum, false).names().to_vec();
    let wanted: Vec<String> =
        twelve_layers().into_iter().filter(|name| !name.ends_with("key.bias")).collect();
    assert_eq!(wanted.len(), 189);
    assert_eq!(names(Granularity::Tensor), wanted);
    let site =
        |k: usize| ["attention_probs", "attention_output", "ffn_output"].map(|s| format!("layer.{k}.{s}"));
    let sites: Vec<String> = ["embeddings".to_string()].into_iter().chain((0..12).flat_map(site)).collect();
    assert_eq!(names(Granularity::Site), sites);
    assert!(bert::sites(12).iter().map(Place::to_string).eq(sites));
    let blocks = ["embeddings".to_string()].into_iter().chain((0..12).map(|k| format!("layer.{k}")));
    assert!(names(Granularity::Block).into_iter().eq(blocks));
}

/// Oracle: the counts of docs/definitions.md section 7: 5 tensors of the embeddings; 6, 4 and 4 of a layer's sites and
/// 2 of intermediate.dense. With `sum` and one entry of value 1 each, a score is the number of tensors.
#[test]
fn sites_have_the_papers_numbers_of_tensors() {
    let tensors = twelve();
    let counts = |intermediate| {
        Scores::new(&tensors, Granularity::Site, Aggregate::Sum, intermediate).of(&vec![1.0; by_name().len()])
    };
    let expected = |ffn: f64| [vec![5.0], [6.0, 4.0, ffn].repeat(12)].concat();
    assert_eq!(counts(false), expected(4.0));
    assert_eq!(counts(true), expected(6.0));
    let blocks = Scores::new(&tensors, Granularity::Block, Aggregate::Sum, false);
    assert_eq!(blocks.of(&vec![1.0; by_name().len()]), [vec![5.0], vec![16.0; 12]].concat());
}

/// Oracle: the rule: ties rank in model order. Catches an unstable sort and one by name.
#[test]
fn ties_rank_in_model_order() {
    let scores = Scores::new(&twelve(), Granularity::Block, Aggregate::MeanOfMeans, false);
    let equal = scores.ranking(&vec![2.0; by_name().len()]);
    assert_eq!(equal.ascending_ranks(), (0..13).collect::<Vec<_>>());
    let sums: Vec<f64> =
        by_name().iter().map(|name| if name.contains("layer.3.") { 0.0 } else { 2.0 }).collect();
    let one_low = scores.ranking(&sums);
    // Block 4 is layer.3.
    assert_eq!(one_low.ascending_ranks(), [1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 10, 11, 12]);
}
