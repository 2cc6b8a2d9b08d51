//! One integration binary, so that the crate links once.

mod checkpoint;
mod cli;
mod data_readers;
mod imports;
mod parity;
mod support;
mod tokenizer;
mod training;
