//! One integration binary, so that the crate links once.

mod analysis;
mod checkpoint;
mod cli;
mod curvature;
mod data_readers;
mod directions;
mod dropout;
mod embedded;
mod estimators;
mod fisher;
mod formats;
mod gallery;
mod imports;
mod landscape;
mod layers;
mod mask;
mod models;
mod parity;
mod rates;
mod stability;
mod support;
mod tokenizer;
mod toy;
mod training;
mod vocabulary;
