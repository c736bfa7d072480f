//! GPU memory as a device aggregate (NVML). Never the list of processes that use it.

use std::ffi::OsStr;

use confine::Confinement;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use runtime_core::Reason;

/// The file that the driver installs; the name without a version is for developers only.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// What this machine has; loaded once the process is confined.
#[derive(Debug)]
pub(crate) enum Gpu {
    /// No driver: 0 bytes in use.
    Absent,
    /// A driver that answers.
    Present(Box<Nvml>),
    /// A driver that is there but failed: every probe fails.
    Failing,
}

impl Gpu {
    /// Loads the driver's library, if there is one. It starts a thread of its own (measured with
    /// driver 580), which is to be as confined as the process: hence the proof.
    pub(crate) fn load(_: &Confinement) -> Self {
        Self::load_from(LIBRARY.as_ref())
    }

    fn load_from(library: &OsStr) -> Self {
        match Nvml::builder().lib_path(library).init() {
            Ok(nvml) => {
                let gpu = Self::Present(Box::new(nvml));
                if gpu.used_bytes().is_ok() { gpu } else { Self::Failing }
            }
            Err(
                NvmlError::LibloadingError(_)
                | NvmlError::LibraryNotFound
                | NvmlError::DriverNotLoaded,
            ) => Self::Absent,
            Err(_) => Self::Failing,
        }
    }

    /// Bytes in use, over all devices.
    ///
    /// # Errors
    /// [`Reason::MalformedObservation`] when a driver that is there fails.
    pub(crate) fn used_bytes(&self) -> Result<u64, Reason> {
        match self {
            Self::Absent => Ok(0),
            Self::Present(nvml) => sum_of(nvml).map_err(|_| Reason::MalformedObservation),
            Self::Failing => Err(Reason::MalformedObservation),
        }
    }
}

fn sum_of(nvml: &Nvml) -> Result<u64, NvmlError> {
    (0..nvml.device_count()?)
        .map(|index| Ok(nvml.device_by_index(index)?.memory_info()?.used))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Builds the stand-in library and loads it.
    fn stand_in(flags: &[&str]) -> Gpu {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join(LIBRARY);
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gpu_stand_in.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).args(flags);
        assert!(compiler.status().unwrap().success());
        Gpu::load_from(library.as_os_str())
    }

    /// Contract 2, Ph: the sum over the devices, and never the list of processes. The stand-in ends
    /// this test by SIGABRT when a function of that kind is called.
    #[test]
    fn the_figure_is_the_sum_over_the_devices_and_no_process_is_asked_for() {
        let gpu = stand_in(&[]);
        assert!(matches!(gpu, Gpu::Present(_)), "{gpu:?}");
        assert_eq!(gpu.used_bytes(), Ok(7_000_000_000));
        assert_eq!(gpu.used_bytes(), Ok(7_000_000_000));
    }

    #[test]
    fn devices_that_do_not_answer_are_a_failing_driver_and_a_missing_library_is_none() {
        assert!(matches!(stand_in(&["-DFAILS"]), Gpu::Failing));
        assert!(matches!(Gpu::load_from("/nowhere/libnvidia-ml.so.1".as_ref()), Gpu::Absent));
    }

    /// Contract 9: no driver is 0; one that is there but fails is a failed probe, not 0.
    #[test]
    fn an_absent_driver_uses_nothing_and_a_failing_one_is_no_observation() {
        assert_eq!(Gpu::Absent.used_bytes(), Ok(0));
        assert_eq!(Gpu::Failing.used_bytes(), Err(Reason::MalformedObservation));
    }

    /// As the driver's own tool has it. The card may be at work meanwhile: the figure lies between
    /// two of the tool's, or within what it rounds to (MiB) and one more allocation.
    #[test]
    #[ignore = "needs an NVIDIA card: `cargo xtask test` runs it where there is one"]
    fn the_figure_is_what_nvidia_smi_shows() {
        const AIR: u64 = 64 << 20;
        let gpu = Gpu::load_from(LIBRARY.as_ref());
        assert!(matches!(gpu, Gpu::Present(_)), "no card answers here: {gpu:?}");
        let before = nvidia_smi();
        let used = gpu.used_bytes().unwrap();
        let after = nvidia_smi();
        println!("{used} bytes; nvidia-smi: {before}, then {after}");
        assert!(used + AIR >= before.min(after) && used <= before.max(after) + AIR);
    }

    /// Memory in use over all cards, in bytes.
    fn nvidia_smi() -> u64 {
        let mut tool = Command::new("nvidia-smi");
        let asked = tool.args(["--query-gpu=memory.used", "--format=csv,noheader,nounits"]);
        let output = asked.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(|mebibytes| mebibytes.trim().parse::<u64>().unwrap() << 20).sum()
    }
}
