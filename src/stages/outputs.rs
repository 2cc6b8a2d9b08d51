//! What a command would write over: asked before any work, so that hours are not lost to a name.
//!
//! A file may be replaced, a folder in its place may not, and nothing that the command reads. What a training would write into
//! a folder of others is [`crate::model::Model::prepare_folder`]'s to ask.

use std::path::{Path, PathBuf};

use super::Stage;
use super::source::Source;
use crate::error::{Error, Result};

/// The options that name what is written, and the files that are read.
struct Paths<'a> {
    files: Vec<(&'static str, &'a Path)>,
    folders: Vec<(&'static str, &'a Path)>,
    read: Vec<&'a Path>,
}

/// # Errors
///
/// [`Error::Field`] for an output that cannot be written where it is named, or that is one of the inputs.
pub(super) fn check(stage: &Stage) -> Result<()> {
    let Paths { files, folders, read } = paths(stage);
    for (option, path) in files {
        let fix = "name another file";
        if path.is_dir() {
            return Err(Error::field(option, path.display(), "a file, or nothing yet", "a folder", fix));
        }
        if read.iter().any(|input| same(input, path)) {
            let sentence = format!("{} is an input of this command", path.display());
            return Err(Error::said(option, sentence, fix));
        }
        check_above(option, path)?;
    }
    for (option, path) in folders {
        if path.exists() && !path.is_dir() {
            let fix = "name another folder";
            return Err(Error::field(option, path.display(), "a folder, or nothing yet", "a file", fix));
        }
        check_above(option, path)?;
    }
    Ok(())
}

/// Whether the folders on the way there are some, as far as there is anything.
fn check_above(option: &str, path: &Path) -> Result<()> {
    let there = path.ancestors().skip(1).find(|above| above.exists());
    match there.filter(|above| !above.is_dir()) {
        None => Ok(()),
        Some(file) => {
            let sentence = format!("{} would lie in the file {}", path.display(), file.display());
            Err(Error::said(option, sentence, "name a path in a folder"))
        }
    }
}

fn same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

fn paths(stage: &Stage) -> Paths<'_> {
    const OUT: &str = "--out";
    const SAVED: &str = "--save-directions";
    fn each(paths: &[PathBuf]) -> Vec<&Path> {
        paths.iter().map(PathBuf::as_path).collect()
    }
    fn given(path: &Option<PathBuf>) -> Vec<&Path> {
        path.iter().map(PathBuf::as_path).collect()
    }
    let file = |out, read| Paths { files: vec![(OUT, out)], folders: Vec::new(), read };
    let folder = |out, read| Paths { files: Vec::new(), folders: vec![(OUT, out)], read };
    match stage {
        Stage::Freeze(s) => {
            let Source { table, conll, squad, dev, .. } = &s.source;
            file(&s.out, [each(&s.text), given(table), given(conll), given(squad), given(dev)].concat())
        }
        Stage::Loss(_) => Paths { files: Vec::new(), folders: Vec::new(), read: Vec::new() },
        Stage::Fisher(s) => file(&s.out, vec![&s.inputs.set]),
        Stage::Schedule(s) => file(&s.out, given(&s.fisher)),
        Stage::Pretrain(s) => folder(&s.out, Vec::new()),
        Stage::Train(s) => folder(&s.out, Vec::new()),
        Stage::Directions(s) => file(&s.out, vec![&s.inputs.set]),
        Stage::Surface(s) => {
            let read = [vec![s.inputs.set.as_path()], given(&s.directions), given(&s.moving.fisher)].concat();
            let mut paths = file(&s.out, read);
            paths.files.extend(s.save_directions.iter().map(|path| (SAVED, path.as_path())));
            paths
        }
        Stage::Sharpness(s) => {
            let read = [vec![s.inputs.set.as_path()], given(&s.moving.fisher), given(&s.relative)].concat();
            let mut paths = file(&s.out, read);
            paths.files.extend(s.save_directions.iter().map(|path| (SAVED, path.as_path())));
            paths
        }
        Stage::Compare(s) => file(&s.out, [each(&s.first), each(&s.second)].concat()),
        Stage::Topology(s) => folder(&s.out, [vec![s.surface.as_path()], given(&s.minus)].concat()),
        Stage::Stability(s) => folder(&s.out, Vec::new()),
        Stage::Audit(s) => folder(&s.out, Vec::new()),
        Stage::Agree(s) => folder(&s.out, Vec::new()),
        Stage::Examples(s) => folder(&s.out, Vec::new()),
        Stage::Damage(s) => folder(&s.out, Vec::new()),
        Stage::Prune(s) => folder(&s.out, Vec::new()),
        Stage::Merge(s) => folder(&s.out, Vec::new()),
        Stage::Connect(s) => folder(&s.out, Vec::new()),
        Stage::Render(s) => Paths {
            files: s.out.iter().map(|out| (OUT, out.as_path())).collect(),
            folders: Vec::new(),
            read: [each(&s.surfaces), each(&s.marks)].concat(),
        },
    }
}
