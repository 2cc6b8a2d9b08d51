//! Parameters by name, in name order.
//!
//! A model is a function of a [`ParamMap`]: nothing here is changed in place, so evaluating somewhere else in
//! parameter space never has to be undone. Names are the canonical Hugging Face ones (`bert.` prefix,
//! `LayerNorm.weight`/`bias`); tied weights appear once. "Flat index" always means: tensors in name order, each in
//! row-major order.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Storage, Tensor, Var};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::files;

/// Parameters (or anything shaped like them) by canonical name.
pub type ParamMap = BTreeMap<String, Tensor>;

/// Number of scalar parameters.
pub fn count(map: &ParamMap) -> usize {
    map.values().map(Tensor::elem_count).sum()
}

/// Bytes of all parameters in float32.
pub fn bytes(map: &ParamMap) -> usize {
    count(map) * size_of::<f32>()
}

/// Runs `f` on a float32 tensor's values in row-major order, without a copy where it is contiguous on the CPU.
pub fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(f(&storage.as_slice::<f32>()?[start..end])),
        _ => Ok(f(&tensor.flatten_all()?.to_vec1::<f32>()?)),
    }
}

/// Whether two float32 tensors have the same shape and the same values, bit by bit but for the sign of zero.
pub fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    let same = |(a, b): (&f32, &f32)| a == b || a.to_bits() == b.to_bits();
    Ok(a.dims() == b.dims() && with_values(a, |a| with_values(b, |b| a.iter().zip(b).all(same)))??)
}

/// The same values as leaves of the autograd graph.
pub fn variables(map: &ParamMap) -> Result<ParamMap> {
    into_variables(map.clone())
}

/// The same values as leaves of the autograd graph, each tensor given up as its copy is made.
pub fn into_variables(map: ParamMap) -> Result<ParamMap> {
    map.into_iter().map(|(name, t)| Ok((name, Var::from_tensor(&t)?.into_inner()))).collect()
}

/// The same values outside the autograd graph (shared storage): forward passes then keep no intermediate results.
pub fn detached(map: &ParamMap) -> ParamMap {
    map.iter().map(|(name, t)| (name.clone(), t.detach())).collect()
}

/// What a safetensors file holds.
pub struct Contents {
    /// Its float tensors, as float32.
    pub floats: ParamMap,
    /// The type of each other tensor.
    pub others: BTreeMap<String, String>,
    pub metadata: HashMap<String, String>,
}

/// Every float tensor of a safetensors file as float32, integer ones left out, and the file's metadata.
pub fn read_safetensors(path: &Path) -> Result<(ParamMap, HashMap<String, String>)> {
    let Contents { floats, metadata, .. } = read_contents(path)?;
    Ok((floats, metadata))
}

/// All that a safetensors file holds.
pub fn read_contents(path: &Path) -> Result<Contents> {
    let bytes = files::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, e))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| broken(path, e))?;
    let read = |(name, view): &(String, TensorView)| {
        let values = floats(view.dtype(), view.data())?;
        Some(Tensor::from_vec(values, view.shape(), &Device::Cpu).map(|tensor| (name.clone(), tensor)))
    };
    let map: ParamMap = tensors.tensors().par_iter().filter_map(read).collect::<candle_core::Result<_>>()?;
    let other = |(name, view): (&str, TensorView)| {
        (!map.contains_key(name)).then(|| (name.to_string(), view.dtype().to_string()))
    };
    let others = tensors.iter().filter_map(other).collect();
    Ok(Contents { floats: map, others, metadata: header.metadata().clone().unwrap_or_default() })
}

/// Tensors of numbers in double precision by name, each with its shape.
pub type Numbers = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// Every float64 and int64 tensor of a safetensors file, others left out, and the file's metadata.
pub fn read_numbers(path: &Path) -> Result<(Numbers, HashMap<String, String>)> {
    let bytes = files::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, e))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| broken(path, e))?;
    let numbers = tensors.iter().filter_map(|(name, view)| {
        let number: fn(&[u8; 8]) -> f64 = match view.dtype() {
            Dtype::F64 => |bytes| f64::from_le_bytes(*bytes),
            Dtype::I64 => |bytes| i64::from_le_bytes(*bytes) as f64,
            _ => return None,
        };
        let values = view.data().as_chunks::<8>().0.iter().map(number).collect();
        Some((name.to_string(), (view.shape().to_vec(), values)))
    });
    Ok((numbers.collect(), header.metadata().clone().unwrap_or_default()))
}

/// The group of each of some rows, from the tensor `groups`; none where there is no such tensor.
///
/// # Errors
///
/// What was found in place of a whole number for each row.
pub fn take_groups(tensors: &mut Numbers, rows: usize) -> Result<Vec<Option<u32>>, String> {
    let Some((shape, values)) = tensors.remove("groups") else { return Ok(vec![None; rows]) };
    if shape != [rows] {
        return Err(format!("{shape:?} for {rows} rows"));
    }
    let whole = |value: f64| match value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
        true => Ok(Some(value as u32)),
        false => Err(format!("{value} among the groups")),
    };
    values.into_iter().map(whole).collect()
}

/// A safetensors file whose tensors are read one by one.
pub struct SafetensorsFile {
    path: PathBuf,
    file: std::fs::File,
    metadata: Metadata,
    /// Where the tensors begin.
    data: u64,
}

impl SafetensorsFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken header.
    pub fn open(path: &Path) -> Result<SafetensorsFile> {
        let io = |e| Error::io(path, "read")(e);
        files::check_readable(path)?;
        let mut file = std::fs::File::open(path).map_err(io)?;
        let mut size = [0u8; 8];
        file.read_exact(&mut size).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let size = u64::from_le_bytes(size);
        let wrong = |found: String| {
            let fix = "make the file again";
            Error::field(path.display(), "safetensors", "a whole safetensors file", found, fix)
        };
        if size > length.saturating_sub(8) {
            return Err(wrong(format!("a header of {size} bytes in a file of {length}")));
        }
        let mut header = vec![0u8; size as usize];
        file.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| wrong(e.to_string()))?;
        if metadata.data_len() as u64 != length - 8 - size {
            return Err(wrong(format!("a file of {length} bytes, cut short")));
        }
        Ok(SafetensorsFile { path: path.to_path_buf(), file, metadata, data: size + 8 })
    }

    /// The values of a float32 tensor of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if it is missing, of another shape or type, or not finite.
    pub fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let expected = format!("float32 of shape {shape:?}");
        let wrong = |found: String| {
            let fix = "use snapshots of this model";
            Error::field(self.path.display(), name, &expected, found, fix)
        };
        let info = self.metadata.info(name).ok_or_else(|| wrong("none".into()))?;
        if info.dtype != Dtype::F32 || info.shape != shape {
            return Err(wrong(format!("{:?} of shape {:?}", info.dtype, info.shape)));
        }
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0u8; end - start];
        let io = |e| Error::io(&self.path, "read")(e);
        self.file.seek(SeekFrom::Start(self.data + start as u64)).map_err(io)?;
        self.file.read_exact(&mut bytes).map_err(io)?;
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match values.iter().find(|v| !v.is_finite()) {
            None => Ok(values),
            Some(value) => Err(wrong(value.to_string())),
        }
    }
}

/// What to say of a safetensors file that does not parse.
pub fn broken(path: &Path, error: safetensors::SafeTensorError) -> Error {
    let size = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    let (found, fix) = match is_text(path) {
        true => ("text".to_string(), "freeze a text or a table first, as `fisherscape freeze` does"),
        false => (format!("{error} in a file of {size} bytes"), "fetch or make the file again"),
    };
    Error::field(path.display(), "safetensors", "a whole safetensors file", found, fix)
}

/// Whether the first bytes of a file are those of a text.
fn is_text(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    // A letter may be cut at the end. The first eight bytes of a safetensors file are a small number: zeros among them.
    let text = str::from_utf8(&head).map_or_else(|e| e.error_len().is_none(), |_| true);
    read.is_ok() && !head.is_empty() && text && !head.contains(&0)
}

/// Little-endian numbers of a float type as float32, float64 rounded; `None` for another type.
pub fn floats(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(data: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        data.as_chunks::<N>().0.iter().map(|b| f(*b)).collect()
    }
    // bfloat16 is the upper half of a float32; half precision goes through candle, which has the conversion.
    match dtype {
        Dtype::F32 => Some(each(data, f32::from_le_bytes)),
        Dtype::F64 => Some(each(data, |b| f64::from_le_bytes(b) as f32)),
        Dtype::BF16 => Some(each(data, |[a, b]: [u8; 2]| f32::from_le_bytes([0, 0, a, b]))),
        Dtype::F16 => Tensor::from_raw_buffer(data, DType::F16, &[data.len() / 2], &Device::Cpu)
            .and_then(|t| t.to_dtype(DType::F32)?.to_vec1())
            .ok(),
        _ => None,
    }
}

/// A tensor on its way into a safetensors file.
pub enum Column<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I64(&'a [i64]),
    /// As float32.
    Tensor(&'a Tensor),
}

impl Column<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Column::F32(_) | Column::Tensor(_) => Dtype::F32,
            Column::F64(_) => Dtype::F64,
            Column::I64(_) => Dtype::I64,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::F32(v) => size_of_val(*v),
            Column::F64(v) => size_of_val(*v),
            Column::I64(v) => size_of_val(*v),
            Column::Tensor(t) => t.elem_count() * size_of::<f32>(),
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        fn each<T: Copy, const N: usize>(
            out: &mut impl Write,
            values: &[T],
            bytes: impl Fn(T) -> [u8; N],
        ) -> io::Result<()> {
            values.iter().try_for_each(|v| out.write_all(&bytes(*v)))
        }
        match self {
            Column::F32(v) => each(out, v, f32::to_le_bytes),
            Column::F64(v) => each(out, v, f64::to_le_bytes),
            Column::I64(v) => each(out, v, i64::to_le_bytes),
            Column::Tensor(t) => with_values(t, |v| each(out, v, f32::to_le_bytes))
                .unwrap_or_else(|e| Err(io::Error::other(e))),
        }
    }
}

/// Writes named columns as a safetensors file, all or nothing. The same input gives the same bytes: metadata stand
/// in key order (the safetensors crate writes them in a random one, so the header is written here), tensors by
/// falling size of their type, which keeps each aligned for readers that map the file, then by name.
pub fn write_safetensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Column<'a>)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut tensors: Vec<(String, Vec<usize>, Column)> = tensors.into_iter().collect();
    tensors
        .sort_by(|(a, _, x), (b, _, y)| y.dtype().bitsize().cmp(&x.dtype().bitsize()).then_with(|| a.cmp(b)));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for (name, shape, column) in &tensors {
        let start = end;
        end += column.bytes();
        let entry =
            serde_json::json!({"dtype": column.dtype(), "shape": shape, "data_offsets": [start, end]});
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    files::write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|(_, _, column)| column.write(file))
    })
}

/// Writes a parameter map as float32 safetensors.
pub fn write_params(path: &Path, map: &ParamMap, metadata: &BTreeMap<String, String>) -> Result<()> {
    let columns = map.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), Column::Tensor(t)));
    write_safetensors(path, columns, metadata)
}
