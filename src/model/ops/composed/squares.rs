//! Squared gradients on any device: each example's gradient of a weight as one of a batch of matrix products, squared and
//! summed tile by tile. Never are the gradients of all examples in memory, and nothing leaves the device.
//!
//! `g_nᵀ x_n` is `[out, in]` for each of B examples: rows are padded with zeros to the longest example, which add nothing.

use std::collections::BTreeMap;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, MetalStorage, Result, Shape, Tensor, bail};

use super::cells;
use crate::model::ops::tap::{Tap, Use};
use crate::model::ops::{self, Precision};

/// Values of the products that are formed at once: with their squares 512 MiB.
const TILE: usize = 1 << 26;

/// What an operation was, to square the gradients of its parameters.
pub enum Watched {
    /// `x wᵀ + b`, by its input `[rows, in]`, and how its products are rounded.
    Linear(Tensor, Precision),
    /// `n ⊙ w + b`, by what was normalized `[rows, H]`.
    Norm(Tensor),
}

/// The identity: in the backward pass the gradient comes by, and its parameters' squares go to the tap.
pub struct Watch {
    pub tap: Tap,
    pub watched: Watched,
}

/// A copy of a tensor that lies in one piece.
fn copied<S: BackendStorage>(storage: &S, layout: &Layout) -> Result<(S, Shape)> {
    match layout.contiguous_offsets() {
        Some((0, _)) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
        _ => bail!("squared gradients: results that are not in one piece"),
    }
}

impl CustomOp1 for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        copied(storage, layout)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        copied(storage, layout)
    }

    fn metal_fwd(&self, storage: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        copied(storage, layout)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let tap = &self.tap;
        match &self.watched {
            Watched::Linear(x, precision) => {
                let own = padded(g, &tap.spans)?;
                add_vectors(tap, &tap.biases, &own.sum(1)?)?;
                if !tap.defers(g, x)? {
                    add_products(tap, *precision, &own, &padded(x, &tap.spans)?)?;
                }
            }
            Watched::Norm(normal) => {
                add_vectors(tap, &tap.weights, &padded(&(g * normal)?, &tap.spans)?.sum(1)?)?;
                add_vectors(tap, &tap.biases, &padded(g, &tap.spans)?.sum(1)?)?;
            }
        }
        Ok(Some(g.clone()))
    }
}

/// Rows of examples `[rows, n]` as a rectangle, with zeros where an example has no row: `[B, longest, n]`.
fn padded(x: &Tensor, spans: &[usize]) -> Result<Tensor> {
    let (examples, (rows, n)) = (spans.len() - 1, x.dims2()?);
    let longest = spans.windows(2).map(|span| span[1] - span[0]).max().unwrap_or(0);
    if examples * longest == rows {
        return x.contiguous()?.reshape((examples, longest, n));
    }
    let zero = Tensor::zeros((1, n), x.dtype(), x.device())?;
    let cells = cells(spans, longest, rows as u32);
    ops::rows(&Tensor::cat(&[x, &zero], 0)?, &cells)?.reshape((examples, longest, n))
}

/// Squares of each example's gradient of vectors, `[B, n]` split evenly over `names`.
pub fn add_vectors(tap: &Tap, names: &[String], gradients: &Tensor) -> Result<()> {
    if let Some(mut shared) = tap.shared()? {
        return shared.add_vectors(names, gradients.clone());
    }
    let each = gradients.dim(1)? / names.len().max(1);
    let mut squares = tap.squares()?;
    for (i, name) in names.iter().enumerate() {
        let own = gradients.narrow(1, i * each, each)?.sqr()?;
        let own = match squares.still(name) {
            None => continue,
            Some([]) => own,
            Some(still) => {
                let mut kept = vec![1f32; each];
                still.iter().for_each(|i| kept[*i] = 0.0);
                own.broadcast_mul(&Tensor::new(kept, own.device())?)?
            }
        };
        squares.add_on_device(name, 0, &own.sum(0)?)?;
        squares.add_sums_on_device(name, tap.first, own.sum(1)?);
    }
    Ok(())
}

/// Squares of the sum of the products of all uses: one product of their rows, an example's together.
pub fn add_uses(tap: &Tap, precision: Precision, uses: &[Use]) -> Result<()> {
    let all = |of: fn(&Use) -> &Tensor| {
        let each = uses.iter().map(|own| padded(of(own), &own.spans)).collect::<Result<Vec<Tensor>>>()?;
        Tensor::cat(&each, 1)
    };
    add_products(tap, precision, &all(|own| &own.g)?, &all(|own| &own.x)?)
}

/// Squares of `g_nᵀ x_n`, `g` `[B, T, n]` and `x` `[B, T, k]`, split evenly over the weights.
fn add_products(tap: &Tap, precision: Precision, g: &Tensor, x: &Tensor) -> Result<()> {
    if let (true, [name]) = (tap.transposed, tap.weights.as_slice()) {
        // The other way round: `x_nᵀ g_n`.
        return add_product(tap, precision, name, (x, g), None);
    }
    let each = g.dim(2)? / tap.weights.len().max(1);
    let mut weights = tap.weights.iter().enumerate();
    weights
        .try_for_each(|(i, name)| add_product(tap, precision, name, (&g.narrow(2, i * each, each)?, x), None))
}

/// Squares of `g_nᵀ x_n + e_n` for `g` `[B, T, n]` and `x` `[B, T, k]`, where `e_n` are an example's rows in `extra`.
fn add_product(
    tap: &Tap,
    precision: Precision,
    name: &str,
    inputs: (&Tensor, &Tensor),
    extra: Option<&Touched>,
) -> Result<()> {
    add_in_tiles((tap, precision), name, inputs, extra, TILE)
}

/// The same, of which at most `most` values are formed at once, or one row for each example.
fn add_in_tiles(
    (tap, precision): (&Tap, Precision),
    name: &str,
    (g, x): (&Tensor, &Tensor),
    extra: Option<&Touched>,
    most: usize,
) -> Result<()> {
    let mut squares = tap.squares()?;
    if squares.still(name).is_none() {
        return Ok(());
    }
    let ((examples, _, n), k) = (g.dims3()?, x.dim(2)?);
    let height = (most / (examples * k).max(1)).clamp(1, n);
    let mut sums: Option<Tensor> = None;
    for from in (0..n).step_by(height) {
        let height = height.min(n - from);
        let g = g.narrow(2, from, height)?.contiguous()?;
        let mut products = precision.product(&g.transpose(1, 2)?, x)?;
        if let Some(extra) = extra {
            products = extra.added(products, from)?;
        }
        // Row by row first: float32 sums of few hundred values.
        let own = products.sqr()?;
        squares.add_on_device(name, from, &own.sum(0)?)?;
        let own = own.sum(2)?.sum(1)?;
        sums = Some(sums.map_or_else(|| Ok(own.clone()), |sums| sums + &own)?);
    }
    sums.into_iter().for_each(|sums| squares.add_sums_on_device(name, tap.first, sums));
    Ok(())
}

/// As `Backend::tap_table`.
pub fn add_table(
    tap: &Tap,
    precision: Precision,
    name: &str,
    ids: &[u32],
    spans: &[usize],
    g: &Tensor,
) -> Result<()> {
    let touched = Touched::new(ids, spans, g)?;
    if let Some((g, x)) = tap.left()? {
        let (g, x) = (padded(&g, &tap.spans)?, padded(&x, &tap.spans)?);
        return add_product(tap, precision, name, (&g, &x), Some(&touched));
    }
    let mut squares = tap.squares()?;
    if squares.still(name).is_none() {
        return Ok(());
    }
    let own = touched.rows.sqr()?;
    squares.add_rows_on_device(name, &touched.ids(), &own)?;
    let owners: Vec<u32> = touched.places.iter().map(|(example, _)| *example).collect();
    let (sums, owners) = (own.sum(1)?, Tensor::new(owners, g.device())?);
    let none = Tensor::zeros(spans.len() - 1, g.dtype(), g.device())?;
    squares.add_sums_on_device(name, tap.first, none.index_add(&owners, &sums, 0)?);
    Ok(())
}

/// The rows of a table that examples touch, each with its gradient.
struct Touched {
    /// Example and row of the table, ascending.
    places: Vec<(u32, u32)>,
    /// `[places, width]`
    rows: Tensor,
}

impl Touched {
    /// Sums the rows of `g` that are an example's own and of one row of the table.
    fn new(ids: &[u32], spans: &[usize], g: &Tensor) -> Result<Touched> {
        let owners = spans.windows(2).zip(0u32..);
        let places = owners.flat_map(|(span, b)| ids[span[0]..span[1]].iter().map(move |id| (b, *id)));
        let places: Vec<(u32, u32)> = places.collect();
        let mut index: BTreeMap<(u32, u32), u32> = places.iter().map(|place| (*place, 0)).collect();
        index.values_mut().zip(0..).for_each(|(at, i)| *at = i);
        let at: Vec<u32> = places.iter().map(|place| index[place]).collect();
        let none = Tensor::zeros((index.len(), g.dim(1)?), g.dtype(), g.device())?;
        let rows = none.index_add(&Tensor::new(at, g.device())?, g, 0)?;
        Ok(Touched { places: index.into_keys().collect(), rows })
    }

    fn ids(&self) -> Vec<u32> {
        self.places.iter().map(|(_, id)| *id).collect()
    }

    /// `products` `[B, height, k]`, those of the table's rows from `from` on, with the rows that are touched added.
    fn added(&self, products: Tensor, from: usize) -> Result<Tensor> {
        let (examples, height, k) = products.dims3()?;
        let inside = |(_, (_, id)): &(u32, &(u32, u32))| (from..from + height).contains(&(*id as usize));
        let (chosen, at): (Vec<u32>, Vec<u32>) = (0u32..)
            .zip(&self.places)
            .filter(inside)
            .map(|(i, (b, id))| (i, (*b as usize * height + *id as usize - from) as u32))
            .unzip();
        if chosen.is_empty() {
            return Ok(products);
        }
        let rows = ops::rows(&self.rows, &chosen)?;
        let at = Tensor::new(at, products.device())?;
        products.reshape((examples * height, k))?.index_add(&at, &rows, 0)?.reshape((examples, height, k))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use candle_core::{DType, Device};

    use super::*;
    use crate::error;
    use crate::model::layout::Reached;
    use crate::model::ops::{Backend, Deferred, fused};
    use crate::model::squares::Squares;
    use crate::params::{ParamMap, with_values};
    use crate::rng::Stream;

    const SPANS: [usize; 5] = [0, 3, 3, 8, 9];
    const WIDTH: usize = 4;

    fn random(name: &str, shape: &[usize]) -> Tensor {
        let mut values = vec![0f32; shape.iter().product()];
        Stream::new(3, name).fill_normal(0, &mut values);
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// F and `s[n,t]` of what `add` gives a tap; of the vector `b` entry 1 has no gradient.
    fn squares(add: impl Fn(&Tap) -> Result<()>) -> error::Result<Vec<f32>> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let theta = ParamMap::from([
            ("table".to_string(), zeros(&[11, WIDTH])?),
            ("w".to_string(), zeros(&[11, WIDTH])?),
            ("v".to_string(), zeros(&[11, WIDTH])?),
            ("b".to_string(), zeros(&[11])?),
            ("c".to_string(), zeros(&[11])?),
        ]);
        let reached = |name: &str| match name {
            "b" => Reached::Rows((0..11).filter(|i| *i != 1).collect()),
            "c" => Reached::Rows(Default::default()),
            _ => Reached::All,
        };
        let tap = Tap {
            squares: Arc::new(Mutex::new(Squares::new(&theta, 6, reached))),
            first: 2,
            spans: Arc::new(SPANS.to_vec()),
            weights: vec!["w".into(), "v".into()],
            biases: vec!["b".into(), "c".into()],
            transposed: false,
            deferred: None,
            shared: None,
        };
        add(&tap)?;
        let mut squares = std::mem::take(&mut *tap.squares()?);
        squares.settle()?;
        let (diagonal, sums) = squares.finish()?;
        let mut all: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
        diagonal.values().try_for_each(|f| with_values(f, |f| all.extend_from_slice(f)))?;
        Ok(all)
    }

    /// Float32 in another order.
    fn assert_close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs())), "{a:?} and {b:?}");
        assert!(a.iter().any(|f| *f > 0.0));
    }

    /// Oracle: the kernels of the CPU, which go example by example. Uneven examples, one without rows; two weights stacked, biases
    /// of which entries have no gradient; tiles of one row, of some and of all. Catches padding that counts, a tile's rows
    /// at another tile's place, a row of a table that two tokens share squared twice, a product squared without it.
    #[test]
    fn squares_equal_those_of_the_kernels() -> error::Result<()> {
        let (g, x) = (random("g", &[9, 22]), random("x", &[9, WIDTH]));
        let linear = Backend::ALL.map(|backend| {
            squares(|tap| match backend {
                Backend::Fused => {
                    with_values(&g, |g| fused::squares::add_column_sums(tap, g, 22)).unwrap()?;
                    fused::squares::add_products(tap, &g, &x)
                }
                Backend::Composed(precision) => {
                    let watch = Watch { tap: tap.clone(), watched: Watched::Linear(x.clone(), precision) };
                    watch.bwd(&g, &g, &g).map(|_| ())
                }
            })
        });
        let [fused, composed] = linear;
        assert_close(&composed?, &fused?);
        // A tied table: what the decoder left, and the tokens' rows, where 7 stands twice in one example and in another.
        let (decoder, rows) = (random("d", &[9, 11]), random("rows", &[9, WIDTH]));
        let ids = [7, 2, 7, 0, 7, 10, 10, 10, 3];
        for left in [false, true] {
            let deferred = || Deferred::new(Mutex::new(left.then(|| (decoder.clone(), x.clone()))));
            let table = |backend: Backend| {
                squares(|tap| {
                    let tap = Tap { deferred: Some(deferred()), ..tap.clone() };
                    backend.tap_table(&tap, "table", &ids, &SPANS, &rows)
                })
            };
            assert_close(&table(Backend::ALL[1])?, &table(Backend::Fused)?);
        }
        let wanted = squares(|tap| {
            let tap = Tap {
                deferred: Some(Deferred::new(Mutex::new(Some((decoder.clone(), x.clone()))))),
                ..tap.clone()
            };
            Backend::Fused.tap_table(&tap, "table", &ids, &SPANS, &rows)
        })?;
        for most in [1, 3 * 4 * WIDTH, TILE] {
            let got = squares(|tap| {
                let touched = Touched::new(&ids, &SPANS, &rows)?;
                let inputs = (&padded(&decoder, &SPANS)?, &padded(&x, &SPANS)?);
                add_in_tiles((tap, Precision::Float32), "table", inputs, Some(&touched), most)
            })?;
            assert_close(&got, &wanted);
        }
        Ok(())
    }
}
