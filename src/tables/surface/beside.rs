//! What stands beside a surface: `SURFACE.mask.csv` of `surface`, `DIRECTIONS.marks.csv` of `directions`.

use crate::landscape::directions::Mark;
use crate::landscape::mask::Moved;
use crate::tables::Table;

impl Table for Moved {
    const FILE: &'static str = "SURFACE.mask.csv";
    const FIX: &'static str = "make it again with `fisherscape surface`";
}

impl Table for Mark {
    const FILE: &'static str = "DIRECTIONS.marks.csv";
    const FIX: &'static str = "make it again with `fisherscape directions`";
}
