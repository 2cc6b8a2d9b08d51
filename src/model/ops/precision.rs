//! How products of matrices are rounded.

use std::fmt;

use candle_core::{DType, Result, Tensor};

/// How products of matrices are rounded; all else is float32.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As everything else.
    #[default]
    Float32,
    /// Factors rounded to 10 bits, on NVIDIA GPUs since 2020: several times as fast, and losses are known to three digits.
    Tf32,
    /// Factors and results rounded to 7 bits, not on cpu: faster again, and losses are known to two digits.
    Bf16,
}

impl Precision {
    /// `a b` for matrices, or batches of them.
    pub fn product(self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        match self {
            // Tf32 is the device's own affair.
            Precision::Float32 | Precision::Tf32 => a.matmul(b),
            Precision::Bf16 => {
                a.to_dtype(DType::BF16)?.matmul(&b.to_dtype(DType::BF16)?)?.to_dtype(a.dtype())
            }
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Precision::Float32 => "float32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::rng::Stream;

    fn random(name: &str, shape: (usize, usize)) -> Tensor {
        let mut values = vec![0f32; shape.0 * shape.1];
        Stream::new(7, name).fill_normal(0, &mut values);
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// To the nearest number with 7 bits behind the point, ties to even, in integers.
    fn rounded(x: f32) -> f64 {
        let bits = x.to_bits();
        f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
    }

    fn rounded_product(a: &[Vec<f32>], b: &[Vec<f32>]) -> Vec<Vec<f64>> {
        let dot = |row: &[f32], j: usize| row.iter().zip(b).map(|(a, b)| rounded(*a) * rounded(b[j])).sum();
        a.iter().map(|row| (0..b[0].len()).map(|j| dot(row, j)).collect()).collect()
    }

    /// Half of the last of 7 bits, and float32 sums of terms that may cancel.
    fn assert_close(found: &Tensor, wanted: &[Vec<f64>]) {
        for (found, wanted) in found.to_vec2::<f32>().unwrap().iter().flatten().zip(wanted.iter().flatten()) {
            let error = (f64::from(*found) - wanted).abs();
            assert!(error <= wanted.abs() / 256.0 + 1e-5, "{found} and {wanted}");
        }
    }

    /// Oracle: factors rounded in integers, their products summed in float64; the gradient at a factor is such a product, too. Catches
    /// a factor that is not rounded, a sum in bfloat16 (17 terms would be off by several bits), a gradient that is cut.
    #[test]
    fn bf16_rounds_factors_and_results() -> Result<()> {
        let (a, b) = (Var::from_tensor(&random("a", (5, 17)))?, random("b", (17, 3)));
        let y = Precision::Bf16.product(&a, &b)?;
        assert_eq!(y.dtype(), DType::F32);
        let (own, others) = (a.to_vec2::<f32>()?, b.to_vec2::<f32>()?);
        assert_close(&y, &rounded_product(&own, &others));
        let exact = Precision::Float32.product(&a, &b)?.to_vec2::<f32>()?;
        assert!(exact != y.to_vec2::<f32>()?);
        let weights = random("w", (5, 3));
        let gradients = (&y * &weights)?.sum_all()?.backward()?;
        let wanted = rounded_product(&weights.to_vec2::<f32>()?, &b.t()?.to_vec2::<f32>()?);
        assert_close(gradients.get(&a).unwrap(), &wanted);
        Ok(())
    }
}
