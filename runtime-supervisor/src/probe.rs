//! The figures of the runtime's own process, through descriptors that the launcher opened: no
//! other process can be looked at.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor_api::Destination;
use peer_socket::Monitor;
use runtime_core::{Observation, ProcessFigures, Reason, cpu_percent};

use crate::gpu::Gpu;
use crate::machine::Machine;

/// Longest `stat` or `statm` that is read, in bytes.
const FIGURES_BYTES: usize = 4096;

/// Time that must pass between two readings of the CPU counter: it moves in ticks of 10 ms.
const CPU_READING_PAUSE: Duration = Duration::from_millis(100);

/// Samples one runtime.
#[derive(Debug)]
pub(crate) struct Probe {
    stat: File,
    statm: File,
    machine: Machine,
    gpu: Arc<Gpu>,
    /// CPU ticks and when they were read.
    before: (u64, Instant),
    cpu_percent: f64,
}

impl Probe {
    /// Asks the launcher for the figures of `pid`, which was spawned at `spawned`.
    ///
    /// # Errors
    /// [`Reason::MalformedObservation`] when it does not hand out both.
    pub(crate) async fn open(
        monitor: &Monitor,
        pid: u32,
        spawned: Instant,
        machine: Machine,
        gpu: Arc<Gpu>,
    ) -> Result<Self, Reason> {
        let figures = monitor.open(Destination::RuntimeFigures { pid }).await;
        let figures = figures.map_err(|_| Reason::MalformedObservation)?;
        let [stat, statm] =
            <[OwnedFd; 2]>::try_from(figures).map_err(|_| Reason::MalformedObservation)?;
        let (stat, statm) = (File::from(stat), File::from(statm));
        Ok(Self { stat, statm, machine, gpu, before: (0, spawned), cpu_percent: 0.0 })
    }

    /// Takes a sample: resident memory now, CPU since the last reading, which is at least 100 ms
    /// old.
    ///
    /// # Errors
    /// [`Reason::MalformedObservation`] when anything cannot be read.
    pub(crate) fn sample(&mut self) -> Result<Observation, Reason> {
        let figures = ProcessFigures::parse(&read(&self.stat)?, &read(&self.statm)?)?;
        let now = Instant::now();
        let (ticks, then) = self.before;
        let elapsed = now.duration_since(then);
        if elapsed >= CPU_READING_PAUSE {
            let elapsed_ms =
                u64::try_from(elapsed.as_millis()).map_err(|_| Reason::MalformedObservation)?;
            self.cpu_percent =
                cpu_percent(self.machine.clock, ticks, figures.cpu_ticks, elapsed_ms)
                    .ok_or(Reason::MalformedObservation)?;
            self.before = (figures.cpu_ticks, now);
        }
        Ok(Observation {
            ram_bytes: figures.resident_pages.saturating_mul(self.machine.page_bytes),
            vram_bytes: self.gpu.used_bytes()?,
            cpu_percent: self.cpu_percent,
        })
    }
}

fn read(file: &File) -> Result<String, Reason> {
    let mut bytes = vec![0; FIGURES_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(|_| Reason::MalformedObservation)?;
    bytes.truncate(read);
    String::from_utf8(bytes).map_err(|_| Reason::MalformedObservation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The project's own target: under 200 microseconds a sample. The quickest of twenty rounds
    /// counts, so that a busy machine does not; the figure is printed.
    #[test]
    fn a_sample_costs_less_than_200_microseconds() {
        const ROUNDS: usize = 20;
        const SAMPLES: u32 = 50;
        let open = |name: &str| File::open(format!("/proc/self/{name}")).unwrap();
        let mut probe = Probe {
            stat: open("stat"),
            statm: open("statm"),
            machine: Machine::read().unwrap(),
            gpu: Arc::new(Gpu::Absent),
            before: (0, Instant::now()),
            cpu_percent: 0.0,
        };
        let round = |probe: &mut Probe| {
            let begun = Instant::now();
            (0..SAMPLES).for_each(|_| assert!(probe.sample().unwrap().ram_bytes > 0));
            begun.elapsed() / SAMPLES
        };
        let quickest = (0..ROUNDS).map(|_| round(&mut probe)).min().unwrap();
        println!("{quickest:?} a sample");
        assert!(quickest < Duration::from_micros(200), "{quickest:?}");
    }
}
