//! `completions` and `man`: what a shell wants to know of the command line, written from its definition.

use std::path::PathBuf;

use clap_complete::Shell;

use crate::error::{Error, Result};
use crate::progress;

/// Print completions for a shell.
///
/// For bash: fisherscape completions bash > ~/.local/share/bash-completion/completions/fisherscape
#[derive(clap::Args, Clone, Debug)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Write manual pages, one for each command.
///
/// Then `MANPATH=DIR: man fisherscape`; the folder needs to be called man1 and lie in DIR.
#[derive(clap::Args, Clone, Debug)]
pub struct Man {
    /// The folder to write, such as ~/.local/share/man/man1
    pub folder: PathBuf,
}

impl Completions {
    /// Prints those of `command`.
    pub fn run(&self, mut command: clap::Command) -> Result<()> {
        let mut text = Vec::new();
        let name = command.get_name().to_string();
        clap_complete::generate(self.shell, &mut command, name, &mut text);
        progress::say!("{}", String::from_utf8_lossy(&text).trim_end());
        Ok(())
    }
}

impl Man {
    /// Writes those of `command`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where they cannot be written.
    pub fn run(&self, command: clap::Command) -> Result<()> {
        let failed = |e| Error::io(&self.folder, "write")(e);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(command, &self.folder).map_err(failed)?;
        progress::say!("{}: manual pages written", self.folder.display());
        Ok(())
    }
}
