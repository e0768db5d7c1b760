//! What a function is: plain data, its JSON forms, and what makes them valid. Imports nothing of
//! the rest.

mod id;
pub mod policy;
mod quantity;
mod spec;
mod status;

pub use self::{
    id::{DEFAULT_NAMESPACE, FunctionId, check_name},
    policy::Policy,
    quantity::{Quantity, cpus, memory_bytes},
    spec::{FunctionSpec, Resources},
    status::{Deployed, FunctionStatus, NOT_YET, Usage},
};
