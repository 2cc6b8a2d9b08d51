//! Every kind of task, by one table: its Fisher information, its metrics, its column of a frozen set.

use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::data::frozen::FrozenSet;
use fisherscape::data::{Example, Labels, Target};
use fisherscape::evaluate::{self, SetLoss};
use fisherscape::fisher;
use fisherscape::model::ops::Backend;
use fisherscape::model::{Estimate, Estimator, Reduction};
use fisherscape::model::{Head, Network, Trainable, Wanted};
use fisherscape::params::{self, Column, ParamMap};
use fisherscape::tasks::{Kind, Scoring, span};

use crate::parity::open;
use crate::support::{Outcome, fixture, values};
use crate::toy::{Line, SoftmaxRegression, theta};

/// What is known of a kind of task, of the examples [`IDS`].
struct Case {
    kind: Kind,
    /// Whether a set that does not name its objective is taken for it.
    unnamed: bool,
    objective: &'static str,
    /// What `labels` of a frozen set holds, and its shape.
    column: (Stored, &'static [usize]),
    /// The tokens read in each example, and the label at each.
    targets: [&'static [(u32, f64)]; 4],
    /// What a model said there.
    predicted: [&'static [f64]; 4],
    metrics: &'static [(&'static str, f64)],
    /// Why `exact` is refused.
    no_exact: Option<&'static str>,
}

enum Stored {
    Integers(&'static [i64]),
    Numbers(&'static [f32]),
    /// Of the first and of the last token.
    Ends(&'static [i64], &'static [i64]),
}

const IDS: [&[u32]; 4] = [&[2, 1, 3], &[1], &[3, 2], &[0, 1]];

/// Oracle of the metrics: on paper. Accuracies are shares. The deviations of 1, 2, 3, 6 and of 2, 1, 4, 5 from their means
/// multiply to 10, their squares sum to 14 and 10; of their ranks two differ by 1, so 1 - 6 · 2 / 60.
const CASES: [Case; 7] = [
    Case {
        kind: Kind::MaskedLm,
        unnamed: true,
        objective: "masked-lm",
        column: (Stored::Integers(&[0, -100, 2, 1, -100, -100, -100, -100, -100, -100, 2, -100]), &[4, 3]),
        targets: [&[(0, 0.0), (2, 2.0)], &[(0, 1.0)], &[], &[(1, 2.0)]],
        predicted: [&[0.0, 1.0], &[1.0], &[], &[2.0]],
        metrics: &[("masked_token_accuracy", 0.75)],
        no_exact: Some("empirical or mc for masked language modelling"),
    },
    Case {
        kind: Kind::Classes,
        unnamed: true,
        objective: "classes",
        column: (Stored::Integers(&[0, 1, 0, 2]), &[4]),
        targets: [&[(0, 0.0)], &[(0, 1.0)], &[(0, 0.0)], &[(0, 2.0)]],
        predicted: [&[0.0], &[1.0], &[1.0], &[2.0]],
        metrics: &[("accuracy", 0.75)],
        no_exact: None,
    },
    Case {
        kind: Kind::Regression,
        unnamed: true,
        objective: "regression",
        column: (Stored::Numbers(&[2.0, 1.0, 4.0, 5.0]), &[4]),
        targets: [&[(0, 2.0)], &[(0, 1.0)], &[(0, 4.0)], &[(0, 5.0)]],
        predicted: [&[1.0], &[2.0], &[3.0], &[6.0]],
        metrics: &[("pearson", 0.845_154_254_728_516_6), ("spearman", 0.8)],
        no_exact: Some("empirical or mc for regression"),
    },
    Case {
        kind: Kind::CausalLm,
        unnamed: false,
        objective: "causal-lm",
        // The label at a token is read at the one before it; the first has none.
        column: (Stored::Integers(&[-100, 1, 2, -100, -100, -100, -100, 2, -100, -100, 1, -100]), &[4, 3]),
        targets: [&[(0, 1.0), (1, 2.0)], &[], &[(0, 2.0)], &[(0, 1.0)]],
        predicted: [&[1.0, 1.0], &[], &[2.0], &[1.0]],
        metrics: &[("token_accuracy", 0.75)],
        no_exact: Some("empirical or mc for causal language modelling"),
    },
    Case {
        kind: Kind::TokenClasses,
        unnamed: false,
        objective: "token-classes",
        column: (Stored::Integers(&[0, -100, 2, 1, -100, -100, -100, -100, -100, -100, 2, -100]), &[4, 3]),
        targets: [&[(0, 0.0), (2, 2.0)], &[(0, 1.0)], &[], &[(1, 2.0)]],
        predicted: [&[0.0, 1.0], &[1.0], &[], &[2.0]],
        // Classes without names are no entities.
        metrics: &[("entity_f1", 0.0), ("accuracy", 0.75)],
        no_exact: None,
    },
    Case {
        kind: Kind::Span,
        unnamed: true,
        objective: "span",
        // Tokens 1 to 2 as 1 + 2 · 2³², and so on.
        column: (Stored::Ends(&[1, 0, 0, 0], &[2, 0, 1, 1]), &[4]),
        targets: [&[(0, 8_589_934_593.0)], &[(0, 0.0)], &[(0, 4_294_967_296.0)], &[(0, 4_294_967_296.0)]],
        // One token of two and three is shared; the same; one of two and one; the same.
        predicted: [&[8_589_934_592.0], &[0.0], &[0.0], &[4_294_967_296.0]],
        metrics: &[("span_f1", (0.8 + 1.0 + 2.0 / 3.0 + 1.0) / 4.0), ("exact_span", 0.5)],
        no_exact: Some("empirical or mc for spans of a text"),
    },
    Case {
        kind: Kind::Seq2SeqLm,
        unnamed: false,
        objective: "seq2seq-lm",
        // Of its own length, whatever that of the texts is.
        column: (Stored::Integers(&[1, 2, 2, -100, -100, -100, 1, -100]), &[4, 2]),
        targets: [&[(0, 1.0), (1, 2.0)], &[(0, 2.0)], &[], &[(0, 1.0)]],
        predicted: [&[1.0, 1.0], &[2.0], &[], &[1.0]],
        metrics: &[("token_accuracy", 0.75)],
        no_exact: Some("empirical or mc for text to text"),
    },
];

const X: [[f32; 3]; 4] = [[1.0, 2.0, 0.0], [3.0, -4.0, 0.5], [-1.0, 0.25, 2.0], [0.5, 0.5, -3.0]];
const W: [[f32; 3]; 3] = [[0.5, -0.25, 0.125], [-0.5, 0.75, 0.25], [0.0, 0.5, -0.75]];

impl Case {
    fn examples(&self) -> Vec<Example> {
        let example = |(ids, targets): (&&[u32], &&[(u32, f64)])| {
            let rows = targets.iter().map(|(row, _)| *row).collect();
            let labels = match self.column.0 {
                Stored::Integers(_) => Labels::Classes(targets.iter().map(|(_, l)| *l as u32).collect()),
                Stored::Numbers(_) => Labels::Values(targets.iter().map(|(_, l)| *l as f32).collect()),
                Stored::Ends(..) => Labels::Ends(targets.iter().map(|(_, l)| span::ends(*l)).collect()),
            };
            Example {
                ids: ids.to_vec(),
                types: vec![0; ids.len()],
                target: Target { rows, labels, decoded: self.is_written() },
                group: None,
                window: None,
            }
        };
        IDS.iter().zip(&self.targets).map(example).collect()
    }

    /// A file of the set, made here, with this metadata.
    fn file(&self, path: &Path, metadata: &[(&str, &str)]) -> Outcome {
        let (shape, padded) = (vec![4, 3], |row: usize, at: usize| IDS[row].get(at).copied());
        let all = |of: &dyn Fn(Option<u32>) -> i64| -> Vec<i64> {
            (0..12).map(|i| of(padded(i / 3, i % 3))).collect()
        };
        let ids = all(&|id| id.map_or(0, i64::from));
        let (mask, types) = (all(&|id| i64::from(id.is_some())), vec![0i64; 12]);
        let labels = match self.column.0 {
            Stored::Integers(labels) => vec![("labels", Column::I64(labels))],
            Stored::Numbers(labels) => vec![("labels", Column::F32(labels))],
            Stored::Ends(first, last) => {
                vec![("start_positions", Column::I64(first)), ("end_positions", Column::I64(last))]
            }
        };
        let labels = labels.into_iter().map(|(name, own)| (name.to_string(), self.column.1.to_vec(), own));
        let tensors = [
            ("input_ids".to_string(), shape.clone(), Column::I64(&ids)),
            ("attention_mask".to_string(), shape.clone(), Column::I64(&mask)),
            ("token_type_ids".to_string(), shape, Column::I64(&types)),
        ];
        let tensors = tensors.into_iter().chain(labels);
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Ok(params::write_safetensors(path, tensors, &metadata)?)
    }

    /// F of the weights in double precision: of softmax regression from `(p_c - [c = y]) x_j`, of a line from
    /// `2 (w x - y) x`; the mean over an example's targets is squared.
    fn fisher(&self) -> Vec<f64> {
        let mut f = vec![0.0; if self.is_line() { 1 } else { 9 }];
        let used: Vec<usize> = (0..4).filter(|n| !self.targets[*n].is_empty()).collect();
        for &n in &used {
            let mut gradient = vec![0.0; f.len()];
            for (row, label) in self.targets[n] {
                let id = IDS[n][*row as usize];
                if self.is_line() {
                    let x = f64::from(id);
                    gradient[0] += 2.0 * (0.5 * x - label) * x;
                    continue;
                }
                let x = X[id as usize].map(f64::from);
                let e = W.map(|w| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>().exp());
                for (i, g) in gradient.iter_mut().enumerate() {
                    let right = f64::from(u8::from(i / 3 == *label as usize));
                    *g += (e[i / 3] / e.iter().sum::<f64>() - right) * x[i % 3];
                }
            }
            let m = self.targets[n].len() as f64;
            f.iter_mut().zip(gradient).for_each(|(f, g)| *f += (g / m).powi(2) / used.len() as f64);
        }
        f
    }

    fn is_span(&self) -> bool {
        matches!(self.column.0, Stored::Ends(..))
    }

    fn is_written(&self) -> bool {
        self.kind == Kind::Seq2SeqLm
    }

    fn is_line(&self) -> bool {
        matches!(self.column.0, Stored::Numbers(_))
    }
}

#[test]
fn every_kind_has_a_case() {
    assert_eq!(CASES.map(|case| case.kind), Kind::ALL);
    CASES.iter().for_each(|case| assert_eq!(case.kind.spec().objective, case.objective));
}

/// Oracle: the closed form. Float32 gradients of a few operations: 1e-5. Catches another row read than the target's,
/// a target of another example, and a wrong count. Of spans and of text to text PyTorch's is in tests/parity.rs.
#[test]
fn fisher_information_of_every_kind_equals_its_closed_form() -> Outcome {
    for case in CASES.iter().filter(|case| !case.is_span() && !case.is_written()) {
        let (examples, reduction) = (case.examples(), Reduction::Mean);
        let (name, found) = if case.is_line() {
            let theta = ParamMap::from([("w".to_string(), Tensor::new(&[0.5f32], &Device::Cpu)?)]);
            ("w", fisher::diagonal(&Line, &theta, &examples, reduction)?)
        } else {
            let model = SoftmaxRegression::new(&X)?;
            ("weight", fisher::diagonal(&model, &theta(&W)?, &examples, reduction)?)
        };
        let (got, wanted) = (values(&found.diagonal[name]), case.fisher());
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.into_iter().zip(wanted) {
            let close = (f64::from(got) - wanted).abs() <= 1e-5 * wanted.max(1e-3);
            assert!(close, "{}: {got}, expected {wanted}", case.objective);
        }
    }
    Ok(())
}

/// Oracle: docs/definitions.md section 1: the expectation over labels is taken of classes only; the unit is nats but of a
/// squared error.
#[test]
fn exact_and_units_are_those_of_the_definitions() {
    let of = |estimator| Estimate { estimator, ..Estimate::empirical(Reduction::Mean) };
    for case in &CASES {
        let (kind, exact) = (case.kind, of(Estimator::Exact));
        assert_eq!(kind.spec().unit, if case.is_line() { "squared error" } else { "nats" });
        assert!(fisher::check(kind, &[of(Estimator::Empirical), of(Estimator::Mc)]).is_ok());
        let message = fisher::check(kind, &[of(Estimator::Mc), exact]).err().map(|e| e.to_string());
        assert_eq!(message.is_some(), case.no_exact.is_some(), "{}", case.objective);
        let (message, wanted) = (message.unwrap_or_default(), case.no_exact.unwrap_or_default());
        assert!(message.contains(wanted), "{message}");
    }
}

/// Oracle: on paper, at the table. Catches predictions matched with the labels of another example.
#[test]
fn metrics_of_every_kind_are_those_counted_by_hand() {
    for case in &CASES {
        let (examples, nothing) = (case.examples(), Vec::new());
        let predictions = case.predicted.map(<[f64]>::to_vec).to_vec();
        let (loss, loss_se) = (f64::NAN, f64::NAN);
        let loss = SetLoss {
            loss,
            loss_se,
            examples: 0,
            targets: 0,
            by_example: nothing,
            predictions,
            losses: Vec::new(),
            sums: Vec::new(),
        };
        let found = evaluate::metrics(&Scoring::of(case.kind), &loss, &examples);
        assert_eq!(found.len(), case.metrics.len());
        for ((name, value), (wanted_name, wanted)) in found.into_iter().zip(case.metrics) {
            assert_eq!(name, *wanted_name);
            assert!((value - wanted).abs() < 1e-12, "{name}: {value}, expected {wanted}");
        }
    }
}

/// Oracle: files made here. A set that names its objective and an older one, which does not, are read alike; what is
/// written is the file with the objective, to the byte.
#[test]
fn sets_come_back_with_and_without_their_objective() -> Outcome {
    let folder = tempfile::tempdir()?;
    let [old, new, own] = ["old", "new", "own"].map(|name| folder.path().join(format!("{name}.safetensors")));
    for case in &CASES {
        case.file(&old, &[("seed", "7")])?;
        case.file(&new, &[("seed", "7"), ("objective", case.objective)])?;
        for path in [Some(&new), case.unnamed.then_some(&old)].into_iter().flatten() {
            let set = FrozenSet::read(path)?;
            assert_eq!((set.kind, &set.examples), (case.kind, &case.examples()), "{}", path.display());
            FrozenSet { path: own.clone(), ..set }.write(0)?;
            assert!(std::fs::read(&own)? == std::fs::read(&new)?, "{}", case.objective);
        }
    }
    Ok(())
}

/// Oracle: the table. Labels of one kind under the objective of another are refused where their columns differ, and so
/// is an objective that is none; the message names file, objective, what it has as labels and what is there.
#[test]
fn a_set_whose_objective_contradicts_its_labels_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("set.safetensors");
    let words = |case: &Case| match case.is_written() {
        true => "int64 [4, U]".to_string(),
        false => format!("{} {:?}", if case.is_line() { "float32" } else { "int64" }, case.column.1),
    };
    // Labels of any length are such as a decoder writes.
    let fits = |case: &Case, other: &Case| other.is_written() && case.column.1.len() == 2;
    let mut refused = 0;
    for case in CASES.iter().filter(|case| !case.is_span()) {
        case.file(&path, &[("objective", "span")])?;
        let message = FrozenSet::read(&path).unwrap_err().to_string();
        assert!(message.contains("`start_positions`") && message.contains("no such tensor"), "{message}");
        let labelled = CASES.iter().filter(|other| !other.is_span());
        for other in labelled.filter(|other| words(other) != words(case) && !fits(case, other)) {
            case.file(&path, &[("objective", other.objective)])?;
            let message = FrozenSet::read(&path).unwrap_err().to_string();
            let found = if case.is_line() { "F32" } else { "I64" };
            let found = format!("found {found} {:?} under the objective {}", case.column.1, other.objective);
            let parts = ["set.safetensors", "`labels`", &words(other), &found, "fix:"];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
            refused += 1;
        }
        case.file(&path, &[("objective", "speech")])?;
        let message = FrozenSet::read(&path).unwrap_err().to_string();
        assert!(message.contains("`objective`") && message.contains("speech"), "{message}");
        assert!(CASES.iter().all(|case| message.contains(case.objective)), "{message}");
    }
    // Of six kinds with labels, three of which have the same column: ordered pairs of different columns, but for those three under
    // the objective whose length is free.
    assert_eq!(refused, 21);
    Ok(())
}

/// Oracle: docs/definitions.md section 3. A task whose name came with labels of another kind has nothing to say.
#[test]
fn a_set_is_scored_by_its_glue_task() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("set.safetensors");
    let plain = CASES.each_ref().map(|case| case.metrics.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (case, plain) in CASES.iter().zip(plain) {
        for (task, kind, metrics) in [
            ("mrpc", Kind::Classes, vec!["accuracy", "f1"]),
            ("cola", Kind::Classes, vec!["matthews"]),
            ("stsb", Kind::Regression, vec!["pearson", "spearman"]),
        ] {
            case.file(&path, &[("task", task), ("objective", case.objective)])?;
            let found: Vec<&str> = FrozenSet::read(&path)?.scoring().metrics.iter().map(|m| m.name).collect();
            assert_eq!(found, if kind == case.kind { metrics } else { plain.clone() }, "{task}");
        }
    }
    Ok(())
}

/// Oracle: on paper. One masked token in two examples: its logits, their gradient and a copy are V float32 each, on top
/// of what the same examples take with classes. Catches a task told from the number of its targets.
#[test]
fn few_masked_tokens_have_logits_too() {
    let (model, _) = open(&fixture("parity/mlm"));
    let example =
        |target| Example { ids: vec![2, 7, 3], types: vec![0; 3], target, group: None, window: None };
    let masked = [example(Target::at([(1, 7)])), example(Target::none())];
    let bytes = |head| {
        let config = model.config();
        let network = Network::new(config.clone(), head, config.modules(head).unwrap(), Backend::Fused);
        network.activations(&masked, 6, Wanted::Gradients)
    };
    let logits = 3 * model.config().vocab_size * size_of::<f32>();
    assert_eq!(bytes(Head::MaskedLm), bytes(Head::Classes(2)) + logits);
}
