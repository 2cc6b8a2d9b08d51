//! Models: what a loss is a function of.
//!
//! [`fisher`](crate::fisher) and [`landscape`](crate::landscape) see a model only as an [`Objective`], training as a
//! [`Trainable`] one, so tests hand them models whose answers are known on paper. [`network`] is the real one: an
//! architecture of [`architectures`], whose parameters [`layout`] describes; [`forward`] computes losses alone, of others. [`checkpoint`] is its files, [`ops`] the
//! operations it is made of.

pub mod architectures;
mod asked;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod forward;
pub mod freeze;
pub mod gradient;
pub mod labels;
pub mod layout;
pub mod modules;
pub mod network;
pub mod objective;
pub mod ops;
pub mod reading;
pub mod settings;
pub mod squares;
mod weights;

pub use checkpoint::{Body, Checkpoint, FROM_SEED, Model};
pub use config::ModelConfig;
pub use device::{DeviceChoice, Opened};
pub use labels::{Estimate, Estimator};
pub use layout::{Layout, Reached};
pub use modules::Head;
pub use network::Network;
pub use objective::{Objective, Outputs, Part, Prefix, Reduction, Sums, Trainable, Wanted};
pub use ops::Precision;
