//! Python's pickles, read as data: containers, text, numbers and PyTorch's tensors. No code runs: what a pickle may call is
//! a table of names ([`globals`]), each of which stands for a value built here; any other name is an error.
//!
//! A pickle is a program for a machine with a stack and a memo (`pickletools` in Python's library describes it; PyTorch's own
//! safe reader is `torch/_weights_only_unpickler.py`). [`machine`] runs protocols 0 to 5, [`calls`] builds what is called.
//! Values lie in one list and refer to each other by number, so shared and circular ones need no care, and nothing here
//! recurses.
//!
//! The trap: lengths and counts are the writer's claims. Nothing is allocated for a claim, and everything that a pickle
//! can make grow is counted ([`values::MOST`]).

mod calls;
mod globals;
mod machine;
mod values;

pub use self::machine::read;
pub use self::values::{Pickle, Value, View};
