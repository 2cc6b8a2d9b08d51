//! Rises of single layers and the Hessian's diagonal, against quadratics written down.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use fisherscape::data::Example;
use fisherscape::landscape::curvature::Curvature;
use fisherscape::landscape::damage::{Bins, Perturbed, hessian_diagonal};
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::journal::Journal;
use fisherscape::landscape::mask::Flags;
use fisherscape::landscape::space::Space;
use fisherscape::params::ParamMap;
use fisherscape::stats;

use crate::support::{Outcome, copy_folder, fisherscape, fixture};
use crate::toy::{Quadratic, classified};

/// Three tensors, 2, 3 and 4 entries in name order.
fn theta() -> ParamMap {
    let tensor = |from: usize, n: usize| {
        let values: Vec<f32> = (from..from + n).map(|i| 0.3 + 0.1 * i as f32).collect();
        Tensor::new(values, &Device::Cpu).unwrap()
    };
    [("a", 0, 2), ("b", 2, 3), ("c", 5, 4)].map(|(name, from, n)| (name.to_string(), tensor(from, n))).into()
}

fn examples() -> Vec<Example> {
    (0..4).map(|id| classified(id, 0)).collect()
}

/// Oracle: on paper, `½ r² dᵀ H d` exactly, whatever the slope at θ; the loss is the same for every example. Float32 losses of
/// size 10 are off by some 1e-6, so rises by as much. Catches one side alone (the slope is far larger), r in place of r²,
/// a sum over both sides, and a direction that moves another tensor.
#[test]
fn a_layer_of_a_quadratic_rises_by_its_own_curvature() -> Outcome {
    let (model, theta, examples) = (Quadratic::new(9), theta(), examples());
    let folder = tempfile::tempdir()?;
    let mut journal = Journal::open(&folder.path().join("j"), "inputs")?;
    let radius = 0.5;
    let by_length = [0, 1, 2, 3];
    let perturbed = Perturbed::new(&model, &theta, &examples, &by_length, radius, 1 << 20)?;
    let direction =
        |k: usize| -> Direction { BTreeMap::from([("b".to_string(), vec![1.0 + k as f32, -2.0, 0.5])]) };
    let measure = perturbed.rise("b", 3, |k| Ok(direction(k)), &mut journal)?;
    assert_eq!((measure.draws.len(), measure.draws[0].len()), (3, 4));
    for (k, draw) in measure.draws.iter().enumerate() {
        let d: Vec<f64> = direction(k)["b"].iter().map(|v| f64::from(*v)).collect();
        let curvature: f64 = (0..3)
            .flat_map(|i| (0..3).map(move |j| (i, j)))
            .map(|(i, j)| d[i] * model.h[2 + i][2 + j] * d[j])
            .sum();
        let wanted = 0.5 * radius * radius * curvature;
        for rise in draw {
            assert!(
                (rise - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                "draw {k}: {rise}, expected {wanted}"
            );
        }
    }
    // A run that goes on reads the same from its journal.
    let mut again = Journal::open(&folder.path().join("j"), "inputs")?;
    let read = perturbed.rise("b", 3, |_| panic!("done before"), &mut again)?;
    assert_eq!(read.draws, measure.draws);
    // Of information that is the diagonal, the prediction is the diagonal's part of the rise.
    let f = |from: usize, n: usize| {
        Tensor::new((from..from + n).map(|i| model.h[i][i] as f32).collect::<Vec<f32>>(), &Device::Cpu)
    };
    let fisher = ParamMap::from([
        ("a".to_string(), f(0, 2)?),
        ("b".to_string(), f(2, 3)?),
        ("c".to_string(), f(5, 4)?),
    ]);
    let d = direction(1);
    let wanted: f64 = 0.5
        * radius
        * radius
        * (0..3).map(|i| model.h[2 + i][2 + i] * f64::from(d["b"][i]).powi(2)).sum::<f64>();
    let got = perturbed.predicted(&fisher, &d, 2.0)?;
    assert!((got - 2.0 * wanted).abs() < 1e-6 * wanted, "{got}, expected twice {wanted}");
    Ok(())
}

/// Oracle: the diagonal written down. `Σ z_i (H z)_i` over a layer has its trace as mean and, over 400 sign vectors, a
/// standard error that is measured: five of those. Bins hold every entry with positive F once. Catches the sum over
/// the layer's rows (off-diagonal entries counted), entries of another tensor, and means over all bins.
#[test]
fn signs_average_to_the_diagonal_of_each_layer() -> Outcome {
    let (model, theta, examples) = (Quadratic::new(9), theta(), examples());
    let flags: Flags = theta.iter().map(|(name, t)| (name.clone(), vec![true; t.elem_count()])).collect();
    let space = Space::new(&flags);
    // Two sizes of F, and one entry without any.
    let f = [0.0f32, 1.0, 1.0, 100.0, 100.0, 1.0, 1.0, 100.0, 1.0];
    let bins = Bins::new(&f);
    assert_eq!(bins.count.iter().sum::<usize>(), 8);
    let filled: Vec<(usize, f64)> =
        bins.count.iter().zip(&bins.fisher).filter(|(n, _)| **n > 0).map(|(n, f)| (*n, *f)).collect();
    assert_eq!(filled, [(5, 1.0), (3, 100.0)]);
    let folder = tempfile::tempdir()?;
    let mut journal = Journal::open(&folder.path().join("j"), "inputs")?;
    let by_length = [0, 1, 2, 3];
    let curvature = Curvature::new(&model, &theta, &examples, &by_length, &space);
    let found = hessian_diagonal(&curvature, &bins, 400, 0.5, 7, &mut journal)?;
    let close = |samples: Vec<f64>, entries: &[usize]| {
        let wanted: f64 = entries.iter().map(|&i| model.h[i][i]).sum();
        let (mean, error) = (stats::mean(&samples), stats::standard_error(&samples));
        assert!(
            (mean - wanted).abs() < 5.0 * error + 1e-4,
            "{entries:?}: {mean} ± {error}, expected {wanted}"
        );
    };
    for (t, entries) in [&[0, 1][..], &[2, 3, 4], &[5, 6, 7, 8]].into_iter().enumerate() {
        close(found.tensors.iter().map(|sums| sums[t]).collect(), entries);
    }
    let bin =
        |i: usize| bins.count.iter().enumerate().filter(|(_, n)| **n > 0).map(|(b, _)| b).nth(i).unwrap();
    close(found.bins.iter().map(|sums| sums[bin(0)]).collect(), &[1, 2, 5, 6, 8]);
    close(found.bins.iter().map(|sums| sums[bin(1)]).collect(), &[3, 4, 7]);
    Ok(())
}

/// Oracle: an undisturbed run. What a kill leaves (a journal that ends anywhere) is gone on with, and the tables have the
/// same bytes; tables have a row for each site, mask and pair, and no interval lacks its value.
#[test]
fn a_cut_run_of_the_command_ends_with_the_same_tables() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    copy_folder(&fixture("parity/cls/model"), &at("model"));
    std::fs::copy(fixture("parity/cls/set.safetensors"), at("set.safetensors"))?;
    let run = |arguments: &str| {
        fisherscape(arguments).current_dir(folder.path()).assert().success();
    };
    run("fisher --checkpoint model --set set.safetensors --per-example --out f.safetensors");
    let damage = "damage --checkpoint model --set set.safetensors --fisher f.safetensors --vectors --draws 3 --probes 3 --resamples 50 --granularity site,block --out";
    run(&format!("{damage} whole"));
    let files = ["layers.csv", "correlations.csv", "perturbed.csv", "bins.csv"];
    let read = |from: &str| files.map(|name| std::fs::read(at(from).join(name)).unwrap());
    let whole = read("whole");
    assert!(!at("whole").join("damage.unfinished").exists());
    // A journal as a kill leaves it: the first lines of a run, the last of them cut. The run that makes it fails at the
    // end, where a table's place is taken.
    std::fs::create_dir_all(at("cut").join("layers.csv"))?;
    fisherscape(&format!("{damage} cut")).current_dir(folder.path()).assert().code(1);
    let journal = std::fs::read(at("cut").join("damage.unfinished"))?;
    std::fs::remove_dir(at("cut").join("layers.csv"))?;
    for part in [journal.len() / 3, 2 * journal.len() / 3, journal.len()] {
        std::fs::write(at("cut").join("damage.unfinished"), &journal[..part])?;
        run(&format!("{damage} cut"));
        assert!(read("cut") == whole, "cut after {part} of {} bytes", journal.len());
    }
    let text = |name: &str| std::fs::read_to_string(at("whole").join(name));
    let rows = |name: &str| -> Outcome<Vec<csv::StringRecord>> {
        Ok(csv::Reader::from_reader(text(name)?.as_bytes()).records().collect::<Result<_, _>>()?)
    };
    let layers = rows("layers.csv")?;
    let sites = layers.iter().filter(|row| &row[0] == "site").count();
    let blocks = layers.iter().filter(|row| &row[0] == "block").count();
    assert!(sites == 3 * (blocks - 1) + 1 && blocks > 1, "{sites} sites, {blocks} blocks");
    assert_eq!(rows("correlations.csv")?.len(), 2 * (5 + 4));
    assert_eq!(rows("perturbed.csv")?.len(), 9);
    for row in rows("correlations.csv")? {
        let [value, low, high] = [4, 5, 6].map(|i| row[i].parse::<f64>().unwrap());
        assert!(low <= value && value <= high, "{row:?}");
    }
    Ok(())
}
