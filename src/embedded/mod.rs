//! The checkpoint `embedded` and its task: files compiled into the binary, as if they lay in a folder of that name.
//!
//! A BERT of 6 layers of width 128 with a masked-LM head, in float16, pre-trained on the glosses of WordNet 3.0; a
//! task from the same source, the supersense of a noun from its definition; and the glosses held out of both.
//! `analyses/embedded` says how they were made. [`crate::files`] reads them, so a path such as `embedded/dev.tsv` is one
//! of these files wherever a file of a checkpoint or a text is read.
//!
//! The trap: a folder on the disk that is called `embedded` as well is `./embedded`.

use std::path::Path;

/// The name of the folder.
pub const NAME: &str = "embedded";

/// WordNet's licence, which goes with every copy of anything made from it.
pub const NOTICE: &str = include_str!("LICENSE-WORDNET");

/// Names of files beside this one, with their contents.
macro_rules! compiled_in {
    ($($name:literal),* $(,)?) => { [$(($name, include_bytes!($name) as &[u8])),*] };
}

/// Names and contents, in name order.
const FILES: [(&str, &[u8]); 9] = compiled_in![
    "LICENSE-WORDNET",
    "config.json",
    "dev.tsv",
    "held-out.txt",
    "model.safetensors",
    "test.tsv",
    "tokenizer_config.json",
    "train.tsv",
    "vocab.txt",
];

/// Whether `path` is the folder, without regard to whether there is one on the disk.
pub fn is_folder(path: &Path) -> bool {
    path == Path::new(NAME)
}

/// The file that `path` names, if it is one of these.
pub fn file(path: &Path) -> Option<&'static [u8]> {
    let name = path.parent().filter(|parent| is_folder(parent)).and(path.file_name())?;
    FILES.iter().find(|(own, _)| name == *own).map(|(_, bytes)| *bytes)
}

/// Names of the files, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}
