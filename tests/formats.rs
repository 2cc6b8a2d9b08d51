//! Files of loss surfaces: other people's, and back and forth through every format.

use std::path::Path;

use fisherscape::tables::surface::Grid;

use crate::support::{Outcome, fisherscape, fixture, json};

/// Column names and columns of a CSV of numbers.
fn table(path: &Path) -> (Vec<String>, Vec<Vec<f64>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let names: Vec<String> = text.lines().next().unwrap().split(',').map(str::to_owned).collect();
    let column = |i: usize| {
        text.lines().skip(1).map(|line| line.split(',').nth(i).unwrap().parse().unwrap()).collect()
    };
    (names.clone(), (0..names.len()).map(column).collect())
}

fn bits(values: &[f64]) -> Vec<u64> {
    // Which of the many NaN it is does not matter.
    values.iter().map(|v| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// Equal to the last bit, NaN and the sign of 0 too.
#[track_caller]
fn same(a: &Grid, b: &Grid) {
    assert_eq!((&a.x, &a.y), (&b.x, &b.y));
    assert_eq!(bits(&a.loss), bits(&b.loss));
    assert_eq!(a.centre.map(|v| bits(&[v])), b.centre.map(|v| bits(&[v])));
    let columns = |grid: &Grid| {
        grid.columns.iter().map(|(name, values)| (name.clone(), bits(values))).collect::<Vec<_>>()
    };
    assert_eq!(columns(a), columns(b));
}

/// Values that are easily lost, at places that tell x from y.
fn awkward() -> Vec<Grid> {
    let loss = vec![
        1.0,
        f64::NAN,
        -0.0,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1 + 0.2,
        f64::MAX,
        f64::MIN_POSITIVE,
    ];
    let column = |name: &str, n: usize| {
        (
            name.to_string(),
            (0..n).map(|i| loss[(i * 2 + name.len()) % loss.len()] / 3.0).collect::<Vec<f64>>(),
        )
    };
    let grid = |x: &[f64], y: &[f64], names: &[&str], centre: Option<f64>| Grid {
        x: x.to_vec(),
        y: y.to_vec(),
        z: None,
        loss: loss.iter().copied().cycle().take(x.len() * y.len()).collect(),
        columns: names.iter().map(|name| column(name, x.len() * y.len())).collect(),
        centre,
        known: None,
        examples: None,
        length: None,
    };
    vec![
        grid(
            &[-1.0, 0.0, 1.0],
            &[-0.5, 0.0, 0.5, 1.0],
            &["loss_se", "accuracy", "f1 & <\"more\">"],
            Some(f64::INFINITY),
        ),
        grid(&[-1.0, 1.0, 3.0, 5.0, 7.0], &[0.0], &[], Some(1.0 / 3.0)),
        grid(&[-1.5, -0.5, 0.5, 1.5], &[-1.0, 1.0], &["matthews"], None),
        grid(&[0.0], &[0.0], &["loss_se"], Some(1.0)),
        grid(&[-0.25, 0.75], &[0.5], &["loss_se"], Some(2.5e-300)),
    ]
}

/// Oracle: h5py and numpy wrote the files and the numbers in them as text. A reader that believed a declared shape
/// would exchange the axes.
#[test]
fn files_of_others_are_read_as_they_were_meant() -> Outcome {
    for (file, numbers, centre) in [
        ("tomgoldstein.h5", "tomgoldstein.csv", Some(1.0)),
        ("profile.h5", "profile.csv", Some(1.0)),
        ("flat.h5", "flat.csv", None),
        ("numpy.npz", "numpy.csv", Some(1.25)),
    ] {
        let grid = Grid::read(&fixture("surfaces").join(file))?;
        let (names, columns) = table(&fixture("surfaces").join(numbers));
        let at = |axis: &[f64], stride: usize| {
            (0..columns[0].len()).map(|i| axis[i / stride % axis.len()]).collect::<Vec<_>>()
        };
        assert_eq!(at(&grid.x, 1), columns[0], "{file}");
        assert_eq!(at(&grid.y, grid.x.len()), columns[1], "{file}");
        assert_eq!(bits(&grid.loss), bits(&columns[2]), "{file}");
        assert_eq!(grid.centre, centre, "{file}");
        assert_eq!(
            grid.columns.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            names[3..].iter().collect::<Vec<_>>()
        );
        for ((_, values), expected) in grid.columns.iter().zip(&columns[3..]) {
            // Percent and back are two roundings.
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-15 || (a.is_nan() && b.is_nan());
            assert!(
                values.len() == expected.len() && values.iter().zip(expected).all(near),
                "{file}: {values:?}"
            );
        }
    }
    Ok(())
}

/// Oracle: identity. Numbers that went through text, 32 bits or another order would not come back.
#[test]
fn what_is_written_is_read_back_to_the_last_bit_and_written_with_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (i, grid) in awkward().iter().enumerate() {
        for ending in ["csv", "h5", "hdf5", "npz"] {
            let path = folder.path().join(format!("{i}.{ending}"));
            grid.write(&path)?;
            same(&Grid::read(&path)?, grid);
            let bytes = std::fs::read(&path)?;
            assert!(grid.bytes(&path)? == bytes, "{ending}");
            assert!(Grid::read(&path)?.bytes(&path)? == bytes, "{ending}");
        }
    }
    Ok(())
}

/// Oracle: a surface of the gallery, as the `surface` command wrote it.
#[test]
fn a_table_is_written_as_the_surface_command_does() -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("figures/quickstart/surfaces/train/guided_all.csv");
    assert!(Grid::read(&path)?.bytes(&path)? == std::fs::read(&path)?);
    Ok(())
}

/// Oracle: the zip format (APPNOTE 4.4.6: bytes 10 to 13 of an entry are its time; 1980-01-01 00:00 is 0, 0x21) and
/// numpy's (the numbers begin at a multiple of 64). A time of the clock would make other bytes tomorrow.
#[test]
fn an_npz_has_one_fixed_time_and_aligned_numbers() -> Outcome {
    let bytes = awkward()[0].bytes(Path::new("a.npz"))?;
    assert_eq!(bytes[..4], *b"PK\x03\x04");
    assert_eq!(bytes[10..14], [0, 0, 0x21, 0]);
    let start = bytes.windows(6).position(|w| w == b"\x93NUMPY").unwrap();
    assert_eq!((u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]) + 10) % 64, 0);
    Ok(())
}

/// Oracle: VTK's description of its XML formats: x runs fastest; each array is its length in bytes, then its numbers.
#[test]
fn an_image_for_vtk_holds_the_numbers_where_it_says() -> Outcome {
    let grid = &awkward()[0];
    let bytes = grid.bytes(Path::new("a.vti"))?;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("WholeExtent=\"0 2 0 3 0 0\" Origin=\"-1 -0.5 0\" Spacing=\"1 0.5 1\""));
    assert!(text.contains("Name=\"f1 &amp; &lt;&quot;more&quot;&gt;\""));
    let marker = b"<AppendedData encoding=\"raw\">\n_";
    let start = bytes.windows(marker.len()).position(|w| w == marker).unwrap() + marker.len();
    let mut arrays = grid.columns.clone();
    arrays.insert(0, ("loss".into(), grid.loss.clone()));
    arrays.push(("centre_loss".into(), vec![grid.centre.unwrap()]));
    for (name, values) in &arrays {
        let escaped =
            name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let line = text.lines().find(|line| line.contains(&format!("Name=\"{escaped}\""))).unwrap();
        let offset: usize = line.split("offset=\"").nth(1).unwrap().split('"').next().unwrap().parse()?;
        let block = &bytes[start + offset..];
        assert_eq!(u64::from_le_bytes(block[..8].try_into()?), 8 * values.len() as u64, "{name}");
        let numbers =
            block[8..8 + 8 * values.len()].chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()));
        assert_eq!(bits(&numbers.collect::<Vec<_>>()), bits(values), "{name}");
    }
    // A third of a third is no exact number, and near enough; a tenth off is not.
    let uneven = |x: f64| Grid { x: vec![0.0, x, 1.0], y: vec![0.0], loss: vec![1.0; 3], ..Grid::default() };
    assert!(uneven(0.5 + 1e-10).bytes(Path::new("a.vti")).is_ok());
    let message = uneven(0.6).bytes(Path::new("a.vti")).unwrap_err().to_string();
    assert!(
        ["a.vti: `x`", "0.5 at place 1", "found 0.6", "--resolution", ".npz"]
            .iter()
            .all(|w| message.contains(w)),
        "{message}"
    );
    Ok(())
}

/// Oracle: the definition (0, 0) beside the grid. The rest of SURFACE.json must survive, another surface's centre must not.
#[test]
fn the_centre_of_a_table_stands_in_the_file_beside_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, about) = (folder.path().join("s.csv"), folder.path().join("s.json"));
    let mut grid = awkward().swap_remove(2);
    grid.write(&path)?;
    assert!(!about.exists());
    std::fs::write(&about, r#"{"centre":{"loss":0.30000000000000004,"loss_se":0.1},"fisherscape":"0.1.0"}"#)?;
    assert_eq!(Grid::read(&path)?.centre, Some(0.1 + 0.2));
    // Already there: nothing is touched.
    let before = std::fs::read(&about)?;
    grid.centre = Some(0.1 + 0.2);
    grid.write(&path)?;
    assert_eq!(std::fs::read(&about)?, before);
    grid.centre = Some(0.7);
    grid.write(&path)?;
    assert_eq!(json(&about), serde_json::json!({"centre": {"loss": 0.7}, "fisherscape": "0.1.0"}));
    grid.centre = None;
    grid.write(&path)?;
    assert_eq!(Grid::read(&path)?.centre, None);
    assert_eq!(json(&about), serde_json::json!({"fisherscape": "0.1.0"}));
    Ok(())
}

/// What is wrong with a file: its name, how it is made at a path, and what the message says.
type Bad = (&'static str, fn(&Path), &'static [&'static str]);

fn sets(path: &Path, sets: &[(&str, &[usize])]) {
    let file = rust_hdf5::H5File::create(path).unwrap();
    for (name, shape) in sets {
        let set = file.new_dataset::<f64>().shape(shape).create(name).unwrap();
        let n = shape.iter().product();
        set.write_raw(&(0..n).map(|i| i as f64).collect::<Vec<f64>>()).unwrap();
    }
    file.close().unwrap();
}

fn copied(fixture_name: &str, path: &Path, bytes: usize) {
    let whole = std::fs::read(fixture("surfaces").join(fixture_name)).unwrap();
    std::fs::write(path, &whole[..bytes.min(whole.len())]).unwrap();
}

const BAD: &[Bad] = &[
    ("gone.h5", |_| {}, &["gone.h5", "No such file"]),
    ("cut.h5", |path| copied("tomgoldstein.h5", path, 4000), &["cut.h5", "HDF5", "fix:"]),
    ("cut.npz", |path| copied("numpy.npz", path, 1000), &["cut.npz", "npz", "fix:"]),
    ("text.npz", |path| std::fs::write(path, "x,y,loss").unwrap(), &["text.npz", "whole numpy archive"]),
    ("empty.h5", |path| std::fs::write(path, "").unwrap(), &["empty.h5", "whole HDF5 file"]),
    (
        "none.h5",
        |path| sets(path, &[("xcoordinates", &[3]), ("val_loss", &[3])]),
        &["none.h5", "`train_loss`", "found xcoordinates [3], val_loss [3]"],
    ),
    (
        "axis.h5",
        |path| sets(path, &[("train_loss", &[3])]),
        &["axis.h5", "`xcoordinates`", "only train_loss"],
    ),
    (
        "shape.h5",
        |path| sets(path, &[("xcoordinates", &[3]), ("ycoordinates", &[2]), ("train_loss", &[5])]),
        &["shape.h5", "`train_loss`", "6 values, 3 x 2", "found 5"],
    ),
    (
        "header.csv",
        |path| std::fs::write(path, "a,b,loss\n0,0,1\n").unwrap(),
        &["header.csv", "`header`", "found a,b,loss"],
    ),
    (
        "cell.csv",
        |path| std::fs::write(path, "x,y,loss,f1\n0,0,1,0.5\n1,0,1,none\n").unwrap(),
        &["cell.csv", "`f1`", "`none` in line 3"],
    ),
    (
        "twice.csv",
        |path| std::fs::write(path, "x,y,loss\n0,0,1\n1,0,1\n-0,0,1\n1,1,1\n").unwrap(),
        &["twice.csv", "`grid`", "(0, 0) twice"],
    ),
    (
        "names.csv",
        |path| std::fs::write(path, "x,y,loss,f1,f1\n0,0,1,1,1\n").unwrap(),
        &["names.csv", "`header`", "`f1` twice"],
    ),
    ("image.vti", |path| std::fs::write(path, "").unwrap(), &["image.vti", "`AppendedData`", ".csv or .npz"]),
    ("other.mat", |path| std::fs::write(path, "").unwrap(), &["other.mat", ".csv, .h5, .npz or .vti"]),
];

/// Oracle: docs/formats.md: a message names file and field, what was expected and found.
#[test]
fn broken_files_are_named_with_the_field_that_is_wrong() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (name, make, words) in BAD {
        let path = folder.path().join(name);
        make(&path);
        let message =
            Grid::read(&path).map(|grid| panic!("{name} is read: {grid:?}")).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    // numpy's arrays under other names, and the other way round.
    let grid = Grid { x: vec![0.0, 1.0], y: vec![0.0, 1.0, 2.0], loss: vec![1.0; 6], ..Grid::default() };
    let path = folder.path().join("shape.npz");
    let exchanged = Grid { x: grid.y.clone(), y: grid.x.clone(), ..grid.clone() };
    let pieces = [grid.bytes(&path)?, exchanged.bytes(&path)?];
    let arrays = |from: &[(usize, &str, &str)]| -> Outcome {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&path)?);
        for (piece, name, under) in from {
            let mut read = zip::ZipArchive::new(std::io::Cursor::new(&pieces[*piece]))?;
            archive.start_file(format!("{under}.npy"), zip::write::SimpleFileOptions::default())?;
            std::io::copy(&mut read.by_name(&format!("{name}.npy"))?, &mut archive)?;
        }
        archive.finish()?;
        Ok(())
    };
    for (from, words) in [
        (vec![(0, "x", "x"), (0, "y", "y"), (0, "loss", "Z")], ["`loss`", "only x, y, Z"]),
        (
            vec![(0, "x", "x"), (0, "y", "y"), (1, "loss", "loss")],
            ["`loss` must be of shape [3, 2]", "found [2, 3]"],
        ),
        (vec![(0, "loss", "x"), (0, "y", "y"), (0, "loss", "loss")], ["`x`", "found shape [3, 2]"]),
    ] {
        arrays(&from)?;
        let message = Grid::read(&path).unwrap_err().to_string();
        assert!(
            message.contains("shape.npz") && words.iter().all(|word| message.contains(word)),
            "{message}"
        );
    }
    // Columns whose names mean something else in the file.
    for (ending, name) in
        [("npz", "centre_loss"), ("h5", "train_acc"), ("csv", "x"), ("vti", "loss"), ("h5", "a/b")]
    {
        let mut grid = grid.clone();
        grid.columns.push((name.into(), grid.loss.clone()));
        let path = folder.path().join("taken").with_extension(ending);
        let message = grid.write(&path).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("rename") && !path.exists(), "{message}");
    }
    Ok(())
}

/// Oracle: the file that went in. A surface that no figure can scale is converted all the same.
#[test]
fn render_converts_between_formats_and_draws_beside_them() -> Outcome {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &str| fisherscape(arguments).current_dir(folder.path()).output();
    let source =
        "x,y,loss,loss_se\n-1.0,0.5,1.25,0.1\n1.0,0.5,NaN,0.2\n-1.0,1.5,3.5,0.3\n1.0,1.5,1e-300,0.4\n";
    std::fs::write(folder.path().join("a.csv"), source)?;
    std::fs::write(folder.path().join("a.json"), r#"{"centre": {"loss": 0.75}}"#)?;
    assert!(run("render a.csv --out b.h5 --out c.npz --out d.vti")?.status.success());
    for from in ["b.h5", "c.npz"] {
        assert!(run(&format!("render {from} --out back.csv"))?.status.success());
        assert_eq!(std::fs::read_to_string(folder.path().join("back.csv"))?, source);
        assert_eq!(json(&folder.path().join("back.json"))["centre"]["loss"], 0.75);
        std::fs::remove_file(folder.path().join("back.json"))?;
    }
    assert!(folder.path().join("b.h5.provenance.toml").exists());
    let says = |arguments: &str, words: &[&str]| -> Outcome {
        let output = run(arguments)?;
        let message = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        Ok(())
    };
    says("render b.h5 --out no.svg --out no.npz", &["b.h5", "`loss`", "1e-300"])?;
    says("render b.h5 c.npz --out no.npz", &["--out", "one surface for no.npz", "2 surfaces"])?;
    assert!(!folder.path().join("no.npz").exists());
    std::fs::write(folder.path().join("a.csv"), source.replace("1e-300", "2"))?;
    assert!(run("render a.csv --out m.svg --out m.h5 --out m.html")?.status.success());
    assert!(run("render m.h5 a.csv --out two.svg")?.status.success());
    assert!(folder.path().join("m.svg").exists() && folder.path().join("m.html").exists());
    Ok(())
}

/// Oracle: the values that make_foreign.py gives numpy, as literals. Catches the bias of an exponent, the order of bytes, and a
/// transposed landscape: `loss[i, j] = 10 i + j` is at x = i.
#[test]
fn numpys_other_types_and_landscapers_files_are_read() -> Outcome {
    let read = |name: &str| Grid::read(&fixture("foreign").join(name));
    for name in ["half.npz", "half_big.npz", "single_big.npz", "longdouble.npz"] {
        let grid = read(name)?;
        assert_eq!((grid.x, grid.y), (vec![-1.0, 0.0, 1.0], vec![0.0, 1.0]), "{name}");
        assert_eq!(grid.loss, [0.5, 1.25, -2.0, f64::INFINITY, 65504.0, 2f64.powi(-24)], "{name}");
        assert_eq!(grid.centre, Some(1.25), "{name}");
    }
    let grid = read("bool.npz")?;
    assert_eq!((grid.x, grid.loss), (vec![-1.0, 0.0, 1.0], vec![1.0, 0.0, 1.0, 1.0, 1.0, 0.0]));
    let grid = read("landscaper.npz")?;
    assert_eq!((&grid.x, &grid.y), (&vec![-0.5, 0.0, 0.5], &vec![-1.0, 0.0, 1.0]));
    assert_eq!(grid.loss, [0.0, 10.0, 20.0, 1.0, 11.0, 21.0, 2.0, 12.0, 22.0]);
    assert_eq!(grid.centre, Some(11.0));
    let grid = read("landscaper1.npz")?;
    assert_eq!((grid.x, grid.y, grid.loss), (vec![-0.5, 0.0, 0.5], vec![0.0], vec![0.0, 10.0, 20.0]));
    Ok(())
}

/// Oracle: the data sets that make_foreign.py writes. Catches a message that says "only" and then nothing, since all stands in
/// groups.
#[test]
fn files_that_hold_no_surface_are_described() {
    let cases: [(&str, &[&str]); 4] = [
        (
            "directions.h5",
            &["`train_loss`", "found directions: xdirection/0 [4, 3]", "and 2 more", "[-1.0,1.0,51].h5"],
        ),
        ("other.h5", &["`train_loss`", "found features [2, 3]", "xcoordinates"]),
        ("complex.npz", &["`loss`", "loss (no numbers)"]),
        ("landscaper3.npz", &["`coordinates`", "one or two axes", "[3, 3]", "loss[:, :, 0].T"]),
    ];
    for (name, words) in cases {
        let message = Grid::read(&fixture("foreign").join(name)).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)) && message.contains(name), "{message}");
    }
}
