//! The basins of a field on a grid: its minima, where they meet, and how far each lies below its saddle.
//!
//! Cells come in one by one, the lowest first, and join those of their neighbours that are there already (eight, in a volume 26: all cells
//! that share a corner): the parts are those of
//! the sub-level sets `{f ≤ t}`, and how they join is the merge tree. A cell without such a neighbour is a minimum. A cell at which
//! parts meet is a saddle: all but the part of the lowest minimum end there (the elder rule), and the persistence of a minimum is
//! its saddle's value less its own. The lowest minimum never ends. Ties go by index, z outer, then y.
//!
//! A plateau is one minimum: parts that meet at the height of the younger's own minimum are one, so no persistence is 0. A basin is what leads to its minimum
//! from lowest neighbour to lowest neighbour. A value that is not finite is no cell: nothing leads through it.
//!
//! The trap: a minimum at the border may be none of the loss, which may continue to fall beyond.
//!
//! [`noise`] says which of it the examples show, [`size`] how large basins are, [`minus`] how two surfaces differ.

pub mod minus;
pub mod noise;
pub mod size;

use std::cmp::Ordering;

/// Values on a grid, z outer, then y, x inner.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub values: &'a [f64],
    /// Cells along x.
    pub width: usize,
    /// Cells along y; there are as many layers along z as the values fill.
    pub height: usize,
}

/// A minimum, and where its part ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    pub cell: usize,
    /// None for the lowest, and for the lowest of what nothing leads to.
    pub merge: Option<Merge>,
    /// The first saddle that its part meets, whichever part ends there.
    pub first: Option<usize>,
}

/// Where a part meets that of a lower minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    pub saddle: usize,
    /// The number of the lower minimum.
    pub into: usize,
}

/// The merge tree of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The lowest first.
    pub minima: Vec<Minimum>,
    /// The number of the minimum in whose basin each cell lies.
    pub basins: Vec<Option<usize>>,
}

impl<'a> Field<'a> {
    /// Of one layer.
    pub fn plane(values: &'a [f64], width: usize) -> Field<'a> {
        Field { values, width, height: values.len() / width.max(1) }
    }

    /// Cells along x, y and z.
    fn sides(&self) -> [usize; 3] {
        let (width, height) = (self.width.max(1), self.height.max(1));
        [width, height, self.values.len() / (width * height)]
    }

    /// Where a cell lies along x, y and z.
    fn place(&self, cell: usize) -> [usize; 3] {
        let [width, height, _] = self.sides();
        [cell % width, cell / width % height, cell / (width * height)]
    }

    /// The cells around one, by index.
    pub fn around(&self, cell: usize) -> impl Iterator<Item = usize> + use<'a> {
        let ([width, height, depth], [x, y, z]) = (self.sides(), self.place(cell));
        let near = |at: usize, size: usize| at.saturating_sub(1)..(at + 2).min(size);
        let row = move |row: usize| near(x, width).map(move |ix| row * width + ix);
        let layer = move |iz: usize| near(y, height).flat_map(move |iy| row(iz * height + iy));
        near(z, depth).flat_map(layer).filter(move |other| *other != cell)
    }

    /// Whether a cell lies at the border of the grid. (A line has two ends.)
    pub fn is_border(&self, cell: usize) -> bool {
        let at_end = |(at, size): (usize, usize)| size > 1 && (at == 0 || at + 1 == size);
        self.place(cell).into_iter().zip(self.sides()).any(at_end)
    }

    /// The finite cells, the lowest first.
    fn ascending(&self) -> Vec<usize> {
        let mut cells: Vec<usize> = (0..self.values.len()).filter(|&i| self.values[i].is_finite()).collect();
        cells.sort_by(|a, b| self.compare(*a, *b));
        cells
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.values[a].partial_cmp(&self.values[b]).unwrap_or(Ordering::Equal).then(a.cmp(&b))
    }

    /// How low a way from one cell to another can keep: the highest value on the best one, ends included. None where no way leads there.
    pub fn pass(&self, from: usize, to: usize) -> Option<f64> {
        let mut parts = Parts::new(self.values.len());
        for cell in self.ascending() {
            parts.add(cell);
            for near in self.around(cell) {
                parts.join(cell, near);
            }
            let ends = (parts.of(from), parts.of(to));
            if ends.0.is_some() && ends.0 == ends.1 {
                return Some(self.values[cell]);
            }
        }
        None
    }
}

/// Cells that are connected, of those that are there: a forest, whose roots stand for the parts.
struct Parts(Vec<Option<usize>>);

impl Parts {
    fn new(cells: usize) -> Parts {
        Parts(vec![None; cells])
    }

    fn add(&mut self, cell: usize) {
        self.0[cell] = Some(cell);
    }

    /// The root of a cell's part, none where the cell is not there.
    fn of(&mut self, cell: usize) -> Option<usize> {
        let (mut at, mut above) = (cell, self.0[cell]?);
        while above != at {
            let next = self.0[above]?;
            self.0[at] = Some(next);
            (at, above) = (above, next);
        }
        Some(at)
    }

    /// Makes one part of the parts of two cells, if both are there.
    fn join(&mut self, a: usize, b: usize) {
        if let (Some(a), Some(b)) = (self.of(a), self.of(b)) {
            self.0[b] = Some(a);
        }
    }
}

impl Tree {
    pub fn of(field: &Field) -> Tree {
        let cells = field.values.len();
        let (mut parts, mut oldest) = (Parts::new(cells), vec![0; cells]);
        let mut minima: Vec<Minimum> = Vec::new();
        // Of the minima that turn out to be of another one's plateau, that one.
        let mut same: Vec<Option<usize>> = Vec::new();
        let mut basins: Vec<Option<usize>> = vec![None; cells];
        for cell in field.ascending() {
            let near: Vec<usize> = field.around(cell).filter(|other| basins[*other].is_some()).collect();
            let lowest = near.iter().copied().min_by(|a, b| field.compare(*a, *b));
            basins[cell] = lowest.and_then(|lowest| basins[lowest]).or(Some(minima.len()));
            if lowest.is_none() {
                minima.push(Minimum { cell, merge: None, first: None });
                same.push(None);
            }
            parts.add(cell);
            let mut met: Vec<usize> =
                near.iter().filter_map(|other| Some(oldest[parts.of(*other)?])).collect();
            near.iter().for_each(|other| parts.join(cell, *other));
            met.sort_unstable();
            met.dedup();
            // Those that are born first are the lowest.
            let elder = met.first().copied().unwrap_or(minima.len() - 1);
            oldest[parts.of(cell).unwrap_or(cell)] = elder;
            for &younger in met.iter().skip(1) {
                if field.values[minima[younger].cell] == field.values[cell] {
                    same[younger] = Some(elder);
                    continue;
                }
                minima[younger].merge = Some(Merge { saddle: cell, into: elder });
                for own in [elder, younger] {
                    minima[own].first.get_or_insert(cell);
                }
            }
        }
        numbered(minima, &same, basins)
    }

    /// A minimum's height below its saddle.
    pub fn persistence(&self, field: &Field, minimum: usize) -> Option<f64> {
        let own = self.minima.get(minimum)?;
        own.merge.map(|merge| field.values[merge.saddle] - field.values[own.cell])
    }

    /// The Saddle-Minimum Average Distance (Chen et al. 2026): the mean over the minima of the first saddle's value less the minimum's; 0
    /// where no two meet. The first saddle of a minimum that goes on is not where it ends.
    pub fn smad(&self, field: &Field) -> f64 {
        let heights: Vec<f64> =
            self.gaps().map(|(saddle, minimum)| field.values[saddle] - field.values[minimum]).collect();
        // The sum of none is -0.
        heights.iter().sum::<f64>() / heights.len().max(1) as f64 + 0.0
    }

    /// The cells of each minimum's first saddle and of the minimum.
    pub fn gaps(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.minima.iter().filter_map(|own| Some((own.first?, own.cell)))
    }
}

/// The tree without the minima that are others' plateaus.
fn numbered(minima: Vec<Minimum>, same: &[Option<usize>], mut basins: Vec<Option<usize>>) -> Tree {
    // What a minimum is of the plateau of comes before it.
    let mut numbers: Vec<usize> = Vec::with_capacity(minima.len());
    let mut kept = 0;
    for own in same {
        numbers.push(own.map_or(kept, |other| numbers[other]));
        kept += usize::from(own.is_none());
    }
    basins.iter_mut().flatten().for_each(|own| *own = numbers[*own]);
    let keep = |(minimum, same): (Minimum, &Option<usize>)| {
        let merge = minimum.merge.map(|merge| Merge { into: numbers[merge.into], ..merge });
        same.is_none().then_some(Minimum { merge, ..minimum })
    };
    Tree { minima: minima.into_iter().zip(same).filter_map(keep).collect(), basins }
}
