//! Widths of figures: millimetres or another unit, or the column or text of a venue, so that a paper need not scale the figure and its
//! texts keep their sizes.

use std::str::FromStr;

/// Millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Width(pub f64);

/// Width in millimetres of the column of a venue, or of its text where that has one column; `-page` is the whole text
/// of one with two.
pub const VENUES: [(&str, f64); 16] = [
    // \textwidth of neurips.sty and iclr_conference.sty: 5.5 in.
    ("neurips", 139.7),
    ("iclr", 139.7),
    // icml.sty: \textwidth 6.75 in, \columnsep 0.25 in.
    ("icml", 82.55),
    ("icml-page", 171.45),
    // acl.sty: A4 with margins of 25 mm, \columnsep 6 mm.
    ("acl", 77.0),
    ("acl-page", 160.0),
    // cvpr.sty: \textwidth 6.875 in, \columnsep 0.3125 in.
    ("cvpr", 83.34),
    ("cvpr-page", 174.62),
    // IEEEtran.cls: columns of 21 pc and 1 pc between them, of 72.27 pt an inch.
    ("ieee", 88.56),
    ("ieee-page", 181.35),
    // aaai.sty: \textwidth 7 in, \columnsep 0.375 in.
    ("aaai", 84.13),
    ("aaai-page", 177.8),
    // \textwidth of jmlr2e.sty: 6 in; of tmlr.sty: 6.5 in.
    ("jmlr", 152.4),
    ("tmlr", 165.1),
    // Nature's guide to authors.
    ("nature", 89.0),
    ("nature-page", 183.0),
];

impl FromStr for Width {
    type Err = String;

    fn from_str(text: &str) -> Result<Width, String> {
        let text = text.to_lowercase();
        let venue = VENUES.iter().find(|(name, _)| *name == text).map(|(_, mm)| *mm);
        match venue.or_else(|| length(&text)) {
            Some(mm) if mm > 0.0 && mm < f64::INFINITY => Ok(Width(mm)),
            _ => Err(format!("neither millimetres (or 3.25in) nor one of {}", names())),
        }
    }
}

/// Millimetres of a number with its unit, which may be left out.
fn length(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 4] = [("mm", 1.0), ("cm", 10.0), ("in", 25.4), ("pt", 25.4 / 72.27)];
    let unit = UNITS.iter().find_map(|(unit, mm)| Some((text.strip_suffix(unit)?, *mm)));
    let (number, mm) = unit.unwrap_or((text, 1.0));
    number.trim_end().parse::<f64>().ok().map(|number| number * mm)
}

/// The names of all venues.
pub fn names() -> String {
    VENUES.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: arithmetic on the lengths in the classes, in inches or points of 72.27 an inch, to a hundredth of a
    /// millimetre, rounded down: a figure wider than its column is an overfull box.
    #[test]
    fn venues_have_the_widths_of_their_classes() {
        let pages: [(&str, f64, f64); 5] = [
            ("icml", 6.75, 0.25),
            ("cvpr", 6.875, 0.3125),
            ("aaai", 7.0, 0.375),
            ("ieee", 43.0 * 12.0 / 72.27, 12.0 / 72.27),
            ("acl", 160.0 / 25.4, 6.0 / 25.4),
        ];
        for (name, page, between) in pages {
            let mm = |inches: f64| (inches * 2540.0 + 1e-6).floor() / 100.0;
            assert_eq!(name.parse(), Ok(Width(mm((page - between) / 2.0))), "{name}");
            assert_eq!(format!("{name}-page").parse(), Ok(Width(mm(page))), "{name}");
        }
        assert_eq!(["neurips", "jmlr", "tmlr"].map(|n| n.parse::<Width>().unwrap().0), [139.7, 152.4, 165.1]);
    }

    #[test]
    fn other_widths_are_millimetres() {
        assert_eq!(("84".parse(), "120.5mm".parse()), (Ok(Width(84.0)), Ok(Width(120.5))));
        assert_eq!(("3.25in".parse(), "ICLR".parse()), (Ok(Width(82.55)), Ok(Width(139.7))));
        assert_eq!(("8.4 cm".parse(), "72.27pt".parse()), (Ok(Width(84.0)), Ok(Width(25.4))));
        for wrong in ["0", "-3", "inf", "NaN", "nips", "", "3ft", "in"] {
            assert!(wrong.parse::<Width>().unwrap_err().contains("neurips"), "{wrong}");
        }
    }
}
