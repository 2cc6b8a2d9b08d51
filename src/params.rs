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
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use crate::error::{Error, Result};
use crate::{files, threads};

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

/// All that a safetensors file holds, read tensor by tensor: the file itself is never in memory.
pub fn read_contents(path: &Path) -> Result<Contents> {
    let mut file = SafetensorsFile::open(path)?;
    let (mut floats, mut others) = (ParamMap::new(), BTreeMap::new());
    for name in file.metadata.offset_keys() {
        let Some(info) = file.metadata.info(&name).cloned() else { continue };
        match file.floats(&info)? {
            Some(values) => {
                floats.insert(name, Tensor::from_vec(values, info.shape, &Device::Cpu)?);
            }
            None => {
                others.insert(name, info.dtype.to_string());
            }
        }
    }
    Ok(Contents { floats, others, metadata: file.metadata.metadata().clone().unwrap_or_default() })
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
    file: Box<dyn files::Source>,
    metadata: Metadata,
    /// Where the tensors begin.
    data: u64,
}

/// The header of a safetensors file.
#[derive(serde::Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Option<HashMap<String, String>>,
    #[serde(flatten)]
    tensors: HashMap<String, TensorInfo>,
}

/// Bytes that are read at once, of a tensor whose type is converted.
const PIECE: usize = 1 << 20;

impl SafetensorsFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a broken header.
    pub fn open(path: &Path) -> Result<SafetensorsFile> {
        let mut file = files::seekable(path)?;
        let (metadata, data) = header(&mut file).map_err(|e| broken(path, e))?;
        Ok(SafetensorsFile { path: path.to_path_buf(), file, metadata, data })
    }

    /// The values of a float32 tensor of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if it is missing, of another shape or type, or not finite.
    pub fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (path, expected) = (self.path.clone(), format!("float32 of shape {shape:?}"));
        let wrong = |found: String| {
            let fix = "use snapshots of this model";
            Error::field(path.display(), name, &expected, found, fix)
        };
        let info = self.metadata.info(name).cloned().ok_or_else(|| wrong("none".into()))?;
        if info.dtype != Dtype::F32 || info.shape != shape {
            return Err(wrong(format!("{:?} of shape {:?}", info.dtype, info.shape)));
        }
        let values = self.floats(&info)?.unwrap_or_default();
        match values.iter().find(|v| !v.is_finite()) {
            None => Ok(values),
            Some(value) => Err(wrong(value.to_string())),
        }
    }

    /// What else the file says.
    pub fn metadata(&self) -> HashMap<String, String> {
        self.metadata.metadata().clone().unwrap_or_default()
    }

    /// The values of a float64 tensor of this shape.
    ///
    /// # Errors
    ///
    /// As [`f32`](Self::f32).
    pub fn f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let info = self.metadata.info(name).filter(|info| info.dtype == Dtype::F64 && info.shape == shape);
        let Some((start, end)) = info.map(|info| info.data_offsets) else {
            let expected = format!("float64 of shape {shape:?}");
            return Err(Error::field(self.path.display(), name, expected, "another", "make the file again"));
        };
        let mut bytes = vec![0; end - start];
        let read = self.file.seek(SeekFrom::Start(self.data + start as u64));
        read.and_then(|_| self.file.read_exact(&mut bytes)).map_err(Error::io(&self.path, "read"))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect())
    }

    /// A tensor of a float type as float32; `None` of another type.
    fn floats(&mut self, info: &TensorInfo) -> Result<Option<Vec<f32>>> {
        let (start, end) = info.data_offsets;
        self.file.seek(SeekFrom::Start(self.data + start as u64)).map_err(Error::io(&self.path, "read"))?;
        match info.dtype {
            Dtype::F32 => self.f32_in_place((end - start) / size_of::<f32>()).map(Some),
            dtype => self.converted(dtype, end - start),
        }
    }

    /// The next values, read where they are to stand.
    fn f32_in_place(&mut self, count: usize) -> Result<Vec<f32>> {
        let mut values = threads::zeros(count);
        let bytes = bytemuck::cast_slice_mut(&mut values);
        self.file.read_exact(bytes).map_err(Error::io(&self.path, "read"))?;
        values.iter_mut().for_each(|v| *v = f32::from_bits(u32::from_le(v.to_bits())));
        Ok(values)
    }

    /// The next so many bytes of this type as float32, read in pieces.
    fn converted(&mut self, dtype: Dtype, mut left: usize) -> Result<Option<Vec<f32>>> {
        if floats(dtype, &[]).is_none() {
            return Ok(None);
        }
        let (mut values, mut piece) =
            (Vec::with_capacity(left * 8 / dtype.bitsize()), vec![0; left.min(PIECE)]);
        while left > 0 {
            let piece = &mut piece[..left.min(PIECE)];
            self.file.read_exact(piece).map_err(Error::io(&self.path, "read"))?;
            values.extend(floats(dtype, piece).into_iter().flatten());
            left -= piece.len();
        }
        Ok(Some(values))
    }
}

/// The header, and where it ends.
fn header(file: &mut impl files::Source) -> Result<(Metadata, u64), SafeTensorError> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut size = [0u8; 8];
    file.read_exact(&mut size).map_err(|_| SafeTensorError::HeaderTooSmall)?;
    let end = u64::from_le_bytes(size).checked_add(8).ok_or(SafeTensorError::HeaderTooLarge)?;
    if end > length {
        return Err(SafeTensorError::InvalidHeaderLength);
    }
    let mut text = Vec::new();
    file.take(end - 8).read_to_end(&mut text)?;
    let text = str::from_utf8(&text).map_err(SafeTensorError::InvalidHeader)?;
    let Header { metadata, tensors } =
        serde_json::from_str(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    let mut tensors: Vec<(String, TensorInfo)> = tensors.into_iter().collect();
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let metadata = Metadata::new(metadata, tensors)?;
    match metadata.data_len() as u64 == length - end {
        true => Ok((metadata, end)),
        false => Err(SafeTensorError::MetadataIncompleteBuffer),
    }
}

/// What to say of a safetensors file that does not parse.
pub fn broken(path: &Path, error: SafeTensorError) -> Error {
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
            values.chunks(1 << 14).try_for_each(|values| {
                let bytes: Vec<u8> = values.iter().flat_map(|v| bytes(*v)).collect();
                out.write_all(&bytes)
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: candle's own reader, of tensors longer than what is read at once and of empty ones, in every float type. Catches a
    /// piece that is left out or begins elsewhere, a tensor at another's place, and an integer tensor that is taken for numbers.
    #[test]
    fn tensors_are_read_piece_by_piece() -> Result<()> {
        let folder = tempfile::tempdir().map_err(Error::io(Path::new("temporary folder"), "create"))?;
        let path = folder.path().join("all.safetensors");
        let ramp = |n: usize| Tensor::arange(0f32, n as f32, &Device::Cpu)?.affine(0.37, -5.0);
        let mut all = HashMap::new();
        for (name, dtype) in [("a", DType::F64), ("b", DType::BF16), ("c", DType::F32), ("d", DType::F16)] {
            all.insert(name.to_string(), ramp(PIECE / 3 + 1001)?.to_dtype(dtype)?);
            all.insert(format!("{name}.one"), ramp(1)?.to_dtype(dtype)?);
        }
        all.insert("numbers".into(), ramp(5)?.to_dtype(DType::I64)?);
        candle_core::safetensors::save(&all, &path)?;
        let Contents { floats, others, .. } = read_contents(&path)?;
        assert_eq!(others.into_iter().collect::<Vec<_>>(), [("numbers".to_string(), "I64".to_string())]);
        let wanted = candle_core::safetensors::load(&path, &Device::Cpu)?;
        assert_eq!(floats.len(), wanted.len() - 1);
        for (name, own) in floats {
            assert!(equal(&own, &wanted[&name].to_dtype(DType::F32)?)?, "{name}");
        }
        Ok(())
    }
}
