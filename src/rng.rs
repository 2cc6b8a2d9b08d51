//! Counter-based randomness: every number is a pure function of (seed, stream name, step, index).
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel Random Numbers: As Easy as 1,
//! 2, 3", SC11; the Random123 library). There is no state to advance, so the order of calls and the number of
//! threads cannot change a draw, and a resumed run draws what the uninterrupted one would have. Normal
//! numbers are Box-Muller with the pure-Rust `libm`, not the platform's: same bits on every machine, as long
//! as `libm` keeps its version.
//!
//! Give every purpose a stream of its own (`"direction/x"`, `"dropout/layer.3.ffn_output"`) and every
//! training step its own [`Stream::at`]. The trap: the draws of one stream at one step all come from the same
//! blocks, so its `normal(0)`, `bits(0)` and `permutation` are NOT independent of each other. One stream at
//! one step serves one kind of draw.
//!
//! Used wherever something is random: directions, masks, dropout, splits,
//! sub-samples.

use std::f64::consts::TAU;

use crate::vectorized::vectorized;

/// A named stream of random numbers: a Philox key, from a seed and a name, and the step.
///
/// Streams with different names or seeds are independent; two 64-bit keys coincide with probability 2^-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    step: u64,
}

impl Stream {
    /// The stream `name` of `seed`, at step 0. Its key is the first 8 bytes of BLAKE3(seed as 8 little-endian
    /// bytes ‖ name).
    pub fn new(seed: u64, name: &str) -> Stream {
        let hash = blake3::Hasher::new().update(&seed.to_le_bytes()).update(name.as_bytes()).finalize();
        let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|j| hash.as_bytes()[4 * i + j]));
        Stream { key: [word(0), word(1)], step: 0 }
    }

    /// The same stream at another step (of training, of a repeat). Absolute: `s.at(3).at(5)` is `s.at(5)`.
    pub fn at(self, step: u64) -> Stream {
        Stream { step, ..self }
    }

    /// Its key and its step, for a device that draws the same numbers.
    pub fn counters(&self) -> ([u32; 2], u64) {
        (self.key, self.step)
    }

    /// The 64 random bits of index `i`. Word `i % 2` of block `i / 2`, which holds two.
    pub fn bits(&self, i: u64) -> u64 {
        self.words64(i / 2)[(i % 2) as usize]
    }

    /// A uniform number in [0, 1): the top 53 bits of `bits(i)` times 2^-53.
    pub fn uniform(&self, i: u64) -> f64 {
        unit(self.bits(i))
    }

    /// A uniform number in [0, 1) with 24 bits, from 32-bit word `i % 4` of block `i / 4`.
    ///
    /// [`Stream::fill_uniform`] gives the same values in bulk. They are multiples of 2^-24, so that
    /// `uniform32(i) < p` holds with probability `p` to within 6e-8.
    pub fn uniform32(&self, i: u64) -> f32 {
        unit32(self.block(i / 4)[(i % 4) as usize])
    }

    /// A standard normal number, N(0, 1), by Box-Muller.
    ///
    /// Indices 2j and 2j + 1 are the cosine and the sine of block j. Never beyond 8.58 in
    /// magnitude, as the radius comes from 53 bits.
    pub fn normal(&self, i: u64) -> f64 {
        self.normal_pair(i / 2)[(i % 2) as usize]
    }

    /// A uniform integer in `0..n`, as the high 64 bits of `bits(i) · n`; 0 if `n` is 0.
    ///
    /// No rejection, so that every index costs one draw: probabilities are off by at most 2^-64, relative to
    /// `1 / n` by less than 2^-32 for `n < 2^32`.
    pub fn below(&self, i: u64, n: u64) -> u64 {
        ((u128::from(self.bits(i)) * u128::from(n)) >> 64) as u64
    }

    /// Sets `out[j]` to `normal(first + j)` rounded to f32; one block and one Box-Muller for every two.
    ///
    /// About 20 ns an element on one core. Any part can be filled apart, so parts can go to threads.
    pub fn fill_normal(&self, first: u64, out: &mut [f32]) {
        let (head, pairs) = out.split_at_mut(out.len().min((first % 2) as usize));
        if let [single] = head {
            *single = self.normal(first) as f32;
        }
        for (pair, block) in pairs.chunks_mut(2).zip(first.div_ceil(2)..) {
            for (slot, value) in pair.iter_mut().zip(self.normal_pair(block)) {
                *slot = value as f32;
            }
        }
    }

    /// Sets `out[j]` to `uniform32(first + j)`; one block for every four. Meant for dropout masks.
    ///
    /// About 0.3 ns an element on one core with AVX-512, 1 ns without.
    pub fn fill_uniform(&self, first: u64, out: &mut [f32]) {
        let to_boundary = (first.wrapping_neg() % 4) as usize;
        let (head, out) = out.split_at_mut(out.len().min(to_boundary));
        for (i, slot) in head.iter_mut().enumerate() {
            *slot = self.uniform32(first + i as u64);
        }
        uniform_blocks(*self, first.div_ceil(4), out);
    }

    /// A uniformly random order of `0..n` (Fisher-Yates shuffle; Durstenfeld 1964).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        self.shuffled_prefix(n, n)
    }

    /// A uniform sample of `k` of `0..n` without replacement, ascending; all of them if `k > n`. O(n) memory.
    ///
    /// It is the sorted prefix of `permutation(n)`: from one stream, samples of growing `k` are NESTED. For
    /// independent samples take different steps.
    pub fn sample(&self, n: usize, k: usize) -> Vec<usize> {
        let mut chosen = self.shuffled_prefix(n, k);
        chosen.sort_unstable();
        chosen
    }

    /// The first `k` places of a Fisher-Yates shuffle of `0..n`: place j gets one of the n - j still left.
    fn shuffled_prefix(&self, n: usize, k: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..n).collect();
        for j in 0..k.min(n) {
            items.swap(j, j + self.below(j as u64, (n - j) as u64) as usize);
        }
        items.truncate(k);
        items
    }

    /// Block `index` at this step; the 128-bit counter is `index` (low half) and the step (high half).
    #[inline(always)]
    fn block(&self, index: u64) -> [u32; 4] {
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        philox4x32([low(index), high(index), low(self.step), high(self.step)], self.key)
    }

    /// Block `index` as two 64-bit words, the first from its first two 32-bit words, low half first.
    fn words64(&self, index: u64) -> [u64; 2] {
        let [a, b, c, d] = self.block(index).map(u64::from);
        [a | b << 32, c | d << 32]
    }

    fn normal_pair(&self, block: u64) -> [f64; 2] {
        box_muller(self.words64(block))
    }
}

/// Values of sixteen blocks: so many are drawn at once, in vector registers.
const LOT: usize = 64;

vectorized! {
    /// The values of the blocks from `block` on.
    fn uniform_blocks(stream: Stream, block: u64, out: &mut [f32]) {
        let mut lot = [0f32; LOT];
        for (i, out) in out.chunks_mut(LOT).enumerate() {
            let first = block + (i * LOT / 4) as u64;
            let (quads, _) = lot.as_chunks_mut::<4>();
            for (j, quad) in quads.iter_mut().enumerate() {
                *quad = stream.block(first + j as u64).map(unit32);
            }
            out.copy_from_slice(&lot[..out.len()]);
        }
    }
}

/// Two independent normal numbers, `sqrt(-2 ln u1) · (cos 2πu2, sin 2πu2)` (Box and Muller 1958).
///
/// u1 is in (0, 1] and u2 in [0, 1), so the logarithm is finite.
fn box_muller([a, b]: [u64; 2]) -> [f64; 2] {
    let radius = libm::sqrt(-2.0 * libm::log(unit(a) + SPACING));
    let (sin, cos) = libm::sincos(TAU * unit(b));
    [radius * cos, radius * sin]
}

/// 2^-53, the spacing of [`Stream::uniform`].
const SPACING: f64 = 1.0 / (1_u64 << 53) as f64;

/// The top 53 bits as a number in [0, 1).
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * SPACING
}

/// The top 24 bits as a number in [0, 1).
#[inline(always)]
fn unit32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1_u32 << 24) as f32)
}

/// Philox4x32 with 10 rounds: a bijection of the 128-bit counter for every key.
///
/// Always inlined, or the loop of [`uniform_blocks`] is not vectorized.
#[inline(always)]
fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    // Random123's PHILOX_M4x32_0 and _1 (multipliers), PHILOX_W32_0 and _1 (golden ratio, sqrt(3) - 1).
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The stream of the Python oracle below; every half of seed, step and counter is in use.
    fn direction() -> Stream {
        Stream::new((1 << 40) + 7, "direction/x").at((1 << 33) + 3)
    }

    #[track_caller]
    fn assert_within(what: &str, got: f64, expected: f64, bound: f64) {
        assert!((got - expected).abs() <= bound, "{what}: got {got}, expected {expected} within {bound}");
    }

    /// Oracle: Random123's `kat_vectors`, the three lines `philox4x32 10`.
    #[test]
    fn philox_gives_the_known_answers() {
        let zero = philox4x32([0; 4], [0; 2]);
        assert_eq!(zero, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = philox4x32([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ones, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    /// Oracle: Python 3.11 with its own ten-line Philox (checked by the digits of pi above), `math` and
    /// blake3 1.0:
    /// ```python
    /// def block(seed, name, step, i):
    ///     k = struct.unpack('<2I', blake3(struct.pack('<Q', seed) + name.encode()).digest()[:8])
    ///     return struct.pack('<4I', *philox(struct.unpack('<4I', struct.pack('<2Q', i, step)), k))
    /// B = [block(2**40 + 7, 'direction/x', 2**33 + 3, i) for i in (0, 1)]
    /// b = [w for q in B for w in struct.unpack('<2Q', q)]  # bits
    /// u = [(w >> 8) / 2**24 for q in B for w in struct.unpack('<4I', q)]  # uniform32
    /// for j in (0, 2):  # normals
    ///     r, t = sqrt(-2 * log(((b[j] >> 11) + 1) / 2**53)), 2 * pi * ((b[j + 1] >> 11) / 2**53)
    ///     z += [r * cos(t), r * sin(t)]
    /// ```
    /// Published figures depend on these numbers: if this test fails, the definition of a stream has changed.
    #[test]
    fn numbers_equal_those_of_an_independent_program() {
        let stream = direction();
        let bits =
            [0x6a2f_e725_ce34_620f, 0xd4db_e2f0_4789_7f86, 0x0d93_afc0_ffa2_208a, 0x2ff6_a7b5_2a82_2068];
        assert_eq!([0, 1, 2, 3].map(|i| stream.bits(i)), bits);
        assert_eq!(stream.bits((1 << 41) + 1), 0x7ddc_a2a0_86be_7f96); // counter beyond 32 bits
        assert_eq!(stream.uniform(1), (0xd4db_e2f0_4789_7f86_u64 >> 11) as f64 / 2_f64.powi(53));

        let normals = [0.6498934781018686, -1.156541265852474, 0.9294597364607177, 2.2382403287121164];
        let mut bulk = [0.0; 4];
        stream.fill_normal(0, &mut bulk);
        for (i, expected) in normals.into_iter().enumerate() {
            // Logarithm, sine and cosine of libm and of Python's C library may differ in the last bit.
            assert_within("normal", stream.normal(i as u64), expected, 1e-15);
            assert_eq!(bulk[i], expected as f32);
        }
        let words = [
            0.805486798286438,
            0.4147934317588806,
            0.279441773891449,
            0.8314801454544067,
            0.9985675811767578,
            0.05303472280502319,
            0.1660480499267578,
            0.1873573660850525,
        ];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|i| f64::from(stream.uniform32(i))), words);
    }

    /// Oracle: the same numbers one at a time, for every way to begin and end inside a block.
    #[test]
    fn bulk_equals_random_access() {
        let stream = direction();
        for first in (0..9).chain([(1 << 34) - 3, u64::MAX]) {
            for length in 0..15 {
                let (mut normals, mut uniforms) = (vec![f32::NAN; length], vec![f32::NAN; length]);
                stream.fill_normal(first, &mut normals);
                stream.fill_uniform(first, &mut uniforms);
                // At u64::MAX only the first index exists; the call must not panic.
                for (j, i) in (first..=first.saturating_add(14)).take(length).enumerate() {
                    assert_eq!(normals[j], stream.normal(i) as f32, "normal {first} + {j}");
                    assert_eq!(uniforms[j], stream.uniform32(i), "uniform {first} + {j}");
                }
            }
        }
    }

    /// Oracle: of 5000 independent 64-bit draws no two coincide, whatever differs: name, seed, step or index.
    #[test]
    fn streams_differ_by_name_seed_and_step() {
        let base = Stream::new(1, "a");
        assert_eq!(base, Stream::new(1, "a"));
        assert_eq!(base.at(3).at(5), base.at(5));
        let streams = [base, Stream::new(1, "b"), Stream::new(2, "a"), base.at(1), base.at(1 << 32)];
        let mut draws: Vec<u64> = streams.iter().flat_map(|s| (0..1000).map(|i| s.bits(i))).collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 5000);
        // The seed has a fixed width in the hash; written in decimal, these two would be one stream.
        assert_ne!(Stream::new(1, "1/x"), Stream::new(11, "/x"));
    }

    /// Oracle: moments of N(0, 1), each within 5 standard errors of its estimate (for x^k the variance is
    /// E x^2k - (E x^k)²: 1, 2, 15, 96), and the share beyond 3, 0.0026998. The products test the two halves
    /// of a Box-Muller pair, and neighbouring pairs, for correlation of values and of squares: a shared
    /// radius or angle shows there.
    #[test]
    fn a_million_normals_have_the_moments_of_a_gaussian() {
        let n = 1_000_000;
        let mut draws = vec![0.0_f32; n];
        Stream::new(0, "moments").fill_normal(0, &mut draws);
        let draws: Vec<f64> = draws.into_iter().map(f64::from).collect();
        let se = 1.0 / (n as f64).sqrt();
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)]
        {
            let moment = draws.iter().map(|x| x.powi(power)).sum::<f64>() / n as f64;
            assert_within(&format!("moment {power}"), moment, expected, 5.0 * variance.sqrt() * se);
        }
        let beyond = draws.iter().filter(|x| x.abs() > 3.0).count() as f64 / n as f64;
        assert_within("share beyond 3", beyond, 0.0026998, 5.0 * 0.0026998_f64.sqrt() * se);
        for start in [0, 1] {
            let products = |f: fn(f64) -> f64| -> f64 {
                draws[start..].chunks_exact(2).map(|pair| f(pair[0]) * f(pair[1])).sum::<f64>()
                    / (n / 2) as f64
            };
            let se = se * 2.0_f64.sqrt(); // n/2 pairs
            assert_within("correlation", products(|x| x), 0.0, 5.0 * se);
            assert_within("correlation of squares", products(|x| x * x - 1.0), 0.0, 5.0 * 2.0 * se);
        }
    }

    /// Oracle: mean 1/2, variance 1/12 (fourth central moment 1/80) and the share below a drop probability of
    /// 0.1, within 5 standard errors; the four words of a block apart, so that none is stuck.
    #[test]
    fn uniforms_are_uniform_in_every_word_of_a_block() {
        let (stream, n) = (Stream::new(0, "dropout"), 400_000);
        let mut draws = vec![0.0_f32; n];
        stream.fill_uniform(0, &mut draws);
        assert!(draws.iter().all(|u| (0.0..1.0).contains(u)));
        assert!(unit32(u32::MAX) < 1.0 && unit(u64::MAX) < 1.0);
        let se = 1.0 / ((n / 4) as f64).sqrt();
        for word in 0..4 {
            let average = |f: fn(f64) -> f64| {
                draws.iter().skip(word).step_by(4).map(|&u| f(f64::from(u))).sum::<f64>() / (n / 4) as f64
            };
            assert_within("mean", average(|u| u), 0.5, 5.0 * (1.0_f64 / 12.0).sqrt() * se);
            let variance_of_squares = 1.0 / 80.0 - 1.0 / 144.0_f64;
            assert_within(
                "variance",
                average(|u| (u - 0.5).powi(2)),
                1.0 / 12.0,
                5.0 * variance_of_squares.sqrt() * se,
            );
            assert_within("dropped", average(|u| f64::from(u8::from(u < 0.1))), 0.1, 5.0 * 0.3 * se);
        }
    }

    /// Oracle: on paper. u1 = 2^-53 gives the largest radius, sqrt(2 · 53 ln 2); u1 = 0 would give infinity.
    #[test]
    fn box_muller_is_finite_for_every_word() {
        assert_within("largest", box_muller([0, 0])[0], (106.0 * 2.0_f64.ln()).sqrt(), 1e-14);
        assert_eq!(box_muller([u64::MAX, 0]), [0.0, 0.0]); // u1 = 1
        let [cos, sin] = box_muller([0, 1 << 62]); // a quarter turn
        assert!(cos.abs() < 1e-14 && sin > 8.57);
    }

    /// Oracle: binomial counts, each of 7 values within 5 standard deviations of n/7; edges by definition.
    #[test]
    fn below_is_uniform_and_in_range() {
        let (stream, n) = (Stream::new(0, "below"), 70_000);
        let mut counts = [0_u32; 7];
        (0..n).for_each(|i| counts[stream.below(i, 7) as usize] += 1);
        let spread = (n as f64 * 6.0 / 49.0).sqrt();
        for count in counts {
            assert_within("count", f64::from(count), 10_000.0, 5.0 * spread);
        }
        assert_eq!(stream.below(3, 0), 0);
        assert_eq!(stream.below(3, 1), 0);
        assert_eq!(
            stream.below(3, u64::MAX),
            ((u128::from(stream.bits(3)) * u128::from(u64::MAX)) >> 64) as u64
        );
    }

    /// Oracle: all 24 orders of 4 items are equally likely: chi-square with 23 degrees of freedom, mean 23
    /// and variance 46, so 23 + 5 sqrt(46) = 57 (probability 1e-4). Exchanging with any item, the classic
    /// wrong shuffle, gives over 700; excluding the item itself (Sattolo) leaves only 6 orders.
    #[test]
    fn every_order_is_equally_likely() {
        let (stream, draws) = (Stream::new(0, "orders"), 24_000);
        let mut counts = BTreeMap::new();
        for step in 0..draws {
            *counts.entry(stream.at(step).permutation(4)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi_square: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 57.0, "{chi_square}");
    }

    /// Oracle: each item is equally likely at each place. Permutation matrices have rows and columns that sum
    /// to 1, so (n-1)/N Σ (O - N/n)² is chi-square with (n-1)² degrees of freedom; for n = 50 the bound is
    /// 2401 + 5 sqrt(2 · 2401) = 2747.
    #[test]
    fn permutation_puts_every_item_at_every_place() {
        let (stream, n, draws) = (Stream::new(0, "places"), 50, 5000);
        let mut counts = vec![0_u32; n * n];
        for step in 0..draws {
            let order = stream.at(step).permutation(n);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..n));
            order.into_iter().enumerate().for_each(|(place, item)| counts[place * n + item] += 1);
        }
        let expected = draws as f64 / n as f64;
        let squares: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2)).sum();
        let chi_square = (n - 1) as f64 / draws as f64 * squares;
        assert!(chi_square < 2747.0, "{chi_square}");
    }

    /// Oracle: the definition of a sample; every item in k/n of the draws within 5 standard deviations.
    #[test]
    fn sample_is_ascending_distinct_and_uniform() {
        let (stream, n, k, draws) = (Stream::new(0, "samples"), 20, 6, 10_000);
        let mut included = vec![0_u32; n];
        for step in 0..draws {
            let sample = stream.at(step).sample(n, k);
            assert_eq!(sample.len(), k);
            assert!(sample.windows(2).all(|pair| pair[0] < pair[1]) && sample[k - 1] < n);
            sample.into_iter().for_each(|item| included[item] += 1);
        }
        for count in included {
            assert_within("inclusions", f64::from(count), 3000.0, 5.0 * (10_000.0 * 0.3 * 0.7_f64).sqrt());
        }
        let mut prefix = stream.permutation(n);
        prefix.truncate(k);
        prefix.sort_unstable();
        assert_eq!(stream.sample(n, k), prefix);
        assert_eq!(stream.sample(3, 5), [0, 1, 2]);
        assert!(stream.sample(0, 5).is_empty() && stream.sample(5, 0).is_empty());
    }
}
