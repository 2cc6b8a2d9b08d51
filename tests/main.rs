//! One integration binary, so that the crate links once.

mod checkpoint;
mod cli;
mod data_readers;
mod fisher;
mod imports;
mod layers;
mod parity;
mod support;
mod tokenizer;
mod toy;
mod training;
