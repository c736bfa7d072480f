//! How fast the supervisor hashes, for `cargo xtask bench download`: `hash-speed MILLIS` prints
//! bytes a second, as `openssl speed` counts them: pieces of 16 KiB, again and again.
#![expect(clippy::print_stdout, reason = "the benchmark reads it")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use runtime_core::{Accumulator, validate_spec};

/// Bytes of a piece: what one TLS record brings.
const PIECE: usize = 16 * 1024;
/// Pieces between two looks at the clock.
const PIECES: u32 = 256;

fn main() -> Result<()> {
    let millis = std::env::args().nth(1).context("hash-speed MILLIS")?.parse()?;
    let spec = validate_spec(&hex::encode([0; 32]), u64::MAX).context("a spec")?;
    let mut accumulator = Accumulator::new(spec);
    let piece = vec![7; PIECE];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(millis) {
        for _ in 0..PIECES {
            accumulator.push(&piece).context("a piece")?;
        }
    }
    println!("{}", accumulator.received() as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
