//! Whether the front door's memory grows with what it was asked.

use anyhow::Result;

use super::super::Measured;
use super::{Bench, Endpoint, MANY, NOW, OTHER_CORE, number, resident_kb};

/// What an allocator may keep over all requests, against a leak of a byte a request.
const GROWTH_KB: f64 = 512.0;
/// Looks at the memory, evenly over the requests.
const LOOKS: usize = 10;

/// Growth of resident memory over a million requests, after the first hundred thousand; beside it
/// that of the second half alone. What an allocator keeps comes early, a leak comes evenly.
pub(super) fn measure(bench: &Bench, ours: &Endpoint, front_door: u32) -> Result<Measured> {
    let (warm, wanted) = if bench.quick { (1e3, 1e4) } else { (1e5, 1e6) };
    let ask = |wanted: f64| -> Result<()> {
        let mut asked = 0.0;
        while asked < wanted {
            let many = ["mixed", "--connections", MANY, "--millis", "1000"];
            asked += number(&bench.load(OTHER_CORE, ours, &many)?, "count")?;
        }
        Ok(())
    };
    ask(warm)?;
    let mut resident = vec![resident_kb(front_door, NOW)?];
    for _ in 0..LOOKS {
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        ask(wanted / LOOKS as f64)?;
        resident.push(resident_kb(front_door, NOW)?);
    }
    Ok(Measured {
        case: "frontdoor-growth",
        unit: "kB",
        ours: resident[LOOKS] - resident[0],
        rivals: vec![("its second half", resident[LOOKS] - resident[LOOKS / 2])],
        target: GROWTH_KB,
        target_rule: "over all requests",
        samples: LOOKS,
    })
}
