//! A smooth surface through the grid points, for drawing only.
//!
//! Each grid interval is a cubic (Hermite) piece with the slopes of the parabola through three neighbouring
//! points, which reproduces a quadratic bowl, limited as by Huynh (1993, SIAM J. Numer. Anal. 30, 57): to
//! three times the smaller neighbouring secant, or more where the second differences show a smooth extremum.
//! So a cliff makes no ripples, and a bowl's minimum may lie between grid points; the surface is cut off at
//! the least and the greatest loss of the grid. Everything between grid points is interpolation: no loss was
//! evaluated there.
//!
//! The limiter makes x-then-y differ from y-then-x; the mean of both is taken, so that the picture of the
//! transpose is the transposed picture. A point that is not finite is never filled in: its four neighbouring
//! cells stay NaN.
//!
//! Used by [`super`], where [`super::trace`] draws the lines, and by [`crate::draw::relief`].

/// Values on a finer grid, y outer, and its coordinates. Grid point `i` is fine point `i * sub`.
pub(crate) struct Fine {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) value: Vec<f64>,
}

/// Fine intervals in each of the `n - 1` intervals of a grid, to have `aim` of them or some more.
pub(crate) fn subdivision(n: usize, aim: usize) -> usize {
    aim.div_ceil(n - 1)
}

/// `value` (y outer, `[y.len(), x.len()]`) on a grid of about `aim` x `aim` points, or its own if that is finer.
pub(crate) fn upsample(x: &[f64], y: &[f64], value: &[f64], aim: usize) -> Fine {
    let (sub_x, sub_y) = (subdivision(x.len(), aim), subdivision(y.len(), aim));
    let (fine_x, fine_y) = (refined(x, sub_x), refined(y, sub_y));

    let x_then_y = along_y(y, &along_x(x, value, sub_x), sub_y);
    let y_then_x = along_x(x, &along_y(y, value, sub_y), sub_x);
    let (min, max) = range(value);
    let mean = |(a, b): (&f64, &f64)| {
        let v = 0.5 * (a + b);
        if v.is_nan() { v } else { v.clamp(min, max) }
    };
    Fine { x: fine_x, y: fine_y, value: x_then_y.iter().zip(&y_then_x).map(mean).collect() }
}

/// Least and greatest finite value; `(∞, −∞)` if there is none.
pub(crate) fn range<'a>(values: impl IntoIterator<Item = &'a f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)))
}

/// `value` with the holes filled from their nearest neighbours, for tools that know no NaN; the holes are
/// painted over.
pub(crate) fn without_holes(value: &[f64], width: usize) -> Vec<f64> {
    let mut filled = value.to_vec();
    let mut border: Vec<usize> = (0..filled.len()).filter(|&i| filled[i].is_finite()).collect();
    // Breadth first: each ring of holes takes the value of the ring before it.
    while !border.is_empty() {
        let mut next = Vec::new();
        for &i in &border {
            let column = i % width;
            let neighbours = [
                (column > 0).then(|| i - 1),
                (column + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                (i + width < filled.len()).then_some(i + width),
            ];
            for j in neighbours.into_iter().flatten() {
                if !filled[j].is_finite() {
                    filled[j] = filled[i];
                    next.push(j);
                }
            }
        }
        border = next;
    }
    filled
}

fn refined(x: &[f64], sub: usize) -> Vec<f64> {
    let mut fine: Vec<f64> = x
        .windows(2)
        .flat_map(|w| (0..sub).map(move |j| w[0] + (w[1] - w[0]) * j as f64 / sub as f64))
        .collect();
    fine.extend(x.last());
    fine
}

fn along_x(x: &[f64], value: &[f64], sub: usize) -> Vec<f64> {
    value.chunks(x.len()).flat_map(|row| along(x, row, sub)).collect()
}

fn along_y(y: &[f64], value: &[f64], sub: usize) -> Vec<f64> {
    let width = value.len() / y.len();
    let height = (y.len() - 1) * sub + 1;
    let mut out = vec![f64::NAN; width * height];
    for column in 0..width {
        let line: Vec<f64> = value.iter().skip(column).step_by(width).copied().collect();
        for (row, v) in along(y, &line, sub).into_iter().enumerate() {
            out[row * width + column] = v;
        }
    }
    out
}

/// The cubic pieces through `(x, v)`, `sub` points per interval; NaN inside intervals with an end that is not
/// finite.
fn along(x: &[f64], v: &[f64], sub: usize) -> Vec<f64> {
    let slope: Vec<f64> = (0..x.len()).map(|k| slope(x, v, k)).collect();
    let mut out = Vec::with_capacity((x.len() - 1) * sub + 1);
    for k in 0..x.len() - 1 {
        let h = x[k + 1] - x[k];
        out.push(v[k]);
        for j in 1..sub {
            let t = j as f64 / sub as f64;
            let (a, b) = (t * t * (3.0 - 2.0 * t), t * (1.0 - t));
            let ends = v[k] * (1.0 - a) + v[k + 1] * a;
            out.push(ends + h * b * ((1.0 - t) * slope[k] - t * slope[k + 1]));
        }
    }
    out.extend(v.last());
    out.iter_mut().filter(|v| v.is_infinite()).for_each(|v| *v = f64::NAN);
    out
}

/// Slope at point `k`: of the parabola through it and its neighbours, limited.
fn slope(x: &[f64], v: &[f64], k: usize) -> f64 {
    if !v[k].is_finite() {
        return 0.0;
    }
    let secant = |i: usize, j: usize| (v[j] - v[i]) / (x[j] - x[i]);
    let known = |i: Option<usize>| i.filter(|&i| v.get(i).is_some_and(|v| v.is_finite()));
    let neighbours = |i: usize| (known(i.checked_sub(1)), known(Some(i + 1)));
    match neighbours(k) {
        (Some(l), Some(r)) => {
            let (dl, dr) = (secant(l, k), secant(k, r));
            let (hl, hr) = (x[k] - x[l], x[r] - x[k]);
            let parabola = (hr * dl + hl * dr) / (hl + hr);
            // Second differences: here, and the smaller of here and the next point on either side.
            let bend = |i: usize| match neighbours(i) {
                (Some(l), Some(r)) => Some((secant(i, r) - secant(l, i)) / (x[r] - x[l])),
                _ => None,
            };
            let here = (dr - dl) / (hl + hr);
            let (bend_l, bend_r) =
                (minmod(here, bend(l).unwrap_or(here)), minmod(here, bend(r).unwrap_or(here)));
            let smooth = minmod(dl + hl * bend_l, dr - hr * bend_r);
            limited(parabola, f64::max(3.0 * minmod(dl, dr).abs(), 1.5 * smooth.abs()))
        }
        // At an end: the parabola through the next two points, if it does not turn.
        (one, other) => {
            let Some(next) = one.or(other) else { return 0.0 };
            let d = secant(k, next);
            let Some(beyond) = known((2 * next).checked_sub(k)) else { return d };
            let (h1, h2) = ((x[next] - x[k]).abs(), (x[beyond] - x[next]).abs());
            let parabola = ((2.0 * h1 + h2) * d - h1 * secant(next, beyond)) / (h1 + h2);
            if parabola * d <= 0.0 { 0.0 } else { limited(parabola, 3.0 * d.abs()) }
        }
    }
}

/// The smaller of two numbers of one sign, or 0.
fn minmod(a: f64, b: f64) -> f64 {
    if a * b <= 0.0 { 0.0 } else { a.signum() * a.abs().min(b.abs()) }
}

/// `slope` between `-most` and `most`; unlike `clamp` it bears the NaN of losses near the largest number.
fn limited(slope: f64, most: f64) -> f64 {
    slope.max(-most).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(x: &[f64], y: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        y.iter().flat_map(|&y| x.iter().map(move |&x| (x, y))).map(|(x, y)| f(x, y)).collect()
    }

    fn even(n: usize) -> Vec<f64> {
        (0..n).map(|i| 2.0 * i as f64 / (n - 1) as f64 - 1.0).collect()
    }

    /// Oracle: the bowl's formula between the grid points, its lowest point near, but not on, a grid point.
    /// Slopes of zero at the lowest point of each line (as monotone cubics have) would miss it.
    #[test]
    fn a_bowl_is_reproduced_also_on_uneven_coordinates() {
        let uneven = [-1.0, -0.7, -0.4, -0.15, 0.0, 0.25, 0.5, 0.8, 1.0];
        for x in [even(9).as_slice(), &uneven] {
            let bowl = |x: f64, y: f64| 1.0 + (x - 0.05).powi(2) + 0.5 * y * y + 0.3 * x * y;
            let fine = upsample(x, x, &grid(x, x, bowl), 200);
            let exact = grid(&fine.x, &fine.y, bowl);
            let worst = exact.iter().zip(&fine.value).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            // Below the lowest grid point the surface is cut off: 1.0025 at (0, 0), 1.0 at the true minimum.
            assert!(worst < 0.003, "{worst}");
            let above = exact.iter().zip(&fine.value).filter(|(a, _)| **a > 1.0025);
            let worst = above.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12, "{worst}");
        }
    }

    /// Oracle: monotone data have monotone curves; Catmull-Rom would fall below the foot of the cliff by 3.
    #[test]
    fn a_cliff_makes_no_ripple() {
        let x = even(9);
        let fine =
            upsample(&x, &x, &grid(&x, &x, |x, _| if x > 0.1 { 50.0 + x } else { 2.0 + 0.01 * x }), 200);
        for row in fine.value.chunks(fine.x.len()) {
            assert!(row.is_sorted());
        }
    }

    /// Oracle: the grid itself; every fourth-and-so-on fine point is a grid point, bit for bit.
    #[test]
    fn grid_points_keep_their_values() {
        let x = even(5);
        let value = grid(&x, &x, |x, y| (3.0 * x).sin() * (2.0 * y).cos());
        let fine = upsample(&x, &x, &value, 200);
        let at = |i: usize, j: usize| fine.value[j * 50 * fine.x.len() + i * 50];
        for j in 0..5 {
            for i in 0..5 {
                assert_eq!(at(i, j), value[j * 5 + i]);
            }
        }
    }

    /// Oracle: symmetry; x-then-y alone differs from y-then-x on a rough surface.
    #[test]
    fn the_transpose_gives_the_transposed_picture() {
        let x = even(6);
        let f = |x: f64, y: f64| if x + 0.4 * y > 0.3 { 9.0 } else { x * y };
        let (a, b) =
            (upsample(&x, &x, &grid(&x, &x, f), 200), upsample(&x, &x, &grid(&x, &x, |x, y| f(y, x)), 200));
        let n = a.x.len();
        for j in 0..n {
            for i in 0..n {
                assert!((a.value[j * n + i] - b.value[i * n + j]).abs() < 1e-12);
            }
        }
    }

    /// Oracle: counting. One NaN inside a grid spoils the insides of four cells and the four edges between
    /// them.
    #[test]
    fn a_hole_spoils_its_four_cells_and_nothing_else() {
        let x = even(5);
        let mut value = grid(&x, &x, |x, y| x + y);
        value[2 * 5 + 2] = f64::INFINITY;
        let fine = upsample(&x, &x, &value, 200);
        let holes = fine.value.iter().filter(|v| v.is_nan()).count();
        assert_eq!(holes, 99 * 99);
        let filled = without_holes(&fine.value, fine.x.len());
        assert!(filled.iter().all(|v| v.is_finite()));
        assert!(fine.value.iter().zip(&filled).all(|(a, b)| a.is_nan() || a == b));
    }
}
