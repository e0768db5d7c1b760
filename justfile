# What CI runs.
ci:
    .ci/run

# Everything, or one suite: `just test streaming::`
test *filter:
    cargo test --workspace {{filter}}

# The binary for images, its size and its idle memory.
static:
    benches/footprint
