//! One integration binary, so that the crate links once.

mod analysis;
mod arms;
mod checkpoint;
mod claims;
mod cli;
mod cluster;
mod curvature;
mod damage;
mod data_readers;
mod directions;
mod docs;
mod dropout;
mod embedded;
mod estimators;
mod examples;
mod executors;
mod faults;
mod fisher;
mod formats;
mod forward;
mod fuzz;
mod gallery;
mod heads;
mod hub;
mod imports;
mod kills;
mod landscape;
mod languages;
mod layers;
mod layout;
mod mask;
mod messages;
mod models;
mod parity;
mod predictions;
mod questions;
mod rates;
mod refining;
mod reliability;
mod sampling;
mod slices;
mod stability;
mod study;
mod support;
mod tables;
mod tasks;
mod text_to_text;
mod tokenizer;
mod toy;
mod training;
mod vocabulary;
mod weights;
mod words;

/// Memory is counted for each thread, so that a size which is believed shows.
#[global_allocator]
static ALLOCATOR: fuzz::Counting = fuzz::Counting;
