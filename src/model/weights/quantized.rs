//! Checkpoints whose weights are not numbers of their own: quantized to few bits, with scales beside them.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

const FIX: &str = "give the checkpoint that it was made of: Fisher information and surfaces need its weights as they are, \
                   in 16 or 32 bits";

/// How the names of scales and packed weights end, by what quantizes so.
const MARKS: [(&str, &str); 8] = [
    (".SCB", "bitsandbytes, 8 bits"),
    (".absmax", "bitsandbytes, 4 bits"),
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale", "scaled weights"),
    (".weight_scale_inv", "scaled weights"),
    ("._packed_params.dtype", "PyTorch, 8 bits"),
];

/// Refuses a configuration that says so.
///
/// # Errors
///
/// [`Error::Field`] with the method.
pub fn check(folder: &Path, config: &Map<String, Value>) -> Result<()> {
    let Some(how) = config.get("quantization_config").filter(|how| !how.is_null()) else { return Ok(()) };
    let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("a method that it does not name");
    let place = folder.join("config.json");
    Err(Error::said(
        place.display(),
        format!("the weights are quantized by {method} (`quantization_config`)"),
        FIX,
    ))
}

/// What quantized a tensor of this name, if it is a part of one that is.
pub fn method(name: &str) -> Option<&'static str> {
    MARKS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, method)| *method)
}

/// A weight that is stored as `found`.
pub fn refused(folder: &Path, name: &str, found: &str) -> Error {
    let expected = "of 16, 32 or 64 bits, floating-point";
    Error::field(folder.display(), name, expected, found, FIX)
}
