//! GPU memory as a device aggregate (NVML). Never the list of processes that use it.

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use runtime_core::Reason;

/// The file that the driver installs; the name without a version is for developers only.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// What this machine has; loaded before confinement.
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
    /// Loads the driver's library, if there is one.
    pub(crate) fn load() -> Self {
        match Nvml::builder().lib_path(LIBRARY.as_ref()).init() {
            Ok(nvml) => {
                let gpu = Self::Present(Box::new(nvml));
                // Opens the devices, which confinement would forbid later.
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
    use super::*;

    /// Contract 9: no driver is 0; one that is there but fails is a failed probe, not 0.
    #[test]
    fn an_absent_driver_uses_nothing_and_a_failing_one_is_no_observation() {
        assert_eq!(Gpu::Absent.used_bytes(), Ok(0));
        assert_eq!(Gpu::Failing.used_bytes(), Err(Reason::MalformedObservation));
    }
}
