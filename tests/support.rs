//! What the tests share: paths of fixtures, the binary, comparisons.

use candle_core::{DType, Device, Tensor};
use fisherscape::model::Layout;
use fisherscape::model::architectures::recognise;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use fisherscape::params::{self, ParamMap};

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A path under tests/fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// The binary, quiet, with its arguments split at blanks. What is neither a folder nor in the cache is not fetched.
pub fn fisherscape(arguments: &str) -> Command {
    let mut command = Command::cargo_bin("fisherscape").expect("cargo builds the binary before its tests");
    command.arg("-q").args(arguments.split_whitespace()).env("HF_HUB_OFFLINE", "1");
    command
}

/// Tensors of a safetensors file.
pub fn tensors(path: &Path) -> ParamMap {
    params::read_safetensors(path).unwrap_or_else(|e| panic!("{e}")).0
}

/// `‖a - b‖ / ‖b‖`
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    let squared = |v: f32| f64::from(v).powi(2);
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| squared(a - b)).sum();
    (difference / b.iter().map(|b| squared(*b)).sum::<f64>().max(1e-60)).sqrt()
}

/// The values of a tensor.
pub fn values(tensor: &candle_core::Tensor) -> Vec<f32> {
    params::with_values(tensor, <[f32]>::to_vec).unwrap_or_else(|e| panic!("{e}"))
}

/// A JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Copies a folder.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The layout of a BERT's tensors of these names and sizes.
pub fn layout<N: ToString>(tensors: &[(N, usize)]) -> Layout {
    let tensor = |(name, size): &(N, usize)| {
        (name.to_string(), Tensor::zeros(*size, DType::F32, &Device::Cpu).unwrap())
    };
    recognise(&tensors.iter().map(tensor).collect())
}
