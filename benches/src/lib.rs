//! Only a place for `benches/*.rs`, one file an idea: `cargo bench -p benches`.
