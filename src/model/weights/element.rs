//! What the numbers of a PyTorch tensor are.

use std::hash::{Hash, Hasher};

use safetensors::tensor::Dtype;

/// A kind of number.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// As `torch.NAME`.
    pub name: &'static str,
    /// Bytes each.
    pub size: usize,
    /// The kinds that become float32.
    pub float: Option<Dtype>,
}

const fn float(name: &'static str, size: usize, dtype: Dtype) -> Element {
    Element { name, size, float: Some(dtype) }
}

const fn other(name: &'static str, size: usize) -> Element {
    Element { name, size, float: None }
}

/// Every kind that has a name in PyTorch, and the class of its storage where there is one. A storage without a kind
/// (`UntypedStorage`) counts bytes, and the tensor has the kind.
static ELEMENTS: [(Element, &str); 33] = [
    (float("float32", 4, Dtype::F32), "FloatStorage"),
    (float("float64", 8, Dtype::F64), "DoubleStorage"),
    (float("float16", 2, Dtype::F16), "HalfStorage"),
    (float("bfloat16", 2, Dtype::BF16), "BFloat16Storage"),
    (other("int64", 8), "LongStorage"),
    (other("int32", 4), "IntStorage"),
    (other("int16", 2), "ShortStorage"),
    (other("int8", 1), "CharStorage"),
    (other("uint8", 1), "ByteStorage"),
    (other("bool", 1), "BoolStorage"),
    (other("complex64", 8), "ComplexFloatStorage"),
    (other("complex128", 16), "ComplexDoubleStorage"),
    (other("qint8", 1), "QInt8Storage"),
    (other("quint8", 1), "QUInt8Storage"),
    (other("qint32", 4), "QInt32Storage"),
    (other("quint4x2", 1), "QUInt4x2Storage"),
    (other("quint2x4", 1), "QUInt2x4Storage"),
    (other("bytes", 1), "UntypedStorage"),
    (other("uint16", 2), ""),
    (other("uint32", 4), ""),
    (other("uint64", 8), ""),
    (other("complex32", 4), ""),
    (other("float8_e4m3fn", 1), ""),
    (other("float8_e5m2", 1), ""),
    (other("float8_e4m3fnuz", 1), ""),
    (other("float8_e5m2fnuz", 1), ""),
    (other("float8_e8m0fnu", 1), ""),
    (other("float4_e2m1fn_x2", 1), ""),
    (other("bits8", 1), ""),
    (other("bits16", 2), ""),
    (other("bits1x8", 1), ""),
    (other("bits2x4", 1), ""),
    (other("bits4x2", 1), ""),
];

impl Hash for Element {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Element {
    /// The kind `torch.NAME`.
    pub fn named(name: &str) -> Option<&'static Element> {
        ELEMENTS.iter().map(|(element, _)| element).find(|element| element.name == name)
    }

    /// The kind that a storage of this class holds.
    pub fn of_storage(class: &str) -> Option<&'static Element> {
        let of_class = |(_, own): &&(Element, &str)| !own.is_empty() && *own == class;
        ELEMENTS.iter().find(of_class).map(|(element, _)| element)
    }

    /// Whether it says nothing of the numbers.
    pub fn is_untyped(&self) -> bool {
        self.name == "bytes"
    }
}
