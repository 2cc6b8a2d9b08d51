//! Two models of one shape become one, each parameter weighted by its Fisher information (Matena and Raffel 2022).
//!
//! Around each model its loss is about a quadratic with F as curvature. The least of `λ ½ (θ - a)ᵀ F_a (θ - a) + (1 - λ) ½ (θ - b)ᵀ F_b (θ - b)` is
//! `θ_i = (λ F_a a + (1 - λ) F_b b)_i / (λ F_a + (1 - λ) F_b)_i`. Without F, or with equal F, it is the plain average `λ a + (1 - λ) b`.
//!
//! Where neither model has any information, a floor under F keeps the average plain. It is a share of the mean over all F of both, so
//! that it does not hang on the unit of the loss.
//!
//! The trap: a model with a large loss has large gradients and so a large F: it would win every parameter. `λ` weighs against that.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::params::{self, ParamMap};

/// How much the first model counts, and the least information of a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Weighting {
    /// `λ`, from 0 to 1.
    pub first: f64,
    /// Of the mean over both files.
    pub floor: f64,
}

/// The merged parameters, in the shapes of `a`; `fishers`: of `a` and of `b`, or the average is plain. A parameter without F has the floor.
///
/// # Errors
///
/// [`Error::Field`] where `b` lacks a parameter of `a`, or has it, or F does, in another shape.
pub fn merged(
    (a, b): (&ParamMap, &ParamMap),
    fishers: Option<(&ParamMap, &ParamMap)>,
    weighting: Weighting,
) -> Result<ParamMap> {
    let floor = fishers.map(|(fa, fb)| Ok::<f64, Error>(weighting.floor * mean([fa, fb])?)).transpose()?;
    let each = |(name, own): (&String, &Tensor)| {
        let other =
            like(b.get(name), name, own)?.ok_or_else(|| wrong(name, "in both models", "in one only"))?;
        let of = |map: &ParamMap| Ok::<_, Error>(like(map.get(name), name, own)?.unwrap_or_default());
        let (fa, fb) = match fishers {
            Some((fa, fb)) => (of(fa)?, of(fb)?),
            None => Default::default(),
        };
        let least = floor.unwrap_or(1.0);
        let information = |f: &[f32], i: usize| f.get(i).map_or(least, |f| f64::from(*f).max(least));
        let value = |i: usize, a: f32, b: f32| {
            let (x, y) =
                (weighting.first * information(&fa, i), (1.0 - weighting.first) * information(&fb, i));
            // Where both are 0 nothing weighs: then λ does.
            let part = if x + y > 0.0 { x / (x + y) } else { weighting.first };
            (part * f64::from(a) + (1.0 - part) * f64::from(b)) as f32
        };
        let values: Vec<f32> = params::with_values(own, |own| {
            own.iter().zip(&other).enumerate().map(|(i, (a, b))| value(i, *a, *b)).collect()
        })?;
        Ok((name.clone(), Tensor::from_vec(values, own.dims(), own.device())?))
    };
    a.iter().map(each).collect()
}

/// Mean over all entries of some maps.
fn mean(maps: [&ParamMap; 2]) -> Result<f64> {
    let mut sum = 0.0;
    for tensor in maps.into_iter().flat_map(ParamMap::values) {
        sum += params::with_values(tensor, |f| f.iter().map(|f| f64::from(*f)).sum::<f64>())?;
    }
    Ok(sum / maps.into_iter().map(params::count).sum::<usize>() as f64)
}

/// The values of a tensor that has the shape of another.
fn like(tensor: Option<&Tensor>, name: &str, own: &Tensor) -> Result<Option<Vec<f32>>> {
    match tensor {
        Some(tensor) if tensor.dims() != own.dims() => {
            Err(wrong(name, &format!("of shape {:?}", own.dims()), &format!("{:?}", tensor.dims())))
        }
        Some(tensor) => Ok(Some(params::with_values(tensor, <[f32]>::to_vec)?)),
        None => Ok(None),
    }
}

fn wrong(name: &str, expected: &str, found: &str) -> Error {
    let fix = "merge models that were trained from the same one, with Fisher information of each";
    Error::field("merge", name, expected, found, fix)
}
