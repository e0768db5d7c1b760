# What CI runs.
ci:
    .ci/run

# Everything, or one suite: `just test streaming::`
test *filter:
    cargo test --workspace {{filter}}

# The binary for images, and its size and idle memory.
static:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p watchdog --target x86_64-unknown-linux-gnu
    ls -l target/x86_64-unknown-linux-gnu/release/fwatchdog
