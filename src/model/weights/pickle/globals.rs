//! The names that a pickle may use. They are those that PyTorch's `torch.load(weights_only=True)` allows.

use super::super::element::Element;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Global {
    OrderedDict,
    /// A shape is a tuple.
    Size,
    /// The class of tensors, named beside a function that makes one.
    Tensor,
    /// A function or class that makes a tensor.
    Make(Make),
    StorageOf(&'static Element),
    Dtype(&'static Element),
    /// What is made of it no model's weights consist of: only what it is.
    Opaque(&'static str),
}

/// How a tensor is made.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    /// `_rebuild_tensor`, `_rebuild_tensor_v2`: storage, offset, shape, strides, and what autograd needs.
    View,
    /// `_rebuild_tensor_v3`: the same with a type.
    TypedView,
    /// Of a tensor, the first argument: `_rebuild_parameter` and the like.
    Wrap,
    /// `_rebuild_from_type_v2`: function, class, arguments, attributes.
    FromType,
}

const PLAIN: [(&str, &str, Global); 23] = [
    ("collections", "OrderedDict", Global::OrderedDict),
    ("collections", "Counter", Global::Opaque("a Counter")),
    ("torch", "Size", Global::Size),
    ("torch", "Tensor", Global::Tensor),
    ("torch", "device", Global::Opaque("a device")),
    ("torch.nn.parameter", "Parameter", Global::Make(Make::Wrap)),
    ("torch._utils", "_rebuild_tensor", Global::Make(Make::View)),
    ("torch._utils", "_rebuild_tensor_v2", Global::Make(Make::View)),
    ("torch._utils", "_rebuild_tensor_v3", Global::Make(Make::TypedView)),
    ("torch._utils", "_rebuild_parameter", Global::Make(Make::Wrap)),
    ("torch._utils", "_rebuild_parameter_with_state", Global::Make(Make::Wrap)),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", Global::Make(Make::Wrap)),
    ("torch._tensor", "_rebuild_from_type_v2", Global::Make(Make::FromType)),
    ("torch._utils", "_rebuild_sparse_tensor", Global::Opaque("a sparse tensor")),
    ("torch._utils", "_rebuild_qtensor", Global::Opaque("a quantized tensor")),
    ("torch._utils", "_rebuild_meta_tensor_no_storage", Global::Opaque("a tensor without values (meta)")),
    ("torch._utils", "_rebuild_wrapper_subclass", Global::Opaque("a tensor of a class of its own")),
    ("torch._utils", "_rebuild_device_tensor_from_numpy", Global::Opaque("a tensor by way of numpy")),
    ("torch.serialization", "_get_layout", Global::Opaque("a layout")),
    ("_codecs", "encode", Global::Opaque("bytes")),
    ("builtins", "set", Global::Opaque("a set")),
    ("builtins", "bytearray", Global::Opaque("bytes")),
    ("builtins", "complex", Global::Opaque("a complex number")),
];

const SCHEMES: [&str; 5] = [
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
];

/// What `module.name` stands for, if it is allowed.
pub fn find(module: &str, name: &str) -> Option<Global> {
    // Python 2 called it so.
    let module = if module == "__builtin__" { "builtins" } else { module };
    let plain = PLAIN.iter().find(|(of, own, _)| (*of, *own) == (module, name));
    if let Some((.., global)) = plain {
        return Some(*global);
    }
    match module {
        "torch" | "torch.cuda" | "torch.storage" => of_torch(name),
        _ => None,
    }
}

fn of_torch(name: &str) -> Option<Global> {
    if let Some(element) = Element::of_storage(name) {
        return Some(Global::StorageOf(element));
    }
    if let Some(element) = Element::named(name).filter(|element| !element.is_untyped()) {
        return Some(Global::Dtype(element));
    }
    SCHEMES.contains(&name).then_some(Global::Opaque("a quantization scheme"))
}
