//! `gateway-lite`, built as a program of this package so that the suite always has one to start.

fn main() -> std::process::ExitCode {
    gateway_lite::main_impl()
}
