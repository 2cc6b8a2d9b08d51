//! Fisher information, guided dropout and loss surfaces for transformers, with an error next to every number.
//!
//! An analysis around "Information Guided Regularization for Fine-tuning Language Models" (Sharma et al. 2024,
//! arXiv 2406.14005): the diagonal Fisher information of a checkpoint, exact per example ([`fisher`]); dropout rates
//! from it ([`dropout`]) and fine-tuning with them ([`train`]); loss surfaces in the parameters that matter and in
//! those that do not ([`landscape`]); how far a sub-sample of the corpus can be trusted, and on what its rankings rest
//! ([`stability`]).
//!
//! ```text
//! text, table ──data──▶ frozen set ─┐
//!                                   ├─▶ evaluate ─▶ loss ± se
//! checkpoint ───model─▶ objective ──┼─▶ fisher ──▶ F, s[n,t] ─▶ ranking ─▶ dropout rates ─▶ train
//!                                   │                 │  └─────▶ stability
//!                                   └─▶ landscape ◀───┘ masks ─▶ surface ─▶ figure
//! ```
//!
//! Modules import only from those before them in this order: error, embedded, progress, stop, files, threads, rng, stats,
//! params, ranking, hub, provenance, draw, tasks, data, dropout, model, evaluate, estimate, train, fisher, landscape, stability,
//! tables, figures, page, stages, analysis, run, shell, cli.
//!
//! The bits of a result do not depend on the number of threads in the binary, which keeps candle's own operations on
//! one thread each (`src/main.rs`) and spreads its work by rayon; a program that uses the library does the same by
//! setting `RAYON_NUM_THREADS` and `CANDLE_NUM_THREADS` to 1 before any thread starts and building a rayon pool.
//!
//! Vocabulary: `θ` parameters; `s_n` summed and `ℓ_n` mean loss of example n; `F` Fisher diagonal; `s[n,t]` summed
//! squared gradient of example n in tensor t; site: a place where dropout acts; `p` drop probability.

pub mod analysis;
pub mod cli;
pub mod data;
pub mod draw;
pub mod dropout;
pub mod embedded;
pub mod error;
pub mod estimate;
pub mod evaluate;
pub mod figures;
pub mod files;
pub mod fisher;
pub mod hub;
pub mod landscape;
pub mod model;
pub mod page;
pub mod params;
pub mod progress;
pub mod provenance;
pub mod ranking;
pub mod rng;
pub mod run;
pub mod shell;
pub mod stability;
pub mod stages;
pub mod stats;
pub mod stop;
pub mod tables;
pub mod tasks;
pub mod threads;
pub mod train;
mod vectorized;

pub use error::{Error, Result};

/// The README's example, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
