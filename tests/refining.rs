//! Surfaces that are evaluated where they bend, and their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use fisherscape::Result;
use fisherscape::data::{Batch, Example};
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::surface::{Plan, Surface};
use fisherscape::model::{Objective, Outputs};
use fisherscape::params::ParamMap;
use fisherscape::tables::surface::Grid;
use fisherscape::tasks::{Kind, Scoring};

use crate::support::{Outcome, fisherscape, fixture, json};
use crate::toy::classified;

/// How far a point lies from the ridge's line, `(a + b/3 - 0.2) / 0.15`.
fn off_ridge(a: f32, b: f32) -> f32 {
    (a + b / 3.0 - 0.2) / 0.15
}

/// A ridge of height 1 along a slanted line, on a plane that slants by 2 % of that.
struct Ridge;

impl Objective for Ridge {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> Result<Outputs> {
        let w = theta["w"].to_vec1::<f32>()?;
        let loss = (-off_ridge(w[0], w[1]).powi(2)).exp() + 0.02 * w[0];
        let n = batch.targets.rows.len();
        let scores = Tensor::from_vec(vec![loss; 2 * n], (n, 2), &Device::Cpu)?;
        Ok(Outputs { losses: Tensor::new(vec![loss; n], &Device::Cpu)?, scores })
    }
}

fn evenly(points: usize) -> Vec<f64> {
    (0..points).map(|i| -1.0 + 2.0 * (i as f64 / (points - 1) as f64)).collect()
}

fn evaluate(coordinates: [&[f64]; 2], refine: usize, journal: &Path) -> Result<Surface> {
    let theta = ParamMap::from([("w".to_string(), Tensor::new(&[0f32, 0.0], &Device::Cpu)?)]);
    let along = |values: [f32; 2]| Direction::from([("w".to_string(), values.to_vec())]);
    let examples: Vec<Example> = vec![classified(0, 0), classified(1, 1)];
    let plan = Plan {
        theta: &theta,
        examples: &examples,
        by_length: &[0, 1],
        scoring: Scoring::of(Kind::Classes),
        plane: &Plane::new([along([1.0, 0.0]), along([0.0, 1.0])]),
        coordinates: [coordinates[0], coordinates[1], &[0.0]],
        refine,
        per_example: false,
        sample: None,
    };
    plan.evaluate(&Ridge, journal, "inputs")
}

/// The points of the finest grid that are evaluated, of which `loss` has all: cell by cell, from the rule.
fn slow(loss: &[Vec<f64>], rounds: u32) -> BTreeSet<(usize, usize)> {
    let (rows, columns) = (loss.len(), loss[0].len());
    let mut step = 2usize.pow(rounds);
    let mut known: BTreeSet<(usize, usize)> = BTreeSet::new();
    for y in (0..rows).step_by(step) {
        known.extend((0..columns).step_by(step).map(|x| (y, x)));
    }
    let first: Vec<f64> = known.iter().map(|&(y, x)| loss[y][x]).collect();
    let (low, high) = (first.iter().copied().fold(9.0, f64::min), first.iter().copied().fold(-9.0, f64::max));
    let mut cells: Vec<(usize, usize)> =
        known.iter().copied().filter(|&(y, x)| y + 1 < rows && x + 1 < columns).collect();
    while step > 1 {
        let mut bent = Vec::new();
        for &(y0, x0) in &cells {
            let mut most: f64 = 0.0;
            for (y, x) in [(y0, x0), (y0 + step, x0), (y0, x0 + step), (y0 + step, x0 + step)] {
                for (dy, dx) in [(step, 0), (0, step)] {
                    let inside = y >= dy && x >= dx && y + dy < rows && x + dx < columns;
                    if inside && known.contains(&(y - dy, x - dx)) && known.contains(&(y + dy, x + dx)) {
                        let second = loss[y - dy][x - dx] + loss[y + dy][x + dx] - 2.0 * loss[y][x];
                        most = most.max(second.abs() / 8.0);
                    }
                }
            }
            if most > (high - low) / 100.0 {
                bent.push((y0, x0));
            }
        }
        let half = step / 2;
        cells.clear();
        for (y0, x0) in bent {
            for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
                known.insert((y0 + i * half, x0 + j * half));
                if i < 2 && j < 2 {
                    cells.push((y0 + i * half, x0 + j * half));
                }
            }
        }
        step = half;
    }
    known
}

/// Oracle: the full fine grid, bit for bit, a slow second implementation of the rule, and the ridge itself: what is added lies
/// beside it. Catches coordinates that differ from the fine grid's, rows and columns exchanged, cells of one round that are split in
/// the next though they do not bend, and a journal that is continued in another order.
#[test]
fn a_ridge_is_refined_and_nothing_else() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (xs, ys) = (evenly(65), evenly(49));
    let full = evaluate([&xs, &ys], 0, &folder.path().join("full"))?;
    let journal = folder.path().join("journal");
    let refined = evaluate([&xs, &ys], 3, &journal)?;
    let loss: Vec<Vec<f64>> =
        full.points.chunks(65).map(|row| row.iter().map(|p| p.loss).collect()).collect();
    let wanted = slow(&loss, 3);
    assert_eq!(refined.places, wanted.into_iter().collect::<Vec<_>>());
    for (point, (iy, ix)) in refined.points.iter().zip(&refined.places) {
        assert_eq!(point, &full.points[iy * 65 + ix]);
        // In widths of the ridge: one cell of the first grid spans 0.25 and 1/3 x 0.333 of 0.15.
        let off = off_ridge(point.x as f32, point.y as f32).abs();
        assert!(iy % 8 == 0 && ix % 8 == 0 || off < 6.0, "({}, {}), {off} widths off", point.x, point.y);
    }
    let finest = refined.places.iter().filter(|(iy, ix)| iy % 2 == 1 || ix % 2 == 1).count();
    assert!(finest > 100 && refined.points.len() < 65 * 49 / 2, "{finest} of {}", refined.points.len());
    let bytes = std::fs::read(&journal)?;
    for cut in (0..bytes.len()).step_by(bytes.len() / 17) {
        std::fs::write(&journal, &bytes[..cut])?;
        let again = evaluate([&xs, &ys], 3, &journal)?;
        assert_eq!(
            (again.points, std::fs::read(&journal)?),
            (refined.points.clone(), bytes.clone()),
            "cut after {cut}"
        );
    }
    Ok(())
}

/// Oracle: a function that is linear in each cell, on paper: `2a - b` is filled in as it is, wherever it is not known. Catches fills along one
/// axis alone, of later rounds before earlier ones, and a row that is shifted.
#[test]
fn what_was_not_evaluated_is_filled_in_for_drawing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.csv");
    // Level 0 by hand: three by two points; one cell with its five, and one quarter of that with five more.
    let level = |v: i32| (0..3).find(|l| v % (4 >> l) == 0).unwrap_or(9);
    let mut places: Vec<(i32, i32)> = (0..2).flat_map(|y| (0..3).map(move |x| (4 * x, 4 * y))).collect();
    places.extend([(6, 0), (4, 2), (6, 2), (8, 2), (6, 4)]);
    places.extend([(7, 2), (6, 3), (7, 3), (8, 3), (7, 4)]);
    let row = |&(x, y): &(i32, i32)| {
        let (a, b) = (f64::from(x) / 4.0 - 1.0, f64::from(y) / 8.0);
        format!("{a:?},{b:?},{:?},0.5,{:?}\n", 2.0 * a - b, f64::from(level(x).max(level(y))))
    };
    let mut sorted = places.clone();
    sorted.sort_by_key(|(x, y)| (*y, *x));
    let header = "x,y,loss,loss_se,level\n";
    let text = |places: &[(i32, i32)]| header.to_string() + &places.iter().map(row).collect::<String>();
    std::fs::write(&path, text(&places))?;
    let grid = Grid::read(&path)?;
    assert_eq!((grid.x.len(), grid.y.len(), grid.evaluated(), grid.centre), (9, 5, 16, Some(0.0)));
    for (i, loss) in grid.loss.iter().enumerate() {
        let (ix, iy) = (i % 9, i / 9);
        assert_eq!((grid.x[ix], grid.y[iy]), (ix as f64 / 4.0 - 1.0, iy as f64 / 8.0));
        assert_eq!(*loss, 2.0 * grid.x[ix] - grid.y[iy], "row {iy}, column {ix}");
        let known = places.contains(&(ix as i32, iy as i32));
        assert_eq!(grid.columns[0].1[i].is_nan(), !known);
        assert_eq!(grid.known.as_ref().map(|own| own[i]), Some(known));
    }
    grid.write(&path)?;
    assert_eq!(std::fs::read_to_string(&path)?, text(&sorted));
    let refused = grid.write(&folder.path().join("s.h5")).unwrap_err().to_string();
    assert!(refused.contains("a .csv for a refined surface"), "{refused}");
    let first = |n: i32| (0..2 * n).map(|i| format!("{},{},1.0,0.5,0.0\n", i % n, i / n)).collect::<String>();
    for (broken, says) in [
        (
            header.to_string() + &first(17) + "0.5,0.5,1.0,0.5,10.0\n",
            "17 coordinates of level 0, each in 1024 parts",
        ),
        (text(&places[1..]), "no point of level 0 at (-1, 0)"),
        (text(&places) + "0.5,0.25,0.75,0.5,1.0\n", "(0.5, 0.25) twice"),
        (text(&places) + "0.55,0.25,0.85,0.5,2.0\n", "(0.55, 0.25) twice, or off the grid"),
        (text(&places) + "0.5,0.125,0.85,0.5,1.5\n", "1.5 at (0.5, 0.125)"),
        (text(&places) + "0.5,0.125,0.85,0.5,60.0\n", "60 at (0.5, 0.125)"),
    ] {
        std::fs::write(&path, broken)?;
        let message = Grid::read(&path).unwrap_err().to_string();
        assert!(message.contains("`level`") && message.contains(says), "{says}: {message}");
    }
    Ok(())
}

/// Oracle: the full surface of the fine resolution, row by row; what the command and the caption say against the file. Catches a figure
/// that passes filled points off as evaluated.
#[test]
fn the_command_writes_rows_of_the_full_surface() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, set) = (fixture("parity/cls/model"), fixture("parity/cls/set.safetensors"));
    let surface = format!("surface --checkpoint {} --set {}", model.display(), set.display());
    let run = |command: &str| {
        let output = fisherscape(command).current_dir(folder.path()).assert().success().get_output().clone();
        String::from_utf8(output.stdout)
    };
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name));
    run(&format!("{surface} --resolution 17 --span=-0.3,0.3 --out full.csv"))?;
    let said = run(&format!("{surface} --resolution 9 --span=-0.3,0.3 --refine 1 --out refined.csv"))?;
    let rows = |text: &str, columns: usize| -> BTreeMap<String, String> {
        let cells = |line: &str| line.split(',').map(str::to_string).collect::<Vec<_>>();
        text.lines().map(|line| (cells(line)[..2].join(","), cells(line)[..columns].join(","))).collect()
    };
    let columns = read("full.csv")?.lines().next().ok_or("a header")?.split(',').count();
    let (full, refined) = (rows(&read("full.csv")?, columns), rows(&read("refined.csv")?, columns));
    assert!((83..280).contains(&refined.len()), "{} points", refined.len());
    for (at, row) in &refined {
        assert_eq!(full.get(at), Some(row));
    }
    let points = refined.len() - 1;
    assert!(said.contains(&format!("evaluated {points} of 289 points")), "{said}");
    let about = json(&folder.path().join("refined.json"));
    assert_eq!((&about["refine"]["points"], &about["refine"]["of"]), (&points.into(), &289.into()));
    assert_eq!(about["centre"], json(&folder.path().join("full.json"))["centre"]);
    run("render refined.csv --dots --out flat.svg --out flat.txt --out flat.html --out copy.csv")?;
    run("render refined.csv --view 3d --out relief.svg")?;
    assert!(
        read("flat.txt")?.contains(&format!("17 x 17 points, {points} of them evaluated")),
        "{}",
        read("flat.txt")?
    );
    assert!(read("flat.html")?.contains(&format!("refined ({points} of 289 points evaluated)")));
    assert_eq!(read("copy.csv")?, read("refined.csv")?);
    for (command, says) in [
        ("render refined.csv --out s.npz".to_string(), "a .csv for a refined surface"),
        ("render refined.csv --view 3d --dots --out s.svg".into(), "flat for a refined surface"),
        (format!("{surface} --refine 7 --out s.csv"), "at most 6 rounds"),
        (format!("{surface} --refine 1 --resolution 2 --out s.csv"), "at least 3 points"),
        (format!("{surface} --refine 1 --out s.h5"), "`refined surface` must be a .csv"),
        (format!("{surface} --refine 6 --out s.csv"), "from 2 to 1000 points"),
    ] {
        let output = fisherscape(&command).current_dir(folder.path()).assert().code(1).get_output().clone();
        let message = String::from_utf8(output.stderr)?;
        assert!(message.contains(says) && message.contains("fix: "), "{command}: {message}");
    }
    fisherscape(&format!("{surface} --refine 1 --per-example --out s.csv")).assert().code(2);
    Ok(())
}
