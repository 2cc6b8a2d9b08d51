//! How the drop probability falls from the least to the most important site.
//!
//! The site of rank k of S (0 = lowest score) gets `p_k = p_lower + (p_upper - p_lower) w(x)`, `x = k / (S - 1)`, with
//! `w = 1 - x` (linear, the paper's eqs. 9-10), `w = (1 - x)^K` (power:K) or `w = (1 + cos πx) / 2` (cosine, the shape of
//! Loshchilov and Hutter's 2017 learning rates). Each falls from p_upper at rank 0 to p_lower at the last rank. Powers and
//! cosines are `libm`'s, so that rates have the same bits on every machine.
//!
//! The trap: the mean rate differs by shape. It is the middle of the two bounds for linear and cosine, and about
//! `p_lower + (p_upper - p_lower) / (K + 1)` for power:K, so shapes between the same bounds are confounded with it.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// How the drop probability falls with the rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shape {
    /// A straight line, the paper's.
    #[default]
    Linear,
    /// Half a period of the cosine: flat at both ends, steep between.
    Cosine,
    /// The line to this power, above 0: above 1 only the least important sites drop much, below 1 most of them do.
    Power(f64),
}

impl Shape {
    /// Drop probability at rank `k` of `sites`, 0 = lowest score.
    pub fn at(self, k: usize, sites: usize, p_lower: f64, p_upper: f64) -> f64 {
        let importance = k as f64 / (sites - 1).max(1) as f64;
        let weight = match self {
            Shape::Linear => 1.0 - importance,
            Shape::Cosine => (1.0 + libm::cos(PI * importance)) / 2.0,
            Shape::Power(exponent) => libm::pow(1.0 - importance, exponent),
        };
        // The sum may round off the bound at rank 0; in this form it never rises with the rank.
        if k == 0 { p_upper } else { (p_lower + (p_upper - p_lower) * weight).min(p_upper) }
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let exponent = text.strip_prefix("power:").and_then(|k| k.parse::<f64>().ok());
        match (text, exponent) {
            ("linear", _) => Ok(Shape::Linear),
            ("cosine", _) => Ok(Shape::Cosine),
            (_, Some(k)) if k > 0.0 && k.is_finite() => Ok(Shape::Power(k)),
            _ => Err("expected linear, cosine or power:K with K above 0".into()),
        }
    }
}

/// As it is written on the command line.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Shape::Linear => write!(f, "linear"),
            Shape::Cosine => write!(f, "cosine"),
            Shape::Power(exponent) => write!(f, "power:{exponent}"),
        }
    }
}
