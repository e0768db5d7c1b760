//! `gateway-lite`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway_lite::main_impl()
}
