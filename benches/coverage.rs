//! How often intervals hold the truth, and how often a page claims what is not there, over many simulated studies.
//!
//! ```text
//! cargo bench --bench coverage             # 20 000 studies of each kind
//! cargo bench --bench coverage -- --test   # 500
//! ```
//!
//! Every study is drawn from a truth that is known, so a share outside 93 to 97 % says that an interval is not what it is
//! called. The unit tests of `src/stats/paired.rs` hold the same at a small size. The last rows train classifiers of
//! their own on splits of one data set, so that nothing is assumed of how runs depend on each other.

use fisherscape::rng::Stream;
use fisherscape::stats::paired::{self, Difference, FIFTH};
use fisherscape::stats::{mean, sd};

fn main() {
    let studies = if std::env::args().any(|argument| argument == "--test") { 500 } else { 20_000 };
    println!("{studies} studies of each kind; share of 95 % intervals that hold the truth");
    println!("{:62} {:>8} {:>8}", "", "interval", "runs only");
    for (runs, examples, spreads) in [
        (3, 400, [0.0, 0.3, 1.0]),
        (5, 400, [0.0, 0.0, 1.0]),
        (5, 400, [0.05, 0.3, 1.0]),
        (10, 400, [0.05, 0.3, 1.0]),
        (10, 100, [0.1, 1.0, 1.0]),
        (5, 400, [0.3, 0.3, 1.0]),
    ] {
        let study = |stream: &Stream| shared(stream, runs, examples, spreads);
        let own = coverage(studies, |stream| paired::crossed(&study(stream)));
        let plain = |stream: &Stream| paired::independent(&by_run(&study(stream)));
        let [run, example, rest] = spreads;
        let what =
            format!("crossed: {runs} runs, {examples} shared examples, spreads {run}, {example}, {rest}");
        println!("{what:62} {own:8.3} {:8.3}", coverage(studies, plain));
    }
    for (runs, skewed) in [(5, false), (10, false), (5, true), (10, true)] {
        let study = |stream: &Stream| overlapping(stream, runs, skewed);
        let own = coverage(studies, |stream| paired::resampled(&study(stream), FIFTH));
        let plain = coverage(studies, |stream| paired::independent(&study(stream)));
        let what = format!("resampled: {runs} runs that overlap{}", if skewed { ", skewed" } else { "" });
        println!("{what:62} {own:8.3} {plain:8.3}");
    }
    for (pool, runs, fraction) in [(300, 5, 1.0), (300, 10, 1.0), (300, 10, 0.25), (600, 5, 0.5)] {
        let study = |stream: &Stream| learned(stream, pool, runs, fraction);
        // The truth is what many studies give.
        let many = Stream::new(5, "coverage/truth");
        let truth = mean(&(0..studies).map(|k| mean(&study(&many.at(k)))).collect::<Vec<_>>());
        let about = |d: Option<Difference>| d.map(|d| Difference { value: d.value - truth, ..d });
        let own = coverage(studies, |stream| about(paired::resampled(&study(stream), FIFTH)));
        let plain = coverage(studies, |stream| about(paired::independent(&study(stream))));
        let what = format!("resampled: {runs} splits of {pool} examples, {fraction} of the training part");
        println!("{what:62} {own:8.3} {plain:8.3}");
    }
    println!("share of pages with a false claim, of eight arms that do not differ from the first");
    for runs in [3, 5, 10] {
        let stream = Stream::new(6, "coverage/pages");
        let claims = |k: &u64| {
            let page = stream.at(*k);
            let first = shared(&page, runs, 100, [0.1, 0.5, 1.0]);
            let p = (0..8).map(|arm| {
                let own = shared(&Stream::new(arm + 100, "coverage/arm").at(*k), runs, 100, [0.1, 0.5, 1.0]);
                let minus = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
                let values: Vec<Vec<f64>> = own.iter().zip(&first).map(minus).collect();
                paired::crossed(&values).map_or(f64::NAN, |d| d.p())
            });
            paired::holm(&p.collect::<Vec<_>>()).iter().any(|p| *p < 0.05)
        };
        let share = (0..studies).filter(claims).count() as f64 / studies as f64;
        println!("{:62} {share:8.3}", format!("{runs} runs of each"));
        assert!(studies < 1000 || share <= 0.055, "{share}");
    }
}

/// Share of the studies whose interval holds 0.
fn coverage(studies: u64, study: impl Fn(&Stream) -> Option<Difference>) -> f64 {
    let stream = Stream::new(4, "coverage");
    let holds = |k: &u64| study(&stream.at(*k)).is_some_and(|d| d.value.abs() <= d.half_width(0.95));
    (0..studies).filter(holds).count() as f64 / studies as f64
}

fn normal(stream: &Stream, n: usize) -> Vec<f64> {
    let mut values = vec![0f32; n];
    stream.fill_normal(0, &mut values);
    values.into_iter().map(f64::from).collect()
}

fn by_run(values: &[Vec<f64>]) -> Vec<f64> {
    values.iter().map(|own| mean(own)).collect()
}

/// Differences of runs at examples that all share: runs, examples and their meeting each add something of these spreads.
fn shared(stream: &Stream, runs: usize, examples: usize, spreads: [f64; 3]) -> Vec<Vec<f64>> {
    let all = normal(stream, runs * examples + runs + examples);
    let (rest, both) = all.split_at(runs * examples);
    let value = |j: usize, i: usize| {
        spreads[0] * both[j] + spreads[1] * both[runs + i] + spreads[2] * rest[j * examples + i]
    };
    (0..runs).map(|j| (0..examples).map(|i| value(j, i)).collect()).collect()
}

/// Differences of runs whose correlation is that of the heuristic, a fifth held out; skewed: squares of normal numbers.
fn overlapping(stream: &Stream, runs: usize, skewed: bool) -> Vec<f64> {
    let all = normal(stream, runs + 1);
    let shape = |v: f64| if skewed { (v * v - 1.0) / 2f64.sqrt() } else { v };
    all[..runs].iter().map(|v| 0.8f64.sqrt() * shape(*v) + 0.2f64.sqrt() * shape(all[runs])).collect()
}

/// Accuracies of two classifiers, of which the second sees half the features, on splits of one data set: their difference per
/// split. Both put an example to the nearer mean of the classes.
fn learned(stream: &Stream, pool: usize, runs: usize, fraction: f64) -> Vec<f64> {
    const FEATURES: usize = 6;
    let x = normal(stream, pool * FEATURES + pool);
    let features = |i: usize| &x[i * FEATURES..(i + 1) * FEATURES];
    let label = |i: usize| features(i).iter().sum::<f64>() * 0.4 + x[pool * FEATURES + i] > 0.0;
    let (held_out, step) = (pool / 5, 1_000_000);
    let run = |j: usize| {
        let order = Stream::new(7 + j as u64, "coverage/split").at(stream.bits(0) % step).permutation(pool);
        let (test, rest) = order.split_at(held_out);
        let trained = &rest[..((fraction * rest.len() as f64) as usize).max(FEATURES)];
        let right = |used: usize| {
            let centre = |class: bool, f: usize| {
                mean(
                    &trained
                        .iter()
                        .filter(|i| label(**i) == class)
                        .map(|i| features(*i)[f])
                        .collect::<Vec<_>>(),
                )
            };
            let [yes, no]: [Vec<f64>; 2] =
                [true, false].map(|class| (0..used).map(|f| centre(class, f)).collect());
            let distance =
                |i: usize, c: &[f64]| features(i).iter().zip(c).map(|(x, c)| (x - c).powi(2)).sum::<f64>();
            let hit = |i: &&usize| (distance(**i, &yes) < distance(**i, &no)) == label(**i);
            test.iter().filter(hit).count() as f64 / held_out as f64
        };
        right(FEATURES / 2) - right(FEATURES)
    };
    let differences: Vec<f64> = (0..runs).map(run).collect();
    debug_assert!(sd(&differences).is_finite());
    differences
}
