//! Losses over three directions: their points, files, basins and figures, against planes, paper and a slower way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use fisherscape::data::Batch;
use fisherscape::landscape::directions::Direction;
use fisherscape::landscape::plane::Plane;
use fisherscape::landscape::rise::{ByExample, examples_path};
use fisherscape::landscape::surface::{Plan, Surface};
use fisherscape::landscape::topology::size::sizes;
use fisherscape::landscape::topology::{Field, Tree};
use fisherscape::model::{Objective, Outputs};
use fisherscape::params::ParamMap;
use fisherscape::rng::Stream;
use fisherscape::stats::clusters::Clusters;
use fisherscape::tables;
use fisherscape::tables::surface::Grid;
use fisherscape::tables::topology::{BasinRow, DifferenceRow, MinimumRow};
use fisherscape::tasks::{Kind, Scoring};

use crate::support::{Outcome, fisherscape, fixture, json, tensors, values};
use crate::toy::{Quadratic, classified, flat};

/// Cells along x, y and z.
type Sides = [usize; 3];

fn place([width, height, _]: Sides, cell: usize) -> [usize; 3] {
    [cell % width, cell / width % height, cell / (width * height)]
}

/// The merge tree by a union-find over edges: all pairs of cells that share a corner, the lower edges first; an edge is as high as its
/// higher end. Of each minimum that ends its cell, the saddle's value and the lower minimum's cell.
fn by_edges(values: &[f64], sides: Sides) -> Vec<(usize, f64, usize)> {
    fn root(parts: &mut [usize], cell: usize) -> usize {
        let above = parts[cell];
        if above == cell { cell } else { root(parts, above) }
    }
    let touching = |a: usize, b: usize| {
        place(sides, a).into_iter().zip(place(sides, b)).all(|(a, b)| a.abs_diff(b) <= 1)
    };
    let height = |(a, b): &(usize, usize)| values[*a].max(values[*b]);
    let finite: Vec<usize> = (0..values.len()).filter(|cell| values[*cell].is_finite()).collect();
    let pairs = finite.iter().flat_map(|a| finite.iter().map(move |b| (*a, *b)));
    let mut edges: Vec<(usize, usize)> = pairs.filter(|(a, b)| a < b && touching(*a, *b)).collect();
    edges.sort_by(|a, b| height(a).total_cmp(&height(b)));
    // The root of a part is its lowest cell.
    let (mut parts, mut ended) = ((0..values.len()).collect::<Vec<usize>>(), Vec::new());
    for edge in edges {
        let [a, b] = [edge.0, edge.1].map(|cell| root(&mut parts, cell));
        let (elder, younger) = if (values[a], a) <= (values[b], b) { (a, b) } else { (b, a) };
        if elder != younger && height(&edge) > values[younger] {
            ended.push((younger, height(&edge), elder));
        }
        parts[younger] = elder;
    }
    ended.sort_by_key(|own| own.0);
    ended
}

fn field(values: &[f64], [width, height, _]: Sides) -> Field<'_> {
    Field { values, width, height }
}

/// The same of the tree.
fn ended(field: &Field) -> Vec<(usize, f64, usize)> {
    let tree = Tree::of(field);
    let one = |own: &fisherscape::landscape::topology::Minimum| {
        let merge = own.merge?;
        Some((own.cell, field.values[merge.saddle], tree.minima[merge.into].cell))
    };
    let mut all: Vec<(usize, f64, usize)> = tree.minima.iter().filter_map(one).collect();
    all.sort_by_key(|own| own.0);
    all
}

/// Depth and centre.
type Well = (f64, [f64; 3]);

/// Far from one another; no two have more than one coordinate in common.
const WELLS: [Well; 4] =
    [(1.0, [-0.5, -0.5, -0.5]), (0.8, [0.5, 0.5, -0.5]), (0.6, [-0.5, 0.5, 0.5]), (0.4, [0.5, -0.5, 0.5])];

/// Valleys `-Σ A exp(-r² / 2 s²)` with s = 0.2, on a grid from -1 to 1.
fn valleys(sides: Sides) -> Vec<f64> {
    let at = |cell: usize| -> [f64; 3] {
        let place = place(sides, cell);
        [0, 1, 2].map(|axis| -1.0 + 2.0 * place[axis] as f64 / (sides[axis] - 1) as f64)
    };
    let depth = |at: [f64; 3], (a, centre): &Well| {
        let square: f64 = at.iter().zip(centre).map(|(at, c)| (at - c).powi(2)).sum();
        -a * (-square / 0.08).exp()
    };
    (0..sides.iter().product()).map(|cell| WELLS.iter().map(|well| depth(at(cell), well)).sum()).collect()
}

/// Oracle: paper: each well has its minimum at the grid point of its centre, as deep as the well but for the tails of the others, all
/// √2 away (`3 exp(-2 / 0.08)`); a way from one to another has a cell with a coordinate 0, which is 0.5 or more
/// from all and so at `-2.8 exp(-0.25 / 0.08) = -0.123` or above. And the union-find over edges.
/// Catches layers taken for rows, neighbours of one layer only, and an elder rule the other way round.
#[test]
fn wells_of_a_volume_have_their_minima_and_saddles() {
    let sides = [13, 9, 5];
    let values = valleys(sides);
    let field = field(&values, sides);
    let tree = Tree::of(&field);
    let places: Vec<[usize; 3]> = tree.minima.iter().map(|own| place(sides, own.cell)).collect();
    assert_eq!(places, [[3, 2, 1], [9, 6, 1], [3, 6, 3], [9, 2, 3]]);
    for (number, (own, (depth, _))) in tree.minima.iter().zip(WELLS).enumerate() {
        assert!((values[own.cell] + depth).abs() < 1e-10, "{number}");
        assert!(!field.is_border(own.cell));
        let most = (number > 0).then_some(depth);
        let persistence = tree.persistence(&field, number);
        assert_eq!(persistence.is_some(), most.is_some());
        assert!(persistence.is_none_or(|p| p < depth && p > depth - 0.123), "{persistence:?}");
    }
    assert_eq!(ended(&field), by_edges(&values, sides));
    assert_eq!(ended(&field).len(), 3);
}

/// Oracle: the union-find over edges, on volumes of noise, also with few values, so that most are ties, and with holes: which minimum another
/// one ends in is a matter of order there, so the heights alone are compared. Catches a neighbour that is missed at a border, or taken across one.
#[test]
fn any_volume_has_the_merge_tree_of_its_edges() {
    for seed in 0..40u64 {
        let stream = Stream::new(seed, "test/volumes");
        let sides = [3 + seed as usize % 4, 4, 3 + seed as usize % 3];
        let levels = [0, 3, 8][seed as usize % 3];
        let value = |i: u64| match levels {
            _ if seed % 4 == 3 && i % 7 == 2 => f64::NAN,
            0 => stream.normal(i),
            levels => stream.below(i, levels) as f64,
        };
        let values: Vec<f64> = (0..sides.iter().product::<usize>() as u64).map(value).collect();
        let (fast, slow) = (ended(&field(&values, sides)), by_edges(&values, sides));
        let heights = |all: &[(usize, f64, usize)]| {
            let mut all: Vec<[f64; 2]> = all.iter().map(|(cell, to, _)| [values[*cell], *to]).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            all
        };
        assert_eq!(heights(&fast), heights(&slow), "seed {seed}");
        if levels == 0 {
            assert_eq!(fast, slow, "seed {seed}");
        }
    }
}

/// Oracle: paper. Two wells on a row of 7 x 3 x 3 cells a half apart, in columns 1 and 5: the volume is cut in the middle. The ball
/// around the first reaches its nearest border, half a cell's height away in z. With z ten times as wide it is the border in x.
#[test]
fn the_size_of_a_basin_is_that_of_a_ball() {
    let sides = [7, 3, 3];
    let values: Vec<f64> = (0..63)
        .map(|cell| {
            let [x, y, z] = place(sides, cell);
            let near = x.abs_diff(1).min(x.abs_diff(5)) as f64;
            near + y.abs_diff(1) as f64 + z.abs_diff(1) as f64 + if x > 3 { 0.5 } else { 0.0 }
        })
        .collect();
    let tree = Tree::of(&field(&values, sides));
    let x: Vec<f64> = (0..7).map(|i| f64::from(i) / 2.0).collect();
    let of = |z: &[f64], noise: [bool; 2]| {
        let sizes = sizes(&tree, [&x, &[-1.0, 0.0, 1.0], z], &noise);
        sizes.iter().map(|own| (own.cells, own.radius)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[-0.25, 0.0, 0.25], [false; 2]), [(36, 0.25), (27, 0.25)]);
    assert_eq!(of(&[-2.5, 0.0, 2.5], [false; 2]), [(36, 0.5), (27, 0.5)]);
    assert_eq!(of(&[-0.25, 0.0, 0.25], [false, true])[0], (63, 0.25));
}

/// Eight parameters.
fn theta() -> ParamMap {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    ParamMap::from([
        ("matrix".to_string(), tensor(&[0.5, -1.25, 2.0, 0.1, -0.3, 0.7], &[2, 3])),
        ("vector".to_string(), tensor(&[1.1, -0.9], &[2])),
    ])
}

/// Only z moves the vector.
fn directions() -> [Direction; 3] {
    let one = |name: &str, values: &[f32]| (name.to_string(), values.to_vec());
    [
        Direction::from([one("matrix", &[0.3, -0.7, 1.1, 0.2, -1.3, 0.9])]),
        Direction::from([one("matrix", &[-1.2, 0.4, 0.8, -0.5, 0.1, 1.7])]),
        Direction::from([one("matrix", &[0.6, 0.2, -0.4, 1.5, 0.9, -0.8]), one("vector", &[0.7, -0.2])]),
    ]
}

/// Counts its evaluations.
struct Counted(Quadratic, AtomicUsize);

impl Objective for Counted {
    fn losses(&self, theta: &ParamMap, batch: &Batch) -> fisherscape::Result<Outputs> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.losses(theta, batch)
    }
}

const COORDINATES: [&[f64]; 3] = [&[-1.0, 0.25, 2.0], &[-0.5, 1.5], &[-0.75, 0.5]];

fn evaluate(
    objective: &dyn Objective,
    directions: &[Direction],
    journal: &Path,
) -> fisherscape::Result<Surface> {
    let plan = Plan {
        theta: &theta(),
        examples: &[classified(0, 0), classified(1, 1)],
        by_length: &[0, 1],
        scoring: Scoring::of(Kind::Classes),
        plane: &Plane::new(directions.to_vec()),
        coordinates: COORDINATES,
        refine: 0,
        per_example: true,
        sample: None,
    };
    plan.evaluate(objective, journal, "inputs")
}

/// Oracle: `½ (θ+aδ+bη+cζ)ᵀ H (θ+aδ+bη+cζ)` in double precision, z outer, then y. Catches axes exchanged, a direction that is left out, and a
/// tensor that only the third moves.
#[test]
fn a_quadratic_loss_gives_its_own_volume() -> Outcome {
    let (folder, h) = (tempfile::tempdir()?, Quadratic::new(8));
    let surface = evaluate(&h, &directions(), &folder.path().join("j"))?;
    let zero = |t: &Tensor| vec![0f32; t.elem_count()];
    let all = directions().map(|d| {
        let own = |(name, t): (&String, &Tensor)| d.get(name).cloned().unwrap_or_else(|| zero(t));
        theta().iter().flat_map(own).map(f64::from).collect::<Vec<f64>>()
    });
    let w = flat(&theta())?;
    assert_eq!(surface.points.len(), 12);
    for (i, point) in surface.points.iter().chain([&surface.centre]).enumerate() {
        let [x, y, z] = COORDINATES;
        let steps = if i == 12 { [0.0; 3] } else { [x[i % 3], y[i / 3 % 2], z[i / 6]] };
        assert_eq!([point.x, point.y, point.z], steps);
        let moved: Vec<f64> =
            (0..8).map(|j| w[j] + steps.iter().zip(&all).map(|(a, d)| a * d[j]).sum::<f64>()).collect();
        let (expected, size) = h.value(&moved);
        // Some thirty float32 roundings of 6e-8 relative to the terms' magnitudes.
        assert!((point.loss - expected).abs() <= 2e-6 * size, "{steps:?}: {} for {expected}", point.loss);
    }
    let by_example = surface.by_example.ok_or("asked for")?;
    assert_eq!(by_example.points[7], [0.25, -0.5, 0.5]);
    // Within 1 of the centre are (0.25, -0.5, -0.75) and (0.25, -0.5, 0.5).
    let rise = by_example.rise(1.0).ok_or("two points")?;
    let two: f64 = [1, 7].map(|k| by_example.sums[2 * k] - by_example.centre[0]).iter().sum();
    assert!((rise[0] - two / 2.0).abs() < 1e-12);
    let path = folder.path().join("v.examples.safetensors");
    by_example.write(&path, &BTreeMap::new())?;
    assert_eq!(ByExample::read(&path)?, by_example);
    Ok(())
}

/// Oracle: the uninterrupted run, its journal cut at every line and within one. Catches a point done twice, and one at another's place.
#[test]
fn a_cut_journal_of_a_volume_is_continued() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (journal, counted) = (folder.path().join("journal"), Counted(Quadratic::new(8), AtomicUsize::new(0)));
    let calls = || counted.1.swap(0, Ordering::Relaxed);
    let bits = |surface: &Surface| {
        let all = surface.points.iter().chain([&surface.centre]);
        all.map(|p| [p.x, p.y, p.z, p.loss, p.loss_se].map(f64::to_bits)).collect::<Vec<_>>()
    };
    let whole = evaluate(&counted, &directions(), &journal)?;
    assert_eq!(calls(), 13);
    let bytes = fs::read(&journal)?;
    for cut in (0..bytes.len()).step_by(97) {
        fs::write(&journal, &bytes[..cut])?;
        let again = evaluate(&counted, &directions(), &journal)?;
        assert_eq!(bits(&again), bits(&whole), "cut after {cut} bytes");
        let finished = bytes[..cut].iter().filter(|b| **b == b'\n').count().saturating_sub(1);
        assert_eq!(calls(), 13 - finished, "cut after {cut} bytes");
    }
    Ok(())
}

fn run(folder: &Path, arguments: &str) -> assert_cmd::assert::Assert {
    fisherscape(arguments).current_dir(folder).assert()
}

fn said(assert: &assert_cmd::assert::Assert) -> String {
    let output = assert.get_output();
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

const SET: &str =
    "freeze --task supersense --checkpoint embedded --examples 12 --max-len 24 --out set.safetensors";
/// Without and with the third direction.
const SURFACE: &str = "surface --checkpoint embedded --set set.safetensors --seed 3 --mask random:0.1 --norm matched --resolution 3 --per-example";

/// Oracle: the surface of the same seed, which is the plane z = 0 of the volume to the last digit: losses, errors, metrics and the losses of
/// each example; the bytes on other numbers of threads and in parts; and those along the saved directions. Catches a third direction that changes the first two, a
/// mask that differs, and a point at another's place.
#[test]
fn the_plane_at_0_of_a_volume_is_the_surface() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    run(folder, SET).success();
    run(folder, &format!("{SURFACE} --save-directions two.safetensors --out s.csv")).success();
    let volume = format!("{SURFACE} --volume --out v.csv");
    run(folder, &format!("--threads 1 {volume} --save-directions three.safetensors")).success();
    let rows = |name: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let (plane, all) = (rows("s.csv"), rows("v.csv"));
    assert_eq!((plane.len(), all.len()), (10, 28));
    assert_eq!(all[0][..4], ["x", "y", "z", "loss"]);
    let cut = all.iter().filter(|row| ["z", "0.0"].contains(&row[2].as_str()));
    let without_z = cut.map(|row| [&row[..2], &row[3..]].concat()).collect::<Vec<_>>();
    assert_eq!(without_z, plane);
    let (one, other) = (json(&folder.join("s.json")), json(&folder.join("v.json")));
    for key in ["x", "y"] {
        assert_eq!(one["norms"][key], other["norms"][key]);
    }
    assert!(other["norms"]["z"]["evaluated"].as_f64() > Some(0.0) && one["norms"]["z"].is_null());
    assert_eq!((&one["mask"], &one["centre"]), (&other["mask"], &other["centre"]));
    let losses = |name: &str| ByExample::read(&examples_path(&folder.join(name))).unwrap();
    let (plane, all) = (losses("s.csv"), losses("v.csv"));
    assert_eq!(all.sums[9 * 12..18 * 12], plane.sums);
    assert!(all.points[9..18] == plane.points && all.points[26] == [1.0; 3]);
    let (two, three) = (tensors(&folder.join("two.safetensors")), tensors(&folder.join("three.safetensors")));
    assert_eq!(three.len(), two.len() / 2 * 3);
    for (name, own) in &two {
        assert_eq!(values(own), values(&three[name]), "{name}");
        let third = values(&three[&format!("z{}", &name[1..])]);
        assert!(third != values(own), "{name}");
    }

    let files = ["v.csv", "v.json", "v.mask.csv", "v.examples.safetensors"];
    let results = || files.map(|name| fs::read(folder.join(name)).unwrap());
    let wanted = results();
    for k in [3, 1] {
        run(folder, &format!("--threads {k} {volume} --slice {k}/3")).success();
    }
    run(folder, &format!("--threads 2 {volume}")).success();
    assert!(results() == wanted, "in parts");
    let along = SURFACE.replace("--seed 3", "--seed 3 --directions three.safetensors");
    run(folder, &format!("{along} --volume --out d.csv")).success();
    assert!(fs::read(folder.join("d.csv"))? == wanted[0]);
    Ok(())
}

/// Oracle: VTK's description of its XML formats: x runs fastest, then y; each array is its length in bytes, then its numbers. And what was
/// written, through every format that holds a volume.
#[test]
fn files_of_volumes_hold_the_numbers_where_they_say() -> Outcome {
    let folder = tempfile::tempdir()?;
    let axes = [vec![-1.0, 0.0, 1.0], vec![-0.5, 0.0], vec![-0.75, -0.25, 0.25, 0.75]];
    let value = |cell: usize| [1.5, f64::NAN, -0.0, f64::INFINITY, 0.1 + 0.2][cell % 5] * (cell + 1) as f64;
    let loss: Vec<f64> = (0..24).map(value).collect();
    let [x, y, z] = axes.clone();
    let columns = vec![("loss_se".to_string(), (0..24).map(f64::from).collect())];
    let grid = Grid { x, y, z: Some(z), loss: loss.clone(), columns, centre: Some(0.25), ..Grid::default() };
    let bytes = grid.bytes(Path::new("v.vti"))?;
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        text.contains(
            "<ImageData WholeExtent=\"0 2 0 1 0 3\" Origin=\"-1 -0.5 -0.75\" Spacing=\"1 0.5 0.5\">"
        )
    );
    assert!(text.contains("<Piece Extent=\"0 2 0 1 0 3\">"));
    let marker = b"<AppendedData encoding=\"raw\">\n_";
    let start = bytes.windows(marker.len()).position(|w| w == marker).ok_or("numbers")? + marker.len();
    let array = |offset: usize, at: [usize; 3]| {
        let from = start + offset + 8 + 8 * (at[0] + 3 * (at[1] + 2 * at[2]));
        f64::from_le_bytes(bytes[from..from + 8].try_into().unwrap())
    };
    assert!(text.contains("Name=\"loss\" format=\"appended\" offset=\"0\""));
    assert!(text.contains("Name=\"loss_se\" format=\"appended\" offset=\"200\""));
    assert_eq!(u64::from_le_bytes(bytes[start..start + 8].try_into()?), 24 * 8);
    // Cell 2 + 3 (1 + 2 · 3) = 23 and cell 1 + 3 (0 + 2 · 2) = 13, on paper.
    assert_eq!((array(0, [2, 1, 3]).to_bits(), array(200, [2, 1, 3])), (loss[23].to_bits(), 23.0));
    assert_eq!((array(0, [1, 0, 2]).to_bits(), array(200, [1, 0, 2])), (loss[13].to_bits(), 13.0));

    let bits = |values: &[f64]| -> Vec<u64> {
        values.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect()
    };
    for name in ["v.csv", "v.npz", "v.vti"] {
        let path = folder.path().join(name);
        grid.write(&path)?;
        let read = Grid::read(&path)?;
        assert_eq!(read.axes().map(<[f64]>::to_vec), axes, "{name}");
        assert_eq!((bits(&read.loss), read.centre), (bits(&loss), Some(0.25)), "{name}");
        assert_eq!(read.columns, grid.columns, "{name}");
        assert!(read.bytes(&path)? == fs::read(&path)?, "{name}");
    }
    let message = grid.bytes(Path::new("v.h5")).unwrap_err().to_string();
    assert!(message.contains("two axes") && message.contains("name it v.vti"), "{message}");
    Ok(())
}

/// Oracle: VTK 9.7, which wrote the file (tests/fixtures/make.py), a known function of the place of each point.
#[test]
fn an_image_of_vtk_is_read_as_it_was_meant() -> Outcome {
    let grid = Grid::read(&fixture("surfaces/vtk.vti"))?;
    let wanted: [&[f64]; 3] = [&[-1.0, -0.5, 0.0, 0.5], &[-0.5, -0.25, 0.0], &[0.25, 2.25]];
    assert_eq!(grid.axes(), wanted);
    let place = |cell: usize| place([4, 3, 2], cell).map(|at| at as f64);
    let loss = |cell: usize| place(cell)[0] + 10.0 * place(cell)[1] + 100.0 * place(cell)[2];
    assert_eq!(grid.loss, (0..24).map(loss).collect::<Vec<f64>>());
    // Numbers of 32 bits are ignored, which is said.
    assert_eq!(grid.columns, [("loss_se".to_string(), (0..24).map(|cell| loss(cell) / 2.0).collect())]);
    assert_eq!(grid.centre, None);
    Ok(())
}

/// Oracle: the rules of the reader. A file that names more points than it has numbers, another kind of numbers, packed ones, and a cut.
#[test]
fn images_that_cannot_be_read_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (x, loss) = (vec![-1.0, 0.0, 1.0], vec![0.5; 27]);
    let grid = Grid { x: x.clone(), y: x.clone(), z: Some(x), loss, ..Grid::default() };
    let bytes = grid.bytes(Path::new("v.vti"))?;
    let path = folder.path().join("v.vti");
    let huge = "0 2000000000 0 0 0 0";
    for (from, to, words) in [
        ("0 2 0 2 0 2", huge, "a number for each point"),
        ("0 2 0 2 0 2", "0 2 0 -1 0 2", "a number for each point"),
        ("Spacing=\"1", "Spacing=\"0", "spacings above 0"),
        ("type=\"Float64\"", "type=\"Float32\"", "Float64"),
        ("header_type=\"UInt64\"", "header_type=\"UInt32\"", "`header_type`"),
        ("header_type", "compressor=\"vtkZLibDataCompressor\" header_type", "`compressor`"),
        ("encoding=\"raw\"", "encoding=\"base64\"", "another encoding"),
        ("offset=\"0\"", "offset=\"16\"", "27 numbers at its offset"),
        ("Name=\"loss\"", "Name=\"height\"", "an array `loss`"),
        ("</Piece>", "", "XML"),
        (" Spacing", " Direction=\"0 1 0 1 0 0 0 0 1\" Spacing", "`Direction`"),
        ("</PointData>", "<DataArray Name=\"loss\"/></PointData>", "`loss` twice"),
    ] {
        // One byte a character: numbers stay as they are.
        let text: String = bytes.iter().map(|b| char::from(*b)).collect();
        let changed: Vec<u8> = text.replace(from, to).chars().map(|c| c as u8).collect();
        assert!(changed != bytes, "{from}");
        fs::write(&path, changed)?;
        let message = Grid::read(&path).map(|_| ()).unwrap_err().to_string();
        assert!(
            message.contains(words) && message.contains("fix:") && message.contains("v.vti"),
            "{message}"
        );
    }
    fs::write(&path, &bytes[..bytes.len() - 60])?;
    assert!(Grid::read(&path).is_err());
    Ok(())
}

/// Losses by example of the valleys: each example a level of its own and a little noise.
fn write(folder: &Path, name: &str, sides: Sides, (depth, seed): (f64, u64)) -> Outcome {
    let (truth, n) = (valleys(sides), 40);
    let stream = Stream::new(seed, "test/volumes/examples");
    let noise = |i: usize| 0.02 * stream.normal(i as u64);
    let loss = |cell: usize, i: usize| depth * truth[cell] + 2.0 + noise(i) * 50.0 + noise(n + cell * n + i);
    let sums: Vec<f64> = (0..truth.len()).flat_map(|cell| (0..n).map(move |i| loss(cell, i))).collect();
    let axis = |n: usize| (0..n).map(|i| -1.0 + 2.0 * i as f64 / (n - 1) as f64).collect::<Vec<f64>>();
    let [x, y, z] = sides.map(axis);
    let mean = |own: &[f64]| own.iter().sum::<f64>() / n as f64;
    let loss = sums.chunks(n).map(mean).collect();
    let grid = Grid { x, y, z: Some(z), loss, ..Grid::default() };
    let losses = ByExample {
        targets: vec![1.0; n],
        centre: sums[truth.len() / 2 * n..][..n].to_vec(),
        points: grid.points().collect(),
        sums,
        clusters: Clusters::default(),
    };
    losses.write(&examples_path(&folder.join(name)), &BTreeMap::new())?;
    Ok(grid.write(&folder.join(name))?)
}

/// Oracle: the union-find over edges on the volume that was written, for minima, saddles and persistences; the wells' true depths, each in its
/// interval; the same bytes from .vti and .csv; a volume less itself, and less one of half the depth. Catches coordinates that are exchanged, and intervals of a plane.
#[test]
fn topology_of_a_volume_has_three_coordinates() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let (folder, sides) = (temporary.path(), [9, 9, 9]);
    write(folder, "v.vti", sides, (1.0, 7))?;
    run(folder, "render v.vti --out v.csv").success();
    let done = run(folder, "topology v.csv --out one").success();
    run(folder, "topology v.vti --out other").success();
    for file in ["minima.csv", "basins.csv", "topology.json"] {
        assert!(
            fs::read(folder.join("one").join(file))? == fs::read(folder.join("other").join(file))?,
            "{file}"
        );
    }
    let minima: Vec<MinimumRow> = tables::read(&folder.join("one/minima.csv"))?;
    let basins: Vec<BasinRow> = tables::read(&folder.join("one/basins.csv"))?;
    let grid = Grid::read(&folder.join("v.csv"))?;
    assert_eq!(basins.len(), 729);
    assert!(basins.iter().zip(grid.points()).all(|(row, at)| [row.x, row.y, row.z.unwrap()] == at));
    let cell = |at: [f64; 3]| grid.points().position(|own| own == at).unwrap();
    let own: Vec<(usize, f64, usize)> = {
        let of = |row: &MinimumRow| cell([row.x, row.y, row.z.unwrap()]);
        let merged = minima.iter().filter_map(|row| Some((of(row), row.saddle?, of(&minima[row.into? - 1]))));
        let mut all: Vec<_> = merged.collect();
        all.sort_by_key(|own| own.0);
        all
    };
    assert_eq!(own, by_edges(&grid.loss, sides));
    for row in minima.iter().filter(|row| row.into.is_some()) {
        let at = [row.saddle_x, row.saddle_y, row.saddle_z.flatten()].map(Option::unwrap);
        assert_eq!(grid.loss[cell(at)], row.saddle.unwrap());
    }
    let shown: Vec<&MinimumRow> = minima.iter().filter(|row| row.shown == Some(true)).collect();
    assert_eq!(shown.len(), 3, "{}", said(&done));
    for (row, (depth, centre)) in shown.iter().zip(&WELLS[1..]) {
        assert_eq!([row.x, row.y, row.z.unwrap()], *centre);
        // The pass of noise is a little below 0, by no more than two tenths of the noise of a point.
        let (low, high) = (row.persistence_low.unwrap(), row.persistence_high.unwrap());
        assert!(low < *depth && *depth < high + 0.02, "{low} to {high} for {depth}");
    }
    run(folder, "render one/minima.csv --out minima.svg --out minima.txt").success();
    let svg = fs::read_to_string(folder.join("minima.svg"))?;
    for words in ["lowest along x", "lowest along y", "lowest along z", "direction z (c)", "merge tree"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(fs::read_to_string(folder.join("minima.txt"))?.contains("Basins of a volume (loss)"));

    write(folder, "half.csv", sides, (0.5, 8))?;
    run(folder, "topology v.csv --minus v.csv --out same").success();
    run(folder, "topology v.csv --minus half.csv --out less").success();
    let rows =
        |name: &str| -> Vec<DifferenceRow> { tables::read(&folder.join(name).join("minus.csv")).unwrap() };
    assert!(rows("same").iter().all(|row| row.difference == 0.0
        && row.low.is_none_or(|low| low <= 0.0)
        && row.high.is_none_or(|high| high >= 0.0)));
    let largest = rows("less").into_iter().find(|row| row.rank == Some(1)).unwrap();
    assert!((largest.difference - 0.4).abs() < 0.05 && largest.low > Some(0.0), "{largest:?}");
    Ok(())
}

/// Oracle: the words that the message owes: what is wrong and the way out; and the texts of the figure.
#[test]
fn what_a_volume_cannot_do_is_said() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    run(folder, SET).success();
    write(folder, "v.vti", [5, 5, 5], (1.0, 7))?;
    write(folder, "even.csv", [4, 4, 4], (1.0, 7))?;
    fs::write(folder.join("s.csv"), "x,y,loss\n0,0,1\n1,0,2\n0,1,2\n1,1,3\n")?;
    let surface = "surface --checkpoint embedded --set set.safetensors --seed 3";
    run(folder, &format!("{surface} --resolution 2 --save-directions two.safetensors --out p.csv")).success();
    run(folder, &format!("{surface} --volume --coords 0 --save-directions three.safetensors --out q.csv"))
        .success();
    for (code, arguments, words) in [
        (2, format!("{surface} --volume --profile --out o.csv"), vec!["--volume", "--profile"]),
        (2, format!("{surface} --volume --refine 2 --out o.csv"), vec!["--volume", "--refine"]),
        (1, format!("{surface} --volume --out o.h5"), vec!["two axes", "name it o.vti"]),
        (
            1,
            format!("{surface} --volume --resolution 101 --out o.csv"),
            vec!["at most 100", "--resolution 9"],
        ),
        (
            1,
            format!("{surface} --volume --directions two.safetensors --out o.csv"),
            vec!["two.safetensors", "no third direction", "leave out --volume"],
        ),
        (
            1,
            format!("{surface} --directions three.safetensors --out o.csv"),
            vec!["three.safetensors", "third direction", "add --volume"],
        ),
        (1, "render v.vti --out v.html".into(), vec![".html", "shows surfaces only", ".vti"]),
        (1, "render v.vti --out v.h5".into(), vec!["two axes"]),
        (1, "render v.vti v.vti --difference --out v.svg".into(), vec!["v.vti", "is a volume", "ParaView"]),
        (1, "render v.vti --barrier --out v.svg".into(), vec!["v.vti", "is a volume"]),
        (1, "render v.vti --along-x --out v.svg".into(), vec!["--along-x", "leave them out"]),
        (1, "render v.vti s.csv --out v.svg".into(), vec!["s.csv", "a volume", "a surface"]),
        (1, "render even.csv --out v.svg".into(), vec!["even.csv", "a plane at 0", "odd --resolution"]),
    ] {
        let refused = run(folder, &arguments).code(code);
        let message = said(&refused);
        assert!(words.iter().all(|word| message.contains(word)), "{arguments}: {message}");
        assert!(!folder.join("o.csv").exists() && !folder.join("v.svg").exists());
    }
    run(folder, "render v.vti --out v.svg --out v.txt").success();
    let svg = fs::read_to_string(folder.join("v.svg"))?;
    for words in ["direction x (a)", "direction y (b)", "direction z (c)"] {
        assert_eq!(
            svg.matches(&format!(">\n{words}\n<")).count().max(svg.matches(words).count()),
            2,
            "{words}"
        );
    }
    let caption = fs::read_to_string(folder.join("v.txt"))?;
    for words in ["the central planes of a volume", "v: z = 0: 5 x 5 points", "v: x = 0"] {
        assert!(caption.contains(words), "{caption}");
    }
    run(folder, "render v.vti --view 3d --out relief.svg").success();
    Ok(())
}

/// A text that is deep or long enough would end the program, or hold it up for minutes: it is refused.
#[test]
fn a_hostile_image_is_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let end = "<AppendedData encoding=\"raw\">_";
    let many: String = (0..60_000).map(|i| format!(" a{i}=\"\"")).collect();
    for text in [format!("<VTKFile>{}{end}", "<a>".repeat(30_000)), format!("<VTKFile{many}>{end}")] {
        std::fs::write(folder.path().join("v.vti"), text)?;
        let output = fisherscape("render v.vti --out v.svg")
            .current_dir(folder.path())
            .assert()
            .code(1)
            .get_output()
            .clone();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("v.vti") && said.contains("at most 2000 elements"), "{said}");
    }
    Ok(())
}
