//! `gateway-lite up`: a stack file, running.

mod dockerfile;
mod nearest;
mod plan;
mod stack;
mod substitute;
