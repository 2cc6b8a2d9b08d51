//! Differences of two surfaces' topologies: intervals against known truths, and the command.

use fisherscape::landscape::rise::examples_path;
use fisherscape::landscape::topology::minus::{Contrasted, Measure, Side, compare};
use fisherscape::landscape::topology::noise::{barriers, candidates};
use fisherscape::landscape::topology::size::sizes;
use fisherscape::landscape::topology::{Field, Tree};
use fisherscape::stats::clusters::Clusters;
use fisherscape::stats::pairs::Pairs;
use fisherscape::tables;
use fisherscape::tables::topology::DifferenceRow;

use crate::support::{Outcome, fisherscape, json};
use crate::topology::{SIDE, sampled, valleys, write};

type Points = Vec<Vec<f64>>;
/// True fields of two surfaces, their noise, shared and own, and whether the truths differ.
type Case<'a> = ([&'a [f64]; 2], [(f64, f64); 2], bool);

/// Losses by example of two surfaces: what both share, and what each has of its own.
fn paired(truths: [&[f64]; 2], examples: usize, [shared, own]: [(f64, f64); 2], seed: u64) -> [Points; 2] {
    let zero = vec![0.0; SIDE * SIDE];
    let both = sampled(&zero, examples, shared, seed);
    [0, 1].map(|i| {
        let mut points = sampled(truths[i], examples, own, 10_000 * (i as u64 + 1) + seed);
        for (point, both) in points.iter_mut().zip(&both) {
            point.iter_mut().zip(both).for_each(|(loss, both)| *loss += both);
        }
        points
    })
}

/// What is said of two surfaces.
fn judged(points: &[Points; 2], seed: u64) -> Vec<Contrasted> {
    let n = points[0][0].len();
    let targets = vec![1.0; n];
    let axis: Vec<f64> = (0..SIDE).map(|i| i as f64 / 4.0 - 1.0).collect();
    let pairs = |points: &mut dyn Iterator<Item = &Vec<f64>>| {
        Pairs::new(points.map(Vec::as_slice), &targets, &Clusters::default())
    };
    let means =
        points.each_ref().map(|own| own.iter().map(|v| v.iter().sum::<f64>() / n as f64).collect::<Vec<_>>());
    let own = points.each_ref().map(|own| pairs(&mut own.iter()));
    let side = |i: usize| {
        let field = Field::plane(&means[i], SIDE);
        let tree = Tree::of(&field);
        let critical = own[i].critical(&candidates(&field, &own[i]), 0.95, seed);
        let found = barriers(&field, &tree, &own[i], critical);
        let noise = found.iter().map(|own| own.is_some_and(|own| !own.is_shown())).collect();
        Side { field, axes: [&axis, &axis, &[0.0]], pairs: &own[i], noise }
    };
    let joint = pairs(&mut points[0].iter().chain(&points[1]));
    let apart: Points = (0..points[0].len())
        .map(|k| points[0][k].iter().zip(&points[1][k]).map(|(a, b)| a - b).collect())
        .collect();
    compare([&side(0), &side(1)], (&pairs(&mut apart.iter()), &joint), 0.95, seed)
}

/// The measures of a field that is known: number of minima, persistences, SMAD, radius.
fn truth(values: &[f64], measure: Measure) -> f64 {
    let field = Field::plane(values, SIDE);
    let tree = Tree::of(&field);
    let axis: Vec<f64> = (0..SIDE).map(|i| i as f64 / 4.0 - 1.0).collect();
    let mut persistences: Vec<f64> =
        (0..tree.minima.len()).filter_map(|i| tree.persistence(&field, i)).collect();
    persistences.sort_by(|a, b| b.total_cmp(a));
    match measure {
        Measure::Basins => tree.minima.len() as f64,
        Measure::Persistence(rank) => persistences.get(rank - 1).copied().unwrap_or(0.0),
        Measure::Smad => tree.smad(&field),
        Measure::Radius => sizes(&tree, [&axis, &axis, &[0.0]], &vec![false; tree.minima.len()])[0].radius,
    }
}

/// Oracle: simulation with known truths, in 100 data of 80 examples each: two wells against two, two against one, and one against one with more noise. All
/// persistences and SMAD of a data set, the number of minima, and the radius are held in at least 95 % less three errors of such a share (6.5 %).
/// The intervals are of use: where the truths differ, the largest persistence is shown to in most. Catches saddles that count as given, which held it in
/// 16 of 100, and a difference the other way round.
#[test]
fn intervals_hold_the_differences_of_known_surfaces() {
    let two = valleys(&[(1.0, -0.5, 0.0), (0.8, 0.5, 0.0)], SIDE, SIDE);
    let shallow = valleys(&[(1.0, -0.5, 0.0), (0.5, 0.5, 0.0)], SIDE, SIDE);
    let one = valleys(&[(1.0, 0.0, 0.0)], SIDE, SIDE);
    let cases: [Case; 4] = [
        ([&two, &shallow], [(0.1, 0.1), (0.05, 0.05)], true),
        ([&two, &one], [(0.1, 0.2), (0.1, 0.1)], true),
        ([&one, &two], [(0.1, 0.1), (0.1, 0.2)], true),
        ([&one, &one], [(0.4, 1.5), (0.1, 0.5)], false),
    ];
    for (case, (truths, noise, differ)) in cases.into_iter().enumerate() {
        let (mut held, mut shown) = ([0; 3], 0);
        for seed in 0..100 {
            let found = judged(&paired(truths, 80, noise, seed), seed);
            let holds = |own: &&Contrasted| {
                let wanted = truth(truths[0], own.measure) - truth(truths[1], own.measure);
                own.ends.is_none_or(|(low, high)| (low - 1e-9..=high + 1e-9).contains(&wanted))
            };
            let linear = |own: &&Contrasted| matches!(own.measure, Measure::Persistence(_) | Measure::Smad);
            let all =
                |wanted: &dyn Fn(&&Contrasted) -> bool| found.iter().filter(wanted).all(|own| holds(&own));
            held[0] += usize::from(all(&linear));
            held[1] += usize::from(all(&|own: &&Contrasted| own.measure == Measure::Basins));
            held[2] += usize::from(all(&|own: &&Contrasted| own.measure == Measure::Radius));
            let largest = found.iter().find(|own| own.measure == Measure::Persistence(1));
            let away = largest.and_then(|own| own.ends).is_some_and(|(low, high)| low > 0.0 || high < 0.0);
            shown += usize::from(away);
        }
        println!("case {case}: {held:?} {shown}");
        assert!(held.iter().all(|held| *held >= 89), "case {case}: {held:?} of 100");
        assert!(if differ { shown > 80 } else { shown <= 11 }, "case {case}: {shown} of 100");
    }
}

/// Oracle: paper: what both surfaces have in common drops out of the difference: with shared noise the interval is narrower by far than with as much of
/// each own.
#[test]
fn what_surfaces_share_drops_out() {
    let two = valleys(&[(1.0, -0.5, 0.0), (0.8, 0.5, 0.0)], SIDE, SIDE);
    let width = |noise| {
        let found = judged(&paired([&two, &two], 100, noise, 3), 1);
        let largest = found.iter().find(|own| own.measure == Measure::Persistence(1));
        largest.and_then(|own| own.ends).map(|(low, high)| high - low).unwrap()
    };
    let (shared, own) = (width([(0.2, 0.2), (0.0, 0.001)]), width([(0.0, 0.001), (0.2, 0.2)]));
    assert!(shared < 0.1 * own, "{shared}, {own}");
}

/// Oracle: the same surface twice, whose differences are 0 and whose intervals have no width, and the tables of each alone. Surfaces without losses by example, of
/// another grid or another set are refused, and nothing is written.
#[test]
fn the_command_compares_two_surfaces() -> Outcome {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let run = |line: &str| fisherscape(line).current_dir(folder.path()).output();
    let said = |line: &str| -> Outcome<String> {
        let output = run(line)?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let two = valleys(&[(1.0, -0.5, 0.0), (0.8, 0.5, 0.0)], SIDE, SIDE);
    let one = valleys(&[(1.0, 0.0, 0.0)], SIDE, SIDE);
    let [first, second] = paired([&two, &one], 100, [(0.1, 0.1), (0.02, 0.02)], 1);
    write(folder.path(), "two.csv", &first)?;
    write(folder.path(), "one.csv", &second)?;
    let words = said("topology two.csv --minus one.csv --out apart")?;
    assert!(words.contains("basins shown: 2 against 1, difference 1, 95 % for the minima"), "{words}");
    let rows: Vec<DifferenceRow> = tables::read(&at("apart/minus.csv"))?;
    let [mine, theirs] = ["two", "one"].map(|name| {
        said(&format!("topology {name}.csv --out {name}")).unwrap();
        json(&at(&format!("{name}/topology.json")))
    });
    let persistence = mine["minima"][1]["persistence"].as_f64().ok_or("none")?;
    assert_eq!((rows[1].rank, rows[1].first), (Some(1), persistence));
    assert!(rows[1].low.is_some_and(|low| low > 0.0), "{rows:?}");
    let last = rows.last().ok_or("none")?;
    let radius = |about: &serde_json::Value| about["minima"][0]["radius"].as_f64();
    assert_eq!((Some(last.first), Some(last.second)), (radius(&mine), radius(&theirs)));
    let together = json(&at("apart/topology.json"));
    assert_eq!(together["differences"].as_array().map(Vec::len), Some(rows.len()));
    assert!(theirs["differences"].is_null() && theirs["minima"][0]["into"].is_null());

    said("topology two.csv --minus two.csv --out same")?;
    for row in tables::read::<DifferenceRow>(&at("same/minus.csv"))? {
        assert_eq!((row.difference, row.first), (0.0, row.second));
        let exact = row.measure == "basins" || (row.low, row.high) == (Some(0.0), Some(0.0));
        assert!(exact || row.low.is_none(), "{row:?}");
    }
    // Without --minus what an earlier run left is gone.
    said("topology two.csv --out same")?;
    assert!(!at("same/minus.csv").exists());

    write(folder.path(), "fewer.csv", &paired([&two, &one], 99, [(0.1, 0.1), (0.1, 0.1)], 1)[1])?;
    std::fs::copy(at("one.csv"), at("alone.csv"))?;
    let line: Points = first[..SIDE].to_vec();
    std::fs::write(at("line.csv"), {
        let row = |(i, own): (usize, &Vec<f64>)| {
            format!("{},-1,{}\n", i as f64 / 4.0 - 1.0, own.iter().sum::<f64>() / own.len() as f64)
        };
        "x,y,loss\n".to_string() + &line.iter().enumerate().map(row).collect::<String>()
    })?;
    for (name, words) in [
        ("fewer", "found other examples"),
        ("alone", "no losses by example"),
        ("line", "no losses by example"),
    ] {
        let output = run(&format!("topology two.csv --minus {name}.csv --out x"))?;
        let message = String::from_utf8(output.stderr)?;
        assert!(output.status.code() == Some(1) && message.contains(words), "{name}: {message}");
        assert!(!at("x").exists());
    }
    let other = fisherscape::params::read_numbers(&examples_path(&at("one.csv")))?.0;
    assert!(other.contains_key("sums"));
    Ok(())
}
