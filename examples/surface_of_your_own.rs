//! The loss surface of a model of your own: a logistic regression on ten points.
//!
//! ```sh
//! cargo run --example surface_of_your_own        # prints the loss, draws surface.svg into a temporary folder
//! ```
//!
//! Everything in this library that computes something (Fisher information, surfaces, sharpness) sees a model only as
//! an [`Objective`]: parameters by name and examples in, one loss per example out. So one function is enough.

use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::data::{Batch, Example, Target, by_length};
use fisherscape::draw::contour::{Panel, Style, contour_figure};
use fisherscape::draw::marks::Marks;
use fisherscape::landscape::directions::{self, Normalize};
use fisherscape::landscape::plane::Plane;
use fisherscape::model::objective::Filters;
use fisherscape::model::{Objective, Outputs};
use fisherscape::params::ParamMap;
use fisherscape::tables::surface::Grid;
use fisherscape::{Error, Result, evaluate, files};

/// Two features and a class of each example.
const DATA: [([f32; 2], u32); 10] = [
    ([2.0, 1.0], 1),
    ([1.5, -0.5], 1),
    ([0.5, 1.0], 1),
    ([3.0, 0.0], 1),
    ([-0.5, 0.5], 1),
    ([-1.0, 0.5], 0),
    ([-2.0, -1.0], 0),
    ([0.5, -1.5], 0),
    ([-1.5, 1.0], 0),
    ([-3.0, 0.5], 0),
];

/// `P(class 1 | x) = 1 / (1 + exp(-z))` with `z = w · x`; its one parameter is `weight`, `[1, 2]`.
struct LogisticRegression;

impl Objective for LogisticRegression {
    /// The loss of each example, `ln(1 + exp(-z))` for class 1 and `ln(1 + exp(z))` for class 0, in nats.
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        // An example here is one number, the row of DATA that it stands for.
        let rows: Vec<_> = batch.ids.iter().map(|&row| DATA[row as usize]).collect();
        let x: Vec<Vec<f32>> = rows.iter().map(|row| row.0.to_vec()).collect();
        let sign: Vec<f32> = rows.iter().map(|row| if row.1 == 1 { -1.0 } else { 1.0 }).collect();
        let z = Tensor::new(x, &Device::Cpu)?.matmul(&theta["weight"].t()?)?.squeeze(1)?;
        let losses = ((&z * Tensor::new(sign.as_slice(), &Device::Cpu)?)?.exp()? + 1.0)?.log()?;
        // Scores are what predictions are made of: the class with the highest one. [B, 2]
        let scores = Tensor::stack(&[z.zeros_like()?, z], 1)?.detach();
        Ok(Outputs { losses, scores })
    }
}

fn main() -> Result<()> {
    let example = |n: usize| Example {
        ids: vec![n as u32],
        types: vec![0],
        target: Target::class(DATA[n].1),
        group: None,
        window: None,
    };
    let examples: Vec<Example> = (0..DATA.len()).map(example).collect();
    let order = by_length(&examples);
    let theta = ParamMap::from([("weight".to_string(), Tensor::new(&[[1.5f32, 0.8]], &Device::Cpu)?)]);

    // Two random directions, each row as long as that row of the weights (filter normalization).
    let draw =
        |axis| directions::gaussian::random(&|_| Filters::Rows, &theta, 0, axis, Normalize::Filter, false);
    let plane = Plane::new([draw("x")?, draw("y")?]);
    let axis: Vec<f64> = (-4..=4).map(|i| f64::from(i) / 4.0).collect();
    let (mut loss, mut loss_se) = (Vec::new(), Vec::new());
    for &b in &axis {
        for &a in &axis {
            let at = evaluate::set_loss(&LogisticRegression, &plane.at(&theta, &[a, b])?, &examples, &order)?;
            loss.push(at.loss);
            loss_se.push(at.loss_se);
        }
    }
    let middle = loss[loss.len() / 2];
    println!("loss {middle:.4} ± {:.4} nats at the weights", loss_se[loss.len() / 2]);

    // The file that `fisherscape surface` would write, and the figure that `fisherscape render` would draw.
    let columns = vec![("loss_se".to_string(), loss_se)];
    let grid = Grid {
        x: axis.clone(),
        y: axis.clone(),
        loss: loss.clone(),
        columns,
        centre: Some(middle),
        ..Grid::default()
    };
    let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "create"))?.keep();
    grid.write(&folder.join("surface.csv"))?;
    let title = "logistic regression".to_string();
    let panel = Panel {
        axes: None,
        title,
        x: axis.clone(),
        y: axis,
        loss,
        centre: Some(middle),
        centre_se: None,
        errors: None,
        known: None,
        dotted: None,
        note: None,
        marks: Marks::default(),
    };
    let svg = contour_figure(&[panel], &Style::default())?;
    files::write(&folder.join("surface.svg"), svg.as_bytes())?;
    println!("{}", folder.join("surface.svg").display());

    // Oracle: the same loss in plain arithmetic.
    let nats = |(x, class): &([f32; 2], u32)| {
        let z = f64::from(1.5 * x[0] + 0.8 * x[1]);
        (1.0 + (if *class == 1 { -z } else { z }).exp()).ln()
    };
    let expected = DATA.iter().map(nats).sum::<f64>() / DATA.len() as f64;
    assert!((middle - expected).abs() < 1e-6, "{middle} is not {expected}");
    assert!(svg.starts_with("<svg") && Grid::read(&folder.join("surface.csv"))?.loss[40] == middle);
    Ok(())
}
