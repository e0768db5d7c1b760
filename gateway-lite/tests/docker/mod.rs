//! What holds for containers beyond the contract.

mod building;
mod engine;
pub(crate) mod ground;
mod meddling;
mod pulling;
mod sandbox;
