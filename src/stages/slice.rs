//! `--slice K/N`: the part of a command that one of several processes computes.

use std::env;
use std::path::Path;
use std::str::FromStr;

/// Part `number` of `of`, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub number: usize,
    pub of: usize,
}

/// Variables of launchers: the number, where numbers begin, the distance between two, and how many there are.
struct Launcher {
    number: &'static str,
    first: &'static str,
    step: &'static str,
    /// How many, or else the last number.
    count: &'static str,
    last: &'static str,
}

/// First those of an array of jobs: its elements may be jobs of several processes. Empty names: from 0, one by one.
const LAUNCHERS: [Launcher; 5] = [
    Launcher {
        number: "SLURM_ARRAY_TASK_ID",
        first: "SLURM_ARRAY_TASK_MIN",
        step: "SLURM_ARRAY_TASK_STEP",
        count: "SLURM_ARRAY_TASK_COUNT",
        last: "",
    },
    Launcher {
        number: "SGE_TASK_ID",
        first: "SGE_TASK_FIRST",
        step: "SGE_TASK_STEPSIZE",
        count: "",
        last: "SGE_TASK_LAST",
    },
    Launcher { number: "OMPI_COMM_WORLD_RANK", first: "", step: "", count: "OMPI_COMM_WORLD_SIZE", last: "" },
    Launcher { number: "PMI_RANK", first: "", step: "", count: "PMI_SIZE", last: "" },
    Launcher { number: "SLURM_PROCID", first: "", step: "", count: "SLURM_NTASKS", last: "" },
];

/// How the parts become a result.
pub const TOGETHER: &str = "the same command without --slice puts all together";

impl Slice {
    /// This part of a result, in words.
    pub fn of_result(&self, path: &Path) -> String {
        format!("{}, part {} of {}", path.display(), self.number, self.of)
    }

    /// The part that the launcher of this process names.
    pub fn of_environment() -> Option<Slice> {
        Slice::of_launcher(|name| env::var(name).ok()?.trim().parse().ok())
    }

    /// The part that a launcher names, as `value` gives its variables.
    fn of_launcher(value: impl Fn(&str) -> Option<usize>) -> Option<Slice> {
        LAUNCHERS.iter().find_map(|launcher| {
            let (number, first) = (value(launcher.number)?, value(launcher.first).unwrap_or(0));
            let step = value(launcher.step).unwrap_or(1).max(1);
            let last = || Some((value(launcher.last)?.checked_sub(first)?) / step + 1);
            let of = value(launcher.count).or_else(last)?;
            let slice = Slice { number: number.checked_sub(first)? / step + 1, of };
            (slice.number <= of).then_some(slice)
        })
    }
}

impl FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Slice, String> {
        if text == "env" {
            let names: Vec<&str> = LAUNCHERS.iter().map(|launcher| launcher.number).collect();
            return Slice::of_environment().ok_or_else(|| {
                format!(
                    "no launcher names a part (looked for {}, and how many there are); give K/N",
                    names.join(", ")
                )
            });
        }
        let parsed = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Slice { number, of }),
            _ => Err("expected K/N, K from 1 to N, such as 3/16; or env, which asks the launcher".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: parts worked out on paper, for each launcher's variables as its manual describes them. Catches an index that is off
    /// by one, a step that is not divided by, and a single process of Slurm inside an array's element that counts for the array.
    #[test]
    fn launchers_name_their_parts() {
        let of = |set: &[(&str, usize)]| {
            let set = set.to_vec();
            Slice::of_launcher(move |name| set.iter().find(|(own, _)| *own == name).map(|(_, value)| *value))
        };
        let slice = |number, of| Some(Slice { number, of });
        let array = [("SLURM_ARRAY_TASK_ID", 7), ("SLURM_ARRAY_TASK_MIN", 3), ("SLURM_ARRAY_TASK_STEP", 2)];
        assert_eq!(of(&[&array[..], &[("SLURM_ARRAY_TASK_COUNT", 5)]].concat()), slice(3, 5));
        let one = [("SLURM_PROCID", 0), ("SLURM_NTASKS", 1), ("SLURM_ARRAY_TASK_COUNT", 5)];
        assert_eq!(of(&[&array[..], &one].concat()), slice(3, 5));
        assert_eq!(of(&[("SLURM_PROCID", 3), ("SLURM_NTASKS", 4)]), slice(4, 4));
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", 0), ("OMPI_COMM_WORLD_SIZE", 2)]), slice(1, 2));
        let sge =
            [("SGE_TASK_ID", 10), ("SGE_TASK_FIRST", 2), ("SGE_TASK_LAST", 18), ("SGE_TASK_STEPSIZE", 4)];
        assert_eq!(of(&sge), slice(3, 5));
        assert_eq!(of(&[("PMI_RANK", 1)]), None);
        assert_eq!(of(&[]), None);
    }

    /// Oracle: the form that the help names. Catches a part 0, one beyond the last, and words.
    #[test]
    fn parts_are_read() {
        assert_eq!("3/16".parse(), Ok(Slice { number: 3, of: 16 }));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "", "-1/3", "1/2/3"] {
            assert!(wrong.parse::<Slice>().is_err(), "{wrong}");
        }
    }
}
