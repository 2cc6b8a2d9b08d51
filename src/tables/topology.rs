//! The files of `topology`.

use serde::{Deserialize, Serialize};

use super::{Table, Wrong};

const FIX: &str = "make the tables again with `fisherscape topology`";

/// A row of `minima.csv`: a minimum of the surface, the lowest first. (Of a metric: a peak, the highest first.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinimumRow {
    /// Of what: `loss`, or a metric.
    pub field: String,
    /// Its number: 1 is the lowest.
    pub minimum: usize,
    /// Its coordinates.
    pub x: f64,
    pub y: f64,
    /// A column of volumes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// The loss there, or the metric.
    pub value: f64,
    /// Whether it lies at the border of the grid: the surface may continue to fall beyond.
    pub border: bool,
    /// The number of the lower minimum whose part its own joins; empty for the lowest, which joins none.
    pub into: Option<usize>,
    /// The saddle where they join.
    pub saddle_x: Option<f64>,
    pub saddle_y: Option<f64>,
    /// A column of volumes only; in them empty as the others are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saddle_z: Option<Option<f64>>,
    pub saddle: Option<f64>,
    /// How far the minimum lies below that saddle; empty for the lowest.
    pub persistence: Option<f64>,
    /// Its standard error over examples, these two points being given; empty without losses by example.
    pub persistence_se: Option<f64>,
    /// Lower end of the 95 % interval of the barrier between the two minima, for all minima together and however they were chosen.
    pub persistence_low: Option<f64>,
    /// Upper end.
    pub persistence_high: Option<f64>,
    /// Whether the lower end is above 0. Where not, the basin may be noise.
    pub shown: Option<bool>,
    /// How far the minimum lies below the first saddle that its part meets: what SMAD is the mean of.
    pub first_gap: Option<f64>,
    /// Grid points of its basin; basins that may be noise count as those of what they join.
    pub cells: usize,
    /// Radius of the largest circle (in a volume: ball) around the minimum within its basin and the grid, in units of the coordinates.
    pub radius: f64,
}

impl Table for MinimumRow {
    const FILE: &'static str = "minima.csv";
    const FIX: &'static str = FIX;
    const BESIDE: &'static [&'static str] = &[BasinRow::FILE];

    fn check(&self) -> Result<(), Wrong> {
        let earlier = self.into.is_none_or(|into| (1..self.minimum).contains(&into));
        if !earlier {
            return Err(Wrong::new("into", "the number of a lower minimum", self.into.unwrap_or_default()));
        }
        match self.into.is_some() == (self.persistence.is_some() && self.saddle.is_some()) {
            true => Ok(()),
            false => Err(Wrong::new("persistence", "there exactly where `into` is", "one without the other")),
        }
    }
}

/// A row of `basins.csv`: a grid point, z outer, then y, x inner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BasinRow {
    /// Its coordinates.
    pub x: f64,
    pub y: f64,
    /// A column of volumes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// The loss there, or the metric; empty where it is not finite.
    pub value: Option<f64>,
    /// The number of the minimum in whose basin it lies.
    pub minimum: Option<usize>,
}

impl Table for BasinRow {
    const FILE: &'static str = "basins.csv";
    const FIX: &'static str = FIX;
}

/// A row of `minus.csv`: a measure of two surfaces, of one grid and paired by example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DifferenceRow {
    /// `basins` (that are shown), `persistence`, `smad` or `radius` (of the main basin).
    pub measure: String,
    /// Of a persistence, which: 1 is the largest.
    pub rank: Option<usize>,
    /// Of the first surface.
    pub first: f64,
    /// Of the surface that is subtracted.
    pub second: f64,
    /// `first` less `second`.
    pub difference: f64,
    /// Lower end of its 95 % interval, for all persistences and `smad` together; of `basins` that of the number of minima. Empty where the
    /// examples are too few, and of `smad` where some minimum may be noise.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Table for DifferenceRow {
    const FILE: &'static str = "minus.csv";
    const FIX: &'static str = "make the table again with `fisherscape topology --minus`";
}
